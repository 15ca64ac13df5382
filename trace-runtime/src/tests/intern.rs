//! Models of N1 to N5: what is interned by several at once has one name, can be had by it, and is
//! defined in the trace that names it.

use super::check;
use crate::intern::{ENTRIES_MAX, InternTable};
use loom::sync::Arc;
use loom::thread;

fn words(table: &InternTable, id: u32) -> Option<Vec<u64>> {
    table.get(id).map(|words| words.into_owned())
}

#[test]
fn n1_n2_same_words_have_one_id_and_it_gives_them_back() {
    check(|| {
        let table = Arc::new(InternTable::new());
        let intern = |table: &InternTable| {
            let id = table.intern(&[7, 8]);
            assert_eq!(words(table, id), Some(vec![7, 8]), "an id in hand, and no words");
            id
        };
        let other = thread::spawn({
            let table = Arc::clone(&table);
            move || intern(&table)
        });
        let mine = intern(&table);
        let theirs = other.join().expect("no thread panics");
        assert_eq!(mine, theirs, "same words, two ids");
        assert_ne!(mine, 0, "there was room");
    });
}

#[test]
fn n2_other_words_have_other_ids() {
    check(|| {
        let table = Arc::new(InternTable::new());
        let other = thread::spawn({
            let table = Arc::clone(&table);
            move || table.intern(&[1])
        });
        let mine = table.intern(&[2]);
        let theirs = other.join().expect("no thread panics");
        assert_ne!(mine, theirs);
        assert_eq!(words(&table, mine), Some(vec![2]));
        assert_eq!(words(&table, theirs), Some(vec![1]));
    });
}

#[test]
fn n1_n3_a_look_at_any_time_sees_whole_words_or_none() {
    check(|| {
        let table = Arc::new(InternTable::new());
        let other = thread::spawn({
            let table = Arc::clone(&table);
            move || {
                table.intern(&[1, 10]);
                table.intern(&[2, 20]);
            }
        });
        // What the collector does: everything up to the count; gaps are looked at again.
        for id in 1..=table.count() {
            if let Some(words) = words(&table, id) {
                assert!(words == [1, 10] || words == [2, 20], "torn: {words:?}");
            }
        }
        other.join().expect("no thread panics");
        assert!((1..=table.count()).all(|id| words(&table, id).is_some()), "a gap stays");
    });
}

#[test]
fn n1_an_id_told_to_another_thread_gives_the_words() {
    use loom::sync::atomic::{AtomicU64, Ordering};
    check(|| {
        let table = Arc::new(InternTable::new());
        let told = Arc::new(AtomicU64::new(0));
        // As an event's commit tells the collector.
        let other = thread::spawn({
            let (table, told) = (Arc::clone(&table), Arc::clone(&told));
            move || told.store(u64::from(table.intern(&[5])), Ordering::Release)
        });
        let mine = table.intern(&[5]);
        let id = told.load(Ordering::Acquire) as u32;
        if id != 0 {
            assert!(id <= table.count(), "an id beyond the count");
            assert_eq!(words(&table, id), Some(vec![5]));
            assert_eq!(id, mine);
        }
        other.join().expect("no thread panics");
    });
}

#[test]
fn n4_what_does_not_fit_is_counted_and_harms_nothing() {
    check(|| {
        let table = Arc::new(InternTable::new());
        let before = table.intern(&[1]);
        let other = thread::spawn({
            let table = Arc::clone(&table);
            move || (table.intern(&[2]), 2)
        });
        let all = [(table.intern(&[3]), 3), other.join().expect("no thread panics")];
        let refused = all.iter().filter(|(id, _)| *id == 0).count() as u64;
        assert_eq!(table.lost(), refused, "refused without a count");
        assert!(table.count() as usize <= ENTRIES_MAX);
        for (id, word) in all.into_iter().filter(|(id, _)| *id != 0) {
            assert_eq!(words(&table, id), Some(vec![word]));
        }
        assert_eq!(words(&table, before), Some(vec![1]));
        assert_eq!(table.intern(&[1]), before, "what is in stays");
    });
}

#[test]
fn n5_what_an_event_names_is_in_use_and_there_by_the_look_that_finds_the_event() {
    use loom::sync::atomic::{AtomicU64, Ordering};
    check(|| {
        let table = Arc::new(InternTable::new());
        let old = table.intern(&[1]);
        table.note_used(old);
        table.begin();
        assert!(table.used_words().eq([0]), "of an earlier trace");
        // Two at once, so that one may find that the other has noted it.
        let commits: [_; 2] = std::array::from_fn(|_| Arc::new(AtomicU64::new(0)));
        let threads = commits.clone().map(|commit| {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                let id = table.intern(&[5]);
                table.note_used(id);
                commit.store(u64::from(id), Ordering::Release);
            })
        });
        for commit in &commits {
            let id = commit.load(Ordering::Acquire) as u32;
            if id != 0 {
                let used = table.used_words().next().expect("ids were given");
                assert_ne!(used & 1 << (id - 1), 0, "an event names what is not defined");
                assert_eq!(words(&table, id), Some(vec![5]));
            }
        }
        threads.into_iter().for_each(|thread| thread.join().expect("no thread panics"));
    });
}
