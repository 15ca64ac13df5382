//! Whether a thread's batches follow each other: none is missing, and none is earlier than the one
//! before it. FORMAT.md, section 4.
//!
//! All code that reads a thread's batches in file order uses this, so that all of it says the same
//! of a file.

use super::error::{ReadError, ReadErrorKind};
use super::stream::Batch;
use crate::header::{BatchHeader, FLAG_FIRST};
use crate::time::Ticks;

/// How far a thread's batches have been read.
#[derive(Clone, Copy, Debug)]
pub struct Sequel {
    /// The sequence of the batch before, -1 before the first.
    sequence: i64,
    /// Where that batch's payload ended.
    end: u32,
    /// Nothing that follows is earlier.
    ticks: u64,
}

impl Default for Sequel {
    fn default() -> Self {
        Self { sequence: -1, end: 0, ticks: 0 }
    }
}

impl Sequel {
    /// The state after all batches before `sequence`, to begin in the middle.
    #[must_use]
    pub fn behind(sequence: u32) -> Self {
        Self { sequence: i64::from(sequence) - 1, ..Self::default() }
    }

    /// Notes that the thread has come to `ticks`: an event ended there, or a batch that can't be
    /// read began.
    #[inline]
    pub fn reach(&mut self, ticks: Ticks) {
        self.ticks = self.ticks.max(ticks.0);
    }

    /// Checks that the batch's first event is not earlier than the thread's last one. The base does
    /// not matter: it may be earlier.
    ///
    /// # Errors
    /// `TimeBackwards`: the batch counts as damaged, but not as missing.
    pub fn refuse_past(&mut self, batch: &Batch<'_>) -> Result<(), ReadError> {
        let first = batch.first_ticks().0;
        if first >= self.ticks {
            return Ok(());
        }
        self.missing_before(&batch.header);
        let (thread, before) = (batch.header.thread.0, self.ticks);
        let kind = ReadErrorKind::TimeBackwards { thread, before, first };
        Err(ReadError::new(batch.offset, kind))
    }

    /// Whether a batch with these numbers would follow the one before.
    pub(crate) fn is_next(&self, sequence: u32, offset: u32) -> bool {
        let (sequence, is_rest) = (i64::from(sequence), offset != 0);
        match is_rest {
            true => sequence == self.sequence && offset == self.end,
            false => sequence == self.sequence + 1,
        }
    }

    /// What is missing between the last batch and this one.
    pub fn missing_before(&mut self, header: &BatchHeader) -> Option<ReadErrorKind> {
        let missing = self.missing(header);
        self.sequence = i64::from(header.sequence);
        self.end = header.offset.saturating_add(header.payload_bytes);
        missing
    }

    fn missing(&self, header: &BatchHeader) -> Option<ReadErrorKind> {
        if self.sequence < 0 && header.flags & FLAG_FIRST != 0 && header.offset == 0 {
            return None;
        }
        let (thread, found) = (header.thread.0, i64::from(header.sequence));
        if found == self.sequence && header.offset != 0 {
            let (expected, found) = (self.end, header.offset);
            return (found != expected).then_some(ReadErrorKind::PieceMissing {
                thread,
                expected,
                found,
            });
        }
        if found != self.sequence + 1 {
            let expected = u32::try_from(self.sequence + 1).unwrap_or(u32::MAX);
            let found = header.sequence;
            return Some(ReadErrorKind::BatchMissing { thread, expected, found });
        }
        let found = header.offset;
        (found != 0).then_some(ReadErrorKind::PieceMissing { thread, expected: 0, found })
    }
}
