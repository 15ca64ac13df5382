//! What the commands say of the program's own life, on a trace whose every time is known.

use crate::common;
use crate::common::{Bench, Run, check, convoy, json};
use serde_json::Value;
use trace_format::batch::Compression;
use trace_format::definition::{Definition, ResourceKind};
use trace_format::event::EventKind;
use trace_format::id::{CallId, ThreadId};
use trace_format::testgen::{TraceBuilder, open_call, os_id};
use trace_format::time::{Nanos, Ticks};

fn bench() -> Bench {
    Bench::new(&convoy::convoy())
}

#[test]
fn blocked_names_the_lock_its_holder_and_what_that_did() {
    let run = bench().run("blocked FILE");
    check(
        &run,
        &[
            "mutex 0x5500 at app::work (src/main.rs:41)",
            "100 times, p50 9.49 ms",
            "up to 2 threads at once",
            "waited: worker-2 50.8%, worker-1 49.2%",
            "held by slow-poke: 97.4% of it",
            "free for 0.1% of it, while the thread that was woken had no CPU",
            "released at app::flush (src/main.rs:60)",
            "meanwhile, 475 ms in all: file sync 84.0%, running 14.5%, of its calls mostly fsync",
            "longest: worker-2 9.79 ms, from 0.000700000 s on, until worker-1 let go",
            "which held it since 0.010020000 s or longer",
            "file sync /var/lib/app/journal (fd 3)",
        ],
    );
    let at = |text| run.out.find(text).unwrap_or(usize::MAX);
    assert!(at("mutex") < at("file sync /var"), "worst first");
    assert!(at("file sync") < at("join"), "a thread at rest holds nobody up");
    let stacks = bench().run("blocked FILE --stacks --top 1");
    check(&stacks, &["app::worker (src/main.rs:45)", "std::sys::sync::mutex", "more: --top 0"]);
}

#[test]
fn what_is_in_no_recorded_call_is_one_line_below_the_lists() {
    let line = "page faults, locks in the kernel, or system calls that libc did not make";
    let lock = bench().run("blocked FILE --top 1");
    check(&lock, &["\n\nOff a CPU outside of recorded calls: ", line]);
    assert_eq!(lock.out.matches("outside of recorded calls").count(), 1, "{}", lock.out);
    let thread = bench().run("blocked FILE --by thread --top 0");
    check(&thread, &["\n\nOff a CPU outside of recorded calls: ", "worker-1 ", line]);
    let sums = json(&bench().run("blocked FILE --json"))["waits"]["sums"]["by_reason"].clone();
    let kinds = ["held_up", "at_rest", "outside"].map(|kind| sums[kind]["count"].as_u64());
    assert!(kinds.iter().all(|count| *count > Some(0)), "{sums}");
    // Though it is more than any other wait that holds a thread up.
    check(&bench().run("summary FILE"), &["Top wait: 964 ms in 100 waits, mutex"]);
}

#[test]
fn blocked_shows_the_stacks_of_rest_too() {
    let run = bench().run("blocked FILE --stacks --top 0");
    check(&run, &["join at app::main (src/main.rs:70)", "std::thread::JoinHandle::join"]);
}

#[test]
fn of_a_thread_that_waited_for_a_lock_it_is_said_who_had_it_last() {
    let run = bench().run("blocked FILE --by thread");
    check(
        &run,
        &[
            "held at last by slow-poke 100%, released at app::flush (src/main.rs:60)",
            "held at last by worker-1 100%, released at app::worker (src/main.rs:45)",
        ],
    );
    assert!(!run.out.contains("ended by worker-1"), "{}", run.out);
}

#[test]
fn a_wait_that_nobody_knows_the_cause_of_is_rest_only_if_it_is_older_than_the_trace() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.facility("os", true, "");
    trace.thread(1, "old");
    trace.thread(2, "young");
    trace.resource(1, ResourceKind::Address, 0xf00, "");
    let wait = open_call(CallId::FUTEX_WAIT, 1, 0);
    trace.call(1, wait, 0, 50_000, 0);
    trace.call(2, wait, 60_000, 30_000, 0);
    let bench = Bench::new(&trace.stop(100_000));
    for by in ["lock", "reason", "stack", "thread"] {
        let run = bench.run(&format!("blocked FILE --by {by}"));
        check(&run, &["Held up, by locks, files, sockets: 30.0 µs in 1 wait"]);
        check(&run, &["futex, without a stack", "threads: 50.0 µs in 1 wait"]);
        check(&run, &["unknown, since before the trace"]);
    }
    let answer = json(&bench.run("blocked FILE --json"));
    let groups = answer["waits"]["by_reason"].as_array().expect("a list");
    let told = groups.iter().map(|it| (it["since_before"] == true, it["at_rest"] == true));
    assert_eq!(told.collect::<Vec<_>>(), [(true, true), (false, false)]);
}

#[test]
fn waits_until_a_time_was_up_are_told_from_those_that_were_woken() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.facility("os", true, "");
    trace.thread(1, "waiter");
    trace.resource(1, ResourceKind::Address, 0xf00, "");
    trace.stack(1, &[0x100, 0x101]);
    trace.symbol(0x100, &[("std::sys::sync::condvar::futex::Condvar::wait_timeout", "", 0)]);
    trace.symbol(0x101, &[("app::poll", "src/main.rs", 7)]);
    let wait = open_call(CallId::FUTEX_WAIT, 1, 1);
    trace.call(1, wait, 1_000, 50_000, -110);
    trace.call(1, wait, 60_000, 30_000, 0);
    let bench = Bench::new(&trace.stop(100_000));
    let run = bench.run("blocked FILE");
    check(&run, &["condvar", "timed out"]);
    let answer = json(&bench.run("blocked FILE --json"));
    let group = &answer["waits"]["by_lock"][0];
    assert_eq!((&group["count"], &group["timeouts"]), (&Value::from(2), &Value::from(1)));
    let ends = [&group["longest"][0]["timed_out"], &group["longest"][1]["timed_out"]];
    assert_eq!(ends, [&Value::from(true), &Value::from(false)]);
    assert_eq!(answer["waits"]["late"], Value::from(0));
}

#[test]
fn waits_are_put_together_by_what_is_asked_for() {
    for (by, expected) in [
        ("reason", "  964 ms  mutex"),
        ("stack", "mutex at app::work (src/main.rs:41)"),
        ("thread", "of worker-2 at app::work"),
        ("lock", "mutex 0x5500 at app::work"),
    ] {
        check(&bench().run(&format!("blocked FILE --by {by}")), &[expected]);
    }
}

#[test]
fn the_parts_of_a_thread_s_life_add_up() {
    let bench = bench();
    let text = bench.run("threads FILE");
    check(&text, &["file sync 66.5%", "join 100%", "CPU use: 0.30 on average, on 2 CPUs"]);
    check(&text, &["main at app::main (src/main.rs:66)"]);
    let answer = json(&bench.run("threads FILE --json"));
    let threads = answer["lives"]["threads"].as_array().expect("threads");
    assert_eq!(threads.len(), 4);
    for thread in threads {
        let part = |name: &str| thread[name].as_u64().expect("a number");
        let parts = ["running_ns", "in_calls_ns", "ready_ns", "unknown_ns", "stopped_ns"];
        let sum: u64 = parts.into_iter().map(part).sum();
        assert_eq!(sum + part("blocked_ns"), part("life_ns"), "{thread}");
        let blocked = thread["blocked"].as_object().expect("reasons");
        let blocked: u64 = blocked.values().filter_map(Value::as_u64).sum();
        assert_eq!(blocked, part("blocked_ns"), "{thread}");
    }
}

/// On a CPU for 50 of 100 ms, and asleep between; the kernel has counted what is given.
fn beside_the_kernel(cpu_ms: u64, ready_ms: u64) -> Bench {
    let trace = waiting_beside_the_kernel(CallId::NANOSLEEP, ready_ms, cpu_ms);
    Bench::new(&trace.stop(100_000_000))
}

/// The same, off its CPU in a call of another function.
fn waiting_beside_the_kernel(call: CallId, ready_ms: u64, cpu_ms: u64) -> TraceBuilder {
    const MS: u64 = 1_000_000;
    let mut trace = TraceBuilder::started(Compression::None);
    trace.facility("os", true, "");
    trace.facility("sched", true, "");
    trace.thread(1, "main");
    let times = |ticks: u64, cpu: u64, ready: u64| Definition::ThreadTime {
        id: ThreadId(1),
        ticks: Ticks(ticks),
        cpu: Nanos(cpu * MS),
        ready: Some(Nanos(ready * MS)),
    };
    trace.define(&times(0, 7, 3));
    trace.switch_in(0, 0, os_id(1));
    trace.call(1, open_call(call, 0, 0), 10 * MS, 51 * MS, 0);
    trace.switch_out(0, 10 * MS + 1, os_id(1), false);
    trace.switch_in(0, 60 * MS + 1, os_id(1));
    trace.define(&times(100 * MS, 7 + cpu_ms, 3 + ready_ms));
    trace
}

#[test]
fn threads_says_what_the_kernel_counted_and_events_do_not_show() {
    let bench = beside_the_kernel(58, 20);
    check(
        &bench.run("threads FILE"),
        &[
            "main: the kernel counted 58.0 ms of CPU time, switches show 50.0 ms: the switching",
            "main: the kernel counted 20.0 ms of waiting for a CPU, events show 0 ns: after a",
        ],
    );
    let answer = json(&bench.run("threads FILE --json"));
    let thread = &answer["lives"]["threads"][0];
    let told = |name: &str| {
        ["from_ns", "to_ns", "time_ns"].map(|field| thread[name][field].as_u64().expect("told"))
    };
    assert_eq!(told("kernel_cpu"), [0, 100_000_000, 58_000_000]);
    assert_eq!(told("kernel_ready"), [0, 100_000_000, 20_000_000]);
    assert_eq!(
        thread["running_ns"].as_u64().zip(thread["in_calls_ns"].as_u64()),
        Some((49_000_000, 1_000_000))
    );
}

#[test]
fn blocked_says_what_of_a_wait_for_a_file_may_have_been_readiness() {
    const MS: u64 = 1_000_000;
    for (ready_ms, call, is_said, told) in [
        (20, CallId::FSYNC, true, 20 * MS),
        // It was off its CPU for 50 ms.
        (80, CallId::FSYNC, true, 50 * MS),
        (1, CallId::FSYNC, false, MS),
        (20, CallId::NANOSLEEP, false, 0),
    ] {
        let bench = Bench::new(&waiting_beside_the_kernel(call, ready_ms, 50).stop(100 * MS));
        let text = bench.run("blocked FILE");
        assert_eq!(text.out.contains("of it ready without a CPU"), is_said, "{}", text.out);
        let groups = json(&bench.run("blocked FILE --json"))["waits"]["by_lock"].clone();
        assert_eq!(groups[0]["perhaps_ready_ns"], Value::from(told));
    }
}

#[test]
fn what_may_have_been_readiness_in_several_waits_is_not_to_be_added_up() {
    const MS: u64 = 1_000_000;
    for others in [false, true] {
        let mut trace = waiting_beside_the_kernel(CallId::FSYNC, 20, 50);
        if others {
            trace.resource(1, ResourceKind::File, 3, "/data/other");
            trace.call(1, open_call(CallId::FSYNC, 1, 0), 70 * MS, 20 * MS, 0);
            trace.switch_out(0, 70 * MS + 1, os_id(1), false);
            trace.switch_in(0, 90 * MS, os_id(1));
        }
        let text = Bench::new(&trace.stop(100 * MS)).run("blocked FILE").out;
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let said = "more than events show, in this and other waits together";
        assert_eq!(words.matches(said).count(), if others { 2 } else { 0 }, "{text}");
    }
}

#[test]
fn without_switches_what_is_outside_calls_is_unknown_and_the_kernel_says_the_cpu_time() {
    const MS: u64 = 1_000_000;
    let mut trace = TraceBuilder::started(Compression::None);
    trace.facility("os", true, "");
    trace.facility("sched", false, "not asked for");
    trace.thread(1, "main");
    trace.call(1, open_call(CallId::NANOSLEEP, 0, 0), 0, 20 * MS, 0);
    for (ticks, cpu) in [(0, 7), (100, 10)] {
        let (ticks, cpu) = (Ticks(ticks * MS), Nanos(cpu * MS));
        trace.define(&Definition::ThreadTime { id: ThreadId(1), ticks, cpu, ready: None });
    }
    let bench = Bench::new(&trace.stop(100 * MS));
    let text = bench.run("threads FILE");
    check(&text, &["unknown       CPU time", "80.0 ms 80.0%  3.00 ms  3.0%"]);
    assert!(!text.out.contains("run or ready"), "{}", text.out);
    let answer = json(&bench.run("threads FILE --json"));
    assert_eq!(answer["lives"]["threads"][0]["unknown_ns"], Value::from(80 * MS));
}

#[test]
fn a_thread_that_only_waits_for_its_next_work_does_not_stand_out() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.facility("os", true, "");
    for (id, name, call) in [
        (1, "poller", CallId::EPOLL_WAIT),
        (2, "sleeper", CallId::NANOSLEEP),
        (3, "joiner", CallId::PTHREAD_JOIN),
    ] {
        trace.thread(id, name);
        trace.event(id, 1_000, EventKind::CallBegin { call: open_call(call, 0, 0) });
    }
    let run = Bench::new(&trace.stop(1_000_000_000)).run("threads FILE");
    let (_, waiting) = run.out.split_once("Still waiting when the trace stopped").expect("one is");
    assert!(waiting.contains("joiner"), "{}", run.out);
    assert!(!waiting.contains("poller") && !waiting.contains("sleeper"), "{}", run.out);
}

#[test]
fn threads_with_the_most_events_come_first_whatever_they_called() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.facility("os", true, "");
    trace.thread(1, "calls");
    trace.thread(2, "regions");
    for at in 1..=3 {
        trace.call(1, open_call(CallId::READ, 0, 0), at * 1_000, 10, 1);
    }
    for at in 1..=9 {
        trace.region(2, 7, at * 1_000, 10);
    }
    let answer = json(&Bench::new(&trace.stop(100_000)).run("threads FILE --sort events --json"));
    for list in ["/threads", "/lives/threads"] {
        let first = answer.pointer(list).and_then(|list| list[0]["name"].as_str());
        assert_eq!(first, Some("regions"), "{list} of {answer:#}");
    }
}

#[test]
fn threads_does_not_speak_of_what_events_show() {
    let agree = beside_the_kernel(50, 0).run("threads FILE");
    assert!(!agree.out.contains("the kernel counted"), "{}", agree.out);
    let window = beside_the_kernel(58, 20).run("threads FILE --to 90ms");
    assert!(!window.out.contains("the kernel counted"), "{}", window.out);
}

#[test]
fn syscalls_have_counts_bytes_errors_and_the_longest() {
    let bench = bench();
    let text = bench.run("syscalls FILE");
    check(&text, &["1 EIO", "8.00 kB", "(tiny: fewer than 512 bytes"]);
    check(&text, &["fsync /var/lib/app/journal (fd 3) = ok, on slow-poke at 0.001000000 s"]);
    let line = |run: &Run, word: &str| {
        let line = run.out.lines().find(|line| line.starts_with(word));
        line.unwrap_or_else(|| panic!("no {word} in {}", run.out)).to_owned()
    };
    assert!(line(&text, "read ").contains("500  1.00 ms"));
    let sorted = bench.run("syscalls FILE --by resource --sort count --top 1");
    check(&sorted, &["read /var/lib/app/journal (fd 3)", "more: --top 0"]);
    check(&bench.run("syscalls FILE --by stack --longest 0"), &["fsync at app::flush"]);
    let calls = &json(&bench.run("syscalls FILE --json"))["calls"];
    let reads = calls["by_call"].as_array().expect("calls");
    let reads = reads.iter().find(|call| call["call"] == "read").expect("reads");
    assert_eq!((&reads["count"], &reads["bytes"]), (&500.into(), &8_000.into()));
}

#[test]
fn the_heap_has_its_counters_a_picture_and_its_stacks() {
    let bench = bench();
    let text = bench.run("heap FILE");
    check(&text, &["52.4 MB live in 50 allocations", "0 │", "█"]);
    check(&text, &["app::journal::grow", "journal.rs:12", "100%"]);
    let early = bench.run("heap FILE --at 30ms --stacks");
    check(&early, &["2.10 MB live in 2 allocations", "app::flush (src/main.rs:60)"]);
    let answer = json(&bench.run("heap FILE --json"));
    assert_eq!(answer["points"].as_array().map(Vec::len), Some(50));
    assert_eq!(answer["stacks"][0]["live_samples"], 50);
    let wrong = bench.run("heap FILE --at 1ms --from 2ms");
    assert_eq!(wrong.code, Some(2), "{}", wrong.err);
}

#[test]
fn events_show_calls_cpus_and_with_stacks_where() {
    let bench = bench();
    let text = bench.run("events FILE --to 14ms");
    check(
        &text,
        &[
            "pthread_join thread 0x7700 {",
            "futex_wait 0x5500 = ok  9.52 ms",
            "read /var/lib/app/journal (fd 3) = 16 B  2.00 µs",
            "futex_wake 0x5500 = 1 woken  5.00 µs",
            "CPU 1",
            "slow-poke is put off",
            "worker-1 waits",
            "worker-2 runs",
            "worker-1 seen running",
            "sampled allocation #1 of 1.05 MB",
        ],
    );
    assert!(!text.out.contains("app::"), "names are not looked up unasked");
    let stacks = bench.run("events FILE --stacks --top 3");
    check(&stacks, &["app::main (src/main.rs:70)"]);
    let failed = bench.run("events FILE --grep EIO");
    check(&failed, &["fsync /var/lib/app/journal (fd 3) failed: EIO  8.00 ms"]);
}

#[test]
fn summary_and_check_mention_what_there_is() {
    let bench = bench();
    let summary = bench.run("summary FILE");
    check(
        &summary,
        &["600 ms, 4 threads", "CPU use: 0.30", "Top wait: 964 ms in 100 waits, mutex"],
    );
    let check_ = bench.run("check FILE");
    check(&check_, &["4 threads and 2 CPUs", "8 stacks in 1 module", "samples off: not asked for"]);
}

/// A tenth of a second with one wait for a lock.
fn one_wait(ns: u64) -> Bench {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(1, "main");
    trace.facility("os", true, "");
    trace.resource(1, ResourceKind::Address, 0x5500, "");
    let mutex = "std::sys::sync::mutex::futex::Mutex::lock_contended";
    trace.symbol(0x1010, &[(mutex, "/rustc/1/library/std/src/sys/sync/mutex/futex.rs", 20)]);
    trace.symbol(0x1020, &[("app::work", "src/main.rs", 41)]);
    trace.stack(1, &[0x1010, 0x1020]);
    trace.call(1, open_call(CallId::FUTEX_WAIT, 1, 1), 10_000_000, ns, 0);
    Bench::new(&trace.stop(100_000_000))
}

#[test]
fn summary_names_no_wait_that_is_nothing_beside_the_time_that_passed() {
    let long = one_wait(1_000_000);
    let path = long.path("a.trace").display().to_string();
    let more = format!("  more: exectrace blocked {path}\n");
    check(&long.run("summary FILE"), &["Top wait: 1.00 ms in 1 wait", &more]);
    let short = one_wait(999_999);
    let run = short.run("summary FILE");
    assert!(!run.out.contains("Top wait") && !run.out.contains("no regions"), "{}", run.out);
    assert_eq!(json(&short.run("summary FILE --json"))["top_wait"]["total_ns"], 999_999);
}

#[test]
fn cpu_use_is_of_the_cpus_that_the_program_could_use_and_of_the_threads_asked_for() {
    let mut trace = TraceBuilder::started(Compression::None);
    for (thread, name) in [(1, "main"), (2, "other")] {
        trace.thread(thread, name);
    }
    trace.facility("sched", true, "perf_event_open");
    // Both want one CPU: `other` is put off for 40 ms, then `main` for 60 ms.
    trace.switch_in(0, 0, os_id(1));
    trace.switch_out(0, 40_000_000, os_id(1), true);
    trace.switch_in(0, 40_000_000, os_id(2));
    trace.switch_out(0, 100_000_000, os_id(2), false);
    trace.switch_in(0, 100_000_000, os_id(1));
    let bench = Bench::new(&trace.stop(200_000_000));
    let run = bench.run("threads FILE --thread main");
    check(
        &run,
        &["CPU use: 1.00 on average, on 1 CPU (100%); main was ready and had no CPU for 60.0 ms"],
    );
    check(&bench.run("threads FILE"), &["; threads were ready and had no CPU for 60.0 ms"]);
}

#[test]
fn every_field_that_is_printed_is_documented() {
    let documented = include_str!("../../JSON.md");
    let bench = bench();
    for line in ["threads", "blocked", "syscalls", "heap", "explain", "summary", "regions"] {
        check_documented(&json(&bench.run(&format!("{line} FILE --json"))), documented);
    }
    for line in bench.run("events FILE --json --stacks").out.lines() {
        let event: Value = serde_json::from_str(line).expect("each line is JSON");
        let kind = event["kind"].as_str().unwrap_or("?");
        assert!(documented.contains(&format!("`{kind}`")), "{kind} is not in JSON.md");
        check_documented(&event, documented);
    }
}

fn check_documented(value: &Value, documented: &str) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let is_reason = value.is_u64() && !name.contains('_');
                let found = documented.contains(&format!("`{name}`"));
                assert!(found || is_reason, "{name} is not in JSON.md");
                check_documented(value, documented);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| check_documented(item, documented)),
        _ => {}
    }
}

#[test]
fn a_trace_of_regions_alone_says_what_it_lacks() {
    let bench = Bench::new(&common::request());
    for (verb, what) in [("blocked", "waits"), ("syscalls", "calls"), ("heap", "the heap")] {
        let run = bench.run(&format!("{verb} FILE"));
        assert_eq!((run.code, run.out.as_str()), (Some(0), ""), "{verb}");
        assert!(run.err.contains(what) && run.err.lines().count() == 1, "{verb}: {}", run.err);
    }
    let run = bench.run("explain FILE");
    let next = format!("more: exectrace threads {}\n", bench.path("a.trace").display());
    check(&run, &["nothing stands out", &next]);
}

#[test]
fn damaged_traces_are_read_as_far_as_they_go() {
    let whole = convoy::convoy();
    let cuts = [whole.len() / 3, whole.len() * 2 / 3, whole.len() - 40];
    let cut = cuts.map(|length| whole[..length].to_vec());
    let flipped = [900, 2_500, 5_000, 9_000, 12_000].map(|at| {
        let mut trace = whole.clone();
        trace[at] ^= 0x55;
        trace
    });
    for trace in cut.into_iter().chain(flipped) {
        let bench = Bench::new(&trace);
        for verb in ["threads", "blocked", "syscalls", "heap", "explain", "summary", "check"] {
            let run = bench.run(&format!("{verb} FILE"));
            assert!(matches!(run.code, Some(0..=2)), "{verb}: {:?}\n{}", run.code, run.err);
        }
        let run = bench.run("export --format perfetto FILE -o a.pftrace");
        assert!(matches!(run.code, Some(0..=2)), "{:?}\n{}", run.code, run.err);
        let run = bench.run("blocked FILE");
        assert!(run.code != Some(0) || !run.out.is_empty() || !run.err.is_empty());
    }
}

/// Everything at its greatest, in an order that makes no sense.
fn absurd() -> Vec<u8> {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(1, "\u{1b}[2Jmain");
    trace.resource(1, ResourceKind::Address, u64::MAX, "\u{202e}\n");
    trace.stack(1, &[u64::MAX, 0, 1 << 63]);
    trace.module(0, u64::MAX, u64::MAX, "");
    trace.facility("os", true, "\u{7}");
    trace.facility("sched", false, &"x".repeat(5_000));
    for at in 0..4 {
        let call = open_call(CallId::FUTEX_WAIT, 1, 1);
        trace.call(1, call, at, u64::MAX / 2, i64::MIN);
        trace.call(1, open_call(CallId(255), 9, 9), at, u64::MAX / 3, i64::MAX);
        trace.call(1, open_call(CallId::READ, 1, 1), at, 0, i64::MAX);
        trace.switch_in(0x7fff_ffff, at, u64::MAX);
        trace.switch_out(0, at, 1001, true);
        trace.alloc(1, at, at, u64::MAX, 1);
        trace.heap(at << 62, (u64::MAX, u64::MAX), (u64::MAX, 0));
    }
    trace.stop(u64::MAX / 2)
}

#[test]
fn absurd_numbers_and_names_do_no_harm() {
    let bench = Bench::new(&absurd());
    let file = bench.path("a.trace");
    let verbs = [
        "threads", "blocked", "syscalls", "heap", "explain", "summary", "check", "regions", "tests",
    ];
    for verb in verbs.into_iter().chain(["events --stacks", "export --format perfetto -o -"]) {
        for json in ["", " --json"] {
            if !json.is_empty() && verb.starts_with("export") {
                continue;
            }
            let mut command = common::command();
            command.args(verb.split(' ')).args(json.split_whitespace()).arg(&file);
            let output = command.output().expect("it runs");
            let err = String::from_utf8_lossy(&output.stderr);
            assert!(matches!(output.status.code(), Some(0..=2)), "{verb}{json}: {err}");
            if json.is_empty() && !verb.starts_with("export") {
                let harm = |byte: &u8| *byte == 0x1b || *byte == 0x07;
                assert!(!output.stdout.iter().any(harm), "{verb}: a control character got through");
            }
        }
    }
}

#[test]
fn records_that_the_kernel_lost_are_said_loudly_by_every_command() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(1, "main");
    trace.switch_in(0, 10, os_id(1));
    trace.call(1, open_call(CallId::FUTEX_WAIT, 0, 0), 20, 100, 0);
    trace.event(ThreadId::cpu(0).0, 200, EventKind::LostKernel { records: 7 });
    trace.switch_out(0, 300, os_id(1), false);
    let bench = Bench::new(&trace.stop(1_000));
    for verb in ["threads", "blocked", "syscalls", "explain", "summary", "check", "events"] {
        let run = bench.run(&format!("{verb} FILE"));
        let said = format!("{}{}", run.out, run.err);
        assert!(said.contains("LOST") && said.contains("7 records"), "{verb}: {said}");
        assert_eq!(run.code, Some(1), "{verb}");
    }
    for verb in ["threads", "summary", "check"] {
        let run = bench.run(&format!("{verb} FILE --json"));
        let answer: Value = serde_json::from_str(&run.out).expect("JSON");
        assert_eq!((&answer["lost_records"], &answer["has_loss"]), (&7.into(), &true.into()));
    }
}
