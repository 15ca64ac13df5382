//! How fast async tasks are followed: events per second, await points, wakers and delays included.
//!
//! `cargo bench -p trace-analysis --bench async_tasks`. `messages` is a thousand tasks that wake
//! each other; `short_lives` is tasks that come, are polled once, and end; `regions` is a trace
//! without futures, which costs what walking in the order of time costs.

#![allow(missing_docs, reason = "a bench has no readers of its docs")]

use std::sync::LazyLock;

use divan::Bencher;
use divan::counter::ItemsCount;
use trace_analysis::Trace;
use trace_analysis::async_tasks::AsyncTasks;
use trace_analysis::symbols::Symbols;
use trace_format::batch::Compression;
use trace_format::definition::CallsiteKind;
use trace_format::event::{EventKind, Outcome};
use trace_format::id::{FutureId, SiteId, StackId, TaskId};
use trace_format::read::TraceFile;
use trace_format::testgen::{TraceBuilder, tight_loops};
use trace_format::time::Ticks;
use trace_format::value::Values;

const EVENTS: u64 = 2_000_000;
const TASKS: u64 = 1_000;

static MESSAGES: LazyLock<Vec<u8>> = LazyLock::new(messages);
static SHORT_LIVES: LazyLock<Vec<u8>> = LazyLock::new(short_lives);
static REGIONS: LazyLock<Vec<u8>> =
    LazyLock::new(|| tight_loops(4, EVENTS as u32 / 4, Compression::None));

fn started() -> TraceBuilder {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.callsite(1, CallsiteKind::Future, "task");
    (1..=4).for_each(|thread| trace.thread(thread, "t"));
    for stack in 1..=16 {
        let address = u64::from(stack) * 0x100;
        trace.stack(stack, &[address, address + 1]);
        trace.symbol(address, &[("tokio::sync::mutex::Mutex::lock", "", 0)]);
        trace.symbol(address + 1, &[(&format!("app::f{stack}"), "src/app.rs", stack)]);
    }
    trace
}

fn spawn(trace: &mut TraceBuilder, thread: u32, at: u64, future: u64) {
    let (future, site, stack) = (FutureId(future), SiteId(1), StackId(0));
    let (parent, task) = (FutureId(0), TaskId(0));
    trace.event(thread, at, EventKind::FutureSpawn { future, parent, task, site, stack });
}

fn poll(trace: &mut TraceBuilder, thread: u32, at: u64, future: u64) {
    let (future, waits_at) = (FutureId(future), StackId(1 + (at % 16) as u32));
    trace.event(thread, at, EventKind::Poll { future, waits_at, duration: Ticks(500) });
}

/// Two events a turn: a poll, and the wake of another.
fn messages() -> Vec<u8> {
    let mut trace = started();
    (1..=TASKS).for_each(|future| spawn(&mut trace, 1, future, future));
    for turn in 0..EVENTS / 2 {
        let (thread, now) = (1 + (turn % 4) as u32, TASKS + turn * 1_000);
        poll(&mut trace, thread, now, 1 + turn % TASKS);
        let future = FutureId(1 + (turn + 7) % TASKS);
        let stack = StackId(1 + (turn % 16) as u32);
        trace.event(thread, now + 600, EventKind::Wake { future, stack });
    }
    trace.stop(EVENTS * 1_000)
}

/// Three events a turn: a spawn, a poll, an end.
fn short_lives() -> Vec<u8> {
    let mut trace = started();
    for turn in 0..EVENTS / 3 {
        let (thread, now) = (1 + (turn % 4) as u32, turn * 1_000);
        spawn(&mut trace, thread, now, 1 + turn);
        poll(&mut trace, thread, now + 100, 1 + turn);
        let (future, values) = (FutureId(1 + turn), Values::new(&[]));
        let outcome = Outcome::Returned;
        trace.event(thread, now + 600, EventKind::FutureEnd { future, outcome, values });
    }
    trace.stop(EVENTS * 1_000)
}

fn main() {
    divan::main();
}

fn bench(bencher: Bencher<'_, '_>, bytes: &'static [u8]) {
    let file = TraceFile::open(bytes).expect("it is a trace");
    let symbols = Symbols::of_trace(file.tables());
    bencher
        .counter(ItemsCount::new(EVENTS))
        .bench_local(|| AsyncTasks::read(&Trace::new(&file).named(&symbols), |_| {}));
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn tasks_that_wake_each_other(bencher: Bencher<'_, '_>) {
    bench(bencher, &MESSAGES);
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn tasks_that_come_and_go(bencher: Bencher<'_, '_>) {
    bench(bencher, &SHORT_LIVES);
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn regions_alone(bencher: Bencher<'_, '_>) {
    bench(bencher, &REGIONS);
}
