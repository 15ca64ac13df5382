//! The allocator that counts and samples, around any other allocator.
//!
//! It passes each call on to the other allocator unchanged, returns that one's result, and counts
//! in addition. A block is forgotten before it is freed, as its address may be given out again at
//! once.
//!
//! May contain `unsafe`: an allocator is.

use super::sample;
use std::alloc::{GlobalAlloc, Layout, System};

/// A global allocator that counts what the program allocates and frees, and samples it while a
/// trace runs.
///
/// ```
/// # use trace_runtime as exectrace;
/// #[global_allocator]
/// static HEAP: exectrace::Heap = exectrace::Heap::system();
/// # fn main() { assert_eq!(vec![7; 7].len(), 7); }
/// ```
///
/// The trace then has live bytes and allocations over time, and sampled allocations with their
/// stacks: each allocated byte has the same chance to be sampled, one in 512 KiB
/// (`Options::heap_sample_bytes`). Sizes are the requested ones. A block that is reallocated counts
/// as freed and allocated anew, even if it stays in place.
///
/// Only the program's heap is counted, not what the recorder allocates for itself, nor what the
/// trace's writer allocates on the recorder's thread. Two of these allocators around each other
/// count twice.
///
/// It takes no lock, and allocates nothing for itself while it counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heap<A = System> {
    inner: A,
}

impl Heap {
    /// Around the system's allocator.
    #[must_use]
    pub const fn system() -> Self {
        Self { inner: System }
    }
}

impl<A> Heap<A> {
    /// Around another allocator.
    #[must_use]
    pub const fn over(inner: A) -> Self {
        Self { inner }
    }
}

// SAFETY: `GlobalAlloc` wants no unwinding, and blocks that fit their layouts: they come from the
// inner allocator, which gets the same requests. The counting does not panic.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Heap<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: our caller promises what the inner allocator wants.
        let block = unsafe { self.inner.alloc(layout) };
        if !block.is_null() {
            sample::allocated(block.addr(), layout.size());
        }
        block
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: our caller promises what the inner allocator wants.
        let block = unsafe { self.inner.alloc_zeroed(layout) };
        if !block.is_null() {
            sample::allocated(block.addr(), layout.size());
        }
        block
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        sample::freeing(block.addr(), layout.size());
        // SAFETY: our caller promises what the inner allocator wants.
        unsafe { self.inner.dealloc(block, layout) };
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        let mark = sample::take(block.addr());
        // SAFETY: our caller promises what the inner allocator wants.
        let moved = unsafe { self.inner.realloc(block, layout, bytes) };
        if moved.is_null() {
            sample::put_back(mark, block.addr(), layout.size());
        } else {
            sample::gone(mark, layout.size());
            sample::allocated(moved.addr(), bytes);
        }
        moved
    }
}
