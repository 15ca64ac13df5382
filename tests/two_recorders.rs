//! A flight recorder beside a trace whose writer fails, is slow or hangs, and beside other
//! processes that write to the same folder: none disturbs the other.

mod common;

use common::decoded::Decoded;
use common::waiting::{PATIENCE, wait_until};
use common::writers::{Fault, Faulty, Memory, PanicsWhenDropped, Slow};
use common::{alone, annotated, checks, lines};
use exectrace::{
    FlightRecorder, OnFull, StartError, StopError, Task, instant, start_file_with, start_with,
    traced,
};
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

/// Tells this program where to write, and that other processes write there, too.
const FOLDER: &str = "EXECTRACE_TEST_FOLDER";

#[traced]
fn leaf() {}

fn recorder() -> FlightRecorder {
    let builder = FlightRecorder::builder().max_bytes(4 << 20).options(annotated());
    builder.start().expect("none is running")
}

fn whole(bytes: &[u8]) -> Decoded {
    let trace = Decoded::new(bytes);
    checks::check(&trace);
    assert!(trace.complete);
    trace
}

fn snapshot(recorder: &FlightRecorder) -> Decoded {
    let mut bytes = Vec::new();
    recorder.snapshot(&mut bytes).expect("memory takes it");
    whole(&bytes)
}

fn has(trace: &Decoded, line: &str) -> bool {
    lines::of_threads(trace).iter().any(|(_, lines)| lines.iter().any(|it| it == line))
}

#[test]
fn a_writer_that_fails_at_once_is_a_failed_start_beside_a_recorder_too() {
    let _alone = alone();
    let recorder = recorder();
    instant!("before");
    for fault in [Fault::Fails, Fault::WritesNothing, Fault::Panics] {
        for room in [0, 1, 31, 100] {
            let started = start_with(annotated(), Faulty::new(fault, room));
            assert!(matches!(started, Err(StartError::Write(_))), "{fault:?} {room}: {started:?}");
        }
    }
    instant!("after");
    let memory = Memory::default();
    let trace = start_with(annotated(), memory.clone()).expect("its place is free again");
    instant!("traced");
    let report = trace.stop().expect("memory takes it");
    let trace = whole(&memory.take());
    checks::check_report(&trace, &report);
    assert!(has(&trace, "! traced") && !has(&trace, "! after"));
    let kept = snapshot(&recorder);
    assert!(["! before", "! after", "! traced"].iter().all(|line| has(&kept, line)));
}

#[test]
fn a_writer_that_fails_later_is_of_no_concern_to_the_recorder() {
    let _alone = alone();
    for fault in [Fault::Fails, Fault::WritesNothing, Fault::Panics] {
        let recorder = recorder();
        let trace = start_with(annotated(), Faulty::new(fault, 40_000)).expect("it has some room");
        for _ in 0..50_000 {
            leaf();
        }
        instant!("late");
        assert!(has(&snapshot(&recorder), "! late"));
        let Err(StopError::Write { report, .. }) = trace.stop() else { panic!("it has failed") };
        assert!(report.unwritten_events > 0, "{report:?}");
        instant!("after");
        let kept = snapshot(&recorder);
        assert!(has(&kept, "! late") && has(&kept, "! after"));
        recorder.stop();
    }
}

#[test]
fn a_slow_writer_makes_its_trace_drop_and_snapshots_are_whole() {
    let _alone = alone();
    for on_full in [OnFull::Drop, OnFull::Wait] {
        let pause = Duration::from_millis(2);
        let writer = Slow { memory: Memory::default(), pause };
        let memory = writer.memory.clone();
        let options = annotated().memory_max(256 << 10).on_full(on_full);
        let trace = start_with(options, writer).expect("it is slow, and works");
        // The options of the trace apply.
        let recorder = recorder();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..30_000).for_each(|_| leaf()));
            }
            for _ in 0..3 {
                drop(snapshot(&recorder));
            }
        });
        let report = trace.stop().expect("all is written in the end");
        assert!(on_full == OnFull::Drop || report.dropped_events == 0, "{report:?}");
        let trace = whole(&memory.take());
        checks::check_report(&trace, &report);
        assert!(trace.events_told() as u64 + report.dropped_events >= 60_000);
        drop(snapshot(&recorder));
        recorder.stop();
    }
}

#[test]
fn a_writer_that_panics_when_dropped_leaves_the_recorder() {
    let _alone = alone();
    let recorder = recorder();
    instant!("before");
    let trace = start_with(annotated(), PanicsWhenDropped).expect("it takes every byte");
    assert!(matches!(trace.stop(), Err(StopError::Collector)));
    instant!("after");
    let kept = snapshot(&recorder);
    assert!(has(&kept, "! before") && has(&kept, "! after"));
    // And the next trace can start.
    let trace = start_with(annotated(), io::sink()).expect("none is running");
    trace.stop().expect("a sink takes it");
}

/// A writer that hangs when it is told to, until it is told to go on.
struct Hanging {
    memory: Memory,
    wait: Receiver<()>,
    says: Sender<()>,
    calls: u32,
}

impl Write for Hanging {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.calls += 1;
        if self.calls == 20 {
            let _ = self.says.send(());
            // An error means that the sender is gone, so it goes on.
            let _ = self.wait.recv();
        }
        self.memory.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_writer_that_hangs_holds_up_snapshots_and_nothing_that_records() {
    let _alone = alone();
    let recorder = recorder();
    let ((go_on, wait), (says, hangs)) = (channel(), channel());
    let memory = Memory::default();
    let writer = Hanging { memory: memory.clone(), wait, says, calls: 0 };
    let options = annotated().generation(Duration::from_millis(10));
    let trace = start_with(options, writer).expect("it works at first");
    while hangs.try_recv().is_err() {
        (0..1_000).for_each(|_| leaf());
    }
    // Recording threads go on; a request to the recorder waits for the trace's disk.
    instant!("meanwhile");
    let (taken, is_taken) = channel();
    thread::scope(|scope| {
        let recorder = &recorder;
        scope.spawn(move || taken.send(snapshot(recorder)).expect("somebody waits"));
        instant!("still");
        (0..10_000).for_each(|_| leaf());
        drop(go_on);
        let kept = is_taken.recv_timeout(PATIENCE).expect("it comes in the end");
        assert!(has(&kept, "! meanwhile"));
    });
    let report = trace.stop().expect("all is written in the end");
    checks::check_report(&whole(&memory.take()), &report);
    assert!(has(&snapshot(&recorder), "! still"));
}

/// The dumps in a folder, including those that are not complete yet.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("it was made").map(|entry| entry.expect("a name"));
    let mut names: Vec<_> =
        entries.map(|entry| entry.file_name().into_string().expect("plain letters")).collect();
    names.sort();
    names
}

/// Not a test: the process that runs several times at once.
#[test]
fn one_of_many() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    std::panic::set_hook(Box::new(|_| {}));
    let builder = FlightRecorder::builder().max_bytes(256 << 10).options(annotated());
    let recorder = builder.dumps(Duration::ZERO, 3).start().expect("none is running");
    recorder.on_panic(&folder).expect("a folder");
    recorder.on_slow("slow", Duration::from_nanos(1), &folder).expect("a folder");
    for _ in 0..40 {
        leaf();
        Task::new("slow").end();
        assert!(thread::spawn(|| panic!("on purpose")).join().is_err());
    }
    recorder.stop();
    // It ends only when all its dumps are written.
    wait_until("its threads end", || common::thread_count() <= Some(2));
}

#[test]
fn processes_that_dump_into_one_folder_leave_the_newest_and_all_of_them_whole() {
    let dir = tempfile::tempdir().expect("a folder");
    let program = std::env::current_exe().expect("this program has a path");
    let run = |_| {
        let mut command = Command::new(&program);
        command.args(["one_of_many", "--exact", "--test-threads=1"]).env(FOLDER, dir.path());
        command.stdout(Stdio::null());
        command.spawn().expect("it can be started")
    };
    for mut process in (0..4).map(run).collect::<Vec<_>>() {
        assert!(process.wait().expect("it has ended").success());
    }
    let left = names(dir.path());
    assert_eq!(left.len(), 3, "{left:?}");
    for name in &left {
        assert!(name.ends_with(".trace"), "{left:?}");
        whole(&fs::read(dir.path().join(name)).expect("it is there"));
    }
}

#[test]
fn a_file_in_use_is_left_alone_and_a_second_file_without_its_first_is_kept() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("one.trace");
    // Somebody has removed the trace of a killed process, but not the file beside it.
    fs::write(dir.path().join("one.trace.live"), "what is left").expect("a small file");
    let trace = start_file_with(annotated(), &path).expect("nobody writes there");
    instant!("one");
    assert!(path.exists());
    trace.stop().expect("the disk takes it");
    assert!(has(&whole(&fs::read(&path).expect("it is there")), "! one"));
    let kept = fs::read_to_string(dir.path().join("one.trace.old.live"));
    assert_eq!(kept.expect("it is there"), "what is left");
    // A process has one trace: a second one is refused before it touches a file.
    let before = fs::read(&path).expect("it is there");
    let trace = start_with(annotated(), io::sink()).expect("none is running");
    for name in ["one.trace", "two.trace"] {
        let refused = start_file_with(annotated(), dir.path().join(name));
        assert!(matches!(refused, Err(StartError::AlreadyRunning)), "{refused:?}");
    }
    trace.stop().expect("a sink takes it");
    assert!(fs::read(&path).expect("it is there") == before, "it is as it was");
    assert!(!names(dir.path()).contains(&"two.trace".to_owned()));
}
