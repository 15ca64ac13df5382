//! Per thread: when it recorded, how much, and how long it was inside a region.

use trace_format::id::ThreadId;
use trace_format::time::Nanos;

/// What one thread did. Its name and system id are in the trace's tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadSummary {
    /// Which.
    pub thread: ThreadId,
    /// Its first event in the window, since the first clock snapshot; of a thread without events
    /// the moment it was first seen.
    pub first: Nanos,
    /// The end of its last event in the window.
    pub last: Nanos,
    /// Whether the thread itself ended, while the trace went on.
    pub ended: bool,
    /// Time in the window in which at least one region or poll was open.
    pub busy: Nanos,
    /// Events read in the window.
    pub events: u64,
    /// Regions and polls that ended.
    pub regions: u64,
    /// Events that were not written for want of memory.
    pub dropped_events: u64,
    /// Ends that were not written for want of memory.
    pub dropped_ends: u64,
    /// Batches read, of which pieces count as one each.
    pub batches: u64,
    /// Their bytes in the file.
    pub bytes: u64,
}
