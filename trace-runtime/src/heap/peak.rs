//! The largest number of live bytes since the last snapshot, and when that was.
//!
//! Each slot of the counters comes here every [`STEP`] bytes that it allocates (a look). When there
//! were as many looks as there are slots in use, the thread of the last look adds up all slots: the
//! cost of a sum grows with the number of slots, and so does the number of bytes between two sums.
//! A block that is larger than that leads to a sum at once.
//!
//! Precision: since the last sum before the peak, the threads allocated on average at most a step
//! each until their looks were enough, and each at most one more step without a look. So the peak
//! is too low by at most twice [`STEP`] for each thread that had a slot at the same time. It is
//! never too high, as a sum never has more than the bytes that were live while it was made.
//!
//! The thread that adds up holds a lock meanwhile, so that peaks and snapshots come in the order of
//! time. Only the collector's thread waits for that lock. Another thread tries it a few times, and
//! then makes the next look lead to a sum; the peak of that moment may be missed.

use super::COUNTERS;
use super::count::{HeapTotals, STEP};
use crate::base::primitive::Ordering;
use crate::base::primitive::global::{AtomicBool, AtomicU64};
use crate::sys::clock;
use std::array;
use std::hint;
use std::thread;

/// The sums at one time.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeapMoment {
    pub(super) ticks: u64,
    pub(super) totals: HeapTotals,
}

/// The peak. The thread that has set `is_held` writes it.
struct PeakMark {
    is_held: AtomicBool,
    live_bytes: AtomicU64,
    /// The time, and the four counts.
    words: [AtomicU64; 5],
}

static MARK: PeakMark = PeakMark {
    is_held: AtomicBool::new(false),
    live_bytes: AtomicU64::new(0),
    words: [const { AtomicU64::new(0) }; 5],
};

/// Number of looks since the last sum.
static LOOKS: AtomicU64 = AtomicU64::new(0);

/// A number of looks that is enough for any number of slots.
const ENOUGH: u64 = 1 << 32;

/// How often the lock is tried: longer than a sum takes, unless its holder does not run.
const TRIES: usize = 256;

impl PeakMark {
    /// Calls `act` with the lock held; `None` if another thread holds it.
    fn hold<T>(&self, act: impl FnOnce() -> T) -> Option<T> {
        // `Acquire` pairs with the `Release` below: the last holder's writes are seen.
        if self.is_held.swap(true, Ordering::Acquire) {
            return None;
        }
        let value = act();
        self.is_held.store(false, Ordering::Release);
        Some(value)
    }

    fn write(&self, ticks: u64, totals: &HeapTotals) {
        let HeapTotals { allocated_bytes, allocations, freed_bytes, frees } = *totals;
        self.live_bytes.store(totals.live_bytes(), Ordering::Relaxed);
        let now = [ticks, allocated_bytes, allocations, freed_bytes, frees];
        for (word, now) in self.words.iter().zip(now) {
            word.store(now, Ordering::Relaxed);
        }
    }

    fn read(&self) -> HeapMoment {
        let [ticks, allocated_bytes, allocations, freed_bytes, frees] =
            array::from_fn(|at| self.words[at].load(Ordering::Relaxed));
        HeapMoment {
            ticks,
            totals: HeapTotals { allocated_bytes, allocations, freed_bytes, frees },
        }
    }
}

/// A look: the caller's slot has counted a step, or a block of `bytes`.
pub(super) fn look(bytes: u64) {
    if COUNTERS.mean() == 0 {
        return;
    }
    // `AcqRel`: the thread that adds up sees what the threads have counted whose looks it takes.
    let looks = 1 + bytes / STEP;
    if LOOKS.fetch_add(looks, Ordering::AcqRel) + looks < COUNTERS.reach() as u64 {
        return;
    }
    let is_noted = (0..TRIES).any(|_| {
        let noted = MARK.hold(note);
        hint::spin_loop();
        noted.is_some()
    });
    if !is_noted {
        LOOKS.store(ENOUGH, Ordering::Relaxed);
    }
}

/// Adds up, and keeps the sums if they are a new peak. The caller holds the lock.
fn note() {
    LOOKS.swap(0, Ordering::AcqRel);
    let ticks = clock::ticks();
    let totals = COUNTERS.totals_at_least();
    if totals.live_bytes() > MARK.live_bytes.load(Ordering::Relaxed) {
        MARK.write(ticks, &totals);
    }
}

/// The peak since the last call, if there was a sum, and the sums as of now.
pub(super) fn take() -> (Option<HeapMoment>, HeapMoment) {
    loop {
        let taken = MARK.hold(|| {
            let is_any = MARK.live_bytes.swap(0, Ordering::Relaxed) != 0;
            let peak = is_any.then(|| MARK.read());
            let totals = COUNTERS.totals();
            (peak, HeapMoment { ticks: clock::ticks(), totals })
        });
        match taken {
            Some(taken) => return taken,
            // Another thread is adding up, which does not take long.
            None => thread::yield_now(),
        }
    }
}

/// In a forked child: the thread that held the lock may be the parent's.
pub(super) fn forked() {
    MARK.is_held.store(false, Ordering::Release);
}
