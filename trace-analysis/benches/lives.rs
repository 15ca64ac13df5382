//! How fast lives of threads are found: events per second, states, wakers and groups included.
//!
//! `cargo bench -p trace-analysis --bench lives`. `locks` is four threads that hand one lock on,
//! with switches; `workers` is regions in four threads, with few waits and switches; `calls` is
//! short calls of a hundred files without switches, `files` of 61,000; `check` is what the command
//! of that name costs for `files`, and `explain` for `locks`; `regions` is a trace without either,
//! which costs what walking in the order of time costs.

#![allow(missing_docs, reason = "a bench has no readers of its docs")]

use std::sync::LazyLock;

use divan::Bencher;
use divan::counter::ItemsCount;
use trace_analysis::explain::explain;
use trace_analysis::life::Lives;
use trace_analysis::symbols::Symbols;
use trace_analysis::{Report, Summary, Trace, Wanted};
use trace_format::batch::Compression;
use trace_format::definition::ResourceKind;
use trace_format::event::EventKind;
use trace_format::id::{CallId, SiteId};
use trace_format::read::TraceFile;
use trace_format::testgen::{TraceBuilder, open_call, os_id, tight_loops};
use trace_format::value::Values;

const EVENTS: u64 = 2_000_000;
const CALLS_EVENTS: u64 = 10_000_000;
const FILES: u32 = 61_000;
const FILES_EVENTS: u64 = 1_000_000;

static LOCKS: LazyLock<Vec<u8>> = LazyLock::new(locks);
static CALLS: LazyLock<Vec<u8>> = LazyLock::new(calls);
static FILES_TRACE: LazyLock<Vec<u8>> = LazyLock::new(files);
static WORKERS: LazyLock<Vec<u8>> = LazyLock::new(workers);
static REGIONS: LazyLock<Vec<u8>> =
    LazyLock::new(|| tight_loops(4, EVENTS as u32 / 4, Compression::None));

fn started() -> TraceBuilder {
    let mut trace = TraceBuilder::started(Compression::None);
    (1..=4).for_each(|thread| trace.thread(thread, "t"));
    for stack in 1..=16 {
        let address = u64::from(stack) * 0x100;
        trace.stack(stack, &[address, address + 1]);
        trace.symbol(address, &[("std::sys::sync::mutex::futex::Mutex::lock_contended", "", 0)]);
        trace.symbol(address + 1, &[(&format!("app::f{stack}"), "src/app.rs", stack)]);
    }
    for file in 1..=100 {
        let kind = if file == 1 { ResourceKind::Address } else { ResourceKind::File };
        trace.resource(file, kind, u64::from(file), "");
    }
    trace
}

/// Four events a turn: a wait, going off and coming back, a wake.
fn locks() -> Vec<u8> {
    let mut trace = started();
    for turn in 0..EVENTS / 4 {
        let (thread, waker, now) =
            (1 + (turn % 4) as u32, 1 + ((turn + 1) % 4) as u32, turn * 10_000);
        let stack = 1 + (turn % 8) as u32;
        trace.call(thread, open_call(CallId::FUTEX_WAIT, 1, stack), now, 8_000, 0);
        trace.switch_out(thread, now + 500, os_id(thread), false);
        trace.call(waker, open_call(CallId::FUTEX_WAKE, 1, stack), now + 6_000, 500, 1);
        trace.switch_in(thread, now + 7_000, os_id(thread));
    }
    trace.stop(EVENTS * 10_000)
}

fn calls() -> Vec<u8> {
    let mut trace = started();
    for at in 0..CALLS_EVENTS {
        let (thread, stack, file) =
            (1 + (at % 4) as u32, 1 + (at % 16) as u32, 2 + (at % 99) as u32);
        let call = if at % 2 == 0 { CallId::READ } else { CallId::WRITE };
        trace.call(thread, open_call(call, file, stack), at * 1_000, 300 + at % 500, 64);
    }
    trace.stop(CALLS_EVENTS * 1_000)
}

/// Calls of more files than there are groups.
fn files() -> Vec<u8> {
    let mut trace = started();
    for file in 101..=FILES {
        let value = u64::from(file);
        trace.resource(file, ResourceKind::File, value, &format!("/data/{file}"));
    }
    for at in 0..FILES_EVENTS {
        let (thread, stack) = (1 + (at % 4) as u32, 1 + (at % 16) as u32);
        let file = 2 + (at % u64::from(FILES - 1)) as u32;
        trace.call(thread, open_call(CallId::READ, file, stack), at * 1_000, 300 + at % 500, 64);
    }
    trace.stop(FILES_EVENTS * 1_000)
}

/// Four workers: jobs of nested regions, each handed over by way of a channel for which the worker
/// waits now and then. 61 of 64 events are regions.
fn workers() -> Vec<u8> {
    let mut trace = started();
    for job in 0..EVENTS / 64 {
        let (thread, now) = (1 + (job % 4) as u32, job * 40_000);
        let stack = 1 + (job % 8) as u32;
        trace.switch_out(thread, now, os_id(thread), false);
        trace.switch_in(thread, now + 900, os_id(thread));
        trace.call(thread, open_call(CallId::FUTEX_WAIT, 1, stack), now - now.min(100), 1_100, 0);
        for part in 0..15 {
            let begin = now + 2_000 + part * 2_000;
            let site = SiteId(1);
            let values = Values::default();
            trace.event(thread, begin, EventKind::RegionBegin { site, values });
            trace.region(thread, 2, begin + 100, 300);
            trace.region(thread, 3, begin + 500, 1_000);
            trace.event(thread, begin + 1_700, EventKind::End);
        }
        trace.region(thread, 2, now + 35_000, 500);
    }
    trace.stop(EVENTS / 64 * 40_000 + 50_000)
}

fn main() {
    divan::main();
}

fn bench(bencher: Bencher<'_, '_>, events: u64, bytes: &'static [u8]) {
    let file = TraceFile::open(bytes).expect("it is a trace");
    let symbols = Symbols::of_trace(file.tables());
    bencher
        .counter(ItemsCount::new(events))
        .bench_local(|| Lives::read(&Trace::new(&file).named(&symbols), |_| {}));
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn locks_and_switches(bencher: Bencher<'_, '_>) {
    bench(bencher, EVENTS, &LOCKS);
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn workers_with_regions(bencher: Bencher<'_, '_>) {
    bench(bencher, EVENTS, &WORKERS);
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn short_calls(bencher: Bencher<'_, '_>) {
    bench(bencher, CALLS_EVENTS, &CALLS);
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn short_calls_of_many_files(bencher: Bencher<'_, '_>) {
    bench(bencher, FILES_EVENTS, &FILES_TRACE);
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn check_of_many_files(bencher: Bencher<'_, '_>) {
    let read = || {
        let file = TraceFile::open(FILES_TRACE.as_slice()).expect("it is a trace");
        Summary::read(&Trace::new(&file), |_| {})
    };
    bencher.counter(ItemsCount::new(FILES_EVENTS)).bench_local(read);
}

/// What the command wants is read, and then explained.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn explain_locks_and_switches(bencher: Bencher<'_, '_>) {
    let file = TraceFile::open(LOCKS.as_slice()).expect("it is a trace");
    let symbols = Symbols::of_trace(file.tables());
    let read = || {
        let trace = Trace::new(&file).named(&symbols);
        let wanted = Wanted { async_tasks: true, heap: true, ..Wanted::default() };
        explain(&trace, &Report::read(&trace, wanted, |_| {}))
    };
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(read);
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn regions_alone(bencher: Bencher<'_, '_>) {
    bench(bencher, EVENTS, &REGIONS);
}
