//! ```text
//! #[traced()]
//! async fn serve() -> ! { loop { accept().await } }
//! ```

async fn serve() -> ! {
    let _future = {
        static __SITE: ::exectrace::__private::Callsite = ::exectrace::__private::Callsite::new(
            ::exectrace::__private::CallsiteKind::Future,
            "serve",
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
    match ::exectrace::__private::FutureGuard::wrap(
            _future,
            async move {
                if let ::core::option::Option::Some(_output) = ::core::option::Option::None::<
                    ::core::convert::Infallible,
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
