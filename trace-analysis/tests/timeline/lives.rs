//! Lives of threads, from traces made by hand: one tick is a nanosecond.

use trace_analysis::life::{Lives, Times, Unended, WaitGroup};
use trace_analysis::reason::Reason;
use trace_analysis::symbols::Symbols;
use trace_analysis::{Moment, Options, Summary, Trace};
use trace_format::batch::Compression;
use trace_format::definition::{CallsiteKind, Definition, OpenSince, ResourceKind};
use trace_format::event::EventKind;
use trace_format::id::{CallId, Open, ResourceId, StackId, ThreadId};
use trace_format::read::TraceFile;
use trace_format::testgen::{TraceBuilder, open_call, os_id};
use trace_format::time::{Nanos, Ticks};

const LOCK: u32 = 1;
const WAIT: u32 = 1;
const UNLOCK: u32 = 2;
const READ: u32 = 3;
const FILE: u32 = 2;

/// A trace with three threads, a lock, a file, and stacks with names.
fn started() -> TraceBuilder {
    let mut trace = TraceBuilder::started(Compression::None);
    for thread in 1..=3 {
        trace.thread(thread, &format!("t{thread}"));
    }
    let mutex = "std::sys::sync::mutex::futex::Mutex";
    for (stack, inner) in [
        (WAIT, format!("<{mutex}>::lock_contended")),
        (UNLOCK, format!("<{mutex}>::wake")),
        (READ, "std::fs::read".to_owned()),
    ] {
        let address = u64::from(stack) * 0x100;
        trace.stack(stack, &[address, address + 1]);
        trace.symbol(address, &[(&inner, "", 0)]);
        trace.symbol(address + 1, &[(&format!("app::f{stack}"), "src/app.rs", 10 * stack)]);
    }
    trace.resource(LOCK, ResourceKind::Address, 0xf00, "");
    trace.resource(FILE, ResourceKind::File, 3, "/data/big");
    trace
}

fn lives(bytes: Vec<u8>) -> Lives {
    lives_of(bytes, &Options::default())
}

fn lives_of(bytes: Vec<u8>, options: &Options) -> Lives {
    let file = TraceFile::open(bytes).expect("a trace");
    assert!(file.faults().is_empty());
    Lives::read(
        &Trace::new(&file).named(&Symbols::of_trace(file.tables())).with(options.clone()),
        |_| {},
    )
}

fn times(lives: &Lives, thread: u32) -> Times {
    let life = lives.threads.iter().find(|life| life.thread == ThreadId(thread));
    life.expect("it is there").times
}

fn wait(trace: &mut TraceBuilder, thread: u32, from: u64, to: u64) {
    trace.call(thread, open_call(CallId::FUTEX_WAIT, LOCK, WAIT), from, to - from, 0);
}

fn wake(trace: &mut TraceBuilder, thread: u32, at: u64, woken: i64) {
    trace.call(thread, open_call(CallId::FUTEX_WAKE, LOCK, UNLOCK), at, 10, woken);
}

fn mutex(lives: &Lives) -> &WaitGroup {
    let mut groups = lives.waits.by_resource.iter();
    let group = groups.find(|group| group.reason == Reason::Mutex).expect("a mutex");
    assert_eq!(group.resource, ResourceId(LOCK));
    group
}

/// Thread 1 has a lock, 2 and 3 wait for it in turn.
fn convoy() -> Vec<u8> {
    let mut trace = started();
    wait(&mut trace, 2, 1_000, 5_100);
    wait(&mut trace, 3, 2_000, 9_050);
    wake(&mut trace, 1, 5_000, 1);
    wake(&mut trace, 2, 9_000, 1);
    wake(&mut trace, 3, 9_500, 0);
    trace.stop(10_000)
}

#[test]
fn who_unlocks_is_who_held_and_who_is_woken_holds_next() {
    let lives = lives(convoy());
    let group = mutex(&lives);
    assert_eq!((group.count, group.total, group.waiters_max), (2, Nanos(4_100 + 7_050), 2));
    let wakers: Vec<_> = group.wakers.iter().map(|share| share.of).collect();
    let (one, two) = ((ThreadId(1), StackId(UNLOCK)), (ThreadId(2), StackId(UNLOCK)));
    assert_eq!(wakers, [two, one], "the one that ended most waiting first");
    let longest = &group.longest[0];
    assert_eq!((longest.thread, longest.duration), (ThreadId(3), Nanos(7_050)));
    let waker = longest.waker.expect("it was woken");
    assert_eq!((waker.thread, waker.at), (ThreadId(2), Nanos(9_000)));
    assert_eq!(waker.held_since, Some(Nanos(5_100)), "since it was woken itself");
    // 4000 of thread 2 and 3000 of thread 3 under the first holder, 3900 under the second, which
    // had the lock 100 after it was given up.
    let holders: Vec<_> = group.holders.iter().map(|it| (it.thread, it.caused, it.held)).collect();
    let first = (ThreadId(1), Nanos(7_000), Nanos(4_000));
    assert_eq!(holders, [first, (ThreadId(2), Nanos(3_900), Nanos(3_900))]);
}

#[test]
fn without_switches_what_is_outside_calls_is_unknown() {
    let lives = lives(convoy());
    let times = times(&lives, 2);
    assert_eq!(times.blocked_by(Reason::Mutex), Nanos(4_100));
    assert_eq!((times.running, times.ready), (Nanos(0), Nanos(0)));
    assert_eq!(times.in_calls, Nanos(10));
    assert_eq!(times.unknown, Nanos(10_000 - 4_100 - 10));
    assert_eq!(lives.cpus, []);
    assert_eq!(lives.regions, []);
}

/// On CPU 0: thread 1 runs, is put off for 2, comes back, and wakes 3, which was waiting.
fn switched() -> TraceBuilder {
    let mut trace = started();
    trace.callsite(1, CallsiteKind::Function, "work");
    trace.switch_in(0, 0, os_id(1));
    trace.switch_in(1, 100, os_id(3));
    trace.begin(1, 1, 500);
    wait(&mut trace, 3, 1_000, 6_500);
    trace.switch_out(1, 1_200, os_id(3), false);
    trace.switch_out(0, 2_000, os_id(1), true);
    trace.switch_in(0, 2_050, os_id(2));
    trace.switch_out(0, 4_050, os_id(2), false);
    trace.switch_in(0, 4_100, os_id(1));
    wake(&mut trace, 1, 5_000, 1);
    trace.end(1, 5_500);
    trace.switch_in(1, 6_000, os_id(3));
    trace.switch_out(0, 8_000, os_id(1), false);
    trace.switch_out(1, 9_000, os_id(3), false);
    trace
}

#[test]
fn switches_tell_running_ready_and_blocked_apart() {
    let lives = lives(switched().stop(10_000));
    let one = times(&lives, 1);
    assert_eq!(one.ready, Nanos(2_100), "preempted");
    assert_eq!((one.cpu(), one.in_calls), (Nanos(2_000 + 3_900), Nanos(10)));
    assert_eq!(one.blocked_by(Reason::Unseen), Nanos(2_000), "it went, and nothing says why");
    let three = times(&lives, 3);
    assert_eq!(three.blocked_by(Reason::Mutex), Nanos(3_800), "from going off to the wake");
    assert_eq!(three.ready, Nanos(1_000), "from the wake to coming back");
    assert_eq!(three.in_calls, Nanos(200 + 500));
    let two = times(&lives, 2);
    assert_eq!((two.running, two.blocked_by(Reason::Unseen)), (Nanos(2_000), Nanos(5_950)));
    assert_eq!(two.unknown, Nanos(2_050), "before it was seen");
    let busy: Vec<_> = lives.cpus.iter().map(|cpu| (cpu.cpu, cpu.busy.0)).collect();
    assert_eq!(busy, [(0, 2_000 + 2_000 + 3_900), (1, 1_100 + 3_000)]);
    assert_eq!(lives.cpus[0].preemptions, 1);
    let at_once: u64 = lives.concurrency.running.iter().map(|time| time.0).sum();
    assert_eq!(at_once, 10_000);
    let blocked: u64 = lives.threads.iter().map(|life| life.times.blocked().0).sum();
    assert_eq!(lives.waits.total, Nanos(blocked), "groups and states agree");
}

#[test]
fn regions_get_cpu_ready_and_blocked_time() {
    let lives = lives(switched().stop(10_000));
    let [work] = lives.regions.as_slice() else { panic!("one call site") };
    assert_eq!((work.count, work.cpu, work.ready), (1, Nanos(1_500 + 1_400), Nanos(2_100)));
    assert_eq!((work.blocked, work.unknown), (Nanos(0), Nanos(0)));
}

#[test]
fn a_holder_that_was_put_off_its_cpu_is_shown_so() {
    let lives = lives(switched().stop(10_000));
    let holder = &mutex(&lives).holders[0];
    assert_eq!((holder.thread, holder.held), (ThreadId(1), Nanos(4_000)));
    assert_eq!(holder.times.ready, Nanos(2_100));
    assert_eq!(holder.times.cpu(), Nanos(1_900));
}

#[test]
fn a_holder_that_reads_a_file_is_shown_so() {
    let mut trace = started();
    wait(&mut trace, 2, 1_000, 9_100);
    trace.call(1, open_call(CallId::READ, FILE, READ), 2_000, 6_000, 100);
    wake(&mut trace, 1, 9_000, 1);
    let lives = lives(trace.stop(10_000));
    let holder = &mutex(&lives).holders[0];
    assert_eq!((holder.held, holder.times.in_calls), (Nanos(8_000), Nanos(6_000)));
    assert_eq!((holder.slow_call, holder.slow_stack), (CallId::READ, StackId(READ)));
    let read = &lives.calls.by_call[1];
    assert_eq!((read.call, read.bytes, read.tiny), (CallId::READ, 100, 1));
}

#[test]
fn a_wake_accounts_for_as_many_waits_as_it_woke() {
    let mut trace = started();
    wait(&mut trace, 1, 1_000, 5_000);
    wait(&mut trace, 2, 1_000, 5_001);
    wake(&mut trace, 3, 4_900, 1);
    let lives = lives(trace.stop(10_000));
    let woken = lives.waits.by_stack[0].longest.iter().filter(|wait| wait.waker.is_some());
    assert_eq!(woken.count(), 1);
}

#[test]
fn a_wait_that_timed_out_was_ended_by_nobody() {
    let mut trace = started();
    trace.call(1, open_call(CallId::FUTEX_WAIT, LOCK, WAIT), 1_000, 5_000, -110);
    wake(&mut trace, 2, 2_000, 1);
    let lives = lives(trace.stop(10_000));
    assert_eq!(lives.waits.by_stack[0].longest[0].waker, None);
}

#[test]
fn a_join_is_ended_by_the_thread_that_ends() {
    let mut trace = started();
    trace.resource(7, ResourceKind::Thread, os_id(2), "");
    trace.call(1, open_call(CallId::PTHREAD_JOIN, 7, 0), 1_000, 5_000, 0);
    trace.region(2, 1, 2_000, 10);
    let lives = lives(trace.stop(10_000));
    let group = &lives.waits.by_reason[0];
    assert_eq!(group.reason, Reason::Join);
    let waker = group.longest[0].waker.expect("the joined thread");
    assert_eq!((waker.thread, waker.stack), (ThreadId(2), StackId(0)));
}

#[test]
fn what_still_waits_at_the_end_is_counted() {
    let mut trace = started();
    trace.begin_call(1, open_call(CallId::FUTEX_WAIT, LOCK, WAIT), 1_000);
    let lives = lives(trace.stop(10_000));
    assert_eq!((mutex(&lives).total, lives.calls.count), (Nanos(9_000), 0));
    assert_eq!(lives.calls.open, 1);
    assert_eq!(times(&lives, 1).blocked_by(Reason::Mutex), Nanos(9_000));
}

/// A wait whose begin nobody has written: all that says so is the last generation.
fn stuck() -> TraceBuilder {
    let mut trace = started();
    let (cpu, os_thread) = (0, os_id(2));
    trace.switch_in(cpu, 500, os_thread);
    trace.call(2, open_call(CallId::READ, FILE, READ), 600, 100, 1);
    trace.switch_out(cpu, 1_010, os_thread, false);
    trace.generation(9_000);
    let open = Open::Call(open_call(CallId::FUTEX_WAIT, LOCK, WAIT));
    let open = vec![OpenSince { open, begin: Ticks(1_000) }];
    let id = ThreadId(2);
    trace.define(&Definition::ThreadState { id, sequence: 1, offset: 0, more: false, open });
    trace
}

#[test]
fn a_wait_without_a_written_begin_is_known_from_the_last_generation() {
    let lives = lives(stuck().stop(10_000));
    assert_eq!(mutex(&lives).total, Nanos(8_990));
    assert_eq!(times(&lives, 2).blocked_by(Reason::Mutex), Nanos(8_990));
    assert_eq!(times(&lives, 2).blocked_by(Reason::Unseen), Nanos(0));
    assert_eq!(lives.unended.len(), 1);
    let Unended { reason, call, wait, holder } = lives.unended[0];
    assert_eq!((reason, call, holder), (Reason::Mutex, CallId::FUTEX_WAIT, None));
    assert_eq!((wait.thread, wait.begin, wait.stack), (ThreadId(2), Moment(1_000), StackId(WAIT)));
    // Beyond a window it may end.
    let options = Options { to: Some(Ticks(8_000)), ..Options::default() };
    let lives = lives_of(stuck().stop(10_000), &options);
    assert_eq!((mutex(&lives).total, lives.unended.len()), (Nanos(6_990), 0));
    // It began in a window in which nothing else happens.
    let options = Options { from: Some(Ticks(800)), ..Options::default() };
    assert_eq!(mutex(&lives_of(stuck().stop(10_000), &options)).total, Nanos(8_990));
    // Nobody reads on where the thread went on.
    let mut trace = stuck();
    trace.call(2, open_call(CallId::FUTEX_WAIT, LOCK, WAIT), 1_000, 8_500, 0);
    trace.call(2, open_call(CallId::READ, FILE, READ), 9_600, 10, 1);
    assert_eq!(lives_of(trace.stop(10_000), &Options::default()).unended, []);
}

#[test]
fn waits_from_before_the_trace_are_together_and_no_finding() {
    let mut trace = started();
    for (thread, resource) in [(1, LOCK), (2, FILE)] {
        trace.begin_call(thread, open_call(CallId::FUTEX_WAIT, resource, 0), 0);
        trace.end_call(thread, 5_000, 0);
    }
    let trace = trace.stop(10_000);
    let lives = lives(trace.clone());
    assert_eq!(lives.waits.by_resource.len(), 1);
    let group = &lives.waits.by_resource[0];
    assert_eq!((group.reason, group.count, group.total), (Reason::Futex, 2, Nanos(10_000)));
    // Nor is it a finding that a thread waits to the end.
    let mut still = started();
    still.begin_call(1, open_call(CallId::FUTEX_WAIT, LOCK, WAIT), 1_000);
    let file = TraceFile::open(still.stop(10_000)).expect("a trace");
    let summary = Summary::read(&Trace::new(&file), |_| {});
    assert_eq!(summary.findings.iter().count(), 0);
}

#[test]
fn a_window_counts_what_lies_in_it() {
    for options in [(2_000, 8_000), (1_500, 3_000), (5_050, 5_060)] {
        let (from, to) = (Some(Ticks(options.0)), Some(Ticks(options.1)));
        let lives = lives_of(convoy(), &Options { from, to, ..Options::default() });
        for life in &lives.threads {
            assert_eq!(life.times.total().0, options.1 - options.0);
        }
        let waited = 5_100_u64.min(options.1) - options.0;
        assert_eq!(times(&lives, 2).blocked_by(Reason::Mutex), Nanos(waited));
    }
}

#[test]
fn a_thread_is_known_from_cpus_alone_and_ids_are_used_again() {
    let mut trace = started();
    trace.spawned(4, "short", 1_000, (1, UNLOCK, 0x500));
    trace.define(&Definition::ThreadEnd {
        id: ThreadId(4),
        ended: true,
        ticks: Ticks(3_000),
        events: 0,
        dropped_events: 0,
        dropped_ends: 0,
    });
    trace.define(&Definition::Thread {
        id: ThreadId(5),
        os_id: os_id(4),
        name: b"same id",
        first: Ticks(6_000),
        parent: ThreadId(1),
        stack: StackId(0),
        entry: 0,
    });
    trace.switch_in(0, 900, os_id(4));
    trace.switch_out(0, 2_000, os_id(4), false);
    trace.switch_in(0, 5_900, os_id(4));
    trace.switch_out(0, 7_000, os_id(4), false);
    trace.switch_in(0, 8_000, 77);
    let lives = lives(trace.stop(10_000));
    let life = |os_id: u64| lives.threads.iter().filter(move |life| life.os_id == os_id);
    let short: Vec<_> = life(os_id(4)).map(|life| (life.thread, life.begin, life.end)).collect();
    let (first, second) = (ThreadId(4), ThreadId(5));
    let expected = [(first, Nanos(900), Nanos(2_000)), (second, Nanos(5_900), Nanos(10_000))];
    assert_eq!(short, expected);
    let stranger = life(77).next().expect("it ran");
    assert_eq!((stranger.thread, stranger.times.running), (ThreadId(0), Nanos(2_000)));
    assert_eq!(life(os_id(4)).next().map(|life| life.parent), Some(ThreadId(1)));
}

#[test]
fn lost_records_make_time_unknown_until_the_next_switch() {
    let mut trace = started();
    trace.switch_in(0, 0, os_id(1));
    trace.event(ThreadId::cpu(0).0, 3_000, EventKind::LostKernel { records: 9 });
    trace.switch_out(0, 7_000, os_id(1), false);
    let lives = lives(trace.stop(10_000));
    let times = times(&lives, 1);
    assert_eq!((times.running, times.unknown), (Nanos(3_000), Nanos(4_000)));
    assert_eq!(lives.lost_records, 9);
}

#[test]
fn lost_records_make_a_call_that_need_not_wait_unknown_too() {
    let mut trace = started();
    trace.switch_in(0, 0, os_id(1));
    trace.begin_call(1, open_call(CallId::READ, FILE, READ), 1_000);
    trace.event(ThreadId::cpu(0).0, 3_000, EventKind::LostKernel { records: 9 });
    trace.switch_out(0, 7_000, os_id(1), false);
    trace.switch_in(0, 8_000, os_id(1));
    trace.end_call(1, 9_000, 8);
    let lives = lives(trace.stop(10_000));
    let times = times(&lives, 1);
    // Before the loss and behind the switch back it is known to have been on a CPU.
    assert_eq!((times.in_calls, times.unknown), (Nanos(2_000 + 1_000), Nanos(4_000)));
}

#[test]
fn a_page_fault_that_waits_is_its_own_reason() {
    let mut trace = started();
    trace.switch_in(0, 0, os_id(1));
    let (os_thread, stack) = (os_id(1), StackId(READ));
    let fault = EventKind::Fault { os_thread, address: 0x5000, stack };
    trace.event(ThreadId::cpu(0).0, 1_000, fault);
    trace.switch_out(0, 1_100, os_id(1), false);
    trace.switch_in(0, 4_100, os_id(1));
    let lives = lives(trace.stop(10_000));
    assert_eq!(times(&lives, 1).blocked_by(Reason::PageFault), Nanos(3_000));
    assert_eq!(lives.waits.by_stack[0].stack, StackId(READ));
    assert_eq!(lives.faults, 1);
}

#[test]
fn calls_are_no_callees_of_a_region() {
    let mut trace = started();
    trace.callsite(1, CallsiteKind::Function, "work");
    trace.begin(1, 1, 1_000);
    trace.call(1, open_call(CallId::READ, FILE, READ), 2_000, 3_000, -9);
    trace.end(1, 6_000);
    let bytes = trace.stop(10_000);
    let file = TraceFile::open(bytes.clone()).expect("a trace");
    let summary = Summary::read(&Trace::new(&file), |_| {});
    assert_eq!(summary.regions[0].self_time, Nanos(5_000));
    let lives = lives(bytes);
    assert_eq!(lives.calls.by_resource[0].errors, [(9, 1)]);
}
