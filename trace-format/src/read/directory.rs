//! Where the batches of a file lie: from the index at its end, or rebuilt from the batches.
//!
//! An index is believed only if its batches and the file header and trailer cover the file without
//! a gap. Then no later step can be led outside the file, and no batch is forgotten.

use std::collections::BTreeMap;
use std::io;

use super::check::judge_lengths;
use super::error::{ReadError, ReadErrorKind};
use super::file::{BatchBuffer, load_at};
use super::source::{ReadAt, Sequential, read_full};
use super::stream::BatchReader;
use crate::header::{
    BATCH_HEADER_BYTES, BatchHeader, BatchKind, FILE_MAGIC, FLAG_FIRST, FileHeader, TRAILER_BYTES,
    Trailer,
};
use crate::id::ThreadId;
use crate::index::{IndexEntry, take_entry};
use crate::varint::take_varint;

/// What is known of a file before any of its events are.
pub(crate) struct Directory {
    pub(crate) header: FileHeader,
    pub(crate) index: Vec<IndexEntry>,
    pub(crate) faults: Vec<ReadError>,
    pub(crate) complete: bool,
    pub(crate) bytes_missing: u64,
    /// Where damaged bytes begin that may have been events of any thread, in order.
    pub(crate) unowned: Vec<u64>,
}

/// Finds all batches of a file of `bytes` bytes.
pub(crate) fn find<S: ReadAt>(source: &S, bytes: u64) -> Result<Directory, ReadError> {
    let (reader, fault) = BatchReader::past_header(Sequential { source, offset: 0 })?;
    let header = reader.header();
    let mut faults: Vec<ReadError> = fault.into_iter().collect();
    let has_header_fault = !faults.is_empty();
    match from_trailer(source, bytes, u64::from(header.header_bytes)) {
        Ok(Some(index)) => {
            find_gaps(&index, &mut faults);
            let (complete, bytes_missing, unowned) = (true, 0, Vec::new());
            return Ok(Directory { header, index, faults, complete, bytes_missing, unowned });
        }
        Ok(None) => {}
        Err(error) => faults.push(error),
    }
    let before = faults.len();
    let (mut directory, damaged, end) = rebuild(reader, bytes, faults)?;
    let unowned = damaged.into_iter().filter(|range| !is_collectors(source, *range));
    directory.unowned = unowned.map(|(from, _)| from).collect();
    if directory.complete && end < bytes {
        // What lies at the file's end is no trailer of this trace.
        directory.faults.drain(usize::from(has_header_fault)..before);
        directory.faults.push(behind(source, end, bytes)?);
        directory.bytes_missing += bytes - end;
    }
    Ok(directory)
}

/// Says what lies between a trace's end and the file's.
fn behind<S: ReadAt>(source: &S, end: u64, bytes: u64) -> Result<ReadError, ReadError> {
    let mut front = FILE_MAGIC.map(|_| 0);
    let io = |error| ReadError::new(end, ReadErrorKind::Io(error));
    read_full(source, &mut front, end).map_err(io)?;
    let (bytes, is_trace) = (bytes - end, front == FILE_MAGIC);
    Ok(ReadError::new(end, ReadErrorKind::BytesBehind { bytes, is_trace }))
}

/// Whether damaged bytes were a batch of the collector's, so that no events were in them: what
/// looks like its header says so in more than one field, and that it had all of these bytes.
fn is_collectors<S: ReadAt>(source: &S, (from, to): (u64, u64)) -> bool {
    let mut front = [0; BATCH_HEADER_BYTES];
    let is_read = read_full(source, &mut front, from).is_ok_and(|bytes| bytes == front.len());
    let Some(header) = BatchHeader::decode(&front).filter(|_| is_read) else { return false };
    let is_whole = judge_lengths(&header).is_ok_and(|bytes| from + bytes as u64 == to);
    let is_kind = matches!(header.kind, BatchKind::Definitions | BatchKind::Index);
    is_whole && is_kind && header.thread == ThreadId(0)
}

/// What a walk of the whole file finds: the directory, which bytes are damaged, and where the trace
/// ends.
type Rebuilt = (Directory, Vec<(u64, u64)>, u64);

/// Walks the whole file. Returns also which bytes are damaged, from where to where, and where the
/// trace ends, or what is left of it.
fn rebuild<R: io::Read>(
    mut reader: BatchReader<R>,
    bytes: u64,
    mut faults: Vec<ReadError>,
) -> Result<Rebuilt, ReadError> {
    let (mut index, mut damaged) = (Vec::new(), Vec::new());
    loop {
        let error = match reader.next_batch() {
            None => break,
            Some(Ok(batch)) if batch.header.kind == BatchKind::Index => continue,
            Some(Ok(batch)) => {
                index.push(IndexEntry::new(batch.offset, &batch.header));
                continue;
            }
            Some(Err(error)) => error,
        };
        // Of a file that is cut, what is behind is missing of all threads: there the trace ends.
        if !matches!(error.kind, ReadErrorKind::Truncated | ReadErrorKind::TrailerDamaged) {
            damaged.push((error.offset, reader.offset()));
        }
        faults.push(error);
    }
    let (complete, bytes_missing) = (reader.is_complete(), reader.bytes_skipped());
    let told = faults.iter().any(|fault| matches!(fault.kind, ReadErrorKind::Truncated));
    if !complete && !told {
        faults.push(ReadError::new(bytes, ReadErrorKind::Truncated));
    }
    find_gaps(&index, &mut faults);
    let (header, unowned) = (reader.header(), Vec::new());
    let directory = Directory { header, index, faults, complete, bytes_missing, unowned };
    Ok((directory, damaged, reader.offset()))
}

/// The index, if there is a trailer.
fn from_trailer<S: ReadAt>(
    source: &S,
    bytes: u64,
    first: u64,
) -> Result<Option<Vec<IndexEntry>>, ReadError> {
    let Some(trailer_at) = bytes.checked_sub(TRAILER_BYTES as u64) else {
        return Ok(None);
    };
    let mut trailer = [0; TRAILER_BYTES];
    let io = |error| ReadError::new(trailer_at, ReadErrorKind::Io(error));
    if read_full(source, &mut trailer, trailer_at).map_err(io)? < TRAILER_BYTES {
        return Ok(None);
    }
    let Some(trailer) = Trailer::decode(&trailer) else {
        return Ok(None);
    };
    let faulty = || ReadError::new(trailer.index_offset, ReadErrorKind::IndexFaulty);
    let parts = index_parts(source, trailer.index_offset, trailer_at)?;
    let index = join(&parts, first, trailer_at).ok_or_else(faulty)?;
    if index.len() as u64 != trailer.batches {
        return Err(faulty());
    }
    Ok(Some(index))
}

/// One index batch: where it lies, and what it lists.
struct Part {
    offset: u64,
    bytes: u64,
    entries: Vec<IndexEntry>,
}

/// All index batches, the first one first.
fn index_parts<S: ReadAt>(source: &S, last: u64, end: u64) -> Result<Vec<Part>, ReadError> {
    let (mut parts, mut buffer) = (Vec::new(), BatchBuffer::default());
    let (mut offset, mut end) = (last, end);
    // Each lies before the one that names it, so the walk ends.
    while offset != 0 {
        let faulty = ReadError::new(offset, ReadErrorKind::IndexFaulty);
        if offset >= end {
            return Err(faulty);
        }
        let batch = load_at(source, offset, end - offset, &mut buffer)?;
        let mut payload = batch.payload;
        let before = take_varint(&mut payload);
        let entries = entries(payload, batch.header.events);
        let (Some(before), Some(entries), BatchKind::Index) = (before, entries, batch.header.kind)
        else {
            return Err(faulty);
        };
        let bytes = u64::from(batch.header.header_bytes) + u64::from(batch.header.stored_bytes);
        parts.push(Part { offset, bytes, entries });
        (offset, end) = (before, offset);
    }
    parts.reverse();
    Ok(parts)
}

fn entries(mut payload: &[u8], count: u32) -> Option<Vec<IndexEntry>> {
    let (mut entries, mut offset) = (Vec::new(), 0);
    while !payload.is_empty() {
        let entry = take_entry(&mut payload, offset)?;
        offset = entry.offset;
        entries.push(entry);
    }
    (entries.len() == count as usize).then_some(entries)
}

/// All entries in file order, if they and the index batches cover the file from `at` to `end`.
fn join(parts: &[Part], mut at: u64, end: u64) -> Option<Vec<IndexEntry>> {
    let mut index = Vec::with_capacity(parts.iter().map(|part| part.entries.len()).sum());
    let mut parts = parts.iter().peekable();
    let lists = parts.clone().map(|part| part.entries.as_slice()).collect::<Vec<_>>();
    for entry in lists.concat() {
        while let Some(part) = parts.next_if(|part| part.offset == at) {
            at += part.bytes;
        }
        if entry.offset != at || entry.kind == BatchKind::Index || entry.bytes == 0 {
            return None;
        }
        at += u64::from(entry.bytes);
        index.push(entry);
    }
    while let Some(part) = parts.next_if(|part| part.offset == at) {
        at += part.bytes;
    }
    (at == end && parts.next().is_none()).then_some(index)
}

/// Names what the sequence numbers say is missing.
fn find_gaps(index: &[IndexEntry], faults: &mut Vec<ReadError>) {
    let mut next: BTreeMap<(u8, ThreadId), u32> = BTreeMap::new();
    for entry in index {
        if !matches!(entry.kind, BatchKind::Events | BatchKind::Definitions) {
            continue;
        }
        let is_first = entry.flags & FLAG_FIRST != 0 && entry.piece == 0;
        let begins = if is_first { entry.sequence } else { 0 };
        let expected = next.entry((entry.kind.to_byte(), entry.thread)).or_insert(begins);
        let rest_of_last = entry.piece != 0 && entry.sequence.checked_add(1) == Some(*expected);
        if entry.sequence != *expected && !rest_of_last {
            let (thread, found) = (entry.thread.0, entry.sequence);
            let kind = ReadErrorKind::BatchMissing { thread, expected: *expected, found };
            faults.push(ReadError::new(entry.offset, kind));
        }
        *expected = entry.sequence.saturating_add(1);
    }
}
