//! What commands say where there is nothing: that the window lies beyond the trace, or why nothing
//! was recorded; nothing is blamed on the build that it did not cause.

use crate::common;
use crate::common::{Bench, convoy, server};
use trace_format::batch::Compression;
use trace_format::definition::CallsiteKind;
use trace_format::id::CallId;
use trace_format::testgen::{TraceBuilder, open_call};

#[test]
fn a_window_beyond_the_end_is_told_with_the_trace_s_length() {
    for trace in [convoy::convoy(), server::server()] {
        let bench = Bench::new(&trace);
        for verb in [
            "summary", "explain", "events", "regions", "tasks", "threads", "blocked", "syscalls",
            "async", "check", "tests",
        ] {
            for json in ["", " --json"] {
                let run = bench.run(&format!("{verb} FILE --from 100s{json}"));
                assert_eq!(run.code, Some(0), "{verb}: {}{}", run.out, run.err);
                let said = run.err.contains("nothing in this window; the trace is ");
                assert!(said, "{verb}{json}: {}", run.err);
                let is_blamed = run.err.contains("the feature") || run.err.contains("without");
                let has_any = verb != "async" || trace == server::server();
                assert!(!is_blamed || !has_any, "{verb}: {}", run.err);
            }
        }
        let run = bench.run("async FILE --from 100s");
        assert_eq!(run.err.contains("were they spawned"), trace != server::server(), "{}", run.err);
    }
}

#[test]
fn events_that_show_what_is_open_are_not_nothing() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(1, "main");
    trace.callsite(1, CallsiteKind::Region, "work");
    trace.begin(1, 1, 1_000);
    let bench = Bench::new(&trace.stop(1_000_000));
    let run = bench.run("events FILE --from 500us --top 1");
    assert!(run.out.contains("open since"), "{}{}", run.out, run.err);
    assert_eq!(run.err, "");
}

#[test]
fn calls_that_are_open_all_the_time_are_shown() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(1, "main");
    trace.begin_call(1, open_call(CallId::FUTEX_WAIT, 0, 0), 1_000);
    let bench = Bench::new(&trace.stop(1_000_000));
    let run = bench.run("syscalls FILE --from 500us");
    common::check(
        &run,
        &[
            "0 calls and 1 that had not ended, 500 µs in them, of all threads\n",
            "futex_wait      0     1  500 µs    -    -    -\n",
        ],
    );
    let calls = &common::json(&bench.run("syscalls FILE --from 500us --json"))["calls"];
    assert_eq!((&calls["count"], &calls["open"]), (&0.into(), &1.into()));
}

#[test]
fn a_part_of_the_recorder_that_was_at_work_is_not_said_to_be_missing() {
    let said = |facility: Option<(bool, &str)>, verb: &str| {
        let mut trace = TraceBuilder::started(Compression::None);
        trace.thread(1, "main");
        trace.callsite(1, CallsiteKind::Region, "work");
        trace.region(1, 1, 1_000, 100);
        for name in ["os", "heap"] {
            facility.into_iter().for_each(|(on, note)| trace.facility(name, on, note));
        }
        let run = Bench::new(&trace.stop(1_000_000)).run(&format!("{verb} FILE"));
        assert_eq!((run.code, run.out.as_str()), (Some(0), ""), "{verb}: {}", run.err);
        run.err
    };
    for (verb, what, name) in [
        ("blocked", "no waits here", "os"),
        ("syscalls", "no calls here", "os"),
        ("heap", "nothing about the heap", "heap"),
    ] {
        let nothing = format!("exectrace: the trace has {what}");
        assert_eq!(said(Some((true, "")), verb), format!("{nothing}\n"));
        let off = format!("{nothing}; `{name}` was off: not asked for\n");
        assert_eq!(said(Some((false, "not asked for")), verb), off);
        let absent = format!("{nothing}; it was recorded without `{name}`\n");
        assert_eq!(said(None, verb), absent);
    }
}
