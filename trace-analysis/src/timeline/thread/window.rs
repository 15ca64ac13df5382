//! What the begin and the end of a window mean for one thread.

use super::{Cpu, Living, Spent, UNKNOWN};
use crate::timeline::history::Stretch;
use trace_format::id::{CallId, StackId};

impl Living {
    /// The window ends, and its first switch has not come: it has not run.
    ///
    /// - `is_placed`: whether those that ran when reading began were put onto their CPUs. If so, it
    ///   was off its CPU all along; if not, it may have had one since before.
    pub(in crate::timeline) fn presume_off(&mut self, is_placed: bool) {
        match (self.cpu, is_placed) {
            (Cpu::Never, true) => self.resolve(false),
            (Cpu::Never, false) => {
                self.calls.iter_mut().for_each(|(_, call)| call.presume_off());
            }
            _ => {}
        }
    }

    /// The window begins then: it goes on as it is, and what it did before does not count. Time
    /// must have been made pass up to shortly before.
    pub(in crate::timeline) fn begin_window(&mut self, at: u64) {
        self.begin = self.begin.max(at);
        (self.now, self.spent_to) = (self.now.max(at), self.spent_to.max(at));
        self.since = self.since.max(at);
        (self.spent, self.early) = (Spent::default(), Spent::default());
        // A gap may have brought it further: what it did until then is not known any more.
        let unknown = self.spent_to.saturating_sub(self.begin);
        self.spent.0[UNKNOWN] = unknown;
        (self.blocked, self.outside, self.deep_in_all) = (0, 0, self.too_deep);
        self.fault = self.fault.map(|(stack, since)| (stack, since.max(at)));
        (self.leaf_before, self.closed_call) = (None, None);
        if let Some(leaf) = &mut self.leaf {
            leaf.begin = leaf.begin.max(at);
        }
        self.frames.iter_mut().for_each(|frame| frame.begin_window(at));
        self.calls.iter_mut().for_each(|(_, call)| call.begin_window());
        // What began before is found as what began then.
        self.index.reset();
        self.late.begin_window(at);
        self.gaps.begin_window(at);
        self.history.begin_window();
        if unknown > 0 {
            let (from, to) = (self.begin, self.spent_to);
            let (call, stack) = (CallId(0), StackId(0));
            self.history.add(Stretch { from, to, slot: UNKNOWN, call, stack, cpu: None });
        }
        (self.calls_ended, self.yields, self.preemptions) = (0, 0, 0);
        // Who had ended before has no part in it.
        self.seen = false;
    }
}
