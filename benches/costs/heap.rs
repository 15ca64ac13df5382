//! What counting and sampling the heap costs: a block of 64 bytes, allocated and freed, with the
//! system's allocator and with `Heap` over it, in turn.
//!
//! `Heap` is called directly; as the program's global allocator it costs the same.
//!
//! May contain `unsafe`: it calls allocators directly.

use crate::annotated;
use crate::floor::{Table, median, time};
use exectrace::Heap;
use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::Barrier;

static HEAP: Heap = Heap::system();

const ROUNDS: usize = 201;
const RUNS: u64 = 20_000;
const BLOCK: Layout = Layout::new::<[u64; 8]>();

#[inline(always)]
fn pair(allocator: &impl GlobalAlloc) {
    // SAFETY: `alloc` wants a layout that is not empty.
    let block = black_box(unsafe { allocator.alloc(BLOCK) });
    // SAFETY: `dealloc` wants a block of this allocator with its layout, once.
    unsafe { allocator.dealloc(block, BLOCK) };
}

/// What allocating and freeing costs more than with the system's allocator: in nanoseconds, and as
/// a ratio.
fn compare() -> (f64, f64) {
    let mut costs = Vec::new();
    for _ in 0..ROUNDS {
        let (system, heap) = (time(RUNS, || pair(&System)), time(RUNS, || pair(&HEAP)));
        costs.push(((heap - system) / RUNS as f64, heap / system));
    }
    (median(costs.iter().map(|cost| cost.0)), median(costs.iter().map(|cost| cost.1)))
}

/// The result of the slower of two threads that run at once.
fn compare_on_two() -> (f64, f64) {
    let barrier = Barrier::new(2);
    let work = || {
        barrier.wait();
        compare()
    };
    let both = std::thread::scope(|scope| {
        [scope.spawn(work), scope.spawn(work)].map(|thread| thread.join().expect("no panic"))
    });
    if both[0].1 > both[1].1 { both[0] } else { both[1] }
}

pub(crate) fn measure(table: &mut Table) {
    let mut row = |name: &str, (nanos, ratio): (f64, f64)| {
        let note = format!("{nanos:.1} ns above the system's allocator");
        table.row(name, &format!("{ratio:.2} x"), "", &note);
    };
    row("allocate and free 64 bytes, not started", compare());
    row("the same, two threads, each", compare_on_two());
    let trace = exectrace::start_with(annotated().heap(true), std::io::sink());
    let trace = trace.expect("no trace is running");
    row("allocate and free 64 bytes, recording", compare());
    row("the same, two threads, each", compare_on_two());
    let report = trace.stop().expect("nothing can't fail");
    table.row("samples of these", &(report.events / 2).to_string(), "", "one in 512 KiB");
}
