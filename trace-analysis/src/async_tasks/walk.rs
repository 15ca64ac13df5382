//! The walk over all events in the order of time: what is open on each thread, and for how long.
//!
//! All of a trace is walked up to the window's end, for what happened before explains what is so
//! in it; but times are cut to the window, and what was counted before it is forgotten where it
//! begins.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::ControlFlow;

use trace_format::definition::CallsiteKind;
use trace_format::event::{Event, EventKind};
use trace_format::header::BatchKind;
use trace_format::id::{FutureId, Open, SiteId, StackId, ThreadId};
use trace_format::read::{ReadAt, Tables, Timed, TraceFile, Window};
use trace_format::time::{Nanos, Ticks};

use super::Link;
use super::places::Places;
use super::polls::Polls;
use super::state::State;
use super::sums::{SumTable, add};
use super::waits::Waits;
use super::worker::{Frame, LINK_NANOS_MIN, Thread};
use crate::life::Pending;
use crate::summary::{Options, Progress, bounds};
use crate::symbols::Symbols;
use crate::time::Moment;

/// Between two reports of progress.
const PROGRESS_EVENTS: u64 = 1 << 18;

/// So many threads are told apart; what others do is not looked at.
const THREADS_MAX: usize = 1 << 16;

/// A trace being walked.
#[derive(Debug)]
pub(super) struct Walk<'f, S> {
    file: &'f TraceFile<S>,
    pub(super) tables: &'f Tables,
    pub(super) from: u64,
    pub(super) to: u64,
    end: Option<Ticks>,
    /// Whether the window has begun.
    is_inside: bool,
    pub(super) known: HashMap<FutureId, State>,
    /// Futures that ended, with their places among the sums, for what comes late.
    pub(super) ended: HashMap<FutureId, usize>,
    pub(super) ended_first: VecDeque<FutureId>,
    pub(super) threads: Vec<Thread>,
    by_id: HashMap<ThreadId, usize>,
    /// Whose event was the last.
    last: (ThreadId, usize),
    pub(super) sums: SumTable,
    pub(super) waits: Waits,
    pub(super) polls: Polls,
    pub(super) places: Places<'f>,
    pending: Pending,
    /// Regions in which workers have nothing to do.
    parked: HashSet<SiteId>,
    /// Ticks that are surely less than what is worth a place in a chain.
    fast: u64,
    pub(super) untracked: u64,
    pub(super) unreadable: u64,
}

/// Whether a trace may have futures.
pub(super) fn has_futures(tables: &Tables) -> bool {
    let is_future = |kind| kind == CallsiteKind::Future;
    !tables.futures.is_empty() || tables.callsites.iter().any(|site| is_future(site.kind))
}

impl<'f, S: ReadAt + Sync> Walk<'f, S> {
    pub(super) fn new(file: &'f TraceFile<S>, options: &Options, symbols: &'f Symbols) -> Self {
        let tables = file.tables();
        let (begin, end) = bounds(file);
        let nanos = |ticks: Ticks| tables.clock.nanos(ticks).0;
        let from = nanos(options.from.unwrap_or(begin).max(begin));
        let to = nanos(options.to.unwrap_or(end).min(end)).max(from);
        let parked = tables.callsites.iter().filter(|site| site.name == "parked");
        let is_poll = |open: &Open| matches!(open, Open::Poll(_));
        let mut walk = Self {
            file,
            tables,
            from,
            to,
            end: options.to,
            is_inside: false,
            known: HashMap::new(),
            ended: HashMap::new(),
            ended_first: VecDeque::new(),
            threads: Vec::new(),
            by_id: HashMap::new(),
            last: (ThreadId(0), usize::MAX),
            sums: SumTable::new(),
            waits: Waits::new(),
            polls: Polls::default(),
            places: Places::new(tables, symbols),
            pending: Pending::of(file, is_poll),
            parked: parked.map(|site| site.id).collect(),
            // The clock's rate may have changed by a little.
            fast: (tables.clock.frequency_hz() / 1e9 * LINK_NANOS_MIN as f64 / 2.0) as u64,
            untracked: 0,
            unreadable: 0,
        };
        let events = file.index().iter().filter(|entry| entry.kind == BatchKind::Events);
        let first = events.map(|entry| entry.base_ticks).min().unwrap_or(end);
        let older = tables.futures.values().filter(|state| state.begin < first);
        older.for_each(|state| walk.remember(state));
        walk
    }

    pub(super) fn nanos(&self, ticks: Ticks) -> u64 {
        self.tables.clock.nanos(ticks).0.clamp(self.from, self.to)
    }

    /// The same, wherever it lies.
    pub(super) fn moment(&self, ticks: Ticks) -> Moment {
        Moment(self.tables.clock.signed_nanos(ticks))
    }

    /// Walks all events.
    pub(super) fn walk(&mut self, mut progress: impl FnMut(Progress)) {
        let window = Window { from: None, to: self.end, thread: None };
        let mut order = self.file.in_order(window);
        let entries = self.file.index().iter().map(|entry| u64::from(entry.bytes));
        let bytes_total = entries.sum::<u64>();
        let mut count = 0_u64;
        loop {
            let walked = order.for_each(|timed| {
                count += 1;
                if count.is_multiple_of(PROGRESS_EVENTS) {
                    let at = self.tables.clock.nanos(timed.event.ticks).0.min(self.to);
                    let bytes = (bytes_total as f64 * (at as f64 / self.to.max(1) as f64)) as u64;
                    progress(Progress { bytes, bytes_total });
                }
                self.event(timed);
                ControlFlow::Continue(())
            });
            let Err(_) = walked else { break };
            self.unreadable += 1;
            if let Some(thread) = order.fault_thread().filter(|id| id.as_cpu().is_none())
                && let Some(who) = self.thread(thread)
            {
                self.lose(who);
            }
        }
        self.begin_pending(Ticks(u64::MAX));
        self.begin_window();
        progress(Progress { bytes: bytes_total, bytes_total });
    }

    #[inline]
    fn thread(&mut self, thread: ThreadId) -> Option<usize> {
        if self.last.0 == thread && self.last.1 < self.threads.len() {
            return Some(self.last.1);
        }
        let next = self.threads.len();
        let known = self.by_id.get(&thread).copied();
        if known.is_none() && next >= THREADS_MAX {
            return None;
        }
        let who = known.unwrap_or_else(|| {
            self.by_id.insert(thread, next);
            self.threads.push(Thread::new(thread));
            next
        });
        self.last = (thread, who);
        Some(who)
    }

    /// What was counted until the window begins does not count.
    fn begin_window(&mut self) {
        if std::mem::replace(&mut self.is_inside, true) {
            return;
        }
        self.sums.restart();
        self.waits.restart();
        self.polls = Polls::default();
        self.untracked = 0;
        for thread in &mut self.threads {
            thread.recent.clear();
            thread.sums = super::Worker { thread: thread.sums.thread, ..Default::default() };
        }
        for state in self.known.values_mut() {
            (state.polls, state.is_futile) = (state.polls.min(1), false);
            state.past.clear();
            state.early.clear();
        }
    }

    /// Opens the polls that began before then and are not open yet: a begin is written only when
    /// something happens inside.
    #[inline]
    fn begin_pending(&mut self, at: Ticks) {
        while let Some((begin, thread, open)) = self.pending.before(at) {
            let at = self.nanos(begin);
            let Some(who) = self.thread(thread) else { continue };
            let mut frames = self.threads[who].frames.iter();
            if !frames.any(|frame| (frame.open, frame.begin) == (open, at)) {
                self.open_since(who, open, begin);
            }
        }
    }

    #[inline]
    fn event(&mut self, timed: Timed<'_>) {
        let Timed { thread, event } = timed;
        if thread.as_cpu().is_some() {
            return;
        }
        self.begin_pending(event.ticks);
        let Some(who) = self.thread(thread) else { return };
        if self.is_fast_region(&event.kind) {
            self.threads[who].touch();
            return;
        }
        let at = self.tables.clock.nanos(event.ticks).0;
        if !self.is_inside && at >= self.from {
            self.begin_window();
        }
        self.thread_event(who, at.clamp(self.from, self.to), &event);
    }

    /// Whether an event is a region that is too fast to be named: most are, and no time need be
    /// told of them.
    #[inline]
    fn is_fast_region(&self, kind: &EventKind<'_>) -> bool {
        match kind {
            EventKind::Region { site, duration, .. } => {
                self.is_inside && duration.0 < self.fast && !self.parked.contains(site)
            }
            _ => false,
        }
    }

    fn thread_event(&mut self, who: usize, at: u64, event: &Event<'_>) {
        let end = |duration: Ticks| self.nanos(Ticks(event.ticks.0.saturating_add(duration.0)));
        let since = |since: Ticks| Ticks(event.ticks.0.saturating_sub(since.0));
        match event.kind {
            EventKind::Region { site, duration, .. } => {
                let end = end(duration);
                self.threads[who].touch();
                self.closed_region(who, site, end.saturating_sub(at), Vec::new());
            }
            EventKind::RegionBegin { site, .. } => self.open(who, Open::Region(site), at),
            EventKind::End | EventKind::EndValue { .. } => self.close(who, at, StackId(0)),
            EventKind::Call { .. } => self.threads[who].touch(),
            EventKind::CallBegin { call } => self.open(who, Open::Call(call), at),
            EventKind::EndCall { .. } => self.end_call(who, at),
            EventKind::TaskRun { .. } => self.threads[who].touch(),
            EventKind::TaskRunBegin { task } => self.open(who, Open::Task(task), at),
            EventKind::Poll { future, waits_at, duration } => {
                let end = end(duration);
                self.open(who, Open::Poll(future), at);
                self.close(who, end, waits_at);
            }
            EventKind::PollBegin { future } => self.open(who, Open::Poll(future), at),
            EventKind::EndPoll { waits_at } => self.close(who, at, waits_at),
            EventKind::Reopen { open, since: ago } => self.open_since(who, open, since(ago)),
            EventKind::EndDetached { open, since: ago } => {
                let begin = self.nanos(since(ago));
                self.end_detached(who, open, begin, at);
            }
            EventKind::Dropped { ends, .. } if ends > 0 => self.lose(who),
            EventKind::Ready { since: ago, .. } => {
                let ready = self.nanos(since(ago));
                self.future_event(who, at, &event.kind, ready);
            }
            _ => self.future_event(who, at, &event.kind, at),
        }
    }

    /// Opens what began then, perhaps before what is read.
    fn open_since(&mut self, who: usize, open: Open, begin: Ticks) {
        let older = self.moment(begin).before(self.from);
        let depth = self.threads[who].frames.len();
        self.open(who, open, self.nanos(begin));
        if let Some(frame) = self.threads[who].frames.get_mut(depth) {
            frame.older = older;
        }
        if let Open::Poll(future) = open
            && let Some(state) = self.known.get_mut(&future)
        {
            state.older = older;
        }
    }

    fn open(&mut self, who: usize, open: Open, begin: u64) {
        self.threads[who].touch();
        let Open::Poll(future) = open else {
            self.threads[who].push(open, begin);
            return;
        };
        let around = self.threads[who].innermost_poll();
        self.threads[who].push(open, begin);
        self.begin_poll(who, future, around, begin);
    }

    fn close(&mut self, who: usize, at: u64, waits_at: StackId) {
        if let Some(frame) = self.threads[who].pop() {
            self.closed(who, frame, at, waits_at);
        }
    }

    /// Something is no longer open.
    pub(super) fn closed(&mut self, who: usize, frame: Frame, at: u64, waits_at: StackId) {
        let nanos = at.saturating_sub(frame.begin);
        match frame.open {
            Open::Region(site) => self.closed_region(who, site, nanos, frame.chain),
            Open::Poll(future) => {
                self.end_poll(who, future, frame, at, waits_at);
            }
            Open::Call(_) | Open::Task(_) => self.threads[who].add_link(None, frame.chain),
        }
    }

    #[inline]
    fn closed_region(&mut self, who: usize, site: SiteId, nanos: u64, chain: Vec<Link>) {
        if nanos < LINK_NANOS_MIN && !self.parked.contains(&site) {
            return;
        }
        let thread = &mut self.threads[who];
        if self.parked.contains(&site) {
            add(&mut thread.sums.parked, nanos);
        }
        let link = Link { site, future: FutureId(0), duration: Nanos(nanos) };
        thread.add_link(Some(link), chain);
    }

    /// A call's end: what is open inside it has lost its own.
    fn end_call(&mut self, who: usize, at: u64) {
        let is_call = |frame: &Frame| matches!(frame.open, Open::Call(_));
        let place = self.threads[who].frames.iter().rposition(is_call);
        let depth = place.unwrap_or(self.threads[who].frames.len().saturating_sub(1));
        self.close_to(who, depth, at);
    }

    fn end_detached(&mut self, who: usize, open: Open, begin: u64, at: u64) {
        let mut frames = self.threads[who].frames.iter();
        if let Some(place) = frames.rposition(|it| it.open == open && it.begin == begin) {
            self.close_to(who, place, at);
        }
    }

    fn close_to(&mut self, who: usize, depth: usize, at: u64) {
        while self.threads[who].frames.len() > depth {
            self.close(who, at, StackId(0));
        }
    }

    /// Events of a thread are missing: what was open may be so no longer.
    fn lose(&mut self, who: usize) {
        for frame in self.threads[who].lose() {
            if let Open::Poll(future) = frame.open
                && let Some(state) = self.known.get_mut(&future)
            {
                state.open = state.open.saturating_sub(1);
                state.polled.1 = state.polled.1.max(state.polled.0);
            }
        }
    }
}
