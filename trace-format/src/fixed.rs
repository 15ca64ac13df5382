//! Structures of a fixed size: numbers at fixed places, all of them little endian, and in the last
//! four bytes a checksum.

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

    /// That of a structure.
    ///
    /// - `rest`: the bytes behind the structure that its checksum includes.
    pub(crate) fn of(structure: &[u8], rest: &[u8]) -> Self {
        let at = structure.len() - CHECKSUM_BYTES;
        Self { found: u32_at(structure, at), computed: compute(&structure[..at], rest) }
    }
}

const CHECKSUM_BYTES: usize = 4;

fn compute(front: &[u8], rest: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(front), rest)
}

/// A structure in the making. What is not put is 0.
pub(crate) struct Fixed<const N: usize>([u8; N]);

impl<const N: usize> Fixed<N> {
    /// Begins with `magic`.
    pub(crate) fn new(magic: impl AsRef<[u8]>) -> Self {
        Self([0; N]).put(0, magic)
    }

    /// Puts the bytes of a number at its place.
    pub(crate) fn put(mut self, at: usize, number: impl AsRef<[u8]>) -> Self {
        let number = number.as_ref();
        self.0[at..at + number.len()].copy_from_slice(number);
        self
    }

    /// Ends it with its checksum, which includes `rest`: bytes that will lie behind it.
    pub(crate) fn end(self, rest: &[u8]) -> [u8; N] {
        let at = N - CHECKSUM_BYTES;
        let checksum = compute(&self.0[..at], rest);
        self.put(at, checksum.to_le_bytes()).0
    }
}

/// Whether a structure begins with `magic`, and has the checksum of its own bytes.
pub(crate) fn is_whole(structure: &[u8], magic: &[u8]) -> bool {
    structure.starts_with(magic) && Checksum::of(structure, &[]).is_good()
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// As [`u64_at`], of bytes that may end before that.
#[cfg(feature = "read")]
pub(crate) fn try_u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}
