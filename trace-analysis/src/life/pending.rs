//! Calls that are open when the trace stops and have written no begin: the begin of a call is only
//! written when something happens inside, or when it ends. What the last generation says of each
//! thread has them; a program that is stuck has nothing else to show for it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use trace_format::header::BatchKind;
use trace_format::id::{Open, ResourceId, ThreadId};
use trace_format::read::{ReadAt, ThreadState, TraceFile};
use trace_format::time::Ticks;

use super::thread::Call;
use super::walk::Walk;
use super::{Unended, Wait};

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

impl<S: ReadAt + Sync> Walk<'_, S> {
    /// Opens what began before then and is not open yet.
    #[inline]
    pub(super) fn begin_pending(&mut self, at: Ticks) {
        while let Some((begin, thread, open)) = self.pending.before(at) {
            self.begin_open(begin, thread, open);
        }
    }

    #[inline(never)]
    fn begin_open(&mut self, begin: Ticks, thread: ThreadId, open: Open) {
        let since = begin;
        let begin = self.nanos(begin);
        if begin >= self.to {
            return;
        }
        self.settle(begin);
        let Some(who) = self.thread(thread, begin) else { return };
        self.come(who, begin);
        self.bring(who, begin);
        let mut frames = self.living[who].frames.iter();
        if !frames.any(|frame| (frame.open, frame.begin) == (open, begin)) {
            self.open_since(who, open, since);
        }
    }

    /// A thread's wait was not over when the trace stopped.
    pub(super) fn keep_unended(&mut self, call: &Call, mut wait: Wait) {
        if self.is_trace_end && call.result.is_none() && wait.inside.0 > 0 {
            let (reason, named, call) = (call.why.reason, call.why.named, call.open.call);
            wait.resource = if named { wait.resource } else { ResourceId(0) };
            self.unended.push(Unended { reason, call, wait });
        }
    }
}
