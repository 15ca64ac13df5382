//! The innermost future that is being polled on this thread: the parent of futures that are
//! spawned, and the one that takes wakers.
//!
//! It is kept in single words, each read and written by itself: copying a struct right after it was
//! written would make the processor wait for the stores.

use std::cell::Cell;

/// The poll that goes on on this thread.
#[derive(Debug)]
#[repr(C)]
struct Current {
    /// The future; 0 for none.
    future: Cell<u64>,
    /// The node (in `waker`) whose wakers it hands out: an address to compare with; 0 for none.
    node: Cell<usize>,
    /// The stack on which a waker was last taken in this poll (the low half; 0 if none is known),
    /// and the bits [`HOOKED`], [`ENDED`], [`INNER`].
    place: Cell<u64>,
}

/// An executor's hooks have begun the poll, and no future in it has adopted it yet.
const HOOKED: u64 = 1 << 32;

/// The future itself has recorded how it ended.
const ENDED: u64 = 1 << 33;

/// A future inside this one has taken the waker, and its own poll records that.
const INNER: u64 = 1 << 34;

/// Where a poll took a waker, as [`leave`] returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TakenAt(u64);

impl TakenAt {
    /// The stack; 0 if no waker was taken, or its stack is not known.
    #[inline(always)]
    pub(crate) fn stack(self) -> u32 {
        self.0 as u32
    }

    /// Whether a future inside took it, whose own poll records that.
    #[inline(always)]
    pub(crate) fn is_inner(self) -> bool {
        self.0 & INNER != 0
    }
}

thread_local! {
    static CURRENT: Current =
        const { Current { future: Cell::new(0), node: Cell::new(0), place: Cell::new(0) } };
}

/// The poll around this one, to be restored at the end. Its words are in another order than in
/// [`Current`], so that no two of them are copied at once, which would have to wait until both are
/// written.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct OuterPoll {
    place: u64,
    pub(crate) node: usize,
    future: u64,
}

/// The future that is being polled on this thread; 0 for none.
#[inline(always)]
pub(crate) fn future() -> u64 {
    CURRENT.with(|current| current.future.get())
}

/// The node whose wakers are handed out on this thread; 0 for none.
#[inline(always)]
pub(crate) fn node() -> usize {
    CURRENT.with(|current| current.node.get())
}

/// Sets the node whose wakers are handed out until the poll ends.
#[inline(always)]
pub(crate) fn set_node(node: usize) {
    CURRENT.with(|current| current.node.set(node));
}

/// A waker was taken on this stack.
///
/// - `is_inner`: by a future inside this one, whose own poll records that. It does not replace a
///   stack on which this future itself took one.
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

/// Whether an executor's hooks have begun a poll of this future on this thread.
#[inline(always)]
pub(crate) fn is_hooked(future: u64) -> bool {
    CURRENT.with(|current| current.place.get() & HOOKED != 0 && current.future.get() == future)
}

/// The future has recorded how it ended: its executor's hooks need not.
pub(crate) fn note_end(future: u64) {
    CURRENT.with(|current| {
        if is_hooked(future) {
            current.place.set(current.place.get() | ENDED);
        }
    });
}

/// Whether the future has recorded how it ended.
pub(crate) fn has_ended(future: u64) -> bool {
    CURRENT.with(|current| is_hooked(future) && current.place.get() & ENDED != 0)
}

/// A poll of this future begins. The result is for [`leave`].
#[inline(always)]
pub(crate) fn enter(future: u64) -> OuterPoll {
    CURRENT.with(|current| {
        let node = current.node.get();
        OuterPoll { future: current.future.replace(future), node, place: current.place.replace(0) }
    })
}

/// The same, for a poll that an executor's hooks begin.
#[inline(always)]
pub(crate) fn enter_hooked(future: u64) -> OuterPoll {
    let before = enter(future);
    CURRENT.with(|current| {
        current.node.set(0);
        current.place.set(HOOKED);
    });
    before
}

/// The poll is over. Returns the node whose wakers it handed out, and where it last took one.
#[inline(always)]
pub(crate) fn leave(before: &OuterPoll) -> (usize, TakenAt) {
    CURRENT.with(|current| {
        current.future.set(before.future);
        (current.node.replace(before.node), TakenAt(current.place.replace(before.place)))
    })
}
