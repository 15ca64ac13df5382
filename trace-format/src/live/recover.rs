//! What the batches in the file have that the trace beside it does not.

use super::before::{self, Ends};
use super::{HEADER_BYTES, Header, OWNER_MAGIC, PAGE_BYTES, SLOTS, SLOTS_AT};
use crate::batch::{BatchInfo, Compression, FileEncoder};
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
use std::ops::Range;

/// The longest payload of a batch in a thread's memory.
const CAPACITY_MAX: usize = u16::MAX as usize;

/// A trace with what was recovered behind it.
#[derive(Debug)]
pub struct Recovered<S> {
    source: S,
    /// Where the last batch of the trace ends that is whole.
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

/// Puts behind a trace that was cut what the file beside it has.
///
/// - `file`: the trace. Its last batch may be cut; that is left out, and comes out of `live` again.
/// - `live`: all bytes of the file beside it, whatever they are.
/// - Returns a trace that is cut behind its last event, or gives the source back if `live` is no
///   such file, or another process's: see [`Header::is_of`].
///
/// # Errors
/// The source's.
pub fn recover<S: ReadAt>(
    file: TraceFile<S>,
    live: &[u8],
) -> Result<Recovered<S>, Box<TraceFile<S>>> {
    recover_part(file, live, None::<&TraceFile<&[u8]>>)
}

/// As [`recover`], for a part of a trace that goes on in several files: what the part before has is
/// left out.
///
/// - `before`: that part, whole or cut, if it is there. One of another run changes nothing.
///
/// # Errors
/// Those of [`recover`].
pub fn recover_part<S: ReadAt, B: ReadAt>(
    file: TraceFile<S>,
    live: &[u8],
    before: Option<&TraceFile<B>>,
) -> Result<Recovered<S>, Box<TraceFile<S>>> {
    let header = live.first_chunk::<HEADER_BYTES>().and_then(Header::decode);
    if header.is_none_or(|header| !header.is_of(&file)) {
        return Err(Box::new(file));
    }
    let ends = file.index().iter().map(|entry| entry.offset + u64::from(entry.bytes));
    let cut = ends.max().unwrap_or(u64::from(file.header().header_bytes));
    let mut known = Known::of(&file);
    known.before = before.map(|before| before::ends(&file, before)).unwrap_or_default();
    let mut batches = find(live);
    batches.sort_by_key(|batch| (batch.thread, batch.sequence));
    let mut out = Tail::behind(file.index());
    let defined: BTreeSet<_> = file.tables().threads.keys().copied().collect();
    for (at, batch) in batches.iter().enumerate() {
        let is_last = batches.get(at + 1).is_none_or(|next| next.thread != batch.thread);
        if let Some(piece) = known.rest_of(batch, is_last) {
            if !defined.contains(&batch.thread) {
                out.thread(batch);
            }
            out.piece(&piece);
        }
    }
    let (tail, events) = (out.bytes, out.events);
    Ok(Recovered { source: file.into_source(), cut, tail, events })
}

/// A batch as it lies in the file.
#[derive(Debug)]
struct Found<'l> {
    thread: ThreadId,
    os_id: u64,
    sequence: u32,
    base: Ticks,
    payload: &'l [u8],
    /// What was open: when it began, and what.
    slots: Vec<(u64, Open)>,
}

impl<'l> Found<'l> {
    /// The events in a part of its payload, in front of which the clock is `base`.
    fn events(&self, range: Range<usize>, base: Ticks) -> Option<Events<'l>> {
        Some(Events::new(self.thread, base, self.payload.get(range)?))
    }
}

/// All batches that somebody has or had.
fn find(live: &[u8]) -> Vec<Found<'_>> {
    let mut found = Vec::new();
    let mut at = PAGE_BYTES;
    while at + SLOTS_AT + 16 * SLOTS <= live.len() {
        let batch = found_at(&live[at..]);
        // One that is whole takes its pages; behind anything else the next page may begin one.
        let bytes = batch.as_ref().map_or(0, |(_, bytes)| *bytes);
        found.extend(batch.map(|(batch, _)| batch));
        at += bytes.max(1).next_multiple_of(PAGE_BYTES);
    }
    found
}

fn found_at(bytes: &[u8]) -> Option<(Found<'_>, usize)> {
    let word =
        |at: usize| bytes.get(at..at + 8)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk));
    let (owner, commit, base) = (word(0)?, word(8)?, word(16)?);
    let (numbers, os_id, bytes_at) = (word(24)?, word(32)?, word(40)?);
    let capacity = (numbers >> 32) as usize;
    let (thread, len) = (ThreadId(owner as u32), usize::from(commit as u16));
    let is_one = owner >> 32 == u64::from(OWNER_MAGIC) && thread.0 != 0 && len <= capacity;
    if !is_one || capacity > CAPACITY_MAX {
        return None;
    }
    let payload_at = usize::try_from(bytes_at).ok().filter(|at| *at >= SLOTS_AT + 16 * SLOTS)?;
    let payload = bytes.get(payload_at..payload_at.checked_add(len)?)?;
    let slots = (0..SLOTS).map_while(|slot| {
        let (begin, what) = (word(SLOTS_AT + 16 * slot)?, word(SLOTS_AT + 16 * slot + 8)?);
        // One that is just ending has its highest bit set.
        (begin != 0 && begin >> 63 == 0).then_some((begin, Open::from_word(what)?))
    });
    let (slots, sequence) = (slots.collect(), numbers as u32);
    let found = Found { thread, os_id, sequence, base: Ticks(base), payload, slots };
    Some((found, payload_at + capacity))
}

/// How far the trace goes, by thread.
#[derive(Debug, Default)]
struct Known {
    /// The last piece: its sequence, where it ends in its batch, and when.
    ends: BTreeMap<ThreadId, (u32, usize, Ticks)>,
    /// Of threads that were recorded before the trace began, or have not been since its last
    /// generation did: the place in their batches behind which it has them.
    begins: BTreeMap<ThreadId, ThreadState>,
    /// How far the part before goes.
    before: Ends,
    /// When its first generation did.
    begin: Ticks,
    generation: u32,
}

/// What is to be written of one batch.
#[derive(Debug)]
struct Rest {
    info: BatchInfo,
    payload: Vec<u8>,
}

/// Where a batch goes on.
#[derive(Clone, Debug, Default)]
struct Place {
    /// Bytes of its payload that are over.
    offset: usize,
    /// The clock there.
    base: Ticks,
    /// What follows is the first of the thread in the trace, and is to restate this.
    restates: bool,
    open: Vec<OpenSince>,
}

impl Known {
    fn of<S: ReadAt>(file: &TraceFile<S>) -> Self {
        let mut known = Self { generation: 1, ..Self::default() };
        let generations = &file.tables().generations;
        known.begin = generations.first().map_or(Ticks(0), |generation| generation.ticks);
        for generation in [generations.first(), generations.last()].into_iter().flatten() {
            let state = file.state_at(generation.number).ok().flatten();
            let threads = state.map(|state| state.threads).unwrap_or_default();
            known.begins.extend(threads.into_iter().map(|state| (state.id, state)));
        }
        for entry in file.index().iter().filter(|entry| entry.kind == BatchKind::Events) {
            let end = before::payload_end(entry);
            known.ends.insert(entry.thread, (entry.sequence, end, entry.last_ticks));
            known.generation = known.generation.max(entry.generation);
        }
        known
    }

    /// Where a batch goes on behind what the trace has of it; `None` if it was over before the
    /// trace began.
    fn place(&self, batch: &Found<'_>) -> Option<Place> {
        let whole = Place { base: batch.base, ..Place::default() };
        if let Some(&(sequence, end, last)) = self.ends.get(&batch.thread) {
            return match batch.sequence.cmp(&sequence) {
                Ordering::Less => None,
                Ordering::Equal => Some(Place { offset: end, base: last, ..whole }),
                Ordering::Greater => Some(whole),
            };
        }
        let before = self.before.get(&batch.thread);
        if before.is_some_and(|(sequence, _)| batch.sequence < *sequence) {
            return None;
        }
        match self.begins.get(&batch.thread) {
            Some(begin) if batch.sequence < begin.sequence => None,
            // It was open when the trace began: what came later belongs to it, unless the part
            // before has it.
            Some(begin) if batch.sequence == begin.sequence && begin.offset > 0 => {
                let from = begin.offset as usize;
                let upto = before.filter(|(sequence, _)| *sequence == batch.sequence);
                let offset = upto.map_or(from, |(_, end)| from.max(*end));
                let mut open = begin.open.clone();
                let mut base = batch.base;
                base = before::advance(&mut OpenStack::default(), batch.events(0..from, base)?)?;
                if offset > from {
                    open.retain(|it| it.begin <= base);
                    let mut stack = OpenStack::new(open);
                    base = before::advance(&mut stack, batch.events(from..offset, base)?)?;
                    open = stack.into_open();
                }
                Some(Place { offset, base, restates: true, open })
            }
            Some(_) => Some(whole),
            None => (batch.base >= self.begin).then_some(whole),
        }
    }

    /// What the trace lacks of a batch; nothing if it has all.
    fn rest_of(&mut self, batch: &Found<'_>, is_last: bool) -> Option<Rest> {
        let place = self.place(batch)?;
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
        Some(Rest { info, payload })
    }
}

/// What was open at a place, restated there: all that had begun, but for what `begun` has.
fn put_reopened(out: &mut Vec<u8>, place: &Place, begun: &[Ticks]) -> u32 {
    // What had begun and was not written then is among the events that follow.
    let is_over = |it: &&OpenSince| it.begin <= place.base && !begun.contains(&it.begin);
    let (mut count, mut clock) = (0, place.base);
    for &OpenSince { open, begin } in place.open.iter().filter(is_over) {
        let kind = EventKind::Reopen { open, since: Ticks(place.base.0 - begin.0) };
        put_event(out, &mut clock, &Event { ticks: place.base, kind });
        count += 1;
    }
    count
}

/// Begins that were not written yet: of what is open and began after all that was.
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

/// Batches that come behind a trace.
struct Tail {
    encoder: FileEncoder,
    bytes: Vec<u8>,
    events: u64,
    definitions: u32,
    generation: u32,
    defined: BTreeSet<ThreadId>,
}

impl Tail {
    fn behind(index: &[IndexEntry]) -> Self {
        let definitions = index.iter().filter(|entry| entry.kind == BatchKind::Definitions);
        let next = definitions.map(|entry| entry.sequence.saturating_add(1)).max();
        Self {
            encoder: FileEncoder::new(Compression::None),
            bytes: Vec::new(),
            events: 0,
            definitions: next.unwrap_or(0),
            generation: index.iter().map(|entry| entry.generation).max().unwrap_or(1),
            defined: BTreeSet::new(),
        }
    }

    /// A thread that the collector had not met yet.
    fn thread(&mut self, batch: &Found<'_>) {
        if !self.defined.insert(batch.thread) {
            return;
        }
        let mut payload = Vec::new();
        let thread = Definition::unnamed_thread(batch.thread, batch.os_id, batch.base);
        put_definition(&mut payload, &thread);
        let info = BatchInfo::of_definitions(self.definitions, self.generation, batch.base, 1);
        self.definitions += 1;
        self.put(&info, &payload);
    }

    fn piece(&mut self, rest: &Rest) {
        self.events += u64::from(rest.info.events);
        self.put(&rest.info, &rest.payload);
    }

    fn put(&mut self, info: &BatchInfo, payload: &[u8]) {
        let encoded = self.encoder.batch(info, payload);
        self.bytes.extend_from_slice(&encoded.header);
        self.bytes.extend_from_slice(encoded.stored);
    }
}
