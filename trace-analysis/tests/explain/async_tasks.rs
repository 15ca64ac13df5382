//! What is said of async programs made slow on purpose, and of those that are well.

use crate::executor::{
    BLOCK, BLOCK_ON, Executor, HANDLER, IN_PLACE, LOCK, PARKED, PASS, QUERY, RELEASE, TIME_UP,
    TIMER, WRITE, WRITER,
};
use trace_analysis::explain::{Insight, InsightKind, explain};
use trace_analysis::symbols::Symbols;
use trace_analysis::{Report, Trace, Wanted};
use trace_format::definition::{CallsiteKind, ResourceKind};
use trace_format::event::{EventKind, Outcome};
use trace_format::id::{CallId, FutureId, StackId, ThreadId};
use trace_format::read::TraceFile;
use trace_format::testgen::{open_call, os_id};
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

/// All that is found, of threads as well.
fn all_insights(e: Executor, end: u64) -> Vec<Insight> {
    let file = TraceFile::open(e.stop(end)).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    let trace = Trace::new(&file).named(&symbols);
    let wanted = Wanted { async_tasks: true, ..Wanted::default() };
    explain(&trace, &Report::read(&trace, wanted, |_| {}))
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
    long_poll_at(sleeps.then_some(BLOCK), other)
}

/// - `sleeps`: where.
fn long_poll_at(sleeps: Option<u32>, other: bool) -> Executor {
    let mut e = Executor::new();
    e.spawn(2, 0, 1, HANDLER);
    if other {
        e.spawn(2, 2 * MS, 2, WRITER);
    }
    e.begin_poll(1, MS, 1);
    if let Some(stack) = sleeps {
        e.0.call(1, open_call(CallId::CLOCK_NANOSLEEP, 0, stack), MS, 39 * MS, 0);
    }
    e.event(1, 41 * MS, EventKind::EndPoll { waits_at: StackId(TIMER) });
    e.poll(1, 42 * MS, 2, TIMER, 100 * US);
    e
}

#[test]
fn who_gave_the_other_tasks_away_may_block() {
    assert_eq!(insights(long_poll_at(Some(IN_PLACE), false), 500 * MS), []);
}

#[test]
fn what_to_do_about_a_long_poll_follows_from_where_it_blocked() {
    for (stack, advice) in [
        (BLOCK, "move work that blocks to spawn_blocking, or to a thread of its own"),
        // It gave them away, and yet one waited.
        (IN_PLACE, "it was in block_in_place, which gives the other tasks to another worker"),
    ] {
        let e = long_poll_at(Some(stack), true);
        let found = only(e, 500 * MS, InsightKind::BlockedWorker);
        let last = found.evidence.last().expect("there is some");
        assert_eq!(*last, format!("the longest poll began at 0.001000 s; {advice}"));
        assert_eq!(found.stacks, [StackId(stack)]);
    }
}

#[test]
fn a_task_that_is_called_by_its_place_has_it_once() {
    let mut e = Executor::new();
    let nameless = 20;
    e.0.callsite(nameless, CallsiteKind::Future, "testgen.rs:20");
    e.spawn(2, 0, 1, nameless);
    e.begin_poll(1, MS, 1);
    e.0.call(1, open_call(CallId::CLOCK_NANOSLEEP, 0, BLOCK), MS, 39 * MS, 0);
    e.event(1, 41 * MS, EventKind::EndPoll { waits_at: StackId(TIMER) });
    let found = only(e, 500 * MS, InsightKind::BlockedWorker);
    let said = "a poll of src/testgen.rs:20 kept worker-0 for 40.0 ms: ";
    assert!(found.title.starts_with(said), "{}", found.title);
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
    let by = ", by task 1: idle for 88%, waiting for tokio timer at app::writer (src/app.rs:66)";
    let is_said = found.evidence[0].contains("; 1 hold of 9") && found.evidence[0].ends_with(by);
    assert!(is_said, "{:?}", found.evidence);
    assert_eq!(found.stacks, [TIMER, RELEASE, LOCK].map(StackId));
    let found = only(held(5 * MS), 200 * MS, InsightKind::LockContention);
    assert!(found.title.ends_with("held by writer (src/testgen.rs:2)"), "{}", found.title);
    assert_eq!(insights(held(5 * MS), 2000 * MS), [], "one in twenty is not worth it");
}

#[test]
fn a_title_names_the_tasks_that_it_counts() {
    let mut e = Executor::new();
    for (id, site) in [(1, HANDLER), (2, WRITER), (3, HANDLER)] {
        e.spawn(1, 0, id, site);
        e.poll(1, id * MS, id, LOCK, 100 * US);
    }
    let found = only(e, 1000 * MS, InsightKind::Stuck);
    let title = "3 async tasks (handler (src/testgen.rs:1) and writer (src/testgen.rs:2)) still \
                 waited for locks";
    assert!(found.title.starts_with(title), "{}", found.title);
    // More than are kept.
    let mut e = Executor::new();
    for id in 1..=1_200 {
        e.spawn(1, 0, id, HANDLER);
        e.poll(1, id * 10 * US, id, LOCK, US);
    }
    let title = insights(e, 1000 * MS).remove(0).title;
    assert!(title.starts_with("at least 1,000 async tasks (handler"), "{title}");
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
fn tasks_that_nobody_can_wake_are_counted_however_many_waited_longer() {
    // At most 1,000 tasks that wait are kept.
    for (waiting, evidence) in [
        (999, ["task 1000 (writer", "9 more"].as_slice()),
        (1_000, &["they are not among the 1,000"]),
    ] {
        let mut e = Executor::new();
        for id in 1..=waiting + 10 {
            let site = if id <= waiting { HANDLER } else { WRITER };
            e.spawn(1, id * 10 * US, id, site);
            e.poll(1, id * 10 * US, id, TIMER, US);
        }
        for id in waiting + 1..=waiting + 10 {
            e.event(1, 20 * MS, EventKind::Unwakeable { future: FutureId(id) });
        }
        let found = only(e, 1000 * MS, InsightKind::LeakedTasks);
        assert!(found.title.starts_with("10 async tasks (writer"), "{}", found.title);
        assert_eq!(found.evidence.len(), evidence.len(), "{:?}", found.evidence);
        for (line, said) in found.evidence.iter().zip(evidence) {
            assert!(line.starts_with(said), "{line}");
        }
    }
}

#[test]
fn what_was_never_polled_makes_others_no_slower() {
    let mut e = Executor::new();
    e.spawn(1, 0, 1, HANDLER);
    e.poll(1, 0, 1, TIMER, MS);
    e.spawn(2, MS, 7, WRITER);
    // Ready for 1.5 ms each time and polled for 4 ms: not worth a word.
    for round in 1..=100 {
        e.wake(2, round * 9 * MS - 1_500 * US, 1, TIME_UP);
        e.poll(1, round * 9 * MS, 1, TIMER, 4 * MS);
    }
    let found = only(e, 1000 * MS, InsightKind::SlowReady);
    assert_eq!(found.title, "1 async task was ready and not polled to the end of the trace");
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
    // Side by side they lost no more than the time from the first spawn to the last poll.
    let said = "ready and not polled for 500 ms, 25.2 s of all together, and polled for 400 ms: \
                more work than their workers can do";
    assert!(found.title.ends_with(said), "{}", found.title);
    assert_eq!(found.lost, Nanos(500 * MS - US));
    assert!(found.evidence[0].starts_with("handler (src/testgen.rs:1) was ready for 250 ms (p50)"));
    assert!(found.evidence[1].starts_with("worker-0 was in polls for 67%"), "{:?}", found.evidence);
}

/// Twenty tasks, ready side by side from 2 ms on, that a worker polls from 101 ms on; it has no CPU
/// for 100 ms meanwhile, or later.
fn without_cpu(from: u64) -> Insight {
    let mut e = Executor::new();
    e.0.facility("sched", true, "perf_event_open; threads at start: 2; 2 rings of 512 KiB");
    for thread in 1..=2 {
        e.0.switch_in(thread, 0, os_id(thread));
    }
    e.0.switch_out(1, from, os_id(1), true);
    e.0.switch_in(1, from + 100 * MS, os_id(1));
    (1..=20).for_each(|id| e.spawn(2, 2 * MS, id, HANDLER));
    for id in 1..=20 {
        e.poll(1, (100 + id) * MS, id, TIMER, MS);
    }
    all_insights(e, 400 * MS)
        .into_iter()
        .find(|it| it.kind == InsightKind::SlowReady)
        .expect("said")
}

#[test]
fn a_worker_without_a_cpu_is_why_only_where_tasks_were_ready_meanwhile() {
    let found = without_cpu(MS);
    let said = "async tasks were ready and not polled for 118 ms, 2.17 s of all together, and \
                polled for 20.0 ms: their workers had no CPU for 99.0 ms of it";
    assert_eq!((found.title.as_str(), found.lost), (said, Nanos(118 * MS)));
    let found = without_cpu(250 * MS);
    let said = "polled for 20.0 ms, though their workers were in polls for less than half of the \
                time";
    assert!(found.title.ends_with(said), "{}", found.title);
}

#[test]
fn workers_that_are_put_off_in_their_polls_have_not_too_much_to_do() {
    let mut e = Executor::new();
    e.0.facility("sched", true, "perf_event_open; threads at start: 2; 2 rings of 512 KiB");
    (1..=2).for_each(|thread| e.0.switch_in(thread, 0, os_id(thread)));
    (1..=100).for_each(|id| e.spawn(2, id * US, id, HANDLER));
    e.0.switch_out(2, MS, os_id(2), false);
    for id in 1..=100 {
        // Of each poll of 4 ms it had a CPU for 10 µs at a time, of 50.
        let begin = id * 5 * MS;
        for at in (begin..begin + 4 * MS).step_by(50_000) {
            e.0.switch_out(1, at + 5 * US, os_id(1), true);
            e.0.switch_in(1, at + 45 * US, os_id(1));
        }
        e.poll(1, begin, id, TIMER, 4 * MS);
        e.end(1, begin + 4 * MS, id, Outcome::Returned);
    }
    let found = all_insights(e, 600 * MS);
    let late = found.iter().find(|it| it.kind == InsightKind::SlowReady).expect("it is told");
    // For 3.2 ms of each poll but the last, behind which none was ready.
    let said = ": their workers had no CPU for 317 ms of it";
    assert!(late.title.ends_with(said), "{}", late.title);
}

#[test]
fn a_poll_without_a_cpu_is_not_told_to_work_elsewhere() {
    let mut e = Executor::new();
    e.0.facility("sched", true, "perf_event_open; threads at start: 2; 2 rings of 512 KiB");
    (1..=2).for_each(|thread| e.0.switch_in(thread, 0, os_id(thread)));
    e.spawn(2, 0, 1, HANDLER);
    e.spawn(2, 2 * MS, 2, WRITER);
    e.begin_poll(1, 3 * MS, 1);
    e.0.switch_out(1, 4 * MS, os_id(1), true);
    e.0.switch_in(1, 42 * MS, os_id(1));
    e.event(1, 43 * MS, EventKind::EndPoll { waits_at: StackId(TIMER) });
    e.poll(1, 44 * MS, 2, TIMER, 100 * US);
    let found = all_insights(e, 100 * MS);
    let poll = found.iter().find(|it| it.kind == InsightKind::BlockedWorker).expect("it is told");
    let said = "the longest poll began at 0.003000 s; with a CPU all the time it would have taken \
                2.00 ms";
    assert_eq!(poll.evidence.last().map(String::as_str), Some(said), "{poll:#?}");
}

/// A poll of 40 ms in a write to a runtime's socket, without switches.
fn long_write(other: bool) -> Executor {
    let mut e = Executor::new();
    e.0.resource(1, ResourceKind::Socket, 9, "tcp 127.0.0.1:80");
    e.spawn(2, 0, 1, HANDLER);
    if other {
        e.spawn(2, 2 * MS, 2, WRITER);
    }
    e.begin_poll(1, MS, 1);
    e.0.call(1, open_call(CallId::SEND, 1, WRITE), MS, 39 * MS, 100);
    e.event(1, 41 * MS, EventKind::EndPoll { waits_at: StackId(TIMER) });
    e.poll(1, 42 * MS, 2, TIMER, 100 * US);
    e
}

#[test]
fn without_switches_a_socket_that_never_blocks_is_not_said_to_have_waited() {
    let found = only(long_write(true), 500 * MS, InsightKind::BlockedWorker);
    assert!(found.title.contains("for 40.0 ms: in calls for 98% of it, in send"), "{found:?}");
    let said = "that call does not wait, and without switches nobody knows whether the thread had \
                a CPU: record them";
    assert!(found.evidence.last().is_some_and(|it| it.ends_with(said)), "{:?}", found.evidence);
    assert_eq!(insights(long_write(false), 500 * MS), []);
    let file = TraceFile::open(long_write(true).stop(500 * MS)).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    let trace = Trace::new(&file).named(&symbols);
    let report = Report::read(&trace, Wanted::default(), |_| {});
    assert_eq!(report.lives.waits.count, 0);
}

/// A poll from 10 to 170 ms that sleeps, on a thread that polls `others` that wait for a timer, and
/// woken `later` than it was over.
fn one_thread(others: u64, later: u64) -> Executor {
    let mut e = Executor::new();
    for id in 2..2 + others {
        e.spawn(1, 0, id, WRITER);
        e.poll(1, id * 100 * US, id, TIMER, 50 * US);
    }
    e.spawn(1, 2 * MS, 1, HANDLER);
    e.begin_poll(1, 10 * MS, 1);
    e.0.call(1, open_call(CallId::CLOCK_NANOSLEEP, 0, BLOCK), 10 * MS, 159 * MS, 0);
    e.event(1, 170 * MS, EventKind::EndPoll { waits_at: StackId(PASS) });
    for id in 2..2 + others {
        e.wake(1, 170 * MS + later, id, TIME_UP);
    }
    for id in 2..2 + others {
        e.poll(1, 171 * MS + later + id * 100 * US, id, TIMER, 50 * US);
    }
    e
}

#[test]
fn timers_that_no_thread_could_see_to_are_held_up_by_the_poll_that_kept_it() {
    let found = only(one_thread(5, 100 * US), 200 * MS, InsightKind::BlockedWorker);
    let said = "5 times a task was woken only after it, as it kept all threads that see to timers \
                and sockets: up to 160 ms late, writer (src/testgen.rs:2)";
    assert!(found.evidence.iter().any(|it| it == said), "{:?}", found.evidence);
    // The thread had time to sleep in between: their time was up later.
    let found = only(one_thread(5, 25 * MS), 250 * MS, InsightKind::BlockedWorker);
    assert!(!found.evidence.iter().any(|it| it.contains("woken only")), "{:?}", found.evidence);
    // Another thread polls such tasks, and was in no poll.
    let mut e = one_thread(5, 100 * US);
    e.spawn(2, 3 * MS, 90, WRITER);
    e.poll(2, 4 * MS, 90, TIMER, 50 * US);
    let found = only(e, 200 * MS, InsightKind::BlockedWorker);
    assert!(!found.evidence.iter().any(|it| it.contains("woken only")), "{:?}", found.evidence);
}

#[test]
fn a_timer_that_could_not_fire_is_not_what_the_program_waited_for() {
    let mut e = Executor::new();
    e.begin(1, 100 * US, 70, QUERY);
    e.poll(1, 200 * US, 70, TIMER, 50 * US);
    e.0.call(1, open_call(CallId::FUTEX_WAIT, 0, BLOCK_ON), 300 * US, 1_500 * US, 0);
    e.spawn(1, 2 * MS, 1, HANDLER);
    e.begin_poll(1, 10 * MS, 1);
    e.0.call(1, open_call(CallId::CLOCK_NANOSLEEP, 0, BLOCK), 10 * MS, 159 * MS, 0);
    e.event(1, 170 * MS, EventKind::EndPoll { waits_at: StackId(PASS) });
    e.wake(1, 170 * MS + 50 * US, 70, TIME_UP);
    e.begin_poll(1, 170 * MS + 60 * US, 70);
    e.end(1, 170 * MS + 70 * US, 70, Outcome::Returned);
    e.event(1, 170 * MS + 80 * US, EventKind::End);
    let found = insights(e, 171 * MS);
    let kinds: Vec<_> = found.iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [InsightKind::BlockedWorker], "{found:#?}");
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
