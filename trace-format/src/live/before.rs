//! What the part before a trace has of its threads' batches: a batch that was open when the next
//! part began belongs to both, and each of its events to one.

use crate::event::Events;
use crate::header::{BATCH_HEADER_BYTES, BatchKind};
use crate::id::ThreadId;
use crate::index::IndexEntry;
use crate::read::open::{OpenStack, begun};
use crate::read::{ReadAt, Thread, TraceFile};
use crate::time::Ticks;
use std::collections::BTreeMap;

/// Where the part before ends, by thread: the sequence of its last batch, and how many bytes of
/// that batch's payload it has.
pub(super) type Ends = BTreeMap<ThreadId, (u32, usize)>;

/// The ends of the threads that `file` goes on with. A part of another run has others of the same
/// numbers.
pub(super) fn ends<S: ReadAt, B: ReadAt>(file: &TraceFile<S>, before: &TraceFile<B>) -> Ends {
    let who = |thread: &Thread| (thread.os_id, thread.first);
    let (threads, earlier) = (&file.tables().threads, &before.tables().threads);
    let is_same =
        |id| earlier.get(id).map(who).is_some_and(|it| Some(it) == threads.get(id).map(who));
    let mut ends = Ends::new();
    for entry in before.index().iter().filter(|entry| entry.kind == BatchKind::Events) {
        if is_same(&entry.thread) {
            ends.insert(entry.thread, (entry.sequence, payload_end(entry)));
        }
    }
    ends
}

/// Where the piece ends in its batch. Compressed batches are as long as their payload says, which
/// the index does not: what is behind them is then in no piece, and is read as a batch of its own.
pub(super) fn payload_end(entry: &IndexEntry) -> usize {
    entry.piece as usize + entry.bytes as usize - BATCH_HEADER_BYTES
}

/// Follows some events of a batch; returns the clock behind them, or `None` if they are not whole.
///
/// - `open`: what is open in front of them. What had begun by then and was not written is not in
///   it: its begin is among the events, or follows them.
pub(super) fn advance(open: &mut OpenStack, mut events: Events<'_>) -> Option<Ticks> {
    for event in events.by_ref() {
        let event = event.ok()?;
        // One that began in the very tick of the state may be in it already.
        let is_known = begun(&event).is_some_and(|begun| open.last() == Some(&begun));
        if !is_known {
            open.follow(&event);
        }
    }
    Some(events.now())
}
