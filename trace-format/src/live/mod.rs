//! The file that lies beside a trace while its process writes: batches as they are in the threads'
//! memory. FORMAT.md, section 11.
//!
//! Here is its layout. `recover` finds what a trace that was cut does not have yet, and `before`
//! what the part before it has. The process that wrote the file may have ended at any moment, so
//! every byte is doubted.

#[cfg(feature = "read")]
mod before;
#[cfg(feature = "read")]
mod recover;

#[cfg(feature = "read")]
pub use recover::{Recovered, recover, recover_part};

/// The first bytes of the file.
pub const MAGIC: [u8; 8] = *b"\x89XTL\r\n\x1a\n";

/// Bytes of the header.
pub const HEADER_BYTES: usize = 32;

/// Batches begin at multiples of this; the first page is the header's.
pub const PAGE_BYTES: usize = 4096;

/// The first four bytes of the word that says whose a batch is, read as a number.
pub const OWNER_MAGIC: u32 = 0xf142_5458;

/// Bytes from a batch's begin to its slots, and how many those are.
pub const SLOTS_AT: usize = 48;
/// See [`SLOTS_AT`].
pub const SLOTS: usize = 32;

/// The number of this layout.
const VERSION: u32 = 1;

/// The file's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The system's id of the process that writes.
    pub process: u64,
}

impl Header {
    /// The bytes in the file.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[12..16].copy_from_slice(&(PAGE_BYTES as u32).to_le_bytes());
        out[16..24].copy_from_slice(&self.process.to_le_bytes());
        let checksum = crc32c::crc32c(&out[..28]);
        out[28..].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    /// Whether the process that writes this file is the one that wrote the trace. A trace that was
    /// cut before it names its process contradicts none.
    #[cfg(feature = "read")]
    #[must_use]
    pub fn is_of<S: crate::read::ReadAt>(&self, trace: &crate::read::TraceFile<S>) -> bool {
        let process = trace.tables().process.as_ref();
        process.is_none_or(|process| process.pid == self.process)
    }

    /// `None` if these bytes are none of this layout, or damaged.
    #[must_use]
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let number = |at| u32::from_le_bytes(std::array::from_fn(|each| bytes[at + each]));
        let is_whole = bytes[..8] == MAGIC && number(28) == crc32c::crc32c(&bytes[..28]);
        let is_known = number(8) == VERSION && number(12) as usize == PAGE_BYTES;
        let process = u64::from(number(16)) | u64::from(number(20)) << 32;
        (is_whole && is_known).then_some(Self { process })
    }
}
