//! What an output has of each thread: whether the thread's first batch has come (the output may
//! have begun while the thread was recorded), how many events, and what the thread lost while the
//! output was written.

use crate::buffer::losses::{Losses, Tally, ThreadLosses};
use std::collections::BTreeMap;
use trace_format::batch::BatchInfo;
use trace_format::definition::Definition;
use trace_format::id::ThreadId;

/// What an output has of each thread.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Number of events, for threads whose first batch here has come.
    threads: BTreeMap<ThreadId, u64>,
    /// Number of events of threads that have ended.
    events_before: u64,
    /// What had been lost when the output began.
    begin: LossMark,
    /// What had been lost when the next part began, if one did: that part counts the rest.
    end: Option<LossMark>,
    /// Number of events that came when the part that they belong to had ended.
    too_late: BTreeMap<ThreadId, u64>,
}

/// What each thread, and all together, had lost at one moment.
#[derive(Debug, Default)]
pub(super) struct LossMark {
    threads: BTreeMap<ThreadId, Losses>,
    pub(super) total: Losses,
}

impl LossMark {
    pub(super) fn new(tally: &Tally) -> Self {
        let of = |thread: &ThreadLosses| (thread.id, thread.all());
        Self { threads: tally.threads.iter().map(of).collect(), total: tally.total() }
    }

    fn of(&self, id: ThreadId) -> Option<Losses> {
        self.threads.get(&id).copied()
    }

    /// A thread's end, with what it has lost since. `None` for another definition.
    pub(super) fn end<'a>(&self, definition: &Definition<'a>) -> Option<Definition<'a>> {
        let &Definition::ThreadEnd { id, ended, ticks, events, dropped_events, dropped_ends } =
            definition
        else {
            return None;
        };
        let lost = Losses { events: dropped_events, ends: dropped_ends };
        let lost = lost.since(self.of(id).unwrap_or_default());
        let Losses { events: dropped_events, ends: dropped_ends } = lost;
        Some(Definition::ThreadEnd { id, ended, ticks, events, dropped_events, dropped_ends })
    }
}

impl Ledger {
    /// Counts a piece, and returns its header as this output has it. `None` if the piece is to be
    /// left out, as the thread's first batch here, which restates, is yet to come.
    pub(crate) fn admit(&mut self, info: &BatchInfo) -> Option<BatchInfo> {
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

    /// Whether the thread's first batch here has come.
    pub(crate) fn has(&self, thread: ThreadId) -> bool {
        self.threads.contains_key(&thread)
    }

    /// The output begins: losses from before do not count.
    pub(crate) fn begin_at(&mut self, tally: &Tally) {
        self.begin = LossMark::new(tally);
    }

    /// The next part begins, which counts the losses from now on.
    pub(crate) fn end_at(&mut self, tally: &Tally) {
        self.end.get_or_insert_with(|| LossMark::new(tally));
    }

    /// Counts events of this thread that are in no part.
    pub(crate) fn lose(&mut self, thread: ThreadId, events: u64) {
        *self.too_late.entry(thread).or_default() += events;
    }

    /// What was lost in this output, of all that the session has lost so far.
    pub(crate) fn lost(&self, session: Losses) -> Losses {
        let upto = self.end.as_ref().map_or(session, |end| end.total);
        upto.since(self.begin.total) + Losses::events(self.too_late.values().sum())
    }

    /// The same for one thread.
    fn lost_of(&self, id: ThreadId, session: Losses) -> Losses {
        let begin = self.begin.of(id).unwrap_or_default();
        // A thread that began when the part was about to end has lost nothing in it.
        let upto = self.end.as_ref().map_or(session, |end| end.of(id).unwrap_or(begin));
        let too_late = self.too_late.get(&id).copied().unwrap_or(0);
        upto.since(begin) + Losses::events(too_late)
    }

    /// A thread's end as this output has it: with the number of its events in the output, and with
    /// its losses there. `None` for another definition.
    pub(crate) fn end<'a>(&self, definition: &Definition<'a>) -> Option<Definition<'a>> {
        let &Definition::ThreadEnd { id, ended, ticks, dropped_events, dropped_ends, .. } =
            definition
        else {
            return None;
        };
        let events = self.threads.get(&id).copied().unwrap_or(0);
        let session = Losses { events: dropped_events, ends: dropped_ends };
        let Losses { events: dropped_events, ends: dropped_ends } = self.lost_of(id, session);
        Some(Definition::ThreadEnd { id, ended, ticks, events, dropped_events, dropped_ends })
    }

    /// Number of all events.
    pub(crate) fn events(&self) -> u64 {
        self.events_before + self.threads.values().sum::<u64>()
    }

    /// A thread has ended: no more batches of it come.
    pub(crate) fn forget(&mut self, id: ThreadId) {
        self.events_before += self.threads.remove(&id).unwrap_or(0);
    }
}
