//! The timeline: each event, in the order of time, goes to the thread or CPU it is about.
//!
//! Something complete is met at its begin, with its end: it is opened there, and closed as soon as
//! time has come to its end. For waits at addresses and for polls that must be before anything
//! later is looked at, as others refer to them, so their ends wait in a heap.
//!
//! Elsewhere: what begins and ends on threads (`nesting`), what is over (`closed`), CPUs
//! (`switches`), the loop itself (`crate::walk`).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use trace_format::call::CallClass;
use trace_format::definition::OpenSince;
use trace_format::event::{Event, EventKind};
use trace_format::id::{CallId, FutureId, Open, StackId, ThreadId};
use trace_format::read::{
    ClockCursor, ReadAt, Tables, Thread, ThreadState, Timed, TraceFile, Window,
};
use trace_format::time::{Nanos, Ticks};
use trace_format::value::Values;

use super::closed::Over;
use super::cpus::Cpus;
use super::finish::threads_that_go_on;
use super::futex::Futexes;
use super::futures::AsyncReport;
use super::hands::LockHands;
use super::observed::Given;
use super::places::Places;
use super::standstill::{Stops, standstills};
use super::start::read_from;
use super::thread::Living;
use super::who::{Who, unjoined_since};
use super::{Fold, Found, How, Loss, Note, Observer};
use crate::time::Moment;
use crate::trace::Trace;
use crate::trace::{Options, Progress, bounds};
use crate::walk::{Fault, Missing, PendingBegin, Visitor, walk};

/// Maximum number of threads that recorded nothing and are known from CPUs.
const STRANGERS_MAX: usize = 1 << 16;

/// Errors that say that nothing was waited for.
pub(super) const EAGAIN: i64 = -11;

/// The end of what is complete, and goes on when the window ends.
pub(super) const BEYOND: u64 = u64::MAX;

/// A trace being walked.
pub(crate) struct Walk<'f, O, F> {
    pub(super) tables: &'f Tables,
    clock: ClockCursor<'f>,
    /// The begin of what is read, and the window's once that has begun.
    pub(super) from: u64,
    pub(super) to: u64,
    /// From when on what happens counts.
    pub(super) window_from: u64,
    /// From when on events are read, if not from the trace's begin on.
    pub(super) read_from: Option<Ticks>,
    /// Whether the window has begun.
    pub(super) is_inside: bool,
    pub(super) living: Vec<Living>,
    /// Of each of `living`: which, or the system's id of a stranger.
    pub(super) names: Vec<(ThreadId, u64)>,
    pub(super) who: Who,
    strangers: usize,
    pub(super) cpus: Cpus,
    /// Threads of which it is known whether they run, and some of which it was.
    pub(super) switched: Vec<usize>,
    pub(super) futexes: Futexes,
    /// Who waits for one lock, while that is looked at: kept for its memory.
    pub(super) waiters: Vec<usize>,
    pub(super) hands: LockHands,
    pub(super) places: Places<'f>,
    /// What is known of futures, if that is wanted.
    pub(crate) async_tasks: Option<AsyncReport<'f>>,
    /// Whether the window ends with the trace: what goes on beyond it may end there.
    pub(super) is_trace_end: bool,
    /// Threads of which events lie behind the window.
    pub(super) go_on: HashSet<ThreadId>,
    /// When what is complete ends, and whose that is: waits at addresses and polls; for an observer
    /// everything. Some have ended early.
    pub(super) ends: BinaryHeap<Reverse<(u64, usize)>>,
    /// Whether the trace has CPUs.
    pub(super) has_cpus: bool,
    /// Whether threads that are known from CPUs alone may be those of which that is not known.
    is_unjoined: bool,
    pub(super) stops: Stops,
    pub(super) faults: u64,
    pub(super) calls_open: u64,
    pub(super) events_dropped: u64,
    pub(super) missing: Missing,
    pub(super) observer: &'f mut O,
    /// Adds up what is found out.
    pub(super) sums: F,
    /// The last number that was given to an edge.
    pub(super) edges: u64,
}

impl<'f, O: Observer, F: Fold> Walk<'f, O, F> {
    /// - `is_all`: whether everything before the window is wanted: what happened to futures
    ///   explains what is so in it.
    pub(crate) fn new<S: ReadAt>(
        trace: &'f Trace<'_, S>,
        observer: &'f mut O,
        sums: F,
        is_all: bool,
    ) -> Self {
        let (file, symbols) = (trace.file, trace.symbols);
        let tables = file.tables();
        let (window_from, to) = trace.window();
        let window = trace.options.from.filter(|_| !is_all);
        let read_from = window.and_then(|from| read_from(tables, from));
        let begin = read_from.unwrap_or(bounds(file).0);
        let from = tables.clock.nanos(begin).0.min(window_from);
        let has_cpus = file.has_cpus();
        let unjoined = unjoined_since(file);
        let mut walk = Self {
            tables,
            clock: ClockCursor::new(&tables.clock),
            from,
            to,
            window_from,
            read_from,
            is_inside: trace.options.from.is_none(),
            living: Vec::new(),
            names: Vec::new(),
            who: Who::default(),
            strangers: 0,
            cpus: Cpus::new(from, cpus_watched(tables)),
            switched: Vec::new(),
            futexes: Futexes::default(),
            waiters: Vec::new(),
            hands: LockHands::default(),
            places: Places::new(tables, symbols),
            async_tasks: None,
            is_trace_end: to == tables.clock.nanos(bounds(file).1).0,
            go_on: threads_that_go_on(file, trace.options.to),
            ends: BinaryHeap::new(),
            has_cpus,
            is_unjoined: has_cpus && !unjoined.is_empty(),
            stops: Stops::new(standstills(file), from, to),
            faults: 0,
            calls_open: 0,
            events_dropped: 0,
            missing: Missing::default(),
            observer,
            sums,
            edges: 0,
        };
        let mut threads: Vec<_> = tables.threads.values().collect();
        threads.sort_by_key(|thread| (thread.first, thread.id));
        threads.into_iter().for_each(|thread| walk.meet(thread));
        for (thread, since) in unjoined {
            let since = walk.nanos(since);
            walk.meet_stranger(thread, 0, since);
        }
        walk.expect_silence(file);
        walk
    }

    pub(super) fn nanos(&self, ticks: Ticks) -> u64 {
        // Not by `clamp`, which asks each time whether the window is one.
        self.clock.nanos(ticks).0.max(self.from).min(self.to)
    }

    /// When something complete ends: [`BEYOND`] if that is not in the window.
    #[inline]
    fn end_of(&self, begin: Ticks, duration: Ticks) -> u64 {
        let end = self.nanos(Ticks(begin.0.saturating_add(duration.0)));
        // An end that is an event of its own is not in the window either if it is at its end.
        if end < self.to || self.is_trace_end { end } else { BEYOND }
    }

    /// A thread that the definitions know.
    fn meet(&mut self, thread: &Thread) {
        let end = thread.end.filter(|end| end.ended);
        let end = end.map_or(u64::MAX, |end| self.tables.clock.nanos(end.ticks).0);
        let who = self.living.len();
        self.who.add(thread.id, thread.os_id, who, end);
        let (first, stops) = (self.nanos(thread.first), self.stops.clone());
        self.living.push(Living::new(first, stops, self.futexes.lock_waits.clone()));
        self.names.push((thread.id, thread.os_id));
    }

    /// A thread that they do not know.
    pub(super) fn meet_stranger(&mut self, thread: ThreadId, os_id: u64, at: u64) -> Option<usize> {
        if self.strangers >= STRANGERS_MAX {
            return None;
        }
        self.strangers += 1;
        let who = self.living.len();
        self.who.add(thread, os_id, who, u64::MAX);
        self.living.push(Living::new(at, self.stops.clone(), self.futexes.lock_waits.clone()));
        self.names.push((thread, os_id));
        Some(who)
    }

    /// Whether a thread is known from CPUs alone, and may be the same as one without a definition.
    pub(super) fn may_be_another(&self, who: usize) -> bool {
        self.is_unjoined && self.names[who].0 == ThreadId(0)
    }

    /// What was asked for, since the first clock snapshot.
    pub(crate) fn window(&self) -> (Nanos, Nanos) {
        (Nanos(self.window_from), Nanos(self.to))
    }

    /// Walks all events, and ends all lives. Returns what was found out, what is known of futures,
    /// and the sums.
    pub(crate) fn walk<S: ReadAt>(
        mut self,
        file: &TraceFile<S>,
        options: &Options,
        progress: impl FnMut(Progress),
    ) -> (Found, Option<AsyncReport<'f>>, F) {
        let wants = (self.async_tasks.is_some(), self.sums.wants_runs());
        let has_cpus = self.has_cpus;
        let is_wanted = |open: &Open| match open {
            Open::Call(_) => true,
            Open::Poll(_) => O::IS_ON || wants.0,
            Open::Task(_) => O::IS_ON || wants.1,
            Open::Region(_) => O::IS_ON || has_cpus,
        };
        let window = Window { from: self.read_from, to: options.to, thread: None };
        if let Some(from) = self.read_from {
            self.place_threads(file, from);
        }
        self.tell_news(Values::default(), FutureId(0));
        self.missing = walk(file, window, is_wanted, &mut self, progress);
        self.begin_window();
        let found = self.finish();
        (found, self.async_tasks, self.sums)
    }

    #[inline]
    pub(super) fn thread(&mut self, thread: ThreadId, at: u64) -> Option<usize> {
        match self.who.thread(thread) {
            Some(who) => Some(who),
            None => self.meet_stranger(thread, 0, at),
        }
    }

    /// Whether all that goes on on threads matters; else calls alone, and what tells when they end.
    fn follows_all(&self) -> bool {
        O::IS_ON || self.has_cpus || self.async_tasks.is_some() || self.sums.wants_runs()
    }

    /// Whether an event says nothing of calls: it opens and ends nothing, or is complete. A
    /// region's own end must be told from that of a call that is in it, or around it.
    #[inline]
    fn is_beside_calls(kind: &EventKind<'_>) -> bool {
        !matches!(
            kind,
            EventKind::Call { .. }
                | EventKind::CallBegin { .. }
                | EventKind::RegionBegin { .. }
                | EventKind::PollBegin { .. }
                | EventKind::TaskRunBegin { .. }
                | EventKind::End
                | EventKind::EndValue { .. }
                | EventKind::EndPoll { .. }
                | EventKind::EndCall { .. }
                | EventKind::EndDetached { .. }
                | EventKind::Dropped { .. }
                | EventKind::Reopen { .. }
        )
    }

    /// Whether it is a region that tells nothing of an async task, where nothing else is wanted of
    /// regions: most are.
    #[inline]
    fn is_idle_region(&self, event: &Event<'_>) -> bool {
        match (event.kind, &self.async_tasks) {
            (EventKind::Region { site, duration, .. }, Some(tasks)) => {
                !O::IS_ON
                    && !self.has_cpus
                    && self.is_inside
                    && tasks.is_fast_region(site, duration)
            }
            _ => false,
        }
    }

    /// An event of a thread that begins or ends regions, as most do: nothing is done for it that
    /// only other events need.
    #[inline]
    fn region_event(&mut self, thread: ThreadId, event: &Event<'_>) {
        let at = self.nanos(event.ticks);
        self.settle(at);
        let Some(who) = self.thread(thread, at) else { return };
        if !self.living[who].is_steady() {
            return self.thread_event(thread, event);
        }
        self.come(who, at);
        self.bring_in_state(who, at);
        let end = |duration: Ticks| self.end_of(event.ticks, duration);
        match event.kind {
            EventKind::Region { site, duration, .. } if self.is_leaf(site, duration) => {
                self.begin_leaf(who, site, (event.ticks, at), end(duration));
            }
            EventKind::Region { site, duration, values } => {
                let (given, end) = (Given { values, ..Given::default() }, end(duration));
                self.complete(who, (Open::Region(site), StackId(0)), event.ticks, end, given);
            }
            EventKind::RegionBegin { site, values } => {
                let given = Given { values, ..Given::default() };
                self.begin(who, Open::Region(site), event.ticks, given);
            }
            EventKind::EndValue { outcome, values } => {
                self.end(who, at, StackId(0), How::Value(outcome, values));
            }
            _ => self.end(who, at, StackId(0), How::Plain),
        }
    }

    fn thread_event(&mut self, thread: ThreadId, event: &Event<'_>) {
        let at = self.nanos(event.ticks);
        self.settle(at);
        let Some(who) = self.thread(thread, at) else { return };
        self.come(who, at);
        self.bring(who, at);
        // Only what the thread itself wrote ends a gap.
        self.end_gap(who, at);
        let since = |since: Ticks| Ticks(event.ticks.0.saturating_sub(since.0));
        let ticks = event.ticks;
        if let EventKind::Reopen { open, since: ago } = event.kind {
            return self.reopen(who, open, since(ago));
        }
        self.settle_restated(who, ticks, at);
        let end = |duration: Ticks| self.end_of(ticks, duration);
        let given = Given::default();
        match event.kind {
            EventKind::Region { site, duration, .. } if self.is_leaf(site, duration) => {
                self.begin_leaf(who, site, (ticks, at), end(duration));
            }
            EventKind::Region { site, duration, values } => {
                let given = Given { values, ..given };
                self.complete(who, (Open::Region(site), StackId(0)), ticks, end(duration), given);
            }
            EventKind::Poll { future, duration, waits_at } => {
                self.complete(who, (Open::Poll(future), waits_at), ticks, end(duration), given);
            }
            EventKind::TaskRun { task, duration } => {
                self.complete(who, (Open::Task(task), StackId(0)), ticks, end(duration), given);
            }
            EventKind::Call { call, result, duration } => {
                let whole = Some((end(duration), result));
                let given = Given { whole, ..given };
                self.complete(who, (Open::Call(call), StackId(0)), ticks, end(duration), given);
            }
            EventKind::RegionBegin { site, values } => {
                self.begin(who, Open::Region(site), ticks, Given { values, ..given });
            }
            EventKind::PollBegin { future } => self.begin(who, Open::Poll(future), ticks, given),
            EventKind::TaskRunBegin { task } => self.begin(who, Open::Task(task), ticks, given),
            EventKind::CallBegin { call } => self.begin(who, Open::Call(call), ticks, given),
            EventKind::End => self.end(who, at, StackId(0), How::Plain),
            EventKind::EndValue { outcome, values } => {
                self.end(who, at, StackId(0), How::Value(outcome, values));
            }
            EventKind::EndPoll { waits_at } => self.end(who, at, waits_at, How::Plain),
            EventKind::EndCall { result } => self.end_call(who, at, result),
            EventKind::EndDetached { open, since: ago } => {
                self.end_detached(who, open, since(ago), at);
            }
            EventKind::Dropped { events, ends, from, to } => {
                let (from, to) = (Nanos(self.nanos(from)), Nanos(self.nanos(to)));
                let dropped = events.saturating_add(ends);
                self.events_dropped = self.events_dropped.saturating_add(dropped);
                self.lose_events(who, at, Loss { events, ends, from, to });
            }
            _ => self.other_event(who, at, event),
        }
        self.tell_intervals(who);
    }

    /// An event that opens and ends nothing.
    fn other_event(&mut self, who: usize, at: u64, event: &Event<'_>) {
        self.end_early(who, at);
        self.living[who].touch();
        let ready = match event.kind {
            EventKind::Ready { since, .. } => {
                self.nanos(Ticks(event.ticks.0.saturating_sub(since.0)))
            }
            _ => at,
        };
        let mut note = Note::default();
        if let Some(tasks) = &mut self.async_tasks {
            let here = self.living[who].here(who, self.names[who].0);
            let moment = Moment(self.tables.clock.signed_nanos(event.ticks));
            let inside = |at: u64| at.max(self.window_from);
            note = tasks.event(here, (inside(at), moment), &event.kind, inside(ready));
        }
        self.tell_event(who, at, &event.kind, note);
    }

    /// A thread does something.
    #[inline]
    pub(super) fn come(&mut self, who: usize, at: u64) {
        let living = &mut self.living[who];
        if living.now == living.begin && at < living.begin {
            living.begin_at(at);
        }
        (living.seen, living.fault) = (true, None);
    }

    /// Closes what has ended up to then, as far as others must know of it.
    #[inline]
    pub(super) fn settle(&mut self, at: u64) {
        while let Some(&Reverse((end, who))) = self.ends.peek() {
            if end > at {
                return;
            }
            self.ends.pop();
            self.bring(who, end);
            self.fall_silent(who, end);
        }
    }

    /// Makes time pass for one thread.
    #[inline]
    pub(super) fn bring(&mut self, who: usize, at: u64) {
        // Each stop adds to what an observer is yet to be told, which is limited.
        while O::IS_ON
            && let Some(end) = self.living[who].next_stop_end(at)
        {
            self.bring_past(who, end);
            self.tell_intervals(who);
        }
        self.bring_past(who, at);
    }

    #[inline]
    fn bring_past(&mut self, who: usize, at: u64) {
        while let Some(over) = self.living[who].advance(at) {
            match over {
                Over::Frame(frame, end) => self.closed(who, frame, end, How::Plain),
                Over::Leaf(leaf, end) => self.closed_leaf(who, leaf, end),
            }
        }
    }

    /// The same before an event that changes no state.
    #[inline]
    fn bring_in_state(&mut self, who: usize, at: u64) {
        while let Some(until) = self.living[who].pass_to_end(at) {
            if let Some(leaf) = self.living[who].take_leaf() {
                self.closed_leaf(who, leaf, until);
            } else if let Some((frame, end)) = self.living[who].pop(until) {
                self.closed(who, frame, end, How::Plain);
            }
        }
        self.living[who].pass(at);
    }

    /// Ends all lives, and tells what is known.
    fn finish(&mut self) -> Found {
        self.settle(self.to);
        let found = super::finish::finish(self);
        if O::IS_ON {
            if let Some(tasks) = &mut self.async_tasks {
                tasks.draw_unfinished();
            }
            self.tell_news(Values::default(), FutureId(0));
        }
        found
    }

    pub(super) fn tables(&self) -> &'f Tables {
        self.tables
    }
}

impl<O: Observer, F: Fold> Visitor for Walk<'_, O, F> {
    fn open_at_start(&mut self, thread: ThreadId, open: &[OpenSince]) {
        let Some(who) = self.thread(thread, self.from) else { return };
        self.living[who].seen = true;
        for open in open {
            self.begin(who, open.open, open.begin, Given::default());
        }
    }

    fn begin_pending(&mut self, pending: &PendingBegin) {
        let PendingBegin { thread, open, begin, is_behind } = *pending;
        let at = self.nanos(begin);
        if at >= self.to {
            return;
        }
        if at >= self.window_from {
            self.begin_window();
        }
        self.settle(at);
        let Some(who) = self.thread(thread, at) else { return };
        // Events that come may end what is not known to be open, and must not end this.
        if self.living[who].gaps.is_unsure() && !is_behind {
            return;
        }
        self.come(who, at);
        self.bring(who, at);
        self.end_gap(who, at);
        let living = &mut self.living[who];
        if !living.gaps.is_from_before(at) && living.find(open, at).is_none() {
            self.begin(who, open, begin, Given::default());
        }
    }

    #[inline]
    fn event(&mut self, timed: Timed<'_>) {
        let (thread, event) = (timed.thread, &timed.event);
        if !self.is_inside && self.clock.nanos(event.ticks).0 >= self.window_from {
            self.begin_window();
        }
        self.sums.raw(event);
        if let Some(cpu) = thread.as_cpu() {
            self.cpu_event(cpu, event);
        } else if self.is_idle_region(event) {
            if let Some(who) = self.who.thread(thread) {
                self.living[who].touch();
            }
        } else if !self.follows_all() && Self::is_beside_calls(&event.kind) {
            // It changes nothing that anybody asks for.
        } else if !O::IS_ON && is_of_regions(&event.kind) {
            self.region_event(thread, event);
        } else {
            self.thread_event(thread, event);
        }
    }

    fn fault(&mut self, fault: &Fault) {
        self.lose(fault);
    }

    fn open_behind(&mut self, state: &ThreadState, is_end: bool) {
        let Some(who) = self.who.thread(state.id) else { return };
        // If the thread has restated what is open since, that is known already.
        if !self.living[who].gaps.is_unsure() {
            return;
        }
        if is_end {
            // Nothing was known until now.
            self.bring(who, self.to);
        }
        self.go_on_as(state);
    }

    fn is_done(&self) -> bool {
        self.observer.is_done()
    }
}

/// Whether all that an event does is to begin or end regions, as far as can be told from it alone:
/// an end may be that of something else.
#[inline]
fn is_of_regions(kind: &EventKind<'_>) -> bool {
    matches!(
        kind,
        EventKind::Region { .. }
            | EventKind::RegionBegin { .. }
            | EventKind::End
            | EventKind::EndValue { .. }
    )
}

/// How many CPUs the recorder watched: its note on switches says so, "2 rings"; lanes alone would
/// leave out those on which nothing ran. 0 if it does not.
pub(super) fn cpus_watched(tables: &Tables) -> usize {
    let note = tables.facilities.get("sched").filter(|it| it.on).map_or("", |it| it.note.as_str());
    let before = note.split_once(" rings").map_or("", |(before, _)| before);
    before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[inline]
pub(super) fn call_class(call: CallId) -> CallClass {
    call.info().map_or(CallClass::Other, |info| info.class)
}
