//! Models of E1 to E4: entries come and go, and an id in hand is always defined with its words.

use super::check;
use crate::intern::resources::ResourceTable;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

/// What is defined now, as ids and words.
fn defined(table: &ResourceTable) -> Vec<(u32, Vec<u64>)> {
    let mut defined = Vec::new();
    table.for_each_new(|id, words| defined.push((id, words.to_vec())));
    defined
}

#[test]
fn e1_an_id_in_hand_is_told_by_the_next_look() {
    check(|| {
        let table = Arc::new(ResourceTable::new());
        let handed = Arc::new(AtomicU64::new(0));
        // As an event's commit tells the collector.
        let other = thread::spawn({
            let (table, handed) = (Arc::clone(&table), Arc::clone(&handed));
            move || handed.store(table.intern(&[5]).into(), Ordering::Release)
        });
        let mut all = defined(&table);
        let id = handed.load(Ordering::Acquire) as u32;
        all.extend(defined(&table));
        if id != 0 {
            assert_eq!(all, [(id, vec![5])]);
        }
        other.join().expect("no thread panics");
        all.extend(defined(&table));
        assert_eq!(all, [(handed.load(Ordering::Acquire) as u32, vec![5])], "once");
    });
}

#[test]
fn e1_two_that_add_the_same_words_are_both_told() {
    check(|| {
        let table = Arc::new(ResourceTable::new());
        let other = thread::spawn({
            let table = Arc::clone(&table);
            move || table.intern(&[7])
        });
        let mine = table.intern(&[7]);
        let all = defined(&table);
        assert!(all.contains(&(mine, vec![7])), "{all:?} for {mine}");
        assert_eq!(other.join().expect("no thread panics"), mine);
    });
}

#[test]
fn e2_a_search_never_takes_the_next_entry_of_a_cell_for_the_one_before() {
    check(|| {
        let table = Arc::new(ResourceTable::new());
        let first = table.intern(&[1]);
        let mut all = defined(&table);
        let other = thread::spawn({
            let table = Arc::clone(&table);
            move || table.intern(&[1])
        });
        // The first is given up, and its cell has another entry.
        table.give_up_idle(|_, _| false, |_, _| {});
        let second = table.intern(&[2]);
        let again = other.join().expect("no thread panics");
        all.extend(defined(&table));
        assert_ne!(second, first);
        assert!(all.contains(&(again, vec![1])), "{all:?} for {again}");
        assert!(all.contains(&(second, vec![2])), "{all:?} for {second}");
    });
}

#[test]
fn e3_e4_a_cell_has_one_entry_and_what_has_none_is_counted() {
    check(|| {
        let table = Arc::new(ResourceTable::new());
        let first = table.intern(&[1]);
        let second = table.intern(&[2]);
        let mut all = defined(&table);
        assert!(all.contains(&(first, vec![1])) && all.contains(&(second, vec![2])));
        let other = thread::spawn({
            let table = Arc::clone(&table);
            move || (table.intern(&[3]), 3)
        });
        // Both are given up while another one takes cells.
        table.give_up_idle(|_, _| false, |_, _| {});
        let handed = [(table.intern(&[4]), 4), other.join().expect("no thread panics")];
        all.extend(defined(&table));
        let refused = handed.iter().filter(|(id, _)| *id == 0).count() as u64;
        assert_eq!(table.lost(), refused);
        for (id, word) in handed.into_iter().filter(|(id, _)| *id != 0) {
            assert!(all.contains(&(id, vec![word])), "{all:?} for {id}");
        }
    });
}
