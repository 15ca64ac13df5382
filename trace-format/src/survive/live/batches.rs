//! The batches in the file, as they were in the threads' memory.

use super::{OWNER_MAGIC, SLOTS, SLOTS_AT};
use crate::event::Events;
use crate::fixed::try_u64_at;
use crate::id::{Open, ThreadId};
use crate::survive::PAGE_BYTES;
use crate::time::Ticks;
use std::ops::Range;

/// The longest payload of a batch in a thread's memory.
const CAPACITY_MAX: usize = u16::MAX as usize;

/// Bytes of a slot: when something began, and what.
const SLOT_BYTES: usize = 16;

/// Bytes of a batch in front of its payload, at least.
const FRONT_BYTES: usize = SLOTS_AT + SLOTS * SLOT_BYTES;

/// A batch as it lies in the file.
#[derive(Debug)]
pub(super) struct LiveBatch<'l> {
    pub(super) thread: ThreadId,
    pub(super) os_id: u64,
    pub(super) sequence: u32,
    pub(super) base: Ticks,
    pub(super) payload: &'l [u8],
    /// What was open: when it began, and what.
    pub(super) slots: Vec<(u64, Open)>,
}

impl<'l> LiveBatch<'l> {
    /// The events in a part of its payload, in front of which the clock is `base`.
    pub(super) fn events(&self, range: Range<usize>, base: Ticks) -> Option<Events<'l>> {
        Some(Events::new(self.thread, base, self.payload.get(range)?))
    }
}

/// All batches of the file that belong, or belonged, to a thread.
pub(super) fn find(live: &[u8]) -> Vec<LiveBatch<'_>> {
    let mut found = Vec::new();
    let mut at = PAGE_BYTES;
    while at + FRONT_BYTES <= live.len() {
        let batch = decode(&live[at..]);
        // A whole batch takes its pages; behind anything else the next page may begin one.
        let bytes = batch.as_ref().map_or(0, |(_, bytes)| *bytes);
        found.extend(batch.map(|(batch, _)| batch));
        at += bytes.max(1).next_multiple_of(PAGE_BYTES);
    }
    found
}

/// The batch that begins here, and how many bytes it takes; `None` if none does.
fn decode(bytes: &[u8]) -> Option<(LiveBatch<'_>, usize)> {
    let word = |at| try_u64_at(bytes, at);
    let (owner, commit, base) = (word(0)?, word(8)?, word(16)?);
    let (numbers, os_id, payload_at) = (word(24)?, word(32)?, word(40)?);
    let capacity = (numbers >> 32) as usize;
    let (thread, len) = (ThreadId(owner as u32), usize::from(commit as u16));
    let is_one = owner >> 32 == u64::from(OWNER_MAGIC) && thread.0 != 0 && len <= capacity;
    if !is_one || capacity > CAPACITY_MAX {
        return None;
    }
    let payload_at = usize::try_from(payload_at).ok().filter(|at| *at >= FRONT_BYTES)?;
    let payload = bytes.get(payload_at..payload_at.checked_add(len)?)?;
    let slots = (0..SLOTS).map(|slot| SLOTS_AT + slot * SLOT_BYTES).map_while(|at| {
        let (begin, what) = (word(at)?, word(at + 8)?);
        // The highest bit says that its end is just being written.
        (begin != 0 && begin >> 63 == 0).then_some((begin, Open::from_word(what)?))
    });
    let (slots, sequence) = (slots.collect(), numbers as u32);
    let batch = LiveBatch { thread, os_id, sequence, base: Ticks(base), payload, slots };
    Some((batch, payload_at + capacity))
}
