//! The figures of a title and of what is below it are of the same things, and none is cut by how
//! many are listed.

use trace_analysis::explain::{Insight, InsightKind, explain};
use trace_analysis::life::Lives;
use trace_analysis::reason::Reason;
use trace_analysis::symbols::Symbols;
use trace_analysis::{Report, Trace, Wanted};
use trace_format::batch::Compression;
use trace_format::definition::{Definition, ResourceKind};
use trace_format::id::{CallId, OpenCall, StackId, ThreadId};
use trace_format::read::TraceFile;
use trace_format::testgen::{TraceBuilder, open_call, os_id};
use trace_format::time::{Nanos, Ticks};

const MS: u64 = 1_000_000;

/// More threads than any list has room for.
const CROWD: u32 = 12;

const MUTEX: u32 = 1;
const PIPE: u32 = 2;
const DEVICE: u32 = 3;
const FIRST_FILE: u32 = 4;
const SECOND_FILE: u32 = 5;
const MESSAGES: u32 = 6;

const LOCK: OpenCall = open_call(CallId::FUTEX_WAIT, MUTEX, 1);
const SLEEP: OpenCall = open_call(CallId::CLOCK_NANOSLEEP, 0, 2);
const YIELD: OpenCall = open_call(CallId::SCHED_YIELD, 0, 3);
const UNLOCK: OpenCall = open_call(CallId::FUTEX_WAKE, MUTEX, 7);
const RECEIVE: OpenCall = open_call(CallId::FUTEX_WAIT, MESSAGES, 8);
const SEND: OpenCall = open_call(CallId::FUTEX_WAKE, MESSAGES, 9);
const CHANNEL_SEND: OpenCall = open_call(CallId::FUTEX_WAIT, MESSAGES, 10);

fn read_of(resource: u32) -> OpenCall {
    open_call(CallId::READ, resource, if resource == PIPE { 4 } else { 6 })
}

fn sync_of(resource: u32) -> OpenCall {
    open_call(CallId::FSYNC, resource, 5)
}

/// A trace with this number of threads, from `t1` on.
fn started(threads: u32) -> TraceBuilder {
    let mut trace = TraceBuilder::started(Compression::None);
    (1..=threads).for_each(|thread| trace.thread(thread, &format!("t{thread}")));
    let libraries = [
        "std::sys::sync::mutex::futex::Mutex::lock_contended",
        "std::thread::sleep",
        "std::thread::yield_now",
        "std::fs::File::read",
        "std::fs::File::sync_all",
        "std::fs::File::read",
        "std::sys::sync::mutex::futex::Mutex::wake",
        "std::sync::mpmc::list::Channel::recv",
        "std::sync::mpmc::list::Channel::send",
        "std::sync::mpmc::array::Channel::send",
    ];
    for (stack, library) in (1_u32..).zip(libraries) {
        let address = u64::from(stack) * 0x100;
        trace.stack(stack, &[address, address + 1]);
        trace.symbol(address, &[(library, "", 0)]);
        trace.symbol(address + 1, &[(&format!("app::f{stack}"), "src/main.rs", stack)]);
    }
    trace.resource(MUTEX, ResourceKind::Address, 0xf00, "");
    trace.resource(PIPE, ResourceKind::Pipe, 7, "pipe");
    trace.resource(DEVICE, ResourceKind::Descriptor, 8, "/dev/urandom");
    trace.resource(FIRST_FILE, ResourceKind::File, 9, "/data/first");
    trace.resource(SECOND_FILE, ResourceKind::File, 10, "/data/second");
    trace.resource(MESSAGES, ResourceKind::Address, 0xe00, "");
    trace
}

/// The same, with each thread on a CPU of its own.
fn running(threads: u32) -> TraceBuilder {
    let mut trace = started(threads);
    let rings = format!("perf_event_open; threads at start: {threads}; {threads} rings of 512 KiB");
    trace.facility("sched", true, &rings);
    (1..=threads).for_each(|thread| trace.switch_in(thread, 0, os_id(thread)));
    trace
}

/// Off a CPU for the time of a call, as the kernel tells it.
fn off(trace: &mut TraceBuilder, thread: u32, call: OpenCall, (from, to): (u64, u64)) {
    trace.call(thread, call, from, to - from, 0);
    trace.switch_out(thread, from + 10, os_id(thread), false);
    trace.switch_in(thread, to - 10, os_id(thread));
}

/// The kernel has counted so much waiting for a CPU.
fn counted_ready(trace: &mut TraceBuilder, thread: u32, ready: u64) {
    for (at, ready) in [(0, 0), (1_000 * MS, ready)] {
        trace.define(&Definition::ThreadTime {
            id: ThreadId(thread),
            ticks: Ticks(at),
            cpu: Nanos(0),
            ready: Some(Nanos(ready)),
        });
    }
}

fn read(trace: TraceBuilder) -> (Lives, Vec<Insight>) {
    let file = TraceFile::open(trace.stop(1_000 * MS)).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    let trace = Trace::new(&file).named(&symbols);
    let report = Report::read(&trace, Wanted::default(), |_| {});
    let found = explain(&trace, &report);
    (report.lives, found)
}

#[track_caller]
fn first(trace: TraceBuilder, kind: InsightKind) -> Insight {
    let (_, found) = read(trace);
    let titles: Vec<_> = found.iter().map(|it| (it.kind.name(), it.title.clone())).collect();
    let of_kind = found.into_iter().find(|it| it.kind == kind);
    of_kind.unwrap_or_else(|| panic!("{titles:?}"))
}

#[test]
fn a_title_counts_all_who_waited_for_a_lock() {
    let mut trace = started(CROWD);
    for thread in 1..=CROWD {
        trace.call(thread, LOCK, u64::from(thread) * MS, 30 * MS, 0);
    }
    let (lives, found) = read(trace);
    assert_eq!(lives.waits.by_resource[0].waiters.len(), CROWD as usize);
    let title = "t1, t2 and 10 more waited 360 ms for one mutex, 12 times";
    assert!(found[0].title.starts_with(title), "{}", found[0].title);
}

#[test]
fn who_never_got_a_lock_is_told_of_once() {
    let mut trace = started(4);
    for round in 0..5 {
        trace.call(1, LOCK, round * 50 * MS, 30 * MS, 0);
        trace.call(2, LOCK, round * 50 * MS + MS, 29 * MS, 0);
    }
    // One has waited before, another has not.
    trace.begin_call(2, LOCK, 300 * MS);
    trace.begin_call(3, LOCK, 300 * MS);
    let (_, found) = read(trace);
    let title = "t2 and t3 still waited for locks when the trace stopped";
    assert!(found.iter().any(|it| it.title.starts_with(title)), "{found:#?}");
    let title = "t1 and t2 waited 295 ms for one mutex, 10 times";
    assert!(found.iter().any(|it| it.title.starts_with(title)), "{found:#?}");
}

#[test]
fn what_is_said_of_a_lock_is_of_the_waits_that_its_title_counts() {
    let mut trace = started(4);
    trace.stack(20, &[0x100, 0x2001]);
    trace.symbol(0x2001, &[("app::stuck", "src/main.rs", 99)]);
    for round in 0..5 {
        trace.call(1, LOCK, round * 50 * MS, 30 * MS, 0);
        trace.call(4, UNLOCK, round * 50 * MS + 30 * MS - 1_000, 500, 1);
    }
    // Those who never get it wait for longer, and at another place.
    (2..=3).for_each(|it| trace.begin_call(it, open_call(CallId::FUTEX_WAIT, MUTEX, 20), 300 * MS));
    let (_, found) = read(trace);
    let lock = found.iter().find(|it| it.resource.is_some() && it.kind != InsightKind::Stuck);
    let lock = lock.unwrap_or_else(|| panic!("{found:#?}"));
    let title = "t1 waited 150 ms for one mutex, 5 times at app::f1 (src/main.rs:1)";
    assert_eq!((lock.title.as_str(), lock.lost), (title, Nanos(150 * MS)));
    let evidence = [
        "t4 held it for 100% of the waiting and gave it up at app::f7 (src/main.rs:7); 5 holds, \
         30.0 ms at most and 150 ms in all: unknown 100%",
        "up to 2 threads waited for it at once, with those that never got it",
        "the longest wait took 30.0 ms: t1, from 0.000000 s on, ended by t4",
    ];
    assert_eq!(lock.evidence, evidence);
    assert_eq!(lock.at, Some(Nanos(0).into()));
    assert_eq!((lock.threads[0], lock.threads.len()), (ThreadId(4), 2));
}

#[test]
fn a_finding_names_each_thread_once() {
    let mut trace = started(3);
    for place in 11..=13 {
        let address = 0x900 + u64::from(place);
        trace.stack(place, &[0x900, address]);
        trace.symbol(address, &[(&format!("app::room{place}"), "src/main.rs", place)]);
    }
    for round in 0..12 {
        let at = round * 80 * MS;
        trace.call(1, CHANNEL_SEND, at, 70 * MS, 0);
        trace.call(2, CHANNEL_SEND, at, 70 * MS, 0);
        // It makes room at several places.
        let room = open_call(CallId::FUTEX_WAKE, MESSAGES, 11 + round as u32 % 3);
        trace.call(3, room, at + 70 * MS - 1_000, 500, 2);
    }
    let full = first(trace, InsightKind::FullChannel);
    assert_eq!(full.threads, [ThreadId(3), ThreadId(1), ThreadId(2)]);
}

#[test]
fn who_was_woken_and_has_no_cpu_yet_waits_for_one_too() {
    const WAITERS: u32 = 8;
    let mut trace = started(WAITERS + 1);
    trace.facility("sched", true, "perf_event_open; threads at start: 9; 1 rings of 512 KiB");
    let on_until = |it: u32| (20 + 100 * u64::from(it)) * MS;
    let waker = WAITERS + 1;
    for thread in 1..=WAITERS {
        let at = u64::from(thread) * 1_000;
        trace.switch_in(0, at, os_id(thread));
        trace.switch_out(0, at + 200, os_id(thread), false);
        let end = on_until(thread - 1) + 100;
        trace.call(thread, RECEIVE, at + 100, end - at - 100, 0);
    }
    // All are woken at once, and then each has the only CPU in turn.
    trace.switch_in(0, 20_000, os_id(waker));
    trace.call(waker, SEND, 10 * MS, 500, i64::from(WAITERS));
    trace.switch_out(0, on_until(0), os_id(waker), true);
    for thread in 1..=WAITERS {
        trace.switch_in(0, on_until(thread - 1), os_id(thread));
        trace.switch_out(0, on_until(thread), os_id(thread), false);
    }
    trace.switch_in(0, on_until(WAITERS), os_id(waker));
    let title = first(trace, InsightKind::Oversubscribed).title;
    assert!(title.ends_with(": up to 8 threads waited for 1 CPU at once"), "{title}");
}

#[test]
fn who_spins_is_not_among_those_who_waited_for_a_cpu_at_once() {
    let (spinner, victim, worker, other) = (1, 2, 3, 4);
    let mut trace = started(4);
    trace.facility("sched", true, "perf_event_open; threads at start: 4; 2 rings of 512 KiB");
    trace.switch_in(0, 0, os_id(worker));
    for round in 0..5_000 {
        let at = round * 200_000;
        trace.switch_in(1, at, os_id(spinner));
        trace.call(spinner, YIELD, at + 1_000, 150_000, 0);
        trace.switch_out(1, at + 10_000, os_id(spinner), true);
        trace.switch_in(1, at + 10_000, os_id(victim));
        trace.switch_out(1, at + 60_000, os_id(victim), true);
        // Now both could go on.
        trace.switch_in(1, at + 60_000, os_id(other));
        trace.switch_out(1, at + 140_000, os_id(other), false);
        trace.switch_in(1, at + 140_000, os_id(spinner));
        trace.switch_out(1, at + 199_999, os_id(spinner), true);
    }
    let title = first(trace, InsightKind::Oversubscribed).title;
    assert!(title.starts_with("t2 was ready for 750 ms"), "{title}");
    assert!(title.ends_with(": up to 1 thread waited for 2 CPUs at once"), "{title}");
}

#[test]
fn a_place_beyond_those_that_are_listed_is_not_told_yet() {
    const PLACES: u32 = 21;
    let mut trace = running(1);
    let place = |number: u32| 100 + number;
    for number in 1..=PLACES {
        let address = 0x10_000 + u64::from(number) * 0x100;
        trace.stack(place(number), &[address, address + 1]);
        trace.symbol(address, &[("std::fs::File::sync_all", "", 0)]);
        trace.symbol(address + 1, &[(&format!("app::p{number}"), "src/main.rs", number)]);
    }
    // At the last place it waits the least by far, and computes in a call for half of the time.
    for number in 1..=PLACES {
        let at = u64::from(number) * 20 * MS;
        let long = if number == PLACES { MS } else { 15 * MS };
        let sync = open_call(CallId::FSYNC, FIRST_FILE, place(number));
        off(&mut trace, 1, sync, (at, at + long));
    }
    let busy = open_call(CallId::READ, DEVICE, place(PLACES));
    (0..1_000).for_each(|round| trace.call(1, busy, 480 * MS + round * 500_000, 450_000, 4_096));
    let (_, found) = read(trace);
    let waited = found.iter().find(|it| it.title.starts_with("t1 waited 301 ms for file sync"));
    let waited = waited.unwrap_or_else(|| panic!("{found:#?}"));
    assert_eq!((waited.stacks.len(), waited.stacks[0]), (16, StackId(place(1))));
    let title = "t1 spent 450 ms in read, 1,000 times at app::p21 (src/main.rs:21)";
    assert!(found.iter().any(|it| it.title == title), "{found:#?}");
}

#[test]
fn a_title_counts_all_who_slept_in_a_loop() {
    let mut trace = started(CROWD);
    for thread in 1..=CROWD {
        (0..80).for_each(|at| trace.call(thread, SLEEP, at * 10 * MS, 5 * MS, 0));
    }
    let found = first(trace, InsightKind::SleepLoop);
    let title = "t1, t2 and 10 more slept 960 times for 5.00 ms";
    assert!(found.title.starts_with(title), "{}", found.title);
}

#[test]
fn a_title_counts_all_who_spin_and_none_of_them_lacks_a_cpu() {
    let mut trace = running(CROWD);
    for thread in 1..=CROWD {
        (0..2_000).for_each(|at| trace.call(thread, YIELD, at * 500_000, 200_000, 0));
    }
    let (_, found) = read(trace);
    let title = "t1, t2 and 10 more spun for 12.0 s: 24,000 calls of sched_yield";
    assert!(found.iter().any(|it| it.title.starts_with(title)), "{found:#?}");
    assert!(found.iter().all(|it| it.kind == InsightKind::Spinning), "{found:#?}");
}

#[test]
fn of_busy_calls_the_file_with_the_most_work_is_named_and_not_what_was_waited_for() {
    let mut trace = running(1);
    for round in 0..2_000 {
        let at = round * 500_000;
        off(&mut trace, 1, read_of(PIPE), (at, at + 250_000));
        trace.call(1, read_of(DEVICE), at + 260_000, 200_000, 4_096);
    }
    let (_, found) = read(trace);
    let title = "t1 spent 400 ms in read, 4,000 times at app::f6 (src/main.rs:6)";
    let busy = found.iter().find(|it| it.title == title);
    let busy = busy.unwrap_or_else(|| panic!("{found:#?}"));
    assert_eq!(busy.evidence[1], "mostly about /dev/urandom: 400 ms");
}

#[test]
fn the_bytes_of_small_calls_are_those_of_all_that_are_counted() {
    let mut trace = started(1);
    for at in 0..5_000 {
        // One in ten finds nothing to read.
        let bytes = if at % 10 == 0 { 0 } else { 10 };
        trace.call(1, read_of(PIPE), at * 100_000, 20_000, bytes);
    }
    let title = first(trace, InsightKind::ChattyCalls).title;
    assert!(title.starts_with("5,000 calls of read on pipe moved 9 bytes each"), "{title}");
}

/// The most and the share of each group that may have been readiness, by its time.
fn perhaps(lives: &Lives, list: fn(&Lives) -> &[trace_analysis::life::WaitGroup]) -> [Vec<u64>; 2] {
    let groups = || list(lives).iter().filter(|it| it.reason == Reason::FileSync);
    [
        groups().map(|it| it.perhaps_ready.0).collect(),
        groups().map(|it| it.perhaps_ready_share.0).collect(),
    ]
}

#[test]
fn what_was_perhaps_readiness_counts_all_threads_of_a_group() {
    let mut trace = running(CROWD);
    for thread in 1..=CROWD {
        off(&mut trace, thread, sync_of(FIRST_FILE), (MS, 301 * MS));
        counted_ready(&mut trace, thread, 100 * MS);
    }
    let (lives, _) = read(trace);
    let all = u64::from(CROWD) * 100 * MS;
    let [most, share] = perhaps(&lives, |lives| &lives.waits.by_resource);
    assert_eq!((most, share), (vec![all], vec![all]));
    let [most, _] = perhaps(&lives, |lives| &lives.waits.by_thread);
    assert_eq!(most, [100 * MS; CROWD as usize]);
}

#[test]
fn groups_of_one_thread_share_what_was_perhaps_readiness() {
    let mut trace = running(1);
    off(&mut trace, 1, sync_of(FIRST_FILE), (MS, 301 * MS + 20));
    off(&mut trace, 1, sync_of(SECOND_FILE), (400 * MS, 500 * MS + 20));
    counted_ready(&mut trace, 1, 200 * MS);
    let (lives, found) = read(trace);
    // It may be two thirds of the first alone, or all of the second and some of the first.
    let [most, share] = perhaps(&lives, |lives| &lives.waits.by_resource);
    assert_eq!((most, share), (vec![200 * MS, 100 * MS], vec![150 * MS, 50 * MS]));
    let [most, share] = perhaps(&lives, |lives| &lives.waits.by_reason);
    assert_eq!((most, share), (vec![200 * MS], vec![200 * MS]));
    // Of 400 ms at least 200 ms were waiting: what is explained is no less.
    let files: Vec<_> = found.iter().filter(|it| it.kind == InsightKind::SlowCalls).collect();
    assert_eq!(files.iter().map(|it| it.lost.0).sum::<u64>(), 200 * MS, "{found:#?}");
    let said = "up to 100 ms of it the thread may have been ready without a CPU: the kernel \
                counted so much more for it than events show, in this and other waits together";
    assert!(files.iter().any(|it| it.evidence[1] == said), "{files:#?}");
}
