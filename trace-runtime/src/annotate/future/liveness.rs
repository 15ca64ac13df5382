//! Whether a future that waits can still be woken.
//!
//! A future waits from the end of a poll that left it unfinished to the begin of the next poll.
//! Meanwhile each of its wakers is used or dropped. If all are dropped unused, the future can't be
//! woken any more: it is *lost*, and will never go on.
//!
//! - **R1** A future is found lost only while it waits, has no waker left, and was not woken since
//!   its last poll began; and at most once per wait.
//! - **R2** If all its wakers are dropped unused while it waits, one of these drops finds it lost;
//!   if the last was dropped before the poll ended, the end of the poll finds it lost.
//!
//! A waker that was used is counted as gone only after its wake, so a future whose poll ends in
//! between is not found lost: a lost future may be missed, but is never reported falsely.

use crate::base::primitive::{AtomicBool, AtomicUsize, Ordering};

/// The number of a future's wakers, and the future's state.
#[derive(Debug)]
pub(crate) struct Liveness {
    count: AtomicUsize,
    waits: AtomicBool,
    woken: AtomicBool,
}

impl Liveness {
    /// For a future that is being polled.
    pub(crate) fn new() -> Self {
        Self {
            count: AtomicUsize::new(0),
            waits: AtomicBool::new(false),
            woken: AtomicBool::new(false),
        }
    }

    /// A waker was handed out.
    pub(crate) fn add_waker(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// A waker is being used.
    pub(crate) fn wake(&self) {
        self.woken.store(true, Ordering::Relaxed);
    }

    /// A used waker is gone.
    pub(crate) fn drop_used_waker(&self) {
        self.count.fetch_sub(1, Ordering::AcqRel);
    }

    /// A waker was dropped unused. Returns whether the future is lost by that.
    pub(crate) fn drop_waker(&self) -> bool {
        // `AcqRel` pairs with that in `wait`: changes of the count are in one order, so either this
        // one comes later and sees that the future waits, or `wait` finds a count of 0 (R2). It
        // pairs with that in `drop_used_waker`, too: an earlier waker that was used has set `woken`
        // (R1).
        self.count.fetch_sub(1, Ordering::AcqRel) == 1 && self.find_lost()
    }

    /// A poll begins.
    #[inline(always)]
    pub(crate) fn poll(&self) {
        self.waits.store(false, Ordering::Relaxed);
        self.woken.store(false, Ordering::Relaxed);
    }

    /// The poll has ended, and the future waits. Returns whether it is lost.
    #[inline(always)]
    pub(crate) fn wait(&self) -> bool {
        self.waits.store(true, Ordering::Release);
        // Not a load, which might return an old count, and miss a waker that is just being dropped.
        self.count.fetch_add(0, Ordering::AcqRel) == 0 && self.find_lost()
    }

    /// The future is done or dropped: it waits for nothing.
    pub(crate) fn end(&self) {
        self.waits.store(false, Ordering::Relaxed);
    }

    /// Whether the future is lost, and this call is the first to find that.
    fn find_lost(&self) -> bool {
        // `Acquire` pairs with the `Release` in `wait`: wakers that were handed out before that
        // poll ended are counted. The count that led here may be an older one (R1).
        let waits = self.waits.load(Ordering::Acquire);
        if !waits || self.count.load(Ordering::Relaxed) > 0 || self.woken.load(Ordering::Relaxed) {
            return false;
        }
        // By exchange: two threads may come here at once, and only one of them reports it (R1).
        self.waits.swap(false, Ordering::Relaxed)
    }
}
