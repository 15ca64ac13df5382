//! What is said of slow tasks whose work is done by futures, in whichever service.

use crate::executor::{Executor, HANDLER, LOCK, NONE, PASS, QUERY, TIMER, WRITER};
use trace_analysis::explain::{Insight, InsightKind, explain};
use trace_analysis::slow_tasks::{SlowTask, slow_tasks};
use trace_analysis::symbols::Symbols;
use trace_analysis::{Report, Summary, Trace, Wanted};
use trace_format::event::{EventKind, Outcome};
use trace_format::id::{FutureId, SiteId, StackId, TaskId, ThreadId};
use trace_format::read::TraceFile;
use trace_format::time::{Nanos, Ticks};
use trace_format::value::Text;

const MS: u64 = 1_000_000;

/// The slow request.
const SLOW: u64 = 50;

fn task(e: &mut Executor, at: u64, id: u64, parent: u64) {
    let name = Text { bytes: b"request", bytes_before: 7 };
    let (task, parent) = (TaskId(id), TaskId(parent));
    e.event(1, at, EventKind::TaskBegin { task, parent, name });
}

fn end_task(e: &mut Executor, at: u64, id: u64) {
    e.event(1, at, EventKind::TaskEnd { task: TaskId(id) });
}

/// A future that works for a task.
fn spawn_for(e: &mut Executor, at: u64, future: u64, site: u32, task: u64) {
    let (future, parent, task) = (FutureId(future), FutureId(0), TaskId(task));
    let (site, stack) = (SiteId(site), StackId(0));
    e.event(1, at, EventKind::FutureSpawn { future, parent, task, site, stack });
}

/// Twenty requests of 3 ms, and one that takes 300 ms, from 200 ms on.
fn requests() -> Executor {
    let mut e = Executor::new();
    for id in 1..=20 {
        task(&mut e, id * 5 * MS, id, 0);
        end_task(&mut e, id * 5 * MS + 3 * MS, id);
    }
    task(&mut e, 200 * MS, SLOW, 0);
    e
}

fn read(mut e: Executor) -> (SlowTask, Insight) {
    end_task(&mut e, 500 * MS, SLOW);
    let file = TraceFile::open(e.stop(1_000 * MS)).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    let trace = Trace::new(&file).named(&symbols);
    let slow_tasks = slow_tasks(&trace, &Summary::read(&trace, |_| {}));
    let wanted = Wanted { slow_tasks, async_tasks: true, ..Wanted::default() };
    let report = Report::read(&trace, wanted, |_| {});
    let found = explain(&trace, &report);
    let insight = found.into_iter().find(|it| it.kind == InsightKind::SlowTask).expect("one");
    let [slow] = report.slow_tasks.try_into().expect("one slow task");
    (slow, insight)
}

#[test]
fn a_request_is_followed_into_the_service_that_was_slow() {
    let mut e = requests();
    // One service waits for the other's answer; that one works for the request and waits longest.
    spawn_for(&mut e, 201 * MS, 1, HANDLER, SLOW);
    e.poll(1, 202 * MS, 1, PASS, MS);
    spawn_for(&mut e, 204 * MS, 2, WRITER, SLOW);
    e.poll(1, 205 * MS, 2, TIMER, MS);
    e.wake(2, 490 * MS, 2, 0);
    e.begin_poll(1, 491 * MS, 2);
    e.wake(1, 492 * MS, 1, 0);
    e.event(1, 493 * MS, EventKind::End);
    e.end(1, 493 * MS, 2, Outcome::Returned);
    e.poll(1, 494 * MS, 1, 0, MS);
    e.end(1, 495 * MS, 1, Outcome::Returned);
    let (slow, insight) = read(e);
    let told: Vec<_> =
        slow.waits.iter().map(|it| (it.site.0, it.stack.0, it.total, it.is_handed_on)).collect();
    let expected =
        [(WRITER, TIMER, Nanos(284 * MS), false), (HANDLER, PASS, Nanos(289 * MS), true)];
    assert_eq!(told, expected);
    let why = ": writer (src/testgen.rs:2) waited 284 ms (95%) of it for tokio timer at \
               app::writer (src/app.rs:66)";
    assert!(insight.title.ends_with(why), "{}", insight.title);
    assert_eq!(insight.stacks[0], StackId(TIMER));
}

/// A future that works for the request begins in another.
fn begin_for(e: &mut Executor, at: u64, future: u64) {
    let (future, task, site) = (FutureId(future), TaskId(SLOW), SiteId(QUERY));
    e.event(1, at, EventKind::FutureBegin { future, task, site, values: NONE });
}

fn end_poll(e: &mut Executor, at: u64) {
    e.event(1, at, EventKind::EndPoll { waits_at: StackId(0) });
}

#[test]
fn a_request_that_is_a_future_in_a_connections_task_waits_for_itself() {
    let mut e = requests();
    spawn_for(&mut e, 201 * MS, 1, WRITER, 0);
    e.begin_poll(1, 202 * MS, 1);
    begin_for(&mut e, 202 * MS, 2);
    e.poll(1, 203 * MS, 2, TIMER, MS);
    end_poll(&mut e, 205 * MS);
    let (slow, _) = read(e);
    let told: Vec<_> = slow.waits.iter().map(|it| (it.site.0, it.stack.0, it.total)).collect();
    assert_eq!(told, [(WRITER, TIMER, Nanos(295 * MS))], "to the end of the request");
}

#[test]
fn an_answer_of_a_future_in_a_connections_task_is_the_requests_own() {
    let mut e = requests();
    spawn_for(&mut e, 201 * MS, 1, HANDLER, SLOW);
    e.poll(1, 202 * MS, 1, PASS, MS);
    spawn_for(&mut e, 204 * MS, 2, WRITER, 0);
    e.begin_poll(1, 205 * MS, 2);
    begin_for(&mut e, 205 * MS, 3);
    e.poll(1, 205 * MS, 3, TIMER, MS);
    end_poll(&mut e, 206 * MS);
    e.wake(2, 490 * MS, 2, 0);
    e.begin_poll(1, 491 * MS, 2);
    e.begin_poll(1, 491 * MS, 3);
    e.wake(1, 492 * MS, 1, 0);
    end_poll(&mut e, 493 * MS);
    e.end(1, 493 * MS, 3, Outcome::Returned);
    end_poll(&mut e, 494 * MS);
    e.poll(1, 495 * MS, 1, 0, MS);
    e.end(1, 496 * MS, 1, Outcome::Returned);
    let (slow, _) = read(e);
    let told: Vec<_> = slow.waits.iter().map(|it| (it.stack.0, it.is_handed_on)).collect();
    assert_eq!(told, [(TIMER, false), (PASS, true)]);
}

#[test]
fn only_what_lies_in_the_requests_time_counts_and_sub_tasks_belong_to_it() {
    let mut e = Executor::new();
    // A future of an older sub-task waits since before the request.
    spawn_for(&mut e, 0, 1, WRITER, 2 * SLOW);
    e.poll(1, MS, 1, LOCK, MS);
    for id in 1..=20 {
        task(&mut e, id * 5 * MS, id, 0);
        end_task(&mut e, id * 5 * MS + 3 * MS, id);
    }
    task(&mut e, 200 * MS, SLOW, 0);
    task(&mut e, 200 * MS, 2 * SLOW, SLOW);
    e.wake(2, 450 * MS, 1, 0);
    e.poll(1, 451 * MS, 1, 0, MS);
    e.end(1, 452 * MS, 1, Outcome::Returned);
    end_task(&mut e, 460 * MS, 2 * SLOW);
    let (slow, _) = read(e);
    assert_eq!((slow.waits.len(), slow.waits[0].total), (1, Nanos(250 * MS)));
}

#[test]
fn what_works_for_others_explains_nothing() {
    let mut e = requests();
    spawn_for(&mut e, 201 * MS, 1, WRITER, 3);
    e.poll(1, 205 * MS, 1, TIMER, MS);
    e.wake(2, 490 * MS, 1, 0);
    e.poll(1, 491 * MS, 1, 0, MS);
    let (slow, insight) = read(e);
    assert_eq!(slow.waits, []);
    assert!(insight.title.ends_with(": no thread worked for it"), "{}", insight.title);
}

#[test]
fn all_threads_that_worked_for_a_task_are_told() {
    let mut e = requests();
    // The first has the longest runs, and more of them than are kept; the second has one.
    for run in 0..100 {
        let kind = EventKind::TaskRun { task: TaskId(SLOW), duration: Ticks(2 * MS) };
        e.event(1, (201 + run * 2) * MS, kind);
    }
    e.event(2, 480 * MS, EventKind::TaskRun { task: TaskId(SLOW), duration: Ticks(MS) });
    let (slow, insight) = read(e);
    assert_eq!(slow.threads, [ThreadId(1), ThreadId(2)]);
    assert!(slow.runs.iter().all(|run| run.thread == ThreadId(1)));
    assert_eq!((slow.worked, insight.threads), (Nanos(201 * MS), slow.threads));
}
