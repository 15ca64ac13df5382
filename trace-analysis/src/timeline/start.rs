//! The walk's part about how a window begins.
//!
//! What happened before a window tells what is so in it: who was woken and has no CPU yet, who has
//! a lock, on which CPU a thread is. So the walk begins earlier: with the last generation that lies
//! a second or more before the window, as a thread that can run gets a CPU in that time. What
//! begins there is followed in its true time; where the window begins, all sums start anew, and
//! what is open goes on with that part of it that lies in the window.
//!
//! A thread that has no switch in all that time, and was on no CPU when it began, is off its CPU;
//! whether by its own will is not known.

use std::collections::BTreeMap;

use trace_format::event::EventKind;
use trace_format::header::BatchKind;
use trace_format::id::ThreadId;
use trace_format::index::IndexEntry;
use trace_format::read::{BatchBuffer, ReadAt, Sequel, Tables, TraceFile};
use trace_format::time::Ticks;

use super::open_tasks::generation_before;
use super::walk::Walk;
use super::{Fold, Observer};

/// From when on the events before a window are read; `None` for the begin of the trace.
pub(super) fn read_from(tables: &Tables, from: Ticks) -> Option<Ticks> {
    let second = tables.clock.frequency_hz() as u64;
    let before = Ticks(from.0.checked_sub(second)?);
    generation_before(tables, before).map(|generation| generation.ticks)
}

impl<O: Observer, F: Fold> Walk<'_, O, F> {
    /// Puts threads onto the CPUs on which they are when reading begins.
    pub(super) fn place_threads<S: ReadAt>(&mut self, file: &TraceFile<S>, from: Ticks) {
        for (cpu, os_id) in running_at(file, from) {
            let at = self.from;
            let known = self.who.os_thread(os_id, at);
            let who = known.or_else(|| self.meet_stranger(ThreadId(0), os_id, at));
            if let Some(who) = who {
                self.switch_in(cpu, who, at);
            }
        }
    }

    /// The window begins, if it has not.
    pub(super) fn begin_window(&mut self) {
        if std::mem::replace(&mut self.is_inside, true) {
            return;
        }
        // What ends where the window begins ends in it.
        let before = self.window_from.saturating_sub(1);
        self.settle(before);
        self.from = self.window_from;
        for who in 0..self.living.len() {
            self.bring(who, before);
            self.living[who].begin_window(self.from);
        }
        self.sums.restart();
        self.cpus.restart(self.from);
        self.futexes.restart();
        self.hands.restart();
        (self.faults, self.events_dropped) = (0, 0);
        if let Some(tasks) = &mut self.async_tasks {
            tasks.restart();
        }
        self.tell_open();
    }

    /// When something began of what counts, and how long it had gone on before: sums of async tasks
    /// know the window alone.
    pub(super) fn in_window(&self, begin: u64, older: u64) -> (u64, u64) {
        let at = begin.max(self.window_from);
        (at, older.saturating_add(at - begin))
    }
}

/// Which thread is on which CPU then, by the system's ids. Nothing is said of a CPU whose events
/// just before are missing.
fn running_at<S: ReadAt>(file: &TraceFile<S>, at: Ticks) -> Vec<(u32, u64)> {
    let mut lanes = BTreeMap::<u32, Vec<&IndexEntry>>::new();
    for entry in file.index().iter().filter(|entry| entry.kind == BatchKind::Events) {
        if let Some(cpu) = entry.thread.as_cpu().filter(|_| entry.base_ticks < at) {
            lanes.entry(cpu).or_default().push(entry);
        }
    }
    let running = lanes.into_iter().filter_map(|(cpu, entries)| {
        let before = |at: usize| at.checked_sub(1).map(|at| entries[at]);
        let begins = |place: &usize| entries[*place].begins_window(before(*place), at);
        let start = (0..entries.len()).rev().find(begins).unwrap_or(0);
        let sequel = match start {
            0 => Sequel::default(),
            _ => Sequel::behind(entries[start].sequence),
        };
        Some((cpu, running_on(file, (&entries[start..], sequel), at)?))
    });
    running.collect()
}

/// Who runs on one CPU then.
fn running_on<S: ReadAt>(
    file: &TraceFile<S>,
    (entries, mut sequel): (&[&IndexEntry], Sequel),
    at: Ticks,
) -> Option<u64> {
    let (mut buffer, mut runs) = (BatchBuffer::default(), None);
    for entry in entries {
        let loaded = file.load(entry, &mut buffer);
        let loaded = loaded.and_then(|batch| sequel.refuse_past(&batch).map(|()| batch));
        let Ok(batch) = loaded else {
            sequel.reach(entry.base_ticks);
            runs = None;
            continue;
        };
        if sequel.missing_before(&batch.header).is_some() {
            runs = None;
        }
        for event in batch.events() {
            let Ok(event) = event else {
                runs = None;
                break;
            };
            sequel.reach(event.ticks);
            if event.ticks >= at {
                return runs;
            }
            match event.kind {
                EventKind::SwitchIn { os_thread } => runs = Some(os_thread),
                EventKind::SwitchOut { .. } | EventKind::LostKernel { .. } => runs = None,
                _ => {}
            }
        }
    }
    runs
}
