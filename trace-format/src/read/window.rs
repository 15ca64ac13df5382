//! The part of a `Read` that is in memory. It slides forward, and grows only to the longest batch.

use std::io::{ErrorKind, Read, Result};

/// Enough for a few batches of a busy thread in one system call.
const BYTES_MIN: usize = 256 * 1024;

/// The bytes of a source from [`Sliding::offset`] on, at least as many as were asked for.
#[derive(Debug)]
pub(crate) struct Sliding<R> {
    source: R,
    bytes: Vec<u8>,
    /// The place of the next byte; the next [`Sliding::fill`] may overwrite those before it.
    start: usize,
    end: usize,
    offset: u64,
}

impl<R: Read> Sliding<R> {
    pub(crate) fn new(source: R) -> Self {
        Self { source, bytes: Vec::new(), start: 0, end: 0, offset: 0 }
    }

    /// From the start of the source to the first byte of [`Sliding::rest`].
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The bytes in memory that have not been skipped.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The `count` bytes that were skipped last. There must have been no [`Sliding::fill`] since.
    pub(crate) fn behind(&self, count: usize) -> &[u8] {
        &self.bytes[self.start - count..self.start]
    }

    /// Skips `count` bytes, which must be in memory.
    pub(crate) fn skip(&mut self, count: usize) {
        assert!(count <= self.end - self.start, "skips only what was read");
        self.start += count;
        self.offset += count as u64;
    }

    /// Reads until `count` bytes are in memory, or the source ends; returns how many there are.
    pub(crate) fn fill(&mut self, count: usize) -> Result<usize> {
        if self.end - self.start < count && self.start + count > self.bytes.len() {
            self.slide(count);
        }
        while self.end - self.start < count {
            match self.source.read(&mut self.bytes[self.end..]) {
                Ok(0) => break,
                // A source may claim more bytes than there was room for.
                Ok(read) => self.end += read.min(self.bytes.len() - self.end),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.end - self.start)
    }

    /// Moves the rest to the front, in memory with room for `count` bytes.
    fn slide(&mut self, count: usize) {
        let rest = self.start..self.end;
        if count > self.bytes.len() {
            // Twice as much, so that each byte is moved at most about once. Fresh memory is zero
            // without being touched; growing the old memory would touch all of it.
            let mut bytes = vec![0; (2 * count).max(BYTES_MIN)];
            bytes[..rest.len()].copy_from_slice(&self.bytes[rest.clone()]);
            self.bytes = bytes;
        } else {
            self.bytes.copy_within(rest.clone(), 0);
        }
        (self.start, self.end) = (0, rest.len());
    }
}
