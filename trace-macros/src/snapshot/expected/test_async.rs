//! ```text
//! #[exectrace::test(name = "own")]
//! #[tokio::test]
//! async fn answers() { ask().await; }
//! ```

#[tokio::test]
async fn answers() {
    let _kept = ::exectrace::__private::KeptIfFailed::new("own");
    let _future = {
        static __SITE: ::exectrace::__private::Callsite = ::exectrace::__private::Callsite::new(
            ::exectrace::__private::CallsiteKind::Task,
            "own",
            ::exectrace::__private::core::module_path!(),
            "src/lib.rs",
            1u32,
            1u32,
            0u64,
            &[],
        );
        ::exectrace::__private::register!(__SITE);
        ::exectrace::__private::FutureGuard::begin_task(&__SITE)
    };
    ::exectrace::__private::FutureGuard::wrap(
            _future,
            async move {
                if let ::exectrace::__private::core::option::Option::Some(_output) = ::exectrace::__private::core::option::Option::None::<
                    (),
                > {
                    return _output;
                }
                ask().await;
            },
        )
        .await
}
