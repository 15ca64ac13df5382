//! The file in which a flight recorder keeps what it has: a log that goes round, and the names that
//! are used in it. FORMAT.md, section 12.
//!
//! Here is its layout; `unwind` makes a trace of it. The process that wrote it may have ended at
//! any moment, so every byte is doubted.

#[cfg(feature = "read")]
mod unwind;

#[cfg(feature = "read")]
pub use unwind::unwind;

use crate::header::BATCH_HEADER_BYTES;

/// The first bytes of the file.
pub const MAGIC: [u8; 8] = *b"\x89XTF\r\n\x1a\n";

/// Bytes of the header; those behind it up to [`FIRST_AT`] are reserved.
pub const HEADER_BYTES: usize = 48;

/// Where the first of the two tables of names lies.
pub const FIRST_AT: u64 = 4096;

/// Bytes in front of a table's batches: its number, as a u64.
pub const TABLE_HEADER_BYTES: usize = 8;

/// What ends a table, and what of the log was not written in this round: no batch begins so.
pub const END: [u8; BATCH_HEADER_BYTES] = [0; BATCH_HEADER_BYTES];

/// The number of this layout.
const VERSION: u32 = 1;

/// The file's header: how its bytes are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of each of the two tables of names.
    pub table_bytes: u64,
    /// Bytes of the log, which lies behind them.
    pub log_bytes: u64,
    /// The system's id of the process that writes.
    pub process: u64,
}

impl Header {
    /// Divides so many bytes.
    #[must_use]
    pub const fn divide(bytes: u64, process: u64) -> Self {
        let table_bytes = bytes / 8 / FIRST_AT * FIRST_AT;
        let log_bytes = bytes.saturating_sub(FIRST_AT + 2 * table_bytes) / FIRST_AT * FIRST_AT;
        Self { table_bytes, log_bytes, process }
    }

    /// Where a table lies: 0 or 1.
    #[must_use]
    pub const fn table_at(&self, table: u64) -> u64 {
        FIRST_AT + table * self.table_bytes
    }

    /// Where the log lies.
    #[must_use]
    pub const fn log_at(&self) -> u64 {
        self.table_at(2)
    }

    /// All bytes of the file.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.log_at() + self.log_bytes
    }

    /// The bytes in the file.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[16..24].copy_from_slice(&self.table_bytes.to_le_bytes());
        out[24..32].copy_from_slice(&self.log_bytes.to_le_bytes());
        out[32..40].copy_from_slice(&self.process.to_le_bytes());
        let checksum = crc32c::crc32c(&out[..44]);
        out[44..].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    /// `None` if these bytes are none of this layout, or damaged.
    #[must_use]
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|each| bytes[at + each]));
        let number = |at: usize| u32::from_le_bytes(std::array::from_fn(|each| bytes[at + each]));
        let is_whole = bytes[..8] == MAGIC && number(44) == crc32c::crc32c(&bytes[..44]);
        let header = Self { table_bytes: word(16), log_bytes: word(24), process: word(32) };
        let is_sane = header.table_bytes < 1 << 40 && header.log_bytes < 1 << 40;
        (is_whole && number(8) == VERSION && is_sane).then_some(header)
    }
}
