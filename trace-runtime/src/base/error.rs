//! Why a trace could not start, or did not stop well; what a trace or snapshot came to.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a trace could not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// One is running already; a process can have one trace, and one flight recorder.
    AlreadyRunning,
    /// Another process writes a trace to this file.
    InUse(PathBuf),
    /// This file could not be made, or there is no room for it.
    File(PathBuf, io::Error),
    /// The writer refused the first bytes.
    Write(io::Error),
    /// The collector's thread could not be started.
    Thread(io::Error),
    /// Nothing can be recorded on this system: WebAssembly has neither clock nor threads. The
    /// program's annotations do nothing there.
    Unsupported,
    /// The system gives no memory for a trace: it has none left, or a limit of the process is
    /// reached.
    Memory,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyRunning => f.write_str("a trace is running already in this process"),
            Self::InUse(path) => {
                write!(f, "another process writes a trace to {}", path.display())
            }
            Self::File(path, _) => {
                write!(f, "{} could not be made with room for a trace", path.display())
            }
            Self::Write(_) => f.write_str("the trace's first bytes could not be written"),
            Self::Thread(_) => f.write_str("the collector's thread could not be started"),
            Self::Unsupported => f.write_str(
                "nothing can be recorded on this system: it has no clock and no threads",
            ),
            Self::Memory => f.write_str(
                "the system gives no memory for a trace (limits of the process: ulimit -v, and -l \
                 if its memory is locked)",
            ),
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::AlreadyRunning | Self::InUse(_) | Self::Unsupported | Self::Memory => None,
            Self::File(_, error) | Self::Write(error) | Self::Thread(error) => Some(error),
        }
    }
}

/// An error with its cause, for a line of text.
pub(crate) fn with_cause(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// What a trace came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Events written. A region without anything inside is one event.
    pub events: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Threads that recorded something.
    pub threads: u64,
    /// Events lost because memory was at its bound.
    pub dropped_events: u64,
    /// Ends of regions lost because memory was at its bound.
    pub dropped_ends: u64,
    /// Events lost because the writer failed.
    pub unwritten_events: u64,
    /// CPU time of the collector.
    pub tracer_cpu: std::time::Duration,
    /// The most bytes that batches took at any time.
    pub memory_max: u64,
}

/// What a snapshot of the last seconds came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotReport {
    /// Events in it.
    pub events: u64,
    /// Bytes written.
    pub bytes: u64,
    /// How far back it reaches.
    pub age: std::time::Duration,
    /// Events lost in that time because memory was at its bound.
    pub dropped_events: u64,
}

/// Why there is no snapshot, or not all of it.
#[derive(Debug)]
#[non_exhaustive]
pub enum SnapshotError {
    /// A write failed.
    Write(io::Error),
    /// The recorder has been stopped, or this is a forked child: the recorder is its parent's.
    NotRunning,
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(_) => f.write_str("the snapshot could not be written"),
            Self::NotRunning => f.write_str("no flight recorder is running in this process"),
        }
    }
}

impl Error for SnapshotError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Write(error) => Some(error),
            Self::NotRunning => None,
        }
    }
}

/// Why a trace did not stop well.
#[derive(Debug)]
#[non_exhaustive]
pub enum StopError {
    /// A write failed. From then on nothing was written; the program was not disturbed.
    Write {
        /// The first failure.
        error: io::Error,
        /// What was written before, and what was lost.
        report: Report,
    },
    /// This is a forked child: the trace is its parent's.
    Forked,
    /// The collector panicked, most likely while it dropped the writer.
    Collector,
    /// The trace was started and stopped while a library was being loaded, in a constructor of it.
    /// The collector begins after that; it then writes the trace to its end.
    Loading,
}

impl fmt::Display for StopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write { report, .. } => write!(
                f,
                "writing the trace failed after {} bytes; {} events are lost",
                report.bytes, report.unwritten_events
            ),
            Self::Forked => f.write_str("the trace belongs to the parent of this process"),
            Self::Collector => {
                f.write_str("the collector panicked, most likely in dropping the writer")
            }
            Self::Loading => f.write_str(
                "the trace is written when the library is loaded whose constructor has stopped it",
            ),
        }
    }
}

impl Error for StopError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Write { error, .. } => Some(error),
            Self::Forked | Self::Collector | Self::Loading => None,
        }
    }
}
