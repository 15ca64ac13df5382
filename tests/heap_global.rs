//! `exectrace::Heap` as the program's global allocator, over an allocator that is traced if told
//! to.
//!
//! Tests of exact numbers run in a process of their own, because the test harness allocates, too.
//! Elsewhere: exact numbers with `Heap` called directly (`heap.rs`).
//!
//! May contain `unsafe`: implementing an allocator, `fork`, and thread-specific keys are.
#![cfg(unix)]

mod common;

use common::decoded::Decoded;
use common::samples::{change, samples};
use common::writers::{Locking, Memory, Slow};
use common::{Ends, alone, annotated, checks, in_own_process, on_thread, record_here};
use exectrace::{Heap, OnFull, Options, Task, instant, traced};
use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

/// Passes calls on, and records them while told to.
struct Tracing;

static TRACES: AtomicBool = AtomicBool::new(false);

#[global_allocator]
static HEAP: Heap<Tracing> = Heap::over(Tracing);

// SAFETY: `GlobalAlloc` wants what the system's allocator keeps, and no unwinding: tracing does not
// panic, and all else is passed on.
unsafe impl GlobalAlloc for Tracing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if TRACES.load(Ordering::Relaxed) {
            instant!("allocates", bytes = layout.size());
        }
        // SAFETY: the caller promises what `alloc` wants.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if TRACES.load(Ordering::Relaxed) {
            instant!("frees", bytes = layout.size());
        }
        // SAFETY: the caller promises what `dealloc` wants.
        unsafe { System.dealloc(block, layout) };
    }
}

/// Options for the heap and annotations, with one sample in `sample_bytes` bytes.
fn options(sample_bytes: u64) -> Options {
    annotated().heap(true).heap_sample_bytes(sample_bytes)
}

#[test]
fn the_programs_heap_is_counted_and_the_recorders_is_not() {
    if !in_own_process("the_programs_heap_is_counted_and_the_recorders_is_not") {
        return;
    }
    let mut held: Vec<Vec<u8>> = Vec::with_capacity(1000);
    // A thread's first trace allocates things that are allocated once.
    record_here(options(512 << 10), || instant!("attached"));
    // The recorder allocates for generations, batches and threads' states.
    let options = options(512 << 10).generation(Duration::from_millis(10));
    let recorded = record_here(options, || {
        (1..=1000).for_each(|bytes| held.push(vec![7; bytes]));
        for number in 0..200_000_u64 {
            instant!("fills batches", number);
        }
        thread::sleep(Duration::from_millis(60));
        held.truncate(600);
        // A realloc: freed and allocated anew.
        held[0].reserve_exact(99);
    });
    let change = change(&recorded.trace);
    // Allocations of the collector's thread before it is marked as the recorder's.
    let others = change.allocations as i64 - 1001;
    assert!((0..20).contains(&others), "{others} allocations are not the program's: {change:?}");
    let other_bytes = change.live_bytes - (1..=600).sum::<i64>() - 99;
    assert!((0..2000).contains(&other_bytes), "{other_bytes} bytes are not the program's");
    assert!(recorded.report.memory_max > 64 << 10, "the recorder had its own");
    let facility = &recorded.trace.tables.facilities["heap"];
    assert!(facility.on, "{facility:?}");
}

/// Allocates strings, maps and lists, and returns some of them.
fn work(seed: usize) -> BTreeMap<String, Vec<usize>> {
    let mut map = BTreeMap::new();
    for at in 0..50 {
        let list: &mut Vec<usize> = map.entry(format!("{}", (at * seed) % 17)).or_default();
        list.extend(0..(at * 7 + seed) % 100);
        list.shrink_to_fit();
    }
    map
}

#[test]
fn threads_that_come_and_go_lose_no_sample() {
    let _alone = alone();
    let options = options(2 << 10).generation(Duration::from_millis(10));
    let recorded = record_here(options, || {
        let (give, take) = std::sync::mpsc::sync_channel(64);
        thread::scope(|scope| {
            for thread in 0..4 {
                let give = give.clone();
                scope.spawn(move || {
                    for round in 0..100 {
                        let give = give.clone();
                        let work = move || give.send(work(thread * 31 + round));
                        thread::spawn(work).join().expect("no panic").expect("somebody takes");
                    }
                });
            }
            drop(give);
            let sum: usize = take.iter().map(|map| map.len()).sum();
            black_box(sum);
        });
    });
    assert_eq!(recorded.report.dropped_events, 0);
    let samples = samples(&recorded.trace);
    assert!(samples.len() > 1000, "{}", samples.len());
    let freed = samples.values().filter(|sample| sample.freed.is_some()).count();
    // What is left belongs to the test and the system.
    assert!(samples.len() - freed < samples.len() / 20, "{freed} of {} ended", samples.len());
    let named = |sample: &&common::samples::Sample| sample.stack.0 > 0;
    let with_stack = samples.values().filter(named).count();
    assert!(with_stack * 10 >= samples.len() * 9, "{with_stack} of {}", samples.len());
}

#[test]
fn calls_switches_and_samples_go_together() {
    let _alone = alone();
    // Allocations inside recorded calls, and calls inside allocations: large blocks are mapped.
    let recorded = record_here(Options::new().heap_sample_bytes(1024), || {
        thread::scope(|scope| {
            for seed in 0..4 {
                scope.spawn(move || {
                    for round in 0..50 {
                        drop(black_box(vec![1_u8; 1 << 20]));
                        drop(black_box(work(seed * 50 + round)));
                        thread::sleep(Duration::from_micros(50));
                    }
                });
            }
        });
    });
    let samples = samples(&recorded.trace);
    let large = samples.values().filter(|sample| sample.bytes == 1 << 20);
    assert!(large.clone().count() >= 200, "{}", large.count());
}

#[test]
fn traces_that_follow_each_other_share_no_sample() {
    let _alone = alone();
    let end = AtomicBool::new(false);
    thread::scope(|scope| {
        let _ends = Ends(&end);
        for thread in 0..2 {
            let end = &end;
            scope.spawn(move || {
                let mut kept = Vec::new();
                while !end.load(Ordering::Relaxed) {
                    kept.push(work(thread));
                    kept.truncate(kept.len() % 20);
                }
            });
        }
        let mut numbers = std::collections::BTreeSet::new();
        for _ in 0..30 {
            let recorded = record_here(options(4096), || thread::sleep(Duration::from_millis(3)));
            // Each of their frees is of a sample of its own.
            for number in samples(&recorded.trace).keys() {
                assert!(numbers.insert(*number), "sample {number} is in two traces");
            }
        }
        assert!(!numbers.is_empty());
    });
}

#[test]
fn an_allocator_that_traces_is_counted_and_sampled() {
    let _alone = alone();
    let recorded = record_here(options(1024), || {
        TRACES.store(true, Ordering::Relaxed);
        (0..500).for_each(|seed| drop(black_box(work(seed))));
        on_thread("another", || drop(black_box(work(3))));
        TRACES.store(false, Ordering::Relaxed);
    });
    let samples = samples(&recorded.trace);
    assert!(samples.len() > 100, "{}", samples.len());
    assert!(recorded.trace.events_told() > 10_000);
}

/// The system's destructors of thread-specific keys run after Rust's thread locals, and ours, are
/// gone.
mod keyed {
    use super::{OnceLock, black_box, c_void};

    extern "C" fn destructor(round: *mut c_void) {
        drop(black_box(vec![1_u8; 3000]));
        if round.addr() < 3 {
            arm(round.addr() + 1);
        }
    }

    /// Makes the destructor run at this thread's end; it arms itself again twice.
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
        // SAFETY: `pthread_setspecific` wants a key that exists.
        unsafe { libc::pthread_setspecific(key, std::ptr::without_provenance(round)) };
    }
}

#[test]
fn the_last_steps_of_a_thread_are_counted() {
    let _alone = alone();
    let recorded = record_here(options(1), || {
        for _ in 0..20 {
            on_thread("ends", || keyed::arm(1));
        }
    });
    let samples = samples(&recorded.trace);
    let late: Vec<_> = samples.values().filter(|sample| sample.bytes == 3000).collect();
    assert_eq!(late.len(), 60, "each of 20 threads allocated thrice in its destructors");
    assert!(late.iter().all(|sample| sample.freed.is_some()));
}

#[test]
fn a_forked_child_counts_on_and_samples_in_its_own_trace_only() {
    let _alone = alone();
    let path = std::env::temp_dir().join(format!("exectrace-heap-fork-{}", std::process::id()));
    let recorded = record_here(options(256), || {
        let before = work(5);
        // SAFETY: `fork` wants that the child does only what it may after a fork from a process
        // with threads. It does more, on purpose: this system's allocator and the recorder cope.
        let child = unsafe { libc::fork() };
        assert!(child >= 0, "fork failed");
        if child == 0 {
            // SAFETY: `alarm` wants nothing. A child that hangs is ended.
            unsafe { libc::alarm(120) };
            // The parent's samples end in the child, without an event.
            drop(before);
            let file = std::fs::File::create(&path);
            let done = file.is_ok_and(|file| {
                let trace = exectrace::start_with(options(256), file);
                drop(black_box(work(6)));
                trace.is_ok_and(|trace| trace.stop().is_ok())
            });
            // SAFETY: `_exit` wants nothing; the test's own cleanup is not done.
            unsafe { libc::_exit(i32::from(!done)) };
        }
        let mut status = 0;
        // SAFETY: `waitpid` wants a child and a place for its status.
        let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!((waited, status), (child, 0), "the child left as it should");
        drop(before);
    });
    assert!(samples(&recorded.trace).len() > 10);
    let bytes = std::fs::read(&path).expect("the child has written it");
    std::fs::remove_file(&path).expect("it is there");
    let child = Decoded::new(&bytes);
    checks::check(&child);
    assert!(samples(&child).len() > 10, "{}", samples(&child).len());
    let of_parent = recorded.trace.tables.heap[0];
    assert!(child.tables.heap[0].allocations >= of_parent.allocations, "the child counts on");
}

#[traced]
fn tasks_and_texts(round: usize) {
    // The recorder keeps a list of live tasks under a lock that the collector takes, too.
    let tasks: Vec<_> = (0..20).map(|at| Task::new(&format!("task {round}.{at}"))).collect();
    let _working = tasks[round % 20].enter();
    drop(black_box(work(round)));
}

#[test]
fn nobody_waits_for_ever_when_memory_is_short() {
    let _alone = alone();
    for on_full in [OnFull::Drop, OnFull::Wait] {
        let options = options(64).memory_max(64 << 10).on_full(on_full);
        let options = options.generation(Duration::from_millis(10));
        let memory = Memory::default();
        let writer = Slow { memory: memory.clone(), pause: Duration::from_millis(3) };
        let trace = exectrace::start_with(options, writer).expect("none is running");
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..300).for_each(tasks_and_texts));
            }
        });
        let report = trace.stop().expect("memory takes every byte");
        assert!(report.events > 1000, "{report:?}");
        let trace = Decoded::new(&memory.take());
        checks::check(&trace);
        checks::check_report(&trace, &report);
    }
}

/// Under `OnFull::Wait`, an allocation does not wait for memory: the collector may be waiting for a
/// lock that the program holds.
#[test]
fn a_program_that_allocates_with_a_lock_of_its_writer_goes_on() {
    if !in_own_process("a_program_that_allocates_with_a_lock_of_its_writer_goes_on") {
        return;
    }
    // SAFETY: `alarm` wants a number: the process is ended if it stands still.
    unsafe { libc::alarm(100) };
    let (lock, memory) = (Arc::new(Mutex::new(())), Memory::default());
    let writer = Locking { lock: Arc::clone(&lock), memory: memory.clone() };
    let options = options(1).memory_max(64 << 10).on_full(OnFull::Wait);
    let trace = exectrace::start_with(options, writer).expect("none is running");
    {
        let _held = lock.lock().expect("nobody panics with it");
        // Many times what fits.
        (0..20_000_u64).for_each(|at| drop(black_box(Box::new(at))));
    }
    // The user's events wait for memory, and are all there.
    (0..20_000_u64).for_each(|at| instant!("afterwards", at));
    let report = trace.stop().expect("memory takes every byte");
    assert!(report.dropped_events > 0, "{report:?}");
    let trace = Decoded::new(&memory.take());
    checks::check(&trace);
    checks::check_report(&trace, &report);
    let moments = trace.tables.threads.keys().flat_map(|&thread| trace.events(thread));
    let is_moment = |kind| matches!(kind, trace_format::event::EventKind::Instant { .. });
    assert_eq!(moments.filter(|event| is_moment(event.kind)).count(), 20_000);
}
