//! Where batches come from and go to: one bound for the process, and a few spares per thread.
//!
//! A batch the collector is done with goes back to its thread as a *spare*, warm in the caches and
//! in the page tables. Invariants:
//!
//! - **M1** A spare's slot holds the only pointer to it; who exchanges it out owns it.
//! - **M2** The sum of the capacities of all batches alive never exceeds the bound.
//!
//! May contain `unsafe`: spares are owned through raw pointers.

use crate::base::primitive::global::AtomicUsize as GlobalUsize;
use crate::base::primitive::{AtomicPtr, Ordering};
use crate::buffer::arena::{self, Arena};
use crate::buffer::batch::Batch;
use std::ptr;

/// Bytes of the smallest batch and of the largest; with what surrounds them, 4 and 64 KiB.
pub(crate) const BATCH_BYTES_MIN: usize = if cfg!(exectrace_loom) { 400 } else { 3 * 1024 };
/// See [`BATCH_BYTES_MIN`]. The commit word's 16 bits reach just so far.
pub(crate) const BATCH_BYTES_MAX: usize = if cfg!(exectrace_loom) { 400 } else { 63 * 1024 };
/// The bound is at least so many of the largest batches, or batches are smaller: one busy thread is
/// not to take it all.
const BATCHES_MIN: usize = 32;
/// What a batch takes beside its events, rounded up.
const BATCH_OVERHEAD: usize = 1024;

/// Spares a thread can have: at full speed the collector wakes every few batches, so this many are
/// on their way.
const SPARES: usize = if cfg!(exectrace_loom) { 1 } else { 32 };

/// The process's bound, in bytes.
#[derive(Debug)]
pub(crate) struct Budget {
    used: GlobalUsize,
    used_max: GlobalUsize,
    bound: GlobalUsize,
    batch_bytes_max: GlobalUsize,
}

/// All batches of the process are counted here, also those of a stopped trace whose threads have
/// not noticed yet.
pub(crate) static BUDGET: Budget = Budget {
    used: GlobalUsize::new(0),
    used_max: GlobalUsize::new(0),
    bound: GlobalUsize::new(usize::MAX),
    batch_bytes_max: GlobalUsize::new(BATCH_BYTES_MAX),
};

impl Budget {
    /// A new trace begins with this bound.
    pub(crate) fn begin(&self, bound: usize) {
        self.bound.store(bound, Ordering::Relaxed);
        let batch = (bound / BATCHES_MIN).clamp(BATCH_BYTES_MIN, BATCH_BYTES_MAX);
        self.batch_bytes_max.store(batch, Ordering::Relaxed);
        self.used_max.store(self.used.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// In a forked child: the parent's batches are copies that nobody will ever free.
    pub(crate) fn forget(&self) {
        self.used.store(0, Ordering::Relaxed);
    }

    /// The most bytes in use since [`Budget::begin`].
    pub(crate) fn used_max(&self) -> usize {
        self.used_max.load(Ordering::Relaxed)
    }

    /// Bytes of the largest batch, save for one that a large event needs.
    pub(crate) fn batch_bytes_max(&self) -> usize {
        self.batch_bytes_max.load(Ordering::Relaxed)
    }

    fn reserve(&self, bytes: usize) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > self.bound.load(Ordering::Relaxed) {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.used_max.fetch_max(before + bytes, Ordering::Relaxed);
        true
    }

    fn release(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A new batch within the bound (M2), of `capacity` bytes of events.
pub(crate) fn allocate(capacity: usize) -> Option<*mut Batch> {
    if !BUDGET.reserve(capacity + BATCH_OVERHEAD) {
        return None;
    }
    let batch = arena::with_current(|arena| arena.make(capacity));
    let batch = batch.unwrap_or_else(|| place::make(capacity));
    if batch.is_none() {
        BUDGET.release(capacity + BATCH_OVERHEAD);
    }
    batch
}

/// Ends a batch's life.
///
/// # Safety
/// `batch` came from [`allocate`], the caller owns it, and nobody else has a pointer to it.
pub(crate) unsafe fn free(batch: *mut Batch) {
    // SAFETY: a shared reference wants a live batch: the caller's promise.
    let capacity = unsafe { &*batch }.capacity();
    // SAFETY: as above.
    let arena = unsafe { &*batch }.arena;
    if arena.is_null() {
        // SAFETY: `unmake` wants an owned batch from `make`: the caller's promise, and it is in no
        // arena.
        unsafe { place::unmake(batch) };
    } else {
        // SAFETY: `unmake` wants an owned batch of a living arena: the caller's promise, and an
        // arena lives as long as its batches.
        unsafe { Arena::unmake(arena, batch) };
    }
    BUDGET.release(capacity + BATCH_OVERHEAD);
}

/// Batches in a model: loom looks for leaks of boxes.
#[cfg(exectrace_loom)]
mod place {
    use crate::buffer::batch::Batch;

    pub(super) fn make(capacity: usize) -> Option<*mut Batch> {
        Batch::new(capacity).map(Box::into_raw)
    }

    /// # Safety
    /// `batch` came from [`make`], and is the caller's.
    pub(super) unsafe fn unmake(batch: *mut Batch) {
        // SAFETY: `from_raw` wants a pointer from `into_raw`, owned: the caller's promise.
        drop(unsafe { Box::from_raw(batch) });
    }
}

/// Batches in pages of their own, with their bytes behind them.
#[cfg(not(exectrace_loom))]
mod place {
    use super::pages;
    use crate::buffer::batch::{Batch, Front};

    fn bytes_of(capacity: usize) -> usize {
        size_of::<Batch>() + size_of::<Front>() + capacity
    }

    pub(super) fn make(capacity: usize) -> Option<*mut Batch> {
        let place: *mut Batch = pages::map(bytes_of(capacity))?.cast();
        // SAFETY: `add` stays inside the pages, which have room for the batch, its front and bytes.
        let front = unsafe { place.add(1) }.cast::<Front>();
        // SAFETY: `at` wants zeroed memory of nobody else's: it is the rest of the pages, and both
        // types are aligned to words.
        let batch = unsafe { Batch::at(front, capacity) };
        // SAFETY: the pages are writable, aligned, and nobody else's.
        unsafe { place.write(batch) };
        Some(place)
    }

    /// # Safety
    /// `batch` came from [`make`], and is the caller's.
    pub(super) unsafe fn unmake(batch: *mut Batch) {
        // SAFETY: a shared reference wants a live batch: the caller's promise.
        let capacity = unsafe { &*batch }.capacity();
        // SAFETY: `unmap` wants pages from `map` with this many bytes, owned and unused: what is in
        // a batch needs no drop.
        unsafe { pages::unmap(batch.cast(), bytes_of(capacity)) };
    }
}

/// Zeroed memory in whole pages, not from the program's allocator: what is recorded may come from
/// within that, while it holds a lock, or from a signal handler that has interrupted it.
#[cfg(all(unix, not(miri)))]
pub(crate) mod pages {
    use crate::sys::errno;
    use std::ptr;

    /// What is left to everybody else. Small allocations, the program's and the collector's, end
    /// the program where they are refused.
    const LEFT_BYTES: usize = 1 << 20;

    /// Pages for so many bytes; `None` if the system has none, or little more than that.
    pub(crate) fn map(bytes: usize) -> Option<*mut u8> {
        errno::keeping(|| {
            let start = map_as(bytes, libc::PROT_READ | libc::PROT_WRITE)?;
            if !is_some_left() {
                // SAFETY: `munmap` wants a mapping that nobody uses: it was made just now.
                unsafe { libc::munmap(start.cast(), bytes) };
                return None;
            }
            Some(start)
        })
    }

    /// Whether the system has as much as is left to everybody else.
    fn is_some_left() -> bool {
        // Asked for without access, so that a program that locks its memory does not get it.
        let Some(left) = map_as(LEFT_BYTES, libc::PROT_NONE) else { return false };
        // SAFETY: `munmap` wants a mapping that nobody uses: it was made just now.
        unsafe { libc::munmap(left.cast(), LEFT_BYTES) };
        true
    }

    fn map_as(bytes: usize, access: libc::c_int) -> Option<*mut u8> {
        let kind = libc::MAP_PRIVATE | libc::MAP_ANON;
        // SAFETY: a new mapping, wherever the kernel likes, touches nobody's memory.
        let start = unsafe { libc::mmap(ptr::null_mut(), bytes, access, kind, -1, 0) };
        (start != libc::MAP_FAILED).then_some(start.cast())
    }

    /// # Safety
    /// The pages came from [`map`] with this many bytes, are the caller's, and nobody uses them.
    pub(crate) unsafe fn unmap(start: *mut u8, bytes: usize) {
        errno::keeping(|| {
            // SAFETY: `munmap` wants a mapping that nobody uses: the caller's promise.
            unsafe { libc::munmap(start.cast(), bytes) };
        });
    }
}

/// Zeroed memory in whole pages. There are no signal handlers that interrupt an allocator here.
/// Miri cannot map pages without access, and reports allocations that are never freed.
#[cfg(any(not(unix), miri))]
pub(crate) mod pages {
    use std::alloc::{Layout, alloc_zeroed, dealloc};

    const PAGE_BYTES: usize = 4096;

    fn layout(bytes: usize) -> Option<Layout> {
        Layout::from_size_align(bytes.next_multiple_of(PAGE_BYTES), PAGE_BYTES).ok()
    }

    /// Pages for so many bytes; `None` if the allocator has none.
    pub(crate) fn map(bytes: usize) -> Option<*mut u8> {
        let layout = layout(bytes).filter(|layout| layout.size() > 0)?;
        // SAFETY: `alloc_zeroed` wants a layout that is not empty.
        let start = unsafe { alloc_zeroed(layout) };
        (!start.is_null()).then_some(start)
    }

    /// # Safety
    /// The pages came from [`map`] with this many bytes, are the caller's, and nobody uses them.
    pub(crate) unsafe fn unmap(start: *mut u8, bytes: usize) {
        if let Some(layout) = layout(bytes) {
            // SAFETY: `dealloc` wants what `alloc_zeroed` gave, with its layout: the caller's
            // promise.
            unsafe { dealloc(start, layout) };
        }
    }
}

/// Batches on their way back to one thread.
#[derive(Debug)]
pub(crate) struct Spares {
    slots: [AtomicPtr<Batch>; SPARES],
}

impl Spares {
    pub(crate) fn new() -> Self {
        Self { slots: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())) }
    }

    /// One of them, now the caller's.
    pub(crate) fn take(&self) -> Option<*mut Batch> {
        self.slots.iter().find_map(|slot| {
            // Most slots are empty; a plain load leaves their cache line alone.
            if slot.load(Ordering::Relaxed).is_null() {
                return None;
            }
            // `Acquire` pairs with the `Release` in `give`: the collector's reads are over (M1).
            let batch = slot.swap(ptr::null_mut(), Ordering::Acquire);
            (!batch.is_null()).then_some(batch)
        })
    }

    /// Puts back a batch the caller owns, or hands it back if there is no room, or if new batches
    /// come from elsewhere by now.
    pub(crate) fn give(&self, batch: *mut Batch) -> Result<(), *mut Batch> {
        // SAFETY: a shared reference wants a live batch: it is the caller's.
        if !arena::serves(unsafe { &*batch }.arena) {
            return Err(batch);
        }
        for slot in &self.slots {
            let empty = ptr::null_mut();
            let order = (Ordering::Release, Ordering::Relaxed);
            if slot.compare_exchange(empty, batch, order.0, order.1).is_ok() {
                return Ok(());
            }
        }
        Err(batch)
    }

    /// Frees all but `keep` of them. Whether there were any.
    pub(crate) fn trim(&self, keep: usize) -> bool {
        let mut freed = false;
        for slot in &self.slots[keep..] {
            let batch = slot.swap(ptr::null_mut(), Ordering::Acquire);
            if !batch.is_null() {
                // SAFETY: `free` wants an owned batch from `allocate`: only such are given, and the
                // swap has made it ours (M1).
                unsafe { free(batch) };
                freed = true;
            }
        }
        freed
    }

    /// Frees those that are not from where new batches come from by now.
    pub(crate) fn renew(&self) {
        for slot in &self.slots {
            let batch = slot.swap(ptr::null_mut(), Ordering::Acquire);
            if batch.is_null() {
                continue;
            }
            if let Err(batch) = self.give(batch) {
                // SAFETY: `free` wants an owned batch from `allocate`: as in `trim` (M1).
                unsafe { free(batch) };
            }
        }
    }
}

impl Drop for Spares {
    fn drop(&mut self) {
        self.trim(0);
    }
}

#[cfg(all(test, target_os = "linux", not(exectrace_loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_allocator_that_has_no_more_gives_no_batch_and_does_not_end_the_program() {
        if !crate::alone::is_alone(
            module_path!(),
            "an_allocator_that_has_no_more_gives_no_batch_and_does_not_end_the_program",
        ) {
            return;
        }
        let limit = libc::rlimit { rlim_cur: 256 << 20, rlim_max: 256 << 20 };
        // SAFETY: `setrlimit` wants a limit.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) }, 0);
        let mut batches = Vec::with_capacity(1 << 16);
        while let Some(batch) = allocate(BATCH_BYTES_MAX) {
            batches.push(batch);
        }
        assert!((1..1 << 16).contains(&batches.len()), "{} batches", batches.len());
        for batch in batches {
            // SAFETY: `free` wants an owned batch from `allocate`.
            unsafe { free(batch) };
        }
        assert_eq!(BUDGET.used.load(Ordering::Relaxed), 0);
    }
}
