//! The heap from sampled allocations: a sample of `mean` bytes stands for 1.582 allocations.

use trace_analysis::heap::{Heap, HeapOptions, HeapStack};
use trace_format::batch::Compression;
use trace_format::read::TraceFile;
use trace_format::testgen::TraceBuilder;
use trace_format::time::{Nanos, Ticks};

const MEAN: u64 = 524_288;

/// What a sample of so many bytes stands for, rounded down.
const SAMPLE: u64 = 829_411;

/// Stacks and their live kilobytes.
fn live(heap: &Heap) -> Vec<(u32, u64)> {
    heap.stacks.iter().map(|it| (it.stack.0, it.live_bytes / 1000)).collect()
}

/// Two stacks; the second is freed by another thread.
fn file() -> TraceFile<Vec<u8>> {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(1, "a");
    trace.thread(2, "b");
    trace.heap(500, (0, 0), (0, 0));
    trace.alloc(1, 1_000, 1, MEAN, 7);
    trace.alloc(1, 2_000, 2, 100 * MEAN, 8);
    trace.free(2, 3_000, 2);
    trace.alloc(2, 4_000, 3, MEAN, 7);
    trace.free(2, 4_500, 99);
    trace.heap(5_000, (2 * MEAN, 2), (102 * MEAN, 3));
    TraceFile::open(trace.stop(10_000)).expect("a trace")
}

fn read(from: Option<u64>, at: Option<u64>) -> Heap {
    let options = HeapOptions { from: from.map(Ticks), at: at.map(Ticks) };
    Heap::read(&file(), &options, |_| {})
}

#[test]
fn what_is_live_is_what_was_not_freed_until_then() {
    let end = read(None, None);
    assert_eq!(live(&end), [(7, 2 * SAMPLE / 1000), (8, 0)]);
    assert_eq!((end.samples, end.samples_untold, end.points.len()), (3, 0, 2));
    assert_eq!(end.points[1].live_bytes, 2 * MEAN);
    let middle = read(None, Some(2_500));
    assert_eq!(live(&middle), [(8, 100 * MEAN / 1000), (7, SAMPLE / 1000)]);
    assert_eq!((middle.at, middle.points.len()), (Nanos(2_500), 1));
}

#[test]
fn growth_and_allocation_are_measured_from_a_moment_on() {
    let heap = read(Some(2_500), None);
    let kilobytes = |it: &HeapStack| (it.allocated_bytes / 1000, it.grown_bytes / 1000);
    let found: Vec<_> = heap.stacks.iter().map(kilobytes).collect();
    let sample = SAMPLE / 1000;
    assert_eq!(found, [(sample, sample as i64), (0, -(100 * MEAN as i64 / 1000))]);
    let first = heap.profile().samples[0];
    assert_eq!((first.value / 1000, first.allocated / 1000), (2 * SAMPLE / 1000, sample));
}
