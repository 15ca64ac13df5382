//! A model of W1: what is in a pool has one owner at a time, who sees all that the last one did.

use super::check;
use crate::pool::Pool;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

/// Something that two at once must not touch: loom notices.
type TestValue = UnsafeCell<u32>;

fn count_up(pool: &Pool<TestValue, 2>, from: usize) -> u32 {
    let Some(thing) = pool.take(from) else { return 0 };
    // SAFETY: `with_mut` lends the only pointer there is for as long as `thing` is taken: W1, and
    // loom fails the model if that is not so.
    thing.with_mut(|count| unsafe { *count += 1 });
    1
}

#[test]
fn w1_a_thing_has_one_owner_who_sees_what_the_last_one_did() {
    check(|| {
        let pool = Arc::new(Pool::new());
        pool.put(1, Box::new(UnsafeCell::new(0)));
        let other = thread::spawn({
            let pool = Arc::clone(&pool);
            move || count_up(&pool, 0) + count_up(&pool, 0)
        });
        let mine = count_up(&pool, 1);
        let counted = mine + other.join().expect("no thread panics");
        let thing = pool.take(0).expect("it was given back");
        // SAFETY: as above.
        let count = thing.with(|count| unsafe { *count });
        assert_eq!(count, counted, "counts are lost");
        assert!(thing.at == 1 && pool.take(0).is_none(), "there is one");
    });
}
