//! Counters of allocations and frees, such that no two threads write to the same cache line, and
//! the choice of allocations to sample.
//!
//! A thread owns a *slot* and adds to it with plain loads and stores. It takes one with its first
//! allocation and gives it back when it ends. The counts stay in the slot, and its next owner goes
//! on from them, so that the sum over all slots covers all threads that ever lived. Threads without
//! a slot (because all are taken, or because the thread is about to end) share one and add to it
//! atomically.
//!
//! **Sampling** is a Poisson process on the bytes that a slot counts: the next point is where the
//! slot's count of allocated bytes reaches `next_at`, and an allocation that reaches one or more
//! points is one sample. 0 is reached at once, and begins the process anew.
//!
//! **Looks**: while a trace runs, a slot stops at least every [`STEP`] bytes that it counts, sample
//! or not, so that `peak` can add up the live bytes. That costs most allocations nothing: `next_at`
//! is the sample's point or the next look, whichever comes first. A Poisson process has no memory,
//! so it may begin anew at each look. Invariants:
//!
//! - **H3** Only its owner writes a claimed slot, except for `next_at`.
//! - **H4** After `start`, the next allocation of every slot begins its process anew, with the new
//!   mean; after `stop` no allocation is sampled.
//! - **H5** A freed block was counted as allocated before: a sum that reads frees first is never
//!   negative.
//! - **H6** A thread that sees an allocation also sees the frees before it: a sum that reads
//!   allocations first never has more live bytes than there were.
//!
//! Elsewhere: a thread's slot (`own`), what happens to samples (`sample`).

use crate::base::primitive::{AtomicU64, AtomicUsize, Ordering};
#[cfg(exectrace_loom)]
use std::array;

/// Number of slots per word of `used`.
const BITS: usize = if cfg!(exectrace_loom) { 2 } else { 64 };

/// A slot counts at most this many bytes, and one block, between two looks.
pub(crate) const STEP: u64 = 64 << 10;

/// A bit of `next_at`, beside twice the count: it is a look, and not a sample's point.
const LOOK: u64 = 1;

/// One thread's counts, since the program began.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct CountSlot {
    allocated_bytes: AtomicU64,
    allocations: AtomicU64,
    freed_bytes: AtomicU64,
    frees: AtomicU64,
    /// Twice the count of `allocated_bytes` at which the slot stops: at a sample's point or, with
    /// [`LOOK`], at a look.
    next_at: AtomicU64,
}

/// The sums of all threads' counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeapTotals {
    pub(crate) allocated_bytes: u64,
    pub(crate) allocations: u64,
    pub(crate) freed_bytes: u64,
    pub(crate) frees: u64,
}

impl HeapTotals {
    /// Bytes allocated and not freed.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.allocated_bytes.saturating_sub(self.freed_bytes)
    }
}

/// The counts before and after an allocation at which the slot stops.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crossing {
    before: u64,
    after: u64,
}

impl CountSlot {
    #[cfg(not(exectrace_loom))]
    const fn new() -> Self {
        Self {
            allocated_bytes: AtomicU64::new(0),
            allocations: AtomicU64::new(0),
            freed_bytes: AtomicU64::new(0),
            frees: AtomicU64::new(0),
            next_at: AtomicU64::new(0),
        }
    }

    #[cfg(exectrace_loom)]
    fn new() -> Self {
        let [allocated_bytes, allocations, freed_bytes, frees, next_at] =
            array::from_fn(|_| AtomicU64::new(0));
        Self { allocated_bytes, allocations, freed_bytes, frees, next_at }
    }

    /// By the slot's owner: counts an allocation. Returns the crossing if the slot stops here.
    #[inline(always)]
    pub(crate) fn allocated(&self, bytes: u64) -> Option<Crossing> {
        let before = self.allocated_bytes.load(Ordering::Relaxed);
        let after = before + bytes;
        // `Release`: see `totals_at_least`. A thread that sees this also sees the frees before it.
        self.allocated_bytes.store(after, Ordering::Release);
        let allocations = self.allocations.load(Ordering::Relaxed);
        self.allocations.store(allocations + 1, Ordering::Relaxed);
        (after >= self.next_at.load(Ordering::Relaxed) >> 1).then_some(Crossing { before, after })
    }

    /// By the slot's owner: counts a free.
    #[inline(always)]
    pub(crate) fn freed(&self, bytes: u64) {
        // `Release`: see `totals`. What this thread frees was allocated by it, or by a thread that
        // handed it over, so a thread that sees this also sees that allocation.
        let freed_bytes = self.freed_bytes.load(Ordering::Relaxed);
        self.freed_bytes.store(freed_bytes + bytes, Ordering::Release);
        let frees = self.frees.load(Ordering::Relaxed);
        self.frees.store(frees + 1, Ordering::Release);
    }

    /// As [`CountSlot::allocated`], for the shared slot.
    pub(crate) fn allocated_together(&self, bytes: u64) -> Option<Crossing> {
        let before = self.allocated_bytes.fetch_add(bytes, Ordering::Release);
        let after = before + bytes;
        self.allocations.fetch_add(1, Ordering::Relaxed);
        (after >= self.next_at.load(Ordering::Relaxed) >> 1).then_some(Crossing { before, after })
    }

    /// As [`CountSlot::freed`], for the shared slot.
    pub(crate) fn freed_together(&self, bytes: u64) {
        self.freed_bytes.fetch_add(bytes, Ordering::Release);
        self.frees.fetch_add(1, Ordering::Release);
    }
}

/// All slots, `WORDS` times 64 of them.
#[derive(Debug)]
pub(crate) struct HeapCounts<const WORDS: usize> {
    /// A bit for each slot that has an owner.
    used: [AtomicU64; WORDS],
    /// Slots from this index on were never claimed.
    reach: AtomicUsize,
    /// Bytes between samples; 0 while none are taken.
    mean: AtomicU64,
    slots: [[CountSlot; BITS]; WORDS],
    /// The slot of the threads without one.
    pub(crate) shared: CountSlot,
}

impl<const WORDS: usize> HeapCounts<WORDS> {
    /// With nothing counted, all slots free, and sampling off.
    #[cfg(not(exectrace_loom))]
    pub(crate) const fn new() -> Self {
        Self {
            used: [const { AtomicU64::new(0) }; WORDS],
            reach: AtomicUsize::new(0),
            mean: AtomicU64::new(0),
            slots: [const { [const { CountSlot::new() }; BITS] }; WORDS],
            shared: CountSlot::new(),
        }
    }

    /// With nothing counted, all slots free, and sampling off.
    #[cfg(exectrace_loom)]
    pub(crate) fn new() -> Self {
        Self {
            used: array::from_fn(|_| AtomicU64::new(0)),
            reach: AtomicUsize::new(0),
            mean: AtomicU64::new(0),
            slots: array::from_fn(|_| array::from_fn(|_| CountSlot::new())),
            shared: CountSlot::new(),
        }
    }

    /// Claims a slot. Returns it with its index, for `release`; `None` if all are taken.
    pub(crate) fn claim(&self) -> Option<(usize, &CountSlot)> {
        self.used.iter().enumerate().find_map(|(word, used)| {
            let mut bits = used.load(Ordering::Relaxed);
            loop {
                let bit = bits.trailing_ones() as usize;
                if bit >= BITS {
                    return None;
                }
                // `Acquire` pairs with the `Release` in `release`: the last owner's writes are done
                // (H3).
                let order = (Ordering::Acquire, Ordering::Relaxed);
                match used.compare_exchange_weak(bits, bits | 1 << bit, order.0, order.1) {
                    Ok(_) => return Some(self.begin(word, bit)),
                    Err(now) => bits = now,
                }
            }
        })
    }

    fn begin(&self, word: usize, bit: usize) -> (usize, &CountSlot) {
        let (index, slot) = (word * BITS + bit, &self.slots[word][bit]);
        // `AcqRel` on both sides orders these against `start`: either `start` sees this slot, and
        // its 0 stays, or this thread sees the new mean (H4).
        self.reach.fetch_max(index + 1, Ordering::AcqRel);
        slot.next_at.swap(0, Ordering::AcqRel);
        (index, slot)
    }

    /// Gives the slot with this index back. By its owner, who then no longer uses it.
    pub(crate) fn release(&self, index: usize) {
        self.used[index / BITS].fetch_and(!(1 << (index % BITS)), Ordering::Release);
    }

    /// Begins to take samples, one in `mean` bytes, which is not 0.
    pub(crate) fn start(&self, mean: u64) {
        self.mean.store(mean, Ordering::Relaxed);
        let reach = self.reach.fetch_max(0, Ordering::AcqRel);
        for slot in self.slots.iter().flatten().take(reach).chain([&self.shared]) {
            // `AcqRel` on both sides orders this against `decide` (H4).
            slot.next_at.swap(0, Ordering::AcqRel);
        }
    }

    /// Ends sampling.
    pub(crate) fn stop(&self) {
        self.mean.store(0, Ordering::Relaxed);
    }

    /// Bytes between samples; 0 while none are taken.
    pub(crate) fn mean(&self) -> u64 {
        self.mean.load(Ordering::Relaxed)
    }

    /// Decides whether the allocation that made `crossing` is a sample, and plans the slot's next
    /// stop.
    ///
    /// - `draw`: returns an exponentially distributed number, at least 1, with this mean.
    pub(crate) fn decide(
        &self,
        slot: &CountSlot,
        crossing: Crossing,
        draw: impl Fn(u64) -> u64,
    ) -> bool {
        let Crossing { before, after } = crossing;
        loop {
            let due = slot.next_at.load(Ordering::Acquire);
            let mean = self.mean();
            // The process has no memory: it may begin anew with any allocation.
            let point = match (mean, due) {
                (0, _) => u64::MAX,
                (_, 0) => before.saturating_add(draw(mean)),
                // The slot is the shared one, and another thread was here first.
                _ if due >> 1 > after => return false,
                _ if due & LOOK != 0 => (due >> 1).saturating_add(draw(mean)),
                _ => due >> 1,
            };
            let is_sample = point <= after;
            let next = match (mean, is_sample) {
                (0, _) => u64::MAX,
                (_, true) => plan(after, after.saturating_add(draw(mean))),
                (_, false) => plan(after, point),
            };
            let order = (Ordering::AcqRel, Ordering::Relaxed);
            if slot.next_at.compare_exchange(due, next, order.0, order.1).is_err() {
                // Another thread with the shared slot, or `start`, was first.
                continue;
            }
            if self.mean() == mean {
                return is_sample;
            }
            // It was planned for a trace that is over: begins anew.
            slot.next_at.swap(0, Ordering::AcqRel);
        }
    }

    /// The largest number of threads that had a slot at the same time.
    pub(crate) fn reach(&self) -> usize {
        self.reach.load(Ordering::Acquire)
    }

    /// The sums, with no more live bytes than there were at some moment while they were read (H6).
    /// Exact if no thread allocates or frees meanwhile.
    pub(crate) fn totals_at_least(&self) -> HeapTotals {
        // Allocations first: `Acquire` pairs with the `Release` in `CountSlot::allocated` (H6).
        let (allocated_bytes, allocations) =
            (self.sum(|slot| &slot.allocated_bytes), self.sum(|slot| &slot.allocations));
        let (freed_bytes, frees) =
            (self.sum(|slot| &slot.freed_bytes), self.sum(|slot| &slot.frees));
        HeapTotals { allocated_bytes, allocations, freed_bytes, frees }
    }

    /// The sums, with never more freed than allocated (H5). Exact if no thread allocates or frees
    /// meanwhile.
    pub(crate) fn totals(&self) -> HeapTotals {
        // Frees first: `Acquire` pairs with the `Release` in `CountSlot::freed` (H5).
        let (freed_bytes, frees) =
            (self.sum(|slot| &slot.freed_bytes), self.sum(|slot| &slot.frees));
        let (allocated_bytes, allocations) =
            (self.sum(|slot| &slot.allocated_bytes), self.sum(|slot| &slot.allocations));
        HeapTotals { allocated_bytes, allocations, freed_bytes, frees }
    }

    /// The sum over all slots. Values that are read later are not older.
    fn sum(&self, count: fn(&CountSlot) -> &AtomicU64) -> u64 {
        let slots = self.slots.iter().flatten().take(self.reach()).chain([&self.shared]);
        slots.map(|slot| count(slot).load(Ordering::Acquire)).sum()
    }
}

/// The slot's next stop after the count `after`: the sample's point, or a look before it.
fn plan(after: u64, point: u64) -> u64 {
    let look = after + STEP;
    if point > look { look << 1 | LOOK } else { point << 1 }
}
