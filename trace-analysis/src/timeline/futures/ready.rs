//! A task that is ready and that no poll is seen to take: it was dropped, or all ends before that.
//!
//! Elsewhere: one that is polled in the end (`events`).

use trace_format::id::{FutureId, ThreadId};

use super::{AsyncReport, State, Thread};
use crate::hash::FastMap;
use crate::report::async_tasks::Late;
use crate::spans::Span;
use crate::time::Moment;

impl AsyncReport<'_> {
    /// A task was ready, and no poll ended that: it was dropped, or still is ready at the end.
    ///
    /// - `who`: the number of the thread that is to poll it once an open poll there is over; `None`
    ///   if it waits for no such thread, so that it counts for none that were chosen.
    pub(crate) fn was_ready(&mut self, id: FutureId, (ready, at): Span, who: Option<usize>) {
        let Some(state) = self.known.get(&id).filter(|_| at > ready) else { return };
        let (site, sums) = (state.site, state.sums);
        let (is_polled, is_since_before) = (false, self.is_since_before(ready));
        let mut nobody = Thread::new(ThreadId(0));
        let of_threads = &self.of_threads;
        let thread = who.and_then(|who| self.threads.get_mut(who)).unwrap_or(&mut nobody);
        if !of_threads.wants(thread.sums.thread) {
            return;
        }
        self.sums.ready_unpolled(sums, at - ready);
        let late = Late { task: id, site, sums, ready, at, is_since_before, is_polled };
        let sums = &self.sums;
        self.polls.late(thread, late, |place| sums.all[place].1.told.site);
    }

    /// From when to when a task has surely been ready that was not polled in all that is read;
    /// `None` if it was not.
    ///
    /// - `at`: until when it can have been.
    pub(crate) fn ready_unpolled(&self, task: &State, at: u64) -> Option<Span> {
        let since = task.ready_since()?;
        Some((since, self.unpolled_to(since).min(at)))
    }

    /// Until when what has been ready since then has surely not been polled, of what no poll is
    /// seen; the greatest time if nothing is missing. Events of a thread that polls tasks, or of
    /// any if none is seen to, may be missing behind that.
    pub(crate) fn unpolled_to(&self, since: u64) -> u64 {
        let has_pollers = self.threads.iter().any(|thread| thread.has_polled);
        let has_polled = |who: usize| self.threads.get(who).is_some_and(|it| it.has_polled);
        self.losses.first_behind(since, |who| !has_pollers || has_polled(who))
    }

    /// Whether what is ready since then was so before the begin of what is read.
    ///
    /// - `ready`: cut to the window.
    pub(crate) fn is_since_before(&self, ready: u64) -> bool {
        self.from > 0 && ready <= self.from
    }

    /// The thread whose open poll a ready task waits for. Runtimes give a task to the thread that
    /// wakes or spawns it, if that polls such tasks; else any of those that do could poll it, so
    /// all must be in polls: then it is the one that has been so longest.
    pub(crate) fn kept_by(&self, task: &State, open: &FastMap<ThreadId, usize>) -> Option<usize> {
        let given_by = task.woken.map_or(task.spawner.thread, |woken| woken.thread);
        let given_by = open.get(&given_by).copied();
        let pollers = || self.polls.ready.pollers(task.sums);
        let is_poller = |who: &usize| pollers().next().is_none() || pollers().any(|it| it == *who);
        if let Some(who) = given_by.filter(is_poller) {
            return Some(who);
        }
        let since = |who: usize| {
            let poll = self.threads.get(who)?.open?;
            Some((Moment::older(poll.begin, poll.older), who))
        };
        let polls: Option<Vec<_>> = pollers().map(since).collect();
        Some(polls?.into_iter().min()?.1)
    }
}
