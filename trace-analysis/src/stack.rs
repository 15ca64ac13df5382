//! What is open on one thread: fed with the thread's events in order, yields what has ended.
//!
//! Regions, polls and task runs share one stack. Whatever the events say, the stack stays one:
//!
//! - An end closes what was opened last; with nothing open it is reported and changes nothing.
//! - A *detached* end of something open here closes everything above it first, as mis-nested. Of
//!   something that is not open here, it is passed on: it was opened on another thread.
//! - The front of a restated batch says what is open. What the stack has beyond that has lost its
//!   end; what the stack lacks has lost its begin, and is opened with its true time.
//! - After a gap the stack is empty until the next restated batch, and ends of unknown begins are
//!   not findings.
//!
//! Times run forward within a thread, so self time is exact: duration minus direct children. A
//! task run is no callee: what lies inside it counts as if it lay in the region around it.

use trace_format::definition::OpenSince;
use trace_format::event::{Event, EventKind, Outcome};
use trace_format::id::{Open, SiteId};
use trace_format::time::Ticks;
use trace_format::value::Values;

/// A writer restates so many open things at most, the outermost ones.
const RESTATED_MAX: usize = 32;

/// Something that was open on a thread and is so no longer.
#[derive(Clone, Copy, Debug)]
pub struct Closed<'a> {
    /// What.
    pub open: Open,
    /// When it began.
    pub begin: Ticks,
    /// When it ended, or until when it is known to have been open.
    pub end: Ticks,
    /// The part of it that lies in the stack's window.
    pub inside: Ticks,
    /// `inside` without what its direct children took of the window.
    pub self_time: Ticks,
    /// How many things were open around it.
    pub depth: usize,
    /// Whether it stands alone: no other region of its call site was open around it.
    pub outermost: bool,
    /// Its arguments; empty if its begin is not in the file.
    pub values: Values<'a>,
    /// How it ended.
    pub ending: Ending<'a>,
}

impl Closed<'_> {
    /// From begin to end.
    #[must_use]
    pub fn duration(&self) -> Ticks {
        Ticks(self.end.0.saturating_sub(self.begin.0))
    }
}

/// How something that was open ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ending<'a> {
    /// As its writer said.
    Ended,
    /// The same, with a result; the value or the error is there if it was recorded.
    With(Outcome, Values<'a>),
    /// It was ended although it was not the innermost: together with all above it.
    Misnested,
    /// It was opened on another thread, whose stack still has it.
    Elsewhere,
    /// Its end is missing from the trace; `end` is when that was noticed.
    Lost,
    /// It was still open when reading ended.
    Unfinished,
}

impl Ending<'_> {
    /// Whether `end` is the true time of the end.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        !matches!(self, Self::Lost | Self::Unfinished)
    }
}

/// Who is told what ends.
pub trait Visitor {
    /// Something is no longer open.
    fn closed(&mut self, closed: &Closed<'_>);

    /// An end came while nothing was open, and no gap explains it.
    fn end_without_begin(&mut self, at: Ticks) {
        let _ = at;
    }
}

#[derive(Debug)]
struct Frame {
    open: Open,
    begin: u64,
    /// Ticks of the window that direct children took.
    children: u64,
    /// The arguments' bytes; the memory stays with the slot, so that a begin allocates nothing.
    values: Vec<u8>,
}

/// One thread's open regions, polls and task runs.
#[derive(Debug)]
pub struct Stack {
    /// The slots of the open things, outermost first, and beyond `depth` old ones to be used anew.
    frames: Vec<Frame>,
    depth: usize,
    /// Ticks of the window in which something was open.
    busy: u64,
    /// How often each call site is open, by its id.
    open_sites: Vec<u32>,
    sites_max: u32,
    from: u64,
    to: u64,
    /// So many of the frames are confirmed by the restated batch whose front is being read.
    restating: Option<usize>,
    /// Whether all that is open is known: not so between a gap and the next restated batch.
    is_sure: bool,
}

impl Stack {
    /// An empty stack.
    ///
    /// - `sites_max`: the greatest id of a call site. Recursion of others is found too, slowly.
    #[must_use]
    pub fn new(sites_max: SiteId) -> Self {
        Self {
            frames: Vec::new(),
            depth: 0,
            busy: 0,
            open_sites: Vec::new(),
            sites_max: sites_max.0,
            from: 0,
            to: u64::MAX,
            restating: None,
            is_sure: true,
        }
    }

    /// The same, counting only what lies between two times.
    #[must_use]
    pub fn with_window(mut self, from: Ticks, to: Ticks) -> Self {
        (self.from, self.to) = (from.0, to.0.max(from.0));
        self
    }

    /// How many things are open.
    #[must_use]
    pub const fn depth(&self) -> usize {
        self.depth
    }

    /// What is open, outermost first.
    pub fn open(&self) -> impl DoubleEndedIterator<Item = OpenSince> + '_ {
        let frames = self.frames.iter().take(self.depth);
        frames.map(|frame| OpenSince { open: frame.open, begin: Ticks(frame.begin) })
    }

    /// Time within the window in which at least one region or poll was open, of those that ended.
    #[must_use]
    pub const fn busy(&self) -> Ticks {
        Ticks(self.busy)
    }

    /// To be called before the first event of a batch that begins by restating what is open: what
    /// it does not name is open no longer, even if it names nothing.
    pub fn restate(&mut self) {
        self.restating = Some(0);
    }

    /// To be called where batches are missing: what was open may be so no longer.
    pub fn gap(&mut self, at: Ticks, visitor: &mut impl Visitor) {
        self.truncate(0, at.0, Ending::Lost, visitor);
        self.is_sure = false;
        self.restating = None;
    }

    /// To be called before [`Stack::finish`] if the definitions tell what was open after the last
    /// event: that includes what has begun and was never written. `more` says that deeper ones may
    /// be open than `open` lists. After this no event may follow: the begins would count twice.
    pub fn resume(
        &mut self,
        open: impl IntoIterator<Item = OpenSince>,
        more: bool,
        at: Ticks,
        visitor: &mut impl Visitor,
    ) {
        self.restate();
        for OpenSince { open, begin } in open {
            self.confirm(open, begin.0, at.0, visitor);
        }
        if more {
            self.restating = None;
        }
        self.restated(at.0, visitor);
    }

    /// Takes the thread's next event.
    #[inline(always)]
    pub fn feed(&mut self, event: &Event<'_>, visitor: &mut impl Visitor) {
        if self.restating.is_some() {
            if let EventKind::Reopen { open, since } = event.kind {
                let begin = event.ticks.0.saturating_sub(since.0);
                self.confirm(open, begin, event.ticks.0, visitor);
                return;
            }
            self.restated(event.ticks.0, visitor);
        }
        let at = event.ticks.0;
        match event.kind {
            EventKind::Region { site, duration, values } => {
                self.complete(Open::Region(site), at, duration.0, values, visitor);
            }
            EventKind::RegionBegin { site, values } => self.push(Open::Region(site), at, values),
            EventKind::End => self.end(at, Ending::Ended, visitor),
            EventKind::EndValue { outcome, values } => {
                self.end(at, Ending::With(outcome, values), visitor);
            }
            // By value: a reference would keep every event in memory, not only the rare ones.
            _ => self.feed_rare(*event, visitor),
        }
    }

    /// Lets an event pass that opens and ends nothing. Feeding it does the same.
    #[inline]
    pub fn passes(&mut self, event: &Event<'_>, visitor: &mut impl Visitor) {
        if self.restating.is_some() {
            self.restated(event.ticks.0, visitor);
        }
    }

    #[inline(never)]
    fn feed_rare(&mut self, event: Event<'_>, visitor: &mut impl Visitor) {
        let at = event.ticks.0;
        let none = Values::new(&[]);
        match event.kind {
            EventKind::Poll { future, duration, .. } => {
                self.complete(Open::Poll(future), at, duration.0, none, visitor);
            }
            EventKind::PollBegin { future } => self.push(Open::Poll(future), at, none),
            EventKind::TaskRun { task, duration } => {
                self.complete(Open::Task(task), at, duration.0, none, visitor);
            }
            EventKind::TaskRunBegin { task } => self.push(Open::Task(task), at, none),
            EventKind::Call { call, duration, .. } => {
                self.complete(Open::Call(call), at, duration.0, none, visitor);
            }
            EventKind::CallBegin { call } => self.push(Open::Call(call), at, none),
            EventKind::EndCall { .. } | EventKind::EndPoll { .. } => {
                self.end(at, Ending::Ended, visitor);
            }
            EventKind::EndDetached { open, since } => {
                self.end_detached(open, at.saturating_sub(since.0), at, visitor);
            }
            EventKind::Reopen { open, since } => {
                self.restate();
                self.confirm(open, at.saturating_sub(since.0), at, visitor);
            }
            _ => {}
        }
    }

    /// To be called after the last event: closes what is still open as unfinished.
    pub fn finish(&mut self, at: Ticks, visitor: &mut impl Visitor) {
        self.restated(at.0, visitor);
        self.truncate(0, at.0, Ending::Unfinished, visitor);
    }

    /// Ends one open thing, wherever it is on the stack, without closing what is above it: it is
    /// known to have been closed on another thread. Returns whether it was open.
    pub fn forget(&mut self, open: Open, begin: Ticks) -> bool {
        let frames = &self.frames[..self.depth];
        let found = frames.iter().rposition(|frame| frame.open == open && frame.begin == begin.0);
        let Some(at) = found else { return false };
        let children = self.frames[at].children;
        self.add_to_parent(at, children);
        self.frames[at..self.depth].rotate_left(1);
        self.depth -= 1;
        self.count_site(open, false);
        true
    }

    #[inline(always)]
    fn complete(
        &mut self,
        open: Open,
        begin: u64,
        duration: u64,
        values: Values<'_>,
        visitor: &mut impl Visitor,
    ) {
        let end = begin.saturating_add(duration);
        let inside = self.inside(begin, end);
        if !matches!(open, Open::Task(_) | Open::Call(_)) {
            self.add_to_parent(self.depth, inside);
        }
        visitor.closed(&Closed {
            open,
            begin: Ticks(begin),
            end: Ticks(end),
            inside: Ticks(inside),
            self_time: Ticks(inside),
            depth: self.depth,
            outermost: !self.is_open(open),
            values,
            ending: Ending::Ended,
        });
    }

    #[inline(always)]
    fn inside(&self, begin: u64, end: u64) -> u64 {
        end.min(self.to).saturating_sub(begin.max(self.from))
    }

    /// Adds to what surrounds the thing at `depth`.
    #[inline(always)]
    fn add_to_parent(&mut self, depth: usize, ticks: u64) {
        let sum = match depth.checked_sub(1).and_then(|at| self.frames.get_mut(at)) {
            Some(parent) => &mut parent.children,
            None => &mut self.busy,
        };
        *sum = sum.saturating_add(ticks);
    }

    #[inline]
    fn push(&mut self, open: Open, begin: u64, values: Values<'_>) {
        self.count_site(open, true);
        match self.frames.get_mut(self.depth) {
            Some(frame) => {
                (frame.open, frame.begin, frame.children) = (open, begin, 0);
                frame.values.clear();
                frame.values.extend_from_slice(values.as_bytes());
            }
            None => {
                let values = values.as_bytes().to_vec();
                self.frames.push(Frame { open, begin, children: 0, values });
            }
        }
        self.depth += 1;
    }

    #[inline]
    fn end(&mut self, at: u64, ending: Ending<'_>, visitor: &mut impl Visitor) {
        if self.depth == 0 {
            if self.is_sure {
                visitor.end_without_begin(Ticks(at));
            }
            return;
        }
        self.pop(at, ending, visitor);
    }

    #[inline]
    fn pop(&mut self, end: u64, ending: Ending<'_>, visitor: &mut impl Visitor) {
        self.depth -= 1;
        let depth = self.depth;
        let Frame { open, begin, children, .. } = self.frames[depth];
        self.count_site(open, false);
        let inside = self.inside(begin, end);
        // When a lost end was, nobody knows: the time stays with the region around it.
        let is_callee = !matches!(open, Open::Task(_) | Open::Call(_)) && ending != Ending::Lost;
        self.add_to_parent(depth, if is_callee { inside } else { children });
        visitor.closed(&Closed {
            open,
            begin: Ticks(begin),
            end: Ticks(end.max(begin)),
            inside: Ticks(inside),
            self_time: Ticks(inside.saturating_sub(children)),
            depth,
            outermost: !self.is_open(open),
            values: Values::new(&self.frames[depth].values),
            ending,
        });
    }

    fn truncate(&mut self, depth: usize, at: u64, ending: Ending<'_>, visitor: &mut impl Visitor) {
        while self.depth > depth {
            self.pop(at, ending, visitor);
        }
    }

    #[cold]
    fn end_detached(&mut self, open: Open, begin: u64, end: u64, visitor: &mut impl Visitor) {
        let frames = &self.frames[..self.depth];
        let found = frames.iter().rposition(|frame| frame.open == open && frame.begin == begin);
        if let Some(at) = found {
            self.truncate(at + 1, end, Ending::Misnested, visitor);
            self.pop(end, Ending::Ended, visitor);
            return;
        }
        visitor.closed(&Closed {
            open,
            begin: Ticks(begin),
            end: Ticks(end),
            inside: Ticks(self.inside(begin, end)),
            // Its children are on another thread.
            self_time: Ticks(0),
            depth: 0,
            outermost: !self.is_open(open),
            values: Values::new(&[]),
            ending: Ending::Elsewhere,
        });
    }

    /// The restated batch says that this is open, inside what it named before.
    #[cold]
    fn confirm(&mut self, open: Open, begin: u64, at: u64, visitor: &mut impl Visitor) {
        let confirmed = self.restating.unwrap_or(0);
        let here = self.frames[..self.depth].get(confirmed);
        if here.is_none_or(|frame| (frame.open, frame.begin) != (open, begin)) {
            self.truncate(confirmed, at, Ending::Lost, visitor);
            self.push(open, begin, Values::new(&[]));
        }
        self.restating = Some(confirmed + 1);
    }

    /// The restated batch has named everything: what it did not name is no longer open.
    #[cold]
    fn restated(&mut self, at: u64, visitor: &mut impl Visitor) {
        if let Some(confirmed) = self.restating.take() {
            if confirmed < RESTATED_MAX {
                self.truncate(confirmed, at, Ending::Lost, visitor);
            }
            self.is_sure = true;
        }
    }

    #[inline(always)]
    fn count_site(&mut self, open: Open, more: bool) {
        let Open::Region(SiteId(site)) = open else { return };
        match self.open_sites.get_mut(site as usize) {
            Some(count) if more => *count += 1,
            Some(count) => *count -= 1,
            None if more && site <= self.sites_max => {
                self.open_sites.resize(site as usize + 1, 0);
                self.open_sites[site as usize] = 1;
            }
            None => {}
        }
    }

    /// Whether a region of the same call site is open.
    #[inline(always)]
    fn is_open(&self, open: Open) -> bool {
        let Open::Region(SiteId(site)) = open else { return false };
        match self.open_sites.get(site as usize) {
            Some(&count) => count > 0,
            None if site <= self.sites_max => false,
            None => self.frames[..self.depth].iter().any(|frame| frame.open == open),
        }
    }
}
