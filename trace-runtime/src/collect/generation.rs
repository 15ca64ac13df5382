//! What a generation begins with: its number, the clock, and the states that a reader needs to
//! start there: what is open on each thread, tasks, futures.
//!
//! Elsewhere: when a generation begins (the parent of this module).

use super::{Collector, drain, interrupted_of};
use crate::annotate::future::living;
use crate::annotate::task;
use crate::buffer::batch::{SLOTS, Unstable};
use crate::collect::thread_time;
use crate::session::process;
use crate::sys::clock;
use std::time::Duration;
use trace_format::definition::{Definition, OpenSince};
use trace_format::facility;

/// How often a thread's open things are read anew if it keeps changing them. A thread that is so
/// busy restates soon, and is known from there on.
const STATE_TRIES: usize = 4;

/// How far the second look at the clock is from the first one, which is as precise as some tens of
/// nanoseconds: good to one part in a thousand until the first cut.
const SECOND_LOOK: Duration = Duration::from_micros(100);

/// What is open on each thread, by its place among the drains.
pub(super) type States = Vec<Result<Vec<OpenSince>, Unstable>>;

impl Collector {
    /// What is open on each thread, after all that has been written.
    pub(super) fn states(&mut self) -> States {
        (0..self.drains.len()).map(|at| self.state(at)).collect()
    }

    /// The definitions of a cut: the clock, and what is open.
    pub(super) fn put_cut(&mut self, states: States) {
        self.output.generation += 1;
        self.put_generation();
        if let Some(ring) = self.output.ring_mut() {
            let interrupted = self.drains.iter().map(|it| (it.thread.id, interrupted_of(it)));
            ring.note_losses(interrupted, process::unattached());
        }
        // What open calls name.
        self.output.define_interned();
        for (drain, open) in self.drains.iter_mut().zip(states) {
            let Ok(open) = open else { continue };
            if !drain.is_news(&open) {
                continue;
            }
            let (sequence, offset) = drain.place();
            self.output.define(&Definition::ThreadState {
                id: drain.thread.id,
                sequence,
                offset,
                more: open.len() == SLOTS,
                open,
            });
        }
        self.put_tasks();
        self.put_futures();
        // Where they wait.
        self.output.define_interned();
        self.put_times();
        self.sources.iter_mut().for_each(|source| source.cut(&mut self.output));
    }

    /// Each once: what a file has said of a future stands for all that follows.
    pub(super) fn put_futures(&mut self) {
        living::for_each_untold(self.session.number, |future| {
            // It may have come just now, with a site that was made just before.
            self.output.define_sites();
            self.output.define(future);
        });
        let unlisted = living::unlisted();
        if unlisted > self.unlisted {
            self.unlisted = unlisted;
            let note = unlisted_note(unlisted);
            let (name, on, note) = (facility::FUTURES.as_bytes(), false, note.as_bytes());
            self.output.define(&Definition::Facility { name, on, note });
        }
    }

    pub(super) fn put_tasks(&mut self) {
        task::for_each_live(|task| {
            self.output.define(task);
        });
    }

    /// What the kernel has counted for threads.
    fn put_times(&mut self) {
        let (generation, output) = (self.output.generation, &mut self.output);
        thread_time::of_all(&mut self.drains, generation, &mut |time| output.define(time));
    }

    /// What is open on a thread exactly after what has been written of it.
    fn state(&mut self, at: usize) -> Result<Vec<OpenSince>, Unstable> {
        for _ in 1..STATE_TRIES {
            if let Ok(open) = self.drains[at].open() {
                return Ok(open);
            }
            drain(&mut self.drains[at], &mut self.output);
        }
        self.drains[at].open()
    }

    pub(super) fn put_generation(&mut self) {
        let clock = clock::snapshot();
        let (number, ticks) = (self.output.generation, clock.ticks);
        self.output.define(&Definition::Generation { number, ticks });
        self.output.define(&Definition::Clock(clock));
        self.clock = clock;
        if let Some(ahead) = clock::clock_faked_by()
            && !std::mem::replace(&mut self.tells_clock, true)
        {
            let note = clock_note(ahead);
            let (name, on, note) = (facility::CLOCK.as_bytes(), true, note.as_bytes());
            self.output.define(&Definition::Facility { name, on, note });
        }
    }

    /// A file that begins has a second look at the clock at once: one alone does not say how long a
    /// tick is, and the program may end before the next cut.
    pub(super) fn put_rate(&mut self) {
        let Some(file) = self.output.file() else { return };
        let from = self.clock.monotonic.0;
        while clock::monotonic() < from + SECOND_LOOK.as_nanos() as u64 {
            // One that stands still would never come there.
            clock::check_clock();
        }
        file.define(&Definition::Clock(clock::snapshot()));
    }
}

/// For people: what is not known of futures.
fn unlisted_note(count: u64) -> String {
    format!(
        "more futures lived at once than can be listed; {count} were left out: a trace, part or \
         snapshot that begins after them does not know what they are"
    )
}

/// For people: which clock tells what, and what was done about it.
fn clock_note(ahead: i64) -> String {
    let millis = ahead.unsigned_abs().saturating_add(500_000) / 1_000_000;
    let (seconds, millis) = (millis / 1_000, millis % 1_000);
    let side = if ahead < 0 { "behind" } else { "ahead of" };
    format!(
        "the program's CLOCK_MONOTONIC is {seconds}.{millis:03} s {side} the kernel's, as a \
         library that was loaded first answers clock_gettime; all times here are the kernel's"
    )
}
