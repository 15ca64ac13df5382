//! A trace to a file survives every end of its process: every committed event is there.

mod common;

use common::crashed::{check, count_steps, live_of, recovered, reported, wait_for_steps};
use common::decoded::Decoded;
use common::{Ends, alone, annotated, checks, lines};
use exectrace::{FlightRecorder, Options, Rotation, StartError, instant};
use exectrace::{start_file_with, start_rotating};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Set in the process that is to end: how it ends, and where it writes.
const ROLE: &str = "EXECTRACE_TEST_CRASH";

/// Not a test: the process that ends. It prints its steps to standard error.
#[test]
fn one_that_ends() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let (how, path) = role.split_once(' ').expect("how and where");
    let (manner, how) = how.split_once('-').unwrap_or(("", how));
    // So little memory that batches are reused often, and such long generations that the collector
    // works seldom.
    let options = annotated().memory_max(8 << 20);
    let _recorder = (manner == "late").then(|| {
        instant!("before");
        let builder = FlightRecorder::builder().options(options.clone());
        builder.start().expect("there is none")
    });
    let rotation = Rotation::new(1 << 40).part_bytes(128 << 10);
    let (mut trace, mut mapped) = (None, None);
    match manner {
        "mapped" => {
            let builder = FlightRecorder::builder().max_bytes(4 << 20).mapped(path);
            mapped = Some(builder.options(options).start().expect("there is none"));
        }
        "rotating" => trace = Some(start_rotating(options, rotation, path)),
        _ => trace = Some(start_file_with(options, path)),
    }
    let trace = trace.map(|started| started.expect("the folder is there"));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _ends = Ends(&is_over);
        for thread in 0..2_u64 {
            let is_over = &is_over;
            let work = move || count_steps(thread, is_over);
            let builder = std::thread::Builder::new().name(format!("worker-{thread}"));
            builder.spawn_scoped(scope, work).expect("a thread");
        }
        wait_for_steps(1_000);
        match how {
            "abort" => std::process::abort(),
            "exit" => std::process::exit(0),
            "overflow" => println!("{}", overflow(1)),
            "wait" => std::thread::sleep(Duration::from_secs(60)),
            _ => {}
        }
    });
    drop((trace, mapped));
}

#[expect(unconditional_recursion, reason = "on purpose")]
fn overflow(depth: u64) -> u64 {
    let room = [depth; 64];
    std::hint::black_box(room)[0] + overflow(depth + 1)
}

fn begin(how: &str, path: &Path) -> (Child, BufReader<ChildStderr>) {
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    command.args(["one_that_ends", "--exact", "--nocapture"]);
    command.env(ROLE, format!("{how} {}", path.display())).stdout(Stdio::null());
    let mut child = command.stderr(Stdio::piped()).spawn().expect("it can be started");
    let said = BufReader::new(child.stderr.take().expect("it is piped"));
    (child, said)
}

/// The step that a line has.
fn far_of(line: &str) -> u64 {
    let (_, n) = line.trim().split_once(' ').expect("a thread, and a step");
    n.parse().expect("a number")
}

#[test]
fn every_event_that_was_committed_before_a_kill_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut lost = 0;
    for round in 0..200 {
        let path = folder.path().join(format!("{round}.trace"));
        let manner = ["wait", "late-wait", "rotating-wait", "mapped-wait"][round % 4];
        let (mut child, mut said) = begin(manner, &path);
        // At any time after its first line.
        let mut first = String::new();
        said.read_line(&mut first).expect("a pipe");
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // In every second round the threads have made many steps by then.
        while round % 8 >= 4 && far_of(&first) < 1_000 {
            first.clear();
            said.read_line(&mut first).expect("a pipe");
        }
        std::thread::sleep(Duration::from_micros(random % 8_000));
        child.kill().expect("it runs");
        child.wait().expect("it has ended");
        let far = reported(said);
        lost += check(&path, &far);
        for entry in std::fs::read_dir(folder.path()).expect("a folder") {
            std::fs::remove_file(entry.expect("an entry").path()).expect("it is there");
        }
    }
    assert!(lost < 200, "in {lost} of 400 the writer had fallen behind: that shows nothing");
}

#[test]
fn every_way_to_end_leaves_a_trace() {
    let folder = tempfile::tempdir().expect("a folder");
    for how in ["abort", "exit", "overflow"] {
        let path = folder.path().join(format!("{how}.trace"));
        let (mut child, said) = begin(how, &path);
        let far = reported(said);
        child.wait().expect("it has ended");
        assert_eq!(far.len(), 2, "{how}: both threads have worked");
        check(&path, &far);
        // The tool reads the file beside the trace, too.
        let opened = trace_tool::source::open(&path).expect("a trace").trace;
        assert_eq!(
            opened.tables().threads.len(),
            Decoded::new(&recovered(&path)).tables.threads.len()
        );
        let around = Decoded::new(&recovered(&path));
        let lines: Vec<_> = lines::of_threads(&around).into_iter().flat_map(|it| it.1).collect();
        assert!(
            lines.iter().any(|line| line.starts_with("+ around")),
            "{how}: {:?}",
            lines.first()
        );
    }
}

#[test]
fn a_trace_that_is_stopped_is_one_file() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("whole.trace");
    let trace = start_file_with(annotated(), &path).expect("the folder is there");
    assert!(live_of(&path).exists(), "while it runs there are two");
    instant!("one");
    let report = trace.stop().expect("the disk takes it");
    assert!(!live_of(&path).exists());
    let trace = Decoded::new(&std::fs::read(&path).expect("it is there"));
    checks::check(&trace);
    checks::check_report(&trace, &report);
    assert!(trace.complete);
}

#[test]
fn two_processes_do_not_write_one_file() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("one.trace");
    let (mut child, mut said) = begin("wait", &path);
    let mut first = String::new();
    said.read_line(&mut first).expect("a pipe");
    let refused = start_file_with(annotated(), &path);
    assert!(matches!(refused, Err(StartError::InUse(ref it)) if *it == path), "{refused:?}");
    child.kill().expect("it runs");
    child.wait().expect("it has ended");
    // What the process has left is kept when the next one starts.
    let trace = start_file_with(annotated(), &path).expect("nobody writes to it any more");
    instant!("one");
    trace.stop().expect("the disk takes it");
    let old = folder.path().join("one.trace.old");
    check(&old, &reported(said));
}

#[test]
fn no_room_is_an_error_at_the_start() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("huge.trace");
    let refused = start_file_with(Options::new().memory_max(1 << 46), &path);
    assert!(matches!(refused, Err(StartError::File(..))), "{refused:?}");
    assert!(!live_of(&path).exists(), "nothing is left that is of no use");
    // Other tests fork processes, which inherit open files and keep them open for a while.
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let run = Command::new("true").status();
                assert!(run.expect("every system has it").success());
            }
        });
        let _over = Ends(&is_over);
        for _ in 0..30 {
            let trace = start_file_with(annotated(), &path).expect("there is room for this");
            trace.stop().expect("the disk takes it");
        }
    });
    let nowhere = start_file_with(annotated(), folder.path().join("no/such/folder.trace"));
    assert!(matches!(nowhere, Err(StartError::File(..))), "{nowhere:?}");
}
