//! How a file ends, and a part of a trace.
//!
//! Ending a file with names takes long, and the collector has other work while the session goes on.
//! So another thread ends such a file. Only one part ends at a time.
//!
//! Elsewhere: the end of the session (the parent of this module), names (`names`).

use super::Collector;
use super::totals::{counted_of, thread_end};
use crate::base::error::Report;
use crate::buffer::losses::Losses;
use crate::buffer::memory::BUDGET;
use crate::output::FileOutput;
use crate::sys::clock;
use crate::thread::recorder_thread::RecorderThread;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use trace_format::definition::Definition;
use trace_format::time::{Nanos, Ticks};

/// The report on a file, and its first failure.
pub(super) type EndedFile = (Report, Option<io::Error>);

/// A file that ends on its own thread; `None` if it was not there any more.
pub(super) type EndingFile = RecorderThread<Option<EndedFile>>;

impl Collector {
    /// Ends the trace's file while the session goes on.
    pub(super) fn end_file(&mut self, mut file: Box<FileOutput>, done: SyncSender<EndedFile>) {
        let report = self.put_ends_into(&mut file);
        let part = self.part_ending.take();
        if part.is_none() && !file.is_slow_to_end() {
            // If the writer panics when it is dropped, no answer is sent, which the waiting thread
            // takes for a failure. The collector goes on.
            if let Ok(ended) = catch_unwind(AssertUnwindSafe(|| file.end(report))) {
                let _ = done.send(ended);
            }
            return;
        }
        let end = move |mut file: Box<FileOutput>, may_be_slow| {
            if let Some(Some(ended)) = part.and_then(|part| part.join().ok()) {
                file.add_earlier(ended);
            }
            let _ = done.send(file.with_names(may_be_slow).end(report));
        };
        // If no answer is sent, the waiting thread takes that for a failure.
        let _ = end_on_thread(file, end);
    }

    /// Ends the part before the one that is written now.
    pub(super) fn end_previous_part(&mut self) {
        let Some(mut previous) = self.outputs.take_previous_part() else { return };
        self.wait_for_part();
        let report = self.put_ends_into(&mut previous);
        if previous.is_slow_to_end() {
            let end =
                move |part: Box<FileOutput>, may_be_slow| part.with_names(may_be_slow).end(report);
            match end_on_thread(previous, end) {
                Ok(ending) => self.part_ending = Some(ending),
                Err(ended) => self.add_part(ended),
            }
        } else {
            self.add_part(Some(previous.end(report)));
        }
    }

    fn add_part(&mut self, ended: Option<EndedFile>) {
        if let (Some(file), Some(ended)) = (self.outputs.file(), ended) {
            file.add_earlier(ended);
        }
    }

    /// Takes the report on the previous part, if it has ended.
    pub(super) fn take_ended_part(&mut self) {
        if self.part_ending.as_ref().is_some_and(RecorderThread::is_done) {
            self.wait_for_part();
        }
    }

    /// Waits until the previous part has ended.
    pub(super) fn wait_for_part(&mut self) {
        let Some(ending) = self.part_ending.take() else { return };
        self.add_part(ending.join().ok().flatten());
    }

    /// Adds the ends of threads and the end of the trace to a file, while the session goes on.
    fn put_ends_into(&self, file: &mut FileOutput) -> Report {
        let lost = self.tally(counted_of);
        for (drain, lost) in self.drains.iter().zip(&lost.threads) {
            file.define(&thread_end(drain, lost.all()));
        }
        self.put_stop(file, lost.total())
    }

    /// Adds the last definition of a file. `lost`: in the whole session.
    pub(super) fn put_stop(&self, file: &mut FileOutput, lost: Losses) -> Report {
        let tracer_cpu = Nanos(clock::thread_cpu());
        let memory_max = BUDGET.used_max() as u64;
        let Losses { events: dropped_events, ends: dropped_ends } = file.lost(lost);
        file.define(&Definition::Stop {
            ticks: Ticks(clock::ticks()),
            events: file.events_seen(),
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

/// Ends a file on its own thread.
///
/// - `end`: gets the file, and whether it may take long.
///
/// # Errors
/// No thread could be made: the file was ended here.
fn end_on_thread<T: Send + 'static>(
    file: Box<FileOutput>,
    end: impl FnOnce(Box<FileOutput>, bool) -> T + Send + 'static,
) -> Result<RecorderThread<Option<T>>, Option<T>> {
    let work = Arc::new(Mutex::new(Some((file, end))));
    let take = |work: &Mutex<Option<_>>| work.lock().unwrap_or_else(PoisonError::into_inner).take();
    let given = Arc::clone(&work);
    let spawned = RecorderThread::spawn(c"exectrace end", move || {
        let (file, end) = take(&given)?;
        Some(end(file, true))
    });
    spawned.map_err(|_| {
        let end = || take(&work).map(|(file, end)| end(file, false));
        catch_unwind(AssertUnwindSafe(end)).ok().flatten()
    })
}
