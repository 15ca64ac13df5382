//! Hundreds of starts, stops and snapshots, at any moment, while other things happen to the
//! process: nothing is lost, nothing is left over, nothing hangs.
//!
//! `EXECTRACE_TEST_SOAK=N` does N times as much.
//!
//! Elsewhere: disks that are full (`disk_full`), processes that are killed (`crash`,
//! `crash_system`), threads that are stopped (`stopped_threads`).

mod common;
#[path = "common/quiet.rs"]
mod quiet;

use common::decoded::Decoded;
use common::waiting::{PATIENCE, wait_for_generations};
use common::writers::Memory;
use common::{Ends, alone, annotated, checks, record_with};
use exectrace::{FlightRecorder, SnapshotError, start_with, trace_region, traced};
use quiet::{ON_PURPOSE, quiet_on_purpose};
use std::fs;
use std::panic::catch_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;
use trace_format::definition::Definition;

/// `count` rounds, or more of them in a soak.
fn rounds(count: u32) -> u32 {
    let soak = std::env::var("EXECTRACE_TEST_SOAK").ok().and_then(|times| times.parse().ok());
    count * soak.unwrap_or(1)
}

#[traced]
fn leaf() {}

fn recorder() -> FlightRecorder {
    let builder = FlightRecorder::builder().max_bytes(256 << 10).options(annotated());
    builder.start().expect("none is running")
}

/// The dumps in a folder, including those that are not complete yet.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("it was made").map(|entry| entry.expect("a name"));
    let mut names: Vec<_> =
        entries.map(|entry| entry.file_name().into_string().expect("plain letters")).collect();
    names.sort();
    names
}

fn whole(bytes: &[u8]) -> Decoded {
    let trace = Decoded::new(bytes);
    checks::check(&trace);
    assert!(trace.complete);
    trace
}

/// Runs `act` on a thread of its own; fails if `act` never returns.
fn in_time<T: Send + 'static>(what: &str, act: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, is_done) = channel();
    let thread = thread::spawn(move || _ = done.send(act()));
    let result = is_done
        .recv_timeout(PATIENCE * rounds(1))
        .unwrap_or_else(|_| panic!("{what} does not end"));
    thread.join().expect("it has said how it ended");
    result
}

#[test]
fn a_panic_while_the_recorder_stops_is_not_waited_for() {
    let _alone = alone();
    quiet_on_purpose();
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().to_owned();
    let written = in_time("a panic", move || {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let _ends = Ends(&is_over);
            for _ in 0..2 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        let panicked = std::panic::catch_unwind(|| panic!("{ON_PURPOSE}"));
                        assert!(panicked.is_err());
                    }
                });
            }
            for round in 0..rounds(300) {
                let builder = FlightRecorder::builder().max_bytes(256 << 10).options(annotated());
                let builder = builder.dumps(Duration::ZERO, 2);
                let recorder = builder.start().expect("none is running");
                recorder.on_panic(&folder).expect("a folder");
                (0..round % 100).for_each(|_| leaf());
                recorder.stop();
            }
        });
        names(&folder)
    });
    assert!(!written.is_empty(), "some were written");
    for name in &written {
        assert!(name.ends_with("-panic.trace"), "{written:?}");
        whole(&fs::read(dir.path().join(name)).expect("it is there"));
    }
}

#[test]
fn a_snapshot_while_others_stop_and_start_is_a_whole_trace_or_none() {
    let _alone = alone();
    let (count, none) = in_time("a snapshot", || {
        let is_over = AtomicBool::new(false);
        let shared = Mutex::new(Some(Arc::new(recorder())));
        let (taken, refused) = (AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            let ends = Ends(&is_over);
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    trace_region!("work");
                    (0..50).for_each(|_| leaf());
                }
            });
            for _ in 0..2 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        let recorder = shared.lock().expect("nobody panics").clone();
                        let Some(recorder) = recorder else {
                            thread::yield_now();
                            continue;
                        };
                        let mut bytes = Vec::new();
                        let result = recorder.snapshot(&mut bytes);
                        drop(recorder);
                        match result {
                            Ok(report) => {
                                assert_eq!(report.bytes, bytes.len() as u64);
                                whole(&bytes);
                                taken.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(SnapshotError::NotRunning) => {
                                refused.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(other) => panic!("{other:?}"),
                        }
                    }
                });
            }
            let mut round = 0;
            while round < rounds(60) || taken.load(Ordering::Relaxed) <= 10 {
                round += 1;
                // The last owner stops the recorder, also if that owner has just taken a snapshot.
                drop(shared.lock().expect("nobody panics").take());
                // With or without another trace, so that the session goes on or ends.
                let memory = Memory::default();
                let trace = (round % 2 == 0).then(|| start_with(annotated(), memory.clone()));
                let started = loop {
                    let builder = FlightRecorder::builder().max_bytes(256 << 10);
                    match builder.options(annotated()).start() {
                        Ok(recorder) => break recorder,
                        Err(_) => thread::yield_now(),
                    }
                };
                *shared.lock().expect("nobody panics") = Some(Arc::new(started));
                thread::sleep(Duration::from_micros(u64::from(round) * 37 % 2_000));
                if let Some(trace) = trace {
                    trace.expect("none is running").stop().expect("memory takes it");
                    whole(&memory.take());
                }
            }
            drop(ends);
        });
        (taken.into_inner(), refused.into_inner())
    });
    println!("{count} were taken, {none} refused");
}

#[test]
fn an_idle_threads_state_is_written_once_and_that_of_one_with_open_regions_always() {
    let options = annotated().generation(Duration::from_millis(10));
    let recorded = record_with(options, || {
        let (begun, barrier) = (Barrier::new(3), Barrier::new(3));
        thread::scope(|scope| {
            let spawn = |name: &str, act: &'static (dyn Fn(&dyn Fn()) + Sync)| {
                let wait = || {
                    begun.wait();
                    barrier.wait();
                };
                let builder = thread::Builder::new().name(name.to_owned());
                builder.spawn_scoped(scope, move || act(&wait)).expect("a thread");
            };
            spawn("rests", &|wait| {
                leaf();
                wait();
                leaf();
            });
            spawn("waits", &|wait| {
                trace_region!("waiting");
                wait();
            });
            begun.wait();
            let waited = catch_unwind(|| wait_for_generations(12));
            barrier.wait();
            assert!(waited.is_ok(), "the collector comes by");
        });
    });
    let trace = &recorded.trace;
    let told = |name: &str| {
        let id = trace.thread(name);
        let is_its =
            |it: &Definition<'_>| matches!(it, Definition::ThreadState { id: of, .. } if *of == id);
        trace.definitions().filter(is_its).count()
    };
    // The threads may begin late, and end late.
    let generations = |name: &str| {
        let life = &trace.tables.threads[&trace.thread(name)];
        let end = life.end.expect("it has ended").ticks;
        let is_in_it = |ticks| life.first <= ticks && ticks <= end;
        trace.tables.generations.iter().filter(|it| is_in_it(it.ticks)).count()
    };
    let (of_rests, of_waits) = (generations("rests"), generations("waits"));
    assert!(of_rests >= 10 && of_waits >= 10, "{of_rests} and {of_waits}");
    // Once for each of its events, and once more if a generation ends between a batch's begin and
    // its event.
    assert!(told("rests") <= 5, "{} of {of_rests}", told("rests"));
    assert!(told("waits") >= of_waits / 2, "{} of {of_waits}", told("waits"));
    assert_eq!(recorded.lines_of("rests"), ["leaf", "leaf"]);
}
