//! The walk's part about what begins and ends on threads: regions, polls, task runs, calls.

use std::cmp::Reverse;

use trace_format::call::CallClass;
use trace_format::id::{FutureId, Open, OpenCall, SiteId, StackId};
use trace_format::time::{Nanos, Ticks};

use super::futex::{Meanwhile, Wake, was_woken, woken};
use super::futures::innermost_poll;
use super::observed::Given;
use super::places::Meaning;
use super::spent::Known;
use super::walk::{BEYOND, EAGAIN, Walk, call_class};
use super::{Detached, Fold, How, Observer};
use crate::reason::Reason;
use crate::time::Moment;

/// Ends that are kept in any case, whether or not they mean something.
const ENDS_SLACK: usize = 1 << 12;

/// Maximum number of threads on which something is looked for that ended on another one.
pub(super) const SEARCHED_MAX: usize = 1024;

/// A read or write on a socket or pipe that was over faster did not wait: to be woken takes longer.
const WAIT_NANOS_MIN: u64 = 5_000;

impl<O: Observer, F: Fold> Walk<'_, O, F> {
    /// Something begins that has no end yet.
    pub(super) fn begin(&mut self, who: usize, open: Open, begin: Ticks, given: Given<'_>) {
        self.open(who, open, begin, given);
    }

    /// An event of something complete, which comes when that begins.
    ///
    /// - `end`: [`BEYOND`] if it goes on when the window ends.
    /// - `waits_at`: of a poll, where its future waits.
    pub(super) fn complete(
        &mut self,
        who: usize,
        (open, waits_at): (Open, StackId),
        begin: Ticks,
        end: u64,
        given: Given<'_>,
    ) {
        if !self.open(who, open, begin, given) {
            return self.living[who].pop_too_deep();
        }
        self.living[who].until = Some(end).filter(|end| *end != BEYOND);
        if let (Open::Poll(_), Some(frame)) = (open, self.living[who].frames.last_mut()) {
            frame.waits_at = waits_at;
        }
        if end != BEYOND && (O::IS_ON || self.others_wait_for(open, given)) {
            self.ends.push(Reverse((end, who)));
            self.limit_ends();
        }
    }

    /// What was ended early has left its place among the ends behind: each thread has one at most
    /// that means something.
    #[inline]
    fn limit_ends(&mut self) {
        if self.ends.len() > ENDS_SLACK + 2 * self.living.len() {
            let ends = self.living.iter().enumerate().flat_map(|(who, it)| {
                let ends = [it.until, it.silent_from].into_iter().flatten();
                ends.map(move |end| Reverse((end, who)))
            });
            self.ends = ends.collect();
        }
    }

    /// Whether others refer to the end of something, so that it must not be noticed late.
    fn others_wait_for(&self, open: Open, given: Given<'_>) -> bool {
        match open {
            Open::Poll(_) => true,
            Open::Call(call) => {
                let is_wait = given.whole.is_some_and(|(_, result)| result != EAGAIN);
                is_wait && call_class(call.call) == CallClass::Futex
            }
            Open::Region(_) | Open::Task(_) => false,
        }
    }

    /// Nothing is inside what is complete: what comes all the same shows that it is over.
    #[inline]
    pub(super) fn end_early(&mut self, who: usize, at: u64) {
        if self.living[who].until.is_none() {
            return;
        }
        match self.living[who].take_leaf() {
            Some(leaf) => self.closed_leaf(who, leaf, at),
            None => self.close(who, at, How::Plain),
        }
    }

    /// Whether a complete region tells nothing but its times.
    #[inline]
    pub(super) fn is_leaf(&self, site: SiteId, duration: Ticks) -> bool {
        let tasks = self.async_tasks.as_ref();
        !O::IS_ON && tasks.is_none_or(|tasks| tasks.is_fast_region(site, duration))
    }

    /// The event comes when the region begins: the clock there, and as nanoseconds.
    #[inline]
    pub(super) fn begin_leaf(
        &mut self,
        who: usize,
        site: SiteId,
        (ticks, begin): (Ticks, u64),
        end: u64,
    ) {
        self.end_early(who, begin);
        let is_kept = end != BEYOND && !self.living[who].is_too_deep();
        if is_kept && self.living[who].begin_leaf(site, begin, end) {
            return;
        }
        self.complete(who, (Open::Region(site), StackId(0)), ticks, end, Given::default());
    }

    /// Opens something that began then, perhaps before what is read. Whether it is followed.
    ///
    /// - `given`: what is known of it.
    pub(super) fn open(&mut self, who: usize, open: Open, ticks: Ticks, given: Given<'_>) -> bool {
        let begin = self.nanos(ticks);
        self.end_early(who, begin);
        // Beyond what is read is only what begins before it.
        let older = match begin == self.from {
            true => Moment(self.tables.clock.signed_nanos(ticks)).before(self.from),
            false => 0,
        };
        let mut reason = None;
        let (wants_account, edge) = match open {
            Open::Call(call) => {
                let (edge, why) = self.open_call(who, call, (begin, older), given.whole);
                reason = Some(why);
                (false, edge)
            }
            Open::Poll(future) => self.open_poll(who, future, begin, older),
            Open::Task(task) => {
                self.living[who].push(open, begin, None);
                (self.sums.wants_run(task), 0)
            }
            Open::Region(_) => {
                self.living[who].push(open, begin, None);
                (false, 0)
            }
        };
        if self.living[who].is_too_deep() {
            if self.is_watched() {
                let who = self.seen(who);
                self.observer.too_deep(who);
            }
            return false;
        }
        self.tell_begin(who, open, Moment::older(begin, older), given, (edge, reason));
        let living = &mut self.living[who];
        if wants_account {
            living.keep_account();
        }
        if let Some(frame) = living.frames.last_mut() {
            frame.older = older;
        }
        true
    }

    /// A poll begins. Whether it is one of a task, and the number of the edge that led to it.
    pub(super) fn open_poll(
        &mut self,
        who: usize,
        future: FutureId,
        begin: u64,
        older: u64,
    ) -> (bool, u64) {
        let mut told = (false, 0);
        let (at, before) = self.in_window(begin, older);
        // What lies too deep is not followed: nobody tells of its end.
        if self.living[who].has_room()
            && let Some(tasks) = &mut self.async_tasks
        {
            let here = self.living[who].here(who, self.names[who].0);
            told = tasks.begin_poll(here, future, at, before);
        }
        self.living[who].push(Open::Poll(future), begin, None);
        told
    }

    /// A call begins. Returns the number of the edges to those whom it wakes, 0 if it wakes nobody;
    /// and why it waits if it waits.
    pub(super) fn open_call(
        &mut self,
        who: usize,
        call: OpenCall,
        (begin, older): (u64, u64),
        whole: Option<(u64, i64)>,
    ) -> (u64, Reason) {
        let mut meaning = self.places.meaning(call);
        if let Some((end, result)) = whole {
            let is_fast = (end - begin).saturating_add(older) < WAIT_NANOS_MIN
                && call_class(call.call) != CallClass::Futex;
            meaning.why.waits &= result != EAGAIN && !is_fast;
        }
        let Meaning { why, place, resource } = meaning;
        self.waiter_changed(who);
        self.living[who].push(Open::Call(call), begin, Some(meaning));
        // Nobody tells of its end.
        if self.living[who].is_too_deep() {
            return (0, why.reason);
        }
        let (thread, resource, since) =
            (self.names[who].0, resource.0, begin.saturating_sub(older));
        let mut edge = 0;
        match call_class(call.call) {
            CallClass::Futex if whole.is_none_or(|(_, result)| result != EAGAIN) => {
                let counts = self.sums.counts(thread);
                self.futexes.wait(resource, (who, thread), since, why.reason, counts);
                if whole.is_some_and(|(_, result)| !was_woken(call.call, result)) {
                    self.futexes.nobody_wakes(resource, who);
                }
            }
            CallClass::FutexWake => {
                let (end, woken) = match whole {
                    Some((end, result)) => (end, woken(call.call, result)),
                    None => (u64::MAX, 1),
                };
                if woken > 0 {
                    self.edges += 1;
                    edge = self.edges;
                }
                let mut wake = Wake::new(thread, (call.stack, place), (since, end), woken);
                wake.edge = edge;
                self.wake(who, resource, wake);
            }
            _ => {}
        }
        if let Some((_, result)) = whole
            && let Some((_, call)) = self.living[who].innermost_call()
        {
            call.result = Some(result);
        }
        (edge, why.reason)
    }

    /// A thread makes a wake, at a lock by giving it up.
    fn wake(&mut self, who: usize, resource: u32, wake: Wake) {
        let Some(futex) = self.futexes.at(resource) else { return };
        let Some(release) = futex.release(&wake) else { return };
        let is_told = self.is_inside && release.is_awaited(wake.begin);
        if is_told {
            // What they did up to now tells how long others waited for whom.
            let mut waiters = std::mem::take(&mut self.waiters);
            waiters.extend(futex.hand_over());
            for waiter in waiters.drain(..) {
                self.bring(waiter, wake.begin);
            }
            self.waiters = waiters;
        }
        let Some(futex) = self.futexes.get_mut(resource) else { return };
        if is_told {
            let (living, from, stops) = (&self.living, self.from, &self.stops);
            futex.blame_holder(who, &wake, &release, &Meanwhile { living, from, stops });
        }
        futex.wake(wake, &release);
    }

    /// What was opened last ends.
    ///
    /// - `waits_at`: of a poll, where its future waits.
    pub(super) fn end(&mut self, who: usize, at: u64, waits_at: StackId, how: How<'_>) {
        self.end_early(who, at);
        if let Some(frame) = self.living[who].frames.last_mut() {
            frame.waits_at = waits_at;
        }
        self.close(who, at, how);
    }

    pub(super) fn close(&mut self, who: usize, at: u64, how: How<'_>) {
        let is_kept = !self.living[who].is_too_deep();
        match self.living[who].pop(at) {
            Some((frame, end)) => self.closed(who, frame, end, how),
            None if self.is_watched() && is_kept && !self.living[who].gaps.is_unsure() => {
                let who = self.seen(who);
                self.observer.unmatched(who, Nanos(at));
            }
            None => {}
        }
    }

    pub(super) fn end_call(&mut self, who: usize, at: u64, result: i64) {
        self.end_early(who, at);
        if self.living[who].is_too_deep() {
            return self.close(who, at, How::Plain);
        }
        let depth = match self.living[who].innermost_call() {
            Some((depth, call)) => {
                call.result = Some(result);
                depth
            }
            None => return self.close(who, at, How::Plain),
        };
        while self.living[who].frames.len() > depth {
            self.close(who, at, How::Around);
        }
        self.close(who, at, How::Call(result));
    }

    /// Something that is not the innermost ends: all that is inside ends with it, but for regions
    /// that are held across an await, and so go on without the poll around them.
    pub(super) fn end_detached(&mut self, who: usize, open: Open, ticks: Ticks, at: u64) {
        self.end_early(who, at);
        let begin = self.nanos(ticks);
        match self.living[who].find(open, begin) {
            Some(place) => {
                self.take_out_above(who, open, place + 1, at);
                self.close(who, at, How::Plain);
            }
            None if self.end_aside(who, open, begin, at) => {}
            None => self.end_elsewhere(who, open, ticks, at),
        }
    }

    /// Something ends that has more inside than this number of frames.
    pub(super) fn take_out_above(&mut self, who: usize, open: Open, depth: usize, at: u64) {
        while self.living[who].is_too_deep() {
            self.living[who].pop_too_deep();
        }
        while self.living[who].frames.len() > depth {
            let inner = self.living[who].frames.last().map(|frame| frame.open);
            let how = match (open, inner) {
                (Open::Poll(future), Some(Open::Region(_))) => How::Held(future),
                _ => How::Around,
            };
            self.take_out(who, at, how);
        }
    }

    /// Something ends that is not open on this thread: what was around it has ended before, or it
    /// was not begun here, or its begin is missing.
    fn end_elsewhere(&mut self, who: usize, open: Open, ticks: Ticks, at: u64) {
        let begin = self.nanos(ticks);
        if !self.end_late(who, open, begin, at) {
            if let Open::Region(site) = open
                && self.has_cpus
                && self.living[who].gaps.is_unsure()
            {
                // What the thread did in it is not known.
                self.closed_region(who, site, at - begin.min(at), &Known::default());
            }
            self.end_late_of_others(who, open, begin);
        }
        if !self.is_watched() {
            return;
        }
        let (seen, polled) = (self.seen(who), innermost_poll(self.living[who].polls()));
        let older = Moment(self.tables.clock.signed_nanos(ticks)).before(self.from);
        let begun = Moment::older(begin, older);
        let polled = polled.unwrap_or(FutureId(0));
        let detached = Detached { open, begin: begun, polled };
        if self.observer.detached(seen, Nanos(at), &detached) {
            return;
        }
        let others = (0..self.living.len().min(SEARCHED_MAX)).filter(|other| *other != who);
        for other in others {
            if let Some(depth) = self.living[other].find(open, begin) {
                let other = self.seen(other);
                return self.observer.ended_elsewhere(other, depth, Nanos(at));
            }
        }
    }
}
