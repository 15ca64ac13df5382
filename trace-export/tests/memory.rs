//! The memory that an export takes: none per event, and no more for huge ids.

use std::io::sink;

use trace_analysis::symbols::Symbols;
use trace_export::perfetto::export;
use trace_format::batch::Compression;
use trace_format::definition::{CallsiteKind, ResourceKind};
use trace_format::event::{EventKind, Outcome};
use trace_format::id::{CallId, FutureId, SiteId, StackId, TaskId};
use trace_format::read::TraceFile;
use trace_format::testgen::{TraceBuilder, open_call, os_id};
use trace_format::time::Ticks;
use trace_format::value::{Text, Values};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// Peak memory in bytes, from opening a trace to the end of its export.
fn cost(bytes: &[u8]) -> usize {
    let _profiler = dhat::Profiler::builder().testing().build();
    let file = TraceFile::open(bytes).expect("a trace");
    assert!(file.faults().is_empty());
    let symbols = Symbols::of_trace(file.tables());
    let totals = export(&file, &symbols, &mut sink(), |_| {}).expect("a sink takes everything");
    assert!(totals.drawn.slices > 0);
    dhat::HeapStats::get().max_bytes
}

/// Number of things of each kind in a trace of [`of_ids`].
const IDS: u64 = 200;

/// A trace with everything that has an id, many times, with small or with huge ids.
fn of_ids(are_great: bool) -> Vec<u8> {
    let id = |n: u64, greatest: u64| if are_great { greatest - n } else { n };
    let mut trace = TraceBuilder::started(Compression::None);
    for n in 1..=IDS {
        let at = n * 10_000;
        let site = id(n, u64::from(u16::MAX)) as u32;
        let thread = id(n, (1 << 31) - 1) as u32;
        let [stack, resource] = [id(n, (1 << 24) - 1) as u32; 2];
        trace.callsite(site, CallsiteKind::Future, "work");
        trace.thread(thread, "t");
        trace.stack(stack, &[0x10_0000 + n]);
        trace.resource(resource, ResourceKind::Address, n, "");
        trace.switch_in(id(n, 4_000) as u32, at, os_id(thread));
        let (task, future) = (TaskId(id(n, u64::MAX)), FutureId(id(n, u64::MAX >> 2)));
        let (parent, name) = (TaskId(0), Text::cut(b"job", 256));
        trace.event(thread, at, EventKind::TaskBegin { task, parent, name });
        let (values, spawned_at) = (Values::new(&[]), SiteId(site));
        let begin = EventKind::FutureBegin { future, task, site: spawned_at, values };
        trace.event(thread, at + 10, begin);
        let waits_at = StackId(stack);
        trace.event(thread, at + 20, EventKind::Poll { future, waits_at, duration: Ticks(100) });
        trace.call(thread, open_call(CallId::FUTEX_WAIT, resource, stack), at + 200, 300, 0);
        trace.region(thread, site, at + 600, 50);
        let outcome = Outcome::Returned;
        trace.event(thread, at + 700, EventKind::FutureEnd { future, outcome, values });
        trace.event(thread, at + 800, EventKind::TaskEnd { task });
    }
    trace.stop((IDS + 1) * 10_000)
}

/// A thread with `count` regions, polls and calls.
fn of_events(count: u64) -> Vec<u8> {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.callsite(1, CallsiteKind::Region, "work");
    trace.thread(1, "main");
    for n in 0..count {
        let at = n * 1_000;
        trace.begin(1, 1, at);
        trace.call(1, open_call(CallId::READ, 0, 0), at + 100, 50, 1);
        trace.end(1, at + 500);
    }
    trace.stop(count * 1_000)
}

#[test]
fn memory_follows_the_contents_and_not_their_numbers() {
    let (low, great) = (cost(&of_ids(false)), cost(&of_ids(true)));
    // What threads did in regions is in an array by call site, of at most 65,536 entries of 64
    // bytes. A list of anything else by id would take at least 16 MB.
    assert!(great <= low + (6 << 20), "{great} bytes, and {low} with low ids");
    let (few, many) = (cost(&of_events(10_000)), cost(&of_events(100_000)));
    // Only the list of batches grows.
    assert!(many <= few + (200 << 10), "{many} bytes for 300,000 events, {few} for 30,000");
}
