//! Where and why threads wait, and who made them, from traces made by hand: one tick is a
//! nanosecond.

use trace_analysis::Trace;
use trace_analysis::life::{Lives, WaitGroup};
use trace_analysis::reason::{self, Reason};
use trace_analysis::symbols::Symbols;
use trace_format::batch::Compression;
use trace_format::definition::ResourceKind;
use trace_format::id::{CallId, ResourceId, StackId, ThreadId};
use trace_format::read::TraceFile;
use trace_format::testgen::{TraceBuilder, open_call, os_id};
use trace_format::time::Nanos;

const MS: u64 = 1_000_000;
const ETIMEDOUT: i64 = -110;

fn started(threads: u32) -> TraceBuilder {
    let mut trace = TraceBuilder::started(Compression::None);
    for thread in 1..=threads {
        trace.thread(thread, &format!("t{thread}"));
    }
    trace
}

/// A stack of these functions, innermost first.
fn stack(trace: &mut TraceBuilder, stack: u32, functions: &[&str]) {
    let address = |at: usize| u64::from(stack) * 0x100 + at as u64;
    let addresses: Vec<_> = (0..functions.len()).map(address).collect();
    trace.stack(stack, &addresses);
    for (at, function) in functions.iter().enumerate() {
        trace.symbol(address(at), &[(function, "", at as u32 + 1)]);
    }
}

fn lives(bytes: Vec<u8>) -> Lives {
    let file = TraceFile::open(bytes).expect("a trace");
    assert!(file.faults().is_empty());
    Lives::read(&Trace::new(&file).named(&Symbols::of_trace(file.tables())), |_| {})
}

fn of(lives: &Lives, reason: Reason) -> Vec<&WaitGroup> {
    lives.waits.by_resource.iter().filter(|group| group.reason == reason).collect()
}

const LOCK: u32 = 1;
const UNLOCK: u32 = 2;
/// A thread's own place to wait at is the resource of its number.
const PARKED: [&str; 3] = [
    "parking_lot_core::parking_lot::park",
    "parking_lot::raw_mutex::RawMutex::lock_slow",
    "app::touch",
];
const UNPARKED: [&str; 2] = ["parking_lot::raw_mutex::RawMutex::unlock_slow", "app::touch"];

/// Thread 1 holds a lock of `parking_lot` until 100 ms; 2, 3 and 4 wait for it, and each passes it
/// on after 1 ms.
fn passed_on() -> Lives {
    let mut trace = started(4);
    stack(&mut trace, LOCK, &PARKED);
    stack(&mut trace, UNLOCK, &UNPARKED);
    for thread in 2..=4 {
        trace.resource(thread, ResourceKind::Address, u64::from(thread) * 0x100, "");
        let (from, until) = (u64::from(thread) * 10 * MS, (98 + u64::from(thread)) * MS);
        let wait = open_call(CallId::FUTEX_WAIT, thread, LOCK);
        trace.call(thread, wait, from, until + 1_000 - from, 0);
        let wake = open_call(CallId::FUTEX_WAKE, thread, UNLOCK);
        trace.call(thread - 1, wake, until, 500, 1);
    }
    lives(trace.stop(200 * MS))
}

#[test]
fn who_passes_a_lock_on_is_not_to_blame_for_what_the_holder_before_did() {
    let lives = passed_on();
    let [group] = of(&lives, Reason::Mutex)[..] else { panic!("{:?}", lives.waits) };
    assert_eq!(group.resource, ResourceId(0), "each waits at an address of its own");
    // Of 80, 71 and 62 ms: to the end of the first hold 80, 70 and 60.
    let blamed: Vec<_> =
        group.holders.iter().map(|it| (it.thread.0, it.count, it.caused.0 / MS)).collect();
    assert_eq!(blamed, [(1, 1, 210), (2, 1, 2), (3, 1, 1)]);
    assert_eq!(group.holders[0].held, Nanos(80 * MS), "told once, though three waited");
    let longest = &group.longest[0];
    assert_eq!(longest.thread, ThreadId(2));
    let last = lives.waits.by_thread.iter().find(|it| it.thread == ThreadId(4)).expect("a wait");
    let waker = last.longest[0].waker.expect("it was woken");
    assert_eq!((waker.thread, waker.held_since), (ThreadId(3), Some(Nanos(101 * MS))));
}

#[test]
fn a_wait_whose_time_was_up_is_told_from_one_that_was_woken() {
    let mut trace = started(2);
    stack(
        &mut trace,
        LOCK,
        &["std::sys::sync::condvar::futex::Condvar::wait_timeout", "app::poll"],
    );
    stack(
        &mut trace,
        UNLOCK,
        &["std::sys::sync::condvar::futex::Condvar::notify_one", "app::push"],
    );
    trace.resource(1, ResourceKind::Address, 0xf00, "");
    let wait = open_call(CallId::FUTEX_WAIT, 1, LOCK);
    trace.call(1, wait, MS, 10 * MS, ETIMEDOUT);
    trace.call(1, wait, 20 * MS, 5 * MS, 0);
    trace.call(2, open_call(CallId::FUTEX_WAKE, 1, UNLOCK), 24 * MS, 1_000, 1);
    // glibc's own returns the number of the error as it is.
    let posix = open_call(CallId::PTHREAD_COND_TIMEDWAIT, 1, LOCK);
    trace.call(1, posix, 30 * MS, 2 * MS, -ETIMEDOUT);
    let lives = lives(trace.stop(100 * MS));
    let [group] = of(&lives, Reason::Condvar)[..] else { panic!("{:?}", lives.waits) };
    assert_eq!((group.count, group.timeouts), (3, 2));
    let ends: Vec<_> = group.longest.iter().map(|it| (it.timed_out, it.waker.is_some())).collect();
    assert_eq!(ends, [(true, false), (false, true), (true, false)]);
}

#[test]
fn stacks_without_program_code_are_places_of_their_own() {
    let mut trace = started(3);
    let mutex = "std::sys::sync::mutex::futex::Mutex";
    stack(&mut trace, 1, &[&format!("{mutex}::lock_contended"), "app::work"]);
    stack(&mut trace, 2, &[&format!("{mutex}::wake"), "std::sync::Condvar::notify_all"]);
    stack(&mut trace, 3, &[&format!("{mutex}::wake"), "core::ptr::drop_in_place"]);
    trace.resource(1, ResourceKind::Address, 0xf00, "");
    let wake = |stack| open_call(CallId::FUTEX_WAKE, 1, stack);
    // A wake at which nobody waits comes first.
    trace.call(3, wake(2), MS, 1_000, 0);
    trace.call(1, open_call(CallId::FUTEX_WAIT, 1, 1), 2 * MS, 8 * MS, 0);
    trace.call(2, wake(3), 9 * MS, 1_000, 1);
    let lives = lives(trace.stop(20 * MS));
    let [group] = of(&lives, Reason::Mutex)[..] else { panic!("{:?}", lives.waits) };
    assert_eq!(group.wakers[0].of, (ThreadId(2), StackId(3)), "not where the other was made");
    assert_eq!(group.holders[0].stack, StackId(3));
}

#[test]
fn stacks_that_look_the_same_are_one_place_also_without_program_code() {
    let mut trace = started(1);
    for number in 1..=2 {
        stack(&mut trace, number, &["std::thread::park", "rayon_core::sleep::Sleep::sleep"]);
        let wait = open_call(CallId::FUTEX_WAIT, 0, number);
        trace.call(1, wait, u64::from(number) * 10 * MS, MS, 0);
    }
    let lives = lives(trace.stop(50 * MS));
    let [group] = &lives.waits.by_resource[..] else { panic!("{:?}", lives.waits) };
    assert_eq!((group.count, group.stack), (2, StackId(1)));
}

#[test]
fn the_innermost_function_stands_for_a_stack_that_is_nobodys() {
    let mut symbols = Symbols::default();
    let mut add = |address, name: &str| {
        let function =
            trace_format::read::Function { name: name.to_owned(), file: String::new(), line: 1 };
        symbols.add(address, vec![function]);
    };
    add(1, "core::ptr::drop_in_place");
    add(2, "parking_lot::raw_mutex::RawMutex::unlock_slow");
    add(3, "app::work");
    for (addresses, name) in [
        (&[1, 2, 3][..], "app::work"),
        (&[1, 2], "parking_lot::raw_mutex::RawMutex::unlock_slow"),
        (&[1], "core::ptr::drop_in_place"),
    ] {
        let frames = symbols.frames(addresses);
        assert_eq!(reason::place(&frames).map(|frame| &*frame.name), Some(name));
    }
    assert_eq!(reason::place(&[]), None);
}

#[test]
fn a_read_of_what_has_no_name_is_a_read() {
    for (call, reason) in [
        (CallId::READ, Reason::Read),
        (CallId::PWRITE64, Reason::Write),
        (CallId::RECV, Reason::SocketRead),
        (CallId::SENDTO, Reason::SocketWrite),
        (CallId::CLOSE, Reason::FileClose),
    ] {
        assert_eq!(reason::why(call, None, &[]).reason, reason, "{call:?}");
    }
}

/// Reads of `files` files, each of which takes 50 us, and one of `slow` ns; with switches.
fn reads(files: u32, slow: u64) -> Lives {
    let mut trace = started(1);
    stack(&mut trace, 1, &["std::fs::read", "app::load"]);
    trace.switch_in(0, 0, os_id(1));
    let mut at = MS;
    for file in 1..=files + 1 {
        trace.resource(file, ResourceKind::File, 3, &format!("/data/{file}"));
        let nanos = if file > files { slow } else { 50_000 };
        trace.call(1, open_call(CallId::READ, file, 1), at, nanos, 100);
        trace.switch_out(0, at, os_id(1), false);
        trace.switch_in(0, at + nanos, os_id(1));
        at += nanos + 1_000;
    }
    lives(trace.stop(at + MS))
}

#[test]
fn files_that_are_read_fast_are_one_group_and_a_slow_one_stands_alone() {
    let lives = reads(200, 60 * MS);
    assert_eq!(lives.waits.by_resource.len(), 201);
    let groups = lives.waits_by_resource();
    let seen: Vec<_> =
        groups.iter().map(|it| (it.resource.0, it.resources, it.count, it.total.0)).collect();
    assert_eq!(seen, [(201, 1, 1, 60 * MS), (0, 200, 200, 200 * 50_000)]);
    let all: u64 = groups.iter().map(|group| group.total.0).sum();
    assert_eq!(all, lives.waits.total.0, "nothing is lost");
    assert_eq!(groups[1].quantiles.max, Nanos(50_000));
    assert_eq!(lives.waits.late, 0);
}

#[test]
fn a_handful_of_files_is_a_list() {
    let lives = reads(5, 10);
    assert_eq!(lives.waits_by_resource(), lives.waits.by_resource);
}
