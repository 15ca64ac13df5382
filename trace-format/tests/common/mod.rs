//! What the tests of this crate share: reading everything there is, in every way there is.

#![allow(dead_code, reason = "each test uses its own part")]

use std::ops::ControlFlow;

use trace_format::event::{Event, opcode, put_event};
use trace_format::header::BatchKind;
use trace_format::id::ThreadId;
use trace_format::read::{BatchReader, ReadError, TraceFile, Window};

/// An event as it can be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Whose.
    pub(crate) thread: ThreadId,
    /// When.
    pub(crate) ticks: u64,
    /// The clock behind it: of a complete one its end.
    pub(crate) end: u64,
    /// All of it, encoded.
    pub(crate) bytes: Vec<u8>,
}

impl Kept {
    pub(crate) fn is_reopen(&self) -> bool {
        self.bytes[0] == opcode::REOPEN
    }
}

fn keep(thread: ThreadId, event: &Event<'_>) -> Kept {
    let (mut bytes, mut clock) = (Vec::new(), event.ticks);
    put_event(&mut bytes, &mut clock, event);
    Kept { thread, ticks: event.ticks.0, end: clock.0, bytes }
}

/// What a reader made of some bytes.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Events, in the order they came.
    pub(crate) events: Vec<Kept>,
    /// Definitions, in the order they came.
    pub(crate) definitions: Vec<String>,
    /// Faults, as they print themselves.
    pub(crate) faults: Vec<String>,
    /// Whether a trailer was seen.
    pub(crate) complete: bool,
}

impl Outcome {
    fn fault(&mut self, error: &ReadError) {
        self.faults.push(error.to_string());
        assert!(self.faults.len() < 100_000, "a fault must not be told for ever");
    }

    /// One thread's events.
    pub(crate) fn of(&self, thread: u32) -> Vec<Kept> {
        self.events.iter().filter(|kept| kept.thread == ThreadId(thread)).cloned().collect()
    }
}

/// From front to end.
pub(crate) fn stream(bytes: &[u8]) -> Outcome {
    let mut outcome = Outcome::default();
    let mut reader = match BatchReader::new(bytes) {
        Ok(reader) => reader,
        Err(error) => {
            outcome.fault(&error);
            return outcome;
        }
    };
    while let Some(batch) = reader.next_batch() {
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => {
                outcome.fault(&error);
                continue;
            }
        };
        if batch.header.kind == BatchKind::Definitions {
            let definitions = batch.definitions().map(|definition| format!("{definition:?}"));
            outcome.definitions.extend(definitions);
        }
        if batch.header.kind != BatchKind::Events {
            continue;
        }
        for event in batch.events() {
            match event {
                Ok(event) => outcome.events.push(keep(batch.header.thread, &event)),
                Err(error) => outcome.fault(&batch.error(error)),
            }
        }
    }
    outcome.complete = reader.is_complete();
    outcome
}

/// In order of time, by the visitor.
pub(crate) fn in_order(bytes: &[u8], window: Window) -> Outcome {
    let mut outcome = Outcome::default();
    let file = match TraceFile::open(bytes) {
        Ok(file) => file,
        Err(error) => {
            outcome.fault(&error);
            return outcome;
        }
    };
    file.faults().iter().for_each(|fault| outcome.fault(fault));
    outcome.complete = file.is_complete();
    let mut order = file.in_order(window);
    loop {
        let end = order.for_each(|timed| {
            outcome.events.push(keep(timed.thread, &timed.event));
            ControlFlow::Continue(())
        });
        match end {
            Ok(_) => return outcome,
            Err(error) => outcome.fault(&error),
        }
    }
}

/// In order of time, one event after the other.
pub(crate) fn in_order_by_steps(bytes: &[u8], window: Window) -> Outcome {
    let mut outcome = Outcome::default();
    let Ok(file) = TraceFile::open(bytes) else {
        return outcome;
    };
    let mut order = file.in_order(window);
    while let Some(timed) = order.next_event() {
        match timed {
            Ok(timed) => outcome.events.push(keep(timed.thread, &timed.event)),
            Err(error) => outcome.fault(&error),
        }
    }
    outcome
}

/// Where the batches of a whole trace lie: begin, end, thread.
pub(crate) fn batches(bytes: &[u8]) -> Vec<(usize, usize, ThreadId)> {
    let mut reader = BatchReader::new(bytes).expect("a whole trace");
    let mut found = Vec::new();
    while let Some(batch) = reader.next_batch() {
        let batch = batch.expect("a whole trace");
        let (offset, thread) = (batch.offset as usize, batch.header.thread);
        let bytes = batch.header.header_bytes as usize + batch.header.stored_bytes as usize;
        found.push((offset, offset + bytes, thread));
    }
    found
}
