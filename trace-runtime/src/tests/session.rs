//! Models of the end of a session, and of L1: a thread that opens a batch at that very moment
//! notices, and its state outlives whoever still uses it.

use super::{begin, check, drain, end, thread};
use crate::collect::drain::Drain;
use loom::thread as loom_thread;
use std::sync::atomic::Ordering;

#[test]
fn a_retired_thread_does_not_go_on_for_ever() {
    check(|| {
        let thread = thread();
        // Every begin of the owner refills: the limit is 0.
        thread.retire();
        let owner = loom_thread::spawn({
            let thread = thread.clone();
            move || {
                end(&thread, begin(&thread));
            }
        });
        thread.session.end();
        thread.retire();
        owner.join().expect("the owner does not panic");
        assert_eq!(thread.limit.load(Ordering::Relaxed), 0, "the next event would be written");
        assert_eq!(begin(&thread), 0, "and it is not");
    });
}

#[test]
fn l1_a_threads_state_lives_as_long_as_anybody_looks() {
    check(|| {
        let thread = thread();
        let mut walk = Drain::new(thread.clone());
        let owner = loom_thread::spawn(move || {
            end(&thread, begin(&thread));
            thread.exited.store(1, Ordering::Release);
        });
        let exited = walk.thread.exited.load(Ordering::Acquire) != 0;
        let mut pieces = Vec::new();
        drain(&mut walk, &mut pieces);
        if exited {
            let events: u32 = pieces.iter().map(|piece| piece.events).sum();
            assert_eq!(events, 1, "who has exited has committed all");
        }
        owner.join().expect("the owner does not panic");
        drop(walk);
    });
}
