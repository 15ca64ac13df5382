//! Models of D1 and D2: every committed byte is handed out once, in order, and what is open is
//! told exactly as of there.

use super::{begin, check, drain, end, thread};
use crate::drain::Drain;
use loom::thread as loom_thread;
use std::sync::Arc;
use trace_format::event::EventKind;

#[test]
fn d1_d2_pieces_join_without_gap_or_overlap() {
    check(|| {
        let thread = thread();
        let mut walk = Drain::new(Arc::clone(&thread));
        let owner = loom_thread::spawn({
            let thread = Arc::clone(&thread);
            move || {
                end(&thread, begin(&thread));
                end(&thread, begin(&thread));
            }
        });
        let mut pieces = Vec::new();
        drain(&mut walk, &mut pieces);
        // A cut: the owner's next event opens another batch.
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
        assert_eq!(walk.events, 2, "both regions, once each");
    });
}

#[test]
fn d2_the_state_fits_what_was_handed_out() {
    check(|| {
        let thread = thread();
        let mut walk = Drain::new(Arc::clone(&thread));
        let owner = loom_thread::spawn({
            let thread = Arc::clone(&thread);
            move || {
                let outer = begin(&thread);
                end(&thread, begin(&thread));
                end(&thread, outer);
            }
        });
        let mut pieces = Vec::new();
        drain(&mut walk, &mut pieces);
        if let Ok(open) = walk.open() {
            let (mut begun, mut ended) = (0, 0);
            for event in pieces.iter().flat_map(|piece| piece.decode()) {
                match event.kind {
                    EventKind::RegionBegin { .. } => begun += 1,
                    EventKind::End => ended += 1,
                    _ => {}
                }
            }
            let written_open: i32 = begun - ended;
            assert!(open.len() as i32 >= written_open, "what has begun and not ended is open");
            assert!(begun == 0 || ended == 0 || open.is_empty(), "what has ended is not");
        }
        owner.join().expect("the owner does not panic");
    });
}

#[test]
fn d2_the_state_is_true_where_ends_come_in_the_wrong_order() {
    check(|| {
        let thread = thread();
        let mut walk = Drain::new(Arc::clone(&thread));
        let owner = loom_thread::spawn({
            let thread = Arc::clone(&thread);
            move || {
                let outer = begin(&thread);
                let inner = begin(&thread);
                end(&thread, begin(&thread));
                // The outer one first: both are over now.
                end(&thread, outer);
                inner
            }
        });
        let mut pieces = Vec::new();
        drain(&mut walk, &mut pieces);
        if let Ok(open) = walk.open() {
            let decoded: Vec<_> = pieces.iter().flat_map(|piece| piece.decode()).collect();
            let begun = decoded.iter().filter(|e| matches!(e.kind, EventKind::RegionBegin { .. }));
            let over = decoded.iter().any(|e| matches!(e.kind, EventKind::EndDetached { .. }));
            if over {
                assert!(open.is_empty(), "what has ended is told as open");
            } else if begun.count() == 2 {
                assert!(open.len() >= 2, "what is open is told as ended");
            }
        }
        owner.join().expect("the owner does not panic");
    });
}
