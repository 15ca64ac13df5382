//! ```text
//! #[traced(args(x))]
//! fn get<'a>(&'a self, x: u8) -> Pin<Box<dyn Future<Output = u8> + Send + 'a>> { let y = x; Box::pin(async move { self.at(y).await }) }
//! ```

fn get<'a>(&'a self, x: u8) -> Pin<Box<dyn Future<Output = u8> + Send + 'a>> {
    let y = x;
    Box::pin(async move {
        let _future = {
            let _site: &::exectrace::__private::Callsite = {
                static __SITE: ::exectrace::__private::Callsite = ::exectrace::__private::Callsite::new(
                        ::exectrace::__private::CallsiteKind::Future,
                        "get",
                        ::exectrace::__private::core::module_path!(),
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
                    )
                    .inside(
                        {
                            fn path() -> &'static ::exectrace::__private::core::primitive::str {
                                ::exectrace::__private::core::any::type_name_of_val(&path)
                            }
                            path
                        },
                        true,
                    );
                ::exectrace::__private::register!(__SITE);
                &__SITE
            };
            if _site.is_live() {
                ::exectrace::__private::FutureGuard::begin_args(
                    _site,
                    &[::exectrace::__private::Argument::value(&(x))],
                )
            } else {
                ::exectrace::__private::FutureGuard::begin(_site)
            }
        };
        ::exectrace::__private::FutureGuard::wrap(
                _future,
                async move {
                    if let ::exectrace::__private::core::option::Option::Some(_output) = ::exectrace::__private::core::option::Option::None::<
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
