//! The way from running code to its thread's recording state, and the end of threads.
//!
//! The pointer is a plain thread-local without destructor, so it can be read at any time, also from
//! destructors of other thread-locals. A POSIX thread key's destructor, which runs after those of
//! Rust's thread-locals, lets go of it; an event that comes later still attaches the thread anew,
//! and the key's destructor runs again. Invariants:
//!
//! - **L1** `LOCAL` is null or a pointer from `Arc::into_raw` that this thread's key owns.
//! - **L2** While `QUIET` is not 0, the recorder itself is running on this thread: nothing is
//!   recorded, and what would have been is counted.
//!
//! May contain `unsafe`: it keeps a counted reference in a thread-local pointer.

use crate::memory;
use crate::memory::BATCH_BYTES_MIN;
use crate::recorder;
use crate::refill::WAIT;
use crate::thread::Thread;
use std::cell::Cell;
use std::ptr;
use std::sync::Arc;
use trace_format::id::ThreadId;

thread_local! {
    static LOCAL: Cell<*const Thread> = const { Cell::new(ptr::null()) };
    /// 0, or one more than the events lost to quiet.
    static QUIET: Cell<u64> = const { Cell::new(0) };
}

/// Runs `act` with this thread's state, if there is one to record into or it can be had.
#[inline(always)]
pub(crate) fn with<T>(act: impl FnOnce(&Thread) -> T, otherwise: T) -> T {
    let mut thread = LOCAL.get();
    if thread.is_null() {
        thread = attach();
        if thread.is_null() {
            return otherwise;
        }
    }
    // SAFETY: a shared reference wants a live `Thread`: L1, and only `detach` on this same thread
    // ends that.
    act(unsafe { &*thread })
}

/// As [`with`], for what makes sense only if something was recorded before.
#[inline(always)]
pub(crate) fn with_attached(act: impl FnOnce(&Thread)) {
    let thread = LOCAL.get();
    if !thread.is_null() {
        // SAFETY: as in `with`.
        act(unsafe { &*thread });
    }
}

/// Makes this thread known to the running session; null if there is none or it is quiet here.
#[cold]
#[inline(never)]
fn attach() -> *const Thread {
    if QUIET.get() > 0 {
        QUIET.set(QUIET.get() + 1);
        return ptr::null();
    }
    let Some(thread) = join() else { return ptr::null() };
    let thread = Arc::into_raw(thread);
    LOCAL.set(thread);
    at_exit(thread);
    thread
}

fn join() -> Option<Arc<Thread>> {
    let _quiet = quiet();
    let session = recorder::current()?;
    loop {
        let now = crate::clock::ticks();
        let thread = session.join(|id| {
            let batch = memory::allocate(BATCH_BYTES_MIN)?;
            Some(Arc::new(Thread::new(Arc::clone(&session), ThreadId(id), batch, now)))
        });
        if thread.is_some() {
            return thread;
        }
        if !session.ask_for_memory() {
            recorder::lose_unattached(1);
            return None;
        }
        std::thread::sleep(WAIT);
    }
}

/// If this thread's state is of a session that has ended, lets go of it and attaches to the
/// running one, if there is one. Whether that is so.
#[cold]
#[inline(never)]
pub(crate) fn reattach() -> bool {
    let mut stale = false;
    with_attached(|thread| stale = thread.session.is_ended());
    if stale {
        detach();
    }
    stale && !attach().is_null()
}

/// In a forked child: the state belongs to the parent's trace. Its memory is left alone, for
/// locks and the collector of the parent do not exist here.
pub(crate) fn abandon() {
    LOCAL.set(ptr::null());
}

fn detach() {
    let thread = LOCAL.replace(ptr::null());
    if thread.is_null() {
        return;
    }
    // The last one frees memory, which an allocator that is traced would record.
    let _quiet = quiet();
    // SAFETY: `from_raw` wants the pointer of one `into_raw`, once: L1, and `LOCAL` is null now.
    let thread = unsafe { Arc::from_raw(thread) };
    thread.exited.store(true, crate::primitive::Ordering::Release);
}

/// Whether the recorder itself is at work on this thread.
#[cfg(feature = "heap")]
#[inline(always)]
pub(crate) fn is_quiet() -> bool {
    QUIET.get() > 0
}

/// Silence on this thread while it lives.
#[derive(Debug)]
pub(crate) struct Quiet {
    outermost: bool,
    hidden: *const Thread,
}

/// The recorder's own work begins: allocation, which may be the user's code, and writing.
pub(crate) fn quiet() -> Quiet {
    let outermost = QUIET.get() == 0;
    if outermost {
        QUIET.set(1);
    }
    Quiet { outermost, hidden: LOCAL.replace(ptr::null()) }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        LOCAL.set(self.hidden);
        if self.outermost {
            recorder::lose_unattached(QUIET.replace(0) - 1);
        }
    }
}

/// The system's id and name of the calling thread.
pub(crate) fn identity() -> (u64, String) {
    let name = if is_nameless() { None } else { std::thread::current().name().map(str::to_owned) };
    (system_id(), name.unwrap_or_default())
}

/// Whether the calling thread has no name, or none any more: in a destructor of one of the system's
/// thread keys Rust's own state may be gone, and `thread::current` would panic there. A scope knows
/// the thread without panicking, and tells when it is printed.
fn is_nameless() -> bool {
    let scope = std::thread::scope(|scope| format!("{scope:?}"));
    scope.contains("main_thread: ") && !scope.contains("name: Some(")
}

#[cfg(target_os = "linux")]
fn system_id() -> u64 {
    // SAFETY: `gettid` takes nothing and cannot fail.
    let id = unsafe { libc::gettid() };
    id as u64
}

#[cfg(not(target_os = "linux"))]
fn system_id() -> u64 {
    0
}

#[cfg(unix)]
mod exit {
    use super::{Thread, detach};
    use std::sync::OnceLock;

    /// The key, or `None` if the system has no more of them: ends of threads are then not noticed,
    /// and their memory stays until the trace stops.
    static KEY: OnceLock<Option<libc::pthread_key_t>> = OnceLock::new();

    extern "C" fn exiting(_: *mut libc::c_void) {
        detach();
    }

    /// [`detach`] will run when this thread ends.
    pub(super) fn at_exit(thread: *const Thread) {
        let key = *KEY.get_or_init(|| {
            let mut key = 0;
            // SAFETY: `pthread_key_create` wants a valid place for the key and a function that may
            // be called on any thread: `exiting` touches only its own thread's state.
            let failed = unsafe { libc::pthread_key_create(&raw mut key, Some(exiting)) };
            (failed == 0).then_some(key)
        });
        if let Some(key) = key {
            // SAFETY: `pthread_setspecific` wants a key that exists: it is never deleted.
            unsafe { libc::pthread_setspecific(key, thread.cast()) };
        }
    }
}

#[cfg(unix)]
use exit::at_exit;

#[cfg(not(unix))]
fn at_exit(_: *const Thread) {
    struct Exiting;
    impl Drop for Exiting {
        fn drop(&mut self) {
            detach();
        }
    }
    thread_local!(static EXITING: Exiting = const { Exiting });
    // While it is being destroyed there is nobody left to tell.
    let _ = EXITING.try_with(|_| ());
}
