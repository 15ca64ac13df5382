//! A model of P1: the last to let go of a thread's state ends it, and nobody before.

use super::{check, thread};
use loom::thread as loom_thread;
use std::sync::{Arc, Weak};

#[test]
fn p1_a_state_ends_with_its_last_reference() {
    check(|| {
        let first = thread();
        // Its session ends with it.
        let session: Weak<_> = Arc::downgrade(&first.session);
        let second = first.clone();
        let other = loom_thread::spawn(move || {
            assert_eq!(second.id.0, 1);
            drop(second);
        });
        assert!(session.upgrade().is_some(), "there is a reference");
        assert_eq!(first.id.0, 1);
        drop(first);
        other.join().expect("no thread panics");
        assert!(session.upgrade().is_none());
    });
}
