//! What is missing from a trace is said in the same lines by every command that reads one, and is
//! the same exit code.

use crate::common;
use std::path::Path;

use crate::common::{Bench, Run, long, request, request_builder};
use trace_format::event::EventKind;
use trace_format::id::ThreadId;
use trace_format::read::NESTING_MAX;
use trace_format::testgen::os_id;
use trace_format::text::from_text;
use trace_format::time::Ticks;

/// All commands that read a trace, as they are called.
const LINES: [&str; 18] = [
    "check FILE",
    "summary FILE",
    "summary FILE --json",
    "explain FILE",
    "events FILE",
    "regions FILE",
    "tasks FILE",
    "threads FILE",
    "blocked FILE",
    "async FILE",
    "syscalls FILE",
    "heap FILE",
    "tests FILE",
    "profile FILE --kind block -o out.pb.gz",
    "profile FILE --kind heap -o out.pb.gz",
    "symbolize FILE -o out.trace",
    "recover FILE -o out.trace",
    "export FILE --format perfetto -o out.pftrace",
];

/// Commands that answer with one JSON object.
const JSON: [&str; 11] = [
    "summary", "explain", "check", "regions", "tasks", "threads", "blocked", "async", "syscalls",
    "heap", "tests",
];

/// Beginnings of the lines about losses.
const HEADINGS: [&str; 10] = [
    "DAMAGED",
    "NOT ENDED",
    "MISSING",
    "DROPPED",
    "LOST ENDS",
    "TOO DEEP",
    "UNKNOWN CLOCK",
    "LOST:",
    "NOT NAMED",
    "NOT JOINED",
];

/// The lines about losses, without what shows that they are loud.
fn losses(run: &Run) -> Vec<String> {
    let lines = run.out.lines().chain(run.err.lines());
    let bare = lines.map(|line| line.trim_start_matches("exectrace: ").trim_start_matches("!! "));
    let is_loss = |line: &&str| HEADINGS.iter().any(|heading| line.starts_with(heading));
    bare.filter(is_loss).map(str::to_owned).collect()
}

/// Fails unless every command says these losses, in the same words, and has their exit code.
#[track_caller]
fn check(trace: &[u8], headings: &[&str]) {
    let bench = Bench::new(trace);
    let code = Some(i32::from(!headings.is_empty()));
    let said = losses(&bench.run("check FILE"));
    assert_eq!(said.len(), headings.len(), "{said:#?}");
    for (line, heading) in said.iter().zip(headings) {
        assert!(line.starts_with(heading), "{heading}: {said:#?}");
    }
    for line in LINES {
        let run = bench.run(line);
        assert_eq!(losses(&run), said, "{line}: {}{}", run.out, run.err);
        // A profile of nothing is not written, which is another exit code.
        let is_nothing = line.starts_with("profile") && run.err.contains("nothing of this kind");
        let code = if is_nothing { Some(2) } else { code };
        assert_eq!(run.code, code, "{line}: {}{}", run.out, run.err);
    }
    for verb in JSON {
        let run = bench.run(&format!("{verb} FILE --json"));
        let answer: serde_json::Value = serde_json::from_str(&run.out).expect("JSON");
        assert_eq!(answer["has_loss"], !headings.is_empty(), "{verb}");
        assert_eq!(run.code, code, "{verb} --json");
    }
}

/// The trace of a file of `fixtures/made`, after a change to its text.
fn made(name: &str, from: &str, to: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/made").join(name);
    let text = std::fs::read_to_string(&path).expect("it is checked in");
    assert!(text.contains(from), "{from} is in {name}");
    from_text(&text.replace(from, to)).expect("it is the text of a trace")
}

/// What a killed process leaves: whole batches, a second look at the clocks, and no end.
fn killed() -> Vec<u8> {
    let mut trace = request_builder();
    trace.generation(600_000);
    trace.killed()
}

#[test]
fn a_whole_trace_has_no_losses() {
    check(&request(), &[]);
    check(&made("base-loose.txt", "trailer", "trailer"), &[]);
}

#[test]
fn a_killed_process_s_trace_is_not_ended_and_not_damaged() {
    let killed = killed();
    check(&killed, &["NOT ENDED"]);
    let run = Bench::new(&killed).run("summary FILE");
    assert!(run.out.contains("exectrace recover"), "it says what to do: {}", run.out);
}

#[test]
fn a_recovered_trace_is_not_ended_and_needs_no_recovery() {
    let bench = Bench::new(&killed());
    bench.run("recover FILE -o whole.trace");
    let whole = std::fs::read(bench.path("whole.trace")).expect("it was written");
    check(&whole, &["NOT ENDED"]);
    let run = Bench::new(&whole).run("summary FILE");
    assert!(!run.out.contains("exectrace recover"), "that was done: {}", run.out);
}

#[test]
fn a_trace_is_recovered_to_standard_output_if_that_is_asked_for() {
    let bench = Bench::new(&killed());
    bench.run("recover FILE -o whole.trace");
    let mut command = common::command();
    command.args(["recover", "a.trace", "-o", "-"]).current_dir(bench.path(""));
    let output = command.output().expect("it runs");
    let whole = std::fs::read(bench.path("whole.trace")).expect("it was written");
    assert!(output.stdout == whole, "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!bench.path("-").exists(), "no file is called so");
}

#[test]
fn a_file_that_was_cut_inside_a_batch_is_damaged_and_not_ended() {
    let whole = long();
    check(&whole[..whole.len() / 2], &["DAMAGED", "NOT ENDED"]);
}

#[test]
fn dropped_events_are_missing_from_every_answer() {
    let mut trace = request_builder();
    for at in [600_000, 700_000] {
        let (from, to) = (Ticks(at), Ticks(at + 1_000));
        trace.event(1, at + 1_000, EventKind::Dropped { events: 40, ends: 5, from, to });
    }
    let trace = trace.stop(1_000_000);
    check(&trace, &["DROPPED"]);
    let run = Bench::new(&trace).run("heap FILE");
    assert!(run.err.contains(", 2 times (80 events): 40 events and 5 ends"), "{}", run.err);
}

/// Commands that can be asked about one thread.
const OF_A_THREAD: [&str; 13] = [
    "check FILE",
    "summary FILE",
    "summary FILE --json",
    "explain FILE",
    "events FILE",
    "regions FILE",
    "tasks FILE",
    "threads FILE",
    "blocked FILE",
    "async FILE",
    "syscalls FILE",
    "tests FILE",
    "profile FILE --kind block -o out.pb.gz",
];

#[test]
fn what_other_threads_lack_is_missing_from_an_answer_about_one() {
    // Regions alone, and with what threads did.
    for has_life in [false, true] {
        let mut trace = request_builder();
        trace.facility("os", has_life, "");
        let (from, to) = (Ticks(600_000), Ticks(700_000));
        trace.event(2, 700_000, EventKind::Dropped { events: 40, ends: 0, from, to });
        trace.event(ThreadId::cpu(0).0, 800_000, EventKind::LostKernel { records: 7 });
        let bench = Bench::new(&trace.stop(1_000_000));
        let said = losses(&bench.run("check FILE"));
        assert_eq!(said.len(), 2, "{said:#?}");
        for line in OF_A_THREAD {
            let run = bench.run(&format!("{line} --thread main"));
            assert_eq!(losses(&run), said, "{line}: {}{}", run.out, run.err);
            let code = if line.starts_with("profile") { 2 } else { 1 };
            assert_eq!(run.code, Some(code), "{line}: {}{}", run.out, run.err);
        }
        let answer = bench.run("threads FILE --thread main --json").out;
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(answer["lost_records"], 7);
        assert_eq!(answer["threads"].as_array().map(Vec::len), Some(1), "{answer}");
    }
}

#[test]
fn a_report_shows_five_of_a_kind_and_counts_the_others() {
    let mut trace = request_builder();
    for at in (600_000..670_000).step_by(10_000) {
        let (from, to) = (Ticks(at), Ticks(at + 1_000));
        trace.event(1, at + 1_000, EventKind::Dropped { events: 40, ends: 5, from, to });
    }
    let run = Bench::new(&trace.stop(1_000_000)).run("summary FILE");
    let shown = run.out.lines().filter(|line| line.contains("40 events and 5 ends"));
    assert_eq!(shown.count(), 5, "{}", run.out);
    assert!(run.out.contains("… and 2 more"), "{}", run.out);
}

/// Thread 7 is in no definition, and its switches are those of a thread that is known from its CPU
/// alone: who adds both up counts one thread twice.
#[test]
fn a_thread_whose_definition_is_missing_is_counted_once() {
    let mut trace = request_builder();
    trace.switch_in(0, 500_000, os_id(7));
    trace.region(7, 1, 550_000, 100);
    trace.switch_out(0, 600_000, os_id(7), false);
    let trace = trace.stop(1_000_000);
    check(&trace, &["NOT JOINED"]);
    let answer = Bench::new(&trace).run("threads FILE --json");
    let answer: serde_json::Value = serde_json::from_str(&answer.out).expect("JSON");
    let lives = answer["lives"]["threads"].as_array().expect("lives of threads");
    assert_eq!(lives.len(), 3, "the two that are defined, and thread 7 once: {answer}");
}

#[test]
fn stacks_and_locks_without_a_name_are_missing_from_every_answer() {
    let mut trace = request_builder();
    let note = "9 times a stack, 2 times a lock, file or socket was not recorded";
    trace.facility("names", false, note);
    let trace = trace.stop(1_000_000);
    check(&trace, &["NOT NAMED"]);
    let run = Bench::new(&trace).run("threads FILE");
    assert_eq!(run.err, format!("exectrace: NOT NAMED: {note}\n"));
    assert!(!run.out.contains("without names"), "once is enough: {}", run.out);
}

#[test]
fn drops_that_only_the_recorder_s_totals_know_are_missing_from_every_answer() {
    let total = ("stop 1000000 events 3 dropped 0", "stop 1000000 events 3 dropped 9");
    check(&made("base-loose.txt", total.0, total.1), &["DROPPED"]);
}

#[test]
fn records_that_the_kernel_lost_are_missing_from_every_answer() {
    let mut trace = request_builder();
    trace.event(ThreadId::cpu(0).0, 800_000, EventKind::LostKernel { records: 7 });
    check(&trace.stop(1_000_000), &["LOST:"]);
}

#[test]
fn regions_deeper_than_readers_keep_are_missing_from_every_answer() {
    let mut trace = request_builder();
    // One batch: each restates what is open.
    trace.batch_bytes_max(usize::MAX);
    (0..=NESTING_MAX as u64).for_each(|at| trace.begin(2, 2, 600_000 + at));
    (0..=NESTING_MAX as u64).for_each(|at| trace.end(2, 700_000 + at));
    check(&trace.stop(1_000_000), &["TOO DEEP"]);
}

#[test]
fn a_region_that_the_next_batch_does_not_restate_has_lost_its_end() {
    let from = "last=1005 flags=1 events=1\n  1000 region 1 for 5 [ ]";
    let to = "last=1000 flags=1 events=1\n  1000 region-begin 1 [ ]";
    check(&made("base-loose.txt", from, to), &["LOST ENDS"]);
}

#[test]
fn a_clock_that_was_looked_at_once_is_unknown_to_every_command() {
    let from = "events=3\n  clock 1000000 monotonic 1000000 wall 1700000000000999900\n";
    check(&made("base-loose.txt", from, "events=2\n"), &["UNKNOWN CLOCK"]);
}

#[test]
fn a_batch_with_another_number_of_events_than_it_says_is_damage() {
    let (from, to) = ("last=2005 flags=1 events=1", "last=2005 flags=1 events=2");
    check(&made("base-loose.txt", from, to), &["DAMAGED"]);
}

#[test]
fn a_damaged_batch_and_its_events_are_missing_from_every_answer() {
    let mut bytes = long();
    let at = bytes.len() / 2;
    bytes[at] ^= 0xff;
    let said = losses(&Bench::new(&bytes).run("check FILE"));
    assert!(said[0].starts_with("DAMAGED") && said[1].starts_with("MISSING"), "{said:?}");
    let headings: Vec<_> = said.iter().map(|line| line.split(':').next().expect("one")).collect();
    check(&bytes, &headings);
}

#[test]
fn events_up_to_a_limit_lack_only_what_lies_before_it() {
    let mut trace = request_builder();
    let (from, to) = (Ticks(600_000), Ticks(700_000));
    trace.event(1, 700_000, EventKind::Dropped { events: 40, ends: 0, from, to });
    let bench = Bench::new(&trace.stop(1_000_000));
    let run = bench.run("events FILE --top 2");
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    let run = bench.run("events FILE --top 100");
    assert_eq!(run.code, Some(1), "all lines are fewer: {}", run.err);
    assert!(run.err.contains("DROPPED"), "{}", run.err);
}
