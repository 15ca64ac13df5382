//! A global allocator that is traced must neither recurse, nor block, nor break a trace.
//!
//! The recorder allocates, too: when a thread is attached, when a batch is full, and on the
//! collector's thread. Events of the allocator at those moments are counted as dropped.
//!
//! May contain `unsafe`: implementing an allocator is.

mod common;

use common::decoded::Decoded;
use common::writers::Memory;
use common::{Ends, alone, annotated, checks, on_thread};
use exectrace::{Options, Report, Task, callsites, counter, instant, log, trace_region, traced};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use trace_format::event::EventKind;

struct Allocator;

/// True while the allocator records; otherwise the test's own machinery would be traced, too.
static ON: AtomicBool = AtomicBool::new(false);
/// Allocations while [`ON`] was true.
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

#[traced(args(bytes))]
fn note_allocation(bytes: usize) {
    instant!("allocated", bytes);
    counter!("bytes", bytes);
}

// SAFETY: `GlobalAlloc` wants what the system's allocator keeps, and no unwinding: tracing does
// not panic, and all else is passed on.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if ON.load(Ordering::Relaxed) {
            ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
            note_allocation(layout.size());
        }
        // SAFETY: the caller promises what `alloc` wants.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if ON.load(Ordering::Relaxed) {
            trace_region!("free", bytes = layout.size());
        }
        // SAFETY: the caller promises what `dealloc` wants.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Runs `act` under a trace with allocations traced.
fn record(options: Options, act: impl FnOnce()) -> (Decoded, Report) {
    let memory = Memory::default();
    let trace = exectrace::start_with(options, memory.clone()).expect("none is running");
    ON.store(true, Ordering::Relaxed);
    act();
    ON.store(false, Ordering::Relaxed);
    let report = trace.stop().expect("memory takes every byte");
    let trace = Decoded::new(&memory.take());
    checks::check(&trace);
    checks::check_report(&trace, &report);
    (trace, report)
}

#[traced]
fn work(n: usize) -> usize {
    let list: Vec<usize> = (0..n).collect();
    trace_region!("inner", n, text = format!("{n}"));
    log!("net", "{} of {list:?}", list.len());
    list.len()
}

#[test]
fn allocations_are_recorded_or_counted() {
    let _alone = alone();
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let (trace, report) = record(annotated(), || {
        for n in 0..2000 {
            work(n % 100);
        }
    });
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
    let name = |event: &trace_format::event::Event<'_>| match event.kind {
        EventKind::Instant { site, .. } => trace.site_name(site) == "allocated",
        _ => false,
    };
    let threads = trace.tables.threads.keys();
    let recorded = threads.flat_map(|&thread| trace.events(thread)).filter(name).count() as u64;
    assert!(recorded > 2000, "{recorded}");
    // The recorder's own allocations. Those on the program's threads are counted.
    let hidden = allocations - recorded;
    assert!(hidden < recorded / 10, "{hidden} of {allocations}");
    assert!(report.dropped_events > 0, "{hidden}: {report:?}");
}

#[test]
fn threads_attach_and_end_while_allocations_are_traced() {
    let _alone = alone();
    let options = annotated().generation(Duration::from_millis(10));
    let (trace, report) = record(options, || {
        std::thread::scope(|scope| {
            for at in 0..200 {
                scope.spawn(move || {
                    let task = Task::new("short");
                    let _working = task.enter();
                    work(at)
                });
            }
        });
    });
    assert!(report.threads >= 200, "{report:?}");
    assert!(trace.events_told() > 200 * 5);
}

#[test]
fn sites_are_switched_on_threads_that_have_not_recorded() {
    let _alone = alone();
    let site = callsites().find(|site| site.name() == "inner").expect("it is listed");
    record(annotated(), || {
        ON.store(false, Ordering::Relaxed);
        on_thread("switches first", || {
            // This thread has recorded nothing yet; allocations of switching come first.
            ON.store(true, Ordering::Relaxed);
            for _ in 0..1000 {
                site.set_on(false);
                site.set_on(true);
            }
            work(3);
        });
    });
}

#[test]
fn ends_in_the_wrong_order_are_recorded() {
    let _alone = alone();
    record(annotated(), || {
        for _ in 0..1000 {
            let (one, two) = (Task::new("one"), Task::new("two"));
            let in_one = one.enter();
            let in_two = two.enter();
            let list = vec![1_u8; 10];
            drop(in_one);
            drop(list);
            drop(in_two);
        }
    });
}

#[test]
fn threads_go_from_trace_to_trace() {
    let _alone = alone();
    let end = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _ends = Ends(&end);
        let run = || {
            while !end.load(Ordering::Relaxed) {
                work(5);
                std::thread::sleep(Duration::from_micros(200));
            }
        };
        for _ in 0..2 {
            let builder = std::thread::Builder::new().name("worker".to_owned());
            builder.spawn_scoped(scope, run).expect("a thread can be started");
        }
        for _ in 0..50 {
            let (trace, _) = record(annotated(), || {
                work(5);
                std::thread::sleep(Duration::from_millis(2));
            });
            let workers = trace.tables.threads.values().filter(|thread| thread.name == "worker");
            assert!(workers.count() <= 2, "a thread attaches once: {:?}", trace.tables.threads);
        }
    });
}

#[test]
fn a_small_bound_and_waiting_do_not_block() {
    let _alone = alone();
    for on_full in [exectrace::OnFull::Drop, exectrace::OnFull::Wait] {
        let options = annotated().memory_max(64 << 10).on_full(on_full);
        record(options, || (0..1000).for_each(|n| _ = work(n % 50)));
    }
}
