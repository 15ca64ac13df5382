//! Whether the calling thread may be in a signal handler.
//!
//! What may allocate or wait is done only where it is certainly not: a handler may have interrupted
//! the allocator, or whoever the collector waits for. The kernel does not say where a thread is,
//! but a handler's own signal is blocked while it runs, unless it was registered with `SA_NODEFER`.
//! So a thread that has any signal blocked may be in one, as may all while there is a handler of
//! that kind; the collector looks for those at the start and at every cut. A thread that blocks
//! signals for other reasons is taken for one in a handler as well: it does without what is
//! optional.
//!
//! May contain `unsafe`: it asks for the thread's mask and for handlers.

#[cfg(unix)]
mod ask {
    use crate::primitive::Ordering;
    use crate::primitive::global::AtomicBool;
    use std::mem::MaybeUninit;

    /// Numbers of signals on Linux: 1 to 64, two of which libc keeps to itself.
    const SIGNALS_MAX: libc::c_int = 64;

    /// There is a handler that does not block its own signal.
    static NODEFER: AtomicBool = AtomicBool::new(false);

    /// Looks for handlers that do not block their own signal.
    pub(crate) fn look() {
        NODEFER.store((1..=SIGNALS_MAX).any(is_nodefer), Ordering::Relaxed);
    }

    fn is_nodefer(signal: libc::c_int) -> bool {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: `sigaction` wants no new action, and a place for the present one.
        let failed = unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) };
        // SAFETY: zeros are an action, and so is what was written.
        let action = unsafe { action.assume_init() };
        failed == 0
            && action.sa_sigaction != libc::SIG_DFL
            && action.sa_sigaction != libc::SIG_IGN
            && action.sa_flags & libc::SA_NODEFER != 0
    }

    /// Whether the calling thread may be in a handler: false is certain. Allowed in handlers.
    pub(crate) fn may_be_in_one() -> bool {
        if NODEFER.load(Ordering::Relaxed) {
            return true;
        }
        let mut blocked = MaybeUninit::<libc::sigset_t>::zeroed();
        let ask = libc::SIG_BLOCK;
        // SAFETY: `pthread_sigmask` wants no change, and a place for the present mask.
        let failed = unsafe { libc::pthread_sigmask(ask, std::ptr::null(), blocked.as_mut_ptr()) };
        // SAFETY: zeros are a set, and so is what was written.
        let blocked = unsafe { blocked.assume_init() };
        // SAFETY: `sigismember` wants a set and a number; it refuses numbers that are none.
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
