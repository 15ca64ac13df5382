//! A trace made of a flight recorder's file: the names, then the log from its oldest whole
//! generation on.

use super::{HEADER_BYTES, RingHeader, TABLE_HEADER_BYTES};
use crate::batch::{BatchInfo, Compression, FileEncoder};
use crate::definition::{Definition, Definitions, put_definition};
use crate::fixed::try_u64_at;
use crate::header::{BatchHeader, BatchKind, FileHeader, PAYLOAD_BYTES_MAX};
use crate::id::ThreadId;
use crate::read::BatchReader;
use crate::time::{ClockSnapshot, Nanos, Ticks};
use std::collections::BTreeMap;
use std::io::Read;

/// Makes a trace of everything in a flight recorder's file that is whole.
///
/// - `bytes`: the whole file, whatever is in it.
/// - Returns a trace, which is cut behind its last event unless the recorder was stopped; `None` if
///   the bytes are no such file.
#[must_use]
pub fn unwind(bytes: &[u8]) -> Option<Vec<u8>> {
    let header = bytes.first_chunk::<HEADER_BYTES>().and_then(RingHeader::decode)?;
    let part = |at: u64, count: u64| {
        let at = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        let rest = &bytes[at..];
        &rest[..usize::try_from(count).unwrap_or(usize::MAX).min(rest.len())]
    };
    let tables = [0, 1].map(|table| part(header.table_at(table), header.table_bytes));
    let number = |table| try_u64_at(table, 0).unwrap_or(0);
    let [first, second] = tables;
    let names = if number(first) >= number(second) { first } else { second };
    let log = part(header.log_at(), header.log_bytes);
    let names = batches(names.get(TABLE_HEADER_BYTES..).unwrap_or(&[]), true);
    let log = from_oldest(batches(log, false));
    let mut out = Unwound::new();
    let oldest = first_whole_generation(&log);
    for batch in &names {
        out.names(batch, batch.header.generation < oldest);
    }
    out.begin(&log);
    for batch in &log {
        match batch.header.kind {
            BatchKind::Definitions => out.definitions(batch),
            BatchKind::Events => out.events(batch),
            _ => {}
        }
    }
    Some(out.end())
}

/// A batch of the file.
struct StoredBatch {
    header: BatchHeader,
    payload: Vec<u8>,
}

impl StoredBatch {
    /// Its definitions; none if it holds events.
    fn definitions(&self) -> Definitions<'_> {
        let is_empty = self.header.kind != BatchKind::Definitions;
        Definitions::new(if is_empty { &[] } else { &self.payload })
    }
}

/// The whole batches in these bytes.
///
/// - `stops`: at the first one that is not whole; else those behind it are found, too.
fn batches(bytes: &[u8], stops: bool) -> Vec<StoredBatch> {
    let mut found = Vec::new();
    let header = FileHeader::CURRENT.encode();
    let Ok(mut reader) = BatchReader::new(header.chain(bytes)) else { return found };
    while let Some(batch) = reader.next_batch() {
        match batch {
            Ok(batch) => {
                found.push(StoredBatch { header: batch.header, payload: batch.payload.to_vec() })
            }
            Err(_) if stops => break,
            Err(_) => {}
        }
    }
    found
}

/// The batches of a log that goes round, from the oldest on. Generations do not run backwards, so
/// the newest batch lies before the only place where they do.
fn from_oldest(mut batches: Vec<StoredBatch>) -> Vec<StoredBatch> {
    let back =
        batches.windows(2).position(|two| two[1].header.generation < two[0].header.generation);
    batches.rotate_left(back.map_or(0, |at| at + 1));
    batches
}

/// The first generation of which the log has all events. The log's first generation may have lost
/// its begin, or pieces of batches that began earlier, unless it is the recorder's first.
fn first_whole_generation(log: &[StoredBatch]) -> u32 {
    let Some(first) = log.first() else { return u32::MAX };
    match first.definitions().next() {
        Some(Definition::Generation { number: 1, .. }) => 1,
        _ => first.header.generation.saturating_add(1),
    }
}

fn clock_of(definition: Definition<'_>) -> Option<ClockSnapshot> {
    match definition {
        Definition::Clock(clock) => Some(clock),
        _ => None,
    }
}

/// What the clocks showed at `ticks`, between two snapshots; `None` if that is not between them.
fn between(from: ClockSnapshot, to: ClockSnapshot, ticks: Ticks) -> Option<ClockSnapshot> {
    let whole = to.ticks.0.checked_sub(from.ticks.0).filter(|whole| *whole > 0)?;
    let left = to.ticks.0.checked_sub(ticks.0).filter(|left| *left <= whole)?;
    let nanos = to.monotonic.0.checked_sub(from.monotonic.0)?;
    let nanos = (u128::from(nanos) * u128::from(left) / u128::from(whole)) as u64;
    let wall = Nanos(to.wall.0.saturating_sub(nanos));
    Some(ClockSnapshot { ticks, monotonic: Nanos(to.monotonic.0 - nanos), wall })
}

/// The trace that is being made.
struct Unwound {
    bytes: Vec<u8>,
    encoder: FileEncoder,
    /// Of the next batch of definitions.
    sequence: u32,
    /// The number of the log's first generation; 0 while names are written.
    first: u32,
    /// The clock snapshot among the names.
    clock: Option<ClockSnapshot>,
    threads: BTreeMap<ThreadId, ThreadSoFar>,
    is_stopped: bool,
}

/// What the trace has of a thread so far.
#[derive(Default)]
struct ThreadSoFar {
    is_defined: bool,
    /// Its first batch is there.
    has_begun: bool,
    events: u64,
}

impl Unwound {
    fn new() -> Self {
        let mut encoder = FileEncoder::new(Compression::None);
        let bytes = encoder.begin().to_vec();
        let (sequence, first, clock, threads) = (0, 0, None, BTreeMap::new());
        Self { bytes, encoder, sequence, first, clock, threads, is_stopped: false }
    }

    /// The number that a generation has in the trace, from 1.
    fn generation(&self, number: u32) -> u32 {
        if self.first == 0 { 1 } else { number.saturating_sub(self.first).saturating_add(1) }
    }

    /// Begins the log. If that begins in the middle of a generation, the trace begins one here.
    fn begin(&mut self, log: &[StoredBatch]) {
        let Some(first) = log.first() else { return };
        self.first = first.header.generation;
        let mut clocks = log.iter().flat_map(StoredBatch::definitions).filter_map(clock_of);
        let (next, is_enough) = (clocks.next(), clocks.next().is_some());
        let ticks = first.header.base_ticks;
        let (mut payload, mut count) = (Vec::new(), 0);
        if !matches!(first.definitions().next(), Some(Definition::Generation { .. })) {
            put_definition(&mut payload, &Definition::Generation { number: 1, ticks });
            let between = self.clock.zip(next).and_then(|(from, to)| between(from, to, ticks));
            if let Some(clock) = between.or(self.clock).or(next) {
                put_definition(&mut payload, &Definition::Clock(clock));
                count += 1;
            }
            count += 1;
        } else if let Some(clock) = self.clock.filter(|_| !is_enough) {
            // With a single snapshot a reader does not know how long a tick is.
            put_definition(&mut payload, &Definition::Clock(clock));
            count += 1;
        }
        self.put_definitions(&first.header, &payload, count);
    }

    /// Writes names, before the log.
    ///
    /// - `is_old`: the log does not have all events since these were defined, so that futures may
    ///   have ended.
    fn names(&mut self, batch: &StoredBatch, is_old: bool) {
        let is_future = |it: &Definition<'_>| matches!(it, Definition::FutureState { .. });
        if !is_old || !batch.definitions().any(|it| is_future(&it)) {
            return self.definitions(batch);
        }
        let (mut names, mut count) = (Vec::new(), 0);
        let (mut futures, mut future_count) = (Vec::new(), 0);
        for definition in batch.definitions() {
            if is_future(&definition) {
                put_definition(&mut futures, &definition);
                future_count += 1;
            } else if let Some(definition) = self.as_here(definition) {
                put_definition(&mut names, &definition);
                count += 1;
            }
        }
        self.put_definitions(&batch.header, &names, count);
        self.put_definitions_of(0, &batch.header, &futures, future_count);
    }

    /// Writes the definitions of a batch that the trace can use.
    fn definitions(&mut self, batch: &StoredBatch) {
        let (mut payload, mut count) = (Vec::new(), 0);
        for definition in batch.definitions() {
            if let Some(definition) = self.as_here(definition) {
                put_definition(&mut payload, &definition);
                count += 1;
            }
        }
        self.put_definitions(&batch.header, &payload, count);
    }

    /// A definition as it is true of this trace: its generations, its counts of events. `None` for
    /// the clock snapshot among the names, which `begin` uses, and for the state or end of a thread
    /// that has neither a name nor events here.
    fn as_here<'d>(&mut self, definition: Definition<'d>) -> Option<Definition<'d>> {
        Some(match definition {
            Definition::Clock(clock) if self.first == 0 => {
                self.clock = Some(clock);
                return None;
            }
            Definition::Thread { id, .. } => {
                self.threads.entry(id).or_default().is_defined = true;
                definition
            }
            Definition::ThreadState { id, .. } => {
                self.threads.get(&id)?;
                definition
            }
            Definition::Generation { number, ticks } => {
                Definition::Generation { number: self.generation(number), ticks }
            }
            Definition::ThreadEnd { id, ended, ticks, dropped_events, dropped_ends, .. } => {
                let events = self.threads.get(&id)?.events;
                Definition::ThreadEnd { id, ended, ticks, events, dropped_events, dropped_ends }
            }
            Definition::Stop {
                ticks,
                dropped_events,
                dropped_ends,
                tracer_cpu,
                memory_max,
                ..
            } => {
                self.is_stopped = true;
                let events = self.threads.values().map(|thread| thread.events).sum();
                Definition::Stop {
                    ticks,
                    events,
                    dropped_events,
                    dropped_ends,
                    tracer_cpu,
                    memory_max,
                }
            }
            other => other,
        })
    }

    fn put_definition(&mut self, header: &BatchHeader, definition: &Definition<'_>) {
        let mut payload = Vec::new();
        put_definition(&mut payload, definition);
        self.put_definitions(header, &payload, 1);
    }

    fn put_definitions(&mut self, header: &BatchHeader, payload: &[u8], count: u32) {
        self.put_definitions_of(self.generation(header.generation), header, payload, count);
    }

    fn put_definitions_of(
        &mut self,
        generation: u32,
        header: &BatchHeader,
        payload: &[u8],
        count: u32,
    ) {
        if count == 0 || payload.len() > PAYLOAD_BYTES_MAX {
            return;
        }
        let (kind, thread, sequence) = (BatchKind::Definitions, ThreadId(0), self.sequence);
        self.sequence += 1;
        let info = self.info(header);
        let place = BatchInfo { kind, thread, sequence, generation, offset: 0, flags: 0, ..info };
        self.put(&BatchInfo { events: count, ..place }, payload);
    }

    /// Writes a piece of a thread, if the begin of its batch or of an earlier one is here.
    fn events(&mut self, batch: &StoredBatch) {
        let header = &batch.header;
        let mut info = self.info(header);
        let thread = self.threads.entry(header.thread).or_default();
        if !thread.has_begun {
            let Some(first) = info.first_of_thread() else { return };
            info = first;
        }
        thread.has_begun = true;
        thread.events += u64::from(header.events);
        let is_defined = std::mem::replace(&mut thread.is_defined, true);
        if !is_defined && header.thread.as_cpu().is_none() {
            self.put_unnamed(header);
        }
        self.put(&info, &batch.payload);
    }

    /// Defines a thread that ended so long ago that its name is gone.
    fn put_unnamed(&mut self, header: &BatchHeader) {
        let thread = Definition::unnamed_thread(header.thread, 0, header.base_ticks);
        self.put_definition(header, &thread);
    }

    fn info(&self, header: &BatchHeader) -> BatchInfo {
        BatchInfo {
            kind: header.kind,
            thread: header.thread,
            sequence: header.sequence,
            offset: header.offset,
            generation: self.generation(header.generation),
            base_ticks: header.base_ticks,
            last_ticks: header.last_ticks,
            events: header.events,
            flags: header.flags,
        }
    }

    fn put(&mut self, info: &BatchInfo, payload: &[u8]) {
        let encoded = self.encoder.batch(info, payload);
        self.bytes.extend_from_slice(&encoded.header);
        self.bytes.extend_from_slice(encoded.stored);
        if let Some(index) = self.encoder.index_if_due() {
            self.bytes.extend_from_slice(&index);
        }
    }

    fn end(mut self) -> Vec<u8> {
        if self.is_stopped {
            let end = self.encoder.end();
            self.bytes.extend_from_slice(&end);
        }
        self.bytes
    }
}
