//! The ends of threads: events in destructors, at any stage, and very many short-lived threads.

mod common;

use common::waiting::{tables, wait_for_generations, wait_until, written};
use common::{alone, annotated, lines, on_thread, record, record_with};
use exectrace::{instant, trace_region, traced};
use std::cell::RefCell;
use std::thread;
use std::time::Duration;

#[traced]
fn leaf() {}

/// Records when its thread local is destroyed.
struct Late(&'static str);

impl Drop for Late {
    fn drop(&mut self) {
        trace_region!("destructor", name = self.0);
        leaf();
        drop(exectrace::Task::new("of a destructor"));
    }
}

thread_local! {
    static FIRST: RefCell<Option<Late>> = const { RefCell::new(None) };
    static SECOND: RefCell<Option<Late>> = const { RefCell::new(None) };
}

const DESTRUCTOR: [&str; 4] = ["leaf", "task of a destructor", "task of a destructor ends", "-"];

#[test]
fn destructors_of_thread_locals_record() {
    let recorded = record(|| {
        on_thread("recorded before", || {
            FIRST.set(Some(Late("a")));
            leaf();
            SECOND.set(Some(Late("b")));
        });
        on_thread("did not", || FIRST.set(Some(Late("c"))));
    });
    let lines = recorded.lines_of("recorded before");
    assert_eq!(lines.len(), 11, "{lines:#?}");
    assert_eq!(lines[0], "leaf");
    assert_eq!((&lines[2..6], &lines[7..]), (&DESTRUCTOR.map(str::to_owned)[..], &lines[2..6]));
    let mut names = [lines[1].as_str(), lines[6].as_str()];
    names.sort_unstable();
    assert_eq!(names, ["+ destructor(name=\"a\")", "+ destructor(name=\"b\")"]);
    let lines = recorded.lines_of("did not");
    assert_eq!(lines[0], "+ destructor(name=\"c\")");
    assert_eq!(lines[1..], DESTRUCTOR);
}

/// The system's destructors of thread-specific keys, which run after Rust's thread locals are gone.
mod keyed {
    use super::leaf;
    use exectrace::instant;
    use std::ffi::c_void;
    use std::sync::OnceLock;

    extern "C" fn destructor(round: *mut c_void) {
        instant!("system's destructor", round = round.addr());
        leaf();
        let round = round.addr();
        if round < 3 {
            arm(round + 1);
        }
    }

    /// Makes the destructor run at this thread's end, and record `round`.
    pub(crate) fn arm(round: usize) {
        static KEY: OnceLock<libc::pthread_key_t> = OnceLock::new();
        let key = *KEY.get_or_init(|| {
            let mut key = 0;
            // SAFETY: `pthread_key_create` wants a place for the key, and a function that may run
            // on any thread.
            let failed = unsafe { libc::pthread_key_create(&raw mut key, Some(destructor)) };
            assert_eq!(failed, 0);
            key
        });
        // SAFETY: `pthread_setspecific` wants a key that exists; the value is never followed.
        unsafe { libc::pthread_setspecific(key, std::ptr::without_provenance(round)) };
    }
}

#[test]
fn destructors_of_the_system_record_and_harm_nobody() {
    let recorded = record(|| {
        on_thread("recorded before", || {
            leaf();
            keyed::arm(1);
        });
        on_thread("did not", || keyed::arm(1));
    });
    let threads = lines::of_threads(&recorded.trace);
    let all: Vec<_> =
        threads.iter().flat_map(|thread| thread.1.iter().map(String::as_str)).collect();
    for round in 1..=3 {
        let line = format!("! system's destructor(round={round}u)");
        assert_eq!(all.iter().filter(|each| **each == line).count(), 2, "{threads:#?}");
    }
    assert_eq!(all.iter().filter(|each| **each == "leaf").count(), 7, "{threads:#?}");
    assert_eq!(recorded.report.dropped_events, 0);
}

#[test]
fn two_thousand_short_threads_lose_nothing() {
    for generation in [10, 1000] {
        let options = annotated().generation(Duration::from_millis(generation));
        let recorded = record_with(options, || {
            for wave in 0..100 {
                thread::scope(|scope| {
                    for at in 0..20 {
                        scope.spawn(move || {
                            trace_region!("short", wave, at);
                            leaf();
                        });
                    }
                });
            }
        });
        assert_eq!(recorded.report.threads, 2000);
        // If a generation ends inside a region, the region is restated, which the report counts,
        // too.
        let events = recorded.trace.events_told();
        assert_eq!((events, recorded.report.dropped_events), (6000, 0));
        let mut calls: Vec<_> =
            lines::of_threads(&recorded.trace).into_iter().map(|thread| thread.1).collect();
        calls.sort_unstable();
        calls.dedup();
        assert_eq!(calls.len(), 2000, "each thread tells its own");
        assert!(calls.iter().all(|lines| lines[1..] == ["leaf", "-"]));
    }
}

#[test]
fn threads_that_ended_before_the_stop_are_told_apart_from_those_that_live() {
    let _alone = alone();
    let recorded = {
        let options = annotated().generation(Duration::from_millis(10));
        common::record_here(options, || {
            on_thread("ended", leaf);
            leaf();
            wait_until("the collector has looked", || {
                let tables = tables(&written());
                let mut threads = tables.threads.values();
                threads.any(|thread| thread.name == "ended" && thread.end.is_some())
            });
        })
    };
    let tables = &recorded.trace.tables;
    let ended = |name: &str| tables.threads[&recorded.trace.thread(name)].end.unwrap().ended;
    assert!(ended("ended"));
    assert!(!ended(thread::current().name().unwrap()));
}

#[test]
fn memory_of_ended_threads_is_used_again() {
    let options = annotated().generation(Duration::from_millis(10)).memory_max(1 << 20);
    let recorded = record_with(options, || {
        for _ in 0..40 {
            thread::scope(|scope| (0..20).for_each(|_| _ = scope.spawn(|| instant!("short"))));
            wait_for_generations(1);
        }
    });
    assert_eq!((recorded.report.threads, recorded.report.dropped_events), (800, 0));
    assert!(recorded.report.memory_max <= 1 << 20);
}

#[test]
fn a_thread_says_itself_when_it_ended() {
    let options = annotated().generation(Duration::from_millis(10));
    let recorded = record_with(options, || {
        on_thread("early", leaf);
        on_thread("late", leaf);
        // The collector notices the ends later than the threads report them.
        wait_for_generations(1);
    });
    let tables = &recorded.trace.tables;
    let [early, late] = ["early", "late"].map(|name| recorded.trace.thread(name));
    let end = tables.threads[&early].end.expect("it has ended");
    assert!(end.ticks < tables.threads[&late].first, "it ended before the next one began");
    let stop = tables.stop.expect("it was stopped").ticks;
    assert!(tables.threads[&late].end.expect("so has this").ticks < stop);
}
