//! The kernel's CPU times of each thread are in the trace, and equal what the thread reads itself.
//!
//! May contain `unsafe`: it reads a thread's CPU time.
#![cfg(target_os = "linux")]

mod common;

use common::decoded::Decoded;
use common::waiting::wait_for_generations;
use common::{on_thread, record, record_with};
use exectrace::{Options, trace_region};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use trace_format::definition::Definition;
use trace_format::id::ThreadId;
use trace_format::read::ThreadTimes;
use trace_format::time::{Nanos, Ticks};

/// CPU time the calling thread has used, in nanoseconds.
fn cpu_time() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call wants room for a time: `time` is that.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Computes until the thread has used this much further CPU time.
fn spin(cpu: Duration) {
    let end = cpu_time() + cpu.as_nanos() as u64;
    while cpu_time() < end {
        std::hint::spin_loop();
    }
}

fn times(trace: &Decoded, name: &str) -> ThreadTimes {
    trace.tables.thread_times[&trace.thread(name)]
}

fn used(times: &ThreadTimes) -> u64 {
    let (first, last) = times.cpu.expect("counted");
    last.nanos.0 - first.nanos.0
}

#[test]
fn a_thread_that_has_ended_has_all_its_cpu_time() {
    let mut inside = 0;
    let recorded = record(|| {
        on_thread("worker", || {
            trace_region!("first");
            let before = cpu_time();
            spin(Duration::from_millis(20));
            inside = cpu_time() - before;
        });
    });
    let trace = &recorded.trace;
    let times = times(trace, "worker");
    assert!(used(&times) >= inside, "{times:?}: {inside} ns were used inside");
    let thread = &trace.tables.threads[&trace.thread("worker")];
    let (first, last) = times.cpu.expect("counted");
    let end = thread.end.expect("it has ended");
    assert_eq!(first.ticks, thread.first);
    // The collector may have looked just as the thread ended, and then it was a little later.
    assert!(last.ticks >= end.ticks, "{times:?}, {end:?}");
}

#[test]
fn of_a_thread_that_runs_generations_say_its_times() {
    let options = Options::new().os(false).sched(false).generation(Duration::from_millis(10));
    let recorded = record_with(options, || {
        trace_region!("here");
        wait_for_generations(4);
    });
    let trace = &recorded.trace;
    let main = ThreadId(1);
    let told: Vec<_> = trace.definitions().filter_map(|it| of_thread(&it, main)).collect();
    assert!(told.len() >= 3, "beside its `Thread`, and since: {told:?}");
    assert!(told.is_sorted_by_key(|(ticks, ..)| *ticks), "{told:?}");
    assert!(told.is_sorted_by_key(|(_, cpu, _)| *cpu), "{told:?}");
    let ready: Vec<_> = told.iter().filter_map(|(.., ready)| *ready).collect();
    assert!(!ready.is_empty() && ready.is_sorted(), "{told:?}");
}

#[test]
fn of_a_thread_that_rests_it_is_said_once_and_again_when_it_goes_on() {
    let options = Options::new().os(false).sched(false).generation(Duration::from_millis(5));
    let (go, goes) = mpsc::channel();
    let recorded = record_with(options, || {
        thread::scope(|scope| {
            let worker = thread::Builder::new().name("worker".to_owned());
            let work = move || {
                trace_region!("before");
                goes.recv().expect("it is told");
                spin(Duration::from_millis(5));
            };
            worker.spawn_scoped(scope, work).expect("a thread");
            wait_for_generations(10);
            go.send(()).expect("it listens");
        });
    });
    let trace = &recorded.trace;
    let worker = trace.thread("worker");
    let told: Vec<_> = trace.definitions().filter_map(|it| of_thread(&it, worker)).collect();
    let generations = trace.tables.generations.len();
    assert!(told.len() + 4 <= generations, "{told:?} in {generations} generations");
    assert!(used(&times(trace, "worker")) >= 5_000_000, "{told:?}");
}

fn of_thread(definition: &Definition<'_>, of: ThreadId) -> Option<(Ticks, Nanos, Option<Nanos>)> {
    match definition {
        &Definition::ThreadTime { id, ticks, cpu, ready } if id == of => Some((ticks, cpu, ready)),
        _ => None,
    }
}

#[test]
fn what_threads_used_before_the_trace_is_not_in_it() {
    let mut before = 0;
    on_thread("old", || {
        spin(Duration::from_millis(30));
        before = cpu_time();
        let recorded = record(|| {
            trace_region!("here");
        });
        let times = times(&recorded.trace, "old");
        let (first, _) = times.cpu.expect("counted");
        assert!(first.nanos.0 >= before, "{first:?}: {before} ns were used before");
        assert!(used(&times) <= cpu_time() - before, "{times:?}");
    });
}

#[test]
fn threads_that_end_at_once_do_not_disturb_those_that_are_counted() {
    let recorded = record(|| {
        thread::scope(|scope| {
            for _ in 0..100 {
                scope.spawn(|| {
                    trace_region!("short");
                });
            }
        });
    });
    let tables = &recorded.trace.tables;
    let ended = tables.threads.values().filter(|it| it.end.is_some_and(|end| end.ended));
    for thread in ended {
        let times = tables.thread_times[&thread.id];
        assert!(times.cpu.is_some_and(|(first, last)| first.nanos <= last.nanos), "{times:?}");
    }
}
