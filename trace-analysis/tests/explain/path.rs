//! What is said of programs whose main thread waits for others, and of functions that are hot.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use trace_analysis::explain::{Insight, InsightKind, explain, functions};
use trace_analysis::symbols::Symbols;
use trace_analysis::{Report, Trace, Wanted};
use trace_format::batch::Compression;
use trace_format::definition::ResourceKind;
use trace_format::id::{CallId, OpenCall, StackId, ThreadId};
use trace_format::read::TraceFile;
use trace_format::testgen::{TraceBuilder, open_call, os_id};

const MS: u64 = 1_000_000;

const MAIN: u32 = 1;
const STAGE: u32 = 2;
const READER: u32 = 3;
const SOURCE: u32 = 4;

/// Stacks are a library's function and the program's, `app::f` with the number.
const LIBRARIES: [&str; 6] = [
    "std::thread::JoinHandle::join",
    "std::sync::mpmc::list::Channel::recv",
    "std::sync::mpmc::list::Channel::send",
    "std::io::Read::read",
    "std::thread::sleep",
    "std::net::TcpListener::accept",
];
const SLEEP: OpenCall = open_call(CallId::CLOCK_NANOSLEEP, 0, 5);
const RECEIVE: OpenCall = open_call(CallId::FUTEX_WAIT, 1, 2);
const SEND: OpenCall = open_call(CallId::FUTEX_WAKE, 1, 3);
const READ: OpenCall = open_call(CallId::READ, 2, 4);
const WRITE: OpenCall = open_call(CallId::WRITE, 3, 4);
const ACCEPT: OpenCall = open_call(CallId::ACCEPT4, 6, 6);

const fn join(resource: u32) -> OpenCall {
    open_call(CallId::PTHREAD_JOIN, resource, 1)
}

fn started() -> TraceBuilder {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(MAIN, "main");
    for (thread, name) in [(STAGE, "stage"), (READER, "reader"), (SOURCE, "source")] {
        trace.spawned(thread, name, 0, (MAIN, 0, 0));
    }
    for (stack, library) in (1_u32..).zip(LIBRARIES) {
        let address = u64::from(stack) * 0x100;
        trace.stack(stack, &[address, address + 1]);
        trace.symbol(address, &[(library, "", 0)]);
        trace.symbol(address + 1, &[(&format!("app::f{stack}"), "src/main.rs", stack)]);
    }
    trace.resource(1, ResourceKind::Address, 0xf00, "");
    trace.resource(2, ResourceKind::Pipe, 7, "pipe:[99]");
    trace.resource(3, ResourceKind::Pipe, 8, "pipe:[99]");
    for (resource, thread) in [(4, STAGE), (5, READER), (7, SOURCE)] {
        trace.resource(resource, ResourceKind::Thread, os_id(thread), "");
    }
    trace.resource(6, ResourceKind::Socket, 9, "tcp 127.0.0.1:80");
    trace.facility("sched", true, "perf_event_open; threads at start: 4; 4 rings of 512 KiB");
    (MAIN..=SOURCE).for_each(|thread| trace.switch_in(thread, 0, os_id(thread)));
    trace
}

/// A thread makes a call and is off its CPU meanwhile.
fn off(trace: &mut TraceBuilder, thread: u32, call: OpenCall, from: u64, to: u64) {
    trace.call(thread, call, from, to - from, 1);
    trace.switch_out(thread, from + 10, os_id(thread), false);
    trace.switch_in(thread, to - 10, os_id(thread));
}

/// A thread has nothing to do any more.
fn gone(trace: &mut TraceBuilder, thread: u32, at: u64) {
    trace.switch_out(thread, at, os_id(thread), false);
}

fn insights(trace: TraceBuilder, end: u64) -> Vec<Insight> {
    let file = TraceFile::open(trace.stop(end)).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    let trace = Trace::new(&file).named(&symbols);
    explain(&trace, &Report::read(&trace, Wanted::default(), |_| {}))
}

#[track_caller]
fn only(trace: TraceBuilder, end: u64, kind: InsightKind) -> Insight {
    let mut found = insights(trace, end);
    let titles: Vec<_> = found.iter().map(|it| (it.kind.name(), it.title.as_str())).collect();
    assert_eq!((found.len(), found.first().map(|it| it.kind)), (1, Some(kind)), "{titles:?}");
    found.remove(0)
}

/// `main` waits for `stage`, that for a message of `reader`, that for a pipe that `source` fills
/// after it has slept for 200 ms.
fn chain() -> TraceBuilder {
    let mut trace = started();
    off(&mut trace, SOURCE, SLEEP, MS, 201 * MS);
    off(&mut trace, READER, READ, 2 * MS, 202 * MS);
    trace.call(SOURCE, WRITE, 201 * MS + 500_000, 600_000, 1);
    gone(&mut trace, SOURCE, 203 * MS);
    off(&mut trace, STAGE, RECEIVE, 3 * MS, 204 * MS);
    trace.call(READER, SEND, 203 * MS, 2_000, 1);
    gone(&mut trace, READER, 205 * MS);
    gone(&mut trace, STAGE, 209 * MS);
    off(&mut trace, MAIN, join(4), 4 * MS, 210 * MS);
    trace
}

#[test]
fn a_path_through_threads_that_made_each_other_has_an_end() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(1, "main");
    trace.spawned(2, "hen", 1_000, (3, 0, 0));
    trace.spawned(3, "egg", 1_000, (2, 0, 0));
    trace.resource(1, ResourceKind::Address, 0xf00, "");
    trace.call(1, RECEIVE, 10 * MS, 190 * MS, 0);
    trace.call(2, SEND, 199 * MS, 1_000, 1);
    let (found, finding) = mpsc::channel();
    thread::spawn(move || found.send(insights(trace, 212 * MS)));
    assert!(finding.recv_timeout(Duration::from_secs(60)).is_ok(), "it goes on for ever");
}

#[test]
fn the_last_cause_of_a_chain_of_threads_is_named_with_the_chain() {
    let insight = only(chain(), 212 * MS, InsightKind::CriticalPath);
    let title = "94% of main's 212 ms depend on source, which slept at app::f5 (src/main.rs:5): \
                 200 ms";
    assert_eq!(insight.title, title);
    let parts: Vec<_> = insight.evidence[0].split("; ").collect();
    let [first, second, third] = parts.as_slice() else { panic!("{parts:?}") };
    assert!(first.starts_with("main waited") && first.contains("for stage (join at app::f1"));
    assert!(second.contains("for reader (channel receive at app::f2"), "{second}");
    assert!(third.contains("for source (pipe read at app::f4"), "{third}");
    assert_eq!(insight.threads, [ThreadId(SOURCE), ThreadId(MAIN)]);
    assert_eq!(insight.stacks[..2], [StackId(5), StackId(4)]);
}

#[test]
fn a_pipe_that_is_filled_before_the_read_is_over_is_its_writers_doing_too() {
    // The writer's call is over first, or last: it is the same hand-over.
    for write_ends in [201 * MS, 207 * MS] {
        let mut trace = started();
        off(&mut trace, SOURCE, SLEEP, MS, 200 * MS);
        off(&mut trace, MAIN, READ, 2 * MS, 202 * MS);
        let from = 200 * MS + 1_000;
        trace.call(SOURCE, WRITE, from, write_ends - from, 1);
        (STAGE..=SOURCE).for_each(|thread| gone(&mut trace, thread, 208 * MS));
        let found = insights(trace, 210 * MS);
        let kinds: Vec<_> = found.iter().map(|it| it.kind).collect();
        assert_eq!(kinds, [InsightKind::CriticalPath], "{found:?}");
    }
}

#[test]
fn who_waits_for_one_that_computes_alone_is_told_so() {
    let mut trace = started();
    gone(&mut trace, READER, 3 * MS);
    gone(&mut trace, SOURCE, 3 * MS);
    // It was put off its CPU for a third of the time.
    trace.switch_out(STAGE, 100 * MS, os_id(STAGE), true);
    trace.switch_in(STAGE, 200 * MS, os_id(STAGE));
    gone(&mut trace, STAGE, 299 * MS);
    off(&mut trace, MAIN, join(4), MS, 300 * MS);
    let found = insights(trace, 301 * MS);
    let one = found.iter().find(|it| it.kind == InsightKind::OneThread).expect("it is told");
    let title = "99% of main's 301 ms depend on stage, which computed: 299 ms";
    assert_eq!(one.title, title);
    let evidence = "stage was on a CPU for 199 ms, ready without one for 100 ms; the program used \
                    0.69 CPUs on average, of 4";
    assert_eq!(one.evidence[1], evidence);
    assert_eq!(one.threads[0], ThreadId(STAGE));
}

#[test]
fn who_shares_the_work_or_waits_for_the_world_is_well() {
    // Two compute side by side.
    let mut trace = started();
    gone(&mut trace, SOURCE, 3 * MS);
    gone(&mut trace, READER, 298 * MS);
    gone(&mut trace, STAGE, 299 * MS);
    off(&mut trace, MAIN, join(4), MS, 300 * MS);
    assert_eq!(insights(trace, 301 * MS), []);
    // The one that is waited for waits for somebody to connect.
    let mut trace = started();
    off(&mut trace, STAGE, ACCEPT, MS, 298 * MS);
    gone(&mut trace, STAGE, 299 * MS);
    (READER..=SOURCE).for_each(|thread| gone(&mut trace, thread, 3 * MS));
    off(&mut trace, MAIN, join(4), MS, 300 * MS);
    assert_eq!(insights(trace, 301 * MS), []);
    // The main thread sleeps itself, and somebody else meanwhile.
    let mut trace = started();
    off(&mut trace, STAGE, SLEEP, MS, 298 * MS);
    (STAGE..=SOURCE).for_each(|thread| gone(&mut trace, thread, 299 * MS));
    off(&mut trace, MAIN, SLEEP, MS, 300 * MS);
    assert_eq!(insights(trace, 301 * MS), []);
    // The one that is waited for waits as well, too shortly to be told.
    let mut trace = started();
    for at in 0..28_000_u64 {
        off(&mut trace, STAGE, SLEEP, MS + at * 10_000, MS + at * 10_000 + 9_000);
    }
    (READER..=SOURCE).for_each(|thread| gone(&mut trace, thread, MS));
    gone(&mut trace, STAGE, 299 * MS);
    off(&mut trace, MAIN, join(4), MS, 300 * MS);
    let found = insights(trace, 301 * MS);
    assert!(found.iter().all(|it| it.kind != InsightKind::OneThread), "{found:?}");
    // It still waits when the trace stops: what for is not decided.
    let mut trace = started();
    off(&mut trace, SOURCE, SLEEP, MS, 300 * MS);
    (STAGE..=READER).for_each(|thread| gone(&mut trace, thread, 3 * MS));
    trace.begin_call(MAIN, join(7), MS);
    gone(&mut trace, MAIN, MS + 10);
    let found = insights(trace, 301 * MS);
    assert!(found.iter().all(|it| it.kind != InsightKind::CriticalPath), "{found:?}");
}

#[test]
fn threads_that_wake_each_other_all_the_time_make_no_path_endless() {
    let mut trace = started();
    for round in 0..500 {
        let at = MS + round * 500_000;
        trace.call(STAGE, RECEIVE, at, 250_000, 0);
        trace.call(MAIN, SEND, at + 200_000, 1_000, 1);
        trace.call(MAIN, open_call(CallId::FUTEX_WAIT, 2, 2), at + 250_000, 240_000, 0);
        trace.call(STAGE, open_call(CallId::FUTEX_WAKE, 2, 3), at + 450_000, 1_000, 1);
    }
    insights(trace, 300 * MS);
}

/// Samples: so many in `app::f2` on one thread, so many elsewhere.
fn sampled(hot: u64, cold: u64) -> TraceBuilder {
    let mut trace = started();
    (STAGE..=SOURCE).for_each(|thread| gone(&mut trace, thread, MS));
    for at in 0..hot + cold {
        let stack = if at < hot { 2 } else { 3 };
        trace.sample(MAIN, (at + 2) * MS, os_id(MAIN), stack);
    }
    trace
}

#[test]
fn a_function_with_most_of_the_cpu_time_is_named() {
    let insight = only(sampled(90, 10), 103 * MS, InsightKind::HotFunction);
    let title = "main spent 92.7 ms of CPU time in app::f2 (src/main.rs:2): 87% of all";
    assert_eq!(insight.title, title);
    assert!(insight.evidence[0].starts_with("90 of 100 samples found it there"), "{insight:?}");
    assert_eq!(insight.evidence[1], "next: app::f3 10%");
    assert_eq!((insight.threads[0], insight.stacks[0]), (ThreadId(MAIN), StackId(2)));
    // Half is the limit, and few samples say nothing; nor is a program that rests slow by that.
    assert_eq!(insights(sampled(50, 50), 103 * MS), []);
    assert_eq!(insights(sampled(15, 2), 20 * MS), []);
    let mut rests = sampled(90, 10);
    gone(&mut rests, MAIN, 103 * MS);
    assert_eq!(insights(rests, 1_000 * MS), []);
}

#[test]
fn functions_with_less_than_half_of_the_cpu_time_are_told_though_none_is_a_finding() {
    let told = |trace: TraceBuilder, end: u64| {
        let file = TraceFile::open(trace.stop(end)).expect("a trace");
        let symbols = Symbols::of_trace(file.tables());
        let trace = Trace::new(&file).named(&symbols);
        let report = Report::read(&trace, Wanted::default(), |_| {});
        let shares = functions(&trace, &report).into_iter();
        shares.map(|it| (it.name, it.cpu.0 * 100 / it.all.0, it.samples)).collect::<Vec<_>>()
    };
    // The others were on CPUs for 1 ms each.
    let shares = [("app::f2".to_owned(), 48, 50), ("app::f3".to_owned(), 48, 50)];
    assert_eq!(told(sampled(50, 50), 103 * MS), shares);
    assert_eq!(told(sampled(15, 2), 20 * MS), []);
}
