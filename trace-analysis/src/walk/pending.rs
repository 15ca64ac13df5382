//! What is open when a trace stops and has written no begin: the begin of a call, a poll or a task
//! run is only written when something happens inside it, or when it ends. The state at the last
//! generation names it; a program that is stuck has nothing else to show.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use trace_format::header::BatchKind;
use trace_format::id::{Open, ThreadId};
use trace_format::read::{ReadAt, ThreadState, TraceFile};
use trace_format::time::Ticks;

/// What has its begin still to come, the latest first.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    all: Vec<(Ticks, ThreadId, Open)>,
}

impl Pending {
    /// What was open on threads that have written nothing since the last generation began.
    ///
    /// - `is_wanted`: what of it.
    pub(crate) fn of<S: ReadAt>(file: &TraceFile<S>, is_wanted: impl Fn(&Open) -> bool) -> Self {
        let last = file.tables().generations.last();
        let state = last.and_then(|last| file.state_at(last.number).ok().flatten());
        let threads = state.map(|state| state.threads).unwrap_or_default();
        let mut states: BTreeMap<_, ThreadState> = BTreeMap::new();
        states.extend(threads.into_iter().map(|state| (state.id, state)));
        for entry in file.index().iter().filter(|entry| entry.kind == BatchKind::Events) {
            let here = (entry.sequence, entry.piece);
            if states.get(&entry.thread).is_some_and(|it| here >= (it.sequence, it.offset)) {
                states.remove(&entry.thread);
            }
        }
        let mut all = Vec::new();
        for state in states.into_values() {
            let wanted = state.open.iter().filter(|it| is_wanted(&it.open));
            all.extend(wanted.map(|it| (it.begin, state.id, it.open)));
        }
        // Of one thread the outer one first, as they may begin at one tick.
        all.reverse();
        all.sort_by_key(|(begin, ..)| Reverse(*begin));
        Self { all }
    }

    /// The next one that began before then.
    #[inline]
    pub(crate) fn before(&mut self, at: Ticks) -> Option<(Ticks, ThreadId, Open)> {
        self.all.pop_if(|(begin, ..)| *begin < at)
    }
}
