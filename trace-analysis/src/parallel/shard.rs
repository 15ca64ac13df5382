//! One reader's share of a trace: the batches of some of the threads, summed as they are decoded.
//!
//! A thread's batches all go to one shard, in file order, so its stack needs no lock and no sort.
//! Nothing is allocated per event: sums lie in arrays by call site, and what is open on a thread
//! in slots that are used again.

use std::collections::{BTreeMap, HashMap};

use trace_format::event::{Event, EventKind};
use trace_format::header::FLAG_RESTATED;
use trace_format::id::{Open, SiteId, ThreadId};
use trace_format::index::IndexEntry;
use trace_format::read::{
    Batch, BatchBuffer, Clock, ReadAt, ReadError, ReadErrorKind, Sequel, ThreadState, TraceFile,
};
use trace_format::time::Ticks;

use super::notes::{NoteKind, Notes};
use crate::report::counters::Counters;
use crate::report::findings::{Finding, FindingKind, Findings};
use crate::report::regions::Regions;
use crate::time::Moment;
use crate::timeline::stack::{Closed, Ending, Room, Stack, Visitor};
use crate::trace::{Options, Threads};

/// Ends on other threads that are remembered, to find the begins they belong to.
const ELSEWHERE_MAX: usize = 1 << 16;

/// What one thread's batches have said so far.
#[derive(Debug)]
pub(crate) struct ThreadReading {
    pub(crate) stack: Stack,
    sequel: Sequel,
    /// When the last piece began that could not be read, wholly or in part, if none followed it.
    /// Then the reason why the next one does not follow has been reported.
    lost: Option<Ticks>,
    pub(crate) first: Option<u64>,
    pub(crate) last: u64,
    pub(crate) events: u64,
    pub(crate) regions: u64,
    pub(crate) dropped_events: u64,
    pub(crate) dropped_ends: u64,
    pub(crate) batches: u64,
    pub(crate) bytes: u64,
}

/// Some threads' share of the sums.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) threads: BTreeMap<ThreadId, ThreadReading>,
    pub(crate) regions: Regions,
    pub(crate) counters: Counters,
    pub(crate) notes: Notes,
    pub(crate) findings: Findings,
    /// What ended here and began on another thread: what, and when it began.
    pub(crate) elsewhere: Vec<(Open, Ticks)>,
    /// Events of a newer version.
    pub(crate) unknown: u64,
    /// Records that the kernel had no room for, as the lanes of CPUs say.
    pub(crate) lost_records: u64,
    buffer: BatchBuffer,
    part: Part,
    /// The threads that were asked for.
    wanted: Threads,
    /// How far those have got of which steps alone are read.
    steps: HashMap<ThreadId, Sequel>,
    room: Room,
}

/// Which part of a trace is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// Events before are read only for what they leave open.
    pub(crate) from: Ticks,
    /// Events from then on are not read.
    pub(crate) to: Ticks,
    /// Time before is in no sum: it lies before the part, or before the trace.
    pub(crate) counted_from: Ticks,
    /// What happened to tasks and futures before is known without events.
    pub(crate) told_from: Ticks,
    /// Whether the part may begin in the middle of a thread.
    pub(crate) is_window: bool,
}

impl Shard {
    pub(crate) fn new(sites_max: SiteId, part: Part, options: &Options) -> Self {
        Self {
            threads: BTreeMap::new(),
            regions: Regions::new(sites_max, (part.from, part.to), options.outliers),
            counters: Counters::new(sites_max),
            notes: Notes::default(),
            findings: Findings::default(),
            elsewhere: Vec::new(),
            unknown: 0,
            lost_records: 0,
            buffer: BatchBuffer::default(),
            part,
            wanted: options.threads.clone(),
            steps: HashMap::new(),
            room: Room::default(),
        }
    }

    /// A thread of which nothing has been read.
    pub(crate) fn come(&mut self, thread: ThreadId) -> &mut ThreadReading {
        let (part, room) = (self.part, &self.room);
        self.threads.entry(thread).or_insert_with(|| ThreadReading::new(part, room))
    }

    /// Reads one batch of events.
    pub(crate) fn read<S: ReadAt>(&mut self, file: &TraceFile<S>, entry: &IndexEntry) {
        if !self.wanted.wants(entry.thread) {
            return self.read_steps(file, entry);
        }
        // The batch borrows the buffer, and everything else of the shard is written to.
        let mut buffer = std::mem::take(&mut self.buffer);
        let clock = &file.tables().clock;
        match file.load(entry, &mut buffer) {
            Ok(batch) => {
                self.read_batch(clock, entry, &batch);
            }
            Err(error) => self.lose(clock, entry, &error),
        }
        self.buffer = buffer;
    }

    /// Reads a batch from before the part for what it says of tasks and futures: these are not only
    /// their thread's, so no later batch of the thread says it again.
    pub(crate) fn read_steps<S: ReadAt>(&mut self, file: &TraceFile<S>, entry: &IndexEntry) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let clock = &file.tables().clock;
        let (notes, told) = (&mut self.notes, self.part.told_from..self.part.to);
        let sequel = self.steps.entry(entry.thread).or_default();
        let loaded = file.load(entry, &mut buffer);
        let fault = match loaded.and_then(|batch| sequel.refuse_past(&batch).map(|()| batch)) {
            Ok(batch) => {
                let walked = batch.events().walk(|event| {
                    sequel.reach(event.ticks);
                    if told.contains(&event.ticks) {
                        notes.step(entry.thread, &event);
                    }
                });
                walked.err().map(|error| batch.error(error))
            }
            Err(error) => {
                sequel.reach(entry.base_ticks);
                Some(error)
            }
        };
        if let Some(error) = fault {
            self.damage(clock, entry, &error, 0);
        }
        self.buffer = buffer;
    }

    /// A batch that is not read.
    fn lose(&mut self, clock: &Clock, entry: &IndexEntry, error: &ReadError) {
        self.damage(clock, entry, error, u64::from(entry.events));
        if let Some(reading) = self.threads.get_mut(&entry.thread) {
            reading.sequel.reach(entry.base_ticks);
            reading.lost = Some(entry.base_ticks);
        }
    }

    fn damage(&mut self, clock: &Clock, entry: &IndexEntry, error: &ReadError, events: u64) {
        let (thread, at) = (Some(entry.thread), Some(clock.nanos(entry.base_ticks)));
        let (offset, what) = (error.offset, error.kind.to_string());
        self.findings.add(Finding { thread, at, kind: FindingKind::Damage { offset, what } });
        if events > 0 {
            self.findings.add(Finding { thread, at, kind: FindingKind::Missing { events } });
        }
    }

    fn read_batch(&mut self, clock: &Clock, entry: &IndexEntry, batch: &Batch<'_>) {
        let header = &batch.header;
        let thread = header.thread;
        let Part { from, to, told_from, is_window, .. } = self.part;
        let is_first = !self.threads.contains_key(&thread);
        let reading = self.come(thread);
        if is_first && is_window && header.flags & FLAG_RESTATED != 0 {
            reading.sequel = Sequel::behind(header.sequence);
        }
        if let Err(error) = reading.sequel.refuse_past(batch) {
            return self.lose(clock, entry, &error);
        }
        let missing = reading.sequel.missing_before(header);
        let lost = reading.lost.take();
        let gap = lost.or(missing.as_ref().map(|_| header.base_ticks));
        // That whole batches are missing, the file says.
        if let Some(kind @ ReadErrorKind::PieceMissing { .. }) = missing
            && lost.is_none()
        {
            self.damage(clock, entry, &ReadError::new(batch.offset, kind), 0);
        }
        let Some(reading) = self.threads.get_mut(&thread) else { return };
        reading.batches += 1;
        reading.bytes += u64::from(entry.bytes);
        let mut sink = Sink {
            thread,
            clock,
            regions: &mut self.regions,
            notes: &mut self.notes,
            findings: &mut self.findings,
            elsewhere: &mut self.elsewhere,
            window: (from.0, to.0),
            told_from: told_from.0,
            is_trace_end: false,
            ended: 0,
        };
        reading.join(batch, gap, &mut sink);

        let is_inside = header.base_ticks >= from && header.last_ticks < to;
        let counters = &mut self.counters;
        let rare = (&mut self.unknown, &mut self.lost_records);
        let mut rare = Rare { unknown: rare.0, lost_records: rare.1 };
        let window = (from.0, to.0);
        let Walked { read, before, first, now, fault } = if thread.as_cpu().is_some() {
            walk_cpu(batch, window, &mut rare)
        } else if is_inside {
            walk_whole(batch, reading, counters, &mut rare, &mut sink)
        } else {
            walk_part(batch, window, reading, counters, &mut rare, &mut sink)
        };
        reading.sequel.reach(Ticks(now));
        if fault.is_none() && now < to.0 && read != u64::from(header.events) {
            // The checksum is right, so this is what was written: by a faulty writer.
            let what = format!("a batch of {read} events says it has {}", header.events);
            let kind = FindingKind::Damage { offset: batch.offset, what };
            sink.find(Ticks(now), kind);
        }
        let ended = sink.ended;
        reading.regions += ended;
        reading.events += read - before;
        reading.first = reading.first.or(first);
        if read > before {
            reading.last = now.min(to.0);
        }
        if let Some(error) = fault {
            reading.lost = Some(Ticks(now));
            self.damage(clock, entry, &error, u64::from(header.events).saturating_sub(read));
        }
    }

    /// Ends what is still open on every thread.
    ///
    /// - `states`: what was open behind all that was read of a thread, as states behind it say.
    /// - `ended_elsewhere`: whether something ended on another thread.
    pub(crate) fn finish(
        &mut self,
        clock: &Clock,
        at: Ticks,
        is_trace_end: bool,
        states: &HashMap<ThreadId, ThreadState>,
        ended_elsewhere: impl Fn(Open, Ticks) -> bool,
    ) {
        for (&thread, reading) in &mut self.threads {
            let mut sink = Sink {
                thread,
                clock,
                regions: &mut self.regions,
                notes: &mut self.notes,
                findings: &mut self.findings,
                elsewhere: &mut self.elsewhere,
                window: (self.part.from.0, self.part.to.0),
                told_from: self.part.told_from.0,
                is_trace_end,
                ended: 0,
            };
            reading.stack.forget(|it| ended_elsewhere(it.open, it.begin));
            if let Some(then) = reading.lost {
                reading.stack.gap(then, &mut sink);
            }
            if let Some(state) = states.get(&thread) {
                let open = state.open.iter().copied();
                let open = open.filter(|open| !ended_elsewhere(open.open, open.begin));
                // What it has no room to name may have ended in what is lost.
                let more = state.more && reading.stack.is_sure();
                reading.stack.resume(open, more, at, &mut sink);
            }
            reading.stack.finish(at, &mut sink);
        }
    }
}

impl ThreadReading {
    fn new(part: Part, room: &Room) -> Self {
        Self {
            stack: Stack::new().with_room(room).with_window(part.counted_from, part.to),
            sequel: Sequel::default(),
            lost: None,
            first: None,
            last: 0,
            events: 0,
            regions: 0,
            dropped_events: 0,
            dropped_ends: 0,
            batches: 0,
            bytes: 0,
        }
    }

    /// A piece comes.
    ///
    /// - `gap`: if it does not follow the one before it, or that could not be read to its end: up
    ///   to when all is known.
    fn join(&mut self, batch: &Batch<'_>, gap: Option<Ticks>, sink: &mut Sink<'_>) {
        if let Some(then) = gap {
            self.stack.gap(then, sink);
        }
        if batch.header.flags & FLAG_RESTATED != 0 {
            self.stack.restate();
        }
    }

    /// Whether what is open is not all known: events are missing, and nothing was restated since.
    pub(crate) fn is_unsure(&self) -> bool {
        self.lost.is_some() || !self.stack.is_sure()
    }

    /// The last events may be missing.
    ///
    /// - `since`: from when on.
    pub(crate) fn miss_end(&mut self, since: Ticks) {
        let since = since.max(Ticks(self.last));
        self.lost = self.lost.or(Some(since));
    }
}

/// Sums of what is rare.
struct Rare<'s> {
    unknown: &'s mut u64,
    lost_records: &'s mut u64,
}

/// What walking a batch's events has shown.
struct Walked {
    read: u64,
    /// Of these, before the window.
    before: u64,
    /// When the first in the window was.
    first: Option<u64>,
    /// The end of the last one.
    now: u64,
    fault: Option<ReadError>,
}

/// All events of a batch that lies in the window: the fast way.
fn walk_whole(
    batch: &Batch<'_>,
    reading: &mut ThreadReading,
    counters: &mut Counters,
    rare: &mut Rare<'_>,
    sink: &mut Sink<'_>,
) -> Walked {
    let mut events = batch.events();
    let (mut read, mut first) = (0, None);
    let walked = events.walk(|event| {
        if read == 0 {
            first = Some(event.ticks.0);
        }
        read += 1;
        take(event, true, reading, counters, rare, sink);
    });
    let fault = walked.err().map(|error| batch.error(error));
    Walked { read, before: 0, first, now: events.now().0, fault }
}

/// The events of a batch up to the window's end, those before its begin for what they open.
#[inline(never)]
fn walk_part(
    batch: &Batch<'_>,
    (from, to): (u64, u64),
    reading: &mut ThreadReading,
    counters: &mut Counters,
    rare: &mut Rare<'_>,
    sink: &mut Sink<'_>,
) -> Walked {
    let mut events = batch.events();
    let (mut read, mut first, mut before, mut fault) = (0, None, 0, None);
    for event in events.by_ref() {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                fault = Some(batch.error(error));
                break;
            }
        };
        if event.ticks.0 >= to {
            break;
        }
        read += 1;
        let is_inside = event.ticks.0 >= from;
        if !is_inside {
            before += 1;
        } else if first.is_none() {
            first = Some(event.ticks.0);
        }
        take(event, is_inside, reading, counters, rare, sink);
    }
    Walked { read, before, first, now: events.now().0, fault }
}

/// The events of a CPU: who runs there is not summed here, and what can't stand on its lane says
/// nothing.
fn walk_cpu(batch: &Batch<'_>, (from, to): (u64, u64), rare: &mut Rare<'_>) -> Walked {
    let mut events = batch.events();
    let (mut read, mut first, mut before, mut fault) = (0, None, 0, None);
    for event in events.by_ref() {
        match event {
            Ok(event) if event.ticks.0 >= to => break,
            Ok(event) => {
                read += 1;
                if event.ticks.0 < from {
                    before += 1;
                } else {
                    first = first.or(Some(event.ticks.0));
                }
                match event.kind {
                    EventKind::LostKernel { records } if event.ticks.0 >= from => {
                        *rare.lost_records = rare.lost_records.saturating_add(records);
                    }
                    EventKind::Unknown { .. } if event.ticks.0 >= from => *rare.unknown += 1,
                    _ => {}
                }
            }
            Err(error) => fault = Some(batch.error(error)),
        }
    }
    Walked { read, before, first, now: events.now().0, fault }
}

/// Takes one event. By value, so that it lives in registers: only the rare ones go to memory.
#[inline(always)]
fn take(
    event: Event<'_>,
    is_inside: bool,
    reading: &mut ThreadReading,
    counters: &mut Counters,
    rare: &mut Rare<'_>,
    sink: &mut Sink<'_>,
) {
    match event.kind {
        EventKind::Instant { .. }
        | EventKind::Log { .. }
        | EventKind::Counter { .. }
        | EventKind::TaskBegin { .. }
        | EventKind::TaskBeginSite { .. }
        | EventKind::TaskEnd { .. }
        | EventKind::FutureBegin { .. }
        | EventKind::FutureEnd { .. }
        | EventKind::FutureSpawn { .. }
        | EventKind::Wake { .. }
        | EventKind::Ready { .. }
        | EventKind::Unwakeable { .. }
        | EventKind::TaskLink { .. }
        | EventKind::Dropped { .. }
        | EventKind::Unknown { .. } => note(event, is_inside, reading, counters, rare, sink),
        _ => reading.stack.feed(&event, sink),
    }
}

/// Takes an event that opens and ends nothing.
#[inline(never)]
fn note(
    event: Event<'_>,
    is_inside: bool,
    reading: &mut ThreadReading,
    counters: &mut Counters,
    rare: &mut Rare<'_>,
    sink: &mut Sink<'_>,
) {
    reading.stack.passes(&event, sink);
    let at = event.ticks;
    match event.kind {
        EventKind::Instant { site, .. } | EventKind::Log { site, .. } if is_inside => {
            counters.add_moment(site);
        }
        EventKind::Counter { site, value } if is_inside => counters.add(site, at, value),
        EventKind::Dropped { events, ends, from, to } if is_inside => {
            reading.dropped_events = reading.dropped_events.saturating_add(events);
            reading.dropped_ends = reading.dropped_ends.saturating_add(ends);
            let to = sink.clock.nanos(to);
            sink.find(from, FindingKind::Dropped { events, ends, to });
        }
        EventKind::Unknown { .. } if is_inside => *rare.unknown += 1,
        _ if at.0 >= sink.told_from => sink.notes.step(sink.thread, &event),
        _ => {}
    }
}

/// Where what ends on one thread goes.
struct Sink<'s> {
    thread: ThreadId,
    clock: &'s Clock,
    regions: &'s mut Regions,
    notes: &'s mut Notes,
    findings: &'s mut Findings,
    elsewhere: &'s mut Vec<(Open, Ticks)>,
    window: (u64, u64),
    /// As in [`Part`].
    told_from: u64,
    /// Whether what is unfinished is so because the trace ended.
    is_trace_end: bool,
    ended: u64,
}

impl Visitor for Sink<'_> {
    #[inline(always)]
    fn closed(&mut self, closed: &Closed<'_>) {
        match closed.open {
            Open::Region(site) => {
                let is_inside = closed.end.0 >= self.window.0 && closed.end.0 < self.window.1;
                self.ended += u64::from(closed.ending.is_known() && is_inside);
                self.regions.add(self.thread, site, closed);
            }
            _ => self.closed_other(closed),
        }
        if !matches!(closed.ending, Ending::Ended | Ending::With(..)) {
            self.closed_oddly(closed);
        }
    }

    #[cold]
    fn end_without_begin(&mut self, at: Ticks) {
        self.find(at, FindingKind::EndWithoutBegin);
    }

    #[cold]
    fn too_deep(&mut self, at: Ticks) {
        self.find(at, FindingKind::TooDeep);
    }
}

impl Sink<'_> {
    #[inline(never)]
    fn closed_other(&mut self, closed: &Closed<'_>) {
        let (at, end) = (closed.begin.0, closed.end.0);
        if end < self.window.0 || closed.ending == Ending::Lost {
            return;
        }
        let kind = match closed.open {
            Open::Region(_) | Open::Call(_) => return,
            // What is done in a run inside another one of the task is done in that.
            Open::Task(_) if !closed.outermost => return,
            Open::Poll(future) => {
                let is_over = closed.ending.is_known() && end < self.window.1;
                self.ended += u64::from(is_over);
                NoteKind::Poll { future, end: is_over.then_some(end), inside: closed.inside.0 }
            }
            Open::Task(task) => NoteKind::TaskRun { task, inside: closed.inside.0 },
        };
        self.notes.add(at, self.thread, kind);
    }

    #[cold]
    #[inline(never)]
    fn closed_oddly(&mut self, closed: &Closed<'_>) {
        let (open, begin) = (closed.open, Moment(self.clock.signed_nanos(closed.begin)));
        let kind = match closed.ending {
            Ending::Ended | Ending::With(..) => return,
            Ending::Misnested => FindingKind::Misnested { open, begin },
            Ending::Elsewhere => {
                self.note_elsewhere(closed);
                FindingKind::EndedElsewhere { open, begin }
            }
            // Perhaps on this thread, among events that are missing.
            Ending::Unseen => return self.note_elsewhere(closed),
            Ending::Lost => FindingKind::EndLost { open, begin },
            Ending::Unfinished => {
                // That a thread waits to the end is no fault: `Lives::unended` says who does.
                if !self.is_trace_end || matches!(open, Open::Call(_)) {
                    return;
                }
                let open_for = begin.until(self.clock.nanos(closed.end));
                FindingKind::Unfinished { open, open_for }
            }
        };
        if closed.end.0 >= self.window.0 {
            self.find(closed.end, kind);
        }
    }

    fn note_elsewhere(&mut self, closed: &Closed<'_>) {
        if self.elsewhere.len() < ELSEWHERE_MAX {
            self.elsewhere.push((closed.open, closed.begin));
        }
    }

    fn find(&mut self, at: Ticks, kind: FindingKind) {
        let at = Some(self.clock.nanos(at));
        self.findings.add(Finding { thread: Some(self.thread), at, kind });
    }
}
