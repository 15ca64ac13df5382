//! Models of D1 and D2: every committed byte is handed out once, in order, and what is open is
//! told exactly as of there.

use super::{Piece, begin, check, drain, end, thread};
use crate::buffer::slot::SLOTS;
use crate::collect::drain::Drain;
use crate::thread::RecordingThread;
use loom::thread as loom_thread;
use trace_format::event::EventKind;

#[test]
fn d1_d2_pieces_join_without_gap_or_overlap() {
    check(|| {
        let thread = thread();
        let mut walk = Drain::new(thread.clone());
        let owner = loom_thread::spawn({
            let thread = thread.clone();
            move || {
                end(&thread, begin(&thread));
                end(&thread, begin(&thread));
            }
        });
        let mut pieces = Vec::new();
        drain(&mut walk, &mut pieces);
        // The next generation: the owner's next event opens another batch.
        thread.retire();
        drain(&mut walk, &mut pieces);
        owner.join().expect("the owner does not panic");
        drain(&mut walk, &mut pieces);
        let mut place = (0, 0);
        for piece in &pieces {
            if piece.sequence == place.0 {
                assert_eq!(piece.offset, place.1, "a gap or an overlap");
            } else {
                assert_eq!((piece.sequence, piece.offset), (place.0 + 1, 0), "a batch is missing");
            }
            place = (piece.sequence, piece.offset + piece.bytes.len() as u32);
        }
        let events: u32 = pieces.iter().map(|piece| piece.events).sum();
        assert_eq!(events, 2, "both regions, once each");
    });
}

/// Records `act` on a thread of its own, looks once meanwhile, and if what is open could be read,
/// hands `judge` the events so far and how many things were open behind them.
fn look(act: fn(&RecordingThread), judge: fn(&[EventKind<'_>], usize)) {
    check(move || {
        let thread = thread();
        let mut walk = Drain::new(thread.clone());
        let owner = loom_thread::spawn(move || act(&thread));
        let mut pieces = Vec::new();
        drain(&mut walk, &mut pieces);
        if let Ok(open) = walk.open() {
            let events = pieces.iter().flat_map(Piece::decode);
            judge(&events.map(|event| event.kind).collect::<Vec<_>>(), open.len());
        }
        owner.join().expect("the owner does not panic");
    });
}

/// How many things have begun, as far as there are slots to list them.
fn begun(events: &[EventKind<'_>]) -> usize {
    let begins = events.iter().filter(|kind| matches!(kind, EventKind::RegionBegin { .. }));
    begins.count().min(SLOTS)
}

#[test]
fn d2_the_state_fits_what_was_handed_out() {
    let nested = |thread: &RecordingThread| {
        let outer = begin(thread);
        end(thread, begin(thread));
        end(thread, outer);
    };
    look(nested, |events, open| {
        if events.iter().any(|kind| matches!(kind, EventKind::End)) {
            assert_eq!(open, 0, "what has ended is told as open");
        } else {
            assert!(open >= begun(events), "what is open is told as ended");
        }
    });
}

#[test]
fn d2_the_state_is_true_where_ends_come_in_the_wrong_order() {
    let crossed = |thread: &RecordingThread| {
        let outer = begin(thread);
        begin(thread);
        end(thread, begin(thread));
        // Not the innermost: both are over now.
        end(thread, outer);
    };
    look(crossed, |events, open| {
        if events.iter().any(|kind| matches!(kind, EventKind::EndDetached { .. })) {
            assert_eq!(open, 0, "what has ended is told as open");
        } else {
            assert!(open >= begun(events), "what is open is told as ended");
        }
    });
}
