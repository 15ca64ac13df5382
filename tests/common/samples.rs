//! The heap's samples in a trace, and their properties in every trace.
//!
//! - A sample is allocated once, and freed at most once, after that.
//! - Two samples that live at the same time do not overlap.
//! - The sums in snapshots never decrease where they must not.

use super::decoded::Decoded;
use std::collections::{BTreeMap, BTreeSet};
use trace_format::event::EventKind;
use trace_format::id::{StackId, ThreadId};
use trace_format::read::HeapState;

/// One sampled allocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) thread: ThreadId,
    pub(crate) ticks: u64,
    pub(crate) address: u64,
    pub(crate) bytes: u64,
    pub(crate) stack: StackId,
    pub(crate) freed: Option<u64>,
}

impl Sample {
    /// Number of allocations that the sample stands for, if one byte in `mean` is sampled.
    pub(crate) fn weight(&self, mean: u64) -> f64 {
        1.0 / chance(self.bytes, mean)
    }
}

/// The probability that an allocation is sampled.
pub(crate) fn chance(bytes: u64, mean: u64) -> f64 {
    -(-(bytes as f64) / mean as f64).exp_m1()
}

/// All samples by number, checked.
pub(crate) fn samples(trace: &Decoded) -> BTreeMap<u64, Sample> {
    let mut samples = BTreeMap::new();
    let mut frees = Vec::new();
    for &thread in trace.tables.threads.keys() {
        for event in trace.events(thread) {
            let ticks = event.ticks.0;
            match event.kind {
                EventKind::Alloc { sample, address, bytes, stack } => {
                    let new = Sample { thread, ticks, address, bytes, stack, freed: None };
                    assert!(bytes > 0, "no allocation is empty");
                    assert!(samples.insert(sample.0, new).is_none(), "one number, one sample");
                }
                EventKind::Free { sample } => frees.push((sample.0, ticks)),
                _ => {}
            }
        }
    }
    for (number, ticks) in frees {
        let sample = samples.get_mut(&number).expect("what is freed was allocated");
        assert!(sample.freed.is_none(), "a sample is freed once");
        assert!(sample.ticks <= ticks, "and not before it was allocated");
        sample.freed = Some(ticks);
    }
    check_overlaps(&samples);
    check_snapshots(&trace.tables.heap);
    samples
}

/// Replays all samples in the order of their times, and checks that none overlap.
fn check_overlaps(samples: &BTreeMap<u64, Sample>) {
    let mut moments = Vec::new();
    for (number, sample) in samples {
        moments.push((sample.ticks, 1, number, sample));
        moments.extend(sample.freed.map(|ticks| (ticks, 0, number, sample)));
    }
    moments.sort_by_key(|moment| (moment.0, moment.1));
    let mut live: BTreeMap<u64, u64> = BTreeMap::new();
    let mut freed_at_once = BTreeSet::new();
    for (_, is_begin, number, sample) in moments {
        if is_begin == 0 {
            if live.remove(&sample.address).is_none() {
                freed_at_once.insert(number);
            }
            continue;
        }
        if freed_at_once.remove(number) {
            continue;
        }
        let end = sample.address + sample.bytes;
        let before = live.range(..end).next_back();
        let overlaps = before.is_some_and(|(&first, &last)| last > sample.address && first < end);
        assert!(!overlaps, "{sample:?} overlaps {before:?}");
        live.insert(sample.address, end);
    }
}

fn check_snapshots(snapshots: &[HeapState]) {
    for state in snapshots {
        assert!(state.live_bytes <= state.allocated_bytes, "{state:?}");
        assert!(state.live_allocations <= state.allocations, "{state:?}");
    }
    for pair in snapshots.windows(2) {
        assert!(pair[0].ticks <= pair[1].ticks, "{pair:?}");
        assert!(pair[0].allocated_bytes <= pair[1].allocated_bytes, "{pair:?}");
        assert!(pair[0].allocations <= pair[1].allocations, "{pair:?}");
    }
}

/// How the heap changed from the first snapshot to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) live_bytes: i64,
    pub(crate) live_allocations: i64,
    pub(crate) allocated_bytes: u64,
    pub(crate) allocations: u64,
}

/// The change of the heap in a trace.
pub(crate) fn change(trace: &Decoded) -> Change {
    let [first, .., last] = trace.tables.heap[..] else { panic!("two snapshots at least") };
    Change {
        live_bytes: last.live_bytes as i64 - first.live_bytes as i64,
        live_allocations: last.live_allocations as i64 - first.live_allocations as i64,
        allocated_bytes: last.allocated_bytes - first.allocated_bytes,
        allocations: last.allocations - first.allocations,
    }
}
