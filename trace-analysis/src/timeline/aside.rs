//! What was open on a thread when events of it went missing, until it is known what of it goes on.

use std::collections::VecDeque;

use trace_format::definition::OpenSince;
use trace_format::read::OpenIndex;

/// Something that was open.
pub(super) trait WasOpen {
    /// What, and since when.
    fn since(&self) -> OpenSince;
}

/// What was put aside, of one thread.
#[derive(Debug)]
pub(super) struct PutAside<T> {
    /// The innermost thing first.
    all: VecDeque<T>,
    index: OpenIndex,
}

impl<T> Default for PutAside<T> {
    fn default() -> Self {
        Self { all: VecDeque::new(), index: OpenIndex::default() }
    }
}

impl<T: WasOpen> PutAside<T> {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Adds something that was open inside of all that is here.
    pub(super) fn put(&mut self, it: T) {
        self.index.begin(it.since());
        self.all.push_front(it);
    }

    /// The innermost thing.
    pub(super) fn innermost(&self) -> Option<&T> {
        self.all.front()
    }

    pub(super) fn innermost_mut(&mut self) -> Option<&mut T> {
        self.all.front_mut()
    }

    /// Takes the outermost thing out.
    pub(super) fn take_outermost(&mut self) -> Option<T> {
        let it = self.all.pop_back()?;
        self.index.end(it.since());
        Some(it)
    }

    /// The same, if it is this.
    pub(super) fn restate(&mut self, it: OpenSince) -> Option<T> {
        let is_it = self.all.back().is_some_and(|outermost| outermost.since() == it);
        if is_it { self.take_outermost() } else { None }
    }

    /// Takes out all that is further out than this, innermost first. `None` if this is not here.
    pub(super) fn take_around(&mut self, it: OpenSince) -> Option<Vec<T>> {
        if self.all.is_empty() {
            return None;
        }
        let place = self.index.find(it, self.all.iter().rev().map(T::since))?;
        let taken: Vec<T> = self.all.drain(self.all.len() - place..).collect();
        taken.iter().for_each(|it| self.index.end(it.since()));
        Some(taken)
    }

    /// Takes this out with all that is inside of it: that comes first, innermost first. `None` if
    /// it is not here.
    pub(super) fn take(&mut self, it: OpenSince) -> Option<Vec<T>> {
        if self.all.is_empty() {
            return None;
        }
        let place = self.index.find(it, self.all.iter().rev().map(T::since))?;
        let taken: Vec<T> = self.all.drain(..self.all.len() - place).collect();
        taken.iter().for_each(|it| self.index.end(it.since()));
        Some(taken)
    }

    /// Takes all out, innermost first.
    pub(super) fn take_all(&mut self) -> impl DoubleEndedIterator<Item = T> + use<T> {
        self.index.reset();
        std::mem::take(&mut self.all).into_iter()
    }

    /// To change all of them, be that what they are.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.index.reset();
        self.all.iter_mut()
    }

    /// Keeps only those of which this is true.
    pub(super) fn retain(&mut self, is_kept: impl FnMut(&T) -> bool) {
        self.index.reset();
        self.all.retain(is_kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trace_format::id::{Open, SiteId};
    use trace_format::time::Ticks;

    impl WasOpen for u32 {
        fn since(&self) -> OpenSince {
            OpenSince { open: Open::Region(SiteId(*self)), begin: Ticks(0) }
        }
    }

    /// Things `0..count`, the first outermost.
    fn nested(count: u32) -> PutAside<u32> {
        let mut aside = PutAside::default();
        (0..count).for_each(|it| aside.put(it));
        aside
    }

    #[test]
    fn what_is_taken_out_takes_what_was_inside_with_it() {
        // A deep one is searched in another way.
        for count in [5, 500] {
            let mut aside = nested(count);
            assert_eq!(aside.take(count.since()), None);
            assert_eq!(
                aside.take((count - 3).since()),
                Some(vec![count - 1, count - 2, count - 3])
            );
            assert_eq!(aside.take((count - 1).since()), None, "it is over");
            aside.put(900);
            assert_eq!(aside.restate(1_u32.since()), None, "another is further out");
            assert_eq!(aside.restate(0_u32.since()), Some(0));
            assert_eq!(aside.take_around(800_u32.since()), None);
            assert_eq!(aside.take_around(1_u32.since()), Some(vec![]));
            let around: Vec<u32> = (1..count - 3).rev().collect();
            assert_eq!(aside.take_around(900_u32.since()), Some(around));
            assert_eq!(aside.take_all().collect::<Vec<_>>(), [900]);
            assert!(aside.is_empty());
        }
    }
}
