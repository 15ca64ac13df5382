//! Text and JSON of a verb show the same answer, on traces of all kinds, whole and damaged, with
//! and without windows and limits:
//!
//! - the same exit code, and the same lines about what is missing;
//! - whatever time, size or count people read is a number in the object, or stands in one of its
//!   sentences. Parts of a whole (`12%`) and rates are computed from these.

use std::collections::BTreeSet;
use std::path::Path;

use crate::common::{Bench, Run, convoy, long, request, request_builder, server, suite};
use serde_json::Value;
use trace_analysis::Moment;
use trace_format::event::EventKind;
use trace_format::id::TaskId;
use trace_format::text::from_text;
use trace_format::time::{Nanos, Ticks};
use trace_format::value::Text;
use trace_tool::label::units;

/// Questions with one object as the answer, and `events`.
const QUESTIONS: [&str; 38] = [
    "summary FILE",
    "summary FILE --top 1",
    "summary FILE --top 0 --sort count",
    "regions FILE",
    "regions FILE --top 2 --longest 1",
    "regions FILE --from 10us --to 90us",
    "tasks FILE",
    "tasks FILE --top 1 --longest 1",
    "threads FILE",
    "threads FILE --top 1",
    "threads FILE --sort name --top 2",
    "check FILE",
    "check FILE --from 100us",
    "blocked FILE",
    "blocked FILE --top 1",
    "blocked FILE --by reason --top 0",
    "blocked FILE --by thread --top 1",
    "syscalls FILE",
    "syscalls FILE --top 1 --longest 2",
    "syscalls FILE --by resource --sort count --top 2",
    "heap FILE",
    "heap FILE --top 1 --at end",
    "async FILE",
    "async FILE --top 1",
    "explain FILE --top 1",
    "tests FILE",
    "tests FILE --top 1 --sort blocked",
    "tests FILE --from 5ms --to 45ms",
    "events FILE --top 300",
    "summary FILE --from 100us --to 40ms",
    "summary FILE --thread worker",
    "tasks FILE --to 300us",
    "threads FILE --from 20ms --thread worker-1",
    "blocked FILE --from 20ms --to 41ms",
    "syscalls FILE --from 20ms --thread slow-poke",
    "heap FILE --from 30ms --at 50ms",
    "async FILE --from 1ms --to 40ms",
    "explain FILE --from 1ms --to 300ms --top 0",
];

/// Numbers in texts that are not of the trace: what makes a poll long, a wait worth a word, a read
/// tiny, a region too deep.
const CONSTANTS: [&str; 4] = ["10.0 ms", "100 ms", "512 bytes", "65,536 regions"];

/// Nouns behind counts.
const NOUNS: [&str; 20] = [
    "times",
    "time",
    "waits",
    "wait",
    "calls",
    "call",
    "events",
    "event",
    "tasks",
    "task",
    "polls",
    "poll",
    "threads",
    "thread",
    "batches",
    "batch",
    "stacks",
    "samples",
    "allocations",
    "async",
];

#[test]
fn whole_traces() {
    for trace in [request(), long(), convoy::convoy(), server::server(), suite::suite()] {
        check(&trace);
    }
}

#[test]
fn killed_and_cut_traces() {
    let mut killed = request_builder();
    killed.generation(600_000);
    check(&killed.killed());
    let whole = long();
    check(&whole[..whole.len() / 2]);
    let convoy = convoy::convoy();
    check(&convoy[..convoy.len() / 3]);
}

#[test]
fn traces_with_damage_and_drops() {
    for trace in [long(), convoy::convoy(), server::server()] {
        let mut bytes = trace;
        let at = bytes.len() / 2;
        bytes[at] ^= 0xff;
        check(&bytes);
    }
    let mut trace = request_builder();
    for at in [600_000, 700_000] {
        let (from, to) = (Ticks(at), Ticks(at + 1_000));
        trace.event(1, at + 1_000, EventKind::Dropped { events: 40, ends: 5, from, to });
    }
    check(&trace.stop(1_000_000));
}

#[test]
fn golden_traces() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../trace-format/testdata");
    for name in ["trace/everything.trace", "corpus/fault-later-than-its-batch.trace"] {
        check(&std::fs::read(folder.join(name)).expect("it is checked in"));
    }
}

#[test]
fn traces_that_others_have_made() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/made");
    for entry in std::fs::read_dir(folder).expect("it is there") {
        let text = std::fs::read_to_string(entry.expect("it can be read").path());
        check(&from_text(&text.expect("it is text")).expect("it is the text of a trace"));
    }
}

#[test]
fn what_an_option_leaves_out_is_left_out_of_both_and_counted() {
    let (locks, tasks) = (Bench::new(&convoy::convoy()), Bench::new(&server::server()));
    let (annotated, named) = (Bench::new(&long()), Bench::new(&two_tasks()));
    let tested = Bench::new(&suite::suite());
    for (question, list, omitted) in [
        ("threads FILE --top", "/lives/threads", "/lives_omitted"),
        ("summary FILE --top", "/lives/threads", "/omitted/lives"),
        ("syscalls FILE --top", "/calls/by_call", "/calls/omitted/by_call"),
        ("blocked FILE --by thread --top", "/waits/by_thread", "/waits/sums/by_thread"),
        ("explain FILE --top", "/insights", "/insights_omitted"),
        ("regions FILE --longest 0 --top", "/regions", "/regions_omitted"),
        ("tasks FILE --longest 0 --sort name --top", "/tasks/names", "/tasks_omitted"),
        ("threads FILE --sort name --top", "/threads", "/threads_omitted"),
        ("tests FILE --top", "/tests", "/tests_omitted"),
    ] {
        let bench = match question.split(' ').next() {
            Some("explain") => &tasks,
            Some("regions") => &annotated,
            Some("tasks") => &named,
            Some("tests") => &tested,
            Some(_) if question.contains("--sort name") => &annotated,
            _ => &locks,
        };
        let count = |answer: &Value| {
            answer.pointer(list).and_then(Value::as_array).map_or(0, Vec::len) as u64
        };
        let ask = |limit: u64| answer(question, &bench.run(&format!("{question} {limit} --json")));
        let (all, cut) = (ask(0), ask(1));
        let left_out = match cut.pointer(omitted).expect("it is counted") {
            Value::Object(kinds) => {
                kinds.values().filter_map(|kind| kind["omitted"].as_u64()).sum()
            }
            count => count.as_u64().expect("a count"),
        };
        assert!(left_out > 0, "{question}: nothing was left out of {}", count(&all));
        assert_eq!(count(&cut) + left_out, count(&all), "{question}");
        let shown = bench.run(&format!("{question} 1")).out;
        let told = shown.lines().filter_map(|line| line.strip_prefix("… and "));
        let told = told.filter_map(|rest| rest.split(' ').next()?.parse::<u64>().ok());
        assert_eq!(told.sum::<u64>(), left_out, "{question}: {shown}");
    }
}

/// Two tasks with different names.
fn two_tasks() -> Vec<u8> {
    let mut trace = request_builder();
    let (task, parent, name) = (TaskId(2), TaskId(0), Text::cut(b"other", 256));
    trace.event(1, 600_000, EventKind::TaskBegin { task, parent, name });
    trace.event(1, 700_000, EventKind::TaskEnd { task });
    trace.stop(1_000_000)
}

#[test]
fn a_lock_that_people_read_of_first_is_not_cut_off_by_how_threads_rest() {
    let bench = Bench::new(&convoy::convoy());
    let shown = bench.run("blocked FILE --top 1");
    assert!(shown.out.contains("mutex 0x5500"), "{}", shown.out);
    let told = answer("blocked", &bench.run("blocked FILE --top 1 --json"));
    let groups = told["waits"]["by_lock"].as_array().expect("a list");
    let in_calls = groups.iter().filter(|it| it["reason"] != "unseen");
    let of = |at_rest: bool| in_calls.clone().filter(move |it| it["at_rest"] == at_rest);
    assert_eq!((of(false).count(), of(true).count()), (1, 1), "{groups:#?}");
    assert!(of(false).all(|it| it["reason"] == "mutex"), "{groups:#?}");
}

#[track_caller]
fn check(trace: &[u8]) {
    let bench = Bench::new(trace);
    let mut faults = Vec::new();
    for question in QUESTIONS {
        let shown = bench.run(question);
        let told = bench.run(&format!("{question} --json"));
        assert_eq!(shown.code, told.code, "{question}: {}{}", shown.err, told.err);
        if shown.code == Some(2) {
            assert_eq!(shown.err, told.err, "{question}");
            continue;
        }
        let answer = answer(question, &told);
        check_losses(question, &shown, &told, &answer);
        let unknown = unknown_numbers(&shown, &answer);
        faults.extend(unknown.into_iter().map(|(number, line)| {
            format!("{question}: `{number}` is not in the object, but in `{line}`")
        }));
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// The object; of `events` the list of its lines.
fn answer(question: &str, run: &Run) -> Value {
    if !question.starts_with("events") {
        return serde_json::from_str(&run.out).expect("JSON");
    }
    run.out.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")).collect()
}

/// `missing` and `has_loss` are what people are told, and the exit code.
fn check_losses(question: &str, shown: &Run, told: &Run, answer: &Value) {
    let Some(missing) = answer.get("missing").and_then(Value::as_array) else {
        assert_eq!(shown.err, told.err, "{question}");
        return;
    };
    assert_eq!(answer["has_loss"], shown.code == Some(1), "{question}");
    assert_eq!(missing.is_empty(), shown.code == Some(0), "{question}");
    let said = format!("{}{}", shown.out, shown.err);
    let said: Vec<_> = said
        .lines()
        .map(|line| line.trim_start_matches("exectrace: ").trim_start_matches("!! "))
        .collect();
    for loss in missing {
        let text = loss["text"].as_str().expect("a line");
        assert!(said.contains(&text), "{question}: nobody reads `{text}` in {said:#?}");
        let evidence = loss["evidence"].as_array().expect("a list");
        assert!(loss["count"].as_u64() >= Some(evidence.len() as u64), "{question}: {loss}");
    }
}

/// Numbers that people read and programs do not, each with its line.
fn unknown_numbers(shown: &Run, answer: &Value) -> Vec<(String, String)> {
    let mut known = Known::default();
    known.add(answer);
    let of_line = |line: &'_ str| {
        let line = line.to_owned();
        numbers(&line).into_iter().map(move |number| (number, line.clone())).collect::<Vec<_>>()
    };
    // The axis of a picture is rounded.
    let lines = shown.out.lines().filter(|line| !line.trim_start().starts_with('└'));
    let all = lines.flat_map(of_line);
    all.filter(|(number, _)| !known.has(number)).collect()
}

/// All numbers of an object, as people may read them, and all sentences.
#[derive(Default)]
struct Known {
    numbers: BTreeSet<String>,
    sentences: Vec<String>,
}

impl Known {
    fn has(&self, number: &str) -> bool {
        // Of `12 waits` the count alone is a number of the object.
        let count = NOUNS.iter().find_map(|noun| number.strip_suffix(noun)).map(str::trim_end);
        CONSTANTS.contains(&number)
            || self.numbers.contains(count.unwrap_or(number))
            || self.sentences.iter().any(|sentence| has_word(sentence, number))
    }

    fn add(&mut self, value: &Value) {
        match value {
            Value::Number(number) => {
                let size = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
                let Some(size) = size else { return };
                self.numbers.insert(units::time(Nanos(size)));
                self.numbers.insert(format!("{} s", units::moment(Nanos(size))));
                self.numbers.insert(units::count(size));
                self.numbers.insert(size.to_string());
                self.numbers.insert(units::bytes(size));
                if let Some(number) = number.as_i64() {
                    self.numbers.insert(units::since(Moment(number)));
                }
            }
            Value::String(text) => self.sentences.push(text.clone()),
            Value::Array(values) => values.iter().for_each(|value| self.add(value)),
            Value::Object(fields) => fields.values().for_each(|value| self.add(value)),
            _ => {}
        }
    }
}

/// Whether a number stands in a sentence, and is no part of a longer one.
fn has_word(sentence: &str, number: &str) -> bool {
    let is_part = |it: char| it.is_alphanumeric() || matches!(it, '.' | ',');
    sentence.match_indices(number).any(|(at, _)| {
        let (before, after) = (&sentence[..at], &sentence[at + number.len()..]);
        !before.ends_with(is_part) && !after.starts_with(char::is_alphanumeric)
    })
}

/// Times, sizes and counts in a line: `12.3 ms`, `1.50 kB`, `1,234 events`; and cells of tables
/// that are nothing but a count.
fn numbers(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    let words: Vec<_> = line.split_whitespace().collect();
    for pair in words.windows(2) {
        let number = pair[0].trim_start_matches(['(', '+', '-']);
        let unit = pair[1].trim_end_matches([',', '.', ':', ';', ')']);
        let is_number = number.starts_with(|c: char| c.is_ascii_digit())
            && number.chars().all(|c| c.is_ascii_digit() || c == '.' || c == ',');
        let is_unit = ["ns", "µs", "ms", "s", "B", "kB", "MB", "GB"].contains(&unit);
        let is_count = !number.contains('.') && NOUNS.contains(&unit);
        if is_number && !number.ends_with(',') && (is_unit || is_count) {
            found.push(format!("{number} {unit}"));
        }
    }
    let cells = line.split("  ").map(str::trim);
    let is_count =
        |cell: &&str| !cell.is_empty() && cell.chars().all(|c| c.is_ascii_digit() || c == ',');
    // A line of `events` begins with a moment; only tables have cells of counts.
    found.extend(cells.filter(is_count).map(str::to_owned));
    found
}
