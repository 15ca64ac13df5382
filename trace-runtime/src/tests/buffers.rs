//! Batches, threads and the collector's walk once more on real threads, without anything of the
//! system: for Miri, which sees what loom does not, the raw memory itself. `.ci/sanitizers`.
//!
//! Elsewhere: every interleaving of smaller programs (the models beside this file).

use crate::clock;
use crate::drain::Drain;
use crate::encoded::Head;
use crate::memory::{BATCH_BYTES_MIN, allocate};
use crate::options::Options;
use crate::refill::Patience;
use crate::session::Session;
use crate::thread::{Identity, Thread};
use crate::thread_ref::{Room, ThreadRef};
use std::sync::Arc;
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
    let room = Room::new().expect("there is memory");
    room.fill(Thread::new(session, ThreadId(1), batch, clock::ticks(), Identity::default()))
}

/// Pairs of regions, one in the other.
fn record(thread: &Thread) {
    for _ in 0..REGIONS / 2 {
        // SAFETY: `begin` wants the thread that the state belongs to: each test has one that
        // records.
        let outer = unsafe { thread.begin(Head::region(1), 1 << 2, 0, WAITS) };
        // SAFETY: as above.
        let inner = unsafe { thread.begin(Head::region(1), 1 << 2, 0, WAITS) };
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
    let owner = std::thread::spawn({
        let thread = thread.clone();
        move || record(&thread)
    });
    while !owner.is_finished() {
        taken.take(&mut walk);
        // May fail while the owner writes; must not tear.
        _ = walk.open();
        thread.retire();
        std::thread::yield_now();
    }
    owner.join().expect("it does not panic");
    taken.take(&mut walk);
    assert!(walk.open().expect("nobody writes").is_empty());
    assert_eq!((taken.begun, taken.ended), (REGIONS / 2 * 2, REGIONS / 2 * 2));
}
