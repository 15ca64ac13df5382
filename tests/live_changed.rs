//! Somebody changes the file beside a trace while threads write into its mapping: shortens it,
//! shortens and extends it again, removes it, or writes into it. The program goes on, later events
//! are in the trace, and the trace says what has happened. A SIGBUS that is not about such a file
//! does what it would do without a trace.
//!
//! Elsewhere: the trace itself (`outputs_changed`).
//!
//! May contain `unsafe`: it maps files, and sets signal handlers.
#![cfg(target_os = "linux")]

mod common;

use common::crashed::live_of;
use common::{Ends, alone, annotated, on_thread};
use exectrace::{Options, Trace, is_enabled, start_file_with, trace_region, traced};
use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use trace_format::event::EventKind;
use trace_format::read::{TraceFile, Window};

/// Set in the process under test: what happens to its file, and where that is.
const ROLE: &str = "EXECTRACE_TEST_LIVE";

const EVENTS: u64 = 50_000;

#[traced]
fn before() {}

#[traced]
fn after() {}

fn options() -> Options {
    annotated().memory_max(1 << 20).generation(Duration::from_millis(10))
}

fn start(path: &Path) -> Trace {
    start_file_with(options(), path).expect("there is room")
}

/// Changes the file beside a trace.
fn change(how: &str, live: &Path) {
    let file = || File::options().write(true).open(live).expect("it is there");
    let bytes = live.metadata().expect("it is there").len();
    match how {
        "empty" => file().set_len(0).expect("it is ours"),
        "half" => file().set_len(bytes / 2).expect("it is ours"),
        "zeros" => {
            file().set_len(0).expect("it is ours");
            file().set_len(bytes).expect("it is ours");
        }
        "ones" => {
            for at in (0..bytes).step_by(4096) {
                file().write_all_at(&[0xff; 4096], at).expect("it is ours");
            }
        }
        "remove" => fs::remove_file(live).expect("it is there"),
        other => panic!("{other}?"),
    }
}

/// Records on two threads, before and after the change, and prints the result.
fn work(how: &str, path: &Path) {
    let trace = start(path);
    let (is_changed, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
    let others = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let _ends = Ends(&is_over);
        let other = scope.spawn(|| {
            // A region is open all the time.
            trace_region!("around");
            while !is_over.load(Ordering::Relaxed) {
                trace_region!("inside");
                if is_changed.load(Ordering::Relaxed) {
                    others.fetch_add(1, Ordering::Relaxed);
                    after();
                } else {
                    before();
                }
            }
        });
        (0..EVENTS).for_each(|_| before());
        change(how, &live_of(path));
        is_changed.store(true, Ordering::Relaxed);
        (0..EVENTS).for_each(|_| after());
        while others.load(Ordering::Relaxed) < EVENTS && !other.is_finished() {
            std::thread::yield_now();
        }
    });
    let report = trace.stop().expect("the trace itself is whole");
    assert!(!live_of(path).exists(), "it goes with the trace");
    assert!(report.events > 0);
}

#[test]
fn one_that_is_looked_at() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let (how, path) = role.split_once(' ').expect("how and where");
    let path = Path::new(path);
    match how {
        "own" => own_fault(path),
        "default" => {
            forget_handler();
            let _trace = start(path);
            touch_missing_page(path);
        }
        "sent" => {
            forget_handler();
            let _trace = start(path);
            // SAFETY: `raise` takes a number.
            unsafe { libc::raise(libc::SIGBUS) };
        }
        how => work(how, path),
    }
}

/// Runs this program once more.
fn run(how: &str, path: &Path) -> (ExitStatus, String) {
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    command.args(["one_that_is_looked_at", "--exact", "--nocapture"]);
    let output = command.env(ROLE, format!("{how} {}", path.display())).output();
    let output = output.expect("it can be started");
    (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Number of calls of a function that can be read.
fn count(path: &Path, name: &str) -> u64 {
    let file = TraceFile::open(fs::read(path).expect("it was written")).expect("a trace");
    assert!(file.is_complete(), "it has its end");
    let sites = &file.tables().callsites;
    let site = sites.iter().find(|site| site.name == name).expect("it was recorded").id;
    let (mut count, mut order) = (0, file.in_order(Window::default()));
    while let Some(event) = order.next_event() {
        // The damage is reported, and the rest is read.
        let Ok(event) = event else { continue };
        count += u64::from(matches!(event.event.kind,
            EventKind::Region { site: of, .. } if of == site));
    }
    count
}

#[test]
fn the_program_goes_on_and_so_does_its_trace() {
    let folder = tempfile::tempdir().expect("a folder");
    for how in ["empty", "half", "zeros", "ones", "remove"] {
        let path = folder.path().join(format!("{how}.trace"));
        let (status, said) = run(how, &path);
        assert!(status.success(), "{how}: {status}: {said}");
        let later = count(&path, "after");
        // The batch that a thread was filling may be lost.
        assert!(later > EVENTS, "{how}: {later} of {}", 2 * EVENTS);
        let file = TraceFile::open(fs::read(&path).expect("it was written")).expect("a trace");
        let note = file.tables().facilities.get("live");
        // A change that keeps the file's length is not detected.
        let words = match how {
            "empty" | "half" => "shortened",
            "remove" => "removed",
            _ => continue,
        };
        let note = note.expect("the trace says so");
        assert!(!note.on && note.note.contains(words), "{how}: {note:?}");
    }
}

/// Maps a file of the program's own, truncates it, and touches the missing page. Returns its
/// address.
fn touch_missing_page(beside: &Path) -> usize {
    let path = beside.with_extension("own");
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path);
    let file = file.expect("a name is free");
    file.set_len(4096).expect("there is room");
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    // SAFETY: a new mapping, wherever the kernel likes, touches nobody's memory.
    let start =
        unsafe { libc::mmap(std::ptr::null_mut(), 4096, access, kind, file.as_raw_fd(), 0) };
    assert_ne!(start, libc::MAP_FAILED);
    file.set_len(0).expect("it is ours");
    PLACE.store(start as usize, Ordering::Relaxed);
    // SAFETY: the page is ours, and mapped; the test is about the file's missing page.
    unsafe { start.cast::<u8>().write_volatile(1) };
    start as usize
}

static PLACE: AtomicUsize = AtomicUsize::new(0);
static FAULTS: AtomicUsize = AtomicUsize::new(0);

/// A handler of the program's own, which repairs its own mapping.
extern "C" fn own_handler(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: a shared reference wants a live object: the system hands it over.
    let info = unsafe { &*info };
    // SAFETY: it is a fault, which has an address.
    let address = unsafe { info.si_addr() } as usize;
    if address != PLACE.load(Ordering::Relaxed) {
        std::process::abort();
    }
    FAULTS.fetch_add(1, Ordering::Relaxed);
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANON);
    let place = std::ptr::with_exposed_provenance_mut(address);
    // SAFETY: the page is the program's own.
    unsafe { libc::mmap(place, 4096, access, kind | libc::MAP_FIXED, -1, 0) };
}

/// Removes the handler that std has set.
fn forget_handler() {
    // SAFETY: `signal` wants a handler, or the default.
    unsafe { libc::signal(libc::SIGBUS, libc::SIG_DFL) };
}

/// The handler that is set for the signal.
fn handler() -> usize {
    // SAFETY: zeros are an action.
    let mut found: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: `sigaction` wants a place for the action that is set.
    unsafe { libc::sigaction(libc::SIGBUS, std::ptr::null(), &raw mut found) };
    found.sa_sigaction
}

/// The program's handler gets the program's own faults, but not those of the trace.
fn own_fault(path: &Path) {
    let own = own_handler as extern "C" fn(_, _, _) as usize;
    // SAFETY: zeros are an action.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    (action.sa_sigaction, action.sa_flags) = (own, libc::SA_SIGINFO);
    // SAFETY: `sigaction` wants an action with a handler of that type.
    unsafe { libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut()) };
    for round in 1..3 {
        let trace = start(path);
        // The thread's memory is freed at its end.
        on_thread("worker", || {
            (0..EVENTS).for_each(|_| before());
            change("empty", &live_of(path));
            (0..EVENTS).for_each(|_| after());
            touch_missing_page(path);
        });
        assert_eq!(FAULTS.load(Ordering::Relaxed), round, "the program's own fault was its own");
        trace.stop().expect("the trace itself is whole");
        assert_eq!(handler(), own, "the handler is what it was");
    }
}

#[test]
fn other_faults_are_the_programs() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("out.trace");
    let (status, said) = run("own", &path);
    assert!(status.success(), "{status}: {said}");
    for how in ["default", "sent"] {
        let path = folder.path().join(format!("{how}.trace"));
        let (status, said) = run(how, &path);
        assert_eq!(status.signal(), Some(libc::SIGBUS), "{how}: {status}: {said}");
    }
}

#[test]
fn nothing_is_left_set_when_no_trace_runs() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let unset = handler();
    let trace = start(&folder.path().join("out.trace"));
    assert_ne!(handler(), unset);
    trace.stop().expect("the disk takes it");
    assert!(!is_enabled());
    assert_eq!(handler(), unset);
}
