//! The end of the trace: what is open lasts until then, and sums become what is returned.

use trace_format::id::{FutureId, SiteId, StackId, TaskId, ThreadId};
use trace_format::time::Nanos;

use super::for_tasks::TaskIdle;
use super::polls::PollDone;
use super::sums::{OnePoll, add};
use super::{AsyncTasks, Idle, Link, Phase, UNFINISHED_MAX, Unfinished};
use crate::hash::FastMap;
use crate::report::slow_tasks::TaskWait;
use crate::time::Moment;
use crate::timeline::futures::{AsyncReport, Here, Kind, Recent, State, innermost_poll};
use crate::timeline::{Activity, Frame, TaskState};

/// Maximum length of a chain of child futures; what lies further in is left out.
const CHAIN_MAX: usize = 32;

impl AsyncReport<'_> {
    /// - `unreadable`: batches and events that could not be read.
    /// - `too_deep`: things that lie deeper than readers keep.
    /// - Returns what is known of all, and what futures waited for that worked for the slow tasks,
    ///   of each of these.
    pub(crate) fn finish(
        mut self,
        unreadable: u64,
        too_deep: u64,
    ) -> (AsyncTasks, Vec<Vec<TaskWait>>) {
        let mut tasks: Vec<_> =
            self.known.iter().filter(|(_, state)| state.is_task() && !state.ended).collect();
        tasks.sort_by_key(|(id, _)| **id);
        let ids: Vec<_> = tasks.into_iter().map(|(id, _)| *id).collect();
        let mut unfinished: Vec<_> = ids.iter().filter_map(|id| self.unfinished(*id)).collect();
        unfinished.sort_by_key(|task| (task.since, task.task));
        unfinished.truncate(UNFINISHED_MAX);
        let open = self.end_open_polls();
        for id in ids {
            self.decide(id);
            self.still_idle(id);
            self.still_ready(id, &open);
            if let Some(state) = self.known.get(&id) {
                self.long.life(id, state, self.to, ThreadId(0));
            }
        }
        self.flush_early();
        let sums = &self.sums;
        let sites: Vec<SiteId> = sums.all.iter().map(|(_, sums)| sums.told.site).collect();
        let (late_waits, late_parties) = (self.waits.late(), self.waits.late_parties());
        let waits = self.waits.finish(|place| sites[place]);
        let ready = self.polls.ready.finish(|place| sites[place]);
        self.polls.tell(&mut self.sums);
        let (polls, delays) = self.polls.finish();
        let (sites, children) = self.sums.finish();
        let counts = |thread| self.counts_polls_of(thread);
        let threads = self.threads.iter().map(|thread| thread.sums);
        let polled = threads.filter(|sums| sums.polls > 0);
        let mut workers: Vec<_> = polled.filter(|it| counts(it.thread)).collect();
        workers.sort_by_key(|worker| worker.thread);
        let tasks = AsyncTasks {
            from: Nanos(self.from),
            to: Nanos(self.to),
            sites,
            children,
            polls,
            delays,
            waits,
            late_waits,
            late_parties,
            unfinished,
            workers,
            untracked: self.untracked,
            unreadable,
            too_deep,
            long: self.long.finish(),
            ready,
        };
        (tasks, self.for_tasks.finish())
    }

    fn unfinished(&mut self, id: FutureId) -> Option<Unfinished> {
        let state = self.known.get(&id)?;
        let (phase, since) = state.phase();
        let known_to = match phase {
            Phase::New | Phase::Ready => self.unpolled_to(since.inside().0).min(self.to),
            Phase::Polled | Phase::Idle => self.to,
        };
        let known_to = Nanos(known_to);
        let chain = self.chain(state);
        let (site, begin, polls) = (state.site, state.begin, state.polls);
        let unwakeable = state.unwakeable;
        let mut places = self.waits_at(id);
        let (stack, awaited) = places.remove(0);
        Some(Unfinished {
            task: id,
            site,
            begin,
            polls,
            phase,
            since,
            known_to,
            stack,
            awaited,
            one_of: places,
            unwakeable,
            chain,
        })
    }

    /// What tasks still do, for an observer. Polls that are open were told of by their threads.
    pub(crate) fn draw_unfinished(&mut self) {
        let tasks = self.known.iter().filter(|(_, state)| state.is_task() && !state.ended);
        let mut ids: Vec<_> = tasks.map(|(id, _)| *id).collect();
        ids.sort_unstable();
        for id in ids {
            self.decide(id);
            let Some(state) = self.known.get(&id) else { continue };
            let (phase, since) = state.phase();
            let is_idle = state.idle_since().is_some();
            let idle_since = Moment::older(state.polled.1, state.older);
            let waiting = self.waiting(id, state, FutureId(0));
            let idle = TaskState::Idle(waiting.first().map_or(StackId(0), |it| it.stack));
            match phase {
                Phase::Polled => {}
                Phase::New if state.kind == Kind::Polled => {}
                Phase::New | Phase::Ready => {
                    let ready = since.inside().0;
                    let known_to = self.unpolled_to(ready);
                    if is_idle {
                        self.draw(id, idle, idle_since, Some(ready));
                    }
                    let to = Some(known_to).filter(|known_to| *known_to < self.to);
                    self.draw(id, TaskState::Ready, since, to);
                }
                Phase::Idle if is_idle => self.draw(id, idle, since, None),
                Phase::Idle => {}
            }
        }
    }

    /// The child futures that a task is in, outermost first.
    fn chain(&self, task: &State) -> Vec<(FutureId, SiteId)> {
        let (mut chain, mut next) = (Vec::new(), task.child);
        while let Some(child) = self.known.get(&next).filter(|it| !it.ended && !it.is_task()) {
            if chain.len() >= CHAIN_MAX {
                break;
            }
            chain.push((next, child.site));
            next = child.child;
        }
        chain
    }

    /// A task is idle to the end.
    fn still_idle(&mut self, id: FutureId) {
        let Some(task) = self.known.get(&id) else { return };
        // A future in it that waits may work for a task that it does not work for itself.
        let waiting = self.waiting(id, task, FutureId(0));
        let works_for = waiting.first().map_or(task.works_for, |it| it.works_for);
        let mut places = self.waits_at(id);
        let place = places.remove(0);
        let Some(state) = self.known.get_mut(&id) else { return };
        let sums = state.sums;
        let told = self.sums.at(sums);
        told.futile_wakes += u64::from(std::mem::take(&mut state.is_futile));
        told.never_polled += u64::from(state.polls == 0);
        told.unwakeable += u64::from(state.unwakeable);
        // Its runtime may have said already since when it has been ready.
        let to = state.ready.map_or(self.to, |ready| ready.min(self.to));
        let Some(since) = state.idle_since().filter(|since| *since < to) else { return };
        add(&mut told.idle, to - since);
        let begin = Moment::older(since, state.older);
        let (duration, inside) = (begin.until(Nanos(to)), Nanos(to - since));
        let idle = Idle { task: id, begin, duration, inside, waker: None };
        self.waits.add(sums, place, &places, idle, None, to < self.to);
        let span = (since, to);
        self.long.idle(id, span, place, None);
        let waker_works_for = TaskId(0);
        let idle = TaskIdle { site: state.site, place, others: &places, span, waker_works_for };
        self.for_tasks.add(works_for, &idle);
    }

    /// A task is ready to the end.
    ///
    /// - `open`: the threads that are in polls of tasks, and their numbers.
    fn still_ready(&mut self, id: FutureId, open: &FastMap<ThreadId, usize>) {
        let Some(state) = self.known.get(&id).filter(|it| it.open == 0) else { return };
        let Some((since, to)) = self.ready_unpolled(state, self.to) else { return };
        let who = self.kept_by(state, open);
        self.was_ready(id, (since.max(self.from), to), who);
    }

    /// Polls that are open are the last of their threads. Returns which threads have one, and their
    /// numbers.
    fn end_open_polls(&mut self) -> FastMap<ThreadId, usize> {
        let mut open = FastMap::default();
        for (who, thread) in self.threads.iter_mut().enumerate() {
            if let Some(poll) = thread.open {
                thread.remember(poll);
                open.insert(thread.sums.thread, who);
            }
        }
        open
    }

    /// Polls of which no event told whose they were.
    fn flush_early(&mut self) {
        for state in self.known.values_mut() {
            for poll in std::mem::take(&mut state.early) {
                self.sums.poll(state.sums, poll);
            }
        }
    }

    /// A poll is open when the trace ends, innermost first: a thread that is stuck has nothing else
    /// to show. Returns what names it in the chain of what is around it.
    ///
    /// - `here`: what is around it.
    pub(crate) fn open_at_end(
        &mut self,
        here: Here<'_>,
        id: FutureId,
        frame: &Frame,
        activity: Option<Box<Activity>>,
    ) -> Option<Link> {
        let counts = self.counts_polls_of(here.thread);
        let state = self.known.get_mut(&id)?;
        let (site, sums, ready) = (state.site, state.sums, state.delay.take());
        let (begin, older) = (frame.begin.min(self.to), frame.older);
        let nanos = self.to - begin;
        let is_task = state.is_task();
        if counts {
            self.sums.open_poll(sums, OnePoll { nanos, older, ready });
        }
        if is_task {
            self.open_task_poll(here, (id, site, sums), frame, activity);
        }
        Some(Link { site, future: id, duration: Nanos(nanos.saturating_add(older)) })
    }

    fn open_task_poll(
        &mut self,
        here: Here<'_>,
        (task, site, sums): (FutureId, SiteId, usize),
        frame: &Frame,
        activity: Option<Box<Activity>>,
    ) {
        let (thread, end) = (here.thread, self.to);
        let (begin, older) = (frame.begin.min(end), frame.older);
        let since = Moment::older(begin, older);
        self.draw(task, TaskState::Polled(thread), since, None);
        let mut serial = 0;
        if self.counts_polls_of(thread) {
            let done = PollDone { task, site, thread, begin: since, end, is_over: false };
            serial = self.polls.add(sums, done, frame.chain.links(), activity);
        }
        let is_outermost = innermost_poll(here.polls).is_none();
        let thread = self.thread(here.who, thread);
        if is_outermost {
            thread.add_poll(end - begin, older, super::LONG_POLL.0);
        }
        let poll = Recent { serial, task, sums, begin, end, older, starved_from: end };
        thread.open.get_or_insert(poll);
    }
}
