//! Batches, threads, the collector's walk and the lists that threads share once more on real
//! threads, without anything of the system: for Miri, which sees what loom does not, the raw memory
//! itself. `.ci/sanitizers`.
//!
//! Elsewhere: every interleaving of smaller programs (the models beside this file).

use crate::annotate::open_tasks::{self, NewTask};
use crate::base::options::Options;
use crate::base::primitive::AtomicPtr;
use crate::buffer::inbox::{Inbox, Items, Linked};
use crate::buffer::memory::{BATCH_BYTES_MIN, allocate};
use crate::collect::drain::Drain;
use crate::session::Session;
use crate::sys::clock;
use crate::thread::encoded::EventHead;
use crate::thread::limbo;
use crate::thread::refill::Patience;
use crate::thread::thread_ref::{StateRoom, ThreadRef};
use crate::thread::{RecordingThread, ThreadIdentity};
use std::ptr;
use std::sync::{Arc, Weak};
use std::thread as std_thread;
use std::time::{Duration, Instant};
use trace_format::event::{Event, EventKind, Events};
use trace_format::id::ThreadId;
use trace_format::time::Ticks;

/// Regions that are recorded: several batches of them, save where each takes milliseconds.
const REGIONS: usize = if cfg!(miri) { 200 } else { 20_000 };

/// As of annotations.
const WAITS: Patience = Patience::Waits;

/// A thread in a session of its own, with a first batch.
fn thread() -> ThreadRef {
    let session = Arc::new(Session::new(&Options::default()));
    let batch = allocate(BATCH_BYTES_MIN).expect("there is no bound here");
    let room = StateRoom::new().expect("there is memory");
    room.fill(RecordingThread::new(
        session,
        ThreadId(1),
        batch,
        clock::ticks(),
        ThreadIdentity::default(),
    ))
}

/// Pairs of regions, one in the other.
fn record(thread: &RecordingThread) {
    for _ in 0..REGIONS / 2 {
        // SAFETY: `begin` wants the thread that the state belongs to: each test has one that
        // records.
        let outer = unsafe { thread.begin(EventHead::region(1), 1 << 2, 0, WAITS) };
        // SAFETY: as above.
        let inner = unsafe { thread.begin(EventHead::region(1), 1 << 2, 0, WAITS) };
        // SAFETY: as above.
        unsafe { thread.end(inner, 1 << 2, WAITS) };
        // SAFETY: as above.
        unsafe { thread.end(outer, 1 << 2, WAITS) };
    }
}

/// What a walk has handed out.
#[derive(Debug, Default)]
struct Taken {
    place: (u32, u32),
    begun: usize,
    ended: usize,
}

impl Taken {
    /// Takes all there is, which joins what came before.
    fn take(&mut self, walk: &mut Drain) {
        walk.drain(1, &mut |info, bytes, _| {
            let (sequence, end) = self.place;
            let next = if info.sequence == sequence { (sequence, end) } else { (sequence + 1, 0) };
            assert_eq!((info.sequence, info.offset), next, "a gap or an overlap");
            self.place = (info.sequence, info.offset + bytes.len() as u32);
            for event in Events::new(ThreadId(1), Ticks(info.base_ticks.0), bytes) {
                self.count(&event.expect("a piece is whole events"));
            }
        });
    }

    fn count(&mut self, event: &Event<'_>) {
        match event.kind {
            EventKind::Region { .. } => (self.begun, self.ended) = (self.begun + 1, self.ended + 1),
            EventKind::RegionBegin { .. } => self.begun += 1,
            EventKind::End => self.ended += 1,
            EventKind::Reopen { .. } => {}
            ref other => panic!("nobody recorded {other:?}"),
        }
    }
}

#[test]
fn what_a_thread_records_is_handed_out_behind_it() {
    let thread = thread();
    let mut walk = Drain::new(thread.clone());
    let mut taken = Taken::default();
    record(&thread);
    taken.take(&mut walk);
    assert!(walk.open().expect("nobody writes").is_empty());
    assert_eq!((taken.begun, taken.ended), (REGIONS / 2 * 2, REGIONS / 2 * 2));
}

#[test]
fn what_a_thread_records_is_handed_out_while_it_does() {
    let thread = thread();
    let mut walk = Drain::new(thread.clone());
    let mut taken = Taken::default();
    let owner = std_thread::spawn({
        let thread = thread.clone();
        move || record(&thread)
    });
    while !owner.is_finished() {
        taken.take(&mut walk);
        // May fail while the owner writes; must not tear.
        _ = walk.open();
        thread.retire();
        std_thread::yield_now();
    }
    owner.join().expect("it does not panic");
    taken.take(&mut walk);
    assert!(walk.open().expect("nobody writes").is_empty());
    assert_eq!((taken.begun, taken.ended), (REGIONS / 2 * 2, REGIONS / 2 * 2));
}

#[test]
fn the_last_of_two_threads_to_let_go_frees_a_state_and_its_batches() {
    let thread = thread();
    record(&thread);
    let session: Weak<_> = Arc::downgrade(&thread.session);
    let other = std_thread::spawn({
        let thread = thread.clone();
        move || assert_eq!(thread.id.0, 1)
    });
    assert_eq!(thread.id.0, 1);
    drop(thread);
    other.join().expect("it does not panic");
    // What is in limbo may be freed by another test just now.
    let end = Instant::now() + Duration::from_secs(30);
    while session.strong_count() > 0 {
        assert!(Instant::now() < end, "nobody frees the state");
        limbo::empty();
        std_thread::yield_now();
    }
}

/// Items of each thread.
const ITEMS: usize = if cfg!(miri) { 20 } else { 10_000 };

/// In an inbox.
struct TestItem {
    number: usize,
    link: AtomicPtr<Self>,
}

impl Linked for TestItem {
    fn link(&self) -> &AtomicPtr<Self> {
        &self.link
    }
}

/// Pushes one item after the other; how many were accepted.
fn push(inbox: &Inbox<TestItem>) -> usize {
    let accepts = |number| {
        let link = AtomicPtr::new(ptr::null_mut());
        let item = Box::into_raw(Box::new(TestItem { number, link }));
        // SAFETY: `push` wants an item that is ours, in no inbox, and stays.
        let is_accepted = unsafe { inbox.push(item) };
        if !is_accepted {
            // SAFETY: `from_raw` wants the pointer of `into_raw`, once: it was not pushed.
            drop(unsafe { Box::from_raw(item) });
        }
        is_accepted
    };
    (0..ITEMS).filter(|&number| accepts(number)).count()
}

fn numbers(items: Items<TestItem>) -> impl Iterator<Item = usize> {
    // SAFETY: `from_raw` wants the pointer of `into_raw`, once: Q1.
    items.map(|item| unsafe { Box::from_raw(item) }.number)
}

#[test]
fn what_threads_push_is_taken_once_until_the_inbox_is_closed() {
    let inbox = Inbox::new();
    let (taken, accepted) = std_thread::scope(|scope| {
        let pushing: Vec<_> = (0..2).map(|_| scope.spawn(|| push(&inbox))).collect();
        let mut taken = Vec::new();
        while taken.len() < ITEMS / 2 {
            taken.extend(numbers(inbox.take()));
            std_thread::yield_now();
        }
        taken.extend(numbers(inbox.close()));
        let accepted = pushing.into_iter().map(|thread| thread.join().expect("it does not panic"));
        (taken, accepted.sum::<usize>())
    });
    assert_eq!(taken.len(), accepted);
    // Each thread's are in order up to the first that is refused: no number is there more often
    // than the one before it.
    let count = |number| taken.iter().filter(|&&it| it == number).count();
    let counts: Vec<_> = (0..ITEMS.min(100)).map(count).collect();
    assert!(counts[0] <= 2 && counts.is_sorted_by(|one, next| one >= next), "{counts:?}");
}

/// Tasks of each thread.
const TASKS: u64 = if cfg!(miri) { 5 } else { 10_000 };

#[test]
fn what_is_read_of_an_open_task_is_of_that_task_alone() {
    // Ids that no other test of this process has.
    const FIRST: u64 = 1 << 40;
    let open_and_end = |from: u64| {
        for id in from..from + TASKS {
            let name = id.to_le_bytes();
            let task = NewTask { id, parent: id + 1, name: &name, forks: 0 };
            let vacant = open_tasks::take().expect("there is memory");
            let first = vacant.open(&task, None);
            first.set_begin(id + 2);
            let second = first.clone();
            assert!(first.set_ended() && !second.set_ended());
        }
    };
    let check = |seen: &open_tasks::ListedTask| {
        if seen.id >= FIRST {
            assert_eq!(seen.parent, seen.id + 1);
            assert!([0, seen.id + 2].contains(&seen.begin), "{seen:?}");
            seen.with_name(|name| assert_eq!(name, seen.id.to_le_bytes()));
        }
    };
    std_thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|thread| scope.spawn(move || open_and_end(FIRST + thread * TASKS)))
            .collect();
        while threads.iter().any(|thread| !thread.is_finished()) {
            open_tasks::for_each(check);
            std_thread::yield_now();
        }
    });
    let is_left = |seen: &open_tasks::ListedTask| assert!(seen.id < FIRST, "{seen:?} has ended");
    open_tasks::for_each(is_left);
}
