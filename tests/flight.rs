//! The flight recorder: at any time it keeps a whole trace, within its limit, also beside another
//! trace.
//!
//! Long, because its tests share helpers, and each file here is linked as a program of its own.

mod common;

use common::decoded::Decoded;
use common::waiting::{PATIENCE, wait_until};
use common::writers::{Fault, Faulty, Memory};
use common::{Ends, alone, annotated, checks, lines, loudly, on_thread};
use exectrace::{
    FlightRecorder, SnapshotError, StartError, Task, Trace, TracedExt, instant, is_enabled,
    start_with, trace_region, traced,
};
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};
use trace_format::definition::Definition;
use trace_format::event::EventKind;
use trace_format::id::Open;
use trace_format::read::{TraceFile, Window};

#[traced]
fn leaf() {
    std::hint::black_box(());
}

fn recorder(bytes: usize) -> FlightRecorder {
    let builder = FlightRecorder::builder().max_bytes(bytes).options(annotated());
    builder.start().expect("none is running")
}

/// Takes a snapshot, decoded and checked like any trace.
fn snapshot(recorder: &FlightRecorder) -> Decoded {
    let mut bytes = Vec::new();
    let report = recorder.snapshot(&mut bytes).expect("memory takes it");
    assert_eq!(report.bytes, bytes.len() as u64);
    let trace = Decoded::new(&bytes);
    checks::check(&trace);
    assert!(trace.complete);
    let events: usize = trace.pieces().map(|piece| piece.header.events as usize).sum();
    assert_eq!(report.events, events as u64);
    trace
}

fn all_lines(trace: &Decoded) -> Vec<String> {
    lines::of_threads(trace).into_iter().flat_map(|(_, lines)| lines).collect()
}

#[test]
fn a_snapshot_has_what_happened_and_recording_goes_on() {
    let _alone = alone();
    let recorder = recorder(1 << 20);
    assert!(is_enabled());
    leaf();
    instant!("one");
    assert_eq!(all_lines(&snapshot(&recorder)), ["leaf", "! one"]);
    instant!("two");
    on_thread("other", || instant!("three"));
    let mut lines = all_lines(&snapshot(&recorder));
    lines.sort();
    assert_eq!(lines, ["! one", "! three", "! two", "leaf"]);
    recorder.stop();
    assert!(!is_enabled());
    leaf();
}

#[test]
fn what_is_open_has_its_true_begin() {
    let _alone = alone();
    let recorder = recorder(256 << 10);
    let task = Task::new("request");
    let _working = task.enter();
    trace_region!("long");
    instant!("begin");
    let begin = open_regions(&snapshot(&recorder))[0].1;
    // Enough events to push out the begin, and the thread's first batches.
    wait_until("the begin is gone", || {
        (0..100_000).for_each(|_| leaf());
        !all_lines(&snapshot(&recorder)).iter().any(|line| line.contains("begin"))
    });
    let trace = snapshot(&recorder);
    let open = open_regions(&trace);
    assert_eq!(open, [("long".to_owned(), begin)]);
    let states = trace.definitions().filter_map(|definition| match definition {
        Definition::TaskState { name, .. } => Some(String::from_utf8_lossy(name).into_owned()),
        _ => None,
    });
    assert!(states.into_iter().any(|name| name == "request"));
}

/// The open regions in the first state of the trace's only thread, and when they began.
fn open_regions(trace: &Decoded) -> Vec<(String, u64)> {
    let mut states = trace.definitions().filter_map(|definition| match definition {
        Definition::ThreadState { open, .. } => Some(open),
        _ => None,
    });
    let open = states.by_ref().last().expect("a state");
    let regions = open.iter().filter_map(|open| match open.open {
        Open::Region(site) => Some((trace.site_name(site).to_owned(), open.begin.0)),
        _ => None,
    });
    regions.collect()
}

#[test]
fn the_bound_holds_whatever_is_recorded() {
    let _alone = alone();
    for bytes in [256 << 10, 1 << 20, 3 << 20] {
        // Batches are small: one batch of each thread may be cut at its begin, and is then left
        // out.
        let options = annotated().memory_max(512 << 10);
        let builder = FlightRecorder::builder().max_bytes(bytes).options(options);
        let recorder = builder.start().expect("none is running");
        let size = || {
            let mut image = Vec::new();
            recorder.snapshot(&mut image).expect("memory takes it");
            assert!(image.len() <= bytes, "{} of {bytes}", image.len());
            image.len()
        };
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let _ends = Ends(&is_over);
            for _ in 0..3 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        (0..1_000).for_each(|_| leaf());
                        instant!("text", text = "some bytes that take room");
                    }
                });
            }
            (0..5).for_each(|_| _ = size());
            wait_until("it is used", || size() > bytes / 2);
        });
        size();
    }
}

#[test]
fn what_is_too_old_goes() {
    let _alone = alone();
    let options = annotated().generation(Duration::from_millis(10));
    let builder = FlightRecorder::builder().min_age(Duration::from_millis(60)).options(options);
    let recorder = builder.start().expect("none is running");
    instant!("old");
    wait_until("it is gone", || !all_lines(&snapshot(&recorder)).contains(&"! old".to_owned()));
    // A late snapshot finds none, because the new one is too old by then, too.
    wait_until("a new one is there, and no old one", || {
        instant!("new");
        let lines = all_lines(&snapshot(&recorder));
        !lines.is_empty() && lines.iter().all(|line| line == "! new")
    });
}

/// Stops a trace, checks it by itself, and returns its lines.
fn stopped(trace: Trace, memory: &Memory) -> Vec<String> {
    let report = trace.stop().expect("memory takes it");
    let trace = Decoded::new(&memory.take());
    checks::check(&trace);
    assert_eq!((report.dropped_events, trace.complete), (0, true));
    all_lines(&trace)
}

#[test]
fn it_runs_beside_a_trace_whichever_comes_first_and_goes_last() {
    let _alone = alone();
    let memory = Memory::default();
    for recorder_first in [true, false] {
        for recorder_last in [true, false] {
            let early = recorder_first.then(|| recorder(1 << 20));
            trace_region!("around");
            instant!("before");
            let trace = start_with(annotated(), memory.clone()).expect("none is running");
            let recorder = early.unwrap_or_else(|| recorder(1 << 20));
            assert!(matches!(FlightRecorder::start(), Err(StartError::AlreadyRunning)));
            let again = start_with(annotated(), memory.clone());
            assert!(matches!(again, Err(StartError::AlreadyRunning)));
            (0..3).for_each(|_| leaf());
            instant!("both");
            let kept = all_lines(&snapshot(&recorder));
            assert_eq!(kept.contains(&"! before".to_owned()), recorder_first, "{kept:?}");
            assert!(kept.contains(&"! both".to_owned()), "{kept:?}");
            let traced = if recorder_last {
                let traced = stopped(trace, &memory);
                instant!("after");
                assert!(all_lines(&snapshot(&recorder)).contains(&"! after".to_owned()));
                recorder.stop();
                traced
            } else {
                recorder.stop();
                instant!("alone");
                let traced = stopped(trace, &memory);
                assert!(traced.contains(&"! alone".to_owned()), "{traced:?}");
                traced
            };
            let leaves = traced.iter().filter(|line| *line == "leaf").count();
            assert_eq!(leaves, 3, "{traced:?}");
            assert!(!traced.contains(&"! before".to_owned()), "{traced:?}");
            assert!(!is_enabled());
        }
    }
}

#[test]
fn a_trace_beside_a_recorder_knows_what_was_there_before() {
    let _alone = alone();
    let recorder = recorder(1 << 20);
    let mut waiting = pin!(std::future::pending::<()>().traced("waiting"));
    let mut context = Context::from_waker(Waker::noop());
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    // The recorder knows the task.
    drop(snapshot(&recorder));
    let memory = Memory::default();
    let trace = {
        trace_region!("around");
        instant!("before");
        start_with(annotated(), memory.clone()).expect("none is running")
    };
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    trace.stop().expect("memory takes it");
    recorder.stop();
    let bytes = memory.take();
    let trace = Decoded::new(&bytes);
    checks::check(&trace);
    let futures: Vec<_> = trace.tables.futures.values().collect();
    let names: Vec<_> = futures.iter().map(|future| trace.site_name(future.site)).collect();
    assert_eq!(names, ["waiting"], "it lives since before");
    // Reading in the order of time reports what ends.
    let file = TraceFile::open(&bytes[..]).expect("a trace");
    let mut open = Vec::new();
    let walked = file.in_order(Window::default()).for_each(|timed| {
        match timed.event.kind {
            EventKind::Reopen { open: Open::Region(site), .. } => open.push(trace.site_name(site)),
            EventKind::End => assert_eq!(open.pop(), Some("around"), "an end of nothing"),
            _ => {}
        }
        ControlFlow::Continue(())
    });
    assert!(matches!(walked, Ok(ControlFlow::Continue(()))), "{walked:?}");
}

#[test]
fn snapshots_and_traces_come_and_go_while_threads_record() {
    let _alone = alone();
    let recorder = recorder(512 << 10);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    trace_region!("work");
                    (0..100).for_each(|_| leaf());
                    instant!("moment");
                    std::thread::yield_now();
                }
            });
        }
        let (ends, recorder) = (Ends(&is_over), &recorder);
        let snapshots: Vec<_> = (0..3)
            .map(|_| scope.spawn(move || (0..10).for_each(|_| drop(snapshot(recorder)))))
            .collect();
        for _ in 0..10 {
            let memory = Memory::default();
            let trace = start_with(annotated(), memory.clone()).expect("none is running");
            std::thread::sleep(Duration::from_millis(2));
            stopped(trace, &memory);
        }
        for thread in snapshots {
            thread.join().expect("every snapshot is whole");
        }
        drop(ends);
    });
}

#[test]
fn a_writer_that_fails_fails_its_snapshot_only() {
    let _alone = alone();
    let recorder = recorder(1 << 20);
    instant!("one");
    let failed = recorder.snapshot(Faulty::new(Fault::Fails, 100));
    assert!(matches!(failed, Err(SnapshotError::Write(_))), "{failed:?}");
    assert_eq!(all_lines(&snapshot(&recorder)), ["! one"]);
}

#[test]
fn threads_that_are_long_gone_leave_nothing() {
    let _alone = alone();
    let builder = FlightRecorder::builder().max_bytes(256 << 10);
    let options = annotated().generation(Duration::from_millis(10));
    let recorder = builder.options(options).start().expect("none is running");
    for _ in 0..300 {
        on_thread("short", leaf);
    }
    // While the recorder keeps them, less room is left for newer events.
    wait_until("they are gone", || {
        (0..100_000).for_each(|_| leaf());
        let trace = snapshot(&recorder);
        trace.tables.threads.values().all(|thread| thread.name != "short")
    });
}

/// The names of the dumps in a folder, without their times.
fn dumps(dir: &std::path::Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).expect("it was made");
    let names = names.map(|entry| entry.expect("it is there").file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().expect("plain letters")).collect();
    names.sort();
    names
}

/// Waits until there are `count` dumps.
fn wait_for_dumps(dir: &std::path::Path, count: usize) -> Vec<String> {
    wait_until("the dumps are there", || {
        dumps(dir).iter().filter(|name| name.ends_with(".trace")).count() >= count
    });
    dumps(dir)
}

fn decoded(path: &std::path::Path) -> Decoded {
    let trace = Decoded::new(&std::fs::read(path).expect("it was written"));
    checks::check(&trace);
    trace
}

#[test]
fn a_slow_task_leaves_a_trace_and_a_fast_one_does_not() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("dumps");
    let builder = FlightRecorder::builder().options(annotated()).dumps(Duration::ZERO, 2);
    let recorder = builder.start().expect("none is running");
    let slow_after = Duration::from_millis(400);
    recorder.on_slow("request", slow_after, &folder).expect("a folder");
    let begin = Instant::now();
    Task::new("request").end();
    if begin.elapsed() >= slow_after {
        return loudly("SKIPPED: other programs had the CPU, a fast task was slow");
    }
    let other = Task::new("other");
    let slow = Task::new("request");
    instant!("culprit");
    std::thread::sleep(slow_after + Duration::from_millis(10));
    other.end();
    assert_eq!(dumps(&folder), [""; 0], "none was slow so far");
    slow.end();
    let names = wait_for_dumps(&folder, 1);
    assert!(names[0].ends_with("-slow.trace"), "{names:?}");
    let trace = decoded(&folder.join(&names[0]));
    assert!(all_lines(&trace).contains(&"! culprit".to_owned()));
    // Of many dumps the newest are kept.
    for _ in 0..3 {
        let slow = Task::new("request");
        std::thread::sleep(slow_after + Duration::from_millis(10));
        let before = dumps(&folder);
        slow.end();
        // The new dump gets its name before an old one is removed.
        wait_until("another comes, and no third is left", || {
            let names = dumps(&folder);
            let whole = names.iter().all(|name| name.ends_with(".trace"));
            whole && names.len() == 2 && names.last() > before.last()
        });
    }
    let kept = dumps(&folder);
    assert!(kept[0] > names[0], "the oldest are gone: {kept:?}");
}

#[test]
fn dumps_are_not_more_often_than_allowed() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    let builder = FlightRecorder::builder().options(annotated());
    let builder = builder.dumps(Duration::from_secs(3_600), 5);
    let recorder = builder.start().expect("none is running");
    recorder.on_panic(dir.path()).expect("a folder");
    for _ in 0..3 {
        let panicked = std::thread::spawn(|| {
            instant!("last words");
            panic!("on purpose");
        });
        assert!(panicked.join().is_err());
    }
    let names = dumps(dir.path());
    assert_eq!(names.len(), 1, "{names:?}");
    assert!(names[0].ends_with("-panic.trace"), "{names:?}");
    assert!(all_lines(&decoded(&dir.path().join(&names[0]))).contains(&"! last words".to_owned()));
    recorder.stop();
    let quiet = std::thread::spawn(|| panic!("on purpose"));
    assert!(quiet.join().is_err());
    assert_eq!(dumps(dir.path()), names, "nobody watches any more");
}

#[test]
fn a_writer_that_panics_is_not_waited_for() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    let recorder = recorder(1 << 20);
    recorder.on_panic(dir.path()).expect("a folder");
    // The writer panics on the thread that would have to take the snapshot.
    let trace = start_with(annotated(), Faulty::new(Fault::Panics, 40_000));
    let trace = trace.expect("there is room for the beginning");
    (0..50_000).for_each(|_| leaf());
    instant!("moment");
    let (ended, has_ended) = std::sync::mpsc::channel();
    let ending = std::thread::spawn(move || ended.send(trace.stop().is_err()));
    let is_error = has_ended.recv_timeout(PATIENCE);
    assert_eq!(is_error, Ok(true), "it ends, and says that its writer panicked");
    assert!(ending.join().is_ok_and(|sent| sent.is_ok()));
    assert!(all_lines(&snapshot(&recorder)).contains(&"! moment".to_owned()));
    recorder.stop();
}

#[test]
#[cfg(unix)]
fn a_signal_asks_for_a_trace() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    let recorder = recorder(1 << 20);
    recorder.on_signal(dir.path()).expect("a folder");
    instant!("before");
    let kill = std::process::Command::new("kill");
    let pid = std::process::id().to_string();
    let sent = { kill }.args(["-USR2", &pid]).status().expect("the system has it");
    assert!(sent.success());
    let names = wait_for_dumps(dir.path(), 1);
    assert!(names[0].ends_with("-signal.trace"), "{names:?}");
    assert!(all_lines(&decoded(&dir.path().join(&names[0]))).contains(&"! before".to_owned()));
}

#[test]
fn what_was_lost_before_a_snapshot_begins_is_not_lost_in_it() {
    let _alone = alone();
    // So little memory that a thread at full speed loses events.
    let options = annotated().memory_max(64 << 10).generation(Duration::from_millis(10));
    let builder = FlightRecorder::builder().options(options).min_age(Duration::from_millis(100));
    let recorder = builder.start().expect("none is running");
    let dropped = || snapshot(&recorder).tables.stop.expect("it is whole").dropped_events;
    wait_until("something is lost", || {
        (0..100_000).for_each(|_| leaf());
        dropped() > 0
    });
    wait_until("what is long over is told no more", || {
        // A thread reports its losses with its next event, so until then they are not reported.
        leaf();
        dropped() == 0
    });
    recorder.stop();
}
