//! Futures that were wrapped before they were spawned, and what a runtime says of its tasks, from
//! traces made by hand: one tick is a nanosecond.

use crate::executor::{Executor, HANDLER, QUERY, TIMER, WRITER, ended};
use trace_analysis::async_tasks::{AsyncTasks, Phase, SpawnSite};
use trace_analysis::symbols::Symbols;
use trace_analysis::{Report, Trace, Wanted};
use trace_format::event::{EventKind, Outcome};
use trace_format::id::{FutureId, SiteId, StackId};
use trace_format::read::TraceFile;
use trace_format::time::{Nanos, Ticks};

fn read(bytes: Vec<u8>) -> AsyncTasks {
    let file = TraceFile::open(bytes).expect("a trace");
    assert!(file.faults().is_empty());
    let symbols = Symbols::of_trace(file.tables());
    let wanted = Wanted { async_tasks: true, ..Wanted::default() };
    let report = Report::read(&Trace::new(&file).named(&symbols), wanted, |_| {});
    report.async_tasks.unwrap_or_default()
}

fn sites(sites: &[SpawnSite]) -> Vec<(u32, u64, u64, u64)> {
    sites.iter().map(|it| (it.site.0, it.count, it.polls, it.alive)).collect()
}

fn end_poll(e: &mut Executor, at: u64, stack: u32) {
    e.event(1, at, EventKind::EndPoll { waits_at: StackId(stack) });
}

/// `spawn(future.traced("query"))`: the recorder tells of both, and the executor polls one in the
/// other. The wrapped one awaits a timer.
fn wrapped(told_late: bool) -> Executor {
    let mut e = Executor::new();
    e.spawn(1, 10, 2, QUERY);
    if !told_late {
        e.spawn(1, 20, 4, HANDLER);
    }
    e.begin_poll(1, 100, 4);
    e.begin_poll(1, 110, 2);
    end_poll(&mut e, 120, TIMER);
    end_poll(&mut e, 130, TIMER);
    if told_late {
        e.spawn(1, 135, 4, HANDLER);
    }
    e.wake(1, 1_000, 4, 0);
    e.begin_poll(1, 1_100, 4);
    e.begin_poll(1, 1_110, 2);
    end_poll(&mut e, 1_120, 0);
    e.end(1, 1_121, 2, Outcome::Returned);
    end_poll(&mut e, 1_130, 0);
    e.end(1, 1_131, 4, Outcome::Returned);
    e
}

#[test]
fn a_future_that_was_wrapped_and_then_spawned_is_one_task() {
    for told_late in [false, true] {
        let tasks = read(wrapped(told_late).stop(2_000));
        assert_eq!(sites(&tasks.sites), [(HANDLER, 1, 2, 0)], "{told_late}");
        assert_eq!(sites(&tasks.children), [(QUERY, 1, 2, 0)]);
        assert_eq!((ended(&tasks.sites[0]), ended(&tasks.children[0])), (1, 1));
        assert_eq!(tasks.sites[0].idle, Nanos(870), "once");
        let [wait] = tasks.waits.as_slice() else { panic!("{:?}", tasks.waits) };
        assert_eq!((wait.site, wait.stack), (SiteId(HANDLER), StackId(TIMER)));
        assert_eq!((wait.total, wait.one_of.as_slice()), (Nanos(870), [].as_slice()));
    }
}

#[test]
fn what_is_not_finished_is_one_task_too() {
    let mut e = Executor::new();
    e.spawn(1, 10, 2, QUERY);
    e.spawn(1, 20, 4, HANDLER);
    e.begin_poll(1, 100, 4);
    e.poll(1, 110, 2, TIMER, 10);
    end_poll(&mut e, 130, TIMER);
    let tasks = read(e.stop(2_000));
    let [task] = tasks.unfinished.as_slice() else { panic!("{:?}", tasks.unfinished) };
    assert_eq!(task.task, FutureId(4));
    assert_eq!(task.chain, [(FutureId(2), SiteId(QUERY))]);
}

/// `tokio::spawn(future.traced("query"))` on a runtime whose hooks report tasks, by odd numbers.
fn spawned_with_hooks() -> Executor {
    let mut e = Executor::new();
    e.spawn(1, 10, 2, QUERY);
    e.spawn(1, 20, 5, HANDLER);
    e
}

#[test]
fn a_wrapped_future_that_nobody_has_polled_yet_is_one_task() {
    let tasks = read(spawned_with_hooks().stop(2_000));
    assert_eq!(sites(&tasks.sites), [(HANDLER, 1, 0, 1)]);
    assert_eq!(sites(&tasks.children), [(QUERY, 1, 0, 1)]);
    assert_eq!(tasks.sites[0].ready_total, Nanos(1_980));
    let unfinished: Vec<_> = tasks.unfinished.iter().map(|it| it.task).collect();
    assert_eq!(unfinished, [FutureId(5)]);
    // The executor drops it, and all that is in it.
    let mut e = spawned_with_hooks();
    e.end(1, 500, 2, Outcome::Dropped);
    e.end(1, 510, 5, Outcome::Ended);
    let tasks = read(e.stop(2_000));
    assert_eq!(sites(&tasks.sites), [(HANDLER, 1, 0, 0)]);
    assert_eq!((tasks.sites[0].never_polled, tasks.sites[0].ended), (1, 1));
}

#[test]
fn what_looked_like_a_wrapped_future_and_is_polled_elsewhere_is_a_task() {
    for first in [2, 5] {
        let mut e = spawned_with_hooks();
        e.poll(1, 100, first, TIMER, 10);
        e.poll(2, 200, 7 - first, TIMER, 20);
        let tasks = read(e.stop(2_000));
        let mut told = sites(&tasks.sites);
        told.sort_unstable();
        assert_eq!(told, [(HANDLER, 1, 1, 1), (QUERY, 1, 1, 1)], "{first} first");
        assert_eq!(tasks.children, []);
    }
    // One is polled, the other one never.
    let mut e = spawned_with_hooks();
    e.poll(1, 100, 5, TIMER, 10);
    let mut told = sites(&read(e.stop(2_000)).sites);
    told.sort_unstable();
    assert_eq!(told, [(HANDLER, 1, 1, 1), (QUERY, 1, 0, 1)]);
}

#[test]
fn two_tasks_that_were_spawned_one_behind_the_other_are_two() {
    for second in [4, 5] {
        let mut e = Executor::new();
        e.spawn(1, 10, if second == 4 { 2 } else { 3 }, QUERY);
        e.spawn(1, 20, second, HANDLER);
        let mut told = sites(&read(e.stop(2_000)).sites);
        told.sort_unstable();
        assert_eq!(told, [(HANDLER, 1, 0, 1), (QUERY, 1, 0, 1)], "{second}");
    }
    // Of two threads.
    let mut e = Executor::new();
    e.spawn(1, 10, 2, QUERY);
    e.spawn(2, 20, 5, HANDLER);
    assert_eq!(read(e.stop(2_000)).sites.len(), 2);
}

/// As in a `LocalSet` that a traced future awaits: the set's tasks are polled inside of that.
#[test]
fn a_task_that_runs_inside_another_s_poll_is_a_task_of_its_own() {
    let mut e = Executor::new();
    e.spawn(1, 10, 1, WRITER);
    e.begin_poll(1, 100, 1);
    e.spawn(1, 110, 2, QUERY);
    e.poll(1, 120, 2, TIMER, 10);
    end_poll(&mut e, 140, TIMER);
    // It was spawned since, and is not polled in the first poll of the other.
    e.spawn(1, 200, 3, HANDLER);
    e.wake(1, 300, 1, 0);
    e.begin_poll(1, 310, 1);
    e.poll(1, 320, 3, TIMER, 10);
    end_poll(&mut e, 340, TIMER);
    let tasks = read(e.stop(2_000));
    let mut told = sites(&tasks.sites);
    told.sort_unstable();
    assert_eq!(told, [(HANDLER, 1, 1, 1), (WRITER, 1, 2, 1), (QUERY, 1, 1, 1)]);
    assert_eq!(tasks.children, []);
}

#[test]
fn what_its_runtime_says_is_ready_is_so_in_all_that_is_told() {
    let mut e = Executor::new();
    e.spawn(1, 0, 1, HANDLER);
    e.poll(1, 10, 1, TIMER, 10);
    e.event(2, 300, EventKind::Ready { future: FutureId(1), since: Ticks(250) });
    let tasks = read(e.stop(400));
    let [task] = tasks.unfinished.as_slice() else { panic!("{:?}", tasks.unfinished) };
    let told = tasks.sites.iter().find(|site| site.site == SiteId(HANDLER)).expect("it is known");
    assert_eq!((told.idle, told.ready_total), (Nanos(30), Nanos(10 + 350)));
    assert_eq!((task.phase, task.since), (Phase::Ready, Nanos(50).into()));
}
