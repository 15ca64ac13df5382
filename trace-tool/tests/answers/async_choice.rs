//! What `async` says of a task that may wait for several things at once, and of one that blocks its
//! thread inside `block_in_place`. One tick is a nanosecond.

use crate::common::{Bench, check, json};
use crate::executor::{BLOCK, Executor, HANDLER, IN_PLACE, PASS, QUERY, TIMER, WRITER};
use serde_json::Value;
use trace_format::event::{EventKind, Outcome};
use trace_format::id::{CallId, StackId};
use trace_format::testgen::{open_call, os_id};

const MS: u64 = 1_000_000;

/// A task that sleeps in its poll on `worker-0`, from here on and for 30 ms; tasks have these ids.
fn sleep(e: &mut Executor, from: u64, task: u64, stack: u32) {
    let site = if stack == IN_PLACE { WRITER } else { HANDLER };
    e.spawn(2, from, task, site);
    e.begin_poll(1, from + 1_000, task);
    let call = open_call(CallId::CLOCK_NANOSLEEP, 0, stack);
    e.0.call(1, call, from + 2_000, 30 * MS, 0);
    e.0.switch_out(0, from + 3_000, os_id(1), false);
    e.0.switch_in(0, from + 30 * MS, os_id(1));
    end_poll(e, from + 31 * MS, 0);
    e.end(1, from + 31 * MS, task, Outcome::Returned);
}

fn end_poll(e: &mut Executor, at: u64, stack: u32) {
    e.event(1, at, EventKind::EndPoll { waits_at: StackId(stack) });
}

fn started() -> Executor {
    let mut e = Executor::new();
    e.0.switch_in(0, 0, os_id(1));
    e.0.switch_in(1, 0, os_id(2));
    e
}

#[test]
fn a_poll_in_block_in_place_blocks_no_worker() {
    let mut e = started();
    for round in 0..2 {
        sleep(&mut e, round * 50 * MS, 10 + round, IN_PLACE);
    }
    let bench = Bench::new(&e.stop(200 * MS));
    let run = bench.run("async FILE");
    check(
        &run,
        &[
            "no worker was blocked: no poll outside of block_in_place took 10.0 ms",
            "In block_in_place: 2 long polls, another worker had the other tasks",
            "writer",
            "sleep 9",
        ],
    );
    assert!(!run.out.contains("Blocked workers"), "{}", run.out);
    assert_eq!(counts(&bench), [2, 0, 2]);
    assert!(!bench.run("explain FILE").out.contains("a poll of"), "explain says the same");
}

#[test]
fn polls_that_block_come_before_those_in_block_in_place() {
    let mut e = started();
    // Those in place are longest, as they come first.
    for (round, stack) in (0..).zip([IN_PLACE, IN_PLACE, BLOCK]) {
        sleep(&mut e, round * 50 * MS, 10 + round, stack);
    }
    let bench = Bench::new(&e.stop(200 * MS));
    let run = bench.run("async FILE");
    check(&run, &["Blocked workers: 1 poll of 10.0 ms or more", "In block_in_place: 2 long polls"]);
    let at = |text| run.out.find(text).unwrap_or(usize::MAX);
    let order = ["Blocked workers", "handler (src", "In block_in_place", "writer (src"].map(at);
    assert!(order.is_sorted() && order[3] < usize::MAX, "{}", run.out);
    assert_eq!(counts(&bench), [3, 1, 2]);
    let top = bench.run("async FILE --top 1").out;
    assert!(top.contains("handler (src") && !top.contains("writer (src"), "{top}");
    let explained = bench.run("explain FILE").out;
    assert!(explained.contains("a poll of handler"), "{explained}");
}

#[test]
fn a_poll_in_block_in_place_that_kept_a_task_waiting_is_among_the_blocked() {
    let mut e = started();
    // This is ready while the other sleeps, and no other worker takes it.
    e.spawn(2, 0, 20, QUERY);
    sleep(&mut e, 0, 10, IN_PLACE);
    e.poll(1, 32 * MS, 20, 0, 1_000);
    let bench = Bench::new(&e.stop(200 * MS));
    let run = bench.run("async FILE");
    check(
        &run,
        &[
            "Blocked workers: 1 poll of 10.0 ms or more",
            "in block_in_place, and yet others waited for it",
            "1 time a ready task waited behind it: query for",
        ],
    );
    assert!(!run.out.contains("In block_in_place"), "{}", run.out);
    assert_eq!(counts(&bench), [1, 1, 0]);
}

/// Long polls, those that blocked, and those that did not.
fn counts(bench: &Bench) -> [u64; 3] {
    let answer = json(&bench.run("async FILE --json"));
    let fields = ["long_polls_count", "long_polls_blocking", "long_polls_in_place"];
    fields.map(|field| answer[field].as_u64().expect("a count"))
}

/// A task with two child futures, of which one waits for time and one for a message; it is woken
/// once, and nothing tells for which.
fn choice() -> Bench {
    let mut e = started();
    e.spawn(1, 0, 1, HANDLER);
    e.begin_poll(1, 10, 1);
    for (child, stack) in [(2, TIMER), (3, PASS)] {
        e.begin(1, 10 * child, child, QUERY);
        e.poll(1, 10 * child, child, stack, 5);
    }
    end_poll(&mut e, 100, 0);
    e.wake(2, 500, 1, 0);
    e.poll(1, 510, 1, 0, 10);
    Bench::new(&e.stop(300 * MS))
}

#[test]
fn a_task_that_waits_at_one_of_several_places_is_said_to() {
    let timer = "tokio timer at app::writer (src/app.rs:66)";
    let message = "tokio channel receive at app::handler (src/app.rs:95)";
    let bench = choice();
    let run = bench.run("async FILE");
    // Lines are wrapped.
    let words: Vec<_> = run.out.split_whitespace().collect();
    let text = words.join(" ");
    for verb in ["handler waited for", "handler (task 1) waits for"] {
        let line = format!("{verb} one of {timer}, {message}");
        assert!(text.contains(&line), "no `{line}` in:\n{}", run.out);
    }
    let answer = json(&bench.run("async FILE --json"));
    for list in ["waits", "unfinished"] {
        let [one] = answer[list].as_array().expect("a list").as_slice() else {
            panic!("one of {list}: {answer:#}")
        };
        assert_eq!(what(one), ("timer", Some(66)), "{list}");
        let others: Vec<_> = one["one_of"].as_array().expect("a list").iter().map(what).collect();
        assert_eq!(others, [("channel receive", Some(95))], "{list}");
    }
}

/// What is awaited, and in which line.
fn what(of: &Value) -> (&str, Option<u64>) {
    (of["awaited"].as_str().expect("a name"), of["place"]["line"].as_u64())
}
