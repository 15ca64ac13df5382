//! One thread's recording state and the hot path: begin, end, append.
//!
//! **Lazy begin.** A region's begin is encoded behind the committed bytes and *pending*: no other
//! thread sees it. If nothing was committed inside the region when it ends, its begin's opcode
//! becomes that of a complete region, the duration is appended, and both are committed at once. Any
//! other event commits the pending begins as well, as it lies behind them. A region under its
//! threshold takes its begin back. Invariants:
//!
//! - **T1** `OwnState` is touched only by its thread (before that: by the thread that made it), and
//!   by one call at a time: nothing in here calls user code, and L3 keeps signal handlers out.
//! - **T2** `batch` is the last of the chain, open, and owned by this thread.
//! - **T3** `committed <= pos <= capacity`, and `pos < limit` leaves room for [`RESERVE`] bytes.
//! - **T4** Frames `pending_from()..depth` have their begins encoded, uncommitted, in order, and
//!   nothing else is uncommitted.
//! - **T5** `last` is the time of the event encoded last; no event is earlier than the one before.
//!
//! Elsewhere: opening batches and losing events (`refill`), what other threads read (`batch`).
//!
//! May contain `unsafe`: it writes raw bytes, and gives its owner a unique reference into a shared
//! struct.

use crate::base::primitive::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use crate::buffer::batch::Batch;
use crate::buffer::front::Owner;
use crate::buffer::inbox::Linked;
use crate::buffer::memory::Spares;
use crate::buffer::slot::SLOTS;
use crate::session::Session;
use crate::stack;
use crate::sys;
use crate::sys::clock;
use crate::thread::attach::ThreadSpawn;
use crate::thread::encoded::{EventHead, ValueList};
use crate::thread::naming::ThreadName;
use crate::thread::own::OwnState;
use crate::thread::refill::Patience;
use std::cell::UnsafeCell;
use std::sync::Arc;
use trace_format::event::opcode;
use trace_format::id::ThreadId;

/// Bytes that every batch keeps free behind `limit`: twice the longest event without values or
/// text.
pub(crate) const RESERVE: usize = 64;

/// One thread in one session.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct RecordingThread {
    /// An event that begins at or behind this place takes the slow path. The collector stores 0 to
    /// send the thread there.
    pub(crate) limit: AtomicUsize,
    own: UnsafeCell<OwnState>,
    /// The oldest batch of the chain, for the collector to begin with.
    pub(crate) first: AtomicPtr<Batch>,
    pub(crate) spares: Spares,
    /// When it ended, in ticks, after which it records nothing; 0 before.
    pub(crate) exited: AtomicU64,
    /// CPU time that it had used when it ended, in nanoseconds; 0 if not known. Stored before
    /// `exited`.
    pub(crate) cpu_end: AtomicU64,
    pub(crate) dropped_events: AtomicU64,
    pub(crate) dropped_ends: AtomicU64,
    /// Events lost by signal handlers that interrupted the recording. A counter of its own, as the
    /// interrupted code may be about to store the other one.
    pub(crate) interrupted: AtomicU64,
    /// The thread was attached where it may not allocate: see `attach::finish`.
    pub(crate) unfinished: AtomicBool,
    pub(crate) session: Arc<Session>,
    pub(crate) id: ThreadId,
    pub(crate) identity: ThreadIdentity,
    pub(crate) begin: u64,
    /// CPU time that it had used at `begin`, in nanoseconds, if the system knows it.
    pub(crate) cpu_begin: Option<u64>,
    /// Number of `ThreadRef`s.
    pub(crate) references: AtomicUsize,
    /// For the inboxes that it is in, one after the other: its session's, and `limbo`.
    link: AtomicPtr<Self>,
}

impl Linked for RecordingThread {
    fn link(&self) -> &AtomicPtr<Self> {
        &self.link
    }
}

/// What identifies a thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct ThreadIdentity {
    pub(crate) os_id: u64,
    pub(crate) name: ThreadName,
    pub(crate) spawn: ThreadSpawn,
}

// SAFETY: `Send` and `Sync` want that shared use is no data race: `own` is touched by one thread
// only (T1); everything else is atomic or never changes. Batches behind pointers are `Send`.
unsafe impl Send for RecordingThread {}
// SAFETY: as above.
unsafe impl Sync for RecordingThread {}

impl RecordingThread {
    /// A thread with its first batch open.
    pub(crate) fn new(
        session: Arc<Session>,
        id: ThreadId,
        batch: *mut Batch,
        now: u64,
        identity: ThreadIdentity,
    ) -> Self {
        let owner = Owner { thread: id.0, os_id: identity.os_id };
        let own = OwnState::new(owner, batch, now);
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
    pub(crate) unsafe fn own(&self) -> &mut OwnState {
        // SAFETY: a unique reference wants no other: by T1 and the caller's promise.
        unsafe { &mut *self.own.get() }
    }

    /// Records a begin. Returns its time, or 0 if it is not recorded.
    ///
    /// # Safety
    /// The caller is on the owning thread.
    #[inline(always)]
    pub(crate) unsafe fn begin(
        &self,
        head: EventHead,
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
            // Deeper than other threads can see: the begin must not stay pending.
            self.commit(own, now);
        }
        now
    }

    /// Records the end of the innermost thing, which began at `begin`.
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
            return self.end_committed(own, (begin, what), now, patience, OwnState::put_end);
        }
        own.depth = at;
        own.front().slot(at).close();
        let duration = now - begin;
        if duration < frame.min_ticks {
            // Shorter than its threshold: its begin is taken back. What was pending inside was
            // taken back already (T4).
            own.pos = frame.at;
            own.last = frame.last_before;
            own.pending -= 1;
            return;
        }
        own.complete(frame.at, duration);
        own.last = now;
        self.commit(own, now);
    }

    /// Appends an event of `code` with `body` behind its time. Returns its time, or 0 if it was
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

    /// As [`RecordingThread::begin`], for a begin with values. It is committed at once, so that
    /// readers have the values while it is open, unless a threshold may still take it back.
    ///
    /// # Safety
    /// The caller is on the owning thread.
    #[inline(always)]
    pub(crate) unsafe fn begin_values(
        &self,
        head: EventHead,
        what: u64,
        min_ticks: u64,
        values: ValueList<'_>,
    ) -> u64 {
        // SAFETY: on the owning thread, and nothing below calls back.
        let own = unsafe { self.own() };
        let now = clock::ticks().max(own.last);
        if !self.has_room(own, now, values.bytes_max(), Patience::of_open(what)) {
            return self.lose_event(own, now);
        }
        own.push(head, what, min_ticks, now);
        match values {
            ValueList::Numbers(values) => own.put_numbers(values),
            ValueList::Bytes(bytes) => own.put_all(bytes),
            ValueList::BytesOn(stack, bytes) => {
                stack::note_used(stack);
                own.put_all(bytes);
            }
            ValueList::Stack(stack) => {
                stack::note_used(stack);
                own.put_stack(stack);
            }
        }
        // With only a stack it may stay pending: what is open is known without it.
        let waits = min_ticks > 0 || matches!(values, ValueList::Stack(_));
        if !waits || own.depth > SLOTS {
            self.commit(own, now);
        }
        now
    }

    /// Records the end of the innermost thing with an outcome in `body`; without it where that is
    /// not possible.
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
        // With a lost batch, what was open is forgotten.
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
        own: &mut OwnState,
        now: u64,
        body: usize,
        patience: Patience,
    ) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        own.pos + body < limit || self.refill(own, now, RESERVE + body, patience)
    }

    fn append_at(
        &self,
        own: &mut OwnState,
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

    /// As [`RecordingThread::append_at`], after `has_room` has returned true. It must not be called
    /// again: the collector may have asked for another batch since, and slots that are ending can't
    /// move.
    pub(super) fn append_here(&self, own: &mut OwnState, now: u64, code: u8, body: &[u8]) {
        own.put(code);
        own.put_varint(now - own.last);
        own.put_all(body);
        own.last = now;
        own.pending += 1;
        self.commit(own, now);
    }

    /// Commits all that is encoded.
    #[inline(always)]
    pub(crate) fn commit(&self, own: &mut OwnState, now: u64) {
        if !own.commit(now) {
            // The batch's clock has run out, seconds after its last event: the next event opens
            // another batch.
            self.limit.store(0, Ordering::Relaxed);
        }
    }
}

impl Drop for RecordingThread {
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
