//! The most that lived at one time since the last snapshot, and when that was.
//!
//! A slot of the counters looks in here every [`STEP`] bytes that it allocates. When as many looks
//! have come as there are slots in use, the thread that looks last sums up all slots: the price of
//! a sum, which grows with the slots, is so spread over as many bytes. A block that is larger than
//! that is a sum at once.
//!
//! How far the peak may be off: since the last sum before it, the threads together allocated at
//! most a step each until their looks were enough, and each at most one more that it has not looked
//! for. So it is too low by at most twice [`STEP`] for each thread of those that had a slot at the
//! same time. It is never too high, for a sum is never more than what lived while it was made.
//!
//! The thread that sums up holds a lock meanwhile, so that peaks and snapshots come in the order of
//! time. Only the recorder's thread waits for that lock. Another thread tries it some times, then
//! leaves word that the next look sums up again; the peak of that very moment may be missed.

use super::COUNTERS;
use super::count::{STEP, Totals};
use crate::base::primitive::Ordering;
use crate::base::primitive::global::{AtomicBool, AtomicU64};
use crate::sys::clock;
use std::array;
use std::hint;
use std::thread;

/// What was counted at one time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) ticks: u64,
    pub(super) totals: Totals,
}

/// The peak; written by who has set `is_held`.
struct Mark {
    is_held: AtomicBool,
    live_bytes: AtomicU64,
    /// When, and the four counts.
    words: [AtomicU64; 5],
}

static MARK: Mark = Mark {
    is_held: AtomicBool::new(false),
    live_bytes: AtomicU64::new(0),
    words: [const { AtomicU64::new(0) }; 5],
};

/// Looks since the last sum.
static LOOKS: AtomicU64 = AtomicU64::new(0);

/// So many looks are enough whatever the slots.
const ENOUGH: u64 = 1 << 32;

/// The lock is tried so often: longer than a sum takes, unless its holder does not run.
const TRIES: usize = 256;

impl Mark {
    /// Runs `act`, unless another thread is at it.
    fn hold<T>(&self, act: impl FnOnce() -> T) -> Option<T> {
        // `Acquire` pairs with the `Release` below: what the last holder wrote is seen.
        if self.is_held.swap(true, Ordering::Acquire) {
            return None;
        }
        let value = act();
        self.is_held.store(false, Ordering::Release);
        Some(value)
    }

    fn write(&self, ticks: u64, totals: &Totals) {
        let Totals { allocated_bytes, allocations, freed_bytes, frees } = *totals;
        self.live_bytes.store(totals.live_bytes(), Ordering::Relaxed);
        let now = [ticks, allocated_bytes, allocations, freed_bytes, frees];
        for (word, now) in self.words.iter().zip(now) {
            word.store(now, Ordering::Relaxed);
        }
    }

    fn read(&self) -> Moment {
        let [ticks, allocated_bytes, allocations, freed_bytes, frees] =
            array::from_fn(|at| self.words[at].load(Ordering::Relaxed));
        Moment { ticks, totals: Totals { allocated_bytes, allocations, freed_bytes, frees } }
    }
}

/// The caller's slot has counted a step, or a block of so many bytes.
pub(super) fn look(bytes: u64) {
    if COUNTERS.mean() == 0 {
        return;
    }
    // `AcqRel`: who sums up sees what those have counted whose looks it takes.
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

/// By who holds the mark.
fn note() {
    LOOKS.swap(0, Ordering::AcqRel);
    let ticks = clock::ticks();
    let totals = COUNTERS.totals_at_least();
    if totals.live_bytes() > MARK.live_bytes.load(Ordering::Relaxed) {
        MARK.write(ticks, &totals);
    }
}

/// The peak since the last call, if there was a sum, and what is counted now: not earlier.
pub(super) fn take() -> (Option<Moment>, Moment) {
    loop {
        let taken = MARK.hold(|| {
            let is_any = MARK.live_bytes.swap(0, Ordering::Relaxed) != 0;
            let peak = is_any.then(|| MARK.read());
            let totals = COUNTERS.totals();
            (peak, Moment { ticks: clock::ticks(), totals })
        });
        match taken {
            Some(taken) => return taken,
            // A sum from now it is free.
            None => thread::yield_now(),
        }
    }
}

/// In a forked child: the thread that held the mark may be of the parent.
pub(super) fn forked() {
    MARK.is_held.store(false, Ordering::Release);
}
