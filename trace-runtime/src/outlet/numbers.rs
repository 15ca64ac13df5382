//! Numbers of batches, as one outlet has them: a thread's first batch there is number 0, whatever
//! it is of the session.

use std::collections::BTreeMap;
use trace_format::batch::BatchInfo;
use trace_format::definition::Definition;
use trace_format::id::ThreadId;

/// What an outlet has of each thread.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    threads: BTreeMap<ThreadId, Known>,
    /// Of threads that have ended.
    events_before: u64,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    /// The number in the session of its first batch here.
    first: u32,
    events: u64,
}

impl Numbers {
    /// How this outlet has a piece; `None` if it is to be left out, as the thread's first batch
    /// here is yet to come: one that restates.
    pub(crate) fn of(&mut self, info: &BatchInfo) -> Option<BatchInfo> {
        let known = match self.threads.get_mut(&info.thread) {
            Some(known) => known,
            None if info.offset == 0 => {
                let known = Known { first: info.sequence, events: 0 };
                self.threads.entry(info.thread).or_insert(known)
            }
            None => return None,
        };
        known.events += u64::from(info.events);
        Some(BatchInfo { sequence: info.sequence.wrapping_sub(known.first), ..*info })
    }

    /// How this outlet has a definition that numbers batches or counts events.
    pub(crate) fn renumber<'a>(&self, definition: &Definition<'a>) -> Option<Definition<'a>> {
        match definition {
            Definition::ThreadState { id, sequence, offset, more, open } => {
                let (sequence, offset) = match self.threads.get(id) {
                    Some(known) => (sequence.wrapping_sub(known.first), *offset),
                    // Its first batch is yet to come.
                    None => (0, 0),
                };
                let (id, more, open) = (*id, *more, open.clone());
                Some(Definition::ThreadState { id, sequence, offset, more, open })
            }
            &Definition::ThreadEnd { id, ended, ticks, dropped_events, dropped_ends, .. } => {
                let events = self.threads.get(&id).map_or(0, |known| known.events);
                Some(Definition::ThreadEnd {
                    id,
                    ended,
                    ticks,
                    events,
                    dropped_events,
                    dropped_ends,
                })
            }
            _ => None,
        }
    }

    /// All events.
    pub(crate) fn events(&self) -> u64 {
        self.events_before + self.threads.values().map(|known| known.events).sum::<u64>()
    }

    /// A thread has ended: no more batches of it will come.
    pub(crate) fn end(&mut self, id: ThreadId) {
        self.events_before += self.threads.remove(&id).map_or(0, |known| known.events);
    }
}
