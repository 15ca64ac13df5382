//! Models of K1 and K2: places of tasks have one owner, and what is read of one is of one task.

use super::check;
use crate::annotate::open_tasks::{NewTask, TaskBlock};
use loom::thread;

fn opened(id: u64) -> NewTask<'static> {
    let name: &[u8] = if id == 1 { b"one" } else { b"two" };
    NewTask { id, parent: id + 10, name, forks: 0 }
}

/// A block for the time of a model; there are few.
fn block() -> &'static TaskBlock {
    Box::leak(Box::new(TaskBlock::new()))
}

#[test]
fn k1_a_place_is_free_when_the_last_of_two_lets_go() {
    check(|| {
        let block = block();
        let first = block.take().expect("it is free").open(&opened(1), None);
        assert!(block.take().is_none(), "there is one place");
        let second = first.clone();
        let other = thread::spawn(move || drop(second));
        assert_eq!(first.id(), 1, "it is held");
        drop(first);
        other.join().expect("no thread panics");
        let next = block.take().expect("both have let go").open(&opened(2), None);
        assert_eq!((next.id(), next.set_ended()), (2, true), "a task of its own");
    });
}

#[test]
fn k2_what_is_read_is_of_one_task() {
    check(|| {
        let block = block();
        let other = thread::spawn(move || {
            for id in 1..=2 {
                let vacant = block.take().expect("nobody else takes it");
                let task = vacant.open(&opened(id), None);
                task.set_begin(id + 20);
            }
        });
        block.for_each(&mut |seen| {
            assert_eq!(seen.parent, seen.id + 10);
            assert!([0, seen.id + 20].contains(&seen.begin), "{seen:?}");
            seen.with_name(|name| assert_eq!(name, opened(seen.id).name));
        });
        other.join().expect("no thread panics");
        block.for_each(&mut |seen| panic!("{seen:?} has ended"));
    });
}
