//! What made the program slow, in words: few findings, each with its evidence, worst first.

use trace_format::id::{CallId, ResourceId, StackId, ThreadId};
use trace_format::read::{ReadAt, TraceFile};
use trace_format::time::Nanos;

use crate::heap::Heap;
use crate::life::Lives;
use crate::symbols::Symbols;

/// What an [`Insight`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum InsightKind {
    /// Part of the trace is missing: all else is said with that in mind.
    Loss,
    /// Many wait for one lock.
    LockContention,
    /// Whoever held a lock waited, slept or was in a slow call meanwhile, and others waited for it.
    SlowHolder,
    /// Whoever held a lock could have run and had no CPU, and others waited for it.
    HolderPreempted,
    /// Threads were able to run and had no CPU.
    Oversubscribed,
    /// Calls took long.
    SlowCalls,
    /// Many calls with few bytes each.
    ChattyCalls,
    /// One thread works, and the others wait.
    OneThread,
    /// A thread sleeps again and again, to look whether something has happened.
    SleepLoop,
    /// Memory had to be read from disk.
    PageFaults,
    /// The heap grows and grows.
    HeapGrowth,
}

impl InsightKind {
    /// A short name for programs, stable between versions.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::LockContention => "lock_contention",
            Self::SlowHolder => "slow_holder",
            Self::HolderPreempted => "holder_preempted",
            Self::Oversubscribed => "oversubscribed",
            Self::SlowCalls => "slow_calls",
            Self::ChattyCalls => "chatty_calls",
            Self::OneThread => "one_thread",
            Self::SleepLoop => "sleep_loop",
            Self::PageFaults => "page_faults",
            Self::HeapGrowth => "heap_growth",
        }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Insight {
    /// What it is about.
    pub kind: InsightKind,
    /// How much time of threads it cost, as far as that can be told: what findings are ordered by.
    pub lost: Nanos,
    /// It in one sentence.
    pub title: String,
    /// What shows it, in sentences, the strongest first.
    pub evidence: Vec<String>,
    /// The threads it is about, who is to blame first.
    pub threads: Vec<ThreadId>,
    /// Where, in the same order of importance.
    pub stacks: Vec<StackId>,
    /// What it is about: a lock, a file.
    pub resource: Option<ResourceId>,
    /// The call it is about.
    pub call: Option<CallId>,
    /// When it was worst, since the first clock snapshot.
    pub at: Option<Nanos>,
    /// What to ask the tool for more: `blocked`, without the program's name and the file's.
    pub command: String,
}

/// Finds what made the program slow.
///
/// - `heap`: nothing if the trace has no allocations.
/// - `symbols`: the names that sentences use; without them places are numbers.
#[must_use]
pub fn explain<S: ReadAt>(
    file: &TraceFile<S>,
    lives: &Lives,
    heap: Option<&Heap>,
    symbols: &Symbols,
) -> Vec<Insight> {
    let _ = (file, lives, heap, symbols);
    Vec::new()
}
