//! Attaching a thread to the running session, and the end of threads.
//!
//! A thread's first event, of its life or of a trace, may come in a signal handler that has
//! interrupted the allocator. So attaching allocates nothing, frees nothing, registers no
//! destructor, and takes no lock: the session is found in a word (`running`), the state and its
//! first batch lie in pages from the system, the collector gets the thread by a list (`session`),
//! and what is no longer used is freed by other code (`limbo`). What can't be done without
//! allocating is done only where the thread is certainly not in a handler (`handler`): at once, or
//! when it next opens a batch ([`finish`]).
//!
//! A POSIX thread key's destructor, which runs after those of Rust's thread-locals, detaches the
//! thread; an event that comes later still attaches it anew, and the key's destructor runs again.
//!
//! Elsewhere: the pointer to a thread's state, and the marks on a thread (`local`).
//!
//! May contain `unsafe`: it refers to states by raw pointers.

use crate::base::primitive::Ordering;
use crate::buffer::memory;
use crate::buffer::memory::BATCH_BYTES_MIN;
use crate::session::Session;
use crate::session::process;
use crate::sys::handler;
use crate::thread::exit;
use crate::thread::local::{InRecorder, Local, here, release, suppress, system_id};
use crate::thread::naming;
use crate::thread::refill::{Patience, WAIT};
use crate::thread::thread_ref::{StateRoom, ThreadRef};
use crate::thread::{RecordingThread, ThreadIdentity};
use std::ptr;
use trace_format::id::ThreadId;

/// Why a thread is attached.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Arrival {
    /// How it was made, if that was seen.
    pub(crate) spawn: Option<ThreadSpawn>,
    /// The result of the call in which the thread was since before the trace, if it was in one.
    #[cfg(os_hooks)]
    pub(crate) result: i64,
}

/// How a thread was made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ThreadSpawn {
    pub(crate) parent: ThreadId,
    pub(crate) stack: u32,
    pub(crate) entry: u64,
    /// Whether all threads from before the trace were known when this one was made.
    pub(crate) is_known: bool,
}

/// Attaches the calling thread to the running session. Returns its state; null if there is no
/// session, or if recording is suppressed on this thread. The caller has set the mark.
#[cold]
#[inline(never)]
pub(super) fn attach(arrival: Arrival, patience: Patience) -> *mut RecordingThread {
    here(|local| {
        if local.is_suppressed() {
            local.suppressed.fetch_add(1, Ordering::Relaxed);
            return ptr::null_mut();
        }
        #[cfg(all(feature = "auto", target_os = "linux", not(exectrace_loom)))]
        crate::auto::forked::go_on();
        let found = {
            let _suppressed = suppress();
            // A thread that was just made is in no handler, and need not ask.
            let may_allocate = arrival.spawn.is_some() || !handler::may_be_in_one();
            let is_new = arrival.spawn.is_some_and(|spawn| spawn.is_known);
            let claimed = crate::os::claim(is_new);
            let is_claimed = claimed.is_some();
            claimed.or_else(|| join(arrival.spawn, patience, may_allocate)).map(|thread| {
                #[cfg(os_hooks)]
                // SAFETY: no other code has this state, and it becomes ours.
                unsafe {
                    thread.end_call_before(arrival.result);
                }
                if may_allocate && is_claimed {
                    // The state was made before the thread's name could be read.
                    naming::update(&thread, naming::NameSource::Given);
                }
                let is_watched = exit::watch(may_allocate);
                thread.unfinished.store(!may_allocate || !is_watched, Ordering::Relaxed);
                thread.into_raw()
            })
        };
        let thread = found.unwrap_or(ptr::null_mut());
        if !thread.is_null() {
            local.thread.store(thread, Ordering::Relaxed);
        }
        thread
    })
}

/// If the thread was attached in a signal handler, does what was left out there, unless this is a
/// handler, too. The caller has suppressed recording.
#[inline(always)]
pub(crate) fn finish(thread: &RecordingThread) {
    if thread.unfinished.load(Ordering::Relaxed) {
        finish_now(thread);
    }
}

#[cold]
#[inline(never)]
fn finish_now(thread: &RecordingThread) {
    if handler::may_be_in_one() {
        return;
    }
    thread.unfinished.store(false, Ordering::Relaxed);
    crate::stack::prepare_thread();
    exit::watch(true);
    naming::update(thread, naming::NameSource::Rust);
}

/// Has [`detach`] run when the calling thread ends. Not in signal handlers.
pub(crate) fn watch_exit() {
    exit::prepare();
    exit::watch(true);
}

/// As [`watch_exit`], if that is possible without allocating. Allowed in signal handlers.
pub(crate) fn watch_exit_if_possible() {
    exit::watch(false);
}

/// Prepares for threads that attach. To be called before a trace begins.
pub(crate) fn prepare() {
    exit::prepare();
    handler::look();
}

/// Attaches the calling thread, if it is not attached: a thread that has just begun, or has
/// returned from a call in which it was when the trace began. If it can't be attached, that is not
/// counted.
#[cfg(os_hooks)]
pub(crate) fn arrive(arrival: Arrival) {
    here(|local| {
        if local.is_in_recorder() || local.is_suppressed() {
            return;
        }
        let mark = InRecorder::new(local);
        release_if_ended(local);
        if local.thread.load(Ordering::Relaxed).is_null() {
            attach(arrival, Patience::Never);
        }
        mark.done();
    });
}

/// Makes a state for the calling thread, in the running session.
fn join(spawn: Option<ThreadSpawn>, patience: Patience, may_allocate: bool) -> Option<ThreadRef> {
    let session = process::running()?;
    let joined = first_batch(session.get(), patience).and_then(|batch| {
        let Some(room) = StateRoom::new() else {
            // SAFETY: `free` wants an owned batch from `allocate`: it is new.
            unsafe { memory::free(batch) };
            return None;
        };
        if may_allocate {
            crate::stack::prepare_thread();
        }
        // If the thread was just made, Rust's own state of it does not exist yet, and reading its
        // name would make one.
        let name = spawn
            .map_or_else(|| naming::for_new_state(may_allocate), |_| naming::ThreadName::default());
        let identity =
            ThreadIdentity { os_id: system_id(), name, spawn: spawn.unwrap_or_default() };
        let (id, now) = (session.get().next_thread(), crate::sys::clock::ticks());
        let thread = room.fill(RecordingThread::new(session.count(), id, batch, now, identity));
        session.get().join(&thread).then_some(thread)
    });
    if let Some(count) = session.give_back() {
        #[cfg(not(exectrace_loom))]
        crate::thread::limbo::put_session(count);
        #[cfg(exectrace_loom)]
        drop(count);
    }
    if joined.is_none() {
        process::lose_unattached(1);
    }
    joined
}

/// Allocates a thread's first batch; waits for memory if `patience` allows it.
fn first_batch(session: &Session, patience: Patience) -> Option<*mut crate::buffer::batch::Batch> {
    loop {
        if session.is_ended() {
            return None;
        }
        let batch = memory::allocate(BATCH_BYTES_MIN);
        if batch.is_some() || !session.ask_for_memory() || !patience.waits_here() {
            return batch;
        }
        std::thread::sleep(WAIT);
    }
}

/// If the calling thread's state belongs to a session that has ended, gives it up, and attaches the
/// thread to the running session, if there is one. Returns whether it was attached.
#[cold]
#[inline(never)]
pub(super) fn reattach(patience: Patience) -> bool {
    here(|local| {
        if local.is_in_recorder() || local.is_suppressed() {
            return false;
        }
        let mark = InRecorder::new(local);
        let is_over = release_if_ended(local);
        let attached = is_over && !attach(Arrival::default(), patience).is_null();
        mark.done();
        attached
    })
}

/// Gives up the state if its session has ended. Returns whether it did. The caller has set the
/// mark.
fn release_if_ended(local: &Local) -> bool {
    let thread = local.thread.load(Ordering::Relaxed);
    // SAFETY: a shared reference wants a live `RecordingThread`: L1.
    let is_stale = !thread.is_null() && unsafe { &*thread }.session.is_ended();
    if is_stale {
        release(local);
    }
    is_stale
}

/// Gives up all that the calling thread has: it ends. If it was cancelled in the recorder, the mark
/// may still be set; it is cleared.
pub(crate) fn detach() {
    crate::thread::working::forget();
    crate::thread::body::forget();
    here(|local| {
        local.enter_recorder();
        release(local);
        let suppressed = suppress();
        naming::forget();
        #[cfg(not(exectrace_loom))]
        crate::thread::limbo::empty();
        drop(suppressed);
        local.leave_recorder();
    });
}

/// In a forked child: forgets the state, which belongs to the parent's trace. Its memory is leaked,
/// as the parent's locks and collector do not exist here.
pub(crate) fn abandon() {
    here(|local| {
        local.thread.store(ptr::null_mut(), Ordering::Relaxed);
        local.leave_recorder();
    });
}
