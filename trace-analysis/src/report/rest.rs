//! Which waiting is how a program rests, and which never came to an end: what reports say apart
//! from what holds a program up.
//!
//! The rules that need the reason alone are [`Reason`](crate::reason::Reason)'s.

use std::cmp::Reverse;

use trace_format::call::CallClass;
use trace_format::id::StackId;
use trace_format::time::Nanos;

use super::life::{CallGroup, Holder, Lives, Unended, WaitGroup, saturating_sum};

/// Minimum time of a wait that never ended and is worth a word, in nanoseconds: locks that are only
/// busy change hands faster,
const UNENDED_NANOS_MIN: u64 = 200_000_000;
/// and its minimum share of the time that was read: one part in this many.
const UNENDED_SHARE: u64 = 20;

impl WaitGroup {
    /// By what lists of groups are put in order: the most time first.
    pub(super) fn order(&self) -> impl Ord + use<> {
        let kind = (self.reason, self.is_before, self.is_endless);
        (Reverse(self.total), kind, self.resource, self.stack, self.thread)
    }

    /// Whether to wait so is how a program rests, rather than what holds it up. A thread that was
    /// waiting when the trace began, nobody knows for what, mostly waited for work; and so did one
    /// whose read never ended.
    #[must_use]
    pub fn is_rest(&self) -> bool {
        self.reason.is_rest() || self.is_before || self.is_endless
    }

    /// How much of its waiting a holder caused: that part, and the whole.
    #[must_use]
    pub fn share(&self, holder: &Holder) -> (Nanos, Nanos) {
        (holder.caused, self.parts())
    }

    /// How much of its waiting nobody caused who held it: that part, and the whole.
    #[must_use]
    pub fn free_share(&self) -> (Nanos, Nanos) {
        (self.free, self.parts())
    }

    /// The whole that has its parts by holders. Until a thread's first switch its waiting is only
    /// presumed, so they may be more than what was waited.
    fn parts(&self) -> Nanos {
        let all = saturating_sum(self.holders.iter().map(|holder| holder.caused.0));
        Nanos(all.saturating_add(self.free.0).max(self.total.0))
    }

    /// The stacks of its waits, the most time first.
    pub fn all_stacks(&self) -> impl Iterator<Item = StackId> {
        let own = (self.stack != StackId(0)).then_some(self.stack);
        own.into_iter().chain(self.stacks.iter().map(|share| share.of))
    }
}

impl CallGroup {
    /// Whether such calls are made to wait for another thread or process, or for time to pass, so
    /// that how long they take says nothing about the system.
    #[must_use]
    pub fn is_rest(&self) -> bool {
        use CallClass::{Futex, Join, Poll, Process, Sleep};
        let class = self.call.info().map(|info| info.class);
        class.is_some_and(|class| matches!(class, Futex | Join | Poll | Process | Sleep))
    }
}

impl Unended {
    /// Whether somebody should look at it: it has lasted long, and the thread does not merely wait
    /// for its next piece of work or for time.
    #[must_use]
    pub fn stands_out(&self, lives: &Lives) -> bool {
        !self.reason.is_idle() && self.is_long(lives)
    }

    /// Whether it has lasted long, alone and as a part of what was read.
    pub(crate) fn is_long(&self, lives: &Lives) -> bool {
        let Nanos(time) = self.wait.duration;
        let wall = lives.to.0.saturating_sub(lives.from.0);
        time >= UNENDED_NANOS_MIN && time.saturating_mul(UNENDED_SHARE) >= wall
    }
}
