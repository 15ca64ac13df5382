//! What the commands say of a process that was stopped: all of them the same, and none that it
//! slept.

use crate::common::{Bench, check, json};
use serde_json::Value;
use trace_format::batch::Compression;
use trace_format::definition::Definition;
use trace_format::id::CallId;
use trace_format::testgen::{TraceBuilder, open_call, os_id};
use trace_format::time::{Nanos, Ticks};

const MS: u64 = 1_000_000;

/// A thread sleeps for 10 ms, in the middle of which it is stopped for a second.
fn bench() -> Bench {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(1, "main");
    trace.switch_in(0, 0, os_id(1));
    trace.call(1, open_call(CallId::NANOSLEEP, 0, 0), 40 * MS, 1_005 * MS, 0);
    trace.switch_out(0, 40 * MS, os_id(1), false);
    trace.switch_in(0, 45 * MS, os_id(1));
    trace.switch_out(0, 45 * MS, os_id(1), false);
    trace.switch_in(0, 1_045 * MS, os_id(1));
    let (from, to) = (Ticks(60 * MS), Ticks(1_045 * MS));
    trace.define(&Definition::Stopped { from, to, suspended: Nanos(0) });
    Bench::new(&trace.stop(1_100 * MS))
}

#[test]
fn every_command_says_that_the_process_was_stopped() {
    let bench = bench();
    let line = "the whole process stood still from 0.045000000 s to 1.045000000 s, for 1.00 s";
    for command in ["summary FILE", "threads FILE", "blocked FILE"] {
        let run = bench.run(command);
        let text = run.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(line), "{command}: {}", run.out);
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    }
    check(&bench.run("threads FILE"), &["stopped", "1.00 s 90.9%"]);
    check(&bench.run("explain FILE"), &["1. The whole process stood still from 0.045000 s"]);
    check(&bench.run("blocked FILE"), &["5.00 ms  sleep"]);
}

#[test]
fn programs_are_told_the_same() {
    let bench = bench();
    let stop = serde_json::json!([
        {
            "from_ns": 45 * MS, "to_ns": 1_045 * MS, "duration_ns": 1_000 * MS, "suspended_ns": 0
        }
    ]);
    assert_eq!(json(&bench.run("blocked FILE --json"))["standstills"], stop);
    let answer = json(&bench.run("threads FILE --json"));
    assert_eq!(answer["lives"]["standstills"], stop);
    let main = &answer["lives"]["threads"][0];
    assert_eq!(main["stopped_ns"], 1_000 * MS);
    assert_eq!(main["blocked"]["sleep"], 5 * MS);
    let insights = json(&bench.run("explain FILE --json"));
    assert_eq!(insights["insights"][0]["kind"], "stopped", "{insights}");
    assert_ne!(insights["insights"], Value::Null);
}
