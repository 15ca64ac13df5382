//! `fork` and `exec` beside a flight recorder and a trace to a file: both stay with the process
//! that started them, and the child can start its own.
//!
//! Elsewhere: forks beside a trace to a writer (`fork`).
#![cfg(unix)]

// A module of its own, because it needs packages that other users of `common` do not have.
#[path = "common/child.rs"]
mod child;
mod common;
#[path = "common/quiet.rs"]
mod quiet;

use child::in_child;
use common::crashed::{live_of, recovered};
use common::decoded::Decoded;
use common::{Ends, alone, annotated, checks, lines};
use exectrace::{
    FlightRecorder, SnapshotError, Task, instant, is_enabled, start_file_with, traced,
};
use quiet::{ON_PURPOSE, quiet_on_purpose};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

#[traced]
fn leaf() {}

fn recorder() -> FlightRecorder {
    quiet_on_purpose();
    let builder = FlightRecorder::builder().max_bytes(1 << 20).options(annotated());
    builder.dumps(Duration::ZERO, 3).start().expect("none is running")
}

fn whole(bytes: &[u8]) -> Decoded {
    let trace = Decoded::new(bytes);
    checks::check(&trace);
    assert!(trace.complete);
    trace
}

fn all_lines(trace: &Decoded) -> Vec<String> {
    lines::of_threads(trace).into_iter().flat_map(|(_, lines)| lines).collect()
}

/// The files of a folder, with their contents.
fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(dir).expect("it is there").map(|entry| entry.expect("a name"));
    let mut all: Vec<_> = entries
        .map(|entry| (entry.path(), fs::read(entry.path()).expect("it can be read")))
        .collect();
    all.sort();
    all
}

#[test]
fn a_childs_faults_are_none_of_its_parents_recorder() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    let recorder = recorder();
    recorder.on_panic(dir.path()).expect("a folder");
    recorder.on_slow("slow", Duration::from_nanos(1), dir.path()).expect("a folder");
    instant!("parent's");
    let answer = in_child(|| {
        let mut bytes = Vec::new();
        let refused = matches!(recorder.snapshot(&mut bytes), Err(SnapshotError::NotRunning));
        Task::new("slow").end();
        let panicked = std::panic::catch_unwind(|| panic!("{ON_PURPOSE}")).is_err();
        thread::sleep(Duration::from_millis(100));
        format!("{} {refused} {panicked} {}", is_enabled(), bytes.len())
    });
    assert_eq!(answer, "false true true 0");
    assert_eq!(contents(dir.path()), [], "it has written nothing");
    let mut bytes = Vec::new();
    recorder.snapshot(&mut bytes).expect("memory takes it");
    assert_eq!(all_lines(&whole(&bytes)), ["! parent's"]);
}

#[test]
fn a_fork_while_threads_have_their_locks_leaves_the_child_free() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    let recorder = recorder();
    recorder.on_slow("slow", Duration::from_nanos(1), dir.path()).expect("a folder");
    recorder.on_panic(dir.path()).expect("a folder");
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _ends = Ends(&is_over);
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    Task::new("slow").end();
                }
            });
        }
        for _ in 0..100 {
            let answer = in_child(|| {
                Task::new("slow").end();
                let panicked = std::panic::catch_unwind(|| panic!("{ON_PURPOSE}")).is_err();
                let own = FlightRecorder::builder().max_bytes(256 << 10).options(annotated());
                let own = own.start().expect("the child has none");
                own.on_panic(dir.path().join("of a child")).expect("a folder");
                leaf();
                let mut bytes = Vec::new();
                own.snapshot(&mut bytes).expect("memory takes it");
                own.stop();
                format!("{panicked} {}", all_lines(&whole(&bytes)).join(" "))
            });
            assert_eq!(answer, "true leaf");
        }
    });
    recorder.stop();
}

#[test]
fn a_child_may_have_files_of_its_own_and_leaves_its_parents_alone() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    let (path, own) = (dir.path().join("parent.trace"), dir.path().join("child.trace"));
    let mut trace = start_file_with(annotated(), &path).ok();
    let mut recorder = Some(recorder());
    instant!("parent's");
    let answer = in_child(|| {
        let taken = start_file_with(annotated(), &path);
        let taken = taken.expect_err("the parent writes there").to_string();
        let of_child = start_file_with(annotated().memory_max(1 << 20), &own);
        let of_child = of_child.expect("the child has none");
        // The child drops its copies of the parent's, and its own goes on.
        drop((trace.take(), recorder.take()));
        let count = 20_000_u64;
        for n in 0..count {
            instant!("child's", n);
        }
        // The child exits as if it were killed.
        std::mem::forget(of_child);
        format!("{} {}", taken.starts_with("another process writes"), live_of(&own).exists())
    });
    assert_eq!(answer, "true true");
    let of_child = Decoded::new(&recovered(&own));
    let last = all_lines(&of_child).pop().expect("it has recorded");
    assert!(last.contains("19999"), "{last} is not the last");
    assert!(live_of(&path).exists(), "the child has left it");
    leaf();
    trace.take().expect("it is the parent's").stop().expect("the disk takes it");
    let lines = all_lines(&whole(&fs::read(&path).expect("it was written")));
    assert_eq!(lines, ["! parent's", "leaf"]);
    drop(recorder);
}

#[test]
#[cfg(target_os = "linux")]
fn another_program_that_is_started_has_nothing_of_the_files() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("one.trace");
    let trace = start_file_with(annotated(), &path).expect("the folder is there");
    let recorder = recorder();
    recorder.on_panic(dir.path()).expect("a folder");
    instant!("before");
    // A program that outlives the trace, and prints its open files.
    let mut command = Command::new("sh");
    command.args(["-c", "ls -l /proc/$$/fd /proc/$$/map_files; sleep 5"]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().expect("a shell");
    let mut said = child.stdout.take().expect("it is piped");
    let mut first = [0; 4096];
    let count = std::io::Read::read(&mut said, &mut first).expect("a pipe");
    let first = String::from_utf8_lossy(&first[..count]).into_owned();
    assert!(!first.contains("one.trace"), "{first}");
    trace.stop().expect("the disk takes it");
    // It holds no lock, so the next trace can use the file.
    let trace = start_file_with(annotated(), &path).expect("nobody writes there");
    trace.stop().expect("the disk takes it");
    child.kill().expect("it sleeps");
    child.wait().expect("it has ended");
    recorder.stop();
    assert_eq!(contents(dir.path()).len(), 1, "nothing else is left");
}
