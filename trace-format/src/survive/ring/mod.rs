//! The file in which a flight recorder keeps the last of what happened: a log that goes round, and
//! the names that are used in it. FORMAT.md, section 12.
//!
//! Here is its layout. `unwind` (private) makes a trace of it.

#[cfg(feature = "read")]
mod unwind;

#[cfg(feature = "read")]
pub use unwind::unwind;

use super::PAGE_BYTES;
use crate::fixed::{Fixed, is_whole, u32_at, u64_at};
use crate::header::BATCH_HEADER_BYTES;

/// The first bytes of the file.
pub const MAGIC: [u8; 8] = *b"\x89XTF\r\n\x1a\n";

/// Bytes of the header; those behind it up to [`FIRST_AT`] are reserved.
pub const HEADER_BYTES: usize = 48;

/// Where the first of the two tables of names lies.
pub const FIRST_AT: u64 = PAGE_BYTES as u64;

/// Bytes in front of a table's batches: its number, as a u64.
pub const TABLE_HEADER_BYTES: usize = 8;

/// These bytes stand behind a table's last batch, and behind the newest batch of the log. No batch
/// begins with them.
pub const END: [u8; BATCH_HEADER_BYTES] = [0; BATCH_HEADER_BYTES];

/// The number of this layout.
const VERSION: u32 = 1;

/// The file's header: how its bytes are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingHeader {
    /// Bytes of each of the two tables of names.
    pub table_bytes: u64,
    /// Bytes of the log, which lies behind them.
    pub log_bytes: u64,
    /// The system's id of the process that writes.
    pub process: u64,
}

impl RingHeader {
    /// The division of a file of at most `bytes` bytes: an eighth for each table, the rest for the
    /// log, all of them whole pages.
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
        Fixed::new(MAGIC)
            .put(8, VERSION.to_le_bytes())
            .put(16, self.table_bytes.to_le_bytes())
            .put(24, self.log_bytes.to_le_bytes())
            .put(32, self.process.to_le_bytes())
            .end(&[])
    }

    /// `None` if these bytes are no header of this layout, or a damaged one.
    #[must_use]
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let word = |at| u64_at(bytes, at);
        let header = Self { table_bytes: word(16), log_bytes: word(24), process: word(32) };
        let is_sane = header.table_bytes < 1 << 40 && header.log_bytes < 1 << 40;
        let is_known = is_whole(bytes, &MAGIC) && u32_at(bytes, 8) == VERSION;
        (is_known && is_sane).then_some(header)
    }
}
