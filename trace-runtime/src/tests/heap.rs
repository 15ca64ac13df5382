//! Models of H1 to H6: blocks are found again by who frees them, counts are exact, and a trace that
//! begins is noticed by every thread that allocates.

use super::check;
use crate::base::primitive::{AtomicUsize, Ordering};
use crate::heap::count::{HeapCounts, HeapTotals};
use crate::heap::table::BlockTable;
use loom::sync::Arc;
use loom::thread;

/// Two entries of one window, and one count for all: every address meets every other.
type Small = BlockTable<2, 1>;

#[test]
fn h1_h2_addresses_that_share_a_window_are_kept_apart() {
    check(|| {
        let table = Arc::new(Small::new());
        let other = thread::spawn({
            let table = Arc::clone(&table);
            move || {
                for mark in [7, 8] {
                    assert!(table.insert(0x2000, mark), "there are two entries for two");
                    assert!(table.may_hold(0x2000));
                    assert_eq!(table.remove(0x2000), Some(mark));
                }
            }
        });
        for mark in [1, 2] {
            assert!(table.insert(0x1000, mark), "there are two entries for two");
            assert!(table.may_hold(0x1000));
            assert_eq!(table.remove(0x1000), Some(mark));
        }
        other.join().expect("no panic");
        assert!(!table.may_hold(0x1000), "nothing is left, and nothing is counted");
    });
}

#[test]
fn h1_a_block_freed_by_another_thread_and_given_out_again_is_found() {
    check(|| {
        let table = Arc::new(Small::new());
        // 0: the block is the first thread's; 1: handed over; 2: freed, and free to be had.
        let stage = Arc::new(AtomicUsize::new(0));
        assert!(table.insert(0x1000, 1));
        let freeing = thread::spawn({
            let (table, stage) = (Arc::clone(&table), Arc::clone(&stage));
            move || {
                if stage.load(Ordering::Acquire) == 1 {
                    assert!(table.may_hold(0x1000));
                    assert_eq!(table.remove(0x1000), Some(1));
                    stage.store(2, Ordering::Release);
                }
            }
        });
        stage.store(1, Ordering::Release);
        if stage.load(Ordering::Acquire) == 2 {
            assert!(table.insert(0x1000, 2));
            assert!(table.may_hold(0x1000));
            assert_eq!(table.remove(0x1000), Some(2));
            assert_eq!(table.remove(0x1000), None, "no entry of its earlier life is left");
        }
        freeing.join().expect("no panic");
    });
}

#[test]
fn h2_of_three_one_finds_no_room_and_leaves_no_trace() {
    check(|| {
        let table = Arc::new(Small::new());
        assert!(table.insert(0x3000, 3));
        let other = thread::spawn({
            let table = Arc::clone(&table);
            move || table.insert(0x2000, 2)
        });
        let first = table.insert(0x1000, 1);
        let second = other.join().expect("no panic");
        assert!(first || second, "one of two gets what is left");
        assert!(!(first && second), "and not both");
        assert_eq!(table.remove(0x1000), first.then_some(1));
        assert_eq!(table.remove(0x2000), second.then_some(2));
        assert_eq!(table.remove(0x3000), Some(3));
        assert!(!table.may_hold(0x1000), "who found no room is not counted");
    });
}

#[test]
fn h3_the_next_owner_of_a_slot_goes_on_from_the_last() {
    check(|| {
        let counters = Arc::new(HeapCounts::<1>::new());
        let live = |counters: &HeapCounts<1>| {
            let (index, slot) = counters.claim().expect("two slots for two");
            slot.allocated(8);
            slot.freed(3);
            counters.release(index);
        };
        let other = thread::spawn({
            let counters = Arc::clone(&counters);
            move || {
                live(&counters);
                live(&counters);
            }
        });
        live(&counters);
        other.join().expect("no panic");
        let sum = HeapTotals { allocated_bytes: 24, allocations: 3, freed_bytes: 9, frees: 3 };
        assert_eq!(counters.totals(), sum);
    });
}

#[test]
fn h4_a_thread_that_allocates_after_the_start_takes_part() {
    check(|| {
        let counters = Arc::new(HeapCounts::<1>::new());
        let started = Arc::new(AtomicUsize::new(0));
        let starter = thread::spawn({
            let (counters, started) = (Arc::clone(&counters), Arc::clone(&started));
            move || {
                counters.start(100);
                started.store(1, Ordering::Release);
            }
        });
        let (_, slot) = counters.claim().expect("there is one");
        // Each allocation of 10 bytes reaches a point that is one byte away.
        let sampled = || {
            let crossing = slot.allocated(10);
            crossing.is_some_and(|crossing| counters.decide(slot, crossing, |_| 1))
        };
        sampled();
        sampled();
        let before = started.load(Ordering::Acquire) == 1;
        assert!(sampled() || !before, "the trace runs, and this one is a sample");
        starter.join().expect("no panic");
        assert!(sampled(), "the trace runs, and this one is a sample");
    });
}

#[test]
fn h4_after_the_stop_nothing_is_a_sample() {
    check(|| {
        let counters = Arc::new(HeapCounts::<1>::new());
        counters.start(100);
        let stopped = Arc::new(AtomicUsize::new(0));
        let stopper = thread::spawn({
            let (counters, stopped) = (Arc::clone(&counters), Arc::clone(&stopped));
            move || {
                counters.stop();
                stopped.store(1, Ordering::Release);
            }
        });
        let (_, slot) = counters.claim().expect("there is one");
        for _ in 0..2 {
            let after = stopped.load(Ordering::Acquire) == 1;
            let crossing = slot.allocated(10);
            let sampled = crossing.is_some_and(|crossing| counters.decide(slot, crossing, |_| 1));
            assert!(!(sampled && after), "a sample after the stop");
        }
        stopper.join().expect("no panic");
    });
}

#[test]
fn h4_a_point_of_the_shared_slot_is_one_threads() {
    check(|| {
        let counters = Arc::new(HeapCounts::<1>::new());
        counters.start(100);
        // The first point is at the 15th byte, the next is far away.
        let sampled = |counters: &HeapCounts<1>| {
            let crossing = counters.shared.allocated_together(10);
            crossing.is_some_and(|crossing| counters.decide(&counters.shared, crossing, |_| 1000))
        };
        let crossing = counters.shared.allocated_together(4).expect("it begins here");
        assert!(!counters.decide(&counters.shared, crossing, |_| 15));
        let other = thread::spawn({
            let counters = Arc::clone(&counters);
            move || sampled(&counters)
        });
        let here = sampled(&counters);
        let there = other.join().expect("no panic");
        assert!(here != there, "one of the two has reached it, and the other has not");
    });
}

#[test]
fn h5_never_more_is_freed_than_allocated() {
    check(|| {
        let counters = Arc::new(HeapCounts::<1>::new());
        let handed = Arc::new(AtomicUsize::new(0));
        let other = thread::spawn({
            let (counters, handed) = (Arc::clone(&counters), Arc::clone(&handed));
            move || {
                let (_, slot) = counters.claim().expect("two slots for two");
                if handed.load(Ordering::Acquire) == 1 {
                    slot.freed(8);
                }
            }
        });
        let collector = thread::spawn({
            let counters = Arc::clone(&counters);
            move || {
                let totals = counters.totals();
                assert!(totals.freed_bytes <= totals.allocated_bytes, "{totals:?}");
                assert!(totals.frees <= totals.allocations, "{totals:?}");
            }
        });
        let (_, slot) = counters.claim().expect("two slots for two");
        slot.allocated(8);
        handed.store(1, Ordering::Release);
        other.join().expect("no panic");
        collector.join().expect("no panic");
    });
}

#[test]
fn h6_never_more_lives_in_a_sum_than_lived() {
    check(|| {
        let counters = Arc::new(HeapCounts::<1>::new());
        let other = thread::spawn({
            let counters = Arc::clone(&counters);
            move || {
                let totals = counters.totals_at_least();
                assert!(totals.live_bytes() <= 8, "{totals:?}");
            }
        });
        let (_, slot) = counters.claim().expect("two slots for one");
        slot.allocated(8);
        slot.freed(8);
        slot.allocated(8);
        other.join().expect("no panic");
        assert_eq!(counters.totals_at_least().live_bytes(), 8);
    });
}
