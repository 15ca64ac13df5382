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
use super::snapshot::Snapshot;
use super::told::Bound;
use crate::buffer::losses::{Losses, Reported, Tally};
use crate::session::process;
use crate::sys::headroom;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use trace_format::batch::BatchInfo;
use trace_format::definition::{Definition, Definitions, put_definition};
use trace_format::header::{BATCH_HEADER_BYTES, PAYLOAD_BYTES_MAX};
use trace_format::id::ThreadId;
use trace_format::time::{ClockSnapshot, Ticks};

/// What a piece takes beside its payload: in memory, and (less) in a file with its line of the
/// index.
const PIECE_OVERHEAD: usize = 144;

/// What a state takes, and each thing that is open in it.
const STATE_BYTES: usize = 64;

/// A generation is cut short when it has this part of the bound: the oldest one goes as a whole.
const GENERATIONS_MIN: usize = 8;

/// What is left for small allocations, which can't be refused, when bytes were kept.
const SMALL_BYTES: usize = 64 << 10;

/// What a snapshot takes at least until it is written.
const SNAPSHOT_BYTES: usize = 256 << 10;

/// Batches of names in a ring's file have about so many bytes, for its tables may be small.
const MIRROR_BYTES: usize = 8 << 10;

/// Some bytes of one thread's events.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) info: BatchInfo,
    pub(super) payload: Box<[u8]>,
    /// What its thread has lost, as events up to it report.
    pub(super) reported: Reported,
}

/// What a generation began with, and what came in it.
#[derive(Clone, Debug)]
pub(super) struct Generation {
    pub(super) begin: Ticks,
    pub(super) clock: Option<ClockSnapshot>,
    /// What was open on threads.
    pub(super) states: Vec<Definition<'static>>,
    /// What had been lost by then of which no event reports: by threads' signal handlers, if
    /// anything, and by threads that could not be attached.
    pub(super) interrupted: Vec<(ThreadId, u64)>,
    pub(super) unattached: u64,
    /// Threads that ended in it.
    ended: Vec<ThreadId>,
    /// Names that were given up in it: events here may use them.
    names: Vec<u8>,
    /// Other definitions of this moment, and how many.
    pub(super) rest: Vec<u8>,
    pub(super) rest_count: u32,
    pub(super) pieces: VecDeque<Arc<Piece>>,
    bytes: usize,
}

/// A thread that lives, or has pieces here.
#[derive(Clone, Debug, Default)]
struct Known {
    /// What defines it.
    bytes: Vec<u8>,
    /// If it has ended: when, what it had lost, and in which generation of all.
    end: Option<(Ticks, Losses, u64)>,
    pieces: usize,
    /// What it has lost, as events report that are not here any more.
    reported: Losses,
}

/// The last of what happened.
#[derive(Debug)]
pub(crate) struct Ring {
    bytes_max: usize,
    min_age: Duration,
    generations: VecDeque<Generation>,
    threads: BTreeMap<ThreadId, Known>,
    bytes: usize,
    /// Generations that have gone.
    gone: u64,
    /// What the session had lost when the ring came.
    lost_before: Bound,
    /// A file that has the same, if it is to survive the process.
    mirror: Option<Box<Mirror>>,
    /// Whether snapshots bring names of functions along.
    has_names: bool,
    /// Where threads began: a few functions.
    entries: BTreeSet<u64>,
}

impl Ring {
    pub(crate) fn new(bytes_max: usize, min_age: Duration, mirror: Option<Mirror>) -> Self {
        let (generations, threads) = (VecDeque::new(), BTreeMap::new());
        let mirror = mirror.map(Box::new);
        let (gone, lost_before) = (0, Bound::default());
        let (has_names, entries) = (false, BTreeSet::new());
        Self {
            bytes_max,
            min_age,
            generations,
            threads,
            bytes: 0,
            gone,
            lost_before,
            mirror,
            has_names,
            entries,
        }
    }

    /// The same, and whether its snapshots bring the names of functions along.
    pub(crate) fn named(self, has_names: bool) -> Self {
        Self { has_names, ..self }
    }

    /// It begins when the session has lost this.
    pub(super) fn come_late(&mut self, lost: &Tally) {
        self.lost_before = Bound::new(lost);
        for thread in &lost.threads {
            self.threads.entry(thread.id).or_default().reported = thread.full;
        }
    }

    /// Of what the session has lost so far, what was lost since the ring came.
    pub(crate) fn lost(&self, session: Losses) -> Losses {
        session.since(self.lost_before.total)
    }

    /// Whether so much has come in this generation that it should end.
    pub(crate) fn wants_cut(&self) -> bool {
        let current = self.generations.back().map_or(0, |generation| generation.bytes);
        current > self.bytes_max / GENERATIONS_MIN
    }

    pub(crate) fn define(&mut self, definition: &Definition<'_>) {
        if let Some(mirror) = &mut self.mirror {
            let end = self.lost_before.end(definition);
            mirror.define(end.as_ref().unwrap_or(definition));
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
                if let Definition::Thread { entry, .. } = definition {
                    self.entries.insert(*entry);
                }
                let known = self.threads.entry(*id).or_default();
                let before = known.bytes.len();
                put_definition(&mut known.bytes, definition);
                self.bytes += known.bytes.len() - before;
            }
            &Definition::ThreadEnd { id, ended, ticks, dropped_events, dropped_ends, .. } => {
                if let Some(known) = self.threads.get_mut(&id).filter(|_| ended) {
                    let lost = Losses { events: dropped_events, ends: dropped_ends };
                    let generation = self.gone + self.generations.len() as u64;
                    known.end = Some((ticks, lost, generation));
                    if let Some(current) = self.generations.back_mut() {
                        current.ended.push(id);
                    }
                    self.forget_if_over(id);
                }
            }
            Definition::TaskState { .. }
            | Definition::ThreadTime { .. }
            | Definition::Switch { .. }
            | Definition::Heap { .. }
            | Definition::Stopped { .. } => {
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
        let oldest = clock.monotonic.0.saturating_sub(crate::sys::clock::nanos(self.min_age));
        // One that ended before is not wanted any more.
        while let Some(second) = self.generations.get(1)
            && second.clock.is_some_and(|clock| clock.monotonic.0 < oldest)
        {
            self.pop_generation();
        }
    }

    /// What has been lost by now of which no event reports: what a snapshot that begins with this
    /// generation has not lost.
    pub(crate) fn note_losses(
        &mut self,
        interrupted: impl Iterator<Item = (ThreadId, u64)>,
        unattached: u64,
    ) {
        let Some(generation) = self.generations.back_mut() else { return };
        generation.interrupted = interrupted.filter(|&(_, events)| events > 0).collect();
        generation.unattached = unattached;
        let bytes = size_of_val(&*generation.interrupted);
        generation.bytes += bytes;
        self.bytes += bytes;
    }

    /// A name that nobody else tells any more.
    #[cfg(os_hooks)]
    pub(crate) fn keep_name(&mut self, name: &Definition<'_>) {
        let Some(generation) = self.generations.back_mut() else { return };
        let before = generation.names.len();
        put_definition(&mut generation.names, name);
        let bytes = generation.names.len() - before;
        generation.bytes += bytes;
        self.bytes += bytes;
    }

    fn begin_generation(&mut self, begin: Ticks) {
        self.generations.push_back(Generation {
            begin,
            clock: None,
            states: Vec::new(),
            interrupted: Vec::new(),
            unattached: process::unattached(),
            ended: Vec::new(),
            names: Vec::new(),
            rest: Vec::new(),
            rest_count: 0,
            pieces: VecDeque::new(),
            bytes: 0,
        });
    }

    pub(super) fn events(&mut self, info: &BatchInfo, payload: &[u8], reported: Reported) {
        if let Some(mirror) = &mut self.mirror {
            mirror.events(info, payload);
        }
        let bytes = payload.len() + PIECE_OVERHEAD;
        // One that there is no memory for is as one that has gone.
        let Some(payload) = self.keep(payload) else { return };
        let Some(generation) = self.generations.back_mut() else { return };
        generation.pieces.push_back(Arc::new(Piece { info: *info, payload, reported }));
        generation.bytes += bytes;
        self.bytes += bytes;
        self.threads.entry(info.thread).or_default().pieces += 1;
        self.evict();
    }

    /// A copy of these bytes. If the system gives no memory, the oldest make room for it: the
    /// program is not to end because of what it records.
    fn keep(&mut self, payload: &[u8]) -> Option<Box<[u8]>> {
        let mut copy = Vec::new();
        while copy.try_reserve_exact(payload.len()).is_err() || !headroom::has(SMALL_BYTES) {
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
                self.lose_piece(&piece);
            }
            None if is_last => return false,
            None => self.pop_generation(),
        }
        true
    }

    fn pop_generation(&mut self) {
        let Some(oldest) = self.generations.pop_front() else { return };
        self.bytes -= oldest.bytes;
        self.gone += 1;
        for piece in oldest.pieces {
            self.lose_piece(&piece);
        }
        oldest.ended.into_iter().for_each(|thread| self.forget_if_over(thread));
    }

    fn lose_piece(&mut self, piece: &Piece) {
        let thread = piece.info.thread;
        if let Some(known) = self.threads.get_mut(&thread) {
            known.pieces -= 1;
            known.reported = piece.reported.now;
            self.forget_if_over(thread);
        }
    }

    /// A thread that has ended and left nothing here need not be known: no event, and no loss in a
    /// generation that is here.
    fn forget_if_over(&mut self, id: ThreadId) {
        let Some(known) = self.threads.get(&id) else { return };
        let is_over = match known.end {
            Some((_, lost, generation)) => lost == known.reported || generation <= self.gone,
            None => id.as_cpu().is_some(),
        };
        if known.pieces == 0 && is_over {
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
        for generation in &self.generations {
            Definitions::new(&generation.names).for_each(|name| head.put(&name));
        }
    }

    /// If the system has no memory for what a snapshot takes beside the pieces, the oldest make
    /// room.
    pub(crate) fn make_room_for_snapshot(&mut self) {
        loop {
            let pieces: usize = self.generations.iter().map(|it| it.pieces.len()).sum();
            let states: usize = self.generations.iter().map(|it| it.states.len()).sum();
            let bytes = SNAPSHOT_BYTES + pieces * 16 + states * STATE_BYTES * 2;
            if headroom::has(bytes) || !self.lose_oldest() {
                return;
            }
        }
    }

    /// All of it, as of now. To be called right after a generation has begun.
    ///
    /// `lost`: what the session has lost so far.
    pub(crate) fn snapshot(&self, names: &Names<'_>, lost: Tally) -> Snapshot {
        let mut head = Head::new(PAYLOAD_BYTES_MAX / 2);
        let Some(oldest) = self.generations.front() else { return Snapshot::default() };
        names.put_first(&mut head);
        head.put(&Definition::Generation { number: 1, ticks: oldest.begin });
        if let Some(clock) = oldest.clock {
            head.put(&Definition::Clock(clock));
        }
        self.put_names(names, &mut head);
        let mut generations: Vec<_> = self.generations.iter().cloned().collect();
        // A thread that is over, and of which nothing is left, may still be in states of a
        // generation of which something is. It is not defined any more.
        for generation in &mut generations {
            generation.states.retain(|state| match state {
                Definition::ThreadState { id, .. } => self.threads.contains_key(id),
                _ => true,
            });
        }
        // A file takes less than the ring does, but for what lasts.
        let spare = self.bytes_max.saturating_sub(head.bytes() + 4096);
        let mut bytes = self.bytes;
        let reported = |(id, known): (&ThreadId, &Known)| (*id, known.reported);
        let mut reported: BTreeMap<_, _> = self.threads.iter().map(reported).collect();
        'bound: for generation in &mut generations {
            while bytes > spare {
                let Some(piece) = generation.pieces.pop_front() else { continue 'bound };
                bytes -= piece.payload.len() + PIECE_OVERHEAD;
                reported.insert(piece.info.thread, piece.reported.now);
            }
            break;
        }
        let ended = self.threads.iter().filter_map(|(id, known)| {
            let (ticks, lost, _) = known.end?;
            Some((*id, ticks, lost))
        });
        let (ended, head) = (ended.collect(), head.batches);
        let (has_names, entries) = (self.has_names, self.entries.clone());
        Snapshot { head, generations, ended, reported, lost, has_names, entries }
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

#[cfg(all(test, not(exectrace_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_is_forgotten_is_in_no_state_of_a_snapshot() {
        let mut ring = Ring::new(1 << 20, Duration::from_secs(1), None);
        let ticks = Ticks(1);
        ring.define(&Definition::Generation { number: 1, ticks });
        for id in [ThreadId(1), ThreadId(2)] {
            ring.define(&Definition::ThreadName { id, ticks, name: b"named" });
            let (sequence, offset, more, open) = (0, 0, false, Vec::new());
            ring.define(&Definition::ThreadState { id, sequence, offset, more, open });
        }
        let (events, dropped_events, dropped_ends) = (0, 0, 0);
        let id = ThreadId(1);
        let ended = true;
        ring.define(&Definition::ThreadEnd {
            id,
            ended,
            ticks,
            events,
            dropped_events,
            dropped_ends,
        });
        let names = Names { beginning: Vec::new(), lasting: &Lasting::default(), tell: &|_| () };
        let snapshot = ring.snapshot(&names, Tally::default());
        let states: Vec<_> = snapshot.generations.iter().flat_map(|it| &it.states).collect();
        let [Definition::ThreadState { id, .. }] = states[..] else { panic!("{states:?}") };
        assert_eq!(*id, ThreadId(2), "the one that is defined");
    }
}
