//! What an outlet was told of threads: from which batch on it has them, for it may have come while
//! they were recorded; how many events; and what was lost before.

use std::collections::BTreeMap;
use trace_format::batch::BatchInfo;
use trace_format::definition::Definition;
use trace_format::id::ThreadId;

/// What an outlet has of each thread.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Events of threads whose first batch here has come.
    threads: BTreeMap<ThreadId, u64>,
    /// Of threads that have ended.
    events_before: u64,
    /// What threads had lost before the outlet came, events and ends.
    dropped: BTreeMap<ThreadId, (u64, u64)>,
    /// The sum of these, and what threads had lost that have ended before.
    dropped_before: (u64, u64),
}

impl Told {
    /// How this outlet has a piece; `None` if it is to be left out, as the thread's first batch
    /// here is yet to come: one that restates.
    pub(crate) fn of(&mut self, info: &BatchInfo) -> Option<BatchInfo> {
        let mut info = *info;
        let events = match self.threads.get_mut(&info.thread) {
            Some(events) => events,
            None => {
                info = info.first_of_thread()?;
                self.threads.entry(info.thread).or_default()
            }
        };
        *events += u64::from(info.events);
        Some(info)
    }

    /// What threads had lost when the outlet came, events and ends; under the thread 0 those that
    /// had ended.
    pub(crate) fn note_dropped_before(&mut self, dropped: &[(ThreadId, u64, u64)]) {
        self.dropped = dropped.iter().map(|&(id, events, ends)| (id, (events, ends))).collect();
        self.dropped_before =
            dropped.iter().fold((0, 0), |sum, lost| (sum.0 + lost.1, sum.1 + lost.2));
    }

    /// All that was lost before the outlet came, events and ends.
    pub(crate) fn dropped_before(&self) -> (u64, u64) {
        self.dropped_before
    }

    /// How this outlet has the end of a thread: with the events that it was told, and with what was
    /// lost since it came.
    pub(crate) fn end<'a>(&self, definition: &Definition<'a>) -> Option<Definition<'a>> {
        let &Definition::ThreadEnd { id, ended, ticks, dropped_events, dropped_ends, .. } =
            definition
        else {
            return None;
        };
        let events = self.threads.get(&id).copied().unwrap_or(0);
        let (events_before, ends_before) = self.dropped.get(&id).copied().unwrap_or_default();
        let dropped_events = dropped_events.saturating_sub(events_before);
        let dropped_ends = dropped_ends.saturating_sub(ends_before);
        Some(Definition::ThreadEnd { id, ended, ticks, events, dropped_events, dropped_ends })
    }

    /// All events.
    pub(crate) fn events(&self) -> u64 {
        self.events_before + self.threads.values().sum::<u64>()
    }

    /// A thread has ended: no more batches of it will come.
    pub(crate) fn forget(&mut self, id: ThreadId) {
        self.events_before += self.threads.remove(&id).unwrap_or(0);
    }
}
