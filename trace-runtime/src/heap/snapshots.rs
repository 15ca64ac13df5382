//! The source that tells the trace what has been counted: at its begin and end, at every cut, and
//! in between as often as a curve needs it, while there is anything new.

use super::count::Totals;
use super::{COUNTERS, sample};
use crate::clock;
use crate::options::Options;
use crate::output::Output;
use crate::source::Source;
use std::time::{Duration, Instant};
use trace_format::definition::Definition;
use trace_format::time::Ticks;

/// Points of the curve are so far apart, while it changes.
const EVERY: Duration = Duration::from_millis(100);

/// One trace's.
#[derive(Debug)]
pub(crate) struct Snapshots {
    mean: u64,
    /// Of the snapshot written last, and when that was.
    last: Totals,
    at: Instant,
    /// Samples not taken, as last told.
    untaken: u64,
}

impl Snapshots {
    pub(crate) fn new(options: &Options) -> Self {
        let mean = options.heap_sample_bytes;
        Self { mean, last: Totals::default(), at: Instant::now(), untaken: 0 }
    }

    fn put(&mut self, output: &mut Output) {
        let totals = COUNTERS.totals();
        output.define(&Definition::Heap {
            ticks: Ticks(clock::ticks()),
            live_bytes: totals.allocated_bytes - totals.freed_bytes,
            live_allocations: totals.allocations - totals.frees,
            allocated_bytes: totals.allocated_bytes,
            allocations: totals.allocations,
            sample_bytes: self.mean,
        });
        self.last = totals;
        self.at = Instant::now();
    }

    fn put_facility(&self, output: &mut Output, on: bool, note: &str) {
        output.define(&Definition::Facility { name: b"heap", on, note: note.as_bytes() });
    }

    fn put_untaken(&mut self, output: &mut Output) {
        let untaken = sample::untaken();
        if untaken != self.untaken {
            self.untaken = untaken;
            let note = format!("{untaken} samples not taken, for there were too many live ones");
            self.put_facility(output, true, &note);
        }
    }
}

impl Source for Snapshots {
    fn begin(&mut self, output: &mut Output) {
        sample::begin(self.mean);
        // Who starts a trace has allocated before.
        if COUNTERS.totals() == Totals::default() {
            self.put_facility(output, false, "exectrace::Heap is not the global allocator");
            return;
        }
        let note = format!("one sample in {} bytes", self.mean);
        self.put_facility(output, true, &note);
        self.put(output);
    }

    fn collect(&mut self, output: &mut Output) {
        if self.at.elapsed() >= EVERY && COUNTERS.totals() != self.last {
            self.put(output);
        }
    }

    fn cut(&mut self, output: &mut Output) {
        if self.last != Totals::default() {
            self.put(output);
        }
        self.put_untaken(output);
    }

    fn stop(&mut self, output: &mut Output) {
        COUNTERS.stop();
        self.cut(output);
    }

    fn collect_every(&self) -> Option<Duration> {
        Some(EVERY)
    }
}

impl Drop for Snapshots {
    /// Also if the trace could not start after all.
    fn drop(&mut self) {
        COUNTERS.stop();
    }
}
