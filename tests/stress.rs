//! Conservation under load: what was begun equals what is read plus what was counted as dropped.
//!
//! `common::checks` checks nesting, order, restated batches, thread states and all counts in every
//! trace; here the program itself counts what it did.

mod common;

use common::decoded::Decoded;
use common::waiting::wait_for_generations;
use common::writers::{Memory, Slow};
use common::{Ends, alone, annotated, checks, record_here};
use exectrace::{Compression, OnFull, Report, Task, instant, log, trace_region, traced};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use trace_format::event::EventKind;

/// Counts of what a thread did, or of what is in a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    regions: u64,
    instants: u64,
    logs: u64,
    tasks: u64,
}

impl Counts {
    fn sum(self) -> u64 {
        self.regions + self.instants + self.logs + self.tasks
    }
}

/// Random numbers, the same in every run.
struct Random {
    seed: u64,
    /// Whether regions below a threshold are among what is done.
    fast: bool,
}

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.seed += 1;
        let mut hasher = DefaultHasher::new();
        self.seed.hash(&mut hasher);
        hasher.finish() % bound
    }
}

#[traced]
fn leaf() {}

#[traced(ret, args(n))]
fn outcome(n: u64) -> u64 {
    n
}

/// Leaves no event, unless its begin was written before: a lost one counts as dropped like any
/// other.
#[traced(min = "1000s")]
fn fast() {}

/// Random nesting with known counts.
fn nest(random: &mut Random, depth: u64, counts: &mut Counts) {
    for _ in 0..random.below(6) {
        match random.below(if depth > 0 { 9 } else { 7 }) {
            0 => {
                instant!("instant", depth);
                counts.instants += 1;
            }
            1 => {
                log!("stress", "at depth {depth}: {}", "x".repeat(random.below(300) as usize));
                counts.logs += 1;
            }
            2 => {
                outcome(depth);
                counts.regions += 1;
            }
            3 => (0..u8::from(random.fast)).for_each(|_| fast()),
            4 => {
                // Begin and end of a task, and a run of it.
                let task = Task::new("stress");
                drop(task.enter());
                counts.tasks += 1 + 2 * u64::from(task.id() > 0);
            }
            5 | 6 => {
                leaf();
                counts.regions += 1;
            }
            _ => {
                trace_region!("deeper");
                counts.regions += 1;
                nest(random, depth - 1, counts);
            }
        }
    }
}

/// Works for some rounds, and returns what it did.
fn work(seed: u64, rounds: u64, fast: bool) -> Counts {
    let (mut random, mut counts) = (Random { seed: seed << 32, fast }, Counts::default());
    for _ in 0..rounds {
        let depth = if random.below(50) == 0 { 60 } else { 8 };
        nest(&mut random, depth, &mut counts);
    }
    counts
}

/// The counts in a trace, by thread name.
fn found(trace: &Decoded) -> BTreeMap<String, Counts> {
    let threads = trace.tables.threads.values().map(|thread| {
        let mut counts = Counts::default();
        for event in trace.events(thread.id) {
            match event.kind {
                EventKind::Region { .. } | EventKind::RegionBegin { .. } => counts.regions += 1,
                EventKind::Instant { .. } => counts.instants += 1,
                EventKind::Log { .. } => counts.logs += 1,
                EventKind::TaskBegin { .. }
                | EventKind::TaskEnd { .. }
                | EventKind::TaskRun { .. }
                | EventKind::TaskRunBegin { .. } => counts.tasks += 1,
                _ => {}
            }
        }
        (thread.name.clone(), counts)
    });
    threads.collect()
}

/// Runs `threads` threads to their ends. Returns what each has done.
fn work_on(threads: u64, rounds: u64, fast: bool) -> BTreeMap<String, Counts> {
    thread::scope(|scope| {
        let spawned = (0..threads).map(|at| {
            let builder = thread::Builder::new().name(format!("worker {at}"));
            builder
                .spawn_scoped(scope, move || work(at, rounds, fast))
                .expect("a thread can be started")
        });
        let spawned: Vec<_> = spawned.collect();
        let done = spawned.into_iter().enumerate();
        done.map(|(at, thread)| (format!("worker {at}"), thread.join().unwrap())).collect()
    })
}

fn check(done: &BTreeMap<String, Counts>, trace: &Decoded, report: &Report) {
    checks::check(trace);
    checks::check_report(trace, report);
    let found = found(trace);
    let mut unattached = report.dropped_events;
    for thread in trace.tables.threads.values() {
        let (done, found) = (done[&thread.name], found[&thread.name]);
        let dropped = thread.end.expect("a stopped trace has totals").dropped_events;
        unattached -= dropped;
        if report.dropped_events == 0 {
            assert_eq!(done, found, "{}", thread.name);
        } else if report.dropped_events == dropped {
            assert_eq!(done.sum(), found.sum() + dropped, "{}", thread.name);
        }
    }
    let sum = |counts: &BTreeMap<String, Counts>| counts.values().map(|c| c.sum()).sum::<u64>();
    let by_threads = report.dropped_events - unattached;
    assert_eq!(sum(done), sum(&found) + by_threads + unattached);
}

#[test]
fn with_room_enough_everything_is_read_as_it_was_done() {
    let _alone = alone();
    for compression in [Compression::None, Compression::Lz4] {
        let mut done = BTreeMap::new();
        let options = annotated().generation(Duration::from_millis(10));
        let recorded =
            record_here(options.compression(compression), || done = work_on(4, 2000, true));
        assert_eq!(recorded.report.dropped_events, 0);
        assert!(recorded.report.events > 30_000);
        check(&done, &recorded.trace, &recorded.report);
    }
}

#[test]
fn with_too_little_room_what_is_missing_is_counted() {
    let _alone = alone();
    for bound in [64 << 10, 128 << 10, 1 << 20] {
        let writer = Slow { memory: Memory::default(), pause: Duration::from_millis(3) };
        let memory = writer.memory.clone();
        let options = annotated().generation(Duration::from_millis(10)).memory_max(bound);
        let trace = exectrace::start_with(options, writer).expect("none is running");
        let done = work_on(4, 1500, false);
        let report = trace.stop().expect("memory takes every byte");
        assert!(report.memory_max <= bound as u64);
        assert!(bound > 64 << 10 || report.dropped_events > 0, "{report:?}");
        check(&done, &Decoded::new(&memory.take()), &report);
    }
}

#[test]
fn waiting_for_room_loses_nothing() {
    let _alone = alone();
    let mut done = BTreeMap::new();
    let options = annotated().generation(Duration::from_millis(10));
    let options = options.memory_max(128 << 10).on_full(OnFull::Wait);
    let recorded = record_here(options, || done = work_on(4, 1500, true));
    assert_eq!(recorded.report.dropped_events, 0);
    check(&done, &recorded.trace, &recorded.report);
}

#[test]
fn ends_in_the_wrong_order_are_told_right_at_any_moment() {
    let _alone = alone();
    let end = AtomicBool::new(false);
    let run = || {
        let tasks = ["one", "two", "three"].map(Task::new);
        while !end.load(Ordering::Relaxed) {
            trace_region!("around");
            let mut guards: Vec<_> = tasks.iter().map(Task::enter).collect();
            leaf();
            drop(guards.remove(1));
            leaf();
            drop(guards.remove(0));
            drop(guards);
        }
    };
    let options = annotated().generation(Duration::from_millis(10));
    record_here(options, || {
        thread::scope(|scope| {
            let _ends = Ends(&end);
            (0..2).for_each(|_| _ = scope.spawn(run));
            wait_for_generations(15);
        });
    });
}

#[test]
fn starting_and_stopping_under_load_leaves_whole_traces() {
    let _alone = alone();
    let end = AtomicBool::new(false);
    let rounds = AtomicU64::new(0);
    thread::scope(|scope| {
        let _ends = Ends(&end);
        for at in 0..3 {
            let (end, rounds) = (&end, &rounds);
            scope.spawn(move || {
                while !end.load(Ordering::Relaxed) {
                    work(at, 3, true);
                    rounds.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(Duration::from_micros(50));
                }
            });
        }
        for round in 0..60_u64 {
            let bound = if round % 3 == 0 { 64 << 10 } else { 4 << 20 };
            let options = annotated().generation(Duration::from_millis(10)).memory_max(bound);
            let recorded = record_here(options, || {
                work(round, 20, true);
                thread::sleep(Duration::from_millis(round % 30));
            });
            // Batches that threads have open from the trace before may leave no memory for this
            // one.
            assert!(recorded.report.threads + recorded.report.dropped_events > 0);
        }
        // On a busy machine the other threads may hardly have begun.
        while rounds.load(Ordering::Relaxed) < 60 {
            thread::yield_now();
        }
    });
}
