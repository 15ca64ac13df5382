//! The file that lies beside a trace while its process writes: batches as they are in the threads'
//! memory. FORMAT.md, section 11.
//!
//! Here is its layout. `batches` (private) finds what is in it, `recover` (private) which of that a
//! trace that was cut does not have, and `previous` (private) what the trace's previous part has.

#[cfg(feature = "read")]
mod batches;
#[cfg(feature = "read")]
mod previous;
#[cfg(feature = "read")]
mod recover;

#[cfg(feature = "read")]
pub use recover::{Recovered, recover, recover_part};

use super::PAGE_BYTES;
use crate::fixed::{Fixed, is_whole, u32_at, u64_at};

/// The first bytes of the file.
pub const MAGIC: [u8; 8] = *b"\x89XTL\r\n\x1a\n";

/// Bytes of the header. Batches begin at the pages behind the first one.
pub const HEADER_BYTES: usize = 32;

/// The first four bytes of the word that says whose a batch is, read as a number.
pub const OWNER_MAGIC: u32 = 0xf142_5458;

/// Bytes from a batch's begin to its slots.
pub const SLOTS_AT: usize = 48;

/// Slots of a batch.
pub const SLOTS: usize = 32;

/// The number of this layout.
const VERSION: u32 = 1;

/// The file's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveHeader {
    /// The system's id of the process that writes.
    pub process: u64,
}

impl LiveHeader {
    /// The bytes in the file.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        Fixed::new(MAGIC)
            .put(8, VERSION.to_le_bytes())
            .put(12, (PAGE_BYTES as u32).to_le_bytes())
            .put(16, self.process.to_le_bytes())
            .end(&[])
    }

    /// Whether the process that writes this file is the one that wrote the trace. A trace that was
    /// cut before it names its process contradicts none.
    #[cfg(feature = "read")]
    #[must_use]
    pub fn is_of<S: crate::read::ReadAt>(&self, trace: &crate::read::TraceFile<S>) -> bool {
        let process = trace.tables().process.as_ref();
        process.is_none_or(|process| process.pid == self.process)
    }

    /// `None` if these bytes are no header of this layout, or a damaged one.
    #[must_use]
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let is_known = u32_at(bytes, 8) == VERSION && u32_at(bytes, 12) as usize == PAGE_BYTES;
        (is_whole(bytes, &MAGIC) && is_known).then(|| Self { process: u64_at(bytes, 16) })
    }
}
