//! The walk over all events in the order of time: each goes to the thread or CPU it is about.
//!
//! A complete call is met at its begin, with its end: it is opened there, and closed as soon as
//! time has come to its end. For waits at addresses that must be before anything later is looked
//! at, so their ends wait in a heap.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::ops::ControlFlow;

use trace_format::call::CallClass;
use trace_format::event::{Event, EventKind};
use trace_format::header::BatchKind;
use trace_format::id::{CallId, Open, OpenCall, SiteId, StackId, ThreadId};
use trace_format::read::{ReadAt, Tables, Thread, Timed, TraceFile, Window};
use trace_format::time::{Nanos, Ticks};

use super::calls::{CallTable, Ended};
use super::cpus::Cpus;
use super::futex::{Futexes, woken};
use super::grouped::Sum;
use super::pending::Pending;
use super::places::Places;
use super::stretches::by_thread;
use super::thread::{Call, Frame, Living};
use super::waits::WaitTable;
use super::who::Who;
use super::{Lives, OneCall, RegionTimes, STRETCHES_MAX, Stretch, Unended, Wait, Waker};
use crate::reason::Reason;
use crate::standstill::{Stops, standstills};
use crate::summary::{Options, Progress, bounds};
use crate::symbols::Symbols;
use crate::time::Moment;

/// Between two reports of progress.
const PROGRESS_EVENTS: u64 = 1 << 18;

/// Threads that recorded nothing, known from CPUs: so many.
const STRANGERS_MAX: usize = 1 << 16;

/// A read or write on a socket or pipe that was over faster did not wait: to be woken takes longer.
const WAIT_NANOS_MIN: u64 = 5_000;

/// Errors that say that nothing was waited for.
const EAGAIN: i64 = -11;

/// A trace being walked.
pub(super) struct Walk<'f, S> {
    file: &'f TraceFile<S>,
    tables: &'f Tables,
    window: Window,
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) living: Vec<Living>,
    /// Of each of `living`: which, or the system's id of a stranger.
    pub(super) names: Vec<(ThreadId, u64)>,
    pub(super) who: Who,
    strangers: usize,
    pub(super) cpus: Cpus,
    pub(super) futexes: Futexes,
    pub(super) waits: WaitTable,
    pub(super) calls: CallTable,
    /// Time ready, by the stack of the call it was in.
    pub(super) ready: HashMap<(StackId, ThreadId), Sum>,
    /// Samples on CPUs.
    pub(super) samples: HashMap<(StackId, ThreadId), Sum>,
    pub(super) regions: HashMap<SiteId, RegionTimes>,
    places: Places<'f>,
    pub(super) pending: Pending,
    /// How many stretches were asked for.
    pub(super) stretches: usize,
    pub(super) unended: Vec<Unended>,
    /// Whether the window ends with the trace: what goes on beyond it may end there.
    pub(super) is_trace_end: bool,
    /// When waits at addresses end, and whose.
    ends: BinaryHeap<Reverse<(u64, usize)>>,
    /// Whether the trace has CPUs. If not, regions do not matter.
    has_cpus: bool,
    pub(super) stops: Stops,
    pub(super) faults: u64,
    pub(super) unreadable: u64,
}

impl<'f, S: ReadAt + Sync> Walk<'f, S> {
    pub(super) fn new(file: &'f TraceFile<S>, options: &Options, symbols: &'f Symbols) -> Self {
        let tables = file.tables();
        let (begin, end) = bounds(file);
        let nanos = |ticks: Ticks| tables.clock.nanos(ticks).0;
        let from = nanos(options.from.unwrap_or(begin).max(begin));
        let to = nanos(options.to.unwrap_or(end).min(end)).max(from);
        let events = file.index().iter().filter(|entry| entry.kind == BatchKind::Events);
        let has_cpus = events.clone().any(|entry| entry.thread.as_cpu().is_some());
        let mut walk = Self {
            file,
            tables,
            window: Window { from: options.from, to: options.to, thread: None },
            from,
            to,
            living: Vec::new(),
            names: Vec::new(),
            who: Who::default(),
            strangers: 0,
            cpus: Cpus::new(from, cpus_watched(tables)),
            futexes: Futexes::default(),
            waits: WaitTable::new(&options.threads),
            calls: CallTable::new(&options.threads),
            ready: HashMap::new(),
            samples: HashMap::new(),
            regions: HashMap::new(),
            places: Places::new(tables, symbols),
            pending: Pending::of(file, |open| matches!(open, Open::Call(_))),
            stretches: 0,
            unended: Vec::new(),
            is_trace_end: to == nanos(end),
            ends: BinaryHeap::new(),
            has_cpus,
            stops: Stops::new(standstills(file), from, to),
            faults: 0,
            unreadable: 0,
        };
        let mut threads: Vec<_> = tables.threads.values().collect();
        threads.sort_by_key(|thread| (thread.first, thread.id));
        threads.into_iter().for_each(|thread| walk.meet(thread));
        walk
    }

    /// Says what is done in some stretches.
    pub(super) fn watch(&mut self, stretches: &[Stretch]) {
        self.stretches = stretches.len().min(STRETCHES_MAX);
        for (thread, watched) in by_thread(stretches) {
            if let Some(who) = self.who.thread(thread) {
                self.living[who].watched = watched;
            }
        }
    }

    pub(super) fn nanos(&self, ticks: Ticks) -> u64 {
        self.tables.clock.nanos(ticks).0.clamp(self.from, self.to)
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

    /// Walks all events.
    pub(super) fn walk(&mut self, mut progress: impl FnMut(Progress)) {
        let mut order = self.file.in_order(self.window);
        for (&thread, open) in order.open_at_start() {
            let Some(who) = self.thread(thread, self.from) else { continue };
            self.living[who].seen = true;
            for open in open {
                self.open_since(who, open.open, open.begin);
            }
        }
        let entries = self.file.index().iter().map(|entry| u64::from(entry.bytes));
        let bytes_total = entries.sum::<u64>();
        let mut count = 0_u64;
        loop {
            let walked = order.for_each(|timed| {
                count += 1;
                if count.is_multiple_of(PROGRESS_EVENTS) {
                    let (done, all) = (timed.event.ticks, self.to.saturating_sub(self.from).max(1));
                    let done = self.nanos(done) - self.from;
                    let bytes = (bytes_total as f64 * (done as f64 / all as f64)) as u64;
                    progress(Progress { bytes, bytes_total });
                }
                self.event(timed);
                ControlFlow::Continue(())
            });
            let Err(_) = walked else { break };
            self.unreadable += 1;
            if let Some(thread) = order.fault_thread() {
                self.lose(thread);
            }
        }
        progress(Progress { bytes: bytes_total, bytes_total });
    }

    /// Events of a thread or of a CPU are missing.
    fn lose(&mut self, thread: ThreadId) {
        if thread.as_cpu().is_some() {
            self.lose_switches(self.from);
        } else if let Some(who) = self.thread(thread, self.from) {
            // What it waited for may be over.
            for frame in std::mem::take(&mut self.living[who].frames) {
                if let Some(call) = frame.call {
                    self.leave_futex(who, &call, frame.begin, frame.begin, false);
                }
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

    #[inline]
    fn event(&mut self, timed: Timed<'_>) {
        let Timed { thread, event } = timed;
        self.begin_pending(event.ticks);
        let is_call = matches!(
            event.kind,
            EventKind::Call { .. } | EventKind::CallBegin { .. } | EventKind::EndCall { .. }
        );
        if let Some(cpu) = thread.as_cpu() {
            self.cpu_event(cpu, &event);
        } else if is_call || self.has_cpus {
            self.thread_event(thread, &event);
        } else {
            self.rare_event(thread, &event);
        }
    }

    /// An event of a trace without CPUs that is no call's.
    fn rare_event(&mut self, thread: ThreadId, event: &Event<'_>) {
        let matters = match event.kind {
            EventKind::EndDetached { open, .. } | EventKind::Reopen { open, .. } => {
                matches!(open, Open::Call(_))
            }
            EventKind::Dropped { .. } => true,
            _ => false,
        };
        if matters {
            self.thread_event(thread, event);
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
        match event.kind {
            EventKind::Region { site, duration, .. } => {
                self.complete(who, Open::Region(site), at, end(duration));
            }
            EventKind::Poll { future, duration, .. } => {
                self.complete(who, Open::Poll(future), at, end(duration));
            }
            EventKind::TaskRun { task, duration } => {
                self.complete(who, Open::Task(task), at, end(duration));
            }
            EventKind::Call { call, result, duration } => {
                let end = end(duration);
                self.open(who, Open::Call(call), at, Some((end, result)));
                self.living[who].until = Some(end);
            }
            EventKind::RegionBegin { site, .. } => self.open(who, Open::Region(site), at, None),
            EventKind::PollBegin { future } => self.open(who, Open::Poll(future), at, None),
            EventKind::TaskRunBegin { task } => self.open(who, Open::Task(task), at, None),
            EventKind::CallBegin { call } => self.open(who, Open::Call(call), at, None),
            EventKind::Reopen { open, since: ago } => self.open_since(who, open, since(ago)),
            EventKind::End | EventKind::EndValue { .. } | EventKind::EndPoll { .. }
                if self.has_cpus =>
            {
                self.close(who, at);
            }
            EventKind::EndCall { result } => self.end_call(who, at, result),
            EventKind::EndDetached { open, since: ago } => {
                let begin = self.nanos(since(ago));
                self.end_detached(who, open, begin, at);
            }
            EventKind::Dropped { from, to, .. } => {
                let (from, to) = (self.nanos(from), self.nanos(to));
                self.living[who].dropped(to.saturating_sub(from));
            }
            _ => {}
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

    fn complete(&mut self, who: usize, open: Open, begin: u64, end: u64) {
        self.end_early(who, begin);
        self.living[who].push(open, begin, None);
        self.living[who].until = Some(end);
    }

    /// Nothing is inside what is complete: what comes all the same shows that it is over.
    #[inline]
    fn end_early(&mut self, who: usize, at: u64) {
        if self.living[who].until.is_some() {
            self.close(who, at);
        }
    }

    /// Opens what began then, perhaps before what is read.
    pub(super) fn open_since(&mut self, who: usize, open: Open, begin: Ticks) {
        let older = Moment(self.tables.clock.signed_nanos(begin)).before(self.from);
        let depth = self.living[who].frames.len();
        self.open(who, open, self.nanos(begin), None);
        if older > 0
            && let Some(frame) = self.living[who].frames.get_mut(depth)
        {
            frame.older = older;
        }
    }

    /// Opens something. `whole`: when it ends and with which result, if that is known.
    pub(super) fn open(&mut self, who: usize, open: Open, begin: u64, whole: Option<(u64, i64)>) {
        self.end_early(who, begin);
        let Open::Call(call) = open else {
            if self.has_cpus {
                self.living[who].push(open, begin, None);
            }
            return;
        };
        let (mut why, place) = self.places.why(call);
        if let Some((end, result)) = whole {
            let is_fast = end - begin < WAIT_NANOS_MIN && call_class(call.call) != CallClass::Futex;
            why.waits &= result != EAGAIN && !is_fast;
        }
        self.living[who].push(open, begin, Some((why, place)));
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
            && let Some(call) = self.living[who].frames.last_mut().and_then(|it| it.call.as_mut())
        {
            call.result = Some(result);
        }
    }

    fn close(&mut self, who: usize, at: u64) {
        if let Some((frame, end)) = self.living[who].pop(at) {
            self.closed(who, frame, end);
        }
    }

    fn end_call(&mut self, who: usize, at: u64, result: i64) {
        self.end_early(who, at);
        let Some(place) = self.living[who].frames.iter().rposition(|it| it.call.is_some()) else {
            // Frames beyond the limit may be calls.
            self.close(who, at);
            return;
        };
        while self.living[who].frames.len() > place + 1 {
            self.close(who, at);
        }
        if let Some(call) = self.living[who].frames.last_mut().and_then(|it| it.call.as_mut()) {
            call.result = Some(result);
        }
        self.close(who, at);
    }

    fn end_detached(&mut self, who: usize, open: Open, begin: u64, at: u64) {
        self.end_early(who, at);
        let frames = &self.living[who].frames;
        let place = frames.iter().rposition(|it| it.open == open && it.begin == begin);
        let Some(place) = place else { return };
        while self.living[who].frames.len() > place {
            self.close(who, at);
        }
    }

    /// Something is no longer open.
    fn closed(&mut self, who: usize, frame: Frame, end: u64) {
        match (frame.open, frame.call) {
            (Open::Region(site), _) => self.closed_region(who, site, &frame, end),
            (Open::Call(_), Some(call)) => {
                self.closed_call(who, call, (frame.begin, frame.older), end, true);
            }
            _ => {}
        }
    }

    fn closed_region(&mut self, who: usize, site: SiteId, frame: &Frame, end: u64) {
        let living = &self.living[who];
        let is_inner = living.frames.iter().rev().take(64).any(|it| it.open == frame.open);
        let site = if self.tables.callsite(site).is_some() { site } else { SiteId(0) };
        let times = self.regions.entry(site).or_default();
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
        let (inside, whole) = (Nanos(call.blocked), Nanos(call.blocked.saturating_add(older)));
        let mut wait =
            Wait { thread, stack, resource, begin: since, duration: whole, inside, waker };
        if call.blocked > 0 {
            let places = (call.place, waker_place);
            self.waits.add(call.why.reason, call.why.named, places, &wait);
            if !is_over {
                self.keep_unended(&call, wait);
            }
        }
        if call.faulted > 0 {
            let (begin, inside) = (Moment::from(Nanos(begin)), Nanos(call.faulted));
            wait = Wait { begin, duration: inside, inside, waker: None, ..wait };
            self.waits.add(Reason::PageFault, false, (stack, None), &wait);
        }
        if is_over {
            self.living[who].calls_ended += 1;
            let inside = end - begin.min(end);
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
                let was_woken = is_over && call.result.is_none_or(|result| result >= 0);
                let futex = self.futexes.at(resource)?;
                let wake = futex.waited(who, thread, (begin, end), was_woken)?;
                let held_since = wake.held_since.filter(|_| call.why.reason.is_lock());
                let (thread, stack, at) = (wake.thread, wake.stack, Nanos(wake.begin));
                let held_since = held_since.map(Nanos);
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

    pub(super) fn add_ready(&mut self, stack: StackId, thread: ThreadId, nanos: u64) {
        if nanos > 0 {
            self.ready.entry((stack, thread)).or_default().add(nanos);
        }
    }

    /// Ends all lives, and tells what is known.
    pub(super) fn finish(mut self, options: &Options) -> Lives {
        self.begin_pending(Ticks(u64::MAX));
        self.settle(self.to);
        super::finish::finish(&mut self, options)
    }

    /// Makes time pass for one thread to the end of its life, and tells what it still waited for.
    pub(super) fn bring_to_end(&mut self, who: usize, end: u64) {
        self.bring(who, end);
        self.tell_outside(who);
        while let Some((frame, end)) = self.living[who].pop_any(end) {
            if let Some(call) = frame.call {
                self.closed_call(who, call, (frame.begin, frame.older), end, false);
            }
        }
        self.living[who].bury();
    }

    pub(super) fn tables(&self) -> &'f Tables {
        self.tables
    }
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
