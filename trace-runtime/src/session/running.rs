//! The session that threads may attach to, found without a lock and without counting anybody down:
//! whoever looks for it may be a signal handler, which must not be the last to let go of it.
//!
//! The pointer's low bits count who is borrowing (the split reference count of lock-free shared
//! pointers). Whoever takes the session off turns the borrowers that are left into ordinary counts,
//! one each. Invariants:
//!
//! - **S1** What is borrowed lives: while the pointer is here, so is its own count; and once it is
//!   taken off, each borrower has a count.
//! - **S2** A borrow is given back once: to the word, if the pointer is still there, or as the
//!   count that it has become.
//!
//! May contain `unsafe`: counted references lie in a word as pointers.

use crate::base::primitive::{AtomicPtr, Ordering};
use std::ptr;
use std::sync::Arc;

/// A counted thing, or nothing, with the number of its borrowers.
#[derive(Debug)]
pub(crate) struct Running<T> {
    word: AtomicPtr<T>,
}

/// A thing that is borrowed. Giving it back is not left to a drop: what is to be done with a count
/// is the borrower's business.
#[derive(Debug)]
pub(crate) struct Borrowed<'a, T> {
    from: &'a Running<T>,
    thing: *mut T,
}

impl<T> Running<T> {
    /// Borrowers there can be: what fits into the bits that the alignment leaves free. One more
    /// finds nothing.
    const BORROWERS_MAX: usize = align_of::<T>() - 1;

    /// Nothing.
    #[cfg(not(exectrace_loom))]
    pub(crate) const fn new() -> Self {
        Self { word: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Nothing, in a model.
    #[cfg(exectrace_loom)]
    pub(crate) fn new() -> Self {
        Self { word: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Puts a thing here that was never here, in place of what is. By one thread at a time.
    pub(crate) fn set(&self, thing: &Arc<T>) {
        self.clear();
        let thing = Arc::into_raw(Arc::clone(thing)).cast_mut();
        self.word.store(thing, Ordering::Release);
    }

    /// Takes off what is here. Not in signal handlers: it may be the last reference.
    pub(crate) fn clear(&self) {
        let word = self.word.swap(ptr::null_mut(), Ordering::AcqRel);
        let (thing, borrowers) = Self::parts(word);
        if thing.is_null() {
            return;
        }
        for _ in 0..borrowers {
            // SAFETY: it wants a pointer from `into_raw` whose count is not 0: our own is left.
            unsafe { Arc::increment_strong_count(thing) };
        }
        // SAFETY: `from_raw` wants the pointer of one `into_raw`, once: it was exchanged out.
        drop(unsafe { Arc::from_raw(thing) });
    }

    /// In a forked child: what is here is the parent's.
    pub(crate) fn forget(&self) {
        self.word.store(ptr::null_mut(), Ordering::Relaxed);
    }

    /// What is here, for a while.
    pub(crate) fn borrow(&self) -> Option<Borrowed<'_, T>> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let (thing, borrowers) = Self::parts(word);
            if thing.is_null() || borrowers >= Self::BORROWERS_MAX {
                return None;
            }
            // `Acquire` pairs with the `Release` in `set`: the thing is made.
            let order = (Ordering::Acquire, Ordering::Relaxed);
            let more = word.wrapping_byte_add(1);
            match self.word.compare_exchange(word, more, order.0, order.1) {
                Ok(_) => return Some(Borrowed { from: self, thing }),
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
    /// The thing.
    pub(crate) fn get(&self) -> &T {
        // SAFETY: a shared reference wants a live thing: S1.
        unsafe { &*self.thing }
    }

    /// A count of it, beside the borrow.
    pub(crate) fn count(&self) -> Arc<T> {
        // SAFETY: it wants a pointer from `into_raw` whose count is not 0: S1.
        unsafe { Arc::increment_strong_count(self.thing) };
        // SAFETY: `from_raw` wants a count that is the caller's: the one just added.
        unsafe { Arc::from_raw(self.thing) }
    }

    /// Gives it back. The count that the borrow has become, if the thing was taken off meanwhile:
    /// it may be the last one.
    #[must_use = "the last count is not to be dropped in a signal handler"]
    pub(crate) fn give_back(self) -> Option<Arc<T>> {
        let mut word = self.from.word.load(Ordering::Relaxed);
        while Running::parts(word).0 == self.thing {
            // `Release` pairs with the swap in `clear`: we are done with the thing (S2).
            let order = (Ordering::Release, Ordering::Relaxed);
            let less = word.wrapping_byte_sub(1);
            match self.from.word.compare_exchange(word, less, order.0, order.1) {
                Ok(_) => return None,
                Err(now) => word = now,
            }
        }
        // SAFETY: `from_raw` wants a count that is the caller's: `clear` has made one of this
        // borrow (S2).
        Some(unsafe { Arc::from_raw(self.thing) })
    }
}
