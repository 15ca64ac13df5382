//! Feature `heap`: what the program has allocated, over time and by stack.
//!
//! - `allocator`: [`Heap`], the global allocator.
//! - `count`: the counters of all threads, and which allocation is to be sampled.
//! - `peak`: the most that lived at one time, between two snapshots.
//! - `own`: a thread's way to its counters.
//! - `table`: which blocks are sampled, or the recorder's own.
//! - `sample`: what happens to a block when it is allocated and freed.
//! - `snapshots`: the source that tells the trace what has been counted.
//!
//! Everything is in statics of fixed size, zero until it is used: it works before `main`, after the
//! last thread-local is gone, and in forked children, where counting goes on and sampling stops.

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
pub(crate) use snapshots::Snapshots;

/// 2,048 threads at a time have a slot of their own.
#[cfg(not(exectrace_loom))]
static COUNTERS: count::Counters<32> = count::Counters::new();

/// Room for the samples of a live heap of 16 GiB, and the recorder's blocks for some thousand
/// threads, at half its capacity: windows are hardly ever full then.
#[cfg(not(exectrace_loom))]
static TABLE: table::Table<65_536, 65_536> = table::Table::new();

/// In a forked child, until it has a trace of its own: no samples.
#[cfg(not(exectrace_loom))]
pub(crate) fn forked() {
    COUNTERS.stop();
    peak::forked();
}
