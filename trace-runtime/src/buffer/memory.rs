//! Allocation of batches: one bound for the process, and a few spares per thread.
//!
//! A batch that the collector is done with goes back to its thread as a *spare*, still in the
//! caches and the page tables. Invariants:
//!
//! - **M1** A spare's slot holds the only pointer to it; the thread that exchanges the pointer out
//!   owns it.
//! - **M2** The sum of the capacities of all live batches never exceeds the bound.
//!
//! May contain `unsafe`: spares are owned through raw pointers.

use crate::base::primitive::global::AtomicUsize as GlobalUsize;
use crate::base::primitive::{AtomicPtr, Ordering};
use crate::buffer::arena::{self, Arena};
use crate::buffer::batch::Batch;
use std::ptr;

/// Bytes of the smallest batch and of the largest; with their overhead 4 and 64 KiB.
pub(crate) const BATCH_BYTES_MIN: usize = if cfg!(exectrace_loom) { 400 } else { 3 * 1024 };
/// See [`BATCH_BYTES_MIN`]. The commit word's 16 bits allow no more.
pub(crate) const BATCH_BYTES_MAX: usize = if cfg!(exectrace_loom) { 400 } else { 63 * 1024 };
/// Minimum number of batches that fit the bound; the largest batch is made smaller for that, so
/// that one thread can't take all memory.
const BATCHES_MIN: usize = 32;
/// Bytes that a batch takes in addition to its events, rounded up.
const BATCH_OVERHEAD: usize = 1024;

/// Maximum number of spares of a thread: at full speed the collector wakes every few batches, so
/// this many are on their way.
const SPARES: usize = if cfg!(exectrace_loom) { 1 } else { 32 };

/// The process's bound, in bytes.
#[derive(Debug)]
pub(crate) struct BatchBudget {
    used: GlobalUsize,
    used_max: GlobalUsize,
    bound: GlobalUsize,
    batch_bytes_max: GlobalUsize,
}

/// Counts all batches of the process, also those of a stopped trace whose threads have not released
/// them yet.
pub(crate) static BUDGET: BatchBudget = BatchBudget {
    used: GlobalUsize::new(0),
    used_max: GlobalUsize::new(0),
    bound: GlobalUsize::new(usize::MAX),
    batch_bytes_max: GlobalUsize::new(BATCH_BYTES_MAX),
};

impl BatchBudget {
    /// Sets the bound of a trace that begins.
    pub(crate) fn begin(&self, bound: usize) {
        self.bound.store(bound, Ordering::Relaxed);
        let batch = (bound / BATCHES_MIN).clamp(BATCH_BYTES_MIN, BATCH_BYTES_MAX);
        self.batch_bytes_max.store(batch, Ordering::Relaxed);
        self.used_max.store(self.used.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// In a forked child: the parent's batches are copies that are never freed.
    pub(crate) fn forget(&self) {
        self.used.store(0, Ordering::Relaxed);
    }

    /// The most bytes in use since [`BatchBudget::begin`].
    pub(crate) fn used_max(&self) -> usize {
        self.used_max.load(Ordering::Relaxed)
    }

    /// Bytes of the largest batch, apart from a batch for one large event.
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

/// Frees a batch.
///
/// # Safety
/// `batch` came from [`allocate`], the caller owns it, and there is no other pointer to it.
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
        // SAFETY: `unmake` wants an owned batch of a live arena: the caller's promise, and an arena
        // lives as long as its batches.
        unsafe { Arena::unmake(arena, batch) };
    }
    BUDGET.release(capacity + BATCH_OVERHEAD);
}

/// Batches in a model, in boxes, whose leaks loom finds.
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
    use crate::buffer::batch::Batch;
    use crate::buffer::front::Front;

    fn bytes_of(capacity: usize) -> usize {
        size_of::<Batch>() + size_of::<Front>() + capacity
    }

    pub(super) fn make(capacity: usize) -> Option<*mut Batch> {
        let place: *mut Batch = pages::map(bytes_of(capacity))?.cast();
        // SAFETY: `add` stays inside the pages, which have room for the batch, its front and bytes.
        let front = unsafe { place.add(1) }.cast::<Front>();
        // SAFETY: `at` wants zeroed memory that no other code uses: it is the rest of the pages,
        // and both types are aligned to words.
        let batch = unsafe { Batch::at(front, capacity) };
        // SAFETY: the pages are writable, aligned, and ours alone.
        unsafe { place.write(batch) };
        Some(place)
    }

    /// # Safety
    /// `batch` came from [`make`], and is the caller's.
    pub(super) unsafe fn unmake(batch: *mut Batch) {
        // SAFETY: a shared reference wants a live batch: the caller's promise.
        let capacity = unsafe { &*batch }.capacity();
        // SAFETY: `unmap` wants pages from `map` with this many bytes, owned and unused: the
        // contents of a batch need no drop.
        unsafe { pages::unmap(batch.cast(), bytes_of(capacity)) };
    }
}

/// Zeroed memory in whole pages, not from the program's allocator: the event may come from inside
/// the allocator, while it holds a lock, or from a signal handler that has interrupted it.
#[cfg(all(unix, not(miri)))]
pub(crate) mod pages {
    use crate::sys::errno;
    use std::ptr;

    /// Bytes left to the program and the collector: a small allocation of theirs that fails ends
    /// the program.
    const LEFT_BYTES: usize = 1 << 20;

    /// Pages for `bytes`; `None` if the system has no memory, or too little would be left.
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

    /// Whether the system has [`LEFT_BYTES`].
    fn is_some_left() -> bool {
        // Mapped without access, so that in a program that locks its memory the pages are not
        // filled.
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
    /// The pages came from [`map`] with this many bytes, are the caller's, and are not used any
    /// more.
    pub(crate) unsafe fn unmap(start: *mut u8, bytes: usize) {
        errno::keeping(|| {
            // SAFETY: `munmap` wants a mapping that nobody uses: the caller's promise.
            unsafe { libc::munmap(start.cast(), bytes) };
        });
    }
}

/// Zeroed memory in whole pages, from the allocator: on these systems no signal handler interrupts
/// it. Miri can't map pages without access, and reports allocations that are never freed.
#[cfg(any(not(unix), miri))]
pub(crate) mod pages {
    use std::alloc::{Layout, alloc_zeroed, dealloc};

    const PAGE_BYTES: usize = 4096;

    fn layout(bytes: usize) -> Option<Layout> {
        Layout::from_size_align(bytes.next_multiple_of(PAGE_BYTES), PAGE_BYTES).ok()
    }

    /// Pages for `bytes`; `None` if the allocator has none.
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

/// The spare batches of one thread.
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
            // Most slots are empty, and a load does not take their cache line from others.
            if slot.load(Ordering::Relaxed).is_null() {
                return None;
            }
            // `Acquire` pairs with the `Release` in `give`: the collector's reads are over (M1).
            let batch = slot.swap(ptr::null_mut(), Ordering::Acquire);
            (!batch.is_null()).then_some(batch)
        })
    }

    /// Puts a batch of the caller's here. Returns it as `Err` if there is no room, or if new
    /// batches come from another arena by now.
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

    /// Frees all but at most `keep` spares. Returns whether it freed any.
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

    /// Frees the spares of another arena than the one that new batches come from.
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
