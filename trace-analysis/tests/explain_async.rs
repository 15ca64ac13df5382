//! What is said of async programs made slow on purpose, and of those that are well.

mod executor;

use executor::{BLOCK, Executor, HANDLER, IN_PLACE, LOCK, PARKED, PASS, RELEASE, TIMER, WRITER};
use trace_analysis::explain::{Insight, InsightKind, explain};
use trace_analysis::symbols::Symbols;
use trace_analysis::{Report, Trace, Wanted};
use trace_format::event::{EventKind, Outcome};
use trace_format::id::{CallId, FutureId, StackId, ThreadId};
use trace_format::read::TraceFile;
use trace_format::testgen::open_call;
use trace_format::time::Nanos;

const US: u64 = 1_000;
const MS: u64 = 1_000_000;

fn insights(e: Executor, end: u64) -> Vec<Insight> {
    let file = TraceFile::open(e.stop(end)).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    let trace = Trace::new(&file).named(&symbols);
    let wanted = Wanted { async_tasks: true, ..Wanted::default() };
    let mut report = Report::read(&trace, wanted, |_| {});
    let tasks = report.async_tasks.take();
    assert_eq!(explain(&trace, &report), [], "threads alone are well");
    explain(&trace, &Report { async_tasks: tasks, ..report })
}

/// What is found, of one kind only.
#[track_caller]
fn only(e: Executor, end: u64, kind: InsightKind) -> Insight {
    let mut found = insights(e, end);
    let titles: Vec<_> = found.iter().map(|it| (it.kind.name(), it.title.as_str())).collect();
    assert_eq!((found.len(), found[0].kind), (1, kind), "{titles:?}");
    found.remove(0)
}

/// Handlers that work for 100 µs at a time and wait for time to pass.
fn well() -> Executor {
    let mut e = Executor::new();
    e.spawn(1, 0, 1, HANDLER);
    for round in 0..90 {
        let at = MS + round * 10 * MS;
        e.poll(1, at, 1, TIMER, 100 * US);
        e.wake(2, at + 9_980 * US, 1, 0);
        e.region(1, at + MS, PARKED, 4 * MS);
    }
    e
}

#[test]
fn a_program_that_is_well_gives_no_findings() {
    assert_eq!(insights(well(), 1000 * MS), []);
    assert_eq!(insights(Executor::new(), 1000 * MS), []);
}

/// One poll of 40 ms that sleeps, or computes.
fn long_poll(sleeps: bool, other: bool) -> Executor {
    let mut e = Executor::new();
    e.spawn(2, 0, 1, HANDLER);
    if other {
        e.spawn(2, 2 * MS, 2, WRITER);
    }
    e.begin_poll(1, MS, 1);
    if sleeps {
        e.0.call(1, open_call(CallId::CLOCK_NANOSLEEP, 0, BLOCK), MS, 39 * MS, 0);
    }
    e.event(1, 41 * MS, EventKind::EndPoll { waits_at: StackId(TIMER) });
    e.poll(1, 42 * MS, 2, TIMER, 100 * US);
    e
}

#[test]
fn who_gave_the_other_tasks_away_may_block() {
    let mut e = Executor::new();
    e.spawn(2, 0, 1, HANDLER);
    e.begin_poll(1, MS, 1);
    e.0.call(1, open_call(CallId::CLOCK_NANOSLEEP, 0, IN_PLACE), MS, 39 * MS, 0);
    e.event(1, 41 * MS, EventKind::EndPoll { waits_at: StackId(TIMER) });
    assert_eq!(insights(e, 500 * MS), []);
}

#[test]
fn a_poll_that_sleeps_or_keeps_others_waiting_blocks_its_worker() {
    let found = only(long_poll(true, true), 500 * MS, InsightKind::BlockedWorker);
    let said = "a poll of handler (src/testgen.rs:1) kept worker-0 for 40.0 ms: sleep for 98% of \
                it, in clock_nanosleep at app::query (src/app.rs:12)";
    assert_eq!(found.title, said);
    let waited = "1 time a ready task waited behind it, 39.0 ms in all: up to 39.0 ms, writer \
                  (src/testgen.rs:2)";
    assert!(found.evidence.iter().any(|it| it == waited), "{:?}", found.evidence);
    assert_eq!((found.lost, found.at), (Nanos(40 * MS), Some(Nanos(MS).into())));
    assert_eq!((found.threads, found.stacks), (vec![ThreadId(1)], vec![StackId(BLOCK)]));
    assert_eq!(found.call, Some(CallId::CLOCK_NANOSLEEP));
    let found = only(long_poll(false, true), 500 * MS, InsightKind::BlockedWorker);
    assert!(found.title.ends_with("for 40.0 ms: in no recorded call for 100% of it"), "{found:?}");
    // To sleep is wrong though nobody waits; to compute is not.
    only(long_poll(true, false), 500 * MS, InsightKind::BlockedWorker);
    assert_eq!(insights(long_poll(false, false), 500 * MS), []);
    assert_eq!(insights(long_poll(true, true), 5000 * MS), [], "one in a hundred is not worth it");
}

/// A writer holds a lock for 90 ms, of which it waits for a timer as long as is said; a handler
/// waits for the lock meanwhile.
fn held(idle: u64) -> Executor {
    let mut e = Executor::new();
    e.spawn(1, 0, 1, WRITER);
    e.poll(1, MS, 1, TIMER, 100 * US);
    e.spawn(1, MS, 2, HANDLER);
    e.poll(1, 2 * MS, 2, LOCK, 100 * US);
    e.wake(2, MS + idle, 1, 0);
    for at in 0..90 {
        // Between two of its polls it is ready, if not idle.
        let at = MS + idle + MS + at * MS;
        if at < 91 * MS {
            e.begin_poll(1, at, 1);
            e.wake(1, at + 500 * US, 1, 0);
            e.event(1, at + 900 * US, EventKind::EndPoll { waits_at: StackId(PASS) });
        }
    }
    e.begin_poll(1, 92 * MS, 1);
    e.wake(1, 92 * MS + 100 * US, 2, RELEASE);
    e.end(1, 92 * MS + 200 * US, 1, Outcome::Returned);
    e.event(1, 92 * MS + 200 * US, EventKind::End);
    e.poll(1, 93 * MS, 2, TIMER, 100 * US);
    e
}

#[test]
fn a_lock_held_across_an_await_is_told_from_one_held_at_work() {
    let found = only(held(80 * MS), 200 * MS, InsightKind::LockAcrossAwait);
    let said = "handler (src/testgen.rs:1) waited 90.0 ms for a tokio mutex, 1 time at \
                app::handler (src/app.rs:88), while writer (src/testgen.rs:2) held it across an \
                await: for tokio timer at app::writer (src/app.rs:66)";
    assert_eq!(found.title, said);
    assert!(found.evidence[0].contains("idle for 88% of that"), "{:?}", found.evidence);
    assert_eq!(found.stacks, [TIMER, RELEASE, LOCK].map(StackId));
    let found = only(held(5 * MS), 200 * MS, InsightKind::LockContention);
    assert!(found.title.ends_with("held by writer (src/testgen.rs:2)"), "{}", found.title);
    assert_eq!(insights(held(5 * MS), 2000 * MS), [], "one in twenty is not worth it");
}

#[test]
fn a_lock_that_nobody_gives_up_is_a_deadlock() {
    let mut e = Executor::new();
    for id in 1..=2 {
        e.spawn(1, 0, id, HANDLER);
        e.poll(1, id * MS, id, LOCK, 100 * US);
    }
    let found = only(e, 1000 * MS, InsightKind::Stuck);
    assert!(found.title.starts_with("2 async tasks (handler"), "{}", found.title);
    let first = "task 1 (handler (src/testgen.rs:1)) waits for tokio mutex at app::handler \
                 (src/app.rs:88), since 0.001100 s, for 999 ms";
    assert_eq!(found.evidence[0], first);
}

#[test]
fn tasks_that_nobody_can_wake_are_lost() {
    let mut e = Executor::new();
    e.spawn(1, 0, 1, HANDLER);
    e.poll(1, MS, 1, PASS, 100 * US);
    e.event(1, 2 * MS, EventKind::Unwakeable { future: FutureId(1) });
    let found = only(e, 1000 * MS, InsightKind::LeakedTasks);
    assert!(found.title.starts_with("1 async task (handler"), "{}", found.title);
    assert!(found.evidence[0].contains("waits for tokio channel receive"), "{:?}", found.evidence);
}

#[test]
fn more_work_than_workers_can_do_is_said_so() {
    let mut e = Executor::new();
    let count = 100;
    (1..=count).for_each(|id| e.spawn(2, id * US, id, HANDLER));
    for id in 1..=count {
        e.poll(1, id * 5 * MS, id, TIMER, 4 * MS);
        e.end(1, id * 5 * MS + 4 * MS, id, Outcome::Returned);
    }
    let found = only(e, 600 * MS, InsightKind::SlowReady);
    assert!(found.title.contains("ready and not polled for 25.2 s"), "{}", found.title);
    assert!(found.evidence[0].starts_with("handler (src/testgen.rs:1) was ready for 250 ms (p50)"));
    assert!(found.evidence[1].starts_with("worker-0 was in polls for 67%"), "{:?}", found.evidence);
}

#[test]
fn what_is_spawned_and_never_polled_is_said_so() {
    let mut e = well();
    e.spawn(1, 905 * MS, 7, WRITER);
    assert_eq!(insights(e, 1000 * MS), [], "not for long");
    let mut e = Executor::new();
    e.spawn(1, 0, 7, WRITER);
    let found = only(e, 1000 * MS, InsightKind::SlowReady);
    assert_eq!(found.title, "1 async task was ready and not polled to the end of the trace");
}

#[test]
fn whoever_wakes_itself_all_the_time_is_said_so() {
    let mut e = Executor::new();
    e.spawn(1, 0, 1, HANDLER);
    for at in 1..=2000 {
        e.begin_poll(1, at * 100 * US, 1);
        e.wake(1, at * 100 * US + 50 * US, 1, 0);
        e.event(1, at * 100 * US + 90 * US, EventKind::EndPoll { waits_at: StackId(PASS) });
    }
    let found = only(e, 201 * MS, InsightKind::BusyWaker);
    let said = "handler (src/testgen.rs:1) woke itself 2,000 times, 180 ms of polls: it looks \
                instead of waiting";
    assert_eq!(found.title, said);
    let mut e = Executor::new();
    e.spawn(1, 0, 1, HANDLER);
    for at in 1..=2001 {
        e.poll(1, at * 100 * US, 1, TIMER, 90 * US);
        e.wake(2, at * 100 * US + 95 * US, 1, 0);
    }
    let found = only(e, 201 * MS, InsightKind::BusyWaker);
    assert!(found.title.contains("was woken 2,000 times and had nothing to do"), "{found:?}");
}
