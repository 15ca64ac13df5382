//! Notices the end of threads: `attach::detach` runs when a thread ends; where the system allows
//! it, after the destructors of Rust's thread-locals.
//!
//! May contain `unsafe`: it makes and sets keys of POSIX threads.

use crate::thread::attach::detach;

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

    /// Number of keys that can be set without allocating: glibc has room for the first 32 in a
    /// thread's descriptor, and allocates when a later one is first set. Other systems have room
    /// for all.
    const IN_DESCRIPTOR: usize = if cfg!(target_env = "gnu") { 32 } else { usize::MAX };

    /// The key plus 1; 0 until there is one. If the system has no keys left, ends of threads are
    /// not noticed, and the threads' memory stays until the trace stops.
    static KEY: AtomicUsize = AtomicUsize::new(0);

    extern "C" fn exiting(_: *mut libc::c_void) {
        detach();
    }

    /// Makes the key, if there is none. To be called as early as possible, so that its number is
    /// small.
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
        // Not a `OnceLock`, which waits: a child that was forked meanwhile would wait for ever.
        let order = (Ordering::AcqRel, Ordering::Acquire);
        if KEY.compare_exchange(0, key as usize + 1, order.0, order.1).is_err() {
            // SAFETY: `pthread_key_delete` wants a key that exists and is not used: no other code
            // knows it.
            unsafe { libc::pthread_key_delete(key) };
        }
    }

    /// Has [`detach`] run when this thread ends. Returns false if that is not possible without
    /// allocating.
    pub(crate) fn watch(may_allocate: bool) -> bool {
        let Some(key) = KEY.load(Ordering::Acquire).checked_sub(1) else { return true };
        if key >= IN_DESCRIPTOR && !may_allocate {
            return false;
        }
        // Never null: the system calls nothing for null.
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
        // It fails once the thread-local is being destroyed: the end is not noticed a second time.
        let _ = EXITING.try_with(|_| ());
        true
    }
}
