//! The twin of the recorder for `enabled` off, with the same interface: everything compiles, does
//! nothing and succeeds.
//!
//! Reports and errors have the same fields as the recorder's, so that code which reads them
//! compiles either way.
//!
//! - `flight`: the flight recorder. `tasks`: tasks and futures. `sites`: call sites and values.

mod flight;
mod sites;
mod tasks;

pub use flight::{FlightRecorder, FlightRecorderBuilder, SnapshotError, SnapshotReport};
pub use sites::{Argument, ArgumentKind, ArgumentName, Callsite, CallsiteKind, Value};
pub use tasks::{FutureName, Task, TaskGuard, Traced, TracedExt, Traceparent};

use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Would start a trace that is written to `writer`; here it drops the writer.
///
/// # Errors
/// None.
pub fn start(writer: impl Write + Send + 'static) -> Result<Trace, StartError> {
    drop(writer);
    Ok(Trace {})
}

/// As [`start`], with options.
///
/// # Errors
/// None.
pub fn start_with(
    options: Options,
    writer: impl Write + Send + 'static,
) -> Result<Trace, StartError> {
    let _ = options;
    start(writer)
}

/// Would start a trace that is written to the file `path`; here it touches no file.
///
/// # Errors
/// None.
pub fn start_file(path: impl AsRef<Path>) -> Result<Trace, StartError> {
    start_file_with(Options::default(), path)
}

/// As [`start_file`], with options.
///
/// # Errors
/// None.
pub fn start_file_with(options: Options, path: impl AsRef<Path>) -> Result<Trace, StartError> {
    let _ = (options, path);
    Ok(Trace {})
}

/// As [`start_file_with`], with the trace cut into parts.
///
/// # Errors
/// None.
pub fn start_rotating(
    options: Options,
    rotation: Rotation,
    path: impl AsRef<Path>,
) -> Result<Trace, StartError> {
    let _ = (options, rotation, path);
    Ok(Trace {})
}

/// How a trace would be cut into parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it is an argument of `start_rotating`"]
#[non_exhaustive]
pub struct Rotation {}

impl Rotation {
    /// The maximum number of bytes of all parts together.
    pub fn new(total_bytes: u64) -> Self {
        let _ = total_bytes;
        Self {}
    }

    /// The maximum number of bytes of a part.
    pub fn part_bytes(self, bytes: u64) -> Self {
        let _ = bytes;
        self
    }

    /// The maximum time that a part covers.
    pub fn every(self, time: Duration) -> Self {
        let _ = time;
        self
    }
}

/// Whether a trace is running: never.
#[must_use]
pub const fn is_enabled() -> bool {
    false
}

/// Every call site linked into the program: none.
pub fn callsites() -> impl Iterator<Item = &'static Callsite> {
    std::iter::empty()
}

/// Would switch call sites on or off; returns their number, 0.
pub const fn set_module_on(module: &str, on: bool) -> usize {
    let _ = (module, on);
    0
}

/// A trace that does not run.
#[derive(Debug)]
#[must_use = "dropping a trace stops it"]
#[non_exhaustive]
pub struct Trace {}

impl Trace {
    /// Reports nothing.
    ///
    /// # Errors
    /// None.
    pub fn stop(self) -> Result<Report, StopError> {
        Ok(Report::default())
    }
}

/// How a trace would be recorded.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {}

impl Options {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The maximum memory that batches may take, in bytes.
    #[must_use]
    pub fn memory_max(self, _bytes: usize) -> Self {
        self
    }

    /// What happens when memory is at its limit.
    #[must_use]
    pub fn on_full(self, _on_full: OnFull) -> Self {
        self
    }

    /// Which annotations are recorded with a stack.
    #[must_use]
    pub fn stacks(self, _stacks: Stacks) -> Self {
        self
    }

    /// How batches are stored.
    #[must_use]
    pub fn compression(self, _compression: Compression) -> Self {
        self
    }

    /// How often a point is written from which a reader can start.
    #[must_use]
    pub fn generation(self, _every: Duration) -> Self {
        self
    }

    /// Whether wakes, spawns and waits of futures are recorded with stacks.
    #[must_use]
    pub fn async_stacks(self, _on: bool) -> Self {
        self
    }

    /// Whether threads, blocking and system calls are recorded.
    #[must_use]
    pub fn os(self, _on: bool) -> Self {
        self
    }

    /// Whether the kernel's thread switches are recorded.
    #[must_use]
    pub fn sched(self, _on: bool) -> Self {
        self
    }

    /// Number of stack samples per second of a thread's CPU time.
    #[must_use]
    pub fn cpu_samples(self, _per_second: u32) -> Self {
        self
    }

    /// Whether page faults that had to wait for a disk are recorded.
    #[must_use]
    pub fn page_faults(self, _on: bool) -> Self {
        self
    }

    /// Whether the allocator counts and samples allocations for the trace.
    #[must_use]
    pub fn heap(self, _on: bool) -> Self {
        self
    }

    /// Number of bytes allocated per sampled allocation, on average.
    #[must_use]
    pub fn heap_sample_bytes(self, _bytes: u64) -> Self {
        self
    }

    /// Whether the trace has the names of the functions in its stacks.
    #[must_use]
    pub fn names(self, _on: bool) -> Self {
        self
    }
}

/// What happens to events when memory is at its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFull {
    /// They are dropped and counted.
    #[default]
    Drop,
    /// The recording thread waits.
    Wait,
}

/// Which regions, instants, futures and tasks are recorded with the stack at their begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stacks {
    /// None.
    #[default]
    None,
    /// One of every `one_in` on average.
    Sampled {
        /// At least 1.
        one_in: u32,
    },
    /// All.
    All,
}

/// How batches are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// As they are.
    #[default]
    None,
}

/// The totals of a trace: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Events written.
    pub events: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Threads that recorded something.
    pub threads: u64,
    /// Events dropped because memory was at its limit.
    pub dropped_events: u64,
    /// Ends of regions dropped because memory was at its limit.
    pub dropped_ends: u64,
    /// Events lost because the writer failed.
    pub unwritten_events: u64,
    /// CPU time of the collector.
    pub tracer_cpu: Duration,
    /// The maximum number of bytes that batches took at any time.
    pub memory_max: u64,
}

/// Why a trace could not start: it always can.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// A trace is running already.
    AlreadyRunning,
    /// Another process writes a trace to this file.
    InUse(PathBuf),
    /// This file could not be made.
    File(PathBuf, io::Error),
    /// The writer refused the first bytes.
    Write(io::Error),
    /// The collector's thread could not be started.
    Thread(io::Error),
    /// Nothing can be recorded on this system.
    Unsupported,
    /// The system gives no memory for a trace.
    Memory,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the trace could not start")
    }
}

impl Error for StartError {}

/// Why a trace did not stop well: it always does.
#[derive(Debug)]
#[non_exhaustive]
pub enum StopError {
    /// A write failed.
    Write {
        /// The first failure.
        error: io::Error,
        /// What was written before, and what was lost.
        report: Report,
    },
    /// This is a forked child.
    Forked,
    /// The collector panicked.
    Collector,
    /// The trace was started and stopped while a library was being loaded.
    Loading,
}

impl fmt::Display for StopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the trace did not stop well")
    }
}

impl Error for StopError {}
