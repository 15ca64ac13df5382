//! A list that any thread adds to without a lock, and that one thread takes as a whole.
//!
//! Items are linked through a word of their own, so adding one allocates nothing and is allowed in
//! signal handlers. Invariants:
//!
//! - **Q1** An item that was pushed is handed out once: the thread that exchanges the head owns all
//!   items behind it.
//! - **Q2** A closed inbox accepts nothing: each push either comes before the close, and its item
//!   is in the list that the close returns, or is refused.
//!
//! May contain `unsafe`: items are linked by raw pointers.

use crate::base::primitive::{AtomicPtr, Ordering};
use std::ptr;

/// An item that can be in one inbox at a time.
pub(crate) trait Linked: Sized {
    /// The word that links it to the item before it. Only its inbox uses it.
    fn link(&self) -> &AtomicPtr<Self>;
}

/// The list, newest item first.
#[derive(Debug)]
pub(crate) struct Inbox<T> {
    head: AtomicPtr<T>,
}

/// Items of an inbox, in the order in which they were pushed, now the caller's.
#[derive(Debug)]
pub(crate) struct Items<T> {
    next: *mut T,
}

/// The head of a closed inbox. No item has this address, as items are aligned for their link.
fn closed<T>() -> *mut T {
    ptr::without_provenance_mut(1)
}

impl<T: Linked> Inbox<T> {
    /// An empty one.
    #[cfg(not(exectrace_loom))]
    pub(crate) const fn new() -> Self {
        Self { head: AtomicPtr::new(ptr::null_mut()) }
    }

    /// An empty one, in a model.
    #[cfg(exectrace_loom)]
    pub(crate) fn new() -> Self {
        Self { head: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Adds an item. Returns false if the inbox is closed; then the item is still the caller's.
    ///
    /// # Safety
    /// The item is the caller's, is in no inbox, and lives until it has been taken out.
    pub(crate) unsafe fn push(&self, item: *mut T) -> bool {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            if head == closed() {
                return false;
            }
            // SAFETY: a shared reference wants a live item: the caller's promise.
            unsafe { &*item }.link().store(head, Ordering::Relaxed);
            // `Release` pairs with the `Acquire` in `take` and `close`: the item and its link are
            // written (Q1).
            let order = (Ordering::Release, Ordering::Relaxed);
            match self.head.compare_exchange(head, item, order.0, order.1) {
                Ok(_) => return true,
                Err(now) => head = now,
            }
        }
    }

    /// Takes all items. Not at the same time as [`Inbox::close`].
    pub(crate) fn take(&self) -> Items<T> {
        let head = self.head.load(Ordering::Relaxed);
        if head.is_null() || head == closed() {
            return Items { next: ptr::null_mut() };
        }
        Items::of(self.head.swap(ptr::null_mut(), Ordering::Acquire))
    }

    /// Takes all items; from now on pushes are refused (Q2).
    pub(crate) fn close(&self) -> Items<T> {
        Items::of(self.head.swap(closed(), Ordering::Acquire))
    }
}

impl<T: Linked> Items<T> {
    /// Turns a list that was taken around: oldest item first.
    fn of(newest: *mut T) -> Self {
        let mut items = Self { next: ptr::null_mut() };
        let mut item = if newest == closed() { ptr::null_mut() } else { newest };
        while !item.is_null() {
            // SAFETY: a shared reference wants a live item: it was pushed and is ours (Q1).
            let before = unsafe { &*item }.link().swap(items.next, Ordering::Relaxed);
            items.next = item;
            item = before;
        }
        items
    }
}

impl<T: Linked> Iterator for Items<T> {
    type Item = *mut T;

    fn next(&mut self) -> Option<*mut T> {
        let item = self.next;
        if item.is_null() {
            return None;
        }
        // SAFETY: a shared reference wants a live item: it was pushed and is ours (Q1).
        self.next = unsafe { &*item }.link().swap(ptr::null_mut(), Ordering::Relaxed);
        Some(item)
    }
}
