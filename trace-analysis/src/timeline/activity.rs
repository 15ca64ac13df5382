//! What a thread did while something was open on it: a poll, or a run of a task.
//!
//! An account notes what the thread had spent when it began, so what it spent inside is exact,
//! however much happened; the longest call inside and the stacks of samples are added as they come.

use trace_format::id::{CallId, StackId, ThreadId};
use trace_format::time::Nanos;

use super::Times;
use super::spent::Spent;

/// Maximum number of different stacks of samples in one account; samples of others only count.
const SAMPLED_MAX: usize = 256;

/// A part of a thread's time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stretch {
    /// Whose.
    pub thread: ThreadId,
    /// Since the first clock snapshot.
    pub from: Nanos,
    /// Its end.
    pub to: Nanos,
}

/// What a thread did for a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// How it spent the time; adds up to the part of it that lies in the window and in its life.
    pub times: Times,
    /// The longest call; 0 if there was none.
    pub slow_call: CallId,
    /// Where it made that call; 0 if unknown.
    pub slow_stack: StackId,
    /// How long that call was.
    pub slow: Nanos,
    /// The stack that samples found most often; 0 if there is none.
    pub sampled: StackId,
    /// How many samples found it, of how many.
    pub samples: (u64, u64),
}

impl Activity {
    /// Whether the longest call explains much of it: a quarter or more.
    #[must_use]
    pub fn is_slow_call(&self) -> bool {
        self.slow_call != CallId(0) && self.slow.0 >= self.times.total().0 / 4
    }

    /// Adds what another thread did, or the same one at another time.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.times.add(&other.times);
        if other.slow > self.slow {
            (self.slow_call, self.slow_stack, self.slow) =
                (other.slow_call, other.slow_stack, other.slow);
        }
        if other.samples.0 > self.samples.0 {
            (self.sampled, self.samples) = (other.sampled, other.samples);
        }
    }
}

/// An activity that still goes on.
#[derive(Debug)]
pub(super) struct Account {
    /// What the thread had spent when it began.
    pub(super) before: Spent,
    /// The longest call: how long, which, from where.
    slow: (u64, CallId, StackId),
    /// Samples by stack, and how many there were in all.
    samples: Vec<(StackId, u64)>,
    samples_count: u64,
}

impl Account {
    pub(super) fn new(before: Spent) -> Self {
        let slow = (0, CallId(0), StackId(0));
        Self { before, slow, samples: Vec::new(), samples_count: 0 }
    }

    /// A call is over that took `nanos` inside.
    pub(super) fn call(&mut self, nanos: u64, call: CallId, stack: StackId) {
        if nanos > self.slow.0 {
            self.slow = (nanos, call, stack);
        }
    }

    /// The thread was seen in a stack, `count` times.
    pub(super) fn sample(&mut self, stack: StackId, count: u64) {
        self.samples_count += count;
        if let Some((_, sum)) = self.samples.iter_mut().find(|(known, _)| *known == stack) {
            *sum += count;
        } else if self.samples.len() < SAMPLED_MAX {
            self.samples.push((stack, count));
        }
    }

    /// What was inside another belongs to this, too.
    pub(super) fn merge(&mut self, inner: &Self) {
        self.call(inner.slow.0, inner.slow.1, inner.slow.2);
        for &(stack, count) in &inner.samples {
            self.sample(stack, count);
        }
        let known: u64 = inner.samples.iter().map(|(_, count)| count).sum();
        self.samples_count += inner.samples_count - known;
    }

    /// - `now`: what the thread has spent by now.
    pub(super) fn finish(&self, now: &Spent) -> Activity {
        let (slow, slow_call, slow_stack) = self.slow;
        let most = self.samples.iter().filter(|(stack, _)| *stack != StackId(0));
        let most = most.max_by_key(|(stack, count)| (*count, std::cmp::Reverse(*stack)));
        let (sampled, count) = most.copied().unwrap_or_default();
        Activity {
            times: now.since(&self.before).times(),
            slow_call,
            slow_stack,
            slow: Nanos(slow),
            sampled,
            samples: (count, self.samples_count),
        }
    }
}
