//! POSIX systems: Linux, macOS and their like.
//!
//! May contain `unsafe`: it reads the system's clocks and counts, and registers a handler for
//! forks.

use crate::base::primitive::Ordering;
use crate::base::primitive::global::{AtomicBool, AtomicU64};
use crate::sys::standstill::{Suspended, ThreadCounts};
use std::path::PathBuf;
use trace_format::time::Nanos;

/// Whether a trace can be recorded here.
pub(crate) const IS_SUPPORTED: bool = true;

/// Registers `forked` to be called in every child that this process forks.
pub(crate) fn at_fork(forked: extern "C" fn()) {
    // SAFETY: `pthread_atfork` wants functions that may run in a forked child: the only caller's
    // function stores plain words and walks a list of statics. If the call fails for lack of
    // memory, a child that traces would write to its own memory, which nothing reads.
    unsafe { libc::pthread_atfork(None, None, Some(forked)) };
}

/// Registers functions to be called at every fork: before it, and after it in the parent and in the
/// child.
#[cfg(stacks)]
pub(crate) fn around_fork(
    before: extern "C" fn(),
    parent: extern "C" fn(),
    child: extern "C" fn(),
) {
    // SAFETY: `pthread_atfork` wants functions that may run there, on the thread that forks: those
    // of the only caller wait for a limited time, and store words. If the call fails for lack of
    // memory, they are not called.
    unsafe { libc::pthread_atfork(Some(before), Some(parent), Some(child)) };
}

/// The system's monotonic clock in nanoseconds, which other tools use, too.
#[inline(never)]
pub(crate) fn monotonic() -> u64 {
    read_system_clock(libc::CLOCK_MONOTONIC)
}

/// The time of day, in nanoseconds since 1970.
pub(crate) fn wall() -> u64 {
    read_system_clock(libc::CLOCK_REALTIME)
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
    // Reading fails if there is no such thread.
    let read = if IS_FAKED.load(Ordering::Relaxed) { kernel_clock } else { libc_clock };
    read((!id << 3) | OF_THREAD)
}

/// CPU time that another thread has used: the system is not asked.
#[cfg(any(not(target_os = "linux"), exectrace_loom))]
pub(crate) fn thread_cpu_of(os_id: u64) -> Option<u64> {
    let _ = os_id;
    None
}

/// The executable. Without `/proc` it is the path by which the process was started, where the file
/// need not exist any more.
pub(crate) fn program() -> Option<PathBuf> {
    let path = std::env::current_exe().ok();
    #[cfg(target_os = "linux")]
    let path = path.or_else(started_as);
    path
}

#[cfg(target_os = "linux")]
fn started_as() -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    // SAFETY: `getauxval` only reads what the kernel gave to the process.
    let name = unsafe { libc::getauxval(libc::AT_EXECFN) };
    let name = std::ptr::with_exposed_provenance::<libc::c_char>(name as usize);
    if name.is_null() {
        return None;
    }
    // SAFETY: `from_ptr` wants a text that ends with a 0 and does not change: the kernel put it
    // above the stack of the first thread, where no code writes.
    let name = unsafe { std::ffi::CStr::from_ptr(name) };
    std::path::absolute(std::ffi::OsStr::from_bytes(name.to_bytes())).ok()
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

/// How long the machine has been suspended: the system is not asked.
#[cfg(not(target_os = "linux"))]
pub(crate) fn suspended() -> Suspended {
    Suspended { min: Nanos(0), max: Nanos(0) }
}

/// What the system has counted for the calling thread.
#[cfg(target_os = "linux")]
pub(crate) fn thread_counts() -> ThreadCounts {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `getrusage` wants a valid pointer to an `rusage`; `usage` is one.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()) };
    // SAFETY: `assume_init` wants a valid `rusage`: it consists of integers, for which zeros are
    // valid, and the kernel writes integers.
    let usage = unsafe { usage.assume_init() };
    ThreadCounts { yields: usage.ru_nvcsw as u64, faults: usage.ru_majflt as u64 }
}

/// The system is not asked.
#[cfg(not(target_os = "linux"))]
pub(crate) fn thread_counts() -> ThreadCounts {
    ThreadCounts::default()
}

/// A clock of the system, in nanoseconds: libc's, which costs no system call, unless it is known to
/// differ from the kernel's.
fn read_system_clock(id: libc::clockid_t) -> u64 {
    if IS_FAKED.load(Ordering::Relaxed) { kernel_clock(id) } else { libc_clock(id) }.unwrap_or(0)
}

fn libc_clock(id: libc::clockid_t) -> Option<u64> {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `clock_gettime` wants a valid pointer to a timespec; `now` is one. It fails for ids
    // that do not exist.
    let failed = unsafe { libc::clock_gettime(id, &raw mut now) } != 0;
    (!failed).then(|| nanos(now))
}

fn nanos(time: libc::timespec) -> u64 {
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}

/// A library has replaced libc's clock with one that differs from the kernel's.
static IS_FAKED: AtomicBool = AtomicBool::new(false);

/// How many nanoseconds libc's monotonic clock was ahead when the difference was found, as a signed
/// number.
static FAKED_BY: AtomicU64 = AtomicU64::new(0);

/// Compares libc's monotonic clock with the kernel's. Once they differ, the recorder uses the
/// kernel's: the kernel's own records have its times, and the recorder's waits end by it.
#[cfg(all(target_os = "linux", target_pointer_width = "64", not(exectrace_loom)))]
pub(crate) fn check_clock() {
    /// Nanoseconds by which two ways to the same clock never differ.
    const SLACK: u64 = 10_000;
    let id = libc::CLOCK_MONOTONIC;
    if IS_FAKED.load(Ordering::Relaxed) {
        return;
    }
    let (Some(before), Some(told)) = (kernel_clock(id), libc_clock(id)) else { return };
    let Some(after) = kernel_clock(id) else { return };
    if told + SLACK < before || told > after + SLACK {
        FAKED_BY.store(told.wrapping_sub(before), Ordering::Relaxed);
        IS_FAKED.store(true, Ordering::Release);
    }
}

/// The kernel is not asked.
#[cfg(any(not(all(target_os = "linux", target_pointer_width = "64")), exectrace_loom))]
pub(crate) fn check_clock() {}

/// How many nanoseconds libc's monotonic clock was ahead of the kernel's; `None` if they agree.
pub(crate) fn clock_faked_by() -> Option<i64> {
    let is_faked = IS_FAKED.load(Ordering::Acquire);
    is_faked.then(|| FAKED_BY.load(Ordering::Relaxed).cast_signed())
}

/// A clock read from the kernel, past every library.
#[cfg(all(target_os = "linux", target_pointer_width = "64", not(exectrace_loom)))]
fn kernel_clock(id: libc::clockid_t) -> Option<u64> {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    #[cfg(os_hooks)]
    let failed = {
        let place = (&raw mut now).expose_provenance();
        let words = [id as usize, place, 0, 0, 0, 0];
        // SAFETY: the call wants room for a time: `now` is that.
        unsafe { crate::sys::raw::bare(libc::SYS_clock_gettime, words) }
    };
    #[cfg(not(os_hooks))]
    // SAFETY: as above.
    let failed = unsafe { libc::syscall(libc::SYS_clock_gettime, id, &raw mut now) };
    (failed == 0).then(|| nanos(now))
}

/// The kernel is not asked.
#[cfg(any(not(all(target_os = "linux", target_pointer_width = "64")), exectrace_loom))]
fn kernel_clock(id: libc::clockid_t) -> Option<u64> {
    libc_clock(id)
}
