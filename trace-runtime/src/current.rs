//! Which future is being polled on this thread, innermost: the parent of what is spawned, and
//! whoever takes a waker.

use std::cell::Cell;

/// What is being polled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Current {
    /// The future; 0 for none.
    pub(crate) future: u64,
    /// Whose wakers it hands out: an address to compare with, of a node of `waker`; 0 for none.
    pub(crate) node: usize,
    /// Where a waker was taken last in this poll; 0 for nowhere that is known.
    pub(crate) waits_at: u32,
    /// The poll was begun by an executor's hooks, and nothing in it has taken it for its own yet.
    pub(crate) is_hooked: bool,
    /// The future has said itself how it ended.
    pub(crate) has_ended: bool,
}

/// Nothing is being polled.
pub(crate) const NONE: Current =
    Current { future: 0, node: 0, waits_at: 0, is_hooked: false, has_ended: false };

thread_local! {
    static CURRENT: Cell<Current> = const { Cell::new(NONE) };
}

/// What is being polled here.
#[inline(always)]
pub(crate) fn get() -> Current {
    CURRENT.get()
}

/// The future has said how it ended: its executor's hooks need not.
pub(crate) fn note_end(future: u64) {
    let current = get();
    if current.is_hooked && current.future == future {
        replace(Current { has_ended: true, ..current });
    }
}

/// Something else is, from now on; what was before is to be set again when it is over.
#[inline(always)]
pub(crate) fn replace(current: Current) -> Current {
    CURRENT.replace(current)
}
