//! The true cause comes first, and what is said of it is true of what was asked for.

use trace_analysis::explain::{Insight, InsightKind, Unseen, explain, unseen};
use trace_analysis::symbols::Symbols;
use trace_analysis::{Options, Report, Trace, Wanted};
use trace_format::batch::Compression;
use trace_format::definition::{Definition, ResourceKind};
use trace_format::id::{CallId, OpenCall, ResourceId, StackId, ThreadId};
use trace_format::read::TraceFile;
use trace_format::testgen::{TraceBuilder, open_call, os_id};
use trace_format::time::{Nanos, Ticks};

const MS: u64 = 1_000_000;

const LOCK: OpenCall = open_call(CallId::FUTEX_WAIT, 1, 1);
const UNLOCK: OpenCall = open_call(CallId::FUTEX_WAKE, 1, 2);
const RECEIVE: OpenCall = open_call(CallId::FUTEX_WAIT, 2, 3);
const SEND: OpenCall = open_call(CallId::FUTEX_WAIT, 2, 4);
const YIELD: OpenCall = open_call(CallId::SCHED_YIELD, 0, 5);
const SLEEP: OpenCall = open_call(CallId::CLOCK_NANOSLEEP, 0, 6);
const JOIN: OpenCall = open_call(CallId::PTHREAD_JOIN, 3, 7);
const FSYNC: OpenCall = open_call(CallId::FSYNC, 4, 8);

/// A trace with four threads, each on a CPU of its own; main made the others.
fn running() -> TraceBuilder {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(1, "main");
    for (thread, name) in (2..).zip(["worker", "helper", "writer"]) {
        trace.spawned(thread, name, 0, (1, 0, 0));
    }
    let libraries = [
        "std::sys::sync::mutex::futex::Mutex::lock_contended",
        "std::sys::sync::mutex::futex::Mutex::wake",
        "std::sync::mpmc::list::Channel::recv",
        "std::sync::mpmc::array::Channel::send",
        "std::thread::yield_now",
        "std::thread::sleep",
        "std::thread::JoinHandle::join",
        "std::fs::File::sync_all",
    ];
    for (stack, library) in (1_u32..).zip(libraries) {
        let address = u64::from(stack) * 0x100;
        trace.stack(stack, &[address, address + 1]);
        trace.symbol(address, &[(library, "", 0)]);
        trace.symbol(address + 1, &[(&format!("app::f{stack}"), "src/main.rs", stack)]);
    }
    trace.resource(1, ResourceKind::Address, 0xf00, "");
    trace.resource(2, ResourceKind::Address, 0xe00, "");
    trace.resource(3, ResourceKind::Thread, os_id(2), "");
    trace.resource(4, ResourceKind::File, 3, "/var/log/app");
    trace.facility("sched", true, "perf_event_open; threads at start: 4; 4 rings of 512 KiB");
    (1..=4).for_each(|thread| trace.switch_in(thread, 0, os_id(thread)));
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

fn insights_of(bytes: Vec<u8>, options: Options) -> Vec<Insight> {
    let file = TraceFile::open(bytes).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    let trace = Trace::new(&file).named(&symbols).with(options);
    let wanted = Wanted { heap: true, ..Wanted::default() };
    explain(&trace, &Report::read(&trace, wanted, |_| {}))
}

fn insights(bytes: Vec<u8>) -> Vec<Insight> {
    insights_of(bytes, Options::default())
}

#[track_caller]
fn only(bytes: Vec<u8>, kind: InsightKind) -> Insight {
    let mut found = insights(bytes);
    let titles: Vec<_> = found.iter().map(|it| (it.kind.name(), it.title.as_str())).collect();
    assert_eq!((found.len(), found.first().map(|it| it.kind)), (1, Some(kind)), "{titles:?}");
    found.remove(0)
}

#[test]
fn of_one_thread_its_waiting_is_told_and_of_the_program_its_cpus() {
    let mut trace = running();
    for round in 0..50 {
        let now = round * 20 * MS;
        trace.switch_out(1, now + 2 * MS, os_id(1), true);
        trace.switch_in(1, now + 18 * MS, os_id(1));
        (2..=4).for_each(|it| off(&mut trace, it, RECEIVE, (now + MS, now + 19 * MS)));
    }
    let options = Options { threads: vec![ThreadId(1)].into(), ..Options::default() };
    let found = insights_of(trace.stop(1_000 * MS), options);
    let [insight] = found.as_slice() else { panic!("{found:#?}") };
    let title = "main was ready for 800 ms and had no CPU, as other programs or a limit took them";
    assert_eq!((insight.kind, insight.title.as_str()), (InsightKind::CpusTaken, title));
    // Main for 4 ms of 20, each of the three others for 2.
    let used = "the program used 0.50 CPUs on average, of 4";
    assert_eq!(insight.evidence.last().map(String::as_str), Some(used));
}

#[test]
fn who_computes_alone_comes_before_the_cpu_that_it_lacks() {
    let mut trace = running();
    // It is put off its CPU for two thirds of the time, and so are others a little.
    for round in 0..10 {
        let at = MS + round * 30 * MS;
        trace.switch_out(2, at + 9 * MS, os_id(2), true);
        trace.switch_in(2, at + 29 * MS, os_id(2));
    }
    for thread in 3..=4 {
        trace.switch_out(thread, MS, os_id(thread), true);
        trace.switch_in(thread, 6 * MS, os_id(thread));
        gone(&mut trace, thread, 7 * MS);
    }
    gone(&mut trace, 2, 302 * MS);
    off(&mut trace, 1, JOIN, (MS, 303 * MS));
    let found = insights(trace.stop(304 * MS));
    let kinds: Vec<_> = found.iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [InsightKind::OneThread, InsightKind::CpusTaken], "{found:#?}");
    assert_eq!(found[0].threads[0], ThreadId(2));
}

#[test]
fn two_threads_that_work_one_after_the_other_are_both_named() {
    let mut trace = running();
    gone(&mut trace, 4, MS);
    // The second waits for a lock until the first has done its part.
    off(&mut trace, 2, LOCK, (2 * MS, 130 * MS));
    trace.call(3, UNLOCK, 130 * MS - 1_000, 500, 1);
    gone(&mut trace, 3, 130 * MS);
    gone(&mut trace, 2, 302 * MS);
    off(&mut trace, 1, JOIN, (MS, 303 * MS));
    let found = insights(trace.stop(304 * MS));
    let one = found.iter().find(|it| it.kind == InsightKind::OneThread).expect("it is told");
    assert!(one.title.starts_with("57% of main's 304 ms depend on worker"), "{}", one.title);
    let other = "helper worked on it before or after, for 130 ms (43%)";
    assert!(one.evidence.iter().any(|it| it == other), "{:?}", one.evidence);
}

#[test]
fn who_holds_a_lock_for_a_moment_is_told_to_compute_all_the_time() {
    let mut trace = running();
    gone(&mut trace, 4, MS);
    off(&mut trace, 3, LOCK, (10 * MS, 25 * MS));
    trace.call(2, UNLOCK, 25 * MS - 1_000, 500, 1);
    gone(&mut trace, 3, 26 * MS);
    gone(&mut trace, 2, 302 * MS);
    off(&mut trace, 1, JOIN, (MS, 303 * MS));
    let found = insights(trace.stop(304 * MS));
    let kinds: Vec<_> = found.iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [InsightKind::OneThread, InsightKind::LockContention], "{found:#?}");
    assert_eq!((found[0].threads[0], found[1].threads[0]), (ThreadId(2), ThreadId(2)));
}

#[test]
fn a_thread_that_spins_is_no_victim_of_others() {
    let mut trace = running();
    for round in 0..5_000 {
        let at = round * 200_000;
        trace.call(2, YIELD, at, 150_000, 0);
        trace.switch_out(2, at + 10_000, os_id(2), true);
        trace.switch_in(2, at + 140_000, os_id(2));
    }
    [1, 3, 4].into_iter().for_each(|it| off(&mut trace, it, RECEIVE, (MS, 999 * MS)));
    let found = only(trace.stop(1_000 * MS), InsightKind::Spinning);
    // Of each 200 µs it was ready for 130.
    let title = "worker spun for 350 ms: 5,000 calls of sched_yield at app::f5 (src/main.rs:5)";
    assert_eq!(found.title, title);
    assert_eq!((found.threads, found.call), (vec![ThreadId(2)], Some(CallId::SCHED_YIELD)));
}

#[test]
fn few_calls_are_a_loop_where_each_of_them_waits_for_the_cpu() {
    let mut trace = running();
    for round in 0..40 {
        let at = round * 25 * MS;
        trace.call(2, YIELD, at, 24 * MS, 0);
        trace.switch_out(2, at + 10_000, os_id(2), true);
        trace.switch_in(2, at + 23 * MS, os_id(2));
    }
    [1, 3, 4].into_iter().for_each(|it| off(&mut trace, it, RECEIVE, (MS, 999 * MS)));
    let found = only(trace.stop(1_000 * MS), InsightKind::Spinning);
    assert!(found.title.contains(": 40 calls of sched_yield"), "{}", found.title);
}

#[test]
fn who_is_ready_in_a_call_that_gives_the_cpu_up_does_not_spin() {
    let mut trace = running();
    for round in 0..40 {
        let at = round * 25 * MS;
        trace.call(2, YIELD, at, 24 * MS, 0);
        trace.switch_out(2, at + 10_000, os_id(2), true);
        trace.switch_in(2, at + 24 * MS, os_id(2));
        // And then it waits for a message.
        off(&mut trace, 2, RECEIVE, (at + 24 * MS + 10_000, at + 25 * MS));
    }
    [1, 3, 4].into_iter().for_each(|it| off(&mut trace, it, RECEIVE, (MS, 999 * MS)));
    // It was on a CPU for 40 µs of each 25 ms.
    only(trace.stop(1_000 * MS), InsightKind::CpusTaken);
}

#[test]
fn a_full_channel_names_what_the_receiver_does_meanwhile() {
    let mut trace = running();
    for round in 0..20 {
        let now = round * 50 * MS;
        off(&mut trace, 2, SEND, (now + MS, now + 40 * MS));
        off(&mut trace, 3, SLEEP, (now + 2 * MS, now + 39 * MS));
        trace.call(3, open_call(CallId::FUTEX_WAKE, 2, 3), now + 40 * MS - 1_000, 500, 1);
    }
    let found = only(trace.stop(1_000 * MS), InsightKind::FullChannel);
    let said = ": helper receives, and slept at app::f6 (src/main.rs:6) for 74% of its time";
    assert!(found.title.ends_with(said), "{}", found.title);
    assert_eq!((found.threads[0], found.stacks[0]), (ThreadId(3), StackId(6)));
}

#[test]
fn a_wait_that_was_not_over_took_at_least_so_long() {
    let mut trace = running();
    for round in 0..15 {
        let now = round * 50 * MS;
        off(&mut trace, 2, LOCK, (now + MS, now + 30 * MS));
        trace.call(4, UNLOCK, now + 30 * MS - 1_000, 500, 1);
    }
    trace.begin_call(2, LOCK, 850 * MS);
    gone(&mut trace, 2, 850 * MS + 10);
    let found = only(trace.stop(1_000 * MS), InsightKind::LockContention);
    assert_eq!(found.resource, Some(ResourceId(1)));
    let said = "the longest wait took at least 150 ms: worker, from 0.850000 s on";
    assert!(found.evidence.iter().any(|it| it == said), "{:?}", found.evidence);

    let mut trace = running();
    for round in 0..10 {
        off(&mut trace, 2, FSYNC, (round * 50 * MS + MS, round * 50 * MS + 20 * MS));
    }
    trace.begin_call(2, FSYNC, 850 * MS);
    gone(&mut trace, 2, 850 * MS + 10);
    let found = only(trace.stop(1_000 * MS), InsightKind::SlowCalls);
    assert!(found.evidence[0].ends_with("the longest at least 150 ms"), "{:?}", found.evidence);
}

#[test]
fn waiting_for_files_counts_only_as_far_as_the_kernel_did_not_count_it_as_readiness() {
    let waited = |ready: u64| {
        let mut trace = running();
        for (at, ready) in [(0, 0), (1_000 * MS, ready)] {
            trace.define(&Definition::ThreadTime {
                id: ThreadId(2),
                ticks: Ticks(at),
                cpu: Nanos(0),
                ready: Some(Nanos(ready)),
            });
        }
        for round in 0..15 {
            off(&mut trace, 2, FSYNC, (round * 50 * MS + MS, round * 50 * MS + 21 * MS));
        }
        gone(&mut trace, 1, MS);
        gone(&mut trace, 2, 800 * MS);
        only(trace.stop(1_000 * MS), InsightKind::SlowCalls)
    };
    let sure = waited(0);
    assert!(sure.title.starts_with("worker waited 300 ms for file sync"), "{}", sure.title);
    assert_eq!((sure.lost.0.div_ceil(MS), sure.evidence.len()), (300, 1));
    let doubtful = waited(250 * MS);
    assert_eq!((doubtful.title, doubtful.lost.0.div_ceil(MS)), (sure.title, 50));
    let said = "up to 250 ms of it the thread may have been ready without a CPU: the kernel \
                counted so much more for it than events show";
    assert_eq!(doubtful.evidence[1], said);
    assert_eq!(waited(900 * MS).lost, Nanos(0));
}

#[test]
fn calls_that_keep_a_thread_busy_are_told_however_short_each_is() {
    let reading = |waits: bool| {
        let mut trace = running();
        gone(&mut trace, 1, MS);
        trace.resource(9, ResourceKind::Descriptor, 5, "/dev/urandom");
        let read = open_call(CallId::READ, 9, 8);
        for round in 0..2_000 {
            let at = round * 500_000;
            match waits {
                true => off(&mut trace, 2, read, (at, at + 200_000)),
                false => trace.call(2, read, at, 200_000, 4_096),
            }
        }
        trace.stop(1_000 * MS)
    };
    let found = only(reading(false), InsightKind::SlowCalls);
    let title = "worker spent 400 ms in read, 2,000 times at app::f8 (src/main.rs:8)";
    assert_eq!((found.title.as_str(), found.call), (title, Some(CallId::READ)));
    let share = "40% of all their time, 200 µs each on average, on CPUs: the kernel's work";
    assert_eq!(found.evidence, [share, "mostly about /dev/urandom: 400 ms"]);
    assert_eq!((found.threads, found.stacks), (vec![ThreadId(2)], vec![StackId(8)]));
    assert_eq!(insights(reading(true)), [], "it waits for somebody to write");
}

#[test]
fn threads_that_recorded_nothing_are_told_apart_as_the_system_does() {
    let mut trace = running();
    for (cpu, stranger) in [(5, 901), (6, 902)] {
        trace.switch_in(cpu, 0, stranger);
        trace.switch_out(cpu, 10 * MS, stranger, true);
        trace.switch_in(cpu, 900 * MS, stranger);
    }
    [1, 2, 3, 4].into_iter().for_each(|thread| gone(&mut trace, thread, MS));
    let found = insights(trace.stop(1_000 * MS));
    let said = found.iter().find(|it| it.title.contains("had no CPU")).expect("it is told");
    let who = "os thread 901 and os thread 902 were ready for 1.78 s in all";
    assert!(said.title.starts_with(who), "{}", said.title);
    assert!(said.evidence[0].starts_with("os thread 90"), "{:?}", said.evidence);
}

#[test]
fn events_that_were_dropped_are_told_though_their_thread_has_no_end() {
    use trace_format::event::EventKind;
    let mut trace = running();
    let (from, to) = (Ticks(MS), Ticks(2 * MS));
    trace.event(2, 2 * MS, EventKind::Dropped { events: 4, ends: 1, from, to });
    let found = insights(trace.killed());
    let title = found.first().map(|it| (it.kind, it.title.as_str()));
    let said = "5 events were not recorded for want of memory";
    assert_eq!(title, Some((InsightKind::Loss, said)));
}

#[test]
fn what_was_allocated_before_the_window_is_not_blamed_on_it() {
    let allocating = |from: Option<Ticks>| {
        let mut trace = running();
        (1..=4).for_each(|thread| gone(&mut trace, thread, 500 * MS));
        // All in the first half, before which two looks were taken; then one look at the end.
        for (at, number) in [(0, 0), (490, 30_000_000), (900, 30_000_000)] {
            trace.heap(at * MS, (1 << 20, 10), (number * 64, number));
        }
        let bytes = trace.stop(1_000 * MS);
        insights_of(bytes, Options { from, ..Options::default() })
    };
    assert_eq!(allocating(None).len(), 1);
    assert_eq!(allocating(Some(Ticks(450 * MS))), []);
}

#[test]
fn a_program_that_allocates_all_the_time_is_told_where() {
    let allocating = |each: u64| {
        let mut trace = running();
        (1..=4).for_each(|thread| gone(&mut trace, thread, 500 * MS));
        for at in 0..100 {
            trace.heap(at * 10 * MS, (1 << 20, 10), (at * each * 64, at * each));
            trace.alloc(2, at * 10 * MS, at + 1, 64, 8);
            trace.free(2, at * 10 * MS + 1, at + 1);
        }
        trace.stop(1_000 * MS)
    };
    // 20 ns each: 396 ms of the 2 s that threads were on CPUs are not worth it, 594 ms are.
    assert_eq!(insights(allocating(200_000)), []);
    let found = only(allocating(300_000), InsightKind::AllocationRate);
    let title = "29.7 M allocations in 990 ms, 30.0 M and 1.92 GB a second, 100% of them at \
                 app::f8 (src/main.rs:8)";
    assert_eq!(found.title, title);
    assert_eq!(found.stacks, [StackId(8)]);
}

#[test]
fn a_heap_that_grew_and_shrank_is_told_as_a_queue_may_be_the_reason() {
    let swollen = |allocations: u64| {
        let mut trace = running();
        for at in 0..100_u64 {
            let live = if at < 30 { at } else { (100 - at) * 3 / 7 };
            let part = allocations * live / 30;
            trace.heap(at * 10 * MS, (live << 20, part), (at << 20, at * allocations));
        }
        insights(trace.stop(1_000 * MS))
    };
    let found = swollen(30_000);
    let [insight] = found.as_slice() else { panic!("{found:#?}") };
    assert_eq!(insight.kind, InsightKind::HeapGrowth);
    let title = "The heap grew from 0 B to 31.5 MB in 300 ms, by 30,000 allocations, and shrank \
                 again";
    assert_eq!(insight.title, title);
    assert_eq!(swollen(3), [], "a buffer is no queue");
}

#[test]
fn a_window_is_told_as_far_as_it_goes() {
    let mut trace = running();
    off(&mut trace, 2, LOCK, (100 * MS, 900 * MS));
    trace.call(4, UNLOCK, 900 * MS - 1_000, 500, 1);
    let options = Options { to: Some(Ticks(250 * MS)), ..Options::default() };
    let found = insights_of(trace.stop(1_000 * MS), options);
    let said = found.iter().flat_map(|it| &it.evidence).find(|it| it.contains("longest wait"));
    assert!(
        said.is_none_or(|it| it.contains("took at least 150 ms") || it.contains("took 800 ms")),
        "{found:#?}"
    );
}

fn unseen_in(bytes: Vec<u8>) -> Vec<Unseen> {
    let file = TraceFile::open(bytes).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    let wanted = Wanted { async_tasks: true, heap: true, ..Wanted::default() };
    let trace = Trace::new(&file).named(&symbols);
    unseen(&trace, &Report::read(&trace, wanted, |_| {}))
}

#[test]
fn what_another_recording_would_show_is_said_where_there_is_something_to_show() {
    // Three wait for the last one, which computes.
    let mut trace = running();
    [1, 3, 4].into_iter().for_each(|it| off(&mut trace, it, RECEIVE, (MS, 999 * MS)));
    assert_eq!(unseen_in(trace.stop(1_000 * MS)), [Unseen::Functions]);
    let mut trace = running();
    [1, 3, 4].into_iter().for_each(|it| off(&mut trace, it, RECEIVE, (MS, 999 * MS)));
    trace.sample(2, 500 * MS, os_id(2), 5);
    assert_eq!(unseen_in(trace.stop(1_000 * MS)), []);
    // They were taken, and none lies in what is looked at.
    let mut trace = running();
    trace.facility("samples", true, "");
    [1, 3, 4].into_iter().for_each(|it| off(&mut trace, it, RECEIVE, (MS, 999 * MS)));
    assert_eq!(unseen_in(trace.stop(1_000 * MS)), []);
    // The machine is busy, so it runs for a tenth of the time alone.
    let mut trace = running();
    [1, 3, 4].into_iter().for_each(|it| off(&mut trace, it, RECEIVE, (MS, 999 * MS)));
    trace.switch_out(2, 100 * MS, os_id(2), true);
    trace.switch_in(2, 999 * MS, os_id(2));
    assert_eq!(unseen_in(trace.stop(1_000 * MS)), [Unseen::Functions]);
    // All wait, main for a future.
    let mut trace = running();
    let address = 0xa00;
    trace.stack(10, &[address, address + 1]);
    trace.symbol(address, &[("tokio::runtime::park::CachedParkThread::block_on", "", 0)]);
    trace.symbol(address + 1, &[("app::main", "src/main.rs", 10)]);
    let block_on = open_call(CallId::FUTEX_WAIT, 1, 10);
    off(&mut trace, 1, block_on, (MS, 999 * MS));
    [2, 3, 4].into_iter().for_each(|it| off(&mut trace, it, RECEIVE, (MS, 999 * MS)));
    assert_eq!(unseen_in(trace.stop(1_000 * MS)), [Unseen::AsyncTasks]);
}
