//! What lies in front of a batch's bytes: all that a reader of this memory alone needs.

use crate::base::primitive::{AtomicU64, Ordering};
use crate::buffer::slot::{SLOTS, Slot};

/// A commit word: how far the batch is written, and when its last event was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Commit {
    /// Ticks from the batch's base to its last event.
    pub(crate) ticks: u32,
    /// Events written.
    pub(crate) events: u16,
    /// Bytes written.
    pub(crate) len: u16,
}

impl Commit {
    #[inline(always)]
    pub(crate) const fn to_word(self) -> u64 {
        (self.ticks as u64) << 32 | (self.events as u64) << 16 | self.len as u64
    }

    pub(crate) const fn from_word(word: u64) -> Self {
        Self { ticks: (word >> 32) as u32, events: (word >> 16) as u16, len: word as u16 }
    }
}

/// In the high half of [`Front::owner`]: marks these bytes as a batch.
pub(super) const LIVE: u64 = 0xf142_5458;

/// The thread that a batch belongs to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Owner {
    pub(crate) thread: u32,
    /// The system's id of it.
    pub(crate) os_id: u64,
}

/// What lies in front of a batch's bytes.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Front {
    /// [`LIVE`] and the thread's id; 0 if it belongs to no thread.
    pub(super) owner: AtomicU64,
    pub(super) commit: AtomicU64,
    pub(super) base: AtomicU64,
    /// The sequence, and the capacity above it.
    pub(super) numbers: AtomicU64,
    pub(super) os_id: AtomicU64,
    /// Distance from the front to the bytes.
    pub(super) bytes_at: AtomicU64,
    pub(super) slots: [Slot; SLOTS],
}

impl Front {
    pub(super) fn new() -> Self {
        Self {
            owner: AtomicU64::new(0),
            commit: AtomicU64::new(0),
            base: AtomicU64::new(0),
            numbers: AtomicU64::new(0),
            os_id: AtomicU64::new(0),
            bytes_at: AtomicU64::new(0),
            slots: std::array::from_fn(|_| Slot::new()),
        }
    }

    /// A slot, which the owner writes and any thread may read.
    #[inline(always)]
    pub(crate) fn slot(&self, at: usize) -> &Slot {
        &self.slots[at]
    }

    /// By the owner: everything up to `commit.len` is written.
    #[inline(always)]
    pub(crate) fn commit(&self, commit: Commit) {
        // `Release` pairs with the `Acquire` in `committed`: B2.
        self.commit.store(commit.to_word(), Ordering::Release);
    }
}
