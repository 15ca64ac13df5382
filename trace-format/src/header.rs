//! The three fixed structures: file header, batch header, trailer. FORMAT.md, sections 2, 3, 8.
//!
//! All integers are little endian. A header is checked before anything it says is believed: magic,
//! then lengths against their limits, then the checksum.

use crate::id::ThreadId;
use crate::time::Ticks;

/// The first bytes of every trace. As in PNG, the line ends in it show a transfer as text.
pub const FILE_MAGIC: [u8; 8] = *b"\x89XTR\r\n\x1a\n";
/// The format's version: readers refuse another major, and accept a newer minor.
pub const VERSION_MAJOR: u16 = 1;
/// Grows with every addition that an old reader can skip.
pub const VERSION_MINOR: u16 = 0;
/// Bytes of the file header.
pub const FILE_HEADER_BYTES: usize = 32;
/// The first bytes of every batch: what a reader looks for after damage.
pub const BATCH_MAGIC: [u8; 4] = *b"XTB\xf1";
/// Bytes of a batch header without pending slots.
pub const BATCH_HEADER_BYTES: usize = 64;
/// The longest batch header: with 32 pending slots of 16 bytes.
pub const BATCH_HEADER_BYTES_MAX: usize = BATCH_HEADER_BYTES + 32 * 16;
/// The longest payload, stored or decompressed; batches of events stay below 64 KiB.
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
        let mut out = [0; FILE_HEADER_BYTES];
        out[..8].copy_from_slice(&FILE_MAGIC);
        out[8..10].copy_from_slice(&self.major.to_le_bytes());
        out[10..12].copy_from_slice(&self.minor.to_le_bytes());
        out[12..16].copy_from_slice(&self.header_bytes.to_le_bytes());
        let checksum = crc32c::crc32c(&out[..28]);
        out[28..].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    /// Reads the fields; the caller judges the version. `None` if the magic is another's.
    #[must_use]
    pub fn decode(bytes: &[u8; FILE_HEADER_BYTES]) -> Option<(Self, Checksum)> {
        (bytes[..8] == FILE_MAGIC).then(|| {
            let header = Self {
                major: u16_at(bytes, 8),
                minor: u16_at(bytes, 10),
                header_bytes: u32_at(bytes, 12),
            };
            let found = u32_at(bytes, 28);
            (header, Checksum { found, computed: crc32c::crc32c(&bytes[..28]) })
        })
    }
}

/// A checksum as it stands in the file, and as it comes out of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum {
    /// In the file.
    pub found: u32,
    /// Of the bytes.
    pub computed: u32,
}

impl Checksum {
    /// Whether the bytes are the ones that were written.
    #[must_use]
    pub fn is_good(self) -> bool {
        self.found == self.computed
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
    /// A part of the index.
    Index,
    /// Of a newer version: to be skipped.
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

/// The payload begins with what was open on the thread, so the batch can be read alone.
pub const FLAG_RESTATED: u32 = 1;
/// The thread's batches begin with this one in this file: those of lower numbers are not missing.
pub const FLAG_FIRST: u32 = 2;

/// A payload compressed as one LZ4 block.
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
    /// Bytes of this batch's payload that earlier pieces of it hold: not 0 for the rest of a batch
    /// that was cut while it was open.
    pub offset: u32,
    /// The generation in which it was written.
    pub generation: u32,
    /// The first event's delta counts from here.
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
        let mut out = [0; BATCH_HEADER_BYTES];
        out[..4].copy_from_slice(&BATCH_MAGIC);
        out[4] = self.kind.to_byte();
        out[5] = self.codec;
        out[6..8].copy_from_slice(&self.header_bytes.to_le_bytes());
        out[8..12].copy_from_slice(&self.stored_bytes.to_le_bytes());
        out[12..16].copy_from_slice(&self.payload_bytes.to_le_bytes());
        out[16..20].copy_from_slice(&self.thread.0.to_le_bytes());
        out[20..24].copy_from_slice(&self.sequence.to_le_bytes());
        out[24..28].copy_from_slice(&self.offset.to_le_bytes());
        out[28..32].copy_from_slice(&self.generation.to_le_bytes());
        out[32..40].copy_from_slice(&self.base_ticks.0.to_le_bytes());
        out[40..48].copy_from_slice(&self.last_ticks.0.to_le_bytes());
        out[48..52].copy_from_slice(&self.events.to_le_bytes());
        out[52..56].copy_from_slice(&self.flags.to_le_bytes());
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&out[..60]), stored);
        out[60..].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    /// Reads the fields; `None` if the magic is not there. Nothing is judged.
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

    /// The checksum in `header`, and the one of its bytes followed by `rest`: all that lies
    /// between the fixed header and the end of the batch.
    #[must_use]
    pub fn checksum(header: &[u8; BATCH_HEADER_BYTES], rest: &[u8]) -> Checksum {
        let computed = crc32c::crc32c_append(crc32c::crc32c(&header[..60]), rest);
        Checksum { found: u32_at(header, 60), computed }
    }
}

/// The last bytes of a trace that was ended properly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// From the start of the file to the last part of the index, which names the one before it.
    pub index_offset: u64,
    /// How many batches the index lists.
    pub batches: u64,
}

impl Trailer {
    /// The bytes on the wire.
    #[must_use]
    pub fn encode(&self) -> [u8; TRAILER_BYTES] {
        let mut out = [0; TRAILER_BYTES];
        out[..8].copy_from_slice(&TRAILER_MAGIC);
        out[8..16].copy_from_slice(&self.index_offset.to_le_bytes());
        out[16..24].copy_from_slice(&self.batches.to_le_bytes());
        let checksum = crc32c::crc32c(&out[..28]);
        out[28..].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    /// `None` if these bytes are no trailer, or a damaged one.
    #[must_use]
    pub fn decode(bytes: &[u8; TRAILER_BYTES]) -> Option<Self> {
        let whole =
            bytes[..8] == TRAILER_MAGIC && u32_at(bytes, 28) == crc32c::crc32c(&bytes[..28]);
        whole.then(|| Self { index_offset: u64_at(bytes, 8), batches: u64_at(bytes, 16) })
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
