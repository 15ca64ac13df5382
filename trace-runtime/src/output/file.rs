//! A trace in a file, or in the user's writer. Definitions are gathered until events are written,
//! which may refer to them; the definitions are then written first.
//!
//! Elsewhere: writing bytes (`sink`).

use super::ledger::Ledger;
use crate::base::error::Report;
use crate::base::options::HAS_NAMES;
use crate::buffer::losses::{Losses, Tally};
use crate::files::claimed::Claimed;
use crate::output::names;
use crate::output::rotation::Series;
use crate::output::sink::Sink;
use crate::sys::clock::{self, Instant};
use std::collections::BTreeSet;
use std::io;
use trace_format::batch::{BatchInfo, Compression};
use trace_format::definition::{Definition, put_definition};
use trace_format::header::PAYLOAD_BYTES_MAX;
use trace_format::time::Ticks;

/// A trace that goes to a sink, and the definitions that are gathered for it.
#[derive(Debug)]
pub(crate) struct FileOutput {
    sink: Sink,
    /// The current generation, counted from the file's own first.
    generation: u32,
    payload: Vec<u8>,
    count: u32,
    sequence: u32,
    ledger: Ledger,
    is_late: bool,
    /// Whether it is a part after the first. Such a part counts events as lost that came too late
    /// for the one before.
    is_next: bool,
    /// The series of parts, if the trace goes on in another file when this one is full.
    series: Option<Box<Series>>,
    /// Its file, if the trace has only one: another program may shorten or remove that.
    own: Option<Claimed>,
    /// The sums of the parts before.
    earlier: EarlierParts,
    /// Whether it gets names of functions when it ends.
    has_names: bool,
    /// The addresses of the functions that its threads began with.
    entries: BTreeSet<u64>,
}

/// What the parts that have ended contain, in sum.
#[derive(Debug, Default)]
struct EarlierParts {
    events: u64,
    lost: Losses,
    bytes: u64,
    unwritten_events: u64,
    error: Option<io::Error>,
}

impl FileOutput {
    pub(crate) fn new(sink: Sink) -> Self {
        Self {
            sink,
            generation: 1,
            payload: Vec::new(),
            count: 0,
            sequence: 0,
            ledger: Ledger::default(),
            is_late: false,
            is_next: false,
            series: None,
            own: None,
            earlier: EarlierParts::default(),
            has_names: false,
            entries: BTreeSet::new(),
        }
    }

    /// The same, with names of functions or without.
    pub(crate) fn with_names(self, has_names: bool) -> Self {
        Self { has_names, ..self }
    }

    /// Whether ending it takes long, as names are to be resolved.
    pub(crate) fn is_slow_to_end(&self) -> bool {
        HAS_NAMES && self.wants_names()
    }

    fn wants_names(&self) -> bool {
        self.has_names && !self.sink.has_failed()
    }

    /// A trace in a file of this process.
    pub(crate) fn in_file(claimed: Claimed, compression: Compression) -> Self {
        let own = Some(claimed.share());
        Self { own, ..Self::new(Sink::new(Box::new(claimed), compression)) }
    }

    /// The same, for a session whose threads' batches are in another file.
    pub(crate) fn backed_in_file(claimed: Claimed) -> Self {
        let own = Some(claimed.share());
        Self { own, ..Self::new(Sink::unbuffered(Box::new(claimed))) }
    }

    /// The first part of a series.
    pub(crate) fn first_of(series: Series, sink: Sink) -> Self {
        Self { series: Some(Box::new(series)), ..Self::new(sink) }
    }

    /// Begins the file late, when the session has lost this.
    pub(super) fn begin_late(&mut self, lost: &Tally) {
        self.is_late = true;
        self.generation = 0;
        self.ledger.begin_at(lost);
    }

    /// The next part begins. The session has lost this so far.
    pub(crate) fn end_losses_at(&mut self, lost: &Tally) {
        self.ledger.end_at(lost);
    }

    /// Whether the trace should go on in the next file, or begin anew in its own.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        match &self.series {
            None => self.own.is_some() && self.sink.is_gone(),
            Some(series) if self.sink.has_failed() => series.may_retry(now),
            Some(series) => series.is_due(self.sink.bytes, now),
        }
    }

    /// The file in which the trace goes on from now on; `None` if it can't be made, which the
    /// report says in the end.
    pub(crate) fn next(&mut self) -> Option<Self> {
        let next = match (&mut self.series, self.own.take()) {
            (Some(series), _) => series.next().map(|part| {
                let sink = Sink::unbuffered(Box::new(part));
                Self { series: self.series.take(), ..Self::new(sink).with_names(self.has_names) }
            }),
            (None, Some(own)) => own.again().map(|own| {
                let (shared, sink) = (own.share(), self.sink.with_writer(Box::new(own)));
                Self { own: Some(shared), ..Self::new(sink).with_names(self.has_names) }
            }),
            (None, None) => return None,
        };
        match next {
            Ok(next) => Some(Self { is_next: true, ..next }),
            Err(error) => {
                // If the trace has only one file, that file's error says it already.
                if self.series.is_some() {
                    self.earlier.error.get_or_insert(error);
                }
                None
            }
        }
    }

    /// The definitions that a trace begins with are written: it is a trace now.
    pub(crate) fn note_begin(&mut self) {
        let Some(series) = &mut self.series else { return };
        if self.sink.has_failed() {
            return series.abandon();
        }
        if let Err(error) = series.place(self.sink.bytes) {
            self.earlier.error.get_or_insert(error);
        }
    }

    /// Adds the sums of the previous part, which has ended.
    pub(crate) fn add_earlier(&mut self, (report, error): (Report, Option<io::Error>)) {
        self.earlier.events += report.events;
        self.earlier.lost += Losses { events: report.dropped_events, ends: report.dropped_ends };
        self.earlier.bytes += report.bytes;
        self.earlier.unwritten_events += report.unwritten_events;
        if let Some(error) = error {
            self.earlier.error.get_or_insert(error);
        }
    }

    /// Number of events that it got, written or not.
    pub(crate) fn events_seen(&self) -> u64 {
        self.ledger.events()
    }

    /// What was lost in this file, of what the session has lost so far.
    pub(crate) fn lost(&self, session: Losses) -> Losses {
        self.ledger.lost(session)
    }

    pub(crate) fn define(&mut self, definition: &Definition<'_>) {
        match definition {
            Definition::Generation { number, ticks } => {
                self.generation = if self.is_late { self.generation + 1 } else { *number };
                self.put(&Definition::Generation { number: self.generation, ticks: *ticks });
            }
            Definition::ThreadEnd { id, .. } => {
                self.put(&self.ledger.end(definition).unwrap_or_else(|| definition.clone()));
                self.ledger.forget(*id);
            }
            Definition::Thread { entry, .. } if self.has_names => {
                self.entries.insert(*entry);
                self.put(definition);
            }
            _ => self.put(definition),
        }
    }

    fn put(&mut self, definition: &Definition<'_>) {
        put_definition(&mut self.payload, definition);
        self.count += 1;
        // Written before it can exceed the maximum of a batch.
        if self.payload.len() > PAYLOAD_BYTES_MAX / 2 {
            self.write_definitions();
        }
    }

    /// Writes a piece of events, behind the definitions. False if it does not belong here, as the
    /// thread's first batch here is yet to come.
    pub(crate) fn events(&mut self, info: &BatchInfo, payload: &[u8]) -> bool {
        let info = self.ledger.admit(info);
        self.write_definitions();
        if let Some(info) = info {
            let info = BatchInfo { generation: self.generation, ..info };
            self.sink.batch(&info, payload, u64::from(info.events));
        }
        info.is_some()
    }

    /// A piece belonged to the previous part, which has ended: its thread was stopped in the middle
    /// of an event for all that time. This part counts its events as lost.
    pub(crate) fn note_too_late(&mut self, info: &BatchInfo) {
        if self.is_next {
            self.ledger.lose(info.thread, info.events.into());
        }
    }

    pub(crate) fn flush(&mut self) {
        self.sink.flush();
    }

    /// The first failure so far.
    pub(crate) fn take_error(&mut self) -> Option<io::Error> {
        self.sink.take_error()
    }

    /// Ends the file. Returns the report with the sums of all parts; the other fields are taken
    /// from `report`.
    pub(crate) fn end(mut self, report: Report) -> (Report, Option<io::Error>) {
        if self.wants_names() {
            let entries = std::mem::take(&mut self.entries);
            names::resolve_all(entries).for_each(|definition| self.put(definition));
        }
        self.write_definitions();
        self.sink.finish();
        let report = Report {
            events: self.earlier.events + self.sink.events,
            dropped_events: self.earlier.lost.events + report.dropped_events,
            dropped_ends: self.earlier.lost.ends + report.dropped_ends,
            bytes: self.earlier.bytes + self.sink.bytes,
            unwritten_events: self.earlier.unwritten_events + self.sink.unwritten_events,
            ..report
        };
        (report, self.earlier.error.take().or_else(|| self.sink.take_error()))
    }

    pub(crate) fn write_definitions(&mut self) {
        if self.count == 0 {
            return;
        }
        let now = Ticks(clock::ticks());
        let info = BatchInfo::of_definitions(self.sequence, self.generation, now, self.count);
        self.sink.batch(&info, &self.payload, 0);
        self.payload.clear();
        self.count = 0;
        self.sequence += 1;
    }
}
