//! The way from running code to its thread's recording state, and the end of threads.
//!
//! The pointer is a plain thread-local without destructor, so it can be read at any time, also from
//! destructors of other thread-locals. A POSIX thread key's destructor, which runs after those of
//! Rust's thread-locals, lets go of it; an event that comes later still attaches the thread anew,
//! and the key's destructor runs again. Invariants:
//!
//! - **L1** The pointer is null or one from `Arc::into_raw` that this thread's key owns.
//! - **L2** While `quiet` is not 0, the recorder itself is running on this thread: nothing is
//!   recorded, and annotations that would have been are counted.
//! - **L3** While `busy` is set, the state is in use by the code that set it. Whoever comes then is
//!   a signal's handler (or an allocator that is traced): it records nothing, and is counted. The
//!   pointer is read only after the mark is set, so no handler can have replaced it in between.
//!
//! May contain `unsafe`: it keeps a counted reference in a thread-local pointer.

use crate::memory;
use crate::memory::BATCH_BYTES_MIN;
use crate::primitive::Ordering;
use crate::primitive::global::{AtomicBool, AtomicPtr, AtomicU64, compiler_fence};
use crate::recorder;
use crate::refill::WAIT;
use crate::thread::{Identity, Thread};
use std::ptr;
use std::sync::Arc;
use trace_format::id::ThreadId;

/// Atomics, for signal handlers on the same thread look at them; nobody else does.
struct Local {
    thread: AtomicPtr<Thread>,
    busy: AtomicBool,
    /// 0, or one more than the events lost to quiet.
    quiet: AtomicU64,
}

thread_local! {
    static LOCAL: Local = const {
        Local {
            thread: AtomicPtr::new(ptr::null_mut()),
            busy: AtomicBool::new(false),
            quiet: AtomicU64::new(0),
        }
    };
}

/// Runs `act` with this thread's state, if there is one to record into or it can be had.
#[inline(always)]
pub(crate) fn with<T>(act: impl FnOnce(&Thread) -> T, otherwise: T) -> T {
    LOCAL.with(|local| {
        if local.is_busy() {
            local.lose();
            return otherwise;
        }
        local.set_busy();
        let mut thread = local.thread.load(Ordering::Relaxed);
        if thread.is_null() {
            thread = attach(Arrival::default());
            if thread.is_null() {
                local.set_idle();
                return otherwise;
            }
        }
        // SAFETY: a shared reference wants a live `Thread`: L1, and nothing ends that before the
        // mark is taken off (L3).
        let result = act(unsafe { &*thread });
        local.set_idle();
        result
    })
}

/// As [`with`], for what makes sense only if something was recorded before. Whether `act` has run.
#[inline(always)]
pub(crate) fn with_attached(act: impl FnOnce(&Thread)) -> bool {
    LOCAL.with(|local| {
        if local.is_busy() {
            // What began before the mark was set does not end while it is: ends nest.
            return false;
        }
        local.set_busy();
        let thread = local.thread.load(Ordering::Relaxed);
        if !thread.is_null() {
            // SAFETY: as in `with`.
            act(unsafe { &*thread });
        }
        local.set_idle();
        !thread.is_null()
    })
}

impl Local {
    #[inline(always)]
    fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed)
    }

    /// A plain store: it is for this thread alone. The fence keeps the compiler from moving work
    /// in front of it.
    #[inline(always)]
    fn set_busy(&self) {
        self.busy.store(true, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
    }

    #[inline(always)]
    fn set_idle(&self) {
        compiler_fence(Ordering::SeqCst);
        self.busy.store(false, Ordering::Relaxed);
    }

    fn is_quiet(&self) -> bool {
        self.quiet.load(Ordering::Relaxed) > 0
    }

    /// An event is lost to the recorder's own work.
    #[cold]
    #[inline(never)]
    fn lose(&self) {
        let thread = self.thread.load(Ordering::Relaxed);
        if self.is_quiet() {
            self.quiet.fetch_add(1, Ordering::Relaxed);
        } else if thread.is_null() {
            recorder::lose_unattached(1);
        } else {
            // SAFETY: a shared reference wants a live `Thread`: L1.
            unsafe { &*thread }.interrupted.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// How a thread comes to be attached.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Arrival {
    /// By whom it was made, if that was seen.
    pub(crate) spawn: Option<Spawn>,
    /// What the call has returned that the thread was in since before the trace, if it was.
    #[cfg(os_hooks)]
    pub(crate) result: i64,
}

/// How a thread was made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spawn {
    pub(crate) parent: ThreadId,
    pub(crate) stack: u32,
    pub(crate) entry: u64,
    /// All threads that were there before the trace were known by then.
    pub(crate) is_known: bool,
}

/// Makes this thread known to the running session; null if there is none or it is quiet here. The
/// caller has set the mark.
#[cold]
#[inline(never)]
fn attach(arrival: Arrival) -> *mut Thread {
    LOCAL.with(|local| {
        if local.is_quiet() {
            local.quiet.fetch_add(1, Ordering::Relaxed);
            return ptr::null_mut();
        }
        let found = {
            let _quiet = quiet();
            let is_new = arrival.spawn.is_some_and(|spawn| spawn.is_known);
            crate::os::claim(is_new).or_else(|| join(arrival.spawn)).map(|thread| {
                #[cfg(os_hooks)]
                // SAFETY: nobody else has this state, and it will be ours.
                unsafe {
                    thread.end_call_before(arrival.result);
                }
                crate::naming::tell_given(&thread);
                let thread = Arc::into_raw(thread);
                at_exit(thread);
                thread.cast_mut()
            })
        };
        let thread = found.unwrap_or(ptr::null_mut());
        if !thread.is_null() {
            local.thread.store(thread, Ordering::Relaxed);
        }
        thread
    })
}

/// Attaches this thread, if it is not: a thread that has just begun, or has come back from a call
/// that it was in when the trace began. Not counted if it can't be.
#[cfg(os_hooks)]
pub(crate) fn arrive(arrival: Arrival) {
    LOCAL.with(|local| {
        if local.is_busy() || local.is_quiet() {
            return;
        }
        local.set_busy();
        release_if_ended(local);
        if local.thread.load(Ordering::Relaxed).is_null() {
            attach(arrival);
        }
        local.set_idle();
    });
}

/// Whether the recorder itself is at work on this thread.
#[inline(always)]
pub(crate) fn is_quiet() -> bool {
    LOCAL.with(Local::is_quiet)
}

fn join(spawn: Option<Spawn>) -> Option<Arc<Thread>> {
    let session = recorder::current()?;
    crate::stack::prepare_thread();
    let mut identity = Identity::default();
    if let Some(spawn) = spawn {
        // Rust's own state of the thread is not there yet: to ask for its name would make one.
        identity = Identity { os_id: system_id(), spawn, ..identity };
    } else {
        (identity.os_id, identity.name) = own_identity();
    }
    loop {
        let now = crate::clock::ticks();
        let thread = session.join(|id| {
            let batch = memory::allocate(BATCH_BYTES_MIN)?;
            let id = ThreadId(id);
            let thread = Thread::new(Arc::clone(&session), id, batch, now, identity.clone());
            Some(Arc::new(thread))
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
    LOCAL.with(|local| {
        if local.is_busy() || local.is_quiet() {
            return false;
        }
        local.set_busy();
        let attached = release_if_ended(local) && !attach(Arrival::default()).is_null();
        local.set_idle();
        attached
    })
}

/// Lets go of the state if it is of a session that has ended. The caller has set the mark.
fn release_if_ended(local: &Local) -> bool {
    let thread = local.thread.load(Ordering::Relaxed);
    // SAFETY: a shared reference wants a live `Thread`: L1.
    let is_stale = !thread.is_null() && unsafe { &*thread }.session.is_ended();
    if is_stale {
        release(local);
    }
    is_stale
}

/// In a forked child: the state belongs to the parent's trace. Its memory is left alone, for
/// locks and the collector of the parent do not exist here.
pub(crate) fn abandon() {
    LOCAL.with(|local| {
        local.thread.store(ptr::null_mut(), Ordering::Relaxed);
        local.set_idle();
    });
}

/// The thread ends. If it was cancelled in the recorder, the mark is still set; it is taken off.
fn detach() {
    LOCAL.with(|local| {
        local.set_busy();
        release(local);
        local.set_idle();
    });
}

/// Lets go of the state. The caller has set the mark.
fn release(local: &Local) {
    let thread = local.thread.swap(ptr::null_mut(), Ordering::Relaxed);
    if thread.is_null() {
        return;
    }
    // The last one frees memory, which an allocator that is traced would record.
    let _quiet = quiet();
    // SAFETY: `from_raw` wants the pointer of one `into_raw`, once: L1, and it is null now.
    let thread = unsafe { Arc::from_raw(thread) };
    thread.exited.store(crate::clock::ticks(), Ordering::Release);
}

/// Silence on this thread while it lives.
#[derive(Debug)]
pub(crate) struct Quiet {
    outermost: bool,
    hidden: *mut Thread,
}

/// The recorder's own work begins: allocation, which may be the user's code, and writing.
pub(crate) fn quiet() -> Quiet {
    LOCAL.with(|local| {
        let outermost = !local.is_quiet();
        if outermost {
            local.quiet.store(1, Ordering::Relaxed);
        }
        // From here on no signal's handler replaces the pointer: `reattach` looks.
        compiler_fence(Ordering::SeqCst);
        Quiet { outermost, hidden: local.thread.swap(ptr::null_mut(), Ordering::Relaxed) }
    })
}

impl Drop for Quiet {
    fn drop(&mut self) {
        LOCAL.with(|local| {
            local.thread.store(self.hidden, Ordering::Relaxed);
            compiler_fence(Ordering::SeqCst);
            if self.outermost {
                recorder::lose_unattached(local.quiet.swap(0, Ordering::Relaxed) - 1);
            }
        });
    }
}

/// The system's id and name of the calling thread.
fn own_identity() -> (u64, String) {
    (system_id(), crate::naming::given().or_else(own_name).unwrap_or_default())
}

/// The calling thread's name, as Rust has it.
pub(crate) fn own_name() -> Option<String> {
    if is_nameless() { None } else { std::thread::current().name().map(str::to_owned) }
}

/// Whether the calling thread has no name, or none any more: in a destructor of one of the system's
/// thread keys Rust's own state may be gone, and `thread::current` would panic there. A scope knows
/// the thread without panicking, and tells when it is printed.
fn is_nameless() -> bool {
    let scope = std::thread::scope(|scope| format!("{scope:?}"));
    scope.contains("main_thread: ") && !scope.contains("name: Some(")
}

#[cfg(target_os = "linux")]
pub(crate) fn system_id() -> u64 {
    // Not `gettid`: std refers to that weakly, so in a static program that is optimised as a whole
    // it need not be there.
    //
    // SAFETY: the call takes nothing and cannot fail.
    let id = unsafe { libc::syscall(libc::SYS_gettid) };
    id as u64
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn system_id() -> u64 {
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
