//! What `exectrace events` says of futures: spawned, woken, ready, polled, lost, ended.

use crate::common::{Bench, Run, Words};
use serde_json::{Value, json};
use trace_format::batch::Compression;
use trace_format::definition::{CallsiteKind, Definition};
use trace_format::event::{EventKind, Outcome};
use trace_format::id::{FutureId, SiteId, StackId, TaskId};
use trace_format::testgen::TraceBuilder;
use trace_format::time::Ticks;
use trace_format::value::{Text, Values};

/// A request that spawns a future, which waits twice and panics; another that nobody can wake.
fn service() -> Bench {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.site(1, CallsiteKind::Future, "app::serve", &[]);
    trace.site(2, CallsiteKind::Future, "app::old", &[]);
    trace.thread(1, "main");
    trace.thread(2, "worker");
    trace.stack(1, &[0x1010]);
    trace.stack(2, &[0x1020]);
    trace.symbol(0x1010, &[("app::sleep", "src/main.rs", 7)]);
    trace.symbol(0x1020, &[("app::timer", "src/main.rs", 9)]);
    let (future, parent, task) = (FutureId(4), FutureId(2), TaskId(1));
    let (site, sleep, timer) = (SiteId(1), StackId(1), StackId(2));
    let name = Text::cut(b"request", 256);
    trace.define(&Definition::FutureState {
        id: FutureId(3),
        parent: FutureId(0),
        task: TaskId(0),
        site: SiteId(2),
        begin: Ticks(5),
        spawned: true,
        waits_at: sleep,
        since: Ticks(8),
    });
    trace.event(1, 1_000, EventKind::TaskBegin { task, parent: TaskId(0), name });
    let link = EventKind::TaskLink { task, trace: 0xab << 64 | 0xcd, span: 0xef, parent: 0x12 };
    trace.event(1, 1_100, link);
    trace.event(1, 2_000, EventKind::FutureSpawn { future, parent, task, site, stack: timer });
    trace.event(2, 3_000, EventKind::Ready { future, since: Ticks(700) });
    trace.event(2, 3_000, EventKind::Poll { future, waits_at: sleep, duration: Ticks(40) });
    trace.event(1, 4_000, EventKind::Wake { future, stack: timer });
    trace.event(2, 5_000, EventKind::PollBegin { future });
    trace.event(2, 6_000, EventKind::EndPoll { waits_at: sleep });
    trace.event(1, 7_000, EventKind::Unwakeable { future: FutureId(3) });
    let (outcome, values) = (Outcome::Panicked, Values::new(&[]));
    trace.event(2, 8_000, EventKind::FutureEnd { future, outcome, values });
    trace.event(2, 9_000, EventKind::Wake { future, stack: StackId(0) });
    Bench::new(&trace.stop(1_000_000))
}

#[test]
fn summary_tells_futures_of_one_name_apart_and_gives_no_time_of_nothing() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.site(1, CallsiteKind::Future, "app::serve", &[]);
    trace.site(2, CallsiteKind::Future, "app::serve", &[]);
    trace.thread(1, "main");
    for (id, site) in [(1, 1), (2, 2)] {
        let (future, parent, task, stack) = (FutureId(id), FutureId(0), TaskId(0), StackId(0));
        let site = SiteId(site);
        trace.event(1, 1_000, EventKind::FutureSpawn { future, parent, task, site, stack });
        let duration = Ticks(40 * id);
        trace.event(1, 2_000, EventKind::Poll { future, waits_at: stack, duration });
    }
    let (outcome, values) = (Outcome::Returned, Values::new(&[]));
    trace.event(1, 5_000, EventKind::FutureEnd { future: FutureId(1), outcome, values });
    let run = Bench::new(&trace.stop(1_000_000)).run("summary FILE");
    let row = |place: &str| {
        let row = run.out.lines().find(|line| line.contains(place));
        row.unwrap_or_else(|| panic!("no {place} in {}", run.out)).split_whitespace()
    };
    let life = |place: &str| row(place).nth(9).map(str::to_owned);
    assert_eq!(life("src/main.rs:20").as_deref(), Some("-"), "it did not end: {}", run.out);
    assert_ne!(life("src/main.rs:10").as_deref(), Some("-"), "{}", run.out);
}

/// The lines without their times and threads.
fn said(run: &Run) -> Vec<&str> {
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    run.out.lines().map(|line| line[15..].split_once("  ").expect("columns").1.trim()).collect()
}

const TRACEPARENT: &str = "00-00000000000000ab00000000000000cd-00000000000000ef-01";

#[test]
fn people_read_who_spawned_and_woke_what() {
    assert_eq!(
        said(&service().run("events FILE")),
        [
            "task request #1 begins",
            &format!("task request #1 is {TRACEPARENT} in span 0000000000000012"),
            "future serve #4 spawned by #2 for task #1",
            "serve #4 ready for 700 ns",
            "poll serve #4  40 ns",
            "wake serve #4",
            "poll serve #4 {",
            "} poll serve #4  1.00 µs",
            "nobody is left to wake old #3",
            "future serve #4 ends: panicked",
            "wake #4",
        ]
    );
}

#[test]
fn a_poll_shows_where_its_future_waits_if_asked_to() {
    let run = service().run("events FILE --stacks");
    let lines: Vec<_> = run.out.lines().map(str::trim).collect();
    let below = |end: &str| {
        let at = lines.iter().position(|line| line.ends_with(end)).expect(end);
        lines[at + 1]
    };
    for polled in ["poll serve #4  40 ns", "} poll serve #4  1.00 µs"] {
        assert_eq!(below(polled), "app::sleep (src/main.rs:7)", "{}", run.out);
    }
    for woken in ["for task #1", " wake serve #4"] {
        assert_eq!(below(woken), "app::timer (src/main.rs:9)", "{}", run.out);
    }
    assert!(below("poll serve #4 {").contains("} poll"), "it is not known when it begins");
}

#[test]
fn programs_get_fields() {
    let run = service().run("events FILE --json --stacks");
    let lines: Vec<Value> =
        run.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let check = |at: usize, expected: Value| {
        for (name, value) in expected.as_object().expect("fields") {
            assert_eq!(lines[at].get(name), Some(value), "{name} of {}", lines[at]);
        }
    };
    let kinds: Vec<_> = lines.iter().map(|line| line["kind"].as_str().expect("a kind")).collect();
    assert_eq!(
        kinds.join(" "),
        "task_begin task_link future_spawn ready poll wake poll_begin poll_end unwakeable \
         future_end wake"
    );
    check(1, json!({"task": 1, "traceparent": TRACEPARENT, "parent_span": "0000000000000012"}));
    check(2, json!({"future": 4, "parent": 2, "task": 1, "site": 1, "name": "app::serve"}));
    check(2, json!({"stack": 2}));
    check(3, json!({"future": 4, "duration_ns": 700, "name": "app::serve"}));
    check(4, json!({"future": 4, "duration_ns": 40, "stack": 1}));
    check(5, json!({"future": 4, "stack": 2, "name": "app::serve"}));
    check(7, json!({"future": 4, "stack": 1, "duration_ns": 1000}));
    assert_eq!(lines[7]["frames"][0]["function"], "app::sleep");
    check(8, json!({"future": 3, "name": "app::old"}));
    check(9, json!({"future": 4, "outcome": "panicked"}));
}
