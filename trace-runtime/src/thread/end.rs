//! Ends that are events of their own: their begin was committed before, or has no slot, or is not
//! the innermost.
//!
//! The invariants are those of `state`, which ends what is still pending.

use crate::base::primitive::Ordering;
use crate::buffer::slot::SLOTS;
use crate::thread::RESERVE;
use crate::thread::RecordingThread;
use crate::thread::own::OwnState;
use crate::thread::refill::Patience;
use crate::thread::value::{EventBody, put_number};
use trace_format::event::opcode;

impl RecordingThread {
    /// Ends the innermost thing, whose begin is committed.
    #[inline(never)]
    pub(crate) fn end_committed(
        &self,
        own: &mut OwnState,
        (begin, what): (u64, u64),
        now: u64,
        patience: Patience,
        put: impl FnOnce(&mut OwnState, u64),
    ) {
        let at = own.depth - 1;
        let is_full = own.pos >= self.limit.load(Ordering::Relaxed);
        if is_full && !self.refill(own, now, RESERVE, patience) {
            if self.session.is_ended() {
                // It was open when the trace stopped, which the last state has to show.
                return;
            }
            own.depth = at;
            own.front().slot(at).close();
            return self.lose_end(own, now);
        }
        if own.depth <= at {
            // The batch was lost, and what was open is forgotten.
            return self.end_elsewhere(own, begin, what, now, patience);
        }
        let slot = own.front().slot(at);
        slot.ending(slot.begin());
        put(own, now);
        self.commit(own, now);
        // The batch may be another one now, to which the slot was copied.
        own.front().slot(at).close();
        own.depth = at;
    }

    /// Ends something beyond the slots, which is taken to be the innermost.
    #[cold]
    pub(crate) fn end_deep(
        &self,
        own: &mut OwnState,
        now: u64,
        code: u8,
        body: &[u8],
        patience: Patience,
    ) {
        own.depth -= 1;
        if !self.has_room(own, now, body.len(), patience) {
            self.lose_end(own, now);
        } else if own.depth >= SLOTS {
            self.append_here(own, now, code, body);
        }
        // Otherwise the batch was lost, and what was open is forgotten.
    }

    /// Ends something that is beyond the slots, or not the innermost, or was opened elsewhere.
    #[cold]
    pub(crate) fn end_elsewhere(
        &self,
        own: &mut OwnState,
        begin: u64,
        what: u64,
        now: u64,
        patience: Patience,
    ) {
        if own.depth > SLOTS {
            return self.end_deep(own, now, opcode::END, &[], patience);
        }
        if begin < self.begin {
            // It began in an earlier session.
            return;
        }
        // Without allocating: a traced allocator would call this again (T1).
        let mut body = EventBody::new();
        put_number(&mut body, what);
        put_number(&mut body, now - begin);
        // Before anything else: this may find that the batch is lost, and forget what is open.
        let has_room = self.has_room(own, now, body.len(), patience);
        let found = (0..own.depth).rev().find(|&at| own.front().slot(at).begin() == begin);
        let ended = found.unwrap_or(own.depth)..own.depth;
        if has_room {
            for slot in ended.clone().map(|at| own.front().slot(at)) {
                slot.ending(slot.begin());
            }
            self.append_here(own, now, opcode::END_DETACHED, &body);
        } else if self.session.is_ended() {
            return;
        } else {
            self.lose_end(own, now);
        }
        own.depth = ended.start;
        // The outermost last: until then no reader takes the remaining slots for all that is open.
        ended.rev().for_each(|at| own.front().slot(at).close());
    }
}
