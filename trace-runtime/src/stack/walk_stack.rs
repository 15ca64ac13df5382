//! The stacks that walkers walk on, and calls on another stack.
//!
//! May contain `unsafe`: it maps memory, and changes stacks.

use std::ffi::c_void;
use std::ptr;

/// Bytes of a walker's stack; unoptimised code needs most of them.
const STACK_BYTES: usize = 256 << 10;

/// The end of a new stack, with an inaccessible guard at its other end; null if there is no memory.
pub(super) fn map_stack() -> *mut c_void {
    const GUARD_BYTES: usize = 64 << 10;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: `mmap` has no demands for a new anonymous mapping at an address that it chooses.
    let start = unsafe { libc::mmap(ptr::null_mut(), STACK_BYTES, access, kind, -1, 0) };
    if start == libc::MAP_FAILED {
        return ptr::null_mut();
    }
    // SAFETY: `mprotect` wants pages of ours. If it fails there is no guard, which matters only if
    // this code has a bug.
    unsafe { libc::mprotect(start, GUARD_BYTES, libc::PROT_NONE) };
    start.wrapping_byte_add(STACK_BYTES)
}

/// Frees the stack with this end.
pub(super) fn unmap_stack(end: *mut c_void) {
    // SAFETY: `munmap` wants a mapping that is not used: `map_stack` made it, and no other code has
    // it.
    unsafe { libc::munmap(end.wrapping_byte_sub(STACK_BYTES), STACK_BYTES) };
}

/// Calls `work` on another stack.
///
/// # Safety
/// `top` is the end of an unused stack; `work` may be called with `job`, and returns.
#[cfg(target_arch = "x86_64")]
pub(super) unsafe fn call_on<J>(top: *mut c_void, work: extern "C" fn(*mut J), job: &mut J) {
    // SAFETY: the stack pointer is kept in a register that calls preserve, and restored; the new
    // one is the end of a mapping, so it is aligned as a call wants it; all that a call may change
    // is named.
    unsafe {
        std::arch::asm!(
            "mov r12, rsp",
            "mov rsp, {top}",
            "call {work}",
            "mov rsp, r12",
            top = in(reg) top,
            work = in(reg) work,
            in("rdi") job,
            out("r12") _,
            clobber_abi("C"),
        );
    }
}

/// Calls `work` on another stack.
///
/// # Safety
/// `top` is the end of an unused stack; `work` may be called with `job`, and returns.
#[cfg(target_arch = "aarch64")]
pub(super) unsafe fn call_on<J>(top: *mut c_void, work: extern "C" fn(*mut J), job: &mut J) {
    // SAFETY: as above.
    unsafe {
        std::arch::asm!(
            "mov x20, sp",
            "mov sp, {top}",
            "blr {work}",
            "mov sp, x20",
            top = in(reg) top,
            work = in(reg) work,
            in("x0") job,
            out("x20") _,
            clobber_abi("C"),
        );
    }
}
