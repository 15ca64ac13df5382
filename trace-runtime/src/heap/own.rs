//! A thread's way to its slot of the counters, which it gives back when it ends.
//!
//! The thread-locals have no destructors, so they can be read at any time. The destructor of a
//! POSIX thread key gives the slot back; later allocations of that thread are counted in the shared
//! slot, as on systems without such keys.
//!
//! Nothing here allocates through Rust's global allocator, which would call this again; if the
//! system does so for us, the thread has no slot meanwhile.
//!
//! May contain `unsafe`: it calls the system's thread keys.

use super::COUNTERS;
use super::count::{CountSlot, Crossing};
use std::cell::Cell;

thread_local! {
    /// This thread's slot, if it has one.
    static SLOT: Cell<Option<&'static CountSlot>> = const { Cell::new(None) };
    /// This thread uses the shared slot: for good, or while it claims one.
    static SHARES: Cell<bool> = const { Cell::new(false) };
}

/// Counts an allocation of the calling thread. Returns its slot and the crossing, if the slot
/// stops.
#[inline(always)]
pub(super) fn allocated(bytes: u64) -> Option<(&'static CountSlot, Crossing)> {
    match SLOT.get() {
        Some(slot) => slot.allocated(bytes).map(|crossing| (slot, crossing)),
        None => allocated_first(bytes),
    }
}

/// Counts a free of the calling thread.
#[inline(always)]
pub(super) fn freed(bytes: u64) {
    match SLOT.get() {
        Some(slot) => slot.freed(bytes),
        None => freed_first(bytes),
    }
}

#[cold]
#[inline(never)]
fn allocated_first(bytes: u64) -> Option<(&'static CountSlot, Crossing)> {
    let (slot, crossing) = match claim() {
        Some(slot) => (slot, slot.allocated(bytes)),
        None => (&COUNTERS.shared, COUNTERS.shared.allocated_together(bytes)),
    };
    crossing.map(|crossing| (slot, crossing))
}

#[cold]
#[inline(never)]
fn freed_first(bytes: u64) {
    match claim() {
        Some(slot) => slot.freed(bytes),
        None => COUNTERS.shared.freed_together(bytes),
    }
}

fn claim() -> Option<&'static CountSlot> {
    if SHARES.replace(true) {
        return None;
    }
    let (index, slot) = COUNTERS.claim()?;
    if !exit::at_exit(index) {
        COUNTERS.release(index);
        return None;
    }
    SLOT.set(Some(slot));
    SHARES.set(false);
    Some(slot)
}

/// Gives the slot back: the thread ends. What it still allocates and frees goes to the shared slot.
#[cfg(unix)]
fn exiting(index: usize) {
    SHARES.set(true);
    SLOT.set(None);
    COUNTERS.release(index);
}

#[cfg(unix)]
mod exit {
    use crate::base::primitive::Ordering;
    use crate::base::primitive::global::AtomicUsize;
    use std::ptr;

    /// The key plus 1; 0 until there is one.
    static KEY: AtomicUsize = AtomicUsize::new(0);

    extern "C" fn exiting(index: *mut libc::c_void) {
        super::exiting(index.addr() - 1);
    }

    /// Has [`super::exiting`] called with `index` when this thread ends. Returns false if that is
    /// not possible.
    pub(super) fn at_exit(index: usize) -> bool {
        let Some(key) = key() else { return false };
        // Never null: the system calls nothing for null.
        let value = ptr::without_provenance::<libc::c_void>(index + 1);
        // SAFETY: `pthread_setspecific` wants a key that exists: this one is never deleted.
        let failed = unsafe { libc::pthread_setspecific(key, value) };
        failed == 0
    }

    /// The key, made if there is none. Not a `OnceLock`, which waits: a child that was forked
    /// meanwhile would wait for ever.
    fn key() -> Option<libc::pthread_key_t> {
        let known = KEY.load(Ordering::Acquire);
        if known != 0 {
            return Some((known - 1) as libc::pthread_key_t);
        }
        let mut key = 0;
        // SAFETY: `pthread_key_create` wants a valid place for the key, and a function that may be
        // called on any thread: `exiting` touches that thread's own state, and atomics.
        let failed = unsafe { libc::pthread_key_create(&raw mut key, Some(exiting)) };
        if failed != 0 {
            return None;
        }
        let order = (Ordering::AcqRel, Ordering::Acquire);
        match KEY.compare_exchange(0, key as usize + 1, order.0, order.1) {
            Ok(_) => Some(key),
            Err(other) => {
                // SAFETY: `pthread_key_delete` wants a key that exists and is not used: no other
                // code knows it.
                unsafe { libc::pthread_key_delete(key) };
                Some((other - 1) as libc::pthread_key_t)
            }
        }
    }
}

#[cfg(not(unix))]
mod exit {
    pub(super) fn at_exit(_: usize) -> bool {
        false
    }
}
