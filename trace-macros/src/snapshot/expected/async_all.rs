//! ```text
//! #[traced(args(%id), ret, err, task)]
//! async fn get(id: u64) -> Result<Row, E> { at(id).await }
//! ```

async fn get(id: u64) -> Result<Row, E> {
    let _future = {
        let _site: &::exectrace::__private::Callsite = {
            static __SITE: ::exectrace::__private::Callsite = ::exectrace::__private::Callsite::new(
                    ::exectrace::__private::CallsiteKind::Task,
                    "get",
                    ::exectrace::__private::core::module_path!(),
                    "src/lib.rs",
                    1u32,
                    1u32,
                    0u64,
                    &[
                        ::exectrace::__private::ArgumentName::new(
                            "id",
                            ::exectrace::__private::ArgumentKind::Display,
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
                    false,
                );
            ::exectrace::__private::register!(__SITE);
            &__SITE
        };
        if _site.is_live() {
            ::exectrace::__private::FutureGuard::begin_task_args(
                _site,
                &[::exectrace::__private::Value::Display(&(id))],
            )
        } else {
            ::exectrace::__private::FutureGuard::begin_task(_site)
        }
    };
    ::exectrace::__private::FutureGuard::wrap_with(
            _future,
            async move {
                if let ::exectrace::__private::core::option::Option::Some(_output) = ::exectrace::__private::core::option::Option::None::<
                    Result<Row, E>,
                > {
                    return _output;
                }
                at(id).await
            },
            |_value, _end| {
                match _value {
                    ::exectrace::__private::core::result::Result::Ok(_okay) => {
                        ::exectrace::__private::FutureEnd::returned(
                            _end,
                            ::exectrace::__private::returned_value!(_okay),
                        )
                    }
                    ::exectrace::__private::core::result::Result::Err(_error) => {
                        ::exectrace::__private::FutureEnd::failed(
                            _end,
                            ::exectrace::__private::Value::Display(_error),
                        )
                    }
                }
            },
        )
        .await
}
