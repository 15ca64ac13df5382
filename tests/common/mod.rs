//! Shared by tests of the recorder: record something, read it back, check what must always hold.
//!
//! - [`decoded`]: a trace in memory, batch by batch.
//! - [`checks`]: properties of every trace; every recording here is checked.
//! - [`fixture`]: programs that are built for a test.
//! - [`lanes`]: properties of CPUs' lanes, and which thread ran where.
//! - [`calls`]: the calls of a trace.
//! - [`crashed`]: what is left of a trace whose process was killed.
//! - [`lines`]: events as text, for exact comparisons.
//! - [`samples`]: the heap's samples, checked.
//! - [`story`]: the events of every future.
//! - [`waiting`]: waiting for other threads and processes.
//! - [`writers`]: writers that keep everything, fail, are slow or panic.
//!
//! A process has one trace, so recordings wait for each other.

#![allow(dead_code, reason = "every test file uses its own part")]

pub(crate) mod calls;
pub(crate) mod checks;
pub(crate) mod crashed;
pub(crate) mod decoded;
pub(crate) mod fixture;
pub(crate) mod lanes;
pub(crate) mod lines;
pub(crate) mod samples;
pub(crate) mod story;
pub(crate) mod waiting;
pub(crate) mod writers;

use decoded::Decoded;
use exectrace::{Options, Report};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use writers::Memory;

/// Options for a trace of annotations alone, so that tests can predict all its events. Other tests
/// check what is recorded of the system.
pub(crate) fn annotated() -> Options {
    Options::new().os(false).sched(false).heap(false)
}

/// Options that record the program's calls, too.
pub(crate) fn with_calls() -> Options {
    annotated().os(true)
}

/// A lock, held while a test uses the process's one trace.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the test of this name in a new process. Returns whether this is that process.
pub(crate) fn in_own_process(test: &str) -> bool {
    const ALONE: &str = "EXECTRACE_TEST_ALONE";
    if std::env::var(ALONE).is_ok_and(|name| name == test) {
        return true;
    }
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = std::process::Command::new(program);
    let output = command.args([test, "--exact", "--test-threads=1"]).env(ALONE, test).output();
    let output = output.expect("it can be started");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{output:?}");
    false
}

/// Prints to standard error what a test could not do, even where the harness hides the output of
/// tests that pass.
pub(crate) fn loudly(words: &str) {
    use std::io::Write as _;
    // A closed standard error is ignored: there is no other place to report to.
    let _ = std::io::stderr().write_all(format!("{words}\n").as_bytes());
}

/// Number of threads of this process, where the system says it.
pub(crate) fn thread_count() -> Option<usize> {
    std::fs::read_dir("/proc/self/task").ok().map(Iterator::count)
}

/// A trace that was recorded, stopped, decoded and checked.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) report: Report,
    pub(crate) trace: Decoded,
}

/// Runs `act` under a trace of its annotations.
pub(crate) fn record(act: impl FnOnce()) -> Recorded {
    record_with(annotated(), act)
}

/// Runs `act` under a trace.
pub(crate) fn record_with(options: Options, act: impl FnOnce()) -> Recorded {
    let _alone = alone();
    record_here(options, act)
}

/// As [`record_with`], for a caller that holds [`alone`] already.
pub(crate) fn record_here(options: Options, act: impl FnOnce()) -> Recorded {
    let memory = Memory::default();
    let trace = exectrace::start_with(options, memory.clone()).expect("no trace is running");
    let watched = waiting::Watched::new(&memory);
    act();
    drop(watched);
    let report = trace.stop().expect("memory takes every byte");
    let bytes = memory.take();
    assert_eq!(report.bytes, bytes.len() as u64);
    let trace = Decoded::new(&bytes);
    checks::check(&trace);
    checks::check_report(&trace, &report);
    Recorded { report, trace }
}

impl Recorded {
    /// The events of the only thread that recorded any.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut threads = lines::of_threads(&self.trace);
        assert_eq!(threads.len(), 1, "one thread recorded: {threads:#?}");
        threads.remove(0).1
    }

    /// The events of the thread with this name; none if it has not recorded.
    pub(crate) fn lines_of(&self, name: &str) -> Vec<String> {
        let mut threads = lines::of_threads(&self.trace);
        threads.retain(|thread| thread.0 == name);
        assert!(threads.len() < 2, "one thread is called {name}: {threads:#?}");
        threads.pop().map(|thread| thread.1).unwrap_or_default()
    }
}

/// Runs `act` on a thread of this name, to its end.
pub(crate) fn on_thread(name: &str, act: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name(name.to_owned());
        let thread = builder.spawn_scoped(scope, act).expect("a thread can be started");
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Tells threads to end when it is dropped, also if the test fails.
#[derive(Debug)]
pub(crate) struct Ends<'e>(pub(crate) &'e AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
