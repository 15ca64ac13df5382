//! The calling thread's `errno`: what the recorder does inside the program's calls must leave it as
//! it was.
//!
//! May contain `unsafe`: it is reached through a pointer.

/// The address of the calling thread's `errno`.
#[cfg(target_os = "linux")]
#[inline(always)]
pub(crate) fn place() -> *mut libc::c_int {
    // SAFETY: `__errno_location` takes nothing, cannot fail, and may be called at any time.
    unsafe { libc::__errno_location() }
}

/// Runs `act` and restores `errno`: the interrupted code, or the program after it has freed
/// something, may be about to read it.
#[cfg(target_os = "linux")]
pub(crate) fn keeping<T>(act: impl FnOnce() -> T) -> T {
    let errno = place();
    // SAFETY: reading wants a valid place: the thread's own, alive as long as the thread.
    let before = unsafe { errno.read() };
    let result = act();
    // SAFETY: writing wants the same.
    unsafe { errno.write(before) };
    result
}

/// Runs `act`, which makes no system call here that could change it.
#[cfg(not(target_os = "linux"))]
pub(crate) fn keeping<T>(act: impl FnOnce() -> T) -> T {
    act()
}
