//! ```text
//! #[traced(ret, err, task)]
//! fn read() -> Result<u8, E> { open()? }
//! ```

fn read() -> Result<u8, E> {
    let mut _task = {
        static __SITE: ::exectrace::__private::Callsite = ::exectrace::__private::Callsite::new(
                ::exectrace::__private::CallsiteKind::Task,
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
        ::exectrace::__private::enter_task(&__SITE)
    };
    let _value = ::exectrace::__private::core::option::Option::unwrap_or_else(
        ::exectrace::__private::core::option::Option::None,
        move || -> Result<u8, E> { open()? },
    );
    match &_value {
        ::exectrace::__private::core::result::Result::Ok(_okay) => {
            ::exectrace::__private::TaskScope::returned(
                &mut _task,
                ::exectrace::__private::returned_value!(_okay),
            )
        }
        ::exectrace::__private::core::result::Result::Err(_error) => {
            ::exectrace::__private::TaskScope::failed(
                &mut _task,
                ::exectrace::__private::Value::Display(_error),
            )
        }
    }
    _value
}
