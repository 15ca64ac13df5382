//! One thread: the polls it did last, and its sums.

use std::collections::VecDeque;

use trace_format::id::{FutureId, SiteId, ThreadId};
use trace_format::time::Nanos;

use crate::report::async_tasks::{LONG_POLL, Worker};
use crate::spans::Span;

/// Number of a thread's last polls that are remembered, to say what others waited for.
const RECENT_MAX: usize = 64;

/// Faster things are not worth a place in a chain, faster polls not one in a thread's memory.
pub(crate) const LINK_NANOS_MIN: u64 = 50_000;

/// What a runtime does between a poll and its wakes, as time is up or the system is ready, takes no
/// longer than the poll divided by this; in a longer time the thread may have slept.
const RUNTIME_PART: u64 = 16;

/// Maximum length of a chain.
const CHAIN_MAX: usize = 8;

/// Something that took long inside a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Which call site's.
    pub site: SiteId,
    /// The child future; 0 for a region.
    pub future: FutureId,
    /// How long.
    pub duration: Nanos,
}

/// A poll of a task that is over, or open when the trace ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recent {
    pub(crate) serial: u64,
    pub(crate) task: FutureId,
    pub(crate) sums: usize,
    pub(crate) begin: u64,
    pub(crate) end: u64,
    /// How long it had gone on before what is read.
    pub(crate) older: u64,
    /// From when on another task was ready that ran here later; its end if none was.
    pub(crate) starved_from: u64,
}

impl Recent {
    /// How long it was, all of it.
    pub(crate) fn whole(&self) -> u64 {
        whole((self.begin, self.end, self.older))
    }

    /// Whether it is a long poll, as all sums call one so.
    pub(crate) fn is_long(&self) -> bool {
        self.whole() >= LONG_POLL.0
    }
}

/// One thread.
#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) recent: VecDeque<Recent>,
    /// Since when it has been in a poll that no other is around, and how long before what is read
    /// that had begun.
    pub(crate) polling: Option<(u64, u64)>,
    /// The future that was spawned on it last; 0 if none was.
    pub(crate) last_spawned: FutureId,
    /// Whether it has polled a task.
    pub(crate) has_polled: bool,
    /// The innermost poll of a task that is open on it when the trace ends.
    pub(crate) open: Option<Recent>,
    pub(crate) sums: Worker,
}

impl Thread {
    pub(crate) fn new(thread: ThreadId) -> Self {
        let sums = Worker { thread, ..Worker::default() };
        Self {
            recent: VecDeque::new(),
            polling: None,
            last_spawned: FutureId(0),
            has_polled: false,
            open: None,
            sums,
        }
    }

    /// The last long poll, if the thread has done nothing but poll since that was over.
    pub(crate) fn long_poll_before(&self, at: u64) -> Option<Recent> {
        let long = self.recent.iter().rev().find(|it| it.is_long())?;
        let later = self.recent.iter().rev().take_while(|it| it.serial != long.serial);
        let polled: u64 = later.map(|it| it.end - it.begin.max(long.end).min(it.end)).sum();
        let rest = at.saturating_sub(long.end).saturating_sub(polled);
        (rest <= long.whole() / RUNTIME_PART).then_some(*long)
    }

    /// The part of a time in which it was in one long poll.
    ///
    /// - `now`: the present moment.
    pub(crate) fn in_long_poll(&self, (from, to): Span, now: u64) -> Option<Span> {
        let open = self.polling.map(|(since, older)| (since, now, older));
        let all = self.recent.iter().map(|it| (it.begin, it.end, it.older)).chain(open);
        let long = all.filter(|it| whole(*it) >= LONG_POLL.0);
        let inside = long.map(|(begin, end, _)| (begin.max(from), end.min(to)));
        inside.filter(|(from, to)| from < to).max_by_key(|(from, to)| to - from)
    }

    /// A task's poll is over.
    pub(crate) fn remember(&mut self, recent: Recent) {
        if self.recent.len() >= RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(recent);
    }

    /// Counts a poll that no other is around.
    pub(crate) fn add_poll(&mut self, nanos: u64, older: u64, long: u64) {
        let whole = nanos.saturating_add(older);
        let sums = &mut self.sums;
        sums.polls += 1;
        sums.busy.0 = sums.busy.0.saturating_add(nanos);
        sums.longest = sums.longest.max(Nanos(whole));
        sums.long_polls += u64::from(whole >= long);
    }
}

/// How long a poll took with what it took before the part that is read.
fn whole((begin, end, older): (u64, u64, u64)) -> u64 {
    end.saturating_sub(begin).saturating_add(older)
}

/// Something is over inside of what has this chain.
///
/// - `link`: what to call it; what has no name only passes on what was in it.
/// - `inner`: the chain of what is over.
pub(crate) fn add_link(chain: &mut Vec<Link>, link: Option<Link>, inner: Vec<Link>) {
    let own = link.map_or_else(|| inner.first().map_or(0, |it| it.duration.0), |it| it.duration.0);
    let most = chain.first().map_or(0, |it| it.duration.0);
    if own >= LINK_NANOS_MIN && own > most {
        *chain = link.into_iter().chain(inner).take(CHAIN_MAX).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poll_that_is_as_old_as_can_be_is_long() {
        let mut thread = Thread::new(ThreadId(1));
        thread.polling = Some((10, u64::MAX));
        assert_eq!(thread.in_long_poll((0, 40), 30), Some((10, 30)));
    }
}
