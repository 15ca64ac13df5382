//! What `exectrace heap` says of a program whose allocations are known.

use crate::common::{Bench, check, json};
use trace_format::batch::Compression;
use trace_format::testgen::TraceBuilder;

const MS: u64 = 1_000_000;
const MEAN: u64 = 524_288;

/// One line of the program allocates on two ways, and frees it all before the end.
fn freed() -> Vec<u8> {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(1, "main");
    trace.symbol(0x10, &[("app::count", "/app/src/count.rs", 10)]);
    trace.symbol(0x20, &[("app::early", "/app/src/main.rs", 20)]);
    trace.symbol(0x30, &[("app::late", "/app/src/main.rs", 30)]);
    trace.stack(1, &[0x10, 0x20]);
    trace.stack(2, &[0x10, 0x30]);
    for (at, sample) in (1..=8).map(|at| (at * 10 * MS, at)) {
        trace.alloc(1, at, sample, MEAN, 1 + sample as u32 % 2);
        trace.heap(at + MS, (sample * MEAN, sample), (sample * MEAN, sample));
    }
    (1..=8).for_each(|sample| trace.free(1, 90 * MS, sample));
    trace.heap(95 * MS, (0, 0), (8 * MEAN, 8));
    trace.stop(100 * MS)
}

#[test]
fn one_line_of_code_is_one_row_however_many_ways_lead_to_it() {
    let bench = Bench::new(&freed());
    let run = bench.run("heap FILE --at 85ms");
    check(&run, &["By place, estimated from 8 samples", "app::count", "count.rs:10", "100%"]);
    assert_eq!(run.out.matches("count.rs:10").count(), 1, "{}", run.out);
    let whole = bench.run("heap FILE --at 85ms --stacks");
    check(&whole, &["By stack", "app::early (/app/src/main.rs:20)", "app::late"]);
    let stacks = &json(&bench.run("heap FILE --at 85ms --json"))["stacks"];
    assert_eq!(stacks.as_array().map(Vec::len), Some(2));
}

#[test]
fn if_nothing_lives_at_the_end_the_moment_is_shown_when_most_lived() {
    let bench = Bench::new(&freed());
    let run = bench.run("heap FILE");
    let told = "nothing that was sampled lives at the end: this is when most lived (for the end: \
                --at end)";
    check(&run, &[told, "4.19 MB live in 8 allocations, at 0.081000000 s", "app::count"]);
    let peak = bench.run("heap FILE --at peak");
    assert_eq!(run.out.split_once('\n').expect("a line").1, peak.out);
    check(&bench.run("heap FILE --at end"), &["0 B live in 0 allocations, at 0.095000000 s"]);
    assert_eq!(json(&bench.run("heap FILE --json"))["at_ns"], 81 * MS);
    let beyond = bench.run("heap FILE --from 200ms");
    assert_eq!(beyond.err, "exectrace: nothing in this window; the trace is 100 ms long\n");
    let late = bench.run("heap FILE --at 101ms");
    let said =
        "exectrace: nothing was recorded that late: this is the end; the trace is 100 ms long\n";
    assert_eq!((late.code, late.err.as_str()), (Some(0), said));
    assert_eq!(late.out, bench.run("heap FILE --at end").out);
    let wrong = bench.run("heap FILE --at noon");
    assert_eq!((wrong.code, wrong.err.lines().count()), (Some(2), 1), "{}", wrong.err);
}

/// Grows to 3 MB between two snapshots, of which the recorder knows the peak; then allocates on.
fn burst() -> Vec<u8> {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(1, "main");
    trace.symbol(0x10, &[("app::burst", "/app/src/burst.rs", 10)]);
    trace.symbol(0x20, &[("app::after", "/app/src/after.rs", 20)]);
    trace.stack(1, &[0x10]);
    trace.stack(2, &[0x20]);
    trace.heap(10 * MS, (0, 0), (0, 0));
    (1..=6).for_each(|sample| trace.alloc(1, 20 * MS, sample, MEAN, 1));
    trace.heap(25 * MS, (6 * MEAN, 6), (6 * MEAN, 6));
    (1..=6).for_each(|sample| trace.free(1, 30 * MS, sample));
    trace.heap(40 * MS, (0, 0), (6 * MEAN, 6));
    for sample in 7..=16 {
        trace.alloc(1, (40 + sample) * MS, sample, 10 * MEAN, 2);
        trace.free(1, (40 + sample) * MS + 1, sample);
    }
    trace.heap(90 * MS, (0, 0), (106 * MEAN, 16));
    trace.stop(100 * MS)
}

#[test]
fn a_burst_is_shown_at_its_peak_and_allocation_to_the_end() {
    let bench = Bench::new(&burst());
    let run = bench.run("heap FILE");
    let most = "at most 3.15 MB at 0.025000000 s";
    check(&run, &["3.15 MB live in 6 allocations, at 0.025000000 s", most]);
    check(&run, &["allocated 55.6 MB in 16 allocations"]);
    let row = |name: &str| run.out.lines().find(|line| line.contains(name)).expect("a row");
    assert!(row("app::burst").contains("3.15 MB"), "no more than lived: {}", run.out);
    assert!(row("app::after").contains("52.4 MB"), "allocated after the peak: {}", run.out);
    // Six samples that stand for half as much again.
    check(&run, &["too few samples: those that live stand for 4.98 MB"]);
    check(&bench.run("heap FILE --at end"), &["0 B live in 0 allocations", most]);
    assert_eq!(json(&bench.run("heap FILE --json"))["to_ns"], 100 * MS);
}

/// Counted three times: 1 MB, 3 MB and 2 MB live, 1 MB, 5 MB and 6 MB allocated.
fn counted(samples: u64) -> Vec<u8> {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(1, "main");
    trace.symbol(0x10, &[("app::keep", "/app/src/keep.rs", 10)]);
    trace.stack(1, &[0x10]);
    trace.heap(10 * MS, (1_000_000, 10), (1_000_000, 10));
    (0..samples).for_each(|sample| trace.alloc(1, 22 * MS, sample, 1_000_000, 1));
    trace.heap(30 * MS, (3_000_000, 30), (5_000_000, 50));
    trace.heap(50 * MS, (2_000_000, 20), (6_000_000, 60));
    trace.stop(60 * MS)
}

#[test]
fn a_window_begins_with_what_was_counted_last_before_it() {
    let bench = Bench::new(&counted(1));
    let run = bench.run("heap FILE --from 20ms");
    check(
        &run,
        &[
            "at most 3.00 MB at 0.030000000 s, +1.00 MB since 0.010000000 s",
            "allocated 5.00 MB in 50 allocations (125 MB/s, 1,250/s) from 0.010000000 s to \
             0.050000000 s",
        ],
    );
    for (from, first, grown, allocated) in [
        ("5ms", 10, 1_000_000, 5_000_000),
        ("10ms", 10, 1_000_000, 5_000_000),
        ("29ms", 10, 1_000_000, 5_000_000),
        ("30ms", 30, -1_000_000, 1_000_000),
        ("49ms", 30, -1_000_000, 1_000_000),
    ] {
        let counters = &json(&bench.run(&format!("heap FILE --json --from {from}")))["counters"];
        assert_eq!(counters["first"]["at_ns"], first * MS, "{from}");
        assert_eq!(counters["grown_bytes"], grown, "{from}");
        assert_eq!(counters["allocated_bytes"], allocated, "{from}");
        assert_eq!(counters["most"]["live_bytes"], 3_000_000, "it lives when the window begins");
    }
    let late = &json(&bench.run("heap FILE --json --from 35ms --at peak"));
    assert_eq!(late["at_ns"], 35 * MS, "no moment before the window is looked at");
}

#[test]
fn between_two_counts_both_are_said_and_the_estimate() {
    let bench = Bench::new(&counted(1));
    let run = bench.run("heap FILE --at 40ms");
    // A sample of 1 MB stands for 1 / (1 - exp(-1,000,000 / 524,288)) times as much.
    let title = "3.00 MB live in 30 allocations, at 0.030000000 s; 2.00 MB in 20 allocations, at \
                 0.050000000 s; about 1.17 MB at 0.040000000 s\n";
    check(&run, &[title]);
    assert!(!run.out.contains(" since "), "of until when? {}", run.out);
    let counters = &json(&bench.run("heap FILE --at 40ms --json"))["counters"];
    assert_eq!(counters["next"]["at_ns"], 50 * MS);
    let exact = bench.run("heap FILE --at 30ms");
    check(&exact, &["3.00 MB live in 30 allocations, at 0.030000000 s\n", "+2.00 MB since 0.01"]);
    let counters = &json(&bench.run("heap FILE --at 30ms --json"))["counters"];
    assert!(counters["next"].is_null(), "{counters}");
}

#[test]
fn without_a_sample_the_end_is_shown_and_how_to_get_some() {
    let bench = Bench::new(&counted(0));
    let run = bench.run("heap FILE");
    let more = "no allocation was sampled (one in 524 kB): record with `heap_sample=4K`";
    check(&run, &["2.00 MB live in 20 allocations, at 0.050000000 s\n", more]);
    assert!(!run.out.contains("when most lived"), "{}", run.out);
    assert_eq!(json(&bench.run("heap FILE --json"))["is_peak_instead"], false);
}

#[test]
fn the_end_is_no_other_moment_when_most_lived() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(1, "main");
    trace.alloc(1, 10 * MS, 1, MEAN, 0);
    trace.free(1, 20 * MS, 1);
    trace.heap(30 * MS, (1_000, 1), (1_000, 1));
    trace.heap(90 * MS, (2_000, 2), (2_000, 2));
    let answer = json(&Bench::new(&trace.stop(100 * MS)).run("heap FILE --json"));
    assert_eq!((&answer["is_peak_instead"], &answer["at_ns"]), (&false.into(), &(100 * MS).into()));
}

#[test]
fn growth_is_explained_from_what_lived_when_the_window_began() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(1, "main");
    for count in 1..=8 {
        let size = count * 10_000_000;
        trace.heap(count * 10 * MS, (size, count), (size, count));
    }
    let run = Bench::new(&trace.stop(80 * MS)).run("explain FILE --from 15ms");
    check(&run, &["The heap grew by 70.0 MB in 70.0 ms, from 10.0 MB to 80.0 MB"]);
}
