//! Batches in file order, out of any `Read`, one of them in memory at a time.
//!
//! After a fault the reader searches for the next whole batch, or the trailer. The work of
//! searching is bounded: bytes that only look like batches can't make it take forever.

use std::io::Read;

use super::check::{judge_checksum, judge_lengths, unpack};
use super::error::{ReadError, ReadErrorKind};
use super::window::Sliding;
use crate::definition::Definitions;
use crate::event::{EventError, Events};
use crate::header::{
    BATCH_HEADER_BYTES, BATCH_MAGIC, BatchHeader, FILE_HEADER_BYTES, FILE_MAGIC, FileHeader,
    TRAILER_BYTES, TRAILER_MAGIC, Trailer, VERSION_MAJOR,
};
use crate::time::Ticks;

/// The longest file header.
const FILE_HEADER_BYTES_MAX: u32 = 4096;

/// Maximum number of bytes that may be checksummed in vain after a fault, besides
/// [`VAIN_PER_BYTE`].
const VAIN_BYTES: u64 = 8 << 20;
/// Number of further bytes for each byte that the search has passed.
const VAIN_PER_BYTE: u64 = 16;

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
    /// Its events; none if it is of another kind. An event later than the header says is a fault.
    #[must_use]
    pub fn events(&self) -> Events<'a> {
        let BatchHeader { thread, base_ticks, last_ticks, .. } = self.header;
        Events::new(thread, base_ticks, self.payload).until(last_ticks)
    }

    /// The time of its first event, which may be later than the base. The base, if it has no event,
    /// or the first bytes are no event.
    #[must_use]
    pub fn first_ticks(&self) -> Ticks {
        self.events().peek().map_or(self.header.base_ticks, Ticks)
    }

    /// Its definitions; none if it is of another kind.
    #[must_use]
    pub fn definitions(&self) -> Definitions<'a> {
        Definitions::new(self.payload)
    }

    /// A fault among its events, as a fault of the file.
    #[must_use]
    pub fn error(&self, error: EventError) -> ReadError {
        let EventError { at, opcode } = error;
        ReadError::new(self.offset_of(at), ReadErrorKind::EventFaulty { opcode, at })
    }

    /// The offset in the file of the payload's byte `at`; of the payload, if that is compressed.
    pub(crate) fn offset_of(&self, at: usize) -> u64 {
        let at = if self.header.codec == 0 { at as u64 } else { 0 };
        self.offset + u64::from(self.header.header_bytes) + at
    }
}

/// Reads a trace from front to end.
#[derive(Debug)]
pub struct BatchReader<R> {
    window: Sliding<R>,
    header: FileHeader,
    payload: Vec<u8>,
    ended: bool,
    complete: bool,
    skipped: u64,
}

/// Why no batch begins where one should.
enum NoBatch {
    /// Certainly this.
    Is(ReadErrorKind),
    /// It claims this many bytes, and the file ends before: it is cut, or its length is wrong.
    Short(usize),
}

impl From<ReadErrorKind> for NoBatch {
    fn from(kind: ReadErrorKind) -> Self {
        Self::Is(kind)
    }
}

/// A whole batch, which has the `bytes` that were skipped last.
struct WholeBatch {
    header: BatchHeader,
    offset: u64,
    bytes: usize,
    unpacked: bool,
}

impl<R: Read> BatchReader<R> {
    /// Reads and checks the file header.
    ///
    /// # Errors
    /// `NotATrace`, `VersionUnsupported`, `HeaderDamaged`, `Truncated`, `Io`.
    pub fn new(source: R) -> Result<Self, ReadError> {
        let (reader, fault) = Self::past_header(source)?;
        fault.map_or(Ok(reader), Err)
    }

    /// As [`BatchReader::new`], but it goes on if the file header is damaged.
    pub(crate) fn past_header(source: R) -> Result<(Self, Option<ReadError>), ReadError> {
        let mut window = Sliding::new(source);
        let available = fill(&mut window, FILE_HEADER_BYTES)?;
        let front = available.min(FILE_MAGIC.len());
        if window.rest()[..front] != FILE_MAGIC[..front] {
            return Err(ReadError::new(0, ReadErrorKind::NotATrace));
        }
        let header = window.rest().first_chunk().and_then(FileHeader::decode);
        let (header, checksum) = header.ok_or(ReadError::new(0, ReadErrorKind::Truncated))?;
        let lengths = FILE_HEADER_BYTES as u32..=FILE_HEADER_BYTES_MAX;
        let whole = checksum.is_good() && lengths.contains(&header.header_bytes);
        if whole && header.major != VERSION_MAJOR {
            let (found_major, found_minor) = (header.major, header.minor);
            let kind = ReadErrorKind::VersionUnsupported { found_major, found_minor };
            return Err(ReadError::new(0, kind));
        }
        let header = if whole { header } else { FileHeader::CURRENT };
        let bytes = header.header_bytes as usize;
        if fill(&mut window, bytes)? < bytes {
            return Err(ReadError::new(0, ReadErrorKind::Truncated));
        }
        window.skip(bytes);
        let fault = (!whole).then_some(ReadError::new(0, ReadErrorKind::HeaderDamaged));
        let payload = Vec::new();
        Ok((Self { window, header, payload, ended: false, complete: false, skipped: 0 }, fault))
    }

    /// The file header.
    #[must_use]
    pub fn header(&self) -> FileHeader {
        self.header
    }

    /// The next batch; `None` at the end. After an error the next call goes on at the next whole
    /// batch, if there is one.
    ///
    /// A file that ends between two batches ends without an error: [`BatchReader::is_complete`]
    /// says whether that is the end with which it was written.
    pub fn next_batch(&mut self) -> Option<Result<Batch<'_>, ReadError>> {
        let found = match self.find()? {
            Ok(found) => found,
            Err(error) => return Some(Err(error)),
        };
        let WholeBatch { header, offset, bytes, unpacked } = found;
        let stored = &self.window.behind(bytes)[usize::from(header.header_bytes)..];
        let payload = if unpacked { self.payload.as_slice() } else { stored };
        Some(Ok(Batch { header, offset, payload }))
    }

    /// Whether there was a trailer: the trace was stopped properly, and its end is not cut off.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Bytes lost to damage so far.
    #[must_use]
    pub fn bytes_skipped(&self) -> u64 {
        self.skipped
    }

    /// Bytes from the start of the file to the place that is read next.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.window.offset()
    }

    fn find(&mut self) -> Option<Result<WholeBatch, ReadError>> {
        if self.ended {
            return None;
        }
        let offset = self.window.offset();
        let available = match fill(&mut self.window, BATCH_HEADER_BYTES) {
            Ok(0) => {
                self.ended = true;
                return None;
            }
            Ok(available) => available,
            Err(error) => return Some(Err(self.give_up(error))),
        };
        if self.at_trailer() {
            (self.ended, self.complete) = (true, true);
            self.window.skip(TRAILER_BYTES);
            return None;
        }
        let (header, bytes) = match self.judge(available) {
            Ok(batch) => batch,
            Err(wrong) => return Some(Err(self.resume_behind(wrong))),
        };
        self.window.skip(bytes);
        let stored = &self.window.behind(bytes)[usize::from(header.header_bytes)..];
        match unpack(&header, stored, &mut self.payload) {
            Ok(unpacked) => Some(Ok(WholeBatch { header, offset, bytes, unpacked })),
            Err(kind) => {
                self.skipped += bytes as u64;
                Some(Err(ReadError::new(offset, kind)))
            }
        }
    }

    /// The batch that begins here: its header and its length. `available` bytes are in memory.
    fn judge(&mut self, available: usize) -> Result<(BatchHeader, usize), NoBatch> {
        let rest = self.window.rest();
        let front: [u8; 4] = std::array::from_fn(|at| rest.get(at).copied().unwrap_or(0));
        let magic = rest.len().min(front.len());
        let is_trailer = rest[..magic] == TRAILER_MAGIC[..magic];
        if is_trailer && front != BATCH_MAGIC {
            let cut = available < TRAILER_BYTES;
            let damaged = ReadErrorKind::TrailerDamaged;
            return Err(NoBatch::Is(if cut { ReadErrorKind::Truncated } else { damaged }));
        }
        if rest[..magic] != BATCH_MAGIC[..magic] {
            return Err(NoBatch::Is(ReadErrorKind::BatchMagicMissing { found: front }));
        }
        let header = rest.first_chunk().and_then(BatchHeader::decode);
        let header = header.ok_or(ReadErrorKind::Truncated)?;
        let bytes = judge_lengths(&header)?;
        if fill(&mut self.window, bytes).map_err(|error| error.kind)? < bytes {
            return Err(NoBatch::Short(bytes));
        }
        judge_checksum(&self.window.rest()[..bytes])?;
        Ok((header, bytes))
    }

    fn at_trailer(&self) -> bool {
        self.window.rest().first_chunk().and_then(Trailer::decode).is_some()
    }

    fn give_up(&mut self, error: ReadError) -> ReadError {
        self.ended = true;
        error
    }

    /// Goes to the next whole batch or trailer, or to the end.
    #[cold]
    fn resume_behind(&mut self, wrong: NoBatch) -> ReadError {
        let from = self.window.offset();
        if let NoBatch::Is(kind @ ReadErrorKind::Io(_)) = wrong {
            return self.give_up(ReadError::new(from, kind));
        }
        let goes_on = match self.search() {
            Ok(goes_on) => goes_on,
            Err(error) => return self.give_up(error),
        };
        let lost = self.window.offset() - from;
        self.skipped += lost;
        let kind = match wrong {
            NoBatch::Is(kind) => kind,
            NoBatch::Short(bytes) if goes_on => {
                ReadErrorKind::BatchTooLong { bytes: bytes as u64, bytes_max: lost }
            }
            NoBatch::Short(_) => ReadErrorKind::Truncated,
        };
        ReadError::new(from, kind)
    }

    /// Skips at least one byte, and goes to the next whole batch or trailer. `false` at the end.
    fn search(&mut self) -> Result<bool, ReadError> {
        let mut vain = VAIN_BYTES;
        self.window.skip(1);
        while fill(&mut self.window, BATCH_HEADER_BYTES)? > 0 {
            let rest = self.window.rest();
            // Both magics begin with this byte.
            let at = rest.iter().position(|&byte| byte == BATCH_MAGIC[0]).unwrap_or(rest.len());
            if at == 0 && (self.at_trailer() || self.at_batch(&mut vain)?) {
                return Ok(true);
            }
            let skip = at.max(1);
            vain += VAIN_PER_BYTE * skip as u64;
            self.window.skip(skip);
        }
        Ok(false)
    }

    /// Whether a whole batch begins here. `vain` bytes may be checksummed to find out.
    fn at_batch(&mut self, vain: &mut u64) -> Result<bool, ReadError> {
        let header = self.window.rest().first_chunk().and_then(BatchHeader::decode);
        let Some(bytes) = header.and_then(|header| judge_lengths(&header).ok()) else {
            return Ok(false);
        };
        let Some(rest) = vain.checked_sub(bytes as u64) else {
            return Ok(false);
        };
        if fill(&mut self.window, bytes)? < bytes {
            return Ok(false);
        }
        *vain = rest;
        Ok(judge_checksum(&self.window.rest()[..bytes]).is_ok())
    }
}

fn fill<R: Read>(window: &mut Sliding<R>, count: usize) -> Result<usize, ReadError> {
    window.fill(count).map_err(|error| ReadError::new(window.offset(), ReadErrorKind::Io(error)))
}
