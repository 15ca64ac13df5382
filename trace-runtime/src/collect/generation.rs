//! What a generation begins with: its number, the clock, and the states that a reader needs to
//! start there, of threads, tasks and futures.
//!
//! Elsewhere: when a generation begins (the parent of this module).

use super::totals::interrupted_of;
use super::{Collector, drain};
use crate::annotate::future::registry;
use crate::annotate::task;
use crate::buffer::slot::{SLOTS, Unstable};
use crate::collect::thread_time;
use crate::session::process;
use crate::sys::clock;
use std::time::Duration;
use trace_format::definition::{Definition, OpenSince};
use trace_format::facility;

/// How often a thread's open things are read anew if the thread keeps changing them. Such a busy
/// thread restates soon, and readers know its state from there on.
const STATE_TRIES: usize = 4;

/// Time between the first two snapshots of the clock. Each is precise to some tens of nanoseconds,
/// so times are precise to one part in a thousand until the second generation begins.
const SECOND_LOOK: Duration = Duration::from_micros(100);

/// What is open on each thread, in the order of the drains.
pub(super) type States = Vec<Result<Vec<OpenSince>, Unstable>>;

impl Collector {
    /// What is open on each thread after all events that have been written.
    pub(super) fn states(&mut self) -> States {
        (0..self.drains.len()).map(|at| self.state(at)).collect()
    }

    /// Begins the next generation: defines the clock, and what is open.
    pub(super) fn begin_generation(&mut self, states: States) {
        self.outputs.generation += 1;
        self.put_generation();
        if let Some(ring) = self.outputs.ring_mut() {
            let interrupted = self.drains.iter().map(|it| (it.thread.id, interrupted_of(it)));
            ring.note_losses(interrupted, process::unattached());
        }
        // The stacks and resources of open calls.
        self.outputs.define_interned();
        for (drain, open) in self.drains.iter_mut().zip(states) {
            let Ok(open) = open else { continue };
            if !drain.is_news(&open) {
                continue;
            }
            let (sequence, offset) = drain.place();
            self.outputs.define(&Definition::ThreadState {
                id: drain.thread.id,
                sequence,
                offset,
                more: open.len() == SLOTS,
                open,
            });
        }
        self.put_tasks();
        self.put_futures();
        // The stacks where they wait.
        self.outputs.define_interned();
        self.put_times();
        self.sources.iter_mut().for_each(|source| source.advance(&mut self.outputs));
    }

    /// Defines each future once: the definition holds for the rest of the trace.
    pub(super) fn put_futures(&mut self) {
        registry::for_each_undefined(self.session.number, |future| {
            // A future may be new, with a site that was made just before.
            self.outputs.define_sites();
            self.outputs.define(future);
        });
        let unlisted = registry::unlisted();
        if unlisted > self.unlisted {
            self.unlisted = unlisted;
            let note = unlisted_note(unlisted);
            let (name, on, note) = (facility::FUTURES.as_bytes(), false, note.as_bytes());
            self.outputs.define(&Definition::Facility { name, on, note });
        }
    }

    pub(super) fn put_tasks(&mut self) {
        task::for_each_live(|task| {
            self.outputs.define(task);
        });
    }

    /// Defines the times that the kernel has counted for threads.
    fn put_times(&mut self) {
        let (generation, outputs) = (self.outputs.generation, &mut self.outputs);
        thread_time::define_all(&mut self.drains, generation, &mut |time| outputs.define(time));
    }

    /// What is open on a thread exactly after the events that have been written.
    fn state(&mut self, at: usize) -> Result<Vec<OpenSince>, Unstable> {
        for _ in 1..STATE_TRIES {
            if let Ok(open) = self.drains[at].open() {
                return Ok(open);
            }
            drain(&mut self.drains[at], &mut self.outputs);
        }
        self.drains[at].open()
    }

    pub(super) fn put_generation(&mut self) {
        let clock = clock::snapshot();
        let (number, ticks) = (self.outputs.generation, clock.ticks);
        self.outputs.define(&Definition::Generation { number, ticks });
        self.outputs.define(&Definition::Clock(clock));
        self.clock = clock;
        if let Some(ahead) = clock::clock_faked_by()
            && !std::mem::replace(&mut self.has_clock_note, true)
        {
            let note = clock_note(ahead);
            let (name, on, note) = (facility::CLOCK.as_bytes(), true, note.as_bytes());
            self.outputs.define(&Definition::Facility { name, on, note });
        }
    }

    /// Gives a file that begins a second snapshot of the clock at once: one alone does not say how
    /// long a tick is, and the program may end before the next generation begins.
    pub(super) fn put_rate(&mut self) {
        let Some(file) = self.outputs.file() else { return };
        let from = self.clock.monotonic.0;
        while clock::monotonic() < from + SECOND_LOOK.as_nanos() as u64 {
            // Checks that the clock does not stand still, which would make this loop endless.
            clock::check_clock();
        }
        file.define(&Definition::Clock(clock::snapshot()));
    }
}

/// A note about futures that are not listed.
fn unlisted_note(count: u64) -> String {
    format!(
        "more futures lived at once than can be listed; {count} were left out: a trace, part or \
         snapshot that begins after them does not know what they are"
    )
}

/// A note about the program's clock and the one that the trace uses.
fn clock_note(ahead: i64) -> String {
    let millis = ahead.unsigned_abs().saturating_add(500_000) / 1_000_000;
    let (seconds, millis) = (millis / 1_000, millis % 1_000);
    let side = if ahead < 0 { "behind" } else { "ahead of" };
    format!(
        "the program's CLOCK_MONOTONIC is {seconds}.{millis:03} s {side} the kernel's, as a \
         library that was loaded first answers clock_gettime; all times here are the kernel's"
    )
}
