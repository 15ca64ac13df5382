//! Whether anybody is left who could wake a future that waits.
//!
//! A future waits from the end of a poll that left it unfinished to the begin of the next. Whoever
//! holds a waker of it may wake it or let go of the waker. Once the last has let go and none has
//! woken it, nobody can any more: it is *lost*, and will stay where it is for ever.
//!
//! - **R1** A future is found lost only while it waits, with no waker left, and not woken since its
//!   last poll began; and once per wait at most.
//! - **R2** If all who held a waker while it waits drop it unused, one of them finds it lost, or
//!   the future itself does if the last had let go before the poll ended.
//!
//! That a waker is gone is told after the wake it was used for, so a future whose poll ends in
//! between is not found lost: better missed than false.

use crate::base::primitive::{AtomicBool, AtomicUsize, Ordering};

/// Those who hold a waker of one future, and what the future does.
#[derive(Debug)]
pub(crate) struct Holders {
    count: AtomicUsize,
    waits: AtomicBool,
    woken: AtomicBool,
}

impl Holders {
    /// Of a future that is being polled.
    pub(crate) fn new() -> Self {
        Self {
            count: AtomicUsize::new(0),
            waits: AtomicBool::new(false),
            woken: AtomicBool::new(false),
        }
    }

    /// Somebody has taken a waker.
    pub(crate) fn take(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// A waker is being used.
    pub(crate) fn wake(&self) {
        self.woken.store(true, Ordering::Relaxed);
    }

    /// A waker that was used is gone.
    pub(crate) fn let_go_used(&self) {
        self.count.fetch_sub(1, Ordering::AcqRel);
    }

    /// A waker is gone unused. Whether the future is lost by that.
    pub(crate) fn let_go(&self) -> bool {
        // `AcqRel` pairs with that in `wait`: changes of the count are in one order, so either this
        // one comes later and sees that the future waits, or `wait` finds nobody (R2). It pairs
        // with that in `let_go_used`, too: who let go before has said that it woke (R1).
        self.count.fetch_sub(1, Ordering::AcqRel) == 1 && self.lose()
    }

    /// A poll begins.
    #[inline(always)]
    pub(crate) fn poll(&self) {
        self.waits.store(false, Ordering::Relaxed);
        self.woken.store(false, Ordering::Relaxed);
    }

    /// The poll has ended, and the future waits. Whether it is lost.
    #[inline(always)]
    pub(crate) fn wait(&self) -> bool {
        self.waits.store(true, Ordering::Release);
        // Not a load: that might be early, and miss whoever is just letting go.
        self.count.fetch_add(0, Ordering::AcqRel) == 0 && self.lose()
    }

    /// The future is done or dropped: it waits for nothing.
    pub(crate) fn end(&self) {
        self.waits.store(false, Ordering::Relaxed);
    }

    fn lose(&self) -> bool {
        // By exchange: two may come here at once, and one of them tells (R1).
        // `Acquire` pairs with the `Release` in `wait`: whoever took a waker before that poll ended
        // is counted. The count that brought us here may be from before it (R1).
        let waits = self.waits.load(Ordering::Acquire);
        if !waits || self.count.load(Ordering::Relaxed) > 0 || self.woken.load(Ordering::Relaxed) {
            return false;
        }
        self.waits.swap(false, Ordering::Relaxed)
    }
}
