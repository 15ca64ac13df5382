//! ```text
//! #[traced(min = "1us", err)]
//! impl<T> fmt::Display for Vec2<T> {
//!     const N: usize = { 1 };
//!     type Out = u8;
//!     const fn left_out() {}
//!     #[traced(skip)]
//!     fn skipped(&self) {}
//!     #[exectrace::traced(name = "own")]
//!     async fn own(&self) {}
//!     fn inherits(&self) -> fmt::Result { Ok(()) }
//!     fn nothing(&self) {}
//!     some_macro! { fn not_a_fn() {} }
//! }
//! ```

impl<T> fmt::Display for Vec2<T> {
    const N: usize = { 1 };
    type Out = u8;
    const fn left_out() {}
    #[traced(skip)]
    fn skipped(&self) {}
    #[exectrace::traced(skip)]
    async fn own(&self) {
        let _future = {
            static __SITE: ::exectrace::__private::Callsite = ::exectrace::__private::Callsite::new(
                ::exectrace::__private::CallsiteKind::Future,
                "own",
                ::exectrace::__private::core::module_path!(),
                "src/lib.rs",
                1u32,
                1u32,
                0u64,
                &[],
            );
            ::exectrace::__private::register!(__SITE);
            ::exectrace::__private::FutureGuard::begin(&__SITE)
        };
        ::exectrace::__private::FutureGuard::wrap(
                _future,
                async move {
                    if let ::exectrace::__private::core::option::Option::Some(_output) = ::exectrace::__private::core::option::Option::None::<
                        (),
                    > {
                        return _output;
                    }
                },
            )
            .await
    }
    fn inherits(&self) -> fmt::Result {
        let mut _region = {
            static __SITE: ::exectrace::__private::Callsite = ::exectrace::__private::Callsite::new(
                ::exectrace::__private::CallsiteKind::Function,
                "<Vec2 as Display>::inherits",
                ::exectrace::__private::core::module_path!(),
                "src/lib.rs",
                1u32,
                1u32,
                1000u64,
                &[],
            );
            ::exectrace::__private::register!(__SITE);
            ::exectrace::__private::enter(&__SITE)
        };
        let _value = ::exectrace::__private::core::option::Option::unwrap_or_else(
            ::exectrace::__private::core::option::Option::None,
            move || -> fmt::Result { Ok(()) },
        );
        if let ::exectrace::__private::core::result::Result::Err(_error) = &_value {
            ::exectrace::__private::Region::failed(
                &mut _region,
                ::exectrace::__private::Value::Display(_error),
            );
        }
        _value
    }
    fn nothing(&self) {
        let _region = {
            static __SITE: ::exectrace::__private::Callsite = ::exectrace::__private::Callsite::new(
                ::exectrace::__private::CallsiteKind::Function,
                "<Vec2 as Display>::nothing",
                ::exectrace::__private::core::module_path!(),
                "src/lib.rs",
                1u32,
                1u32,
                1000u64,
                &[],
            );
            ::exectrace::__private::register!(__SITE);
            ::exectrace::__private::enter(&__SITE)
        };
    }
    some_macro! {
        fn not_a_fn() {}
    }
}
