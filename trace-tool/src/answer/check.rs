//! Whether the file is whole, and what there is in it.

use trace_analysis::Summary;
use trace_format::header::BatchKind;
use trace_format::index::IndexEntry;

use super::threads::recorded;
use super::{Question, Reading, Subject};
use crate::error::Failure;

/// The answer.
#[derive(Debug)]
pub struct CheckAnswer {
    /// What it is about.
    pub subject: Subject,
    /// What was read.
    pub summary: Summary,
    /// What there is in the file.
    pub contents: FileContents,
}

/// What there is in the file, and what the recorder says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileContents {
    /// Threads that recorded in the window.
    pub threads: u64,
    /// CPUs of which there are events in the window.
    pub cpus: u64,
    /// Batches of definitions.
    pub definition_batches: u64,
    /// Stacks.
    pub stacks: u64,
    /// Modules: the program, and its libraries.
    pub modules: u64,
    /// Locks, files and sockets.
    pub resources: u64,
    /// Bytes that can't be read.
    pub bytes_unreadable: u64,
    /// Whether the file has its index and its end.
    pub has_end: bool,
    /// Events that the recorder dropped, by its own count; none if it was not stopped.
    pub dropped_events: Option<u64>,
    /// Memory that the recorder used at most; none if it was not stopped, or did not say.
    pub memory_max: Option<u64>,
}

impl CheckAnswer {
    /// Reads the trace.
    ///
    /// # Errors
    /// If there is none.
    pub fn read(question: &Question) -> Result<Self, Failure> {
        let reading = Reading::open(&question.file, &question.part)?;
        let summary = reading.summary(0, 0);
        let contents = FileContents::new(&reading, &summary);
        Ok(Self { subject: Subject::of_summary(reading, &summary), summary, contents })
    }
}

impl FileContents {
    fn new(reading: &Reading, summary: &Summary) -> Self {
        let (file, tables) = (&reading.file, reading.file.tables());
        let is_definition = |entry: &&IndexEntry| entry.kind == BatchKind::Definitions;
        let threads = recorded(&summary.threads).count();
        Self {
            threads: threads as u64,
            cpus: (summary.threads.len() - threads) as u64,
            definition_batches: file.index().iter().filter(is_definition).count() as u64,
            stacks: tables.stacks.len() as u64,
            modules: tables.modules.len() as u64,
            resources: tables.resources.len() as u64,
            bytes_unreadable: file.bytes_missing(),
            has_end: file.is_complete(),
            dropped_events: tables.stop.map(|stop| stop.dropped_events),
            memory_max: tables.stop.and_then(|stop| stop.known_memory()),
        }
    }
}
