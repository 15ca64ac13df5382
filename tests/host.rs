//! The recorder does not disturb its program: it takes none of the program's signals, and no signal
//! raised by the recorder's writes ends the program.
//!
//! Each case is a process of its own, which must run to its end. Elsewhere: loaded libraries
//! (`dlopen`), values of options (`options`), full disks (`disk_full`).
//!
//! May contain `unsafe`: it locks memory, and handles signals.
//!
//! Long, because its tests share helpers, and each file here is linked as a program of its own.
#![cfg(target_os = "linux")]

#[path = "common/child.rs"]
mod child;
mod common;
#[path = "common/limits.rs"]
mod limits;

use child::in_child;
use common::annotated;
use common::waiting::wait_until;
use exectrace::{
    FlightRecorder, OnFull, Options, Rotation, SnapshotError, StartError, StopError, Trace,
    instant, start_file, start_file_with, start_rotating, start_with,
};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Tells this program what to do, and where to write.
const ROLE: &str = "EXECTRACE_TEST_HOST";

const KIB: u64 = 1 << 10;

/// Runs this role in a process, which must run to its end.
#[track_caller]
fn lives_on(role: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    command.args(["one_that_lives_on", "--exact", "--test-threads=1"]);
    command.env(ROLE, format!("{role} {}", folder.path().display()));
    let output = command.output().expect("it can be started");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let is_fine = output.status.success() && said.contains("1 passed");
    assert!(is_fine, "{role}: {:?}\n{said}\n{errors}", output.status);
}

/// Not a test: what runs in processes of its own.
#[test]
fn one_that_lives_on() {
    let Ok(told) = std::env::var(ROLE) else { return };
    let (role, folder) = told.split_once(' ').expect("what and where");
    let folder = Path::new(folder);
    match role {
        "masks" => masks(folder),
        "passing-masks" => passing_masks(folder),
        "limited-start" => limited_start(folder),
        "limited-file" => limited_file(folder),
        "limited-parts" => limited_parts(folder),
        "limited-recorder" => limited_recorder(folder),
        "limited-panic" => limited_panic(folder),
        "closed-pipes" => closed_pipes(),
        "pending" => pending_signals(),
        "little-memory" => little_memory(folder, libc::RLIMIT_AS),
        "locked-memory" => little_memory(folder, libc::RLIMIT_MEMLOCK),
        _ => panic!("{role} is nothing to do"),
    }
}

#[test]
fn threads_of_the_recorder_take_no_signal_that_another_thread_can_take() {
    lives_on("masks");
    lives_on("passing-masks");
}

#[test]
fn a_limit_on_file_sizes_is_an_error_and_does_not_end_the_program() {
    for role in ["start", "file", "parts", "recorder", "panic"] {
        lives_on(&format!("limited-{role}"));
    }
}

#[test]
fn a_pipe_that_nobody_reads_is_an_error_and_does_not_end_the_program() {
    lives_on("closed-pipes");
}

#[test]
fn too_little_memory_is_an_error_of_starting_and_does_not_end_the_program() {
    lives_on("little-memory");
    lives_on("locked-memory");
}

#[test]
fn signals_that_were_pending_before_a_write_are_pending_after_it() {
    lives_on("pending");
}

/// The system's ids of this process's threads.
fn threads() -> BTreeSet<u32> {
    let folder = fs::read_dir("/proc/self/task").expect("every process has it");
    let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("a number");
    folder.flatten().map(|entry| name(entry).parse().expect("a number")).collect()
}

/// The signals that a thread blocks, as bits; signal 1 is the lowest.
fn mask(thread: u32) -> u64 {
    mask_in(&format!("/proc/self/task/{thread}/status"))
}

fn own_mask() -> u64 {
    mask_in("/proc/thread-self/status")
}

fn mask_in(path: &str) -> u64 {
    mask_of(&fs::read_to_string(path).expect("the thread lives"))
}

fn mask_of(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).expect("a mask");
    u64::from_str_radix(line.trim(), 16).expect("a number")
}

fn masks(folder: &Path) {
    let (before, own_before) = (threads(), own_mask());
    let trace = start_with(Options::new(), io::sink()).expect("none is running");
    let recorder = FlightRecorder::start().expect("none is running");
    recorder.on_slow("slow", Duration::from_nanos(1), folder).expect("a folder");
    // The thread library blocks all signals until a thread runs; both threads run once there is a
    // dump.
    exectrace::Task::new("slow").end();
    wait_until("a dump is there", || fs::read_dir(folder).expect("it is there").next().is_some());
    assert_eq!(own_mask(), own_before, "the starting thread has the mask it had before");
    let own: Vec<_> = threads().difference(&before).copied().collect();
    assert_eq!(own.len(), 2, "one collects, one writes dumps");
    for thread in own {
        let mask = mask(thread);
        for signal in (1..=31).chain(libc::SIGRTMIN()..=libc::SIGRTMAX()) {
            let is_blocked = mask >> (signal - 1) & 1 == 1;
            let cannot_be = [libc::SIGKILL, libc::SIGSTOP].contains(&signal);
            let should_be = !cannot_be && !FAULTS.contains(&signal);
            assert_eq!(is_blocked, should_be, "signal {signal} in {mask:x}");
        }
    }
    drop(recorder);
    trace.stop().expect("it takes everything");
}

/// The signals of faults, which go to the thread that caused the fault.
const FAULTS: [libc::c_int; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS];

/// All signals that another thread can take.
fn others() -> u64 {
    let cannot_be = [libc::SIGKILL, libc::SIGSTOP];
    (1..=31)
        .chain(libc::SIGRTMIN()..=libc::SIGRTMAX())
        .filter(|signal| !cannot_be.contains(signal) && !FAULTS.contains(signal))
        .fold(0, |all, signal| all | 1 << (signal - 1))
}

/// Checks threads that live only for a moment: those that resolve names, and those that end a part.
/// Looks until both kinds were seen.
fn passing_masks(folder: &Path) {
    let rotation = Rotation::new(1 << 30).part_bytes(64 * KIB);
    let options = Options::new().sched(false).names(true);
    let trace = start_rotating(options, rotation, folder.join("p.trace")).expect("there is room");
    let mut seen = BTreeSet::new();
    wait_until("a thread resolves names, and one ends a part", || {
        record(2_000);
        for thread in threads() {
            let read = |what| fs::read_to_string(format!("/proc/self/task/{thread}/{what}"));
            // The thread may be gone by now.
            let (Ok(name), Ok(status)) = (read("comm"), read("status")) else { continue };
            let name = name.trim().to_owned();
            if name.starts_with("exectrace ") {
                let mask = mask_of(&status);
                assert_eq!(mask & others(), others(), "{name}: {mask:x}");
                seen.insert(name);
            }
        }
        seen.contains("exectrace names") && seen.contains("exectrace end")
    });
    trace.stop().expect("the disk takes it");
}

/// From now on no file of this process may grow beyond `bytes`. The signal for that kills, as by
/// default.
fn limit_files(bytes: u64) {
    limits::set(libc::RLIMIT_FSIZE, bytes);
}

/// Records `count` events of some bytes each.
fn record(count: u64) {
    for n in 0..count {
        instant!("step", n = n * 1_000_003);
    }
}

const EVENTS: u64 = 200_000;

fn is_too_large(error: &io::Error) -> bool {
    error.kind() == ErrorKind::FileTooLarge
}

/// Checks that written, dropped and unwritten events add up to all.
fn check_stopped(stopped: Result<exectrace::Report, StopError>) {
    let Err(StopError::Write { error, report }) = stopped else { panic!("{stopped:?}") };
    assert!(is_too_large(&error), "{error}");
    assert!(report.unwritten_events > 0, "{report:?}");
    let all = report.events + report.dropped_events + report.unwritten_events;
    assert_eq!(all, EVENTS, "{report:?}");
}

fn limited_start(folder: &Path) {
    limit_files(256 * KIB);
    let file = File::create(folder.join("t.trace")).expect("an empty one may be");
    let trace = start_with(annotated(), file).expect("the beginning fits");
    record(EVENTS);
    check_stopped(trace.stop());
    // The very first bytes do not fit.
    limit_files(16);
    let file = File::create(folder.join("first.trace")).expect("an empty one may be");
    let refused = start_with(annotated(), file);
    assert!(
        matches!(&refused, Err(StartError::Write(error)) if is_too_large(error)),
        "{refused:?}"
    );
}

fn limited_file(folder: &Path) {
    limit_files(512 * KIB);
    let refused = start_file(folder.join("f.trace"));
    assert!(matches!(&refused, Err(StartError::File(_, error)) if is_too_large(error)));
    // Nothing is dropped, so only the program's events count.
    let options = annotated().memory_max(64 << 10).on_full(OnFull::Wait);
    let trace = start_file_with(options, folder.join("f.trace")).expect("so much fits");
    record(EVENTS);
    check_stopped(trace.stop());
}

fn limited_parts(folder: &Path) {
    limit_files(300 * KIB);
    let rotation = Rotation::new(KIB << 10).part_bytes(256 * KIB);
    let path = folder.join("p.trace");
    let trace = start_rotating(annotated(), rotation, path).expect("the first part fits");
    record(EVENTS);
    // Whether a part grows beyond the limit depends on how events fall into batches.
    let _ = trace.stop();
}

fn limited_recorder(folder: &Path) {
    limit_files(256 * KIB);
    let refused = FlightRecorder::builder().mapped(folder.join("m.trace")).start();
    assert!(matches!(&refused, Err(StartError::File(_, error)) if is_too_large(error)));
    let recorder = FlightRecorder::builder().options(annotated()).start().expect("none runs");
    record(EVENTS);
    let file = File::create(folder.join("s.trace")).expect("an empty one may be");
    let failed = recorder.snapshot(file);
    assert!(matches!(&failed, Err(SnapshotError::Write(error)) if is_too_large(error)));
    let written = recorder.snapshot(io::sink()).expect("it takes everything");
    assert!(written.events > 0, "the recorder goes on");
}

fn limited_panic(folder: &Path) {
    limit_files(256 * KIB);
    let dumps = folder.join("dumps");
    let builder = FlightRecorder::builder().options(annotated()).dumps(Duration::ZERO, 3);
    let recorder = builder.start().expect("none is running");
    recorder.on_panic(&dumps).expect("a folder");
    record(EVENTS);
    for _ in 0..2 {
        assert!(std::panic::catch_unwind(|| panic!("on purpose")).is_err());
        assert_eq!(fs::read_dir(&dumps).expect("it was made").count(), 0, "none is whole");
    }
}

/// Maximum amount of additional memory that is tried.
const HEADROOM_MAX: u64 = 96 << 20;

/// Step between the amounts that are tried.
const HEADROOM_STEP: u64 = 768 << 10;

/// Starts with less and less memory: starting works with all of it, and fails with none.
fn little_memory(folder: &Path, kind: limits::Kind) {
    // Also for the user nobody.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).expect("it is ours");
    for what in ["start", "file", "recorder", "parts", "mapped", "switches"] {
        let mut outcomes = BTreeSet::new();
        for headroom in (0..=HEADROOM_MAX).step_by(HEADROOM_STEP as usize) {
            let outcome = in_child(|| {
                // For the answer, and for sending it.
                let spare = vec![0_u8; 1 << 20];
                limit_memory(kind, headroom);
                let outcome = start_and_stop(what, folder);
                drop(spare);
                outcome
            });
            assert!(["refused", "ended"].contains(&&*outcome), "{what}, {headroom}: {outcome}");
            outcomes.insert(outcome);
        }
        assert!(outcomes.contains("refused"), "{what}: it went with nothing");
        // Not every user may set the limit of locked memory.
        assert!(kind == libc::RLIMIT_MEMLOCK || outcomes.contains("ended"), "{what}: never");
    }
}

/// Limits the additional memory of this process, in total or locked, to `headroom`.
fn limit_memory(kind: limits::Kind, headroom: u64) {
    let is_locked = kind == libc::RLIMIT_MEMLOCK;
    let taken = limits::address_space();
    // A process that may lock no memory at all may not call `mlockall`.
    limits::lower(kind, if is_locked { headroom.max(4096) } else { taken + headroom });
    if is_locked {
        // Limits of locked memory do not apply to root, so root becomes nobody.
        // SAFETY: `setresuid` takes numbers.
        unsafe { libc::setresuid(65534, 65534, 65534) };
        // SAFETY: `mlockall` takes a number.
        assert_eq!(unsafe { libc::mlockall(libc::MCL_FUTURE) }, 0);
    }
}

fn start_and_stop(what: &str, folder: &Path) -> String {
    let options = Options::new().sched(false).memory_max(8 << 20);
    let end = |trace: Trace| {
        instant!("step");
        trace.stop().is_ok()
    };
    let builder = FlightRecorder::builder().options(options.clone());
    let record = |recorder: FlightRecorder| {
        instant!("step");
        recorder.snapshot(io::sink()).is_ok()
    };
    let ended = match what {
        "start" => start_with(options, io::sink()).map(end),
        "file" => start_file_with(options, folder.join("a.trace")).map(end),
        "parts" => {
            start_rotating(options, Rotation::new(32 << 20), folder.join("p.trace")).map(end)
        }
        "switches" => start_with(options.sched(true), io::sink()).map(end),
        "recorder" => builder.start().map(record),
        "mapped" => builder.mapped(folder.join("m.trace")).start().map(record),
        _ => panic!("{what} is nothing to start"),
    };
    match ended {
        Ok(true) => "ended".to_owned(),
        Ok(false) => "failed".to_owned(),
        Err(_) => "refused".to_owned(),
    }
}

/// Sets SIGPIPE to kill, as in programs that end when their output has no reader.
fn die_of_pipes() {
    // SAFETY: `signal` wants a way to handle it: the system's own.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// The writing end of a pipe without a reader.
fn closed_pipe() -> io::PipeWriter {
    let (reader, writer) = io::pipe().expect("the system makes a pipe");
    drop(reader);
    writer
}

fn closed_pipes() {
    die_of_pipes();
    let is_closed = |error: &io::Error| error.kind() == ErrorKind::BrokenPipe;
    let refused = start_with(annotated(), closed_pipe());
    assert!(matches!(&refused, Err(StartError::Write(error)) if is_closed(error)), "{refused:?}");

    let recorder = FlightRecorder::builder().options(annotated()).start().expect("none runs");
    let refused = start_with(annotated(), closed_pipe());
    assert!(matches!(&refused, Err(StartError::Write(error)) if is_closed(error)), "{refused:?}");
    let failed = recorder.snapshot(closed_pipe());
    assert!(matches!(&failed, Err(SnapshotError::Write(error)) if is_closed(error)), "{failed:?}");

    let (reader, writer) = io::pipe().expect("the system makes a pipe");
    let trace = start_with(annotated(), writer).expect("a pipe has room for the beginning");
    drop(reader);
    record(1_000);
    let Err(StopError::Write { error, report }) = trace.stop() else { panic!("nobody reads") };
    assert!(is_closed(&error), "{error}");
    assert_eq!(report.events + report.unwritten_events + report.dropped_events, 1_000);
}

fn set_of(signal: libc::c_int) -> libc::sigset_t {
    let mut set = MaybeUninit::zeroed();
    // SAFETY: `sigemptyset` wants a place for a set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: `sigaddset` wants a set, which it is by now.
    unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
    // SAFETY: as above.
    unsafe { set.assume_init() }
}

fn is_pending(signal: libc::c_int) -> bool {
    let mut set = set_of(signal);
    // SAFETY: `sigpending` wants a place for a set.
    unsafe { libc::sigpending(&raw mut set) };
    // SAFETY: `sigismember` wants a set.
    unsafe { libc::sigismember(&raw const set, signal) == 1 }
}

fn pending_signals() {
    die_of_pipes();
    let recorder = FlightRecorder::builder().options(annotated()).start().expect("none runs");
    let set = set_of(libc::SIGPIPE);
    // SAFETY: `pthread_sigmask` wants a set.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
    assert!(recorder.snapshot(closed_pipe()).is_err());
    assert!(!is_pending(libc::SIGPIPE), "what our write has raised is gone");
    // SAFETY: `raise` takes a number; the signal is blocked here.
    unsafe { libc::raise(libc::SIGPIPE) };
    assert!(recorder.snapshot(closed_pipe()).is_err());
    assert!(is_pending(libc::SIGPIPE), "this one is the program's");
    let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `sigtimedwait` wants a set and a time.
    let taken = unsafe { libc::sigtimedwait(&raw const set, std::ptr::null_mut(), &at_once) };
    assert_eq!(taken, libc::SIGPIPE);
    assert!(!is_pending(libc::SIGPIPE), "it was one");
}
