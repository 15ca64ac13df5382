//! The timeline: each event, in the order of time, goes to the thread or CPU it is about.
//!
//! Something complete is met at its begin, with its end: it is opened there, and closed as soon as
//! time has come to its end. For waits at addresses and for polls that must be before anything
//! later is looked at, as others refer to them, so their ends wait in a heap.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use trace_format::call::CallClass;
use trace_format::definition::OpenSince;
use trace_format::event::{Event, EventKind};
use trace_format::header::BatchKind;
use trace_format::id::{
    CallId, FutureId, Open, OpenCall, ResourceId, SiteId, StackId, TaskId, ThreadId,
};
use trace_format::read::{ClockCursor, ReadAt, Tables, Thread, Timed, TraceFile, Window};
use trace_format::time::{Nanos, Ticks};

use super::calls::{CallTable, Ended};
use super::cpus::Cpus;
use super::futex::{Futexes, timed_out, woken};
use super::grouped::Sum;
use super::hands::LockHands;
use super::places::Places;
use super::regions::RegionTable;
use super::thread::{Call, Frame, Living};
use super::waits::WaitTable;
use super::who::Who;
use super::{Activity, Lives, OneCall, Stretch, Unended, Wait, Waker};
use crate::async_tasks::{AsyncReport, Here};
use crate::hash::FastMap;
use crate::heap::HeapReport;
use crate::missing::Missing;
use crate::reason::Reason;
use crate::slow_tasks::Runs;
use crate::standstill::{Stops, standstills};
use crate::summary::{Options, Progress, bounds};
use crate::symbols::Symbols;
use crate::time::Moment;
use crate::walk::{Visitor, walk};

/// Threads that recorded nothing, known from CPUs: so many.
const STRANGERS_MAX: usize = 1 << 16;

/// A read or write on a socket or pipe that was over faster did not wait: to be woken takes longer.
const WAIT_NANOS_MIN: u64 = 5_000;

/// Errors that say that nothing was waited for.
const EAGAIN: i64 = -11;

/// What else is to be found out on the way.
#[derive(Debug, Default)]
pub(crate) struct Also<'f> {
    pub(crate) async_tasks: Option<AsyncReport<'f>>,
    pub(crate) heap: Option<HeapReport>,
    pub(crate) runs: Option<Runs>,
}

/// A trace being walked.
pub(crate) struct Walk<'f> {
    tables: &'f Tables,
    clock: ClockCursor<'f>,
    pub(super) from: u64,
    pub(super) to: u64,
    /// Whether the window has begun.
    is_inside: bool,
    pub(super) living: Vec<Living>,
    /// Of each of `living`: which, or the system's id of a stranger.
    pub(super) names: Vec<(ThreadId, u64)>,
    pub(super) who: Who,
    strangers: usize,
    pub(super) cpus: Cpus,
    pub(super) futexes: Futexes,
    pub(super) hands: LockHands,
    pub(super) waits: WaitTable,
    pub(super) calls: CallTable,
    /// Time ready, by the stack of the call it was in.
    pub(super) ready: FastMap<(StackId, ThreadId), Sum>,
    /// Samples on CPUs.
    pub(super) samples: FastMap<(StackId, ThreadId), Sum>,
    pub(super) regions: RegionTable,
    places: Places<'f>,
    pub(crate) also: Also<'f>,
    pub(super) unended: Vec<Unended>,
    /// Whether the window ends with the trace: what goes on beyond it may end there.
    pub(super) is_trace_end: bool,
    /// When waits at addresses and polls end, and whose.
    ends: BinaryHeap<Reverse<(u64, usize)>>,
    /// Whether the trace has CPUs.
    has_cpus: bool,
    pub(super) stops: Stops,
    pub(super) faults: u64,
    pub(super) missing: Missing,
}

impl<'f> Walk<'f> {
    pub(crate) fn new<S: ReadAt>(
        file: &'f TraceFile<S>,
        options: &Options,
        symbols: &'f Symbols,
    ) -> Self {
        let tables = file.tables();
        let (from, to) = window(file, options);
        let events = file.index().iter().filter(|entry| entry.kind == BatchKind::Events);
        let has_cpus = events.clone().any(|entry| entry.thread.as_cpu().is_some());
        let mut walk = Self {
            tables,
            clock: ClockCursor::new(&tables.clock),
            from,
            to,
            is_inside: true,
            living: Vec::new(),
            names: Vec::new(),
            who: Who::default(),
            strangers: 0,
            cpus: Cpus::new(from, cpus_watched(tables)),
            futexes: Futexes::default(),
            hands: LockHands::default(),
            waits: WaitTable::new(&options.threads),
            calls: CallTable::new(&options.threads),
            ready: FastMap::default(),
            samples: FastMap::default(),
            regions: RegionTable::new(tables),
            places: Places::new(tables, symbols),
            also: Also::default(),
            unended: Vec::new(),
            is_trace_end: to == tables.clock.nanos(bounds(file).1).0,
            ends: BinaryHeap::new(),
            has_cpus,
            stops: Stops::new(standstills(file), from, to),
            faults: 0,
            missing: Missing::default(),
        };
        let mut threads: Vec<_> = tables.threads.values().collect();
        threads.sort_by_key(|thread| (thread.first, thread.id));
        threads.into_iter().for_each(|thread| walk.meet(thread));
        walk
    }

    pub(super) fn nanos(&self, ticks: Ticks) -> u64 {
        self.clock.nanos(ticks).0.clamp(self.from, self.to)
    }

    /// A thread that the definitions know.
    fn meet(&mut self, thread: &Thread) {
        let end = thread.end.filter(|end| end.ended);
        let end = end.map_or(u64::MAX, |end| self.tables.clock.nanos(end.ticks).0);
        let who = self.living.len();
        self.who.add(thread.id, thread.os_id, who, end);
        self.living.push(Living::new(self.nanos(thread.first), self.stops.clone()));
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
        self.living.push(Living::new(at, self.stops.clone()));
        self.names.push((thread, os_id));
        Some(who)
    }

    /// What is read, since the first clock snapshot.
    pub(crate) fn window(&self) -> (Nanos, Nanos) {
        (Nanos(self.from), Nanos(self.to))
    }

    /// Walks all events.
    pub(crate) fn walk<S: ReadAt>(
        &mut self,
        file: &TraceFile<S>,
        options: &Options,
        progress: impl FnMut(Progress),
    ) {
        // What happened to futures before the window explains what is so in it.
        let is_all = self.also.async_tasks.is_some();
        let from = options.from.filter(|_| !is_all);
        self.is_inside = from.is_some() || options.from.is_none();
        let wants = (is_all, self.also.runs.is_some());
        let is_wanted = |open: &Open| match open {
            Open::Call(_) => true,
            Open::Poll(_) => wants.0,
            Open::Task(_) => wants.1,
            Open::Region(_) => false,
        };
        let window = Window { from, to: options.to, thread: None };
        self.missing = walk(file, window, is_wanted, self, progress);
        self.begin_window();
    }

    /// What was counted until the window begins does not count.
    fn begin_window(&mut self) {
        if std::mem::replace(&mut self.is_inside, true) {
            return;
        }
        for who in 0..self.living.len() {
            self.bring(who, self.from);
            let living = &mut self.living[who];
            (living.calls_ended, living.yields, living.preemptions) = (0, 0, 0);
        }
        self.waits.restart();
        self.calls.restart();
        self.cpus.restart();
        self.futexes.restart();
        (self.ready, self.samples) = Default::default();
        self.regions = RegionTable::new(self.tables);
        (self.faults, self.unended) = (0, Vec::new());
        if let Some(tasks) = &mut self.also.async_tasks {
            tasks.restart();
        }
    }

    /// Events of a thread or of a CPU are missing.
    fn lose(&mut self, thread: ThreadId) {
        if thread.as_cpu().is_some() {
            self.lose_switches(self.from);
        } else if let Some(who) = self.thread(thread, self.from) {
            // What it waited for may be over.
            while let Some((frame, _)) = self.living[who].pop_any(0) {
                self.lose_frame(who, &frame);
            }
            self.living[who].lose();
        }
    }

    #[inline]
    pub(super) fn thread(&mut self, thread: ThreadId, at: u64) -> Option<usize> {
        match self.who.thread(thread) {
            Some(who) => Some(who),
            None => self.meet_stranger(thread, 0, at),
        }
    }

    /// Whether regions, polls and task runs are followed; else calls alone.
    fn follows_all(&self) -> bool {
        self.has_cpus || self.also.async_tasks.is_some() || self.also.runs.is_some()
    }

    /// Whether an event says something if calls alone are followed.
    fn is_about_calls(event: &Event<'_>) -> bool {
        match event.kind {
            EventKind::Call { .. } | EventKind::CallBegin { .. } => true,
            EventKind::EndCall { .. } | EventKind::Dropped { .. } => true,
            EventKind::EndDetached { open, .. } | EventKind::Reopen { open, .. } => {
                matches!(open, Open::Call(_))
            }
            _ => false,
        }
    }

    /// Whether it is a region that tells nothing of an async task, where nothing else is wanted of
    /// regions: most are.
    #[inline]
    fn is_idle_region(&self, event: &Event<'_>) -> bool {
        match (event.kind, &self.also.async_tasks) {
            (EventKind::Region { site, duration, .. }, Some(tasks)) => {
                !self.has_cpus && self.is_inside && tasks.is_fast_region(site, duration)
            }
            _ => false,
        }
    }

    fn thread_event(&mut self, thread: ThreadId, event: &Event<'_>) {
        let at = self.nanos(event.ticks);
        self.settle(at);
        let Some(who) = self.thread(thread, at) else { return };
        self.come(who, at);
        self.bring(who, at);
        let end = |duration: Ticks| self.nanos(Ticks(event.ticks.0.saturating_add(duration.0)));
        let since = |since: Ticks| Ticks(event.ticks.0.saturating_sub(since.0));
        let ticks = event.ticks;
        match event.kind {
            EventKind::Region { site, duration, .. } => {
                self.complete(who, Open::Region(site), ticks, end(duration), StackId(0));
            }
            EventKind::Poll { future, duration, waits_at } => {
                self.complete(who, Open::Poll(future), ticks, end(duration), waits_at);
            }
            EventKind::TaskRun { task, duration } => {
                self.complete(who, Open::Task(task), ticks, end(duration), StackId(0));
            }
            EventKind::Call { call, result, duration } => {
                let end = end(duration);
                match self.open(who, Open::Call(call), ticks, Some((end, result))) {
                    true => self.living[who].until = Some(end),
                    false => self.living[who].pop_too_deep(),
                }
            }
            EventKind::RegionBegin { site, .. } => self.begin(who, Open::Region(site), ticks),
            EventKind::PollBegin { future } => self.begin(who, Open::Poll(future), ticks),
            EventKind::TaskRunBegin { task } => self.begin(who, Open::Task(task), ticks),
            EventKind::CallBegin { call } => self.begin(who, Open::Call(call), ticks),
            EventKind::Reopen { open, since: ago } => self.begin(who, open, since(ago)),
            EventKind::End | EventKind::EndValue { .. } => self.end(who, at, StackId(0)),
            EventKind::EndPoll { waits_at } => self.end(who, at, waits_at),
            EventKind::EndCall { result } => self.end_call(who, at, result),
            EventKind::EndDetached { open, since: ago } => {
                let begin = self.nanos(since(ago));
                self.end_detached(who, open, begin, at);
            }
            EventKind::Dropped { ends, from, to, .. } => {
                let (from, to) = (self.nanos(from), self.nanos(to));
                self.living[who].dropped(to.saturating_sub(from));
                self.lose_ends(who, ends);
            }
            _ => self.other_event(who, at, event),
        }
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
        if let Some(tasks) = &mut self.also.async_tasks {
            let (thread, frames) = (self.names[who].0, &self.living[who].frames);
            tasks.event(Here { who, thread, frames }, at, &event.kind, ready);
        }
    }

    /// The ends of the innermost things are lost.
    fn lose_ends(&mut self, who: usize, ends: u64) {
        for _ in 0..ends {
            let Some((frame, _)) = self.living[who].pop(0) else {
                if self.living[who].frames.is_empty() {
                    return;
                }
                continue;
            };
            self.lose_frame(who, &frame);
        }
    }

    /// Something may be over, nobody knows since when.
    fn lose_frame(&mut self, who: usize, frame: &Frame) {
        if let Some(call) = self.living[who].take_call() {
            self.leave_futex(who, &call, frame.begin, frame.begin, false);
        }
        if let (Open::Poll(future), Some(tasks)) = (frame.open, &mut self.also.async_tasks) {
            tasks.lost_poll(future);
        }
    }

    /// A thread does something.
    #[inline]
    pub(super) fn come(&mut self, who: usize, at: u64) {
        let living = &mut self.living[who];
        if living.now == living.begin && at < living.begin {
            (living.begin, living.now, living.since) = (at, at, at);
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
        }
    }

    /// Makes time pass for one thread.
    #[inline]
    pub(super) fn bring(&mut self, who: usize, at: u64) {
        while let Some((frame, end)) = self.living[who].advance(at) {
            self.closed(who, frame, end);
        }
        self.living[who].gap = false;
    }

    /// Something begins that has no end yet.
    fn begin(&mut self, who: usize, open: Open, begin: Ticks) {
        self.open(who, open, begin, None);
    }

    fn complete(&mut self, who: usize, open: Open, begin: Ticks, end: u64, waits_at: StackId) {
        if !self.open(who, open, begin, None) {
            return self.living[who].pop_too_deep();
        }
        self.living[who].until = Some(end);
        if let (Open::Poll(_), Some(frame)) = (open, self.living[who].frames.last_mut()) {
            frame.waits_at = waits_at;
            self.ends.push(Reverse((end, who)));
        }
    }

    /// Nothing is inside what is complete: what comes all the same shows that it is over.
    #[inline]
    fn end_early(&mut self, who: usize, at: u64) {
        if self.living[who].until.is_some() {
            self.close(who, at);
        }
    }

    /// Opens something that began then, perhaps before what is read. Whether it is followed.
    ///
    /// - `whole`: when it ends and with which result, if that is known.
    pub(super) fn open(
        &mut self,
        who: usize,
        open: Open,
        ticks: Ticks,
        whole: Option<(u64, i64)>,
    ) -> bool {
        let begin = self.nanos(ticks);
        self.end_early(who, begin);
        if !matches!(open, Open::Call(_)) && !self.follows_all() {
            return false;
        }
        // Beyond what is read is only what begins before it.
        let older = match begin == self.from {
            true => Moment(self.tables.clock.signed_nanos(ticks)).before(self.from),
            false => 0,
        };
        let wants_account = match open {
            Open::Call(call) => {
                self.open_call(who, call, begin, whole);
                false
            }
            Open::Poll(future) => self.open_poll(who, future, begin, older),
            Open::Task(task) => {
                self.living[who].push(open, begin, None);
                self.also.runs.as_ref().is_some_and(|runs| runs.wants(task))
            }
            Open::Region(_) => {
                self.living[who].push(open, begin, None);
                false
            }
        };
        let living = &mut self.living[who];
        if living.is_too_deep() {
            return false;
        }
        if wants_account {
            living.keep_account();
        }
        if let Some(frame) = living.frames.last_mut() {
            frame.older = older;
        }
        true
    }

    /// A poll begins. Whether it is one of a task.
    fn open_poll(&mut self, who: usize, future: FutureId, begin: u64, older: u64) -> bool {
        let is_task = self.also.async_tasks.as_mut().is_some_and(|tasks| {
            let (thread, frames) = (self.names[who].0, &self.living[who].frames);
            tasks.begin_poll(Here { who, thread, frames }, future, begin, older)
        });
        self.living[who].push(Open::Poll(future), begin, None);
        is_task
    }

    fn open_call(&mut self, who: usize, call: OpenCall, begin: u64, whole: Option<(u64, i64)>) {
        let (mut why, place) = self.places.why(call);
        if let Some((end, result)) = whole {
            let is_fast = end - begin < WAIT_NANOS_MIN && call_class(call.call) != CallClass::Futex;
            why.waits &= result != EAGAIN && !is_fast;
        }
        self.living[who].push(Open::Call(call), begin, Some((why, place)));
        let (thread, resource) = (self.names[who].0, self.places.same(call.resource).0);
        match call_class(call.call) {
            CallClass::Futex if whole.is_none_or(|(_, result)| result != EAGAIN) => {
                if let Some(futex) = self.futexes.at(resource) {
                    futex.wait(who, thread, begin, why.reason.is_lock());
                }
                if let Some((end, _)) = whole {
                    self.ends.push(Reverse((end, who)));
                }
            }
            CallClass::FutexWake => {
                let (end, woken) = match whole {
                    Some((end, result)) => (end, woken(call.call, result)),
                    None => (u64::MAX, 1),
                };
                let Some(futex) = self.futexes.at(resource) else { return };
                let stops = &self.stops;
                let since = futex.wake(thread, (call.stack, place), (begin, end), woken, stops);
                if let Some(since) = since {
                    let doings = self.living[who].doings(since, begin);
                    futex.held(thread, place, stops.awake(since, begin), &doings);
                }
            }
            _ => {}
        }
        if let Some((_, result)) = whole
            && !self.living[who].is_too_deep()
            && let Some((_, call)) = self.living[who].innermost_call()
        {
            call.result = Some(result);
        }
    }

    /// What was opened last ends.
    ///
    /// - `waits_at`: of a poll, where its future waits.
    fn end(&mut self, who: usize, at: u64, waits_at: StackId) {
        if !self.follows_all() {
            return;
        }
        self.end_early(who, at);
        if let Some(frame) = self.living[who].frames.last_mut() {
            frame.waits_at = waits_at;
        }
        self.close(who, at);
    }

    fn close(&mut self, who: usize, at: u64) {
        if let Some((frame, end)) = self.living[who].pop(at) {
            self.closed(who, frame, end);
        }
    }

    fn end_call(&mut self, who: usize, at: u64, result: i64) {
        self.end_early(who, at);
        if self.living[who].is_too_deep() {
            return self.close(who, at);
        }
        let depth = match self.living[who].innermost_call() {
            Some((depth, call)) => {
                call.result = Some(result);
                depth
            }
            None => return self.close(who, at),
        };
        while self.living[who].frames.len() >= depth {
            self.close(who, at);
        }
    }

    fn end_detached(&mut self, who: usize, open: Open, begin: u64, at: u64) {
        self.end_early(who, at);
        let Some(place) = self.living[who].find(open, begin) else { return };
        while self.living[who].frames.len() > place {
            self.close(who, at);
        }
    }

    /// Something is no longer open.
    fn closed(&mut self, who: usize, mut frame: Frame, end: u64) {
        let activity = self.living[who].activity_in(&mut frame);
        let here = |walk: &Self| (who, walk.names[who].0);
        let link = match frame.open {
            Open::Region(site) => {
                if self.has_cpus {
                    self.closed_region(who, site, &frame, end);
                }
                let (nanos, here) = (end.saturating_sub(frame.begin), here(self));
                let tasks = self.also.async_tasks.as_mut();
                tasks.and_then(|tasks| tasks.closed_region(here, site, nanos))
            }
            Open::Call(_) => {
                if let Some(call) = self.living[who].take_call() {
                    self.closed_call(who, call, (frame.begin, frame.older), end, true);
                }
                None
            }
            Open::Poll(future) => {
                let (thread, frames) = (self.names[who].0, &self.living[who].frames);
                let here = Here { who, thread, frames };
                let tasks = self.also.async_tasks.as_mut();
                tasks.and_then(|tasks| tasks.end_poll(here, future, &frame, end, activity))
            }
            Open::Task(task) => {
                self.closed_run(who, task, (frame.begin, end), activity);
                None
            }
        };
        if link.is_some() || !frame.chain.links().is_empty() {
            self.living[who].add_link(link, frame.chain);
        }
    }

    fn closed_run(
        &mut self,
        who: usize,
        task: TaskId,
        (from, to): (u64, u64),
        activity: Option<Box<Activity>>,
    ) {
        if let Some(runs) = &mut self.also.runs {
            let around = self.living[who].frames.iter().map(|frame| frame.open);
            let stretch = Stretch { thread: self.names[who].0, from: Nanos(from), to: Nanos(to) };
            runs.add(task, around, stretch, activity);
        }
    }

    fn closed_region(&mut self, who: usize, site: SiteId, frame: &Frame, end: u64) {
        let living = &self.living[who];
        let is_inner = living.frames.iter().rev().take(64).any(|it| it.open == frame.open);
        let times = self.regions.at(site);
        times.count += 1;
        if is_inner {
            return;
        }
        let (now, before) = (living.known(), frame.before);
        let wall = end - frame.begin.min(end);
        let cpu = (now.cpu - before.cpu).min(wall);
        let ready = (now.ready - before.ready).min(wall - cpu);
        let blocked = now.blocked.saturating_sub(before.blocked).min(wall - cpu - ready);
        times.cpu.0 = times.cpu.0.saturating_add(cpu);
        times.ready.0 = times.ready.0.saturating_add(ready);
        times.blocked.0 = times.blocked.0.saturating_add(blocked);
        let rest = wall - cpu - ready - blocked;
        let stopped = now.stopped.saturating_sub(before.stopped).min(rest);
        times.stopped.0 = times.stopped.0.saturating_add(stopped);
        times.unknown.0 = times.unknown.0.saturating_add(rest - stopped);
    }

    /// A call is over, or the trace is.
    pub(super) fn closed_call(
        &mut self,
        who: usize,
        mut call: Call,
        (begin, older): (u64, u64),
        end: u64,
        is_over: bool,
    ) {
        let (thread, open) = (self.names[who].0, call.open);
        let waker = self.leave_futex(who, &call, begin, end, is_over);
        if let Some((waker, _)) = waker {
            let nanos = self.living[who].woken(&mut call, waker.at.0);
            self.add_ready(open.stack, thread, nanos);
        }
        let waker_place = waker.map(|(waker, place)| (waker.thread, place));
        let waker = waker.map(|(waker, _)| waker);
        let (stack, resource) = (open.stack, self.places.same(open.resource));
        let since = Moment::older(begin, older);
        let (inside, duration) = (Nanos(call.blocked), Nanos(call.blocked.saturating_add(older)));
        let timed_out = is_over && call.result.is_some_and(|it| timed_out(open.call, it));
        let mut wait =
            Wait { thread, stack, resource, begin: since, duration, inside, waker, timed_out };
        if call.blocked > 0 {
            let places = (call.place, waker_place);
            self.waits.add(call.why.reason, call.why.named, places, &wait);
            if !is_over {
                self.keep_unended(&call, wait);
            }
        }
        if call.faulted > 0 {
            let (begin, inside) = (Moment::from(Nanos(begin)), Nanos(call.faulted));
            wait = Wait { begin, duration: inside, inside, waker: None, timed_out: false, ..wait };
            self.waits.add(Reason::PageFault, false, (stack, None), &wait);
        }
        let inside = end - begin.min(end);
        if let Some(account) = self.living[who].account() {
            account.call(inside, open.call, stack);
        }
        if is_over {
            self.living[who].calls_ended += 1;
            let (duration, inside) = (Nanos(inside.saturating_add(older)), Nanos(inside));
            let result = call.result.unwrap_or(0);
            let one = OneCall { thread, stack, resource, begin: since, duration, inside, result };
            let has_bytes = matches!(call_class(open.call), CallClass::Read | CallClass::Write);
            self.calls.add(&Ended { call: open.call, one, off_cpu: call.off_cpu, has_bytes });
        }
    }

    /// Whoever waited at an address, or woke those who do, is done. Returns who ended the wait, and
    /// one stack for all that do so there.
    fn leave_futex(
        &mut self,
        who: usize,
        call: &Call,
        begin: u64,
        end: u64,
        is_over: bool,
    ) -> Option<(Waker, StackId)> {
        let (thread, open) = (self.names[who].0, call.open);
        let resource = self.places.same(open.resource).0;
        match call_class(open.call) {
            CallClass::Futex if call.result != Some(EAGAIN) => {
                let is_woken = |result| result >= 0 && !timed_out(open.call, result);
                let was_woken = is_over && call.result.is_none_or(is_woken);
                let futex = self.futexes.at(resource)?;
                let wake = futex.waited(who, thread, (begin, end), was_woken)?;
                let held_since = self.held_since(thread, call, begin, &wake).map(Nanos);
                let (thread, stack, at) = (wake.thread, wake.stack, Nanos(wake.begin));
                Some((Waker { thread, stack, at, held_since }, wake.place))
            }
            CallClass::FutexWake => {
                let futex = self.futexes.at(resource)?;
                futex.woke(thread, begin, end, woken(open.call, call.result.unwrap_or(0)));
                None
            }
            CallClass::Join if is_over => Some((self.joined(open, end)?, StackId(0))),
            _ => None,
        }
    }

    /// The end of the thread that was waited for.
    fn joined(&self, open: OpenCall, end: u64) -> Option<Waker> {
        let resource = self.tables.resources.get(&open.resource)?;
        let who = self.who.os_thread(resource.value, end)?;
        let thread = self.names[who].0;
        let at = Nanos(self.living[who].now.min(end));
        let is_thread = resource.kind == trace_format::definition::ResourceKind::Thread;
        is_thread.then_some(Waker { thread, stack: StackId(0), at, held_since: None })
    }

    /// A thread's wait was not over when the trace stopped.
    fn keep_unended(&mut self, call: &Call, mut wait: Wait) {
        if self.is_trace_end && call.result.is_none() && wait.inside.0 > 0 {
            let (reason, named, call) = (call.why.reason, call.why.named, call.open.call);
            wait.resource = if named { wait.resource } else { ResourceId(0) };
            self.unended.push(Unended { reason, call, wait });
        }
    }

    pub(super) fn add_ready(&mut self, stack: StackId, thread: ThreadId, nanos: u64) {
        if nanos > 0 {
            self.ready.entry((stack, thread)).or_default().add(nanos);
        }
    }

    /// Ends all lives, and tells what is known.
    pub(crate) fn finish(&mut self, options: &Options) -> Lives {
        self.settle(self.to);
        super::finish::finish(self, options)
    }

    /// Makes time pass for one thread to the end of its life, and tells what it still waited for.
    pub(super) fn bring_to_end(&mut self, who: usize, end: u64) {
        self.bring(who, end);
        self.tell_outside(who);
        while let Some((mut frame, end)) = self.living[who].pop_any(end) {
            let activity = self.living[who].activity_in(&mut frame);
            if let Some(call) = self.living[who].take_call() {
                self.closed_call(who, call, (frame.begin, frame.older), end, false);
            }
            match frame.open {
                Open::Poll(future) => {
                    let (thread, frames) = (self.names[who].0, &self.living[who].frames);
                    if let Some(tasks) = &mut self.also.async_tasks {
                        tasks.open_at_end(Here { who, thread, frames }, future, &frame, activity);
                    }
                }
                Open::Task(task) => self.closed_run(who, task, (frame.begin, end), activity),
                Open::Region(_) | Open::Call(_) => {}
            }
        }
        self.living[who].bury();
    }

    pub(super) fn tables(&self) -> &'f Tables {
        self.tables
    }
}

impl Visitor for Walk<'_> {
    fn open_at_start(&mut self, thread: ThreadId, open: &[OpenSince]) {
        let Some(who) = self.thread(thread, self.from) else { return };
        self.living[who].seen = true;
        for open in open {
            self.begin(who, open.open, open.begin);
        }
    }

    fn begin_pending(&mut self, begin: Ticks, thread: ThreadId, open: Open) {
        let at = self.nanos(begin);
        if at >= self.to {
            return;
        }
        self.settle(at);
        let Some(who) = self.thread(thread, at) else { return };
        self.come(who, at);
        self.bring(who, at);
        if self.living[who].find(open, at).is_none() {
            self.begin(who, open, begin);
        }
    }

    #[inline]
    fn event(&mut self, timed: Timed<'_>) {
        let Timed { thread, event } = timed;
        if !self.is_inside && self.clock.nanos(event.ticks).0 >= self.from {
            self.begin_window();
        }
        if let Some(heap) = &mut self.also.heap {
            heap.event(&event);
        }
        if let Some(runs) = &mut self.also.runs {
            runs.event(&event.kind, self.tables);
        }
        if let Some(cpu) = thread.as_cpu() {
            self.cpu_event(cpu, &event);
        } else if self.is_idle_region(&event) {
            if let Some(who) = self.who.thread(thread) {
                self.living[who].touch();
            }
        } else if self.follows_all() || Self::is_about_calls(&event) {
            self.thread_event(thread, &event);
        }
    }

    fn fault(&mut self, thread: Option<ThreadId>) {
        if let Some(thread) = thread {
            self.lose(thread);
        }
    }
}

/// A window in nanoseconds.
fn window<S: ReadAt>(file: &TraceFile<S>, options: &Options) -> (u64, u64) {
    let (begin, end) = bounds(file);
    let nanos = |ticks: Ticks| file.tables().clock.nanos(ticks).0;
    let from = nanos(options.from.unwrap_or(begin).max(begin));
    (from, nanos(options.to.unwrap_or(end).min(end)).max(from))
}

/// How many CPUs the recorder watched: its note on switches says so, "2 rings"; lanes alone would
/// leave out those on which nothing ran. 0 if it does not.
pub(super) fn cpus_watched(tables: &Tables) -> usize {
    let note = tables.facilities.get("sched").filter(|it| it.on).map_or("", |it| it.note.as_str());
    let before = note.split_once(" rings").map_or("", |(before, _)| before);
    before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn call_class(call: CallId) -> CallClass {
    call.info().map_or(CallClass::Other, |info| info.class)
}
