//! What finding lives costs in memory: nothing per event, and nothing for ids that are great.

use trace_analysis::life::Lives;
use trace_analysis::symbols::Symbols;
use trace_analysis::{Report, Summary, Trace, Wanted};
use trace_format::batch::Compression;
use trace_format::definition::{CallsiteKind, ResourceKind};
use trace_format::event::EventKind;
use trace_format::id::{CallId, TaskId};
use trace_format::read::TraceFile;
use trace_format::testgen::{TraceBuilder, open_call, os_id};
use trace_format::value::Text;

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

/// How many of each there are in a trace of [`cost_of_ids`].
const IDS: u32 = 500;

/// The great ids are what ids can be at most.
const STACKS: u32 = (1 << 24) - 1;
const RESOURCES: u32 = (1 << 30) - 1;
const THREADS: u32 = (1 << 31) - 1;
const TASKS: u64 = u64::MAX;

/// The most bytes at once while a trace is opened and read in which each thread works for a task of
/// its own, and waits at a place of its own for a lock of its own. Ids are from 1 on, or up to the
/// greatest.
fn cost_of_ids(are_great: bool) -> usize {
    let id = |n: u32, greatest: u32| if are_great { greatest - n } else { n };
    let mut trace = TraceBuilder::started(Compression::None);
    for n in 1..=IDS {
        let (thread, stack) = (id(n, THREADS), id(n, STACKS));
        let lock = id(n, RESOURCES);
        let task = TaskId(if are_great { TASKS - u64::from(n) } else { u64::from(n) });
        let at = u64::from(n) * 10_000;
        trace.thread(thread, "t");
        trace.stack(stack, &[u64::from(n) * 0x10]);
        trace.resource(lock, ResourceKind::Address, u64::from(n) * 0x100, "");
        let name = Text::cut(b"job", 10);
        let parent = TaskId(0);
        trace.event(thread, at, EventKind::TaskBegin { task, parent, name });
        trace.event(thread, at + 10, EventKind::TaskRunBegin { task });
        trace.call(thread, open_call(CallId::FUTEX_WAIT, lock, stack), at + 100, 500, 0);
        trace.end(thread, at + 700);
        trace.event(thread, at + 800, EventKind::TaskEnd { task });
    }
    let bytes = trace.stop(u64::from(IDS + 1) * 10_000);
    let _profiler = dhat::Profiler::builder().testing().build();
    let file = TraceFile::open(bytes.as_slice()).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    let trace = Trace::new(&file).named(&symbols);
    let wanted = Wanted { tasks_by_name: true, ..Wanted::default() };
    let report = Report::read(&trace, wanted, |_| {});
    assert_eq!(report.lives.calls.count, u64::from(IDS));
    assert_eq!(report.lives.waits.by_thread.len(), IDS as usize);
    assert!(report.tasks_by_name.contains_key("job"));
    assert_eq!(Summary::read(&trace, |_| {}).tasks.names[0].count, u64::from(IDS));
    dhat::HeapStats::get().max_bytes
}

#[test]
fn memory_follows_the_contents_and_not_their_numbers() {
    ten_times_the_events_take_no_more_memory();
    let (low, great) = (cost_of_ids(false), cost_of_ids(true));
    // A hash table may be twice as large by chance; a list by id would be at least 16 MB.
    assert!(great <= low + (512 << 10), "{great} bytes, and {low} with low ids");
}

fn ten_times_the_events_take_no_more_memory() {
    let (few, few_bytes) = cost(10_000);
    let (many, many_bytes) = cost(100_000);
    // Places in the index are all that grows, slots for durations that come up late, and sums of
    // what each thread did, up to twelve times 9 kB.
    assert!(many <= few + 200, "{many} blocks for 700,000 events, {few} for 70,000");
    assert!(many_bytes <= few_bytes + (300 << 10), "{many_bytes} bytes, and {few_bytes}");
}
