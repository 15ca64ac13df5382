//! What a thread did lately: stretches of one state, one after another.
//!
//! They say what a lock's holder did while it held the lock. An observer is told of each one as
//! soon as it won't change any more; what it was told of stays as it is.

use std::collections::VecDeque;

use trace_format::id::{CallId, StackId};

use super::observed::UNTOLD_MAX;
use super::spent::{BLOCKED, EITHER, IN_CALLS, READY, RUNNING, Spent, UNKNOWN};

/// Maximum number of stretches that are remembered.
pub(super) const HISTORY_MAX: usize = 128;

/// A stretch of one state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) slot: usize,
    pub(super) call: CallId,
    pub(super) stack: StackId,
    /// The CPU it was on, if it was on one.
    pub(super) cpu: Option<u32>,
}

/// What a thread did for a while.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Doings {
    pub(super) spent: Spent,
    /// The longest stretch in a call: how long, which, where.
    pub(super) slow: (u64, CallId, StackId),
}

/// The last stretches of a thread.
#[derive(Debug, Default)]
pub(super) struct History {
    stretches: VecDeque<Stretch>,
    /// How many of them, from the front, an observer was told of.
    told: usize,
}

impl History {
    /// Time has passed.
    #[inline]
    pub(super) fn add(&mut self, stretch: Stretch) {
        let is_untold = self.untold() > 0;
        if let Some(last) = self.stretches.back_mut() {
            let key = |it: &Stretch| (it.slot, it.call, it.stack, it.cpu);
            if key(last) == key(&stretch) && is_untold && last.to == stretch.from {
                last.to = stretch.to;
                return;
            }
        }
        // Not only one: a wait that is told apart from being ready adds a stretch, too.
        while self.stretches.len() >= HISTORY_MAX {
            self.stretches.pop_front();
            self.told = self.told.saturating_sub(1);
        }
        self.stretches.push_back(stretch);
    }

    /// How many an observer was not told of.
    pub(super) fn untold(&self) -> usize {
        self.stretches.len() - self.told
    }

    /// The next one that an observer is told of.
    pub(super) fn tell(&mut self) -> Option<Stretch> {
        let stretch = *self.stretches.get(self.told)?;
        self.told += 1;
        Some(stretch)
    }

    /// The first switch has come: `on` says whether the thread had been on a CPU until then.
    pub(super) fn resolve(&mut self, on: bool) {
        for stretch in self.stretches.iter_mut().skip(self.told) {
            stretch.slot = match (on, stretch.slot) {
                (true, EITHER) => RUNNING,
                (true, BLOCKED..) => IN_CALLS,
                (false, EITHER | IN_CALLS) => UNKNOWN,
                (_, slot) => slot,
            };
        }
    }

    /// The last `nanos` up to `to`, which were of this state, were being ready. Whether that can
    /// still be said: an observer may have been told of what lies further back.
    ///
    /// The stretch may go on behind `to`: a call inside another one can be like it.
    pub(super) fn make_ready(&mut self, (slot, to): (usize, u64), nanos: u64) -> bool {
        let is_it = |it: &Stretch| it.slot == slot && it.from < to && to <= it.to;
        let Some(at) = self.stretches.iter().rposition(is_it) else { return false };
        // Whether or not there is an observer, so that both hear the same.
        if at + UNTOLD_MAX < self.stretches.len() || at < self.told {
            return false;
        }
        let rest = Stretch { from: to, ..self.stretches[at] };
        if rest.from < rest.to {
            self.stretches[at].to = to;
            self.stretches.insert(at + 1, rest);
        }
        self.split(at, READY, nanos);
        true
    }

    /// The last `nanos` that were spent as `from` were spent as `to`.
    pub(super) fn relabel(&mut self, from: usize, to: usize, mut nanos: u64) {
        let mut at = self.stretches.len();
        while nanos > 0 && at > self.told {
            at -= 1;
            let stretch = self.stretches[at];
            if stretch.slot == from {
                self.split(at, to, nanos);
                nanos = nanos.saturating_sub(stretch.to - stretch.from);
            }
        }
    }

    /// The last `nanos` of a stretch, or all of it, are another state.
    fn split(&mut self, at: usize, slot: usize, nanos: u64) {
        let mut rest = self.stretches[at];
        if nanos >= rest.to - rest.from {
            self.stretches[at].slot = slot;
            return;
        }
        (rest.from, rest.slot) = (rest.to - nanos, slot);
        self.stretches[at].to = rest.from;
        self.stretches.insert(at + 1, rest);
    }

    /// What the thread did from then to then, as far as it is remembered.
    pub(super) fn doings(&self, from: u64, to: u64) -> Doings {
        let mut doings = Doings::default();
        for stretch in self.stretches.iter().rev().take_while(|it| it.to > from) {
            let nanos = stretch.to.min(to).saturating_sub(stretch.from.max(from));
            doings.spent.0[stretch.slot] += nanos;
            if stretch.slot != RUNNING && nanos > doings.slow.0 && stretch.call != CallId(0) {
                doings.slow = (nanos, stretch.call, stretch.stack);
            }
        }
        doings
    }
}
