//! ```text
//! #[traced(err)]
//! fn get(x: u8) -> BoxFuture<'static, Result<u8, E>> { ready(x) }
//! ```

fn get(x: u8) -> BoxFuture<'static, Result<u8, E>> {
    let _made = ::core::option::Option::unwrap_or_else(
        ::core::option::Option::None,
        move || -> BoxFuture<'static, Result<u8, E>> { ready(x) },
    );
    ::std::boxed::Box::pin(async move {
        let _future = {
            static __SITE: ::exectrace::__private::Callsite = ::exectrace::__private::Callsite::new(
                ::exectrace::__private::CallsiteKind::Future,
                "get",
                ::core::module_path!(),
                "src/lib.rs",
                1u32,
                1u32,
                0u64,
                &[],
            );
            ::exectrace::__private::register!(__SITE);
            ::exectrace::__private::FutureGuard::begin(&__SITE)
        };
        ::exectrace::__private::FutureGuard::wrap_with(
                _future,
                _made,
                |_value, _end| {
                    if let ::core::result::Result::Err(_error) = _value {
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
