//! Notices the end of threads: `local::detach` runs when one ends, after the destructors of Rust's
//! thread-locals where the system can do that.
//!
//! May contain `unsafe`: it makes and sets keys of POSIX threads.

use crate::thread::local::detach;

#[cfg(not(unix))]
pub(crate) use other::{prepare, watch};
#[cfg(unix)]
pub(crate) use posix::{prepare, watch};

#[cfg(unix)]
mod posix {
    use super::detach;
    use crate::base::primitive::Ordering;
    use crate::base::primitive::global::AtomicUsize;
    use std::ptr;

    /// Setting a key of a greater number may allocate, the first time on a thread: glibc has room
    /// for the first 32 in a thread's descriptor. Elsewhere there is room for all.
    const IN_DESCRIPTOR: usize = if cfg!(target_env = "gnu") { 32 } else { usize::MAX };

    /// One more than the key; 0 until there is one. If the system has no more of them, ends of
    /// threads are not noticed, and their memory stays until the trace stops.
    static KEY: AtomicUsize = AtomicUsize::new(0);

    extern "C" fn exiting(_: *mut libc::c_void) {
        detach();
    }

    /// Makes the key, if there is none. As early as possible, so that its number is small.
    pub(crate) fn prepare() {
        if KEY.load(Ordering::Acquire) != 0 {
            return;
        }
        let mut key = 0;
        // SAFETY: `pthread_key_create` wants a valid place for the key and a function that may be
        // called on any thread: `exiting` touches only its own thread's state.
        if unsafe { libc::pthread_key_create(&raw mut key, Some(exiting)) } != 0 {
            return;
        }
        // No `OnceLock`, which waits: a child that was forked meanwhile would wait for ever.
        let order = (Ordering::AcqRel, Ordering::Acquire);
        if KEY.compare_exchange(0, key as usize + 1, order.0, order.1).is_err() {
            // SAFETY: `pthread_key_delete` wants a key that exists, and nobody else knows it.
            unsafe { libc::pthread_key_delete(key) };
        }
    }

    /// [`detach`] will run when this thread ends. False if that can't be done without allocating.
    pub(crate) fn watch(may_allocate: bool) -> bool {
        let Some(key) = KEY.load(Ordering::Acquire).checked_sub(1) else { return true };
        if key >= IN_DESCRIPTOR && !may_allocate {
            return false;
        }
        // Never null, for nothing would be called then.
        let value = ptr::without_provenance::<libc::c_void>(1);
        // SAFETY: `pthread_setspecific` wants a key that exists: it is never deleted.
        unsafe { libc::pthread_setspecific(key as libc::pthread_key_t, value) };
        true
    }
}

#[cfg(not(unix))]
mod other {
    use super::detach;

    struct Exiting;

    impl Drop for Exiting {
        fn drop(&mut self) {
            detach();
        }
    }

    pub(crate) fn prepare() {}

    pub(crate) fn watch(_: bool) -> bool {
        thread_local!(static EXITING: Exiting = const { Exiting });
        // While it is being destroyed there is nobody left to tell.
        let _ = EXITING.try_with(|_| ());
        true
    }
}
