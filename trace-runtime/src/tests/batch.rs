//! Models of B1 to B5: what may be read of a batch while its owner writes.

use super::{batch, check};
use crate::buffer::batch::Batch;
use crate::buffer::front::Commit;
use loom::sync::Arc;
use loom::thread;
use std::ptr;

/// Writes `count` bytes, each its own place, committing after each.
fn write(batch: &Batch, count: u8) {
    for at in 0..count {
        // SAFETY: one thread writes, below the capacity, beyond what is committed.
        unsafe { batch.put(usize::from(at), at) };
        let events = u16::from(at) + 1;
        batch.commit(Commit { ticks: u32::from(at), events, len: events });
    }
}

#[test]
fn b1_b2_a_committed_prefix_is_whole_and_never_written_again() {
    check(|| {
        let batch = Arc::new(batch());
        let writer = thread::spawn({
            let batch = Arc::clone(&batch);
            move || write(&batch, 3)
        });
        let mut before = Commit::default();
        for _ in 0..2 {
            let commit = batch.committed();
            assert!(commit.len >= before.len, "a commit never shrinks");
            let expected: Vec<u8> = (0..commit.len as u8).collect();
            assert_eq!(batch.bytes(0, commit), expected);
            assert_eq!(commit.events, commit.len);
            before = commit;
        }
        writer.join().expect("the writer does not panic");
    });
}

#[test]
fn b3_b4_a_successor_means_the_last_commit_is_seen() {
    check(|| {
        let batch = Arc::new(batch());
        let next: *mut Batch = ptr::without_provenance_mut(64);
        let writer = thread::spawn({
            let batch = Arc::clone(&batch);
            let next = next.addr();
            move || {
                write(&batch, 2);
                batch.seal(ptr::without_provenance_mut(next), 2);
            }
        });
        if !batch.next().is_null() {
            assert_eq!(batch.committed().len, 2, "sealed, and yet not all there");
        }
        writer.join().expect("the writer does not panic");
    });
}

#[test]
fn b5_a_slot_is_never_torn() {
    check(|| {
        let batch = Arc::new(batch());
        let writer = thread::spawn({
            let batch = Arc::clone(&batch);
            move || {
                for begin in 1..4 {
                    batch.slot(0).open(begin << 2, begin);
                    batch.slot(0).close();
                }
            }
        });
        if let Ok(open) = batch.read_open(Commit::default()) {
            for seen in open {
                assert_eq!(seen.open.to_word(), seen.begin.0 << 2, "two lives of a slot mixed");
            }
        }
        writer.join().expect("the writer does not panic");
    });
}

#[test]
fn b5_open_things_are_of_one_moment() {
    check(|| {
        let batch = Arc::new(batch());
        // The inner one's begin says in which outer one it is.
        let writer = thread::spawn({
            let batch = Arc::clone(&batch);
            move || {
                for round in 1..3_u64 {
                    batch.slot(0).open(4, round * 10);
                    batch.slot(1).open(8, round * 10 + 1);
                    batch.slot(1).close();
                    batch.slot(0).close();
                }
            }
        });
        if let Ok(open) = batch.read_open(Commit::default())
            && let [outer, inner] = open.as_slice()
        {
            assert_eq!(outer.begin.0 + 1, inner.begin.0, "an inner one in another's outer one");
        }
        writer.join().expect("the writer does not panic");
    });
}

#[test]
fn b5_what_is_open_is_exactly_as_of_the_commit() {
    check(|| {
        let batch = Arc::new(batch());
        // Begin, committed; end, committed: as `RecordingThread::end_committed` does it.
        let writer = thread::spawn({
            let batch = Arc::clone(&batch);
            move || {
                let slot = batch.slot(0);
                slot.open(4, 7);
                batch.commit(Commit { ticks: 0, events: 1, len: 0 });
                slot.ending(7);
                batch.commit(Commit { ticks: 0, events: 2, len: 0 });
                slot.close();
            }
        });
        let commit = batch.committed();
        if let Ok(open) = batch.read_open(commit) {
            match commit.events {
                1 => assert_eq!(open.len(), 1, "begun and not ended"),
                2 => assert!(open.is_empty(), "ended"),
                _ => {}
            }
        }
        writer.join().expect("the writer does not panic");
    });
}
