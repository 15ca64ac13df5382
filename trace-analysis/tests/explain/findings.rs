//! What is said of programs made slow on purpose, and of those that are well.

use trace_analysis::explain::{Insight, InsightKind, explain};
use trace_analysis::symbols::Symbols;
use trace_analysis::{Report, Trace, Wanted};
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
const WRITE: OpenCall = open_call(CallId::WRITE, 3, 5);
const SLEEP: OpenCall = open_call(CallId::CLOCK_NANOSLEEP, 0, 6);
const FSYNC: OpenCall = open_call(CallId::FSYNC, 3, 7);

/// A trace with four threads; stacks are a library's function and the program's.
fn started() -> TraceBuilder {
    let mut trace = TraceBuilder::started(Compression::None);
    for (thread, name) in (1..).zip(["main", "worker", "helper", "writer"]) {
        trace.thread(thread, name);
    }
    let libraries = [
        "std::sys::sync::mutex::futex::Mutex::lock_contended",
        "std::sys::sync::mutex::futex::Mutex::wake",
        "std::sync::mpmc::list::Channel::recv",
        "std::sync::mpmc::array::Channel::send",
        "std::fs::File::write",
        "std::thread::sleep",
        "std::fs::File::sync_all",
    ];
    for (stack, library) in (1_u32..).zip(libraries) {
        let address = u64::from(stack) * 0x100;
        trace.stack(stack, &[address, address + 1]);
        trace.symbol(address, &[(library, "", 0)]);
        trace.symbol(
            address + 1,
            &[(&format!("app::f{stack}"), "/build/of/app/src/main.rs", stack)],
        );
    }
    trace.resource(1, ResourceKind::Address, 0xf00, "");
    trace.resource(2, ResourceKind::Address, 0xe00, "");
    trace.resource(3, ResourceKind::File, 3, "/var/log/app");
    trace.facility("sched", true, "perf_event_open; threads at start: 4; 4 rings of 512 KiB");
    trace
}

fn insights(bytes: Vec<u8>) -> Vec<Insight> {
    let file = TraceFile::open(bytes).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    let trace = Trace::new(&file).named(&symbols);
    let wanted = Wanted { heap: true, ..Wanted::default() };
    explain(&trace, &Report::read(&trace, wanted, |_| {}))
}

/// What is found, of one kind only.
fn only(bytes: Vec<u8>, kind: InsightKind) -> Insight {
    let mut found = insights(bytes);
    let titles: Vec<_> = found.iter().map(|it| (it.kind.name(), it.title.as_str())).collect();
    assert_eq!((found.len(), found[0].kind), (1, kind), "{titles:?}");
    found.remove(0)
}

/// Off a CPU for the time of a call, as the kernel tells it.
fn off(trace: &mut TraceBuilder, thread: u32, call: OpenCall, (from, to): (u64, u64), result: i64) {
    trace.call(thread, call, from, to - from, result);
    trace.switch_out(thread, from + 10, os_id(thread), false);
    trace.switch_in(thread, to - 10, os_id(thread));
}

/// Each thread on a CPU of its own.
fn running() -> TraceBuilder {
    let mut trace = started();
    (1..=4).for_each(|thread| trace.switch_in(thread, 0, os_id(thread)));
    trace
}

#[test]
fn a_program_that_is_well_gives_nothing() {
    let mut trace = running();
    for round in 0..50 {
        let now = round * 20 * MS;
        off(&mut trace, 1, RECEIVE, (now + MS, now + 15 * MS), 0);
        off(&mut trace, 2, LOCK, (now + MS, now + MS + 50_000), 0);
        trace.call(3, UNLOCK, now + MS + 49_000, 1_000, 1);
        off(&mut trace, 3, WRITE, (now + 2 * MS, now + 2 * MS + 100_000), 4096);
        off(&mut trace, 4, SLEEP, (now + MS, now + 4 * MS), 0);
    }
    for at in 0..100 {
        trace.heap(at * 10 * MS, ((40 << 20) + at % 7 * 1000, 10), (at * 1000, at));
    }
    let found = insights(trace.stop(1_000 * MS));
    let titles: Vec<_> = found.iter().map(|it| (it.kind.name(), it.title.as_str())).collect();
    assert_eq!(titles, []);
    assert_eq!(insights(TraceBuilder::started(Compression::None).killed()), []);
}

#[test]
fn a_convoy_names_the_lock_and_who_held_it() {
    let mut trace = running();
    for round in 0..20 {
        let now = round * 50 * MS;
        off(&mut trace, 1, LOCK, (now + MS, now + 30 * MS), 0);
        off(&mut trace, 2, LOCK, (now + 2 * MS, now + 31 * MS), 0);
        trace.call(4, UNLOCK, now + 30 * MS - 1_000, 500, 1);
        trace.call(1, UNLOCK, now + 31 * MS - 1_000, 500, 1);
        trace.call(2, UNLOCK, now + 32 * MS, 500, 0);
    }
    let insight = only(trace.stop(1_000 * MS), InsightKind::LockContention);
    assert!(insight.title.contains("one mutex, 40 times at app::f1"), "{}", insight.title);
    assert!(insight.title.contains("(…/app/src/main.rs:1)"), "{}", insight.title);
    assert_eq!((insight.threads[0], insight.stacks[0]), (ThreadId(4), StackId(2)));
    assert_eq!(insight.resource, Some(ResourceId(1)));
    assert!(insight.evidence[0].contains("writer held it for 98%"), "{:?}", insight.evidence);
    assert!(insight.evidence[0].contains("running 100%"), "{:?}", insight.evidence);
    assert_eq!(insight.command, "blocked --by lock");
}

#[test]
fn threads_that_never_get_their_locks_are_stuck() {
    let mut trace = running();
    for (thread, begin) in [(2, 50 * MS), (3, 60 * MS)] {
        trace.begin_call(thread, LOCK, begin);
        trace.switch_out(thread, begin + 10, os_id(thread), false);
    }
    trace.begin_call(4, RECEIVE, 70 * MS);
    trace.switch_out(4, 70 * MS + 10, os_id(4), false);
    let insight = only(trace.stop(1_000 * MS), InsightKind::Stuck);
    assert!(insight.title.starts_with("worker and helper still waited for"), "{}", insight.title);
    assert_eq!(insight.threads, [ThreadId(2), ThreadId(3)]);
    assert_eq!(insight.at, Some(Nanos(50 * MS).into()));
    let evidence = &insight.evidence[0];
    assert!(evidence.contains("worker waits for mutex 0xf00 at app::f1"), "{evidence}");
    assert!(evidence.ends_with("since 0.050000 s, for 950 ms"), "{evidence}");
    let other = &insight.evidence[2];
    assert!(other.starts_with("writer waits for channel receive at app::f3"), "{other}");
    let unnamed = insight.evidence.iter().find(|it| it.contains("leaves no trace of that"));
    assert!(unnamed.is_some(), "{:?}", insight.evidence);
    // A lock that is only busy when the trace stops is not.
    let mut trace = running();
    trace.begin_call(2, LOCK, 990 * MS);
    trace.switch_out(2, 990 * MS + 10, os_id(2), false);
    assert_eq!(insights(trace.stop(1_000 * MS)), []);
}

#[test]
fn of_a_deadlock_it_is_said_who_has_which_lock_and_took_it_where() {
    let mut trace = running();
    let other = 77;
    trace.resource(other, ResourceKind::Address, 0xabc, "");
    let lock = open_call(CallId::FUTEX_WAIT, other, 1);
    // Both wait a little for their first locks, and then for each other's.
    off(&mut trace, 2, LOCK, (10 * MS, 12 * MS), 0);
    trace.call(4, UNLOCK, 12 * MS - 1_000, 500, 1);
    off(&mut trace, 3, lock, (20 * MS, 22 * MS), 0);
    trace.call(4, open_call(CallId::FUTEX_WAKE, other, 2), 22 * MS - 1_000, 500, 1);
    for (thread, lock, begin) in [(2, lock, 50 * MS), (3, LOCK, 60 * MS)] {
        trace.begin_call(thread, lock, begin);
        trace.switch_out(thread, begin + 10, os_id(thread), false);
    }
    let insight = only(trace.stop(1_000 * MS), InsightKind::Stuck);
    let first = &insight.evidence[0];
    assert!(first.starts_with("worker waits for mutex 0xabc at app::f1"), "{first}");
    let held = "for 950 ms; helper has had it since 0.022000 s, taken at app::f1 \
                (…/app/src/main.rs:1)";
    assert!(first.ends_with(held), "{first}");
    let held = "; worker has had it since 0.012000 s, taken at app::f1 (…/app/src/main.rs:1)";
    assert!(insight.evidence[1].ends_with(held), "{:?}", insight.evidence);
    assert_eq!(insight.evidence.len(), 2, "all is known: {:?}", insight.evidence);
    // Who gives a lock up has it no more.
    let mut trace = running();
    off(&mut trace, 2, LOCK, (10 * MS, 12 * MS), 0);
    trace.call(4, UNLOCK, 12 * MS - 1_000, 500, 1);
    trace.call(2, UNLOCK, 30 * MS, 500, 0);
    trace.begin_call(3, LOCK, 60 * MS);
    trace.switch_out(3, 60 * MS + 10, os_id(3), false);
    let insight = only(trace.stop(1_000 * MS), InsightKind::Stuck);
    assert!(insight.evidence[0].ends_with("for 940 ms"), "{:?}", insight.evidence);
}

#[test]
fn a_holder_that_sleeps_is_named() {
    let mut trace = running();
    for round in 0..20 {
        let now = round * 50 * MS;
        off(&mut trace, 1, LOCK, (now + MS, now + 30 * MS), 0);
        off(&mut trace, 4, SLEEP, (now + 2 * MS, now + 29 * MS), 0);
        trace.call(4, UNLOCK, now + 30 * MS - 1_000, 500, 1);
    }
    let insight = only(trace.stop(1_000 * MS), InsightKind::SlowHolder);
    assert!(insight.title.ends_with(": writer slept while it held it"), "{}", insight.title);
    assert!(
        insight.evidence[0].contains("of its calls mostly clock_nanosleep at app::f6"),
        "{:?}",
        insight.evidence
    );
}

/// In each round main or another waits for a lock while its holder sleeps.
fn asleep_with_the_lock(holder: fn(u64) -> u32) -> Insight {
    let mut trace = running();
    for round in 0..20 {
        let (now, holder) = (round * 50 * MS, holder(round));
        off(&mut trace, holder % 4 + 1, LOCK, (now + MS, now + 30 * MS), 0);
        off(&mut trace, holder, SLEEP, (now + 2 * MS, now + 29 * MS), 0);
        trace.call(holder, UNLOCK, now + 30 * MS - 1_000, 500, 1);
    }
    only(trace.stop(1_000 * MS), InsightKind::SlowHolder)
}

#[test]
fn of_several_holders_that_are_as_bad_none_is_named_alone() {
    let all = asleep_with_the_lock(|round| 1 + round as u32 % 4);
    assert!(all.title.ends_with(": one of 4 threads slept while it held it"), "{}", all.title);
    // Eleven rounds of twenty, and nine.
    let two = asleep_with_the_lock(|round| if round < 11 { 4 } else { 3 });
    assert!(two.title.ends_with(": one of 2 threads slept while it held it"), "{}", two.title);
    // Fourteen and six.
    let worst = asleep_with_the_lock(|round| if round < 14 { 4 } else { 3 });
    assert!(worst.title.ends_with(": writer slept while it held it"), "{}", worst.title);
}

#[test]
fn who_sleeps_again_and_again_with_a_lock_is_told_to_give_it_up() {
    let mut trace = running();
    for round in 0..400 {
        let now = round * 2_500_000;
        off(&mut trace, 1, LOCK, (now + 100_000, now + 1_300_000), 0);
        off(&mut trace, 2, SLEEP, (now + 150_000, now + 1_150_000), 0);
        trace.call(2, UNLOCK, now + 1_300_000 - 1_000, 500, 1);
    }
    let found = insights(trace.stop(1_000 * MS));
    let asleep = found.iter().find(|it| it.kind == InsightKind::SleepLoop).expect("it sleeps");
    let advice = "for 100% of that time it held a mutex that others waited for: give the mutex up \
                  before the sleep";
    assert_eq!(asleep.evidence, [advice]);
}

#[test]
fn a_holder_in_a_slow_call_is_named_without_switches_too() {
    let mut trace = started();
    for round in 0..20 {
        let now = round * 50 * MS;
        trace.call(1, LOCK, now + MS, 29 * MS, 0);
        trace.call(4, FSYNC, now + 2 * MS, 25 * MS, 0);
        trace.call(4, UNLOCK, now + 30 * MS - 1_000, 500, 1);
    }
    let found = insights(trace.stop(1_000 * MS));
    let kinds: Vec<_> = found.iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [InsightKind::SlowHolder, InsightKind::SlowCalls]);
    assert!(found[0].title.ends_with(": writer was in fsync while it held it"));
    assert!(found[1].title.contains("fsync of /var/log/app, 20 times at app::f7"));
    assert_eq!(found[1].call, Some(CallId::FSYNC));
}

#[test]
fn a_holder_without_a_cpu_is_named() {
    let mut trace = running();
    for round in 0..20 {
        let now = round * 50 * MS;
        off(&mut trace, 1, LOCK, (now + MS, now + 20 * MS), 0);
        trace.switch_out(4, now + 2 * MS, os_id(4), true);
        trace.switch_in(4, now + 18 * MS, os_id(4));
        trace.call(4, UNLOCK, now + 20 * MS - 1_000, 500, 1);
    }
    let insight = only(trace.stop(1_000 * MS), InsightKind::HolderPreempted);
    assert!(insight.evidence[0].contains("ready without a CPU 84%"), "{:?}", insight.evidence);
}

#[test]
fn a_full_channel_is_a_matter_of_who_receives() {
    let mut trace = running();
    for round in 0..20 {
        let now = round * 50 * MS;
        off(&mut trace, 1, SEND, (now + MS, now + 40 * MS), 0);
        trace.call(3, open_call(CallId::FUTEX_WAKE, 2, 3), now + 40 * MS - 1_000, 500, 1);
    }
    let insight = only(trace.stop(1_000 * MS), InsightKind::FullChannel);
    assert_eq!((insight.threads[0], insight.threads[1]), (ThreadId(3), ThreadId(1)));
    assert!(insight.evidence[0].contains("helper made room for 100% of it at app::f3"));
}

#[test]
fn threads_without_cpus_are_too_many_or_others_have_them() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.facility("sched", true, "perf_event_open; threads at start: 2; 1 rings of 512 KiB");
    trace.thread(1, "a");
    trace.thread(2, "b");
    for round in 0..50 {
        let now = round * 20 * MS;
        trace.switch_in(0, now, os_id(1));
        trace.switch_out(0, now + 10 * MS, os_id(1), true);
        trace.switch_in(0, now + 10 * MS, os_id(2));
        trace.switch_out(0, now + 20 * MS, os_id(2), true);
    }
    let insight = only(trace.stop(1_000 * MS), InsightKind::Oversubscribed);
    assert!(
        insight.title.ends_with("up to 1 thread waited for 1 CPU at once"),
        "{}",
        insight.title
    );

    let mut trace = running();
    for round in 0..50 {
        let now = round * 20 * MS;
        trace.switch_out(1, now + 2 * MS, os_id(1), true);
        trace.switch_in(1, now + 18 * MS, os_id(1));
        (2..=4).for_each(|it| off(&mut trace, it, RECEIVE, (now + MS, now + 19 * MS), 0));
    }
    only(trace.stop(1_000 * MS), InsightKind::CpusTaken);
}

#[test]
fn threads_of_one_name_are_told_apart() {
    let mut trace = started();
    trace.thread(5, "worker");
    (0..400).for_each(|at| trace.call(5, SLEEP, at * 2 * MS, MS, 0));
    let insight = only(trace.stop(1_000 * MS), InsightKind::SleepLoop);
    assert!(insight.title.starts_with("worker #5 slept"), "{}", insight.title);
}

#[test]
fn one_thread_at_work_is_told_from_a_program_of_one_thread() {
    let mut trace = running();
    (2..=4).for_each(|it| off(&mut trace, it, RECEIVE, (MS, 999 * MS), 0));
    let insight = only(trace.stop(1_000 * MS), InsightKind::OneThread);
    assert!(insight.title.starts_with("main did 99% of the work"), "{}", insight.title);

    let mut alone = TraceBuilder::started(Compression::None);
    alone.facility("sched", true, "perf_event_open; threads at start: 1; 4 rings of 512 KiB");
    alone.thread(1, "main");
    alone.switch_in(0, 0, os_id(1));
    assert_eq!(insights(alone.stop(1_000 * MS)), []);
}

#[test]
fn calls_with_few_bytes_are_named_with_their_file() {
    let mut trace = started();
    (0..5_000).for_each(|at| trace.call(4, WRITE, at * 100_000, 20_000, 1));
    let insight = only(trace.stop(1_000 * MS), InsightKind::ChattyCalls);
    let title = "5,000 calls of write on /var/log/app moved 1 byte each and took 100 ms at app::f5";
    assert!(insight.title.starts_with(title), "{}", insight.title);
}

#[test]
fn many_files_are_named_together_and_one_that_is_opened_anew_once() {
    let many = |name: fn(u32) -> String| {
        let mut trace = running();
        for file in 0..20 {
            let at = u64::from(file) * 45 * MS + 1;
            trace.resource(10 + file, ResourceKind::File, u64::from(file % 2), &name(file));
            let call = open_call(CallId::FSYNC, 10 + file, 7);
            off(&mut trace, 2, call, (at, at + 9 * MS), 0);
        }
        only(trace.stop(1_000 * MS), InsightKind::SlowCalls).title
    };
    let title = many(|file| format!("/data/{file}"));
    assert!(title.starts_with("worker waited 180 ms for file sync of 20 files, 20"), "{title}");
    let title = many(|_| "/data/log".to_owned());
    assert!(title.starts_with("worker waited 180 ms for file sync of /data/log, 20"), "{title}");
}

#[test]
fn a_loop_that_sleeps_is_named() {
    let mut trace = started();
    (0..400).for_each(|at| trace.call(2, SLEEP, at * 2 * MS, MS, 0));
    let insight = only(trace.stop(1_000 * MS), InsightKind::SleepLoop);
    assert!(insight.title.starts_with("worker slept 400 times for 1.00 ms at app::f6"));
}

#[test]
fn pages_that_are_read_are_named() {
    let mut trace = running();
    let stack = StackId(5);
    for at in 1..50 {
        let now = at * 20 * MS;
        let fault =
            trace_format::event::EventKind::Fault { os_thread: os_id(2), address: 1, stack };
        trace.event(ThreadId::cpu(2).0, now, fault);
        trace.switch_out(2, now + 1, os_id(2), false);
        trace.switch_in(2, now + 5 * MS, os_id(2));
    }
    let insight = only(trace.stop(1_000 * MS), InsightKind::PageFaults);
    assert!(insight.title.starts_with("worker waited 245 ms for pages"), "{}", insight.title);
}

#[test]
fn a_heap_that_grows_and_grows_is_named_with_who_allocates() {
    let mut trace = started();
    for at in 0..100 {
        trace.heap(at * 10 * MS, ((10 << 20) + (at << 20), at), (at << 20, at));
        trace.alloc(2, at * 10 * MS, at + 1, 1 << 20, 5);
    }
    let insight = only(trace.stop(1_000 * MS), InsightKind::HeapGrowth);
    assert!(insight.title.starts_with("The heap grew by 104 MB in 990 ms"), "{}", insight.title);
    assert!(insight.evidence[1].contains("at app::f5"), "{:?}", insight.evidence);

    let mut saw = started();
    for at in 0..100 {
        saw.heap(at * 10 * MS, ((10 << 20) + ((at % 10 * 10) << 20), at), (at << 20, at));
    }
    assert_eq!(insights(saw.stop(1_000 * MS)), []);
}

#[test]
fn what_is_missing_comes_first() {
    let mut trace = started();
    (0..400).for_each(|at| trace.call(2, SLEEP, at * 2 * MS, MS, 0));
    trace.define(&Definition::ThreadEnd {
        id: ThreadId(1),
        ended: true,
        ticks: Ticks(MS),
        events: 0,
        dropped_events: 7,
        dropped_ends: 0,
    });
    let found = insights(trace.stop(1_000 * MS));
    assert_eq!(found[0].kind, InsightKind::Loss);
    assert!(found[0].title.starts_with("7 events were not recorded"));
}
