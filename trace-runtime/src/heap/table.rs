//! What is known of single blocks of memory, by their addresses: which are sampled, and which are
//! the recorder's own.
//!
//! Almost no block is in here, and every block that is freed asks. So a filter answers first: it
//! counts the entries of each page, and pages that lie beside each other have their counts beside
//! each other, as the blocks that a program frees have. The table itself is a fixed number of
//! entries; those an address may be in are a short window, always looked through as a whole, so
//! nothing has to be moved or marked when an entry is taken out.
//!
//! The protocol rests on what an allocator promises: a block has one owner, and its address is not
//! given out again before it is freed. So what happens to one address happens in one order;
//! only different addresses meet. Invariants:
//!
//! - **H1** From the end of `insert` to the begin of `remove`, the address is in one entry with
//!   its mark, and its page counts it.
//! - **H2** An entry is written by who exchanged its address from 0, until somebody stores 0.
//!
//! Without a lock, without memory of its own, without a bound on time but the window's.

use crate::base::primitive::{AtomicU16, AtomicU64, AtomicUsize, Ordering};
#[cfg(exectrace_loom)]
use std::array;

/// Entries that an address may be in.
const WINDOW: usize = if cfg!(exectrace_loom) { 2 } else { 16 };

/// One page has so many bytes, of which this is the logarithm.
const PAGE_BITS: u32 = 12;

/// `ENTRIES` addresses, each with a mark; counted by page in `CELLS`. Both are powers of two.
#[derive(Debug)]
pub(crate) struct Table<const ENTRIES: usize, const CELLS: usize> {
    cells: [AtomicU16; CELLS],
    entries: [Entry; ENTRIES],
}

#[derive(Debug)]
struct Entry {
    /// 0 if it is free.
    address: AtomicUsize,
    mark: AtomicU64,
}

impl<const ENTRIES: usize, const CELLS: usize> Table<ENTRIES, CELLS> {
    /// An empty one.
    #[cfg(not(exectrace_loom))]
    pub(crate) const fn new() -> Self {
        const { assert!(ENTRIES.is_power_of_two() && CELLS.is_power_of_two()) };
        Self {
            cells: [const { AtomicU16::new(0) }; CELLS],
            entries: [const { Entry { address: AtomicUsize::new(0), mark: AtomicU64::new(0) } };
                ENTRIES],
        }
    }

    /// An empty one.
    #[cfg(exectrace_loom)]
    pub(crate) fn new() -> Self {
        let entry = |_| Entry { address: AtomicUsize::new(0), mark: AtomicU64::new(0) };
        Self { cells: array::from_fn(|_| AtomicU16::new(0)), entries: array::from_fn(entry) }
    }

    /// False if the address is not in here; true if it is, or one of the same page.
    #[inline(always)]
    pub(crate) fn may_hold(&self, address: usize) -> bool {
        // Who asks owns the block, so its `insert` happened before (H1).
        self.cells[cell(address) % CELLS].load(Ordering::Relaxed) != 0
    }

    /// Notes `mark` for a block that the caller owns and that is not in here. False if there is no
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
            // `Acquire` pairs with the `Release` in `remove`: the mark before has been read (H2).
            let order = (Ordering::Acquire, Ordering::Relaxed);
            if entry.address.compare_exchange(0, address, order.0, order.1).is_ok() {
                entry.mark.store(mark, Ordering::Relaxed);
                return true;
            }
        }
        cell.fetch_sub(1, Ordering::Relaxed);
        false
    }

    /// Takes out a block that the caller owns; its mark, if it was in here.
    pub(crate) fn remove(&self, address: usize) -> Option<u64> {
        let mut window = self.window(address);
        let entry = window.find(|entry| entry.address.load(Ordering::Relaxed) == address)?;
        let mark = entry.mark.load(Ordering::Relaxed);
        entry.address.store(0, Ordering::Release);
        self.cells[cell(address) % CELLS].fetch_sub(1, Ordering::Relaxed);
        Some(mark)
    }

    fn window(&self, address: usize) -> impl Iterator<Item = &Entry> {
        // Fibonacci hashing: addresses are multiples of 16 and more.
        let first = (address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        (0..WINDOW).map(move |at| &self.entries[(first as usize + at) % ENTRIES])
    }
}

/// The page, with the high bits that tell one thread's arena from another's folded in.
#[inline(always)]
fn cell(address: usize) -> usize {
    address >> PAGE_BITS ^ address >> (PAGE_BITS + 14)
}
