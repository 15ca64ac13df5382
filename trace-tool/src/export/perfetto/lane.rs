//! What is open on one thread, and which of it has a slice in the output.
//!
//! Perfetto pairs an end with the innermost slice that is open on its track, so the output is right
//! only if every end is sent for a slice that was begun, innermost first. That is what this stack
//! is for. Always true:
//!
//! - **L1** Frames are in the order in which they began; ends come for the last one.
//! - **L2** A frame that is not `shown` has no open slice in the output: it lies too deep, or its
//!   slice was ended while the thread still had it open.
//! - **L3** A slice ends only after all slices above it have ended.
//!
//! Elsewhere: what is sent for each frame (`convert`).

use std::collections::HashSet;

use trace_format::definition::OpenSince;
use trace_format::id::{FutureId, Open, ResourceId, SiteId, StackId, ThreadId};
use trace_format::read::{NESTING_MAX, OpenIndex};
use trace_format::time::Ticks;

/// Viewers drop slices that lie deeper, but not their ends, which then end others: Perfetto's limit
/// was 255 once and is 512 today.
const SHOWN_MAX: usize = 250;
/// Maximum number of slices of a lane that were cut and whose own ends are waited for.
const CUT_MAX: usize = 1 << 12;
/// A writer restates so many open things at most, the outermost ones.
const RESTATED_MAX: usize = 32;

/// Something open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    open: Open,
    begin: Ticks,
    shown: bool,
    /// It has ended on another thread; its slice ends as soon as L3 lets it.
    ended: bool,
}

impl Frame {
    fn since(&self) -> OpenSince {
        OpenSince { open: self.open, begin: self.begin }
    }
}

/// What an end met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Popped {
    /// What was opened last; and so many slices below it that had been waiting for it (L3).
    Ended {
        /// Whether it has a slice, which ends first.
        own: bool,
        /// Slices that end after it.
        below: usize,
    },
    /// Nothing was open.
    Nothing,
    /// The same, but batches are missing before, so something may have been.
    Unknown,
}

/// A call that waited until somebody woke it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    /// For what.
    pub(super) resource: ResourceId,
    /// When it began, in nanoseconds.
    pub(super) from: u64,
}

/// One thread.
#[derive(Debug)]
pub(super) struct Lane {
    /// Whose it is.
    pub(super) thread: ThreadId,
    /// Its track.
    pub(super) track: u64,
    /// The track of its drops, if it had any, and when the last of them ended.
    pub(super) drops: Option<(u64, u64)>,
    /// Events and ends that were lost, as far as its events say.
    pub(super) lost: (u64, u64),
    /// The time of the last packet on its track. Whatever is sent later is not earlier.
    pub(super) last: u64,
    /// When the complete region that was begun last ends, until that is sent.
    pub(super) ending: Option<u64>,
    /// If what ends next is a call that was woken: what it waited for.
    pub(super) wait: Option<Wait>,
    /// If what ends next is a complete poll: of what.
    pub(super) poll: Option<FutureId>,
    /// Where the poll that ends next took a waker; 0 if it took none.
    pub(super) waits_at: StackId,
    /// Futures whose polls are over, innermost first, until that is sent.
    pub(super) polls_over: Vec<FutureId>,
    frames: Vec<Frame>,
    /// Frames that are `shown`.
    shown: usize,
    /// Frames that are both `shown` and `ended`.
    waiting: usize,
    /// Frames beyond [`NESTING_MAX`].
    deeper: u64,
    index: OpenIndex,
    /// What was mis-nested: its own end is still to come, and ends no slice.
    cut: HashSet<OpenSince>,
    /// So many frames are confirmed by the restated batch whose front is being read.
    restating: Option<usize>,
    /// Frames that a restated batch did not confirm: `Dropped` will count them again.
    unconfirmed: u64,
    /// Whether batches are missing before the next event.
    gap: bool,
    /// Whether more may be open than the stack has: after a gap, until a restated batch says.
    unsure: bool,
}

impl Lane {
    pub(super) fn new(thread: ThreadId, track: u64) -> Self {
        Self {
            thread,
            track,
            drops: None,
            lost: (0, 0),
            last: 0,
            ending: None,
            wait: None,
            poll: None,
            waits_at: StackId(0),
            polls_over: Vec::new(),
            frames: Vec::new(),
            shown: 0,
            waiting: 0,
            deeper: 0,
            index: OpenIndex::default(),
            cut: HashSet::new(),
            restating: None,
            unconfirmed: 0,
            gap: false,
            unsure: false,
        }
    }

    /// How many things are open.
    pub(super) fn open_count(&self) -> u64 {
        self.frames.len() as u64 + self.deeper
    }

    /// How many slices are open in the output.
    pub(super) fn slices_open(&self) -> usize {
        self.shown
    }

    /// Something begins. Whether its slice is to be shown.
    pub(super) fn push(&mut self, open: Open, begin: Ticks) -> bool {
        if self.frames.len() >= NESTING_MAX {
            self.deeper += 1;
            return false;
        }
        let shown = self.has_room();
        self.shown += usize::from(shown);
        self.index.begin(OpenSince { open, begin });
        self.frames.push(Frame { open, begin, shown, ended: false });
        shown
    }

    /// Whether one more slice can be shown.
    pub(super) fn has_room(&self) -> bool {
        self.shown < SHOWN_MAX && self.deeper == 0
    }

    /// What was opened last, and when.
    pub(super) fn top(&self) -> Option<(Open, Ticks)> {
        let frame = self.frames.last().filter(|_| self.deeper == 0)?;
        Some((frame.open, frame.begin))
    }

    /// What was opened last ends.
    pub(super) fn pop(&mut self) -> Popped {
        if self.deeper > 0 {
            self.deeper -= 1;
            return Popped::Ended { own: false, below: 0 };
        }
        match self.frames.pop() {
            Some(frame) => {
                self.index.end(frame.since());
                if let Open::Poll(future) = frame.open {
                    self.polls_over.push(future);
                }
                self.shown -= usize::from(frame.shown);
                Popped::Ended { own: frame.shown, below: self.settle() }
            }
            None if self.unsure => Popped::Unknown,
            None => Popped::Nothing,
        }
    }

    /// The innermost `count` things have ended.
    pub(super) fn pop_many(&mut self, count: u64) -> usize {
        let deeper = count.min(self.deeper);
        self.deeper -= deeper;
        let kept = (self.frames.len() as u64).saturating_sub(count - deeper);
        self.truncate(usize::try_from(kept).expect("not more than there are frames"))
    }

    /// How many things lie above `open`, which began at `begin`; `None` if it is not open here.
    pub(super) fn above(&mut self, open: Open, begin: Ticks) -> Option<u64> {
        let frames = self.frames.iter().map(Frame::since);
        let found = self.index.find(OpenSince { open, begin }, frames)?;
        Some(self.open_count() - found as u64 - 1)
    }

    /// The innermost `count` things go on although something around them ends now.
    pub(super) fn note_cut(&mut self, count: u64) {
        let kept = self.frames.len().saturating_sub(count.saturating_sub(self.deeper) as usize);
        let room = CUT_MAX.saturating_sub(self.cut.len());
        self.cut.extend(self.frames[kept..].iter().take(room).map(Frame::since));
    }

    /// Something ends: whether it is one of those.
    pub(super) fn take_cut(&mut self, open: Open, begin: Ticks) -> bool {
        self.cut.remove(&OpenSince { open, begin })
    }

    /// Of the innermost `count` things the regions, outermost first, and when they began.
    pub(super) fn regions_above(&self, count: u64) -> impl Iterator<Item = (SiteId, Ticks)> {
        let kept = (self.open_count().saturating_sub(count)) as usize;
        let above = self.frames.get(kept..).unwrap_or_default();
        above.iter().filter_map(|frame| match frame.open {
            Open::Region(site) => Some((site, frame.begin)),
            _ => None,
        })
    }

    /// The future that is being polled here, the innermost one.
    pub(super) fn polled(&self) -> Option<FutureId> {
        self.frames.iter().rev().find_map(|frame| match frame.open {
            Open::Poll(future) => Some(future),
            _ => None,
        })
    }

    /// The future in whose poll `future` is told of or polled: the innermost other one.
    pub(super) fn polled_around(&self, future: FutureId) -> Option<FutureId> {
        self.frames.iter().rev().find_map(|frame| match frame.open {
            Open::Poll(around) if around != future => Some(around),
            _ => None,
        })
    }

    /// Something that is open here has ended on another thread: its slice ends now, or when those
    /// above it have. This thread's own ends still count it (L1).
    pub(super) fn end_elsewhere(&mut self, open: Open, begin: Ticks) -> usize {
        let is_it = |f: &&mut Frame| f.open == open && f.begin == begin && f.shown && !f.ended;
        if let Some(frame) = self.frames.iter_mut().rfind(is_it) {
            frame.ended = true;
            self.waiting += 1;
        }
        self.settle()
    }

    /// Batches before the next event are missing.
    pub(super) fn mark_gap(&mut self) {
        (self.gap, self.unsure) = (true, true);
        self.restating = None;
    }

    /// What is restated from now on is all that is open.
    pub(super) fn begin_front(&mut self) {
        self.restating = Some(0);
    }

    /// A restated batch says that `open` is open since `begin`. Returns how many slices end because
    /// they are not, and whether a slice begins.
    pub(super) fn restate(&mut self, open: Open, begin: Ticks) -> (usize, bool) {
        (self.gap, self.unsure) = (false, false);
        let at = self.restating.unwrap_or(0);
        self.restating = Some(at + 1);
        if self.frames.get(at).is_some_and(|f| f.open == open && f.begin == begin) {
            return (0, false);
        }
        (self.drop_unconfirmed(at), self.push(open, begin))
    }

    /// Must be called before every other event: the restated front is over. Returns how many slices
    /// end because it did not name them.
    #[inline]
    pub(super) fn settle_front(&mut self) -> usize {
        if self.restating.is_none() && !self.gap {
            return 0;
        }
        let confirmed = self.restating.take().unwrap_or(0);
        self.gap = false;
        if confirmed < RESTATED_MAX { self.drop_unconfirmed(confirmed) } else { 0 }
    }

    /// Of `ends` dropped ends, how many concern frames that are still here: a restated batch may
    /// have left them out already.
    pub(super) fn take_lost(&mut self, ends: u64) -> u64 {
        let known = self.unconfirmed.min(ends);
        self.unconfirmed -= known;
        ends - known
    }

    fn drop_unconfirmed(&mut self, kept: usize) -> usize {
        self.unconfirmed += self.open_count() - (self.frames.len().min(kept)) as u64;
        self.deeper = 0;
        self.truncate(kept)
    }

    fn truncate(&mut self, kept: usize) -> usize {
        let kept = kept.min(self.frames.len());
        let gone = &self.frames[kept..];
        let ended = gone.iter().filter(|frame| frame.shown).count();
        self.waiting -= gone.iter().filter(|frame| frame.shown && frame.ended).count();
        let polls = gone.iter().rev().filter_map(|frame| match frame.open {
            Open::Poll(future) => Some(future),
            _ => None,
        });
        self.polls_over.extend(polls);
        self.shown -= ended;
        gone.iter().for_each(|frame| self.index.end(frame.since()));
        self.frames.truncate(kept);
        ended + self.settle()
    }

    /// Ends the slices at the top that ended elsewhere. Only frames with a slice matter: those
    /// without one hide nothing.
    #[inline]
    fn settle(&mut self) -> usize {
        if self.waiting == 0 { 0 } else { self.settle_waiting() }
    }

    #[cold]
    fn settle_waiting(&mut self) -> usize {
        let mut slices = 0;
        for frame in self.frames.iter_mut().rev().filter(|frame| frame.shown) {
            if !frame.ended {
                break;
            }
            frame.shown = false;
            slices += 1;
        }
        self.shown -= slices;
        self.waiting -= slices;
        slices
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(id: u32) -> Open {
        Open::Region(SiteId(id))
    }

    fn ended(own: bool, below: usize) -> Popped {
        Popped::Ended { own, below }
    }

    fn lane(count: u32) -> Lane {
        let mut lane = Lane::new(ThreadId(1), 1);
        for id in 1..=count {
            lane.push(region(id), Ticks(id.into()));
        }
        lane
    }

    #[test]
    fn an_end_with_nothing_open_ends_no_slice() {
        let mut lane = lane(1);
        assert_eq!(lane.pop(), ended(true, 0));
        assert_eq!(lane.pop(), Popped::Nothing);
    }

    #[test]
    fn what_lies_too_deep_is_paired_but_not_shown() {
        let count = NESTING_MAX + 5;
        let mut lane = Lane::new(ThreadId(1), 1);
        let shown = (0..count).filter(|_| lane.push(region(1), Ticks(0))).count();
        assert_eq!(shown, SHOWN_MAX);
        assert!(!lane.has_room());
        let ends: Vec<_> = (0..count).map(|_| lane.pop()).collect();
        assert!(ends[..count - SHOWN_MAX].iter().all(|&end| end == ended(false, 0)));
        assert!(ends[count - SHOWN_MAX..].iter().all(|&end| end == ended(true, 0)));
        assert_eq!(lane.pop(), Popped::Nothing);
    }

    #[test]
    fn what_ended_elsewhere_waits_for_what_lies_above_it() {
        let mut lane = lane(3);
        assert_eq!(lane.end_elsewhere(region(2), Ticks(2)), 0, "3 is above it");
        assert_eq!(lane.pop(), ended(true, 1), "3 and then 2");
        assert_eq!(lane.open_count(), 2, "the thread's own ends still count 2");
        assert_eq!(lane.above(region(1), Ticks(1)), Some(1));
        assert_eq!(lane.pop_many(2), 1);
    }

    #[test]
    fn a_restated_front_ends_what_it_does_not_name() {
        let mut lane = lane(3);
        assert_eq!(lane.restate(region(1), Ticks(1)), (0, false));
        assert_eq!(lane.restate(region(9), Ticks(2)), (2, true));
        assert_eq!(lane.settle_front(), 0);
        assert_eq!(lane.open_count(), 2);
        assert_eq!(lane.restate(region(1), Ticks(1)), (0, false));
        assert_eq!(lane.settle_front(), 1, "9 was not named");
    }

    #[test]
    fn dropped_ends_count_once_whether_restated_or_not() {
        let mut restated = lane(3);
        restated.restate(region(1), Ticks(1));
        assert_eq!(restated.settle_front(), 2);
        assert_eq!(restated.take_lost(2), 0);
        let mut plain = lane(3);
        let lost = plain.take_lost(2);
        assert_eq!(plain.pop_many(lost), 2);
        assert_eq!(plain.open_count(), 1);
    }

    #[test]
    fn a_gap_without_a_restated_front_empties_the_stack() {
        let mut lane = lane(2);
        lane.mark_gap();
        assert_eq!(lane.settle_front(), 2);
        assert_eq!(lane.settle_front(), 0);
        assert_eq!(lane.pop(), Popped::Unknown);
    }
}
