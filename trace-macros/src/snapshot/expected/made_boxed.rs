//! ```text
//! #[traced(err)]
//! fn get(x: u8) -> BoxFuture<'static, Result<u8, E>> { ready(x) }
//! ```

fn get(x: u8) -> BoxFuture<'static, Result<u8, E>> {
    let _made = ::exectrace::__private::core::option::Option::unwrap_or_else(
        ::exectrace::__private::core::option::Option::None,
        move || -> BoxFuture<'static, Result<u8, E>> { ready(x) },
    );
    ::exectrace::__private::std::boxed::Box::pin(async move {
        let _future = {
            static __SITE: ::exectrace::__private::Callsite = ::exectrace::__private::Callsite::new(
                    ::exectrace::__private::CallsiteKind::Future,
                    "get",
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
            ::exectrace::__private::FutureGuard::begin(&__SITE)
        };
        ::exectrace::__private::FutureGuard::wrap_with(
                _future,
                _made,
                |_value, _end| {
                    if let ::exectrace::__private::core::result::Result::Err(_error) = _value {
                        ::exectrace::__private::FutureEnd::failed(
                            _end,
                            ::exectrace::__private::Value::Display(_error),
                        );
                    }
                },
            )
            .await
    })
}
