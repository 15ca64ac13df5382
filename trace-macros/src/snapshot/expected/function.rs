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
            ::core::module_path!(),
            "src/lib.rs",
            1u32,
            1u32,
            0u64,
            &[],
        );
        ::exectrace::__private::register!(__SITE);
        ::exectrace::__private::enter(&__SITE)
    };
    x + y
}
