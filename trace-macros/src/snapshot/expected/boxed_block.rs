//! ```text
//! #[traced(args(x))]
//! fn get<'a>(&'a self, x: u8) -> Pin<Box<dyn Future<Output = u8> + Send + 'a>> { let y = x; Box::pin(async move { self.at(y).await }) }
//! ```

fn get<'a>(&'a self, x: u8) -> Pin<Box<dyn Future<Output = u8> + Send + 'a>> {
    let y = x;
    Box::pin(async move {
        let _future = {
            static __SITE: ::exectrace::__private::Callsite = ::exectrace::__private::Callsite::new(
                ::exectrace::__private::CallsiteKind::Future,
                "get",
                ::core::module_path!(),
                "src/lib.rs",
                1u32,
                1u32,
                0u64,
                &[
                    ::exectrace::__private::ArgumentName::new(
                        "x",
                        ::exectrace::__private::ArgumentKind::Typed,
                    ),
                ],
            );
            ::exectrace::__private::register!(__SITE);
            if __SITE.is_live() {
                ::exectrace::__private::FutureGuard::begin_args(
                    &__SITE,
                    &[::exectrace::__private::Argument::value(&(x))],
                )
            } else {
                ::exectrace::__private::FutureGuard::begin(&__SITE)
            }
        };
        ::exectrace::__private::FutureGuard::wrap(
                _future,
                async move {
                    if let ::core::option::Option::Some(_output) = ::core::option::Option::None::<
                        u8,
                    > {
                        return _output;
                    }
                    self.at(y).await
                },
            )
            .await
    })
}
