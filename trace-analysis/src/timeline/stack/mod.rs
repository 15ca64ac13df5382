//! What is open on one thread: fed with the thread's events in order, yields what has ended.
//!
//! Regions, polls, task runs and calls share one stack. Whatever the events say, the stack stays
//! one:
//!
//! - An end closes what was opened last; with nothing open it is reported and changes nothing.
//! - A *detached* end of something open here takes what lies above it off the stack as well. That
//!   is *mis-nested*: it goes on until its own end comes, by a detached end of its own, and is then
//!   told once, with its whole time. If that never comes, it ended where it was taken off.
//! - A detached end of anything else is passed on: it was opened on another thread.
//! - The front of a restated batch says what is open. What the stack has beyond that has lost its
//!   end; what the stack lacks has lost its begin, and is opened with its true time.
//! - At a gap what was open is put aside until the next restated batch, or a detached end of its
//!   own, says what has become of it. Ends of unknown begins are not findings until then.
//! - What lies deeper than [`NESTING_MAX`], or finds no room, is counted and takes no memory: its
//!   end is paired with it, and it is told by [`Visitor::too_deep`] alone.
//!
//! Times run forward within a thread, so self time is exact: duration minus direct children. A
//! task run is no callee: what lies inside it counts as if it lay in the region around it. The time
//! of something mis-nested is its own until it was taken off the stack, and from then on also that
//! of what was around it.
//!
//! `closed` is what it reports; `gap` is about missing events; `open_sites` counts how often each
//! call site is open; `room` limits memory.

use std::collections::HashMap;

use trace_format::definition::OpenSince;
use trace_format::event::{Event, EventKind};
use trace_format::id::Open;
use trace_format::read::{NESTING_MAX, OpenIndex};
use trace_format::time::Ticks;
use trace_format::value::Values;

mod closed;
mod gap;
mod open_sites;
mod room;

pub use self::closed::{Closed, Ending, Visitor};
use self::gap::Aside;
use self::open_sites::OpenSites;
pub use self::room::Room;
use super::aside::{PutAside, WasOpen};

/// Maximum number of open things that are searched for another run of a task, innermost first.
const RUNS_SEARCHED_MAX: usize = 64;

/// Maximum number of mis-nested things of a thread that wait for their own ends.
pub(super) const LATE_MAX: usize = 1 << 12;

#[derive(Debug)]
struct Frame {
    open: Open,
    begin: u64,
    /// Ticks of the window that direct children took.
    children: u64,
    /// The arguments' bytes; the memory stays with the slot, so that a begin allocates nothing.
    values: Vec<u8>,
}

/// Something mis-nested whose own end has not come.
#[derive(Debug)]
struct Late {
    /// When it was taken off the stack.
    taken: u64,
    self_time: u64,
    depth: usize,
    outermost: bool,
    values: Vec<u8>,
}

/// One thread's open regions, polls, task runs and calls.
#[derive(Debug)]
pub struct Stack {
    /// The slots of the open things, outermost first, and beyond `depth` old ones to be used anew.
    frames: Vec<Frame>,
    depth: usize,
    /// How many things are open above those, and only counted.
    deeper: u64,
    /// Ticks of the window in which something was open.
    busy: u64,
    sites: OpenSites,
    index: OpenIndex,
    late: HashMap<OpenSince, Late>,
    room: Room,
    from: u64,
    to: u64,
    /// How many frames are confirmed by the restated batch whose front is being read.
    restating: Option<usize>,
    /// Whether all that is open is known: not so between a gap and the next restated batch.
    is_sure: bool,
    /// What was open at a gap, if it is not sure what of it still is.
    aside: PutAside<Aside>,
    /// `busy` at the gap.
    busy_before: u64,
    /// How many frames were put aside at a gap and are open again: the outermost ones.
    restored: usize,
}

impl Default for Stack {
    fn default() -> Self {
        Self::new()
    }
}

impl Stack {
    /// An empty stack.
    #[must_use]
    pub fn new() -> Self {
        Self {
            frames: Vec::new(),
            depth: 0,
            deeper: 0,
            busy: 0,
            sites: OpenSites::default(),
            index: OpenIndex::default(),
            late: HashMap::new(),
            room: Room::default(),
            from: 0,
            to: u64::MAX,
            restating: None,
            is_sure: true,
            aside: PutAside::default(),
            busy_before: 0,
            restored: 0,
        }
    }

    /// The same, sharing memory with others.
    #[must_use]
    pub fn with_room(mut self, room: &Room) -> Self {
        self.room = room.clone();
        self
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
        self.depth.saturating_add(self.deeper as usize)
    }

    /// What is open, outermost first, but for what is only counted.
    pub fn open(&self) -> impl DoubleEndedIterator<Item = OpenSince> + '_ {
        let frames = self.frames.iter().take(self.depth);
        frames.map(|frame| OpenSince { open: frame.open, begin: Ticks(frame.begin) })
    }

    /// Time within the window in which at least one region or poll was open, of those that ended.
    #[must_use]
    pub const fn busy(&self) -> Ticks {
        Ticks(self.busy)
    }

    /// Whether all that is open is known: not so between a gap and the next restated batch.
    #[must_use]
    pub const fn is_sure(&self) -> bool {
        self.is_sure
    }

    /// To be called before the first event of a batch that begins by restating what is open: what
    /// it does not name is open no longer, even if it names nothing.
    pub fn restate(&mut self) {
        if !self.is_sure {
            // What began since lies further in than what is restated first.
            self.put_aside(None);
        }
        (self.restating, self.restored) = (Some(0), 0);
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
            EventKind::RegionBegin { site, values } => {
                self.push(Open::Region(site), at, values, visitor);
            }
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
            EventKind::PollBegin { future } => self.push(Open::Poll(future), at, none, visitor),
            EventKind::TaskRun { task, duration } => {
                self.complete(Open::Task(task), at, duration.0, none, visitor);
            }
            EventKind::TaskRunBegin { task } => self.push(Open::Task(task), at, none, visitor),
            EventKind::Call { call, duration, .. } => {
                self.complete(Open::Call(call), at, duration.0, none, visitor);
            }
            EventKind::CallBegin { call } => self.push(Open::Call(call), at, none, visitor),
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

    /// To be called after the last event: closes what is still open as unfinished, and before that
    /// what [`Stack::lose`] and [`Stack::end_late`] do.
    pub fn finish(&mut self, at: Ticks, visitor: &mut impl Visitor) {
        self.restated(at.0, visitor);
        self.lose(at, visitor);
        self.end_late(visitor);
        self.truncate(0, at.0, Ending::Unfinished, visitor);
    }

    /// Closes what is mis-nested and whose own end has not come: it ended where it was taken off.
    pub fn end_late(&mut self, visitor: &mut impl Visitor) {
        let mut late: Vec<_> = std::mem::take(&mut self.late).into_iter().collect();
        // As it would have been told then: what was taken off first, and of that the innermost.
        late.sort_by_key(|(it, late)| (late.taken, std::cmp::Reverse((late.depth, it.begin))));
        for (it, late) in late {
            let end = late.taken;
            self.close_late(it, &late, end, visitor);
        }
    }

    /// Takes open things off the stack, wherever they lie, without closing what is above them, and
    /// forgets mis-nested ones: they are known to have been closed on another thread.
    pub fn forget(&mut self, mut is_over: impl FnMut(OpenSince) -> bool) {
        let mut kept = 0;
        for at in 0..self.depth {
            let Frame { open, begin, children, .. } = self.frames[at];
            if is_over(OpenSince { open, begin: Ticks(begin) }) {
                self.add_to_parent(kept, children);
                self.count_site(open, false);
            } else {
                self.frames.swap(kept, at);
                kept += 1;
            }
        }
        self.depth = kept;
        self.index.reset();
        self.aside.retain(|it| !is_over(it.since()));
        let sites = &mut self.sites;
        self.late.retain(|it, _| {
            let is_over = is_over(*it);
            if let Open::Region(site) = it.open
                && is_over
            {
                sites.end(site);
            }
            !is_over
        });
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
            depth: self.depth(),
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
    fn push(&mut self, open: Open, begin: u64, values: Values<'_>, visitor: &mut impl Visitor) {
        let values = values.as_bytes();
        if self.deeper > 0 || self.depth == self.frames.len() && !self.grow() {
            self.deeper += 1;
            visitor.too_deep(Ticks(begin));
            return;
        }
        self.count_site(open, true);
        self.index.begin(OpenSince { open, begin: Ticks(begin) });
        let frame = &mut self.frames[self.depth];
        (frame.open, frame.begin, frame.children) = (open, begin, 0);
        frame.values.clear();
        let more = values.len().saturating_sub(frame.values.capacity());
        if more == 0 || self.room.take(more) {
            frame.values.extend_from_slice(values);
        }
        self.depth += 1;
    }

    /// Adds a slot, if there may be one more.
    #[cold]
    #[inline(never)]
    fn grow(&mut self) -> bool {
        let has_room =
            self.frames.len() < NESTING_MAX && self.room.take(std::mem::size_of::<Frame>());
        if has_room {
            let (open, values) = (Open::Region(Default::default()), Vec::new());
            self.frames.push(Frame { open, begin: 0, children: 0, values });
        }
        has_room
    }

    #[inline]
    fn end(&mut self, at: u64, ending: Ending<'_>, visitor: &mut impl Visitor) {
        if self.depth == 0 || self.deeper > 0 {
            return self.end_uncommon(at, visitor);
        }
        self.pop(at, ending, visitor);
    }

    /// An end of something that is only counted, or of nothing.
    #[cold]
    fn end_uncommon(&mut self, at: u64, visitor: &mut impl Visitor) {
        if self.deeper > 0 {
            self.deeper -= 1;
        } else if self.is_sure {
            visitor.end_without_begin(Ticks(at));
        }
    }

    #[inline]
    fn pop(&mut self, end: u64, ending: Ending<'_>, visitor: &mut impl Visitor) {
        self.depth -= 1;
        let depth = self.depth;
        let Frame { open, begin, children, .. } = self.frames[depth];
        self.count_site(open, false);
        self.index.end(OpenSince { open, begin: Ticks(begin) });
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
        self.deeper = 0;
        while self.depth > depth {
            self.pop(at, ending, visitor);
        }
    }

    #[cold]
    fn end_detached(&mut self, open: Open, begin: u64, end: u64, visitor: &mut impl Visitor) {
        let it = OpenSince { open, begin: Ticks(begin) };
        let frames = self.frames[..self.depth].iter();
        let stack = frames.map(|frame| OpenSince { open: frame.open, begin: Ticks(frame.begin) });
        if let Some(at) = self.index.find(it, stack) {
            self.deeper = 0;
            while self.depth > at + 1 {
                self.take_off(end, visitor);
            }
            self.pop(end, Ending::Ended, visitor);
            return;
        }
        if let Some(taken) = self.aside.take(it) {
            return self.end_aside(taken, end, visitor);
        }
        if let Some(late) = self.late.remove(&it) {
            return self.close_late(it, &late, end, visitor);
        }
        if self.deeper > 0 {
            // It may be one of those that are only counted.
            return;
        }
        let ending = if self.is_sure { Ending::Elsewhere } else { Ending::Unseen };
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
            ending,
        });
    }

    /// What is innermost goes on although something around it ends now.
    fn take_off(&mut self, now: u64, visitor: &mut impl Visitor) {
        self.depth -= 1;
        let depth = self.depth;
        let frame = &mut self.frames[depth];
        let (it, children) =
            (OpenSince { open: frame.open, begin: Ticks(frame.begin) }, frame.children);
        let values = std::mem::take(&mut frame.values);
        self.index.end(it);
        self.count_site(it.open, false);
        let inside = self.inside(it.begin.0, now);
        let is_callee = !matches!(it.open, Open::Task(_) | Open::Call(_));
        self.add_to_parent(depth, if is_callee { inside } else { children });
        let self_time = inside.saturating_sub(children);
        let outermost = !self.is_open(it.open);
        let late = Late { taken: now, self_time, depth, outermost, values };
        // Until it ends, others of its call site are not alone.
        self.count_site(it.open, true);
        let is_known = self.late.contains_key(&it);
        if is_known || self.late.len() >= LATE_MAX {
            return self.close_late(it, &late, now, visitor);
        }
        self.late.insert(it, late);
    }

    fn close_late(&mut self, it: OpenSince, late: &Late, end: u64, visitor: &mut impl Visitor) {
        self.count_site(it.open, false);
        visitor.closed(&Closed {
            open: it.open,
            begin: it.begin,
            end: Ticks(end.max(it.begin.0)),
            inside: Ticks(self.inside(it.begin.0, end)),
            self_time: Ticks(late.self_time),
            depth: late.depth,
            outermost: late.outermost,
            values: Values::new(&late.values),
            ending: Ending::Misnested,
        });
    }

    #[inline(always)]
    fn count_site(&mut self, open: Open, more: bool) {
        match open {
            Open::Region(site) if more => self.sites.begin(site),
            Open::Region(site) => self.sites.end(site),
            _ => {}
        }
    }

    /// Whether a region of the same call site, or a run of the same task, is open.
    #[inline(always)]
    fn is_open(&self, open: Open) -> bool {
        match open {
            Open::Region(site) => self.sites.is_open(site),
            Open::Task(_) => self.is_running(open),
            Open::Poll(_) | Open::Call(_) => false,
        }
    }

    #[inline(never)]
    fn is_running(&self, open: Open) -> bool {
        let mut inner = self.frames[..self.depth].iter().rev().take(RUNS_SEARCHED_MAX);
        inner.any(|frame| frame.open == open)
    }
}
