//! Wakers that record who wakes a traced future, on which stack, and on which stack the future took
//! the waker.
//!
//! A traced future gives its inner future a waker of ours, which passes each wake on to the
//! executor's. Until it is cloned, it lies on the stack of the poll (`Lazy`) and costs nothing; the
//! first clone makes a *node* on the heap, which all later polls use, as long as the executor's
//! waker stays the same. So only the first poll that waits allocates. A clone increments a count
//! and takes the stack; it never clones the executor's waker.
//!
//! A traced future inside a traced one sees a waker that is ours already, and passes it on: the
//! outer future is the one that is woken.
//!
//! Elsewhere: whether a future can still be woken (`liveness`), polls (`wrapper`).
//!
//! May contain `unsafe`: a `RawWaker` is made of a pointer and functions that trust it.

use crate::annotate::future::current;
use crate::annotate::future::liveness::Liveness;
use crate::base::primitive::Ordering;
use crate::base::primitive::global::{AtomicBool, AtomicPtr};
use crate::callsite::Callsite;
use crate::stack;
use crate::thread::record;
use crate::thread::value::{EventBody, put_number};
use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::Arc;
use std::task::{RawWaker, RawWakerVTable, Waker};
use trace_format::event::opcode;

/// What all wakers of a future share: a node on the heap.
#[derive(Debug)]
pub(crate) struct WakerNode {
    whose: Whose,
    /// The executor's waker.
    inner: Waker,
    liveness: Liveness,
}

impl WakerNode {
    /// Its future is done or dropped.
    pub(crate) fn end(&self) {
        self.liveness.end();
    }

    fn address(&self) -> usize {
        ptr::from_ref(self) as usize
    }

    /// A waker for a clone.
    fn hand_out(self: Arc<Self>) -> RawWaker {
        self.liveness.add_waker();
        if current::node() == self.address() {
            note_place();
        }
        RawWaker::new(Arc::into_raw(self).cast(), &OWNED)
    }

    fn woken(&self) {
        self.liveness.wake();
        note_wake(self.whose);
    }
}

/// The future that is polled on this thread has taken a waker: notes the stack on which it waits.
fn note_place() {
    let stack = stack::for_async();
    if stack != 0 {
        current::set_waits_at(stack, false);
    }
}

fn note_wake(whose: Whose) {
    if !whose.site.is_live() {
        return;
    }
    let stack = stack::for_async();
    let mut body = EventBody::new();
    put_number(&mut body, whose.future);
    put_number(&mut body, stack.into());
    record::append_with_stack(opcode::WAKE, &body, stack);
}

/// Records that the future can't be woken any more.
fn note_lost(whose: Whose) {
    if whose.site.is_live() {
        let mut body = EventBody::new();
        put_number(&mut body, whose.future);
        record::append(opcode::UNWAKEABLE, &body);
    }
}

/// The future that a waker wakes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whose {
    pub(crate) future: u64,
    pub(crate) site: &'static Callsite,
}

/// Which waker a poll gives to the future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hands {
    /// The executor's own: it is ours already, or wakes nothing.
    On,
    /// One of the node of earlier polls.
    Kept,
    /// A new one, which is not cloned yet.
    Fresh,
}

impl Hands {
    /// Which one to give instead of this waker of the executor's.
    ///
    /// - `kept`: the node of earlier polls.
    #[inline]
    pub(crate) fn choose(executors: &Waker, kept: Option<&WakerNode>) -> Self {
        if kept.is_some_and(|node| node.inner.will_wake(executors)) {
            Self::Kept
        } else if is_ours(executors) || executors.data().is_null() {
            // Without data it can't say what to wake: it is a polling loop's, `Waker::noop`.
            Self::On
        } else {
            Self::Fresh
        }
    }
}

impl WakerNode {
    /// A poll begins that gives out the node's waker. The waker is lent: it must not be dropped,
    /// and `node` must outlive it.
    #[inline]
    pub(crate) fn lend(node: &Arc<Self>) -> ManuallyDrop<Waker> {
        node.liveness.poll();
        current::set_node(node.address());
        let raw = RawWaker::new(Arc::as_ptr(node).cast(), &OWNED);
        // SAFETY: `from_raw` wants functions that fit the data: those of `OWNED` want a node with a
        // count of the waker's own. This waker has none, but it can't be dropped or woken by value.
        ManuallyDrop::new(unsafe { Waker::from_raw(raw) })
    }

    /// The poll has ended, and the future waits. Returns whether it is lost.
    #[inline]
    pub(crate) fn wait(&self) -> bool {
        self.liveness.wait()
    }
}

/// Whether a waker is one of ours.
fn is_ours(waker: &Waker) -> bool {
    ptr::eq(waker.vtable(), &OWNED) || ptr::eq(waker.vtable(), &BORROWED)
}

/// A waker that is not cloned yet. It lies on the poll's stack, and does not move while lent.
#[derive(Debug)]
pub(crate) struct Lazy<'p> {
    whose: Whose,
    inner: &'p Waker,
    /// The node that the first clone has made, with a count for this place.
    node: AtomicPtr<WakerNode>,
    woken: AtomicBool,
}

impl<'p> Lazy<'p> {
    #[inline(always)]
    pub(crate) fn new(whose: Whose, inner: &'p Waker) -> Self {
        let (node, woken) = (AtomicPtr::new(ptr::null_mut()), AtomicBool::new(false));
        Self { whose, inner, node, woken }
    }

    /// A poll begins that gives out this waker. The waker is lent: it must not be dropped, and
    /// `self` must neither move nor be dropped before the waker is gone.
    #[inline]
    pub(crate) fn lend(&self) -> ManuallyDrop<Waker> {
        current::set_node(ptr::from_ref(self) as usize);
        let raw = RawWaker::new(ptr::from_ref(self).cast(), &BORROWED);
        // SAFETY: `from_raw` wants functions that fit the data: those of `BORROWED` want a `Lazy`
        // that outlives the waker, which the caller ensures; clones are of `OWNED`.
        ManuallyDrop::new(unsafe { Waker::from_raw(raw) })
    }

    /// The poll has ended: to be called once after it was lent. Returns the node, if there was a
    /// clone, and whether the future waits and is lost.
    pub(crate) fn take(&mut self, waits: bool) -> (Option<Arc<WakerNode>>, bool) {
        let was_woken = *self.woken.get_mut();
        let node = std::mem::replace(self.node.get_mut(), ptr::null_mut());
        if node.is_null() {
            return (None, waits && !was_woken);
        }
        // SAFETY: `from_raw` wants a pointer of `into_raw`, and one count for it: this place's
        // count, which it gives up.
        let node = unsafe { Arc::from_raw(node.cast_const()) };
        if was_woken {
            node.liveness.wake();
        }
        let is_lost = waits && node.wait();
        (Some(node), is_lost)
    }

    /// The future that it wakes.
    pub(crate) fn future(&self) -> u64 {
        self.whose.future
    }

    /// Records that the future can't be woken any more.
    pub(crate) fn note_lost(&self) {
        note_lost(self.whose);
    }

    fn node(&self) -> Arc<WakerNode> {
        let mut node = self.node.load(Ordering::Acquire);
        if node.is_null() {
            let (inner, liveness) = (self.inner.clone(), Liveness::new());
            let fresh = Arc::into_raw(Arc::new(WakerNode { whose: self.whose, inner, liveness }));
            let order = (Ordering::AcqRel, Ordering::Acquire);
            let null = ptr::null_mut();
            match self.node.compare_exchange(null, fresh.cast_mut(), order.0, order.1) {
                Ok(_) => node = fresh.cast_mut(),
                Err(other) => {
                    // SAFETY: `from_raw` wants a pointer of `into_raw`, owned: no other code has
                    // this one.
                    drop(unsafe { Arc::from_raw(fresh) });
                    node = other;
                }
            }
        }
        // SAFETY: `increment_strong_count` wants a live node of `into_raw`: this place has a count.
        unsafe { Arc::increment_strong_count(node.cast_const()) };
        // SAFETY: `from_raw` wants one count for it: the one just added.
        unsafe { Arc::from_raw(node.cast_const()) }
    }

    fn woken(&self) {
        self.woken.store(true, Ordering::Relaxed);
        note_wake(self.whose);
        self.inner.wake_by_ref();
    }
}

static OWNED: RawWakerVTable =
    RawWakerVTable::new(clone_owned, wake_owned, wake_owned_by_ref, drop_owned);

static BORROWED: RawWakerVTable =
    RawWakerVTable::new(clone_borrowed, wake_borrowed, wake_borrowed, drop_borrowed);

/// The node behind a waker; the waker keeps its count.
///
/// # Safety
/// `data` belongs to a waker of [`OWNED`], which outlives the result.
unsafe fn owned(data: *const ()) -> ManuallyDrop<Arc<WakerNode>> {
    // SAFETY: `from_raw` wants a pointer of `into_raw` with a count: the caller's promise; and that
    // it is counted down once, which `ManuallyDrop` leaves to the waker.
    ManuallyDrop::new(unsafe { Arc::from_raw(data.cast()) })
}

unsafe fn clone_owned(data: *const ()) -> RawWaker {
    // SAFETY: a `Waker` calls its functions with its own data, while it lives.
    let node = unsafe { owned(data) };
    Arc::clone(&node).hand_out()
}

unsafe fn wake_owned(data: *const ()) {
    // SAFETY: as above.
    let node = ManuallyDrop::into_inner(unsafe { owned(data) });
    node.woken();
    node.inner.wake_by_ref();
    node.liveness.drop_used_waker();
}

unsafe fn wake_owned_by_ref(data: *const ()) {
    // SAFETY: as above.
    let node = unsafe { owned(data) };
    node.woken();
    node.inner.wake_by_ref();
}

unsafe fn drop_owned(data: *const ()) {
    // SAFETY: as above.
    let node = ManuallyDrop::into_inner(unsafe { owned(data) });
    if node.liveness.drop_waker() {
        note_lost(node.whose);
    }
}

unsafe fn clone_borrowed(data: *const ()) -> RawWaker {
    // SAFETY: a shared reference wants a live `Lazy`: the poll keeps it while the waker is lent.
    let lazy = unsafe { &*data.cast::<Lazy<'_>>() };
    let node = lazy.node();
    if current::node() == data as usize {
        note_place();
    }
    node.hand_out()
}

unsafe fn wake_borrowed(data: *const ()) {
    // SAFETY: as above. A waker that is only lent can't be woken by value.
    let lazy = unsafe { &*data.cast::<Lazy<'_>>() };
    lazy.woken();
}

unsafe fn drop_borrowed(_: *const ()) {}
