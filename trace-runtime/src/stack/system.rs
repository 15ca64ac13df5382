//! Walking by the unwinder that panics use, for programs whose unwind tables have no index.
//!
//! It searches all of them for every frame, so only one stack in [`ONE_IN`] is had.
//!
//! May contain `unsafe`: it calls that unwinder.

use super::{Frames, MISSED, Method};
use crate::primitive::Ordering;
use std::cell::Cell;
use std::ffi::{c_int, c_void};

/// Of so many stacks that are asked for on a thread, one is had.
pub(super) const ONE_IN: u32 = 64;

thread_local!(static ASKED: Cell<u32> = const { Cell::new(0) });

unsafe extern "C" {
    fn _Unwind_Backtrace(
        found: extern "C" fn(context: *mut c_void, frames: *mut c_void) -> c_int,
        frames: *mut c_void,
    ) -> c_int;
    fn _Unwind_GetIP(context: *mut c_void) -> usize;
}

/// What the unwinder is told: more, or enough.
const MORE: c_int = 0;
const ENOUGH: c_int = 5;

/// What it says at the thread's start.
const END_OF_STACK: c_int = 5;

/// The id of the calling thread's stack, or 0.
pub(super) fn walk(frames: &mut Frames) -> u32 {
    extern "C" fn found(context: *mut c_void, frames: *mut c_void) -> c_int {
        // SAFETY: `_Unwind_GetIP` wants the context that the unwinder has just handed out.
        let back = unsafe { _Unwind_GetIP(context) } as u64;
        // SAFETY: a unique reference wants the object behind it, lent to nobody else: `walk` lends
        // it for the time of its call.
        let frames = unsafe { &mut *frames.cast::<Frames>() };
        if frames.push(back.wrapping_sub(1)) { MORE } else { ENOUGH }
    }
    let asked = ASKED.get();
    ASKED.set(asked.wrapping_add(1));
    if !asked.is_multiple_of(ONE_IN) {
        return 0;
    }
    if crate::handler::may_be_in_one() {
        // The unwinder may take the loader's lock, and allocate.
        MISSED.fetch_add(1, Ordering::Relaxed);
        return 0;
    }
    let frames_to = (&raw mut *frames).cast();
    // SAFETY: `_Unwind_Backtrace` wants a function to call, and what to call it with: both live.
    let end = unsafe { _Unwind_Backtrace(found, frames_to) };
    frames.intern(Method::System.flags(end != END_OF_STACK || frames.is_full()))
}
