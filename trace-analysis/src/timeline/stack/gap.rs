//! What a stack does where events are missing, and where a batch restates what is open.
//!
//! What was open at a gap goes on if the next restated batch names it, and ended at its own end if
//! that is detached, and comes before. Else its end is lost.

use trace_format::definition::OpenSince;
use trace_format::id::Open;
use trace_format::read::{NESTING_MAX, RESTATED_MAX};
use trace_format::time::Ticks;
use trace_format::value::Values;

use super::{Closed, Ending, Frame, Stack, Visitor};
use crate::timeline::aside::WasOpen;

/// Something that was open at a gap, or was opened behind it.
#[derive(Debug)]
pub(super) struct Aside {
    frame: Frame,
    /// When the gap was; `None` for what was opened behind it.
    gap: Option<u64>,
    /// How many things were open around it.
    depth: usize,
}

impl WasOpen for Aside {
    fn since(&self) -> OpenSince {
        OpenSince { open: self.frame.open, begin: Ticks(self.frame.begin) }
    }
}

impl Stack {
    /// To be called where events are missing: what was open may be so no longer. It is reported
    /// once that is known, or by [`Stack::lose`].
    ///
    /// - `at`: until when all is known.
    pub fn gap(&mut self, at: Ticks, visitor: &mut impl Visitor) {
        // Of what a batch began to restate no more is known.
        if self.restating.is_some_and(|confirmed| confirmed > 0) {
            self.restated(at.0, visitor);
        }
        if self.aside.is_empty() {
            self.busy_before = self.busy;
        }
        self.put_aside(Some(at.0));
        (self.is_sure, self.restating) = (false, None);
    }

    /// To be called behind the last event: nothing more says that what was open at a gap goes on.
    pub fn lose(&mut self, at: Ticks, visitor: &mut impl Visitor) {
        let aside = self.aside.take_all();
        let inner = self.lose_each(aside, at.0, visitor);
        self.add_to_parent(self.depth, inner);
    }

    /// Takes everything off the stack until it is known what of it is open.
    pub(super) fn put_aside(&mut self, gap: Option<u64>) {
        for depth in 0..self.depth {
            let slot = &mut self.frames[depth];
            let values = std::mem::take(&mut slot.values);
            let Frame { open, begin, children, .. } = *slot;
            self.count_site(open, false);
            self.aside.put(Aside { frame: Frame { open, begin, children, values }, gap, depth });
        }
        (self.depth, self.deeper) = (0, 0);
        self.index.reset();
    }

    /// The ends of these, innermost first, are lost. Returns the time of what was inside of them.
    fn lose_each(
        &mut self,
        aside: impl Iterator<Item = Aside>,
        at: u64,
        visitor: &mut impl Visitor,
    ) -> u64 {
        let mut inner = 0_u64;
        for Aside { frame: Frame { open, begin, children, values }, gap, depth } in aside {
            // When a lost end was, nobody knows: the time stays with what is around it.
            inner = inner.saturating_add(children);
            let end = gap.unwrap_or(at).max(begin);
            let inside = self.inside(begin, end);
            self.room.give(values.len());
            visitor.closed(&Closed {
                open,
                begin: Ticks(begin),
                end: Ticks(end),
                inside: Ticks(inside),
                self_time: Ticks(inside.saturating_sub(inner)),
                depth,
                outermost: !self.is_open(open),
                values: Values::new(&values),
                ending: Ending::Lost,
            });
        }
        inner
    }

    /// Opens again what was put aside.
    fn restore(&mut self, aside: Aside) {
        if self.depth >= NESTING_MAX {
            self.deeper += 1;
            return;
        }
        if aside.gap.is_some() {
            self.restored = self.depth + 1;
        }
        self.count_site(aside.frame.open, true);
        self.index.begin(aside.since());
        match self.frames.get_mut(self.depth) {
            Some(slot) => *slot = aside.frame,
            None => self.frames.push(aside.frame),
        }
        self.depth += 1;
    }

    /// Something ends by itself that was open at a gap: it has gone on until now.
    ///
    /// - `taken`: what was inside of it, innermost first, and then itself.
    pub(super) fn end_aside(
        &mut self,
        mut taken: Vec<Aside>,
        end: u64,
        visitor: &mut impl Visitor,
    ) {
        // What was opened since is inside of it.
        self.deeper = 0;
        while self.depth > 0 {
            self.take_off(end, visitor);
        }
        let Some(Aside { frame, depth, .. }) = taken.pop() else { return };
        let inner = self.lose_each(taken.into_iter(), end, visitor);
        let Frame { open, begin, children, values } = frame;
        let meanwhile = self.busy.saturating_sub(self.busy_before);
        let children = children.saturating_add(inner).saturating_add(meanwhile);
        let inside = self.inside(begin, end);
        let is_callee = !matches!(open, Open::Task(_) | Open::Call(_));
        let time = if is_callee { inside } else { children };
        match self.aside.innermost_mut() {
            Some(around) => around.frame.children = around.frame.children.saturating_add(time),
            None => self.busy_before = self.busy_before.saturating_add(time),
        }
        self.busy = self.busy_before;
        self.room.give(values.len());
        visitor.closed(&Closed {
            open,
            begin: Ticks(begin),
            end: Ticks(end.max(begin)),
            inside: Ticks(inside),
            self_time: Ticks(inside.saturating_sub(children)),
            depth,
            outermost: !self.is_open(open),
            values: Values::new(&values),
            ending: Ending::Ended,
        });
    }

    /// The restated batch says that this is open, inside what it named before.
    #[cold]
    pub(super) fn confirm(&mut self, open: Open, begin: u64, at: u64, visitor: &mut impl Visitor) {
        let confirmed = self.restating.unwrap_or(0);
        self.restating = Some(confirmed + 1);
        // What was around it has ended.
        if let Some(around) = self.aside.take_around(OpenSince { open, begin: Ticks(begin) }) {
            let inner = self.lose_each(around.into_iter(), at, visitor);
            self.add_to_parent(self.depth, inner);
            if let Some(aside) = self.aside.take_outermost() {
                self.restore(aside);
            }
            return;
        }
        self.lose(Ticks(at), visitor);
        let here = self.frames[..self.depth].get(confirmed);
        if here.is_none_or(|frame| (frame.open, frame.begin) != (open, begin)) {
            self.truncate(confirmed, at, Ending::Lost, visitor);
            self.push(open, begin, Values::new(&[]), visitor);
        }
    }

    /// The restated batch has named everything: what it did not name is no longer open.
    #[cold]
    pub(super) fn restated(&mut self, at: u64, visitor: &mut impl Visitor) {
        let Some(confirmed) = self.restating.take() else { return };
        if confirmed < RESTATED_MAX {
            self.truncate(confirmed, at, Ending::Lost, visitor);
            self.lose(Ticks(at), visitor);
        }
        // Deeper ones were not named, and go on.
        while let Some(aside) = self.aside.take_outermost() {
            self.restore(aside);
        }
        if !std::mem::replace(&mut self.is_sure, true)
            && let Some(around) =
                self.restored.checked_sub(1).and_then(|at| self.frames.get_mut(at))
        {
            // What ended since the gap did so inside of what has been open all the time.
            let meanwhile = self.busy.saturating_sub(self.busy_before);
            around.children = around.children.saturating_add(meanwhile);
            self.busy = self.busy_before;
        }
    }
}
