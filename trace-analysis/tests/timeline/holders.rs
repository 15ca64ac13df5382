//! Who held what others waited for, for how much of that, and what it did meanwhile; from traces
//! made by hand: one tick is a nanosecond.

use trace_analysis::explain::{InsightKind, explain};
use trace_analysis::life::{Lives, WaitGroup};
use trace_analysis::reason::Reason;
use trace_analysis::symbols::Symbols;
use trace_analysis::{Options, Report, Trace, Wanted};
use trace_format::batch::Compression;
use trace_format::definition::{Definition, ResourceKind};
use trace_format::id::{CallId, OpenCall, ThreadId};
use trace_format::read::TraceFile;
use trace_format::testgen::{TraceBuilder, open_call, os_id};
use trace_format::time::{Nanos, Ticks};

const LOCK: OpenCall = open_call(CallId::FUTEX_WAIT, 1, 1);
const UNLOCK: OpenCall = open_call(CallId::FUTEX_WAKE, 1, 2);
const FSYNC: OpenCall = open_call(CallId::FSYNC, 2, 4);

/// A trace with four threads, a lock, and a file.
fn started() -> TraceBuilder {
    let mut trace = TraceBuilder::started(Compression::None);
    (1..=4).for_each(|thread| trace.thread(thread, &format!("t{thread}")));
    let libraries = [
        "std::sys::sync::mutex::futex::Mutex::lock_contended",
        "std::sys::sync::mutex::futex::Mutex::wake",
        "std::fs::File::write",
        "std::fs::File::sync_all",
        "std::fs::File::write",
    ];
    for (stack, library) in (1_u32..).zip(libraries) {
        let address = u64::from(stack) * 0x100;
        trace.stack(stack, &[address, address + 1]);
        trace.symbol(address, &[(library, "", 0)]);
        trace.symbol(address + 1, &[(&format!("app::f{stack}"), "src/app.rs", stack)]);
    }
    trace.resource(1, ResourceKind::Address, 0xf00, "");
    trace.resource(2, ResourceKind::File, 3, "/data/ledger");
    trace
}

fn lives_of(bytes: Vec<u8>, options: Options) -> Lives {
    let file = TraceFile::open(bytes).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    Lives::read(&Trace::new(&file).named(&symbols).with(options), |_| {})
}

fn lives(bytes: Vec<u8>) -> Lives {
    lives_of(bytes, Options::default())
}

fn only(lives: &Lives, reason: Reason) -> &WaitGroup {
    let mut groups = lives.waits.by_resource.iter().filter(|group| group.reason == reason);
    let group = groups.next().expect("such waits");
    assert!(groups.next().is_none(), "one group");
    group
}

/// Each holder with the waiting it caused.
fn caused(group: &WaitGroup) -> Vec<(u32, u64)> {
    group.holders.iter().map(|it| (it.thread.0, it.caused.0)).collect()
}

/// While thread 2 waits from 1 000 to 10 001 000, thread 1 writes 9 700 times, for 600 ns of each
/// microsecond, and then is in `fsync` for 299 µs.
fn many_writes() -> Vec<u8> {
    let mut trace = started();
    trace.switch_in(0, 0, os_id(1));
    trace.call(2, LOCK, 1_000, 10_000_100, 0);
    // `write!` makes a call for each of its parts.
    for at in 0..9_700 {
        let write = open_call(CallId::WRITE, 2, 3 + 2 * (at % 2) as u32);
        trace.call(1, write, 1_000 + at * 1_000, 600, 9);
    }
    trace.call(1, FSYNC, 9_701_000, 299_000, 0);
    trace.call(1, UNLOCK, 10_001_000, 10, 1);
    trace.stop(11_000_000)
}

#[test]
fn what_a_holder_did_is_known_however_often_it_did_it() {
    let lives = lives(many_writes());
    let holder = &only(&lives, Reason::Mutex).holders[0];
    assert_eq!((holder.thread, holder.held), (ThreadId(1), Nanos(10_000_000)));
    assert_eq!(holder.times.total(), holder.held, "all of it is said");
    let (unknown, in_calls) = (holder.times.unknown.0, holder.times.in_calls.0);
    assert!(unknown <= holder.held.0 / 8, "{unknown}");
    // 9 700 times 600, and 299 000.
    assert!((6_119_000 - unknown..=6_119_000).contains(&in_calls), "{in_calls}");
    assert_eq!(holder.slow_call, CallId::WRITE);
    assert!([3, 5].contains(&holder.slow_stack.0), "{:?}", holder.slow_stack);
}

#[test]
fn a_holder_is_named_for_what_it_did_most_not_for_what_took_longest_once() {
    let bytes = many_writes();
    let file = TraceFile::open(bytes).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    let trace = Trace::new(&file).named(&symbols);
    let found = explain(&trace, &Report::read(&trace, Wanted::default(), |_| {}));
    let slow = found.iter().find(|it| it.kind == InsightKind::SlowHolder).expect("a slow holder");
    assert!(slow.title.ends_with(": t1 was in write while it held it"), "{}", slow.title);
}

#[test]
fn a_lock_is_held_by_nobody_while_the_process_stands_still() {
    let mut trace = started();
    let ms = 1_000_000;
    trace.call(2, LOCK, 10 * ms, 1_990 * ms + 100, 0);
    let (from, to) = (Ticks(500 * ms), Ticks(1_500 * ms));
    trace.define(&Definition::Stopped { from, to, suspended: Nanos(0) });
    trace.call(1, UNLOCK, 2_000 * ms, 10, 1);
    let lives = lives(trace.stop(3_000 * ms));
    let holder = &only(&lives, Reason::Mutex).holders[0];
    assert_eq!((holder.held, holder.times.total()), (Nanos(990 * ms), Nanos(990 * ms)));
    assert_eq!(holder.times.stopped, Nanos(0));
}

#[test]
fn who_held_a_lock_for_which_nobody_waited_may_have_given_it_up() {
    let mut trace = started();
    trace.call(2, LOCK, 1_000, 4_010, 0);
    trace.call(1, UNLOCK, 5_000, 10, 1);
    trace.call(3, LOCK, 100_000, 5_010, 0);
    trace.call(2, UNLOCK, 105_000, 10, 1);
    let lives = lives(trace.stop(200_000));
    let held: Vec<_> = only(&lives, Reason::Mutex).holders.iter().map(|it| it.held.0).collect();
    assert_eq!(held, [5_000, 4_000], "while somebody waited");
}

#[test]
fn who_waited_until_just_now_has_had_the_lock_since_then() {
    let mut trace = started();
    // The wake that ended the first wait lies before the window.
    trace.call(3, LOCK, 500, 9_600, 0);
    trace.call(2, LOCK, 1_000, 9_000, 0);
    trace.call(1, UNLOCK, 2_000, 10, 1);
    trace.call(2, UNLOCK, 10_020, 10, 1);
    let options = Options { from: Some(Ticks(5_000)), ..Options::default() };
    let lives = lives_of(trace.stop(20_000), options);
    let lock = only(&lives, Reason::Mutex);
    let holder = lock.holders.iter().find(|it| it.thread == ThreadId(2)).expect("it gave it up");
    assert_eq!((holder.held, holder.caused), (Nanos(20), Nanos(20)));
}

#[test]
fn who_was_refused_has_not_waited() {
    let mut trace = started();
    // Something was recorded in the call, so its begin and its end are events of their own.
    trace.begin_call(2, LOCK, 1_000);
    trace.end_call(2, 1_050, -11);
    trace.call(3, LOCK, 2_000, 3_010, 0);
    trace.call(1, UNLOCK, 5_000, 10, 1);
    let lives = lives(trace.stop(10_000));
    let lock = only(&lives, Reason::Mutex);
    assert_eq!((caused(lock), lock.waiters_max), (vec![(1, 3_000)], 1));
}

/// Thread 2 is woken at 5 000 and comes onto a CPU at 20 000; meanwhile 3 takes the lock, and 4
/// waits for it from 6 000 on.
fn woken_without_a_cpu() -> Vec<u8> {
    let mut trace = started();
    for thread in 1..=4 {
        trace.switch_in(thread, 0, os_id(thread));
    }
    trace.call(2, LOCK, 1_000, 19_000, 0);
    trace.switch_out(2, 1_000, os_id(2), false);
    trace.call(1, UNLOCK, 5_000, 10, 1);
    trace.call(4, LOCK, 6_000, 4_010, 0);
    trace.switch_out(4, 6_000, os_id(4), false);
    trace.call(3, UNLOCK, 10_000, 10, 1);
    trace.switch_in(4, 10_000, os_id(4));
    trace.switch_in(2, 20_000, os_id(2));
    trace.stop(30_000)
}

#[test]
fn nobody_makes_a_thread_wait_that_was_woken_and_has_no_cpu() {
    let lives = lives(woken_without_a_cpu());
    let lock = only(&lives, Reason::Mutex);
    assert_eq!(caused(lock), [(1, 4_000), (3, 4_000)]);
    assert_eq!(lock.total, Nanos(8_000));
    let shares: Vec<_> = lock.holders.iter().map(|holder| lock.share(holder)).collect();
    assert_eq!(shares, [(Nanos(4_000), Nanos(8_000)); 2]);
}

/// Thread 2 is woken at 5 000, comes onto a CPU at 20 000, and gives the lock up at 20 100;
/// meanwhile nobody has it, and 3 waits for it, blocked from 3 000 on.
fn free_without_a_cpu() -> Vec<u8> {
    let mut trace = started();
    for thread in 1..=3 {
        trace.switch_in(thread, 0, os_id(thread));
    }
    trace.call(2, LOCK, 1_000, 19_020, 0);
    trace.switch_out(2, 1_000, os_id(2), false);
    trace.call(3, LOCK, 2_000, 18_110, 0);
    trace.switch_out(3, 3_000, os_id(3), false);
    trace.call(1, UNLOCK, 5_000, 10, 1);
    trace.switch_in(2, 20_000, os_id(2));
    trace.call(2, UNLOCK, 20_100, 5, 1);
    trace.switch_in(3, 20_105, os_id(3));
    trace.stop(30_000)
}

#[test]
fn nobody_holds_a_lock_while_who_was_woken_for_it_has_no_cpu() {
    let lives = lives(free_without_a_cpu());
    let lock = only(&lives, Reason::Mutex);
    // Thread 2 came back at 20 020, after 20 on its CPU.
    assert_eq!(caused(lock), [(1, 4_000 + 2_000), (2, 80)]);
    assert_eq!(lock.free, Nanos(15_000));
    assert_eq!(lock.total, Nanos(4_000 + 17_100));
    assert_eq!(lock.holders[1].held, Nanos(80));
    // And in each window: what is read before tells that it was woken.
    for (from, to, free) in [(0, 10_000, 0), (10_000, 30_000, 10_000), (19_000, 25_000, 1_000)] {
        let (from, to) = (Some(Ticks(from)), Some(Ticks(to)));
        let lives = lives_of(free_without_a_cpu(), Options { from, to, ..Options::default() });
        let lock = only(&lives, Reason::Mutex);
        assert_eq!(lock.free, Nanos(free), "from {from:?}");
        let parts: u64 = lock.holders.iter().map(|it| it.caused.0).sum();
        assert!(parts + lock.free.0 <= lock.total.0, "{parts} of {:?}", lock.total);
    }
}

#[test]
fn a_wake_that_ended_a_younger_wait_ended_no_other() {
    let mut trace = started();
    trace.call(2, LOCK, 1_000, 8_010, 0);
    trace.call(3, LOCK, 1_100, 3_910, 0);
    // The second has been woken, as it comes back first.
    trace.call(1, UNLOCK, 5_000, 10, 1);
    trace.call(3, UNLOCK, 9_000, 10, 1);
    let lives = lives(trace.stop(10_000));
    // To 5 000 both waited for the first; then one for the other, which had it 10 later.
    assert_eq!(caused(only(&lives, Reason::Mutex)), [(1, 4_000 + 3_900), (3, 3_990)]);
}

#[test]
fn a_wait_whose_time_was_up_leaves_its_wake_to_another() {
    let mut trace = started();
    trace.call(2, LOCK, 1_000, 4_500, -110);
    trace.call(3, LOCK, 2_000, 10_000, 0);
    trace.call(1, UNLOCK, 5_000, 10, 1);
    trace.call(4, UNLOCK, 9_000, 10, 0);
    let lives = lives(trace.stop(20_000));
    assert_eq!(caused(only(&lives, Reason::Mutex)), [(1, 4_000 + 3_000)]);
}

#[test]
fn of_chosen_threads_only_their_waiting_counts() {
    let mut trace = started();
    trace.call(2, LOCK, 1_000, 4_010, 0);
    trace.call(3, LOCK, 2_000, 7_010, 0);
    trace.call(1, UNLOCK, 5_000, 10, 1);
    trace.call(2, UNLOCK, 9_000, 10, 1);
    let options = Options { threads: vec![ThreadId(3)].into(), ..Options::default() };
    let lives = lives_of(trace.stop(10_000), options);
    let lock = only(&lives, Reason::Mutex);
    assert_eq!((lock.total, lock.waiters_max), (Nanos(7_010), 1));
    assert_eq!(caused(lock), [(2, 3_990), (1, 3_000)], "from when it had the lock");
}

#[test]
fn who_held_a_lock_made_readers_wait_and_writers_and_each_is_said_apart() {
    let mut trace = started();
    let (read, write) = (CallId::PTHREAD_RWLOCK_RDLOCK, CallId::PTHREAD_RWLOCK_WRLOCK);
    trace.call(2, open_call(read, 1, 0), 1_000, 4_010, 0);
    trace.call(3, open_call(write, 1, 0), 3_000, 2_010, 0);
    trace.call(1, UNLOCK, 5_000, 10, 2);
    let lives = lives(trace.stop(10_000));
    let (read, write) = (only(&lives, Reason::RwLockRead), only(&lives, Reason::RwLockWrite));
    assert_eq!((caused(read), caused(write)), (vec![(1, 4_000)], vec![(1, 2_000)]));
}

/// Whether waits are rest does not depend on how they are put together.
#[test]
fn a_wait_since_before_the_trace_is_told_from_one_without_a_stack() {
    let mut trace = started();
    let untold = open_call(CallId::FUTEX_WAIT, 1, 0);
    trace.call(1, untold, 0, 3_000, 0);
    trace.call(2, untold, 5_000, 700, 0);
    let lives = lives(trace.stop(10_000));
    let waits = &lives.waits;
    for groups in [&waits.by_resource, &waits.by_reason, &waits.by_stack, &waits.by_thread] {
        let told: Vec<_> =
            groups.iter().map(|it| (it.is_before, it.is_rest(), it.total.0)).collect();
        assert_eq!(told, [(true, true, 3_000), (false, false, 700)]);
    }
}

#[test]
fn a_wait_that_is_older_than_what_is_read_is_so_from_the_trace_s_begin_alone() {
    let mut trace = started();
    let untold = open_call(CallId::FUTEX_WAIT, 1, 0);
    trace.call(1, untold, 0, 9_000, 0);
    trace.call(2, untold, 1_000, 8_000, 0);
    let options = Options { from: Some(Ticks(5_000)), ..Options::default() };
    let lives = lives_of(trace.stop(10_000), options);
    let mut told: Vec<_> =
        lives.waits.by_thread.iter().map(|it| (it.thread.0, it.is_before)).collect();
    told.sort_unstable();
    assert_eq!(told, [(1, true), (2, false)]);
}
