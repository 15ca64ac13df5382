//! How long a thread was in each state.

use trace_format::time::Nanos;

use super::Times;
use crate::reason::Reason;

/// The states, as places in [`Spent`].
pub(super) const RUNNING: usize = 0;
pub(super) const IN_CALLS: usize = 1;
pub(super) const READY: usize = 2;
/// Outside calls, and no switch has been seen: what it did is unknown, unless the first switch says
/// that it had been on a CPU.
pub(super) const EITHER: usize = 3;
pub(super) const UNKNOWN: usize = 4;
pub(super) const STOPPED: usize = 5;
/// From here on one for each reason.
pub(super) const BLOCKED: usize = 6;
const SLOTS: usize = BLOCKED + Reason::COUNT;

/// Nanoseconds by state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent(pub(super) [u64; SLOTS]);

/// Time spent on CPUs, ready, waiting and stopped, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known {
    pub(crate) cpu: u64,
    pub(crate) ready: u64,
    pub(crate) blocked: u64,
    pub(crate) stopped: u64,
}

impl Known {
    /// Both together.
    #[inline]
    pub(super) fn plus(&self, other: &Self) -> Self {
        Self {
            cpu: self.cpu + other.cpu,
            ready: self.ready + other.ready,
            blocked: self.blocked + other.blocked,
            stopped: self.stopped + other.stopped,
        }
    }

    /// What was spent since `before`. Of waiting some may have turned out to be being ready.
    #[inline]
    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            ready: self.ready.saturating_sub(before.ready),
            blocked: self.blocked.saturating_sub(before.blocked),
            stopped: self.stopped.saturating_sub(before.stopped),
        }
    }
}

impl Default for Spent {
    fn default() -> Self {
        Self([0; SLOTS])
    }
}

impl Spent {
    pub(super) fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = mine.saturating_add(theirs);
        }
    }

    pub(super) fn times(&self) -> Times {
        let mut times = Times {
            running: Nanos(self.0[RUNNING]),
            in_calls: Nanos(self.0[IN_CALLS]),
            ready: Nanos(self.0[READY]),
            unknown: Nanos(self.0[UNKNOWN].saturating_add(self.0[EITHER])),
            stopped: Nanos(self.0[STOPPED]),
            ..Times::default()
        };
        for (time, spent) in times.blocked.iter_mut().zip(&self.0[BLOCKED..]) {
            *time = Nanos(*spent);
        }
        times
    }

    /// What was spent since `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        let mut since = *self;
        for (mine, theirs) in since.0.iter_mut().zip(before.0) {
            *mine = mine.saturating_sub(theirs);
        }
        since
    }

    /// The same of a time before the first switch, which says whether the thread had been on a CPU.
    pub(super) fn resolved(&self, on: bool) -> Self {
        let mut told = Self::default();
        if on {
            // What looked like waiting was a call that came back at once.
            told.0[RUNNING] = self.0[EITHER];
            told.0[IN_CALLS] = self.0[IN_CALLS] + self.0[BLOCKED..].iter().sum::<u64>();
            for slot in [READY, UNKNOWN, STOPPED] {
                told.0[slot] = self.0[slot];
            }
        } else {
            told = *self;
            // A call that does not wait can't say why the thread was off its CPU in it.
            told.0[UNKNOWN] += std::mem::take(&mut told.0[EITHER]);
            told.0[UNKNOWN] += std::mem::take(&mut told.0[IN_CALLS]);
        }
        told
    }

    /// - `blocked`: the sum of all waiting.
    #[inline]
    pub(super) fn known(&self, blocked: u64) -> Known {
        Known {
            cpu: self.0[RUNNING] + self.0[IN_CALLS],
            ready: self.0[READY],
            blocked,
            stopped: self.0[STOPPED],
        }
    }
}
