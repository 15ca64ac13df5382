//! A snapshot: the last of what happened before one moment, to be written as a trace.
//!
//! Elsewhere: the ring that it is taken from (`ring`).

use super::ledger::Ledger;
use super::ring::RingGeneration;
use crate::base::error::SnapshotReport;
use crate::buffer::losses::{Losses, Reported, Tally, ThreadLosses};
use crate::output::names;
use crate::sys::clock;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::time::Duration;
use trace_format::batch::{BatchInfo, Compression, FileEncoder};
use trace_format::definition::{Definition, put_definition};
use trace_format::header::PAYLOAD_BYTES_MAX;
use trace_format::id::ThreadId;
use trace_format::time::{ClockSnapshot, Nanos, Ticks};

/// The last of what happened before one moment: a trace that is yet to be written.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(super) head: Vec<(Vec<u8>, u32)>,
    pub(super) generations: Vec<RingGeneration>,
    /// Threads that have ended, when they did, and what they had lost.
    pub(super) ended: Vec<(ThreadId, Ticks, Losses)>,
    /// What threads had lost, as far as events report it that are not in the snapshot.
    pub(super) reported: BTreeMap<ThreadId, Losses>,
    /// What the session had lost when it was taken.
    pub(super) lost: Tally,
    /// Whether it gets names of functions.
    pub(super) has_names: bool,
    /// The addresses of the functions that threads began with.
    pub(super) entries: BTreeSet<u64>,
}

/// A snapshot that is being written.
struct Writing<W> {
    writer: W,
    encoder: FileEncoder,
    generation: u32,
    sequence: u32,
    now: Ticks,
}

impl Snapshot {
    /// The same, with the names of functions.
    pub(crate) fn with_names(self) -> Self {
        Self { has_names: true, ..self }
    }

    /// Writes it as a complete trace.
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
        let (mut ledger, mut reported) = (Ledger::default(), self.reported.clone());
        for (at, generation) in self.generations.iter().enumerate() {
            let is_known = |id: &ThreadId| self.reported.contains_key(id);
            out.generation(generation, at as u32 + 1, is_known)?;
            for piece in &generation.pieces {
                let is_first = !ledger.has(piece.info.thread);
                let info = ledger.admit(&piece.info);
                if is_first {
                    let Reported { before, now } = piece.reported;
                    reported.insert(piece.info.thread, if info.is_some() { before } else { now });
                }
                if let Some(info) = info {
                    let info = BatchInfo { generation: out.generation, ..info };
                    out.batch(&info, &piece.payload)?;
                }
            }
        }
        ledger.begin_at(&self.begin(reported));
        let events = ledger.events();
        if self.has_names {
            self.put_names(&mut out)?;
        }
        let lost = self.put_ends(&mut out, &ledger)?;
        let end = out.encoder.end();
        out.writer.write_all(&end)?;
        out.writer.flush()?;
        let clocks = || self.generations.iter().filter_map(|generation| generation.clock);
        let (first, last) = (clocks().next(), clocks().next_back());
        let nanos = |clock: Option<ClockSnapshot>| clock.map_or(0, |clock| clock.monotonic.0);
        let age = Duration::from_nanos(nanos(last).saturating_sub(nanos(first)));
        let dropped_events = lost.events;
        Ok(SnapshotReport { events, bytes: out.encoder.offset(), age, dropped_events })
    }

    /// Writes the names behind all events, so that the events are written even if the process ends
    /// meanwhile.
    fn put_names<W: Write>(&self, out: &mut Writing<W>) -> io::Result<()> {
        let (mut bytes, mut count, mut result) = (Vec::new(), 0, Ok(()));
        names::resolve_all(self.entries.iter().copied()).for_each(|definition| {
            put_definition(&mut bytes, definition);
            count += 1;
            if bytes.len() > PAYLOAD_BYTES_MAX / 2 && result.is_ok() {
                result = out.definitions(&std::mem::take(&mut bytes), std::mem::take(&mut count));
            }
        });
        result.and_then(|()| out.definitions(&bytes, count))
    }

    /// What had been lost where the snapshot begins: for each thread, at its first batch.
    fn begin(&self, reported: BTreeMap<ThreadId, Losses>) -> Tally {
        let first = self.generations.first();
        let interrupted = first.map_or(&[][..], |first| &first.interrupted);
        let interrupted: BTreeMap<_, _> = interrupted.iter().copied().collect();
        let thread = |(id, full)| {
            let interrupted = interrupted.get(&id).copied().unwrap_or(0);
            ThreadLosses { id, full, interrupted }
        };
        let unattached = first.map_or(0, |first| first.unattached);
        let threads = reported.into_iter().map(thread).collect();
        Tally { threads, ended: Losses::default(), unattached }
    }

    /// Writes the totals of each thread, and of all. Returns what was lost.
    fn put_ends<W: Write>(&self, out: &mut Writing<W>, ledger: &Ledger) -> io::Result<Losses> {
        let ended = self.ended.iter().map(|&(id, ticks, lost)| (id, true, ticks, lost));
        let now = out.now;
        let lives = self.lost.threads.iter().map(|it| (it.id, false, now, it.all()));
        let first = self.generations.first().map_or(0, |first| first.unattached);
        let mut lost = Losses::events(self.lost.unattached.saturating_sub(first));
        let (mut bytes, mut count) = (Vec::new(), 1);
        for (id, ended, ticks, Losses { events: dropped_events, ends: dropped_ends }) in
            ended.chain(lives)
        {
            let end =
                Definition::ThreadEnd { id, ended, ticks, events: 0, dropped_events, dropped_ends };
            let end = ledger.end(&end).unwrap_or(end);
            if let Definition::ThreadEnd { dropped_events, dropped_ends, .. } = end {
                lost += Losses { events: dropped_events, ends: dropped_ends };
            }
            put_definition(&mut bytes, &end);
            count += 1;
            if bytes.len() > PAYLOAD_BYTES_MAX / 2 {
                out.definitions(&std::mem::take(&mut bytes), std::mem::replace(&mut count, 1) - 1)?;
            }
        }
        let Losses { events: dropped_events, ends: dropped_ends } = lost;
        put_definition(
            &mut bytes,
            &Definition::Stop {
                ticks: out.now,
                events: ledger.events(),
                dropped_events,
                dropped_ends,
                tracer_cpu: Nanos(0),
                memory_max: 0,
            },
        );
        out.definitions(&bytes, count)?;
        Ok(lost)
    }
}

impl<W: Write> Writing<W> {
    /// Writes what a generation begins with. The first one's number and clock are in the head.
    /// States of threads that are not known any more are left out.
    fn generation(
        &mut self,
        generation: &RingGeneration,
        number: u32,
        is_known: impl Fn(&ThreadId) -> bool,
    ) -> io::Result<()> {
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
        let is_of_known = |state: &&Definition<'_>| match state {
            Definition::ThreadState { id, .. } => is_known(id),
            _ => true,
        };
        for state in generation.states.iter().filter(is_of_known) {
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
