//! All commands say the same of one trace: what two of them count, they count alike, on traces of a
//! machine whose threads do anything, on damaged ones, and in windows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::common::{Bench, convoy, long, server};
use crate::machine::Machine;
use serde_json::Value;
use trace_format::text::from_text;

/// What each command says of a trace, as one object.
struct Said {
    summary: Value,
    threads: Value,
    blocked: Value,
    syscalls: Value,
    explain: Value,
    regions: Value,
    tasks: Value,
    of_async: Value,
    /// The lines.
    events: Vec<Value>,
    /// The window's end, if it has one of its own: what ends then or later has not ended.
    to: Option<u64>,
    /// Of all commands that have one.
    missing: Vec<(&'static str, Value)>,
}

const VERBS: [&str; 11] = [
    "summary --top 0",
    "threads",
    "blocked --by reason --top 0",
    "syscalls --top 0",
    "explain --top 0",
    "check",
    "regions --top 0",
    "tasks --top 0",
    "async --top 0",
    "heap",
    "tests --top 0",
];

impl Said {
    fn new(trace: &[u8]) -> Self {
        Self::within(trace, "")
    }

    /// - `window`: what the command line says of it.
    fn within(trace: &[u8], window: &str) -> Self {
        let bench = Bench::new(trace);
        let answers = VERBS.map(|verb| {
            // A heap's window ends where it is looked at, and has no other end.
            let (begin, _) = window.split_once("--to").unwrap_or((window, ""));
            let window = if verb == "heap" { begin } else { window };
            let run = bench.run(&format!("{verb} FILE --json {window}"));
            serde_json::from_str::<Value>(&run.out)
                .unwrap_or_else(|error| panic!("{verb}: {error}: {}{}", run.out, run.err))
        });
        let lines = bench.run(&format!("events FILE --json {window}")).out;
        let line = |line| serde_json::from_str(line).expect("JSON");
        let alike = VERBS.iter().zip(&answers);
        let alike = alike.filter(|(verb, _)| **verb != "heap" || !window.contains("--to"));
        let missing = alike.map(|(&verb, it)| (verb, it["missing"].clone())).collect();
        let [summary, threads, blocked, syscalls, explain, _, regions, tasks, of_async, _, _] =
            answers;
        let events = lines.lines().map(line).collect();
        let to = window.contains("--to").then(|| number(&summary["to_ns"]));
        Self {
            summary,
            threads,
            blocked,
            syscalls,
            explain,
            regions,
            tasks,
            of_async,
            events,
            to,
            missing,
        }
    }

    fn check(&self, name: &str) {
        for (verb, missing) in &self.missing {
            assert_eq!(missing, &self.missing[0].1, "{name}: {verb} misses what summary does");
        }
        assert_eq!(lives(&self.summary), lives(&self.threads), "{name}: threads' lives");
        // A trace whose definitions speak of no calls, though it has some, has no lives there.
        if !self.threads["lives"].is_null() {
            assert_eq!(self.waits(), self.blocked_of_lives(), "{name}: times blocked by reason");
        }
        // There an end that is not of a call comes while one is open.
        if !name.ends_with("calls-hostile.txt") {
            assert_eq!(self.calls(), self.ended_calls(), "{name}: calls by function");
        }
        self.check_locks(name);
        self.check_annotations(name);
    }

    /// Regions, tasks and polls that ended, as lines say so.
    fn check_annotations(&self, name: &str) {
        let regions = self.ended(["region", "region_end"], |line| line["site"].to_string());
        for (verb, answer) in [("summary", &self.summary), ("regions", &self.regions)] {
            let of = list(&answer["regions"]).iter();
            let counts = of.map(|it| {
                (it["site"].to_string(), number(&it["count"]) + number(&it["lost_ends"]))
            });
            assert_eq!(sums(counts), regions, "{name}: regions of {verb}");
        }
        let tasks = self.ended(["task_end"; 2], |_| String::new());
        for (verb, answer) in [("summary", &self.summary), ("tasks", &self.tasks)] {
            let counts = list(&answer["tasks"]["names"]).iter();
            let counts = counts.map(|it| (String::new(), number(&it["count"])));
            assert_eq!(sums(counts), tasks, "{name}: tasks of {verb}");
        }
        let polls = self.ended(["poll", "poll_end"], |_| String::new());
        let of_sites = ["sites", "children"].map(|of| list(&self.of_async[of]).iter());
        let counts = of_sites.into_iter().flatten();
        let counts = counts.map(|it| (String::new(), number(&it["polls"])));
        assert_eq!(sums(counts), polls, "{name}: polls of async");
    }

    /// How many things ended, by what they have in common.
    fn ended(&self, kinds: [&str; 2], of: fn(&Value) -> String) -> BTreeMap<String, u64> {
        // An end of nothing is nobody's; of what is one event the line stands at its begin.
        let is_known =
            |line: &Value| ["site", "future", "task", "call"].iter().any(|id| !line[id].is_null());
        let is_over = |line: &Value| {
            let is_whole = line["kind"] == kinds[0];
            let nanos = if is_whole { line["duration_ns"].as_u64().unwrap_or(0) } else { 0 };
            self.to.is_none_or(|to| number(&line["at_ns"]) + nanos < to)
        };
        let of_kind =
            self.events.iter().filter(|line| kinds.iter().any(|kind| line["kind"] == *kind));
        sums(of_kind.filter(|line| is_known(line) && is_over(line)).map(|line| (of(line), 1)))
    }

    /// By reason, how long threads waited.
    fn waits(&self) -> BTreeMap<String, u64> {
        let waits = &self.blocked["waits"];
        let groups = list(&waits["by_reason"]);
        let by_reason =
            sums(groups.iter().map(|it| (text(&it["reason"]), number(&it["total_ns"]))));
        assert_eq!(number(&waits["total_ns"]), by_reason.values().sum::<u64>());
        by_reason
    }

    /// The same, as the lives of the threads have it.
    fn blocked_of_lives(&self) -> BTreeMap<String, u64> {
        let lives = list(&self.threads["lives"]["threads"]).iter();
        let of_life = |life: &Value| life["blocked"].as_object().cloned().unwrap_or_default();
        let times = lives.flat_map(of_life).map(|(reason, time)| (reason, number(&time)));
        sums(times)
    }

    /// By function, how many calls there were.
    fn calls(&self) -> BTreeMap<String, u64> {
        let groups = list(&self.syscalls["calls"]["by_call"]).iter();
        sums(groups.map(|it| (text(&it["call"]), number(&it["count"]))))
    }

    /// The same, as lines say so.
    fn ended_calls(&self) -> BTreeMap<String, u64> {
        self.ended(["call", "call_end"], |line| text(&line["call"]))
    }

    /// Threads that `explain` names for a lock are who held it in `blocked`, the worst first, then
    /// who woke those that waited, then who waited.
    fn check_locks(&self, name: &str) {
        for insight in self.locks() {
            let groups = list(&self.blocked["waits"]["by_lock"]).iter();
            let of_lock: Vec<_> =
                groups.filter(|group| group["resource"] == insight["resource"]).collect();
            let mut waiters: Vec<_> = of_lock.iter().flat_map(|it| ids(&it["waiters"])).collect();
            waiters.sort_unstable();
            let told = ids(&insight["threads"]);
            let is_of = |group: &&Value| {
                let known = [ids(&group["holders"]), ids(&group["wakers"]), waiters.clone()];
                told == without_doubles(known.concat())
            };
            assert!(of_lock.iter().any(is_of), "{name}: {insight:#} and {of_lock:#?}");
        }
    }

    /// What `explain` says of locks.
    fn locks(&self) -> Vec<&Value> {
        let kinds = ["lock_contention", "slow_holder", "holder_preempted"];
        let is_lock = |it: &&Value| kinds.iter().any(|kind| it["kind"] == *kind);
        list(&self.explain["insights"]).iter().filter(is_lock).collect()
    }
}

/// What threads did, whatever the order of the threads.
fn lives(answer: &Value) -> Value {
    let mut lives = answer["lives"].clone();
    if let Some(threads) = lives["threads"].as_array_mut() {
        threads.sort_by_key(|life| (life["thread"].as_u64(), life["os_id"].as_u64()));
    }
    lives
}

/// Sums of what has the same name; none that are 0.
fn sums(all: impl Iterator<Item = (String, u64)>) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    all.for_each(|(name, more)| *sums.entry(name).or_default() += more);
    sums.retain(|_, sum| *sum > 0);
    sums
}

/// The threads' ids.
fn ids(parties: &Value) -> Vec<u64> {
    list(parties).iter().filter_map(|it| it["thread"].as_u64()).collect()
}

fn without_doubles(mut ids: Vec<u64>) -> Vec<u64> {
    let mut seen = BTreeSet::new();
    ids.retain(|id| seen.insert(*id));
    ids
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn machine(seed: u64, steps: u32) -> Vec<u8> {
    let mut machine = Machine::new(0x2545_f491_4f6c_dd1d ^ seed << 32);
    (0..steps).for_each(|_| machine.step());
    machine.finish().0
}

#[test]
fn machines() {
    for seed in 1..=20 {
        let said = Said::new(&machine(seed, 2_000));
        said.check(&format!("seed {seed}"));
        assert!(!said.waits().is_empty() && said.calls().len() > 2, "seed {seed}");
    }
}

/// Of a machine of 2,000 steps, which take about a millisecond.
const WINDOWS: [&str; 3] = ["--from 300us", "--to 700us", "--from 300us --to 700us"];

#[test]
fn machines_in_windows() {
    for (seed, window) in (1..=12).zip(WINDOWS.iter().cycle()) {
        let mut trace = machine(seed, 2_000);
        Said::within(&trace, window).check(&format!("seed {seed}, {window}"));
        let at = trace.len() / 2;
        trace[at] ^= 0xff;
        let damaged = Said::within(&trace, window);
        damaged.check(&format!("seed {seed}, {window}, byte {at}"));
    }
}

#[test]
fn annotations_in_windows() {
    for (trace, windows) in [
        (long(), ["--from 5ms --to 11ms", "--from 12345us"]),
        (server::server(), ["--from 105ms --to 333ms", "--to 222ms"]),
    ] {
        for window in windows {
            Said::within(&trace, window).check(window);
        }
    }
}

#[test]
fn machines_with_damage() {
    for seed in 1..=20 {
        let mut trace = machine(seed, 2_000);
        let at = trace.len() * seed as usize / 21;
        trace[at] ^= 0xff;
        let damaged = Said::new(&trace);
        damaged.check(&format!("seed {seed}, byte {at}"));
        trace[at] ^= 0xff;
        let cut = Said::new(&trace[..at]);
        cut.check(&format!("seed {seed}, cut at {at}"));
        for said in [damaged, cut] {
            assert!(!list(&said.missing[0].1).is_empty(), "seed {seed}: damage at {at} is seen");
        }
    }
}

#[test]
fn locks_of_a_convoy_whole_and_damaged() {
    let mut trace = convoy::convoy();
    let said = Said::new(&trace);
    said.check("convoy");
    assert!(!said.locks().is_empty(), "{:#}", said.explain);
    let at = trace.len() / 2;
    trace[at] ^= 0xff;
    Said::new(&trace).check("damaged convoy");
    Said::new(&trace[..at]).check("cut convoy");
}

#[test]
fn traces_without_threads_lives() {
    Said::new(&server::server()).check("server");
    let mut trace = long();
    Said::new(&trace).check("long");
    let at = trace.len() / 2;
    trace[at] ^= 0xff;
    Said::new(&trace).check("damaged long");
}

#[test]
fn traces_that_are_checked_in() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["trace-format/testdata/corpus", "trace-format/testdata/trace"] {
        for_each(&root.join("..").join(folder), |name, bytes| Said::new(&bytes).check(name));
    }
    for folder in ["../trace-format/testdata/golden", "tests/fixtures/made"] {
        for_each(&root.join(folder), |name, bytes| {
            let text = String::from_utf8(bytes).expect("it is text");
            Said::new(&from_text(&text).expect("the text of a trace")).check(name);
        });
    }
}

fn for_each(folder: &Path, mut each: impl FnMut(&str, Vec<u8>)) {
    for entry in std::fs::read_dir(folder).expect("it is there") {
        let path = entry.expect("it can be read").path();
        each(&path.display().to_string(), std::fs::read(&path).expect("it can be read"));
    }
}
