//! What summing up costs in memory: nothing per event, and nothing for ids that are great.

mod common;

use common::Builder;
use trace_analysis::{Summary, Trace};
use trace_format::definition::CallsiteKind;
use trace_format::read::TraceFile;
use trace_format::value::Value;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

fn trace(rounds: u64) -> Vec<u8> {
    let mut trace = Builder::new();
    trace.site(1, CallsiteKind::Function, "app::outer", &["n"]);
    trace.site(2, CallsiteKind::Function, "app::inner", &[]);
    trace.thread(1, "main");
    for round in 0..rounds {
        let now = round * 1000;
        trace.begin(1, now, 1, &[Value::U64(round)]);
        (0..8).for_each(|inner| trace.region(1, now + 10 + inner * 100, 2, 20 + round % 50));
        trace.end(1, now + 900);
    }
    trace.stop(rounds * 1000)
}

/// Blocks allocated while a trace is summed up, and the most bytes at once.
fn cost(rounds: u64) -> (u64, usize) {
    let file = TraceFile::open(trace(rounds)).expect("a trace");
    let _profiler = dhat::Profiler::builder().testing().build();
    let before = dhat::HeapStats::get().total_blocks;
    let summary = Summary::read(&Trace::new(&file), |_| {});
    let stats = dhat::HeapStats::get();
    assert_eq!(summary.regions[0].count, rounds);
    (stats.total_blocks - before, stats.max_bytes)
}

/// The most bytes at once for many threads that each have one event, of the call site `site`.
fn cost_of_site(site: u32) -> usize {
    let mut trace = Builder::new();
    trace.site(site, CallsiteKind::Function, "app::far", &[]);
    for thread in 1..=2_000 {
        trace.begin(thread, 10, site, &[]);
        trace.region(thread, 20, site, 5);
    }
    let file = TraceFile::open(trace.stop(1_000)).expect("a trace");
    let _profiler = dhat::Profiler::builder().testing().build();
    let summary = Summary::read(&Trace::new(&file), |_| {});
    assert_eq!((summary.regions[0].count, summary.regions[0].unfinished), (2_000, 2_000));
    dhat::HeapStats::get().max_bytes
}

#[test]
fn memory_follows_the_contents_and_not_their_numbers() {
    ten_times_the_events_take_no_more_memory();
    let (low, high) = (cost_of_site(1), cost_of_site(65_535));
    // One list of places by id, of 4 bytes each, is all that is as long as the greatest id.
    assert!(high <= low + (512 << 10), "{high} bytes, and {low} with a low id");
}

fn ten_times_the_events_take_no_more_memory() {
    let (few, few_bytes) = cost(20_000);
    let (many, many_bytes) = cost(200_000);
    // The list of batches, about one for 20,000 events, is all that grows.
    assert!(many <= few + 50, "{many} blocks for 2,000,000 events, {few} for 200,000");
    assert!(many_bytes <= few_bytes + (200 << 10), "{many_bytes} bytes, and {few_bytes}");
}
