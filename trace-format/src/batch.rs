//! From payloads to a file's bytes: headers filled in, compressed if asked, listed for the index.
//!
//! A [`FileEncoder`] returns bytes that the caller appends to its sink in the order in which it got
//! them. It does no IO itself, so it knows offsets, but never whether a write worked.

use crate::header::{
    BATCH_HEADER_BYTES, BatchHeader, BatchKind, FILE_HEADER_BYTES, FLAG_FIRST, FileHeader,
    TRAILER_BYTES, Trailer,
};
use crate::id::ThreadId;
use crate::index::{IndexEntry, put_entry};
use crate::time::Ticks;
use crate::varint::put_varint;

/// How payloads are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// One LZ4 block each, where that is smaller.
    #[cfg(feature = "lz4")]
    Lz4,
}

/// The part of a batch's header that the caller gives; the encoder adds the rest.
#[derive(Clone, Copy, Debug)]
pub struct BatchInfo {
    /// What the payload holds.
    pub kind: BatchKind,
    /// Whose events; 0 for the collector.
    pub thread: ThreadId,
    /// Its number within its thread.
    pub sequence: u32,
    /// Payload bytes of the same batch in earlier pieces.
    pub offset: u32,
    /// The generation in which it is written.
    pub generation: u32,
    /// The time from which the first event's delta counts.
    pub base_ticks: Ticks,
    /// Nothing in it is later.
    pub last_ticks: Ticks,
    /// How many events it holds.
    pub events: u32,
    /// See [`crate::header::FLAG_RESTATED`].
    pub flags: u32,
}

/// A batch ready to be appended: first the header, then the stored payload.
#[derive(Clone, Copy, Debug)]
pub struct Encoded<'a> {
    /// Header bytes.
    pub header: [u8; BATCH_HEADER_BYTES],
    /// The payload as it is stored: the caller's, or its compressed form.
    pub stored: &'a [u8],
}

impl BatchInfo {
    /// A batch of `count` definitions, as of `now`.
    #[must_use]
    pub fn of_definitions(sequence: u32, generation: u32, now: Ticks, count: u32) -> Self {
        Self {
            kind: BatchKind::Definitions,
            thread: ThreadId(0),
            sequence,
            offset: 0,
            generation,
            base_ticks: now,
            last_ticks: now,
            events: count,
            flags: 0,
        }
    }

    /// The same piece as the first one of its thread in a file; `None` if a thread can't begin with
    /// it, as it does not restate what is open.
    #[must_use]
    pub fn first_of_thread(self) -> Option<Self> {
        let first = if self.sequence > 0 { FLAG_FIRST } else { 0 };
        (self.offset == 0).then_some(Self { flags: self.flags | first, ..self })
    }

    /// The header of a batch that is stored without compression, and is in no index.
    #[must_use]
    pub fn header(&self, payload: &[u8]) -> [u8; BATCH_HEADER_BYTES] {
        self.with(0, payload, payload.len()).encode(payload)
    }

    fn with(&self, codec: u8, stored: &[u8], payload_bytes: usize) -> BatchHeader {
        BatchHeader {
            kind: self.kind,
            codec,
            header_bytes: BATCH_HEADER_BYTES as u16,
            stored_bytes: stored.len() as u32,
            payload_bytes: payload_bytes as u32,
            thread: self.thread,
            sequence: self.sequence,
            offset: self.offset,
            generation: self.generation,
            base_ticks: self.base_ticks,
            last_ticks: self.last_ticks,
            events: self.events,
            flags: self.flags,
        }
    }
}

/// Encodes a file's batches, and keeps what the index at its end needs.
#[derive(Debug)]
pub struct FileEncoder {
    compression: Compression,
    #[cfg(feature = "lz4")]
    scratch: Vec<u8>,
    offset: u64,
    /// Batches that no index batch lists yet.
    index: Vec<IndexEntry>,
    /// Offset of the last index batch; 0 before the first.
    index_offset: u64,
    index_batches: u32,
    batches: u64,
}

impl FileEncoder {
    /// An encoder at the start of a file.
    #[must_use]
    pub fn new(compression: Compression) -> Self {
        Self {
            compression,
            #[cfg(feature = "lz4")]
            scratch: Vec::new(),
            offset: 0,
            index: Vec::new(),
            index_offset: 0,
            index_batches: 0,
            batches: 0,
        }
    }

    /// Bytes returned so far.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The file header; the first bytes of the file.
    pub fn begin(&mut self) -> [u8; FILE_HEADER_BYTES] {
        self.offset = FILE_HEADER_BYTES as u64;
        FileHeader::CURRENT.encode()
    }

    /// The next batch.
    pub fn batch<'a>(&'a mut self, info: &BatchInfo, payload: &'a [u8]) -> Encoded<'a> {
        let (codec, stored) = compress(
            self.compression,
            #[cfg(feature = "lz4")]
            &mut self.scratch,
            payload,
        );
        let header = info.with(codec, stored, payload.len());
        if info.kind != BatchKind::Index {
            self.index.push(IndexEntry::new(self.offset, &header));
            self.batches += 1;
        }
        self.offset += (BATCH_HEADER_BYTES + stored.len()) as u64;
        Encoded { header: header.encode(stored), stored }
    }

    /// Notes that the caller has appended a batch of another file as it was.
    #[cfg(feature = "read")]
    pub(crate) fn copied(&mut self, entry: &IndexEntry) {
        self.index.push(IndexEntry { offset: self.offset, ..*entry });
        self.batches += 1;
        self.offset += u64::from(entry.bytes);
    }

    /// An index batch, if there are enough batches to list. Call it after every batch, so that the
    /// encoder's memory does not grow with the file.
    pub fn index_if_due(&mut self) -> Option<Vec<u8>> {
        (self.index.len() >= ENTRIES_PER_BATCH).then(|| self.index_batch())
    }

    /// The rest of the index and the trailer: the last bytes of the file.
    pub fn end(&mut self) -> Vec<u8> {
        let mut out = self.index_batch();
        let trailer = Trailer { index_offset: self.index_offset, batches: self.batches };
        out.extend_from_slice(&trailer.encode());
        self.offset += TRAILER_BYTES as u64;
        out
    }

    fn index_batch(&mut self) -> Vec<u8> {
        let entries = std::mem::take(&mut self.index);
        let mut payload = Vec::new();
        put_varint(&mut payload, self.index_offset);
        let mut offset_before = 0;
        for entry in &entries {
            put_entry(&mut payload, entry, offset_before);
            offset_before = entry.offset;
        }
        self.index_offset = self.offset;
        let info = BatchInfo {
            kind: BatchKind::Index,
            thread: ThreadId(0),
            sequence: self.index_batches,
            offset: 0,
            generation: 0,
            base_ticks: Ticks(0),
            last_ticks: Ticks(0),
            events: entries.len() as u32,
            flags: 0,
        };
        self.index_batches += 1;
        let encoded = self.batch(&info, &payload);
        [encoded.header.as_slice(), encoded.stored].concat()
    }
}

/// Entries of an index batch. An entry has at most 66 bytes, so the batch stays far below
/// `PAYLOAD_BYTES_MAX`.
const ENTRIES_PER_BATCH: usize = 4096;

#[cfg(not(feature = "lz4"))]
fn compress(_: Compression, payload: &[u8]) -> (u8, &[u8]) {
    (0, payload)
}

#[cfg(feature = "lz4")]
fn compress<'a>(how: Compression, scratch: &'a mut Vec<u8>, payload: &'a [u8]) -> (u8, &'a [u8]) {
    if how == Compression::None {
        return (0, payload);
    }
    scratch.resize(lz4_flex::block::get_maximum_output_size(payload.len()), 0);
    match lz4_flex::block::compress_into(payload, scratch) {
        Ok(bytes) if bytes < payload.len() => (crate::header::CODEC_LZ4, &scratch[..bytes]),
        _ => (0, payload),
    }
}
