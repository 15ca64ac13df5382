//! Batches in file order, out of any `Read`, one of them in memory at a time.
//!
//! After a fault the reader looks for the next place where a whole batch or the trailer lies. The
//! work of looking is bounded: bytes that only pretend to be batches can't make it take forever.

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

/// How many bytes may be checksummed in vain after a fault, besides [`VAIN_PER_BYTE`].
const VAIN_BYTES: u64 = 8 << 20;
/// How many more for each byte that is left behind.
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
    /// Its events, if its kind says it has them. An event later than the header says is a fault.
    #[must_use]
    pub fn events(&self) -> Events<'a> {
        let BatchHeader { thread, base_ticks, last_ticks, .. } = self.header;
        Events::new(thread, base_ticks, self.payload).until(last_ticks)
    }

    /// When its first event is, if its kind says it has any: the base may be earlier. The base if
    /// there is none, or if the first bytes are none.
    #[must_use]
    pub fn first_ticks(&self) -> Ticks {
        self.events().peek().map_or(self.header.base_ticks, Ticks)
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
        ReadError::new(self.offset_of(at), ReadErrorKind::EventFaulty { opcode, at })
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
    window: Sliding<R>,
    header: FileHeader,
    payload: Vec<u8>,
    ended: bool,
    complete: bool,
    skipped: u64,
}

/// Why no batch begins where one should.
enum Wrong {
    /// Certainly this.
    Is(ReadErrorKind),
    /// It claims so many bytes, and the file ends before: it is cut, or its length is wrong.
    Short(usize),
}

impl From<ReadErrorKind> for Wrong {
    fn from(kind: ReadErrorKind) -> Self {
        Self::Is(kind)
    }
}

/// A whole batch; its bytes are the `bytes` that were skipped last.
struct Found {
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

    /// As [`BatchReader::new`], but a damaged file header is no reason to give up.
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

    /// The next batch; `None` at the end. After an error the next call goes on at the next batch
    /// that is whole, if there is one.
    ///
    /// A file that ends between two batches ends without an error: [`BatchReader::is_complete`]
    /// tells whether that is the end it was written with.
    pub fn next_batch(&mut self) -> Option<Result<Batch<'_>, ReadError>> {
        let found = match self.find()? {
            Ok(found) => found,
            Err(error) => return Some(Err(error)),
        };
        let Found { header, offset, bytes, unpacked } = found;
        let stored = &self.window.behind(bytes)[usize::from(header.header_bytes)..];
        let payload = if unpacked { self.payload.as_slice() } else { stored };
        Some(Ok(Batch { header, offset, payload }))
    }

    /// Whether a trailer was seen: the trace was stopped properly and its end is not cut off.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Bytes lost to damage so far.
    #[must_use]
    pub fn bytes_skipped(&self) -> u64 {
        self.skipped
    }

    /// Bytes from the start of the file to what is read next.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.window.offset()
    }

    fn find(&mut self) -> Option<Result<Found, ReadError>> {
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
            Ok(unpacked) => Some(Ok(Found { header, offset, bytes, unpacked })),
            Err(kind) => {
                self.skipped += bytes as u64;
                Some(Err(ReadError::new(offset, kind)))
            }
        }
    }

    /// The batch that begins here: its header and its length. `available` bytes are in memory.
    fn judge(&mut self, available: usize) -> Result<(BatchHeader, usize), Wrong> {
        let rest = self.window.rest();
        let front: [u8; 4] = std::array::from_fn(|at| rest.get(at).copied().unwrap_or(0));
        let magic = rest.len().min(front.len());
        let is_trailer = rest[..magic] == TRAILER_MAGIC[..magic];
        if is_trailer && front != BATCH_MAGIC {
            let cut = available < TRAILER_BYTES;
            let damaged = ReadErrorKind::TrailerDamaged;
            return Err(Wrong::Is(if cut { ReadErrorKind::Truncated } else { damaged }));
        }
        if rest[..magic] != BATCH_MAGIC[..magic] {
            return Err(Wrong::Is(ReadErrorKind::BatchMagicMissing { found: front }));
        }
        let header = rest.first_chunk().and_then(BatchHeader::decode);
        let header = header.ok_or(ReadErrorKind::Truncated)?;
        let bytes = judge_lengths(&header)?;
        if fill(&mut self.window, bytes).map_err(|error| error.kind)? < bytes {
            return Err(Wrong::Short(bytes));
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

    /// Goes to the next batch or trailer that is whole, or to the end.
    #[cold]
    fn resume_behind(&mut self, wrong: Wrong) -> ReadError {
        let from = self.window.offset();
        if let Wrong::Is(kind @ ReadErrorKind::Io(_)) = wrong {
            return self.give_up(ReadError::new(from, kind));
        }
        let goes_on = match self.search() {
            Ok(goes_on) => goes_on,
            Err(error) => return self.give_up(error),
        };
        let lost = self.window.offset() - from;
        self.skipped += lost;
        let kind = match wrong {
            Wrong::Is(kind) => kind,
            Wrong::Short(bytes) if goes_on => {
                ReadErrorKind::BatchTooLong { bytes: bytes as u64, bytes_max: lost }
            }
            Wrong::Short(_) => ReadErrorKind::Truncated,
        };
        ReadError::new(from, kind)
    }

    /// Skips at least one byte, and then to a whole batch or trailer. `false` at the end.
    fn search(&mut self) -> Result<bool, ReadError> {
        let mut vain = VAIN_BYTES;
        self.window.skip(1);
        while fill(&mut self.window, BATCH_HEADER_BYTES)? > 0 {
            let rest = self.window.rest();
            // Both magics begin with it.
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
