//! Models of R1 and R2: who lets go of the last waker finds a future that waits lost, once.

use super::check;
use crate::annotate::future::liveness::Liveness;
use loom::sync::Arc;
use loom::thread;

#[test]
fn r1_r2_a_future_whose_wakers_are_dropped_unused_is_found_lost_once() {
    check(|| {
        let liveness = Arc::new(Liveness::new());
        liveness.poll();
        let drops: Vec<_> = (0..2)
            .map(|_| {
                liveness.add_waker();
                let liveness = Arc::clone(&liveness);
                thread::spawn(move || liveness.drop_waker())
            })
            .collect();
        // The poll ends before, between or after the two.
        let by_itself = liveness.wait();
        let found: Vec<_> =
            drops.into_iter().map(|thread| thread.join().expect("no thread panics")).collect();
        assert_eq!(u8::from(by_itself) + found.iter().map(|&it| u8::from(it)).sum::<u8>(), 1);
    });
}

#[test]
fn r1_a_future_that_was_woken_is_not_found_lost() {
    check(|| {
        let liveness = Arc::new(Liveness::new());
        liveness.poll();
        liveness.add_waker();
        liveness.add_waker();
        let waker = thread::spawn({
            let liveness = Arc::clone(&liveness);
            move || {
                liveness.wake();
                liveness.drop_used_waker();
            }
        });
        let other = thread::spawn({
            let liveness = Arc::clone(&liveness);
            move || liveness.drop_waker()
        });
        let by_itself = liveness.wait();
        waker.join().expect("no thread panics");
        let by_other = other.join().expect("no thread panics");
        assert!(!by_itself && !by_other, "it was woken: it will be polled");
        // The next poll takes no waker: now it is lost.
        liveness.poll();
        assert!(liveness.wait());
    });
}

#[test]
fn r1_a_future_that_has_ended_is_not_found_lost() {
    check(|| {
        let liveness = Arc::new(Liveness::new());
        liveness.poll();
        liveness.add_waker();
        let other = thread::spawn({
            let liveness = Arc::clone(&liveness);
            move || liveness.drop_waker()
        });
        liveness.end();
        assert!(!other.join().expect("no thread panics"));
    });
}

#[test]
fn r1_a_future_is_not_found_lost_while_a_waker_is_held() {
    check(|| {
        let liveness = Arc::new(Liveness::new());
        liveness.poll();
        liveness.add_waker();
        let other = thread::spawn({
            let liveness = Arc::clone(&liveness);
            move || liveness.drop_waker()
        });
        liveness.add_waker();
        let by_itself = liveness.wait();
        let by_other = other.join().expect("no thread panics");
        assert!(!by_itself && !by_other, "one is still held");
        assert!(liveness.drop_waker());
    });
}
