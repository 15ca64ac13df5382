//! Where the time of a whole trace went, or of a window of it: what `parallel` sums up.

use trace_format::time::Nanos;

use super::counters::{CounterSummary, MomentSummary};
use super::findings::Findings;
use super::futures::FutureSummary;
use super::regions::RegionSummary;
use super::tasks::Tasks;
use super::threads::ThreadSummary;

/// Where a trace's time went.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// The begin of what was read, since the first clock snapshot.
    pub from: Nanos,
    /// The end of what was read.
    pub to: Nanos,
    /// Events read.
    pub events: u64,
    /// Batches of events read, of which pieces count as one each.
    pub batches: u64,
    /// Their bytes in the file.
    pub bytes: u64,
    /// Per call site that emits regions, the greatest total first.
    pub regions: Vec<RegionSummary>,
    /// Per thread that did anything in the window, the busiest first.
    pub threads: Vec<ThreadSummary>,
    /// The tasks.
    pub tasks: Tasks,
    /// Per call site of a future, the most time inside polls first.
    pub futures: Vec<FutureSummary>,
    /// Per counter, by call site.
    pub counters: Vec<CounterSummary>,
    /// Per log and instant, the most frequent first.
    pub moments: Vec<MomentSummary>,
    /// What is odd.
    pub findings: Findings,
    /// Records of threads on CPUs that the kernel had no room for.
    pub lost_records: u64,
}

impl Summary {
    /// How long the time is that was read.
    #[must_use]
    pub fn wall(&self) -> Nanos {
        Nanos(self.to.0.saturating_sub(self.from.0))
    }
}
