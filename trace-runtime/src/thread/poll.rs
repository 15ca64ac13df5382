//! Ends of polls after which the future waits: a poll begins like a region, and its end may have
//! the stack on which the future took the waker that it waits for.
//!
//! Elsewhere: what polls share with regions (`state`), futures (`annotate/future`).
//!
//! May contain `unsafe`: it gives its owner a unique reference into a shared struct.

use crate::buffer::slot::SLOTS;
use crate::stack;
use crate::sys::clock;
use crate::thread::RecordingThread;
use crate::thread::own::OwnState;
use crate::thread::refill::Patience;
use crate::thread::value::{EventBody, put_number};
use trace_format::event::opcode;

impl RecordingThread {
    /// Records the end of the poll that began at `begin`; its future waits on this stack, which is
    /// not 0.
    ///
    /// # Safety
    /// The caller is on the owning thread.
    pub(crate) unsafe fn end_poll(&self, begin: u64, what: u64, waits_at: u32) {
        stack::note_used(waits_at);
        // SAFETY: on the owning thread, and nothing below calls back.
        let own = unsafe { self.own() };
        let now = clock::ticks().max(own.last);
        let at = own.depth.wrapping_sub(1);
        if own.depth > SLOTS {
            let mut body = EventBody::new();
            put_number(&mut body, waits_at.into());
            return self.end_deep(own, now, opcode::END_POLL, &body, Patience::Never);
        }
        if at >= SLOTS || own.front().slot(at).begin() != begin {
            return self.end_elsewhere(own, begin, what, now, Patience::Never);
        }
        let frame = own.frames[at];
        if frame.at < own.committed {
            let put = |own: &mut OwnState, now| own.put_end_poll(now, waits_at);
            return self.end_committed(own, (begin, what), now, Patience::Never, put);
        }
        own.depth = at;
        own.front().slot(at).close();
        own.replace(frame.at, opcode::POLL_WAITS | opcode::OPEN);
        own.put_varint(waits_at.into());
        own.complete(frame.at, now - begin);
        own.last = now;
        self.commit(own, now);
    }
}

impl OwnState {
    fn put_end_poll(&mut self, now: u64, waits_at: u32) {
        self.put(opcode::END_POLL);
        self.put_varint(now - self.last);
        self.put_varint(waits_at.into());
        self.last = now;
        self.pending += 1;
    }
}
