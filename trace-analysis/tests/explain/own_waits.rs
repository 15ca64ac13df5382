//! What is said of programs whose main thread waits itself for most of the time, or for a thread
//! that does, and of those whose main thread only rests.

use trace_analysis::explain::{Insight, InsightKind, explain};
use trace_analysis::symbols::Symbols;
use trace_analysis::{Report, Trace, Wanted};
use trace_format::batch::Compression;
use trace_format::definition::ResourceKind;
use trace_format::id::{CallId, OpenCall, ResourceId, StackId, ThreadId};
use trace_format::read::TraceFile;
use trace_format::testgen::{TraceBuilder, open_call, os_id};

const US: u64 = 1_000;
const MS: u64 = 1_000_000;

const MAIN: u32 = 1;
const WORKER: u32 = 2;

/// Stacks are a library's function and the program's, `app::f` with the number.
const LIBRARIES: [&str; 6] = [
    "std::io::Read::read",
    "std::thread::sleep",
    "std::net::TcpListener::accept",
    "std::thread::JoinHandle::join",
    "std::sys::sync::mutex::futex::Mutex::lock_contended",
    "std::fs::File::read",
];

const PIPE: u32 = 1;
const STDIN: u32 = 2;
const PEER: u32 = 3;
const FILE: u32 = 4;

const READ_PIPE: OpenCall = open_call(CallId::READ, PIPE, 1);
const READ_STDIN: OpenCall = open_call(CallId::READ, STDIN, 1);
const RECEIVE: OpenCall = open_call(CallId::RECVFROM, PEER, 1);
const CONNECT: OpenCall = open_call(CallId::CONNECT, PEER, 1);
const SLEEP: OpenCall = open_call(CallId::CLOCK_NANOSLEEP, 0, 2);
const ACCEPT: OpenCall = open_call(CallId::ACCEPT4, PEER, 3);
const JOIN: OpenCall = open_call(CallId::PTHREAD_JOIN, 5, 4);
const LOCK: OpenCall = open_call(CallId::FUTEX_WAIT, 6, 5);
const UNLOCK: OpenCall = open_call(CallId::FUTEX_WAKE, 6, 5);
const READ_FILE: OpenCall = open_call(CallId::READ, FILE, 6);

/// A main thread and one that it made, each on a CPU of its own.
fn running() -> TraceBuilder {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(MAIN, "main");
    trace.spawned(WORKER, "worker", 0, (MAIN, 0, 0));
    for (stack, library) in (1_u32..).zip(LIBRARIES) {
        let address = u64::from(stack) * 0x100;
        trace.stack(stack, &[address, address + 1]);
        trace.symbol(address, &[(library, "", 0)]);
        trace.symbol(address + 1, &[(&format!("app::f{stack}"), "src/main.rs", stack)]);
    }
    trace.resource(PIPE, ResourceKind::Pipe, 7, "pipe:[99]");
    trace.resource(STDIN, ResourceKind::Pipe, 0, "pipe:[7]");
    trace.resource(PEER, ResourceKind::Socket, 9, "tcp 127.0.0.1:80");
    trace.resource(FILE, ResourceKind::File, 8, "/data/big");
    trace.resource(5, ResourceKind::Thread, os_id(WORKER), "");
    trace.resource(6, ResourceKind::Address, 0xf00, "");
    trace.facility("sched", true, "perf_event_open; threads at start: 2; 2 rings of 512 KiB");
    (MAIN..=WORKER).for_each(|thread| trace.switch_in(thread, 0, os_id(thread)));
    trace
}

/// The same, with a worker that does nothing.
fn alone() -> TraceBuilder {
    let mut trace = running();
    gone(&mut trace, WORKER, MS);
    trace
}

/// Off a CPU for the time of a call, as the kernel tells it.
fn off(trace: &mut TraceBuilder, thread: u32, call: OpenCall, (from, to): (u64, u64)) {
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

#[test]
fn a_main_thread_that_waits_for_the_world_is_told_what_for_and_how_much_of_its_time() {
    for (call, did) in [
        (READ_PIPE, "main waited 270 ms for pipe read of pipe:[99], 90% of its time at app::f1"),
        (READ_STDIN, "main waited 270 ms for standard input, 90% of its time at app::f1"),
        (RECEIVE, "main waited 270 ms for socket read of tcp 127.0.0.1:80, 90% of its time at"),
        (CONNECT, "main waited 270 ms for socket write of tcp 127.0.0.1:80, 90% of its time at"),
        (SLEEP, "main slept for 270 ms, 90% of its time at app::f2 (src/main.rs:2)"),
    ] {
        let mut trace = alone();
        off(&mut trace, MAIN, call, (10 * MS, 280 * MS));
        let found = only(trace, 300 * MS, InsightKind::CriticalPath);
        assert!(found.title.starts_with(did), "{}", found.title);
        assert_eq!((found.lost.0 + MS / 2) / MS, 270, "{found:#?}");
        assert_eq!((&found.threads[..], found.at), (&[ThreadId(MAIN)][..], Some(trace_moment())));
        assert!(found.evidence[0].starts_with("1 time, the longest 270 ms"), "{found:#?}");
    }
}

fn trace_moment() -> trace_analysis::Moment {
    trace_format::time::Nanos(10 * MS).into()
}

#[test]
fn one_kind_of_waiting_counts_together_wherever_and_however_short_each_wait_is() {
    let mut trace = alone();
    trace.stack(20, &[0x100, 0x2001]);
    trace.symbol(0x2001, &[("app::elsewhere", "src/main.rs", 20)]);
    // A line every 30 µs, which is too short for any list; the child takes 20 µs for each.
    for line in 0..10_000 {
        let at = MS + line * 30 * US;
        let call = if line % 4 == 0 { open_call(CallId::READ, PIPE, 20) } else { READ_PIPE };
        off(&mut trace, MAIN, call, (at, at + 20 * US));
    }
    let found = only(trace, 302 * MS, InsightKind::CriticalPath);
    let title = "main waited 200 ms for pipe read of pipe:[99], 66% of its time at app::f1";
    assert!(found.title.starts_with(title), "{}", found.title);
    assert_eq!(found.resource, Some(ResourceId(PIPE)));
    assert_eq!(found.stacks, [StackId(1), StackId(20)]);
    let evidence = [
        "10,000 times, the longest 20.0 µs",
        "150 ms at app::f1 (src/main.rs:1)",
        "50.0 ms at app::elsewhere (src/main.rs:20)",
        "no thread of the program ended it: what the other side did is not recorded",
    ];
    assert_eq!(found.evidence, evidence);
}

#[test]
fn a_file_whose_reads_are_each_too_fast_to_be_slow_is_told_by_their_sum() {
    let mut trace = alone();
    for read in 0..3_000 {
        let at = MS + read * 100 * US;
        off(&mut trace, MAIN, READ_FILE, (at, at + 80 * US));
    }
    let found = only(trace, 302 * MS, InsightKind::CriticalPath);
    let title = "main waited 240 ms for file read of /data/big, 79% of its time at app::f6";
    assert!(found.title.starts_with(title), "{}", found.title);
}

#[test]
fn who_waits_for_the_world_to_ask_or_rests_while_others_work_is_well() {
    // It listens.
    let mut trace = alone();
    off(&mut trace, MAIN, ACCEPT, (10 * MS, 299 * MS));
    assert_eq!(insights(trace, 301 * MS), []);
    // It sleeps, or reads what it is told to do, while a worker works.
    for call in [SLEEP, READ_STDIN] {
        let mut trace = running();
        off(&mut trace, MAIN, call, (10 * MS, 299 * MS));
        gone(&mut trace, WORKER, 200 * MS);
        assert_eq!(insights(trace, 301 * MS), []);
    }
    // It waits for less than half of the time.
    let mut trace = alone();
    off(&mut trace, MAIN, READ_PIPE, (10 * MS, 140 * MS));
    assert_eq!(insights(trace, 301 * MS), []);
    // What holds the workers of a main thread that rests up is what there is to say.
    let mut trace = running();
    trace.spawned(3, "other", 0, (MAIN, 0, 0));
    trace.switch_in(3, 0, os_id(3));
    off(&mut trace, WORKER, LOCK, (10 * MS, 200 * MS));
    off(&mut trace, 3, SLEEP, (11 * MS, 199 * MS));
    trace.call(3, UNLOCK, 200 * MS - 1_000, 500, 1);
    [WORKER, 3].into_iter().for_each(|thread| gone(&mut trace, thread, 201 * MS));
    off(&mut trace, MAIN, SLEEP, (10 * MS, 299 * MS));
    only(trace, 301 * MS, InsightKind::SlowHolder);
}

#[test]
fn a_busy_worker_does_not_hide_that_main_waits_for_a_pipe() {
    let mut trace = running();
    off(&mut trace, MAIN, READ_PIPE, (10 * MS, 299 * MS));
    gone(&mut trace, WORKER, 200 * MS);
    only(trace, 301 * MS, InsightKind::CriticalPath);
}

#[test]
fn a_worker_that_main_joins_is_told_to_wait_however_short_each_wait_is() {
    let mut trace = running();
    for line in 0..9_000 {
        let at = MS + line * 30 * US;
        off(&mut trace, WORKER, READ_PIPE, (at, at + 27 * US));
    }
    gone(&mut trace, WORKER, 299 * MS);
    off(&mut trace, MAIN, JOIN, (MS, 300 * MS));
    let found = only(trace, 301 * MS, InsightKind::CriticalPath);
    let title = "% of main's 301 ms depend on worker, which waited (pipe read) at app::f1 \
                 (src/main.rs:1): ";
    assert!(found.title.contains(title), "{}", found.title);
    assert!(found.evidence[0].contains("for worker (join at app::f4"), "{:?}", found.evidence);
}

#[test]
fn a_worker_that_main_joins_and_that_waits_for_a_peer_is_told() {
    let mut trace = running();
    off(&mut trace, WORKER, RECEIVE, (2 * MS, 298 * MS));
    gone(&mut trace, WORKER, 299 * MS);
    off(&mut trace, MAIN, JOIN, (MS, 300 * MS));
    let found = only(trace, 301 * MS, InsightKind::CriticalPath);
    let title = "98% of main's 301 ms depend on worker, which waited (socket read) at app::f1";
    assert!(found.title.starts_with(title), "{}", found.title);
}

#[test]
fn the_only_thread_that_lived_through_counts_as_the_main_thread_of_a_test() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(MAIN, "tests::it_reads");
    trace.thread(WORKER, "helper");
    trace.stack(1, &[0x100, 0x101]);
    trace.symbol(0x100, &[(LIBRARIES[0], "", 0)]);
    trace.symbol(0x101, &[("app::f1", "src/main.rs", 1)]);
    trace.resource(PIPE, ResourceKind::Pipe, 7, "pipe:[99]");
    trace.facility("sched", true, "perf_event_open; threads at start: 1; 2 rings of 512 KiB");
    trace.switch_in(MAIN, 0, os_id(MAIN));
    off(&mut trace, MAIN, READ_PIPE, (10 * MS, 299 * MS));
    // Another one is over soon.
    trace.switch_in(WORKER, 1, os_id(WORKER));
    trace.define(&trace_format::definition::Definition::ThreadEnd {
        id: ThreadId(WORKER),
        ended: true,
        ticks: trace_format::time::Ticks(MS),
        events: 0,
        dropped_events: 0,
        dropped_ends: 0,
    });
    gone(&mut trace, WORKER, MS);
    let found = only(trace, 301 * MS, InsightKind::CriticalPath);
    assert!(found.title.starts_with("tests::it_reads waited 289 ms for pipe"), "{}", found.title);
}
