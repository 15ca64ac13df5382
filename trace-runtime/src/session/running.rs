//! The session that threads may attach to, found without a lock and without ever dropping the last
//! reference: the finder may be a signal handler, which must not free the session.
//!
//! The pointer's low bits count the borrowers (the split reference count of lock-free shared
//! pointers). The thread that removes the session turns each remaining borrow into an ordinary
//! count. Invariants:
//!
//! - **S1** What is borrowed lives: while the pointer is in the word, the word has a count; and
//!   once it is removed, each borrower has a count.
//! - **S2** A borrow is given back once: to the word, if the pointer is still there, or else as the
//!   count that it has become.
//!
//! May contain `unsafe`: counted references lie in a word as pointers.

use crate::base::primitive::{AtomicPtr, Ordering};
use std::ptr;
use std::sync::Arc;

/// A pointer to a counted value, or null, and the number of its borrowers.
#[derive(Debug)]
pub(crate) struct Running<T> {
    word: AtomicPtr<T>,
}

/// A borrowed value. It is not given back by a drop: the borrower has to decide what happens with a
/// count that is left.
#[derive(Debug)]
pub(crate) struct Borrowed<'a, T> {
    from: &'a Running<T>,
    value: *mut T,
}

impl<T> Running<T> {
    /// Maximum number of borrowers: what fits into the bits that the alignment leaves free. One
    /// more gets `None`.
    const BORROWERS_MAX: usize = align_of::<T>() - 1;

    /// One that holds nothing.
    #[cfg(not(exectrace_loom))]
    pub(crate) const fn new() -> Self {
        Self { word: AtomicPtr::new(ptr::null_mut()) }
    }

    /// One that holds nothing, in a model.
    #[cfg(exectrace_loom)]
    pub(crate) fn new() -> Self {
        Self { word: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Stores a value that was never stored here, in place of the present one. By one thread at a
    /// time.
    pub(crate) fn set(&self, value: &Arc<T>) {
        self.clear();
        let value = Arc::into_raw(Arc::clone(value)).cast_mut();
        self.word.store(value, Ordering::Release);
    }

    /// Removes the value. Not in signal handlers: it may be the last reference.
    pub(crate) fn clear(&self) {
        let word = self.word.swap(ptr::null_mut(), Ordering::AcqRel);
        let (value, borrowers) = Self::parts(word);
        if value.is_null() {
            return;
        }
        for _ in 0..borrowers {
            // SAFETY: it wants a pointer from `into_raw` whose count is not 0: the word's own count
            // is left.
            unsafe { Arc::increment_strong_count(value) };
        }
        // SAFETY: `from_raw` wants the pointer of one `into_raw`, once: it was exchanged out.
        drop(unsafe { Arc::from_raw(value) });
    }

    /// In a forked child: forgets the value, which is the parent's.
    pub(crate) fn forget(&self) {
        self.word.store(ptr::null_mut(), Ordering::Relaxed);
    }

    /// Borrows the value, if there is one.
    pub(crate) fn borrow(&self) -> Option<Borrowed<'_, T>> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let (value, borrowers) = Self::parts(word);
            if value.is_null() || borrowers >= Self::BORROWERS_MAX {
                return None;
            }
            // `Acquire` pairs with the `Release` in `set`: the value is initialised.
            let order = (Ordering::Acquire, Ordering::Relaxed);
            let more = word.wrapping_byte_add(1);
            match self.word.compare_exchange(word, more, order.0, order.1) {
                Ok(_) => return Some(Borrowed { from: self, value }),
                Err(now) => word = now,
            }
        }
    }

    fn parts(word: *mut T) -> (*mut T, usize) {
        let borrowers = word.addr() & Self::BORROWERS_MAX;
        (word.wrapping_byte_sub(borrowers), borrowers)
    }
}

impl<T> Borrowed<'_, T> {
    /// The value.
    pub(crate) fn get(&self) -> &T {
        // SAFETY: a shared reference wants a live value: S1.
        unsafe { &*self.value }
    }

    /// A count of it, in addition to the borrow.
    pub(crate) fn count(&self) -> Arc<T> {
        // SAFETY: it wants a pointer from `into_raw` whose count is not 0: S1.
        unsafe { Arc::increment_strong_count(self.value) };
        // SAFETY: `from_raw` wants a count that is the caller's: the one just added.
        unsafe { Arc::from_raw(self.value) }
    }

    /// Gives it back. If the value was removed meanwhile, returns the count that the borrow has
    /// become, which may be the last one.
    #[must_use = "the last count is not to be dropped in a signal handler"]
    pub(crate) fn give_back(self) -> Option<Arc<T>> {
        let mut word = self.from.word.load(Ordering::Relaxed);
        while Running::parts(word).0 == self.value {
            // `Release` pairs with the swap in `clear`: this borrower is done with the value (S2).
            let order = (Ordering::Release, Ordering::Relaxed);
            let less = word.wrapping_byte_sub(1);
            match self.from.word.compare_exchange(word, less, order.0, order.1) {
                Ok(_) => return None,
                Err(now) => word = now,
            }
        }
        // SAFETY: `from_raw` wants a count that is the caller's: `clear` has made one of this
        // borrow (S2).
        Some(unsafe { Arc::from_raw(self.value) })
    }
}
