//! ```text
//! #[traced()]
//! /// Adds.
//! #[inline]
//! pub fn add<T: Add>(x: T, y: T) -> T where T: Copy { x + y }
//! ```

/// Adds.
#[inline]
pub fn add<T: Add>(x: T, y: T) -> T
where
    T: Copy,
{
    let _region = {
        static __SITE: ::exectrace::__private::Callsite = ::exectrace::__private::Callsite::new(
                ::exectrace::__private::CallsiteKind::Function,
                "add",
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
        ::exectrace::__private::enter(&__SITE)
    };
    x + y
}
