//! What commands put together: waits and calls that are one group, and how many are in it.

use crate::common::{Bench, check, convoy, json};
use serde_json::Value;
use trace_format::batch::Compression;
use trace_format::definition::ResourceKind;
use trace_format::id::CallId;
use trace_format::testgen::{TraceBuilder, open_call, os_id};

#[test]
fn waits_for_many_child_processes_are_one_group_for_each_call_site() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.facility("os", true, "");
    trace.thread(1, "main");
    for (site, function) in [(1, "app::build"), (2, "app::link")] {
        let address = u64::from(site) * 0x100;
        trace.stack(site, &[address, address + 1]);
        trace.symbol(address, &[("std::process::Child::wait", "", 0)]);
        trace.symbol(address + 1, &[(function, "src/main.rs", 10 * site)]);
    }
    for child in 1..=4 {
        trace.resource(child, ResourceKind::Process, 700 + u64::from(child), "");
        let site = if child == 4 { 2 } else { 1 };
        let wait = open_call(CallId::WAIT4, child, site);
        trace.call(1, wait, u64::from(child) * 100_000, 50_000, 0);
    }
    let bench = Bench::new(&trace.stop(1_000_000));
    let run = bench.run("blocked FILE");
    check(
        &run,
        &[
            "Held up, by locks, files, sockets, processes: 200 µs in 4 waits",
            "process at app::build (src/main.rs:10)",
            "3 times",
            "process at app::link (src/main.rs:20)",
        ],
    );
    assert!(!run.out.contains("pid"), "no child has a group of its own: {}", run.out);
    let answer = json(&bench.run("blocked FILE --json"));
    let groups = answer["waits"]["by_lock"].as_array().expect("a list");
    let counts: Vec<_> = groups.iter().map(|group| group["count"].clone()).collect();
    assert_eq!(counts, [Value::from(3), Value::from(1)]);
    let locks = Bench::new(&convoy::convoy()).run("blocked FILE");
    assert!(locks.out.contains("Held up, by locks, files, sockets: "), "{}", locks.out);
}

#[test]
fn thousands_of_files_are_one_line_with_their_number_and_what_all_of_them_took() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.facility("os", true, "");
    trace.thread(1, "main");
    trace.switch_in(0, 0, os_id(1));
    let (files, each) = (3_000, 50_000);
    for file in 1..=files {
        trace.resource(file, ResourceKind::File, 3, &format!("/data/{file}"));
        let (at, sync) = (u64::from(file) * 100_000, open_call(CallId::FSYNC, file, 0));
        trace.call(1, sync, at, each, 0);
        trace.switch_out(0, at, os_id(1), false);
        trace.switch_in(0, at + each, os_id(1));
    }
    let bench = Bench::new(&trace.stop(301_000_000));
    let run = bench.run("blocked FILE");
    check(&run, &["files, sockets: 150 ms in 3,000 waits", "  150 ms  file sync of 3,000 files\n"]);
    assert!(!run.out.contains("/data/") && !run.out.contains("more: --top"), "{}", run.out);
    check(&bench.run("summary FILE"), &["Top wait: 150 ms in 3,000 waits, file sync of 3,000"]);
    let (blocked, summary) = (bench.run("blocked FILE --json"), bench.run("summary FILE --json"));
    for group in [&json(&blocked)["waits"]["by_lock"][0], &json(&summary)["top_wait"]] {
        let told = ["resources", "count", "total_ns"].map(|field| group[field].as_u64());
        assert_eq!(told, [3_000, 3_000, 3_000 * each].map(Some), "{group}");
    }
    assert_eq!(json(&blocked)["waits"]["by_lock"].as_array().map(Vec::len), Some(1));
}

#[test]
fn all_who_waited_are_counted_and_the_first_are_listed() {
    const MS: u64 = 1_000_000;
    let mut trace = TraceBuilder::started(Compression::None);
    trace.facility("os", true, "");
    trace.resource(1, ResourceKind::Address, 0xf00, "");
    for thread in 1..=12 {
        trace.thread(thread, &format!("t{thread}"));
        let address = u64::from(thread) * 0x100;
        trace.stack(thread, &[address]);
        let function = "std::sys::sync::mutex::futex::Mutex::lock_contended";
        trace.symbol(address, &[(function, "", 0)]);
        let call = open_call(CallId::FUTEX_WAIT, 1, thread);
        trace.call(thread, call, MS, u64::from(thread) * MS, 0);
    }
    let bench = Bench::new(&trace.stop(100 * MS));
    check(&bench.run("blocked FILE"), &["waited: t12 15.4%, t11 14.1%, t10 12.8% and 9 more"]);
    let group = json(&bench.run("blocked FILE --json"))["waits"]["by_lock"][0].clone();
    for list in ["waiters", "stacks"] {
        assert_eq!(group[list].as_array().expect("a list").len(), 8, "{list}");
        assert_eq!(group[format!("{list}_count")], 12, "{list}");
    }
    let found = json(&bench.run("explain FILE --json"))["insights"][0].clone();
    assert_eq!(found["kind"], "lock_contention");
    assert_eq!(found["threads"].as_array().expect("a list").len(), 8);
    assert_eq!(found["threads_count"], 12);
    let group = json(&bench.run("syscalls FILE --json"))["calls"]["by_call"][0].clone();
    for list in ["threads", "stacks"] {
        assert_eq!(group[list].as_array().expect("a list").len(), 8, "{list}");
        assert_eq!(group[format!("{list}_count")], 12, "{list}");
    }
}
