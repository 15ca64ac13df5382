//! What is said of a main thread that waits for futures, and of async tasks that wait for others.

use crate::executor::{
    ANSWER, BLOCK_ON, ENDED, Executor, HANDLER, LOCK, PASS, QUERY, RELEASE, ROOM, TIME_UP, TIMER,
    WRITER,
};
use trace_analysis::explain::{Insight, InsightKind, explain};
use trace_analysis::symbols::Symbols;
use trace_analysis::{Options, Report, Trace, Wanted};
use trace_format::definition::ResourceKind;
use trace_format::event::Outcome;
use trace_format::id::{CallId, OpenCall, StackId, ThreadId};
use trace_format::read::TraceFile;
use trace_format::testgen::{open_call, os_id};
use trace_format::time::Ticks;

const US: u64 = 1_000;
const MS: u64 = 1_000_000;

/// The thread in `block_on`.
const MAIN: u32 = 3;

const PARK: OpenCall = open_call(CallId::FUTEX_WAIT, 1, BLOCK_ON);

const fn unpark(stack: u32) -> OpenCall {
    open_call(CallId::FUTEX_WAKE, 1, stack)
}

fn insights_from(e: Executor, end: u64, from: Option<u64>) -> Vec<Insight> {
    let file = TraceFile::open(e.stop(end)).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    let options = Options { from: from.map(Ticks), ..Options::default() };
    let trace = Trace::new(&file).named(&symbols).with(options);
    let wanted = Wanted { async_tasks: true, ..Wanted::default() };
    explain(&trace, &Report::read(&trace, wanted, |_| {}))
}

fn insights(e: Executor, end: u64) -> Vec<Insight> {
    insights_from(e, end, None)
}

#[track_caller]
fn only(e: Executor, end: u64, kind: InsightKind) -> Insight {
    let mut found = insights(e, end);
    let titles: Vec<_> = found.iter().map(|it| (it.kind.name(), it.title.as_str())).collect();
    assert_eq!((found.len(), found.first().map(|it| it.kind)), (1, Some(kind)), "{titles:?}");
    found.remove(0)
}

fn with_main() -> Executor {
    let mut e = Executor::new();
    e.0.thread(MAIN, "main");
    e.0.resource(1, ResourceKind::Address, 0xf00, "");
    e
}

/// The main thread was in `block_on` from 1 ms on, until a worker woke it at 299 ms.
///
/// - `woken_at`: the stack of that.
fn was_in_block_on(e: &mut Executor, woken_at: u32) {
    e.0.call(MAIN, PARK, MS, 299 * MS, 0);
    e.0.call(1, unpark(woken_at), 299 * MS, 10 * US, 1);
}

/// A task waits for a timer for 280 ms, and ends on the first worker.
fn waits_for_a_timer(e: &mut Executor) {
    e.spawn(MAIN, 400 * US, 1, HANDLER);
    e.poll(1, 2 * MS, 1, TIMER, MS);
    e.wake(2, 283 * MS, 1, 0);
    e.begin_poll(1, 284 * MS, 1);
    e.end(1, 285 * MS, 1, Outcome::Returned);
    e.event(1, 285 * MS, trace_format::event::EventKind::End);
}

#[test]
fn what_the_task_waited_for_that_main_waited_for_is_named() {
    let mut e = with_main();
    waits_for_a_timer(&mut e);
    was_in_block_on(&mut e, ENDED);
    let found = only(e, 301 * MS, InsightKind::CriticalPath);
    let title = "93% of main's 301 ms depend on handler (src/testgen.rs:1), which waited for tokio \
                 timer at app::writer (src/app.rs:66): 280 ms";
    assert_eq!(found.title, title);
    let chain = "main waited 284 ms for handler (src/testgen.rs:1) (future at app::main \
                 (src/app.rs:5))";
    assert!(found.evidence[0].starts_with(chain), "{:?}", found.evidence);
    assert_eq!((found.threads, found.stacks[0]), (vec![ThreadId(MAIN)], StackId(TIMER)));
    assert_eq!(found.command, "async");
}

#[test]
fn who_waited_for_something_else_before_has_waited_for_a_task_since_then() {
    let mut e = with_main();
    e.0.call(2, unpark(TIME_UP), 100 * MS - 10 * US, 5 * US, 1);
    waits_for_a_timer(&mut e);
    e.0.call(MAIN, PARK, MS, 99 * MS, 0);
    e.0.call(MAIN, PARK, 105 * MS, 195 * MS, 0);
    e.0.call(1, unpark(ENDED), 299 * MS, 10 * US, 1);
    let found = only(e, 301 * MS, InsightKind::CriticalPath);
    let chain = "main waited 180 ms for handler (src/testgen.rs:1)";
    assert!(found.evidence[0].starts_with(chain), "{:?}", found.evidence);
}

#[test]
fn of_a_main_thread_that_time_itself_woke_no_task_is_said_to_be_the_cause() {
    let mut e = with_main();
    waits_for_a_timer(&mut e);
    was_in_block_on(&mut e, TIME_UP);
    assert_eq!(insights(e, 301 * MS), []);
}

/// Main polls tasks itself, and rests in `block_on` meanwhile.
fn rest(e: &mut Executor, from: u64, to: u64) {
    e.0.call(MAIN, open_call(CallId::EPOLL_WAIT, 0, BLOCK_ON), from, to - from, 1);
}

#[test]
fn a_task_that_main_polls_itself_and_waits_for_is_named() {
    let mut e = with_main();
    e.spawn(MAIN, 400 * US, 1, HANDLER);
    e.poll(MAIN, 2 * MS, 1, TIMER, MS);
    rest(&mut e, 3_100 * US, 282_900 * US);
    e.wake(MAIN, 283 * MS, 1, 0);
    e.begin_poll(MAIN, 284 * MS, 1);
    e.end(MAIN, 285 * MS, 1, Outcome::Returned);
    e.event(MAIN, 285 * MS, trace_format::event::EventKind::End);
    let found = only(e, 301 * MS, InsightKind::CriticalPath);
    let title = "93% of main's 301 ms depend on handler (src/testgen.rs:1), which waited for";
    assert!(found.title.starts_with(title), "{}", found.title);
}

#[test]
fn of_tasks_that_only_happen_to_end_while_main_waits_nothing_is_said() {
    let mut e = with_main();
    // What the trace does not tell of ticks every 100 ms, and spawns a task that takes 90.
    for round in 0..5 {
        let (at, id) = (round * 100 * MS, round + 1);
        e.spawn(MAIN, at + MS, id, HANDLER);
        e.poll(MAIN, at + 1_100 * US, id, TIMER, 100 * US);
        rest(&mut e, at + 1_300 * US, at + 91 * MS);
        e.wake(MAIN, at + 91_100 * US, id, 0);
        e.begin_poll(MAIN, at + 91_200 * US, id);
        e.end(MAIN, at + 91_300 * US, id, Outcome::Returned);
        e.event(MAIN, at + 91_300 * US, trace_format::event::EventKind::End);
        rest(&mut e, at + 91_500 * US, at + 100_900 * US);
    }
    assert_eq!(insights(e, 502 * MS), []);
}

#[test]
fn a_task_that_waits_for_another_leads_to_that_one() {
    let mut e = with_main();
    e.spawn(MAIN, 500 * US, 1, HANDLER);
    e.spawn(MAIN, 600 * US, 2, WRITER);
    e.poll(1, 2 * MS, 1, ANSWER, MS);
    e.poll(2, 2 * MS, 2, TIMER, MS);
    e.wake(1, 280 * MS, 2, 0);
    // The writer answers, and goes on for itself.
    e.begin_poll(2, 281 * MS, 2);
    e.wake(2, 282 * MS, 1, 0);
    e.event(2, 283 * MS, trace_format::event::EventKind::EndPoll { waits_at: StackId(PASS) });
    e.begin_poll(1, 284 * MS, 1);
    e.end(1, 285 * MS, 1, Outcome::Returned);
    e.event(1, 285 * MS, trace_format::event::EventKind::End);
    was_in_block_on(&mut e, ENDED);
    let found = only(e, 301 * MS, InsightKind::CriticalPath);
    let title = "92% of main's 301 ms depend on writer (src/testgen.rs:2), which waited for tokio \
                 timer at app::writer (src/app.rs:66): 277 ms";
    assert_eq!(found.title, title);
    let parts: Vec<_> = found.evidence[0].split("; ").collect();
    let second = "handler (src/testgen.rs:1) waited 279 ms for writer (src/testgen.rs:2) (tokio \
                  oneshot at app::handler (src/app.rs:107))";
    assert_eq!(parts.get(1), Some(&second), "{parts:?}");
}

#[test]
fn a_main_thread_that_waits_to_the_end_is_told_what_its_tasks_wait_for() {
    let mut e = with_main();
    e.spawn(MAIN, 500 * US, 1, HANDLER);
    e.spawn(MAIN, 600 * US, 2, WRITER);
    e.0.begin_call(MAIN, PARK, MS);
    e.poll(1, 2 * MS, 1, ANSWER, MS);
    // Who waits for messages may rest.
    e.poll(2, 2 * MS, 2, PASS, MS);
    let found = only(e, 1003 * MS, InsightKind::CriticalPath);
    let title = "main still waited for a future when the trace stopped, for 1.00 s, and handler \
                 (src/testgen.rs:1) for tokio oneshot at app::handler (src/app.rs:107)";
    assert_eq!(found.title, title);
    assert_eq!(found.evidence.len(), 1, "{:?}", found.evidence);
    assert!(found.evidence[0].ends_with("since 0.003000 s, for 1.00 s"), "{:?}", found.evidence);
    assert_eq!(found.stacks, [StackId(ANSWER), StackId(BLOCK_ON)]);
}

#[test]
fn tasks_that_wait_for_room_are_told_who_receives_and_what_it_does() {
    let mut e = Executor::new();
    e.spawn(1, 0, 1, HANDLER);
    e.spawn(1, 0, 2, WRITER);
    for round in 0..9 {
        let at = round * 100 * MS;
        e.poll(1, at + MS, 1, ROOM, 100 * US);
        e.poll(2, at + MS, 2, TIMER, 100 * US);
        e.wake(1, at + 96 * MS, 2, 0);
        e.begin_poll(2, at + 97 * MS, 2);
        e.wake(2, at + 98 * MS, 1, 0);
        e.event(
            2,
            at + 99 * MS,
            trace_format::event::EventKind::EndPoll { waits_at: StackId(PASS) },
        );
        e.wake(1, at + 100 * MS, 2, 0);
    }
    let found = only(e, 1000 * MS, InsightKind::FullChannel);
    let title = "handler (src/testgen.rs:1) waited 872 ms for room in a tokio channel, 9 times at \
                 app::handler (src/app.rs:101): writer (src/testgen.rs:2) receives, and waited for \
                 tokio timer at app::writer (src/app.rs:66)";
    assert!(found.title.starts_with(title), "{}", found.title);
    assert!(found.evidence[0].starts_with("writer (src/testgen.rs:2) made room for 100%"));
    assert_eq!(found.stacks, [StackId(TIMER), StackId(ROOM)]);
}

#[test]
fn more_tasks_that_begin_than_end_are_said_to_pile_up() {
    let piled = |stack| {
        let mut e = Executor::new();
        for id in 1..=200 {
            e.spawn(2, id * MS, id, HANDLER);
            e.poll(1, id * MS + 100 * US, id, stack, 100 * US);
        }
        for id in 1..=20 {
            let at = 300 * MS + id * MS;
            e.wake(2, at, id, 0);
            e.begin_poll(1, at + 10 * US, id);
            e.end(1, at + 20 * US, id, Outcome::Returned);
            e.event(1, at + 20 * US, trace_format::event::EventKind::End);
        }
        e
    };
    let found = only(piled(ANSWER), 1000 * MS, InsightKind::Backlog);
    let title = "180 of 200 async tasks (handler (src/testgen.rs:1)) had not ended when the trace \
                 stopped: more begin than end";
    assert_eq!(found.title, title);
    let waits = "180 of them (100%) waited for tokio oneshot at app::handler (src/app.rs:107)";
    assert_eq!(found.evidence[0], waits);
    assert_eq!(insights(piled(PASS), 1000 * MS), [], "who waits for messages may rest");
}

/// A handler whose two child futures wait; nothing tells which of them it needs.
///
/// - `task`: its id; those of its child futures follow it.
/// - `places`: where these wait.
fn waits_for_one_of_two(e: &mut Executor, at: u64, task: u64, places: [u32; 2]) {
    e.begin_poll(1, at, task);
    for (child, stack) in (task + 1..).zip(places) {
        e.begin(1, at + 10 * US, child, QUERY);
        e.poll(1, at + 10 * US, child, stack, 0);
    }
    e.event(1, at + 100 * US, trace_format::event::EventKind::EndPoll { waits_at: StackId(0) });
}

const ONE_OF: &str = "one of tokio channel send at app::handler (src/app.rs:101), tokio oneshot at \
                      app::handler (src/app.rs:107)";

#[test]
fn who_waits_for_one_of_several_to_the_end_is_said_to() {
    let mut e = with_main();
    e.spawn(MAIN, 500 * US, 1, HANDLER);
    e.0.begin_call(MAIN, PARK, MS);
    waits_for_one_of_two(&mut e, 2 * MS, 1, [ROOM, ANSWER]);
    let found = only(e, 1002 * MS + 100 * US, InsightKind::CriticalPath);
    let title = "main still waited for a future when the trace stopped, for 1.00 s, and handler \
                 (src/testgen.rs:1) for";
    assert_eq!(found.title, format!("{title} {ONE_OF}"));
    let line = format!("task 1 (handler (src/testgen.rs:1)) waits for {ONE_OF}");
    assert!(found.evidence[0].starts_with(&line), "{:?}", found.evidence);
    assert!(found.evidence[0].ends_with("since 0.002100 s, for 1.00 s"), "{:?}", found.evidence);
}

#[test]
fn who_may_rest_at_one_of_several_places_is_not_said_to_be_held_up() {
    for places in [[ANSWER, PASS], [LOCK, PASS], [ROOM, PASS], [ANSWER, TIMER]] {
        let mut e = with_main();
        e.spawn(MAIN, 500 * US, 1, HANDLER);
        e.0.begin_call(MAIN, PARK, MS);
        waits_for_one_of_two(&mut e, 2 * MS, 1, places);
        assert_eq!(insights(e, 1002 * MS), [], "{places:?}");
    }
    let mut e = Executor::new();
    for id in (1..=600).step_by(3) {
        e.spawn(2, id * MS, id, HANDLER);
        waits_for_one_of_two(&mut e, id * MS + 100 * US, id, [ANSWER, PASS]);
    }
    assert_eq!(insights(e, 2000 * MS), []);
}

#[test]
fn who_may_have_waited_for_something_else_gives_no_holder_of_a_lock_the_blame() {
    let locked = |places| {
        let mut e = Executor::new();
        e.spawn(1, 0, 9, WRITER);
        e.poll(2, MS, 9, TIMER, 100 * US);
        e.spawn(1, 0, 1, HANDLER);
        waits_for_one_of_two(&mut e, 2 * MS, 1, places);
        e.wake(1, 90 * MS, 9, 0);
        e.begin_poll(2, 91 * MS, 9);
        e.wake(2, 92 * MS, 1, RELEASE);
        e.end(2, 93 * MS, 9, Outcome::Returned);
        e.event(2, 93 * MS, trace_format::event::EventKind::End);
        e.poll(1, 94 * MS, 1, 0, 100 * US);
        e.end(1, 94_100 * US, 1, Outcome::Returned);
        insights(e, 100 * MS)
    };
    let found = locked([LOCK, LOCK]);
    let kinds: Vec<_> = found.iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [InsightKind::LockAcrossAwait], "{found:?}");
    assert_eq!(locked([LOCK, PASS]), []);
}

#[test]
fn tasks_that_pile_up_before_one_of_several_are_said_to_wait_for_one_of_them() {
    let mut e = Executor::new();
    for id in (1..=600).step_by(3) {
        e.spawn(2, id * MS, id, HANDLER);
        waits_for_one_of_two(&mut e, id * MS + 100 * US, id, [ROOM, ANSWER]);
    }
    let found = only(e, 2000 * MS, InsightKind::Backlog);
    assert!(found.title.starts_with("200 of 200 async tasks"), "{}", found.title);
    assert_eq!(found.evidence[0], format!("200 of them (100%) waited for {ONE_OF}"));
}

#[test]
fn what_was_ready_before_the_window_is_not_too_much_work_in_it() {
    let mut e = Executor::new();
    let count = 100;
    (1..=count).for_each(|id| e.spawn(2, id * US, id, HANDLER));
    for id in 1..=count {
        let at = 500 * MS + id * 200 * US;
        e.poll(1, at, id, TIMER, 20 * US);
        e.end(1, at + 20 * US, id, Outcome::Returned);
    }
    let found = insights_from(e, 600 * MS, Some(490 * MS));
    let titles: Vec<_> = found.iter().map(|it| it.title.as_str()).collect();
    assert!(!titles.iter().any(|it| it.contains("more work")), "{titles:?}");
    let said = "most of them since before the begin of what was read";
    assert!(titles.iter().all(|it| it.ends_with(said)), "{titles:?}");
}

#[test]
fn tasks_whose_worker_has_no_cpu_are_not_said_to_be_too_many() {
    let mut e = Executor::new();
    e.0.facility("sched", true, "perf_event_open; threads at start: 2; 1 rings of 512 KiB");
    e.0.switch_in(0, 0, os_id(1));
    let count = 100;
    (1..=count).for_each(|id| e.spawn(2, id * US, id, HANDLER));
    e.0.switch_out(0, MS, os_id(1), true);
    e.0.switch_in(0, 400 * MS, os_id(1));
    for id in 1..=count {
        let at = 401 * MS + id * 200 * US;
        e.poll(1, at, id, TIMER, 20 * US);
        e.end(1, at + 20 * US, id, Outcome::Returned);
    }
    let found = insights(e, 600 * MS);
    let late = found.iter().find(|it| it.kind == InsightKind::SlowReady).expect("it is told");
    assert!(late.title.ends_with(": their workers had no CPU for 399 ms of it"), "{}", late.title);
}
