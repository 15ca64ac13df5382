//! ```text
//! #[traced()]
//! fn f() { #![allow(dead_code)] use a::b; const N: u8 = 1; let x = N; struct S; b(x) }
//! ```

fn f() {
    #![allow(dead_code)]
    use a::b;
    const N: u8 = 1;
    let _region = {
        static __SITE: ::exectrace::__private::Callsite = ::exectrace::__private::Callsite::new(
                ::exectrace::__private::CallsiteKind::Function,
                "f",
                ::exectrace::__private::core::module_path!(),
                "src/lib.rs",
                1u32,
                1u32,
                0u64,
                &[],
            )
            .inside(
                {
                    fn path() -> &'static ::exectrace::__private::core::primitive::str {
                        ::exectrace::__private::core::any::type_name_of_val(&path)
                    }
                    path
                },
                false,
            );
        ::exectrace::__private::register!(__SITE);
        ::exectrace::__private::enter(&__SITE)
    };
    let x = N;
    struct S;
    b(x)
}
