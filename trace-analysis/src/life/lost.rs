//! The walk's part about events that are missing: what was open goes on, or is over.

use trace_format::call::CallClass;
use trace_format::id::{Open, ThreadId};
use trace_format::time::{Nanos, Ticks};

use super::call::Call;
use super::frame::Frame;
use super::gaps::Aside;
use super::observed::Given;
use super::walk::{Walk, call_class};
use crate::timeline::{How, Loss, Observer};

impl<O: Observer> Walk<'_, O> {
    /// Events of a thread or of a CPU are missing.
    pub(super) fn lose(&mut self, thread: ThreadId) {
        if thread.as_cpu().is_some() {
            self.lose_switches(self.from);
        } else if let Some(who) = self.thread(thread, self.from) {
            // What is complete has its end.
            if let Some(until) = self.living[who].until {
                self.bring(who, until);
            }
            if self.living[who].gaps.is_restating() {
                self.settle_gap(who, self.living[who].now);
            }
            let mut open = Vec::new();
            while let Some((frame, _)) = self.living[who].pop_any(0) {
                let mut call = self.living[who].take_call();
                if let Some(call) = &mut call {
                    call.settle();
                }
                // What it waited for may be over. Whom it wakes is said once it is known to be.
                if let Some(call) = call.filter(is_futex_wait) {
                    self.leave_futex(who, &call, frame.begin, frame.begin, false);
                }
                open.push(Aside { frame, call });
            }
            open.reverse();
            self.living[who].lose(open);
        }
    }

    /// A thread restates what is open, as events before are missing.
    pub(super) fn reopen(&mut self, who: usize, open: Open, begin: Ticks) {
        let at = self.nanos(begin);
        match self.living[who].gaps.restate(open, at) {
            Some(aside) => self.restore(who, aside),
            None => {
                self.settle_gap(who, at);
                self.begin(who, open, begin, Given::default());
            }
        }
    }

    /// Something is open still: it goes on as it was, and waits again if it waited.
    pub(super) fn restore(&mut self, who: usize, aside: Aside) {
        let begin = aside.frame.begin;
        if let Some(call) = aside.call.filter(is_futex_wait)
            && let Some(futex) = self.futexes.at(call.resource.0)
        {
            let thread = self.names[who].0;
            futex.wait((who, thread), begin, call.why.reason, self.waits.counts(thread));
        }
        self.living[who].restore(aside);
    }

    /// What was open when events went missing, and is not restated, is over.
    pub(super) fn settle_gap(&mut self, who: usize, at: u64) {
        if !self.living[who].gaps.is_open() {
            return;
        }
        let (rest, goes_on) = self.living[who].gaps.end();
        if goes_on {
            for aside in rest {
                self.restore(who, aside);
            }
            return;
        }
        for Aside { frame, call } in rest.iter().rev() {
            if let Some(call) = call.filter(|call| !is_futex_wait(call)) {
                self.leave_futex(who, &call, frame.begin, frame.begin, false);
            }
            self.lose_frame(who, frame, at);
        }
    }

    /// Events of a thread are missing, as it says itself.
    pub(super) fn lose_events(&mut self, who: usize, at: u64, loss: Loss) {
        let Loss { events, ends, from, to } = loss;
        self.end_early(who, at);
        self.living[who].dropped(to.0.saturating_sub(from.0));
        let ends = self.living[who].gaps.lose((events, ends));
        self.lose_ends(who, ends, to.0.min(at));
        if O::IS_ON {
            let who = self.seen(who);
            self.observer.lost(who, Nanos(at), &loss);
        }
    }

    /// The ends of the innermost things are lost: they were open until then at most.
    pub(super) fn lose_ends(&mut self, who: usize, ends: u64, at: u64) {
        for _ in 0..ends {
            let Some((frame, _)) = self.living[who].pop(0) else {
                if self.living[who].frames.is_empty() {
                    return;
                }
                continue;
            };
            self.lose_frame(who, &frame, at);
        }
    }

    /// Something may be over, nobody knows since when; at the latest then.
    pub(super) fn lose_frame(&mut self, who: usize, frame: &Frame, at: u64) {
        if let Some(call) = self.living[who].take_call() {
            self.leave_futex(who, &call, frame.begin, frame.begin, false);
        }
        if let (Open::Poll(future), Some(tasks)) = (frame.open, &mut self.also.async_tasks) {
            tasks.lost_poll(future, self.names[who].0, at);
        }
        self.tell_end(who, frame.open, at, How::Lost);
    }
}

fn is_futex_wait(call: &Call) -> bool {
    call_class(call.open.call) == CallClass::Futex
}
