//! A flight recorder with a file: the file is a trace in whatever way the process ends, it never
//! grows, and it has as much as the recorder.

mod common;

use common::decoded::Decoded;
use common::waiting::wait_until;
use common::{alone, annotated, checks, lines, on_thread};
use exectrace::{FlightRecorder, StartError, instant, start_with, trace_region, traced};
use std::future::poll_fn;
use std::path::Path;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use trace_analysis::explain::{Insight, InsightKind, explain};
use trace_analysis::symbols::Symbols;
use trace_analysis::{Report, Trace, Wanted};
use trace_format::event::EventKind;
use trace_format::read::TraceFile;
use trace_format::survive::ring::{RingHeader, unwind};
use trace_format::value::Value;

#[traced]
fn leaf(n: u64) {
    std::hint::black_box(n);
}

fn recorder(path: &Path, bytes: usize) -> FlightRecorder {
    let builder = FlightRecorder::builder().max_bytes(bytes).options(annotated()).mapped(path);
    builder.start().expect("none is running, and there is room")
}

/// The content of such a file, checked like any trace.
fn unwound(path: &Path) -> Decoded {
    let bytes = std::fs::read(path).expect("it is there");
    let trace = Decoded::new(&unwind(&bytes).expect("it is such a file"));
    checks::check(&trace);
    trace
}

fn all_lines(trace: &Decoded) -> Vec<String> {
    lines::of_threads(trace).into_iter().flat_map(|(_, lines)| lines).collect()
}

/// The numbers of all `step` events, of all threads.
fn steps(trace: &Decoded) -> Vec<u64> {
    let events = trace.tables.threads.keys().flat_map(|&id| trace.events(id));
    let numbers = events.filter_map(|event| match event.kind {
        EventKind::Instant { mut values, .. } => values.next(),
        _ => None,
    });
    let numbers = numbers.filter_map(|value| match value {
        Value::U64(n) => Some(n),
        _ => None,
    });
    numbers.collect()
}

#[test]
fn what_a_recorder_had_when_it_was_stopped_is_in_its_file() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("flight.trace");
    let recorder = recorder(&path, 1 << 20);
    let live = folder.path().join("flight.trace.live");
    assert!(live.exists(), "threads have their batches there");
    {
        trace_region!("around");
        leaf(1);
        instant!("one");
    }
    on_thread("other", || instant!("two"));
    let mut snapshot = Vec::new();
    recorder.snapshot(&mut snapshot).expect("memory takes it");
    recorder.stop();
    assert!(!live.exists());
    assert_eq!(path.metadata().expect("it is there").len(), 1 << 20, "the bound is exact");
    let trace = unwound(&path);
    assert!(trace.complete, "it was stopped");
    let mut lines = all_lines(&trace);
    lines.sort();
    let mut wanted = all_lines(&Decoded::new(&snapshot));
    wanted.sort();
    assert_eq!(lines, wanted);
    assert!(lines.contains(&"! two".to_owned()), "{lines:?}");
    let names: Vec<_> = trace.tables.threads.values().map(|thread| &thread.name).collect();
    assert!(names.iter().any(|name| *name == "other"), "{names:?}");
    // The tool reads the file as it is.
    let opened = trace_tool::source::open(&path).expect("a trace").trace;
    assert!(opened.faults().is_empty() && opened.is_complete(), "{:?}", opened.faults());
}

#[test]
fn a_log_that_has_gone_round_has_the_last_of_it() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("flight.trace");
    for bytes in [256 << 10, 1 << 20] {
        for count in [30_000, 100_000, 270_000, 1_000_000] {
            let recorder = recorder(&path, bytes);
            trace_region!("around");
            for n in 0_u64..count {
                instant!("step", n);
                if n.is_multiple_of(1_000) {
                    // Leaves the collector time to keep up.
                    std::thread::sleep(Duration::from_micros(200));
                }
            }
            recorder.stop();
            assert_eq!(path.metadata().expect("it is there").len(), bytes as u64);
            let trace = unwound(&path);
            let steps = steps(&trace);
            let (first, last) = (steps[0], *steps.last().expect("there are some"));
            assert_eq!(last, count - 1, "{bytes} bytes, {count} steps");
            assert!(steps.iter().copied().eq(first..count), "each once, in order");
            // Events and definitions of each moment. Three batches may be cut, or not fit the end
            // of the log.
            let headers = trace.batches.iter().map(|batch| batch.header);
            let kept = headers.map(|it| u64::from(it.header_bytes) + u64::from(it.payload_bytes));
            let (kept, cut) = (kept.sum::<u64>(), (3 * 64) << 10);
            let log = RingHeader::divide(bytes as u64, 0).log_bytes;
            assert!(first == 0 || kept + cut > log, "{kept} of {log}, {count} steps");
        }
    }
}

/// Pending once, then ready.
#[traced]
async fn paused() {
    let mut paused = false;
    poll_fn(|_| if std::mem::replace(&mut paused, true) { Poll::Ready(()) } else { Poll::Pending })
        .await;
}

/// The file has the live futures, and none that have ended.
#[test]
fn futures_that_ended_while_the_log_went_round_are_not_said_to_live() {
    const ROUNDS: u64 = 4_000;
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("flight.trace");
    let recorder = recorder(&path, 256 << 10);
    for _ in 0..ROUNDS {
        let mut futures: Vec<_> = (0..16).map(|_| Box::pin(paused())).collect();
        let mut context = Context::from_waker(Waker::noop());
        let mut ready = || {
            let ready = futures.iter_mut().map(|it| it.as_mut().poll(&mut context).is_ready());
            ready.filter(|is| *is).count()
        };
        assert_eq!([ready(), ready()], [0, 16]);
    }
    recorder.stop();
    let trace = unwind(&std::fs::read(&path).expect("it is there")).expect("it is such a file");
    let trace = TraceFile::open(trace).expect("a trace");
    let symbols = Symbols::of_trace(trace.tables());
    let trace = Trace::new(&trace).named(&symbols);
    let wanted = Wanted { async_tasks: true, ..Wanted::default() };
    let report = Report::read(&trace, wanted, |_| {});
    let tasks = report.async_tasks.as_ref().expect("they were asked for");
    let sites = || tasks.sites.iter().chain(&tasks.children);
    let count: u64 = sites().map(|site| site.count).sum();
    assert!((1..ROUNDS * 16).contains(&count), "some of them, as the log is small: {count}");
    for site in sites() {
        assert_eq!((site.alive, site.unwakeable), (0, 0), "{site:?}");
    }
    assert_eq!(tasks.unfinished, [], "all have ended");
    let insights = explain(&trace, &report);
    let is_about = |it: &Insight| matches!(it.kind, InsightKind::Stuck | InsightKind::LeakedTasks);
    assert!(!insights.iter().any(is_about), "{insights:?}");
}

#[test]
fn names_that_are_of_no_use_any_more_make_room_for_others() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("flight.trace");
    let bytes = 256 << 10;
    let builder = FlightRecorder::builder().max_bytes(bytes).mapped(&path);
    let age = Duration::from_millis(50);
    let builder = builder.min_age(age);
    let options = annotated().generation(Duration::from_millis(10));
    let recorder = builder.options(options).start().expect("none is running");
    // Each thread has a name of its own of some 60 bytes. A table has 32 KiB.
    for n in 0..2_000_u64 {
        on_thread(&format!("a thread with a name that is rather long {n}"), || leaf(n));
        if n.is_multiple_of(100) {
            // The collector knows the threads, and their definitions grow old.
            recorder.snapshot(std::io::sink()).expect("it takes everything");
            std::thread::sleep(age);
        }
    }
    instant!("the last");
    recorder.stop();
    let trace = unwound(&path);
    let names: Vec<_> = trace.tables.threads.values().map(|it| it.name.clone()).collect();
    assert!(names.iter().any(|name| name.ends_with("long 1999")), "{names:?}");
    assert!(all_lines(&trace).contains(&"! the last".to_owned()));
    let facility = trace.tables.facilities.get("mapped");
    assert!(facility.is_none(), "nothing was lost: {facility:?}");
}

#[test]
fn names_that_have_no_room_are_counted_and_told() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("flight.trace");
    let builder = FlightRecorder::builder().max_bytes(256 << 10).mapped(&path);
    let options = annotated().generation(Duration::from_millis(10));
    let recorder = builder.options(options).start().expect("none is running");
    let (gate, barrier) = (std::sync::Barrier::new(601), std::sync::Barrier::new(601));
    std::thread::scope(|scope| {
        for n in 0..600_u64 {
            let (gate, barrier) = (&gate, &barrier);
            let name = format!("a thread whose name is so long that not all of them fit in {n}");
            let builder = std::thread::Builder::new().name(name).stack_size(128 << 10);
            let live_on = move || {
                leaf(n);
                gate.wait();
                barrier.wait();
            };
            builder.spawn_scoped(scope, live_on).expect("a thread");
        }
        gate.wait();
        instant!("all live");
        // Only while the threads live: later there is room.
        let told = || {
            let bytes = std::fs::read(&path).expect("it is there");
            // The batch that is being written may not be whole.
            let Some(unwound) = unwind(&bytes) else { return false };
            let Ok(file) = TraceFile::open(unwound) else { return false };
            let told = file.tables().facilities.get("mapped");
            told.is_some_and(|told| !told.on && told.note.contains("names did not fit"))
        };
        let waited = std::panic::catch_unwind(|| wait_until("it is told", told));
        barrier.wait();
        assert!(waited.is_ok(), "they live, and it is not told");
    });
    recorder.stop();
}

#[test]
fn a_trace_beside_it_is_no_different() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("flight.trace");
    let recorder = recorder(&path, 1 << 20);
    leaf(1);
    let memory = common::writers::Memory::default();
    let trace = start_with(annotated(), memory.clone()).expect("none is running");
    leaf(2);
    let second = exectrace::start_file(folder.path().join("other.trace"));
    assert!(matches!(second, Err(StartError::AlreadyRunning)), "{second:?}");
    trace.stop().expect("memory takes it");
    leaf(3);
    let third = exectrace::start_file_with(annotated(), folder.path().join("other.trace"));
    let third = third.expect("none is running");
    assert!(folder.path().join("other.trace.live").exists(), "under both names");
    recorder.stop();
    leaf(4);
    assert!(folder.path().join("other.trace.live").exists(), "it is of use still");
    third.stop().expect("the disk takes it");
    let steps = |trace: &Decoded| all_lines(trace).len();
    assert_eq!(steps(&Decoded::new(&memory.take())), 1);
    assert_eq!(steps(&unwound(&path)), 3);
    let other = std::fs::read(folder.path().join("other.trace")).expect("it is there");
    assert_eq!(steps(&Decoded::new(&other)), 1);
    let left = std::fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(left, 2, "what lay beside them is gone");
}

#[test]
fn no_room_is_an_error_and_leaves_nothing() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("flight.trace");
    let builder = FlightRecorder::builder().max_bytes(1 << 46).mapped(&path);
    let refused = builder.start();
    assert!(matches!(refused, Err(StartError::File(ref it, _)) if *it == path), "{refused:?}");
    let options = annotated().memory_max(1 << 46);
    let builder = FlightRecorder::builder().options(options).mapped(&path);
    let refused = builder.start();
    assert!(matches!(refused, Err(StartError::File(..))), "{refused:?}");
    assert!(!exectrace::is_enabled());
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("a folder").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_trace_on_another_file_system_does_without_the_file_beside_it() {
    use std::os::unix::fs::MetadataExt as _;
    let _alone = alone();
    let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir_in("/dev/shm"));
    let device = |path: &Path| path.metadata().map(|kind| kind.dev()).ok();
    let there = there.ok().filter(|there| device(there.path()) != device(here.path()));
    let Some(there) = there else {
        return common::loudly("SKIPPED: there is no other file system at /dev/shm");
    };
    let recorder = recorder(&here.path().join("flight.trace"), 1 << 20);
    let path = there.path().join("other.trace");
    let trace = exectrace::start_file_with(annotated(), &path).expect("it starts");
    assert!(!there.path().join("other.trace.live").exists());
    leaf(1);
    trace.stop().expect("there is room");
    recorder.stop();
    assert_eq!(all_lines(&Decoded::new(&std::fs::read(&path).expect("it is there"))).len(), 1);
}
