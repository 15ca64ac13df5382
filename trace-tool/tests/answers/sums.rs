//! Verbs that count the same things say the same sums of them: `summary`, `threads`, `blocked` and
//! `syscalls`, of whole and damaged traces, of windows, and of each thread.

use std::collections::BTreeMap;

use crate::common::{Bench, convoy, server};
use crate::machine::Machine;
use serde_json::Value;

/// Ways to ask for a part of a trace.
const WINDOWS: [&str; 4] = ["", "--from 300us", "--to 900us", "--from 200us --to 700us"];

fn machine(seed: u64) -> Vec<u8> {
    let mut machine = Machine::new(0x2545_f491_4f6c_dd1d ^ seed << 32);
    (0..3_000).for_each(|_| machine.step());
    machine.finish().0
}

fn damaged(mut trace: Vec<u8>, sixteenths: usize) -> Vec<u8> {
    let at = trace.len() * sixteenths / 16;
    trace[at] ^= 0xff;
    trace
}

fn ask(bench: &Bench, verb: &str, options: &str) -> Value {
    let run = bench.run(&format!("{verb} FILE --json {options}"));
    assert!(matches!(run.code, Some(0 | 1)), "{verb} {options}: {}", run.err);
    serde_json::from_str(&run.out).expect("JSON")
}

fn list(of: &Value) -> &[Value] {
    of.as_array().expect("a list")
}

fn number(of: &Value) -> u64 {
    of.as_u64().expect("a number")
}

/// Time waited, by thread and reason.
type Waited = BTreeMap<(u64, String), u64>;

/// What several verbs say of a part of a trace.
#[derive(Debug, Default, PartialEq)]
struct Sums {
    waited: Waited,
    /// Calls that ended, by thread.
    calls: BTreeMap<u64, u64>,
    /// How long these took together.
    calls_ns: u64,
}

fn waited(threads: &[Value]) -> Waited {
    let of = |life: &Value| {
        let thread = life["thread"].as_u64().unwrap_or(0);
        let reasons = life["blocked"].as_object().expect("an object").clone();
        reasons.into_iter().map(move |(reason, time)| ((thread, reason), number(&time)))
    };
    let mut waited = Waited::new();
    for (key, time) in threads.iter().flat_map(of) {
        *waited.entry(key).or_default() += time;
    }
    waited
}

/// Without what depends on an order, the threads in one that does not.
fn in_order(lives: &Value) -> Value {
    let mut lives = lives.clone();
    let threads = lives["threads"].as_array_mut().expect("a list");
    threads.sort_by_key(|life| (life["thread"].as_u64(), life["os_id"].as_u64()));
    lives
}

/// Fails unless verbs agree; then what they say.
#[track_caller]
fn check(bench: &Bench, options: &str) -> Sums {
    let summary = ask(bench, "summary", options);
    let threads = ask(bench, "threads", options);
    let (lives, told) = (in_order(&threads["lives"]), in_order(&summary["lives"]));
    assert_eq!(lives, told, "{options}");
    let waited = self::waited(list(&lives["threads"]));
    check_waits(&ask(bench, "blocked --top 0", options)["waits"], &waited, options);
    let calls = &ask(bench, "syscalls --top 0", options)["calls"];
    check_calls(calls, list(&lives["threads"]), options);
    let of = |life: &Value| (life["thread"].as_u64().unwrap_or(0), number(&life["calls"]));
    let of = list(&lives["threads"]).iter().map(of).filter(|(_, count)| *count > 0);
    Sums { waited, calls: of.collect(), calls_ns: number(&calls["total_ns"]) }
}

#[track_caller]
fn check_waits(waits: &Value, threads: &Waited, options: &str) {
    assert_eq!(waits["late"], 0, "{options}: no table is full");
    let text = |group: &Value| group["reason"].as_str().expect("a text").to_owned();
    let (mut by_thread, mut by_reason) = (Waited::new(), Waited::new());
    for group in list(&waits["by_thread"]) {
        let thread = group["thread"].as_u64().unwrap_or(0);
        *by_thread.entry((thread, text(group))).or_default() += number(&group["total_ns"]);
    }
    assert_eq!(by_thread, *threads, "{options}");
    for (lists, waits) in [(&mut by_reason, list(&waits["by_reason"]))] {
        for group in waits {
            *lists.entry((0, text(group))).or_default() += number(&group["total_ns"]);
        }
    }
    let mut reasons = Waited::new();
    for ((_, reason), time) in threads {
        *reasons.entry((0, reason.clone())).or_default() += time;
    }
    assert_eq!(by_reason, reasons, "{options}");
    for of in ["by_lock", "by_reason", "by_stack", "by_thread"] {
        for sum in ["count", "total_ns"] {
            let groups: u64 = list(&waits[of]).iter().map(|group| number(&group[sum])).sum();
            assert_eq!(groups, number(&waits[sum]), "{options}: {sum} {of}");
        }
    }
}

#[track_caller]
fn check_calls(calls: &Value, threads: &[Value], options: &str) {
    assert_eq!(calls["late"], 0, "{options}: no table is full");
    for of in ["by_call", "by_resource", "by_stack"] {
        for sum in ["count", "total_ns"] {
            let groups: u64 = list(&calls[of]).iter().map(|group| number(&group[sum])).sum();
            assert_eq!(groups, number(&calls[sum]), "{options}: {sum} {of}");
        }
    }
    let mut by_thread = BTreeMap::<u64, u64>::new();
    for group in list(&calls["by_call"]) {
        assert!(number(&group["threads_count"]) <= 8, "all are listed");
        for party in list(&group["threads"]) {
            let thread = party["thread"].as_u64().unwrap_or(0);
            *by_thread.entry(thread).or_default() += number(&party["count"]);
        }
    }
    for life in threads {
        let thread = life["thread"].as_u64().unwrap_or(0);
        let count = by_thread.remove(&thread).unwrap_or(0);
        assert_eq!(number(&life["calls"]), count, "{options}: calls of thread {thread}");
    }
    assert!(by_thread.is_empty(), "{options}: {by_thread:?}");
}

/// What is said of each thread adds up to what is said of all.
#[track_caller]
fn check_all(trace: &[u8], windows: &[&str]) {
    let bench = Bench::new(trace);
    for window in windows {
        let whole = check(&bench, window);
        let mut sums = Sums::default();
        let threads = ask(&bench, "threads", window);
        for life in list(&threads["lives"]["threads"]) {
            // What is known from CPUs alone has no id to ask for.
            let Some(thread) = life["thread"].as_u64() else { continue };
            let of = check(&bench, &format!("{window} --thread {thread}"));
            sums.waited.extend(of.waited);
            sums.calls.extend(of.calls);
            sums.calls_ns += of.calls_ns;
        }
        let strangers = whole.waited.iter().filter(|((thread, _), _)| *thread == 0);
        sums.waited.extend(strangers.map(|(key, time)| (key.clone(), *time)));
        assert_eq!(sums, whole, "{window}");
        assert!(!whole.waited.is_empty() && !whole.calls.is_empty(), "{window}: {whole:?}");
    }
}

#[test]
fn of_whole_traces() {
    for seed in 1..4 {
        check_all(&machine(seed), &WINDOWS);
    }
    check_all(&convoy::convoy(), &["", "--from 20ms --to 41ms"]);
    check_all(&server::server(), &[""]);
}

#[test]
fn of_damaged_traces() {
    for sixteenths in [3, 7, 8, 12, 14] {
        check_all(&damaged(machine(sixteenths as u64), sixteenths), &WINDOWS);
    }
    check_all(&damaged(convoy::convoy(), 8), &["", "--from 20ms --to 41ms"]);
}
