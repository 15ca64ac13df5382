//! ```text
//! #[traced(ret)]
//! fn first(list: &mut Vec<u8>) -> &mut u8 { if true { return x; } &mut list[0] }
//! ```

fn first(list: &mut Vec<u8>) -> &mut u8 {
    let mut _region = {
        static __SITE: ::exectrace::__private::Callsite = ::exectrace::__private::Callsite::new(
                ::exectrace::__private::CallsiteKind::Function,
                "first",
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
    let _value = ::exectrace::__private::core::option::Option::unwrap_or_else(
        ::exectrace::__private::core::option::Option::None,
        move || -> &mut u8 {
            if true {
                return x;
            }
            &mut list[0]
        },
    );
    ::exectrace::__private::Region::returned(
        &mut _region,
        ::exectrace::__private::returned_value!(& _value),
    );
    _value
}
