//! The user's writer, behind the encoder: every byte of the trace passes here once.
//!
//! A failed write is remembered, and everything after it is counted as lost: the collector goes on
//! emptying batches, so the program does not notice.

use crate::claimed::Gone;
use std::io::{self, IoSlice, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use trace_format::batch::{BatchInfo, Compression, FileEncoder};

/// The usual [`Sink::gather_bytes`].
const GATHER_BYTES: usize = 32 << 10;

/// Where batches go.
pub(crate) struct Sink {
    writer: Box<dyn Write + Send>,
    /// Batches smaller than this are gathered before they are written.
    gather_bytes: usize,
    compression: Compression,
    encoder: FileEncoder,
    gathered: Vec<u8>,
    /// Events in `gathered`.
    gathered_events: u64,
    error: Option<io::Error>,
    pub(crate) bytes: u64,
    /// Events handed to the writer, definitions not among them.
    pub(crate) events: u64,
    pub(crate) unwritten_events: u64,
}

impl Sink {
    pub(crate) fn new(writer: Box<dyn Write + Send>, compression: Compression) -> Self {
        let mut encoder = FileEncoder::new(compression);
        let gathered = encoder.begin().to_vec();
        Self {
            writer,
            gather_bytes: GATHER_BYTES,
            compression,
            encoder,
            gathered,
            gathered_events: 0,
            error: None,
            bytes: 0,
            events: 0,
            unwritten_events: 0,
        }
    }

    /// One that writes each batch at once: what a thread is given back as a spare is in the file.
    pub(crate) fn unbuffered(writer: Box<dyn Write + Send>) -> Self {
        Self { gather_bytes: 0, ..Self::new(writer, Compression::None) }
    }

    /// One that writes in the same way.
    pub(crate) fn again(&self, writer: Box<dyn Write + Send>) -> Self {
        Self { gather_bytes: self.gather_bytes, ..Self::new(writer, self.compression) }
    }

    /// Appends a batch; `events` of it are the user's.
    pub(crate) fn batch(&mut self, info: &BatchInfo, payload: &[u8], events: u64) {
        let encoded = self.encoder.batch(info, payload);
        self.gathered.extend_from_slice(&encoded.header);
        self.gathered_events += events;
        if encoded.stored.len() < self.gather_bytes {
            self.gathered.extend_from_slice(encoded.stored);
            if self.gathered.len() >= self.gather_bytes {
                self.write_gathered();
            }
        } else if self.error.is_none() {
            let writer = &mut *self.writer;
            let written = guarded(|| write_both(writer, &self.gathered, encoded.stored));
            let bytes = self.gathered.len() + encoded.stored.len();
            self.settle(written, bytes);
        } else {
            self.settle(Ok(()), 0);
        }
        if let Some(index) = self.encoder.index_if_due() {
            self.gathered.extend_from_slice(&index);
        }
    }

    /// Brings everything to the writer, and the writer's own to where it goes.
    pub(crate) fn flush(&mut self) {
        self.write_gathered();
        if self.error.is_none() {
            self.error = guarded(|| self.writer.flush()).err();
            self.note_gone();
        }
    }

    /// Appends index and trailer, and flushes.
    pub(crate) fn finish(&mut self) {
        let end = self.encoder.end();
        self.gathered.extend_from_slice(&end);
        self.flush();
    }

    /// Whether nothing is written any more.
    pub(crate) fn has_failed(&self) -> bool {
        self.error.is_some()
    }

    /// Whether that is because what had been written was taken away.
    pub(crate) fn is_gone(&self) -> bool {
        self.error.as_ref().is_some_and(Gone::is_in)
    }

    /// The first failure.
    pub(crate) fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }

    fn write_gathered(&mut self) {
        if self.error.is_some() {
            return self.settle(Ok(()), 0);
        }
        let written = guarded(|| self.writer.write_all(&self.gathered));
        let bytes = self.gathered.len();
        self.settle(written, bytes);
    }

    /// Nothing is there of what had been written, if that is why writing has failed.
    fn note_gone(&mut self) {
        if self.is_gone() {
            self.unwritten_events += std::mem::take(&mut self.events);
            self.bytes = 0;
        }
    }

    /// What was gathered is written now, or lost.
    fn settle(&mut self, written: io::Result<()>, bytes: usize) {
        if self.error.is_none() {
            self.error = written.err();
            self.note_gone();
        }
        if self.error.is_none() {
            self.bytes += bytes as u64;
            self.events += self.gathered_events;
        } else {
            self.unwritten_events += self.gathered_events;
        }
        self.gathered.clear();
        self.gathered_events = 0;
    }
}

/// The writer is the user's code: that it panics is one more way to fail, and no reason to stop
/// emptying batches. It is not called again after that.
fn guarded(write: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    catch_unwind(AssertUnwindSafe(write))
        .unwrap_or_else(|_| Err(io::Error::other("the writer panicked")))
}

/// One system call for both where the writer can do that.
fn write_both(writer: &mut dyn Write, front: &[u8], back: &[u8]) -> io::Result<()> {
    let mut slices = [IoSlice::new(front), IoSlice::new(back)];
    let mut rest = slices.as_mut_slice();
    while rest.iter().any(|slice| !slice.is_empty()) {
        match writer.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => IoSlice::advance_slices(&mut rest, count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink").field("bytes", &self.bytes).field("error", &self.error).finish()
    }
}
