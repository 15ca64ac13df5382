//! The bridge to criterion: each benchmark that is profiled writes a trace to its folder.

mod common;

use common::alone;
use common::decoded::Decoded;
use criterion::Criterion;
use criterion::profiler::Profiler;
use exectrace_criterion::TraceProfiler;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Slow, because criterion runs it as often as it can.
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

/// The trace's path is a link, a FIFO without a reader, or a file that everybody may write.
#[test]
#[cfg(unix)]
fn the_trace_is_a_file_of_its_owner_alone_or_there_is_none() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let at = |name: &str| folder.path().join(name);
    let profile = |name: &str| {
        let mut profiler = TraceProfiler::new();
        profiler.start_profiling(name, &at(name));
        (0..20).for_each(|_| benchmarked());
        let is_traced = exectrace::is_enabled();
        profiler.stop_profiling(name, &at(name));
        is_traced
    };
    for name in ["linked", "fifo", "older"] {
        fs::create_dir(at(name)).expect("a name is free");
    }
    fs::write(at("victim"), "precious").expect("a name is free");
    symlink(at("victim"), at("linked/profile.trace")).expect("a name is free");
    assert!(!profile("linked"), "somebody else may have planted it");
    assert_eq!(fs::read_to_string(at("victim")).expect("it is there"), "precious");
    let made = std::process::Command::new("mkfifo").arg(at("fifo/profile.trace")).status();
    assert!(made.expect("every system has it").success());
    assert!(!profile("fifo"), "it would wait for a reader for ever");
    let older = at("older/profile.trace");
    fs::write(&older, "older").expect("a name is free");
    fs::set_permissions(&older, fs::Permissions::from_mode(0o666)).expect("it is ours");
    assert!(profile("older"));
    check(&older);
    let mode = older.metadata().expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read_dir(at("older")).expect("it is there").count(), 1, "nothing beside it");
}

/// Tells this program to run with a closed standard error.
const UNHEARD: &str = "EXECTRACE_TEST_UNHEARD";

#[test]
fn benchmarks_go_on_where_standard_error_is_closed() {
    const TEST: &str = "benchmarks_go_on_where_standard_error_is_closed";
    if std::env::var_os(UNHEARD).is_some() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let file = folder.path().join("file");
        fs::write(&file, "no folder").expect("a name is free");
        TraceProfiler::new().start_profiling("nowhere", &file);
        return;
    }
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = std::process::Command::new(program);
    // Without capturing, so that its messages reach the pipe.
    command.args([TEST, "--exact", "--nocapture"]).env(UNHEARD, "");
    let (reader, writer) = std::io::pipe().expect("there is one");
    drop(reader);
    let status = command.stderr(writer).status().expect("it can be started");
    assert!(status.success(), "{status}");
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
