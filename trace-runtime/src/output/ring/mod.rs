//! The last of what happened, in memory: the flight recorder's output.
//!
//! It keeps pieces of events as they came, and what each generation began with. When its bytes
//! exceed the bound, the oldest pieces are dropped, one by one, and a generation after its last
//! piece. The rest still makes a trace: a thread's events begin with the first piece that restates
//! what is open, and for threads without such a piece, the oldest generation's states say what is
//! open.
//!
//! The collector takes a [`Snapshot`], by counting up references; the thread that asked for it
//! writes it.
//!
//! - `generation`: what a ring has of one generation. `evict`: what is dropped, and when.
//! - `definitions`: definitions for a snapshot or a ring's file, in batches.

mod definitions;
mod evict;
mod generation;

pub(super) use definitions::DefinitionBatches;
pub(crate) use definitions::SessionNames;
pub(super) use generation::RingGeneration;

use crate::buffer::losses::{Losses, Reported, Tally};
use crate::output::ledger::LossMark;
use crate::output::{Mirror, Snapshot};
use generation::RingPiece;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use trace_format::batch::BatchInfo;
use trace_format::definition::{Definition, Definitions, put_definition};
use trace_format::header::PAYLOAD_BYTES_MAX;
use trace_format::id::ThreadId;
use trace_format::time::{ClockSnapshot, Ticks};

/// Bytes of a state, and of each thing that is open in it.
const STATE_BYTES: usize = 64;

/// A generation ends early when it takes the bound divided by this: the oldest one is dropped as a
/// whole.
const GENERATIONS_MIN: usize = 8;

/// Approximate size of batches of names in a ring's file, whose tables may be small.
const MIRROR_BYTES: usize = 8 << 10;

/// A thread that is live, or has pieces here.
#[derive(Clone, Debug, Default)]
struct KnownThread {
    /// Its definitions.
    bytes: Vec<u8>,
    /// If it has ended: when, what it had lost, and in which generation, counted from the session's
    /// first.
    end: Option<(Ticks, Losses, u64)>,
    pieces: usize,
    /// What it has lost, as far as events report it that are not here any more.
    reported: Losses,
}

/// The last of what happened.
#[derive(Debug)]
pub(crate) struct Ring {
    bytes_max: usize,
    min_age: Duration,
    generations: VecDeque<RingGeneration>,
    threads: BTreeMap<ThreadId, KnownThread>,
    bytes: usize,
    /// Number of generations that were dropped.
    dropped: u64,
    /// What the session had lost when the ring began.
    lost_before: LossMark,
    /// A file with the same content, if that is to survive the process.
    mirror: Option<Box<Mirror>>,
    /// Whether snapshots get names of functions.
    has_names: bool,
    /// The addresses of the functions that threads began with.
    entries: BTreeSet<u64>,
}

impl Ring {
    pub(crate) fn new(bytes_max: usize, min_age: Duration, mirror: Option<Mirror>) -> Self {
        let (generations, threads) = (VecDeque::new(), BTreeMap::new());
        let mirror = mirror.map(Box::new);
        let (dropped, lost_before) = (0, LossMark::default());
        let (has_names, entries) = (false, BTreeSet::new());
        Self {
            bytes_max,
            min_age,
            generations,
            threads,
            bytes: 0,
            dropped,
            lost_before,
            mirror,
            has_names,
            entries,
        }
    }

    /// The same, whose snapshots get names of functions or not.
    pub(crate) fn with_names(self, has_names: bool) -> Self {
        Self { has_names, ..self }
    }

    /// Begins the ring late, when the session has lost this.
    pub(super) fn begin_late(&mut self, lost: &Tally) {
        self.lost_before = LossMark::new(lost);
        for thread in &lost.threads {
            self.threads.entry(thread.id).or_default().reported = thread.full;
        }
    }

    /// What was lost since the ring began, of what the session has lost so far.
    pub(crate) fn lost(&self, session: Losses) -> Losses {
        session.since(self.lost_before.total)
    }

    /// Whether this generation takes so many bytes that it should end.
    pub(crate) fn wants_advance(&self) -> bool {
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
            Definition::Clock(clock) => self.note_clock(*clock),
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
                    let generation = self.dropped + self.generations.len() as u64;
                    known.end = Some((ticks, lost, generation));
                    if let Some(current) = self.generations.back_mut() {
                        current.ended.push(id);
                    }
                    self.forget_if_over(id);
                }
            }
            // The recorder ends with it, and no snapshot comes after that.
            Definition::Stop { .. } => {}
            _ if definition.is_of_moment() => {
                if let Some(generation) = self.generations.back_mut() {
                    let before = generation.rest.len();
                    put_definition(&mut generation.rest, definition);
                    generation.rest_count += 1;
                    let bytes = generation.rest.len() - before;
                    generation.bytes += bytes;
                    self.bytes += bytes;
                }
            }
            // Snapshots get definitions that hold for longer from `SessionNames`.
            _ => {}
        }
        self.evict();
    }

    /// Notes the time at which the generation began that has just begun.
    fn note_clock(&mut self, clock: ClockSnapshot) {
        if let Some(generation) = self.generations.back_mut() {
            generation.clock = Some(clock);
        }
        let oldest = clock.monotonic.0.saturating_sub(crate::sys::clock::nanos(self.min_age));
        // A generation that ended before that is not wanted any more.
        while let Some(second) = self.generations.get(1)
            && second.clock.is_some_and(|clock| clock.monotonic.0 < oldest)
        {
            self.pop_generation();
        }
    }

    /// Notes what has been lost by now that no event reports: it does not count as lost in a
    /// snapshot that begins with this generation.
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

    /// Keeps the definition of a resource whose name was given up: no other part of the recorder
    /// has it any more.
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
        self.generations.push_back(RingGeneration::new(begin));
    }

    pub(super) fn events(&mut self, info: &BatchInfo, payload: &[u8], reported: Reported) {
        if let Some(mirror) = &mut self.mirror {
            mirror.events(info, payload);
        }
        // A piece without memory for it counts as dropped.
        let Some(payload) = self.copy(payload) else { return };
        let Some(generation) = self.generations.back_mut() else { return };
        let piece = RingPiece { info: *info, payload, reported };
        let bytes = piece.bytes();
        generation.pieces.push_back(Arc::new(piece));
        generation.bytes += bytes;
        self.bytes += bytes;
        self.threads.entry(info.thread).or_default().pieces += 1;
        self.evict();
    }

    pub(crate) fn flush(&mut self) {
        if let Some(mirror) = &mut self.mirror {
            mirror.flush();
        }
    }

    /// Whether the names should be written anew to its file.
    pub(crate) fn wants_names(&self) -> bool {
        self.mirror.as_ref().is_some_and(|mirror| mirror.wants_names())
    }

    /// Writes the names anew to its file, in batches of a fitting size.
    pub(crate) fn renew_names(&mut self, names: &SessionNames<'_>) {
        let mut head = DefinitionBatches::new(MIRROR_BYTES);
        names.put_beginning(&mut head);
        self.put_names(names, &mut head);
        if let Some(mirror) = &mut self.mirror {
            mirror.renew(&head);
        }
    }

    /// What has happened to its file, and whether it is still written. Returned once.
    pub(crate) fn take_news(&mut self) -> Option<(bool, String)> {
        self.mirror.as_mut()?.take_news()
    }

    /// Appends all definitions that still hold, without the beginning.
    fn put_names(&self, names: &SessionNames<'_>, head: &mut DefinitionBatches) {
        names.definitions.for_each_of_process(|definition| head.put(definition));
        for known in self.threads.values() {
            Definitions::new(&known.bytes).for_each(|definition| head.put(&definition));
        }
        (names.for_each)(&mut |definition| head.put(definition));
        for generation in &self.generations {
            Definitions::new(&generation.names).for_each(|name| head.put(&name));
        }
    }

    /// All that is here now. To be called right after a generation has begun.
    ///
    /// `lost`: what the session has lost so far.
    pub(crate) fn snapshot(&self, names: &SessionNames<'_>, lost: Tally) -> Snapshot {
        let mut head = DefinitionBatches::new(PAYLOAD_BYTES_MAX / 2);
        let Some(oldest) = self.generations.front() else { return Snapshot::default() };
        names.put_beginning(&mut head);
        head.put(&Definition::Generation { number: 1, ticks: oldest.begin });
        if let Some(clock) = oldest.clock {
            head.put(&Definition::Clock(clock));
        }
        self.put_names(names, &mut head);
        let mut generations: Vec<_> = self.generations.iter().cloned().collect();
        // States of a generation may still have a thread that has ended and of which nothing is
        // left. It is not defined any more.
        for generation in &mut generations {
            generation.states.retain(|state| match state {
                Definition::ThreadState { id, .. } => self.threads.contains_key(id),
                _ => true,
            });
        }
        // A file takes less than the ring, except for the names.
        let spare = self.bytes_max.saturating_sub(head.bytes() + 4096);
        let mut bytes = self.bytes;
        let reported = |(id, known): (&ThreadId, &KnownThread)| (*id, known.reported);
        let mut reported: BTreeMap<_, _> = self.threads.iter().map(reported).collect();
        'bound: for generation in &mut generations {
            while bytes > spare {
                let Some(piece) = generation.pieces.pop_front() else { continue 'bound };
                bytes -= piece.bytes();
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

#[cfg(all(test, not(exectrace_loom)))]
mod tests {
    use super::*;
    use crate::output::CurrentDefinitions;

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
        let names = SessionNames {
            beginning: Vec::new(),
            definitions: &CurrentDefinitions::default(),
            for_each: &|_| (),
        };
        let snapshot = ring.snapshot(&names, Tally::default());
        let states: Vec<_> = snapshot.generations.iter().flat_map(|it| &it.states).collect();
        let [Definition::ThreadState { id, .. }] = states[..] else { panic!("{states:?}") };
        assert_eq!(*id, ThreadId(2), "the one that is defined");
    }
}
