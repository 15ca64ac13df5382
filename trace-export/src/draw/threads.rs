//! Slices on threads, which nest: regions, polls, task runs, calls.
//!
//! A slice that ended on another thread, or that is nested too deep to be shown, is still open for
//! its own thread. Always true:
//!
//! - **L1** `Thread::open` is what the timeline has open on the thread.
//! - **L2** An entry that is not `shown` has no open slice: it is nested too deep, or its slice has
//!   ended while the thread still had it open.
//! - **L3** A slice ends only after all slices above it have ended.

use std::borrow::Cow;
use std::collections::HashSet;

use trace_analysis::Moment;
use trace_analysis::reason::Reason;
use trace_analysis::timeline::{Begun, Detached, How, Who};
use trace_format::call::CallClass;
use trace_format::id::{Open, OpenCall, SiteId, StackId};

use super::rows::{Life, Row};
use super::states::Shown;
use super::{Drawing, OWN_CATEGORY};
use crate::label::{call, errno};
use crate::scene::{Arrow, Detail, Label, Mark, Scene, Track};

/// Maximum number of a thread's slices that were closed together with the slice around them, and
/// whose own ends are still to come.
const CUT_MAX: usize = 1 << 12;

// How slices ended that did not end in order.
const ENDED_ELSEWHERE: &str = "on another thread";
const HELD: &str = "with the poll around it: held across an await, goes on below the future";
const AROUND: &str = "with the one around it: mis-nested";
const LOST: &str = "earlier: its end is not in the trace";

/// A region, poll, task run or call that is open on a thread.
#[derive(Clone, Copy, Debug)]
struct Slice {
    open: Open,
    begin: Moment,
    is_shown: bool,
    /// It has ended on another thread; its slice ends as soon as L3 allows.
    is_over: bool,
}

/// One thread.
#[derive(Debug)]
pub(super) struct Thread {
    pub(super) track: Track,
    /// The name shown to people.
    pub(super) name: Box<str>,
    /// The time of the last item on its track: later items must not have an earlier time (S2).
    last: u64,
    /// The track of its losses, if it has any.
    pub(super) losses: Option<Row>,
    /// The state that was drawn last.
    pub(super) state: Shown,
    open: Vec<Slice>,
    /// Number of entries of `open` that are shown, and of those that are over.
    shown: usize,
    over: usize,
    cut: HashSet<(Open, Moment)>,
    /// Regions that go on after the poll around them, innermost first; kept until the poll has
    /// ended.
    held: Vec<(SiteId, Moment)>,
}

impl Thread {
    /// The time for the next item on the track, and the track.
    #[inline]
    fn stamp(&mut self, at: u64) -> (Track, u64) {
        self.last = self.last.max(at);
        (self.track, self.last)
    }
}

impl<S: Scene> Drawing<'_, '_, S> {
    /// The thread of this number; makes its track if it has none.
    #[inline]
    pub(super) fn thread(&mut self, who: Who) -> &mut Thread {
        if !matches!(self.threads.get(who.number), Some(Some(_))) {
            self.meet(who);
        }
        self.threads[who.number].as_mut().expect("it was met")
    }

    #[cold]
    fn meet(&mut self, who: Who) {
        while self.threads.len() <= who.number {
            self.threads.push(None);
        }
        let name = match who.thread.0 {
            0 => format!("thread {}", who.os_id),
            _ => self.tables.thread_name(who.thread).into_owned(),
        };
        let track = self.rows.thread(self.scene, &name, who.os_id);
        self.threads[who.number] = Some(Thread {
            track,
            name: name.into(),
            last: 0,
            losses: None,
            state: Shown::default(),
            open: Vec::new(),
            shown: 0,
            over: 0,
            cut: HashSet::new(),
            held: Vec::new(),
        });
    }

    /// Draws an instant on a thread.
    pub(super) fn instant(&mut self, who: Who, at: u64, mark: &Mark<'_>) {
        let (track, at) = self.thread(who).stamp(at);
        self.scene.instant(track, at, mark);
    }

    pub(super) fn slice_begins(&mut self, who: Who, begun: &Begun<'_>) {
        let at = self.at(begun.at);
        self.heap_until(at);
        let thread = self.thread(who);
        let is_shown = thread.shown < S::DEPTH_MAX;
        let (open, begin) = (begun.open, begun.at);
        thread.open.push(Slice { open, begin, is_shown, is_over: false });
        if !is_shown {
            self.totals.hidden += 1;
            return;
        }
        thread.shown += 1;
        let (track, at) = thread.stamp(at);
        self.totals.slices += 1;
        match open {
            Open::Region(site) if begun.values.as_bytes().is_empty() => {
                self.scene.begin(track, at, &Mark::new(Label::Site(site)));
            }
            Open::Region(site) => {
                let details = [Detail::Values(site, begun.values)];
                let stack = begun.values.stack().unwrap_or(StackId(0));
                let mark = Mark { stack, ..Mark::new(Label::Site(site)) };
                self.scene.begin(track, at, &mark.with(&details));
            }
            Open::Call(made) => self.call_begins((track, at), made, begun),
            Open::Poll(_) | Open::Task(_) => self.run_begins((track, at), open, begun.edge),
        }
    }

    fn call_begins(&mut self, (track, at): (Track, u64), made: OpenCall, begun: &Begun<'_>) {
        let resource = self.headings.resource(self.tables, made.resource);
        let error = begun.result.filter(|result| *result < 0);
        let error = error.map(|result| errno::shown(result.unsigned_abs()));
        let resource = resource.as_deref().map(|resource| Detail::Word("resource", resource));
        let result = match (&error, begun.result) {
            (Some(error), _) => Some(Detail::Word("error", error)),
            (None, result) => result.map(|result| Detail::Signed("result", result)),
        };
        let mut details = [Detail::Number("", 0); 2];
        let mut count = 0;
        for detail in [resource, result].into_iter().flatten() {
            details[count] = detail;
            count += 1;
        }
        let arrow = [Arrow::Wake(begun.edge)];
        let arrows = if begun.edge == 0 { &[][..] } else { &arrow };
        let name = call_name(made, begun.reason);
        let label = Label::Name(&name, call::class(made.call));
        let mark = Mark { stack: made.stack, arrows, ..Mark::new(label) };
        self.scene.begin(track, at, &mark.with(&details[..count]));
    }

    /// Draws a poll of a future, or a task run, with arrows from its task or future and from the
    /// wake that led to it.
    fn run_begins(&mut self, (track, at): (Track, u64), open: Open, edge: u64) {
        let (life, name, number, task) = match open {
            Open::Task(task) => (Life::Task(task), "task", task.0, task.0),
            Open::Poll(future) => (Life::Future(future), "future", future.0, 0),
            Open::Region(_) | Open::Call(_) => return,
        };
        let arrows = [life.arrow(), Arrow::Poll(edge)];
        let arrows = &arrows[..if edge == 0 { 1 } else { 2 }];
        let details = [Detail::Number(name, number)];
        let heading = self.rows.heading(life);
        let mark = Mark { arrows, task, ..Mark::new(heading.label()) };
        self.scene.begin(track, at, &mark.with(&details));
    }

    pub(super) fn slice_ends(&mut self, who: Who, open: Open, at: u64, how: How<'_>) {
        let thread = self.thread(who);
        let Some(slice) = thread.open.pop() else { return };
        debug_assert_eq!(slice.open, open, "T1: ends are for the innermost");
        match how {
            How::Around if thread.cut.len() < CUT_MAX => {
                thread.cut.insert((slice.open, slice.begin));
            }
            _ => {}
        }
        if let (How::Held(_), Open::Region(site)) = (how, open) {
            thread.held.push((site, slice.begin));
        }
        let is_shown = slice.is_shown && !matches!(how, How::Open);
        if slice.is_shown {
            thread.shown -= 1;
            thread.over -= usize::from(slice.is_over);
        }
        let (track, at) = thread.stamp(at);
        self.totals.unfinished += u64::from(slice.is_shown && !is_shown);
        self.totals.misnested += u64::from(matches!(how, How::Around));
        if is_shown {
            self.end_slice((track, at), how);
        }
        if let (Open::Poll(future), How::Plain) = (open, how) {
            self.hold(who, future);
        }
        self.settle(who, at);
    }

    fn end_slice(&mut self, (track, at): (Track, u64), how: How<'_>) {
        match how {
            How::Plain | How::Open => self.scene.end(track, at, &[]),
            How::Value(outcome, values) => {
                self.scene.end(track, at, &[Detail::Outcome(outcome, values)]);
            }
            How::Call(result) if result < 0 => {
                let error = errno::shown(result.unsigned_abs());
                self.scene.end(track, at, &[Detail::Word("error", &error)]);
            }
            How::Call(result) => self.scene.end(track, at, &[Detail::Signed("result", result)]),
            How::Held(_) => self.scene.end(track, at, &[Detail::Word("ended", HELD)]),
            How::Around => self.scene.end(track, at, &[Detail::Word("ended", AROUND)]),
            How::Lost => self.scene.end(track, at, &[Detail::Word("ended", LOST)]),
        }
    }

    /// Continues regions that are held across an await on the future's track.
    fn hold(&mut self, who: Who, future: trace_format::id::FutureId) {
        let held = std::mem::take(&mut self.thread(who).held);
        for (site, begin) in held.into_iter().rev() {
            let at = self.at(begin);
            let Some((track, at)) = self.rows.hold(self.scene, future, (site, begin), at) else {
                self.totals.hidden += 1;
                continue;
            };
            self.totals.slices += 1;
            self.scene.begin(track, at, &Mark::new(Label::Site(site)));
        }
    }

    /// Ends the innermost slices that have ended elsewhere (L3). Entries without a slice do not
    /// matter.
    fn settle(&mut self, who: Who, at: u64) {
        let thread = self.thread(who);
        if thread.over == 0 {
            return;
        }
        let mut count = 0;
        for slice in thread.open.iter_mut().rev().filter(|slice| slice.is_shown) {
            if !slice.is_over {
                break;
            }
            slice.is_shown = false;
            count += 1;
        }
        thread.shown -= count;
        thread.over -= count;
        let (track, at) = thread.stamp(at);
        for _ in 0..count {
            self.scene.end(track, at, &[Detail::Word("ended", ENDED_ELSEWHERE)]);
        }
    }

    pub(super) fn slice_ended_elsewhere(&mut self, who: Who, depth: usize, at: u64) {
        let thread = self.thread(who);
        if let Some(slice) = thread.open.get_mut(depth).filter(|it| it.is_shown && !it.is_over) {
            slice.is_over = true;
            thread.over += 1;
        }
        self.settle(who, at);
    }

    /// Draws the end of something that is not open on this thread. Returns whether it is known what
    /// ended.
    pub(super) fn ended_detached(&mut self, who: Who, at: u64, detached: &Detached) -> bool {
        let Detached { open, begin, polled } = *detached;
        if let Open::Region(site) = open
            && super::is_some(polled)
            && let Some((track, at, count)) = self.rows.release(polled, (site, begin), at)
        {
            (0..count).for_each(|_| self.scene.end(track, at, &[]));
            return true;
        }
        let is_cut = self.thread(who).cut.remove(&(open, begin));
        let how = match is_cut {
            true => "here: what was around it had ended first",
            false => "here: begun elsewhere, or in a gap",
        };
        self.totals.misnested += u64::from(!is_cut);
        let duration = at.saturating_sub(self.at(begin));
        let details = [Detail::Word("ended", how), Detail::Number("duration_ns", duration)];
        let (name, heading);
        let label = match open {
            Open::Region(site) => Label::Site(site),
            Open::Call(made) => {
                name = call_name(made, None);
                Label::Name(&name, call::class(made.call))
            }
            Open::Poll(future) => {
                heading = self.rows.heading(Life::Future(future));
                heading.label()
            }
            Open::Task(task) => {
                heading = self.rows.heading(Life::Task(task));
                heading.label()
            }
        };
        self.instant(who, at, &Mark::new(label).with(&details));
        is_cut
    }

    pub(super) fn end_without_begin(&mut self, who: Who, at: u64) {
        self.totals.misnested += 1;
        self.instant(who, at, &Mark::new(Label::Name("end without begin", OWN_CATEGORY)));
    }
}

/// The name of a call's slice: the function, or for a futex wait its reason.
fn call_name(made: OpenCall, reason: Option<Reason>) -> Cow<'static, str> {
    let is_futex = made.call.info().is_some_and(|info| info.class == CallClass::Futex);
    match reason.filter(|reason| is_futex && *reason != Reason::Futex) {
        Some(reason) => format!("waits: {}", reason.name()).into(),
        None => call::name(made.call),
    }
}
