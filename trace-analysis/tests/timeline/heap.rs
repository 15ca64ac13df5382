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
    trace.heap(2_500, (102 * MEAN, 2), (102 * MEAN, 2));
    trace.free(2, 3_000, 2);
    trace.alloc(2, 4_000, 3, MEAN, 7);
    trace.free(2, 4_500, 99);
    trace.heap(5_000, (4 * MEAN, 2), (104 * MEAN, 3));
    TraceFile::open(trace.stop(10_000)).expect("a trace")
}

fn read(from: Option<u64>, at: Option<u64>) -> Heap {
    let options = HeapOptions { from: from.map(Ticks), at: at.map(Ticks), to: None };
    Heap::read(&file(), &options, |_| {})
}

#[test]
fn what_is_live_is_what_was_not_freed_until_then() {
    let end = read(None, None);
    assert_eq!(live(&end), [(7, 2 * SAMPLE / 1000), (8, 0)]);
    assert_eq!((end.samples, end.samples_untold, end.points.len()), (3, 0, 3));
    assert_eq!(end.points[2].live_bytes, 4 * MEAN);
    let middle = read(None, Some(2_500));
    assert_eq!(live(&middle), [(8, 100 * MEAN / 1000), (7, SAMPLE / 1000)]);
    assert_eq!((middle.at, middle.points.len()), (Nanos(2_500), 3));
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

#[test]
fn allocation_is_measured_in_the_whole_window_whatever_moment_is_looked_at() {
    let allocated = |heap: &Heap| {
        let stack = heap.stacks.iter().find(|it| it.stack.0 == 7).expect("it allocates");
        (stack.allocated_bytes / 1000, stack.live_bytes / 1000)
    };
    let (one, two) = (SAMPLE / 1000, 2 * SAMPLE / 1000);
    assert_eq!(allocated(&read(None, Some(2_500))), (two, one));
    assert_eq!(allocated(&read(None, Some(700))), (two, 0), "before the first sample");
    let options = HeapOptions { to: Some(Ticks(3_500)), at: Some(Ticks(2_500)), from: None };
    let heap = Heap::read(&file(), &options, |_| {});
    assert_eq!((allocated(&heap), heap.to, heap.points.len()), ((one, one), Nanos(3_500), 2));
}

/// One sample, of few bytes, among other blocks, and then the counters.
fn one_sample(counted: Option<u64>) -> Heap {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(1, "a");
    trace.heap(500, (0, 0), (0, 0));
    trace.alloc(1, 1_000, 1, 64, 7);
    if let Some(bytes) = counted {
        trace.heap(2_000, (bytes, 1_000), (bytes, 1_000));
    }
    let file = TraceFile::open(trace.stop(10_000)).expect("a trace");
    Heap::read(&file, &HeapOptions::default(), |_| {})
}

#[test]
fn samples_never_count_as_more_live_bytes_than_the_counters_have() {
    // A sample of 64 bytes stands for half a mebibyte.
    let few = one_sample(Some(88_700));
    let stack = few.stacks[0];
    assert_eq!(
        (stack.live_bytes, stack.grown_bytes, few.estimated_bytes),
        (88_700, 88_700, 524_320)
    );
    assert_eq!(stack.live_count, 88_700_u64.div_ceil(64), "the blocks are as large as before");
    let many = one_sample(Some(600_000));
    assert_eq!(many.stacks[0].live_bytes, many.estimated_bytes);
    let uncounted = one_sample(None);
    assert_eq!(uncounted.stacks[0].live_bytes, 524_320, "the counters are older than the sample");
}
