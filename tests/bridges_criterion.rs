//! The bridge to criterion: each benchmark that is profiled leaves a trace in its folder.

mod common;

use common::alone;
use common::decoded::Decoded;
use criterion::Criterion;
use criterion::profiler::Profiler;
use exectrace::criterion::TraceProfiler;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Slow, for criterion runs it as often as it can.
#[exectrace::traced]
fn benchmarked() {
    std::thread::sleep(Duration::from_micros(100));
}

fn check(path: &Path) {
    let trace = Decoded::new(&fs::read(path).expect("it was written"));
    assert!(trace.complete, "it was stopped");
    assert!(trace.tables.callsites.iter().any(|site| site.name == "benchmarked"));
    assert!(trace.events_told() > 10, "{} events", trace.events_told());
}

#[test]
fn each_benchmark_that_is_profiled_has_a_trace() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut criterion = Criterion::default()
        .with_profiler(TraceProfiler::new())
        .output_directory(folder.path())
        .profile_time(Some(Duration::from_millis(50)));
    for name in ["first", "second"] {
        criterion.bench_function(name, |bencher| bencher.iter(benchmarked));
    }
    for name in ["first", "second"] {
        check(&folder.path().join(name).join("profile/profile.trace"));
    }
}

#[test]
fn a_trace_that_runs_already_is_left_alone() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let running = exectrace::start(std::io::sink()).expect("none runs");
    let mut profiler = TraceProfiler::new();
    profiler.start_profiling("late", folder.path());
    profiler.stop_profiling("late", folder.path());
    assert!(exectrace::is_enabled(), "it runs on");
    running.stop().expect("a sink takes everything");
}
