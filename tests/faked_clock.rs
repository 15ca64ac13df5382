//! A program whose clock is faked by a library, as `libfaketime` does: times in the trace are the
//! kernel's, and the trace says so.
//!
//! This program itself plays the library: it defines `clock_gettime`, which the standard library
//! and the recorder then call. Each case is a process of its own, because the clock belongs to the
//! process.
//!
//! May contain `unsafe`: it replaces a function of libc, and calls the kernel directly.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

mod common;

use common::{Recorded, in_own_process, record_with, with_calls};
use exectrace::{Options, trace_region};
use libc::{c_int, c_void, clockid_t, timespec};
use std::sync::atomic::{AtomicI64, AtomicPtr, AtomicU8, Ordering};
use std::thread;
use std::time::Duration;
use trace_format::time::Nanos;

/// How the monotonic clock is faked.
static FAKE: AtomicU8 = AtomicU8::new(NOTHING);
const NOTHING: u8 = 0;
const AHEAD: u8 = 1;
const FROZEN: u8 = 2;
const TWICE_AS_FAST: u8 = 3;

/// When faking began.
static SINCE: AtomicI64 = AtomicI64::new(0);

const SECOND: i64 = 1_000_000_000;

/// The kernel's clock, read by libc's own function, which the recorder does not hook.
fn kernel(id: clockid_t) -> Option<i64> {
    type Function = unsafe extern "C" fn(clockid_t, *mut timespec) -> c_int;
    static REAL: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
    let mut real = REAL.load(Ordering::Relaxed);
    if real.is_null() {
        // SAFETY: the call wants a handle and a string.
        real = unsafe { libc::dlsym(libc::RTLD_NEXT, c"clock_gettime".as_ptr()) };
        REAL.store(real, Ordering::Relaxed);
    }
    // SAFETY: it is libc's function of this name, which has this type.
    let real = unsafe { std::mem::transmute::<*mut c_void, Function>(real) };
    let mut now = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it wants room for a time: `now` is that.
    let failed = unsafe { real(id, &raw mut now) } != 0;
    (!failed).then_some(now.tv_sec * SECOND + now.tv_nsec)
}

// SAFETY: the name and the type are libc's. It acts like a library that is loaded first.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(id: clockid_t, into: *mut timespec) -> c_int {
    let Some(now) = kernel(id) else { return -1 };
    let since = SINCE.load(Ordering::Relaxed);
    let now = match FAKE.load(Ordering::Relaxed) {
        _ if id != libc::CLOCK_MONOTONIC => now,
        AHEAD => now + 500_000 * SECOND,
        FROZEN => since,
        TWICE_AS_FAST => now + (now - since),
        _ => now,
    };
    let time = timespec { tv_sec: now / SECOND, tv_nsec: now % SECOND };
    // SAFETY: the caller promises room for a time.
    unsafe { into.write(time) };
    0
}

fn monotonic() -> i64 {
    kernel(libc::CLOCK_MONOTONIC).expect("there is one")
}

fn fake(how: u8) {
    SINCE.store(monotonic(), Ordering::Relaxed);
    FAKE.store(how, Ordering::Relaxed);
}

/// Records a region that lasts some time. Returns the trace, and an upper bound of the whole time.
fn record(options: Options, act: impl FnOnce()) -> (Recorded, u64) {
    let begin = monotonic();
    let recorded = record_with(options, || {
        trace_region!("all");
        act();
    });
    let took = monotonic() - begin;
    (recorded, took.unsigned_abs())
}

/// Checks that all times of the trace lie within the time it took, and that it notes the faked
/// clock.
fn check((recorded, took): (Recorded, u64), note: &str) {
    let tables = &recorded.trace.tables;
    let clock = tables.facilities.get("clock").expect("it says that the clock is wrong");
    assert!(clock.note.contains(note), "{}", clock.note);
    assert!(clock.note.contains("all times here are the kernel's"), "{}", clock.note);
    let last = recorded.trace.pieces().map(|piece| piece.header.last_ticks).max();
    let length = tables.clock.nanos(last.expect("events"));
    // A thousandth, because the clock rate of a short trace is only known to that precision.
    assert!(length <= Nanos(took + took / 1_000 + 1_000_000), "{length:?} in {took} ns");
    assert_eq!(tables.clock.rejected(), 0);
}

#[test]
fn a_clock_that_is_ahead_by_days_is_not_believed() {
    if in_own_process("a_clock_that_is_ahead_by_days_is_not_believed") {
        fake(AHEAD);
        let options = with_calls().sched(true);
        let recorded = record(options, || thread::sleep(Duration::from_millis(50)));
        check(recorded, "500000.000 s ahead of the kernel's");
    }
}

#[test]
fn a_clock_that_stands_still_keeps_nobody_from_working() {
    if in_own_process("a_clock_that_stands_still_keeps_nobody_from_working") {
        fake(FROZEN);
        let options = with_calls().generation(Duration::from_millis(5));
        let recorded = record(options, || common::waiting::wait_for_generations(4));
        check(recorded, " s behind the kernel's");
    }
}

#[test]
fn a_clock_that_becomes_wrong_while_the_trace_runs_is_noticed() {
    if in_own_process("a_clock_that_becomes_wrong_while_the_trace_runs_is_noticed") {
        let options = with_calls().generation(Duration::from_millis(5));
        let recorded = record(options, || {
            common::waiting::wait_for_generations(2);
            fake(TWICE_AS_FAST);
            common::waiting::wait_for_generations(4);
        });
        check(recorded, " s ahead of the kernel's");
    }
}

#[test]
fn a_clock_that_stops_while_the_trace_runs_is_noticed() {
    if in_own_process("a_clock_that_stops_while_the_trace_runs_is_noticed") {
        let options = with_calls().generation(Duration::from_millis(5));
        let recorded = record(options, || {
            common::waiting::wait_for_generations(2);
            fake(FROZEN);
            common::waiting::wait_for_generations(4);
        });
        check(recorded, " s behind the kernel's");
    }
}

#[test]
fn of_a_clock_that_is_right_nothing_is_said() {
    if in_own_process("of_a_clock_that_is_right_nothing_is_said") {
        let (recorded, _) = record(with_calls(), || thread::sleep(Duration::from_millis(5)));
        assert!(!recorded.trace.tables.facilities.contains_key("clock"));
    }
}
