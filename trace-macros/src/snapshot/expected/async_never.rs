//! ```text
//! #[traced()]
//! async fn serve() -> ! { loop { accept().await } }
//! ```

async fn serve() -> ! {
    let _future = {
        static __SITE: ::exectrace::__private::Callsite = ::exectrace::__private::Callsite::new(
                ::exectrace::__private::CallsiteKind::Future,
                "serve",
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
    match ::exectrace::__private::FutureGuard::wrap(
            _future,
            async move {
                if let ::exectrace::__private::core::option::Option::Some(_output) = ::exectrace::__private::core::option::Option::None::<
                    ::exectrace::__private::core::convert::Infallible,
                > {
                    return _output;
                }
                loop {
                    accept().await
                }
            },
        )
        .await
    {}
}
