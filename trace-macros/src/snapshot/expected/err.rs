//! ```text
//! #[traced(err)]
//! fn read() -> io::Result<impl Read> { open()? }
//! ```

fn read() -> io::Result<impl Read> {
    let mut _region = {
        static __SITE: ::exectrace::__private::Callsite = ::exectrace::__private::Callsite::new(
                ::exectrace::__private::CallsiteKind::Function,
                "read",
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
        move || -> io::Result<_> { open()? },
    );
    if let ::exectrace::__private::core::result::Result::Err(_error) = &_value {
        ::exectrace::__private::Region::failed(
            &mut _region,
            ::exectrace::__private::Value::Display(_error),
        );
    }
    _value
}
