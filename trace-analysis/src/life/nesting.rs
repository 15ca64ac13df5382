//! The walk's part about what begins and ends on threads: regions, polls, task runs, calls.

use std::cmp::Reverse;

use trace_format::call::CallClass;
use trace_format::id::{FutureId, Open, OpenCall, StackId};
use trace_format::time::Ticks;

use super::futex::woken;
use super::walk::{EAGAIN, Walk, call_class};
use crate::async_tasks::Here;
use crate::time::Moment;

/// A read or write on a socket or pipe that was over faster did not wait: to be woken takes longer.
const WAIT_NANOS_MIN: u64 = 5_000;

impl Walk<'_> {
    /// Something begins that has no end yet.
    pub(super) fn begin(&mut self, who: usize, open: Open, begin: Ticks) {
        self.open(who, open, begin, None);
    }

    pub(super) fn complete(
        &mut self,
        who: usize,
        open: Open,
        begin: Ticks,
        end: u64,
        waits_at: StackId,
    ) {
        if !self.open(who, open, begin, None) {
            return self.living[who].pop_too_deep();
        }
        self.living[who].until = Some(end);
        if let (Open::Poll(_), Some(frame)) = (open, self.living[who].frames.last_mut()) {
            frame.waits_at = waits_at;
            self.ends.push(Reverse((end, who)));
        }
    }

    /// Nothing is inside what is complete: what comes all the same shows that it is over.
    #[inline]
    pub(super) fn end_early(&mut self, who: usize, at: u64) {
        if self.living[who].until.is_some() {
            self.close(who, at);
        }
    }

    /// Opens something that began then, perhaps before what is read. Whether it is followed.
    ///
    /// - `whole`: when it ends and with which result, if that is known.
    pub(super) fn open(
        &mut self,
        who: usize,
        open: Open,
        ticks: Ticks,
        whole: Option<(u64, i64)>,
    ) -> bool {
        let begin = self.nanos(ticks);
        self.end_early(who, begin);
        if !matches!(open, Open::Call(_)) && !self.follows_all() {
            return false;
        }
        // Beyond what is read is only what begins before it.
        let older = match begin == self.from {
            true => Moment(self.tables.clock.signed_nanos(ticks)).before(self.from),
            false => 0,
        };
        let wants_account = match open {
            Open::Call(call) => {
                self.open_call(who, call, begin, whole);
                false
            }
            Open::Poll(future) => self.open_poll(who, future, begin, older),
            Open::Task(task) => {
                self.living[who].push(open, begin, None);
                self.also.runs.as_ref().is_some_and(|runs| runs.wants(task))
            }
            Open::Region(_) => {
                self.living[who].push(open, begin, None);
                false
            }
        };
        let living = &mut self.living[who];
        if living.is_too_deep() {
            return false;
        }
        if wants_account {
            living.keep_account();
        }
        if let Some(frame) = living.frames.last_mut() {
            frame.older = older;
        }
        true
    }

    /// A poll begins. Whether it is one of a task.
    pub(super) fn open_poll(
        &mut self,
        who: usize,
        future: FutureId,
        begin: u64,
        older: u64,
    ) -> bool {
        let is_task = self.also.async_tasks.as_mut().is_some_and(|tasks| {
            let (thread, frames) = (self.names[who].0, &self.living[who].frames);
            tasks.begin_poll(Here { who, thread, frames }, future, begin, older)
        });
        self.living[who].push(Open::Poll(future), begin, None);
        is_task
    }

    pub(super) fn open_call(
        &mut self,
        who: usize,
        call: OpenCall,
        begin: u64,
        whole: Option<(u64, i64)>,
    ) {
        let (mut why, place) = self.places.why(call);
        if let Some((end, result)) = whole {
            let is_fast = end - begin < WAIT_NANOS_MIN && call_class(call.call) != CallClass::Futex;
            why.waits &= result != EAGAIN && !is_fast;
        }
        self.living[who].push(Open::Call(call), begin, Some((why, place)));
        let (thread, resource) = (self.names[who].0, self.places.same(call.resource).0);
        match call_class(call.call) {
            CallClass::Futex if whole.is_none_or(|(_, result)| result != EAGAIN) => {
                if let Some(futex) = self.futexes.at(resource) {
                    futex.wait(who, thread, begin, why.reason.is_lock());
                }
                if let Some((end, _)) = whole {
                    self.ends.push(Reverse((end, who)));
                }
            }
            CallClass::FutexWake => {
                let (end, woken) = match whole {
                    Some((end, result)) => (end, woken(call.call, result)),
                    None => (u64::MAX, 1),
                };
                let Some(futex) = self.futexes.at(resource) else { return };
                let stops = &self.stops;
                let since = futex.wake(thread, (call.stack, place), (begin, end), woken, stops);
                if let Some(since) = since {
                    let doings = self.living[who].doings(since, begin);
                    futex.held(thread, place, stops.awake(since, begin), &doings);
                }
            }
            _ => {}
        }
        if let Some((_, result)) = whole
            && !self.living[who].is_too_deep()
            && let Some((_, call)) = self.living[who].innermost_call()
        {
            call.result = Some(result);
        }
    }

    /// What was opened last ends.
    ///
    /// - `waits_at`: of a poll, where its future waits.
    pub(super) fn end(&mut self, who: usize, at: u64, waits_at: StackId) {
        if !self.follows_all() {
            return;
        }
        self.end_early(who, at);
        if let Some(frame) = self.living[who].frames.last_mut() {
            frame.waits_at = waits_at;
        }
        self.close(who, at);
    }

    pub(super) fn close(&mut self, who: usize, at: u64) {
        if let Some((frame, end)) = self.living[who].pop(at) {
            self.closed(who, frame, end);
        }
    }

    pub(super) fn end_call(&mut self, who: usize, at: u64, result: i64) {
        self.end_early(who, at);
        if self.living[who].is_too_deep() {
            return self.close(who, at);
        }
        let depth = match self.living[who].innermost_call() {
            Some((depth, call)) => {
                call.result = Some(result);
                depth
            }
            None => return self.close(who, at),
        };
        while self.living[who].frames.len() >= depth {
            self.close(who, at);
        }
    }

    pub(super) fn end_detached(&mut self, who: usize, open: Open, begin: u64, at: u64) {
        self.end_early(who, at);
        let Some(place) = self.living[who].find(open, begin) else { return };
        while self.living[who].frames.len() > place {
            self.close(who, at);
        }
    }
}
