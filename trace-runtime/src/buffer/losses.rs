//! Counts of what was lost.
//!
//! A thread counts what it loses, and says so in a `Dropped` event when it next has a batch. Each
//! output counts what was lost *in it*: from the losses that events before its first one report, to
//! those that events up to its last one report; the output that is there to the end has the rest.
//! So an output's `Dropped` events never add up to more than its total, and the totals of parts add
//! up to the whole.
//!
//! Elsewhere: threads that lose (`refill`, `local`), totals of an output (`outlet::told`).

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

    /// What was lost since these were counted.
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

/// What a thread has lost, as its events say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reported {
    /// By events in front of a batch.
    pub(crate) before: Losses,
    /// And by the batch's own.
    pub(crate) now: Losses,
}

/// What one thread has lost so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThreadLosses {
    pub(crate) id: ThreadId,
    /// By want of memory: counted, or only as far as its events report it.
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
    /// By those that have.
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
