//! ```text
//! #[traced()]
//! fn get(x: u8) -> impl Future<Output = u8> { ready(x) }
//! ```

fn get(x: u8) -> impl Future<Output = u8> {
    let _made = ::exectrace::__private::core::option::Option::unwrap_or_else(
        ::exectrace::__private::core::option::Option::None,
        move || -> _ { ready(x) },
    );
    ::exectrace::__private::FutureGuard::deferred(
        {
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
            &__SITE
        },
        _made,
    )
}
