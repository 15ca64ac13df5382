//! What recording threads no longer use, until other code can free it.
//!
//! A thread gives up its state of an earlier trace with its next event, which may come in a signal
//! handler that has interrupted the allocator: freeing there could wait for ever. So the last owner
//! puts the state here, without a lock, and ordinary code calls [`empty`]: the collector with every
//! generation, threads that start or stop a trace, and threads that end.
//!
//! May contain `unsafe`: what waits here is owned through raw pointers.

use crate::base::primitive::{AtomicPtr, Ordering};
use crate::buffer::arena::Arena;
use crate::buffer::inbox::Inbox;
use crate::session::Session;
use crate::thread::RecordingThread;
use crate::thread::thread_ref;
use std::ptr;
use std::sync::Arc;

/// Maximum number of sessions here. Each has ended while a thread failed to attach to it.
const SESSIONS_MAX: usize = 64;

static THREADS: Inbox<RecordingThread> = Inbox::new();
static ARENAS: Inbox<Arena> = Inbox::new();
static SESSIONS: [AtomicPtr<Session>; SESSIONS_MAX] =
    [const { AtomicPtr::new(ptr::null_mut()) }; SESSIONS_MAX];

/// Takes a state to which there is no reference any more.
///
/// # Safety
/// The caller owns it, and it came from `thread_ref`.
pub(crate) unsafe fn put_thread(thread: *mut RecordingThread) {
    // SAFETY: `push` wants an owned item that is in no inbox and lives on: the caller's promise; a
    // session's inbox would hold a reference.
    unsafe { THREADS.push(thread) };
}

/// Takes an arena that is unmapped and has no batches.
///
/// # Safety
/// The caller owns it, and it came from `Box::into_raw`.
pub(crate) unsafe fn put_arena(arena: *mut Arena) {
    // SAFETY: as in `put_thread`.
    unsafe { ARENAS.push(arena) };
}

/// Takes a reference to a session, which may be the last. It is leaked if there is no place for it.
pub(crate) fn put_session(session: Arc<Session>) {
    let session = Arc::into_raw(session).cast_mut();
    let order = (Ordering::Release, Ordering::Relaxed);
    for place in &SESSIONS {
        if place.compare_exchange(ptr::null_mut(), session, order.0, order.1).is_ok() {
            return;
        }
    }
}

/// Frees everything that waits. Not in signal handlers; the caller has suppressed recording.
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

/// In a forked child: leaks what is here, as the parent's threads may have been adding to it, or
/// freeing it.
pub(crate) fn forget() {
    for place in &SESSIONS {
        place.store(ptr::null_mut(), Ordering::Relaxed);
    }
    let (_, _) = (THREADS.take(), ARENAS.take());
}
