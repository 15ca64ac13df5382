//! Forked children: a trace stays with the process that started it, and the child can start its
//! own.
#![cfg(unix)]

// A module of its own, because it needs packages that other users of `common` do not have.
#[path = "common/child.rs"]
mod child;
mod common;

use child::in_child;
use common::decoded::Decoded;
use common::waiting::wait_until;
use common::writers::Memory;
use common::{Ends, Recorded, alone, annotated, checks, record_here};
use exectrace::{StopError, Task, callsites, instant, is_enabled, trace_region, traced};
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

#[traced]
fn leaf() {}

#[traced]
fn twice() {
    leaf();
    leaf();
}

/// Records a trace in the child, to a file that the parent reads.
fn record_in_child(path: &PathBuf, act: impl FnOnce()) -> String {
    let file = File::create(path).expect("a file can be created");
    let trace = exectrace::start_with(annotated(), file).expect("the child has no trace");
    act();
    let report = trace.stop().expect("a file takes every byte");
    // The report also counts events that restate what is open at the end of a generation.
    let told = Decoded::new(&std::fs::read(path).expect("it was written")).events_told();
    format!("{told} events, {} dropped", report.dropped_events)
}

fn read(path: &PathBuf) -> Decoded {
    let mut bytes = Vec::new();
    File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)).expect("it was written");
    std::fs::remove_file(path).expect("it is there");
    let trace = Decoded::new(&bytes);
    checks::check(&trace);
    assert!(trace.complete);
    trace
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("fork-{name}-{}", std::process::id()))
}

#[test]
fn in_a_child_nothing_is_recorded_and_nothing_is_written() {
    let _alone = alone();
    let path = file("shared");
    let writer = File::create(&path).expect("a file can be created");
    let trace = exectrace::start_with(annotated(), writer).expect("none is running");
    twice();
    let answer = in_child(|| {
        let (enabled, live) = (is_enabled(), callsites().any(|site| site.is_live()));
        twice();
        instant!("in the child");
        drop(Task::new("in the child"));
        let size = std::fs::metadata(&path).map(|file| file.len()).unwrap_or_default();
        let stopped = trace.stop();
        let after = std::fs::metadata(&path).map(|file| file.len()).unwrap_or_default();
        let forked = matches!(stopped, Err(StopError::Forked));
        format!("{enabled} {live} {forked} {}", after - size)
    });
    assert_eq!(answer, "false false true 0");
}

#[test]
fn the_parents_trace_goes_on() {
    let _alone = alone();
    let recorded = record_here(annotated(), || {
        trace_region!("around");
        assert_eq!(in_child(|| leaf_and_say("child")), "child");
        assert_eq!(leaf_and_say("parent"), "parent");
        trace_region!("pending");
        assert_eq!(in_child(String::new), "");
    });
    assert_eq!(recorded.lines(), ["+ around", "leaf", "pending", "-"]);
}

fn leaf_and_say(who: &str) -> String {
    leaf();
    who.to_owned()
}

#[test]
fn a_handle_that_is_dropped_in_the_child_is_harmless() {
    let _alone = alone();
    let memory = Memory::default();
    let mut trace = exectrace::start_with(annotated(), memory.clone()).ok();
    leaf();
    let answer = in_child(|| {
        drop(trace.take());
        format!("{}", is_enabled())
    });
    assert_eq!(answer, "false");
    leaf();
    let report = trace.take().unwrap().stop().expect("memory takes every byte");
    let recorded = Recorded { report, trace: Decoded::new(&memory.take()) };
    checks::check(&recorded.trace);
    assert_eq!(recorded.lines(), ["leaf", "leaf"]);
}

#[test]
fn a_child_has_a_trace_of_its_own() {
    let _alone = alone();
    let path = file("own");
    let task = std::cell::OnceCell::new();
    let recorded = record_here(annotated(), || {
        let task = task.get_or_init(|| Task::new("the parent's"));
        let _working = task.enter();
        trace_region!("open at the fork");
        let answer = in_child(|| {
            record_in_child(&path, || {
                twice();
                // A task of another process is not valid here.
                assert_eq!((task.id(), Task::current().id()), (0, 0));
                drop(task.enter());
                task.end();
                let own = Task::new("the child's");
                thread::scope(|scope| _ = scope.spawn(leaf));
                drop(own);
            })
        });
        assert_eq!(answer, "7 events, 0 dropped");
        leaf();
    });
    let expected =
        ["task the parent's", "+ run the parent's", "+ open at the fork", "leaf", "-", "-"];
    assert_eq!(recorded.lines(), expected);
    let trace = read(&path);
    assert_ne!(trace.tables.process.as_ref().unwrap().pid, u64::from(std::process::id()));
    let lines = common::lines::of_threads(&trace);
    let expected = ["+ twice", "leaf", "leaf", "-", "task the child's", "task the child's ends"];
    assert_eq!(lines[0].1, expected);
    assert_eq!(lines[1].1, ["leaf"]);
}

#[test]
fn what_was_open_at_the_fork_ends_in_no_trace_of_the_childs() {
    let _alone = alone();
    let path = file("open");
    let recorded = record_here(annotated(), || {
        let task = Task::new("request");
        let mut written = Some(task.enter());
        leaf();
        let mut pending = Some(task.enter());
        let answer = in_child(|| {
            record_in_child(&path, || {
                leaf();
                drop(pending.take());
                drop(written.take());
                leaf();
            })
        });
        assert_eq!(answer, "2 events, 0 dropped");
        drop(pending.take());
        drop(written.take());
    });
    let expected =
        ["task request", "+ run request", "leaf", "run request", "-", "task request ends"];
    assert_eq!(recorded.lines(), expected);
    assert_eq!(common::lines::of_threads(&read(&path))[0].1, ["leaf", "leaf"]);
}

#[test]
fn children_of_a_busy_process_trace_without_hanging() {
    let _alone = alone();
    let end = AtomicBool::new(false);
    let busy = || {
        while !end.load(Ordering::Relaxed) {
            let task = Task::new("busy");
            let _working = task.enter();
            twice();
            let mut kept: Vec<_> = (0..50).map(|_| task.subtask("part")).collect();
            kept.truncate(25);
        }
    };
    thread::scope(|scope| {
        let _ends = Ends(&end);
        let options = annotated().generation(Duration::from_millis(10)).memory_max(1 << 20);
        (0..2).for_each(|_| _ = scope.spawn(busy));
        let recorded = record_here(options, || {
            for round in 0..30 {
                let path = file(&format!("busy-{round}"));
                let answer = in_child(|| {
                    record_in_child(&path, || {
                        for _ in 0..40 {
                            drop(Task::new("the child's"));
                            twice();
                        }
                    })
                });
                assert_eq!(answer, "240 events, 0 dropped");
                assert_eq!(read(&path).tables.threads.len(), 1);
            }
        });
        assert!(recorded.report.events > 0);
    });
}

#[test]
fn a_childs_memory_is_its_own() {
    let _alone = alone();
    let path = file("memory");
    let small = || annotated().memory_max(64 << 10);
    let (end, ready) = (AtomicBool::new(false), AtomicU32::new(0));
    let idle = || {
        leaf();
        ready.fetch_add(1, Ordering::Relaxed);
        while !end.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(1));
        }
    };
    thread::scope(|scope| {
        let _ends = Ends(&end);
        record_here(small(), || {
            (0..12).for_each(|_| _ = scope.spawn(idle));
            wait_until("all are there", || ready.load(Ordering::Relaxed) == 12);
            // Each thread has a batch now: three quarters of the memory.
            let answer = in_child(|| {
                let file = File::create(&path).expect("a file can be created");
                let trace = exectrace::start_with(small(), file).expect("the child has no trace");
                (0..200).for_each(|_| thread::scope(|scope| _ = scope.spawn(leaf)));
                let report = trace.stop().expect("a file takes every byte");
                format!("{}", report.threads >= 16)
            });
            assert_eq!(answer, "true", "the child has room for sixteen");
        });
    });
    read(&path);
}

#[test]
fn children_of_children_trace() {
    fn descend(depth: u32, path: &PathBuf) -> String {
        // The next caller replaces the file; it is read at the end.
        in_child(|| {
            let below = if depth > 1 { descend(depth - 1, path) } else { String::new() };
            let own = record_in_child(path, || drop(Task::new("deep").enter()));
            format!("{below}{own}; ")
        })
    }
    let _alone = alone();
    let path = file("deep");
    record_here(annotated(), || {
        let answer = descend(6, &path);
        assert_eq!(answer, "3 events, 0 dropped; ".repeat(6));
    });
    let trace = read(&path);
    assert_eq!(common::lines::of_threads(&trace)[0].1, ["task deep", "run deep", "task deep ends"]);
}

#[test]
fn a_fork_without_a_trace_changes_nothing() {
    let _alone = alone();
    let path = file("none");
    assert_eq!(in_child(|| record_in_child(&path, twice)), "4 events, 0 dropped");
    assert_eq!(read(&path).events_told(), 4);
    let recorded = record_here(annotated(), leaf);
    assert_eq!(recorded.lines(), ["leaf"]);
}
