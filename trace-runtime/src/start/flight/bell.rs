//! A bell that wakes the thread that writes dumps. It may be rung in a signal handler, which may do
//! little else. Systems other than Linux have none: there that thread looks from time to time.
//!
//! May contain `unsafe`: it uses a semaphore of the system.

#[cfg(target_os = "linux")]
pub(super) use semaphore::{prepare, ring, wait};
#[cfg(not(target_os = "linux"))]
pub(super) use sleep::{prepare, ring, wait};

#[cfg(target_os = "linux")]
mod semaphore {
    use crate::base::primitive::Ordering;
    use crate::base::primitive::global::AtomicPtr;
    use crate::sys::errno;
    use std::ptr;

    /// Null until it is prepared. What it points to is never freed.
    static BELL: AtomicPtr<libc::sem_t> = AtomicPtr::new(ptr::null_mut());

    /// Makes the bell. To be called before the first thread waits.
    pub(in crate::start::flight) fn prepare() {
        if !BELL.load(Ordering::Acquire).is_null() {
            return;
        }
        // SAFETY: zeros are a valid `sem_t`, which is numbers.
        let fresh: Box<libc::sem_t> = Box::new(unsafe { std::mem::zeroed() });
        let fresh = Box::into_raw(fresh);
        // SAFETY: `sem_init` wants a place that is not in use; 0 and 0: for this process, not rung.
        unsafe { libc::sem_init(fresh, 0, 0) };
        let order = (Ordering::AcqRel, Ordering::Acquire);
        if BELL.compare_exchange(ptr::null_mut(), fresh, order.0, order.1).is_err() {
            // SAFETY: `from_raw` wants the pointer of `into_raw`: no other code has it.
            drop(unsafe { Box::from_raw(fresh) });
        }
    }

    /// Wakes the thread that waits, now or when it waits next. Keeps `errno`.
    pub(in crate::start::flight) fn ring() {
        let bell = BELL.load(Ordering::Acquire);
        if !bell.is_null() {
            errno::keeping(|| {
                // SAFETY: `sem_post` wants a semaphore that was prepared, and may be called in a
                // handler.
                unsafe { libc::sem_post(bell) };
            });
        }
    }

    /// Waits until the bell is rung, or returns if it was since the last time. May also return for
    /// no reason.
    pub(in crate::start::flight) fn wait() {
        // SAFETY: `sem_wait` wants a semaphore that was prepared, as it is before a thread waits.
        unsafe { libc::sem_wait(BELL.load(Ordering::Acquire)) };
    }
}

#[cfg(not(target_os = "linux"))]
mod sleep {
    pub(in crate::start::flight) fn prepare() {}

    pub(in crate::start::flight) fn ring() {}

    pub(in crate::start::flight) fn wait() {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
