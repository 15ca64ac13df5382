//! The slots of a batch: what is open on its thread, for other threads to read.

use crate::base::primitive::{AtomicU64, Ordering};

/// Number of slots: open things of a thread beyond these are not listed for others.
pub(crate) const SLOTS: usize = if cfg!(exectrace_loom) { 2 } else { 32 };

/// Marks a slot whose contents are just ending: a reader must take it neither as open nor as
/// closed.
const ENDING: u64 = 1 << 63;

/// Something open on a thread: when it began and what it is. Others may read it at any moment.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Slot {
    /// Ticks of its begin; 0 while the slot is empty.
    pub(super) begin: AtomicU64,
    /// `Open::to_word`.
    pub(super) what: AtomicU64,
}

impl Slot {
    pub(super) fn new() -> Self {
        Self { begin: AtomicU64::new(0), what: AtomicU64::new(0) }
    }

    /// By the owner: something begins.
    #[inline(always)]
    pub(crate) fn open(&self, what: u64, begin: u64) {
        // `Release` orders the 0 of the last `close` before it: a thread that reads this `what`
        // does not read an earlier begin afterwards (B5).
        self.what.store(what, Ordering::Release);
        // `Release` pairs with the `Acquire` in `read`: this begin goes with that `what`.
        self.begin.store(begin, Ordering::Release);
    }

    /// By the owner: its end is about to be written.
    #[inline(always)]
    pub(crate) fn ending(&self, begin: u64) {
        self.begin.store(begin | ENDING, Ordering::Relaxed);
    }

    /// By the owner: it has ended. `Release`, so that a thread that sees it closed sees its end
    /// committed.
    #[inline(always)]
    pub(crate) fn close(&self) {
        self.begin.store(0, Ordering::Release);
    }

    /// By the owner.
    #[inline(always)]
    pub(crate) fn begin(&self) -> u64 {
        self.begin.load(Ordering::Relaxed)
    }

    /// By the owner.
    pub(crate) fn what(&self) -> u64 {
        self.what.load(Ordering::Relaxed)
    }

    /// By any thread. `Err` if it changed meanwhile.
    pub(super) fn read(&self) -> Result<Option<(u64, u64)>, Unstable> {
        let begin = self.begin.load(Ordering::Acquire);
        if begin == 0 {
            return Ok(None);
        }
        // `Acquire`: if this is a newer `what`, the load below sees the 0 stored before it (B5).
        let what = self.what.load(Ordering::Acquire);
        let same = self.begin.load(Ordering::Acquire) == begin;
        if same && begin & ENDING == 0 { Ok(Some((begin, what))) } else { Err(Unstable) }
    }
}

/// The error of a read during which the owner changed what was read.
#[derive(Debug)]
pub(crate) struct Unstable;
