//! Traces with more async places, lock addresses and lock places than there is room for: what finds
//! none is counted, and sums are whole. One tick is a nanosecond.

use crate::executor::{Executor, HANDLER, NONE, TIMER};
use trace_analysis::async_tasks::AsyncTasks;
use trace_analysis::life::Waits;
use trace_analysis::reason::Reason;
use trace_analysis::symbols::Symbols;
use trace_analysis::{Options, Report, Trace, Wanted};
use trace_format::batch::Compression;
use trace_format::definition::{CallsiteKind, ResourceKind};
use trace_format::event::{EventKind, Outcome};
use trace_format::id::{CallId, FutureId};
use trace_format::read::TraceFile;
use trace_format::testgen::{TraceBuilder, open_call};
use trace_format::time::{Nanos, Ticks};

const MUTEX: &str = "std::sys::sync::mutex::futex::Mutex::lock_contended";
const SLEEP: &str = "<tokio::time::sleep::Sleep as core::future::Future>::poll";
const PARKED: &str = "parking_lot::raw_mutex::RawMutex::lock_slow";
const NOTIFY: &str = "tokio::sync::notify::Notify::notify_one";

/// How many groups of async waits, lock addresses and lock places there is room for.
const ASYNC_PLACES_MAX: u32 = 16_384;
const ADDRESSES_MAX: u32 = 65_536;
const PLACES_MAX: u32 = 4_096;

/// How many wakers of a group of async waits there is room for, and holders of a lock.
const ASYNC_PARTIES_MAX: u32 = 64;
const HOLDERS_MAX: u32 = 256;

fn waits(bytes: &[u8], options: Options) -> Waits {
    let file = TraceFile::open(bytes).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    // With async tasks, what was before the window is read, too.
    let wanted = Wanted { async_tasks: true, ..Wanted::default() };
    Report::read(&Trace::new(&file).named(&symbols).with(options), wanted, |_| {}).lives.waits
}

/// A stack of its own for each number.
fn stack(trace: &mut TraceBuilder, stack: u32, library: &str) {
    let address = 0x10_0000 + u64::from(stack) * 0x10;
    trace.stack(stack, &[address, address + 1]);
    trace.symbol(address, &[(library, "", 0)]);
    trace.symbol(address + 1, &[(&format!("app::f{stack}"), "src/app.rs", stack)]);
}

#[test]
fn async_waits_at_more_places_than_fit_are_counted() {
    let more = 10;
    let mut e = Executor::new();
    e.spawn(1, 0, 1, HANDLER);
    for n in 0..ASYNC_PLACES_MAX + more {
        let (place, at) = (100 + n, 1_000 + u64::from(n) * 1_000);
        stack(&mut e.0, place, SLEEP);
        e.poll(1, at, 1, place, 100);
        e.wake(2, at + 600, 1, 0);
    }
    let end = 1_000 + u64::from(ASYNC_PLACES_MAX + more) * 1_000;
    e.begin_poll(1, end, 1);
    e.end(1, end + 10, 1, Outcome::Returned);
    let bytes = e.stop(end + 100);
    let file = TraceFile::open(bytes.as_slice()).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    let tasks = AsyncTasks::read(&Trace::new(&file).named(&symbols), |_| {});
    assert_eq!(tasks.late_waits, u64::from(more));
    let (unknown, known): (Vec<_>, Vec<_>) = tasks.waits.iter().partition(|it| it.stack.0 == 0);
    assert_eq!(known.len(), ASYNC_PLACES_MAX as usize);
    let [unknown] = unknown.as_slice() else { panic!("{unknown:?}") };
    assert_eq!((unknown.count, unknown.total), (u64::from(more), Nanos(500 * u64::from(more))));
}

#[test]
fn wakers_for_whom_a_group_has_no_room_are_counted() {
    let mut e = Executor::new();
    e.spawn(1, 0, 1, HANDLER);
    for n in 0..ASYNC_PARTIES_MAX + 7 {
        let (place, at) = (100 + n, 1_000 + u64::from(n) * 1_000);
        stack(&mut e.0, place, NOTIFY);
        e.poll(1, at, 1, TIMER, 100);
        e.wake(2, at + 600, 1, place);
    }
    let bytes = e.stop(1_000_000);
    let file = TraceFile::open(bytes.as_slice()).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    let tasks = AsyncTasks::read(&Trace::new(&file).named(&symbols), |_| {});
    assert_eq!((tasks.waits.len(), tasks.late_waits, tasks.late_parties), (1, 0, 7));
}

#[test]
fn holders_for_whom_a_lock_has_no_room_are_counted() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(1, "t");
    trace.resource(1, ResourceKind::Address, 0xf00, "");
    stack(&mut trace, 1, MUTEX);
    for holder in 0..HOLDERS_MAX + 5 {
        let at = u64::from(holder + 1) * 1_000;
        trace.thread(holder + 2, "holder");
        trace.call(1, open_call(CallId::FUTEX_WAIT, 1, 1), at, 500, 0);
        trace.call(holder + 2, open_call(CallId::FUTEX_WAKE, 1, 0), at + 400, 50, 1);
    }
    let waits = waits(&trace.stop(1_000_000), Options::default());
    assert_eq!((waits.count, waits.late_holders), (u64::from(HOLDERS_MAX + 5), 5));
}

#[test]
fn places_that_are_not_known_are_not_late() {
    let mut e = Executor::new();
    e.spawn(1, 0, 1, HANDLER);
    e.poll(1, 1_000, 1, 0, 100);
    e.wake(2, 1_600, 1, 0);
    let future = FutureId(1);
    e.event(1, 2_000, EventKind::FutureEnd { future, outcome: Outcome::Dropped, values: NONE });
    let bytes = e.stop(3_000);
    let file = TraceFile::open(bytes.as_slice()).expect("a trace");
    let tasks = AsyncTasks::read(&Trace::new(&file), |_| {});
    assert_eq!((tasks.waits.len(), tasks.late_waits), (1, 0));
}

/// Thread 1 waits for a lock at each address in turn, and thread 2 ends that.
fn fought(addresses: u32) -> Vec<u8> {
    let mut trace = TraceBuilder::started(Compression::None);
    (1..=2).for_each(|thread| trace.thread(thread, "t"));
    stack(&mut trace, 1, MUTEX);
    for address in 1..=addresses {
        let at = u64::from(address) * 1_000;
        trace.resource(address, ResourceKind::Address, at, "");
        trace.call(1, open_call(CallId::FUTEX_WAIT, address, 1), at, 500, 0);
        trace.call(2, open_call(CallId::FUTEX_WAKE, address, 0), at + 400, 50, 1);
    }
    trace.stop(u64::from(addresses + 1) * 1_000)
}

#[test]
fn waits_at_more_addresses_than_fit_are_counted() {
    let waits = waits(&fought(ADDRESSES_MAX + 10), Options::default());
    assert_eq!(waits.count, u64::from(ADDRESSES_MAX + 10));
    assert_eq!(waits.late_holders, 10);
}

/// Thread 1 waits at an address of its own for locks at many places, and thread 2 ends that.
fn parked(places: u32) -> Vec<u8> {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.callsite(1, CallsiteKind::Future, "task");
    (1..=2).for_each(|thread| trace.thread(thread, "t"));
    trace.resource(1, ResourceKind::Address, 0xf00, "");
    for place in 1..=places {
        let at = u64::from(place) * 1_000;
        stack(&mut trace, place, PARKED);
        trace.call(1, open_call(CallId::FUTEX_WAIT, 1, place), at, 500, 0);
        trace.call(2, open_call(CallId::FUTEX_WAKE, 1, 0), at + 400, 50, 1);
    }
    trace.stop(u64::from(places + 1) * 1_000)
}

#[test]
fn waits_for_locks_without_an_address_at_more_places_than_fit_are_counted() {
    let waits = waits(&parked(PLACES_MAX + 10), Options::default());
    assert_eq!((waits.count, waits.late_holders), (u64::from(PLACES_MAX + 10), 10));
    let locks = waits.by_resource.iter().filter(|group| group.reason == Reason::Mutex);
    let held = locks.filter(|group| !group.holders.is_empty()).count();
    assert_eq!(held, PLACES_MAX as usize, "the others keep theirs");
}

#[test]
fn what_was_full_before_the_window_is_not_in_it() {
    let from = u64::from(PLACES_MAX + 5) * 1_000 + 900;
    let window = Options { from: Some(Ticks(from)), ..Options::default() };
    let waits = waits(&parked(PLACES_MAX + 10), window);
    assert_eq!((waits.count, waits.late_holders), (5, 0), "there is room for five");
    assert!(waits.by_resource.iter().all(|group| group.holders.len() == 1));
}
