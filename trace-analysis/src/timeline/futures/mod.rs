//! The state of all async tasks: the walk calls it for polls and for events of futures.
//!
//! What happened before the window explains what is so in it, so it is followed from the trace's
//! begin; times are cut to the window, and what was counted before it is forgotten where it begins.
//!
//! - `events` is what happens to futures, `state` one future, `worker` one thread that polls,
//!   `wrapped` what is one task and two futures.
//! - `idle` finds where a task waits, and for which of several futures; `ready` is about a task
//!   that could go on and is not polled; `losses` has when a poll may be missing; `places` finds
//!   where stacks are in the program.
//!
//! Elsewhere: what is open on threads, and in which order things end (`timeline`); sums, which this
//! calls as it goes (`report::async_tasks`).

mod events;
mod idle;
mod losses;
mod places;
mod ready;
mod state;
mod worker;
mod wrapped;

use std::collections::{HashSet, VecDeque};

use trace_format::definition::CallsiteKind;
use trace_format::header::BatchKind;
use trace_format::id::{FutureId, SiteId, ThreadId};
use trace_format::index::IndexEntry;
use trace_format::read::{ReadAt, Tables, TraceFile};
use trace_format::time::{Nanos, Ticks};

pub(crate) use self::events::Here;
pub(crate) use self::idle::HolderThen;
use self::losses::LossTimes;
pub(crate) use self::places::Places;
pub(crate) use self::state::{Kind, State};
use self::worker::LINK_NANOS_MIN;
pub use self::worker::Link;
pub(crate) use self::worker::{Recent, Thread, add_link};
use crate::hash::FastMap;
use crate::report::async_tasks::{ForTasks, LongTasks, Polls, SumTable, Waits, Worker, add};
use crate::report::slow_tasks::SlowTask;
use crate::spans::Span;
use crate::symbols::Symbols;
use crate::time::Moment;
use crate::timeline::{FutureBegun, TaskInterval, TaskState};
use crate::trace::Threads;

/// Everything known of async tasks so far.
#[derive(Debug)]
pub(crate) struct AsyncReport<'f> {
    pub(crate) tables: &'f Tables,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) known: FastMap<FutureId, State>,
    /// Futures that ended, with their places among the sums, for what comes late.
    pub(crate) ended: FastMap<FutureId, usize>,
    pub(crate) ended_first: VecDeque<FutureId>,
    /// By the timeline's number of the thread.
    pub(crate) threads: Vec<Thread>,
    pub(crate) sums: SumTable,
    pub(crate) waits: Waits,
    pub(crate) polls: Polls,
    pub(crate) long: LongTasks,
    /// The threads whose polls count.
    of_threads: Threads,
    pub(crate) places: Places<'f>,
    pub(crate) for_tasks: ForTasks,
    /// Regions in which workers have nothing to do.
    parked: HashSet<SiteId>,
    /// Ticks that are surely less than what is worth a place in a chain.
    fast: u64,
    pub(crate) untracked: u64,
    /// When events of threads are missing, be they polls.
    losses: LossTimes,
    /// What an observer is to be told, if there is one.
    pub(crate) news: Option<Vec<News>>,
    /// The last number that was given to an edge.
    pub(crate) edges: u64,
}

/// Something for an observer of the walk.
#[derive(Clone, Copy, Debug)]
pub(crate) enum News {
    /// A future is known from now on; its arguments are with the event.
    Begun(FutureBegun<'static>),
    /// A task did something.
    Interval(TaskInterval),
}

/// Whether a trace may have futures.
pub(crate) fn has_futures(tables: &Tables) -> bool {
    let is_future = |kind| kind == CallsiteKind::Future;
    !tables.futures.is_empty() || tables.callsites.iter().any(|site| is_future(site.kind))
}

/// The events of futures that came later are in the trace: the begin of its first generation, or
/// of the first thread's events.
fn told_from<S: ReadAt>(file: &TraceFile<S>) -> Ticks {
    let is_threads =
        |entry: &&IndexEntry| entry.kind == BatchKind::Events && entry.thread.as_cpu().is_none();
    let events = file.index().iter().filter(is_threads).map(|entry| entry.base_ticks).min();
    let generation = file.tables().generations.first().map(|first| first.ticks);
    events.max(generation).unwrap_or(Ticks(u64::MAX))
}

impl<'f> AsyncReport<'f> {
    /// - `from`, `to`: the window, in nanoseconds.
    /// - `slow`: tasks of the user's whose futures are followed.
    /// - `is_observed`: whether there is an observer, who takes the news.
    pub(crate) fn new<S: ReadAt>(
        file: &'f TraceFile<S>,
        (from, to): (u64, u64),
        slow: &[SlowTask],
        symbols: &'f Symbols,
        is_observed: bool,
    ) -> Self {
        let tables = file.tables();
        let parked = tables.callsites.iter().filter(|site| site.name == "parked");
        let mut report = Self {
            tables,
            from,
            to,
            known: FastMap::default(),
            ended: FastMap::default(),
            ended_first: VecDeque::new(),
            threads: Vec::new(),
            sums: SumTable::new(),
            waits: Waits::new(),
            polls: Polls::default(),
            long: LongTasks::new(to.saturating_sub(from)),
            of_threads: Threads::default(),
            places: Places::new(tables, symbols),
            for_tasks: ForTasks::new(slow, (from, to)),
            parked: parked.map(|site| site.id).collect(),
            // The clock's rate may have changed by a little.
            fast: (tables.clock.frequency_hz() / 1e9 * LINK_NANOS_MIN as f64 / 2.0) as u64,
            untracked: 0,
            losses: LossTimes::default(),
            news: is_observed.then(Vec::new),
            edges: 0,
        };
        let first = told_from(file);
        let older = tables.futures.values().filter(|it| !it.is_old && it.begin < first);
        older.for_each(|state| report.remember(state));
        report
    }

    /// Only polls on these threads count, and what was ready for them.
    pub(crate) fn with_threads(mut self, threads: &Threads) -> Self {
        self.of_threads = threads.clone();
        self
    }

    /// Whether polls on this thread count.
    pub(crate) fn counts_polls_of(&self, thread: ThreadId) -> bool {
        self.of_threads.wants(thread)
    }

    pub(crate) fn nanos(&self, ticks: Ticks) -> u64 {
        self.tables.clock.nanos(ticks).0.clamp(self.from, self.to)
    }

    /// The same, wherever it lies.
    pub(crate) fn moment(&self, ticks: Ticks) -> Moment {
        Moment(self.tables.clock.signed_nanos(ticks))
    }

    /// The thread with this number.
    pub(crate) fn thread(&mut self, who: usize, thread: ThreadId) -> &mut Thread {
        while self.threads.len() <= who {
            self.threads.push(Thread::new(ThreadId(0)));
        }
        self.threads[who].sums.thread = thread;
        &mut self.threads[who]
    }

    /// The window begins: what was counted until now does not count.
    pub(crate) fn restart(&mut self) {
        self.sums.restart();
        self.waits.restart();
        self.polls.restart();
        self.long.restart();
        self.untracked = 0;
        for thread in &mut self.threads {
            thread.recent.clear();
            thread.sums = Worker { thread: thread.sums.thread, ..Default::default() };
        }
        for state in self.known.values_mut() {
            (state.polls, state.is_futile) = (state.polls.min(1), false);
            // What a poll that is open was late by lies before the window.
            state.delay = None;
            state.past.clear();
            state.early.clear();
            state.undecided = None;
        }
    }

    /// Whether a complete region is too fast to be named: most are.
    #[inline]
    pub(crate) fn is_fast_region(&self, site: SiteId, duration: Ticks) -> bool {
        duration.0 < self.fast && !self.parked.contains(&site)
    }

    /// A region is over. Returns what names it in the chain of what is around it, if it took long
    /// enough.
    pub(crate) fn closed_region(
        &mut self,
        (who, thread): (usize, ThreadId),
        site: SiteId,
        nanos: u64,
    ) -> Option<Link> {
        if self.parked.contains(&site) {
            add(&mut self.thread(who, thread).sums.parked, nanos);
        } else if nanos < LINK_NANOS_MIN {
            return None;
        }
        Some(Link { site, future: FutureId(0), duration: Nanos(nanos) })
    }

    /// Events of a thread are missing: it may have polled any task meanwhile.
    ///
    /// - `who`: the timeline's number of it.
    /// - `to`: the greatest time if it is not known yet.
    pub(crate) fn lose_events(&mut self, who: usize, (from, to): Span) {
        self.losses.add(who, (from, to));
    }

    /// A thread of which events were missing tells what it does again.
    pub(crate) fn end_loss(&mut self, who: usize, at: u64) {
        self.losses.end(who, at);
    }

    /// Events of a thread are missing: a poll that was open may be so no longer.
    ///
    /// - `at`: the last moment at which it may have been. What woke the task until then may have
    ///   led to another poll.
    /// - `thread`: the walk's number of it, and the trace's.
    pub(crate) fn lost_poll(
        &mut self,
        future: FutureId,
        (who, thread): (usize, ThreadId),
        at: u64,
    ) {
        let Some(state) = self.known.get_mut(&future) else { return };
        state.open = state.open.saturating_sub(1);
        let begin = Moment::older(state.polled.0, state.older);
        state.polled.1 = state.polled.1.max(state.polled.0);
        state.is_lost = state.open == 0;
        if state.is_lost {
            state.woken.take_if(|woken| woken.at <= at);
            state.ready.take_if(|ready| *ready <= at);
        }
        let (is_task, sums) = (state.is_task(), state.sums);
        let ready = state.delay.take_if(|_| state.is_lost);
        if let Some(ready) = ready.filter(|_| self.of_threads.wants(thread)) {
            self.sums.ready(sums, ready);
        }
        if let Some(it) = self.threads.get_mut(who) {
            it.polling = None;
        }
        if is_task {
            self.draw(future, TaskState::Polled(thread), begin, Some(at));
        }
    }

    /// A task did this.
    pub(crate) fn draw(&mut self, task: FutureId, state: TaskState, from: Moment, to: Option<u64>) {
        let Some(interval) = self.drawn(task, state, from, to) else { return };
        match self.known.get_mut(&task) {
            Some(known) if known.undecided.is_some() => known.untold.push(interval),
            _ => self.news.iter_mut().for_each(|news| news.push(News::Interval(interval))),
        }
    }

    /// A task did this: what an observer is to be told, if there is one. What nobody has told of
    /// yet is not drawn, and nothing behind the end of a task.
    pub(crate) fn drawn(
        &mut self,
        task: FutureId,
        state: TaskState,
        from: Moment,
        to: Option<u64>,
    ) -> Option<TaskInterval> {
        self.news.as_ref()?;
        let known = self.known.get_mut(&task).filter(|known| known.is_told && !known.ended)?;
        // A future that two threads poll at once is in one state all the same.
        let from = from.max(known.drawn);
        let to = to.map(Nanos);
        let until = to.map_or(Moment(i64::MAX), Moment::from);
        if until <= from {
            return None;
        }
        known.drawn = until;
        Some(TaskInterval { task, state, from, to })
    }

    /// The next number of an edge; 0 if nobody looks.
    pub(crate) fn edge(&mut self) -> u64 {
        if self.news.is_none() {
            return 0;
        }
        self.edges += 1;
        self.edges
    }

    /// What an observer was not told yet.
    pub(crate) fn take_news(&mut self) -> Vec<News> {
        self.news.as_mut().map_or(Vec::new(), std::mem::take)
    }
}

/// The future that is polled innermost.
pub(crate) fn innermost_poll(polls: &[FutureId]) -> Option<FutureId> {
    polls.last().copied()
}

/// Whether this future is polled.
pub(crate) fn is_polling(polls: &[FutureId], future: FutureId) -> bool {
    polls.contains(&future)
}
