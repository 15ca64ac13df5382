//! What is said of tasks that took longer than others of their name.

use std::sync::atomic::{AtomicBool, Ordering};

use trace_analysis::explain::{Insight, InsightKind, explain};
use trace_analysis::slow_tasks::{SlowTask, slow_tasks};
use trace_analysis::symbols::Symbols;
use trace_analysis::{Report, Summary, Trace, Wanted};
use trace_format::batch::Compression;
use trace_format::event::EventKind;
use trace_format::id::{CallId, OpenCall, TaskId};
use trace_format::read::TraceFile;
use trace_format::testgen::{TraceBuilder, open_call};
use trace_format::time::{Nanos, Ticks};
use trace_format::value::Text;

const MS: u64 = 1_000_000;
const SLEEP: OpenCall = open_call(CallId::CLOCK_NANOSLEEP, 0, 1);

/// Twenty tasks of 3 ms each, one after the other, on one thread.
fn requests() -> TraceBuilder {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(1, "server");
    trace.thread(2, "helper");
    trace.stack(1, &[0x100, 0x101]);
    trace.symbol(0x100, &[("std::thread::sleep", "", 0)]);
    trace.symbol(0x101, &[("app::handle", "/app/src/main.rs", 7)]);
    for id in 1..=20 {
        let at = id * 5 * MS;
        begin(&mut trace, at, id, 0);
        run(&mut trace, 1, id, (at, at + 3 * MS));
        end(&mut trace, at + 3 * MS, id);
    }
    trace
}

fn begin(trace: &mut TraceBuilder, at: u64, id: u64, parent: u64) {
    let name = Text { bytes: b"request", bytes_before: 7 };
    let (task, parent) = (TaskId(id), TaskId(parent));
    trace.event(1, at, EventKind::TaskBegin { task, parent, name });
}

fn end(trace: &mut TraceBuilder, at: u64, id: u64) {
    trace.event(1, at, EventKind::TaskEnd { task: TaskId(id) });
}

fn run(trace: &mut TraceBuilder, thread: u32, id: u64, (from, to): (u64, u64)) {
    let duration = Ticks(to - from);
    trace.event(thread, from, EventKind::TaskRun { task: TaskId(id), duration });
}

fn read(bytes: Vec<u8>) -> (Vec<SlowTask>, Vec<Insight>) {
    let file = TraceFile::open(bytes).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    let trace = Trace::new(&file).named(&symbols);
    let slow_tasks = slow_tasks(&trace, &Summary::read(&trace, |_| {}));
    let wanted = Wanted { slow_tasks, ..Wanted::default() };
    let report = Report::read(&trace, wanted, |_| {});
    let insights = explain(&trace, &report);
    (report.slow_tasks, insights)
}

#[test]
fn a_task_that_is_slow_beside_others_is_named_with_what_was_done_in_it() {
    let mut trace = requests();
    begin(&mut trace, 200 * MS, 50, 0);
    trace.event(1, 200 * MS, EventKind::TaskRunBegin { task: TaskId(50) });
    trace.call(1, SLEEP, 201 * MS, 298 * MS, 0);
    trace.event(1, 500 * MS, EventKind::End);
    end(&mut trace, 500 * MS, 50);
    let (slow, insights) = read(trace.stop(1_000 * MS));
    assert_eq!(slow.len(), 1);
    assert_eq!((slow[0].task.id, slow[0].worked), (TaskId(50), Nanos(300 * MS)));
    let insight = &insights[0];
    assert_eq!(insight.kind, InsightKind::SlowTask);
    assert_eq!(insight.lost, Nanos(300 * MS - slow[0].usual.0));
    let title = "task request #50 took 300 ms, and half of 21 tasks of that name took at most 3";
    assert!(insight.title.starts_with(title), "{}", insight.title);
    let why = ": sleep for 99% of it, in clock_nanosleep at app::handle (/app/src/main.rs:7)";
    assert!(insight.title.ends_with(why), "{}", insight.title);
    assert_eq!(insight.command, "events --from 0.200000s --to 0.500001s");
}

#[test]
fn a_run_inside_another_of_its_task_is_not_worked_twice() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(1, "server");
    begin(&mut trace, 100, 1, 0);
    trace.event(1, 100, EventKind::TaskRunBegin { task: TaskId(1) });
    run(&mut trace, 1, 1, (200, 300));
    // One of another task, and in that one of the first.
    begin(&mut trace, 400, 2, 1);
    trace.event(1, 400, EventKind::TaskRunBegin { task: TaskId(2) });
    run(&mut trace, 1, 1, (410, 420));
    trace.event(1, 500, EventKind::End);
    trace.event(1, 600, EventKind::End);
    end(&mut trace, 700, 2);
    end(&mut trace, 700, 1);
    let bytes = trace.stop(1_000);
    let file = TraceFile::open(bytes).expect("a trace");
    let summary = Summary::read(&Trace::new(&file), |_| {});
    let tree = &summary.tasks.slowest[0];
    assert_eq!((tree.worked, tree.runs), (Nanos(500), 1));
    let name = &summary.tasks.names[0];
    assert_eq!(name.worked, Nanos(500 + 100), "that of the sub-task is of this name, too");
}

#[test]
fn a_task_that_nobody_works_for_is_told_so() {
    let mut trace = requests();
    begin(&mut trace, 200 * MS, 50, 0);
    run(&mut trace, 2, 50, (490 * MS, 500 * MS));
    end(&mut trace, 500 * MS, 50);
    let (slow, insights) = read(trace.stop(1_000 * MS));
    assert_eq!(slow[0].unworked, Nanos(290 * MS));
    let insight = insights.iter().find(|it| it.kind == InsightKind::SlowTask).expect("it");
    assert!(insight.title.ends_with(": nobody worked for it for 290 ms"), "{}", insight.title);
    let line = &insight.evidence[0];
    assert!(line.ends_with("helper worked for it for 10.0 ms, nobody for 290 ms"), "{line}");
}

#[test]
fn what_sub_tasks_do_is_done_for_their_task() {
    let mut trace = requests();
    begin(&mut trace, 200 * MS, 50, 0);
    let name = Text { bytes: b"query", bytes_before: 5 };
    let (task, parent) = (TaskId(51), TaskId(50));
    trace.event(1, 201 * MS, EventKind::TaskBegin { task, parent, name });
    run(&mut trace, 2, 51, (210 * MS, 490 * MS));
    end(&mut trace, 495 * MS, 51);
    end(&mut trace, 500 * MS, 50);
    let (slow, _) = read(trace.stop(1_000 * MS));
    assert_eq!((slow.len(), slow[0].worked), (1, Nanos(280 * MS)));
}

#[test]
fn a_task_that_is_open_when_the_trace_stops_is_slow_if_others_are_faster() {
    let mut trace = requests();
    begin(&mut trace, 400 * MS, 50, 0);
    trace.generation(500 * MS);
    let (_, insights) = read(trace.stop(1_000 * MS));
    let insight = &insights[0];
    let title = "task request #50 was open for 600 ms when the trace stopped, and half of \
                 20 that ended took at most 3";
    assert!(insight.title.starts_with(title), "{}", insight.title);
    let line = &insight.evidence[0];
    assert_eq!(line, "it began at 0.400000 s");
    assert!(insight.title.ends_with(": no thread worked for it"), "{}", insight.title);
}

#[test]
fn another_slow_one_that_has_not_ended_is_said_to_be_open() {
    let mut trace = requests();
    begin(&mut trace, 200 * MS, 50, 0);
    end(&mut trace, 500 * MS, 50);
    begin(&mut trace, 800 * MS, 51, 0);
    let (_, insights) = read(trace.stop(1_000 * MS));
    let said = "other slow tasks of that name: #51 200 ms, still open";
    assert!(insights[0].evidence.iter().any(|it| it == said), "{:?}", insights[0].evidence);
}

#[test]
fn tasks_of_the_usual_length_are_none() {
    assert_eq!(read(requests().stop(1_000 * MS)), (vec![], vec![]));
    // Nor is one whose name nobody else has, if it ends.
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(1, "server");
    begin(&mut trace, MS, 50, 0);
    end(&mut trace, 900 * MS, 50);
    assert_eq!(read(trace.stop(1_000 * MS)), (vec![], vec![]));
}

#[test]
fn a_walk_that_is_of_no_use_is_given_up_and_tells_nothing() {
    let mut trace = requests();
    (0..300_000).for_each(|n| trace.region(1, 1, 200 * MS + 10 * n, 5));
    let file = TraceFile::open(trace.stop(300 * MS)).expect("a trace");
    let trace = Trace::new(&file);
    let read = |is_noticed| {
        let (is_useless, mut reports) = (AtomicBool::new(false), 0);
        let progress = |_| {
            reports += 1;
            is_useless.store(is_noticed, Ordering::Relaxed);
        };
        let report = Report::read_unless(&is_useless, &trace, Wanted::default(), progress);
        (report.map(|report| report.lives), reports)
    };
    let lives = Report::read(&trace, Wanted::default(), |_| {}).lives;
    // Every 65,536 events, and at the end.
    assert_eq!(read(false), (Some(lives), 4 + 1));
    assert_eq!(read(true), (None, 1 + 1));
}
