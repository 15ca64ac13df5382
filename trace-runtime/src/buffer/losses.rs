//! Counts of what was lost.
//!
//! A thread counts what it loses, and reports it in a `Dropped` event when it next has a batch.
//! Each output counts what was lost *in it*: the losses that its own events report, and, for the
//! output that is there at the end, the losses that no event has reported by then. So an output's
//! `Dropped` events never add up to more than its total, and the totals of parts add up to the
//! whole.
//!
//! Elsewhere: where threads lose events (`refill`, `local`), totals of an output
//! (`output::ledger`).

use trace_format::id::ThreadId;

/// How many events, and ends of regions, were lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Losses {
    pub(crate) events: u64,
    pub(crate) ends: u64,
}

impl Losses {
    pub(crate) const fn events(events: u64) -> Self {
        Self { events, ends: 0 }
    }

    /// What was lost since `before` was counted.
    pub(crate) const fn since(self, before: Self) -> Self {
        Self {
            events: self.events.saturating_sub(before.events),
            ends: self.ends.saturating_sub(before.ends),
        }
    }
}

impl std::ops::Add for Losses {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { events: self.events + other.events, ends: self.ends + other.ends }
    }
}

impl std::ops::AddAssign for Losses {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl std::iter::Sum for Losses {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), std::ops::Add::add)
    }
}

/// What a thread has lost, as its events report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reported {
    /// By the events before a batch.
    pub(crate) before: Losses,
    /// By those and the batch's own events.
    pub(crate) now: Losses,
}

/// What one thread has lost so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThreadLosses {
    pub(crate) id: ThreadId,
    /// For lack of memory: all of it, or only what its events report.
    pub(crate) full: Losses,
    /// Events of signal handlers that interrupted the recorder. No event reports them.
    pub(crate) interrupted: u64,
}

impl ThreadLosses {
    pub(crate) fn all(&self) -> Losses {
        self.full + Losses::events(self.interrupted)
    }
}

/// What a session has lost so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// By each thread that has not ended.
    pub(crate) threads: Vec<ThreadLosses>,
    /// By threads that have ended.
    pub(crate) ended: Losses,
    /// Events of threads that could not be attached.
    pub(crate) unattached: u64,
}

impl Tally {
    pub(crate) fn total(&self) -> Losses {
        let threads: Losses = self.threads.iter().map(ThreadLosses::all).sum();
        threads + self.ended + Losses::events(self.unattached)
    }
}
