//! Whose last events may have been in damaged bytes of which nothing says whose they were.
//!
//! An index names the thread of a batch that is damaged, and so do the numbers of the thread's next
//! batch. In a file without an index nothing does so for a thread's last batch: what was open on
//! the thread before may have ended there.

use std::collections::{BTreeMap, BTreeSet};

use super::tables::Generation;
use crate::header::BatchKind;
use crate::id::ThreadId;
use crate::index::IndexEntry;
use crate::time::Ticks;

/// Damaged bytes, and what is known of threads and CPUs behind which they lie.
#[derive(Debug, Default)]
pub(crate) struct Unowned {
    /// Where such bytes begin, in order.
    places: Vec<u64>,
    /// Where the last batch of each lies, and when that begins.
    last: BTreeMap<ThreadId, (u64, Ticks)>,
    /// Threads of which all events were found.
    whole: BTreeSet<ThreadId>,
}

/// Where the last events of a thread may be missing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MissingEnd {
    /// From when on.
    pub(crate) since: Ticks,
    /// The damaged bytes.
    pub(crate) offset: u64,
}

impl Unowned {
    /// - `places`: where the bytes begin, in order.
    /// - `whole`: the threads of which all events were found, as their ends count them.
    pub(crate) fn new(places: Vec<u64>, index: &[IndexEntry], whole: BTreeSet<ThreadId>) -> Self {
        let mut last = BTreeMap::new();
        // Mostly there are none.
        if !places.is_empty() {
            let events = index.iter().filter(|entry| entry.kind == BatchKind::Events);
            last.extend(events.map(|entry| (entry.thread, (entry.offset, entry.base_ticks))));
        }
        Self { places, last, whole }
    }

    /// Whether such bytes lie behind this place in the file.
    pub(crate) fn are_behind(&self, offset: u64) -> bool {
        self.places.last().is_some_and(|last| *last > offset)
    }

    /// Where the last events of a thread or a CPU may be missing; `None` if they are not.
    ///
    /// - `generations`: in order, each with the place of the batch that begins it. What was written
    ///   before a generation began lies before that place.
    pub(crate) fn missing_end<'g>(
        &self,
        thread: ThreadId,
        generations: impl DoubleEndedIterator<Item = (u64, &'g Generation)>,
    ) -> Option<MissingEnd> {
        let (last, base) = self.last.get(&thread).copied().unwrap_or_default();
        let place = self.places.partition_point(|place| *place <= last);
        let offset = *self.places.get(place).filter(|_| !self.whole.contains(&thread))?;
        let before = generations.rev().find(|(begin, _)| *begin < offset);
        let since = before.map_or(Ticks(0), |(_, generation)| generation.ticks).max(base);
        Some(MissingEnd { since, offset })
    }
}
