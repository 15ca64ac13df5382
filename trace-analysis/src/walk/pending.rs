//! What is open when a trace stops and has written no begin: the begin of a call, a poll or a task
//! run is only written when something happens inside it, or when it ends. The state at the last
//! generation names it; a program that is stuck has nothing else to show.

use std::cmp::Reverse;
use std::collections::HashMap;

use trace_format::header::BatchKind;
use trace_format::id::{Open, ThreadId};
use trace_format::read::{ReadAt, ThreadState, TraceFile};
use trace_format::time::Ticks;

/// Something that is open at the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingBegin {
    pub(crate) thread: ThreadId,
    pub(crate) open: Open,
    pub(crate) begin: Ticks,
    /// Whether it began behind all events of the thread that are in the trace.
    pub(crate) is_behind: bool,
}

/// What has its begin still to come, the latest first.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    all: Vec<PendingBegin>,
}

impl Pending {
    /// - `states`: as of [`last_states`](super::last_states).
    /// - `is_wanted`: what of it.
    pub(crate) fn of<S: ReadAt>(
        file: &TraceFile<S>,
        states: &HashMap<ThreadId, ThreadState>,
        is_wanted: impl Fn(&Open) -> bool,
    ) -> Self {
        let mut last: HashMap<_, _> = states.keys().map(|thread| (*thread, Ticks(0))).collect();
        for entry in file.index().iter().filter(|entry| entry.kind == BatchKind::Events) {
            if let Some(last) = last.get_mut(&entry.thread) {
                *last = entry.last_ticks.max(*last);
            }
        }
        let mut states: Vec<_> = states.values().collect();
        states.sort_by_key(|state| state.id);
        let mut all = Vec::new();
        for ThreadState { id: thread, open, .. } in states {
            let wanted = open.iter().filter(|it| is_wanted(&it.open));
            all.extend(wanted.map(|it| {
                let is_behind = last.get(thread).is_none_or(|last| it.begin >= *last);
                PendingBegin { thread: *thread, open: it.open, begin: it.begin, is_behind }
            }));
        }
        // Of one thread the outer one first, as they may begin at one tick.
        all.reverse();
        all.sort_by_key(|it| Reverse(it.begin));
        Self { all }
    }

    /// The next one that began before then.
    #[inline]
    pub(crate) fn before(&mut self, at: Ticks) -> Option<PendingBegin> {
        self.all.pop_if(|it| it.begin < at)
    }
}
