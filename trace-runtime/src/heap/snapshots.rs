//! The source that tells the trace what has been counted: at its begin and end, at every cut, and
//! in between as often as a curve needs it, while there is anything new. Before each snapshot comes
//! the peak since the one before, if more lived then than at either.

use super::count::{STEP, Totals};
use super::peak::{self, Moment};
use super::{COUNTERS, sample};
use crate::base::options::Options;
use crate::output::Output;
use crate::source::Source;
use crate::sys::clock::Instant;
use std::time::Duration;
use trace_format::definition::Definition;
use trace_format::facility;
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
    /// It has been told that there is something to count.
    is_on: bool,
}

impl Snapshots {
    pub(crate) fn new(options: &Options) -> Self {
        let mean = options.heap_sample_bytes;
        Self { mean, last: Totals::default(), at: Instant::now(), untaken: 0, is_on: false }
    }

    fn put(&mut self, output: &mut Output, peak: Option<Moment>, now: &Moment) {
        if !self.is_on {
            self.is_on = true;
            let note = format!("one sample in {} bytes", self.mean);
            self.put_facility(output, true, &note);
        }
        // Less is within what the peak may be off.
        let least = self.last.live_bytes().max(now.totals.live_bytes()) + STEP;
        if let Some(peak) = peak.filter(|peak| peak.totals.live_bytes() >= least) {
            self.define(output, &peak);
        }
        self.define(output, now);
        self.last = now.totals;
        self.at = Instant::now();
    }

    fn define(&self, output: &mut Output, at: &Moment) {
        let Moment { ticks, totals } = *at;
        output.define(&Definition::Heap {
            ticks: Ticks(ticks),
            live_bytes: totals.live_bytes(),
            live_allocations: totals.allocations.saturating_sub(totals.frees),
            allocated_bytes: totals.allocated_bytes,
            allocations: totals.allocations,
            sample_bytes: self.mean,
        });
    }

    fn put_facility(&self, output: &mut Output, on: bool, note: &str) {
        let name = facility::HEAP.as_bytes();
        output.define(&Definition::Facility { name, on, note: note.as_bytes() });
    }

    fn put_untaken(&mut self, output: &mut Output) {
        let untaken = sample::untaken();
        if untaken != self.untaken {
            self.untaken = untaken;
            let mean = self.mean;
            let note = format!("one sample in {mean} bytes; {untaken} not taken, too many live");
            self.put_facility(output, true, &note);
        }
    }
}

impl Source for Snapshots {
    fn begin(&mut self, output: &mut Output) {
        sample::begin(self.mean);
        // The peak is an earlier trace's.
        let (_, now) = peak::take();
        if now.totals == Totals::default() {
            // Who starts a trace has allocated before.
            self.put_facility(output, false, "exectrace::Heap is not the global allocator");
        } else {
            self.put(output, None, &now);
        }
    }

    fn collect(&mut self, output: &mut Output) {
        if self.at.elapsed() < EVERY {
            return;
        }
        let (peak, now) = peak::take();
        if now.totals != self.last {
            self.put(output, peak, &now);
        }
    }

    fn cut(&mut self, output: &mut Output) {
        let (peak, now) = peak::take();
        if now.totals != Totals::default() {
            self.put(output, peak, &now);
        }
        self.put_untaken(output);
    }

    fn collect_every(&self) -> Option<Duration> {
        Some(EVERY)
    }
}

impl Drop for Snapshots {
    /// The trace is over, or could not start after all.
    fn drop(&mut self) {
        COUNTERS.stop();
    }
}
