//! The walk's part about events that are missing: what was open goes on, or is over.

use std::cmp::Reverse;
use std::collections::HashMap;

use trace_format::call::CallClass;
use trace_format::header::BatchKind;
use trace_format::id::{Open, ThreadId};
use trace_format::read::{ReadAt, ThreadState, TraceFile};
use trace_format::time::{Nanos, Ticks};

use super::call::Call;
use super::frame::Frame;
use super::gaps::Aside;
use super::observed::Given;
use super::walk::{Walk, call_class};
use super::{Fold, How, Loss, Observer};
use crate::walk::Fault;

impl<O: Observer, F: Fold> Walk<'_, O, F> {
    /// Events of a thread or of a CPU are missing.
    pub(super) fn lose(&mut self, fault: &Fault) {
        let Some(thread) = fault.thread else { return };
        let since = fault.since.map(|since| self.nanos(since));
        if let Some(since) = since {
            if since >= self.window_from {
                self.begin_window();
            }
            self.settle(since);
        }
        if thread.as_cpu().is_some() {
            return self.lose_switches(since.unwrap_or(self.from));
        }
        let Some(who) = self.thread(thread, self.from) else { return };
        // Until then nothing is missing, and what is complete has its end.
        for until in [since, self.living[who].until].into_iter().flatten() {
            self.bring(who, until);
        }
        if self.living[who].gaps.is_restating() {
            self.settle_gap(who, self.living[who].now);
        }
        self.put_aside(who);
        let living = &mut self.living[who];
        living.gaps.expect(fault.restated_behind);
        living.gap = true;
        if let Some(tasks) = &mut self.async_tasks {
            tasks.lose_events(who, (living.now, u64::MAX));
        }
    }

    /// What is open goes on only if the thread says so.
    fn put_aside(&mut self, who: usize) {
        let mut open: Vec<Aside> = Vec::new();
        while let Some((frame, _)) = self.living[who].pop_any(0) {
            let mut call = self.living[who].take_call();
            if let Some(call) = &mut call {
                call.settle();
            }
            // What it waited for may be over. Whom it wakes is said once it is known to be.
            if let Some(call) = call.filter(is_futex_wait) {
                self.forget_wait(who, &call, &frame);
            }
            open.push(Aside { frame, call });
        }
        open.reverse();
        self.living[who].put_aside(open);
    }

    /// Notes when the events of each thread stop, if the file was cut: later ones may be missing,
    /// and those of the CPUs lie further on in it. What was written before a generation began lies
    /// before that in the file.
    pub(super) fn expect_silence<S: ReadAt>(&mut self, file: &TraceFile<S>) {
        let tables = file.tables();
        if file.is_complete() || tables.stop.is_some() {
            return;
        }
        let mut last = HashMap::<ThreadId, Ticks>::new();
        for entry in file.index().iter().filter(|entry| entry.kind == BatchKind::Events) {
            let last = last.entry(entry.thread).or_default();
            *last = entry.last_ticks.max(*last);
        }
        let generation = tables.generations.last().map(|generation| generation.ticks);
        for who in 0..self.living.len() {
            let thread = self.names[who].0;
            if tables.threads.get(&thread).is_none_or(|thread| thread.end.is_some()) {
                continue;
            }
            let last = last.get(&thread).copied().max(generation).unwrap_or_default();
            let at = tables.clock.nanos(last).0.saturating_add(1).max(self.from);
            if at < self.to {
                self.living[who].silent_from = Some(at);
                self.ends.push(Reverse((at, who)));
            }
        }
    }

    /// What a thread does from now on is not in the file, if its events stop here.
    #[inline]
    pub(super) fn fall_silent(&mut self, who: usize, at: u64) {
        let living = &mut self.living[who];
        if living.silent_from.take_if(|from| *from <= at).is_some() {
            living.gap = true;
        }
    }

    /// A thread restates what is open, as events before are missing.
    pub(super) fn reopen(&mut self, who: usize, open: Open, begin: Ticks) {
        // Behind a piece that restated nothing the outer things are not known.
        if self.living[who].gaps.is_unsure() && !self.living[who].frames.is_empty() {
            self.put_aside(who);
        }
        let at = self.nanos(begin);
        match self.living[who].gaps.restate(open, at) {
            Some(aside) => self.restore(who, aside),
            None => {
                self.settle_gap(who, at);
                self.begin(who, open, begin, Given::default());
            }
        }
    }

    /// An event restates nothing: what was put aside and is not restated is over, unless the event
    /// lies before the next batch that restates what is open.
    pub(super) fn settle_restated(&mut self, who: usize, ticks: Ticks, at: u64) {
        if self.living[who].gaps.is_unsure() {
            if !self.living[who].gaps.is_restated(ticks) {
                return;
            }
            // What has begun behind the missing events has ended, or did not begin before that.
            self.living[who].gaps.restate_nothing();
        }
        self.settle_gap(who, at);
    }

    /// Something ends by itself that was open when events went missing: it has gone on until now.
    /// What was inside of it is over, nobody knows since when. Whether there is such a thing.
    pub(super) fn end_aside(&mut self, who: usize, open: Open, begin: u64, at: u64) -> bool {
        let Some(mut taken) = self.living[who].gaps.take(open, begin) else { return false };
        self.take_out_above(who, open, 0, at);
        let it = taken.pop();
        for inner in &taken {
            self.lose_aside(who, inner, at);
        }
        if let Some(it) = it {
            self.restore(who, it);
            self.close(who, at, How::Plain);
        }
        true
    }

    /// What is open on a thread from now on is known: that goes on. What begins later does so when
    /// its time comes.
    pub(super) fn go_on_as(&mut self, state: &ThreadState) {
        let Some(who) = self.thread(state.id, self.from) else { return };
        if !self.living[who].frames.is_empty() {
            self.put_aside(who);
        }
        for it in &state.open {
            let at = self.nanos(it.begin);
            if at > self.living[who].now {
                continue;
            }
            match self.living[who].gaps.restate(it.open, at) {
                Some(aside) => self.restore(who, aside),
                // The thread's events behind the gap did not say so.
                None => self.begin(who, it.open, it.begin, Given::default()),
            }
        }
        // No more than that is open.
        self.living[who].gaps.restate_nothing();
    }

    /// Something is open still: it goes on as it was, and waits again if it waited.
    pub(super) fn restore(&mut self, who: usize, aside: Aside) {
        let begin = aside.frame.begin.saturating_sub(aside.frame.older);
        if let Some(call) = aside.call.filter(is_futex_wait) {
            let (thread, reason) = (self.names[who].0, call.why.reason);
            let counts = self.sums.counts(thread);
            self.futexes.wait(call.resource.0, (who, thread), begin, reason, counts);
        }
        self.living[who].restore(aside);
    }

    /// What was open when events went missing, and is not restated, is over.
    pub(super) fn settle_gap(&mut self, who: usize, at: u64) {
        // No event has ended it: it lasts to the end of the thread.
        if self.living[who].gap && self.living[who].gaps.is_unsure() {
            self.end_loss(who, at);
        }
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
        for aside in rest.iter().rev() {
            self.lose_aside(who, aside, at);
        }
    }

    fn lose_aside(&mut self, who: usize, Aside { frame, call }: &Aside, at: u64) {
        if let Some(call) = call.filter(|call| !is_futex_wait(call)) {
            self.forget_wait(who, &call, frame);
        }
        self.lose_frame(who, frame, at);
    }

    /// Events of a thread are missing, as it says itself.
    pub(super) fn lose_events(&mut self, who: usize, at: u64, loss: Loss) {
        let Loss { events, ends, from, to } = loss;
        self.end_early(who, at);
        self.living[who].dropped(to.0.saturating_sub(from.0));
        let ends = self.living[who].gaps.lose((events, ends));
        self.lose_ends(who, ends, to.0.min(at));
        if let Some(tasks) = &mut self.async_tasks {
            tasks.lose_events(who, (from.0.min(at), to.0.min(at)));
        }
        if self.is_watched() {
            let who = self.seen(who);
            self.observer.lost(who, Nanos(at), &loss);
        }
    }

    /// A thread tells what it does again.
    #[inline]
    pub(super) fn end_gap(&mut self, who: usize, at: u64) {
        if std::mem::take(&mut self.living[who].gap) {
            self.end_loss(who, at);
        }
    }

    /// Events of a thread were missing up to then.
    fn end_loss(&mut self, who: usize, at: u64) {
        if let Some(tasks) = &mut self.async_tasks {
            tasks.end_loss(who, at);
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

    /// Nobody knows when a call was over, or who ended its wait.
    fn forget_wait(&mut self, who: usize, call: &Call, frame: &Frame) {
        let begin = frame.begin.saturating_sub(frame.older);
        self.leave_futex(who, call, begin, begin, false);
    }

    /// Something may be over, nobody knows since when; at the latest then.
    pub(super) fn lose_frame(&mut self, who: usize, frame: &Frame, at: u64) {
        if let Some(call) = self.living[who].take_call() {
            self.forget_wait(who, &call, frame);
        }
        if let (Open::Poll(future), Some(tasks)) = (frame.open, &mut self.async_tasks) {
            tasks.lost_poll(future, (who, self.names[who].0), at.max(self.window_from));
        }
        self.tell_end(who, frame.open, at, How::Lost);
    }
}

fn is_futex_wait(call: &Call) -> bool {
    call_class(call.open.call) == CallClass::Futex
}
