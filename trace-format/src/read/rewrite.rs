//! A trace with more definitions: every batch as it is, the new batches behind them, a new index.
//!
//! Faults of the trace stay: a damaged batch is copied as it is if the index was whole, and is left
//! out (a gap) if the index had to be rebuilt. A trace that was cut gets no trailer.

use std::io::{self, Write};
use std::{error, fmt};

use super::file::TraceFile;
use super::source::{ReadAt, read_full};
use crate::batch::{BatchInfo, Compression, FileEncoder};
use crate::definition::{Definition, put_definition};
use crate::header::{BatchKind, FILE_HEADER_BYTES, FileHeader, PAYLOAD_BYTES_MAX};
use crate::index::IndexEntry;
use crate::time::Ticks;

/// A new batch of definitions is written when it has this many bytes.
const PAYLOAD_BYTES: usize = 256 * 1024;
/// Batches are copied in pieces of this many bytes, as an index may claim any length.
const PIECE_BYTES: usize = 64 * 1024;

/// Why a trace could not be rewritten. The bytes that were written are no trace.
#[derive(Debug)]
#[non_exhaustive]
pub enum RewriteError {
    /// The old trace could not be read.
    Read {
        /// Bytes from its start.
        offset: u64,
        /// The source's own error, or `UnexpectedEof` if it has become shorter.
        source: io::Error,
    },
    /// The new trace could not be written.
    Write(io::Error),
    /// A new definition does not fit a batch.
    DefinitionTooLong {
        /// Encoded.
        bytes: usize,
        /// Allowed by the format.
        bytes_max: usize,
    },
}

/// Writes a trace to `out` that has everything that `file` has, and the definitions `more`.
///
/// - `more`: definitions that may be anywhere in a trace: symbols. They come behind all batches, in
///   the last generation. Of several symbols of an address the last one counts: the new one.
/// - `compression`: of the new batches; old ones stay as they are.
/// - Returns the bytes written. Nothing is flushed.
///
/// # Errors
/// [`RewriteError`], at the first byte that can't be read or written.
pub fn rewrite<'d, S: ReadAt>(
    file: &TraceFile<S>,
    more: impl IntoIterator<Item = Definition<'d>>,
    compression: Compression,
    out: &mut impl Write,
) -> Result<u64, RewriteError> {
    write(file, more, compression, file.is_complete(), out)
}

/// Writes a trace that has everything that `file` has, and an end: index and trailer, even if
/// `file` has none. Returns the bytes written. Nothing is flushed.
///
/// # Errors
/// [`RewriteError`], at the first byte that can't be read or written.
pub fn end<S: ReadAt>(file: &TraceFile<S>, out: &mut impl Write) -> Result<u64, RewriteError> {
    write(file, [], Compression::None, true, out)
}

fn write<'d, S: ReadAt>(
    file: &TraceFile<S>,
    more: impl IntoIterator<Item = Definition<'d>>,
    compression: Compression,
    is_ended: bool,
    out: &mut impl Write,
) -> Result<u64, RewriteError> {
    let mut encoder = FileEncoder::new(compression);
    encoder.begin();
    let header = FileHeader { header_bytes: FILE_HEADER_BYTES as u32, ..file.header() };
    out.write_all(&header.encode()).map_err(RewriteError::Write)?;
    let mut buffer = vec![0; PIECE_BYTES];
    for entry in file.index() {
        copy(file, entry, &mut buffer, out)?;
        encoder.copied(entry);
        put_index(&mut encoder, out)?;
    }
    let mut batch = NewBatch::behind(file.index());
    for definition in more {
        if batch.put(&definition)? {
            batch.write(&mut encoder, out)?;
        }
    }
    batch.write(&mut encoder, out)?;
    if is_ended {
        out.write_all(&encoder.end()).map_err(RewriteError::Write)?;
    }
    Ok(encoder.offset())
}

fn copy<S: ReadAt>(
    file: &TraceFile<S>,
    entry: &IndexEntry,
    buffer: &mut [u8],
    out: &mut impl Write,
) -> Result<(), RewriteError> {
    let (mut offset, end) = (entry.offset, entry.offset + u64::from(entry.bytes));
    while offset < end {
        let fault = |source| RewriteError::Read { offset, source };
        let count = buffer.len().min(usize::try_from(end - offset).unwrap_or(usize::MAX));
        let piece = &mut buffer[..count];
        if read_full(file.source(), piece, offset).map_err(fault)? < count {
            return Err(fault(io::ErrorKind::UnexpectedEof.into()));
        }
        out.write_all(piece).map_err(RewriteError::Write)?;
        offset += count as u64;
    }
    Ok(())
}

fn put_index(encoder: &mut FileEncoder, out: &mut impl Write) -> Result<(), RewriteError> {
    match encoder.index_if_due() {
        Some(index) => out.write_all(&index).map_err(RewriteError::Write),
        None => Ok(()),
    }
}

/// Definitions that are not written yet.
struct NewBatch {
    info: BatchInfo,
    payload: Vec<u8>,
    /// One definition, until it is clear that it fits.
    scratch: Vec<u8>,
}

impl NewBatch {
    /// The batch behind those in `index`.
    fn behind(index: &[IndexEntry]) -> Self {
        let definitions = || index.iter().filter(|entry| entry.kind == BatchKind::Definitions);
        let ticks = definitions().next_back().map_or(Ticks(0), |entry| entry.last_ticks);
        let sequence = definitions().map(|entry| entry.sequence.saturating_add(1)).max();
        let info = BatchInfo::of_definitions(
            sequence.unwrap_or(0),
            index.iter().map(|entry| entry.generation).max().unwrap_or(1),
            ticks,
            0,
        );
        Self { info, payload: Vec::new(), scratch: Vec::new() }
    }

    /// Adds a definition. Returns whether it is time to write the batch.
    fn put(&mut self, definition: &Definition<'_>) -> Result<bool, RewriteError> {
        self.scratch.clear();
        put_definition(&mut self.scratch, definition);
        let (bytes, bytes_max) = (self.scratch.len(), PAYLOAD_BYTES_MAX - PAYLOAD_BYTES);
        if bytes > bytes_max {
            return Err(RewriteError::DefinitionTooLong { bytes, bytes_max });
        }
        self.payload.extend_from_slice(&self.scratch);
        self.info.events += 1;
        Ok(self.payload.len() >= PAYLOAD_BYTES)
    }

    fn write(
        &mut self,
        encoder: &mut FileEncoder,
        out: &mut impl Write,
    ) -> Result<(), RewriteError> {
        if self.payload.is_empty() {
            return Ok(());
        }
        let encoded = encoder.batch(&self.info, &self.payload);
        out.write_all(&encoded.header).map_err(RewriteError::Write)?;
        out.write_all(encoded.stored).map_err(RewriteError::Write)?;
        self.payload.clear();
        self.info.events = 0;
        self.info.sequence = self.info.sequence.saturating_add(1);
        put_index(encoder, out)
    }
}

impl fmt::Display for RewriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { offset, .. } => write!(f, "at byte {offset}: the trace can't be read"),
            Self::Write(_) => write!(f, "the new trace can't be written"),
            Self::DefinitionTooLong { bytes, bytes_max } => {
                write!(f, "a definition has {bytes} bytes, a batch takes {bytes_max} at most")
            }
        }
    }
}

impl error::Error for RewriteError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Read { source, .. } | Self::Write(source) => Some(source),
            Self::DefinitionTooLong { .. } => None,
        }
    }
}
