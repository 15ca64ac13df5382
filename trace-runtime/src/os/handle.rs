//! The system's id of the thread with a handle: a program joins handles, and traces know threads by
//! id.
//!
//! The id of a live thread comes from the number of its clock, which is made of the id. Ids of
//! threads that have ended come from a table. Two handles with the same place push each other out,
//! and a handle that is not in the table has id 0.
//!
//! May contain `unsafe`: it asks for threads' handles and clocks.

use crate::base::primitive::Ordering;
use crate::base::primitive::global::AtomicU64;
use libc::pthread_t;

const PLACES: usize = 4096;

/// Ids with parts of their handles: the id in the upper half, and a part of the handle in the lower
/// half, to tell handles of the same place apart.
static IDS: [AtomicU64; PLACES] = [const { AtomicU64::new(0) }; PLACES];

/// The calling thread has this id.
pub(super) fn note(system_id: u64) {
    // SAFETY: `pthread_self` takes nothing and cannot fail.
    let handle = unsafe { libc::pthread_self() };
    IDS[place(handle)].store(system_id << 32 | check(handle), Ordering::Relaxed);
}

/// The id of the thread with this handle; 0 if it is not known.
///
/// # Safety
/// The handle is valid: its thread has been neither joined nor detached.
pub(super) unsafe fn system_id(handle: pthread_t) -> u64 {
    let mut clock = 0;
    // SAFETY: `pthread_getcpuclockid` wants a valid handle (the caller's promise), and a place to
    // write to.
    let failed = unsafe { libc::pthread_getcpuclockid(handle, &raw mut clock) };
    if failed == 0 {
        // As the kernel numbers the clocks of threads: the id inverted, above three bits of kind.
        return u64::from(!(clock >> 3) as u32);
    }
    let word = IDS[place(handle)].load(Ordering::Relaxed);
    if word & u64::from(u32::MAX) == check(handle) { word >> 32 } else { 0 }
}

/// Handles are addresses, often megabytes apart, so their last bits are alike.
fn place(handle: pthread_t) -> usize {
    let folded = handle.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (folded >> 52) as usize % PLACES
}

fn check(handle: pthread_t) -> u64 {
    (handle >> 4) & u64::from(u32::MAX)
}
