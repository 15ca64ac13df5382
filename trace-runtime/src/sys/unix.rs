//! POSIX systems: Linux, macOS and their like.
//!
//! May contain `unsafe`: it reads the system's clocks, and registers a handler for forks.

/// Whether a trace can be recorded here.
pub(crate) const IS_SUPPORTED: bool = true;

/// Has `forked` called in every child that this process forks.
pub(crate) fn at_fork(forked: extern "C" fn()) {
    // SAFETY: `pthread_atfork` wants functions that may run in a forked child: the one caller's
    // stores plain words and walks a list of statics. If it fails for want of memory, a child that
    // traces would write to memory of its own, which nobody reads.
    unsafe { libc::pthread_atfork(None, None, Some(forked)) };
}

/// The system's monotonic clock in nanoseconds, the one other tools use too.
#[inline(never)]
pub(crate) fn monotonic() -> u64 {
    read_system_clock(libc::CLOCK_MONOTONIC)
}

/// CPU time this thread has used, in nanoseconds.
pub(crate) fn thread_cpu() -> u64 {
    read_system_clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn read_system_clock(id: libc::clockid_t) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `clock_gettime` wants a valid pointer to a timespec; `now` is one. It fails only for
    // ids that do not exist, and leaves zeros then.
    unsafe { libc::clock_gettime(id, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
