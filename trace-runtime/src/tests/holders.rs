//! Models of R1 and R2: who lets go of the last waker finds a future that waits lost, once.

use super::check;
use crate::annotate::future::holders::Holders;
use loom::sync::Arc;
use loom::thread;

#[test]
fn r1_r2_a_future_whose_wakers_are_dropped_unused_is_found_lost_once() {
    check(|| {
        let holders = Arc::new(Holders::new());
        holders.poll();
        let drops: Vec<_> = (0..2)
            .map(|_| {
                holders.take();
                let holders = Arc::clone(&holders);
                thread::spawn(move || holders.let_go())
            })
            .collect();
        // The poll ends before, between or after the two.
        let by_itself = holders.wait();
        let found: Vec<_> =
            drops.into_iter().map(|thread| thread.join().expect("no thread panics")).collect();
        assert_eq!(u8::from(by_itself) + found.iter().map(|&it| u8::from(it)).sum::<u8>(), 1);
    });
}

#[test]
fn r1_a_future_that_was_woken_is_not_found_lost() {
    check(|| {
        let holders = Arc::new(Holders::new());
        holders.poll();
        holders.take();
        holders.take();
        let waker = thread::spawn({
            let holders = Arc::clone(&holders);
            move || {
                holders.wake();
                holders.let_go_used();
            }
        });
        let other = thread::spawn({
            let holders = Arc::clone(&holders);
            move || holders.let_go()
        });
        let by_itself = holders.wait();
        waker.join().expect("no thread panics");
        let by_other = other.join().expect("no thread panics");
        assert!(!by_itself && !by_other, "it was woken: it will be polled");
        // The next poll takes no waker: now it is lost.
        holders.poll();
        assert!(holders.wait());
    });
}

#[test]
fn r1_a_future_that_has_ended_is_not_found_lost() {
    check(|| {
        let holders = Arc::new(Holders::new());
        holders.poll();
        holders.take();
        let other = thread::spawn({
            let holders = Arc::clone(&holders);
            move || holders.let_go()
        });
        holders.end();
        assert!(!other.join().expect("no thread panics"));
    });
}

#[test]
fn r1_a_future_is_not_found_lost_while_a_waker_is_held() {
    check(|| {
        let holders = Arc::new(Holders::new());
        holders.poll();
        holders.take();
        let other = thread::spawn({
            let holders = Arc::clone(&holders);
            move || holders.let_go()
        });
        holders.take();
        let by_itself = holders.wait();
        let by_other = other.join().expect("no thread panics");
        assert!(!by_itself && !by_other, "one is still held");
        assert!(holders.let_go());
    });
}
