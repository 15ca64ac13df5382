//! Lines of `events`: ends that were lost have lines, tasks have the names that other commands
//! give them, and only threads that were asked for are shown.

use crate::common::{Bench, Run, Words, command, json, request_builder};
use serde_json::Value;
use trace_format::batch::Compression;
use trace_format::definition::{CallsiteKind, Definition};
use trace_format::event::EventKind;
use trace_format::header::BatchKind;
use trace_format::id::{Open, SiteId, TaskId, ThreadId};
use trace_format::read::TraceFile;
use trace_format::testgen::TraceBuilder;
use trace_format::time::{Nanos, Ticks};
use trace_format::value::{Text, Values};

const OUTER: u32 = 1;
const LOST: u32 = 2;
const LEAF: u32 = 3;

fn regions() -> TraceBuilder {
    let mut trace = TraceBuilder::started(Compression::None);
    for (id, name) in [(OUTER, "outer"), (LOST, "lost"), (LEAF, "leaf")] {
        trace.site(id, CallsiteKind::Region, &format!("app::{name}"), &[]);
    }
    trace.thread(1, "main");
    trace
}

/// The lines as programs get them.
fn lines(run: &Run) -> Vec<Value> {
    run.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Kind, name and depth of each line.
fn told(run: &Run) -> Vec<(String, String, u64)> {
    let text = |line: &Value, field: &str| line[field].as_str().unwrap_or_default().to_owned();
    let told = |line: &Value| {
        (text(line, "kind"), text(line, "name"), line["depth"].as_u64().unwrap_or_default())
    };
    lines(run).iter().map(told).collect()
}

/// The same, to compare with.
fn expected(lines: &[(&str, &str, u64)]) -> Vec<(String, String, u64)> {
    lines.iter().map(|(kind, name, depth)| ((*kind).into(), (*name).into(), *depth)).collect()
}

#[test]
fn what_a_batch_does_not_restate_ends_in_front_of_the_next_event() {
    let mut trace = regions();
    trace.begin(1, OUTER, 1_000);
    trace.begin(1, LOST, 2_000);
    let (from, to) = (Ticks(2_500), Ticks(3_000));
    trace.event(1, 3_000, EventKind::Dropped { events: 1, ends: 1, from, to });
    let open = Open::Region(SiteId(OUTER));
    trace.event(1, 4_000, EventKind::Reopen { open, since: Ticks(3_000) });
    trace.region(1, LEAF, 5_000, 100);
    trace.end(1, 6_000);
    let bench = Bench::new(&trace.stop(10_000));
    let run = bench.run("events FILE --json");
    let found = told(&run);
    let wanted = expected(&[
        ("region_begin", "app::outer", 0),
        ("region_begin", "app::lost", 1),
        ("dropped", "", 2),
        ("region_end", "app::lost", 1),
        ("region", "app::leaf", 1),
        ("region_end", "app::outer", 0),
    ]);
    assert_eq!(found, wanted, "{}", run.out);
    let text = bench.run("events FILE").out;
    let end = text.lines().find(|line| line.contains("} lost"));
    assert!(end.is_some_and(|line| line.ends_with("(its end is missing)")), "{text}");
}

#[test]
fn what_was_open_where_a_batch_is_damaged_has_lost_its_end() {
    let mut trace = regions();
    trace.begin(1, OUTER, 1_000);
    trace.seal(1);
    trace.region(1, LEAF, 2_000, 100);
    trace.end(1, 3_000);
    let mut bytes = trace.stop(10_000);
    damage(&mut bytes, 1, 1);
    let run = Bench::new(&bytes).run("events FILE --json");
    let found = told(&run);
    let wanted =
        [("region_begin", "app::outer", 0), ("fault", "", 0), ("region_end", "app::outer", 0)];
    assert_eq!(found, expected(&wanted), "{}", run.out);
}

#[test]
fn what_is_open_behind_a_damaged_batch_as_the_last_generation_says_is_so_at_the_end() {
    let mut trace = regions();
    trace.begin(1, OUTER, 1_000);
    trace.begin(1, LOST, 1_500);
    trace.seal(1);
    trace.region(1, LEAF, 2_000, 100);
    trace.end(1, 3_000);
    trace.generation(5_000);
    let mut bytes = trace.stop(10_000);
    damage(&mut bytes, 1, 1);
    let bench = Bench::new(&bytes);
    let run = bench.run("events FILE --json");
    let wanted = expected(&[
        ("region_begin", "app::outer", 0),
        ("region_begin", "app::lost", 1),
        ("fault", "", 0),
        ("region_end", "app::lost", 1),
        ("open_at_end", "app::outer", 0),
    ]);
    assert_eq!(told(&run), wanted, "{}", run.out);
    let summary = bench.run("summary FILE --json").out;
    let summary: Value = serde_json::from_str(&summary).expect("JSON");
    let told = |kind: &str| {
        let findings = summary["findings"].as_array().expect("findings");
        let found = findings.iter().find(|it| it["kind"] == kind).expect("it");
        found["evidence"][0]["text"].as_str().expect("a text").to_owned()
    };
    assert!(told("unfinished").starts_with("outer on main"), "{summary}");
    assert!(told("end_lost").starts_with("lost on main"), "{summary}");
}

#[test]
fn what_a_thread_restates_behind_a_damaged_batch_has_gone_on() {
    let mut trace = regions();
    trace.begin(1, OUTER, 1_000);
    trace.begin(1, LOST, 1_500);
    trace.seal(1);
    trace.region(1, LEAF, 2_000, 100);
    trace.end(1, 2_500);
    trace.seal(1);
    trace.region(1, LEAF, 3_000, 100);
    trace.end(1, 4_000);
    let mut bytes = trace.stop(10_000);
    damage(&mut bytes, 1, 1);
    let run = Bench::new(&bytes).run("events FILE --json");
    let wanted = expected(&[
        ("region_begin", "app::outer", 0),
        ("region_begin", "app::lost", 1),
        // The batch is damaged, and the next one does not follow the one before it.
        ("fault", "", 0),
        ("fault", "", 0),
        ("region_end", "app::lost", 1),
        ("region", "app::leaf", 1),
        ("region_end", "app::outer", 0),
    ]);
    assert_eq!(told(&run), wanted, "{}", run.out);
}

/// Changes a byte in a thread's batch of events with this place.
fn damage(bytes: &mut [u8], thread: u32, place: usize) {
    let at = {
        let file = TraceFile::open(&*bytes).expect("a trace");
        let is_of = |kind, of| kind == BatchKind::Events && of == ThreadId(thread);
        let mut entries = file.index().iter().filter(|entry| is_of(entry.kind, entry.thread));
        let entry = entries.nth(place).expect("it has so many");
        entry.offset + u64::from(entry.bytes) - 1
    };
    bytes[usize::try_from(at).expect("it is in memory")] ^= 0xff;
}

#[test]
fn a_task_has_one_name_in_events_and_tasks() {
    let mut trace = request_builder();
    trace.site(50, CallsiteKind::Task, "app::net::job", &[]);
    let (task, parent, name) = (TaskId(50), TaskId(0), Text::cut(b"a\nb", 256));
    trace.event(1, 600_000, EventKind::TaskBegin { task, parent, name });
    trace.event(1, 610_000, EventKind::TaskEnd { task });
    let (task, site, values) = (TaskId(51), SiteId(50), Values::new(&[]));
    trace.event(1, 620_000, EventKind::TaskBeginSite { task, parent, site, values });
    trace.event(1, 630_000, EventKind::TaskEnd { task });
    let bench = Bench::new(&trace.stop(1_000_000));
    let tasks = json(&bench.run("tasks FILE --json"));
    let tasks = tasks["tasks"]["names"].as_array().expect("a list");
    let events = lines(&bench.run("events FILE --json"));
    for name in ["a\nb", "job"] {
        assert!(tasks.iter().any(|task| task["name"] == name), "{name:?}: {tasks:#?}");
        for kind in ["task_begin", "task_end"] {
            let is_it = |line: &&Value| line["kind"] == kind && line["name"] == name;
            assert_eq!(events.iter().filter(is_it).count(), 1, "{kind} {name:?}: {events:#?}");
        }
    }
    let text = bench.run("events FILE").out;
    for line in [r"task a\nb #50 begins", r"task a\nb #50 ends", "task job #51 begins"] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn a_task_that_was_open_when_the_trace_began_has_its_name() {
    let mut trace = regions();
    let (id, parent, begin) = (TaskId(7), TaskId(0), Ticks(0));
    trace.define(&Definition::TaskState { id, parent, name: b"request", begin });
    trace.event(1, 1_000, EventKind::TaskRun { task: id, duration: Ticks(100) });
    trace.event(1, 2_000, EventKind::TaskEnd { task: id });
    let bench = Bench::new(&trace.stop(10_000));
    let wanted = expected(&[("task_run", "request", 0), ("task_end", "request", 0)]);
    assert_eq!(told(&bench.run("events FILE --json")), wanted);
    let text = bench.run("events FILE").out;
    assert!(text.contains("task request #7 ends"), "{text}");
}

/// Two threads of one name, and one that they do not know of.
fn namesakes() -> TraceBuilder {
    let mut trace = regions();
    for thread in [2, 3] {
        trace.thread(thread, "worker");
        trace.region(thread, LEAF, 1_000, 100);
    }
    trace.region(1, OUTER, 1_000, 100);
    trace
}

#[test]
fn damage_of_a_thread_that_was_not_asked_for_is_no_line_and_is_said() {
    let mut bytes = namesakes().stop(10_000);
    damage(&mut bytes, 1, 0);
    let bench = Bench::new(&bytes);
    let all = bench.run("events FILE");
    assert!(all.code == Some(1) && all.out.contains("!! DAMAGED"), "{}{}", all.out, all.err);
    let run = bench.run("events FILE --thread worker");
    assert!(run.code == Some(1) && run.err.contains("DAMAGED"), "{}{}", run.out, run.err);
    assert!(!run.out.contains("DAMAGED") && run.out.lines().count() == 2, "{}", run.out);
    assert_eq!(bench.run("events FILE --thread worker --json").out.lines().count(), 2);
}

#[test]
fn a_thread_is_found_by_the_name_that_is_shown() {
    let mut trace = namesakes();
    trace.thread(4, "odd\n");
    trace.region(4, LEAF, 1_000, 100);
    let bench = Bench::new(&trace.stop(10_000));
    let ask = |name: &str| {
        let mut command = command();
        command.args(["events", "--json", "--thread", name]).arg(bench.path("a.trace"));
        let output = command.output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    for (name, thread) in [("worker #3", 3), (r"odd\n", 4), ("odd\n", 4), ("thread 2", 2)] {
        let (code, out) = ask(name);
        assert_eq!(code, Some(0), "{name}: {out}");
        let line: Value = serde_json::from_str(out.trim()).expect("one line");
        assert_eq!(line["thread"], thread, "{name}");
    }
    assert_eq!(ask("worker #4").0, Some(2));
    assert_eq!(ask("worker").1.lines().count(), 2);
}

#[test]
fn a_snapshot_that_does_not_say_what_the_recorder_took_is_not_said_to_have_taken_nothing() {
    for (cpu, memory, is_told) in [(0, 0, false), (5_000, 65_536, true)] {
        let mut trace = regions();
        trace.region(1, LEAF, 1_000, 100);
        trace.define(&Definition::Stop {
            ticks: Ticks(2_000),
            events: 1,
            dropped_events: 0,
            dropped_ends: 0,
            tracer_cpu: Nanos(cpu),
            memory_max: memory,
        });
        let bench = Bench::new(&trace.killed());
        let (summary, contents) = (bench.run("summary FILE"), bench.run("check FILE"));
        assert_eq!(summary.out.contains("recorder 5.00 µs CPU"), is_told, "{}", summary.out);
        assert_eq!(contents.out.contains("of memory at most"), is_told, "{}", contents.out);
        assert!(contents.out.contains("the recorder dropped 0 events"), "{}", contents.out);
        let answer: Value =
            serde_json::from_str(&bench.run("summary FILE --json").out).expect("JSON");
        let told =
            ["tracer_cpu_ns", "memory_max_bytes"].map(|field| answer["trace"][field].as_u64());
        assert_eq!(told, [cpu, memory].map(|number| Some(number).filter(|it| *it > 0)));
    }
}
