//! A trace in a file survives whatever ends its process: every event that was committed is there.

mod common;

use common::decoded::Decoded;
use common::{Ends, alone, annotated, checks, lines};
use exectrace::{FlightRecorder, Options, Rotation, StartError, instant};
use exectrace::{start_file_with, start_rotating, trace_region};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use trace_format::event::EventKind;
use trace_format::flight::unwind;
use trace_format::id::ThreadId;
use trace_format::live::recover;
use trace_format::read::{ReadAt as _, TraceFile};
use trace_format::value::Value;

/// Says to this program that it is the one to be killed: how, and where to write.
const ROLE: &str = "EXECTRACE_TEST_CRASH";

fn live_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".live");
    name.into()
}

/// What ends, in a process of its own: it says on standard error how far it has come.
#[test]
fn one_that_ends() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let (how, path) = role.split_once(' ').expect("how and where");
    let (manner, how) = how.split_once('-').unwrap_or(("", how));
    // So little memory that batches go round and round; so long a generation that the collector
    // comes seldom.
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
            let work = move || {
                trace_region!("around", thread);
                for n in 0_u64.. {
                    instant!("step", n);
                    trace_region!("inside");
                    if n.is_multiple_of(64) {
                        // One write, so that a line is whole or not there.
                        let line = format!("{thread} {n}\n");
                        std::io::stderr().write_all(line.as_bytes()).expect("a pipe");
                    }
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                }
            };
            let builder = std::thread::Builder::new().name(format!("worker-{thread}"));
            builder.spawn_scoped(scope, work).expect("a thread");
        }
        std::thread::sleep(Duration::from_millis(40));
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

/// How far each thread has said that it had come.
fn reported(said: BufReader<ChildStderr>) -> BTreeMap<u64, u64> {
    let mut far = BTreeMap::new();
    for line in said.split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        let numbers =
            line.split_once(' ').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        if let Some((thread, n)) = numbers {
            far.insert(thread, n);
        }
    }
    far
}

/// All that is there of a trace whose process has ended.
fn recovered(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).expect("it was made");
    let live = std::fs::read(live_of(path)).expect("it was not removed");
    let bytes = unwind(&bytes).unwrap_or(bytes);
    let file = TraceFile::open(bytes).expect("a trace, as far as it goes");
    let recovered = recover(file, &live).expect("it is such a file");
    let mut bytes = vec![0; recovered.bytes().expect("files are there") as usize];
    let mut at = 0;
    while at < bytes.len() {
        at += recovered.read_at(&mut bytes[at..], at as u64).expect("files are there");
    }
    bytes
}

/// A trace and the parts before it, oldest first.
fn all_parts(path: &Path) -> Vec<Decoded> {
    let folder = path.parent().expect("it has one");
    let name = path.file_stem().expect("it has one").to_string_lossy().into_owned();
    let entries = std::fs::read_dir(folder).expect("a folder").filter_map(Result::ok);
    let is_part = |entry: &Path| {
        let entry = entry.file_name().expect("it has one").to_string_lossy().into_owned();
        entry.starts_with(&format!("{name}.0")) && entry.ends_with(".trace")
    };
    let mut parts: Vec<_> =
        entries.map(|entry| entry.path()).filter(|path| is_part(path)).collect();
    parts.sort();
    let bytes = |part: &PathBuf| match live_of(part).exists() {
        true => recovered(part),
        false => std::fs::read(part).expect("it is there"),
    };
    parts.iter().map(bytes).chain([recovered(path)]).map(|bytes| Decoded::new(&bytes)).collect()
}

/// The steps of a thread, which follow each other but for those that it says it has dropped: from
/// the first to behind the last. Nothing if there are none.
fn steps(trace: &Decoded, thread: ThreadId) -> Option<(u64, u64)> {
    let (mut first, mut next, mut is_gap) = (None, 0, false);
    for event in trace.events(thread) {
        match event.kind {
            EventKind::Instant { mut values, .. } => {
                let Some(Value::U64(n)) = values.next() else { continue };
                let follows = n == next || first.is_none() || is_gap && n > next;
                assert!(follows, "{n} follows {next}: one is missing");
                first.get_or_insert(n);
                (next, is_gap) = (n + 1, false);
            }
            EventKind::Dropped { .. } => is_gap = true,
            _ => {}
        }
    }
    first.map(|first| (first, next))
}

/// Which thread of a trace is the one of this name.
fn worker(trace: &Decoded, name: &str) -> Option<ThreadId> {
    let threads = || trace.tables.threads.values();
    let named = threads().find(|it| it.name == name).map(|it| it.id);
    // The collector had not met it: its batch says which it is, not what it is called.
    let unnamed = threads().filter(|it| it.name.is_empty()).map(|it| it.id);
    named.or_else(|| unnamed.max_by_key(|&id| steps(trace, id).map_or(0, |steps| steps.1)))
}

/// Checks what is recovered; how many threads had dropped events at their end.
fn check(path: &Path, far: &BTreeMap<u64, u64>) -> u32 {
    let mut lost = 0;
    let parts = all_parts(path);
    assert!(!parts[parts.len() - 1].complete, "nobody has ended it");
    for (&thread, &n) in far {
        let name = format!("worker-{thread}");
        let (mut next, mut dropped) = (None, false);
        for part in &parts {
            let Some(id) = worker(part, &name) else { continue };
            dropped |= part.events(id).any(|it| matches!(it.kind, EventKind::Dropped { .. }));
            let Some((first, behind)) = steps(part, id) else { continue };
            assert!(next.is_none_or(|next| first <= next) || dropped, "{first} follows {next:?}");
            next = next.max(Some(behind));
        }
        // What was dropped last, if anything was, is told with the next batch, which did not come.
        let is_whole = next > Some(n);
        lost += u32::from(!is_whole);
        assert!(is_whole || dropped, "{name} had come to {n}, the trace has {next:?}");
    }
    lost
}

#[test]
fn every_event_that_was_committed_before_a_kill_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let (mut rounds_far, mut lost) = (0, 0);
    for round in 0..200 {
        let path = folder.path().join(format!("{round}.trace"));
        let manner = ["wait", "late-wait", "rotating-wait", "mapped-wait"][round % 4];
        let (mut child, mut said) = begin(manner, &path);
        // From its first word on, at any time.
        let mut first = String::new();
        said.read_line(&mut first).expect("a pipe");
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        std::thread::sleep(Duration::from_micros(random % 8_000));
        child.kill().expect("it runs");
        child.wait().expect("it has ended");
        let far = reported(said);
        rounds_far += u32::from(far.values().any(|&n| n > 1_000));
        lost += check(&path, &far);
        for entry in std::fs::read_dir(folder.path()).expect("a folder") {
            std::fs::remove_file(entry.expect("an entry").path()).expect("it is there");
        }
    }
    assert!(rounds_far > 20, "they were killed while they worked");
    assert!(lost < 40, "in {lost} of 400 the writer had fallen behind: that shows nothing");
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
        // The tool takes what lies beside it, too.
        let opened = trace_tool::command::reading::open(&path).expect("a trace");
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
    // What it has left is kept when the next one comes.
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
    // Files that processes have open which are just being forked stay open for a while.
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
