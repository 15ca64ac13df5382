//! No value of an option and no file name ends the program or makes it panic: starting succeeds or
//! returns an error. The same holds for values of the environment.
//!
//! Each property is tried in a process of its own, with limits of memory and file size, so that
//! options can ask for far too much. Elsewhere: values of the environment (`auto`), what the values
//! mean (the options' own tests).
//!
//! May contain `unsafe`: it raises a signal.
#![cfg(target_os = "linux")]

mod common;
#[path = "common/limits.rs"]
mod limits;

use common::loudly;
use exectrace::{
    Compression, FlightRecorder, OnFull, Options, Rotation, Stacks, instant, start_file_with,
    start_rotating, start_with,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Tells this program what to try, and where.
const ROLE: &str = "EXECTRACE_TEST_OPTIONS";

/// Number of cases of each property.
const CASES: u32 = 150;

/// Limits of memory and of the longest file.
const MEMORY_BYTES: u64 = 2 << 30;
const FILE_BYTES: u64 = 96 << 20;

/// Tries a property in a process, which must run to its end. Standard error has the last case
/// tried.
#[track_caller]
fn holds(role: &str) {
    let outer = tempfile::tempdir().expect("a folder");
    // A name may be `..`, and everything that is written must be removed afterwards.
    let folder = outer.path().join("inner");
    fs::create_dir(&folder).expect("the other one is empty");
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    command.args(["one_that_tries", "--exact", "--test-threads=1", "--nocapture"]);
    command.env(ROLE, format!("{role} {}", folder.display()));
    let output = command.current_dir(&folder).output().expect("it can be started");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let tail: Vec<_> = errors.lines().rev().take(12).collect();
    let is_fine = output.status.success() && said.contains("1 passed");
    assert!(is_fine, "{role}: {:?}\n{said}\n{tail:#?}", output.status);
}

/// Not a test: what runs in processes of its own.
#[test]
fn one_that_tries() {
    let Ok(told) = std::env::var(ROLE) else { return };
    let (role, folder) = told.split_once(' ').expect("what and where");
    limits::set(libc::RLIMIT_AS, MEMORY_BYTES);
    limits::set(libc::RLIMIT_FSIZE, FILE_BYTES);
    let folder = Path::new(folder);
    match role {
        "traces" => try_each((options(), path(folder)), |(options, path)| {
            let trace = start_with(options.clone(), io::sink());
            end(trace.map(|trace| _ = trace.stop()));
            end(start_file_with(options, path).map(|trace| _ = trace.stop()));
        }),
        "parts" => try_each((options(), rotation(), path(folder)), |(options, rotation, path)| {
            end(start_rotating(options, rotation, path).map(|trace| _ = trace.stop()));
        }),
        "recorders" => try_each((options(), recorder(folder), dumps(folder)), record),
        _ => panic!("{role} is nothing to try"),
    }
}

#[test]
fn traces_start_or_say_why_not() {
    holds("traces");
}

#[test]
fn traces_in_parts_start_or_say_why_not() {
    holds("parts");
}

#[test]
fn flight_recorders_start_or_say_why_not() {
    holds("recorders");
}

/// Tries many values. An error is as right as a success; a panic on any thread, or an end of the
/// process, is not.
fn try_each<T: std::fmt::Debug>(values: impl Strategy<Value = T>, act: impl Fn(T)) {
    /// Set by the panic hook, because a panic on a thread of the recorder would go unnoticed.
    static PANICKED: AtomicBool = AtomicBool::new(false);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICKED.store(true, Ordering::Relaxed);
        before(info);
    }));
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&values, |value| {
            loudly(&format!("{value:?}"));
            act(value);
            prop_assert!(!PANICKED.load(Ordering::Relaxed));
            Ok(())
        })
        .expect("it holds");
}

/// Checks the end of a trace, or the error of a start.
fn end<E: std::error::Error>(ended: Result<(), E>) {
    if let Err(error) = ended {
        // The error can be printed.
        assert!(!error.to_string().is_empty());
    }
    instant!("step");
}

/// Numbers that are as likely to be extreme as in between.
fn number() -> impl Strategy<Value = u64> {
    let small = 0..100_u64;
    let power = (0..64_u32).prop_map(|bits| 1 << bits);
    let ends = prop_oneof![Just(0), Just(u64::MAX), Just(u64::MAX - 1), Just(i64::MAX as u64)];
    prop_oneof![small, power, ends, any::<u64>(), 0..(64_u64 << 20)]
}

fn size() -> impl Strategy<Value = usize> {
    number().prop_map(|number| number as usize)
}

fn time() -> impl Strategy<Value = Duration> {
    let ends = prop_oneof![Just(Duration::ZERO), Just(Duration::MAX)];
    let nanos = number().prop_map(Duration::from_nanos);
    let seconds = number().prop_map(Duration::from_secs);
    prop_oneof![ends, nanos, seconds]
}

fn options() -> impl Strategy<Value = Options> {
    let stacks = prop_oneof![
        Just(Stacks::None),
        Just(Stacks::All),
        any::<u32>().prop_map(|one_in| Stacks::Sampled { one_in }),
    ];
    let compression = prop_oneof![Just(Compression::None), Just(Compression::Lz4)];
    let on_full = prop_oneof![Just(OnFull::Drop), Just(OnFull::Wait)];
    let numbers = (size(), time(), any::<u32>(), number());
    let choices = (stacks, compression, on_full, any::<[bool; 6]>());
    (numbers, choices).prop_map(|(numbers, choices)| {
        let (memory_max, generation, cpu_samples, heap_sample_bytes) = numbers;
        let (stacks, compression, on_full, flags) = choices;
        let [async_stacks, os, sched, page_faults, heap, names] = flags;
        let options = Options::new().memory_max(memory_max).generation(generation);
        let options = options.cpu_samples(cpu_samples).heap_sample_bytes(heap_sample_bytes);
        let options = options.stacks(stacks).compression(compression).on_full(on_full);
        let options = options.async_stacks(async_stacks).os(os).sched(sched);
        options.page_faults(page_faults).heap(heap).names(names)
    })
}

fn rotation() -> impl Strategy<Value = Rotation> {
    (number(), proptest::option::of(number()), proptest::option::of(time())).prop_map(
        |(total, part, every)| {
            let rotation = Rotation::new(total);
            let rotation = part.map_or(rotation, |bytes| rotation.part_bytes(bytes));
            every.map_or(rotation, |time| rotation.every(time))
        },
    )
}

/// Paths for a trace, sometimes with files beside it that look like parts.
fn path(folder: &Path) -> impl Strategy<Value = PathBuf> + use<> {
    let folder = folder.to_owned();
    let odd = prop_oneof![
        Just(Vec::new()),
        Just(b"/".to_vec()),
        Just(b"..".to_vec()),
        Just(b"a\0b".to_vec()),
        Just(vec![b'x'; 300]),
        Just(vec![b'/'; 5_000]),
        vec(any::<u8>().prop_filter("one folder", |byte| *byte != b'/'), 0..40),
    ];
    let plain = &["a.trace", "b", "\u{fc}.trace", "no/such/folder.trace"][..];
    let plain = proptest::sample::select(plain).prop_map(|name| name.as_bytes().to_vec());
    let number = proptest::option::of(number());
    (prop_oneof![odd, plain], number).prop_map(move |(name, number)| {
        if let Some(number) = number {
            // The folder may be gone, or the name too long: then there is no file.
            let _ = fs::write(folder.join(format!("a.{number:06}.trace")), "part");
        }
        folder.join(OsString::from_vec(name))
    })
}

/// A builder's values, without its options.
#[derive(Debug)]
struct Recorder {
    min_age: Duration,
    max_bytes: usize,
    dumps: (Duration, usize),
    mapped: Option<PathBuf>,
}

fn recorder(folder: &Path) -> impl Strategy<Value = Recorder> + use<> {
    let mapped = proptest::option::of(path(folder));
    (time(), size(), (time(), size()), mapped).prop_map(|(min_age, max_bytes, dumps, mapped)| {
        Recorder { min_age, max_bytes, dumps, mapped }
    })
}

/// When to dump: a task's name, how slow it is, and the folder. Sometimes the folder has files with
/// names almost like those of dumps.
fn dumps(folder: &Path) -> impl Strategy<Value = (String, Duration, PathBuf)> + use<> {
    let folder = folder.to_owned();
    let endings =
        &["-slow.trace", "-panic.trace", "-signal.trace.part", ".trace", ".part", "-"][..];
    let near = (number(), proptest::sample::select(endings))
        .prop_map(|(time, ending)| format!("{time:013}{ending}").into_bytes());
    let digits = "[0-9]{0,40}(-[a-z]{0,9})?(\\.trace)?(\\.part)?".prop_map(String::into_bytes);
    let bytes = vec(any::<u8>().prop_filter("in the folder", |byte| *byte != b'/'), 0..40);
    let others = vec(prop_oneof![near, digits, bytes], 0..4);
    // Dumps are written there, and old ones removed, so never use the parent folder.
    let dir = path(&folder).prop_filter("below", move |path| path.starts_with(&folder));
    (any::<String>(), time(), dir, others, any::<bool>()).prop_map(
        |(name, at_least, dir, others, are_folders)| {
            let _ = fs::create_dir_all(&dir);
            for other in others {
                // Some names are impossible: then there are no such files.
                let path = dir.join(OsString::from_vec(other));
                let _ = if are_folders { fs::create_dir(path) } else { fs::write(path, "other") };
            }
            (name, at_least, dir)
        },
    )
}

fn record(
    (options, recorder, (name, at_least, dir)): (Options, Recorder, (String, Duration, PathBuf)),
) {
    let Recorder { min_age, max_bytes, dumps: (every, kept), mapped } = recorder;
    let builder = FlightRecorder::builder().options(options).min_age(min_age);
    let builder = builder.max_bytes(max_bytes).dumps(every, kept);
    let builder = mapped.into_iter().fold(builder, |builder, path| builder.mapped(path));
    let Ok(recorder) = builder.start() else { return };
    let told = [
        recorder.on_slow(&name, at_least, &dir),
        recorder.on_panic(&dir),
        recorder.on_signal(&dir),
    ];
    exectrace::Task::new(&name).end();
    if told[2].is_ok() {
        // SAFETY: `raise` wants a signal; its handler is the recorder's, as it says.
        unsafe { libc::raise(libc::SIGUSR2) };
    }
    recorder.snapshot(io::sink()).expect("it takes everything");
    recorder.snapshot_with_names(io::sink()).expect("it takes everything");
    drop((recorder, told));
}
