//! How fast a trace is summed up: events per second, checksums, decoding and histograms included.
//!
//! `cargo bench -p trace-analysis`. `leaves` is the case of the goal, tight loops of short
//! regions; `nested` has a begin, two leaves and an end in turn, with arguments on the begin.

#![allow(missing_docs, reason = "a bench has no readers of its docs")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::sync::LazyLock;

use common::Builder;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use trace_analysis::{Options, Summary, Trace};
use trace_format::batch::Compression;
use trace_format::definition::CallsiteKind;
use trace_format::read::TraceFile;
use trace_format::testgen::tight_loops;
use trace_format::value::Value;

const EVENTS: u64 = 8_000_000;

static LEAVES: LazyLock<Vec<u8>> =
    LazyLock::new(|| tight_loops(4, EVENTS as u32 / 4, Compression::None));
static NESTED: LazyLock<Vec<u8>> = LazyLock::new(nested);

fn nested() -> Vec<u8> {
    let mut trace = Builder::new();
    for site in 1..=8 {
        trace.site(site, CallsiteKind::Function, &format!("app::f{site}"), &["n"]);
    }
    let mut random = 1_u64;
    for at in 0..EVENTS / 4 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (thread, now, noise) = (1 + (at / 1000 % 4) as u32, at * 1000, random >> 56);
        trace.begin(thread, now, 1 + (at % 4) as u32, &[Value::U64(at)]);
        trace.region(thread, now + 10, 5 + (at % 2) as u32, 50 + noise);
        trace.region(thread, now + 400, 7 + (at % 2) as u32, 20 + noise);
        trace.end(thread, now + 700 + noise);
    }
    trace.stop(EVENTS * 1000)
}

fn main() {
    divan::main();
}

fn bench(bencher: Bencher<'_, '_>, bytes: &'static [u8], workers: usize) {
    let file = TraceFile::open(bytes).expect("it is a trace");
    let trace = Trace::new(&file).with(Options { workers, ..Options::default() });
    let bencher = bencher.counter(ItemsCount::new(EVENTS)).counter(BytesCount::new(bytes.len()));
    bencher.bench_local(|| {
        let summary = Summary::read(&trace, |_| {});
        assert_eq!(summary.events / 1000, EVENTS / 1000);
        summary
    });
}

#[divan::bench(args = [1, 2], sample_count = 20, sample_size = 1)]
fn leaves(bencher: Bencher<'_, '_>, workers: usize) {
    bench(bencher, &LEAVES, workers);
}

#[divan::bench(args = [1, 2], sample_count = 20, sample_size = 1)]
fn nested_regions(bencher: Bencher<'_, '_>, workers: usize) {
    bench(bencher, &NESTED, workers);
}
