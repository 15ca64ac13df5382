//! The part of a thread's state that only the thread touches, and the encoding of events into its
//! open batch.
//!
//! The invariants are those of `state`, which decides when something is encoded and committed.
//!
//! May contain `unsafe`: it writes raw bytes into the open batch.

use crate::buffer::batch::{Batch, Storage};
use crate::buffer::front::{Commit, Front, Owner};
use crate::buffer::losses::Losses;
use crate::buffer::slot::SLOTS;
use crate::thread::encoded::EventHead;
use crate::thread::refill::PendingLoss;
use crate::thread::value::Value;
use trace_format::event::opcode;
use trace_format::value::tag;
use trace_format::varint::zigzag;

/// What the owner knows about one open thing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OpenFrame {
    /// Where its begin is encoded; less than `committed` once it is committed.
    pub(crate) at: usize,
    /// `OwnState::last` before its begin, to take it back.
    pub(crate) last_before: u64,
    /// A shorter region is not recorded.
    pub(crate) min_ticks: u64,
}

/// The owner's part of a thread's state. The fields are in the order in which events need them:
/// those of every event, and the outermost frames, fit into two cache lines.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct OwnState {
    storage: Storage,
    pub(crate) pos: usize,
    pub(crate) committed: usize,
    pub(crate) base: u64,
    pub(crate) last: u64,
    /// Number of open things, including those beyond the slots.
    pub(crate) depth: usize,
    /// Number of events committed in this batch.
    pub(crate) events: u16,
    /// Number of events encoded and not committed (T4).
    pub(crate) pending: u16,
    /// Whether the batch's clock has run out: no event may follow in it.
    pub(crate) exhausted: bool,
    pub(crate) frames: [OpenFrame; SLOTS],
    pub(crate) batch: *mut Batch,
    owner: Owner,
    pub(crate) sequence: u32,
    pub(crate) loss: PendingLoss,
    /// The losses that `Dropped` events have reported.
    pub(crate) reported: Losses,
}

impl OwnState {
    /// A state with this batch, which the caller owns, open.
    pub(crate) fn new(owner: Owner, batch: *mut Batch, now: u64) -> Self {
        // SAFETY: a shared reference wants a live batch: it is owned.
        let storage = unsafe { &*batch }.storage();
        let mut own = Self {
            storage,
            pos: 0,
            committed: 0,
            base: now,
            last: now,
            depth: 0,
            events: 0,
            pending: 0,
            exhausted: false,
            frames: [OpenFrame::default(); SLOTS],
            batch,
            owner,
            sequence: 0,
            loss: PendingLoss::default(),
            reported: Losses::default(),
        };
        own.start_batch(batch, now, 0);
        own
    }

    #[inline(always)]
    pub(crate) fn batch<'a>(&self) -> &'a Batch {
        // SAFETY: a shared reference wants a live batch: T2, and the chain is freed only by the
        // collector, up to our batch, or when the `RecordingThread` is dropped. `Batch` is made for
        // shared use.
        unsafe { &*self.batch }
    }

    /// The front of the batch.
    #[inline(always)]
    pub(crate) fn front<'a>(&self) -> &'a Front {
        // SAFETY: the batch is not freed meanwhile: as in `batch`.
        unsafe { self.storage.front() }
    }

    /// Opens something: takes a frame and a slot, and encodes its begin, which is not committed.
    /// There is room (T3).
    #[inline(always)]
    pub(crate) fn push(&mut self, head: EventHead, what: u64, min_ticks: u64, now: u64) {
        let at = self.pos;
        self.put(head.code);
        self.put_varint(now - self.last);
        if head.id != 0 {
            self.put_varint(head.id);
        }
        if self.depth < SLOTS {
            self.frames[self.depth] = OpenFrame { at, last_before: self.last, min_ticks };
            self.front().slot(self.depth).open(what, now);
        }
        self.depth += 1;
        self.pending += 1;
        self.last = now;
    }

    /// Turns the begin at `at`, which is the last event encoded (T4), into a complete event.
    #[inline(always)]
    pub(crate) fn complete(&mut self, at: usize, duration: u64) {
        // SAFETY: `get` wants our open batch and an uncommitted byte that was written: T2, T4.
        let code = unsafe { self.storage.get(at) };
        self.replace(at, code & !opcode::OPEN);
        self.put_varint(duration);
    }

    pub(crate) fn put_end(&mut self, now: u64) {
        self.put(opcode::END);
        self.put_varint(now - self.last);
        self.last = now;
        self.pending += 1;
    }

    /// Commits all that is encoded. Returns false if `now` is too far from the base for a commit
    /// word: then the word has the largest time, and no event may follow in this batch.
    #[inline(always)]
    pub(crate) fn commit(&mut self, now: u64) -> bool {
        let ticks = u32::try_from(now - self.base).unwrap_or(u32::MAX);
        self.events += self.pending;
        self.pending = 0;
        self.committed = self.pos;
        self.exhausted = ticks == u32::MAX;
        self.front().commit(Commit { ticks, events: self.events, len: self.pos as u16 });
        !self.exhausted
    }

    #[inline(always)]
    pub(crate) fn put(&mut self, byte: u8) {
        self.batch().will_write(self.pos, self.pos + 1);
        // SAFETY: `put` wants our open batch, room, and an uncommitted place: T2, T3.
        unsafe { self.storage.put(self.pos, byte) };
        self.pos += 1;
    }

    /// Replaces a byte that was written and not committed (T4).
    #[inline(always)]
    pub(crate) fn replace(&mut self, at: usize, byte: u8) {
        self.batch().will_write(at, at + 1);
        debug_assert!(self.committed <= at && at < self.pos, "written, and not committed");
        // SAFETY: `put` wants our open batch and an uncommitted place with room: T2, T4.
        unsafe { self.storage.put(at, byte) };
    }

    #[inline(always)]
    pub(crate) fn put_all(&mut self, bytes: &[u8]) {
        self.batch().will_write(self.pos, self.pos + bytes.len());
        // SAFETY: `put_all` wants our open batch, room for all of `bytes` (the caller asked
        // `has_room`), and uncommitted places: T2, T3.
        unsafe { self.storage.put_all(self.pos, bytes) };
        self.pos += bytes.len();
    }

    /// Appends a list of numbers; there is room for the longest (T3).
    #[inline(always)]
    pub(crate) fn put_numbers(&mut self, values: &[Value<'_>]) {
        let length_at = self.pos;
        self.put(0);
        for value in values {
            match *value {
                Value::U64(number) => {
                    self.put(tag::U64);
                    self.put_varint(number);
                }
                Value::I64(number) => {
                    self.put(tag::I64);
                    self.put_varint(zigzag(number));
                }
                Value::Bool(truth) => self.put(if truth { tag::TRUE } else { tag::FALSE }),
                _ => unreachable!("`Encoded::Numbers` has numbers only"),
            }
        }
        let bytes = self.pos - length_at - 1;
        self.replace(length_at, bytes as u8);
    }

    /// Appends a list with only the stack; there is room for the longest (T3).
    pub(crate) fn put_stack(&mut self, stack: u32) {
        let length_at = self.pos;
        self.put(0);
        self.put(tag::STACK);
        self.put_varint(stack.into());
        let bytes = self.pos - length_at - 1;
        self.replace(length_at, bytes as u8);
    }

    /// Appends an unsigned LEB128 number; there is room for ten bytes (T3).
    #[inline(always)]
    pub(crate) fn put_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put(value as u8 | 0x80);
            value >>= 7;
        }
        self.put(value as u8);
    }

    /// Begins to write into `batch`, which the caller owns, and which is in no chain.
    pub(crate) fn start_batch(&mut self, batch: *mut Batch, base: u64, sequence: u32) {
        // SAFETY: a unique reference wants that there is no other: the batch is owned.
        let fresh = unsafe { &mut *batch };
        fresh.reset(self.owner, base, sequence, self.reported);
        self.storage = fresh.storage();
        self.batch = batch;
        self.base = base;
        self.last = base;
        self.pos = 0;
        self.committed = 0;
        self.events = 0;
        self.pending = 0;
        self.sequence = sequence;
        self.exhausted = false;
    }
}
