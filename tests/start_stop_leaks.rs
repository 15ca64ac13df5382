//! A thousand starts and stops of traces, flight recorders and both, while threads come and go:
//! nothing is left over.
//!
//! `EXECTRACE_TEST_SOAK=N` does N times as much.
#![cfg(target_os = "linux")]

mod common;

use common::waiting::PATIENCE;
use common::writers::Memory;
use common::{Ends, annotated, in_own_process};
use exectrace::{FlightRecorder, Options, Task, instant, start_file_with, start_with};
use exectrace::{trace_region, traced};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[traced]
fn leaf() {}

/// The resources of a process.
#[derive(Clone, Copy, Debug)]
struct Has {
    descriptors: usize,
    threads: usize,
    mappings: usize,
    pages: usize,
}

impl Has {
    fn now() -> Self {
        let count = |folder| fs::read_dir(folder).expect("every process has it").count();
        let text = |file| fs::read_to_string(file).expect("every process has it");
        let pages = text("/proc/self/statm").split(' ').nth(1).map(str::parse);
        Self {
            descriptors: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
            mappings: text("/proc/self/maps").lines().count(),
            pages: pages.expect("the second word is what is in memory").expect("a number"),
        }
    }

    /// Waits until resources that are being freed are gone: until there are no more than `before`.
    fn settled(before: Self) -> Self {
        let end = Instant::now() + PATIENCE;
        loop {
            let now = Self::now();
            let is_settled = now.descriptors <= before.descriptors && now.threads <= before.threads;
            if is_settled || Instant::now() > end {
                return now;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Runs threads that record, and are replaced by others all the time.
fn load(is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    trace_region!("thread");
                    let task = Task::new("job");
                    let _working = task.enter();
                    (0..200).for_each(|_| leaf());
                    instant!("moment");
                    thread::sleep(Duration::from_micros(300));
                });
            }
        });
    }
}

fn recorder(options: Options) -> FlightRecorder {
    let builder = FlightRecorder::builder().max_bytes(256 << 10).options(options);
    builder.start().expect("none is running")
}

/// One start and stop; `number` decides of what.
fn cycle(number: u32, dir: &Path) {
    let bare = || annotated().memory_max(1 << 20);
    // Now and then with everything recorded.
    let full = || Options::new().memory_max(1 << 20);
    let options = || if number.is_multiple_of(20) { full() } else { bare() };
    let path = dir.join("cycle.trace");
    let file = || start_file_with(options(), &path).expect("there is room, and nobody else");
    let memory = || start_with(options(), Memory::default()).expect("none is running");
    let pause = || thread::sleep(Duration::from_micros(u64::from(number * 37 % 1_000)));
    match number % 6 {
        0 => {
            let trace = file();
            pause();
            trace.stop().expect("the disk takes it");
        }
        1 => {
            let trace = memory();
            pause();
            trace.stop().expect("memory takes it");
        }
        2 => {
            let recorder = recorder(options());
            recorder.on_slow("none", Duration::from_secs(1), dir).expect("a folder");
            pause();
            recorder.snapshot(io::sink()).expect("a sink takes it");
            recorder.stop();
        }
        3 => {
            let trace = file();
            let recorder = recorder(options());
            pause();
            recorder.stop();
            trace.stop().expect("the disk takes it");
        }
        4 => {
            let recorder = recorder(options());
            let trace = file();
            pause();
            recorder.snapshot(io::sink()).expect("a sink takes it");
            recorder.stop();
            trace.stop().expect("the disk takes it");
        }
        _ => {
            let recorder = recorder(options());
            let trace = memory();
            pause();
            trace.stop().expect("memory takes it");
            recorder.stop();
        }
    }
    assert!(!exectrace::is_enabled());
}

#[test]
fn a_thousand_starts_and_stops_leave_nothing() {
    if !in_own_process("a_thousand_starts_and_stops_leave_nothing") {
        return;
    }
    let soak = std::env::var("EXECTRACE_TEST_SOAK").ok().and_then(|times| times.parse().ok());
    let rounds = 1_000 * soak.unwrap_or(1);
    let dir = tempfile::tempdir().expect("a folder");
    let run = |numbers: std::ops::Range<u32>| {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let _ends = Ends(&is_over);
            scope.spawn(|| load(&is_over));
            numbers.for_each(|number| cycle(number, dir.path()));
        });
    };
    // By then everything is allocated that is allocated only once.
    let start = Has::now();
    run(0..200);
    let before = Has::settled(start);
    run(200..rounds);
    let after = Has::settled(before);
    let files = fs::read_dir(dir.path()).expect("it is there").count();
    assert_eq!(files, 1, "the last trace, and nothing beside it");
    assert!(after.descriptors <= before.descriptors, "{before:?} {after:?}");
    assert!(after.threads <= before.threads, "{before:?} {after:?}");
    // A sanitizer's allocator keeps freed memory, to detect uses of it.
    if env!("CARGO_PKG_NAME") == "sanitized" {
        return;
    }
    // The size of the system's allocator varies a little.
    assert!(after.mappings <= before.mappings + 16, "{before:?} {after:?}");
    assert!(after.pages <= before.pages + (8 << 20) / 4096, "{before:?} {after:?}");
}
