//! How far an async task has come: ready, polled, or idle, and what leads it on.
//!
//! What a task does after a poll shows only with what comes next: a poll that finished it looks
//! like any other. So a task is `Over` until then, and the slice of what it did is sent late.
//!
//! A task may be polled before it is told of, as the thread that spawned it may be slower than the
//! one that polls it. Polls of unknown futures are remembered for that, a bounded number of them.
//!
//! Elsewhere: what is sent for it (`futures`), the tracks (`tracks`).

use std::collections::HashMap;

use trace_format::id::{FutureId, StackId, ThreadId};

/// So many futures are remembered that were polled and are not known; beyond that all of them are
/// forgotten at once.
const EARLY_MAX: usize = 1 << 12;

/// What an async task does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// Not known; there is no slice.
    #[default]
    Unknown,
    /// It can go on, and nobody polls it yet.
    Ready,
    /// By this thread.
    Polled(ThreadId),
    /// It waits.
    Idle,
    /// Its poll has ended at this time; there is no slice yet of what came then.
    Over(u64),
}

impl Stage {
    /// Whether its slice is open in the output.
    pub(super) fn has_slice(self) -> bool {
        matches!(self, Self::Ready | Self::Polled(_) | Self::Idle)
    }
}

/// What is known of an async task that is alive.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    pub(super) stage: Stage,
    /// Where it waited last; 0 if unknown.
    pub(super) waits_at: StackId,
    /// Where a future that is awaited in it took a waker in the poll that is open; 0 if none did.
    inner: StackId,
    /// It was woken or spawned, and not polled since; the arrow that leads to that poll.
    pub(super) woken: Option<u64>,
}

impl Progress {
    /// A poll begins. Returns the arrow that leads to it.
    pub(super) fn begin_poll(&mut self) -> Option<u64> {
        self.inner = StackId(0);
        self.woken.take()
    }

    /// A future that is awaited in it waits at this place.
    pub(super) fn awaits(&mut self, waits_at: StackId) {
        if waits_at != StackId(0) {
            self.inner = waits_at;
        }
    }

    /// A poll ends. What took no waker waits where it waited before.
    pub(super) fn end_poll(&mut self, waits_at: StackId) {
        let known = [waits_at, self.inner].into_iter().find(|stack| *stack != StackId(0));
        self.waits_at = known.unwrap_or(self.waits_at);
    }
}

/// The polls of a future that nothing was told of yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EarlyPolls {
    /// When the first began, in nanoseconds.
    pub(super) first: u64,
    /// Since when it does what it does.
    pub(super) since: u64,
    /// The thread that polls it; none if the last poll is over.
    pub(super) by: Option<ThreadId>,
    /// Where it waits; 0 if unknown.
    pub(super) waits_at: StackId,
}

/// Futures that are polled and not known.
#[derive(Debug, Default)]
pub(super) struct Early {
    polls: HashMap<FutureId, EarlyPolls>,
}

impl Early {
    /// A poll begins.
    pub(super) fn begin(&mut self, future: FutureId, at: u64, by: ThreadId) {
        if self.polls.len() >= EARLY_MAX && !self.polls.contains_key(&future) {
            self.polls.clear();
        }
        let fresh = EarlyPolls { first: at, since: at, by: None, waits_at: StackId(0) };
        let polls = self.polls.entry(future).or_insert(fresh);
        (polls.since, polls.by) = (at, Some(by));
    }

    /// A poll ends.
    pub(super) fn end(&mut self, future: FutureId, at: u64, waits_at: StackId) {
        if let Some(polls) = self.polls.get_mut(&future) {
            (polls.since, polls.by) = (at, None);
            polls.waits_at = if waits_at == StackId(0) { polls.waits_at } else { waits_at };
        }
    }

    /// What is remembered of a future, which is known from now on, or has ended.
    pub(super) fn take(&mut self, future: FutureId) -> Option<EarlyPolls> {
        // Most traces never have any.
        if self.polls.is_empty() { None } else { self.polls.remove(&future) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poll_without_a_waker_leaves_the_place_as_it_was() {
        let mut progress = Progress::default();
        let mut poll = |inner: u32, own: u32| {
            progress.begin_poll();
            progress.awaits(StackId(inner));
            progress.end_poll(StackId(own));
            progress.waits_at.0
        };
        assert_eq!(poll(0, 0), 0);
        assert_eq!(poll(3, 0), 3, "where what it awaits waits");
        assert_eq!(poll(3, 4), 4, "its own waker tells more");
        assert_eq!(poll(0, 0), 4);
    }

    #[test]
    fn no_more_unknown_futures_are_remembered_than_stated() {
        let mut early = Early::default();
        for id in 0..3 * EARLY_MAX as u64 {
            early.begin(FutureId(id), id, ThreadId(1));
            assert!(early.polls.len() <= EARLY_MAX);
        }
        let last = FutureId(3 * EARLY_MAX as u64 - 1);
        early.end(last, 9, StackId(5));
        early.begin(last, 10, ThreadId(2));
        early.end(last, 12, StackId(0));
        let polls = early.take(last).expect("it was the last one");
        assert_eq!((polls.since, polls.by, polls.waits_at), (12, None, StackId(5)));
        assert_eq!(early.take(last), None);
    }
}
