//! Models of F1 and F2: places are taken, read and given back by whoever comes.

use super::check;
use crate::annotate::future::registry::{FutureBlock, LiveFuture};
use loom::sync::Arc;
use loom::thread;

/// A future all of whose fields follow from its number.
fn life(future: u64) -> LiveFuture {
    LiveFuture {
        future,
        parent: future + 1,
        task: future + 2,
        site: future as u32,
        begin: future + 3,
        ..LiveFuture::default()
    }
}

#[test]
fn f1_f2_a_place_that_is_read_is_of_one_future() {
    check(|| {
        let block = Arc::new(FutureBlock::new(0));
        let owner = thread::spawn({
            let block = Arc::clone(&block);
            move || {
                for future in [10, 20] {
                    let at = block.open(&life(future)).expect("there are two places");
                    block.close(at);
                }
            }
        });
        if let Some(found) = block.read(0) {
            assert_eq!(found, life(found.future));
        }
        owner.join().expect("no thread panics");
        assert_eq!(block.read(0), None);
    });
}

#[test]
fn f1_two_that_look_for_a_place_find_two() {
    check(|| {
        let block = Arc::new(FutureBlock::new(0));
        let other = thread::spawn({
            let block = Arc::clone(&block);
            move || block.open(&life(10)).expect("there are two places")
        });
        let mine = block.open(&life(20)).expect("there are two places");
        let others = other.join().expect("no thread panics");
        assert_ne!(mine, others);
        assert_eq!((block.read(mine), block.read(others)), (Some(life(20)), Some(life(10))));
        assert_eq!(block.open(&life(30)), None);
        block.close(others);
        assert_eq!(block.open(&life(30)), Some(others));
    });
}
