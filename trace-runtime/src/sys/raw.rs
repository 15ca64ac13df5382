//! System calls without libc: for the recorder's own needs, and for hooks that can't find libc's
//! function.
//!
//! May contain `unsafe`: assembly, and a write to `errno`.

use crate::sys::errno;
use libc::{c_int, c_long};

/// An argument of a system call, in a register.
pub(crate) trait Register {
    fn word(self) -> usize;
}

macro_rules! words {
    ($($type:ty),*) => {
        $(impl Register for $type {
            fn word(self) -> usize {
                self as usize
            }
        })*
    };
}

// Signed types are sign-extended, as the kernel expects of C callers.
words!(i32, u32, i64, u64, isize, usize);

impl<T> Register for *const T {
    fn word(self) -> usize {
        self as usize
    }
}

impl<T> Register for *mut T {
    fn word(self) -> usize {
        self as usize
    }
}

/// A system call as libc's functions do it: -1 and `errno` for errors.
///
/// # Safety
/// That of the system call.
pub(crate) unsafe fn invoke<const N: usize>(number: c_long, words: [usize; N]) -> isize {
    let mut six = [0; 6];
    six[..N].copy_from_slice(&words);
    // SAFETY: the caller's promise.
    let result = unsafe { bare(number, six) };
    if (-4095..0).contains(&result) {
        // SAFETY: `errno` is the thread's own.
        unsafe { errno::place().write(-result as c_int) };
        return -1;
    }
    result
}

/// A system call as the kernel does it: a negative errno for errors.
///
/// # Safety
/// That of the system call.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) unsafe fn bare(number: c_long, words: [usize; 6]) -> isize {
    let result: isize;
    let [a, b, c, d, e, f] = words;
    // SAFETY: the instruction changes `rax`, `rcx`, `r11` and what the call says; all are named,
    // and memory and flags are not excluded.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// A system call as the kernel does it: a negative errno for errors.
///
/// # Safety
/// That of the system call.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
pub(crate) unsafe fn bare(number: c_long, words: [usize; 6]) -> isize {
    let result: isize;
    let [a, b, c, d, e, f] = words;
    // SAFETY: the instruction changes `x0` and what the call says; memory and flags are not
    // excluded.
    unsafe {
        std::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
            options(nostack),
        );
    }
    result
}
