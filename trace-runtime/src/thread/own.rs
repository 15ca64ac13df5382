//! What only a thread itself touches, and how it encodes events into its open batch.
//!
//! The invariants are those of `state`, which decides when something is encoded and committed.
//!
//! May contain `unsafe`: it writes raw bytes into the batch that is open.

use crate::buffer::batch::{Batch, Commit, Front, Owner, SLOTS, Storage};
use crate::buffer::losses::Losses;
use crate::thread::encoded::Head;
use crate::thread::refill::Loss;
use crate::thread::value::Value;
use trace_format::event::opcode;
use trace_format::value::tag;
use trace_format::varint::zigzag;

/// What is known of one open thing, for its owner alone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Frame {
    /// Where its begin is encoded; less than `committed` once it is committed.
    pub(crate) at: usize,
    /// `Own::last` before its begin, to take it back.
    pub(crate) last_before: u64,
    /// A shorter stay leaves nothing behind.
    pub(crate) min_ticks: u64,
}

/// What only the owner touches. In the order in which every event needs it: that, and the outermost
/// frames, are two lines of the cache.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Own {
    storage: Storage,
    pub(crate) pos: usize,
    pub(crate) committed: usize,
    pub(crate) base: u64,
    pub(crate) last: u64,
    /// Things open, including those beyond the slots.
    pub(crate) depth: usize,
    /// Committed in this batch.
    pub(crate) events: u16,
    /// Encoded and not committed (T4).
    pub(crate) pending: u16,
    /// The batch's clock has run out: nothing may follow in it.
    pub(crate) exhausted: bool,
    pub(crate) frames: [Frame; SLOTS],
    pub(crate) batch: *mut Batch,
    owner: Owner,
    pub(crate) sequence: u32,
    pub(crate) loss: Loss,
    /// What was lost and is said by `Dropped` events.
    pub(crate) reported: Losses,
}

impl Own {
    /// With its first batch, which is owned, open.
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
            frames: [Frame::default(); SLOTS],
            batch,
            owner,
            sequence: 0,
            loss: Loss::default(),
            reported: Losses::default(),
        };
        own.start_batch(batch, now, 0);
        own
    }

    #[inline(always)]
    pub(crate) fn batch<'a>(&self) -> &'a Batch {
        // SAFETY: a shared reference wants a live batch: T2, and the chain is freed only by the
        // collector behind us, or when the `Thread` is dropped. Shared use is what `Batch` is for.
        unsafe { &*self.batch }
    }

    /// The front of the batch.
    #[inline(always)]
    pub(crate) fn front<'a>(&self) -> &'a Front {
        // SAFETY: the batch is not freed meanwhile: as in `batch`.
        unsafe { self.storage.front() }
    }

    /// Opens the thing: frame, slot, and its begin encoded but not committed. Room is there (T3).
    #[inline(always)]
    pub(crate) fn push(&mut self, head: Head, what: u64, min_ticks: u64, now: u64) {
        let at = self.pos;
        self.put(head.code);
        self.put_varint(now - self.last);
        if head.id != 0 {
            self.put_varint(head.id);
        }
        if self.depth < SLOTS {
            self.frames[self.depth] = Frame { at, last_before: self.last, min_ticks };
            self.front().slot(self.depth).open(what, now);
        }
        self.depth += 1;
        self.pending += 1;
        self.last = now;
    }

    /// Turns the begin at `at` into a complete event. It is the last thing encoded (T4).
    #[inline(always)]
    pub(crate) fn complete(&mut self, at: usize, duration: u64) {
        // SAFETY: `get` wants our open batch and an uncommitted byte that was written: T2, T4.
        let code = unsafe { self.storage.get(at) };
        self.put_back(at, code & !opcode::OPEN);
        self.put_varint(duration);
    }

    pub(crate) fn put_end(&mut self, now: u64) {
        self.put(opcode::END);
        self.put_varint(now - self.last);
        self.last = now;
        self.pending += 1;
    }

    /// Commits all that is encoded. False if `now` is too far from the base for a commit word: then
    /// its time is the largest, and nothing may follow in this batch.
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
    pub(crate) fn put_back(&mut self, at: usize, byte: u8) {
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

    /// A list of numbers; there is room for the longest (T3).
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
        self.put_back(length_at, bytes as u8);
    }

    /// A list of no values but the stack; there is room for the longest (T3).
    pub(crate) fn put_stack(&mut self, stack: u32) {
        let length_at = self.pos;
        self.put(0);
        self.put(tag::STACK);
        self.put_varint(stack.into());
        let bytes = self.pos - length_at - 1;
        self.put_back(length_at, bytes as u8);
    }

    /// Unsigned LEB128; room for ten bytes is there (T3).
    #[inline(always)]
    pub(crate) fn put_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put(value as u8 | 0x80);
            value >>= 7;
        }
        self.put(value as u8);
    }

    /// Begins to write into `batch`, which is owned and in no chain.
    pub(crate) fn start_batch(&mut self, batch: *mut Batch, base: u64, sequence: u32) {
        // SAFETY: a unique reference wants that nobody else has one: the batch is owned.
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
