//! Models of T1 to T5: the hot path, read by a collector at any moment.

use super::{Piece, begin, check, drain, end, thread};
use crate::collect::drain::Drain;
use loom::thread as loom_thread;
use trace_format::event::EventKind;
use trace_format::id::{CallId, Open, OpenCall, ResourceId, StackId};

/// Records `act` on a thread of its own while the collector looks twice; all pieces in the end.
fn record(act: fn(&crate::thread::RecordingThread)) -> Vec<Piece> {
    let thread = thread();
    let mut walk = Drain::new(thread.clone());
    let owner = loom_thread::spawn(move || act(&thread));
    let mut pieces = Vec::new();
    drain(&mut walk, &mut pieces);
    owner.join().expect("the owner does not panic");
    drain(&mut walk, &mut pieces);
    pieces
}

/// Kinds by letter, as they come; every piece decodes alone (T4), and times never go back (T5).
fn letters(pieces: &[Piece]) -> String {
    let mut now = 0;
    let mut out = String::new();
    for piece in pieces {
        let events = piece.decode();
        assert_eq!(events.len() as u32, piece.events, "the count in the header is the truth");
        for event in events {
            assert!(event.ticks.0 >= now, "time went back");
            now = event.ticks.0;
            out.push(match event.kind {
                EventKind::Region { .. } => 'R',
                EventKind::RegionBegin { .. } => 'B',
                EventKind::End => 'E',
                EventKind::Reopen { .. } => 'o',
                EventKind::Call { result: -5, .. } => 'C',
                EventKind::CallBegin { .. } => 'c',
                EventKind::EndCall { result: -5 } => 'e',
                other => panic!("nobody wrote {other:?}"),
            });
        }
    }
    out
}

#[test]
fn t1_t2_t4_a_leaf_is_one_event_or_none_yet() {
    check(|| {
        let pieces = record(|thread| end(thread, begin(thread)));
        assert_eq!(letters(&pieces), "R");
    });
}

#[test]
fn t4_t5_nested_regions_are_whole_wherever_they_are_cut() {
    check(|| {
        let pieces = record(|thread| {
            let outer = begin(thread);
            end(thread, begin(thread));
            end(thread, begin(thread));
            end(thread, outer);
        });
        assert_eq!(letters(&pieces), "BRRE");
    });
}

#[test]
fn t4_t5_calls_are_whole_alone_and_around_others() {
    check(|| {
        let pieces = record(|thread| {
            let call = OpenCall { call: CallId(1), stack: StackId(9), resource: ResourceId(300) };
            let what = Open::Call(call).to_word();
            // SAFETY: every model records on one loom thread only.
            let begin_call = || unsafe { thread.begin_call(call) };
            // SAFETY: as above.
            let end_call = |begin| unsafe { thread.end_call(begin, what, -5) };
            end_call(begin_call());
            let outer = begin_call();
            end(thread, begin(thread));
            end_call(outer);
        });
        assert_eq!(letters(&pieces), "CcRe");
    });
}

#[test]
fn t3_a_batch_that_is_full_goes_on_in_the_next() {
    check(|| {
        let pieces = record(|thread| {
            let outer = begin(thread);
            end(thread, begin(thread));
            // SAFETY: on the owning thread, with no other reference to its state.
            let own = unsafe { thread.own() };
            let room = thread.limit.load(std::sync::atomic::Ordering::Relaxed) - own.pos;
            // Fill it but for one byte.
            for _ in 0..room / 3 + 1 {
                end(thread, begin(thread));
            }
            end(thread, outer);
        });
        let letters = letters(&pieces);
        assert!(letters.starts_with("BR") && letters.ends_with('E'));
        assert_eq!(letters.matches('o').count(), 1, "the open one is restated: {letters}");
        assert_eq!(letters.matches('B').count(), 1);
    });
}
