//! How much is allocated and freed, counted so that no two threads write to one cache line, and
//! when the next allocation is to be sampled.
//!
//! A thread owns a *slot* and adds to it with plain loads and stores. It takes one with its first
//! allocation and gives it back when it ends; the counts stay in it, and its next owner goes on
//! from there, so that the sum over all slots is the sum over all threads there ever were. Threads
//! without a slot (there are no more, or the thread is in the last steps of its end) share one and
//! add to it atomically.
//!
//! **Sampling** is a Poisson process on the bytes that a slot counts: the next point is where the
//! slot's count of allocated bytes reaches `next_at`, and an allocation that reaches one or more
//! points is one sample. 0 is reached at once: then the process begins anew.
//!
//! **Looks**: while a trace runs, a slot stops at least every [`STEP`] bytes that it counts, sample
//! or not, so that `peak` can sum up what lives. That costs the way of most allocations nothing:
//! `next_at` is the sample's point or the next look, whichever comes first. The process has no
//! memory, so it begins anew at a look. Invariants:
//!
//! - **H3** A slot that is claimed is written by its owner only, but for `next_at`.
//! - **H4** After `start`, the next allocation of every slot begins its process anew, with the new
//!   mean; after `stop` none is sampled.
//! - **H5** What is freed was counted as allocated before: a sum that reads frees first is never
//!   negative.
//! - **H6** What is freed before an allocation is seen by who sees the allocation: a sum that reads
//!   allocations first never has more live than lived.
//!
//! Elsewhere: which slot is a thread's (`own`), what happens to samples (`sample`).

use crate::base::primitive::{AtomicU64, AtomicUsize, Ordering};
#[cfg(exectrace_loom)]
use std::array;

/// Slots of a word of `Counters::used`.
const BITS: usize = if cfg!(exectrace_loom) { 2 } else { 64 };

/// A slot counts at most so many bytes between two looks, and one block.
pub(crate) const STEP: u64 = 64 << 10;

/// In `Slot::next_at`, beside twice the count: it is a look, and no sample's point.
const LOOK: u64 = 1;

/// One thread's counts, since the program began.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Slot {
    allocated_bytes: AtomicU64,
    allocations: AtomicU64,
    freed_bytes: AtomicU64,
    frees: AtomicU64,
    /// Twice the count of `allocated_bytes` at which more is to be decided: a sample's point, or
    /// with [`LOOK`] none.
    next_at: AtomicU64,
}

/// What has been counted by all threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) allocated_bytes: u64,
    pub(crate) allocations: u64,
    pub(crate) freed_bytes: u64,
    pub(crate) frees: u64,
}

impl Totals {
    /// Bytes allocated and not freed.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.allocated_bytes.saturating_sub(self.freed_bytes)
    }
}

/// Counts before and after an allocation that is more than an addition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crossing {
    before: u64,
    after: u64,
}

impl Slot {
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

    /// By the slot's owner: it has allocated. What is to be decided, if anything is.
    #[inline(always)]
    pub(crate) fn allocated(&self, bytes: u64) -> Option<Crossing> {
        let before = self.allocated_bytes.load(Ordering::Relaxed);
        let after = before + bytes;
        // `Release`: see `Counters::totals_at_least`. A thread that sees this sees what was freed
        // before.
        self.allocated_bytes.store(after, Ordering::Release);
        let allocations = self.allocations.load(Ordering::Relaxed);
        self.allocations.store(allocations + 1, Ordering::Relaxed);
        (after >= self.next_at.load(Ordering::Relaxed) >> 1).then_some(Crossing { before, after })
    }

    /// By the slot's owner: it frees.
    #[inline(always)]
    pub(crate) fn freed(&self, bytes: u64) {
        // `Release`: see `Counters::totals`. What this thread frees has been allocated, by it or by
        // another that handed it over, so that allocation is seen by who sees this.
        let freed_bytes = self.freed_bytes.load(Ordering::Relaxed);
        self.freed_bytes.store(freed_bytes + bytes, Ordering::Release);
        let frees = self.frees.load(Ordering::Relaxed);
        self.frees.store(frees + 1, Ordering::Release);
    }

    /// As [`Slot::allocated`], on the shared one.
    pub(crate) fn allocated_together(&self, bytes: u64) -> Option<Crossing> {
        let before = self.allocated_bytes.fetch_add(bytes, Ordering::Release);
        let after = before + bytes;
        self.allocations.fetch_add(1, Ordering::Relaxed);
        (after >= self.next_at.load(Ordering::Relaxed) >> 1).then_some(Crossing { before, after })
    }

    /// As [`Slot::freed`], on the shared one.
    pub(crate) fn freed_together(&self, bytes: u64) {
        self.freed_bytes.fetch_add(bytes, Ordering::Release);
        self.frees.fetch_add(1, Ordering::Release);
    }
}

/// All slots, `WORDS` times 64 of them.
#[derive(Debug)]
pub(crate) struct Counters<const WORDS: usize> {
    /// A bit for each slot that has an owner.
    used: [AtomicU64; WORDS],
    /// No slot from here on was ever claimed.
    reach: AtomicUsize,
    /// Bytes between samples; 0 while none are taken.
    mean: AtomicU64,
    slots: [[Slot; BITS]; WORDS],
    /// Of the threads without one.
    pub(crate) shared: Slot,
}

impl<const WORDS: usize> Counters<WORDS> {
    /// Nothing counted, nobody owns a slot, no samples wanted.
    #[cfg(not(exectrace_loom))]
    pub(crate) const fn new() -> Self {
        Self {
            used: [const { AtomicU64::new(0) }; WORDS],
            reach: AtomicUsize::new(0),
            mean: AtomicU64::new(0),
            slots: [const { [const { Slot::new() }; BITS] }; WORDS],
            shared: Slot::new(),
        }
    }

    /// Nothing counted, nobody owns a slot, no samples wanted.
    #[cfg(exectrace_loom)]
    pub(crate) fn new() -> Self {
        Self {
            used: array::from_fn(|_| AtomicU64::new(0)),
            reach: AtomicUsize::new(0),
            mean: AtomicU64::new(0),
            slots: array::from_fn(|_| array::from_fn(|_| Slot::new())),
            shared: Slot::new(),
        }
    }

    /// A slot for the caller, and its index to release it with; `None` if all have owners.
    pub(crate) fn claim(&self) -> Option<(usize, &Slot)> {
        self.used.iter().enumerate().find_map(|(word, used)| {
            let mut bits = used.load(Ordering::Relaxed);
            loop {
                let bit = bits.trailing_ones() as usize;
                if bit >= BITS {
                    return None;
                }
                // `Acquire` pairs with the `Release` in `release`: the owner before has written
                // its last (H3).
                let order = (Ordering::Acquire, Ordering::Relaxed);
                match used.compare_exchange_weak(bits, bits | 1 << bit, order.0, order.1) {
                    Ok(_) => return Some(self.begin(word, bit)),
                    Err(now) => bits = now,
                }
            }
        })
    }

    fn begin(&self, word: usize, bit: usize) -> (usize, &Slot) {
        let (index, slot) = (word * BITS + bit, &self.slots[word][bit]);
        // `AcqRel` on both sides orders these against `start`: either that sees this slot and its 0
        // stays, or this thread sees the mean that was set (H4).
        self.reach.fetch_max(index + 1, Ordering::AcqRel);
        slot.next_at.swap(0, Ordering::AcqRel);
        (index, slot)
    }

    /// By the owner of the slot with this index: it will not use it any more.
    pub(crate) fn release(&self, index: usize) {
        self.used[index / BITS].fetch_and(!(1 << (index % BITS)), Ordering::Release);
    }

    /// From now on samples are taken, one in `mean` bytes, which is not 0.
    pub(crate) fn start(&self, mean: u64) {
        self.mean.store(mean, Ordering::Relaxed);
        let reach = self.reach.fetch_max(0, Ordering::AcqRel);
        for slot in self.slots.iter().flatten().take(reach).chain([&self.shared]) {
            // `AcqRel` on both sides orders this against `decide` (H4).
            slot.next_at.swap(0, Ordering::AcqRel);
        }
    }

    /// From now on none are.
    pub(crate) fn stop(&self) {
        self.mean.store(0, Ordering::Relaxed);
    }

    /// Bytes between samples; 0 while none are taken.
    pub(crate) fn mean(&self) -> u64 {
        self.mean.load(Ordering::Relaxed)
    }

    /// Whether the allocation that has made `crossing` is a sample; plans the next one.
    /// `draw` gives an exponentially distributed number, at least 1, of the mean it is given.
    pub(crate) fn decide(
        &self,
        slot: &Slot,
        crossing: Crossing,
        draw: impl Fn(u64) -> u64,
    ) -> bool {
        let Crossing { before, after } = crossing;
        loop {
            let due = slot.next_at.load(Ordering::Acquire);
            let mean = self.mean();
            // The process has no memory: it begins anew with this allocation as with any.
            let point = match (mean, due) {
                (0, _) => u64::MAX,
                (_, 0) => before.saturating_add(draw(mean)),
                // Another thread with this slot, which is the shared one, has come before.
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
                // Another thread with this slot, or `start`.
                continue;
            }
            if self.mean() == mean {
                return is_sample;
            }
            // Planned for a trace that is over: begin anew.
            slot.next_at.swap(0, Ordering::AcqRel);
        }
    }

    /// No more threads than this had a slot at one time.
    pub(crate) fn reach(&self) -> usize {
        self.reach.load(Ordering::Acquire)
    }

    /// The sums, with no more live than there was at one moment while they were read. Exact if
    /// nobody allocates or frees meanwhile.
    pub(crate) fn totals_at_least(&self) -> Totals {
        // Allocations first: `Acquire` pairs with the `Release` in `Slot::allocated` (H6).
        let (allocated_bytes, allocations) =
            (self.sum(|slot| &slot.allocated_bytes), self.sum(|slot| &slot.allocations));
        let (freed_bytes, frees) =
            (self.sum(|slot| &slot.freed_bytes), self.sum(|slot| &slot.frees));
        Totals { allocated_bytes, allocations, freed_bytes, frees }
    }

    /// The sums. Exact if nobody allocates or frees meanwhile; never more freed than allocated.
    pub(crate) fn totals(&self) -> Totals {
        // Frees first: `Acquire` pairs with the `Release` in `Slot::freed` (H5).
        let (freed_bytes, frees) =
            (self.sum(|slot| &slot.freed_bytes), self.sum(|slot| &slot.frees));
        let (allocated_bytes, allocations) =
            (self.sum(|slot| &slot.allocated_bytes), self.sum(|slot| &slot.allocations));
        Totals { allocated_bytes, allocations, freed_bytes, frees }
    }

    /// Of all slots; what is read later is not older.
    fn sum(&self, count: fn(&Slot) -> &AtomicU64) -> u64 {
        let slots = self.slots.iter().flatten().take(self.reach()).chain([&self.shared]);
        slots.map(|slot| count(slot).load(Ordering::Acquire)).sum()
    }
}

/// The slot's next stop, after so many bytes: the sample's point, or a look before it.
fn plan(after: u64, point: u64) -> u64 {
    let look = after + STEP;
    if point > look { look << 1 | LOOK } else { point << 1 }
}
