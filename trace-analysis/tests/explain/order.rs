//! Findings come in the order of the time that each explains: what would not have passed without
//! it, however much threads and tasks lost together.

use crate::executor::{ENDED, Executor, HANDLER, LOCK, RELEASE, TIMER};
use trace_analysis::explain::{Insight, InsightKind, explain, top_waits};
use trace_analysis::symbols::Symbols;
use trace_analysis::{Report, Trace, Wanted};
use trace_format::batch::Compression;
use trace_format::definition::ResourceKind;
use trace_format::event::{EventKind, Outcome};
use trace_format::id::{CallId, OpenCall, ResourceId, StackId, ThreadId};
use trace_format::read::TraceFile;
use trace_format::testgen::{TraceBuilder, open_call, os_id};

const US: u64 = 1_000;
const MS: u64 = 1_000_000;

const MAIN: u32 = 1;
const FIRST: u32 = 2;
const SECOND: u32 = 3;
const THIRD: u32 = 4;
const FOURTH: u32 = 5;

/// Stacks are a library's function and the program's, `app::f` with the number.
const LIBRARIES: [&str; 6] = [
    "std::sys::sync::mutex::futex::Mutex::lock_contended",
    "std::sys::sync::mutex::futex::Mutex::wake",
    "std::thread::JoinHandle::join",
    "std::fs::File::sync_all",
    "std::net::TcpListener::accept",
    "std::thread::sleep",
];
const WAIT: OpenCall = open_call(CallId::FUTEX_WAIT, 1, 1);
const GIVE_UP: OpenCall = open_call(CallId::FUTEX_WAKE, 1, 2);
const FSYNC: OpenCall = open_call(CallId::FSYNC, 2, 4);
const ACCEPT: OpenCall = open_call(CallId::ACCEPT4, 3, 5);

fn join(thread: u32) -> OpenCall {
    open_call(CallId::PTHREAD_JOIN, 10 + thread, 3)
}

/// A main thread and four that it made, each on a CPU of its own.
fn running() -> TraceBuilder {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(MAIN, "main");
    for (thread, name) in [(FIRST, "first"), (SECOND, "second"), (THIRD, "third")] {
        trace.spawned(thread, name, 0, (MAIN, 0, 0));
    }
    trace.spawned(FOURTH, "fourth", 0, (MAIN, 0, 0));
    for (stack, library) in (1_u32..).zip(LIBRARIES) {
        let address = u64::from(stack) * 0x100;
        trace.stack(stack, &[address, address + 1]);
        trace.symbol(address, &[(library, "", 0)]);
        trace.symbol(address + 1, &[(&format!("app::f{stack}"), "src/main.rs", stack)]);
    }
    trace.resource(1, ResourceKind::Address, 0xf00, "");
    trace.resource(2, ResourceKind::File, 3, "/var/log/app");
    trace.resource(3, ResourceKind::Socket, 9, "tcp 127.0.0.1:80");
    for thread in MAIN..=FOURTH {
        trace.resource(10 + thread, ResourceKind::Thread, os_id(thread), "");
    }
    trace.facility("sched", true, "perf_event_open; threads at start: 5; 5 rings of 512 KiB");
    (MAIN..=FOURTH).for_each(|thread| trace.switch_in(thread, 0, os_id(thread)));
    trace
}

/// Off a CPU for the time of a call, as the kernel tells it.
fn off(trace: &mut TraceBuilder, thread: u32, call: OpenCall, (from, to): (u64, u64)) {
    trace.call(thread, call, from, to - from, 0);
    trace.switch_out(thread, from + 10, os_id(thread), false);
    trace.switch_in(thread, to - 10, os_id(thread));
}

/// A thread has nothing to do any more.
fn gone(trace: &mut TraceBuilder, thread: u32, at: u64) {
    trace.switch_out(thread, at, os_id(thread), false);
}

fn read<T>(bytes: Vec<u8>, ask: impl FnOnce(&Trace<'_, Vec<u8>>, &Report) -> T) -> T {
    let file = TraceFile::open(bytes).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    let trace = Trace::new(&file).named(&symbols);
    let wanted = Wanted { async_tasks: true, ..Wanted::default() };
    ask(&trace, &Report::read(&trace, wanted, |_| {}))
}

fn insights(bytes: Vec<u8>) -> Vec<Insight> {
    read(bytes, explain)
}

/// The kinds of the findings, and the milliseconds that each explains.
fn order(found: &[Insight]) -> Vec<(InsightKind, u64)> {
    found.iter().map(|it| (it.kind, (it.lost.0 + MS / 2) / MS)).collect()
}

/// All four wait for a lock that one after the other holds for 60 ms, from 10 ms on.
fn convoy(trace: &mut TraceBuilder) {
    for (place, thread) in (0..).zip(FIRST..=FOURTH) {
        let got_it = (10 + place * 60) * MS;
        if place > 0 {
            off(trace, thread, WAIT, (10 * MS, got_it));
        }
        trace.call(thread, GIVE_UP, got_it + 60 * MS - 1_000, 500, 1);
        gone(trace, thread, got_it + 61 * MS);
    }
}

const BESIDE: &str = "without it main would have taken nearly as long: what main waited for \
                      meanwhile was something else";

#[test]
fn a_lock_explains_no_more_than_the_thread_that_main_waits_for_lost_to_it() {
    let mut trace = running();
    convoy(&mut trace);
    off(&mut trace, MAIN, join(FOURTH), (10 * MS, 252 * MS));
    off(&mut trace, MAIN, FSYNC, (260 * MS, 480 * MS));
    let found = insights(trace.stop(500 * MS));
    // They waited for 60, 120 and 180 ms; the last is the one that main waits for.
    let lock = (InsightKind::LockContention, 180);
    assert_eq!(order(&found), [(InsightKind::SlowCalls, 220), lock], "{found:#?}");
    assert!(found[1].title.contains("waited 360 ms for one mutex"), "{}", found[1].title);
    assert!(found.iter().all(|it| !it.evidence.iter().any(|line| line == BESIDE)), "{found:#?}");
}

#[test]
fn a_lock_that_main_never_waits_for_explains_nothing_and_is_told_all_the_same() {
    let mut trace = running();
    convoy(&mut trace);
    off(&mut trace, MAIN, FSYNC, (260 * MS, 480 * MS));
    let found = insights(trace.stop(500 * MS));
    let lock = (InsightKind::LockContention, 0);
    assert_eq!(order(&found), [(InsightKind::SlowCalls, 220), lock], "{found:#?}");
    assert_eq!(found[1].evidence.last().map(String::as_str), Some(BESIDE), "{found:#?}");
}

#[test]
fn where_main_waits_for_the_world_each_moment_counts_in_which_somebody_waits() {
    let mut trace = running();
    convoy(&mut trace);
    trace.begin_call(MAIN, ACCEPT, MS);
    gone(&mut trace, MAIN, MS + 10);
    let found = insights(trace.stop(500 * MS));
    assert_eq!(order(&found), [(InsightKind::LockContention, 180)], "{found:#?}");
}

#[test]
fn a_lock_that_main_waits_for_again_and_again_explains_all_these_waits() {
    let mut trace = running();
    // The holder never waits: the path goes there at the last wait, and stays.
    for round in 0..20 {
        let now = round * 50 * MS;
        off(&mut trace, MAIN, WAIT, (now + MS, now + 30 * MS));
        trace.call(FIRST, GIVE_UP, now + 30 * MS - 1_000, 500, 1);
    }
    (SECOND..=FOURTH).for_each(|thread| gone(&mut trace, thread, MS));
    let found = insights(trace.stop(1_000 * MS));
    let lock = found.iter().find(|it| it.kind == InsightKind::LockContention).expect("it is told");
    assert_eq!(order(std::slice::from_ref(lock)), [(InsightKind::LockContention, 580)]);
}

#[test]
fn waits_that_are_too_short_to_be_kept_explain_their_part_of_the_threads_that_main_waits_for() {
    for (joined, explained) in [(FIRST, 280), (SECOND, 0)] {
        let mut trace = running();
        for round in 0..20_000 {
            let at = 10 * MS + round * 40 * US;
            off(&mut trace, FIRST, WAIT, (at, at + 15 * US));
            trace.call(THIRD, GIVE_UP, at + 14 * US, 500, 1);
        }
        gone(&mut trace, FOURTH, MS);
        gone(&mut trace, FIRST, 811 * MS);
        gone(&mut trace, SECOND, 811 * MS);
        off(&mut trace, MAIN, join(joined), (MS, 812 * MS));
        let found = insights(trace.stop(820 * MS));
        let lock = found.iter().find(|it| it.kind == InsightKind::LockContention);
        let lock = lock.unwrap_or_else(|| panic!("{found:#?}"));
        let told = lock.lost.0 / MS;
        assert!(told.abs_diff(explained) <= 3, "{told} ms of {explained}: {lock:#?}");
    }
}

/// Stacks at which threads wait for a mutex, and give it up.
const POOL_WAIT: u32 = 30;
const POOL_GIVE_UP: u32 = 31;

/// Main waits in `block_on` for tasks, each of which has one tokio mutex for 40 ms in its turn;
/// four threads of a pool have a std mutex for 15 ms each in theirs, for 300 ms.
fn tasks_beside_a_pool(tasks: u64) -> Vec<u8> {
    let mut e = Executor::new();
    let (main, pool) = (3, 4_u32..8);
    e.0.thread(main, "main");
    e.0.resource(1, ResourceKind::Address, 0xf00, "");
    e.0.resource(2, ResourceKind::Address, 0xe00, "");
    for (stack, library) in [(POOL_WAIT, LIBRARIES[0]), (POOL_GIVE_UP, LIBRARIES[1])] {
        let address = u64::from(stack) * 0x100;
        e.0.stack(stack, &[address, address + 1]);
        e.0.symbol(address, &[(library, "", 0)]);
        e.0.symbol(address + 1, &[("app::pool", "src/app.rs", stack)]);
    }
    for thread in pool.clone() {
        e.0.spawned(thread, &format!("pool-{thread}"), 0, (main, 0, 0));
    }
    for round in 0..5 {
        let begin = MS + round * 60 * MS;
        for (place, thread) in (0..).zip(pool.clone()) {
            let got_it = begin + place * 15 * MS;
            if place > 0 {
                let wait = open_call(CallId::FUTEX_WAIT, 2, POOL_WAIT);
                e.0.call(thread, wait, begin, got_it - begin, 0);
            }
            let give_up = open_call(CallId::FUTEX_WAKE, 2, POOL_GIVE_UP);
            e.0.call(thread, give_up, got_it + 15 * MS - US, 500, 1);
        }
    }
    let turn = |task: u64| 2 * MS + (task - 1) * 40 * MS;
    (1..=tasks).for_each(|task| e.spawn(main, 500 * US + task * US, task, HANDLER));
    (2..=tasks).for_each(|task| e.poll(2, MS + task * 10 * US, task, LOCK, US));
    for task in 1..=tasks {
        e.poll(1, turn(task) + 10 * US, task, TIMER, 10 * US);
        e.wake(2, turn(task + 1) - 100 * US, task, 0);
        e.begin_poll(1, turn(task + 1) - 50 * US, task);
        if task < tasks {
            e.wake(1, turn(task + 1) - 20 * US, task + 1, RELEASE);
        }
        e.end(1, turn(task + 1) - 10 * US, task, Outcome::Returned);
        e.event(1, turn(task + 1) - 9 * US, EventKind::End);
    }
    let end = turn(tasks + 1);
    e.0.call(main, open_call(CallId::FUTEX_WAIT, 1, crate::executor::BLOCK_ON), MS, end - MS, 0);
    e.0.call(1, open_call(CallId::FUTEX_WAKE, 1, ENDED), end - 5 * US, US, 1);
    e.stop((end + 2 * MS).max(305 * MS))
}

#[test]
fn a_lock_of_tasks_that_main_waits_for_comes_before_one_of_threads_that_it_does_not() {
    let found = insights(tasks_beside_a_pool(10));
    let tasks = found.first().expect("something is told");
    assert_eq!(tasks.kind, InsightKind::LockAcrossAwait, "{found:#?}");
    assert!((355..=362).contains(&(tasks.lost.0 / MS)), "{tasks:#?}");
    let threads = found.iter().find(|it| it.resource == Some(ResourceId(2))).expect("it is told");
    assert!(threads.title.contains("waited 450 ms for one mutex"), "{}", threads.title);
    assert_eq!(order(std::slice::from_ref(threads)), [(InsightKind::LockContention, 0)]);
    assert_eq!(threads.evidence.last().map(String::as_str), Some(BESIDE), "{threads:#?}");
    let waits = read(tasks_beside_a_pool(10), top_waits);
    assert!(waits.is_of_tasks, "{waits:#?}");
    assert_eq!(waits.tasks.map(|group| group.stack), Some(StackId(LOCK)));
    assert_eq!(waits.threads.map(|group| group.resource), Some(ResourceId(2)));
}

#[test]
fn a_lock_of_one_task_alone_holds_nobody_up_and_threads_are_named() {
    // The only task waits for no lock, and main for the task: the rest is beside.
    let waits = read(tasks_beside_a_pool(1), top_waits);
    assert!(!waits.is_of_tasks && waits.tasks.is_none(), "{waits:#?}");
    assert_eq!(waits.threads.map(|group| group.resource), Some(ResourceId(2)));
}

#[test]
fn cpu_time_beside_the_path_explains_less_than_that_on_it() {
    let mut trace = running();
    // Two compute in functions of their own; main waits for the one that computes for shorter.
    trace.stack(20, &[0x2001]);
    trace.symbol(0x2001, &[("app::joined", "src/main.rs", 20)]);
    trace.stack(21, &[0x2101]);
    trace.symbol(0x2101, &[("app::beside", "src/main.rs", 21)]);
    for at in 2..298 {
        trace.sample(SECOND, at * MS, os_id(SECOND), 21);
    }
    for at in 2..98 {
        trace.sample(FIRST, at * MS, os_id(FIRST), 20);
    }
    gone(&mut trace, FIRST, 99 * MS);
    gone(&mut trace, SECOND, 299 * MS);
    (THIRD..=FOURTH).for_each(|thread| gone(&mut trace, thread, MS));
    off(&mut trace, MAIN, join(FIRST), (MS, 100 * MS));
    off(&mut trace, MAIN, FSYNC, (101 * MS, 299 * MS));
    let found = insights(trace.stop(300 * MS));
    let hot = found.iter().find(|it| it.kind == InsightKind::HotFunction).expect("it is told");
    assert!(hot.title.contains("in app::beside"), "{}", hot.title);
    assert_eq!((hot.threads[0], hot.lost.0), (ThreadId(SECOND), 0), "{hot:#?}");
    assert_eq!(order(&found)[0], (InsightKind::SlowCalls, 198), "{found:#?}");
}
