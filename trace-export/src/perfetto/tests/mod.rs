//! Whole exports: a trace made by hand, exported, decoded, compared line by line.
//!
//! - `picture`: an exported file as text.
//! - `life`: calls, wakes, switches, samples, stacks, the heap.
//! - `futures`: async tasks, what they do, who spawned and woke them.
//! - `damage`: traces that are damaged, cut or odd.
//!
//! Long, because each test states the whole picture that it expects.

mod damage;
mod futures;
mod life;
mod picture;

use trace_analysis::symbols::Symbols;
use trace_format::batch::Compression;
use trace_format::definition::{ArgumentKind, CallsiteKind, Definition};
use trace_format::event::{EventKind, Outcome};
use trace_format::id::{FutureId, Open, SiteId, StackId, TaskId};
use trace_format::read::TraceFile;
use trace_format::testgen::{TraceBuilder, value_bytes};
use trace_format::time::{Nanos, Ticks};
use trace_format::value::{Text, Value, Values};

use super::export;
use crate::draw::Totals;
use picture::picture;

const PARSE: SiteId = SiteId(1);
const OUTER: SiteId = SiteId(2);
const LOG: SiteId = SiteId(3);
const QUEUE: SiteId = SiteId(4);
const MARK: SiteId = SiteId(5);
const FETCH: SiteId = SiteId(6);
const JOB: SiteId = SiteId(7);
const NONE: Values<'static> = Values::new(&[]);

/// A process, two threads, and a call site of every kind, the function with two arguments.
fn builder() -> TraceBuilder {
    let mut trace = TraceBuilder::started(Compression::None);
    let kind = CallsiteKind::Function;
    let (name, module, file) = (&b"parse"[..], &b"demo::work"[..], &b"src/work.rs"[..]);
    let arguments = vec![(&b"shard"[..], ArgumentKind::Typed), (b"path", ArgumentKind::Display)];
    let (id, min) = (PARSE, Nanos(0));
    let (line, column) = (12, 5);
    let site = Definition::Callsite { id, kind, name, module, file, line, column, min, arguments };
    trace.define(&site);
    trace.callsite(OUTER.0, CallsiteKind::Region, "outer");
    trace.callsite(LOG.0, CallsiteKind::Log, "cache");
    trace.callsite(QUEUE.0, CallsiteKind::Counter, "queue");
    trace.callsite(MARK.0, CallsiteKind::Instant, "mark");
    trace.callsite(FETCH.0, CallsiteKind::Future, "fetch");
    trace.callsite(JOB.0, CallsiteKind::Task, "job");
    trace.thread(1, "main");
    trace.thread(2, "worker-1");
    trace
}

fn exported(trace: &[u8]) -> (Vec<u8>, Totals) {
    exported_with(trace, &Symbols::default())
}

fn exported_with(trace: &[u8], symbols: &Symbols) -> (Vec<u8>, Totals) {
    let file = TraceFile::open(trace).expect("a trace");
    let mut out = Vec::new();
    let totals = export(&file, symbols, &mut out, |_| {}).expect("a Vec takes anything");
    assert_eq!(totals.bytes, out.len() as u64);
    (out, totals.drawn)
}

#[track_caller]
fn check(trace: &[u8], expected: &[&str]) -> Totals {
    let (out, totals) = exported(trace);
    assert_eq!(picture(&out), expected);
    totals
}

fn text(text: &str) -> Text<'_> {
    Text::cut(text.as_bytes(), 256)
}

#[test]
fn ends_of_complete_regions_stand_where_their_time_is() {
    let mut trace = builder();
    trace.begin(1, OUTER.0, 100);
    trace.region(1, PARSE.0, 110, 50);
    trace.region(2, PARSE.0, 120, 5);
    trace.region(2, PARSE.0, 125, 35);
    trace.region(1, PARSE.0, 160, 0);
    trace.end(1, 160);
    let parse = "parse [demo::work] @src/work.rs:12 in demo::work::parse";
    let totals = check(
        &trace.stop(1_000),
        &[
            "100 main ( outer [testgen] @src/testgen.rs:2",
            &format!("110 main ( {parse}"),
            &format!("120 worker-1 ( {parse}"),
            "125 worker-1 )",
            &format!("125 worker-1 ( {parse}"),
            "160 main )",
            "160 worker-1 )",
            &format!("160 main ( {parse}"),
            "160 main )",
            "160 main )",
        ],
    );
    assert_eq!((totals.events, totals.slices, totals.unfinished), (6, 5, 0));
}

#[test]
fn arguments_keep_their_types_and_repeated_texts_are_interned() {
    let mut trace = builder();
    let pairs = [
        (Value::U64(7), Value::Str(text("a \"b\""))),
        (Value::I64(-7), Value::Str(text("a \"b\""))),
        (Value::F64(0.5), Value::Formatted(Text::cut(b"0123456789", 4))),
        (Value::Bool(true), Value::Bytes(Text::cut(b"\xff\n", 4))),
        (Value::Char('\u{e9}'), Value::None),
        (Value::U128(u128::MAX), Value::I128(-1)),
    ];
    for (at, (one, other)) in pairs.into_iter().enumerate() {
        let bytes = value_bytes(&[one, other]);
        let (duration, values) = (Ticks(1), Values::new(&bytes));
        let kind = EventKind::Region { site: PARSE, duration, values };
        trace.event(1, at as u64 * 10, kind);
    }
    let (out, _) = exported(&trace.stop(1_000));
    let lines = picture(&out);
    let begins = lines.iter().filter(|line| line.contains('('));
    let arguments: Vec<_> = begins
        .map(|line| line.split("[demo::work] ").nth(1).expect("a category"))
        .map(|line| line.split(" @").next().expect("text"))
        .collect();
    assert_eq!(
        arguments,
        [
            r#"shard=7u path="a \"b\"""#,
            r#"shard=-7i path="a \"b\""*"#,
            r#"shard=0.5 path="0123… (10 bytes in all)""#,
            r#"shard=true path="\\xff\\n""#,
            r#"shard="é" path="none""#,
            r#"shard="340282366920938463463374607431768211455" path=-1i"#,
        ]
    );
}

#[test]
fn results_and_failures_are_on_the_end() {
    let mut trace = builder();
    let value = value_bytes(&[Value::U64(3)]);
    for (at, outcome, values) in [
        (10, Outcome::Returned, Values::new(&value)),
        (20, Outcome::Failed, Values::new(&value)),
        (30, Outcome::Failed, NONE),
    ] {
        trace.begin(1, OUTER.0, at);
        trace.event(1, at + 5, EventKind::EndValue { outcome, values });
    }
    let outer = "outer [testgen] @src/testgen.rs:2";
    check(
        &trace.stop(1_000),
        &[
            &format!("10 main ( {outer}"),
            "15 main ) return=3u",
            &format!("20 main ( {outer}"),
            r#"25 main ) outcome="failed" error=3u"#,
            &format!("30 main ( {outer}"),
            r#"35 main ) outcome="failed"*"#,
        ],
    );
}

#[test]
fn a_task_has_a_track_and_a_flow_to_every_thread_that_works_for_it() {
    let mut trace = builder();
    let (task, child) = (TaskId(1), TaskId(2));
    let site = JOB;
    let begin = EventKind::TaskBegin { task, parent: TaskId(0), name: text("request") };
    trace.event(1, 10, begin);
    let sub = EventKind::TaskBeginSite { task: child, parent: task, site, values: NONE };
    trace.event(1, 20, sub);
    trace.event(1, 30, EventKind::TaskRunBegin { task });
    trace.region(1, OUTER.0, 31, 2);
    trace.end(1, 35);
    trace.event(2, 40, EventKind::TaskRun { task: child, duration: Ticks(5) });
    trace.event(2, 50, EventKind::TaskEnd { task: child });
    trace.event(2, 60, EventKind::TaskEnd { task });
    let again = EventKind::TaskBegin { task: TaskId(3), parent: TaskId(0), name: text("request") };
    trace.event(2, 70, again);
    let totals = check(
        &trace.stop(1_000),
        &[
            "10 main ! request [task] task=1u ~2 #1",
            "10 Tasks/request ( request [task] task=1u ~2 #1",
            "20 main ! job [testgen] task=2u @src/testgen.rs:7 in testgen::job ~4 #2",
            "20 Tasks/job ( job [testgen] task=2u parent=1u @src/testgen.rs:7 in testgen::job ~4 \
             #2",
            "30 main ( request [task] task=1u ~2 #1",
            "31 main ( outer [testgen] @src/testgen.rs:2",
            "33 main )",
            "35 main )",
            "40 worker-1 ( job [testgen] task=2u @src/testgen.rs:7 in testgen::job ~4 #2",
            "45 worker-1 )",
            "50 Tasks/job )",
            "60 Tasks/request )",
            "70 worker-1 ! request [task] task=3u ~6 #3",
            "70 Tasks/request ( request [task] task=3u ~6 #3",
        ],
    );
    assert_eq!(totals.unfinished, 1);
}

#[test]
fn a_future_has_a_track_and_its_polls_are_on_threads() {
    let mut trace = builder();
    let (future, task, site) = (FutureId(1), TaskId(9), FETCH);
    trace.event(1, 10, EventKind::FutureBegin { future, task, site, values: NONE });
    trace.event(1, 10, EventKind::Poll { future, waits_at: StackId(0), duration: Ticks(5) });
    trace.event(2, 20, EventKind::PollBegin { future });
    trace.region(2, OUTER.0, 21, 1);
    trace.end(2, 25);
    let outcome = Outcome::Dropped;
    trace.event(2, 25, EventKind::FutureEnd { future, outcome, values: NONE });
    trace.event(
        2,
        30,
        EventKind::Poll { future: FutureId(77), waits_at: StackId(0), duration: Ticks(1) },
    );
    let (own, place) = ("Async tasks/fetch #1", "@src/testgen.rs:6 in testgen::fetch");
    check(
        &trace.stop(1_000),
        &[
            &format!("10 {own} ( fetch [testgen] future=1u task=9u {place} ~3 #9"),
            &format!("10 main ( fetch [testgen] future=1u {place} ~3"),
            &format!("10 {own} ( polled [exectrace] thread=\"main\""),
            "15 main )",
            &format!("15 {own} )"),
            &format!("15 {own} ( idle [exectrace]"),
            &format!("20 {own} )"),
            &format!("20 worker-1 ( fetch [testgen] future=1u {place} ~3"),
            &format!("20 {own} ( polled [exectrace] thread=\"worker-1\""),
            "21 worker-1 ( outer [testgen] @src/testgen.rs:2",
            "22 worker-1 )",
            "25 worker-1 )",
            &format!("25 {own} )"),
            &format!("25 {own} ) outcome=\"dropped\""),
            "30 worker-1 ( future [future] future=77u ~155",
            "31 worker-1 )",
        ],
    );
}

#[test]
fn a_slice_ended_from_elsewhere_ends_after_what_lies_in_it() {
    let mut trace = builder();
    trace.begin(1, OUTER.0, 10);
    trace.region(1, PARSE.0, 15, 20);
    let (open, since) = (Open::Region(OUTER), Ticks(10));
    trace.event(2, 20, EventKind::EndDetached { open, since });
    let (out, _) = exported(&trace.stop(1_000));
    let lines = picture(&out);
    assert!(lines[2].starts_with("20 worker-1 ! outer"), "{}", lines[2]);
    assert_eq!(lines[3..5], ["35 main )", r#"35 main ) ended="on another thread""#]);
}

#[test]
fn a_region_held_across_an_await_goes_on_below_its_future() {
    let mut trace = builder();
    let (future, task, site) = (FutureId(1), TaskId(0), FETCH);
    trace.event(1, 10, EventKind::FutureBegin { future, task, site, values: NONE });
    trace.event(1, 10, EventKind::PollBegin { future });
    trace.begin(1, OUTER.0, 11);
    trace.begin(1, PARSE.0, 12);
    let detached = |open, since| EventKind::EndDetached { open, since: Ticks(since) };
    trace.event(1, 20, detached(Open::Poll(future), 10));
    trace.event(2, 30, EventKind::PollBegin { future });
    // The outer region ends first: its slice stays open until the inner one's ends.
    trace.event(2, 31, detached(Open::Region(OUTER), 20));
    trace.event(2, 32, detached(Open::Region(PARSE), 20));
    trace.end(2, 33);
    let (outcome, values) = (Outcome::Returned, NONE);
    trace.event(2, 33, EventKind::FutureEnd { future, outcome, values });
    let own = "Async tasks/fetch #1";
    let place = "@src/testgen.rs:6 in testgen::fetch";
    let outer = "outer [testgen] @src/testgen.rs:2";
    let parse = "parse [demo::work] @src/work.rs:12 in demo::work::parse";
    let held = "with the poll around it: held across an await, goes on below the future";
    let totals = check(
        &trace.stop(1_000),
        &[
            &format!("10 {own} ( fetch [testgen] future=1u {place} ~3"),
            &format!("10 main ( fetch [testgen] future=1u {place} ~3"),
            &format!("10 {own} ( polled [exectrace] thread=\"main\""),
            &format!("11 main ( {outer}"),
            &format!("11 {own}/held across awaits ( {outer}"),
            &format!("12 main ( {parse}"),
            &format!("12 {own}/held across awaits ( {parse}"),
            &format!("20 main ) ended={held:?}"),
            &format!("20 main ) ended={held:?}*"),
            "20 main )",
            &format!("20 {own} )"),
            &format!("20 {own} ( idle [exectrace]"),
            &format!("30 {own} )"),
            &format!("30 worker-1 ( fetch [testgen] future=1u {place} ~3"),
            &format!("30 {own} ( polled [exectrace] thread=\"worker-1\""),
            &format!("32 {own}/held across awaits )"),
            &format!("32 {own}/held across awaits )"),
            "33 worker-1 )",
            &format!("33 {own} )"),
            &format!("33 {own} ) outcome=\"returned\""),
        ],
    );
    assert_eq!((totals.misnested, totals.unfinished), (0, 0));
}

#[test]
fn marks_messages_and_counters_are_where_they_happened() {
    let mut trace = builder();
    trace.event(1, 10, EventKind::Instant { site: MARK, values: NONE });
    trace.event(1, 20, EventKind::Log { site: LOG, text: text("hit") });
    trace.event(1, 30, EventKind::Log { site: LOG, text: text("miss\nof two") });
    for (at, value) in [
        (40, Value::I64(-1)),
        (50, Value::F64(0.5)),
        (60, Value::U64(u64::MAX)),
        (70, Value::Str(text("no number"))),
    ] {
        trace.event(2, at, EventKind::Counter { site: QUEUE, value });
    }
    let totals = check(
        &trace.stop(1_000),
        &[
            "10 main ! mark [testgen] @src/testgen.rs:5",
            "20 main ! hit [cache] @src/testgen.rs:3",
            r#"30 main ! miss [cache] message="miss\nof two" @src/testgen.rs:3"#,
            "40 queue = -1",
            "50 queue = 0.5",
            "60 queue = 1.8446744073709552e19",
        ],
    );
    assert_eq!(totals.hidden, 1);
}

#[test]
fn a_misnested_end_closes_what_lies_above_it_and_nothing_else() {
    let mut trace = builder();
    trace.begin(1, OUTER.0, 10);
    trace.begin(1, PARSE.0, 20);
    trace.begin(1, OUTER.0, 30);
    let (open, since) = (Open::Region(PARSE), Ticks(20));
    trace.event(1, 40, EventKind::EndDetached { open, since });
    trace.end(1, 50);
    trace.end(1, 60);
    let outer = "outer [testgen] @src/testgen.rs:2";
    let totals = check(
        &trace.stop(1_000),
        &[
            &format!("10 main ( {outer}"),
            "20 main ( parse [demo::work] @src/work.rs:12 in demo::work::parse",
            &format!("30 main ( {outer}"),
            r#"40 main ) ended="with the one around it: mis-nested""#,
            "40 main )",
            "50 main )",
            "60 main ! end without begin [exectrace]",
        ],
    );
    assert_eq!(totals.misnested, 2);
}

#[test]
fn the_own_end_of_what_is_mis_nested_is_a_mark_and_counts_no_second_time() {
    let mut trace = builder();
    trace.begin(1, OUTER.0, 10);
    trace.begin(1, PARSE.0, 20);
    let detached = |site, since| {
        let (open, since) = (Open::Region(site), Ticks(since));
        EventKind::EndDetached { open, since }
    };
    trace.event(1, 40, detached(OUTER, 30));
    trace.event(1, 60, detached(PARSE, 40));
    let parse = "@src/work.rs:12 in demo::work::parse";
    let totals = check(
        &trace.stop(1_000),
        &[
            "10 main ( outer [testgen] @src/testgen.rs:2",
            &format!("20 main ( parse [demo::work] {parse}"),
            r#"40 main ) ended="with the one around it: mis-nested""#,
            "40 main )",
            &format!(
                "60 main ! parse [demo::work] ended=\"here: what was around it had ended first\" \
                 duration_ns=40u {parse}"
            ),
        ],
    );
    assert_eq!(totals.misnested, 1);
}

#[test]
fn a_region_that_ends_on_another_thread_ends_its_slice_where_it_began() {
    let mut trace = builder();
    trace.begin(1, OUTER.0, 10);
    trace.region(2, PARSE.0, 15, 1);
    let (open, since) = (Open::Region(OUTER), Ticks(10));
    trace.event(2, 20, EventKind::EndDetached { open, since });
    trace.region(1, PARSE.0, 30, 5);
    trace.seal(1);
    trace.region(1, PARSE.0, 40, 5);
    let outer = "outer [testgen]";
    let parse = "parse [demo::work] @src/work.rs:12 in demo::work::parse";
    check(
        &trace.stop(1_000),
        &[
            &format!("10 main ( {outer} @src/testgen.rs:2"),
            &format!("15 worker-1 ( {parse}"),
            "16 worker-1 )",
            &format!(
                "20 worker-1 ! {outer} ended=\"here: begun elsewhere, or in a gap\" \
                 duration_ns=10u @src/testgen.rs:2"
            ),
            r#"20 main ) ended="on another thread""#,
            &format!("30 main ( {parse}"),
            "35 main )",
            &format!("40 main ( {parse}"),
            "45 main )",
        ],
    );
}

#[test]
fn times_are_the_monotonic_clock_and_the_wall_clock_is_beside_it() {
    use prost::Message;
    let mut trace = TraceBuilder::new(Compression::None);
    trace.clock(Ticks(1_000), Nanos(1_000_000));
    trace.clock(Ticks(2_001_000), Nanos(2_000_000));
    trace.callsite(OUTER.0, CallsiteKind::Region, "outer");
    trace.thread(1, "main");
    trace.region(1, OUTER.0, 1_500, 100);
    let (out, _) = exported(&trace.stop(3_001_000));
    assert_eq!(
        picture(&out),
        ["250 main ( outer [testgen] @src/testgen.rs:2", "300 main )"],
        "two ticks are a nanosecond"
    );
    let trace = super::message::Trace::decode(out.as_slice()).expect("a trace");
    let clocks = &trace.packet[0].clock_snapshot.as_ref().expect("clocks").clocks;
    let times: Vec<_> = clocks.iter().map(|clock| (clock.clock_id(), clock.timestamp())).collect();
    assert_eq!(times, [(3, 1_000_000), (1, 1_700_000_000_001_000_000), (64, 1_000_000)]);
}
