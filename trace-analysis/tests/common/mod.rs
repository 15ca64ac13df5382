//! Traces for tests and benches, built event by event with the format's own encoder.
//!
//! A [`Builder`] keeps what a recorder keeps: each thread's open batch and what is open on the
//! thread, so that every batch begins by restating it. One tick is a nanosecond.

#![allow(dead_code, reason = "every test uses a part of it")]

use std::collections::BTreeMap;

use trace_format::batch::{BatchInfo, Compression, FileEncoder};
use trace_format::definition::{ArgumentKind, CallsiteKind, Definition, OpenSince, put_definition};
use trace_format::event::{Event, EventKind, put_event};
use trace_format::header::{BatchKind, FLAG_RESTATED};
use trace_format::id::{Open, SiteId, TaskId, ThreadId};
use trace_format::time::{ClockKind, ClockSnapshot, Nanos, Ticks};
use trace_format::value::{Text, Value, Values, put_value};

/// The wall clock at tick 0: 2026-01-02 03:04:05 UTC.
const WALL: u64 = 1_767_323_045_000_000_000;

#[derive(Default)]
struct Thread {
    sequence: u32,
    offset: u32,
    payload: Vec<u8>,
    base: u64,
    now: Ticks,
    events: u32,
    events_total: u64,
    open: Vec<OpenSince>,
}

/// A trace in the making.
pub(crate) struct Builder {
    encoder: FileEncoder,
    out: Vec<u8>,
    definitions: Vec<u8>,
    definitions_count: u32,
    definitions_sequence: u32,
    generation: u32,
    threads: BTreeMap<u32, Thread>,
    tasks: BTreeMap<u64, (u64, String, u64)>,
    batch_bytes: usize,
}

impl Builder {
    /// An empty trace that begins at tick 0.
    pub(crate) fn new() -> Self {
        let mut encoder = FileEncoder::new(Compression::None);
        let out = encoder.begin().to_vec();
        let mut builder = Self {
            encoder,
            out,
            definitions: Vec::new(),
            definitions_count: 0,
            definitions_sequence: 0,
            generation: 1,
            threads: BTreeMap::new(),
            tasks: BTreeMap::new(),
            batch_bytes: 16 << 10,
        };
        builder.define(&Definition::Process {
            pid: 4711,
            executable: b"search",
            os: b"linux",
            arch: b"x86_64",
            clock: ClockKind::Monotonic,
            tracer: b"0.1.0",
        });
        builder.clock(0);
        builder.define(&Definition::Generation { number: 1, ticks: Ticks(0) });
        builder
    }

    pub(crate) fn batch_bytes(mut self, bytes: usize) -> Self {
        self.batch_bytes = bytes;
        self
    }

    pub(crate) fn define(&mut self, definition: &Definition<'_>) {
        put_definition(&mut self.definitions, definition);
        self.definitions_count += 1;
    }

    fn clock(&mut self, at: u64) {
        let (monotonic, wall) = (Nanos(1_000_000_000 + at), Nanos(WALL + at));
        self.define(&Definition::Clock(ClockSnapshot { ticks: Ticks(at), monotonic, wall }));
    }

    /// A call site in file `src/<module>.rs`, its line ten times its id.
    pub(crate) fn site(&mut self, id: u32, kind: CallsiteKind, path: &str, arguments: &[&str]) {
        let (module, name) = path.rsplit_once("::").unwrap_or(("", path));
        let file = format!("src/{}.rs", module.rsplit("::").next().unwrap_or("main"));
        let arguments = arguments.iter().map(|name| (name.as_bytes(), ArgumentKind::Typed));
        self.define(&Definition::Callsite {
            id: SiteId(id),
            kind,
            name: name.as_bytes(),
            module: module.as_bytes(),
            file: file.as_bytes(),
            line: 10 * id,
            column: 5,
            min: Nanos(0),
            arguments: arguments.collect(),
        });
    }

    pub(crate) fn thread(&mut self, id: u32, name: &str) {
        let first = Ticks(0);
        let (os_id, name) = (u64::from(id) + 4710, name.as_bytes());
        self.define(&Definition::Thread { id: ThreadId(id), os_id, name, first });
    }

    /// Writes one event of a thread.
    pub(crate) fn event(&mut self, thread: u32, at: u64, kind: EventKind<'_>) {
        let full = self.threads.get(&thread).is_some_and(|t| t.payload.len() >= self.batch_bytes);
        if full {
            self.write(thread);
            let own = self.threads.entry(thread).or_default();
            (own.sequence, own.offset) = (own.sequence + 1, 0);
        }
        let own = self.threads.entry(thread).or_default();
        if own.payload.is_empty() {
            own.base = at.max(own.now.0);
            own.now = Ticks(own.base);
            if own.offset == 0 {
                for OpenSince { open, begin } in own.open.clone() {
                    let kind = EventKind::Reopen { open, since: Ticks(own.base - begin.0) };
                    own.put(&Event { ticks: own.now, kind });
                }
            }
        }
        own.put(&Event { ticks: Ticks(at), kind });
        let begin = Ticks(at);
        match kind {
            EventKind::RegionBegin { site, .. } => {
                own.open.push(OpenSince { open: Open::Region(site), begin });
            }
            EventKind::PollBegin { future } => {
                own.open.push(OpenSince { open: Open::Poll(future), begin });
            }
            EventKind::TaskRunBegin { task } => {
                own.open.push(OpenSince { open: Open::Task(task), begin });
            }
            EventKind::End | EventKind::EndValue { .. } => {
                own.open.pop();
            }
            EventKind::EndDetached { open, since } => {
                let begin = Ticks(at - since.0);
                let found = own.open.iter().rposition(|o| *o == OpenSince { open, begin });
                own.open.truncate(found.unwrap_or(own.open.len()));
            }
            _ => {}
        }
        match kind {
            EventKind::TaskBegin { task, parent, name } => {
                let name = String::from_utf8_lossy(name.bytes).into_owned();
                self.tasks.insert(task.0, (parent.0, name, at));
            }
            EventKind::TaskEnd { task } => {
                self.tasks.remove(&task.0);
            }
            _ => {}
        }
    }

    pub(crate) fn begin(&mut self, thread: u32, at: u64, site: u32, values: &[Value<'_>]) {
        let bytes = bytes_of(values);
        let values = Values::new(&bytes);
        self.event(thread, at, EventKind::RegionBegin { site: SiteId(site), values });
    }

    pub(crate) fn end(&mut self, thread: u32, at: u64) {
        self.event(thread, at, EventKind::End);
    }

    pub(crate) fn region(&mut self, thread: u32, at: u64, site: u32, duration: u64) {
        let (site, duration, values) = (SiteId(site), Ticks(duration), Values::new(&[]));
        self.event(thread, at, EventKind::Region { site, duration, values });
    }

    pub(crate) fn region_with(
        &mut self,
        thread: u32,
        at: u64,
        site: u32,
        ns: u64,
        values: &[Value<'_>],
    ) {
        let bytes = bytes_of(values);
        let (site, duration, values) = (SiteId(site), Ticks(ns), Values::new(&bytes));
        self.event(thread, at, EventKind::Region { site, duration, values });
    }

    pub(crate) fn task(&mut self, thread: u32, at: u64, task: u64, parent: u64, name: &str) {
        let name = Text::cut(name.as_bytes(), 256);
        let (task, parent) = (TaskId(task), TaskId(parent));
        self.event(thread, at, EventKind::TaskBegin { task, parent, name });
    }

    /// Begins a generation: writes every thread's batch as far as it goes, and the states.
    pub(crate) fn generation(&mut self, at: u64) {
        let threads: Vec<_> = self.threads.keys().copied().collect();
        threads.iter().for_each(|thread| self.write(*thread));
        self.write_definitions();
        self.generation += 1;
        self.define(&Definition::Generation { number: self.generation, ticks: Ticks(at) });
        self.clock(at);
        for (id, thread) in std::mem::take(&mut self.threads) {
            self.define(&Definition::ThreadState {
                id: ThreadId(id),
                sequence: thread.sequence,
                offset: thread.offset,
                more: false,
                open: thread.open.clone(),
            });
            self.threads.insert(id, thread);
        }
        for (id, (parent, name, begin)) in self.tasks.clone() {
            let (id, parent, begin) = (TaskId(id), TaskId(parent), Ticks(begin));
            self.define(&Definition::TaskState { id, parent, name: name.as_bytes(), begin });
        }
    }

    /// The whole trace, stopped at `at`.
    pub(crate) fn stop(mut self, at: u64) -> Vec<u8> {
        self.generation(at);
        for (id, thread) in std::mem::take(&mut self.threads) {
            self.define(&Definition::ThreadEnd {
                id: ThreadId(id),
                ended: false,
                ticks: Ticks(at),
                events: thread.events_total,
                dropped_events: 0,
                dropped_ends: 0,
            });
        }
        self.define(&Definition::Stop {
            ticks: Ticks(at),
            events: 0,
            dropped_events: 0,
            dropped_ends: 0,
            tracer_cpu: Nanos(1_000_000),
            memory_max: 1 << 20,
        });
        self.write_definitions();
        let end = self.encoder.end();
        self.out.extend_from_slice(&end);
        self.out
    }

    /// The trace as a crash would leave it: what has been written, and no end.
    pub(crate) fn cut(mut self) -> Vec<u8> {
        self.write_definitions();
        self.out
    }

    /// Writes what a thread's batch has beyond its earlier pieces.
    pub(crate) fn write(&mut self, id: u32) {
        self.write_definitions();
        let Some(thread) = self.threads.get_mut(&id) else { return };
        if thread.payload.is_empty() {
            return;
        }
        let info = BatchInfo {
            kind: BatchKind::Events,
            thread: ThreadId(id),
            sequence: thread.sequence,
            offset: thread.offset,
            generation: self.generation,
            base_ticks: Ticks(thread.base),
            last_ticks: thread.now,
            events: thread.events,
            flags: if thread.offset == 0 { FLAG_RESTATED } else { 0 },
        };
        let payload = std::mem::take(&mut thread.payload);
        thread.offset += payload.len() as u32;
        thread.events_total += u64::from(thread.events);
        thread.events = 0;
        append(&mut self.encoder, &mut self.out, &info, &payload);
    }

    fn write_definitions(&mut self) {
        if self.definitions.is_empty() {
            return;
        }
        let info = BatchInfo {
            kind: BatchKind::Definitions,
            thread: ThreadId(0),
            sequence: self.definitions_sequence,
            offset: 0,
            generation: self.generation,
            base_ticks: Ticks(0),
            last_ticks: Ticks(0),
            events: self.definitions_count,
            flags: 0,
        };
        let payload = std::mem::take(&mut self.definitions);
        self.definitions_sequence += 1;
        self.definitions_count = 0;
        append(&mut self.encoder, &mut self.out, &info, &payload);
    }
}

fn append(encoder: &mut FileEncoder, out: &mut Vec<u8>, info: &BatchInfo, payload: &[u8]) {
    let encoded = encoder.batch(info, payload);
    out.extend_from_slice(&encoded.header);
    out.extend_from_slice(encoded.stored);
    if let Some(index) = encoder.index_if_due() {
        out.extend_from_slice(&index);
    }
}

impl Thread {
    fn put(&mut self, event: &Event<'_>) {
        put_event(&mut self.payload, &mut self.now, event);
        self.events += 1;
    }
}

/// The bytes of some values.
pub(crate) fn bytes_of(values: &[Value<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    values.iter().for_each(|value| put_value(&mut bytes, value));
    bytes
}
