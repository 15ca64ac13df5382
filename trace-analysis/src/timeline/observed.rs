//! The walk's part that tells an observer what it found out ([`crate::timeline`]).

use trace_format::event::EventKind;
use trace_format::id::{FutureId, Open};
use trace_format::time::Nanos;
use trace_format::value::Values;

use super::closed::Woken;
use super::futures::News;
use super::history::{HISTORY_MAX, Stretch};
use super::spent::{BLOCKED, IN_CALLS, READY, RUNNING, STOPPED};
use super::thread::Cpu;
use super::walk::Walk;
use super::{
    Begun, Edge, EdgeKind, Fold, FutureBegun, How, Interval, Note, Observer, ThreadState, Who,
};
use crate::reason::Reason;
use crate::time::Moment;

/// Intervals of a thread that wait to be told: only when its call is over is it known since when it
/// could have gone on.
pub(super) const UNTOLD_MAX: usize = 100;

// Between two times of telling come a stop, the end of a call, and when that was woken: a few each.
const _: () = assert!(UNTOLD_MAX + 8 < HISTORY_MAX);

/// What is known of something when it begins.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Given<'e> {
    /// When it ends and with which result, of a complete call.
    pub(super) whole: Option<(u64, i64)>,
    /// Arguments.
    pub(super) values: Values<'e>,
}

impl<O: Observer, F: Fold> Walk<'_, O, F> {
    /// A thread, for the observer.
    pub(super) fn seen(&self, number: usize) -> Who {
        let (thread, os_id) = self.names[number];
        Who { number, thread, os_id }
    }

    /// Whether an observer gets what happens now: the window has begun.
    #[inline]
    pub(super) fn is_watched(&self) -> bool {
        O::IS_ON && self.is_inside
    }

    /// The window begins: tells what is open on threads.
    pub(super) fn tell_open(&mut self) {
        if !O::IS_ON {
            return;
        }
        for who in 0..self.living.len() {
            let seen = self.seen(who);
            for (frame, reason, result) in self.living[who].open() {
                let at = Moment::older(frame.begin, frame.older);
                let (open, values, edge) = (frame.open, Values::default(), 0);
                self.observer.begin(seen, &Begun { open, at, values, reason, result, edge });
            }
        }
    }

    /// Tells that something begins.
    pub(super) fn tell_begin(
        &mut self,
        who: usize,
        open: Open,
        at: Moment,
        given: Given<'_>,
        (edge, reason): (u64, Option<Reason>),
    ) {
        self.tell_news(Values::default(), FutureId(0));
        if !self.is_watched() {
            return;
        }
        let (values, result) = (given.values, given.whole.map(|(_, result)| result));
        let who = self.seen(who);
        self.observer.begin(who, &Begun { open, at, values, reason, result, edge });
    }

    /// Tells that something ends.
    pub(super) fn tell_end(&mut self, who: usize, open: Open, at: u64, how: How<'_>) {
        if self.is_watched() {
            let who = self.seen(who);
            self.observer.end(who, open, Nanos(at), how);
        }
        self.tell_news(Values::default(), FutureId(0));
    }

    /// Tells of an event that opens and ends nothing, which began this future if it began one.
    pub(super) fn tell_event(&mut self, who: usize, at: u64, kind: &EventKind<'_>, note: Note) {
        let (values, future) = match *kind {
            EventKind::FutureBegin { future, values, .. } => (values, future),
            _ => (Values::default(), FutureId(0)),
        };
        self.tell_news(values, future);
        if !self.is_watched() {
            return;
        }
        let who = self.seen(who);
        self.observer.event(who, Nanos(at), kind, note);
    }

    /// Tells what async tasks did.
    ///
    /// - `values`: arguments of `future`, if that begins.
    pub(super) fn tell_news(&mut self, values: Values<'_>, future: FutureId) {
        if !O::IS_ON {
            return;
        }
        let Some(tasks) = &mut self.async_tasks else { return };
        for news in tasks.take_news() {
            match news {
                // It has no part of the window.
                News::Interval(_) if !self.is_inside => {}
                News::Begun(begun) if begun.future == future => {
                    self.observer.future(&FutureBegun { values, ..begun });
                }
                News::Begun(begun) => self.observer.future(&begun),
                News::Interval(interval) => self.observer.task_interval(&interval),
            }
        }
    }

    /// Tells in which states a thread was, as far as that won't change.
    #[inline]
    pub(super) fn tell_intervals(&mut self, who: usize) {
        if !self.is_watched() {
            return;
        }
        let living = &self.living[who];
        let untold = living.history.untold();
        // The last one may still grow.
        let is_settled = living.call().is_none() && (!self.has_cpus || living.cpu != Cpu::Never);
        let kept = if is_settled { 1 } else { UNTOLD_MAX };
        self.tell_some(who, untold.saturating_sub(kept));
    }

    /// The same, of all its states: its life is over.
    pub(super) fn tell_all_intervals(&mut self, who: usize) {
        if O::IS_ON {
            self.tell_some(who, self.living[who].history.untold());
        }
    }

    /// Tells who ended a thread's wait.
    pub(super) fn tell_edge(&mut self, who: usize, woken: &Woken, end: u64) {
        // The observer does not know the wakes before the window.
        if !self.is_watched() || woken.waker.at.0 < self.from {
            return;
        }
        let Woken { waker, edge: number, .. } = *woken;
        let kind = if number == 0 { EdgeKind::Join } else { EdgeKind::Wake };
        let Some(from) = self.who.thread(waker.thread) else { return };
        let (from, stack, at) = (self.seen(from), waker.stack, waker.at);
        let (to, end) = (self.seen(who), Nanos(end));
        self.observer.edge(&Edge { kind, number, from, stack, at, to, end });
    }

    fn tell_some(&mut self, who: usize, count: usize) {
        let seen = self.seen(who);
        for _ in 0..count {
            let Some(stretch) = self.living[who].history.tell() else { return };
            if self.may_be_another(who) {
                continue;
            }
            self.observer.interval(&interval(seen, &stretch));
        }
    }
}

fn interval(who: Who, stretch: &Stretch) -> Interval {
    let state = match stretch.slot {
        RUNNING => ThreadState::Running(stretch.cpu),
        IN_CALLS => ThreadState::InCall(stretch.cpu),
        READY => ThreadState::Ready,
        STOPPED => ThreadState::Stopped,
        slot => match slot.checked_sub(BLOCKED).and_then(|at| Reason::ALL.get(at)) {
            Some(&reason) => ThreadState::Blocked(reason),
            None => ThreadState::Unknown,
        },
    };
    let (from, to) = (Nanos(stretch.from), Nanos(stretch.to));
    Interval { who, state, from, to, call: stretch.call, stack: stretch.stack }
}
