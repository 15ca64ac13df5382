//! What `exectrace::Heap` counts and samples, called directly: nothing else allocates from it here,
//! so that every number can be predicted.
//!
//! Elsewhere: `Heap` as the program's global allocator (`heap_global.rs`).
//!
//! May contain `unsafe`: it calls allocators, and implements one.
//!
//! Long, because its tests share helpers, and each file here is linked as a program of its own.

mod common;

use common::samples::{Change, Sample, chance, change, samples};
use common::waiting::{tables, wait_for_generations, wait_until, written};
use common::{Recorded, alone, annotated, in_own_process, record_here};
use exectrace::{Heap, Options};
use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

static HEAP: Heap = Heap::system();

/// A block of the heap, freed when dropped.
struct Block<A: GlobalAlloc + 'static = Heap> {
    heap: &'static A,
    at: *mut u8,
    layout: Layout,
}

// SAFETY: `Send` wants that the block may be used by another thread: it owns its bytes.
unsafe impl<A: GlobalAlloc> Send for Block<A> {}

impl Block {
    fn new(bytes: usize) -> Self {
        Self::on(&HEAP, Layout::from_size_align(bytes, 8).unwrap()).expect("there is memory")
    }
}

impl<A: GlobalAlloc> Block<A> {
    fn on(heap: &'static A, layout: Layout) -> Option<Self> {
        // SAFETY: `alloc` wants a layout that is not empty: none here is.
        let at = unsafe { heap.alloc(layout) };
        (!at.is_null()).then(|| Self { heap, at, layout })
    }

    /// Resizes the block; returns whether that worked.
    fn resize(&mut self, bytes: usize) -> bool {
        // SAFETY: `realloc` wants a block of this allocator with its layout, and a size in bounds.
        let at = unsafe { self.heap.realloc(self.at, self.layout, bytes) };
        if !at.is_null() {
            let align = self.layout.align();
            (self.at, self.layout) = (at, Layout::from_size_align(bytes, align).unwrap());
        }
        !at.is_null()
    }
}

impl<A: GlobalAlloc> Drop for Block<A> {
    fn drop(&mut self) {
        // SAFETY: `dealloc` wants a block of this allocator with its layout, once.
        unsafe { self.heap.dealloc(self.at, self.layout) };
    }
}

/// Options for the heap alone, with one sample in `sample_bytes` bytes.
fn options(sample_bytes: u64) -> Options {
    annotated().heap(true).heap_sample_bytes(sample_bytes)
}

/// Makes every block a sample: a block of 16 bytes is missed with a probability of 1 in 10,000,000.
const ALL: u64 = 1;

fn record(sample_bytes: u64, act: impl FnOnce()) -> Recorded {
    record_as(options(sample_bytes), act)
}

fn record_as(options: Options, act: impl FnOnce()) -> Recorded {
    let _alone = alone();
    // A heap that was never used is not recorded.
    drop(Block::new(8));
    record_here(options, act)
}

#[test]
fn live_bytes_are_what_is_held() {
    let mut held = Vec::new();
    let recorded = record(512 << 10, || {
        for round in 1..=1000 {
            held.push(Block::new(round));
            drop(Block::new(3));
        }
        held.truncate(900);
    });
    let expected = Change {
        live_bytes: (1..=900).sum(),
        live_allocations: 900,
        allocated_bytes: (1..=1000).sum::<u64>() + 3000,
        allocations: 2000,
    };
    assert_eq!(change(&recorded.trace), expected);
    let recorded = record(512 << 10, || held.clear());
    let change = change(&recorded.trace);
    assert_eq!((change.live_bytes, change.live_allocations), (-expected.live_bytes, -900));
}

#[test]
fn totals_are_exact_across_threads_and_their_ends() {
    const THREADS: u64 = 8;
    const BLOCKS: u64 = 5_000;
    let recorded = record(4096, || {
        let (give, take) = mpsc::channel();
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let give = give.clone();
                scope.spawn(move || {
                    for at in 0..BLOCKS {
                        let block = Block::new((16 + (at * 7 + thread) % 1000) as usize);
                        // Another thread frees every other block.
                        if at % 2 == 0 {
                            give.send(block).expect("somebody takes");
                        }
                    }
                });
            }
            drop(give);
            scope.spawn(move || take.into_iter().for_each(drop));
        });
        // And many more threads in total than at any one time.
        for _ in 0..300 {
            thread::scope(|scope| _ = scope.spawn(|| drop(Block::new(100))));
        }
    });
    let bytes = |thread| (0..BLOCKS).map(move |at| 16 + (at * 7 + thread) % 1000).sum::<u64>();
    let expected = Change {
        live_bytes: 0,
        live_allocations: 0,
        allocated_bytes: (0..THREADS).map(bytes).sum::<u64>() + 300 * 100,
        allocations: THREADS * BLOCKS + 300,
    };
    assert_eq!(change(&recorded.trace), expected);
    assert_eq!(recorded.report.dropped_events, 0);
    let samples = samples(&recorded.trace);
    assert!(samples.len() > 1000, "{}", samples.len());
    assert!(samples.values().all(|sample| sample.freed.is_some()), "all of it was freed");
}

/// The peak of live bytes, above those at the begin.
fn peak(recorded: &Recorded) -> u64 {
    let heap = &recorded.trace.tables.heap;
    let most = heap.iter().map(|state| state.live_bytes).max().expect("there are snapshots");
    most - heap[0].live_bytes
}

/// Number of threads at once. A peak may be too low by twice 64 KiB for each of them.
const THREADS_AT_ONCE: u64 = 16;
const OFF: u64 = THREADS_AT_ONCE * 2 * (64 << 10);

#[test]
fn a_burst_between_two_snapshots_is_told() {
    const TOP: u64 = 64 << 20;
    for bytes in [64, 4096, 1 << 20, TOP] {
        let recorded = record(512 << 10, || {
            let burst: Vec<_> = (0..TOP / bytes).map(|_| Block::new(bytes as usize)).collect();
            drop(burst);
            // What follows is not higher.
            (0..1000).for_each(|_| drop(Block::new(4096)));
        });
        assert_eq!(change(&recorded.trace).live_bytes, 0);
        let peak = peak(&recorded);
        assert!((TOP - OFF..=TOP).contains(&peak), "{peak} of {TOP} in blocks of {bytes}");
    }
}

#[test]
fn a_peak_is_what_all_threads_held_together_even_if_others_free_it() {
    const THREADS: u64 = 4;
    const EACH: u64 = 8 << 20;
    const BYTES: u64 = 256;
    let recorded = record(512 << 10, || {
        let barrier = std::sync::Barrier::new(THREADS as usize);
        let rounds = || {
            // Twice; in between, each thread frees its own blocks.
            for _ in 0..2 {
                let held: Vec<_> = (0..EACH / BYTES).map(|_| Block::new(BYTES as usize)).collect();
                barrier.wait();
                drop(held);
                barrier.wait();
            }
        };
        thread::scope(|scope| {
            (0..THREADS).for_each(|_| _ = scope.spawn(rounds));
        });
        // One thread allocates, another frees: never more than one block is live.
        let (give, take) = mpsc::sync_channel(0);
        thread::scope(|scope| {
            scope.spawn(move || take.into_iter().for_each(|block: Block| drop(block)));
            (0..200).for_each(|_| give.send(Block::new(1 << 20)).expect("somebody takes"));
            drop(give);
        });
    });
    let (peak, top) = (peak(&recorded), THREADS * EACH);
    assert!(peak <= top && peak >= top - OFF, "{peak} of {top}");
}

/// Estimates the number of blocks of each size from the samples.
fn estimate(samples: &BTreeMap<u64, Sample>, mean: u64) -> BTreeMap<u64, f64> {
    let mut sizes = BTreeMap::new();
    for sample in samples.values() {
        *sizes.entry(sample.bytes).or_default() += sample.weight(mean);
    }
    sizes
}

#[test]
fn samples_stand_for_what_was_allocated() {
    const MEAN: u64 = 64 << 10;
    // From 1/4096 of the mean to 16 times the mean.
    let profile = [(16, 400_000), (500, 100_000), (8 << 10, 20_000), (64 << 10, 4000)];
    let profile = profile.into_iter().chain([(1 << 20, 300)]);
    let profile: Vec<(u64, u64)> = profile.collect();
    let work = || {
        for round in 0..100 {
            for &(bytes, count) in &profile {
                (0..count / 100).for_each(|_| drop(Block::new(bytes as usize)));
            }
            // So that no thread does all the work.
            if round % 10 == 0 {
                thread::scope(|scope| _ = scope.spawn(|| drop(Block::new(123))));
            }
        }
    };
    let recorded = record(MEAN, || {
        thread::scope(|scope| _ = scope.spawn(work));
        work();
    });
    assert_eq!(recorded.report.dropped_events, 0);
    let estimate = estimate(&samples(&recorded.trace), MEAN);
    for (bytes, count) in profile {
        let (count, chance) = (2.0 * count as f64, chance(bytes, MEAN));
        let deviation = (count * (1.0 - chance) / chance).sqrt();
        let found = estimate.get(&bytes).copied().unwrap_or_default();
        // Five standard deviations are exceeded once in two million runs.
        let distance = (found - count).abs() / deviation.max(1.0);
        assert!(distance < 5.0, "{bytes} bytes: {found} of {count}, {distance} deviations");
    }
}

#[test]
fn the_live_heap_at_any_time_is_what_was_sampled_and_not_freed() {
    const MEAN: u64 = 16 << 10;
    let recorded = record_as(options(MEAN).generation(Duration::from_millis(20)), || {
        let mut held = std::collections::VecDeque::new();
        for round in 0..4000 {
            held.push_back(Block::new(2000));
            // Grows, shrinks, grows.
            if round / 1000 == 1 {
                held.pop_front();
                held.pop_front();
            }
            if round % 800 == 0 {
                wait_for_generations(1);
            }
        }
    });
    let samples = samples(&recorded.trace);
    let snapshots = &recorded.trace.tables.heap;
    assert!(snapshots.len() >= 4, "one with each generation");
    let first = snapshots[0];
    for state in snapshots {
        let ticks = state.ticks.0;
        let is_live = |sample: &&Sample| {
            sample.ticks <= ticks && sample.freed.is_none_or(|freed| freed > ticks)
        };
        let live = samples.values().filter(is_live);
        let found: f64 = live.map(|sample| sample.weight(MEAN) * sample.bytes as f64).sum();
        let truth = (state.live_bytes - first.live_bytes) as f64;
        // One sample for each block; one more may be counted but not recorded yet.
        let chance = chance(2000, MEAN);
        let deviation = (truth / 2000.0 * (1.0 - chance) / chance).sqrt() * 2000.0;
        let distance = (found - truth).abs();
        assert!(distance <= 5.0 * deviation + 2.0 * 2000.0 / chance, "{found} of {truth}");
    }
}

#[test]
fn a_block_that_is_reallocated_is_freed_and_allocated_anew() {
    let recorded = record(ALL, || {
        let mut block = Block::new(100);
        assert!(block.resize(200));
        assert!(block.resize(100_000));
        assert!(block.resize(50));
    });
    let expected =
        Change { live_bytes: 0, live_allocations: 0, allocated_bytes: 100_350, allocations: 4 };
    assert_eq!(change(&recorded.trace), expected);
    let samples = samples(&recorded.trace);
    let sizes: Vec<_> = samples.values().map(|sample| sample.bytes).collect();
    assert_eq!(sizes, [100, 200, 100_000, 50]);
    let all: Vec<_> = samples.values().collect();
    for pair in all.windows(2) {
        assert!(pair[0].freed.expect("it was freed") <= pair[1].ticks);
    }
}

#[test]
fn samples_have_the_stack_of_the_allocation() {
    #[inline(never)]
    fn hoard(bytes: usize) -> Block {
        std::hint::black_box(Block::new(bytes))
    }
    #[inline(never)]
    fn save(bytes: usize) -> Block {
        std::hint::black_box(Block::new(bytes))
    }
    let recorded = record(ALL, || {
        let mut blocks = Vec::new();
        for times in 1..=3 {
            blocks.push(hoard(times * 1000));
        }
        blocks.push(save(7));
    });
    let samples: Vec<_> = samples(&recorded.trace).into_values().collect();
    let stacks: Vec<_> = samples.iter().map(|sample| sample.stack).collect();
    assert_eq!(stacks.len(), 4);
    assert_eq!(stacks[0], stacks[1], "the same place");
    assert_eq!(stacks[0], stacks[2], "the same place");
    assert_ne!(stacks[0], stacks[3], "another place");
    for (stack, function) in [(stacks[0], hoard as fn(usize) -> Block), (stacks[3], save)] {
        let known = recorded.trace.tables.stacks.get(&stack).expect("a stack is defined");
        let from = function as usize as u64;
        let is_in = |address: &u64| (from..from + 500).contains(address);
        assert!(known.addresses.iter().any(is_in), "not by {from:x}: {known:x?}");
    }
}

#[test]
fn samples_of_an_earlier_trace_are_not_freed_in_the_next() {
    let _alone = alone();
    let mut early = Vec::new();
    let first = record_here(options(ALL), || early.extend((0..50).map(|_| Block::new(64))));
    assert!(samples(&first.trace).values().all(|sample| sample.freed.is_none()));
    let numbers = samples(&first.trace);
    let between = Block::new(64);
    let second = record_here(options(ALL), || {
        drop(between);
        early.truncate(25);
        early.push(Block::new(32));
    });
    let samples = samples(&second.trace);
    assert_eq!(samples.len(), 1, "{samples:?}");
    let (number, sample) = samples.first_key_value().expect("one");
    assert_eq!((sample.bytes, sample.freed), (32, None));
    assert!(!numbers.contains_key(number), "no number is used twice");
    drop(early);
}

#[test]
fn a_heap_that_is_not_installed_is_told() {
    if !in_own_process("a_heap_that_is_not_installed_is_told") {
        return;
    }
    let recorded = record_here(options(4096), || ());
    let facility = &recorded.trace.tables.facilities["heap"];
    assert!(!facility.on && facility.note.contains("not the global allocator"), "{facility:?}");
    assert!(recorded.trace.tables.heap.is_empty());
    // It may be used directly, and late.
    let recorded = record_here(options(4096), || drop(Block::new(8)));
    assert!(recorded.trace.tables.facilities["heap"].on);
    assert_eq!(recorded.trace.tables.heap.last().map(|state| state.allocations), Some(1));
}

#[test]
fn what_is_not_wanted_is_not_recorded() {
    let recorded = record_as(annotated(), || drop(Block::new(1 << 20)));
    assert!(recorded.trace.tables.heap.is_empty());
    assert!(!recorded.trace.tables.facilities.contains_key("heap"));
    assert_eq!(recorded.trace.events_told(), 0);
}

#[test]
fn an_idle_heap_is_told_with_generations_only() {
    let _alone = alone();
    drop(Block::new(8));
    let recorded = record_here(options(4096), || thread::sleep(Duration::from_millis(350)));
    let generations = recorded.trace.tables.generations.len();
    assert_eq!(recorded.trace.tables.heap.len(), generations, "one with each, none between");
    let recorded = record_here(options(4096), || {
        wait_until("a busy one is told in between", || {
            drop(Block::new(8));
            let tables = tables(&written());
            tables.heap.len() > tables.generations.len()
        });
    });
    let (heap, generations) =
        (&recorded.trace.tables.heap, recorded.trace.tables.generations.len());
    let at = |ticks| Duration::from_nanos(recorded.trace.tables.clock.nanos(ticks).0);
    let took = at(heap[heap.len() - 1].ticks) - at(heap[0].ticks);
    let turns = (took.as_millis() / 100) as usize;
    assert!(heap.len() <= generations + turns + 1, "not at every turn: {} in {took:?}", heap.len());
    assert!(recorded.trace.tables.facilities["heap"].on);
}

/// Passes calls on, remembers them, and refuses if told to.
struct Inner;

static ASKED: Mutex<Vec<(&str, Layout, usize)>> = Mutex::new(Vec::new());
static REFUSES: AtomicBool = AtomicBool::new(false);

static OVER: Heap<Inner> = Heap::over(Inner);

/// Notes a call; returns whether it is passed on.
fn ask(what: &'static str, layout: Layout, bytes: usize) -> bool {
    ASKED.lock().unwrap().push((what, layout, bytes));
    !REFUSES.load(Ordering::Relaxed)
}

// SAFETY: `GlobalAlloc` wants blocks that fit their layouts, which come from the system's
// allocator, and no unwinding, which would end this test in any case.
unsafe impl GlobalAlloc for Inner {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let give = ask("alloc", layout, 0);
        // SAFETY: the caller promises what `alloc` wants.
        if give { unsafe { System.alloc(layout) } } else { ptr::null_mut() }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let give = ask("alloc_zeroed", layout, 0);
        // SAFETY: the caller promises what `alloc_zeroed` wants.
        if give { unsafe { System.alloc_zeroed(layout) } } else { ptr::null_mut() }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        let give = ask("realloc", layout, bytes);
        // SAFETY: the caller promises what `realloc` wants.
        if give { unsafe { System.realloc(block, layout, bytes) } } else { ptr::null_mut() }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        ask("dealloc", layout, 0);
        // SAFETY: the caller promises what `dealloc` wants.
        unsafe { System.dealloc(block, layout) };
    }
}

fn layout(bytes: usize, align: usize) -> Layout {
    Layout::from_size_align(bytes, align).unwrap()
}

#[test]
fn the_inner_allocator_is_asked_word_for_word() {
    let recorded = record(ALL, || {
        let mut block = Block::on(&OVER, layout(5000, 4096)).expect("it is given");
        assert_eq!(block.at.addr() % 4096, 0);
        assert!(block.resize(9000));
        assert_eq!(block.at.addr() % 4096, 0);
        drop(block);
        // SAFETY: `alloc_zeroed` wants a layout that is not empty.
        let at = unsafe { OVER.alloc_zeroed(layout(300, 1)) };
        // SAFETY: reading wants 300 bytes that are initialised: zeros.
        let zeros = unsafe { std::slice::from_raw_parts(at, 300) };
        assert_eq!(zeros, [0; 300]);
        drop(Block { heap: &OVER, at, layout: layout(300, 1) });
    });
    let asked = std::mem::take(&mut *ASKED.lock().unwrap());
    let expected = [
        ("alloc", layout(5000, 4096), 0),
        ("realloc", layout(5000, 4096), 9000),
        ("dealloc", layout(9000, 4096), 0),
        ("alloc_zeroed", layout(300, 1), 0),
        ("dealloc", layout(300, 1), 0),
    ];
    assert_eq!(asked, expected);
    let sizes: Vec<_> = samples(&recorded.trace).values().map(|sample| sample.bytes).collect();
    assert_eq!(sizes, [5000, 9000, 300]);
}

#[test]
fn a_refusal_is_passed_on_and_changes_nothing() {
    let recorded = record(ALL, || {
        let mut block = Block::on(&OVER, layout(100, 8)).expect("it is given");
        REFUSES.store(true, Ordering::Relaxed);
        assert!(Block::on(&OVER, layout(1000, 8)).is_none());
        // SAFETY: `alloc_zeroed` wants a layout that is not empty.
        assert!(unsafe { OVER.alloc_zeroed(layout(1000, 8)) }.is_null());
        assert!(!block.resize(2000));
        assert_eq!(block.layout.size(), 100);
        REFUSES.store(false, Ordering::Relaxed);
        drop(block);
        ASKED.lock().unwrap().clear();
    });
    let expected =
        Change { live_bytes: 0, live_allocations: 0, allocated_bytes: 100, allocations: 1 };
    assert_eq!(change(&recorded.trace), expected);
    // A `realloc` that might move the block ends its sample, and begins another one.
    let samples = samples(&recorded.trace);
    let all: Vec<_> = samples.values().map(|sample| (sample.address, sample.bytes)).collect();
    assert_eq!(all, [(all[0].0, 100), (all[0].0, 100)]);
    assert!(samples.values().all(|sample| sample.freed.is_some()));
}

#[test]
fn more_samples_than_the_table_holds_are_told() {
    let recorded = record(ALL, || {
        let held: Vec<_> = (0..80_000).map(|_| Block::new(24)).collect();
        drop(held);
    });
    let samples = samples(&recorded.trace);
    assert!(samples.len() > 30_000, "half of it can be used: {}", samples.len());
    let note = &recorded.trace.tables.facilities["heap"].note;
    let untaken = note.split(' ').find_map(|word| word.parse::<usize>().ok().filter(|&n| n > 1));
    let untaken = untaken.expect(note);
    assert_eq!(samples.len() + untaken, 80_000, "{note}");
    let (change, expected) = (change(&recorded.trace), 80_000);
    assert_eq!((change.allocations, change.live_allocations), (expected, 0), "all are counted");
}
