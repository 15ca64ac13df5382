//! What is said of programs that run others and wait for them, and of threads that rest in a read.

use trace_analysis::explain::{Insight, InsightKind, explain};
use trace_analysis::symbols::Symbols;
use trace_analysis::{Options, Report, Trace, Wanted};
use trace_format::batch::Compression;
use trace_format::definition::ResourceKind;
use trace_format::id::{CallId, OpenCall, StackId, ThreadId};
use trace_format::read::TraceFile;
use trace_format::testgen::{TraceBuilder, open_call, os_id};
use trace_format::time::Ticks;

const MS: u64 = 1_000_000;

const MAIN: u32 = 1;
const SIGNALS: u32 = 2;
const RUNNER: u32 = 3;

/// Stacks are a library's function and the program's, `app::f` with the number.
const LIBRARIES: [&str; 6] = [
    "std::process::Child::wait",
    "std::process::Child::wait_with_output",
    "std::process::Command::spawn",
    "<std::fs::File as std::io::Read>::read",
    "std::thread::JoinHandle::join",
    "std::process::Command::output",
];
const START: OpenCall = open_call(CallId::POSIX_SPAWN, 0, 3);
const READ_OUTPUT: OpenCall = open_call(CallId::READ, 1, 2);
const POLL_OUTPUT: OpenCall = open_call(CallId::POLL, 0, 6);
const READ_SIGNAL: OpenCall = open_call(CallId::READ, 2, 4);
const JOIN: OpenCall = open_call(CallId::PTHREAD_JOIN, 3, 5);
const WAIT_FOR_ANY: OpenCall = open_call(CallId::WAITPID, 0, 1);
const ECHILD: i64 = -10;

/// Waits for the child with this number, from 0 on.
fn wait(child: u32) -> OpenCall {
    open_call(CallId::WAITPID, 10 + child, 1)
}

fn started() -> TraceBuilder {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(MAIN, "main");
    trace.spawned(SIGNALS, "signals", 0, (MAIN, 0, 0));
    trace.spawned(RUNNER, "runner", 0, (MAIN, 0, 0));
    for (stack, library) in (1_u32..).zip(LIBRARIES) {
        let address = u64::from(stack) * 0x100;
        trace.stack(stack, &[address, address + 1]);
        trace.symbol(address, &[(library, "", 0)]);
        trace.symbol(address + 1, &[(&format!("app::f{stack}"), "src/main.rs", stack)]);
    }
    trace.resource(1, ResourceKind::Pipe, 7, "pipe:[99]");
    trace.resource(2, ResourceKind::Pipe, 5, "pipe:[55]");
    trace.resource(3, ResourceKind::Thread, os_id(RUNNER), "");
    for child in 0..10 {
        trace.resource(10 + child, ResourceKind::Process, 9000 + u64::from(child), "");
    }
    trace.facility("sched", true, "perf_event_open; threads at start: 3; 3 rings of 512 KiB");
    (MAIN..=RUNNER).for_each(|thread| trace.switch_in(thread, 0, os_id(thread)));
    trace
}

/// A thread makes a call and is off its CPU meanwhile.
fn off(trace: &mut TraceBuilder, thread: u32, call: OpenCall, (from, to): (u64, u64)) {
    trace.call(thread, call, from, to - from, 1);
    trace.switch_out(thread, from + 10, os_id(thread), false);
    trace.switch_in(thread, to - 10, os_id(thread));
}

fn report(trace: TraceBuilder, end: u64) -> (Report, Vec<Insight>) {
    report_of(trace, end, Options::default())
}

fn report_of(trace: TraceBuilder, end: u64, options: Options) -> (Report, Vec<Insight>) {
    let file = TraceFile::open(trace.stop(end)).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    let trace = Trace::new(&file).named(&symbols).with(options);
    let report = Report::read(&trace, Wanted::default(), |_| {});
    let insights = explain(&trace, &report);
    (report, insights)
}

#[track_caller]
fn only(trace: TraceBuilder, end: u64, kind: InsightKind) -> Insight {
    only_of(report(trace, end).1, kind)
}

#[track_caller]
fn only_of(mut found: Vec<Insight>, kind: InsightKind) -> Insight {
    let titles: Vec<_> = found.iter().map(|it| (it.kind.name(), it.title.as_str())).collect();
    assert_eq!((found.len(), found.first().map(|it| it.kind)), (1, Some(kind)), "{titles:?}");
    found.remove(0)
}

/// Runs eight children for 50 ms each, and reads what a ninth writes in 200 ms.
fn runs_nine(trace: &mut TraceBuilder, thread: u32) {
    for child in 0..8_u32 {
        let at = u64::from(child) * 60 * MS;
        off(trace, thread, START, (at + MS, at + 5 * MS));
        off(trace, thread, wait(child), (at + 6 * MS, at + 56 * MS));
    }
    off(trace, thread, READ_OUTPUT, (490 * MS, 690 * MS));
    off(trace, thread, wait(8), (690 * MS + 1_000, 690 * MS + 2_000));
}

#[test]
fn a_main_thread_that_waits_for_its_children_is_told_how_many_and_where() {
    let mut trace = started();
    trace.begin_call(SIGNALS, READ_SIGNAL, MS);
    trace.switch_out(SIGNALS, MS + 10, os_id(SIGNALS), false);
    trace.switch_out(RUNNER, MS, os_id(RUNNER), false);
    runs_nine(&mut trace, MAIN);
    let found = only(trace, 700 * MS, InsightKind::ChildProcesses);
    let title = "main waited 600 ms for 9 child processes, the longest 200 ms, \
                 mostly at app::f1 (src/main.rs:1)";
    assert_eq!(found.title, title);
    let evidence = [
        "86% of its time; what the processes did is not in this trace",
        "400 ms in 9 waits at app::f1 (src/main.rs:1)",
        "200 ms in 1 wait at app::f2 (src/main.rs:2)",
        "starting processes took another 32.0 ms, 8 times at app::f3 (src/main.rs:3)",
    ];
    assert_eq!(found.evidence, evidence);
    assert_eq!((found.threads[0], found.stacks[0]), (ThreadId(MAIN), StackId(1)));
}

/// Starts a child at a stack.
fn start(trace: &mut TraceBuilder, child: u32, stack: u32, at: u64) {
    let start = open_call(CallId::POSIX_SPAWN, 0, stack);
    trace.call(MAIN, start, at, 1_000, i64::from(9000 + child));
}

#[test]
fn children_that_are_waited_for_at_one_place_are_told_apart_by_where_they_were_started() {
    let mut trace = started();
    only_main(&mut trace);
    // `app::f3` starts two, `app::f4` one; all are waited for at `app::f1`.
    for (child, stack) in [(0, 3), (1, 3), (2, 4)] {
        start(&mut trace, child, stack, u64::from(child) * 10_000);
    }
    for (child, from, to) in [(0, 1, 101), (1, 110, 210), (2, 220, 320)] {
        off(&mut trace, MAIN, wait(child), (from * MS, to * MS));
    }
    let found = only(trace, 330 * MS, InsightKind::ChildProcesses);
    let title = "main waited 300 ms for 3 child processes, the longest 100 ms, \
                 mostly started at app::f3 (src/main.rs:3)";
    assert_eq!(found.title, title);
    let places = [
        "200 ms in 2 waits for those started at app::f3 (src/main.rs:3)",
        "100 ms in 1 wait for those started at app::f4 (src/main.rs:4)",
    ];
    assert_eq!(found.evidence[1..], places);
}

#[test]
fn output_is_waited_for_as_the_child_is_that_its_thread_finds_next() {
    let mut trace = started();
    only_main(&mut trace);
    for (child, stack, from) in [(0, 3, 10), (1, 4, 200)] {
        start(&mut trace, child, stack, (from - 1) * MS);
        off(&mut trace, MAIN, READ_OUTPUT, (from * MS, (from + 100) * MS));
        trace.call(MAIN, WAIT_FOR_ANY, (from + 101) * MS, 100, i64::from(9000 + child));
    }
    let found = only(trace, 330 * MS, InsightKind::ChildProcesses);
    assert!(found.title.ends_with(", the longest 100 ms, at 2 places"), "{}", found.title);
    let places = [
        "100 ms in 1 wait for those started at app::f3 (src/main.rs:3)",
        "100 ms in 1 wait for those started at app::f4 (src/main.rs:4)",
    ];
    assert_eq!(found.evidence[1..], places);
}

#[test]
fn a_function_that_runs_processes_for_others_is_as_many_places_as_it_has_callers() {
    let mut trace = started();
    only_main(&mut trace);
    // `app::f1` waits for `app::resize`, for `app::upload`, and both are called by `main`.
    for (stack, caller, line) in [(11, "app::resize", 30), (12, "app::upload", 40)] {
        let address = u64::from(stack) * 0x100;
        trace.stack(stack, &[0x100, 0x101, address, 0x1300]);
        trace.symbol(address, &[(caller, "src/main.rs", line)]);
    }
    trace.symbol(0x1300, &[("app::main", "src/main.rs", 50)]);
    for (child, stack, from, to) in [(0, 11, 1, 101), (1, 11, 110, 210), (2, 12, 220, 320)] {
        let wait = open_call(CallId::WAITPID, 10 + child, stack);
        off(&mut trace, MAIN, wait, (from * MS, to * MS));
    }
    let found = only(trace, 330 * MS, InsightKind::ChildProcesses);
    let title = "main waited 300 ms for 3 child processes, the longest 100 ms, mostly at app::f1 \
                 (src/main.rs:1), called at app::resize (src/main.rs:30)";
    assert_eq!(found.title, title);
    let places = [
        "200 ms in 2 waits at app::f1 (src/main.rs:1), called at app::resize (src/main.rs:30)",
        "100 ms in 1 wait at app::f1 (src/main.rs:1), called at app::upload (src/main.rs:40)",
    ];
    assert_eq!(found.evidence[1..], places);
}

#[test]
fn output_that_is_polled_for_is_waited_for_as_its_process_is() {
    let mut trace = started();
    off(&mut trace, MAIN, POLL_OUTPUT, (MS, 400 * MS));
    off(&mut trace, MAIN, wait(0), (401 * MS, 402 * MS));
    [SIGNALS, RUNNER].into_iter().for_each(|it| trace.switch_out(it, MS, os_id(it), false));
    let found = only(trace, 440 * MS, InsightKind::ChildProcesses);
    let title = "main waited 400 ms for 1 child process, the longest 399 ms, \
                 mostly at app::f6 (src/main.rs:6)";
    assert_eq!(found.title, title);
}

#[test]
fn a_child_whose_output_is_still_read_at_the_end_counts_as_well() {
    let mut trace = started();
    off(&mut trace, MAIN, wait(0), (MS, 200 * MS));
    trace.begin_call(MAIN, READ_OUTPUT, 201 * MS);
    trace.switch_out(MAIN, 201 * MS + 10, os_id(MAIN), false);
    [SIGNALS, RUNNER].into_iter().for_each(|it| trace.switch_out(it, MS, os_id(it), false));
    let found = only(trace, 501 * MS, InsightKind::ChildProcesses);
    let title = "main waited 499 ms for 2 child processes, the longest at least 300 ms, \
                 mostly at app::f2 (src/main.rs:2)";
    assert_eq!(found.title, title);
}

/// The threads but main do nothing.
fn only_main(trace: &mut TraceBuilder) {
    [SIGNALS, RUNNER].into_iter().for_each(|it| trace.switch_out(it, MS, os_id(it), false));
}

#[test]
fn a_wait_that_no_child_ended_is_for_none() {
    let mut trace = started();
    only_main(&mut trace);
    for child in 0..3_u64 {
        let at = child * 100 * MS;
        // It looks whether one has ended, ten times, and then waits for one.
        for look in 1..=10 {
            trace.call(MAIN, WAIT_FOR_ANY, at + look * 1_000, 100, 0);
        }
        off(&mut trace, MAIN, WAIT_FOR_ANY, (at + MS, at + 90 * MS));
    }
    trace.call(MAIN, WAIT_FOR_ANY, 291 * MS, 100, ECHILD);
    // That of another, which is not its child.
    trace.call(MAIN, wait(7), 292 * MS, 100, ECHILD);
    let found = only(trace, 300 * MS, InsightKind::ChildProcesses);
    assert!(found.title.starts_with("main waited 267 ms for 3 child processes"), "{}", found.title);
}

#[test]
fn a_child_that_is_asked_for_again_and_again_counts_once() {
    let mut trace = started();
    only_main(&mut trace);
    trace.call(MAIN, wait(0), MS, 100, 0);
    trace.begin_call(MAIN, wait(0), 2 * MS);
    trace.switch_out(MAIN, 2 * MS + 10, os_id(MAIN), false);
    let found = only(trace, 300 * MS, InsightKind::ChildProcesses);
    assert!(found.title.starts_with("main waited 298 ms for 1 child process,"), "{}", found.title);
}

#[test]
fn who_only_looks_at_a_child_does_not_wait_for_it() {
    let mut trace = started();
    only_main(&mut trace);
    for look in 0..10 {
        (1..=5).for_each(|child| trace.call(MAIN, wait(child), MS + look * 1_000, 100, 0));
    }
    off(&mut trace, MAIN, wait(0), (10 * MS, 290 * MS));
    let found = only(trace, 300 * MS, InsightKind::ChildProcesses);
    assert!(found.title.starts_with("main waited 280 ms for 1 child process,"), "{}", found.title);
}

#[test]
fn a_child_that_waitid_names_counts_though_no_result_tells_of_it() {
    let mut trace = started();
    only_main(&mut trace);
    off(&mut trace, MAIN, wait(0), (10 * MS, 290 * MS));
    trace.call(MAIN, open_call(CallId::WAITID, 11, 1), 291 * MS, 100, 0);
    // Of any child it may only have looked.
    trace.call(MAIN, open_call(CallId::WAITID, 0, 1), 292 * MS, 100, 0);
    let found = only(trace, 300 * MS, InsightKind::ChildProcesses);
    assert!(found.title.starts_with("main waited 280 ms for 2 child processes"), "{}", found.title);
}

#[test]
fn a_child_that_is_waited_for_when_a_window_ends_counts_as_well() {
    let mut trace = started();
    only_main(&mut trace);
    off(&mut trace, MAIN, wait(0), (10 * MS, 100 * MS));
    off(&mut trace, MAIN, wait(1), (110 * MS, 500 * MS));
    let options = Options { to: Some(Ticks(300 * MS)), ..Options::default() };
    let found = only_of(report_of(trace, 600 * MS, options).1, InsightKind::ChildProcesses);
    assert!(found.title.starts_with("main waited 280 ms for 2 child processes"), "{}", found.title);
}

#[test]
fn a_main_thread_that_waits_for_one_that_runs_children_is_told_both() {
    let mut trace = started();
    trace.switch_out(SIGNALS, MS, os_id(SIGNALS), false);
    runs_nine(&mut trace, RUNNER);
    trace.switch_out(RUNNER, 692 * MS, os_id(RUNNER), false);
    off(&mut trace, MAIN, JOIN, (MS, 693 * MS));
    let found = only(trace, 700 * MS, InsightKind::ChildProcesses);
    assert!(found.title.starts_with("runner waited 600 ms for 9 child"), "{}", found.title);
    let chain = "main waited 691 ms for runner (join at app::f5 (src/main.rs:5))";
    assert_eq!(found.evidence.last().map(String::as_str), Some(chain));
}

#[test]
fn who_only_watches_over_one_process_is_left_alone() {
    let mut trace = started();
    trace.begin_call(RUNNER, wait(0), MS);
    trace.switch_out(RUNNER, MS + 10, os_id(RUNNER), false);
    trace.switch_out(SIGNALS, MS, os_id(SIGNALS), false);
    let (_, found) = report(trace, 700 * MS);
    assert!(found.iter().all(|it| it.kind != InsightKind::ChildProcesses), "{found:#?}");
}

#[test]
fn a_read_that_never_ends_is_how_a_thread_rests_unless_it_is_main() {
    for (thread, is_rest) in [(SIGNALS, true), (MAIN, false)] {
        let mut trace = started();
        // One that ended held its thread up, whichever it was.
        off(&mut trace, thread, READ_SIGNAL, (MS, 3 * MS));
        trace.begin_call(thread, READ_SIGNAL, 4 * MS);
        trace.switch_out(thread, 4 * MS + 10, os_id(thread), false);
        let (report, _) = report(trace, 700 * MS);
        let groups = report.lives.waits_by_resource();
        let reads = groups.iter().filter(|group| group.reason.is_input());
        let reads: Vec<_> = reads.map(|it| (it.is_rest(), it.total.0 / MS)).collect();
        let expected: &[_] = if is_rest { &[(true, 695), (false, 1)] } else { &[(false, 697)] };
        assert_eq!(reads, expected);
    }
}
