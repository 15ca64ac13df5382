//! Wakers that record: who wakes a traced future, where from, and where the future took them.
//!
//! A traced future hands its inner one a waker of ours, which passes everything on to the
//! executor's. Until somebody clones it, it lies on the stack of the poll (`Lazy`) and costs
//! nothing; the first clone makes a *node* on the heap, which all later polls use, as long as the
//! executor's waker stays the same. So no poll allocates but the first that waits. A clone counts
//! up and takes the stack; it never clones the executor's waker.
//!
//! A future inside a traced one sees a waker that is ours already, and leaves it alone: the outer
//! one is what is woken.
//!
//! Elsewhere: when nobody is left to wake (`holders`), polls (`wrapper`).
//!
//! May contain `unsafe`: a `RawWaker` is made of a pointer and functions that believe it.

use crate::annotate::future::current;
use crate::annotate::future::holders::Holders;
use crate::base::primitive::Ordering;
use crate::base::primitive::global::{AtomicBool, AtomicPtr};
use crate::callsite::Callsite;
use crate::stack;
use crate::thread::record;
use crate::thread::value::{Body, put_number};
use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::Arc;
use std::task::{RawWaker, RawWakerVTable, Waker};
use trace_format::event::opcode;

/// What all wakers of a future share.
#[derive(Debug)]
pub(crate) struct Node {
    whose: Whose,
    /// The executor's.
    inner: Waker,
    holders: Holders,
}

impl Node {
    /// Its future is done or dropped.
    pub(crate) fn end(&self) {
        self.holders.end();
    }

    fn address(&self) -> usize {
        ptr::from_ref(self) as usize
    }

    /// A waker for somebody else.
    fn hand_out(self: Arc<Self>) -> RawWaker {
        self.holders.take();
        if current::node() == self.address() {
            note_place();
        }
        RawWaker::new(Arc::into_raw(self).cast(), &OWNED)
    }

    fn woken(&self) {
        self.holders.wake();
        note_wake(self.whose);
    }
}

/// The future that is polled here has taken a waker: here it waits.
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
    let mut body = Body::new();
    put_number(&mut body, whose.future);
    put_number(&mut body, stack.into());
    record::append_with_stack(opcode::WAKE, &body, stack);
}

/// Nobody can wake it any more.
fn note_lost(whose: Whose) {
    if whose.site.is_live() {
        let mut body = Body::new();
        put_number(&mut body, whose.future);
        record::append(opcode::UNWAKEABLE, &body);
    }
}

/// Which future a poll is of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whose {
    pub(crate) future: u64,
    pub(crate) site: &'static Callsite,
}

/// What a poll hands to the future in the place of the executor's waker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hands {
    /// The executor's own: it is ours already, or never wakes anybody.
    On,
    /// That of the node of earlier polls.
    Kept,
    /// One that nobody has cloned yet.
    Fresh,
}

impl Hands {
    /// What suits this waker.
    ///
    /// - `kept`: the node of earlier polls.
    #[inline]
    pub(crate) fn choose(executors: &Waker, kept: Option<&Node>) -> Self {
        if kept.is_some_and(|node| node.inner.will_wake(executors)) {
            Self::Kept
        } else if is_ours(executors) || executors.data().is_null() {
            // Without data it can't say whom to wake: that of a loop that polls, `Waker::noop`.
            Self::On
        } else {
            Self::Fresh
        }
    }
}

impl Node {
    /// A poll begins that hands this out. The waker is lent: it must not be dropped, and `node`
    /// must outlive it.
    #[inline]
    pub(crate) fn lend(node: &Arc<Self>) -> ManuallyDrop<Waker> {
        node.holders.poll();
        current::set_node(node.address());
        let raw = RawWaker::new(Arc::as_ptr(node).cast(), &OWNED);
        // SAFETY: `from_raw` wants functions that fit the data: those of `OWNED` want a node with a
        // count of their own. This waker has none, but nobody can drop it or wake by value.
        ManuallyDrop::new(unsafe { Waker::from_raw(raw) })
    }

    /// The poll has ended, and the future waits. Whether for ever.
    #[inline]
    pub(crate) fn wait(&self) -> bool {
        self.holders.wait()
    }
}

/// Whether a waker is one of ours.
fn is_ours(waker: &Waker) -> bool {
    ptr::eq(waker.vtable(), &OWNED) || ptr::eq(waker.vtable(), &BORROWED)
}

/// A waker that nobody has cloned yet. It lies where the poll is, and does not move while lent.
#[derive(Debug)]
pub(crate) struct Lazy<'p> {
    whose: Whose,
    inner: &'p Waker,
    /// What the first clone has made, with a count for this place.
    node: AtomicPtr<Node>,
    woken: AtomicBool,
}

impl<'p> Lazy<'p> {
    #[inline(always)]
    pub(crate) fn new(whose: Whose, inner: &'p Waker) -> Self {
        let (node, woken) = (AtomicPtr::new(ptr::null_mut()), AtomicBool::new(false));
        Self { whose, inner, node, woken }
    }

    /// A poll begins that hands this out. The waker is lent: it must not be dropped, and `self`
    /// must neither move nor be dropped before it is gone.
    #[inline]
    pub(crate) fn lend(&self) -> ManuallyDrop<Waker> {
        current::set_node(ptr::from_ref(self) as usize);
        let raw = RawWaker::new(ptr::from_ref(self).cast(), &BORROWED);
        // SAFETY: `from_raw` wants functions that fit the data: those of `BORROWED` want a `Lazy`
        // that is there while the waker is, which is the caller's part; clones are of `OWNED`.
        ManuallyDrop::new(unsafe { Waker::from_raw(raw) })
    }

    /// The poll has ended: to be called once it was lent. The node, if there was a clone; and
    /// whether the future, if it waits, does so for ever.
    pub(crate) fn take(&mut self, waits: bool) -> (Option<Arc<Node>>, bool) {
        let was_woken = *self.woken.get_mut();
        let node = std::mem::replace(self.node.get_mut(), ptr::null_mut());
        if node.is_null() {
            return (None, waits && !was_woken);
        }
        // SAFETY: `from_raw` wants a pointer of `into_raw`, and one count for it: this place had
        // one, and has it no more.
        let node = unsafe { Arc::from_raw(node.cast_const()) };
        if was_woken {
            node.holders.wake();
        }
        let is_lost = waits && node.wait();
        (Some(node), is_lost)
    }

    /// Whose waker it is.
    pub(crate) fn future(&self) -> u64 {
        self.whose.future
    }

    /// Nobody can wake the future any more.
    pub(crate) fn note_lost(&self) {
        note_lost(self.whose);
    }

    fn node(&self) -> Arc<Node> {
        let mut node = self.node.load(Ordering::Acquire);
        if node.is_null() {
            let (inner, holders) = (self.inner.clone(), Holders::new());
            let fresh = Arc::into_raw(Arc::new(Node { whose: self.whose, inner, holders }));
            let order = (Ordering::AcqRel, Ordering::Acquire);
            let null = ptr::null_mut();
            match self.node.compare_exchange(null, fresh.cast_mut(), order.0, order.1) {
                Ok(_) => node = fresh.cast_mut(),
                Err(other) => {
                    // SAFETY: `from_raw` wants a pointer of `into_raw`: nobody else has this one.
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

/// The node behind a waker that keeps its count.
///
/// # Safety
/// `data` is that of a waker of [`OWNED`], which lives while the result does.
unsafe fn owned(data: *const ()) -> ManuallyDrop<Arc<Node>> {
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
    node.holders.let_go_used();
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
    if node.holders.let_go() {
        note_lost(node.whose);
    }
}

unsafe fn clone_borrowed(data: *const ()) -> RawWaker {
    // SAFETY: a shared reference wants a live `Lazy`: that of the poll which this waker is lent to.
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
