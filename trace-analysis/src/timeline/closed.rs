//! The walk's part about what is over: what a thread spent in it, what it waited for, and for whom.

use trace_format::call::CallClass;
use trace_format::id::{Open, OpenCall, ResourceId, SiteId, StackId, TaskId, ThreadId};
use trace_format::time::Nanos;

use super::call::Call;
use super::frame::{Frame, Leaf};
use super::futex::{Futex, timed_out, was_woken, woken};
use super::futures::Link;
use super::spent::Known;
use super::thread::Cpu;
use super::walk::{Walk, call_class};
use super::{
    Activity, ClosedCall, EndedRegion, EndedRun, Fold, How, Observer, OneCall, Stretch, Unended,
    Wait, Waited, Waker,
};
use crate::reason::Reason;
use crate::time::Moment;

/// Maximum number of open things that are searched for a region of the same site, innermost first.
const AROUND_MAX: usize = 64;

/// Something is over, at this time.
#[derive(Debug)]
pub(super) enum Over {
    Frame(Frame, u64),
    Leaf(Leaf, u64),
}

/// Who ended a wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Woken {
    pub(super) waker: Waker,
    /// One stack for all that do so there.
    pub(super) place: StackId,
    /// The number of the call that did; 0 for the end of a thread.
    pub(super) edge: u64,
}

impl<O: Observer, F: Fold> Walk<'_, O, F> {
    /// Something is no longer open.
    pub(super) fn closed(&mut self, who: usize, mut frame: Frame, end: u64, how: How<'_>) {
        let activity = self.living[who].activity_in(&mut frame);
        match frame.open {
            Open::Region(site) if self.has_cpus => {
                let inside = self.living[who].known().since(&frame.before);
                self.closed_region(who, site, end - frame.begin.min(end), &inside);
            }
            Open::Region(_) => {}
            Open::Call(_) => {
                if let Some(call) = self.living[who].take_call() {
                    self.closed_call(who, call, (frame.begin, frame.older), end, true);
                }
            }
            Open::Poll(future) => {
                (frame.begin, frame.older) = self.in_window(frame.begin, frame.older);
                let end = end.max(self.window_from);
                let here = self.living[who].here(who, self.names[who].0);
                let tasks = self.async_tasks.as_mut();
                let link = tasks.and_then(|it| it.end_poll(here, future, &frame, end, activity));
                return self.left(who, frame, link, end, how);
            }
            Open::Task(task) => self.closed_run(who, task, (frame.begin, end), activity),
        }
        self.leave(who, frame, end, how);
    }

    /// Something is no longer among what is open, whether or not it goes on.
    pub(super) fn leave(&mut self, who: usize, frame: Frame, end: u64, how: How<'_>) {
        let link = match frame.open {
            Open::Region(site) => {
                let begin = self.in_window(frame.begin, 0).0;
                let (nanos, here) = (end.saturating_sub(begin), (who, self.names[who].0));
                let tasks = self.async_tasks.as_mut();
                tasks.and_then(|tasks| tasks.closed_region(here, site, nanos))
            }
            _ => None,
        };
        self.left(who, frame, link, end, how);
    }

    pub(super) fn left(
        &mut self,
        who: usize,
        frame: Frame,
        link: Option<Link>,
        end: u64,
        how: How<'_>,
    ) {
        if link.is_some() || !frame.chain.links().is_empty() {
            self.living[who].add_link(link, frame.chain);
        }
        self.tell_end(who, frame.open, end, how);
    }

    pub(super) fn closed_run(
        &mut self,
        who: usize,
        task: TaskId,
        (from, to): (u64, u64),
        activity: Option<Box<Activity>>,
    ) {
        if !self.is_inside {
            return;
        }
        let around = self.living[who].runs();
        let stretch = Stretch { thread: self.names[who].0, from: Nanos(from), to: Nanos(to) };
        self.sums.run(EndedRun { task, around, stretch, activity });
    }

    /// A region is over that was no frame.
    #[inline]
    pub(super) fn closed_leaf(&mut self, who: usize, leaf: Leaf, end: u64) {
        if self.has_cpus {
            let inside = self.living[who].in_leaf(leaf.begin);
            self.closed_region(who, leaf.site, end - leaf.begin.min(end), &inside);
        }
    }

    pub(super) fn closed_region(&mut self, who: usize, site: SiteId, wall: u64, inside: &Known) {
        self.spent_in_region(who, site, wall, inside, true);
    }

    /// What a thread spent in a region that is over, or that the window's end cuts.
    pub(super) fn spent_in_region(
        &mut self,
        who: usize,
        site: SiteId,
        wall: u64,
        inside: &Known,
        is_over: bool,
    ) {
        let is_inner = self.is_inner(who, site);
        self.sums.region(&EndedRegion { site, is_over, is_inner, wall, inside: *inside });
    }

    /// Whether another region of the same site is around one that is no longer among what is open.
    #[inline]
    pub(super) fn is_inner(&self, who: usize, site: SiteId) -> bool {
        let living = &self.living[who];
        let frames = living.frames.as_slice();
        let around = &frames[frames.len().saturating_sub(AROUND_MAX)..];
        // For each region that ends: whole things are compared more slowly.
        let is_same = |frame: &Frame| matches!(frame.open, Open::Region(it) if it == site);
        around.iter().any(is_same) || living.late.has(Open::Region(site))
    }

    /// A call is over, or the trace is.
    pub(super) fn closed_call(
        &mut self,
        who: usize,
        mut call: Call,
        (begin, older): (u64, u64),
        end: u64,
        is_over: bool,
    ) {
        let (thread, open) = (self.names[who].0, call.open);
        // Who has been woken and has no CPU yet does not wait any more.
        let since = begin.saturating_sub(older);
        let woken = if is_over { None } else { self.woken_at(who, &call, since) };
        // Whom a call wakes that goes on is not known yet, and presumed.
        let is_presumed = !is_over && call.result.is_none();
        let waker = match call_class(open.call) {
            CallClass::FutexWake if is_presumed => None,
            _ => self.leave_futex(who, &call, since, end, is_over),
        };
        // The call around it goes on.
        self.waiter_changed(who);
        if let Some(at) = waker.as_ref().map(|it| it.waker.at.0).or(woken) {
            let nanos = self.living[who].woken(&mut call, at);
            let until = call.last_off.map_or(end, |off| off.to);
            self.add_ready(open.stack, thread, (until.saturating_sub(nanos), until));
        }
        if let Some(woken) = &waker {
            self.tell_edge(who, woken, end);
        }
        self.living[who].calls_ended += u64::from(is_over);
        self.calls_open += u64::from(!is_over && self.sums.counts(thread));
        if O::WANTS_SUMS {
            self.add_call(who, &call, waker, (begin, older), end, is_over);
        }
    }

    /// Adds a call, and what it waited for, to the sums.
    fn add_call(
        &mut self,
        who: usize,
        call: &Call,
        woken: Option<Woken>,
        (begin, older): (u64, u64),
        end: u64,
        is_over: bool,
    ) {
        let (thread, open) = (self.names[who].0, call.open);
        let waker_place = woken.map(|woken| (woken.waker.thread, woken.place));
        let waker = woken.map(|woken| woken.waker);
        let (stack, resource) = (open.stack, call.resource);
        let since = Moment::older(begin, older);
        let (inside, duration) = (Nanos(call.blocked), Nanos(call.blocked.saturating_add(older)));
        let timed_out = is_over && call.result.is_some_and(|it| timed_out(open.call, it));
        let mut wait =
            Wait { thread, stack, resource, begin: since, duration, inside, waker, timed_out };
        if call.blocked > 0 {
            let (reason, named, place) = (call.why.reason, call.why.named, call.place);
            let is_endless = !is_over && call.result.is_none() && !self.go_on.contains(&thread);
            let waited =
                Waited { reason, named, place, waker_place, wait, end, is_over, is_endless };
            self.sums.wait(&waited);
            if is_endless && self.is_trace_end {
                self.keep_unended(call, wait);
            }
        }
        if call.faulted > 0 {
            let (begin, inside) = (Moment::from(Nanos(begin)), Nanos(call.faulted));
            wait = Wait { begin, duration: inside, inside, waker: None, timed_out: false, ..wait };
            let (reason, named, waker_place) = (Reason::PageFault, false, None);
            let (place, is_endless) = (stack, false);
            let waited =
                Waited { reason, named, place, waker_place, wait, end, is_over, is_endless };
            self.sums.wait(&waited);
        }
        if call.on_cpu > 0 {
            self.sums.in_kernel(thread, stack, Nanos(call.on_cpu));
        }
        let inside = end - begin.min(end);
        if let Some(account) = self.living[who].account() {
            account.call(inside, open.call, stack);
        }
        let (duration, inside) = (Nanos(inside.saturating_add(older)), Nanos(inside));
        let result = call.result.unwrap_or(0);
        let one = OneCall { thread, stack, resource, begin: since, duration, inside, result };
        let has_bytes = matches!(call_class(open.call), CallClass::Read | CallClass::Write);
        let off_cpu = call.off_cpu;
        self.sums.call(&ClosedCall { call: open.call, one, off_cpu, has_bytes, is_over });
    }

    /// When the wait of a thread that is still in its call was ended, as far as is known.
    ///
    /// - `since`: when the call began, perhaps before what is read.
    fn woken_at(&self, who: usize, call: &Call, since: u64) -> Option<u64> {
        match call_class(call.open.call) {
            CallClass::Futex => self.futexes.get(call.resource.0)?.woken_at(who, since),
            CallClass::Join => {
                let waker = self.joined(call.open, self.to)?;
                let end = self.tables.threads.get(&waker.thread)?.end.filter(|end| end.ended)?;
                (self.tables.clock.nanos(end.ticks).0 <= self.to).then_some(waker.at.0)
            }
            _ => None,
        }
    }

    /// The state of a thread has changed: if it waits for a lock at an address, it may be blocked
    /// no longer, or again.
    #[inline]
    pub(super) fn waiter_changed(&mut self, who: usize) {
        if let Some((resource, begin)) = self.living[who].lock_wait() {
            self.futexes.change(resource, who, begin);
        }
    }

    /// Whoever waited at an address, or woke those who do, is done. Returns who ended the wait.
    ///
    /// - `begin`: of the call, perhaps before what is read.
    pub(super) fn leave_futex(
        &mut self,
        who: usize,
        call: &Call,
        begin: u64,
        end: u64,
        is_over: bool,
    ) -> Option<Woken> {
        let (thread, open) = (self.names[who].0, call.open);
        let resource = call.resource.0;
        match call_class(open.call) {
            // One that was refused has not waited, and may have been taken to wait while it lasted.
            CallClass::Futex => {
                let may_be = |result| was_woken(open.call, result);
                let was_woken = is_over && call.result.is_none_or(may_be);
                let futex = self.futexes.get_mut(resource)?;
                let wake = futex.waited(who, thread, (begin, end), was_woken)?;
                let held_since = self.held_since(thread, call, begin, &wake).map(Nanos);
                let (thread, stack, at) = (wake.thread, wake.stack, Nanos(wake.begin));
                let waker = Waker { thread, stack, at, held_since };
                Some(Woken { waker, place: wake.place, edge: wake.edge })
            }
            CallClass::FutexWake => {
                let futex = self.futexes.at(resource)?;
                futex.woke(thread, begin, end, woken(open.call, call.result.unwrap_or(0)));
                None
            }
            CallClass::Join if is_over => {
                Some(Woken { waker: self.joined(open, end)?, place: StackId(0), edge: 0 })
            }
            _ => None,
        }
    }

    /// The end of the thread that was waited for.
    pub(super) fn joined(&self, open: OpenCall, end: u64) -> Option<Waker> {
        let resource = self.tables.resources.get(&open.resource)?;
        let who = self.who.os_thread(resource.value, end)?;
        let thread = self.names[who].0;
        let known = self.tables.threads.get(&thread).and_then(|known| known.end);
        let noticed = known.filter(|it| it.ended).map(|it| self.nanos(it.ticks));
        // When it went off its CPU for the last time, if that is known.
        let living = &self.living[who];
        let left = (living.cpu == Cpu::Off).then_some(living.since);
        let at = Nanos(left.or(noticed).unwrap_or(end).min(end));
        let is_thread = resource.kind == trace_format::definition::ResourceKind::Thread;
        is_thread.then_some(Waker { thread, stack: StackId(0), at, held_since: None })
    }

    /// A thread's wait was not over when the trace stopped.
    pub(super) fn keep_unended(&mut self, call: &Call, mut wait: Wait) {
        if wait.inside.0 > 0 {
            let (reason, named, call) = (call.why.reason, call.why.named, call.open.call);
            let futex = self.futexes.get(wait.resource.0).filter(|_| named && reason.is_lock());
            let holder = futex.and_then(Futex::holder).filter(|(holder, _)| *holder != wait.thread);
            wait.resource = if named { wait.resource } else { ResourceId(0) };
            self.sums.unended(Unended { reason, call, wait, holder });
        }
    }

    /// A thread could run and did not, from then to then.
    pub(super) fn add_ready(&mut self, stack: StackId, thread: ThreadId, (from, to): (u64, u64)) {
        if from < to {
            self.sums.ready(stack, Stretch { thread, from: Nanos(from), to: Nanos(to) });
        }
    }
}
