//! Traces with faults: the good part is shown, what is missing is said loudly, and the exit code
//! is 1. And whatever a program recorded, no control character reaches the terminal.

use crate::common::{Bench, Words, bytes_of, long, request, request_builder, text};
use trace_format::event::EventKind;
use trace_format::id::{SiteId, TaskId};
use trace_format::time::Ticks;
use trace_format::value::{Text, Value, Values};

const VERBS: [&str; 6] = ["summary", "events", "check", "regions", "tasks", "threads"];

#[test]
fn a_damaged_batch_is_said_loudly_and_the_rest_is_shown() {
    let mut bytes = long();
    let at = bytes.len() / 2;
    bytes[at] ^= 0xff;
    let bench = Bench::new(&bytes);
    for verb in VERBS {
        let run = bench.run(&format!("{verb} FILE"));
        assert_eq!(run.code, Some(1), "{verb}");
        let said = format!("{}{}", run.out, run.err);
        assert!(said.contains("DAMAGED") && said.contains("at byte"), "{verb}: {said}");
        assert!(said.contains("MISSING"), "{verb}: {said}");
        assert!(
            verb == "check"
                || run.out.contains("worker-1")
                || run.out.contains("job")
                || run.out.contains("function"),
            "{verb}: {said}"
        );
        let json = bench.run(&format!("{verb} FILE --json"));
        assert_eq!(json.code, Some(1), "{verb} --json");
        for line in
            if verb == "events" { json.out.lines().collect() } else { vec![json.out.as_str()] }
        {
            serde_json::from_str::<serde_json::Value>(line).expect("it is JSON all the same");
        }
    }
    let run = bench.run("summary FILE");
    assert!(
        run.out.lines().nth(2).is_some_and(|line| line.starts_with("!! DAMAGED")),
        "{}",
        run.out
    );
}

#[test]
fn a_cut_file_shows_what_is_left() {
    let bytes = long();
    let mut codes = Vec::new();
    for part in 0..40 {
        let bench = Bench::new(&bytes[..bytes.len() * part / 40]);
        let run = bench.run("check FILE");
        assert!(!run.err.contains("panicked"), "{}", run.err);
        codes.push(run.code);
        if run.code == Some(1) {
            assert!(run.out.contains("NOT ENDED"), "{}", run.out);
        }
    }
    assert_eq!(codes[0], Some(2), "an empty file is no trace");
    assert!(codes[2..].iter().all(|code| *code == Some(1)), "{codes:?}");
}

#[test]
fn any_flipped_byte_is_an_answer_and_never_a_panic() {
    let bytes = request();
    for at in (0..bytes.len()).step_by(7) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        let bench = Bench::new(&flipped);
        for verb in ["summary", "events"] {
            let run = bench.run(&format!("{verb} FILE"));
            assert!(run.code.is_some_and(|code| code <= 2), "byte {at}: {}", run.err);
            assert!(!run.err.contains("panicked"), "byte {at}: {}", run.err);
        }
    }
}

#[test]
fn dropped_events_are_said_first() {
    let mut trace = request_builder();
    let (from, to) = (Ticks(600_000), Ticks(700_000));
    trace.event(1, 700_000, EventKind::Dropped { events: 1234, ends: 5, from, to });
    let bench = Bench::new(&trace.stop(1_000_000));
    for verb in VERBS {
        let run = bench.run(&format!("{verb} FILE"));
        assert_eq!(run.code, Some(1), "{verb}");
        let said = format!("{}{}", run.out, run.err);
        assert!(said.contains("DROPPED") && said.contains("1,2"), "{verb}: {said}");
    }
    let run = bench.run("summary FILE");
    assert!(
        run.out.contains("1,234 events and 5 ends on main, from 0.000600000 s to 0.000700000 s"),
        "{}",
        run.out
    );
}

#[test]
fn no_control_character_reaches_the_terminal() {
    let nasty = b"\x1b[2J\x1b]0;owned\x07 \"quoted\" \r\n\t\xff\xfe\xe2\x80\xae end\x00";
    let long_text = vec![b'y'; 1 << 20];
    let mut trace = request_builder();
    let name = String::from_utf8_lossy(nasty).into_owned();
    trace.site(50, trace_format::definition::CallsiteKind::Function, &name, &[&name, "b"]);
    trace.thread(9, &name);
    trace.region_with(9, 600_000, 50, 10, &[text(nasty), text(&long_text)]);
    let bytes =
        bytes_of(&[Value::Bytes(Text::cut(nasty, 100)), Value::Formatted(Text::cut(nasty, 100))]);
    let values = Values::new(&bytes);
    trace.event(9, 600_020, EventKind::Instant { site: SiteId(50), values });
    trace.log(9, 600_030, 50, nasty);
    trace.log(9, 600_030, 50, &long_text);
    let (task, parent, name) = (TaskId(77), TaskId(0), Text::cut(nasty, 256));
    trace.event(9, 600_040, EventKind::TaskBegin { task, parent, name });
    let bench = Bench::new(&trace.stop(1_000_000));
    for verb in VERBS {
        let run = bench.run(&format!("{verb} FILE"));
        let bad = |c: &char| (c.is_control() && *c != '\n') || *c == '\u{202e}';
        assert_eq!(run.out.chars().find(bad), None, "{verb}");
        assert_eq!(run.err.chars().find(bad), None, "{verb}");
        assert!(run.out.lines().all(|line| line.chars().count() < 2000), "{verb}");
    }
    let run = bench.run("events FILE --json");
    for line in run.out.lines() {
        serde_json::from_str::<serde_json::Value>(line).expect("each line is JSON");
    }
    let run = bench.run("events FILE --thread 9");
    assert!(run.out.contains(r"\u{1b}[2J") && run.out.contains(r"\xff\xfe"), "{}", run.out);
    assert!(run.out.contains("(+1048496 bytes)"), "{}", run.out);
}

#[test]
fn what_is_still_open_at_the_end_is_said() {
    let mut trace = request_builder();
    trace.begin(2, 3, 700_000);
    let bench = Bench::new(&trace.stop(1_000_000));
    let run = bench.run("summary FILE");
    assert_eq!(run.code, Some(0), "it is about the program, not about the trace");
    assert!(
        run.out.contains("still open at the end: work::parse on worker, for 300 µs"),
        "{}",
        run.out
    );
    let run = bench.run("events FILE");
    assert!(run.out.contains("… work::parse still open, for 0 ns"), "{}", run.out);
}

#[test]
fn an_empty_file_is_told_from_a_damaged_one() {
    let run = Bench::new(&[]).run("summary FILE");
    assert_eq!((run.code, run.out.as_str()), (Some(2), ""));
    assert!(run.err.contains("at byte 0: the file is empty: was its program"), "{}", run.err);
    assert!(run.err.contains("or was the start refused (`AlreadyRunning`)"), "{}", run.err);
}
