//! What finding lives costs in memory: nothing per event.

use trace_analysis::Trace;
use trace_analysis::life::Lives;
use trace_analysis::symbols::Symbols;
use trace_format::batch::Compression;
use trace_format::definition::{CallsiteKind, ResourceKind};
use trace_format::id::CallId;
use trace_format::read::TraceFile;
use trace_format::testgen::{TraceBuilder, open_call, os_id};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// Threads that wait for a lock, read files, are switched, and work in regions.
fn trace(turns: u64) -> Vec<u8> {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.callsite(1, CallsiteKind::Function, "work");
    (1..=4).for_each(|thread| trace.thread(thread, "t"));
    trace.resource(1, ResourceKind::Address, 1, "");
    trace.resource(2, ResourceKind::File, 3, "f");
    for turn in 0..turns {
        let (thread, waker) = (1 + (turn % 4) as u32, 1 + ((turn + 1) % 4) as u32);
        let now = turn * 10_000;
        trace.call(thread, open_call(CallId::FUTEX_WAIT, 1, 0), now, 8_000 + turn % 1000, 0);
        trace.switch_out(thread, now + 500, os_id(thread), turn % 8 == 0);
        trace.begin(waker, 1, now + 1_000);
        trace.call(waker, open_call(CallId::READ, 2, 0), now + 2_000, 300 + turn % 900, 1);
        trace.end(waker, now + 5_000);
        trace.call(waker, open_call(CallId::FUTEX_WAKE, 1, 0), now + 6_000, 500, 1);
        trace.switch_in(thread, now + 7_000, os_id(thread));
    }
    trace.stop(turns * 10_000)
}

/// Blocks allocated while lives are found, and the most bytes at once.
fn cost(turns: u64) -> (u64, usize) {
    let file = TraceFile::open(trace(turns)).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    let _profiler = dhat::Profiler::builder().testing().build();
    let before = dhat::HeapStats::get().total_blocks;
    let lives = Lives::read(&Trace::new(&file).named(&symbols), |_| {});
    let stats = dhat::HeapStats::get();
    assert_eq!(lives.calls.count, 3 * turns);
    (stats.total_blocks - before, stats.max_bytes)
}

#[test]
fn ten_times_the_events_take_no_more_memory() {
    let (few, few_bytes) = cost(10_000);
    let (many, many_bytes) = cost(100_000);
    // Places in the index are all that grows, slots for durations that come up late, and sums of
    // what each thread did, up to twelve times 9 kB.
    assert!(many <= few + 200, "{many} blocks for 700,000 events, {few} for 70,000");
    assert!(many_bytes <= few_bytes + (300 << 10), "{many_bytes} bytes, and {few_bytes}");
}
