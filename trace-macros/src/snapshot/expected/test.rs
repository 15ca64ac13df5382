//! ```text
//! #[exectrace::test()]
//! #[should_panic]
//! fn adds() -> Result<(), E> { add()? }
//! ```

#[test]
#[should_panic]
fn adds() -> Result<(), E> {
    let _task = {
        static __SITE: ::exectrace::__private::Callsite = ::exectrace::__private::Callsite::new(
            ::exectrace::__private::CallsiteKind::Task,
            ::exectrace::__private::core::concat!(
                ::exectrace::__private::core::module_path!(), "::", "adds"
            ),
            ::exectrace::__private::core::module_path!(),
            "src/lib.rs",
            1u32,
            1u32,
            0u64,
            &[],
        );
        ::exectrace::__private::register!(__SITE);
        ::exectrace::__private::enter_task(&__SITE)
    };
    add()?
}
