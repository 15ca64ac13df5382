//! What recording threads have let go of, until somebody frees it for whom that is safe.
//!
//! A thread lets go of its state of an earlier trace with its next event, which may come in a
//! signal handler that has interrupted the allocator: to free anything there could wait for ever.
//! So the last to let go puts it here, without a lock, and [`empty`] is called from ordinary code:
//! by the collector at every cut, by whoever starts or stops a trace, and by threads that end.
//!
//! May contain `unsafe`: what waits here is owned through raw pointers.

use crate::base::primitive::{AtomicPtr, Ordering};
use crate::buffer::arena::Arena;
use crate::buffer::inbox::Inbox;
use crate::session::Session;
use crate::thread::Thread;
use crate::thread::thread_ref;
use std::ptr;
use std::sync::Arc;

/// Sessions that can wait here. Each is one that ended while a thread was failing to attach to it.
const SESSIONS_MAX: usize = 64;

static THREADS: Inbox<Thread> = Inbox::new();
static ARENAS: Inbox<Arena> = Inbox::new();
static SESSIONS: [AtomicPtr<Session>; SESSIONS_MAX] =
    [const { AtomicPtr::new(ptr::null_mut()) }; SESSIONS_MAX];

/// Nobody refers to this state any more.
///
/// # Safety
/// The caller owns it, and it came from `thread_ref`.
pub(crate) unsafe fn put_thread(thread: *mut Thread) {
    // SAFETY: `push` wants an owned item that is in no inbox and stays: the caller's promise; a
    // session's inbox holds references.
    unsafe { THREADS.push(thread) };
}

/// This arena is unmapped and has no batches.
///
/// # Safety
/// The caller owns it, and it came from `Box::into_raw`.
pub(crate) unsafe fn put_arena(arena: *mut Arena) {
    // SAFETY: as in `put_thread`.
    unsafe { ARENAS.push(arena) };
}

/// This may be the last reference to the session. It is leaked if there is no place for it.
pub(crate) fn put_session(session: Arc<Session>) {
    let session = Arc::into_raw(session).cast_mut();
    let order = (Ordering::Release, Ordering::Relaxed);
    for place in &SESSIONS {
        if place.compare_exchange(ptr::null_mut(), session, order.0, order.1).is_ok() {
            return;
        }
    }
}

/// Frees everything that waits. Not in signal handlers; the caller is quiet.
pub(crate) fn empty() {
    for thread in THREADS.take() {
        // SAFETY: `free` wants a state without references: only such are put here, and it is ours.
        unsafe { thread_ref::free(thread) };
    }
    for arena in ARENAS.take() {
        // SAFETY: `from_raw` wants the pointer of `into_raw`, once: only such are put here.
        drop(unsafe { Box::from_raw(arena) });
    }
    for place in &SESSIONS {
        let session = place.swap(ptr::null_mut(), Ordering::Acquire);
        if !session.is_null() {
            // SAFETY: `from_raw` wants the pointer of `into_raw`, once: it was exchanged out.
            drop(unsafe { Arc::from_raw(session) });
        }
    }
}

/// In a forked child: what waits is left alone, for the parent's threads may have been about to add
/// to it, or to free it.
pub(crate) fn forget() {
    for place in &SESSIONS {
        place.store(ptr::null_mut(), Ordering::Relaxed);
    }
    let (_, _) = (THREADS.take(), ARENAS.take());
}
