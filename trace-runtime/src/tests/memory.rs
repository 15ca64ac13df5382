//! Models of M1 and M2: a spare has one owner, and batches are neither lost nor freed twice.

use super::check;
use crate::buffer::front::Commit;
use crate::buffer::memory::{self, Spares};
use loom::sync::Arc;
use loom::thread;

#[test]
fn m1_a_spare_is_taken_by_one_of_two() {
    check(|| {
        let spares = Arc::new(Spares::new());
        let batch = memory::allocate(280).expect("there is no bound here");
        // SAFETY: ours until it is given; its next life begins here.
        unsafe { &mut *batch }.reset(
            crate::buffer::front::Owner::default(),
            7,
            1,
            Default::default(),
        );
        assert!(spares.give(batch).is_ok());
        // The owner refills while the collector trims.
        let owner = thread::spawn({
            let spares = Arc::clone(&spares);
            move || {
                let taken = spares.take();
                if let Some(batch) = taken {
                    // SAFETY: taken, so it is ours alone (M1).
                    assert_eq!(unsafe { &*batch }.base, 7);
                    // SAFETY: the same, and it came from `allocate`.
                    unsafe { memory::free(batch) };
                }
            }
        });
        spares.trim(0);
        owner.join().expect("the owner does not panic");
        assert!(spares.take().is_none(), "it went one way, not both");
    });
}

#[test]
fn m2_a_full_shelf_hands_the_batch_back() {
    check(|| {
        let spares = Arc::new(Spares::new());
        let give = |spares: &Spares| {
            let batch = memory::allocate(280).expect("there is no bound here");
            if let Err(batch) = spares.give(batch) {
                // SAFETY: handed back, so it is ours, and it came from `allocate`.
                unsafe { memory::free(batch) };
                return 0;
            }
            1
        };
        let owner = thread::spawn({
            let spares = Arc::clone(&spares);
            move || {
                spares.take().map_or(0, |batch| {
                    // SAFETY: taken, so it is ours alone (M1), and it came from `allocate`.
                    unsafe { memory::free(batch) };
                    1
                })
            }
        });
        let given = give(&spares) + give(&spares);
        let taken = owner.join().expect("the owner does not panic");
        let left = usize::from(spares.take().is_some_and(|batch| {
            // SAFETY: as above.
            unsafe { memory::free(batch) };
            true
        }));
        assert_eq!(given, taken + left, "every batch given is taken once");
    });
}

#[test]
fn m1_a_spare_is_no_longer_read_by_who_gave_it() {
    check(|| {
        let spares = Arc::new(Spares::new());
        let batch = memory::allocate(280).expect("there is no bound here");
        // SAFETY: ours until it is given, and alive until the owner below frees it.
        let shared = unsafe { &*batch };
        // SAFETY: one byte, below the capacity and not committed.
        unsafe { shared.put(0, 1) };
        let written = Commit { ticks: 0, events: 1, len: 1 };
        let owner = thread::spawn({
            let spares = Arc::clone(&spares);
            move || {
                if let Some(batch) = spares.take() {
                    // SAFETY: taken, so it is ours alone (M1).
                    let next_life = unsafe { &*batch };
                    // SAFETY: one byte, below the capacity; the life in which it was committed is
                    // over.
                    unsafe { next_life.put(0, 2) };
                    // SAFETY: taken, and it came from `allocate`.
                    unsafe { memory::free(batch) };
                }
            }
        });
        // The collector's last look, before it gives the batch away.
        let _ = shared.bytes(0, written);
        assert!(spares.give(batch).is_ok());
        owner.join().expect("the owner does not panic");
        spares.trim(0);
    });
}
