//! A part of a trace: which threads can be asked for.

mod common;

use common::{Bench, Run, command};
use trace_format::batch::Compression;
use trace_format::definition::CallsiteKind;
use trace_format::testgen::TraceBuilder;

fn run(bench: &Bench, words: &[&str]) -> Run {
    let mut command = command();
    Run::new(&command.args(words).arg(bench.path("a.trace")).output().expect("it runs"))
}

#[test]
fn a_thread_that_the_trace_does_not_describe_can_be_asked_for() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.callsite(1, CallsiteKind::Region, "work");
    trace.thread(1, "main");
    trace.region(1, 1, 1_000, 100);
    trace.region(7, 1, 2_000, 100);
    // Its process was killed before it could describe the other thread.
    let bench = Bench::new(&trace.killed());
    let all = bench.run("threads FILE").out;
    assert!(all.contains("main") && all.contains("thread 7"), "{all}");
    for name in ["thread 7", "#7", "7"] {
        let run = run(&bench, &["threads", "--thread", name]);
        assert!(run.out.contains("thread 7") && !run.out.contains("main"), "{name}: {}", run.out);
        assert_eq!(run.code, Some(1), "{name}: {}", run.err);
    }
    let other = run(&bench, &["threads", "--thread", "thread 8"]);
    let said = "exectrace: no thread `thread 8` in the trace; there are main, thread 7\n";
    assert_eq!((other.code, other.err.as_str()), (Some(2), said));
}

#[test]
fn of_a_trace_without_threads_none_is_named() {
    let bench = Bench::new(&TraceBuilder::started(Compression::None).stop(1_000_000));
    let said = "exectrace: no thread `main` in the trace; there are none\n";
    assert_eq!(bench.run("threads FILE --thread main").err, said);
}
