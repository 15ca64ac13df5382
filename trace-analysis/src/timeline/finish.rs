//! The end of the walk: all lives end, and what was found out is handed over.

use std::collections::HashSet;

use trace_format::header::BatchKind;
use trace_format::id::{Open, StackId, ThreadId};
use trace_format::index::IndexEntry;
use trace_format::read::{BatchBuffer, ReadAt, ThreadEnd, TraceFile};
use trace_format::time::{Nanos, Ticks};

use super::cpus::{Concurrency, CpuLife};
use super::futex::Futexes;
use super::hands::LockHands;
use super::standstill::Standstill;
use super::thread::{Cpu, Living};
use super::walk::{Walk, cpus_watched};
use super::{Fold, Holder, How, Loss, Observer, ThreadLife};
use crate::reason::Reason;
use crate::trace::last_of;
use crate::walk::Missing;

/// What the timeline has found out that was told to nobody while it was walked.
#[derive(Debug)]
pub(crate) struct Found {
    /// What was read.
    pub(crate) from: Nanos,
    pub(crate) to: Nanos,
    /// All that existed, by begin.
    pub(crate) threads: Vec<ThreadLife>,
    /// By number.
    pub(crate) cpus: Vec<CpuLife>,
    pub(crate) cpus_watched: usize,
    pub(crate) concurrency: Concurrency,
    pub(crate) standstills: Vec<Standstill>,
    /// Major page faults.
    pub(crate) faults: u64,
    /// Calls of the threads that were asked for that had not ended.
    pub(crate) calls_open: u64,
    /// Events that were dropped, as far as events say so.
    pub(crate) events_dropped: u64,
    pub(crate) missing: Missing,
    /// What lies deeper than readers keep.
    pub(crate) too_deep: u64,
    futexes: Futexes,
    hands: LockHands,
}

/// Of one lock.
#[derive(Debug)]
pub(crate) struct LockHolders {
    /// How many threads waited at once at most.
    pub(crate) waiters_max: u32,
    pub(crate) holders: Vec<Holder>,
    /// How long threads waited while nobody had it: who was woken for it had no CPU.
    pub(crate) free: Nanos,
}

impl Found {
    /// Who held the lock at an address while others waited for this reason: readers and writers of
    /// one lock wait for two.
    pub(crate) fn holders_of(&self, reason: Reason, resource: u32) -> Option<LockHolders> {
        let futex = self.futexes.get(resource)?;
        let (holders, free) = (futex.holders(reason), futex.free(reason));
        Some(LockHolders { waiters_max: futex.waiters_max, holders, free })
    }

    /// How many waits have no waker or no holder because a table was full.
    pub(crate) fn late_holders(&self) -> u64 {
        self.futexes.late() + self.hands.late()
    }

    /// Who held the lock without an address for which threads waited at a place.
    pub(crate) fn holders_at(&self, reason: Reason, place: StackId) -> Vec<Holder> {
        self.hands.found(reason, place).map_or(Vec::new(), |lock| lock.holders(reason))
    }
}

pub(super) fn finish<O: Observer, F: Fold>(walk: &mut Walk<'_, O, F>) -> Found {
    let mut threads = Vec::new();
    for who in 0..walk.living.len() {
        let life = end_life(walk, who);
        let is_there = life.end > life.begin || walk.living[who].seen;
        if is_there && !walk.may_be_another(who) {
            threads.push(life);
        }
    }
    threads.sort_by_key(|life| (life.begin, life.thread, life.os_id));
    let (cpus, concurrency) = walk.cpus.finish(walk.to);
    let deep = walk.living.iter().map(|living| living.deep_in_all);
    Found {
        from: Nanos(walk.from),
        to: Nanos(walk.to),
        threads,
        cpus_watched: if cpus.is_empty() { 0 } else { cpus_watched(walk.tables()).max(cpus.len()) },
        cpus,
        concurrency,
        standstills: walk.stops.inside(walk.from, walk.to).collect(),
        faults: walk.faults,
        calls_open: walk.calls_open,
        events_dropped: walk.events_dropped,
        missing: std::mem::take(&mut walk.missing),
        too_deep: crate::units::sum(deep),
        futexes: std::mem::take(&mut walk.futexes),
        hands: std::mem::take(&mut walk.hands),
    }
}

/// Threads of which events lie behind the window: what they have open when it ends may end yet.
pub(super) fn threads_that_go_on<S: ReadAt>(
    file: &TraceFile<S>,
    to: Option<Ticks>,
) -> HashSet<ThreadId> {
    let Some(to) = to else { return HashSet::new() };
    let is_of_thread = |entry: &&IndexEntry| {
        entry.kind == BatchKind::Events && entry.thread.as_cpu().is_none() && entry.events > 0
    };
    let may_reach = |entry: &&IndexEntry| entry.last_ticks >= to;
    let entries = || file.index().iter().filter(is_of_thread).filter(may_reach);
    let behind = entries().filter(|entry| entry.base_ticks >= to);
    let mut threads: HashSet<_> = behind.map(|entry| entry.thread).collect();
    // What headers say of the end is only a bound (FORMAT.md, section 4).
    let mut buffer = BatchBuffer::default();
    for entry in entries().filter(|entry| entry.base_ticks < to) {
        let thread = entry.thread;
        let mut reaches = || last_of(file, entry, &mut buffer).is_none_or(|last| last >= to);
        if !threads.contains(&thread) && reaches() {
            threads.insert(thread);
        }
    }
    threads
}

/// Ends a thread's life: what is still open waits until then.
fn end_life<O: Observer, F: Fold>(walk: &mut Walk<'_, O, F>, who: usize) -> ThreadLife {
    let (thread, os_id) = walk.names[who];
    let known = walk.tables().threads.get(&thread);
    let ended = known.and_then(|known| known.end).filter(|end| end.ended);
    let end = match ended {
        Some(end) => {
            let noticed = walk.tables().clock.nanos(end.ticks).0.clamp(walk.from, walk.to);
            end_of(&walk.living[who], noticed)
        }
        None => walk.to.max(walk.living[who].now),
    };
    if let Some(end) = known.and_then(|known| known.end) {
        lose_last(walk, who, end);
    }
    close_open(walk, who, end);
    let living = &walk.living[who];
    let times = living.total().times();
    let (begin, end) = (living.begin, living.now);
    assert_eq!(times.total().0, end - begin, "every moment is in one state");
    ThreadLife {
        thread,
        os_id,
        name: known.map(|known| known.name.clone()).unwrap_or_default(),
        parent: known.map_or(ThreadId(0), |known| known.parent),
        stack: known.map_or(StackId(0), |known| known.stack),
        entry: known.map_or(0, |known| known.entry),
        begin: Nanos(begin),
        end: Nanos(end),
        ended: ended.is_some(),
        times,
        calls: living.calls_ended,
        yields: living.yields,
        preemptions: living.preemptions,
    }
}

/// Makes time pass for one thread to the end of its life, and reports what it still waited for and
/// was in the middle of.
fn close_open<O: Observer, F: Fold>(walk: &mut Walk<'_, O, F>, who: usize, end: u64) {
    walk.bring(who, end);
    walk.settle_gap(who, end);
    walk.tell_outside(who);
    walk.end_put_off(who);
    if walk.has_cpus {
        walk.living[who].presume_off(walk.read_from.is_some());
    }
    while let Some((mut frame, end)) = walk.living[who].pop_any(end) {
        let activity = walk.living[who].activity_in(&mut frame);
        if let Some(call) = walk.living[who].take_call() {
            walk.closed_call(who, call, (frame.begin, frame.older), end, false);
        }
        let link = match frame.open {
            Open::Poll(future) => {
                let here = walk.living[who].here(who, walk.names[who].0);
                let tasks = walk.async_tasks.as_mut();
                tasks.and_then(|tasks| tasks.open_at_end(here, future, &frame, activity))
            }
            Open::Task(task) => {
                walk.closed_run(who, task, (frame.begin, end), activity);
                None
            }
            Open::Region(site) => {
                let wall = end - frame.begin.min(end);
                if walk.has_cpus {
                    let inside = walk.living[who].known().since(&frame.before);
                    walk.spent_in_region(who, site, wall, &inside, false);
                }
                let (here, tasks) = ((who, walk.names[who].0), walk.async_tasks.as_mut());
                tasks.and_then(|tasks| tasks.closed_region(here, site, wall))
            }
            Open::Call(_) => None,
        };
        walk.left(who, frame, link, end, How::Open);
    }
    walk.lose_late(who);
    walk.tell_all_intervals(who);
    walk.living[who].bury();
}

/// What a thread lost at its end: no event of its own could say so any more.
fn lose_last<O: Observer, F: Fold>(walk: &mut Walk<'_, O, F>, who: usize, end: ThreadEnd) {
    let (events, ends) = walk.living[who].gaps.lost();
    let events = end.dropped_events.saturating_sub(events);
    let ends = end.dropped_ends.saturating_sub(ends);
    if events > 0 || ends > 0 {
        let from = walk.living[who].now;
        let to = walk.tables().clock.nanos(end.ticks).0.clamp(walk.from, walk.to).max(from);
        walk.lose_events(who, to, Loss { events, ends, from: Nanos(from), to: Nanos(to) });
    }
}

/// When a thread ended: when it went off its CPU for the last time, if that is known; else when
/// its end was noticed.
fn end_of(living: &Living, noticed: u64) -> u64 {
    let is_gone = living.cpu == Cpu::Off && living.call().is_none();
    if is_gone { living.since.max(living.begin) } else { noticed.max(living.now) }
}
