//! What threads had open at the end of what is read, as states behind it say.
//!
//! It is known of no other threads: an event behind a state may have ended what that names, and so
//! may a batch that can't be read.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use trace_format::definition::OpenSince;
use trace_format::event::EventKind;
use trace_format::header::{BatchKind, FLAG_RESTATED};
use trace_format::id::ThreadId;
use trace_format::index::IndexEntry;
use trace_format::read::{BatchBuffer, RESTATED_MAX, ReadAt, ThreadState, TraceFile};
use trace_format::time::Ticks;

/// Of each thread whose state at the last generation lies behind all its batches: that state. None
/// if it can't be read.
pub(crate) fn last_states<S: ReadAt>(file: &TraceFile<S>) -> HashMap<ThreadId, ThreadState> {
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
    // A batch behind it may be among damaged bytes.
    if last.is_some_and(|last| file.is_damaged_behind(last.number)) {
        states.retain(|thread, _| file.end_missing_since(*thread).is_none());
    }
    states
}

/// What threads had open at the end of a window, of which events are missing in it: of each the
/// next state behind, as far as that had begun by then.
///
/// - `to`: the end; `None` if that is the trace's.
/// - `is_wanted`: whether a thread is asked about.
#[must_use]
pub fn states_behind<S: ReadAt>(
    file: &TraceFile<S>,
    to: Option<Ticks>,
    is_wanted: impl Fn(ThreadId) -> bool,
) -> HashMap<ThreadId, ThreadState> {
    let mut states = last_states(file);
    states.retain(|thread, _| is_wanted(*thread));
    let Some(to) = to else { return states };
    let is_behind = |entry: &&IndexEntry| {
        entry.kind == BatchKind::Events && entry.base_ticks >= to && is_wanted(entry.thread)
    };
    let (mut restated, mut buffer) = (HashMap::new(), BatchBuffer::default());
    for entry in file.index().iter().filter(is_behind) {
        if let Entry::Vacant(place) = restated.entry(entry.thread)
            && let Some(state) = restated_in(file, entry, &mut buffer)
        {
            place.insert(state);
        }
    }
    states.extend(restated);
    for state in states.values_mut() {
        state.open.retain(|it| it.begin < to);
    }
    states
}

/// What a batch restates; `None` if it does not, or can't be read.
fn restated_in<S: ReadAt>(
    file: &TraceFile<S>,
    entry: &IndexEntry,
    buffer: &mut BatchBuffer,
) -> Option<ThreadState> {
    if entry.flags & FLAG_RESTATED == 0 {
        return None;
    }
    let batch = file.load(entry, buffer).ok()?;
    let mut open = Vec::new();
    for event in batch.events() {
        let event = event.ok()?;
        let EventKind::Reopen { open: it, since } = event.kind else { break };
        open.push(OpenSince { open: it, begin: Ticks(event.ticks.0.saturating_sub(since.0)) });
    }
    let (id, generation, more) = (entry.thread, entry.generation, open.len() >= RESTATED_MAX);
    let (sequence, offset) = (entry.sequence, entry.piece);
    Some(ThreadState { id, generation, sequence, offset, more, open })
}
