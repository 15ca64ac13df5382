//! The twin of the recorder's allocator for `heap` off: it only passes calls on.
//!
//! May contain `unsafe`: implementing an allocator is.

use std::alloc::{GlobalAlloc, Layout, System};

/// A global allocator that would count and sample if the feature `heap` were on; here it is only
/// the inner allocator.
///
/// ```
/// #[global_allocator]
/// static HEAP: exectrace::Heap = exectrace::Heap::system();
/// # fn main() { assert_eq!(vec![7; 7].len(), 7); }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Heap<A = System> {
    inner: A,
}

impl Heap {
    /// Wraps the system's allocator.
    #[must_use]
    pub const fn system() -> Self {
        Self { inner: System }
    }
}

impl<A> Heap<A> {
    /// Wraps another allocator.
    #[must_use]
    pub const fn over(inner: A) -> Self {
        Self { inner }
    }
}

// SAFETY: `GlobalAlloc` wants no unwinding, and blocks as their layouts say: it is the inner
// allocator that is asked, and that answers.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Heap<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: our caller promises what the inner allocator wants.
        unsafe { self.inner.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: our caller promises what the inner allocator wants.
        unsafe { self.inner.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: our caller promises what the inner allocator wants.
        unsafe { self.inner.dealloc(block, layout) };
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // SAFETY: our caller promises what the inner allocator wants.
        unsafe { self.inner.realloc(block, layout, bytes) }
    }
}
