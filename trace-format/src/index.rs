//! Where every batch lies: written at the end, rebuilt from the headers if missing.
//! FORMAT.md, section 8.

use crate::header::{BatchHeader, BatchKind, FLAG_RESTATED};
use crate::id::ThreadId;
use crate::time::Ticks;
use crate::varint::{put_varint, take_varint};

/// One batch of the file, as the index knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// From the start of the file to the batch header.
    pub offset: u64,
    /// Bytes of header and stored payload.
    pub bytes: u32,
    /// What it holds.
    pub kind: BatchKind,
    /// Whose events.
    pub thread: ThreadId,
    /// Its number within the thread.
    pub sequence: u32,
    /// Payload bytes of the same batch in earlier pieces.
    pub piece: u32,
    /// The generation in which it was written.
    pub generation: u32,
    /// Nothing in it is earlier; the first event may be much later.
    pub base_ticks: Ticks,
    /// Nothing in it is later. This is a bound: it may be later than the base of the next batch.
    pub last_ticks: Ticks,
    /// How many events, definitions or entries it holds.
    pub events: u32,
    /// As in the header.
    pub flags: u32,
}

impl IndexEntry {
    /// The entry of a batch with this header at `offset`.
    #[must_use]
    pub fn new(offset: u64, header: &BatchHeader) -> Self {
        Self {
            offset,
            bytes: u32::from(header.header_bytes) + header.stored_bytes,
            kind: header.kind,
            thread: header.thread,
            sequence: header.sequence,
            piece: header.offset,
            generation: header.generation,
            base_ticks: header.base_ticks,
            // The wire has the difference of the two, which can't be negative.
            last_ticks: header.last_ticks.max(header.base_ticks),
            events: header.events,
            flags: header.flags,
        }
    }

    /// Whether reading a thread from `from` on may begin with this batch: it restates what is open,
    /// and no earlier batch has events in the window. The base is not enough to know that, as it
    /// may be earlier than events of the batch before.
    ///
    /// - `before`: the thread's batch before this one, if there is one.
    #[must_use]
    pub fn begins_window(&self, before: Option<&Self>, from: Ticks) -> bool {
        let is_over = before.is_none_or(|before| before.last_ticks < from);
        self.flags & FLAG_RESTATED != 0 && self.base_ticks <= from && is_over
    }
}

/// Appends one entry to an index payload. `offset_before` is the offset of the entry before it in
/// the same payload, 0 for the first.
pub fn put_entry(out: &mut Vec<u8>, entry: &IndexEntry, offset_before: u64) {
    out.push(entry.kind.to_byte());
    put_varint(out, entry.offset - offset_before);
    let small = [entry.bytes, entry.thread.0, entry.sequence, entry.piece, entry.generation];
    for number in small {
        put_varint(out, u64::from(number));
    }
    put_varint(out, entry.base_ticks.0);
    put_varint(out, entry.last_ticks.0.saturating_sub(entry.base_ticks.0));
    put_varint(out, u64::from(entry.events));
    put_varint(out, u64::from(entry.flags));
}

/// Takes one entry off an index payload; `None` if the bytes are no entry.
pub fn take_entry(bytes: &mut &[u8], offset_before: u64) -> Option<IndexEntry> {
    let (&kind, rest) = bytes.split_first()?;
    *bytes = rest;
    let offset = offset_before.checked_add(take_varint(bytes)?)?;
    let size = take_u32(bytes)?;
    let thread = ThreadId(take_u32(bytes)?);
    let (sequence, piece, generation) = (take_u32(bytes)?, take_u32(bytes)?, take_u32(bytes)?);
    let base = take_varint(bytes)?;
    let last = base.checked_add(take_varint(bytes)?)?;
    Some(IndexEntry {
        offset,
        bytes: size,
        kind: BatchKind::from_byte(kind),
        thread,
        sequence,
        piece,
        generation,
        base_ticks: Ticks(base),
        last_ticks: Ticks(last),
        events: take_u32(bytes)?,
        flags: take_u32(bytes)?,
    })
}

fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    u32::try_from(take_varint(bytes)?).ok()
}
