//! A model of A1: pages are taken and given back in runs. (A2 is a counted reference.)

use super::check;
use crate::buffer::arena::Pages;
use loom::sync::Arc;
use loom::thread;

#[test]
fn a1_a2_a_run_of_pages_has_one_owner() {
    check(|| {
        let pages = Arc::new(Pages::new(4).expect("there is memory"));
        let other = thread::spawn({
            let pages = Arc::clone(&pages);
            move || {
                let first = pages.take(2).expect("there is room for two runs");
                pages.give(first, 2);
                pages.take(2).expect("it was given back")
            }
        });
        let mine = pages.take(2).expect("there is room for two runs");
        let others = other.join().expect("no thread panics");
        assert!(mine.abs_diff(others) >= 2, "{mine} and {others} overlap");
        assert_eq!(pages.take(1), None);
        pages.give(others, 2);
        assert_eq!(pages.take(2), Some(others));
    });
}
