//! ```text
//! #[traced(err)]
//! fn read() -> io::Result<impl Read> { open()? }
//! ```

fn read() -> io::Result<impl Read> {
    let mut _region = {
        static __SITE: ::exectrace::__private::Callsite = ::exectrace::__private::Callsite::new(
            ::exectrace::__private::CallsiteKind::Function,
            "read",
            ::core::module_path!(),
            "src/lib.rs",
            1u32,
            1u32,
            0u64,
            &[],
        );
        ::exectrace::__private::register!(__SITE);
        ::exectrace::__private::enter(&__SITE)
    };
    let _value = ::core::option::Option::unwrap_or_else(
        ::core::option::Option::None,
        move || -> io::Result<_> { open()? },
    );
    if let ::core::result::Result::Err(_error) = &_value {
        ::exectrace::__private::Region::failed(
            &mut _region,
            ::exectrace::__private::Value::Display(_error),
        );
    }
    _value
}
