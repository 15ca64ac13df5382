//! Counted references to a thread's state. Its thread, the collector and tables hold them.
//!
//! Not an `Arc`: a state is made with a thread's first event in a trace, and given up with its
//! first event in the next. Either may come in a signal handler that has interrupted the allocator.
//! So a state lies in pages from the system, and the last owner does not free it, but puts it where
//! ordinary code does (`limbo`).
//!
//! - **P1** A state lives while there is a reference to it; the one that gives up the last
//!   reference owns it.
//!
//! May contain `unsafe`: references are raw pointers.

use crate::base::primitive::Ordering;
use crate::buffer::memory::pages;
use crate::thread::RecordingThread;
use std::ops::Deref;
use std::ptr::NonNull;

/// A counted reference.
#[derive(Debug)]
pub(crate) struct ThreadRef(NonNull<RecordingThread>);

// SAFETY: `Send` and `Sync` want that the state may be used and freed on any thread: it is both.
unsafe impl Send for ThreadRef {}
// SAFETY: as above.
unsafe impl Sync for ThreadRef {}

/// Memory for a state that is not written yet.
#[derive(Debug)]
pub(crate) struct StateRoom(NonNull<RecordingThread>);

impl StateRoom {
    /// Memory from the system; `None` if it has none.
    pub(crate) fn new() -> Option<Self> {
        NonNull::new(pages::map(size_of::<RecordingThread>())?.cast()).map(Self)
    }

    /// Makes it a state, with one reference.
    pub(crate) fn fill(self, thread: RecordingThread) -> ThreadRef {
        // SAFETY: `write` wants memory for a state, aligned, and ours alone: new pages are that.
        unsafe { self.0.write(thread) };
        ThreadRef(self.0)
    }
}

impl ThreadRef {
    /// The pointer, with the count.
    pub(crate) fn into_raw(self) -> *mut RecordingThread {
        std::mem::ManuallyDrop::new(self).0.as_ptr()
    }

    /// # Safety
    /// The pointer came from [`ThreadRef::into_raw`], once.
    pub(crate) unsafe fn from_raw(thread: *mut RecordingThread) -> Self {
        // SAFETY: `new_unchecked` wants a pointer that is not null: the caller's promise.
        Self(unsafe { NonNull::new_unchecked(thread) })
    }
}

impl Clone for ThreadRef {
    fn clone(&self) -> Self {
        // As in `Arc`: a new reference comes from one that is there.
        self.references.fetch_add(1, Ordering::Relaxed);
        Self(self.0)
    }
}

impl Deref for ThreadRef {
    type Target = RecordingThread;

    fn deref(&self) -> &RecordingThread {
        // SAFETY: a shared reference wants a live state: P1.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for ThreadRef {
    fn drop(&mut self) {
        // `AcqRel`: the last one sees that all others are done (P1).
        if self.references.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        // SAFETY: `put_thread` wants an owned state: there is no other reference (P1).
        #[cfg(not(exectrace_loom))]
        unsafe {
            crate::thread::limbo::put_thread(self.0.as_ptr());
        }
        // SAFETY: `free` wants the same.
        #[cfg(exectrace_loom)]
        unsafe {
            free(self.0.as_ptr());
        }
    }
}

/// Frees a state and its batches. Not in signal handlers: this may free its session, too.
///
/// # Safety
/// The caller owns the state, to which there is no reference.
pub(crate) unsafe fn free(thread: *mut RecordingThread) {
    // SAFETY: it wants a live state, owned: the caller's promise.
    unsafe { thread.drop_in_place() };
    // SAFETY: `unmap` wants pages from `map`, owned and unused: it is no state any more.
    unsafe { pages::unmap(thread.cast(), size_of::<RecordingThread>()) };
}
