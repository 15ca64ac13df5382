//! What a trace says if the kernel refuses to report switches and samples, wholly or in part.
//!
//! Each case is a process of its own: this program again, with one of the tests named `child_*`,
//! which otherwise do nothing.
//!
//! May contain `unsafe`: filters of system calls.
#![cfg(target_os = "linux")]

mod common;
#[path = "common/limits.rs"]
mod limits;

use common::lanes::lane_events;
use common::{Recorded, record_with};
use exectrace::{Options, traced};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Barrier;
use std::thread;

/// Set in a child.
const TOLD: &str = "EXECTRACE_TEST_CHILD";

#[traced]
fn leaf() {}

fn is_told() -> bool {
    std::env::var_os(TOLD).is_some()
}

/// Runs the test of this name as a child, and returns its output. `None` if it cannot be run.
fn child(name: &str, arrange: impl FnOnce(&mut Command)) -> Option<String> {
    let program = std::env::current_exe().expect("this program has a file");
    let mut command = Command::new(program);
    command.args(["--exact", name, "--nocapture"]).env(TOLD, "1");
    arrange(&mut command);
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("SKIPPED: {name}: {error}");
            return None;
        }
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && text.contains("1 passed"), "{text}{errors}");
    Some(errors)
}

/// Records everything that the kernel can report, and an annotation.
fn record(act: impl FnOnce()) -> Recorded {
    let recorded = record_with(Options::new().os(false).heap(false).cpu_samples(100), || {
        act();
        leaf();
        thread::sleep(std::time::Duration::from_millis(5));
    });
    assert_eq!(recorded.lines(), ["leaf"], "all else works");
    recorded
}

/// Whether a facility is on, and its note: how it works, or why it is off.
fn told(recorded: &Recorded, name: &str) -> (bool, String) {
    let facility = recorded.trace.tables.facilities.get(name).expect("a facility");
    eprintln!("{name}: {} {}", facility.on, facility.note);
    (facility.on, facility.note.clone())
}

/// From now on `perf_event_open` fails with this error on this thread, and on those that it starts.
fn refuse(error: i32) {
    let number = libc::SYS_perf_event_open as u32;
    let (load, is, give) = (0x20, 0x15, 0x06);
    let filter = [
        libc::sock_filter { code: load, jt: 0, jf: 0, k: 0 },
        libc::sock_filter { code: is, jt: 0, jf: 1, k: number },
        libc::sock_filter { code: give, jt: 0, jf: 0, k: libc::SECCOMP_RET_ERRNO | error as u32 },
        libc::sock_filter { code: give, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW },
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the call takes numbers.
    let promised = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(promised, 0);
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: the call wants a filter with its number of instructions: `program` is that.
    let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) };
    assert_eq!(set, 0, "a filter can be set: {}", std::io::Error::last_os_error());
}

/// Checks that the trace has no lanes of CPUs, and says why.
fn check_refused(error: i32, words: &str) {
    refuse(error);
    let recorded = record(|| {});
    let (on, note) = told(&recorded, "sched");
    assert!(!on && note.contains("perf_event_open") && note.contains(words), "{note}");
    assert_eq!(lane_events(&recorded.trace).count(), 0);
}

#[test]
fn child_without_permission() {
    if is_told() {
        check_refused(libc::EPERM, "permission denied (kernel.perf_event_paranoid is ");
    }
}

#[test]
fn child_without_the_call() {
    if is_told() {
        check_refused(libc::ENOSYS, "not in this kernel, or hidden by a filter");
    }
}

#[test]
fn a_refusal_is_said_in_words_and_all_else_works() {
    child("child_without_permission", |_| ());
    child("child_without_the_call", |_| ());
}

/// Four threads wait from before the start until after the end; each needs descriptors.
#[test]
fn child_with_few_descriptors() {
    if !is_told() {
        return;
    }
    limits::set(libc::RLIMIT_NOFILE, 32);
    let (begun, done) = (Barrier::new(5), Barrier::new(5));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                begun.wait();
                done.wait();
            });
        }
        begun.wait();
        let recorded = record(|| {});
        done.wait();
        let (on, note) = told(&recorded, "sched");
        if on {
            assert!(note.contains("threads not watched: ") && note.contains("ulimit -n"), "{note}");
        }
    });
}

#[test]
fn a_quarter_of_the_descriptors_is_all_that_is_used() {
    child("child_with_few_descriptors", |_| ());
}

/// The program closes the recorder's descriptors, and opens files that get their numbers.
#[test]
fn child_that_closes_all_descriptors() {
    if !is_told() {
        return;
    }
    let mut files = Vec::new();
    let recorded = record(|| {
        // SAFETY: the call takes no memory. Only the recorder owns descriptors that it closes, and
        // the recorder must cope with that.
        let closed = unsafe { libc::syscall(libc::SYS_close_range, 3, 1 << 20, 0) };
        assert_eq!(closed, 0, "this is Linux 5.9 or later");
        files.extend((0..64).map(|_| File::open("/dev/null").expect("there is a null")));
    });
    told(&recorded, "sched");
    for file in files {
        file.metadata().expect("nobody has closed it");
    }
}

#[test]
fn numbers_of_descriptors_that_are_somebody_elses_are_not_closed() {
    child("child_that_closes_all_descriptors", |_| ());
}

/// A container without `/proc`.
#[test]
fn child_without_proc() {
    if !is_told() {
        return;
    }
    let recorded = record_with(Options::new().heap(false), leaf);
    let (on, note) = told(&recorded, "proc");
    assert!(!on && note.starts_with("/proc/self/task can't be read: "), "{note}");
    let (on, note) = told(&recorded, "sched");
    assert!(!on && note.starts_with("/proc/self/task can't be read: "), "{note}");
    let own = std::env::args_os().next().expect("it was started as something");
    let own = std::path::Path::new(&own);
    let tables = &recorded.trace.tables;
    let process = tables.process.as_ref().expect("a process");
    assert_eq!(Some(std::ffi::OsStr::new(&process.executable)), own.file_name());
    let here = child_without_proc as fn() as usize as u64;
    let module = tables.module_at(here).expect("the program itself");
    assert_eq!(std::path::Path::new(&module.path), own, "its names can be found");
}

/// From now on only this process sees an empty `/proc`.
fn hide_proc() -> std::io::Result<()> {
    let done = |result: i32| match result {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    };
    // SAFETY: the call takes nothing.
    let is_root = unsafe { libc::geteuid() } == 0;
    let apart = if is_root { libc::CLONE_NEWNS } else { libc::CLONE_NEWUSER | libc::CLONE_NEWNS };
    // SAFETY: the call takes a number, and the process has one thread.
    done(unsafe { libc::unshare(apart) })?;
    let (none, root, kind) = (std::ptr::null(), c"/".as_ptr(), c"tmpfs".as_ptr());
    let private = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: the call wants texts; here it needs one.
    done(unsafe { libc::mount(none, root, none, private, std::ptr::null()) })?;
    // SAFETY: the call wants texts.
    done(unsafe { libc::mount(kind, c"/proc".as_ptr(), kind, 0, std::ptr::null()) })
}

#[test]
fn a_missing_proc_is_said_once_and_is_no_missing_cpu() {
    child("child_without_proc", |command| {
        // SAFETY: what runs between fork and exec makes system calls and nothing else.
        unsafe { command.pre_exec(hide_proc) };
    });
}

#[test]
fn child_as_an_ordinary_user() {
    if !is_told() {
        return;
    }
    let recorded = record(|| {});
    let (on, note) = told(&recorded, "sched");
    assert_eq!(on, lane_events(&recorded.trace).count() > 0, "{note}");
}

#[test]
fn no_privilege_is_needed() {
    let mut refused = false;
    // SAFETY: the call takes nothing.
    let root = unsafe { libc::geteuid() } == 0;
    let told = child("child_as_an_ordinary_user", |command| {
        if root {
            command.uid(65_534).gid(65_534);
        }
    });
    if let Some(told) = told {
        refused = !told.contains("sched: true");
        eprintln!("{told}");
    }
    let paranoid = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid");
    let paranoid: i32 = paranoid.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(3);
    let recorded = record(|| {});
    let (allowed, _) = self::told(&recorded, "sched");
    assert!(!refused || paranoid > 2 || !allowed, "an ordinary user is refused at {paranoid}");
}
