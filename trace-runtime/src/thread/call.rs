//! Calls into the system, among a thread's open things: they begin and end like regions, and have a
//! result.
//!
//! A call's begin is pending like a region's; a call with nothing inside is a single event. Its
//! resource and its stack are part of the begin, so that both are known while it is open.
//!
//! Elsewhere: which functions are calls (`os`), regions and all that is shared with them
//! (`state`).
//!
//! May contain `unsafe`: it gives its owner a unique reference into a shared struct.

use crate::buffer::slot::SLOTS;
use crate::stack;
use crate::sys::clock;
use crate::thread::RecordingThread;
use crate::thread::encoded::EventHead;
use crate::thread::own::OwnState;
use crate::thread::refill::Patience;
use crate::thread::value::{EventBody, put_number};
use trace_format::event::opcode;
use trace_format::id::{Open, OpenCall};
use trace_format::varint::zigzag;

impl RecordingThread {
    /// Records the begin of a call. Returns its time, or 0 if it is not recorded.
    ///
    /// # Safety
    /// The caller is on the owning thread.
    pub(crate) unsafe fn begin_call(&self, call: OpenCall) -> u64 {
        // SAFETY: on the owning thread, and nothing below calls back.
        let own = unsafe { self.own() };
        let now = clock::ticks().max(own.last);
        if !self.has_room(own, now, 0, Patience::Never) {
            return self.lose_event(own, now);
        }
        self.push_call(own, call, now);
        now
    }

    /// Records the end of the call that began at `begin`.
    ///
    /// # Safety
    /// The caller is on the owning thread.
    pub(crate) unsafe fn end_call(&self, begin: u64, what: u64, result: i64) {
        // SAFETY: on the owning thread, and nothing below calls back.
        let own = unsafe { self.own() };
        let now = clock::ticks().max(own.last);
        let at = own.depth.wrapping_sub(1);
        if own.depth > SLOTS {
            let mut body = EventBody::new();
            put_number(&mut body, zigzag(result));
            return self.end_deep(own, now, opcode::END_CALL, &body, Patience::Never);
        }
        if at >= SLOTS || own.front().slot(at).begin() != begin {
            return self.end_elsewhere(own, begin, what, now, Patience::Never);
        }
        let frame = own.frames[at];
        if frame.at < own.committed {
            let put = |own: &mut OwnState, now| own.put_end_call(now, result);
            return self.end_committed(own, (begin, what), now, Patience::Never, put);
        }
        own.depth = at;
        own.front().slot(at).close();
        own.put_varint(zigzag(result));
        own.complete(frame.at, now - begin);
        own.last = now;
        self.commit(own, now);
    }

    /// Opens a call in which the thread was before the trace began. Its begin is the thread's first
    /// moment in the trace, by which readers recognise that.
    ///
    /// # Safety
    /// No other code has this state yet, and nothing was recorded in it.
    #[cfg(os_hooks)]
    pub(crate) unsafe fn begin_call_before(&self, call: OpenCall) {
        // SAFETY: no other code touches it, by the caller's promise.
        let own = unsafe { self.own() };
        self.push_call(own, call, self.begin);
    }

    /// Ends the call that [`RecordingThread::begin_call_before`] has opened, if there is one.
    ///
    /// # Safety
    /// No other code has this state, and nothing was recorded in it since.
    #[cfg(os_hooks)]
    pub(crate) unsafe fn end_call_before(&self, result: i64) {
        // SAFETY: no other code touches it, by the caller's promise.
        let own = unsafe { self.own() };
        if own.depth == 1 {
            let what = own.front().slot(0).what();
            // SAFETY: as above; `own` is not used any more.
            unsafe { self.end_call(self.begin, what, result) };
        }
    }

    fn push_call(&self, own: &mut OwnState, call: OpenCall, now: u64) {
        // Before other threads can see that it is open.
        stack::note_used(call.stack.0);
        let head = EventHead { code: opcode::CALL | opcode::OPEN, id: u64::from(call.call.0) };
        own.push(head, Open::Call(call).to_word(), 0, now);
        own.put_varint(u64::from(call.resource.0));
        own.put_varint(u64::from(call.stack.0));
        if own.depth > SLOTS {
            // Deeper than other threads can see: the begin must not stay pending.
            self.commit(own, now);
        }
    }
}

impl OwnState {
    fn put_end_call(&mut self, now: u64, result: i64) {
        self.put(opcode::END_CALL);
        self.put_varint(now - self.last);
        self.put_varint(zigzag(result));
        self.last = now;
        self.pending += 1;
    }
}
