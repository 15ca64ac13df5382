//! A trace that was cut, with what only the file beside it has.

use super::batches::{LiveBatch, find};
use super::previous::{self, Ends};
use super::{HEADER_BYTES, LiveHeader};
use crate::batch::BatchInfo;
use crate::definition::{Definition, OpenSince, put_definition};
use crate::event::{Event, EventKind, Events, put_event};
use crate::header::{BatchKind, FLAG_FIRST, FLAG_RESTATED};
use crate::id::{Open, ThreadId};
use crate::index::IndexEntry;
use crate::read::open::OpenStack;
use crate::read::{ReadAt, ThreadState, TraceFile};
use crate::time::Ticks;
use crate::value::Values;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// A trace, and behind it what was recovered.
#[derive(Debug)]
pub struct Recovered<S> {
    source: S,
    /// Where the trace's last whole batch ends.
    cut: u64,
    tail: Vec<u8>,
    /// Events that were only in the file beside the trace.
    pub events: u64,
}

impl<S: ReadAt> ReadAt for Recovered<S> {
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        if offset >= self.cut {
            return self.tail.read_at(out, offset - self.cut);
        }
        let count = out.len().min(usize::try_from(self.cut - offset).unwrap_or(usize::MAX));
        self.source.read_at(&mut out[..count], offset)
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.cut + self.tail.len() as u64)
    }
}

/// Appends to a trace that was cut what only the file beside it has.
///
/// - `file`: the trace. If its last batch is cut, that is left out: its events come out of `live`.
/// - `live`: all bytes of the file beside it, whatever they are.
/// - Returns a trace that is cut behind its last event, or gives the source back if `live` is no
///   such file, or another process's: see [`LiveHeader::is_of`].
///
/// # Errors
/// The source's.
pub fn recover<S: ReadAt>(
    file: TraceFile<S>,
    live: &[u8],
) -> Result<Recovered<S>, Box<TraceFile<S>>> {
    recover_part(file, live, None::<&TraceFile<&[u8]>>)
}

/// As [`recover`], for a part of a trace in several files: leaves out what the previous part has.
///
/// - `previous`: that part, whole or cut, if it is there. One of another run changes nothing.
///
/// # Errors
/// Those of [`recover`].
pub fn recover_part<S: ReadAt, P: ReadAt>(
    file: TraceFile<S>,
    live: &[u8],
    previous: Option<&TraceFile<P>>,
) -> Result<Recovered<S>, Box<TraceFile<S>>> {
    let header = live.first_chunk::<HEADER_BYTES>().and_then(LiveHeader::decode);
    if header.is_none_or(|header| !header.is_of(&file)) {
        return Err(Box::new(file));
    }
    let ends = file.index().iter().map(|entry| entry.offset + u64::from(entry.bytes));
    let cut = ends.max().unwrap_or(u64::from(file.header().header_bytes));
    let mut written = Written::of(&file);
    written.previous = previous.map(|it| previous::ends(&file, it)).unwrap_or_default();
    let mut batches = find(live);
    batches.sort_by_key(|batch| (batch.thread, batch.sequence));
    let mut tail = TailBatches::behind(file.index());
    let defined: BTreeSet<_> = file.tables().threads.keys().copied().collect();
    for (at, batch) in batches.iter().enumerate() {
        let is_last = batches.get(at + 1).is_none_or(|next| next.thread != batch.thread);
        if let Some(piece) = written.rest_of(batch, is_last) {
            if !defined.contains(&batch.thread) {
                tail.thread(batch);
            }
            tail.piece(&piece);
        }
    }
    Ok(Recovered { source: file.into_source(), cut, tail: tail.bytes, events: tail.events })
}

/// How far the trace goes.
#[derive(Debug, Default)]
struct Written {
    /// The last piece of each thread: its sequence, where it ends in its batch, and when.
    ends: BTreeMap<ThreadId, (u32, usize, Ticks)>,
    /// What the trace's first and last generations say of threads: where in a batch they were, and
    /// what was open there. The trace has what comes behind that place.
    begins: BTreeMap<ThreadId, ThreadState>,
    /// How far the previous part goes.
    previous: Ends,
    /// When the trace's first generation began.
    begin: Ticks,
    /// The last generation.
    generation: u32,
}

/// A piece that the trace lacks.
#[derive(Debug)]
struct MissingPiece {
    info: BatchInfo,
    payload: Vec<u8>,
}

/// The place in a batch up to which the trace has it, or need not have it.
#[derive(Clone, Debug, Default)]
struct Resumption {
    /// Bytes of the payload in front of it.
    offset: usize,
    /// The clock there.
    base: Ticks,
    /// What follows is the thread's first piece in the trace, and has to restate `open`.
    restates: bool,
    open: Vec<OpenSince>,
}

impl Written {
    fn of<S: ReadAt>(file: &TraceFile<S>) -> Self {
        let mut written = Self { generation: 1, ..Self::default() };
        let generations = &file.tables().generations;
        written.begin = generations.first().map_or(Ticks(0), |generation| generation.ticks);
        for generation in [generations.first(), generations.last()].into_iter().flatten() {
            let state = file.state_at(generation.number).ok().flatten();
            let threads = state.map(|state| state.threads).unwrap_or_default();
            written.begins.extend(threads.into_iter().map(|state| (state.id, state)));
        }
        for entry in file.index().iter().filter(|entry| entry.kind == BatchKind::Events) {
            let end = previous::payload_end(entry);
            written.ends.insert(entry.thread, (entry.sequence, end, entry.last_ticks));
            written.generation = written.generation.max(entry.generation);
        }
        written
    }

    /// Where the part of a batch begins that the trace may lack; `None` if the batch ended before
    /// the trace's last piece of this thread, or before the trace began.
    fn resumption(&self, batch: &LiveBatch<'_>) -> Option<Resumption> {
        let whole = Resumption { base: batch.base, ..Resumption::default() };
        if let Some(&(sequence, end, last)) = self.ends.get(&batch.thread) {
            return match batch.sequence.cmp(&sequence) {
                Ordering::Less => None,
                Ordering::Equal => Some(Resumption { offset: end, base: last, ..whole }),
                Ordering::Greater => Some(whole),
            };
        }
        let previous = self.previous.get(&batch.thread);
        if previous.is_some_and(|(sequence, _)| batch.sequence < *sequence) {
            return None;
        }
        match self.begins.get(&batch.thread) {
            Some(begin) if batch.sequence < begin.sequence => None,
            // It was open when the trace began: what came later belongs to the trace, unless the
            // previous part has it.
            Some(begin) if batch.sequence == begin.sequence && begin.offset > 0 => {
                let from = begin.offset as usize;
                let upto = previous.filter(|(sequence, _)| *sequence == batch.sequence);
                let offset = upto.map_or(from, |(_, end)| from.max(*end));
                let mut open = begin.open.clone();
                let mut base = batch.base;
                base = previous::advance(&mut OpenStack::default(), batch.events(0..from, base)?)?;
                if offset > from {
                    open.retain(|it| it.begin <= base);
                    let mut stack = OpenStack::new(open);
                    base = previous::advance(&mut stack, batch.events(from..offset, base)?)?;
                    open = stack.into_open();
                }
                Some(Resumption { offset, base, restates: true, open })
            }
            Some(_) => Some(whole),
            None => (batch.base >= self.begin).then_some(whole),
        }
    }

    /// What the trace lacks of a batch; `None` if it has all.
    ///
    /// - `is_last`: no batch of the thread follows, so that what has begun may not be written yet.
    fn rest_of(&mut self, batch: &LiveBatch<'_>, is_last: bool) -> Option<MissingPiece> {
        let place = self.resumption(batch)?;
        let bytes = batch.payload.get(place.offset..)?;
        let mut events = Events::new(batch.thread, place.base, bytes);
        let (mut whole, mut begun) = (0, Vec::new());
        while let Some(Ok(event)) = events.next() {
            begun.push(event.ticks);
            whole = events.bytes_taken();
        }
        let mut clock = if begun.is_empty() { place.base } else { events.now() };
        let (mut count, mut pending) = (begun.len() as u32, Vec::new());
        if is_last {
            count += put_pending(&mut pending, &mut clock, &batch.slots);
        }
        if count == 0 {
            return None;
        }
        let mut payload = Vec::new();
        count += put_reopened(&mut payload, &place, &begun);
        payload.extend_from_slice(&bytes[..whole]);
        payload.extend_from_slice(&pending);
        let (offset, base) = (if place.restates { 0 } else { place.offset }, place.base);
        let end = (batch.sequence, place.offset + whole + pending.len(), clock);
        let is_first = self.ends.insert(batch.thread, end).is_none() && batch.sequence > 0;
        let first = if is_first { FLAG_FIRST } else { 0 };
        let info = BatchInfo {
            kind: BatchKind::Events,
            thread: batch.thread,
            sequence: batch.sequence,
            offset: offset as u32,
            generation: self.generation,
            base_ticks: base,
            last_ticks: clock,
            events: count,
            flags: if offset == 0 { FLAG_RESTATED | first } else { 0 },
        };
        Some(MissingPiece { info, payload })
    }
}

/// Restates what was open at a place: all that had begun, except what begins in the events that
/// follow, at the times `begun`. Returns how many events that are.
fn put_reopened(out: &mut Vec<u8>, place: &Resumption, begun: &[Ticks]) -> u32 {
    // A begin that was not written then is among the events that follow.
    let is_written = |it: &&OpenSince| it.begin <= place.base && !begun.contains(&it.begin);
    let (mut count, mut clock) = (0, place.base);
    for &OpenSince { open, begin } in place.open.iter().filter(is_written) {
        let kind = EventKind::Reopen { open, since: Ticks(place.base.0 - begin.0) };
        put_event(out, &mut clock, &Event { ticks: place.base, kind });
        count += 1;
    }
    count
}

/// Writes the begins that the thread had not committed yet: of what is open, and began after the
/// last committed event. Returns how many.
fn put_pending(out: &mut Vec<u8>, clock: &mut Ticks, slots: &[(u64, Open)]) -> u32 {
    let (mut count, written) = (0, clock.0);
    for &(begin, open) in slots.iter().filter(|slot| slot.0 > written) {
        let none = Values::new(&[]);
        let kind = match open {
            Open::Region(site) => EventKind::RegionBegin { site, values: none },
            Open::Poll(future) => EventKind::PollBegin { future },
            Open::Task(task) => EventKind::TaskRunBegin { task },
            Open::Call(call) => EventKind::CallBegin { call },
        };
        put_event(out, clock, &Event { ticks: Ticks(begin), kind });
        count += 1;
    }
    count
}

/// Batches to be appended to a trace.
struct TailBatches {
    bytes: Vec<u8>,
    events: u64,
    /// The sequence of the next batch of definitions.
    sequence: u32,
    generation: u32,
    defined: BTreeSet<ThreadId>,
}

impl TailBatches {
    fn behind(index: &[IndexEntry]) -> Self {
        let definitions = index.iter().filter(|entry| entry.kind == BatchKind::Definitions);
        let next = definitions.map(|entry| entry.sequence.saturating_add(1)).max();
        Self {
            bytes: Vec::new(),
            events: 0,
            sequence: next.unwrap_or(0),
            generation: index.iter().map(|entry| entry.generation).max().unwrap_or(1),
            defined: BTreeSet::new(),
        }
    }

    /// Defines a thread that the collector had not seen yet.
    fn thread(&mut self, batch: &LiveBatch<'_>) {
        if !self.defined.insert(batch.thread) {
            return;
        }
        let mut payload = Vec::new();
        let thread = Definition::unnamed_thread(batch.thread, batch.os_id, batch.base);
        put_definition(&mut payload, &thread);
        let info = BatchInfo::of_definitions(self.sequence, self.generation, batch.base, 1);
        self.sequence += 1;
        self.put(&info, &payload);
    }

    fn piece(&mut self, piece: &MissingPiece) {
        self.events += u64::from(piece.info.events);
        self.put(&piece.info, &piece.payload);
    }

    fn put(&mut self, info: &BatchInfo, payload: &[u8]) {
        self.bytes.extend_from_slice(&info.header(payload));
        self.bytes.extend_from_slice(payload);
    }
}
