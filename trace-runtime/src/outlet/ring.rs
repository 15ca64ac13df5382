//! The last of what happened, in memory: the flight recorder's outlet.
//!
//! It keeps pieces of events as they came, oldest first, and what each generation began with. When
//! its bytes exceed the bound, the oldest pieces go, one by one, and with its last piece a
//! generation. What remains still makes a trace: a thread's events begin with the first piece that
//! restates what is open, and what threads without any have open is in the oldest generation's
//! states.
//!
//! A [`Snapshot`] is taken by the collector, by counting up references; it is written by whoever
//! wants it.

use super::Lasting;
use super::mirror::Mirror;
use super::told::Told;
use crate::clock;
use crate::error::SnapshotReport;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;
use trace_format::batch::{BatchInfo, Compression, FileEncoder};
use trace_format::definition::{Definition, Definitions, put_definition};
use trace_format::header::{BATCH_HEADER_BYTES, PAYLOAD_BYTES_MAX};
use trace_format::id::ThreadId;
use trace_format::time::{ClockSnapshot, Nanos, Ticks};

/// What a piece takes beside its payload: in memory, and (less) in a file with its line of the
/// index.
const PIECE_OVERHEAD: usize = 144;

/// What a state takes, and each thing that is open in it.
const STATE_BYTES: usize = 64;

/// A generation is cut short when it has this part of the bound: the oldest one goes as a whole.
const GENERATIONS_MIN: usize = 8;

/// What a snapshot takes at least until it is written.
const SNAPSHOT_BYTES: usize = 256 << 10;

/// Batches of names in a ring's file have about so many bytes, for its tables may be small.
const MIRROR_BYTES: usize = 8 << 10;

/// Some bytes of one thread's events.
#[derive(Debug)]
struct Piece {
    info: BatchInfo,
    payload: Box<[u8]>,
}

/// What a generation began with, and what came in it.
#[derive(Clone, Debug)]
struct Generation {
    begin: Ticks,
    clock: Option<ClockSnapshot>,
    /// What was open on threads.
    states: Vec<Definition<'static>>,
    /// What threads had lost by then, events and ends, if anything.
    dropped: Vec<(ThreadId, u64, u64)>,
    /// Other definitions of this moment, and how many.
    rest: Vec<u8>,
    rest_count: u32,
    pieces: VecDeque<Arc<Piece>>,
    bytes: usize,
}

/// A thread that lives, or has pieces here.
#[derive(Clone, Debug, Default)]
struct Known {
    /// What defines it.
    bytes: Vec<u8>,
    /// If it has ended: how.
    end: Option<(Ticks, u64, u64)>,
    pieces: usize,
}

/// The last of what happened.
#[derive(Debug)]
pub(crate) struct Ring {
    bytes_max: usize,
    min_age: Duration,
    generations: VecDeque<Generation>,
    threads: BTreeMap<ThreadId, Known>,
    bytes: usize,
    /// A file that has the same, if it is to survive the process.
    mirror: Option<Box<Mirror>>,
}

impl Ring {
    pub(crate) fn new(bytes_max: usize, min_age: Duration, mirror: Option<Mirror>) -> Self {
        let (generations, threads) = (VecDeque::new(), BTreeMap::new());
        let mirror = mirror.map(Box::new);
        Self { bytes_max, min_age, generations, threads, bytes: 0, mirror }
    }

    /// Nothing to do: it always begins in the middle.
    pub(super) fn come_late(&mut self) {}

    /// Whether so much has come in this generation that it should end.
    pub(crate) fn wants_cut(&self) -> bool {
        let current = self.generations.back().map_or(0, |generation| generation.bytes);
        current > self.bytes_max / GENERATIONS_MIN
    }

    pub(crate) fn define(&mut self, definition: &Definition<'_>) {
        if let Some(mirror) = &mut self.mirror {
            mirror.define(definition);
        }
        match definition {
            Definition::Generation { ticks, .. } => self.begin_generation(*ticks),
            Definition::Clock(clock) => self.begin_at(*clock),
            Definition::ThreadState { id, sequence, offset, more, open } => {
                let (id, sequence, offset, more) = (*id, *sequence, *offset, *more);
                let open = open.clone();
                let bytes = STATE_BYTES * (1 + open.len());
                if let Some(generation) = self.generations.back_mut() {
                    let state = Definition::ThreadState { id, sequence, offset, more, open };
                    generation.states.push(state);
                    generation.bytes += bytes;
                    self.bytes += bytes;
                }
            }
            Definition::Thread { id, .. } | Definition::ThreadName { id, .. } => {
                let known = self.threads.entry(*id).or_default();
                let before = known.bytes.len();
                put_definition(&mut known.bytes, definition);
                self.bytes += known.bytes.len() - before;
            }
            &Definition::ThreadEnd { id, ended, ticks, dropped_events, dropped_ends, .. } => {
                if let Some(known) = self.threads.get_mut(&id).filter(|_| ended) {
                    known.end = Some((ticks, dropped_events, dropped_ends));
                    self.forget_if_over(id);
                }
            }
            Definition::TaskState { .. } | Definition::Switch { .. } | Definition::Heap { .. } => {
                if let Some(generation) = self.generations.back_mut() {
                    let before = generation.rest.len();
                    put_definition(&mut generation.rest, definition);
                    generation.rest_count += 1;
                    let bytes = generation.rest.len() - before;
                    generation.bytes += bytes;
                    self.bytes += bytes;
                }
            }
            // What lasts is told to a snapshot anew.
            _ => {}
        }
        self.evict();
    }

    /// The generation that has just begun did so at this time.
    fn begin_at(&mut self, clock: ClockSnapshot) {
        if let Some(generation) = self.generations.back_mut() {
            generation.clock = Some(clock);
        }
        let oldest = clock.monotonic.0.saturating_sub(self.min_age.as_nanos() as u64);
        // One that ended before is not wanted any more.
        while let Some(second) = self.generations.get(1)
            && second.clock.is_some_and(|clock| clock.monotonic.0 < oldest)
        {
            self.pop_generation();
        }
    }

    /// What each thread has lost by now, events and ends: what a snapshot that begins with this
    /// generation has not lost.
    pub(crate) fn note_dropped(&mut self, dropped: impl Iterator<Item = (ThreadId, u64, u64)>) {
        let Some(generation) = self.generations.back_mut() else { return };
        generation.dropped = dropped.filter(|&(_, events, ends)| events + ends > 0).collect();
        let bytes = size_of_val(&*generation.dropped);
        generation.bytes += bytes;
        self.bytes += bytes;
    }

    fn begin_generation(&mut self, begin: Ticks) {
        self.generations.push_back(Generation {
            begin,
            clock: None,
            states: Vec::new(),
            dropped: Vec::new(),
            rest: Vec::new(),
            rest_count: 0,
            pieces: VecDeque::new(),
            bytes: 0,
        });
    }

    pub(super) fn events(&mut self, info: &BatchInfo, payload: &[u8]) {
        if let Some(mirror) = &mut self.mirror {
            mirror.events(info, payload);
        }
        let bytes = payload.len() + PIECE_OVERHEAD;
        // One that there is no memory for is as one that has gone.
        let Some(payload) = self.keep(payload) else { return };
        let Some(generation) = self.generations.back_mut() else { return };
        generation.pieces.push_back(Arc::new(Piece { info: *info, payload }));
        generation.bytes += bytes;
        self.bytes += bytes;
        self.threads.entry(info.thread).or_default().pieces += 1;
        self.evict();
    }

    /// A copy of these bytes. If the system gives no memory, the oldest make room for it: the
    /// program is not to end because of what it records.
    fn keep(&mut self, payload: &[u8]) -> Option<Box<[u8]>> {
        let mut copy = Vec::new();
        while copy.try_reserve_exact(payload.len()).is_err() {
            // One for these bytes, and one for all the small things that take memory with them.
            let is_gone = [self.lose_oldest(), self.lose_oldest()];
            if !is_gone[0] {
                return None;
            }
        }
        copy.extend_from_slice(payload);
        Some(copy.into())
    }

    /// The oldest goes, until the rest fits.
    fn evict(&mut self) {
        while self.bytes > self.bytes_max && self.lose_oldest() {}
    }

    /// The oldest piece goes, or the generation that has none. False if there is nothing to go.
    fn lose_oldest(&mut self) -> bool {
        let is_last = self.generations.len() == 1;
        let Some(oldest) = self.generations.front_mut() else { return false };
        match oldest.pieces.pop_front() {
            Some(piece) => {
                let bytes = piece.payload.len() + PIECE_OVERHEAD;
                oldest.bytes -= bytes;
                self.bytes -= bytes;
                self.lose_piece(piece.info.thread);
            }
            None if is_last => return false,
            None => self.pop_generation(),
        }
        true
    }

    fn pop_generation(&mut self) {
        let Some(oldest) = self.generations.pop_front() else { return };
        self.bytes -= oldest.bytes;
        for piece in oldest.pieces {
            self.lose_piece(piece.info.thread);
        }
    }

    fn lose_piece(&mut self, thread: ThreadId) {
        if let Some(known) = self.threads.get_mut(&thread) {
            known.pieces -= 1;
            self.forget_if_over(thread);
        }
    }

    /// A thread that has ended and left nothing here need not be known.
    fn forget_if_over(&mut self, id: ThreadId) {
        let Some(known) = self.threads.get(&id) else { return };
        if known.pieces == 0 && (known.end.is_some() || id.as_cpu().is_some()) {
            self.bytes -= known.bytes.len();
            self.threads.remove(&id);
        }
    }

    pub(crate) fn flush(&mut self) {
        if let Some(mirror) = &mut self.mirror {
            mirror.flush();
        }
    }

    /// Whether its file wants the names told anew.
    pub(crate) fn wants_names(&self) -> bool {
        self.mirror.as_ref().is_some_and(|mirror| mirror.wants_names())
    }

    /// The names, in batches of its file's.
    pub(crate) fn renew_names(&mut self, names: &Names<'_>) {
        let mut head = Head::new(MIRROR_BYTES);
        names.put_first(&mut head);
        self.put_names(names, &mut head);
        if let Some(mirror) = &mut self.mirror {
            mirror.renew(&head);
        }
    }

    /// What has happened to its file: whether it is still written, and why. Told once.
    pub(crate) fn take_news(&mut self) -> Option<(bool, String)> {
        self.mirror.as_mut()?.take_news()
    }

    /// What is defined once and holds.
    fn put_names(&self, names: &Names<'_>, head: &mut Head) {
        names.lasting.tell_system(|definition| head.put(definition));
        for known in self.threads.values() {
            Definitions::new(&known.bytes).for_each(|definition| head.put(&definition));
        }
        (names.tell)(&mut |definition| head.put(definition));
    }

    /// If the system has no memory for what a snapshot takes beside the pieces, the oldest make
    /// room.
    pub(crate) fn make_room_for_snapshot(&mut self) {
        loop {
            let pieces: usize = self.generations.iter().map(|it| it.pieces.len()).sum();
            let states: usize = self.generations.iter().map(|it| it.states.len()).sum();
            let bytes = SNAPSHOT_BYTES + pieces * 16 + states * STATE_BYTES * 2;
            let is_there = Vec::<u8>::new().try_reserve_exact(bytes).is_ok();
            if is_there || !self.lose_oldest() {
                return;
            }
        }
    }

    /// All of it, as of now. To be called right after a generation has begun.
    ///
    /// `lives`: the threads that have not ended, with what each has dropped, events and ends.
    pub(crate) fn snapshot(&self, names: &Names<'_>, lives: Vec<(ThreadId, u64, u64)>) -> Snapshot {
        let mut head = Head::new(PAYLOAD_BYTES_MAX / 2);
        let Some(oldest) = self.generations.front() else { return Snapshot::default() };
        names.put_first(&mut head);
        head.put(&Definition::Generation { number: 1, ticks: oldest.begin });
        if let Some(clock) = oldest.clock {
            head.put(&Definition::Clock(clock));
        }
        self.put_names(names, &mut head);
        let mut generations: Vec<_> = self.generations.iter().cloned().collect();
        // A file takes less than the ring does, but for what lasts.
        let spare = self.bytes_max.saturating_sub(head.bytes() + 4096);
        let mut bytes = self.bytes;
        'bound: for generation in &mut generations {
            while bytes > spare {
                let Some(piece) = generation.pieces.pop_front() else { continue 'bound };
                bytes -= piece.payload.len() + PIECE_OVERHEAD;
            }
            break;
        }
        let ended = self.threads.iter().filter_map(|(id, known)| Some((*id, known.end?)));
        Snapshot { head: head.batches, generations, ended: ended.collect(), lives }
    }
}

/// What lasts, as the session knows it.
pub(crate) struct Names<'a> {
    /// What every trace begins with.
    pub(crate) beginning: Vec<Definition<'static>>,
    pub(crate) lasting: &'a Lasting,
    /// Tells what is interned, and which futures live.
    pub(crate) tell: &'a Tell<'a>,
}

/// Tells definitions to whom it is given.
pub(crate) type Tell<'a> = dyn Fn(&mut dyn FnMut(&Definition<'_>)) + 'a;

impl Names<'_> {
    fn put_first(&self, head: &mut Head) {
        self.beginning.iter().for_each(|definition| head.put(definition));
    }
}

/// Definitions, in batches that are not too long.
#[derive(Debug)]
pub(super) struct Head {
    /// Of a batch, about.
    bytes_max: usize,
    batches: Vec<(Vec<u8>, u32)>,
}

impl Head {
    fn new(bytes_max: usize) -> Self {
        Self { bytes_max, batches: Vec::new() }
    }

    pub(super) fn batches(&self) -> &[(Vec<u8>, u32)] {
        &self.batches
    }

    fn put(&mut self, definition: &Definition<'_>) {
        let is_full = self.batches.last().is_none_or(|last| last.0.len() > self.bytes_max);
        if is_full {
            self.batches.push((Vec::new(), 0));
        }
        if let Some((bytes, count)) = self.batches.last_mut() {
            put_definition(bytes, definition);
            *count += 1;
        }
    }

    fn bytes(&self) -> usize {
        self.batches.iter().map(|(bytes, _)| bytes.len() + BATCH_HEADER_BYTES).sum()
    }
}

/// The last of what happened, as of one moment; a trace that is yet to be written.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    head: Vec<(Vec<u8>, u32)>,
    generations: Vec<Generation>,
    ended: Vec<(ThreadId, (Ticks, u64, u64))>,
    lives: Vec<(ThreadId, u64, u64)>,
}

/// A snapshot on its way into a writer.
struct Writing<W> {
    writer: W,
    encoder: FileEncoder,
    generation: u32,
    sequence: u32,
    now: Ticks,
}

impl Snapshot {
    /// Writes it: a whole trace.
    ///
    /// # Errors
    /// The writer's.
    pub(crate) fn write(&self, writer: impl Write) -> io::Result<SnapshotReport> {
        let now = Ticks(clock::ticks());
        let encoder = FileEncoder::new(Compression::None);
        let mut out = Writing { writer, encoder, generation: 1, sequence: 0, now };
        let begin = out.encoder.begin();
        out.writer.write_all(&begin)?;
        for (bytes, count) in &self.head {
            out.definitions(bytes, *count)?;
        }
        let mut told = Told::default();
        if let Some(first) = self.generations.first() {
            told.note_dropped_before(&first.dropped);
        }
        for (at, generation) in self.generations.iter().enumerate() {
            out.generation(generation, at as u32 + 1)?;
            for piece in &generation.pieces {
                if let Some(info) = told.of(&piece.info) {
                    let info = BatchInfo { generation: out.generation, ..info };
                    out.batch(&info, &piece.payload)?;
                }
            }
        }
        let events = told.events();
        self.put_ends(&mut out, &told)?;
        let end = out.encoder.end();
        out.writer.write_all(&end)?;
        out.writer.flush()?;
        let clocks = || self.generations.iter().filter_map(|generation| generation.clock);
        let (first, last) = (clocks().next(), clocks().next_back());
        let nanos = |clock: Option<ClockSnapshot>| clock.map_or(0, |clock| clock.monotonic.0);
        let age = Duration::from_nanos(nanos(last).saturating_sub(nanos(first)));
        Ok(SnapshotReport { events, bytes: out.encoder.offset(), age })
    }

    fn put_ends<W: Write>(&self, out: &mut Writing<W>, told: &Told) -> io::Result<()> {
        let ended = self.ended.iter().map(|(id, end)| (*id, true, *end));
        let now = out.now;
        let lives = self.lives.iter().map(|&(id, events, ends)| (id, false, (now, events, ends)));
        let (mut bytes, mut count, mut lost) = (Vec::new(), 1, (0, 0));
        for (id, ended, (ticks, dropped_events, dropped_ends)) in ended.chain(lives) {
            let end =
                Definition::ThreadEnd { id, ended, ticks, events: 0, dropped_events, dropped_ends };
            let end = told.end(&end).unwrap_or(end);
            if let Definition::ThreadEnd { dropped_events, dropped_ends, .. } = end {
                lost = (lost.0 + dropped_events, lost.1 + dropped_ends);
            }
            put_definition(&mut bytes, &end);
            count += 1;
            if bytes.len() > PAYLOAD_BYTES_MAX / 2 {
                out.definitions(&std::mem::take(&mut bytes), std::mem::replace(&mut count, 1) - 1)?;
            }
        }
        let (dropped_events, dropped_ends) = lost;
        put_definition(
            &mut bytes,
            &Definition::Stop {
                ticks: out.now,
                events: told.events(),
                dropped_events,
                dropped_ends,
                tracer_cpu: Nanos(0),
                memory_max: 0,
            },
        );
        out.definitions(&bytes, count)
    }
}

impl<W: Write> Writing<W> {
    /// What a generation begins with. The first one's number and clock are in the head.
    fn generation(&mut self, generation: &Generation, number: u32) -> io::Result<()> {
        let (mut bytes, mut count) = (Vec::new(), generation.rest_count);
        self.generation = number;
        if number > 1 {
            put_definition(&mut bytes, &Definition::Generation { number, ticks: generation.begin });
            count += 1;
            if let Some(clock) = generation.clock {
                put_definition(&mut bytes, &Definition::Clock(clock));
                count += 1;
            }
        }
        for state in &generation.states {
            put_definition(&mut bytes, state);
            count += 1;
        }
        bytes.extend_from_slice(&generation.rest);
        self.definitions(&bytes, count)
    }

    fn definitions(&mut self, bytes: &[u8], count: u32) -> io::Result<()> {
        if count == 0 {
            return Ok(());
        }
        let info = BatchInfo::of_definitions(self.sequence, self.generation, self.now, count);
        self.sequence += 1;
        self.batch(&info, bytes)
    }

    fn batch(&mut self, info: &BatchInfo, payload: &[u8]) -> io::Result<()> {
        let encoded = self.encoder.batch(info, payload);
        self.writer.write_all(&encoded.header)?;
        self.writer.write_all(encoded.stored)?;
        if let Some(index) = self.encoder.index_if_due() {
            self.writer.write_all(&index)?;
        }
        Ok(())
    }
}
