//! What was lost, and the ends of threads.

use super::{Collector, thread_time};
use crate::base::primitive::{AtomicU64, Ordering};
use crate::buffer::losses::{Losses, Tally, ThreadLosses};
use crate::collect::drain::Drain;
use crate::session::process;
use crate::sys::clock;
use trace_format::definition::Definition;
use trace_format::time::Ticks;

impl Collector {
    /// What the session has lost so far. `of`: as it is counted, or as events report it.
    pub(super) fn tally(&self, of: fn(&Drain) -> ThreadLosses) -> Tally {
        Tally {
            threads: self.drains.iter().map(of).collect(),
            ended: self.lost,
            unattached: process::unattached(),
        }
    }

    /// Writes the totals of threads that have ended, or whose trace has.
    pub(super) fn put_ends(&mut self, drains: &[Drain]) {
        for drain in drains {
            let lost = counted_of(drain).all();
            self.define_if_any(thread_time::at_end(drain));
            self.outputs.define(&thread_end(drain, lost));
            self.lost += lost;
        }
    }
}

/// What a thread has lost so far.
pub(super) fn counted_of(drain: &Drain) -> ThreadLosses {
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let thread = &drain.thread;
    let full = Losses { events: count(&thread.dropped_events), ends: count(&thread.dropped_ends) };
    ThreadLosses { id: thread.id, full, interrupted: interrupted_of(drain) }
}

/// The same, as far as events report it that were handed out: a later batch will report the rest,
/// which counts in the output that gets that batch.
pub(super) fn reported_of(drain: &Drain) -> ThreadLosses {
    let (full, interrupted) = (drain.reported.now, interrupted_of(drain));
    ThreadLosses { id: drain.thread.id, full, interrupted }
}

pub(super) fn interrupted_of(drain: &Drain) -> u64 {
    drain.thread.interrupted.load(Ordering::Relaxed)
}

/// A thread's totals, without the number of its events, which each output adds.
pub(super) fn thread_end(drain: &Drain, lost: Losses) -> Definition<'static> {
    Definition::ThreadEnd {
        id: drain.thread.id,
        ended: drain.exited.is_some(),
        ticks: drain.exited.unwrap_or_else(|| Ticks(clock::ticks())),
        events: 0,
        dropped_events: lost.events,
        dropped_ends: lost.ends,
    }
}
