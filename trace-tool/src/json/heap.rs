//! The heap, for programs.

use serde::Serialize;
use trace_analysis::heap::{Heap, HeapPoint, HeapStack};

use super::Trace;
use super::life::{StackOut, Words};
use super::process::FacilityOut;
use crate::completeness::Completeness;

/// What `heap` answers.
#[derive(Debug, Serialize)]
pub struct HeapReport {
    trace: Trace,
    facilities: Vec<FacilityOut>,
    from_ns: u64,
    at_ns: u64,
    to_ns: u64,
    points: Vec<PointOut>,
    sample_bytes: u64,
    samples: u64,
    samples_untold: u64,
    has_loss: bool,
    estimated_bytes: u64,
    stacks: Vec<HeapStackOut>,
}

impl HeapReport {
    /// The heap, with these stacks.
    #[must_use]
    pub fn new(
        trace: Trace,
        words: Words<'_>,
        heap: &Heap,
        stacks: &[HeapStack],
        missing: &Completeness,
    ) -> Self {
        let facilities = words.names.tables().facilities.values();
        Self {
            trace,
            facilities: facilities.map(FacilityOut::from).collect(),
            from_ns: heap.from.0,
            at_ns: heap.at.0,
            to_ns: heap.to.0,
            points: heap.points.iter().map(PointOut::from).collect(),
            sample_bytes: heap.sample_bytes,
            samples: heap.samples,
            samples_untold: heap.samples_untold,
            has_loss: missing.has_loss(),
            estimated_bytes: heap.estimated_bytes,
            stacks: stacks.iter().map(|stack| HeapStackOut::new(words, stack)).collect(),
        }
    }
}

#[derive(Debug, Serialize)]
struct PointOut {
    at_ns: u64,
    live_bytes: u64,
    live_allocations: u64,
    allocated_bytes: u64,
    allocations: u64,
}

impl From<&HeapPoint> for PointOut {
    fn from(point: &HeapPoint) -> Self {
        let HeapPoint { at, live_bytes, live_allocations, allocated_bytes, allocations } = *point;
        Self { at_ns: at.0, live_bytes, live_allocations, allocated_bytes, allocations }
    }
}

#[derive(Debug, Serialize)]
struct HeapStackOut {
    at: Option<StackOut>,
    live_samples: u64,
    live_bytes: u64,
    live_count: u64,
    allocated_bytes: u64,
    allocated_count: u64,
    grown_bytes: i64,
}

impl HeapStackOut {
    fn new(words: Words<'_>, stack: &HeapStack) -> Self {
        Self {
            at: StackOut::new(words, stack.stack),
            live_samples: stack.live_samples,
            live_bytes: stack.live_bytes,
            live_count: stack.live_count,
            allocated_bytes: stack.allocated_bytes,
            allocated_count: stack.allocated_count,
            grown_bytes: stack.grown_bytes,
        }
    }
}
