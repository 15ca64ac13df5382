//! A trace in a file, or whatever the user's writer is: definitions gather until something that may
//! refer to them is written, and then go first.
//!
//! Elsewhere: bytes (`sink`).

use super::told::Told;
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

/// Batches on their way to the sink, and the definitions that wait for theirs.
#[derive(Debug)]
pub(crate) struct File {
    sink: Sink,
    /// In which it writes now: counted from its own first.
    generation: u32,
    payload: Vec<u8>,
    count: u32,
    sequence: u32,
    told: Told,
    is_late: bool,
    /// A part that is not the first: what came to none of them is lost.
    is_next: bool,
    /// If the trace goes on in another file when this one is full.
    series: Option<Box<Series>>,
    /// Its own file, if it has just one: somebody may shorten or remove that.
    own: Option<Claimed>,
    /// What has become of the parts before.
    before: Before,
    /// Whether it brings names of functions along.
    has_names: bool,
    /// Where the threads in it began.
    entries: BTreeSet<u64>,
}

/// The parts of a trace that have ended.
#[derive(Debug, Default)]
struct Before {
    events: u64,
    lost: Losses,
    bytes: u64,
    unwritten_events: u64,
    error: Option<io::Error>,
}

impl File {
    pub(crate) fn new(sink: Sink) -> Self {
        Self {
            sink,
            generation: 1,
            payload: Vec::new(),
            count: 0,
            sequence: 0,
            told: Told::default(),
            is_late: false,
            is_next: false,
            series: None,
            own: None,
            before: Before::default(),
            has_names: false,
            entries: BTreeSet::new(),
        }
    }

    /// The same, and whether it brings the names of functions along.
    pub(crate) fn named(self, has_names: bool) -> Self {
        Self { has_names, ..self }
    }

    /// Whether ending it takes long, for names are to be resolved.
    pub(crate) fn is_slow_to_end(&self) -> bool {
        HAS_NAMES && self.wants_names()
    }

    fn wants_names(&self) -> bool {
        self.has_names && !self.sink.has_failed()
    }

    /// One in a file of this process.
    pub(crate) fn in_file(claimed: Claimed, compression: Compression) -> Self {
        let own = Some(claimed.share());
        Self { own, ..Self::new(Sink::new(Box::new(claimed), compression)) }
    }

    /// The same, and what threads have in memory is in another file.
    pub(crate) fn kept_in_file(claimed: Claimed) -> Self {
        let own = Some(claimed.share());
        Self { own, ..Self::new(Sink::unbuffered(Box::new(claimed))) }
    }

    /// The first of a series.
    pub(crate) fn first_of(series: Series, sink: Sink) -> Self {
        Self { series: Some(Box::new(series)), ..Self::new(sink) }
    }

    /// It begins when the session has lost this.
    pub(super) fn come_late(&mut self, lost: &Tally) {
        self.is_late = true;
        self.generation = 0;
        self.told.begin_at(lost);
    }

    /// The next part begins when the session has lost this.
    pub(crate) fn leave_at(&mut self, lost: &Tally) {
        self.told.end_at(lost);
    }

    /// Whether the trace should go on in the next file, or in its own from the beginning.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        match &self.series {
            None => self.own.is_some() && self.sink.is_gone(),
            Some(series) if self.sink.has_failed() => series.may_retry(now),
            Some(series) => series.is_due(self.sink.bytes, now),
        }
    }

    /// The next file, into which the trace goes on from now on; `None` if it can't be made, which
    /// is told in the end.
    pub(crate) fn next(&mut self) -> Option<Self> {
        let next = match (&mut self.series, self.own.take()) {
            (Some(series), _) => series.next().map(|part| {
                let sink = Sink::unbuffered(Box::new(part));
                Self { series: self.series.take(), ..Self::new(sink).named(self.has_names) }
            }),
            (None, Some(own)) => own.again().map(|own| {
                let (shared, sink) = (own.share(), self.sink.again(Box::new(own)));
                Self { own: Some(shared), ..Self::new(sink).named(self.has_names) }
            }),
            (None, None) => return None,
        };
        match next {
            Ok(next) => Some(Self { is_next: true, ..next }),
            Err(error) => {
                // Its own file's error says already what has become of that.
                if self.series.is_some() {
                    self.before.error.get_or_insert(error);
                }
                None
            }
        }
    }

    /// It has told what it begins with, and is a trace.
    pub(crate) fn note_begin(&mut self) {
        let Some(series) = &mut self.series else { return };
        if self.sink.has_failed() {
            return series.abandon();
        }
        if let Err(error) = series.place(self.sink.bytes) {
            self.before.error.get_or_insert(error);
        }
    }

    /// The part before has ended.
    pub(crate) fn add_before(&mut self, (report, error): (Report, Option<io::Error>)) {
        self.before.events += report.events;
        self.before.lost += Losses { events: report.dropped_events, ends: report.dropped_ends };
        self.before.bytes += report.bytes;
        self.before.unwritten_events += report.unwritten_events;
        if let Some(error) = error {
            self.before.error.get_or_insert(error);
        }
    }

    /// Events of which it has been told, written or not.
    pub(crate) fn events_told(&self) -> u64 {
        self.told.events()
    }

    /// Of what the session has lost so far, what was lost in this file.
    pub(crate) fn lost(&self, session: Losses) -> Losses {
        self.told.lost(session)
    }

    pub(crate) fn define(&mut self, definition: &Definition<'_>) {
        match definition {
            Definition::Generation { number, ticks } => {
                self.generation = if self.is_late { self.generation + 1 } else { *number };
                self.put(&Definition::Generation { number: self.generation, ticks: *ticks });
            }
            Definition::ThreadEnd { id, .. } => {
                self.put(&self.told.end(definition).unwrap_or_else(|| definition.clone()));
                self.told.forget(*id);
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
        // Before it can exceed what a batch may hold.
        if self.payload.len() > PAYLOAD_BYTES_MAX / 2 {
            self.write_definitions();
        }
    }

    /// Whether the piece belongs here.
    pub(crate) fn events(&mut self, info: &BatchInfo, payload: &[u8]) -> bool {
        let info = self.told.of(info);
        self.write_definitions();
        if let Some(info) = info {
            let info = BatchInfo { generation: self.generation, ..info };
            self.sink.batch(&info, payload, u64::from(info.events));
        }
        info.is_some()
    }

    /// A piece belonged to the part before, which has ended: a thread was held in the middle of an
    /// event for all that time. This part counts it.
    pub(crate) fn note_too_late(&mut self, info: &BatchInfo) {
        if self.is_next {
            self.told.lose(info.thread, info.events.into());
        }
    }

    pub(crate) fn flush(&mut self) {
        self.sink.flush();
    }

    /// The first failure so far.
    pub(crate) fn take_error(&mut self) -> Option<io::Error> {
        self.sink.take_error()
    }

    /// Ends the file. What it came to, with the parts before it; the other fields are `report`'s.
    pub(crate) fn end(mut self, report: Report) -> (Report, Option<io::Error>) {
        if self.wants_names() {
            let entries = std::mem::take(&mut self.entries);
            names::resolve_all(entries).tell(|definition| self.put(definition));
        }
        self.write_definitions();
        self.sink.finish();
        let report = Report {
            events: self.before.events + self.sink.events,
            dropped_events: self.before.lost.events + report.dropped_events,
            dropped_ends: self.before.lost.ends + report.dropped_ends,
            bytes: self.before.bytes + self.sink.bytes,
            unwritten_events: self.before.unwritten_events + self.sink.unwritten_events,
            ..report
        };
        (report, self.before.error.take().or_else(|| self.sink.take_error()))
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
