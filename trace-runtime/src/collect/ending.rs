//! How a file ends, and a part of a trace.
//!
//! Ending a file that brings names along takes long, and the collector has other things to do while
//! the session goes on: then a thread of its own ends it. Only one part ends at a time.
//!
//! Elsewhere: the end of the session (the parent of this module), names (`names`).

use super::{Collector, counted_of, thread_end};
use crate::base::error::Report;
use crate::buffer::losses::Losses;
use crate::buffer::memory::BUDGET;
use crate::output::outlet::File;
use crate::sys::clock;
use crate::thread::worker::Worker;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use trace_format::definition::Definition;
use trace_format::time::{Nanos, Ticks};

/// What a file came to, and its first failure.
pub(super) type Ended = (Report, Option<io::Error>);

/// A file that ends on a thread of its own; `None` if it was not there any more.
pub(super) type Ending = Worker<Option<Ended>>;

impl Collector {
    /// Ends the trace's file while the session goes on.
    pub(super) fn end_file(&mut self, mut file: Box<File>, done: SyncSender<Ended>) {
        let report = self.put_ends_of(&mut file);
        let part = self.part_ending.take();
        if part.is_none() && !file.is_slow_to_end() {
            // A writer that panics when it is dropped is the trace's fault, and nobody else's:
            // without an answer, the trace knows.
            if let Ok(ended) = catch_unwind(AssertUnwindSafe(|| file.end(report))) {
                let _ = done.send(ended);
            }
            return;
        }
        let end = move |mut file: Box<File>, may_be_slow| {
            if let Some(Some(ended)) = part.and_then(|part| part.join().ok()) {
                file.add_before(ended);
            }
            let _ = done.send(file.named(may_be_slow).end(report));
        };
        // Who waits for the answer takes none for a failure.
        let _ = aside(file, end);
    }

    /// Ends the part before the one that is written now.
    pub(super) fn end_leaving(&mut self) {
        let Some(mut leaving) = self.output.take_leaving() else { return };
        self.wait_for_part();
        let report = self.put_ends_of(&mut leaving);
        if leaving.is_slow_to_end() {
            let end = move |part: Box<File>, may_be_slow| part.named(may_be_slow).end(report);
            match aside(leaving, end) {
                Ok(ending) => self.part_ending = Some(ending),
                Err(ended) => self.add_part(ended),
            }
        } else {
            self.add_part(Some(leaving.end(report)));
        }
    }

    fn add_part(&mut self, ended: Option<Ended>) {
        if let (Some(file), Some(ended)) = (self.output.file(), ended) {
            file.add_before(ended);
        }
    }

    /// Takes what the part before came to, if it has ended.
    pub(super) fn take_ended_part(&mut self) {
        if self.part_ending.as_ref().is_some_and(Worker::is_done) {
            self.wait_for_part();
        }
    }

    /// Waits until the part before has ended.
    pub(super) fn wait_for_part(&mut self) {
        let Some(ending) = self.part_ending.take() else { return };
        self.add_part(ending.join().ok().flatten());
    }

    /// Adds the ends of threads and of a trace to a file, while the session goes on.
    fn put_ends_of(&self, file: &mut File) -> Report {
        let lost = self.tally(counted_of);
        for (drain, lost) in self.drains.iter().zip(&lost.threads) {
            file.define(&thread_end(drain, lost.all()));
        }
        self.put_stop(file, lost.total())
    }

    /// Adds the last definition of a file. `lost`: in the whole session.
    pub(super) fn put_stop(&self, file: &mut File, lost: Losses) -> Report {
        let tracer_cpu = Nanos(clock::thread_cpu());
        let memory_max = BUDGET.used_max() as u64;
        let Losses { events: dropped_events, ends: dropped_ends } = file.lost(lost);
        file.define(&Definition::Stop {
            ticks: Ticks(clock::ticks()),
            events: file.events_told(),
            dropped_events,
            dropped_ends,
            tracer_cpu,
            memory_max,
        });
        Report {
            threads: self.threads,
            dropped_events,
            dropped_ends,
            tracer_cpu: Duration::from_nanos(tracer_cpu.0),
            memory_max,
            ..Report::default()
        }
    }
}

/// Has a file ended by a thread of its own.
///
/// - `end`: is told whether it may take long.
///
/// # Errors
/// There is no thread: the file was ended here.
fn aside<T: Send + 'static>(
    file: Box<File>,
    end: impl FnOnce(Box<File>, bool) -> T + Send + 'static,
) -> Result<Worker<Option<T>>, Option<T>> {
    let work = Arc::new(Mutex::new(Some((file, end))));
    let take = |work: &Mutex<Option<_>>| work.lock().unwrap_or_else(PoisonError::into_inner).take();
    let given = Arc::clone(&work);
    let spawned = Worker::spawn(c"exectrace end", move || {
        let (file, end) = take(&given)?;
        Some(end(file, true))
    });
    spawned.map_err(|_| {
        let end = || take(&work).map(|(file, end)| end(file, false));
        catch_unwind(AssertUnwindSafe(end)).ok().flatten()
    })
}
