//! Files that others have made, as text in `fixtures/made` or made here: every command says the
//! same of them, sums are of what lies in the trace, and little memory is enough.

use std::path::Path;
use std::process::Command;

use crate::common::{Bench, Run};
use trace_format::batch::{BatchInfo, Compression};
use trace_format::definition::{CallsiteKind, ResourceKind};
use trace_format::event::{Event, EventKind, put_event};
use trace_format::header::{BatchKind, FLAG_RESTATED};
use trace_format::id::{CallId, Open, SiteId, ThreadId};
use trace_format::testgen::{TraceBuilder, open_call, os_id};
use trace_format::text::from_text;
use trace_format::time::Ticks;
use trace_format::value::Values;

/// All verbs that read events.
const VERBS: [&str; 12] = [
    "summary", "explain", "events", "check", "regions", "tasks", "threads", "blocked", "syscalls",
    "async", "heap", "tests",
];

fn made(name: &str) -> Bench {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/made").join(name);
    let text = std::fs::read_to_string(&path).expect("it is checked in");
    Bench::new(&from_text(&text).expect("it is the text of a trace"))
}

fn json(run: &Run) -> serde_json::Value {
    serde_json::from_str(&run.out).expect("JSON")
}

#[test]
fn a_region_that_hangs_since_an_hour_takes_the_trace_s_second() {
    let bench = made("hung.txt");
    for part in ["", " --from 0s --to 1s"] {
        let run = bench.run(&format!("regions FILE --json{part}"));
        assert_eq!(run.code, Some(0), "{}", run.err);
        let json = json(&run);
        let regions = json["regions"].as_array().expect("a list");
        let region = regions.iter().find(|it| it["name"] == "hung").expect("it is there");
        assert_eq!(region["total_ns"], 999_999_000_u64, "{region}");
        let run = bench.run(&format!("summary FILE{part}"));
        assert_eq!(run.code, Some(0), "{}", run.err);
        let hung = run.out.lines().find(|line| line.starts_with("hung ")).expect("it is there");
        assert!(hung.contains(" 1.00 s   100% "), "its total and its part of the time: {hung}");
    }
}

#[test]
fn a_loose_base_is_no_fault_for_any_command() {
    let bench = made("base-loose.txt");
    for verb in VERBS {
        let run = bench.run(&format!("{verb} FILE"));
        assert_eq!(run.code, Some(0), "{verb}: {}{}", run.out, run.err);
        let said = format!("{}{}", run.out, run.err);
        assert!(!said.contains("DAMAGED") && !said.contains("MISSING"), "{verb}: {said}");
    }
    assert_eq!(json(&bench.run("regions FILE --json"))["regions"][0]["count"], 3);
    assert_eq!(bench.run("events FILE").out.lines().count(), 3);
    // The window begins between two of them, whatever their bases say.
    assert_eq!(bench.run("events FILE --from 1us --to 2us").out.lines().count(), 1);
}

#[test]
fn time_that_runs_backwards_is_damage_for_all_commands() {
    let bench = made("backwards.txt");
    for verb in VERBS {
        let run = bench.run(&format!("{verb} FILE"));
        assert_eq!(run.code, Some(1), "{verb}: {}{}", run.out, run.err);
        let said = format!("{}{}", run.out, run.err);
        let fault = "00 ticks, the one before it ended at 3005";
        assert!(said.contains("DAMAGED") && said.contains(fault), "{verb}: {said}");
        assert!(said.contains("MISSING"), "{verb}: {said}");
    }
    assert_eq!(json(&bench.run("regions FILE --json"))["regions"][0]["count"], 1);
}

#[test]
fn tasks_from_before_the_first_clock_count() {
    for name in ["task-before-cpu.txt", "task-after-cpu.txt"] {
        let run = made(name).run("tasks FILE --json");
        assert_eq!(json(&run)["tasks"]["names"][0]["count"], 1, "{name}: {}", run.out);
    }
}

/// Events in pieces of one batch, with little of a file.
fn pieces(trace: &mut TraceBuilder, count: u32, each: &[u8], events_each: u32) {
    let payload = each.repeat((1 << 19) / each.len());
    let events = (payload.len() / each.len()) as u32 * events_each;
    trace.write_definitions();
    for at in 0..count {
        let info = BatchInfo {
            kind: BatchKind::Events,
            thread: ThreadId(1),
            sequence: 0,
            offset: at * payload.len() as u32,
            generation: 1,
            base_ticks: Ticks(10),
            last_ticks: Ticks(10),
            events,
            flags: if at == 0 { FLAG_RESTATED } else { 0 },
        };
        trace.batch(&info, &payload);
    }
}

fn encoded(kinds: &[EventKind<'_>]) -> Vec<u8> {
    let (mut bytes, mut clock) = (Vec::new(), Ticks(10));
    for &kind in kinds {
        put_event(&mut bytes, &mut clock, &Event { ticks: Ticks(10), kind });
    }
    bytes
}

fn begun() -> TraceBuilder {
    let mut trace = TraceBuilder::started(Compression::Lz4);
    trace.callsite(1, CallsiteKind::Region, "deep");
    trace.callsite(2, CallsiteKind::Region, "other");
    trace.thread(1, "main");
    trace
}

#[cfg(unix)]
#[test]
fn begins_without_end_take_little_memory_and_are_said_to_be_too_many() {
    let mut trace = begun();
    let begin = EventKind::RegionBegin { site: SiteId(1), values: Values::new(&[]) };
    // Five million begins, in a file of some kilobytes.
    pieces(&mut trace, 20, &encoded(&[begin]), 1);
    let bytes = trace.stop(1_000);
    assert!(bytes.len() < 100_000, "{}", bytes.len());
    let bench = Bench::new(&bytes);
    for verb in ["summary", "check", "explain", "regions", "threads"] {
        // Debug builds, and their threads, need some of it.
        let line = "ulimit -v 300000; exec \"$0\" \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", line, env!("CARGO_BIN_EXE_exectrace"), verb]);
        let output = command.arg(bench.path("a.trace")).output().expect("it runs");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(1), "{verb}: {said}");
        assert!(said.contains("TOO DEEP") && said.contains("65,536"), "{verb}: {said}");
    }
}

#[test]
fn ends_of_what_is_not_open_are_told_apart_from_what_is() {
    let mut trace = begun();
    let begin = EventKind::RegionBegin { site: SiteId(1), values: Values::new(&[]) };
    let end = EventKind::EndDetached { open: Open::Region(SiteId(2)), since: Ticks(5) };
    let (mut begins, ends) = (encoded(&[begin]).repeat(20_000), encoded(&[end]).repeat(20_000));
    let half = begins.len() as u32;
    let piece = |offset, flags| BatchInfo {
        kind: BatchKind::Events,
        thread: ThreadId(1),
        sequence: 0,
        offset,
        generation: 1,
        base_ticks: Ticks(10),
        last_ticks: Ticks(10),
        events: 20_000,
        flags,
    };
    trace.write_definitions();
    trace.batch(&piece(0, FLAG_RESTATED), &begins);
    trace.batch(&piece(half, 0), &ends);
    begins.clear();
    let run = Bench::new(&trace.stop(1_000)).run("summary FILE");
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(run.out.contains("ended on another thread than they began on: 20,000 times"));
    assert!(run.out.contains("still open at the end: 20,000 times"), "{}", run.out);
}

/// Twenty of the processor's seconds are enough for a verb, in a debug build.
#[cfg(unix)]
#[track_caller]
fn end_soon(bench: &Bench, words: &[&str]) {
    let line = "ulimit -t 20; exec \"$0\" \"$@\"";
    let (verb, rest) = words.split_first().expect("a verb");
    let mut command = Command::new("sh");
    command.args(["-c", line, env!("CARGO_BIN_EXE_exectrace"), verb]);
    command.arg(bench.path("a.trace")).args(rest).current_dir(bench.path(""));
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(0), "{verb}: {}: {said}", output.status);
}

#[cfg(unix)]
#[test]
fn a_million_ends_of_what_is_not_open_take_the_same_time_however_much_is() {
    let mut trace = begun();
    // With CPUs, regions are followed for what threads did, too.
    trace.switch_in(0, 1, os_id(1));
    trace.seal(ThreadId::cpu(0).0);
    let open = 60_000;
    let begin = EventKind::RegionBegin { site: SiteId(1), values: Values::new(&[]) };
    let begins = encoded(&[begin]).repeat(open as usize);
    let end = EventKind::EndDetached { open: Open::Region(SiteId(2)), since: Ticks(5) };
    let each = encoded(&[end]);
    let ends = each.repeat(100_000);
    let piece = |offset, events, flags| BatchInfo {
        kind: BatchKind::Events,
        thread: ThreadId(1),
        sequence: 0,
        offset,
        generation: 1,
        base_ticks: Ticks(10),
        last_ticks: Ticks(10),
        events,
        flags,
    };
    trace.write_definitions();
    trace.batch(&piece(0, open, FLAG_RESTATED), &begins);
    for at in 0..10 {
        trace.batch(&piece((begins.len() + at * ends.len()) as u32, 100_000, 0), &ends);
    }
    let bench = Bench::new(&trace.stop(1_000));
    // To look at all that is open for each end would be sixty thousand million looks, which take
    // minutes.
    let export = ["export", "--format", "perfetto", "--output", "a.perfetto"];
    for words in [&["summary"][..], &["threads"], &export] {
        end_soon(&bench, words);
    }
    let run = bench.run("summary FILE");
    assert!(run.out.contains("ended on another thread than they began on: 1,000,000 times"));
    assert!(run.out.contains("still open at the end: 60,000 times"), "{}", run.out);
}

#[cfg(unix)]
#[test]
fn wakes_at_a_lock_take_the_same_time_however_many_wait_for_it() {
    let (waiters, wakes) = (4_000_u32, 50_000_u64);
    let mut trace = begun();
    trace.stack(1, &[0x100]);
    trace.symbol(0x100, &[("std::sys::sync::mutex::futex::Mutex::lock_contended", "", 0)]);
    trace.resource(1, ResourceKind::Address, 0xf00, "");
    let (lock, unlock) = (CallId::PTHREAD_MUTEX_LOCK, CallId::PTHREAD_MUTEX_UNLOCK);
    for thread in 2..waiters {
        trace.thread(thread, "");
        trace.begin_call(thread, open_call(lock, 1, 1), 10);
    }
    // One thread wakes nobody, and one wakes those that wait, and does so with nobody left, too.
    for at in 1..wakes {
        trace.call(waiters, open_call(CallId::FUTEX_WAKE, 1, 0), at * 100, 1, 0);
        trace.call(waiters + 1, open_call(unlock, 1, 0), at * 100 + 50, 1, 0);
    }
    let bench = Bench::new(&trace.stop(wakes * 100));
    // What each waiter did, looked at for each wake, would be four hundred million looks through
    // its history.
    end_soon(&bench, &["blocked"]);
}

#[cfg(unix)]
#[test]
fn to_hand_a_lock_over_takes_the_same_time_however_many_wait_for_it() {
    let (waiters, times) = (8_000_u32, 60_000_u64);
    let mut trace = begun();
    trace.stack(1, &[0x100]);
    trace.symbol(0x100, &[("std::sys::sync::mutex::futex::Mutex::lock_contended", "", 0)]);
    trace.resource(1, ResourceKind::Address, 0xf00, "");
    let wait = open_call(CallId::FUTEX_WAIT, 1, 1);
    for thread in 2..waiters {
        trace.thread(thread, "");
        trace.begin_call(thread, wait, 10);
    }
    // Who has waited longest gets the lock from the one before, which waits again.
    let mut threads = (1..waiters).cycle();
    let mut holder = threads.next().expect("there are threads");
    for at in (1..times).map(|at| at * 100) {
        trace.call(holder, open_call(CallId::FUTEX_WAKE, 1, 0), at, 1, 1);
        let next = threads.next().expect("there are threads");
        trace.end_call(next, at + 10, 0);
        trace.begin_call(holder, wait, at + 20);
        holder = next;
    }
    let bench = Bench::new(&trace.stop(times * 100));
    // What each waiter did, looked at for each time, would be half a thousand million looks.
    end_soon(&bench, &["blocked"]);
    let answer = json(&bench.run("blocked FILE --json"));
    let lock = &answer["waits"]["by_lock"][0];
    assert_eq!(lock["reason"], "mutex", "{answer:#}");
    let caused = lock["holders"].as_array().expect("a list").iter();
    let caused: u64 = caused.filter_map(|it| it["caused_ns"].as_u64()).sum();
    assert!(caused > 0 && Some(caused) <= lock["total_ns"].as_u64(), "{lock:#}");
}

#[test]
fn a_guard_that_outlives_the_one_around_it_is_counted_once_with_its_own_time() {
    const MS: u64 = 1_000_000;
    let mut trace = begun();
    trace.begin(1, 1, MS);
    trace.begin(1, 2, 2 * MS);
    for (site, begin, at) in [(1, MS, 20 * MS), (2, 2 * MS, 40 * MS)] {
        let (open, since) = (Open::Region(SiteId(site)), Ticks(at - begin));
        trace.event(1, at, EventKind::EndDetached { open, since });
    }
    let bench = Bench::new(&trace.stop(50 * MS));
    for verb in ["summary", "regions"] {
        let answer = json(&bench.run(&format!("{verb} FILE --json")));
        let regions = answer["regions"].as_array().expect("a list");
        let told = regions.iter().map(|it| {
            (it["name"].as_str(), ["count", "total_ns", "unfinished"].map(|field| &it[field]))
        });
        let mut told: Vec<_> = told.map(|(name, it)| (name, it.map(|it| it.as_u64()))).collect();
        told.sort_unstable();
        let of = |count, total| [count, total, 0].map(Some);
        let right = [(Some("deep"), of(1, 19 * MS)), (Some("other"), of(1, 38 * MS))];
        assert_eq!(told, right, "{verb}");
        let run = bench.run(&format!("{verb} FILE"));
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "{verb}");
        for (name, time) in [("deep ", " 19.0 ms "), ("other ", " 38.0 ms ")] {
            let row = run.out.lines().find(|line| line.starts_with(name)).expect("it has a row");
            assert!(row.contains(time), "{verb}: {row}");
        }
        assert!(!run.out.contains("another thread"), "{verb}: {}", run.out);
    }
}

#[test]
fn raw_events_are_the_text_from_which_the_same_bytes_come() {
    let bench = made("hung.txt");
    let bytes = std::fs::read(bench.path("a.trace")).expect("it is there");
    let run = bench.run("events FILE --raw");
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    assert!(run.out.starts_with("file 1.0\nbatch definitions kind=2 thread=0 "), "{}", run.out);
    assert!(run.out.contains("\n  3600000000000 reopen region:1 since "), "{}", run.out);
    assert!(run.out.ends_with("\ntrailer\n"), "{}", run.out);
    assert_eq!(from_text(&run.out).expect("it is the text of a trace"), bytes);
    let run = bench.run("events FILE --raw --json");
    assert_eq!((run.code, run.out.as_str()), (Some(2), ""), "raw lines are no JSON");
    // A cut file is shown as far as it goes.
    let run = Bench::new(&bytes[..bytes.len() - 40]).run("events FILE --raw");
    assert_eq!(run.code, Some(1));
    assert!(run.out.contains("\n# at byte ") && !run.out.contains("trailer"), "{}", run.out);
    assert_eq!(Bench::new(b"no trace at all").run("events FILE --raw").code, Some(2));
}

#[test]
fn no_format_shows_characters_that_move_or_turn_text() {
    let mut trace = begun();
    let nasty = "a\u{9b}31m\u{202e}b\u{2066}\u{7f}";
    trace.callsite(3, CallsiteKind::Region, nasty);
    trace.thread(2, nasty);
    trace.region(2, 3, 100, 50);
    trace.stack(1, &[0x100]);
    trace.symbol(0x100, &[(nasty, nasty, 1)]);
    trace.alloc(2, 200, 1, 1 << 20, 1);
    let bench = Bench::new(&trace.stop(1_000));
    let hidden = |c: &char| !trace_format::value::is_shown(*c) && *c != '\n';
    for verb in VERBS.iter().filter(|verb| **verb != "events") {
        for json in ["", " --json"] {
            let run = bench.run(&format!("{verb} FILE{json}"));
            assert_eq!(run.out.chars().find(hidden), None, "{verb}{json}: {}", run.out);
        }
    }
    for how in ["", " --json", " --raw", " --stacks", " --stacks --json"] {
        let run = bench.run(&format!("events FILE{how}"));
        assert_eq!(run.out.chars().find(hidden), None, "events{how}: {}", run.out);
    }
    let run = bench.run("heap FILE --stacks");
    assert!(run.out.contains("31m"), "it names the function: {}{}", run.out, run.err);
    assert_eq!(run.out.chars().find(hidden), None, "heap --stacks: {}", run.out);
    let run = bench.run("threads FILE --json");
    let names = json(&run)["threads"].as_array().expect("a list").clone();
    assert!(names.iter().any(|thread| thread["name"] == nasty), "programs read what was there");
}
