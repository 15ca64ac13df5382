//! ```text
//! #[traced()]
//! async fn get(&self, mut id: u64) -> Result<Row, E> { id += 1; self.at(id).await? }
//! ```

async fn get(&self, mut id: u64) -> Result<Row, E> {
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
                true,
            );
        ::exectrace::__private::register!(__SITE);
        ::exectrace::__private::FutureGuard::begin(&__SITE)
    };
    ::exectrace::__private::FutureGuard::wrap(
            _future,
            async move {
                if let ::exectrace::__private::core::option::Option::Some(_output) = ::exectrace::__private::core::option::Option::None::<
                    Result<Row, E>,
                > {
                    return _output;
                }
                id += 1;
                self.at(id).await?
            },
        )
        .await
}
