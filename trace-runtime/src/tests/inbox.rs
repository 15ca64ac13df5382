//! Models of Q1 and Q2: what is pushed is taken once, or refused by an inbox that is closed.

use super::check;
use crate::base::primitive::AtomicPtr;
use crate::buffer::inbox::{Inbox, Linked};
use loom::sync::Arc;
use loom::thread;
use std::ptr;

struct TestItem {
    number: u32,
    link: AtomicPtr<Self>,
}

impl Linked for TestItem {
    fn link(&self) -> &AtomicPtr<Self> {
        &self.link
    }
}

/// Pushes an item; whether it was accepted.
fn push(inbox: &Inbox<TestItem>, number: u32) -> bool {
    let link = AtomicPtr::new(ptr::null_mut());
    let item = Box::into_raw(Box::new(TestItem { number, link }));
    // SAFETY: `push` wants an item that is ours, in no inbox, and stays.
    let is_accepted = unsafe { inbox.push(item) };
    if !is_accepted {
        // SAFETY: `from_raw` wants the pointer of `into_raw`, once: it was not pushed.
        drop(unsafe { Box::from_raw(item) });
    }
    is_accepted
}

fn numbers(items: crate::buffer::inbox::Items<TestItem>) -> Vec<u32> {
    // SAFETY: `from_raw` wants the pointer of `into_raw`, once: Q1.
    items.map(|item| unsafe { Box::from_raw(item) }.number).collect()
}

#[test]
fn q1_what_two_threads_push_is_taken_once_and_in_order() {
    check(|| {
        let inbox = Arc::new(Inbox::new());
        let other = thread::spawn({
            let inbox = Arc::clone(&inbox);
            move || {
                assert!(push(&inbox, 1));
                assert!(push(&inbox, 2));
            }
        });
        assert!(push(&inbox, 3));
        let mut taken = numbers(inbox.take());
        other.join().expect("no thread panics");
        taken.extend(numbers(inbox.take()));
        assert!(numbers(inbox.take()).is_empty());
        let of_other: Vec<_> = taken.iter().filter(|&&number| number < 3).copied().collect();
        assert_eq!((taken.len(), of_other), (3, vec![1, 2]), "{taken:?}");
    });
}

#[test]
fn q2_a_push_is_in_the_list_that_a_close_returns_or_is_refused() {
    check(|| {
        let inbox = Arc::new(Inbox::new());
        let other = thread::spawn({
            let inbox = Arc::clone(&inbox);
            move || u32::from(push(&inbox, 1)) + u32::from(push(&inbox, 2))
        });
        let mut taken = numbers(inbox.take());
        taken.extend(numbers(inbox.close()));
        let accepted = other.join().expect("no thread panics");
        assert_eq!(taken.len() as u32, accepted);
        assert!(!push(&inbox, 3), "it is closed for good");
        assert!(numbers(inbox.take()).is_empty() && numbers(inbox.close()).is_empty());
    });
}
