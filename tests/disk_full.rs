//! A disk that is really full: a small one in memory, mounted for one process.
//!
//! Each test runs itself again in a process with such a disk. Where the system does not allow the
//! mount, the tests say so, even if the harness hides their output, and check nothing.
#![cfg(target_os = "linux")]

mod common;

use common::crashed::{self, live_of};
use common::decoded::Decoded;
use common::waiting::wait_until;
use common::{alone, annotated, checks, loudly};
use exectrace::{
    FlightRecorder, OnFull, Rotation, SnapshotError, StartError, StopError, Trace, instant,
    start_file, start_file_with, start_rotating,
};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use trace_format::event::EventKind;
use trace_format::read::{BatchReader, TraceFile};
use trace_format::value::Value;

/// The path of the disk, set in the process that has it.
const DISK: &str = "EXECTRACE_TEST_DISK";

/// Set in the process that is to be killed: where it writes.
const VICTIM: &str = "EXECTRACE_TEST_VICTIM";

const MIB: usize = 1 << 20;

/// Runs the test of this name in a process that has a disk of `bytes` bytes. Returns the disk's
/// path in that process.
fn on_small_disk(test: &str, bytes: usize) -> Option<PathBuf> {
    if let Ok(disk) = std::env::var(DISK) {
        return Some(disk.into());
    }
    // Only that process and its children see the mount, and it disappears with them.
    let ways: [&[&str]; 2] = [&["--mount"], &["--mount", "--map-root-user"]];
    let folder = tempfile::tempdir().expect("a folder");
    let mount = format!("mount -t tmpfs -o size={bytes} exectrace \"$0\"");
    let can = |way: &&&[&str]| {
        let mut tried = Command::new("unshare");
        tried.args(**way).args(["sh", "-c", &mount]).arg(folder.path());
        tried.output().is_ok_and(|output| output.status.success())
    };
    let Some(way) = ways.iter().find(can) else {
        loudly(&format!("SKIPPED: {test}: no small disk can be mounted here"));
        return None;
    };
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new("unshare");
    command.args(*way).args(["sh", "-c", &format!("{mount} && exec \"$@\"")]).arg(folder.path());
    command.arg(program).args([test, "--exact", "--test-threads=1"]);
    let output = command.env(DISK, folder.path()).output().expect("it could be started before");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{errors}");
    None
}

fn names(disk: &Path) -> Vec<String> {
    let names = fs::read_dir(disk).expect("it is mounted").map(|entry| entry.expect("a name"));
    let mut names: Vec<_> =
        names.map(|entry| entry.file_name().into_string().expect("plain letters")).collect();
    names.sort();
    names
}

/// Fills the disk, and leaves about `but` bytes free.
fn fill(disk: &Path, but: usize) -> PathBuf {
    let path = disk.join("filler");
    let mut file = File::create(&path).expect("a name has room");
    let zeros = [0; 4096];
    while file.write_all(&zeros).is_ok() {}
    let bytes = file.metadata().expect("it is there").len();
    file.set_len(bytes.saturating_sub(but as u64)).expect("it gets smaller");
    path
}

#[test]
fn too_little_room_is_an_error_at_the_start_and_leaves_no_file() {
    let test = "too_little_room_is_an_error_at_the_start_and_leaves_no_file";
    let Some(disk) = on_small_disk(test, MIB) else { return };
    let path = disk.join("out.trace");
    // The default needs 64 MiB, and the disk has 1 MiB.
    let refused = start_file(&path);
    assert!(matches!(refused, Err(StartError::File(..))), "{refused:?}");
    assert_eq!(names(&disk), [""; 0]);
    // There is room for the file's name, but not for a byte.
    let filler = fill(&disk, 0);
    let refused = start_file_with(annotated().memory_max(64 << 10), &path);
    assert!(matches!(refused, Err(StartError::File(..))), "{refused:?}");
    assert_eq!(names(&disk), ["filler"]);
    fs::remove_file(filler).expect("it is there");
    // Nothing has been left behind, so the next one has room.
    let trace = start_file_with(annotated().memory_max(64 << 10), &path).expect("there is room");
    instant!("one");
    trace.stop().expect("the disk takes it");
    let whole = fs::read(&path).expect("it was written");
    // A recorder that cannot start does not remove what is there.
    let refused = start_file(&path);
    assert!(matches!(refused, Err(StartError::File(..))), "{refused:?}");
    assert!(fs::read(&path).expect("it is still there") == whole, "it is as it was");
    assert_eq!(names(&disk), ["out.trace"]);
}

/// Records `numbers` numbered events. Returns how many.
fn fill_with_events(numbers: u64) -> u64 {
    for n in 0..numbers {
        instant!("step", n);
    }
    numbers
}

#[test]
fn a_disk_that_fills_up_loses_events_which_are_counted() {
    let test = "a_disk_that_fills_up_loses_events_which_are_counted";
    let Some(disk) = on_small_disk(test, 2 * MIB) else { return };
    let path = disk.join("out.trace");
    let options = || annotated().memory_max(256 << 10).on_full(OnFull::Wait);
    let starts: [&dyn Fn() -> Trace; 2] =
        [&|| start_file_with(options(), &path).expect("there is room for a beginning"), &|| {
            let file = File::create(&path).expect("there is room for a name");
            exectrace::start_with(options(), file).expect("there is room for a beginning")
        }];
    for start in starts {
        let trace = start();
        // Some four times as many as fit.
        let recorded = fill_with_events(1_000_000);
        let stopped = trace.stop();
        let Err(StopError::Write { error, report }) = stopped else { panic!("{stopped:?}") };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
        assert!(report.unwritten_events > 0, "{report:?}");
        assert_eq!((report.events + report.unwritten_events, report.dropped_events), (recorded, 0));
        assert_eq!(names(&disk), ["out.trace"]);
        let bytes = fs::read(&path).expect("it was written");
        let mut reader = BatchReader::new(&bytes[..report.bytes as usize]).expect("a beginning");
        let mut events = 0;
        while let Some(batch) = reader.next_batch() {
            let header = batch.expect("what is told to be written is whole").header;
            events += if header.thread.0 > 0 { u64::from(header.events) } else { 0 };
        }
        assert_eq!(events, report.events, "what is told to be written is there");
        let file = TraceFile::open(&bytes[..]).expect("it is read as far as it goes");
        assert!(!file.is_complete());
        fs::remove_file(&path).expect("it is there");
    }
    // Nothing is left.
    let trace = start_file_with(options(), &path).expect("there is room again");
    instant!("one");
    let report = trace.stop().expect("the disk takes it");
    let trace = Decoded::new(&fs::read(&path).expect("it was written"));
    checks::check(&trace);
    checks::check_report(&trace, &report);
}

#[test]
fn a_trace_in_parts_goes_on_when_there_is_room_again() {
    let test = "a_trace_in_parts_goes_on_when_there_is_room_again";
    let Some(disk) = on_small_disk(test, 4 * MIB) else { return };
    let path = disk.join("out.trace");
    let rotation = Rotation::new(2 << 20).part_bytes(256 << 10);
    let options = annotated().memory_max(256 << 10).on_full(OnFull::Wait);
    let trace = start_rotating(options, rotation, &path).expect("there is room for a beginning");
    fill_with_events(1_000);
    let filler = fill(&disk, 0);
    let recorded = 1_000 + fill_with_events(500_000);
    let part = || fs::metadata(&path).expect("there is always one").ino();
    let before = part();
    fs::remove_file(filler).expect("it is there");
    wait_until("the next part has begun", || part() != before);
    instant!("last words");
    let stopped = trace.stop();
    let Err(StopError::Write { error, report }) = stopped else { panic!("{stopped:?}") };
    assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
    assert!(report.unwritten_events > 0, "{report:?}");
    assert_eq!(report.events + report.unwritten_events, recorded + 1);
    let last = Decoded::new(&fs::read(&path).expect("it was written"));
    checks::check(&last);
    let ids = last.tables.threads.keys();
    let names = ids.flat_map(|&id| last.events(id)).filter_map(|event| match event.kind {
        EventKind::Instant { site, .. } => Some(last.site_name(site).to_owned()),
        _ => None,
    });
    assert_eq!(names.last().as_deref(), Some("last words"));
}

/// Not a test: the process that is killed while it writes to a full disk.
#[test]
fn one_that_is_killed() {
    let Ok(path) = std::env::var(VICTIM) else { return };
    let options = annotated().memory_max(256 << 10).on_full(OnFull::Wait);
    let trace = start_file_with(options, &path).expect("there is room for a beginning");
    fill_with_events(1_000_000);
    instant!("last words");
    std::mem::forget(trace);
    std::process::abort();
}

#[test]
fn a_kill_after_the_disk_was_full_leaves_the_first_events_and_the_last() {
    let test = "a_kill_after_the_disk_was_full_leaves_the_first_events_and_the_last";
    let Some(disk) = on_small_disk(test, 2 * MIB) else { return };
    let path = disk.join("out.trace");
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    command.args(["one_that_is_killed", "--exact"]).env(VICTIM, &path);
    let output = command.output().expect("it can be started");
    assert!(!output.status.success(), "{output:?}");
    assert!(live_of(&path).exists());
    let trace = Decoded::new(&crashed::recovered(&path));
    assert!(!trace.complete, "nobody has ended it");
    let (mut numbers, mut texts) = (Vec::new(), 0);
    for piece in trace.pieces() {
        for event in piece.events() {
            match event.expect("what is there is whole").kind {
                EventKind::Instant { mut values, .. } => match values.next() {
                    Some(Value::U64(n)) => numbers.push(n),
                    _ => texts += 1,
                },
                EventKind::Dropped { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(numbers.first(), Some(&0));
    assert!(numbers.is_sorted_by(|a, b| a < b), "nothing is there twice");
    assert!(numbers.len() < 1_000_000, "there was no room for all");
    assert_eq!((numbers.last(), texts), (Some(&999_999), 1), "the last is in memory");
}

#[test]
fn snapshots_that_find_no_room_fail_leave_nothing_and_disturb_nothing() {
    let test = "snapshots_that_find_no_room_fail_leave_nothing_and_disturb_nothing";
    let Some(disk) = on_small_disk(test, 2 * MIB) else { return };
    let _alone = alone();
    let dumps = disk.join("dumps");
    let builder = FlightRecorder::builder().max_bytes(MIB).options(annotated());
    let recorder = builder.dumps(Duration::ZERO, 3).start().expect("none is running");
    recorder.on_panic(&dumps).expect("a folder");
    recorder.on_slow("slow", Duration::from_nanos(1), &dumps).expect("a folder");
    fill_with_events(200_000);
    let filler = fill(&disk, 128 << 10);
    let path = disk.join("by hand.trace");
    let failed = recorder.snapshot(File::create(&path).expect("a name has room"));
    let Err(SnapshotError::Write(error)) = failed else { panic!("{failed:?}") };
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    fs::remove_file(path).expect("it is there");
    for round in 0..5 {
        instant!("again", round);
        let panicked = std::thread::spawn(|| panic!("on purpose"));
        assert!(panicked.join().is_err());
        let is_whole = names(&dumps).iter().any(|name| !name.ends_with(".part"));
        assert!(!is_whole, "there was no room");
        exectrace::Task::new("slow").end();
    }
    // The test cannot see whether a dump is being tried, only that all were.
    wait_until("all were tried", || {
        std::thread::sleep(Duration::from_millis(100));
        names(&dumps).is_empty()
    });
    fs::remove_file(filler).expect("it is there");
    instant!("after");
    let panicked = std::thread::spawn(|| panic!("on purpose"));
    assert!(panicked.join().is_err());
    let whole = names(&dumps).into_iter().find(|name| name.ends_with("-panic.trace"));
    let whole = whole.expect("this time there was room");
    let trace = Decoded::new(&fs::read(dumps.join(whole)).expect("it was written"));
    checks::check(&trace);
    assert!(trace.complete);
    recorder.stop();
}
