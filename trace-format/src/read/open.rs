//! What is open on one thread, as far as a reader keeps it: the limit of nesting, the search for
//! what a detached end names, and the stack that windows and recovery need.
//!
//! - **O1** A stack keeps [`NESTING_MAX`] things. What lies deeper is counted, so that ends pair
//!   with the right begins, and takes no memory.
//! - **O2** Following any number of events takes time in proportion to their number: a search that
//!   finds nothing is one look into a table, one that finds something is paid by what it ends.
//!
//! Elsewhere: what the things that end mean (`trace_analysis::stack`).

use std::collections::HashMap;

use crate::definition::OpenSince;
use crate::event::{Event, EventKind};
use crate::id::Open;
use crate::time::Ticks;

/// Maximum number of things open at once on a thread that a reader keeps: FORMAT.md, section 4. A
/// thread with a stack of 8 MiB gets there with 128 bytes a call.
pub const NESTING_MAX: usize = 1 << 16;

/// Maximum number of open things that a batch restates: the outermost ones. FORMAT.md, section 4.
pub const RESTATED_MAX: usize = 32;

/// A stack that is no deeper is searched from its end: that is faster than a table.
const SEARCHED_MAX: usize = 64;

/// Finds things on a stack that may be deep. The owner of the stack calls [`OpenIndex::begin`] and
/// [`OpenIndex::end`] for each thing that it pushes and pops.
#[derive(Debug, Default)]
pub struct OpenIndex {
    /// How often each thing is on the stack; only while the stack is deep and was searched.
    counts: Option<HashMap<OpenSince, u32>>,
}

impl OpenIndex {
    /// Something was pushed.
    #[inline(always)]
    pub fn begin(&mut self, it: OpenSince) {
        if let Some(counts) = &mut self.counts {
            *counts.entry(it).or_default() += 1;
        }
    }

    /// Something was popped.
    #[inline(always)]
    pub fn end(&mut self, it: OpenSince) {
        if self.counts.is_some() {
            self.take(it);
        }
    }

    #[cold]
    fn take(&mut self, it: OpenSince) {
        let Some(counts) = &mut self.counts else { return };
        if let Some(count) = counts.get_mut(&it) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&it);
            }
        }
        if counts.is_empty() {
            self.counts = None;
        }
    }

    /// Forgets the stack: the next search reads it anew.
    pub fn reset(&mut self) {
        self.counts = None;
    }

    /// The place of the innermost `it` on the stack.
    ///
    /// - `stack`: all that is on it, outermost first.
    #[cold]
    pub fn find(
        &mut self,
        it: OpenSince,
        mut stack: impl DoubleEndedIterator<Item = OpenSince> + ExactSizeIterator + Clone,
    ) -> Option<usize> {
        if stack.len() <= SEARCHED_MAX {
            self.counts = None;
            return stack.rposition(|other| other == it);
        }
        let counts = self.counts.get_or_insert_with(|| {
            let mut counts = HashMap::new();
            stack.clone().for_each(|it| *counts.entry(it).or_default() += 1);
            counts
        });
        if !counts.contains_key(&it) {
            return None;
        }
        stack.rposition(|other| other == it)
    }
}

/// A thread's stack, followed for the sake of what is open at some place: at the begin of a window,
/// or behind the last event of a killed process.
#[derive(Debug, Default)]
pub(crate) struct OpenStack {
    open: Vec<OpenSince>,
    /// O1: what is open beyond.
    deeper: u64,
    index: OpenIndex,
}

impl OpenStack {
    /// With this open, outermost first.
    pub(crate) fn new(open: Vec<OpenSince>) -> Self {
        Self { open, ..Self::default() }
    }

    /// What is open, outermost first; of what lies too deep nothing.
    pub(crate) fn into_open(self) -> Vec<OpenSince> {
        self.open
    }

    /// What was opened last.
    pub(crate) fn last(&self) -> Option<&OpenSince> {
        self.open.last().filter(|_| self.deeper == 0)
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes the next event.
    pub(crate) fn follow(&mut self, event: &Event<'_>) {
        let ago = |since: Ticks| Ticks(event.ticks.0.saturating_sub(since.0));
        if let Some(begun) = begun(event) {
            return self.push(begun);
        }
        match event.kind {
            EventKind::Reopen { open, since } => self.push(OpenSince { open, begin: ago(since) }),
            EventKind::End
            | EventKind::EndValue { .. }
            | EventKind::EndCall { .. }
            | EventKind::EndPoll { .. } => self.pop(1),
            EventKind::EndDetached { open, since } => {
                let it = OpenSince { open, begin: ago(since) };
                if let Some(at) = self.index.find(it, self.open.iter().copied()) {
                    let above = self.open.len() - at;
                    self.pop((above as u64).saturating_add(self.deeper));
                }
            }
            EventKind::Dropped { ends, .. } => self.pop(ends),
            _ => {}
        }
    }

    fn push(&mut self, it: OpenSince) {
        if self.open.len() >= NESTING_MAX {
            self.deeper += 1;
            return;
        }
        self.index.begin(it);
        self.open.push(it);
    }

    fn pop(&mut self, count: u64) {
        let deeper = count.min(self.deeper);
        self.deeper -= deeper;
        for _ in deeper..count {
            let Some(it) = self.open.pop() else { return };
            self.index.end(it);
        }
    }
}

/// What the event opens, if it is a begin.
pub(crate) fn begun(event: &Event<'_>) -> Option<OpenSince> {
    let open = match event.kind {
        EventKind::RegionBegin { site, .. } => Open::Region(site),
        EventKind::PollBegin { future } => Open::Poll(future),
        EventKind::TaskRunBegin { task } => Open::Task(task),
        EventKind::CallBegin { call } => Open::Call(call),
        _ => return None,
    };
    Some(OpenSince { open, begin: event.ticks })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SiteId;
    use crate::value::Values;

    fn region(site: u32, begin: u64) -> OpenSince {
        OpenSince { open: Open::Region(SiteId(site)), begin: Ticks(begin) }
    }

    fn event(ticks: u64, kind: EventKind<'_>) -> Event<'_> {
        Event { ticks: Ticks(ticks), kind }
    }

    fn begin(ticks: u64, site: u32) -> Event<'static> {
        event(ticks, EventKind::RegionBegin { site: SiteId(site), values: Values::new(&[]) })
    }

    fn detached(ticks: u64, it: OpenSince) -> Event<'static> {
        let since = Ticks(ticks - it.begin.0);
        event(ticks, EventKind::EndDetached { open: it.open, since })
    }

    #[test]
    fn what_lies_too_deep_is_paired_and_not_kept() {
        let mut stack = OpenStack::default();
        let count = NESTING_MAX as u64 + 5;
        (0..count).for_each(|at| stack.follow(&begin(at, 1)));
        assert_eq!((stack.open.len(), stack.deeper), (NESTING_MAX, 5));
        (0..6).for_each(|_| stack.follow(&event(count, EventKind::End)));
        assert_eq!(stack.last(), Some(&region(1, NESTING_MAX as u64 - 2)));
        stack.follow(&begin(count, 2));
        assert_eq!(stack.last(), Some(&region(2, count)));
    }

    #[test]
    fn a_detached_end_is_found_in_a_deep_stack_as_in_a_flat_one() {
        for depth in [3, SEARCHED_MAX as u64, 10 * SEARCHED_MAX as u64] {
            let mut stack = OpenStack::default();
            (0..depth).for_each(|at| stack.follow(&begin(at, 1)));
            stack.follow(&detached(depth, region(7, 0)));
            assert_eq!(stack.open.len() as u64, depth, "another's changes nothing");
            stack.follow(&detached(depth, region(1, depth - 2)));
            assert_eq!(stack.last(), Some(&region(1, depth - 3)));
            stack.follow(&detached(depth, region(1, depth - 2)));
            assert_eq!(stack.open.len() as u64, depth - 2, "it is over");
            stack.follow(&begin(depth, 9));
            stack.follow(&detached(depth, region(9, depth)));
            assert_eq!(stack.open.len() as u64, depth - 2);
        }
    }

    #[test]
    fn every_kind_of_end_ends_one_thing_and_a_drop_as_many_as_it_says() {
        let ends = [
            EventKind::End,
            EventKind::EndCall { result: 0 },
            EventKind::EndPoll { waits_at: crate::id::StackId(0) },
            EventKind::Dropped { events: 9, ends: 2, from: Ticks(7), to: Ticks(8) },
        ];
        let mut stack = OpenStack::default();
        (0..6).for_each(|at| stack.follow(&begin(at, 1)));
        for (end, left) in ends.into_iter().zip([5, 4, 3, 1]) {
            stack.follow(&event(9, end));
            assert_eq!(stack.open.len(), left);
        }
    }
}
