//! Which future is being polled on this thread, innermost: the parent of what is spawned, and
//! whoever takes a waker.
//!
//! Single words, each read and written by itself: a struct that is copied right after it was
//! written makes the processor wait for its stores.

use std::cell::Cell;

/// What is being polled here.
#[derive(Debug)]
#[repr(C)]
struct Current {
    /// The future; 0 for none.
    future: Cell<u64>,
    /// Whose wakers it hands out: an address to compare with, of a node of `waker`; 0 for none.
    node: Cell<usize>,
    /// Where a waker was taken last in this poll (the low half; 0 for nowhere that is known), and
    /// [`HOOKED`], [`ENDED`], [`INNER`].
    place: Cell<u64>,
}

/// The poll was begun by an executor's hooks, and nothing in it has taken it for its own yet.
const HOOKED: u64 = 1 << 32;

/// The future has said itself how it ended.
const ENDED: u64 = 1 << 33;

/// The waker was taken by a future inside this one, whose own poll says so in the trace.
const INNER: u64 = 1 << 34;

/// Where a poll took a waker, as [`leave`] finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TakenAt(u64);

impl TakenAt {
    /// The stack; 0 if none was taken, or it is not known where.
    #[inline(always)]
    pub(crate) fn stack(self) -> u32 {
        self.0 as u32
    }

    /// Whether a future inside took it, whose own poll says so.
    #[inline(always)]
    pub(crate) fn is_inner(self) -> bool {
        self.0 & INNER != 0
    }
}

thread_local! {
    static CURRENT: Current =
        const { Current { future: Cell::new(0), node: Cell::new(0), place: Cell::new(0) } };
}

/// What was being polled before. In the other order, so that no two of the words are copied at
/// once, which would have to wait until both are written.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Before {
    place: u64,
    pub(crate) node: usize,
    future: u64,
}

/// The future that is being polled here; 0 for none.
#[inline(always)]
pub(crate) fn future() -> u64 {
    CURRENT.with(|current| current.future.get())
}

/// Whose wakers are handed out here; 0 for nobody's.
#[inline(always)]
pub(crate) fn node() -> usize {
    CURRENT.with(|current| current.node.get())
}

/// Wakers are this node's, until the poll is over.
#[inline(always)]
pub(crate) fn set_node(node: usize) {
    CURRENT.with(|current| current.node.set(node));
}

/// A waker was taken here.
///
/// - `is_inner`: by a future inside this one, whose own poll says so in the trace. Where this
///   future itself took one is worth more.
#[inline(always)]
pub(crate) fn set_waits_at(stack: u32, is_inner: bool) {
    CURRENT.with(|current| {
        let place = current.place.get();
        if is_inner && place as u32 != 0 && place & INNER == 0 {
            return;
        }
        let inner = if is_inner { INNER } else { 0 };
        current.place.set(place & !(u64::from(u32::MAX) | INNER) | inner | u64::from(stack));
    });
}

/// Whether a poll of this future was begun here by an executor's hooks.
#[inline(always)]
pub(crate) fn is_hooked(future: u64) -> bool {
    CURRENT.with(|current| current.place.get() & HOOKED != 0 && current.future.get() == future)
}

/// The future has said how it ended: its executor's hooks need not.
pub(crate) fn note_end(future: u64) {
    CURRENT.with(|current| {
        if is_hooked(future) {
            current.place.set(current.place.get() | ENDED);
        }
    });
}

/// Whether the future has said how it ended.
pub(crate) fn has_ended(future: u64) -> bool {
    CURRENT.with(|current| is_hooked(future) && current.place.get() & ENDED != 0)
}

/// A poll of this future begins. What was before is to be given back when it is over.
#[inline(always)]
pub(crate) fn enter(future: u64) -> Before {
    CURRENT.with(|current| {
        let node = current.node.get();
        Before { future: current.future.replace(future), node, place: current.place.replace(0) }
    })
}

/// The same, of a poll that an executor's hooks begin.
#[inline(always)]
pub(crate) fn enter_hooked(future: u64) -> Before {
    let before = enter(future);
    CURRENT.with(|current| {
        current.node.set(0);
        current.place.set(HOOKED);
    });
    before
}

/// The poll is over. Whose wakers it handed out, and where it took one last.
#[inline(always)]
pub(crate) fn leave(before: &Before) -> (usize, TakenAt) {
    CURRENT.with(|current| {
        current.future.set(before.future);
        (current.node.replace(before.node), TakenAt(current.place.replace(before.place)))
    })
}
