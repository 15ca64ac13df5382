//! ```text
//! #[traced(args(%id), ret, err, task)]
//! async fn get(id: u64) -> Result<Row, E> { at(id).await }
//! ```

async fn get(id: u64) -> Result<Row, E> {
    let _future = {
        static __SITE: ::exectrace::__private::Callsite = ::exectrace::__private::Callsite::new(
            ::exectrace::__private::CallsiteKind::Task,
            "get",
            ::core::module_path!(),
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
        );
        ::exectrace::__private::register!(__SITE);
        if __SITE.is_live() {
            ::exectrace::__private::FutureGuard::begin_task_args(
                &__SITE,
                &[::exectrace::__private::Value::Display(&(id))],
            )
        } else {
            ::exectrace::__private::FutureGuard::begin_task(&__SITE)
        }
    };
    ::exectrace::__private::FutureGuard::wrap_with(
            _future,
            async move {
                if let ::core::option::Option::Some(_output) = ::core::option::Option::None::<
                    Result<Row, E>,
                > {
                    return _output;
                }
                at(id).await
            },
            |_value, _end| {
                match _value {
                    ::core::result::Result::Ok(_okay) => {
                        ::exectrace::__private::FutureEnd::returned(
                            _end,
                            ::exectrace::__private::returned_value!(_okay),
                        )
                    }
                    ::core::result::Result::Err(_error) => {
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
