//! The source that writes the counts into the trace: at its begin and end, with every generation,
//! and in between as often as a curve needs it, if they have changed. Before each snapshot comes
//! the peak since the last one, if it is higher than both.

use super::count::{HeapTotals, STEP};
use super::peak::{self, HeapMoment};
use super::{COUNTERS, sample};
use crate::base::options::Options;
use crate::output::Outputs;
use crate::source::Source;
use crate::sys::clock::Instant;
use std::time::Duration;
use trace_format::definition::Definition;
use trace_format::facility;
use trace_format::time::Ticks;

/// Time between two points of the curve, while it changes.
const EVERY: Duration = Duration::from_millis(100);

/// The source of one trace.
#[derive(Debug)]
pub(crate) struct HeapSnapshots {
    mean: u64,
    /// The sums of the last snapshot, and when that was.
    last: HeapTotals,
    at: Instant,
    /// The last reported number of samples that were not taken.
    untaken: u64,
    /// Whether the trace has the note that the heap is counted.
    is_on: bool,
}

impl HeapSnapshots {
    pub(crate) fn new(options: &Options) -> Self {
        let mean = options.heap_sample_bytes;
        Self { mean, last: HeapTotals::default(), at: Instant::now(), untaken: 0, is_on: false }
    }

    fn put(&mut self, outputs: &mut Outputs, peak: Option<HeapMoment>, now: &HeapMoment) {
        if !self.is_on {
            self.is_on = true;
            let note = format!("one sample in {} bytes", self.mean);
            self.put_facility(outputs, true, &note);
        }
        // A smaller difference is below the precision of the peak.
        let least = self.last.live_bytes().max(now.totals.live_bytes()) + STEP;
        if let Some(peak) = peak.filter(|peak| peak.totals.live_bytes() >= least) {
            self.define(outputs, &peak);
        }
        self.define(outputs, now);
        self.last = now.totals;
        self.at = Instant::now();
    }

    fn define(&self, outputs: &mut Outputs, at: &HeapMoment) {
        let HeapMoment { ticks, totals } = *at;
        outputs.define(&Definition::Heap {
            ticks: Ticks(ticks),
            live_bytes: totals.live_bytes(),
            live_allocations: totals.allocations.saturating_sub(totals.frees),
            allocated_bytes: totals.allocated_bytes,
            allocations: totals.allocations,
            sample_bytes: self.mean,
        });
    }

    fn put_facility(&self, outputs: &mut Outputs, on: bool, note: &str) {
        let name = facility::HEAP.as_bytes();
        outputs.define(&Definition::Facility { name, on, note: note.as_bytes() });
    }

    fn put_untaken(&mut self, outputs: &mut Outputs) {
        let untaken = sample::untaken();
        if untaken != self.untaken {
            self.untaken = untaken;
            let mean = self.mean;
            let note = format!("one sample in {mean} bytes; {untaken} not taken, too many live");
            self.put_facility(outputs, true, &note);
        }
    }
}

impl Source for HeapSnapshots {
    fn begin(&mut self, outputs: &mut Outputs) {
        sample::begin(self.mean);
        // The peak is an earlier trace's.
        let (_, now) = peak::take();
        if now.totals == HeapTotals::default() {
            // With this allocator, code that starts a trace has allocated before.
            self.put_facility(outputs, false, "exectrace::Heap is not the global allocator");
        } else {
            self.put(outputs, None, &now);
        }
    }

    fn collect(&mut self, outputs: &mut Outputs) {
        if self.at.elapsed() < EVERY {
            return;
        }
        let (peak, now) = peak::take();
        if now.totals != self.last {
            self.put(outputs, peak, &now);
        }
    }

    fn advance(&mut self, outputs: &mut Outputs) {
        let (peak, now) = peak::take();
        if now.totals != HeapTotals::default() {
            self.put(outputs, peak, &now);
        }
        self.put_untaken(outputs);
    }

    fn collect_every(&self) -> Option<Duration> {
        Some(EVERY)
    }
}

impl Drop for HeapSnapshots {
    /// The trace is over, or could not start after all.
    fn drop(&mut self) {
        COUNTERS.stop();
    }
}
