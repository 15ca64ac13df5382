//! Models of S1 and S2: what is borrowed lives, and whoever is last to let go of it knows.

use super::check;
use crate::session::running::Running;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

/// Counts its drops; its alignment leaves room for borrowers.
#[repr(align(16))]
struct TestValue {
    number: u32,
    drops: Arc<AtomicUsize>,
}

impl Drop for TestValue {
    fn drop(&mut self) {
        self.drops.fetch_add(1, Ordering::Relaxed);
    }
}

fn value(number: u32, drops: &Arc<AtomicUsize>) -> std::sync::Arc<TestValue> {
    std::sync::Arc::new(TestValue { number, drops: Arc::clone(drops) })
}

#[test]
fn s1_s2_a_borrower_finds_it_alive_and_it_ends_once() {
    check(|| {
        let (running, drops) = (Arc::new(Running::new()), Arc::new(AtomicUsize::new(0)));
        running.set(&value(7, &drops));
        let borrow = |running: &Running<TestValue>, drops: &AtomicUsize, keeps: bool| {
            let Some(borrowed) = running.borrow() else { return };
            let kept = keeps.then(|| borrowed.count());
            assert_eq!(borrowed.get().number, 7);
            assert_eq!(drops.load(Ordering::Relaxed), 0, "it is borrowed");
            drop(borrowed.give_back());
            drop(kept);
        };
        let other = thread::spawn({
            let (running, drops) = (Arc::clone(&running), Arc::clone(&drops));
            move || borrow(&running, &drops, true)
        });
        let third = thread::spawn({
            let (running, drops) = (Arc::clone(&running), Arc::clone(&drops));
            move || borrow(&running, &drops, false)
        });
        running.clear();
        assert!(running.borrow().is_none());
        other.join().expect("no thread panics");
        third.join().expect("no thread panics");
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn s2_a_borrow_is_not_given_back_to_the_next() {
    check(|| {
        let (running, drops) = (Arc::new(Running::new()), Arc::new(AtomicUsize::new(0)));
        running.set(&value(1, &drops));
        let other = thread::spawn({
            let running = Arc::clone(&running);
            move || running.borrow().map(|borrowed| drop(borrowed.give_back()))
        });
        running.set(&value(2, &drops));
        _ = other.join().expect("no thread panics");
        assert_eq!(drops.load(Ordering::Relaxed), 1, "the first is gone, the second is not");
        running.clear();
        assert_eq!(drops.load(Ordering::Relaxed), 2);
    });
}
