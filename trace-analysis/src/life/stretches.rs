//! What threads did in stretches of time that somebody asked for: the longest polls, say.
//!
//! They are known before the walk begins, so each is accounted for exactly, however much happened
//! in it: what is remembered of the past (`thread`) is only the last of it.

use std::collections::HashMap;

use trace_format::id::{CallId, StackId, ThreadId};
use trace_format::time::Nanos;

use super::Times;
use super::thread::Spent;

/// So many stretches are looked at; later ones are left out.
pub const STRETCHES_MAX: usize = 1024;

/// So many different stacks of samples are told apart in one stretch.
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

/// What a thread did in a stretch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doing {
    /// How it spent the time; adds up to the part of the stretch that lies in its life.
    pub times: Times,
    /// The call in which it was longest, in one go; 0 if it was in none.
    pub slow_call: CallId,
    /// Where it made that call; 0 if unknown.
    pub slow_stack: StackId,
    /// How long it was in it.
    pub slow: Nanos,
    /// The stack that samples found most often in the stretch; 0 if there is none.
    pub sampled: StackId,
    /// How many samples found it, of how many.
    pub samples: (u64, u64),
}

impl Doing {
    /// Whether the longest call explains much of it: a quarter or more.
    #[must_use]
    pub fn is_slow_call(&self) -> bool {
        self.slow_call != CallId(0) && self.slow.0 >= self.times.total().0 / 4
    }
}

/// One stretch, as far as time has come.
#[derive(Debug)]
pub(super) struct Watched {
    /// Its place among those that were asked for.
    at: usize,
    from: u64,
    to: u64,
    spent: Spent,
    /// What is going on: which call, from where, for how long.
    going: (CallId, StackId, u64),
    slow: (CallId, StackId, u64),
    samples: HashMap<StackId, u64>,
}

/// The stretches of one thread.
#[derive(Debug, Default)]
pub(super) struct Stretches {
    /// By their begins; they may overlap.
    all: Vec<Watched>,
    /// Those before are over.
    first: usize,
}

/// The stretches by thread.
pub(super) fn by_thread(stretches: &[Stretch]) -> HashMap<ThreadId, Stretches> {
    let mut threads: HashMap<ThreadId, Stretches> = HashMap::new();
    for (at, stretch) in stretches.iter().enumerate().take(STRETCHES_MAX) {
        let (from, to) = (stretch.from.0, stretch.to.0);
        let none = (CallId(0), StackId(0), 0);
        let (spent, samples) = (Spent::default(), HashMap::new());
        let watched = Watched { at, from, to, spent, going: none, slow: none, samples };
        threads.entry(stretch.thread).or_default().all.push(watched);
    }
    for stretches in threads.values_mut() {
        stretches.all.sort_by_key(|it| it.from);
    }
    threads
}

impl Stretches {
    /// Time has passed in one state.
    #[inline]
    pub(super) fn spend(
        &mut self,
        (from, to): (u64, u64),
        slot: usize,
        (call, stack): (CallId, StackId),
    ) {
        if self.all.get(self.first).is_none_or(|next| next.from >= to) {
            return;
        }
        self.spend_in(from, to, slot, call, stack);
    }

    #[inline(never)]
    fn spend_in(&mut self, from: u64, to: u64, slot: usize, call: CallId, stack: StackId) {
        while self.all.get(self.first).is_some_and(|it| it.to <= from) {
            self.first += 1;
        }
        for watched in self.all[self.first..].iter_mut().take_while(|it| it.from < to) {
            let nanos = watched.to.min(to).saturating_sub(watched.from.max(from));
            if nanos == 0 {
                continue;
            }
            watched.spent.0[slot] += nanos;
            let (before, place, long) = watched.going;
            let long = if (before, place) == (call, stack) { long + nanos } else { nanos };
            watched.going = (call, stack, long);
            if call != CallId(0) && long > watched.slow.2 {
                watched.slow = watched.going;
            }
        }
    }

    /// What had been taken for one state was another.
    pub(super) fn move_spent(&mut self, (from, to): (u64, u64), before: usize, after: usize) {
        for watched in self.all.iter_mut().take_while(|it| it.from < to) {
            let nanos = watched.to.min(to).saturating_sub(watched.from.max(from));
            let nanos = nanos.min(watched.spent.0[before]);
            watched.spent.0[before] -= nanos;
            watched.spent.0[after] += nanos;
        }
    }

    /// All time up to now had been in other states.
    pub(super) fn resolve(&mut self, change: impl Fn(&Spent) -> Spent) {
        self.all.iter_mut().for_each(|watched| watched.spent = change(&watched.spent));
    }

    /// The thread was seen in a stack.
    pub(super) fn sample(&mut self, at: u64, stack: StackId) {
        for watched in self.all.iter_mut().take_while(|it| it.from <= at) {
            let known = watched.samples.len() < SAMPLED_MAX || watched.samples.contains_key(&stack);
            if watched.to > at && known {
                *watched.samples.entry(stack).or_default() += 1;
            }
        }
    }

    /// What was done in each, by its place among those that were asked for.
    pub(super) fn finish(self) -> impl Iterator<Item = (usize, Doing)> {
        self.all.into_iter().map(|watched| {
            let (slow_call, slow_stack, slow) = watched.slow;
            let all = watched.samples.values().sum();
            let most = watched.samples.into_iter().filter(|(stack, _)| *stack != StackId(0));
            let most = most.max_by_key(|(stack, count)| (*count, std::cmp::Reverse(*stack)));
            let (sampled, count) = most.unwrap_or_default();
            let doing = Doing {
                times: watched.spent.times(),
                slow_call,
                slow_stack,
                slow: Nanos(slow),
                sampled,
                samples: (count, all),
            };
            (watched.at, doing)
        })
    }
}
