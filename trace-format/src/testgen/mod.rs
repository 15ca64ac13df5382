//! Traces made by hand, for tests: valid ones, and ones broken on purpose.
//!
//! This is no recorder: the caller says what happened and when. But the result obeys FORMAT.md as a
//! recorder's file does: batches are restated, definitions come first, counts are right. A test
//! that needs a wrong trace writes a batch of its own, with any [`BatchInfo`].
//!
//! - `program` (private): calls, CPUs, stacks, the heap: what is recorded without annotations.
//! - `whole` (private): whole traces: [`tight_loops`], [`everything`].

mod program;
mod whole;

pub use program::{open_call, os_id};
pub use whole::{everything, tight_loops};

use std::collections::BTreeMap;

use crate::batch::{BatchInfo, Compression, FileEncoder};
use crate::definition::{CallsiteKind, Definition, OpenSince, put_definition};
use crate::event::{Event, EventKind, put_event};
use crate::header::{BatchKind, FLAG_RESTATED};
use crate::id::{Open, SiteId, StackId, ThreadId};
use crate::time::{ClockKind, ClockSnapshot, Nanos, Ticks};
use crate::value::{Value, Values, put_value};

/// A trace in the making.
#[derive(Debug)]
pub struct TraceBuilder {
    encoder: FileEncoder,
    out: Vec<u8>,
    threads: BTreeMap<ThreadId, Pen>,
    definitions: Vec<u8>,
    definitions_count: u32,
    definitions_sequence: u32,
    generation: u32,
    batch_bytes_max: usize,
}

/// One thread's open batch.
#[derive(Debug, Default)]
struct Pen {
    payload: Vec<u8>,
    base: Ticks,
    clock: Ticks,
    sequence: u32,
    offset: u32,
    events: u32,
    events_total: u64,
    restated: bool,
    open: Vec<OpenSince>,
    /// Of a CPU: the system's id of the thread that runs there.
    running: Option<u64>,
    /// When the thread ended, if it did before the trace.
    ended: Option<Ticks>,
}

impl Default for TraceBuilder {
    fn default() -> Self {
        Self::new(Compression::None)
    }
}

impl TraceBuilder {
    /// A trace of generation 1 that has only the file header.
    #[must_use]
    pub fn new(compression: Compression) -> Self {
        let mut encoder = FileEncoder::new(compression);
        let out = encoder.begin().to_vec();
        Self {
            encoder,
            out,
            threads: BTreeMap::new(),
            definitions: Vec::new(),
            definitions_count: 0,
            definitions_sequence: 0,
            generation: 1,
            batch_bytes_max: 60 * 1024,
        }
    }

    /// The definitions every trace begins with: a process, a clock at tick 0, generation 1.
    #[must_use]
    pub fn started(compression: Compression) -> Self {
        Self::started_at(compression, 0)
    }

    /// The same, but both the trace's and the machine's clock are at `ticks` then.
    #[must_use]
    pub fn started_at(compression: Compression, ticks: u64) -> Self {
        let mut trace = Self::new(compression);
        trace.define(&Definition::Process {
            pid: 1,
            executable: b"testgen",
            os: b"linux",
            arch: b"x86_64",
            clock: ClockKind::Tsc,
            tracer: b"0.1.0",
        });
        trace.clock(Ticks(ticks), Nanos(ticks));
        trace.define(&Definition::Generation { number: 1, ticks: Ticks(ticks) });
        trace
    }

    /// Batches are sealed when their payload has this many bytes.
    pub fn batch_bytes_max(&mut self, bytes: usize) {
        self.batch_bytes_max = bytes;
    }

    /// Adds a definition. It is written before the next batch of events.
    pub fn define(&mut self, definition: &Definition<'_>) {
        put_definition(&mut self.definitions, definition);
        self.definitions_count += 1;
        if self.definitions.len() > 512 * 1024 {
            self.write_definitions();
        }
    }

    /// Adds a call site without arguments.
    pub fn callsite(&mut self, id: u32, kind: CallsiteKind, name: &str) {
        self.define(&Definition::Callsite {
            id: SiteId(id),
            kind,
            name: name.as_bytes(),
            module: b"testgen",
            file: b"src/testgen.rs",
            line: id,
            column: 1,
            min: Nanos(0),
            arguments: Vec::new(),
        });
    }

    /// Adds a thread; the system's id is [`os_id`].
    pub fn thread(&mut self, id: u32, name: &str) {
        let (id, os_id, name) = (ThreadId(id), os_id(id), name.as_bytes());
        let (parent, stack) = (ThreadId(0), StackId(0));
        let first = Ticks(0);
        self.define(&Definition::Thread { id, os_id, name, first, parent, stack, entry: 0 });
    }

    /// Ends a thread; its totals are written with those of all others.
    pub fn exit(&mut self, id: u32, ticks: u64) {
        self.threads.entry(ThreadId(id)).or_default().ended = Some(Ticks(ticks));
    }

    /// Adds a clock snapshot.
    pub fn clock(&mut self, ticks: Ticks, nanos: Nanos) {
        let wall = Nanos(1_700_000_000_000_000_000 + nanos.0);
        self.define(&Definition::Clock(ClockSnapshot { ticks, monotonic: nanos, wall }));
    }

    /// Adds an event to the open batch of a thread, or of a CPU: [`ThreadId::cpu`].
    pub fn event(&mut self, thread: u32, ticks: u64, kind: EventKind<'_>) {
        let id = ThreadId(thread);
        let pen = self.threads.entry(id).or_default();
        pen.begin(Ticks(ticks));
        pen.put(&Event { ticks: Ticks(ticks), kind });
        if pen.payload.len() >= self.batch_bytes_max {
            self.seal(thread);
        }
    }

    /// A complete region without arguments.
    pub fn region(&mut self, thread: u32, site: u32, ticks: u64, duration: u64) {
        let (site, duration) = (SiteId(site), Ticks(duration));
        let kind = EventKind::Region { site, duration, values: Values::new(&[]) };
        self.event(thread, ticks, kind);
    }

    /// The begin of a region without arguments.
    pub fn begin(&mut self, thread: u32, site: u32, ticks: u64) {
        let kind = EventKind::RegionBegin { site: SiteId(site), values: Values::new(&[]) };
        self.event(thread, ticks, kind);
    }

    /// The end of what a thread opened last.
    pub fn end(&mut self, thread: u32, ticks: u64) {
        self.event(thread, ticks, EventKind::End);
    }

    /// Writes a thread's open batch as it is; what follows is another piece of the same batch.
    pub fn cut(&mut self, thread: u32) {
        self.write_definitions();
        let id = ThreadId(thread);
        let Some(pen) = self.threads.get_mut(&id).filter(|pen| !pen.payload.is_empty()) else {
            return;
        };
        let info = BatchInfo {
            kind: BatchKind::Events,
            thread: id,
            sequence: pen.sequence,
            offset: pen.offset,
            generation: self.generation,
            base_ticks: pen.base,
            last_ticks: pen.clock,
            events: pen.events,
            flags: if pen.offset == 0 { FLAG_RESTATED } else { 0 },
        };
        let payload = std::mem::take(&mut pen.payload);
        pen.offset += payload.len() as u32;
        pen.base = pen.clock;
        pen.events = 0;
        self.batch(&info, &payload);
    }

    /// Writes a thread's open batch; what follows is a new batch, restated.
    pub fn seal(&mut self, thread: u32) {
        self.cut(thread);
        let pen = self.threads.entry(ThreadId(thread)).or_default();
        // If nothing was written, the number is still free.
        if pen.offset > 0 {
            pen.sequence += 1;
        }
        (pen.offset, pen.restated) = (0, false);
    }

    /// Begins a generation: all open batches are cut, and what is open is stated.
    pub fn generation(&mut self, ticks: u64) {
        let (ticks, threads) = (Ticks(ticks), self.threads.keys().copied().collect::<Vec<_>>());
        threads.iter().for_each(|thread| self.cut(thread.0));
        self.write_definitions();
        self.generation += 1;
        self.define(&Definition::Generation { number: self.generation, ticks });
        self.clock(ticks, Nanos(ticks.0));
        for id in threads.into_iter().filter(|id| id.as_cpu().is_none()) {
            let pen = &self.threads[&id];
            let (sequence, offset, open) = (pen.sequence, pen.offset, pen.open.clone());
            let state = Definition::ThreadState { id, sequence, offset, more: false, open };
            self.define(&state);
        }
        self.write_definitions();
    }

    /// Appends a batch of the caller's, without checking it.
    pub fn batch(&mut self, info: &BatchInfo, payload: &[u8]) {
        let encoded = self.encoder.batch(info, payload);
        self.out.extend_from_slice(&encoded.header);
        self.out.extend_from_slice(encoded.stored);
        if let Some(index) = self.encoder.index_if_due() {
            self.out.extend_from_slice(&index);
        }
    }

    /// Bytes written so far: the offset of the next batch.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.out.len()
    }

    /// Writes what is open, the threads' totals, the stop, the index, and the trailer.
    #[must_use]
    pub fn stop(mut self, ticks: u64) -> Vec<u8> {
        let ticks = Ticks(ticks);
        self.seal_all();
        let mut events = 0;
        for (&id, pen) in &self.threads {
            let (total, ended) = (pen.events_total, pen.ended);
            events += total;
            if id.as_cpu().is_some() {
                continue;
            }
            let definition = Definition::ThreadEnd {
                id,
                ended: ended.is_some(),
                ticks: ended.unwrap_or(ticks),
                events: total,
                dropped_events: 0,
                dropped_ends: 0,
            };
            put_definition(&mut self.definitions, &definition);
            self.definitions_count += 1;
        }
        self.clock(ticks, Nanos(ticks.0));
        self.define(&Definition::Stop {
            ticks,
            events,
            dropped_events: 0,
            dropped_ends: 0,
            tracer_cpu: Nanos(1),
            memory_max: 65536,
        });
        self.write_definitions();
        let end = self.encoder.end();
        self.out.extend_from_slice(&end);
        self.out
    }

    /// Writes what is open, and no more: a trace whose program was killed.
    #[must_use]
    pub fn killed(mut self) -> Vec<u8> {
        self.seal_all();
        self.out
    }

    fn seal_all(&mut self) {
        for id in self.threads.keys().copied().collect::<Vec<_>>() {
            self.seal(id.0);
        }
        self.write_definitions();
    }

    /// Writes the definitions that wait.
    pub fn write_definitions(&mut self) {
        if self.definitions.is_empty() {
            return;
        }
        let payload = std::mem::take(&mut self.definitions);
        let info = BatchInfo::of_definitions(
            self.definitions_sequence,
            self.generation,
            Ticks(0),
            std::mem::take(&mut self.definitions_count),
        );
        self.definitions_sequence += 1;
        self.batch(&info, &payload);
    }
}

impl Pen {
    /// Opens the batch if it is not open: restates what is open, or which thread runs.
    fn begin(&mut self, ticks: Ticks) {
        if self.restated {
            return;
        }
        // The earliest time at which the new batch can begin is the end of the one before.
        let ticks = ticks.max(self.clock);
        (self.base, self.clock, self.restated) = (ticks, ticks, true);
        for OpenSince { open, begin } in self.open.clone() {
            let since = Ticks(ticks.0 - begin.0);
            let kind = EventKind::Reopen { open, since };
            put_event(&mut self.payload, &mut self.clock, &Event { ticks, kind });
            self.count();
        }
        if let Some(os_thread) = self.running {
            let kind = EventKind::SwitchIn { os_thread };
            put_event(&mut self.payload, &mut self.clock, &Event { ticks, kind });
            self.count();
        }
    }

    fn put(&mut self, event: &Event<'_>) {
        put_event(&mut self.payload, &mut self.clock, event);
        self.count();
        let begin = event.ticks;
        match event.kind {
            EventKind::RegionBegin { site, .. } => {
                self.open.push(OpenSince { open: Open::Region(site), begin });
            }
            EventKind::PollBegin { future } => {
                self.open.push(OpenSince { open: Open::Poll(future), begin });
            }
            EventKind::TaskRunBegin { task } => {
                self.open.push(OpenSince { open: Open::Task(task), begin });
            }
            EventKind::CallBegin { call } => {
                self.open.push(OpenSince { open: Open::Call(call), begin });
            }
            EventKind::End | EventKind::EndValue { .. } | EventKind::EndCall { .. } => {
                self.open.pop();
            }
            EventKind::EndDetached { open, since } => {
                let it = OpenSince { open, begin: Ticks(event.ticks.0 - since.0) };
                if let Some(at) = self.open.iter().rposition(|other| *other == it) {
                    self.open.truncate(at);
                }
            }
            EventKind::SwitchIn { os_thread } => self.running = Some(os_thread),
            EventKind::SwitchOut { .. } => self.running = None,
            _ => {}
        }
    }

    fn count(&mut self) {
        self.events += 1;
        self.events_total += 1;
    }
}

/// Values as they lie on the wire, for [`Values::new`].
#[must_use]
pub fn value_bytes(values: &[Value<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    values.iter().for_each(|value| put_value(&mut out, value));
    out
}
