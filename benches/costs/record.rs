//! What each annotation costs the program's thread.

use crate::floor::{Floors, Table, floor, median, time};
use criterion::Criterion;
use exectrace::{Task, Trace, counter, instant, log, traced};
use std::hint::black_box;
use std::sync::Barrier;

#[inline(never)]
fn plain() {
    black_box(());
}

#[traced]
#[inline(never)]
fn leaf() {
    black_box(());
}

#[traced]
#[inline(never)]
fn middle() {
    leaf();
}

#[traced]
#[inline(never)]
fn outer() {
    middle();
}

#[traced(args(a, b))]
#[inline(never)]
fn two_integers(a: u64, b: u32) {
    black_box((a, b));
}

#[traced(args(text))]
#[inline(never)]
fn one_text(text: &str) {
    black_box(text);
}

#[traced(min = "1ms")]
#[inline(never)]
fn forgotten() {
    black_box(());
}

/// Starts a trace to a temporary file, which disappears with the program.
pub(crate) fn start() -> Trace {
    let file = tempfile::tempfile().expect("there is a folder for temporary files");
    exectrace::start_with(crate::annotated(), file).expect("no trace is running")
}

pub(crate) fn measure(criterion: &mut Criterion<Floors>, table: &mut Table) {
    off(table);
    regions(criterion, table);
    others(criterion, table);
    two_threads(table);
    bytes(table);
}

/// Regions, with a trace to a file.
fn regions(criterion: &mut Criterion<Floors>, table: &mut Table) {
    let trace = start();
    table.ratio(criterion, "region, recording", "<= 1.15", 1, leaf);
    table.ratio(criterion, "region, 3 nested, each", "", 3, outer);
    table.ratio(criterion, "region, two integer arguments", "<= 1.5", 1, || {
        two_integers(black_box(12_345), black_box(7));
    });
    table.ratio(criterion, "region under its threshold", "", 1, forgotten);
    let report = trace.stop().expect("a temporary file takes it");
    table.row("dropped in the rows above", &report.dropped_events.to_string(), "0", "events");
}

/// Other annotations, with a trace to a sink: at this rate texts are more than a disk takes.
fn others(criterion: &mut Criterion<Floors>, table: &mut Table) {
    let trace =
        exectrace::start_with(crate::annotated(), std::io::sink()).expect("no trace is running");
    table.ratio(criterion, "region, a text of 20 bytes", "", 1, || {
        one_text(black_box("/usr/share/some/file"));
    });
    table.ratio(criterion, "instant!, one integer", "", 1, || instant!("moment", n = 7));
    table.ratio(criterion, "counter!", "", 1, || counter!("queue", black_box(7)));
    table.ratio(criterion, "log!, no arguments", "", 1, || log!("net", "connected"));
    let task = Task::new("request");
    table.ratio(criterion, "task, enter and leave", "", 1, || drop(task.enter()));
    table.ratio(criterion, "task, begin and end", "", 1, || Task::new("request").end());
    let report = trace.stop().expect("nothing can't fail");
    table.row("dropped in the rows above", &report.dropped_events.to_string(), "", "events");
}

/// Annotations that are compiled in, while no trace runs.
fn off(table: &mut Table) {
    const RUNS: u64 = 1_000_000;
    let rounds = (0..41).map(|_| (time(RUNS, plain), time(RUNS, leaf)));
    let costs = rounds.map(|(plain, leaf)| (leaf - plain) / RUNS as f64);
    let cost = median(costs);
    table.row(
        "region, compiled in, not started",
        &format!("{cost:.2} ns"),
        "<= 1 ns",
        "above an empty call",
    );
}

/// Two threads at once, each against its own floor.
fn two_threads(table: &mut Table) {
    const RUNS: u64 = 20_000;
    let trace = start();
    let barrier = Barrier::new(2);
    let work = || {
        barrier.wait();
        let rounds = (0..200).map(|_| (time(RUNS, floor), time(RUNS, leaf)));
        median(rounds.map(|(floor, leaf)| leaf / floor))
    };
    let ratios =
        std::thread::scope(|scope| [scope.spawn(work), scope.spawn(work)].map(|t| t.join()));
    let worst = ratios.into_iter().map(|ratio| ratio.expect("no panic")).fold(0.0, f64::max);
    let report = trace.stop().expect("a temporary file takes it");
    let dropped = format!("the slower thread; {} dropped", report.dropped_events);
    table.row("region, two threads, each", &format!("{worst:.2} x floor"), "<= 1.25", &dropped);
}

/// The size of a region in a trace.
fn bytes(table: &mut Table) {
    const RUNS: u64 = 1_000_000;
    let trace = start();
    time(RUNS, leaf);
    let report = trace.stop().expect("a temporary file takes it");
    let each = report.bytes as f64 / RUNS as f64;
    table.row("bytes per region, tight loop", &format!("{each:.2} bytes"), "<= 5", "whole file");
}
