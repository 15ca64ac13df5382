//! ```text
//! #[traced(crate = other::path)]
//! mod m { use x::{y, z}; trait T { fn none(); fn some() {} } mod n { fn deep() {} } }
//! ```

mod m {
    use x::{y, z};
    trait T {
        fn none();
        fn some() {
            let _region = {
                static __SITE: other::path::__private::Callsite = other::path::__private::Callsite::new(
                    other::path::__private::CallsiteKind::Function,
                    "T::some",
                    other::path::__private::core::module_path!(),
                    "src/lib.rs",
                    1u32,
                    1u32,
                    0u64,
                    &[],
                );
                other::path::__private::register!(__SITE);
                other::path::__private::enter(&__SITE)
            };
        }
    }
    mod n {
        fn deep() {
            let _region = {
                static __SITE: other::path::__private::Callsite = other::path::__private::Callsite::new(
                    other::path::__private::CallsiteKind::Function,
                    "deep",
                    other::path::__private::core::module_path!(),
                    "src/lib.rs",
                    1u32,
                    1u32,
                    0u64,
                    &[],
                );
                other::path::__private::register!(__SITE);
                other::path::__private::enter(&__SITE)
            };
        }
    }
}
