//! What threads had open behind all that the file has of them, as the last generation says.
//!
//! It is known of no other threads: an event behind the state may have ended what that names, and
//! so may a batch that can't be read.

use std::collections::HashMap;

use trace_format::header::BatchKind;
use trace_format::id::ThreadId;
use trace_format::read::{ReadAt, ThreadState, TraceFile};

/// Of each thread whose state at the last generation lies behind all its batches: that state. None
/// if it can't be read.
#[must_use]
pub fn last_states<S: ReadAt>(file: &TraceFile<S>) -> HashMap<ThreadId, ThreadState> {
    let last = file.tables().generations.last();
    let state = last.and_then(|last| file.state_at(last.number).ok().flatten());
    let threads = state.map(|state| state.threads).unwrap_or_default();
    let mut states: HashMap<_, _> = threads.into_iter().map(|state| (state.id, state)).collect();
    for entry in file.index().iter().filter(|entry| entry.kind == BatchKind::Events) {
        let here = (entry.sequence, entry.piece);
        if states.get(&entry.thread).is_some_and(|it| here >= (it.sequence, it.offset)) {
            states.remove(&entry.thread);
        }
    }
    states
}
