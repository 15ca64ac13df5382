//! The bytes of an event behind its time, while they are put together. They are on the stack; long
//! texts are in memory from the system, which the thread keeps for the next one. Nothing here
//! touches the program's allocator, so an event may have a long text in a signal handler, too.
//!
//! May contain `unsafe`: bytes are written behind raw pointers, into uninitialised memory.

use crate::buffer::memory::pages;
use crate::thread::attach;
use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::ptr;

/// Bytes that fit on the stack.
const INLINE_BYTES: usize = 128;

/// Bytes that fit into memory from the system: twice the longest list of values.
const SPILL_BYTES: usize = 32 << 10;

/// Number of such memories that a thread keeps: a text is printed into one, and the event that gets
/// it may need another.
const KEPT: usize = 2;

thread_local! {
    /// Null for a free place. The code that takes a pointer out owns its pages; a signal handler
    /// that comes meanwhile finds none, and asks the system.
    static SPARE: [Cell<*mut u8>; KEPT] = const { [const { Cell::new(ptr::null_mut()) }; KEPT] };
}

/// Bytes that are put together. Bytes without room are left out: before appending what may be long,
/// ask [`EventBody::has_room`].
#[derive(Debug)]
pub(crate) struct EventBody {
    len: usize,
    /// Null while they are on the stack.
    spill: *mut u8,
    inline: [MaybeUninit<u8>; INLINE_BYTES],
}

// SAFETY: `Send` and `Sync` want that it may be used and dropped on another thread: its pages are
// its own.
unsafe impl Send for EventBody {}
// SAFETY: as above.
unsafe impl Sync for EventBody {}

impl EventBody {
    #[inline(always)]
    pub(crate) const fn new() -> Self {
        let inline = [const { MaybeUninit::uninit() }; INLINE_BYTES];
        Self { len: 0, spill: ptr::null_mut(), inline }
    }

    #[inline(always)]
    fn capacity(&self) -> usize {
        if self.spill.is_null() { INLINE_BYTES } else { SPILL_BYTES }
    }

    #[inline(always)]
    fn start(&mut self) -> *mut u8 {
        if self.spill.is_null() { self.inline.as_mut_ptr().cast() } else { self.spill }
    }

    /// Whether this number of bytes can be appended; makes room for them if possible.
    #[inline(always)]
    pub(crate) fn has_room(&mut self, bytes: usize) -> bool {
        self.len + bytes <= self.capacity() || self.spill(bytes)
    }

    /// How many of these `bytes` can be appended.
    pub(crate) fn room_for(&mut self, bytes: usize) -> usize {
        if self.has_room(bytes) { bytes } else { self.capacity() - self.len }
    }

    /// Moves to memory from the system. Returns false if there is none, or not enough.
    #[cold]
    #[inline(never)]
    fn spill(&mut self, bytes: usize) -> bool {
        if !self.spill.is_null() || self.len + bytes > SPILL_BYTES {
            return false;
        }
        let Some(spill) = take() else { return false };
        // SAFETY: the bytes on the stack are readable (they are copied whether initialised or not);
        // the pages are writable, larger, and ours alone.
        unsafe { ptr::copy_nonoverlapping(self.inline.as_ptr().cast(), spill, INLINE_BYTES) };
        self.spill = spill;
        true
    }

    /// Appends a byte.
    #[inline(always)]
    pub(crate) fn push(&mut self, byte: u8) {
        if !self.has_room(1) {
            return;
        }
        // SAFETY: `add` stays inside: `len` is less than the capacity.
        let place = unsafe { self.start().add(self.len) };
        // SAFETY: the place is writable, and borrowed with `self`.
        unsafe { place.write(byte) };
        self.len += 1;
    }

    /// Appends a number, as unsigned LEB128; all of it or nothing.
    #[inline(always)]
    pub(crate) fn push_number(&mut self, mut value: u64) {
        const BYTES_MAX: usize = 10;
        if !self.has_room(BYTES_MAX) {
            return;
        }
        let start = self.start();
        let mut len = self.len;
        loop {
            let is_last = value < 0x80;
            let more = if is_last { 0 } else { 0x80 };
            // SAFETY: `add` stays inside: a number has at most ten bytes, for which there is room.
            let place = unsafe { start.add(len) };
            // SAFETY: the place is writable, and borrowed with `self`.
            unsafe { place.write(value as u8 | more) };
            len += 1;
            value >>= 7;
            if is_last {
                break;
            }
        }
        self.len = len;
    }

    /// Appends bytes, all or none.
    #[inline]
    pub(crate) fn extend_from_slice(&mut self, bytes: &[u8]) {
        if !self.has_room(bytes.len()) {
            return;
        }
        // SAFETY: `add` stays inside: there is room for this number of bytes behind `len`.
        let place = unsafe { self.start().add(self.len) };
        // SAFETY: `bytes` can be read; the place is writable for as many, and borrowed with `self`,
        // so they do not overlap.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), place, bytes.len()) };
        self.len += bytes.len();
    }

    /// Appends an outcome's byte and its values; without values if there is no memory for them.
    pub(crate) fn extend_with_outcome(&mut self, outcome: &[u8]) {
        if self.has_room(outcome.len()) {
            return self.extend_from_slice(outcome);
        }
        self.extend_from_slice(outcome.get(..1).unwrap_or_default());
        self.push(0);
    }

    /// Inserts bytes at a place, all or none.
    pub(crate) fn insert_from_slice(&mut self, at: usize, bytes: &[u8]) {
        let before = self.len;
        self.extend_from_slice(bytes);
        if self.len > before {
            self[at..].rotate_right(bytes.len());
        }
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }
}

impl Deref for EventBody {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        let start = if self.spill.is_null() { self.inline.as_ptr().cast() } else { self.spill };
        // SAFETY: `from_raw_parts` wants `len` initialised bytes, borrowed: all up to there were
        // written.
        unsafe { std::slice::from_raw_parts(start, self.len) }
    }
}

impl DerefMut for EventBody {
    fn deref_mut(&mut self) -> &mut [u8] {
        let (start, len) = (self.start(), self.len);
        // SAFETY: `from_raw_parts_mut` wants the same, borrowed uniquely.
        unsafe { std::slice::from_raw_parts_mut(start, len) }
    }
}

impl Drop for EventBody {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.spill.is_null() {
            give_back(self.spill);
        }
    }
}

/// Memory for a long text: one that the thread has kept, or a new one.
fn take() -> Option<*mut u8> {
    kept().or_else(|| pages::map(SPILL_BYTES))
}

/// Memory that the thread has kept, now the caller's.
fn kept() -> Option<*mut u8> {
    SPARE.with(|spare| {
        let mut kept = spare.iter().map(|place| place.replace(ptr::null_mut()));
        kept.find(|kept| !kept.is_null())
    })
}

/// By the owner of such memory: the thread keeps it if it has a place, or else it is freed.
#[cold]
#[inline(never)]
fn give_back(spill: *mut u8) {
    let free = SPARE.with(|spare| {
        let place = spare.iter().find(|place| place.get().is_null());
        // If a handler in between puts its own memory there, that is leaked.
        place.is_none_or(|place| {
            place.set(spill);
            attach::watch_exit_if_possible();
            false
        })
    });
    if free {
        // SAFETY: `unmap` wants pages from `map`, owned and unused: the caller's promise.
        unsafe { pages::unmap(spill, SPILL_BYTES) };
    }
}

/// Frees what the thread has kept: the thread ends.
pub(crate) fn forget() {
    while let Some(spill) = kept() {
        // SAFETY: `unmap` wants pages from `map`, owned and unused: they were taken out.
        unsafe { pages::unmap(spill, SPILL_BYTES) };
    }
}

#[cfg(all(test, not(exectrace_loom)))]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_wherever_they_are() {
        // As when a trace has begun: what the thread keeps is freed when the thread ends.
        attach::watch_exit();
        for count in [0, 1, INLINE_BYTES - 1, INLINE_BYTES, INLINE_BYTES + 1, SPILL_BYTES] {
            let bytes: Vec<u8> = (0..count).map(|at| at as u8).collect();
            let (mut one_by_one, mut at_once) = (EventBody::new(), EventBody::new());
            // Of many the last, so that this takes no minute under Miri.
            let (first, last) = bytes.split_at(count.saturating_sub(2 * INLINE_BYTES));
            one_by_one.extend_from_slice(first);
            last.iter().for_each(|&byte| one_by_one.push(byte));
            at_once.extend_from_slice(&bytes);
            assert_eq!(&*one_by_one, bytes);
            assert_eq!(&*at_once, bytes);
            let is_full = count == SPILL_BYTES;
            assert_eq!(at_once.has_room(1), !is_full);
            at_once.push(7);
            assert_eq!(at_once.len(), count + usize::from(!is_full));
        }
    }

    #[test]
    fn what_is_inserted_moves_the_rest() {
        attach::watch_exit();
        let mut body = EventBody::new();
        body.extend_from_slice(&[1; 127]);
        body.push(2);
        body.insert_from_slice(1, &[3, 4]);
        assert_eq!((body.len(), &body[..4], body[129]), (130, &[1, 3, 4, 1][..], 2));
    }
}
