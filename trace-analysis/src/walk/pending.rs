//! What is open when a trace stops and has written no begin: the begin of a call, a poll or a task
//! run is only written when something happens inside it, or when it ends. The state at the last
//! generation names it; a program that is stuck has nothing else to show.

use std::cmp::Reverse;
use std::collections::HashMap;

use trace_format::id::{Open, ThreadId};
use trace_format::read::ThreadState;
use trace_format::time::Ticks;

/// What has its begin still to come, the latest first.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    all: Vec<(Ticks, ThreadId, Open)>,
}

impl Pending {
    /// - `states`: as of [`last_states`](super::last_states).
    /// - `is_wanted`: what of it.
    pub(crate) fn of(
        states: &HashMap<ThreadId, ThreadState>,
        is_wanted: impl Fn(&Open) -> bool,
    ) -> Self {
        let mut states: Vec<_> = states.values().collect();
        states.sort_by_key(|state| state.id);
        let mut all = Vec::new();
        for state in states {
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
