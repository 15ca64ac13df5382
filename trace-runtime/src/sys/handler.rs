//! Whether the calling thread may be in a signal handler.
//!
//! The recorder allocates and waits only where the thread is certainly not in one: a handler may
//! have interrupted the allocator, or a thread that the collector waits for. The kernel does not
//! say where a thread is, but a handler's own signal is blocked while it runs, unless it was
//! registered with `SA_NODEFER`. So a thread that has any signal blocked may be in a handler, and
//! while a handler with `SA_NODEFER` is registered, so may every thread. The collector looks for
//! such handlers at the start and with every generation, and a thread looks again before it
//! concludes that it is in no handler, as one may have been registered since. A thread that blocks
//! signals for other reasons is treated as if it were in a handler: it does without what is
//! optional.
//!
//! May contain `unsafe`: it asks for the thread's mask and for handlers.

#[cfg(unix)]
mod ask {
    use crate::base::primitive::Ordering;
    use crate::base::primitive::global::AtomicBool;
    use crate::sys::errno;
    use std::mem::MaybeUninit;

    /// Numbers of signals on Linux: 1 to 64, two of which libc keeps to itself.
    const SIGNALS_MAX: libc::c_int = 64;

    /// There is a handler that does not block its own signal.
    static NODEFER: AtomicBool = AtomicBool::new(false);

    /// Looks for handlers that do not block their own signal.
    pub(crate) fn look() {
        let is_found = errno::keeping(|| (1..=SIGNALS_MAX).any(is_nodefer));
        NODEFER.store(is_found, Ordering::Relaxed);
    }

    fn is_nodefer(signal: libc::c_int) -> bool {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: `sigaction` wants no new action, and a place for the present one.
        let failed = unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) };
        // SAFETY: zeros are a valid action, and so is what was written.
        let action = unsafe { action.assume_init() };
        // A handler with `SA_RESETHAND` is unset while it runs; its flags stay.
        let is_handled = ![libc::SIG_DFL, libc::SIG_IGN].contains(&action.sa_sigaction)
            || action.sa_flags & libc::SA_RESETHAND != 0;
        failed == 0 && is_handled && action.sa_flags & libc::SA_NODEFER != 0
    }

    /// Whether the calling thread may be in a handler; `false` is certain. May be called in
    /// handlers.
    pub(crate) fn may_be_in_one() -> bool {
        NODEFER.load(Ordering::Relaxed) || blocks_any() || {
            // A system call for each signal: some 16 us.
            look();
            NODEFER.load(Ordering::Relaxed)
        }
    }

    fn blocks_any() -> bool {
        let mut blocked = MaybeUninit::<libc::sigset_t>::zeroed();
        let ask = libc::SIG_BLOCK;
        // SAFETY: `pthread_sigmask` wants no change, and a place for the present mask.
        let failed = unsafe { libc::pthread_sigmask(ask, std::ptr::null(), blocked.as_mut_ptr()) };
        // SAFETY: zeros are a valid set, and so is what was written.
        let blocked = unsafe { blocked.assume_init() };
        // SAFETY: `sigismember` wants a set and a number; it returns an error for numbers of no
        // signal.
        failed != 0 || (1..=SIGNALS_MAX).any(|it| unsafe { libc::sigismember(&blocked, it) } == 1)
    }
}

#[cfg(unix)]
pub(crate) use ask::{look, may_be_in_one};

/// There are no handlers that interrupt.
#[cfg(not(unix))]
pub(crate) fn look() {}

/// There are no handlers that interrupt.
#[cfg(not(unix))]
pub(crate) fn may_be_in_one() -> bool {
    false
}
