//! A program whose allocator makes recorded calls, some while it holds its lock: recording them
//! must not allocate.
//!
//! May contain `unsafe`: implementing an allocator is.

#![cfg(target_os = "linux")]

mod common;

use common::calls::calls;
use common::{record_with, with_calls};
use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use trace_format::id::CallId;

/// Holds a lock around the system's allocator, and yields while it does.
struct Allocator {
    is_locked: AtomicBool,
    /// False outside the test itself, because yielding makes the harness slow.
    yields: AtomicBool,
}

#[global_allocator]
static ALLOCATOR: Allocator =
    Allocator { is_locked: AtomicBool::new(false), yields: AtomicBool::new(false) };

impl Allocator {
    /// Takes the lock, like that of real allocators: a thread that allocates while it holds the
    /// lock waits for ever.
    fn locked<T>(&self, act: impl FnOnce() -> T) -> T {
        while self.is_locked.swap(true, Ordering::Acquire) {
            thread::yield_now();
        }
        if self.yields.load(Ordering::Relaxed) {
            thread::yield_now();
        }
        let result = act();
        self.is_locked.store(false, Ordering::Release);
        result
    }
}

// SAFETY: `GlobalAlloc` wants what the system's allocator keeps: all is passed on.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller promises what `alloc` wants.
        self.locked(|| unsafe { System.alloc(layout) })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller promises what `dealloc` wants.
        self.locked(|| unsafe { System.dealloc(pointer, layout) });
    }
}

#[test]
fn calls_of_an_allocator_that_holds_its_lock_are_recorded() {
    const ALLOCATIONS: usize = 20_000;
    let options = with_calls().generation(Duration::from_millis(20));
    let recorded = record_with(options, || {
        ALLOCATOR.yields.store(true, Ordering::Relaxed);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..ALLOCATIONS).for_each(|n| _ = black_box(Box::new(n))));
            }
        });
        ALLOCATOR.yields.store(false, Ordering::Relaxed);
    });
    let all = calls(&recorded.trace);
    let yields = all.iter().filter(|call| call.call == CallId::SCHED_YIELD).count() as u64;
    let lost = recorded.report.dropped_events;
    assert!(yields + lost >= 4 * ALLOCATIONS as u64, "{yields}, {lost} lost");
    assert!(lost < yields / 100, "{yields}, {lost} lost");
}
