//! What hooks of libc's functions cost while no trace runs, and what recording adds.
//!
//! A hook and libc's own function, called by its address, run in turn. What recording adds is
//! counted in floors (two bare clock reads). The stack has 16 frames of the program's own; walking
//! it is fastest if the program was compiled with `RUSTFLAGS=-Cforce-frame-pointers=yes`.
//!
//! May contain `unsafe`: it calls functions of libc, and one by its address.

use crate::annotated;
use crate::floor::{Table, floor, median, time};
use std::hint::black_box;
use std::sync::Mutex;

const ROUNDS: usize = 101;
const RUNS: u64 = 2_000;

type Close = unsafe extern "C" fn(i32) -> i32;

/// libc's own function, which the hook hides.
fn library_close() -> Close {
    // SAFETY: `dlopen` wants a name with a zero at its end; libc is loaded already.
    let handle =
        unsafe { libc::dlopen(c"libc.so.6".as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
    // SAFETY: `dlsym` wants a handle of a library and a name with a zero at its end.
    let found = unsafe { libc::dlsym(handle, c"close".as_ptr()) };
    assert!(!found.is_null(), "libc has it");
    // SAFETY: the function of this name has this type.
    unsafe { std::mem::transmute::<*mut libc::c_void, Close>(found) }
}

/// The shortest call: closes a descriptor that is not open.
fn close(function: Close) {
    // SAFETY: there is no such descriptor.
    black_box(unsafe { function(black_box(-1)) });
}

/// Runs `act` below this many frames.
#[inline(never)]
fn deep(frames: usize, act: &mut dyn FnMut()) {
    if frames == 0 {
        return act();
    }
    deep(black_box(frames - 1), act);
    black_box(());
}

pub(crate) fn measure(table: &mut Table) {
    off(table);
    recording(table);
    uncontended(table);
    bytes(table);
}

fn off(table: &mut Table) {
    let library = black_box(library_close());
    let rounds = (0..ROUNDS).map(|_| {
        let bare = time(RUNS, || close(library));
        let hooked = time(RUNS, || close(libc::close));
        (hooked - bare) / RUNS as f64
    });
    let cost = median(rounds);
    table.row("hooked call, not started", &format!("{cost:.2} ns"), "<= 2 ns", "above libc's");
}

fn recording(table: &mut Table) {
    let library = black_box(library_close());
    let trace = exectrace::start_with(annotated().os(true), std::io::sink());
    let trace = trace.expect("no trace is running");
    let mut added = Vec::new();
    deep(16, &mut || {
        for _ in 0..ROUNDS {
            let unit = time(RUNS, floor);
            let bare = time(RUNS, || close(library));
            let hooked = time(RUNS, || close(libc::close));
            added.push(((hooked - bare) / unit, (hooked - bare) / RUNS as f64));
        }
    });
    let report = trace.stop().expect("nothing can't fail");
    let ratio = median(added.iter().map(|each| each.0));
    let nanos = median(added.iter().map(|each| each.1));
    let note = format!("{nanos:.1} ns above libc's, {} dropped", report.dropped_events);
    let name = "recorded call, stack of 16 and more frames";
    table.row(name, &format!("{ratio:.2} x floor"), "<= 3", &note);
}

/// A lock that no other thread wants makes no call.
fn uncontended(table: &mut Table) {
    const PAIRS: u64 = 100_000;
    let lock = Mutex::new(0_u64);
    let pairs = || time(PAIRS, || *lock.lock().expect("no panic") += 1);
    let rounds = (0..11).map(|_| {
        let off = median((0..5).map(|_| pairs()));
        let trace = exectrace::start_with(annotated().os(true), std::io::sink());
        let on = median((0..5).map(|_| pairs()));
        trace.expect("no trace is running").stop().expect("nothing can't fail");
        on / off
    });
    let ratio = median(rounds);
    table.row("uncontended lock and unlock, recording", &format!("{ratio:.3}"), "1", "of off");
}

/// Size of a call in a trace, with its resource and its stack.
fn bytes(table: &mut Table) {
    const CALLS: u64 = 200_000;
    let file = std::fs::File::open("/dev/null").expect("it is there");
    let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
    let trace = exectrace::start_with(annotated().os(true), std::io::sink());
    let trace = trace.expect("no trace is running");
    let mut byte = 0_u8;
    let place = (&raw mut byte).cast();
    time(CALLS, || {
        // SAFETY: `read` wants memory for one byte: `place` points to it.
        black_box(unsafe { libc::read(fd, place, 1) });
    });
    let report = trace.stop().expect("nothing can't fail");
    let each = report.bytes as f64 / report.events as f64;
    table.row("bytes per call", &format!("{each:.1} bytes"), "<= 12", "whole file");
}
