//! The memory of one batch: the bytes that its thread appends to, and what the collector may read
//! of them meanwhile.
//!
//! Batches of a thread form a chain, oldest first. The last one is *open*: its thread appends. A
//! batch with a successor is *sealed*: its thread is done with it for good. Invariants:
//!
//! - **B1** Only the owning thread writes a batch's bytes, slots and fields, and only while the
//!   batch is open.
//! - **B2** `bytes[..len]` of the commit word is initialised and is never written again before the
//!   batch is reused; `len` only grows.
//! - **B3** `next` is stored once, as the owner's last access; the collector owns the batch once it
//!   has loaded it (`Acquire`).
//! - **B4** `base`, `sequence`, `reported` and `capacity` do not change while the batch is in a
//!   chain.
//! - **B5** If a slot's time reads the same before and after its contents were read, the contents
//!   are not torn.
//! - **B6** Nothing that is read from a front or from the bytes decides which memory is touched.
//!
//! In front of the bytes lies a *front*, with all that a reader of this memory alone needs: of a
//! mapped file, after the process has ended (FORMAT.md, section 11). The commit word is reset
//! before anything else changes, so the front is valid at any moment. Another program may shorten
//! the file: then front and bytes read as zeros, and the batch is *lost*. What the process must be
//! able to rely on, pointers and lengths, is in its own memory: in `Batch`.
//!
//! Elsewhere: the front (`front`), what is open (`slot`), appending (`thread`), walking the chain
//! (`drain`), where memory comes from (`memory`, `arena`).
//!
//! May contain `unsafe`: the bytes are raw memory, because two threads hold different parts of
//! them.

use crate::base::primitive::global::compiler_fence;
use crate::base::primitive::{AtomicPtr, AtomicU64, Ordering, Touches};
use crate::buffer::arena::Arena;
use crate::buffer::front::{Commit, Front, LIVE, Owner};
use crate::buffer::losses::Losses;
use crate::buffer::slot::{Slot, Unstable};
use std::ptr;
use trace_format::definition::OpenSince;
use trace_format::id::Open;
use trace_format::time::Ticks;

/// Where a batch lies: its front, and its bytes. The owner keeps a copy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Storage {
    front: *const Front,
    bytes: *mut u8,
}

impl Storage {
    /// Its front, while the batch lives.
    ///
    /// # Safety
    /// The batch is not freed as long as the result is used.
    #[inline(always)]
    pub(crate) unsafe fn front<'a>(self) -> &'a Front {
        // SAFETY: a shared reference wants a live front: it lives as long as its batch, and all of
        // it is atomic.
        unsafe { &*self.front }
    }

    /// By the owner: writes one byte beyond the committed ones.
    ///
    /// # Safety
    /// The caller is the owner of this open batch, `at < capacity`, and `at` is not committed.
    #[inline(always)]
    pub(crate) unsafe fn put(self, at: usize, byte: u8) {
        // SAFETY: `add` stays inside the allocation of `capacity` bytes, by the caller's promise.
        let place = unsafe { self.bytes.add(at) };
        // SAFETY: no other thread touches it: B1, and readers stop at the commit (B2).
        unsafe { place.write(byte) };
    }

    /// By the owner: reads back one byte that it has written and not committed.
    ///
    /// # Safety
    /// As [`Storage::put`], and the byte has been written.
    #[inline(always)]
    pub(crate) unsafe fn get(self, at: usize) -> u8 {
        // SAFETY: `add` stays inside the allocation, by the caller's promise.
        let place = unsafe { self.bytes.add(at) };
        // SAFETY: initialised and touched by nobody else, by the caller's promise and B1.
        unsafe { place.read() }
    }

    /// By the owner: writes `from` beyond the committed bytes.
    ///
    /// # Safety
    /// As [`Storage::put`] for every byte of `at..at + from.len()`.
    #[inline(always)]
    pub(crate) unsafe fn put_all(self, at: usize, from: &[u8]) {
        // SAFETY: `add` stays inside the allocation, by the caller's promise.
        let place = unsafe { self.bytes.add(at) };
        // SAFETY: `from` is readable as a slice, `place` is writable for as many bytes and
        // untouched by others (B1, B2); they do not overlap, as uncommitted bytes are never lent
        // out.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), place, from.len()) };
    }
}

/// One batch.
#[derive(Debug)]
pub(crate) struct Batch {
    storage: Storage,
    next: AtomicPtr<Batch>,
    /// Events committed, once it is sealed.
    sealed_events: AtomicU64,
    /// What the front's `owner` should be.
    owner: u64,
    pub(crate) base: u64,
    pub(crate) sequence: u32,
    capacity: u32,
    /// What the thread has lost, as its events up to the preamble of this batch report.
    pub(crate) reported: Losses,
    /// The arena it lies in; null for none.
    pub(crate) arena: *const Arena,
    touches: Touches,
}

// SAFETY: `Send` and `Sync` want that use from several threads is no data race. The atomics never
// are one; the bytes and plain fields are written by one thread (B1, B4), and read by others only
// up to a commit they loaded (B2) or after they own the batch (B3).
unsafe impl Send for Batch {}
// SAFETY: as above.
unsafe impl Sync for Batch {}

impl Batch {
    /// A batch in a model, in boxes.
    #[cfg(exectrace_loom)]
    pub(crate) fn new(capacity: usize) -> Option<Box<Self>> {
        let bytes = Box::into_raw(vec![0_u8; capacity].into_boxed_slice()).cast();
        let front = Box::into_raw(Box::new(Front::new()));
        Some(Box::new(Self::with_parts(front, bytes, capacity)))
    }

    /// A batch whose front is at `front`, with its events behind that.
    ///
    /// # Safety
    /// There is zeroed memory for a front, aligned for it, and `capacity` bytes behind it, which no
    /// other code touches while the batch lives.
    pub(crate) unsafe fn at(front: *mut Front, capacity: usize) -> Self {
        // SAFETY: `write` wants a place for a front: the caller's promise.
        unsafe { front.write(Front::new()) };
        // SAFETY: `add` stays inside that memory, by the caller's promise.
        let bytes = unsafe { front.add(1) }.cast();
        Self::with_parts(front, bytes, capacity)
    }

    fn with_parts(front: *const Front, bytes: *mut u8, capacity: usize) -> Self {
        assert!(capacity <= usize::from(u16::MAX), "a commit word has 16 bits for the length");
        Self {
            storage: Storage { front, bytes },
            next: AtomicPtr::new(ptr::null_mut()),
            sealed_events: AtomicU64::new(0),
            owner: 0,
            base: 0,
            sequence: 0,
            capacity: capacity as u32,
            reported: Losses::default(),
            arena: ptr::null(),
            touches: Touches::new(capacity),
        }
    }

    #[inline(always)]
    pub(crate) fn front(&self) -> &Front {
        // SAFETY: as long as the batch is borrowed it is not freed.
        unsafe { self.storage.front() }
    }

    /// Ends an owned batch's life: its front belongs to no thread from here on.
    pub(crate) fn forsake(&self) {
        self.front().owner.store(0, Ordering::Release);
    }

    /// Makes an owned batch ready for its next life.
    pub(crate) fn reset(&mut self, owner: Owner, base: u64, sequence: u32, reported: Losses) {
        let front = self.front();
        front.commit.store(0, Ordering::Release);
        front.slots.iter().for_each(Slot::close);
        // The process may end at any moment, and what is there by then may be read.
        compiler_fence(Ordering::SeqCst);
        front.base.store(base, Ordering::Relaxed);
        let numbers = u64::from(self.capacity) << 32 | u64::from(sequence);
        front.numbers.store(numbers, Ordering::Relaxed);
        front.os_id.store(owner.os_id, Ordering::Relaxed);
        front.bytes_at.store(size_of::<Front>() as u64, Ordering::Relaxed);
        let owner = LIVE << 32 | u64::from(owner.thread);
        front.owner.store(owner, Ordering::Release);
        self.owner = owner;
        self.next = AtomicPtr::new(ptr::null_mut());
        self.base = base;
        self.sequence = sequence;
        self.reported = reported;
    }

    /// Whether another program has shortened the file that it lies in, or written there.
    pub(crate) fn is_lost(&self) -> bool {
        self.front().owner.load(Ordering::Relaxed) != self.owner
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// See [`Front::slot`].
    pub(crate) fn slot(&self, at: usize) -> &Slot {
        self.front().slot(at)
    }

    /// Where it lies, for its owner.
    pub(crate) fn storage(&self) -> Storage {
        self.storage
    }

    /// By the owner, before it writes these bytes: models and tests check it.
    #[inline(always)]
    pub(crate) fn will_write(&self, from: usize, to: usize) {
        debug_assert!(to <= self.capacity(), "there is room");
        self.touches.write(from, to);
    }

    /// By the owner: the bytes from `from` to `to`, which are written and not committed.
    ///
    /// # Safety
    /// As [`Storage::put`] for all of these bytes; they have been written, and are not written
    /// again while borrowed.
    pub(crate) unsafe fn pending(&self, from: usize, to: usize) -> &[u8] {
        debug_assert!(from <= to && to <= self.capacity());
        // SAFETY: `add` stays inside the allocation, by the caller's promise.
        let start = unsafe { self.storage.bytes.add(from) };
        // SAFETY: initialised and touched by nobody else, by the caller's promise and B1.
        unsafe { std::slice::from_raw_parts(start, to - from) }
    }

    /// By the owner: see [`Storage::put`].
    ///
    /// # Safety
    /// As there.
    #[cfg(all(test, exectrace_loom))]
    pub(crate) unsafe fn put(&self, at: usize, byte: u8) {
        self.will_write(at, at + 1);
        // SAFETY: the caller's promise.
        unsafe { self.storage.put(at, byte) };
    }

    /// See [`Front::commit`].
    #[cfg(all(test, exectrace_loom))]
    pub(crate) fn commit(&self, commit: Commit) {
        self.front().commit(commit);
    }

    /// By any thread: how far the batch is written.
    #[inline(always)]
    pub(crate) fn committed(&self) -> Commit {
        Commit::from_word(self.front().commit.load(Ordering::Acquire))
    }

    /// By any thread: the bytes from `from` up to what [`Batch::committed`] has returned.
    pub(crate) fn bytes(&self, from: usize, commit: Commit) -> &[u8] {
        let to = usize::from(commit.len);
        assert!(from <= to, "a commit never shrinks (B2)");
        assert!(to <= self.capacity(), "a commit never exceeds the batch");
        self.touches.read(from, to);
        // SAFETY: `add` stays inside the allocation: `from <= to <= capacity`, asserted.
        let start = unsafe { self.storage.bytes.add(from) };
        // SAFETY: `from_raw_parts` wants initialised bytes, unwritten while borrowed. Both are B2:
        // `commit` came out of this batch's word, loaded with `Acquire`; and only its owner reuses
        // a batch, never while its chain is borrowed.
        unsafe { std::slice::from_raw_parts(start, to - from) }
    }

    /// By the owner, as its last access: stores the successor, and the number of its events.
    pub(crate) fn seal(&self, next: *mut Self, events: u16) {
        self.sealed_events.store(events.into(), Ordering::Relaxed);
        // `Release` pairs with the `Acquire` in `next`: all of the owner's writes come before (B3).
        self.next.store(next, Ordering::Release);
    }

    /// By the collector: the successor, if this batch is sealed.
    pub(crate) fn next(&self) -> *mut Self {
        self.next.load(Ordering::Acquire)
    }

    /// By any thread: all that is open on the owner's thread, and perhaps what has just ended
    /// there.
    #[cfg(os_hooks)]
    pub(crate) fn maybe_open(&self) -> impl Iterator<Item = Open> {
        let is_open = |slot: &&Slot| slot.begin.load(Ordering::Acquire) != 0;
        let what = |slot: &Slot| Open::from_word(slot.what.load(Ordering::Acquire));
        self.front().slots.iter().filter(is_open).filter_map(what)
    }

    /// By the collector, once the batch has a successor: the number of events that were committed.
    /// It is known even if the batch is lost.
    pub(crate) fn sealed_events(&self) -> u64 {
        self.sealed_events.load(Ordering::Relaxed)
    }

    /// By any thread: what is open on the owner's thread, exactly as of `commit`.
    ///
    /// # Errors
    /// [`Unstable`] if something ended, or an event was committed, meanwhile.
    pub(crate) fn read_open(&self, commit: Commit) -> Result<Vec<OpenSince>, Unstable> {
        let mut open = Vec::new();
        for slot in &self.front().slots {
            let Some((begin, what)) = slot.read()? else { break };
            let Some(what) = Open::from_word(what) else { return Err(Unstable) };
            open.push(OpenSince { open: what, begin: Ticks(begin) });
        }
        // Each slot was whole; this checks that they were so at the same moment. A time that is
        // still there was there all along, as no time comes twice. The outermost slot is read last:
        // what encloses a slot outlives it.
        for (slot, seen) in self.front().slots.iter().zip(&open).rev() {
            if slot.begin.load(Ordering::Acquire) != seen.begin.0 {
                return Err(Unstable);
            }
        }
        if self.committed() == commit { Ok(open) } else { Err(Unstable) }
    }
}

#[cfg(exectrace_loom)]
impl Drop for Batch {
    fn drop(&mut self) {
        let bytes = ptr::slice_from_raw_parts_mut(self.storage.bytes, self.capacity());
        // SAFETY: `from_raw` wants the pointer that `into_raw` gave in `new`, once: it is rebuilt
        // with the same length, and this is the only drop.
        drop(unsafe { Box::from_raw(bytes) });
        // SAFETY: as above.
        drop(unsafe { Box::from_raw(self.storage.front.cast_mut()) });
    }
}
