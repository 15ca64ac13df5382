//! What was cut is seen to be cut, wherever it is shown.

use crate::common::{Bench, Words, json, request_builder};
use trace_format::event::EventKind;
use trace_format::id::TaskId;
use trace_format::value::{LOG_BYTES_MAX, Text};

/// What a line of `events` shows of a message.
const SHOWN_BYTES_MAX: usize = 1000;
/// What the recorder keeps of a task's name.
const NAME_BYTES_MAX: usize = 256;

fn bench() -> Bench {
    let mut trace = request_builder();
    trace.log(1, 600_000, 5, &vec![b'm'; LOG_BYTES_MAX + 8]);
    let (task, name) = (TaskId(9), [b't'; NAME_BYTES_MAX + 44]);
    let name = Text::cut(&name, NAME_BYTES_MAX);
    trace.event(1, 610_000, EventKind::TaskBegin { task, parent: TaskId(0), name });
    trace.event(1, 620_000, EventKind::TaskEnd { task });
    Bench::new(&trace.stop(1_000_000))
}

#[test]
fn a_log_message_that_was_cut_says_so() {
    let bench = bench();
    let run = bench.run("events FILE");
    let line = run.out.lines().find(|line| line.contains("mmm")).expect("it has a line");
    let left_out = LOG_BYTES_MAX + 8 - SHOWN_BYTES_MAX;
    assert!(line.ends_with(&format!("m…(+{left_out} bytes)")), "{line}");
    let whole = format!("m… ({} bytes in all)", LOG_BYTES_MAX + 8);
    let run = bench.run("events FILE --json");
    let line = run.out.lines().find(|line| line.contains("\"message\":\"mmm"));
    assert!(line.is_some_and(|line| line.contains(&whole)), "{}", run.out);
}

#[test]
fn a_task_s_name_that_was_cut_says_so() {
    let bench = bench();
    let run = bench.run("events FILE");
    let whole = "t… (300 bytes in all)";
    assert!(run.out.contains(whole), "{}", run.out);
    let answer = json(&bench.run("tasks FILE --json"));
    assert!(answer.to_string().contains(whole), "{answer:#}");
}
