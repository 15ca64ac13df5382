//! POSIX systems: Linux, macOS and their like.
//!
//! May contain `unsafe`: it reads the system's clocks and counts, and registers a handler for
//! forks.

use crate::standstill::{Counts, Suspended};
use trace_format::time::Nanos;

/// Whether a trace can be recorded here.
pub(crate) const IS_SUPPORTED: bool = true;

/// Has `forked` called in every child that this process forks.
pub(crate) fn at_fork(forked: extern "C" fn()) {
    // SAFETY: `pthread_atfork` wants functions that may run in a forked child: the one caller's
    // stores plain words and walks a list of statics. If it fails for want of memory, a child that
    // traces would write to memory of its own, which nobody reads.
    unsafe { libc::pthread_atfork(None, None, Some(forked)) };
}

/// Has these called at every fork: before it, and after it in the parent and in the child.
#[cfg(stacks)]
pub(crate) fn around_fork(
    before: extern "C" fn(),
    parent: extern "C" fn(),
    child: extern "C" fn(),
) {
    // SAFETY: `pthread_atfork` wants functions that may run there, on the thread that forks: the
    // one caller's wait for a moment at most, and store words. If it fails for want of memory, they
    // are not called.
    unsafe { libc::pthread_atfork(Some(before), Some(parent), Some(child)) };
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

/// CPU time that a thread of this process has used, by the system's id.
#[cfg(all(target_os = "linux", not(exectrace_loom)))]
pub(crate) fn thread_cpu_of(os_id: u64) -> Option<u64> {
    /// In the kernel's `posix-timers_types.h`: `CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED`.
    const OF_THREAD: libc::clockid_t = 4 | 2;
    // The clock of thread 0 is that of the caller.
    let id = libc::pid_t::try_from(os_id).ok().filter(|id| *id > 0)?;
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `clock_gettime` wants a valid pointer to a timespec; `now` is one. It fails if there
    // is no such thread.
    let failed = unsafe { libc::clock_gettime((!id << 3) | OF_THREAD, &raw mut now) } != 0;
    (!failed).then_some(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
}

/// CPU time that another thread has used: the system is not asked.
#[cfg(any(not(target_os = "linux"), exectrace_loom))]
pub(crate) fn thread_cpu_of(os_id: u64) -> Option<u64> {
    let _ = os_id;
    None
}

/// How long the machine has been suspended since it was started.
#[cfg(target_os = "linux")]
pub(crate) fn suspended() -> Suspended {
    let before = monotonic();
    let since_start = read_system_clock(libc::CLOCK_BOOTTIME);
    let after = monotonic();
    let without = |monotonic| Nanos(since_start.saturating_sub(monotonic));
    Suspended { min: without(after), max: without(before) }
}

/// Whether the machine was suspended is not asked.
#[cfg(not(target_os = "linux"))]
pub(crate) fn suspended() -> Suspended {
    Suspended { min: Nanos(0), max: Nanos(0) }
}

/// What the system has counted for the calling thread.
#[cfg(target_os = "linux")]
pub(crate) fn thread_counts() -> Counts {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `getrusage` wants a valid pointer to an `rusage`; `usage` is one.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()) };
    // SAFETY: `assume_init` wants a valid `rusage`: it consists of integers, for which zeros are
    // valid, and the kernel writes integers.
    let usage = unsafe { usage.assume_init() };
    Counts { yields: usage.ru_nvcsw as u64, faults: usage.ru_majflt as u64 }
}

/// The system is not asked.
#[cfg(not(target_os = "linux"))]
pub(crate) fn thread_counts() -> Counts {
    Counts::default()
}

fn read_system_clock(id: libc::clockid_t) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `clock_gettime` wants a valid pointer to a timespec; `now` is one. It fails only for
    // ids that do not exist, and leaves zeros then.
    unsafe { libc::clock_gettime(id, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
