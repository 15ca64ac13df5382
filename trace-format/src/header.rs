//! The three fixed structures: file header, batch header, trailer. FORMAT.md, sections 2, 3, 8.
//!
//! All integers are little endian. A reader checks a header before it uses anything in it: first
//! the magic, then the lengths against their limits, then the checksum.

use crate::fixed::{Fixed, is_whole, u16_at, u32_at, u64_at};
use crate::id::ThreadId;
use crate::time::Ticks;

pub use crate::fixed::Checksum;

/// The first bytes of every trace. As in PNG, it has line ends, which a transfer as text changes.
pub const FILE_MAGIC: [u8; 8] = *b"\x89XTR\r\n\x1a\n";
/// The format's major version: readers refuse any other.
pub const VERSION_MAJOR: u16 = 1;
/// The format's minor version: it grows with every addition that an older reader can skip.
pub const VERSION_MINOR: u16 = 0;
/// Bytes of the file header.
pub const FILE_HEADER_BYTES: usize = 32;
/// The first bytes of every batch. A reader looks for them after damage.
pub const BATCH_MAGIC: [u8; 4] = *b"XTB\xf1";
/// Bytes of a batch header without pending slots.
pub const BATCH_HEADER_BYTES: usize = 64;
/// Maximum size of a batch header: with 32 pending slots of 16 bytes.
pub const BATCH_HEADER_BYTES_MAX: usize = BATCH_HEADER_BYTES + 32 * 16;
/// Maximum size of a payload, stored or decompressed. Batches of events stay below 64 KiB.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// The first bytes of the trailer.
pub const TRAILER_MAGIC: [u8; 8] = *b"XTRINDEX";
/// Bytes of the trailer.
pub const TRAILER_BYTES: usize = 32;

/// The file header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHeader {
    /// See [`VERSION_MAJOR`].
    pub major: u16,
    /// See [`VERSION_MINOR`].
    pub minor: u16,
    /// From the start of the file to the first batch; at least [`FILE_HEADER_BYTES`].
    pub header_bytes: u32,
}

impl FileHeader {
    /// What this version writes.
    pub const CURRENT: Self =
        Self { major: VERSION_MAJOR, minor: VERSION_MINOR, header_bytes: FILE_HEADER_BYTES as u32 };

    /// The bytes on the wire.
    #[must_use]
    pub fn encode(&self) -> [u8; FILE_HEADER_BYTES] {
        Fixed::new(FILE_MAGIC)
            .put(8, self.major.to_le_bytes())
            .put(10, self.minor.to_le_bytes())
            .put(12, self.header_bytes.to_le_bytes())
            .end(&[])
    }

    /// Reads the fields; the caller checks version and checksum. `None` if the magic is another
    /// one.
    #[must_use]
    pub fn decode(bytes: &[u8; FILE_HEADER_BYTES]) -> Option<(Self, Checksum)> {
        (bytes[..8] == FILE_MAGIC).then(|| {
            let header = Self {
                major: u16_at(bytes, 8),
                minor: u16_at(bytes, 10),
                header_bytes: u32_at(bytes, 12),
            };
            (header, Checksum::of(bytes, &[]))
        })
    }
}

/// What a batch holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BatchKind {
    /// Events of one thread.
    Events,
    /// Definitions by the collector.
    Definitions,
    /// Entries of the index.
    Index,
    /// Something of a newer version: skip it.
    Unknown(u8),
}

impl BatchKind {
    /// The byte on the wire.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        match self {
            Self::Events => 1,
            Self::Definitions => 2,
            Self::Index => 3,
            Self::Unknown(byte) => byte,
        }
    }

    /// The inverse of [`BatchKind::to_byte`].
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Events,
            2 => Self::Definitions,
            3 => Self::Index,
            other => Self::Unknown(other),
        }
    }
}

/// Flag of a batch whose payload begins with what was open on the thread, so that it can be read
/// without earlier batches.
pub const FLAG_RESTATED: u32 = 1;
/// Flag of the thread's first batch in a file: batches of lower numbers are not missing.
pub const FLAG_FIRST: u32 = 2;

/// The codec of a payload that is compressed as one LZ4 block.
pub const CODEC_LZ4: u8 = 1;

/// The batch header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// What the payload holds.
    pub kind: BatchKind,
    /// 0: stored as it is; [`CODEC_LZ4`].
    pub codec: u8,
    /// From the batch's start to its payload.
    pub header_bytes: u16,
    /// Bytes of the payload as stored.
    pub stored_bytes: u32,
    /// Bytes of the payload after decompression.
    pub payload_bytes: u32,
    /// Whose events; 0 for the collector.
    pub thread: ThreadId,
    /// Number of the batch within its thread (definitions and index: within their kind), from 0.
    pub sequence: u32,
    /// Bytes of this batch's payload that earlier pieces of it hold: not 0 if the batch was written
    /// in pieces and this is not the first.
    pub offset: u32,
    /// The generation in which it was written.
    pub generation: u32,
    /// The time from which the first event's delta counts.
    pub base_ticks: Ticks,
    /// When its last event was.
    pub last_ticks: Ticks,
    /// How many events (definitions, index entries) the payload holds.
    pub events: u32,
    /// [`FLAG_RESTATED`], [`FLAG_FIRST`] and, later, others.
    pub flags: u32,
}

impl BatchHeader {
    /// The bytes on the wire, with the checksum over them and `stored`.
    #[must_use]
    pub fn encode(&self, stored: &[u8]) -> [u8; BATCH_HEADER_BYTES] {
        Fixed::new(BATCH_MAGIC)
            .put(4, [self.kind.to_byte(), self.codec])
            .put(6, self.header_bytes.to_le_bytes())
            .put(8, self.stored_bytes.to_le_bytes())
            .put(12, self.payload_bytes.to_le_bytes())
            .put(16, self.thread.0.to_le_bytes())
            .put(20, self.sequence.to_le_bytes())
            .put(24, self.offset.to_le_bytes())
            .put(28, self.generation.to_le_bytes())
            .put(32, self.base_ticks.0.to_le_bytes())
            .put(40, self.last_ticks.0.to_le_bytes())
            .put(48, self.events.to_le_bytes())
            .put(52, self.flags.to_le_bytes())
            .end(stored)
    }

    /// Reads the fields, and checks nothing but the magic: `None` if that is another one.
    #[must_use]
    pub fn decode(bytes: &[u8; BATCH_HEADER_BYTES]) -> Option<Self> {
        (bytes[..4] == BATCH_MAGIC).then(|| Self {
            kind: BatchKind::from_byte(bytes[4]),
            codec: bytes[5],
            header_bytes: u16_at(bytes, 6),
            stored_bytes: u32_at(bytes, 8),
            payload_bytes: u32_at(bytes, 12),
            thread: ThreadId(u32_at(bytes, 16)),
            sequence: u32_at(bytes, 20),
            offset: u32_at(bytes, 24),
            generation: u32_at(bytes, 28),
            base_ticks: Ticks(u64_at(bytes, 32)),
            last_ticks: Ticks(u64_at(bytes, 40)),
            events: u32_at(bytes, 48),
            flags: u32_at(bytes, 52),
        })
    }

    /// The checksum in `header`, and the one of its bytes followed by `rest`: all bytes from the
    /// end of the fixed header to the end of the batch.
    #[must_use]
    pub fn checksum(header: &[u8; BATCH_HEADER_BYTES], rest: &[u8]) -> Checksum {
        Checksum::of(header, rest)
    }
}

/// The last bytes of a trace that was ended properly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// Bytes from the start of the file to the last index batch, which has the offset of the index
    /// batch before it.
    pub index_offset: u64,
    /// How many batches the index lists.
    pub batches: u64,
}

impl Trailer {
    /// The bytes on the wire.
    #[must_use]
    pub fn encode(&self) -> [u8; TRAILER_BYTES] {
        Fixed::new(TRAILER_MAGIC)
            .put(8, self.index_offset.to_le_bytes())
            .put(16, self.batches.to_le_bytes())
            .end(&[])
    }

    /// `None` if these bytes are no trailer, or damaged.
    #[must_use]
    pub fn decode(bytes: &[u8; TRAILER_BYTES]) -> Option<Self> {
        is_whole(bytes, &TRAILER_MAGIC)
            .then(|| Self { index_offset: u64_at(bytes, 8), batches: u64_at(bytes, 16) })
    }
}
