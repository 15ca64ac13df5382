//! One thread's recording state and the hot path: begin, end, append.
//!
//! **Lazy begin.** A region's begin is encoded behind the committed bytes and *pending*: nobody
//! else sees it. If the region ends with nothing committed inside, the begin's opcode is turned
//! into that of a complete region, the duration is appended, and both are committed at once. Any
//! other event commits the pending begins simply by committing what lies behind them. A region
//! under its threshold takes its begin back. Invariants:
//!
//! - **T1** `Own` is touched only by the thread it is of (before that: by the one that made it),
//!   and by nobody else's call on that thread in between: nothing in here calls user code, and
//!   signal handlers are kept out by L3.
//! - **T2** `batch` is the last of the chain, open, and ours.
//! - **T3** `committed <= pos <= capacity`, and `pos < limit` leaves room for [`RESERVE`] bytes.
//! - **T4** Frames `pending_from()..depth` have their begins encoded, uncommitted, in order, and
//!   nothing else is uncommitted.
//! - **T5** `last` is the time of the event encoded last; no event is earlier than the one before.
//!
//! Elsewhere: opening batches and losing events (`refill`), what others read (`batch`).
//!
//! May contain `unsafe`: it writes raw bytes, and hands out its owner's state from a shared struct.

use crate::base::primitive::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use crate::buffer::batch::{Batch, Owner, SLOTS};
use crate::buffer::inbox::Linked;
use crate::buffer::memory::Spares;
use crate::session::Session;
use crate::stack;
use crate::sys;
use crate::sys::clock;
use crate::thread::encoded::{Encoded, Head};
use crate::thread::local::Spawn;
use crate::thread::naming::Name;
use crate::thread::own::Own;
use crate::thread::refill::Patience;
use crate::thread::value::{Body, put_number};
use std::cell::UnsafeCell;
use std::sync::Arc;
use trace_format::event::opcode;
use trace_format::id::ThreadId;

/// Bytes that every batch keeps free behind `limit`: the longest event without values or text,
/// twice.
pub(crate) const RESERVE: usize = 64;

/// One thread in one session.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Thread {
    /// From here on the slow path decides. The collector stores 0 to bring the thread there.
    pub(crate) limit: AtomicUsize,
    own: UnsafeCell<Own>,
    /// The oldest batch of the chain, for the collector to begin with.
    pub(crate) first: AtomicPtr<Batch>,
    pub(crate) spares: Spares,
    /// When it ended, in ticks: it will record no more. 0 while it may.
    pub(crate) exited: AtomicU64,
    /// CPU time it had used when it ended, in nanoseconds; 0 if that is not known. Stored before
    /// `exited`.
    pub(crate) cpu_end: AtomicU64,
    pub(crate) dropped_events: AtomicU64,
    pub(crate) dropped_ends: AtomicU64,
    /// Events lost by signal handlers that came while the thread was recording. Their own counter:
    /// the interrupted code may be about to store the other.
    pub(crate) interrupted: AtomicU64,
    /// The thread was attached where nothing may allocate: see `local::finish`.
    pub(crate) unfinished: AtomicBool,
    pub(crate) session: Arc<Session>,
    pub(crate) id: ThreadId,
    pub(crate) identity: Identity,
    pub(crate) begin: u64,
    /// CPU time it had used by then, in nanoseconds, if the system says so.
    pub(crate) cpu_begin: Option<u64>,
    /// How many `ThreadRef`s there are.
    pub(crate) references: AtomicUsize,
    /// For the inboxes it is in, one after the other: its session's, and `limbo`.
    link: AtomicPtr<Self>,
}

impl Linked for Thread {
    fn link(&self) -> &AtomicPtr<Self> {
        &self.link
    }
}

/// Who a thread is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identity {
    pub(crate) os_id: u64,
    pub(crate) name: Name,
    pub(crate) spawn: Spawn,
}

// SAFETY: `Send` and `Sync` want that shared use is no data race: `own` is touched by one thread
// only (T1), everything else is atomic or never changes. Batches behind pointers are `Send`.
unsafe impl Send for Thread {}
// SAFETY: as above.
unsafe impl Sync for Thread {}

impl Thread {
    /// A thread with its first batch open.
    pub(crate) fn new(
        session: Arc<Session>,
        id: ThreadId,
        batch: *mut Batch,
        now: u64,
        identity: Identity,
    ) -> Self {
        let owner = Owner { thread: id.0, os_id: identity.os_id };
        let own = Own::new(owner, batch, now);
        let limit = own.batch().capacity() - RESERVE;
        Self {
            own: UnsafeCell::new(own),
            limit: AtomicUsize::new(limit),
            first: AtomicPtr::new(batch),
            spares: Spares::new(),
            exited: AtomicU64::new(0),
            cpu_end: AtomicU64::new(0),
            dropped_events: AtomicU64::new(0),
            dropped_ends: AtomicU64::new(0),
            interrupted: AtomicU64::new(0),
            unfinished: AtomicBool::new(false),
            session,
            id,
            cpu_begin: sys::thread_cpu_of(identity.os_id),
            identity,
            begin: now,
            references: AtomicUsize::new(1),
            link: AtomicPtr::new(std::ptr::null_mut()),
        }
    }

    /// The owner's state.
    ///
    /// # Safety
    /// The caller is on the owning thread, and holds no other result of this function.
    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "the cell is the owner's alone, T1")]
    pub(crate) unsafe fn own(&self) -> &mut Own {
        // SAFETY: a unique reference wants no other: by T1 and the caller's promise.
        unsafe { &mut *self.own.get() }
    }

    /// Something begins. Returns its begin time, or 0 if it is not recorded.
    ///
    /// # Safety
    /// The caller is on the owning thread.
    #[inline(always)]
    pub(crate) unsafe fn begin(
        &self,
        head: Head,
        what: u64,
        min_ticks: u64,
        patience: Patience,
    ) -> u64 {
        // SAFETY: on the owning thread, and nothing below calls back.
        let own = unsafe { self.own() };
        let now = clock::ticks().max(own.last);
        let is_full = own.pos >= self.limit.load(Ordering::Relaxed);
        if is_full && !self.refill(own, now, RESERVE, patience) {
            return self.lose_event(own, now);
        }
        own.push(head, what, min_ticks, now);
        if own.depth > SLOTS {
            // Deeper than others can see: the begin must not wait.
            self.commit(own, now);
        }
        now
    }

    /// The innermost thing that began at `begin` ends.
    ///
    /// # Safety
    /// The caller is on the owning thread.
    #[inline(always)]
    pub(crate) unsafe fn end(&self, begin: u64, what: u64, patience: Patience) {
        // SAFETY: on the owning thread, and nothing below calls back.
        let own = unsafe { self.own() };
        let now = clock::ticks().max(own.last);
        let at = own.depth.wrapping_sub(1);
        if at >= SLOTS || own.front().slot(at).begin() != begin {
            return self.end_elsewhere(own, begin, what, now, patience);
        }
        let frame = own.frames[at];
        if frame.at < own.committed {
            return self.end_committed(own, (begin, what), now, patience, Own::put_end);
        }
        own.depth = at;
        own.front().slot(at).close();
        let duration = now - begin;
        if duration < frame.min_ticks {
            // Fast enough to be forgotten. What was pending inside has been, too (T4).
            own.pos = frame.at;
            own.last = frame.last_before;
            own.pending -= 1;
            return;
        }
        own.complete(frame.at, duration);
        own.last = now;
        self.commit(own, now);
    }

    /// Appends an event of `code` with `body` behind its time. Returns its time, or 0 if it is
    /// lost.
    ///
    /// # Safety
    /// The caller is on the owning thread.
    pub(crate) unsafe fn append(&self, code: u8, body: &[u8]) -> u64 {
        // SAFETY: on the owning thread, and nothing below calls back.
        let own = unsafe { self.own() };
        let now = clock::ticks().max(own.last);
        if !self.append_at(own, now, code, body, Patience::of_event(code)) {
            return self.lose_event(own, now);
        }
        now
    }

    /// As [`Thread::begin`], for a begin with values: committed at once, so that they are seen
    /// while it is open, unless a threshold may still take it back.
    ///
    /// # Safety
    /// The caller is on the owning thread.
    #[inline(always)]
    pub(crate) unsafe fn begin_values(
        &self,
        head: Head,
        what: u64,
        min_ticks: u64,
        values: Encoded<'_>,
    ) -> u64 {
        // SAFETY: on the owning thread, and nothing below calls back.
        let own = unsafe { self.own() };
        let now = clock::ticks().max(own.last);
        if !self.has_room(own, now, values.bytes_max(), Patience::of_open(what)) {
            return self.lose_event(own, now);
        }
        own.push(head, what, min_ticks, now);
        match values {
            Encoded::Numbers(values) => own.put_numbers(values),
            Encoded::Bytes(bytes) => own.put_all(bytes),
            Encoded::BytesOn(stack, bytes) => {
                stack::note_used(stack);
                own.put_all(bytes);
            }
            Encoded::Stack(stack) => {
                stack::note_used(stack);
                own.put_stack(stack);
            }
        }
        // A stack by itself may wait: who looks meanwhile knows what is open without it.
        let waits = min_ticks > 0 || matches!(values, Encoded::Stack(_));
        if !waits || own.depth > SLOTS {
            self.commit(own, now);
        }
        now
    }

    /// Ends the innermost thing with an outcome in `body`. Falls back to a plain end where that
    /// can't be.
    ///
    /// # Safety
    /// The caller is on the owning thread.
    pub(crate) unsafe fn end_value(&self, begin: u64, what: u64, body: &[u8]) {
        // SAFETY: on the owning thread, and nothing below calls back.
        let own = unsafe { self.own() };
        let now = clock::ticks().max(own.last);
        if own.depth > SLOTS {
            return self.end_deep(own, now, opcode::END_VALUE, body, Patience::Waits);
        }
        let at = own.depth.wrapping_sub(1);
        let innermost = at < SLOTS && own.front().slot(at).begin() == begin;
        let pending = innermost && own.frames[at].at >= own.committed;
        let forgotten = pending && now - begin < own.frames[at].min_ticks;
        let patience = Patience::Waits;
        let has_room = innermost && !forgotten && self.has_room(own, now, body.len(), patience);
        // A batch that is lost takes with it what was open.
        if !has_room || own.depth <= at {
            // SAFETY: still on the owning thread; `own` is not used any more.
            return unsafe { self.end(begin, what, patience) };
        }
        own.front().slot(at).ending(begin);
        self.append_here(own, now, opcode::END_VALUE, body);
        own.depth = at;
        own.front().slot(at).close();
    }

    pub(crate) fn has_room(
        &self,
        own: &mut Own,
        now: u64,
        body: usize,
        patience: Patience,
    ) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        own.pos + body < limit || self.refill(own, now, RESERVE + body, patience)
    }

    fn append_at(
        &self,
        own: &mut Own,
        now: u64,
        code: u8,
        body: &[u8],
        patience: Patience,
    ) -> bool {
        let has_room = self.has_room(own, now, body.len(), patience);
        if has_room {
            self.append_here(own, now, code, body);
        }
        has_room
    }

    /// As [`Thread::append_at`], behind a `has_room` that said yes. It is not asked again: the
    /// collector may have asked for another batch since, and slots that are ending can't move.
    fn append_here(&self, own: &mut Own, now: u64, code: u8, body: &[u8]) {
        own.put(code);
        own.put_varint(now - own.last);
        own.put_all(body);
        own.last = now;
        own.pending += 1;
        self.commit(own, now);
    }

    /// Commits all that is encoded.
    #[inline(always)]
    pub(crate) fn commit(&self, own: &mut Own, now: u64) {
        if !own.commit(now) {
            // The clock of this batch has run out, after seconds of silence: the next event opens
            // another one.
            self.limit.store(0, Ordering::Relaxed);
        }
    }

    /// Its begin is written, so its end is an event of its own.
    #[inline(never)]
    pub(crate) fn end_committed(
        &self,
        own: &mut Own,
        (begin, what): (u64, u64),
        now: u64,
        patience: Patience,
        put: impl FnOnce(&mut Own, u64),
    ) {
        let at = own.depth - 1;
        let is_full = own.pos >= self.limit.load(Ordering::Relaxed);
        if is_full && !self.refill(own, now, RESERVE, patience) {
            if self.session.is_ended() {
                // When the trace stopped it was open: that is what the last state is to tell.
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
        // The batch may be another now; its slot was copied.
        own.front().slot(at).close();
        own.depth = at;
    }

    /// What ends is beyond the slots: taken for the innermost.
    #[cold]
    pub(crate) fn end_deep(
        &self,
        own: &mut Own,
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
        // Else the batch was lost, and what was open is forgotten.
    }

    /// What ends is beyond the slots, or not the innermost, or was opened elsewhere.
    #[cold]
    pub(crate) fn end_elsewhere(
        &self,
        own: &mut Own,
        begin: u64,
        what: u64,
        now: u64,
        patience: Patience,
    ) {
        if own.depth > SLOTS {
            return self.end_deep(own, now, opcode::END, &[], patience);
        }
        if begin < self.begin {
            // Of an earlier session.
            return;
        }
        // Without allocating: an allocator that is traced would come in here again (T1).
        let mut body = Body::new();
        put_number(&mut body, what);
        put_number(&mut body, now - begin);
        // First of all: what is open may be forgotten by that, with a batch that is lost.
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
        // The outermost last: until then nobody takes what is left for all that is open.
        ended.rev().for_each(|at| own.front().slot(at).close());
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // The chain from `first` on is ours alone now: neither thread nor collector is left.
        let mut batch = self.first.load(Ordering::Acquire);
        while !batch.is_null() {
            // SAFETY: a live batch of our chain.
            let next = unsafe { &*batch }.next();
            // SAFETY: `free` wants an owned batch from `allocate`: the chain is nobody else's.
            unsafe { crate::buffer::memory::free(batch) };
            batch = next;
        }
    }
}
