//! A trace in a file, or whatever the user's writer is: definitions gather until something that may
//! refer to them is written, and then go first.
//!
//! Elsewhere: bytes (`sink`).

use super::numbers::Numbers;
use crate::clock;
use crate::sink::Sink;
use trace_format::batch::BatchInfo;
use trace_format::definition::{Definition, put_definition};
use trace_format::header::{BatchKind, PAYLOAD_BYTES_MAX};
use trace_format::id::ThreadId;
use trace_format::time::Ticks;

/// Batches on their way to the sink, and the definitions that wait for theirs.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) sink: Sink,
    /// In which it writes now: counted from its own first.
    generation: u32,
    payload: Vec<u8>,
    count: u32,
    sequence: u32,
    /// If it has come late: then batches have other numbers in the session.
    numbers: Option<Numbers>,
}

impl File {
    pub(crate) fn new(sink: Sink) -> Self {
        Self { sink, generation: 1, payload: Vec::new(), count: 0, sequence: 0, numbers: None }
    }

    pub(super) fn come_late(&mut self) {
        self.numbers = Some(Numbers::default());
        self.generation = 0;
    }

    /// Events of which it has been told, written or not; `None` if it was there from the beginning,
    /// and so told of all.
    pub(crate) fn events_told(&self) -> Option<u64> {
        self.numbers.as_ref().map(Numbers::events)
    }

    pub(crate) fn define(&mut self, definition: &Definition<'_>) {
        if let Definition::Generation { number, ticks } = definition {
            self.generation = if self.numbers.is_some() { self.generation + 1 } else { *number };
            return self.put(&Definition::Generation { number: self.generation, ticks: *ticks });
        }
        match self.numbers.as_ref().and_then(|numbers| numbers.renumber(definition)) {
            Some(renumbered) => self.put(&renumbered),
            None => self.put(definition),
        }
        if let (Some(numbers), Definition::ThreadEnd { id, .. }) = (&mut self.numbers, definition) {
            numbers.end(*id);
        }
    }

    fn put(&mut self, definition: &Definition<'_>) {
        put_definition(&mut self.payload, definition);
        self.count += 1;
        // Before it can exceed what a batch may hold.
        if self.payload.len() > PAYLOAD_BYTES_MAX / 2 {
            self.write_definitions();
        }
    }

    pub(super) fn events(&mut self, info: &BatchInfo, payload: &[u8]) {
        let info = match &mut self.numbers {
            Some(numbers) => numbers.of(info),
            None => Some(*info),
        };
        self.write_definitions();
        if let Some(info) = info {
            let info = BatchInfo { generation: self.generation, ..info };
            self.sink.batch(&info, payload, u64::from(info.events));
        }
    }

    pub(crate) fn write_definitions(&mut self) {
        if self.count == 0 {
            return;
        }
        let now = Ticks(clock::ticks());
        let info = BatchInfo {
            kind: BatchKind::Definitions,
            thread: ThreadId(0),
            sequence: self.sequence,
            offset: 0,
            generation: self.generation,
            base_ticks: now,
            last_ticks: now,
            events: self.count,
            flags: 0,
        };
        self.sink.batch(&info, &self.payload, 0);
        self.payload.clear();
        self.count = 0;
        self.sequence += 1;
    }
}
