//! The encoder, and the writer behind it: every byte of the trace passes here once.
//!
//! A failed write is remembered, and everything after it counts as lost. The collector goes on
//! emptying batches, so the program does not notice.

use crate::files::claimed::Gone;
use std::io::{self, IoSlice, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use trace_format::batch::{BatchInfo, Compression, FileEncoder};

/// The usual value of [`Sink::gather_bytes`].
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
    /// Number of events passed to the writer, without definitions.
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

    /// A sink that writes each batch at once, so that a batch is in the file before its thread gets
    /// it back as a spare.
    pub(crate) fn unbuffered(writer: Box<dyn Write + Send>) -> Self {
        Self { gather_bytes: 0, ..Self::new(writer, Compression::None) }
    }

    /// Another sink that gathers and compresses in the same way.
    pub(crate) fn with_writer(&self, writer: Box<dyn Write + Send>) -> Self {
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

    /// Writes everything, and flushes the writer.
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

    /// Whether a write has failed, after which nothing is written.
    pub(crate) fn has_failed(&self) -> bool {
        self.error.is_some()
    }

    /// Whether that is because what had been written was removed.
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

    /// If writing has failed because the file was removed or shortened, nothing of what had been
    /// written counts.
    fn note_gone(&mut self) {
        if self.is_gone() {
            self.unwritten_events += std::mem::take(&mut self.events);
            self.bytes = 0;
        }
    }

    /// Counts what was gathered as written, or as lost.
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

/// Runs the writer, which is the user's code. A panic of it counts as a failed write, so the
/// collector goes on emptying batches. The writer is not called again after that.
fn guarded(write: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    catch_unwind(AssertUnwindSafe(write))
        .unwrap_or_else(|_| Err(io::Error::other("the writer panicked")))
}

/// How often a write is tried again after a page was missing: a file can be shortened again and
/// again.
const TRIES_MAX: u32 = 8;

/// Writes both with one system call, if the writer can do that.
fn write_both(writer: &mut dyn Write, front: &[u8], back: &[u8]) -> io::Result<()> {
    let mut slices = [IoSlice::new(front), IoSlice::new(back)];
    let (mut rest, mut tries) = (slices.as_mut_slice(), 0);
    while rest.iter().any(|slice| !slice.is_empty()) {
        match writer.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => IoSlice::advance_slices(&mut rest, count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_missing_page(&error) && tries < TRIES_MAX => {
                tries += 1;
                rest.iter().for_each(|slice| touch(slice));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether the system found no page where it had to read what is written. A mapped file that was
/// shortened has none there, and the system does not get the signal whose handler puts one there.
fn is_missing_page(error: &io::Error) -> bool {
    /// The number on Linux and all other systems.
    const EFAULT: i32 = 14;
    cfg!(unix) && error.raw_os_error() == Some(EFAULT)
}

/// Reads from every page, so that each missing page is put there (`bus_error`).
fn touch(bytes: &[u8]) {
    /// No system's pages are smaller.
    const PAGE_BYTES: usize = 4096;
    let pages = bytes.iter().step_by(PAGE_BYTES).chain(bytes.last());
    pages.for_each(|byte| _ = std::hint::black_box(*byte));
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink").field("bytes", &self.bytes).field("error", &self.error).finish()
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// A writer that fails as for a missing page, this many times.
    struct MissingPages(u32, Vec<u8>);

    impl Write for MissingPages {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 > 0 {
                self.0 -= 1;
                return Err(io::Error::from_raw_os_error(14));
            }
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_the_system_finds_no_page_for_is_written_again() {
        let mut writer = MissingPages(3, Vec::new());
        write_both(&mut writer, b"front", &[7; 10_000]).expect("the page is there by then");
        assert_eq!((writer.1.len(), &writer.1[..5]), (10_005, &b"front"[..]));
        let error = write_both(&mut MissingPages(u32::MAX, Vec::new()), b"front", b"back");
        assert!(error.is_err_and(|error| is_missing_page(&error)), "not for ever");
    }
}
