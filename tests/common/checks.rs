//! Properties of every trace, whatever was recorded. The numbers are FORMAT.md's sections.
//!
//! - Pieces of a thread follow each other without gaps, restated where a batch begins (4).
//! - Times never run backwards on a thread, and lie in the range of the header (3, 4).
//! - Begins and ends nest: a stack that is simulated from the events alone equals the one in
//!   restated batches and thread states (4, 5, 7).
//! - Everything that an event refers to is defined before it (7).
//! - Counts in headers, of threads and of the trace agree with the events (7).

use super::decoded::{Decoded, events};
use super::lanes::{Lane, is_lane};
use exectrace::Report;
use std::collections::{BTreeMap, BTreeSet};
use trace_format::definition::{Definition, OpenSince};
use trace_format::event::{Event, EventKind};
use trace_format::header::{BatchHeader, BatchKind, FLAG_FIRST, FLAG_RESTATED};
use trace_format::id::{Open, SiteId, ThreadId};
use trace_format::read::Batch;
use trace_format::time::Ticks;

/// Maximum number of open things that the recorder lists.
const LISTED_MAX: usize = 32;

/// Fails unless the trace has all these properties.
pub(crate) fn check(trace: &Decoded) {
    let mut walk = Walk { trace, ..Walk::new(trace) };
    for batch in &trace.batches {
        match batch.header.kind {
            BatchKind::Events => walk.piece(batch),
            BatchKind::Definitions => walk.definitions(batch),
            _ => {}
        }
    }
    walk.finish();
}

/// Fails unless the report and the trace agree.
pub(crate) fn check_report(trace: &Decoded, report: &Report) {
    let stop = trace.tables.stop.expect("a stopped trace has its totals");
    let count = |lanes: bool| -> u64 {
        let pieces = trace.pieces().filter(|piece| is_lane(piece.header.thread) == lanes);
        pieces.map(|piece| u64::from(piece.header.events)).sum()
    };
    let (by_threads, written) = (count(false), count(false) + count(true));
    assert!(trace.complete, "a stopped trace has its trailer");
    assert_eq!((report.events, stop.events), (written, written));
    assert_eq!(report.unwritten_events, 0);
    assert_eq!(report.dropped_events, stop.dropped_events);
    assert_eq!(report.dropped_ends, stop.dropped_ends);
    assert_eq!(report.threads, trace.tables.threads.len() as u64);
    assert_eq!(report.memory_max, stop.memory_max);
    let ends = || trace.tables.threads.values().map(|thread| thread.end.expect("a total"));
    assert_eq!(ends().map(|end| end.events).sum::<u64>(), by_threads);
    assert!(ends().map(|end| end.dropped_events).sum::<u64>() <= stop.dropped_events);
    assert_eq!(ends().map(|end| end.dropped_ends).sum::<u64>(), stop.dropped_ends);
}

/// The state of all threads so far.
struct Walk<'t> {
    trace: &'t Decoded,
    threads: BTreeMap<ThreadId, Thread>,
    lanes: BTreeMap<ThreadId, Lane>,
    sites: BTreeSet<u32>,
    generation: u32,
    definition_batches: u32,
    /// Ids that were begun, and ids that were used.
    tasks: [BTreeSet<u64>; 2],
    futures: [BTreeSet<u64>; 2],
    lossy: bool,
}

/// The state of one thread so far.
#[derive(Default)]
struct Thread {
    /// The end of the piece before: its sequence, and the offset after it.
    place: Option<(u32, u32)>,
    last: u64,
    /// What has begun and not ended, according to the events.
    stack: Vec<(Open, u64)>,
    events: u64,
    /// The sums of all `Dropped` events.
    dropped: (u64, u64),
    /// Open things that states listed before their begin was written.
    pending: Vec<(Open, u64)>,
    /// The pending things in the last state.
    pending_last: Vec<(Open, u64)>,
    begun: BTreeSet<(u64, u64)>,
    /// Begin of the thread's first batch, if the trace begins while the thread already runs.
    late_from: Option<u64>,
}

impl<'t> Walk<'t> {
    fn new(trace: &'t Decoded) -> Self {
        Self {
            trace,
            threads: BTreeMap::new(),
            lanes: BTreeMap::new(),
            sites: BTreeSet::new(),
            generation: 0,
            definition_batches: 0,
            tasks: Default::default(),
            futures: Default::default(),
            lossy: false,
        }
    }

    fn piece(&mut self, piece: &Batch<'static>) {
        let header = piece.header;
        if is_lane(header.thread) {
            return self.lanes.entry(header.thread).or_default().piece(piece);
        }
        let is_older = self.trace.tables.threads[&header.thread].first < header.base_ticks;
        let thread = self.threads.get_mut(&header.thread).expect("threads are defined first");
        let is_first = thread.place.is_none();
        thread.follow(&header);
        assert_eq!(header.generation, self.generation, "pieces lie in their generation");
        assert!(header.base_ticks.0 >= thread.last, "a piece begins behind the one before");
        thread.last = header.base_ticks.0;
        let events = events(piece);
        let reopened = events.iter().take_while(|event| is_reopen(event)).count();
        let (preamble, rest) = events.split_at(reopened);
        assert!(preamble.is_empty() || header.offset == 0, "only whole batches restate");
        if is_first && is_older {
            thread.come_late(preamble, header.base_ticks);
        }
        if header.offset == 0 {
            thread.restate(preamble, rest.first(), header.base_ticks);
        }
        rest.iter().for_each(|event| thread.event(event));
        thread.events += events.len() as u64;
        assert!(header.last_ticks.0 >= thread.last, "nothing is later than the header says");
        rest.iter().for_each(|event| self.names(event));
    }

    /// Notes the ids that an event begins or uses. A task's end may be alone: FORMAT.md, section 7.
    fn names(&mut self, event: &Event<'_>) {
        let (mut site, mut task, mut future) = (None, None, None);
        match event.kind {
            EventKind::Region { site: named, .. }
            | EventKind::RegionBegin { site: named, .. }
            | EventKind::Instant { site: named, .. }
            | EventKind::Log { site: named, .. }
            | EventKind::Counter { site: named, .. } => site = Some(named),
            EventKind::TaskBegin { task: begun, .. } => task = Some((0, begun.0)),
            EventKind::TaskBeginSite { task: begun, site: named, .. } => {
                (site, task) = (Some(named), Some((0, begun.0)));
            }
            EventKind::FutureBegin { future: begun, site: named, .. }
            | EventKind::FutureSpawn { future: begun, site: named, .. } => {
                (site, future) = (Some(named), Some((0, begun.0)));
            }
            EventKind::TaskRun { task: used, .. } | EventKind::TaskRunBegin { task: used } => {
                task = Some((1, used.0))
            }
            EventKind::Poll { future: used, .. }
            | EventKind::PollBegin { future: used }
            | EventKind::Wake { future: used, .. }
            | EventKind::Unwakeable { future: used }
            | EventKind::FutureEnd { future: used, .. } => future = Some((1, used.0)),
            _ => {}
        }
        if let Some(SiteId(site)) = site {
            assert!(self.sites.contains(&site), "site {site} is defined before it is used");
        }
        if let Some((which, task)) = task {
            self.tasks[which].insert(task);
        }
        if let Some((which, future)) = future {
            self.futures[which].insert(future);
        }
    }

    fn definitions(&mut self, batch: &Batch<'static>) {
        assert_eq!(batch.header.sequence, self.definition_batches, "definitions are in order");
        self.definition_batches += 1;
        let definitions: Vec<_> = batch.definitions().collect();
        for (at, definition) in definitions.iter().enumerate() {
            let first = at == 0 && self.definition_batches == 1;
            assert_eq!(matches!(definition, Definition::Process { .. }), first);
            self.definition(definition, definitions.get(at + 1));
        }
    }

    fn definition(&mut self, definition: &Definition<'_>, next: Option<&Definition<'_>>) {
        match definition {
            Definition::Callsite { id, .. } => {
                assert!(self.sites.insert(id.0), "a site is defined once");
            }
            Definition::Thread { id, .. } => {
                let before = self.threads.insert(*id, Thread::default());
                assert!(before.is_none(), "a thread is defined once");
            }
            Definition::Generation { number, .. } => {
                self.generation += 1;
                assert_eq!(*number, self.generation, "generations are numbered in order");
                assert!(matches!(next, Some(Definition::Clock(_))), "with a clock behind");
            }
            Definition::ThreadState { id, sequence, offset, more, open } => {
                let end = self.trace.tables.threads[id].end;
                let thread = self.threads.get_mut(id).expect("a defined thread");
                let lost_ends = end.map_or(u64::MAX, |end| end.dropped_ends - thread.dropped.1);
                thread.state((*sequence, *offset), *more, open, lost_ends);
            }
            Definition::TaskState { id, .. } => {
                self.tasks[0].insert(id.0);
            }
            Definition::FutureState { id, site, .. } => {
                assert!(self.sites.contains(&site.0), "{site:?} is defined before it is used");
                self.futures[0].insert(id.0);
            }
            Definition::ThreadEnd { id, events, dropped_events, dropped_ends, .. } => {
                let thread = self.threads.get(id).expect("a defined thread");
                assert_eq!(*events, thread.events, "the events of {id:?} are all there");
                assert!(thread.dropped.0 <= *dropped_events);
                assert!(thread.dropped.1 <= *dropped_ends);
            }
            Definition::Stop { dropped_events, .. } => self.lossy = *dropped_events > 0,
            _ => {}
        }
    }

    fn finish(&self) {
        for (id, thread) in &self.threads {
            thread.finish(*id, self.trace);
        }
        if !self.lossy {
            for [begun, used] in [&self.tasks, &self.futures] {
                let unknown: Vec<_> = used.difference(begun).collect();
                assert!(unknown.is_empty(), "what is used has begun: {unknown:?}");
            }
        }
    }
}

impl Thread {
    /// Checks that a piece begins where the one before it ended.
    fn follow(&mut self, header: &BatchHeader) {
        let restated = header.flags & FLAG_RESTATED != 0;
        assert_eq!(restated, header.offset == 0, "whole batches restate");
        match self.place {
            None if header.flags & FLAG_FIRST != 0 => assert_eq!(header.offset, 0),
            None => assert_eq!((header.sequence, header.offset), (0, 0)),
            Some((sequence, behind)) if header.offset > 0 => {
                assert_eq!((header.sequence, header.offset), (sequence, behind));
            }
            Some((sequence, _)) => assert_eq!(header.sequence, sequence + 1),
        }
        self.place = Some((header.sequence, header.offset + header.payload_bytes));
    }

    /// If the trace begins while a thread already runs, the thread's first batch restates what had
    /// begun.
    fn come_late(&mut self, preamble: &[Event<'_>], base: Ticks) {
        self.late_from = Some(base.0);
        for event in preamble {
            let EventKind::Reopen { open, since } = event.kind else { continue };
            self.begin(open, base.0 - since.0);
        }
    }

    /// A batch begins with what is open: everything that has begun, except for what was lost.
    fn restate(&mut self, preamble: &[Event<'_>], first: Option<&Event<'_>>, base: Ticks) {
        let reopened = preamble.iter().map(|event| match event.kind {
            EventKind::Reopen { open, since } => (open, base.0 - since.0),
            _ => unreachable!("only these were taken"),
        });
        let reopened: Vec<_> = reopened.collect();
        let lost_ends = match first.map(|event| event.kind) {
            Some(EventKind::Dropped { ends, .. }) => ends as usize,
            _ => 0,
        };
        let listed = self.stack.len().min(LISTED_MAX).min(self.stack.len() - lost_ends);
        assert_eq!(reopened, self.stack[..listed], "what is restated is what is open");
        self.stack.truncate(self.stack.len() - lost_ends);
    }

    fn event(&mut self, event: &Event<'_>) {
        let ticks = event.ticks.0;
        assert!(ticks >= self.last, "time runs backwards");
        self.last = ticks;
        match event.kind {
            EventKind::Region { site, duration, .. } => {
                self.complete(Open::Region(site), ticks, duration);
            }
            EventKind::Poll { future, duration, .. } => {
                self.complete(Open::Poll(future), ticks, duration);
            }
            EventKind::TaskRun { task, duration } => {
                self.complete(Open::Task(task), ticks, duration);
            }
            EventKind::Call { call, duration, .. } => {
                self.complete(Open::Call(call), ticks, duration);
            }
            EventKind::CallBegin { call } => self.begin(Open::Call(call), ticks),
            EventKind::RegionBegin { site, .. } => self.begin(Open::Region(site), ticks),
            EventKind::PollBegin { future } => self.begin(Open::Poll(future), ticks),
            EventKind::TaskRunBegin { task } => self.begin(Open::Task(task), ticks),
            EventKind::End
            | EventKind::EndValue { .. }
            | EventKind::EndCall { .. }
            | EventKind::EndPoll { .. } => {
                assert!(self.stack.pop().is_some(), "an end has a begin");
            }
            EventKind::EndDetached { open, since } => {
                let begin = ticks - since.0;
                let found = self.stack.iter().rposition(|&each| each == (open, begin));
                self.stack.truncate(found.unwrap_or(self.stack.len()));
            }
            EventKind::Reopen { .. } => panic!("restated in the middle of a batch"),
            EventKind::Dropped { events, ends, from, to } => {
                assert!(events + ends > 0 && from <= to && from.0 > 0, "a loss of something");
                self.dropped.0 += events;
                self.dropped.1 += ends;
            }
            _ => {}
        }
    }

    fn begin(&mut self, open: Open, ticks: u64) {
        self.stack.push((open, ticks));
        self.begun.insert((open.to_word(), ticks));
    }

    fn complete(&mut self, open: Open, ticks: u64, duration: Ticks) {
        self.begun.insert((open.to_word(), ticks));
        self.last = ticks + duration.0;
    }

    /// A state lists what had begun at its place, and then what is about to be written. Some of it
    /// may have ended: the loss of an end may not have been reported yet.
    fn state(&mut self, place: (u32, u32), more: bool, open: &[OpenSince], lost_ends: u64) {
        // Without a first batch, the place may be in events from before the trace.
        let behind = self.place.unwrap_or(place);
        let next = place == (behind.0 + 1, 0) && self.stack.is_empty();
        assert!(place == behind || next, "{place:?} is not where events go on: {behind:?}");
        let open: Vec<_> = open.iter().map(|each| (each.open, each.begin.0)).collect();
        let listed = &self.stack[..self.stack.len().min(LISTED_MAX)];
        let written = open.iter().zip(listed).take_while(|(told, begun)| told == begun).count();
        let missing = (listed.len() - written) as u64;
        assert!(missing <= lost_ends, "{open:?} begins with what is written: {listed:?}");
        assert!(self.stack.len() <= LISTED_MAX || more, "a state says when it is not all");
        self.pending_last = open[written..].to_vec();
        let mut before = self.last;
        for &(_, begin) in &self.pending_last {
            assert!(begin >= before, "what is pending began after what is written, in order");
            before = begin;
        }
        self.pending.extend_from_slice(&self.pending_last);
    }

    /// Checks that pending things were written later, with the same time, unless a threshold
    /// removed them, or they are still pending.
    fn finish(&self, id: ThreadId, trace: &Decoded) {
        for &(open, begin) in &self.pending {
            let written = self.begun.contains(&(open.to_word(), begin));
            let still = self.pending_last.contains(&(open, begin));
            let forgettable = match open {
                Open::Region(site) => trace.tables.callsite(site).is_some_and(|s| s.min.0 > 0),
                _ => false,
            };
            let known = &trace.tables.threads[&id];
            let stopped = known.end.is_none();
            let is_before = match self.late_from {
                Some(from) => begin < from,
                // The trace begins while the thread runs, and the thread has no batch that restates
                // yet.
                None => self.place.is_none() && known.first < trace.tables.generations[0].ticks,
            };
            let excused = forgettable || stopped || is_before;
            assert!(written || still || excused, "{open:?} never came");
        }
    }
}

fn is_reopen(event: &Event<'_>) -> bool {
    matches!(event.kind, EventKind::Reopen { .. })
}
