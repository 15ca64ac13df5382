//! Async tasks: what they do from their spawn to their end, and what leads from one to another.

use prost::Message;
use trace_analysis::symbols::{Function, Symbols};
use trace_format::batch::Compression;
use trace_format::definition::{CallsiteKind, Definition, FoundBy, StackFlags};
use trace_format::event::{EventKind, Outcome};
use trace_format::id::{FutureId, SiteId, StackId, TaskId};
use trace_format::testgen::TraceBuilder;
use trace_format::time::{Nanos, Ticks};

use super::super::encode::FIRST;
use super::super::message::Trace;
use super::{FETCH, NONE, builder, check, exported, exported_with, picture, text};

const SERVE: SiteId = SiteId(8);
const SLEEP: StackId = StackId(1);
const CALLER: StackId = StackId(2);
const NOWHERE: StackId = StackId(0);
/// The first arrow to a poll; the others count up.
const ARROW: u64 = 1 << 62 | 1;

fn service() -> TraceBuilder {
    let mut trace = builder();
    trace.callsite(SERVE.0, CallsiteKind::Future, "serve");
    for (id, addresses) in [(SLEEP, vec![0x1010]), (CALLER, vec![0x1030])] {
        let flags = StackFlags { cut: false, by: FoundBy::FramePointers };
        trace.define(&Definition::Stack { id, flags, addresses });
    }
    trace
}

fn symbols() -> Symbols {
    let mut symbols = Symbols::default();
    for (address, name) in [(0x1010, "app::sleep"), (0x1030, "app::caller")] {
        let (name, file, line) = (name.to_owned(), "m.rs".into(), 7);
        symbols.add(address, vec![Function { name, file, line }]);
    }
    symbols
}

fn spawn(future: u64, parent: u64) -> EventKind<'static> {
    let (future, parent, task) = (FutureId(future), FutureId(parent), TaskId(0));
    EventKind::FutureSpawn { future, parent, task, site: SERVE, stack: CALLER }
}

fn begin(future: u64) -> EventKind<'static> {
    let (future, task) = (FutureId(future), TaskId(0));
    EventKind::FutureBegin { future, task, site: FETCH, values: NONE }
}

fn poll(future: u64, waits_at: StackId, duration: u64) -> EventKind<'static> {
    EventKind::Poll { future: FutureId(future), waits_at, duration: Ticks(duration) }
}

fn poll_begin(future: u64) -> EventKind<'static> {
    EventKind::PollBegin { future: FutureId(future) }
}

fn wake(future: u64) -> EventKind<'static> {
    EventKind::Wake { future: FutureId(future), stack: CALLER }
}

fn end(future: u64, outcome: Outcome) -> EventKind<'static> {
    EventKind::FutureEnd { future: FutureId(future), outcome, values: NONE }
}

/// The lines of one track, without the track's name.
fn on(track: &str, lines: &[String]) -> Vec<String> {
    let mark = format!(" {track} ");
    let lines = lines.iter().filter(|line| line.contains(&mark));
    lines.map(|line| line.replacen(&mark, " ", 1)).collect()
}

fn drawn(trace: TraceBuilder) -> Vec<String> {
    let (out, totals) = exported_with(&trace.stop(1_000), &symbols());
    assert_eq!((totals.unknown, totals.hidden, totals.misnested), (0, 0, 0));
    picture(&out)
}

#[test]
fn a_task_is_ready_from_its_spawn_and_from_its_first_wake_on() {
    let mut trace = service();
    trace.event(1, 10, spawn(4, 2));
    trace.event(2, 20, poll(4, SLEEP, 5));
    trace.event(1, 40, wake(4));
    trace.event(1, 45, wake(4));
    trace.event(2, 50, poll(4, NOWHERE, 5));
    trace.event(1, 60, wake(4));
    trace.event(2, 70, poll(4, NOWHERE, 9));
    trace.event(2, 80, end(4, Outcome::Returned));
    let lines = drawn(trace);
    let idle = r#"( idle [exectrace] waits at="app::sleep (m.rs:7)""#;
    let stack = "<app::sleep@m.rs:7 in [unknown]()+0x1010>";
    assert_eq!(
        on("Async tasks/serve #4", &lines),
        [
            "10 ( serve [testgen] future=4u parent=2u @src/testgen.rs:8 in testgen::serve ~9",
            "10 ( ready [exectrace]",
            "20 )",
            r#"20 ( polled [exectrace] thread="worker-1""#,
            "25 )",
            &format!("25 {idle} {stack}"),
            "40 )",
            "40 ( ready [exectrace]",
            "50 )",
            r#"50 ( polled [exectrace] thread="worker-1"*"#,
            "55 )",
            // No waker was taken, so the task still waits in the same place.
            &format!("55 {idle}* {stack}"),
            "60 )",
            "60 ( ready [exectrace]",
            "70 )",
            r#"70 ( polled [exectrace] thread="worker-1"*"#,
            "79 )",
            r#"80 ) outcome="returned""#,
        ]
    );
    let caller = "<app::caller@m.rs:7 in [unknown]()+0x1030>";
    let mark = |at, what, arrow: &str| {
        format!("{at} ! {what} serve [exectrace] future=4u{arrow} {caller}")
    };
    let arrow = |count| format!(" ~{}", ARROW + count);
    assert_eq!(
        on("main", &lines),
        [
            mark(10, "spawn", &arrow(0)),
            mark(40, "wake", &arrow(1)),
            mark(45, "wake", ""),
            mark(60, "wake", &arrow(2)),
        ]
    );
    let begins = on("worker-1", &lines).into_iter().filter(|line| line.contains('('));
    let expected = [(20, arrow(0)), (50, arrow(1)), (70, arrow(2))].map(|(at, arrow)| {
        let place = "@src/testgen.rs:8 in testgen::serve";
        format!("{at} ( serve [testgen] future=4u {place} ~9{arrow}")
    });
    assert_eq!(begins.collect::<Vec<_>>(), expected);
}

#[test]
fn one_that_is_woken_while_it_is_polled_is_ready_afterwards() {
    let mut trace = service();
    trace.event(1, 10, begin(4));
    trace.event(1, 10, poll_begin(4));
    trace.event(1, 15, wake(4));
    trace.event(1, 20, EventKind::EndPoll { waits_at: SLEEP });
    trace.event(1, 30, poll(4, SLEEP, 5));
    trace.event(2, 50, end(4, Outcome::Dropped));
    let lines = drawn(trace);
    let own: Vec<_> = on("Async tasks/fetch #4", &lines);
    assert_eq!(own[2..5], ["20 )", "20 ( ready [exectrace]", "30 )"]);
    assert!(own[7].starts_with("35 ( idle [exectrace]"), "{}", own[7]);
    assert_eq!(own[8..], ["50 )", r#"50 ) outcome="dropped""#]);
    assert!(
        on("main", &lines)[1].contains(&format!("15 ! wake fetch [exectrace] future=4u ~{ARROW}"))
    );
}

#[test]
fn a_wake_of_what_it_awaits_wakes_the_task() {
    let mut trace = service();
    trace.event(1, 10, spawn(4, 0));
    trace.event(1, 20, poll_begin(4));
    trace.event(1, 21, begin(5));
    trace.event(1, 22, poll(5, SLEEP, 3));
    trace.event(1, 30, EventKind::EndPoll { waits_at: NOWHERE });
    // Another future that nothing awaits is polled on the waker's thread.
    trace.event(2, 35, poll_begin(9));
    trace.event(2, 40, wake(5));
    trace.event(2, 45, EventKind::End);
    trace.event(2, 50, poll_begin(4));
    trace.event(2, 51, poll(5, NOWHERE, 3));
    trace.event(2, 55, end(5, Outcome::Failed));
    trace.event(2, 60, EventKind::End);
    trace.event(2, 60, end(4, Outcome::Panicked));
    let lines = drawn(trace);
    let own = on("Async tasks/serve #4", &lines);
    assert!(own[5].starts_with(r#"30 ( idle [exectrace] waits at="app::sleep"#), "{}", own[5]);
    assert_eq!(own[6..8], ["40 )", "40 ( ready [exectrace]"]);
    assert_eq!(own.last().expect("an end"), r#"60 ) outcome="panicked""#);
    let place = "@src/testgen.rs:6 in testgen::fetch";
    assert_eq!(
        on("Futures/fetch", &lines),
        [&format!("21 ( fetch [testgen] future=5u {place} ~11"), r#"55 ) outcome="failed""#]
    );
    let marks = on("worker-1", &lines);
    let arrow = ARROW + 1;
    assert!(
        marks[1]
            .starts_with(&format!("40 ! wake serve [exectrace] future=5u async task=4u ~{arrow} ")),
        "{}",
        marks[1]
    );
    assert!(marks[3].ends_with(&format!("~9 ~{arrow}")), "the poll of the task: {}", marks[3]);
    assert!(marks[4].ends_with("~11"), "and not that of what it awaits: {}", marks[4]);
}

#[test]
fn a_spawn_that_is_told_after_the_first_poll_loses_nothing_but_its_arrow() {
    for (is_over, expected) in [(false, "polled"), (true, "idle")] {
        let mut trace = service();
        let first = if is_over { poll(4, SLEEP, 5) } else { poll_begin(4) };
        trace.event(2, 10, first);
        trace.event(1, 20, spawn(4, 0));
        trace.event(1, 50, wake(4));
        let (out, totals) = exported_with(&trace.stop(1_000), &symbols());
        let lines = picture(&out);
        let own = on("Async tasks/serve #4", &lines);
        assert!(own[0].starts_with("10 ( serve [testgen] future=4u @"), "{}", own[0]);
        let since = if is_over { 15 } else { 10 };
        assert!(own[1].starts_with(&format!("{since} ( {expected} [exectrace]")), "{}", own[1]);
        let mark = on("main", &lines)[0].clone();
        assert!(mark.starts_with("20 ! spawn serve") && !mark.contains('~'), "{mark}");
        // The future's slice, the slice of its state, and the slice of a poll that is not over.
        assert_eq!(totals.unfinished, if is_over { 2 } else { 3 });
    }
}

#[test]
fn what_only_the_runtime_s_hooks_know_says_how_long_it_was_ready() {
    let mut trace = service();
    trace.event(1, 10, spawn(4, 0));
    trace.event(2, 20, poll(4, NOWHERE, 5));
    let (future, since) = (FutureId(4), Ticks(8));
    trace.event(2, 40, EventKind::Ready { future, since });
    trace.event(2, 40, poll(4, NOWHERE, 5));
    trace.event(2, 60, EventKind::Unwakeable { future });
    let own = on("Async tasks/serve #4", &drawn(trace));
    assert_eq!(
        own[4..],
        [
            "25 )",
            "25 ( idle [exectrace]",
            "32 )",
            "32 ( ready [exectrace]",
            "40 )",
            r#"40 ( polled [exectrace] thread="worker-1"*"#,
            "45 )",
            "45 ( idle [exectrace]",
            "60 ! nobody is left to wake it [exectrace] future=4u",
        ]
    );
}

#[test]
fn what_lived_before_the_trace_began_is_there_from_its_true_begin_on() {
    let mut trace = TraceBuilder::new(Compression::None);
    trace.clock(Ticks(0), Nanos(0));
    trace.define(&Definition::Generation { number: 1, ticks: Ticks(500) });
    trace.callsite(SERVE.0, CallsiteKind::Future, "serve");
    trace.thread(1, "main");
    let state = |id, begin, since, spawned: bool| Definition::FutureState {
        id: FutureId(id),
        parent: FutureId(u64::from(!spawned)),
        task: TaskId(0),
        site: SERVE,
        begin: Ticks(begin),
        spawned,
        waits_at: SLEEP,
        since: Ticks(since),
    };
    for state in [state(4, 100, 200, true), state(5, 150, 0, false), state(6, 520, 0, true)] {
        trace.define(&state);
    }
    trace.event(1, 600, wake(4));
    trace.event(1, 700, poll(6, SLEEP, 5));
    let (out, totals) = exported(&trace.stop(1_000));
    let lines = picture(&out);
    let trace = Trace::decode(out.as_slice()).expect("a trace");
    let mut tracks = trace.packet.iter().filter_map(|packet| packet.track_descriptor.as_ref());
    let first = tracks.find(|track| track.uuid() == FIRST).expect("a default track");
    assert!(first.thread.is_some(), "most events are on threads: {first:?}");
    let life = |at, id: u64| {
        let place = "@src/testgen.rs:8 in testgen::serve";
        format!("{at} ( serve [testgen] future={id}u {place} ~{}", id << 1 | 1)
    };
    assert_eq!(
        on("Async tasks/serve #4", &lines),
        [&life(100, 4), "200 ( idle [exectrace]", "600 )", "600 ( ready [exectrace]"]
    );
    assert_eq!(on("Futures/serve", &lines), [life(150, 5)]);
    // It began later, and only its poll shows that it is alive.
    let late = on("Async tasks/serve #6", &lines);
    let polled = r#"700 ( polled [exectrace] thread="main""#;
    assert_eq!(late[..4], [&life(520, 6), "520 ( ready [exectrace]", "700 )", polled]);
    assert_eq!(totals.unfinished, 5, "three lives, one of them ready, one idle");
}

#[test]
fn a_lost_end_of_a_poll_is_no_wait() {
    let mut trace = service();
    trace.event(1, 10, begin(4));
    trace.event(1, 10, poll_begin(4));
    let (from, to) = (Ticks(30), Ticks(80));
    trace.event(1, 100, EventKind::Dropped { events: 1, ends: 1, from, to });
    trace.event(2, 200, wake(4));
    let (out, totals) = exported(&trace.stop(1_000));
    let own = on("Async tasks/fetch #4", &picture(&out));
    assert_eq!(own[2..], ["80 )", "200 ( ready [exectrace]"]);
    assert_eq!(totals.unfinished, 2, "the life, and that it is ready");
}

#[test]
fn telling_again_is_no_news_and_a_wake_behind_the_end_no_fault() {
    let mut trace = service();
    trace.event(1, 10, spawn(4, 0));
    trace.event(1, 12, begin(4));
    trace.event(1, 20, poll(4, SLEEP, 1));
    trace.event(1, 25, end(4, Outcome::Returned));
    trace.event(2, 30, wake(4));
    let lines = drawn(trace);
    assert!(lines.iter().all(|line| !line.contains("fetch")), "{lines:#?}");
    assert_eq!(
        on("worker-1", &lines),
        ["30 ! wake future [exectrace] future=4u <app::caller@m.rs:7 in [unknown]()+0x1030>"]
    );
}

#[test]
fn only_the_first_async_tasks_keep_their_tracks() {
    let mut trace = service();
    let count = 5_000;
    for id in 1..=count {
        let at = id * 10;
        trace.event(1, at, spawn(id, 0));
        trace.event(1, at + 5, end(id, Outcome::Dropped));
    }
    let (out, totals) = exported(&trace.stop(1_000_000));
    assert_eq!((totals.hidden, totals.unfinished), (0, 0));
    let lines = picture(&out);
    let tracks: std::collections::BTreeSet<_> = lines
        .iter()
        .filter(|line| line.contains("Async tasks/"))
        .map(|line| line.split(['(', ')', '!']).next().unwrap_or_default())
        .map(|line| line.trim_end().split_once(' ').expect("a time").1)
        .collect();
    assert_eq!(tracks.len(), 4096 + 1);
    assert!(tracks.contains("Async tasks/serve"), "shared by all behind the limit");
}

#[test]
fn a_task_says_what_other_processes_call_it() {
    let mut trace = service();
    let task = TaskId(1);
    trace.event(1, 10, EventKind::TaskBegin { task, parent: TaskId(0), name: text("request") });
    let link = |task, parent| EventKind::TaskLink { task, trace: 0xab, span: 0xcd, parent };
    trace.event(1, 20, link(task, 0xef));
    trace.event(1, 30, link(TaskId(7), 0));
    let parent = "00-000000000000000000000000000000ab-00000000000000cd-01";
    check(
        &trace.stop(1_000),
        &[
            "10 main ! request [task] task=1u ~2 #1",
            "10 Tasks/request ( request [task] task=1u ~2 #1",
            &format!(
                "20 Tasks/request ! trace context [exectrace] traceparent={parent:?} \
                 parent span=\"00000000000000ef\""
            ),
            &format!("30 main ! trace context [exectrace] traceparent={parent:?}*"),
        ],
    );
}
