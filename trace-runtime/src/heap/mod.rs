//! Feature `heap`: what the program has allocated, over time and by stack.
//!
//! - `allocator`: [`Heap`], the global allocator.
//! - `count`: the counters of all threads, and which allocation is sampled.
//! - `peak`: the largest number of live bytes between two snapshots.
//! - `own`: a thread's way to its counters.
//! - `table`: the blocks that are sampled, or are the recorder's own.
//! - `sample`: what happens to a block when it is allocated and freed.
//! - `snapshots`: the source that writes the counts into the trace.
//!
//! Everything is in statics of fixed size, which are zero at first: it works before `main`, after
//! the last thread-local is gone, and in forked children, where counting goes on and sampling
//! stops.

#[cfg(not(exectrace_loom))]
mod allocator;
pub(crate) mod count;
#[cfg(not(exectrace_loom))]
mod own;
#[cfg(not(exectrace_loom))]
mod peak;
#[cfg(not(exectrace_loom))]
mod sample;
#[cfg(not(exectrace_loom))]
mod snapshots;
pub(crate) mod table;

#[cfg(not(exectrace_loom))]
pub use allocator::Heap;
#[cfg(not(exectrace_loom))]
pub(crate) use snapshots::HeapSnapshots;

/// 2,048 threads at a time can have a slot of their own.
#[cfg(not(exectrace_loom))]
static COUNTERS: count::HeapCounts<32> = count::HeapCounts::new();

/// Half full with the samples of a live heap of 16 GiB, and the recorder's blocks for some thousand
/// threads; then hardly any window is full.
#[cfg(not(exectrace_loom))]
static TABLE: table::BlockTable<65_536, 65_536> = table::BlockTable::new();

/// In a forked child: ends sampling, until the child has a trace of its own.
#[cfg(not(exectrace_loom))]
pub(crate) fn forked() {
    COUNTERS.stop();
    peak::forked();
}
