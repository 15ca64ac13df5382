//! Programs that know what they allocate: the answer from their trace must equal it. Elsewhere:
//! other programs that know the truth (`truth`), and sums exact to the byte (`heap_global`).

#![cfg(target_os = "linux")]

#[path = "waits/answer.rs"]
#[allow(dead_code, reason = "every test file uses its own part")]
mod answer;
mod common;

use answer::Answer;
use common::{in_own_process, writers};
use std::hint::black_box;
use trace_analysis::heap::{Heap, HeapOptions, HeapStack};

#[global_allocator]
static HEAP: exectrace::Heap = exectrace::Heap::system();

fn options() -> exectrace::Options {
    exectrace::Options::new().heap_sample_bytes(16 << 10)
}

fn heap(answer: &Answer, options: &HeapOptions) -> Heap {
    Heap::read(&answer.file, options, |_| ())
}

/// The sum of `of` over all allocations in this function.
fn sum(answer: &Answer, heap: &Heap, function: &str, of: fn(&HeapStack) -> u64) -> f64 {
    let is_there =
        |it: &&HeapStack| answer.names(Some(it.stack)).iter().any(|name| name.ends_with(function));
    heap.stacks.iter().filter(is_there).map(of).sum::<u64>() as f64
}

const KEYS: u64 = 300_000;

#[inline(never)]
fn format_key(number: u64) -> u64 {
    black_box(Box::new([number; 8]))[3]
}

#[test]
fn what_is_freed_at_once_was_allocated_all_the_same() {
    if !in_own_process("what_is_freed_at_once_was_allocated_all_the_same") {
        return;
    }
    let answer = Answer::record_with(options(), || {
        black_box((0..KEYS).map(format_key).fold(0, |all, key| all ^ key));
    });
    let heap = heap(&answer, &HeapOptions::default());
    let (Some(first), Some(last)) = (heap.window().first(), heap.window().last()) else {
        panic!("there are exact counters: {heap:#?}");
    };
    let (bytes, count) =
        (last.allocated_bytes - first.allocated_bytes, last.allocations - first.allocations);
    assert!((KEYS..KEYS + KEYS / 10).contains(&count), "{count} of {KEYS} allocations");
    assert!((KEYS * 64..KEYS * 70).contains(&bytes), "{bytes} bytes");
    // An estimate from a thousand samples.
    let there = sum(&answer, &heap, "format_key", |it| it.allocated_bytes);
    let truth = (KEYS * 64) as f64;
    assert!(there > truth * 0.7 && there < truth * 1.3, "{there} of {truth} bytes");
    assert!(last.live_bytes < truth as u64 / 2, "they are freed: {last:?}");
}

const MESSAGES: u64 = 4_000;

#[inline(never)]
fn enqueue(queue: &mut Vec<Vec<u8>>) {
    queue.extend((0..MESSAGES).map(|_| vec![1; 4 << 10]));
}

#[test]
fn a_queue_that_grew_and_was_emptied_is_seen_at_its_longest() {
    if !in_own_process("a_queue_that_grew_and_was_emptied_is_seen_at_its_longest") {
        return;
    }
    let answer = Answer::record_with(options(), || {
        let mut queue = Vec::with_capacity(MESSAGES as usize);
        enqueue(&mut queue);
        drop(black_box(queue));
    });
    let whole = heap(&answer, &HeapOptions::default());
    let truth = MESSAGES * (4 << 10);
    let most = whole.points.iter().max_by_key(|it| it.live_bytes).expect("there are counters");
    let bytes = most.live_bytes;
    assert!((truth..truth + truth / 4).contains(&bytes), "{bytes} of {truth} bytes at most");
    let at = Some(answer.file.tables().clock.ticks(most.at));
    let heap = heap(&answer, &HeapOptions { at, ..HeapOptions::default() });
    let there = sum(&answer, &heap, "enqueue", |it| it.live_bytes);
    assert!(there > truth as f64 * 0.8 && there < truth as f64 * 1.2, "{there} of {truth}");
}
