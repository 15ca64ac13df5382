//! What a trace's previous part has of the batches that were open when the next part began. Such a
//! batch belongs to both parts, and each of its events to one.

use crate::event::Events;
use crate::header::{BATCH_HEADER_BYTES, BatchKind};
use crate::id::ThreadId;
use crate::index::IndexEntry;
use crate::read::open::{OpenStack, begun};
use crate::read::{ReadAt, Thread, TraceFile};
use crate::time::Ticks;
use std::collections::BTreeMap;

/// Where the previous part ends, by thread: the sequence of its last batch, and how many bytes of
/// that batch's payload it has.
pub(super) type Ends = BTreeMap<ThreadId, (u32, usize)>;

/// The ends of the threads that go on in `file`. A part of another run has other threads of the
/// same numbers.
pub(super) fn ends<S: ReadAt, P: ReadAt>(file: &TraceFile<S>, previous: &TraceFile<P>) -> Ends {
    let who = |thread: &Thread| (thread.os_id, thread.first);
    let (threads, earlier) = (&file.tables().threads, &previous.tables().threads);
    let is_same =
        |id| earlier.get(id).map(who).is_some_and(|it| Some(it) == threads.get(id).map(who));
    let mut ends = Ends::new();
    for entry in previous.index().iter().filter(|entry| entry.kind == BatchKind::Events) {
        if is_same(&entry.thread) {
            ends.insert(entry.thread, (entry.sequence, payload_end(entry)));
        }
    }
    ends
}

/// Where a piece ends in its batch. A compressed piece seems to end too early, as the index has
/// only its stored length: what follows that is in no piece, and is read as a batch of its own.
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
        // What began in the very tick of the state may be in it already.
        let is_known = begun(&event).is_some_and(|begun| open.last() == Some(&begun));
        if !is_known {
            open.follow(&event);
        }
    }
    Some(events.now())
}
