//! The end of the walk: all lives end, and sums become what is returned.

use std::cmp::Reverse;
use std::collections::HashMap;

use trace_format::id::{ResourceId, StackId, ThreadId};
use trace_format::read::ThreadEnd;
use trace_format::time::Nanos;

use super::futex::Futexes;
use super::hands::LockHands;
use super::thread::{Cpu, Living};
use super::walk::{Walk, cpus_watched};
use super::{Fine, Lives, Sum, ThreadLife, WaitGroup, saturating_sum};
use crate::durations::Scratch;
use crate::summary::Options;
use crate::timeline::{Loss, Observer};

pub(super) fn finish<O: Observer>(walk: &mut Walk<'_, O>, options: &Options) -> Lives {
    let mut threads = Vec::new();
    for who in 0..walk.living.len() {
        let life = end_life(walk, who);
        let is_wanted = options.threads.is_empty() || options.threads.contains(&life.thread);
        if is_wanted && (life.end > life.begin || walk.living[who].seen) {
            threads.push(life);
        }
    }
    threads.sort_by_key(|life| (life.begin, life.thread, life.os_id));
    let mut scratch = Scratch::new();
    let mut waits = walk.waits.finish(&mut scratch);
    add_holders(&mut waits.by_resource, std::mem::take(&mut walk.futexes), &walk.hands);
    let (cpus, concurrency) = walk.cpus.finish(walk.to);
    let regions = walk.regions.finish();
    let wanted = |thread: ThreadId| options.threads.is_empty() || options.threads.contains(&thread);
    let is_wanted = |((_, thread), _): &((StackId, ThreadId), Sum)| wanted(*thread);
    let fine = Fine {
        waits: walk.waits.fine(),
        calls: walk.calls.fine(),
        ready: walk.ready.drain().filter(is_wanted).collect(),
        kernel: walk.kernel.drain().filter(is_wanted).collect(),
        samples: walk.samples.drain().filter(is_wanted).collect(),
        long_waits: walk.waits.long.finish(),
    };
    let mut unended = std::mem::take(&mut walk.unended);
    unended.retain(|it| wanted(it.wait.thread));
    unended.sort_by_key(|it| (Reverse(it.wait.duration), it.wait.thread));
    Lives {
        from: Nanos(walk.from),
        to: Nanos(walk.to),
        lost_records: saturating_sum(cpus.iter().map(|cpu| cpu.lost_records)),
        threads,
        cpus_watched: if cpus.is_empty() { 0 } else { cpus_watched(walk.tables()).max(cpus.len()) },
        cpus,
        waits,
        unended,
        calls: walk.calls.finish(&mut scratch),
        regions,
        concurrency,
        standstills: walk.stops.told().to_vec(),
        faults: walk.faults,
        unreadable: walk.missing.items,
        damage: std::mem::take(&mut walk.missing.damage),
        events_missing: walk.missing.events,
        too_deep: saturating_sum(walk.living.iter().map(|living| living.deep_in_all)),
        fine,
    }
}

/// Locks get their holders.
fn add_holders(groups: &mut [WaitGroup], futexes: Futexes, hands: &LockHands) {
    let mut by_resource: HashMap<u32, Vec<&mut WaitGroup>> = HashMap::new();
    for group in groups.iter_mut().filter(|group| group.reason.is_lock()) {
        if group.resource == ResourceId(0) {
            let lock = hands.found(group.reason, group.stack);
            group.holders = lock.map_or(Vec::new(), |lock| lock.holders(group.reason));
            continue;
        }
        by_resource.entry(group.resource.0).or_default().push(group);
    }
    for (resource, futex) in futexes.into_iter() {
        // Readers and writers of one lock are two groups.
        for group in by_resource.remove(&resource).into_iter().flatten() {
            group.waiters_max = futex.waiters_max;
            group.holders = futex.holders(group.reason);
        }
    }
}

/// Ends a thread's life: what is still open waits until then.
fn end_life<O: Observer>(walk: &mut Walk<'_, O>, who: usize) -> ThreadLife {
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
    walk.bring_to_end(who, end);
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

/// What a thread lost at its end: no event of its own could say so any more.
fn lose_last<O: Observer>(walk: &mut Walk<'_, O>, who: usize, end: ThreadEnd) {
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
