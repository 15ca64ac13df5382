//! A trace in memory: all batches, decompressed, in file order, and the tables.
//!
//! Payloads are leaked, so that events have a static lifetime.

use std::ops::ControlFlow;
use trace_format::definition::Definition;
use trace_format::event::{Event, EventKind};
use trace_format::header::{BatchHeader, BatchKind};
use trace_format::id::ThreadId;
use trace_format::read::{Batch, BatchReader, ReadErrorKind, Tables, TraceFile, Window};
use trace_format::time::Ticks;

/// A whole trace.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) batches: Vec<Batch<'static>>,
    pub(crate) tables: Tables,
    /// Whether the trace has its trailer.
    pub(crate) complete: bool,
}

impl Decoded {
    /// Decodes a trace without faults, which may lack its end.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let mut reader = BatchReader::new(bytes).expect("a file header");
        let mut batches = Vec::new();
        let mut tables = Tables::default();
        while let Some(batch) = reader.next_batch() {
            let batch = batch.expect("whole batches only");
            let (header, offset) = (batch.header, batch.offset);
            let batch = Batch { header, offset, payload: batch.payload.to_vec().leak() };
            if batch.header.kind == BatchKind::Definitions {
                tables.apply_batch(&batch).expect("whole definitions only");
            }
            batches.push(batch);
        }
        let complete = reader.is_complete();
        if complete {
            let file = TraceFile::open(bytes).expect("a trace");
            assert!(file.faults().is_empty(), "{:?}", file.faults());
            let listed = batches.iter().filter(|batch| batch.header.kind != BatchKind::Index);
            assert_eq!(file.index().len(), listed.count(), "the index lists every batch");
            let trace = Self { batches, tables, complete };
            assert_eq!(in_order(&file), trace.events_told(), "no order loses an event");
            return trace;
        }
        Self { batches, tables, complete }
    }

    /// Decodes what is left of a trace whose process was killed, perhaps in the middle of a write:
    /// its last batch may be cut, and is left out.
    pub(crate) fn cut(bytes: &[u8]) -> Self {
        let mut reader = BatchReader::new(bytes).expect("a file header");
        let mut whole = bytes.len();
        while let Some(batch) = reader.next_batch() {
            let Err(error) = batch else { continue };
            assert!(matches!(error.kind, ReadErrorKind::Truncated), "cut, not damaged: {error:?}");
            whole = error.offset as usize;
        }
        Self::new(&bytes[..whole])
    }

    /// The pieces with events, in file order.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &Batch<'static>> {
        self.batches.iter().filter(|batch| batch.header.kind == BatchKind::Events)
    }

    /// The events of a thread, in its order.
    pub(crate) fn events(&self, thread: ThreadId) -> impl Iterator<Item = Event<'static>> {
        let pieces = self.pieces().filter(move |batch| batch.header.thread == thread);
        pieces.flat_map(events)
    }

    /// Number of events without those that only restate.
    pub(crate) fn events_told(&self) -> usize {
        let told = |event: &Event<'_>| !matches!(event.kind, EventKind::Reopen { .. });
        self.pieces().flat_map(events).filter(told).count()
    }

    /// All definitions, in file order.
    pub(crate) fn definitions(&self) -> impl Iterator<Item = Definition<'static>> {
        let kind = |batch: &&Batch<'static>| batch.header.kind == BatchKind::Definitions;
        self.batches.iter().filter(kind).flat_map(|batch| batch.definitions())
    }

    /// The id of the only thread with this name.
    pub(crate) fn thread(&self, name: &str) -> ThreadId {
        let mut found = self.tables.threads.values().filter(|thread| thread.name == name);
        let thread = found.next().unwrap_or_else(|| panic!("no thread is called {name}"));
        assert!(found.next().is_none(), "one thread is called {name}");
        thread.id
    }

    /// The name of a call site.
    pub(crate) fn site_name(&self, site: trace_format::id::SiteId) -> &str {
        &self.tables.callsite(site).expect("events name defined sites").name
    }
}

/// Number of events when read in the order of time; checks that order.
fn in_order(file: &TraceFile<&[u8]>) -> usize {
    let (mut count, mut last) = (0, Ticks(0));
    let mut order = file.in_order(Window::default());
    let walked = order.for_each(|timed| {
        assert!(timed.event.ticks >= last, "time runs backwards");
        last = timed.event.ticks;
        // At the begin of a trace that starts late, restated events count.
        count += usize::from(!matches!(timed.event.kind, EventKind::Reopen { .. }));
        ControlFlow::Continue(())
    });
    assert!(matches!(walked, Ok(ControlFlow::Continue(()))), "{walked:?}");
    count
}

/// The events of a piece, which has no faults.
pub(crate) fn events(piece: &Batch<'static>) -> Vec<Event<'static>> {
    let events: Result<Vec<_>, _> = piece.events().collect();
    let events = events.expect("the recorder writes events only");
    let BatchHeader { events: count, .. } = piece.header;
    assert_eq!(events.len(), count as usize, "the header counts its events");
    events
}
