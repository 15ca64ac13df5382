//! What can be wrong with a trace, and where that became certain.

use std::{error, fmt, io};

/// Why a trace, or a part of it, could not be read.
#[derive(Debug)]
pub struct ReadError {
    /// Bytes from the start of the file to the item that is wrong.
    pub offset: u64,
    /// What is wrong with it.
    pub kind: ReadErrorKind,
}

/// A fault in the bytes, or in getting them.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadErrorKind {
    /// The first bytes are not a trace's.
    NotATrace,
    /// The trace has a major version this reader does not know.
    VersionUnsupported {
        /// In the file.
        found_major: u16,
        /// In the file.
        found_minor: u16,
    },
    /// The file ends inside an item, or without a trailer: a cut file, not a corrupt one.
    Truncated,
    /// The file header's checksum is wrong, or it claims an impossible length.
    HeaderDamaged,
    /// The last 32 bytes are a damaged trailer.
    TrailerDamaged,
    /// A batch should begin here, and does not.
    BatchMagicMissing {
        /// What stands there.
        found: [u8; 4],
    },
    /// A batch header claims a header length outside its bounds.
    BatchHeaderFaulty {
        /// The claimed length of the header.
        header_bytes: u16,
    },
    /// A batch claims more bytes than it may have, or than there are.
    BatchTooLong {
        /// Claimed by the batch header.
        bytes: u64,
        /// Allowed by the format, or left in the file.
        bytes_max: u64,
    },
    /// An uncompressed payload claims two different lengths.
    LengthsDisagree {
        /// As stored.
        stored: u32,
        /// When decompressed.
        payload: u32,
    },
    /// The bytes are not the ones that were written.
    ChecksumWrong {
        /// In the file.
        found: u32,
        /// Of the bytes.
        computed: u32,
    },
    /// The payload is compressed in a way this reader does not know.
    CodecUnknown(u8),
    /// The payload does not decompress to the stated length.
    DecompressFailed,
    /// Bytes inside a batch are no event, or one that is later than its batch.
    EventFaulty {
        /// The opcode that stands there.
        opcode: u8,
        /// From the start of the decompressed payload to it.
        at: usize,
    },
    /// Bytes inside a batch are no definition.
    DefinitionFaulty {
        /// From the start of the decompressed payload to it.
        at: usize,
    },
    /// The index does not describe the file.
    IndexFaulty,
    /// The index describes another batch than the one that lies there.
    IndexDisagrees,
    /// A thread's batches before this one are missing.
    BatchMissing {
        /// Whose.
        thread: u32,
        /// The sequence number that should have been next.
        expected: u32,
        /// The one that is.
        found: u32,
    },
    /// A piece of a thread's batch is missing before this one.
    PieceMissing {
        /// Whose.
        thread: u32,
        /// How many payload bytes of this batch should lie before.
        expected: u32,
        /// How many its header says.
        found: u32,
    },
    /// A batch's first event is earlier than the last one of its thread before it.
    TimeBackwards {
        /// Whose.
        thread: u32,
        /// When the last event before was, or ended.
        before: u64,
        /// When the first event of this batch is.
        first: u64,
    },
    /// Fewer events of a thread are in the file than were written.
    EventsMissing {
        /// Whose.
        thread: u32,
        /// Written, says the recorder.
        written: u64,
        /// In the file.
        found: u64,
    },
    /// Damaged bytes, and nothing says whose they were: the last events of this thread may have
    /// been there.
    EndMissing {
        /// Whose.
        thread: u32,
        /// From when on they may be missing.
        since: u64,
    },
    /// The trace has its end here, and the file goes on.
    BytesBehind {
        /// How many there are.
        bytes: u64,
        /// Whether they are another trace, as if two files had been put together.
        is_trace: bool,
    },
    /// The source failed; the bytes may be fine.
    Io(io::Error),
}

impl ReadError {
    /// A fault of this kind at `offset`.
    #[must_use]
    pub const fn new(offset: u64, kind: ReadErrorKind) -> Self {
        Self { offset, kind }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.offset, self.kind)
    }
}

impl fmt::Display for ReadErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotATrace => write!(f, "not an exectrace trace"),
            Self::VersionUnsupported { found_major, found_minor } => {
                let ours = crate::header::VERSION_MAJOR;
                write!(f, "trace version {found_major}.{found_minor}, this reader knows {ours}.x")
            }
            Self::Truncated => write!(f, "the file ends too early"),
            Self::HeaderDamaged => write!(f, "the file header is damaged"),
            Self::TrailerDamaged => write!(f, "the trailer is damaged"),
            Self::BatchMagicMissing { found } => {
                write!(f, "no batch begins here, but the bytes")?;
                found.iter().try_for_each(|byte| write!(f, " {byte:02x}"))
            }
            Self::BatchHeaderFaulty { header_bytes } => {
                write!(f, "a batch header of {header_bytes} bytes")
            }
            Self::BatchTooLong { bytes, bytes_max } => {
                write!(f, "a batch of {bytes} bytes where {bytes_max} are possible")
            }
            Self::LengthsDisagree { stored, payload } => {
                write!(f, "an uncompressed payload of {stored} and of {payload} bytes")
            }
            Self::ChecksumWrong { found, computed } => {
                write!(f, "damaged batch: checksum {computed:08x}, should be {found:08x}")
            }
            Self::CodecUnknown(codec) => write!(f, "a batch compressed with codec {codec}"),
            Self::DecompressFailed => write!(f, "a batch that can't be decompressed"),
            Self::EventFaulty { opcode, at } => {
                write!(f, "byte {at} of the payload, {opcode:#04x}, begins no event")
            }
            Self::DefinitionFaulty { at } => {
                write!(f, "byte {at} of the payload begins no definition")
            }
            Self::IndexFaulty => write!(f, "the index does not describe the file"),
            Self::IndexDisagrees => write!(f, "the index describes another batch than this"),
            _ => self.fmt_missing(f),
        }
    }
}

impl ReadErrorKind {
    /// The messages about what should be there besides.
    fn fmt_missing(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BatchMissing { thread, expected, found } => {
                write!(f, "thread {thread}: batches {expected} to {found} (exclusive) are missing")
            }
            Self::PieceMissing { thread, expected, found } => {
                write!(f, "thread {thread}: {found} bytes of the batch lie before this piece, ")?;
                write!(f, "but {expected} were found")
            }
            Self::TimeBackwards { thread, before, first } => {
                write!(f, "thread {thread}: a batch begins at {first} ticks, the one before it ")?;
                write!(f, "ended at {before}")
            }
            Self::EventsMissing { thread, written, found } => {
                write!(f, "thread {thread}: {written} events were written, {found} are here")
            }
            Self::EndMissing { thread, since } => {
                write!(f, "thread {thread}: events from {since} ticks on may be missing, as ")?;
                write!(f, "nothing says whose the damaged bytes here were")
            }
            Self::BytesBehind { bytes, is_trace: true } => {
                write!(f, "another trace begins here, {bytes} bytes that were not read: ")?;
                write!(f, "each trace needs a file of its own")
            }
            Self::BytesBehind { bytes, is_trace: false } => {
                write!(f, "{bytes} bytes lie behind the end of the trace")
            }
            _ => write!(f, "the source failed"),
        }
    }
}

impl error::Error for ReadError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match &self.kind {
            ReadErrorKind::Io(cause) => Some(cause),
            _ => None,
        }
    }
}
