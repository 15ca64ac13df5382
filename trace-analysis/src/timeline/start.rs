//! The walk's part about where threads were when the window began: on which CPU, or off it.
//!
//! A thread's next switch would tell only whether it had been on a CPU, and may be far. So each
//! CPU's switches are read from the last generation before the window on. A thread that has none
//! since, and was on no CPU then, is off its CPU; whether by its own will is not known.

use std::collections::BTreeMap;

use trace_format::event::EventKind;
use trace_format::header::BatchKind;
use trace_format::id::{StackId, ThreadId};
use trace_format::index::IndexEntry;
use trace_format::read::{BatchBuffer, ReadAt, Sequel, TraceFile};
use trace_format::time::Ticks;

use super::open_tasks::generation_before;
use super::walk::Walk;
use super::{Fold, Observer};

/// Maximum number of switches that are read; beyond, nothing is said. A generation is a second
/// long, in which all CPUs of a large machine together have fewer.
const SWITCHES_MAX: usize = 1 << 20;

/// Something that happened on a CPU before the window.
#[derive(Clone, Copy, Debug)]
enum Step {
    In(u64),
    Out(u64, bool),
    Fault(u64, StackId),
    Lost,
}

/// When something happened, on which CPU, and what.
type Timed = (Ticks, u32, Step);

impl<O: Observer, F: Fold> Walk<'_, O, F> {
    /// Puts threads where they are when the window begins.
    pub(super) fn place_threads<S: ReadAt>(&mut self, file: &TraceFile<S>, from: Ticks) {
        for (ticks, cpu, step) in steps(file, from) {
            match step {
                Step::In(os_id) => {
                    self.with_thread(os_id, ticks, |walk, who| walk.switch_in(cpu, who, walk.from));
                }
                Step::Out(os_id, preempted) => self.with_thread(os_id, ticks, |walk, who| {
                    walk.switch_out(cpu, who, walk.from, preempted);
                }),
                Step::Fault(os_id, stack) => {
                    self.with_thread(os_id, ticks, |walk, who| {
                        walk.living[who].fault = Some((stack, walk.from))
                    });
                }
                Step::Lost => self.lose_switches(self.from),
            }
        }
        self.restart();
    }

    /// Does something with a thread, unless it had ended before the window.
    fn with_thread(&mut self, os_id: u64, ticks: Ticks, act: impl FnOnce(&mut Self, usize)) {
        let clock = &self.tables().clock;
        let known = self.who.os_thread(os_id, clock.nanos(ticks).0);
        let who = known.or_else(|| self.meet_stranger(ThreadId(0), os_id, self.from));
        let Some(who) = who else { return };
        let thread = self.tables().threads.get(&self.names[who].0);
        let end = thread.and_then(|thread| thread.end).filter(|end| end.ended);
        if end.is_none_or(|end| clock.nanos(end.ticks).0 > self.from) {
            act(self, who);
        }
    }
}

/// What happened on all CPUs since the generation before `from`, by time; of what was before only
/// who ran then. Nothing if there is no such generation.
fn steps<S: ReadAt>(file: &TraceFile<S>, from: Ticks) -> Vec<Timed> {
    let mut steps = Vec::new();
    let Some(since) = generation_before(file.tables(), from).map(|it| it.ticks) else {
        return steps;
    };
    let mut lanes = BTreeMap::<u32, Vec<&IndexEntry>>::new();
    for entry in file.index().iter().filter(|entry| entry.kind == BatchKind::Events) {
        if let Some(cpu) = entry.thread.as_cpu().filter(|_| entry.base_ticks < from) {
            lanes.entry(cpu).or_default().push(entry);
        }
    }
    for (cpu, entries) in lanes {
        let before = |at: usize| at.checked_sub(1).map(|at| entries[at]);
        let begins = |at: &usize| entries[*at].begins_window(before(*at), since);
        let start = (0..entries.len()).rev().find(begins).unwrap_or(0);
        let sequel = match start {
            0 => Sequel::default(),
            _ => Sequel::behind(entries[start].sequence),
        };
        read_lane(file, cpu, (&entries[start..], sequel), (since, from), &mut steps);
        if steps.len() > SWITCHES_MAX {
            return Vec::new();
        }
    }
    steps.sort_by_key(|(ticks, cpu, _)| (*ticks, *cpu));
    steps
}

fn read_lane<S: ReadAt>(
    file: &TraceFile<S>,
    cpu: u32,
    (entries, mut sequel): (&[&IndexEntry], Sequel),
    (since, from): (Ticks, Ticks),
    steps: &mut Vec<Timed>,
) {
    let (mut buffer, mut runs) = (BatchBuffer::default(), None);
    let first = steps.len();
    for entry in entries {
        if steps.len() > SWITCHES_MAX {
            return;
        }
        let loaded = file.load(entry, &mut buffer);
        let loaded = loaded.and_then(|batch| sequel.refuse_past(&batch).map(|()| batch));
        let Ok(batch) = loaded else {
            sequel.reach(entry.base_ticks);
            runs = None;
            steps.push((entry.last_ticks.min(from), cpu, Step::Lost));
            continue;
        };
        if sequel.missing_before(&batch.header).is_some() {
            runs = None;
            steps.push((entry.base_ticks.min(from), cpu, Step::Lost));
        }
        for event in batch.events() {
            let Ok(event) = event else {
                runs = None;
                steps.push((entry.last_ticks.min(from), cpu, Step::Lost));
                break;
            };
            sequel.reach(event.ticks);
            if event.ticks >= from || steps.len() > SWITCHES_MAX {
                break;
            }
            let step = match event.kind {
                EventKind::SwitchIn { os_thread } => Step::In(os_thread),
                EventKind::SwitchOut { os_thread, preempted } => Step::Out(os_thread, preempted),
                EventKind::Fault { os_thread, stack, .. } => Step::Fault(os_thread, stack),
                EventKind::LostKernel { .. } => Step::Lost,
                _ => continue,
            };
            if event.ticks >= since {
                steps.push((event.ticks, cpu, step));
                continue;
            }
            runs = match step {
                Step::In(os_id) => Some((event.ticks, cpu, Step::In(os_id))),
                Step::Out(..) | Step::Lost => None,
                Step::Fault(..) => runs,
            };
        }
    }
    if let Some(runs) = runs {
        steps.insert(first, runs);
    }
}
