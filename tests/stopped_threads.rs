//! Held in the middle of recording: a process that is stopped and continued at any moment, and a
//! thread that is held while others stop its trace.
//!
//! `EXECTRACE_TEST_SOAK=N` does N times as much.
//!
//! May contain `unsafe`: it sends signals, and handles one.
#![cfg(unix)]

mod common;

use common::decoded::Decoded;
use common::waiting::PATIENCE;
use common::writers::Memory;
use common::{Ends, alone, annotated, checks, on_thread};
use exectrace::{FlightRecorder, instant, start_file_with, start_with, trace_region};
use std::io::{BufRead, BufReader};
use std::os::unix::thread::JoinHandleExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;
use trace_format::event::EventKind;
use trace_format::value::Value;

/// Set in the process that is to be stopped: where it writes.
const ROLE: &str = "EXECTRACE_TEST_HELD";

fn rounds(count: u32) -> u32 {
    let soak = std::env::var("EXECTRACE_TEST_SOAK").ok().and_then(|times| times.parse().ok());
    count * soak.unwrap_or(1)
}

fn whole(bytes: &[u8]) -> Decoded {
    let trace = Decoded::new(bytes);
    checks::check(&trace);
    assert!(trace.complete);
    trace
}

/// The numbers in the events of the thread of this name, in order.
fn numbers(trace: &Decoded, name: &str) -> Vec<u64> {
    let mut threads = trace.tables.threads.values().filter(|thread| thread.name == name);
    let Some(thread) = threads.next_back() else { return Vec::new() };
    let events = trace.events(thread.id);
    events
        .filter_map(|event| match event.kind {
            EventKind::Instant { mut values, .. } => match values.next() {
                Some(Value::U64(n)) => Some(n),
                other => panic!("{other:?} is no number"),
            },
            _ => None,
        })
        .collect()
}

/// One round, which may be held at any point: each trace has everything that was recorded in it.
fn round(number: u64, path: &Path) {
    let memory = Memory::default();
    let builder = || FlightRecorder::builder().max_bytes(1 << 20).options(annotated());
    let count = 500 + number % 7 * 400;
    let work = || (0..count).for_each(|n| instant!("step", n));
    let every: Vec<_> = (0..count).collect();
    let recorder = number.is_multiple_of(2).then(|| builder().start().expect("none is running"));
    let trace = if number.is_multiple_of(3) {
        start_with(annotated(), memory.clone()).expect("none is running")
    } else {
        start_file_with(annotated().memory_max(1 << 20), path).expect("nobody writes there")
    };
    on_thread("worker", work);
    if let Some(recorder) = recorder {
        let mut bytes = Vec::new();
        recorder.snapshot(&mut bytes).expect("memory takes it");
        assert_eq!(numbers(&whole(&bytes), "worker"), every);
        recorder.stop();
    }
    let report = trace.stop().expect("all is written");
    let bytes = match number % 3 {
        0 => memory.take(),
        _ => std::fs::read(path).expect("it was written"),
    };
    let trace = whole(&bytes);
    checks::check_report(&trace, &report);
    assert_eq!((report.dropped_events, numbers(&trace, "worker")), (0, every));
}

#[test]
fn one_that_is_stopped() {
    let Some(path) = std::env::var_os(ROLE) else { return };
    println!("begins");
    (0..u64::from(rounds(60))).for_each(|number| round(number, Path::new(&path)));
}

#[test]
fn a_process_that_is_stopped_and_continued_at_any_moment_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    command.args(["one_that_is_stopped", "--exact", "--nocapture"]);
    command.env(ROLE, folder.path().join("held.trace")).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().expect("it can be started");
    let mut said = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    while said.next().is_some_and(|line| line.is_ok_and(|line| !line.ends_with("begins"))) {}
    let id = libc::pid_t::try_from(child.id()).expect("a process's id");
    // SAFETY: `kill` wants a process of ours: it has not been waited for.
    let signal = |signal| unsafe { libc::kill(id, signal) };
    let (mut random, mut stops) = (0x2545_f491_4f6c_dd1d_u64, 0);
    let status = loop {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        thread::sleep(Duration::from_micros(random % 3_000));
        signal(libc::SIGSTOP);
        thread::sleep(Duration::from_micros(random / 3_000 % 3_000));
        signal(libc::SIGCONT);
        stops += 1;
        if let Some(status) = child.try_wait().expect("it is ours") {
            break status;
        }
    };
    let rest: Vec<_> = said.map_while(Result::ok).collect();
    assert!(status.success(), "{status:?} {rest:?}");
    assert!(stops > 0, "it was never stopped");
}

/// Whether the handler holds its thread.
static IS_HELD: AtomicBool = AtomicBool::new(false);
/// Tells the handler to let its thread go.
static LET_GO: AtomicBool = AtomicBool::new(false);

/// Holds the thread that it interrupts.
extern "C" fn hold(_: libc::c_int) {
    IS_HELD.store(true, Ordering::SeqCst);
    while !LET_GO.load(Ordering::SeqCst) {
        // SAFETY: `usleep` wants nothing, and may be called in a handler.
        unsafe { libc::usleep(100) };
    }
    IS_HELD.store(false, Ordering::SeqCst);
}

/// Maximum number of steps of one round: they fit the memory, however late the signal comes.
const STEPS_MAX: u64 = 200_000;

/// Records steps until `is_over`; `done` has their number. The thread that does this is held.
fn steps(done: &AtomicU64, is_over: &AtomicBool) {
    trace_region!("around");
    for n in 0..STEPS_MAX {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        instant!("step", n);
        done.store(n + 1, Ordering::SeqCst);
        trace_region!("inside");
    }
    while !is_over.load(Ordering::Relaxed) {
        thread::yield_now();
    }
}

/// Holds a recording thread after `after` microseconds, and stops its trace or recorder meanwhile.
/// Returns the recorded numbers, and how many steps the thread had made.
fn stop_while_held(after: u64, is_recorder: bool) -> (Vec<u64>, u64) {
    let memory = Memory::default();
    let options = annotated().memory_max(8 << 20);
    let (trace, recorder) = if is_recorder {
        let builder = FlightRecorder::builder().max_bytes(16 << 20).options(options);
        (None, Some(builder.start().expect("none is running")))
    } else {
        (Some(start_with(options, memory.clone()).expect("none is running")), None)
    };
    LET_GO.store(false, Ordering::SeqCst);
    let (done, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (its_done, its_over) = (Arc::clone(&done), Arc::clone(&is_over));
    let builder = thread::Builder::new().name("worker".to_owned());
    let worker = builder.spawn(move || steps(&its_done, &its_over)).expect("a thread");
    let ends = Ends(&is_over);
    // A thread that is being attached holds a lock for a moment; `stop` may wait for that lock.
    while done.load(Ordering::SeqCst) == 0 {
        thread::yield_now();
    }
    thread::sleep(Duration::from_micros(after));
    // SAFETY: `pthread_kill` wants a thread that has not been joined.
    assert_eq!(unsafe { libc::pthread_kill(worker.as_pthread_t(), libc::SIGUSR1) }, 0);
    while !IS_HELD.load(Ordering::SeqCst) {
        thread::yield_now();
    }
    let committed = done.load(Ordering::SeqCst);
    let (say, stopped) = channel();
    let stopping = thread::spawn(move || {
        let bytes = match (trace, recorder) {
            (Some(trace), _) => trace.stop().map(|_| memory.take()).ok(),
            (_, Some(recorder)) => {
                let mut bytes = Vec::new();
                recorder.snapshot(&mut bytes).expect("memory takes it");
                recorder.stop();
                Some(bytes)
            }
            _ => None,
        };
        say.send(bytes).expect("somebody waits");
    });
    let bytes = stopped.recv_timeout(PATIENCE);
    let was_held = IS_HELD.load(Ordering::SeqCst);
    LET_GO.store(true, Ordering::SeqCst);
    drop(ends);
    worker.join().expect("it only records");
    stopping.join().expect("it has said what it has");
    assert!(was_held, "it was held all along");
    let bytes = bytes.expect("it does not wait for who is held").expect("memory takes it");
    (numbers(&whole(&bytes), "worker"), committed)
}

#[test]
fn a_thread_that_is_held_in_the_middle_is_not_waited_for_and_loses_nothing() {
    let _alone = alone();
    let handler = hold as extern "C" fn(libc::c_int);
    // SAFETY: `signal` wants a handler that may run at any time: it stores to atomics, and sleeps.
    let before = unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
    assert_ne!(before, libc::SIG_ERR);
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..rounds(60) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let (numbers, committed) = stop_while_held(random % 2_000, round % 2 == 0);
        let expected = numbers.len() as u64;
        assert!(numbers.iter().copied().eq(0..expected), "none is missing in between");
        assert!((committed..=committed + 1).contains(&expected), "{expected} of {committed}");
    }
}
