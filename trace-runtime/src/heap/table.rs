//! A table of single blocks of memory, by address: those that are sampled, and those that are the
//! recorder's own.
//!
//! Hardly any block is in the table, but each block that is freed is looked up. So a filter comes
//! first: it counts the entries of each page; the counts of neighbouring pages are neighbours, like
//! the blocks that a program frees. The table has a fixed number of entries. An address may be in a
//! short window of them, which is always searched as a whole, so nothing has to be moved or marked
//! when an entry is taken out.
//!
//! The protocol relies on a promise of allocators: a block has one owner, and its address is not
//! given out again before it is freed. So the operations on one address are in one order; only
//! those on different addresses can run at the same time. Invariants:
//!
//! - **H1** From the end of `insert` to the begin of `remove`, the address is in one entry with
//!   its mark, and its page counts it.
//! - **H2** Only the thread that exchanged an entry's address from 0 writes the entry, until 0 is
//!   stored.
//!
//! It takes no lock and allocates nothing; the window bounds the time of a search.

use crate::base::primitive::{AtomicU16, AtomicU64, AtomicUsize, Ordering};
#[cfg(exectrace_loom)]
use std::array;

/// Number of entries in which an address may be.
const WINDOW: usize = if cfg!(exectrace_loom) { 2 } else { 16 };

/// The logarithm of the bytes of a page.
const PAGE_BITS: u32 = 12;

/// `ENTRIES` addresses, each with a mark, and `CELLS` counts of pages. Both are powers of two.
#[derive(Debug)]
pub(crate) struct BlockTable<const ENTRIES: usize, const CELLS: usize> {
    cells: [AtomicU16; CELLS],
    entries: [BlockEntry; ENTRIES],
}

#[derive(Debug)]
struct BlockEntry {
    /// 0 if it is free.
    address: AtomicUsize,
    mark: AtomicU64,
}

impl BlockEntry {
    #[cfg(not(exectrace_loom))]
    const fn new() -> Self {
        Self { address: AtomicUsize::new(0), mark: AtomicU64::new(0) }
    }

    #[cfg(exectrace_loom)]
    fn new() -> Self {
        Self { address: AtomicUsize::new(0), mark: AtomicU64::new(0) }
    }
}

impl<const ENTRIES: usize, const CELLS: usize> BlockTable<ENTRIES, CELLS> {
    /// An empty table.
    #[cfg(not(exectrace_loom))]
    pub(crate) const fn new() -> Self {
        const { assert!(ENTRIES.is_power_of_two() && CELLS.is_power_of_two()) };
        Self {
            cells: [const { AtomicU16::new(0) }; CELLS],
            entries: [const { BlockEntry::new() }; ENTRIES],
        }
    }

    /// An empty table.
    #[cfg(exectrace_loom)]
    pub(crate) fn new() -> Self {
        let entry = |_| BlockEntry::new();
        Self { cells: array::from_fn(|_| AtomicU16::new(0)), entries: array::from_fn(entry) }
    }

    /// False if the address is certainly not in the table; true if it is, or if another one with
    /// the same count is.
    #[inline(always)]
    pub(crate) fn may_hold(&self, address: usize) -> bool {
        // The caller owns the block, so its `insert` happened before (H1).
        self.cells[cell(address) % CELLS].load(Ordering::Relaxed) != 0
    }

    /// Adds a block that the caller owns and that is not in the table. Returns false if there is no
    /// room.
    pub(crate) fn insert(&self, address: usize, mark: u64) -> bool {
        let cell = &self.cells[cell(address) % CELLS];
        let counted =
            cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_add(1));
        if counted.is_err() {
            return false;
        }
        for entry in self.window(address) {
            if entry.address.load(Ordering::Relaxed) != 0 {
                continue;
            }
            // `Acquire` pairs with the `Release` in `remove`: the previous mark has been read (H2).
            let order = (Ordering::Acquire, Ordering::Relaxed);
            if entry.address.compare_exchange(0, address, order.0, order.1).is_ok() {
                entry.mark.store(mark, Ordering::Relaxed);
                return true;
            }
        }
        cell.fetch_sub(1, Ordering::Relaxed);
        false
    }

    /// Takes out a block that the caller owns. Returns its mark, if it was in the table.
    pub(crate) fn remove(&self, address: usize) -> Option<u64> {
        let mut window = self.window(address);
        let entry = window.find(|entry| entry.address.load(Ordering::Relaxed) == address)?;
        let mark = entry.mark.load(Ordering::Relaxed);
        entry.address.store(0, Ordering::Release);
        self.cells[cell(address) % CELLS].fetch_sub(1, Ordering::Relaxed);
        Some(mark)
    }

    fn window(&self, address: usize) -> impl Iterator<Item = &BlockEntry> {
        // Fibonacci hashing: addresses are multiples of 16 and more.
        let first = (address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        (0..WINDOW).map(move |at| &self.entries[(first as usize + at) % ENTRIES])
    }
}

/// The page's number, with the high bits folded in that differ between threads' arenas.
#[inline(always)]
fn cell(address: usize) -> usize {
    address >> PAGE_BITS ^ address >> (PAGE_BITS + 14)
}
