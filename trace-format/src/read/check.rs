//! Checks one batch: are its lengths possible, is its checksum right, what does it hold?
//!
//! Memory is allocated only after the lengths were found to be within the format's limits.

use super::error::ReadErrorKind;
#[cfg(feature = "lz4")]
use super::file::MEMORY_STEP;
use crate::header::{
    BATCH_HEADER_BYTES, BATCH_HEADER_BYTES_MAX, BatchHeader, CODEC_LZ4, PAYLOAD_BYTES_MAX,
};

/// The longest batch there can be.
pub(crate) const BATCH_BYTES_MAX: usize = BATCH_HEADER_BYTES_MAX + PAYLOAD_BYTES_MAX;

/// The number of bytes that the batch takes in the file, if its header says nothing impossible.
pub(crate) fn judge_lengths(header: &BatchHeader) -> Result<usize, ReadErrorKind> {
    let header_bytes = usize::from(header.header_bytes);
    if !(BATCH_HEADER_BYTES..=BATCH_HEADER_BYTES_MAX).contains(&header_bytes) {
        return Err(ReadErrorKind::BatchHeaderFaulty { header_bytes: header.header_bytes });
    }
    let (stored, payload) = (header.stored_bytes, header.payload_bytes);
    let (bytes, bytes_max) = (u64::from(stored.max(payload)), PAYLOAD_BYTES_MAX as u64);
    if bytes > bytes_max {
        return Err(ReadErrorKind::BatchTooLong { bytes, bytes_max });
    }
    if header.codec == 0 && stored != payload {
        return Err(ReadErrorKind::LengthsDisagree { stored, payload });
    }
    Ok(header_bytes + stored as usize)
}

/// Whether `batch`, header and stored payload, is what was written.
pub(crate) fn judge_checksum(batch: &[u8]) -> Result<(), ReadErrorKind> {
    let Some((header, rest)) = batch.split_first_chunk::<BATCH_HEADER_BYTES>() else {
        return Err(ReadErrorKind::Truncated);
    };
    let checksum = BatchHeader::checksum(header, rest);
    if checksum.is_good() {
        return Ok(());
    }
    Err(ReadErrorKind::ChecksumWrong { found: checksum.found, computed: checksum.computed })
}

/// Decompresses into `out`, whose memory is kept. `false` if the payload lies in `stored` as it is.
pub(crate) fn unpack(
    header: &BatchHeader,
    stored: &[u8],
    out: &mut Vec<u8>,
) -> Result<bool, ReadErrorKind> {
    match header.codec {
        0 => Ok(false),
        CODEC_LZ4 => unpack_lz4(header.payload_bytes as usize, stored, out).map(|()| true),
        codec => Err(ReadErrorKind::CodecUnknown(codec)),
    }
}

#[cfg(feature = "lz4")]
fn unpack_lz4(bytes: usize, stored: &[u8], out: &mut Vec<u8>) -> Result<(), ReadErrorKind> {
    if out.capacity() < bytes {
        *out = Vec::new();
        out.reserve_exact(bytes.next_multiple_of(MEMORY_STEP));
    }
    out.resize(bytes, 0);
    match lz4_flex::block::decompress_into(stored, out) {
        Ok(written) if written == bytes => Ok(()),
        _ => Err(ReadErrorKind::DecompressFailed),
    }
}

#[cfg(not(feature = "lz4"))]
fn unpack_lz4(_: usize, _: &[u8], _: &mut Vec<u8>) -> Result<(), ReadErrorKind> {
    Err(ReadErrorKind::CodecUnknown(CODEC_LZ4))
}
