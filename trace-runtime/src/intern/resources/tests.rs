//! Entries of one table, by one thread and by several, as many as a server makes.

use super::parts::GENERATIONS;
use super::*;
use crate::base::primitive::AtomicBool;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

fn table() -> &'static ResourceTable {
    let table = Box::leak(Box::new(ResourceTable::new()));
    table.prepare();
    table
}

/// The words of a socket: kind, descriptor, length of the name, and the name.
fn peer(n: u64) -> [u64; 8] {
    [2, n % 1000, 37, n, n ^ 1, n << 3, !n, 7]
}

fn defined(table: &ResourceTable) -> BTreeMap<u32, Vec<u64>> {
    let mut defined = BTreeMap::new();
    table.for_each_new(|id, words| _ = defined.insert(id, words.to_vec()));
    defined
}

#[test]
fn same_words_have_one_id_that_is_told_once() {
    let table = table();
    let all: Vec<Vec<u64>> = (0..2_000_u64)
        .map(|n| (0..1 + n % 36).map(|word| word * n).chain([n]).take(36).collect())
        .collect();
    let ids: Vec<u32> = all.iter().map(|words| table.intern(words)).collect();
    let again: Vec<u32> = all.iter().map(|words| table.intern(words)).collect();
    assert_eq!(ids, again);
    let defined = defined(table);
    assert!(all.iter().zip(&ids).all(|(words, id)| defined.get(id) == Some(words)));
    assert_eq!(defined.len(), ids.iter().collect::<BTreeSet<_>>().len());
    assert_eq!(super::tests::defined(table), BTreeMap::new());
    assert_eq!(table.lost(), 0);
    assert_eq!(table.intern(&[1; 37]), 0, "too long");
    assert_eq!(table.lost(), 1);
}

#[test]
fn a_table_without_memory_knows_nothing_and_loses_nothing() {
    let table = ResourceTable::new();
    assert_eq!((table.intern(&[1]), table.lost()), (0, 0));
    table.begin();
    table.give_up_idle(|_, _| false, |_, _| unreachable!("nothing is in it"));
}

#[test]
fn entries_that_are_held_or_used_stay_and_others_make_room() {
    let table = table();
    let few = FEW as u32 * 2;
    let id = |n| table.intern(&[0, n, 0]);
    let ids: Vec<u32> = (0..u64::from(few)).map(id).collect();
    defined(table);
    let (held, used) = (ids[7], ids[9]);
    let mut given_up = Vec::new();
    for _ in 0..=IDLE_ROUNDS {
        assert_eq!(id(9), used);
        table.give_up_idle(|id, _| id == held, |id, _| given_up.push(id));
    }
    assert_eq!(given_up.len() as u32, few - 2);
    assert!(table.is_live(held) && table.is_live(used));
    assert!(!table.is_live(ids[8]));
    assert_ne!(id(8), ids[8], "another entry has another id");
    table.begin();
    assert!(!table.is_live(held), "of an earlier session");
}

#[test]
fn a_full_table_counts_what_it_refuses() {
    let table = table();
    let refused = (0..80_000_u64).filter(|n| table.intern(&peer(*n)) == 0).count();
    assert!(refused > 0);
    assert_eq!(table.lost(), refused as u64);
    let defined = defined(table);
    assert_eq!(defined.len() + refused, 80_000);
}

/// `EXECTRACE_TEST_SOAK=50` makes them ten million.
#[test]
fn peers_come_and_go_and_each_has_its_name() {
    let soak = std::env::var("EXECTRACE_TEST_SOAK").ok().and_then(|it| it.parse().ok());
    let count = 200_000 * soak.unwrap_or(1_u64);
    let table = table();
    let (mut next, mut given_up) = (0, 0);
    for n in 0..count {
        let id = table.intern(&peer(n));
        assert_ne!(id, 0);
        table.close(id);
        if n.is_multiple_of(1024) && table.is_crowded() || n + 1 == count {
            let mut found = BTreeSet::new();
            table.for_each_new(|_, words| _ = found.insert(words[3]));
            assert!(found.into_iter().eq(next..=n), "each once");
            next = n + 1;
            table.give_up_idle(|_, _| false, |_, _| given_up += 1);
        }
    }
    assert_eq!((table.lost(), next), (0, count));
    assert!(given_up > count / 2);
}

#[test]
fn every_id_that_is_handed_out_is_told_with_its_words() {
    let table = table();
    let is_over = AtomicBool::new(false);
    let defined = Mutex::new(BTreeMap::<u32, Vec<u64>>::new());
    let look = || {
        let mut defined = defined.lock().expect("nobody panics");
        table.for_each_new(|id, words| {
            assert_eq!(defined.insert(id, words.to_vec()), None, "an id has one meaning");
        });
    };
    let handed = std::thread::scope(|scope| {
        let collector = scope.spawn(|| {
            // Fewer rounds than generations: no id comes back.
            let mut rounds = GENERATIONS - 1;
            while !is_over.load(Ordering::Relaxed) {
                look();
                if rounds > 0 {
                    rounds -= 1;
                    table.give_up_idle(|_, _| false, |_, _| {});
                }
            }
        });
        let work = |seed: u64| {
            let mut handed = Vec::new();
            for n in 0..40_000_u64 {
                let words = peer(n.wrapping_mul(seed) % 5_000);
                let id = table.intern(&words);
                handed.push((id, words));
                if n.is_multiple_of(3) {
                    table.close(id);
                }
            }
            handed
        };
        let threads = [3, 5, 7].map(|seed| scope.spawn(move || work(seed)));
        let handed = threads.map(|thread| thread.join().expect("nobody panics"));
        is_over.store(true, Ordering::Relaxed);
        collector.join().expect("nobody panics");
        handed
    });
    look();
    let defined = defined.lock().expect("nobody panics");
    for (id, words) in handed.iter().flatten() {
        assert_eq!(defined.get(id).map(Vec::as_slice), Some(words.as_slice()));
    }
}
