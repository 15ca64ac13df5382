//! One CPU's batches: which thread runs there, written as events.
//!
//! What is always true: times do not run backwards; a thread that begins to run is the one that
//! ceases, unless records were lost in between; the first piece of a batch begins with the thread
//! that is running.

use crate::output::Output;
use trace_format::batch::BatchInfo;
use trace_format::event::{Event, EventKind, put_event};
use trace_format::header::{BatchKind, FLAG_RESTATED};
use trace_format::id::ThreadId;
use trace_format::time::Ticks;

/// A batch that has so much gets a successor.
const BATCH_BYTES: usize = 48 << 10;

/// Who runs on a CPU, of the traced process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Running {
    /// Not known: nothing was seen yet, or something was lost.
    Unknown,
    Nobody,
    /// The system's id of the thread.
    Thread(u32),
}

/// One CPU's lane.
#[derive(Debug)]
pub(super) struct Lane {
    cpu: u32,
    running: Running,
    /// Of the batch that is open.
    sequence: u32,
    /// Payload bytes of it that are written.
    offset: usize,
    /// What is not written yet, ...
    payload: Vec<u8>,
    events: u32,
    /// ... from here ...
    base: Ticks,
    /// ... to here.
    last: Ticks,
    /// Events written.
    written: u64,
}

impl Lane {
    /// The lane of the CPU with this number.
    pub(super) fn new(cpu: u32) -> Self {
        Self {
            cpu,
            running: Running::Unknown,
            sequence: 0,
            offset: 0,
            payload: Vec::new(),
            events: 0,
            base: Ticks(0),
            last: Ticks(0),
            written: 0,
        }
    }

    /// How many events have been written.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// `thread` begins to run.
    pub(super) fn switch_in(&mut self, ticks: u64, thread: u32) {
        // A thread that is watched twice, because it began while that was arranged, tells twice.
        if self.running != Running::Thread(thread) {
            self.put(ticks, EventKind::SwitchIn { os_thread: u64::from(thread) });
            self.running = Running::Thread(thread);
        }
    }

    /// `thread` is running, and if it is known since when, without having been seen to begin, that
    /// is `since`.
    pub(super) fn runs(&mut self, thread: u32, since: Option<u64>) {
        if let Some(since) = since {
            self.switch_in(since, thread);
        }
    }

    /// `thread` ceases to run; `since` as above.
    pub(super) fn switch_out(
        &mut self,
        ticks: u64,
        thread: u32,
        preempted: bool,
        since: Option<u64>,
    ) {
        self.runs(thread, since);
        if self.running != Running::Nobody {
            self.put(ticks, EventKind::SwitchOut { os_thread: u64::from(thread), preempted });
            self.running = Running::Nobody;
        }
    }

    /// So many records were lost before this time.
    pub(super) fn lost(&mut self, ticks: u64, records: u64) {
        self.put(ticks, EventKind::LostKernel { records });
        self.running = Running::Unknown;
    }

    /// Something of the running thread's.
    pub(super) fn put(&mut self, ticks: u64, kind: EventKind<'_>) {
        if self.payload.is_empty() {
            self.last = self.last.max(Ticks(ticks));
            self.base = self.last;
        }
        put_event(&mut self.payload, &mut self.last, &Event { ticks: Ticks(ticks), kind });
        self.events += 1;
    }

    /// Writes what there is; if the batch is long, the next piece is the first of another.
    pub(super) fn write(&mut self, output: &mut Output) {
        if self.payload.is_empty() {
            return;
        }
        let info = BatchInfo {
            kind: BatchKind::Events,
            thread: ThreadId::cpu(self.cpu),
            sequence: self.sequence,
            offset: self.offset as u32,
            generation: output.generation,
            base_ticks: self.base,
            last_ticks: self.last,
            events: self.events,
            flags: if self.offset == 0 { FLAG_RESTATED } else { 0 },
        };
        output.events(&info, &self.payload);
        self.offset += self.payload.len();
        self.written += u64::from(self.events);
        self.payload.clear();
        self.events = 0;
        if self.is_long() {
            self.begin_batch(self.last.0);
        }
    }

    /// Whether there is enough for a batch.
    pub(super) fn is_long(&self) -> bool {
        self.offset + self.payload.len() >= BATCH_BYTES
    }

    /// Begins a batch at this time. A thread that goes on running begins to, once more.
    pub(super) fn begin_batch(&mut self, ticks: u64) {
        if self.offset > 0 {
            self.sequence += 1;
            self.offset = 0;
        }
        if let Running::Thread(thread) = self.running {
            self.put(ticks, EventKind::SwitchIn { os_thread: u64::from(thread) });
        }
    }
}
