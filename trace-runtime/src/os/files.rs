//! Hooks of opening, closing and changing files, and of all functions that make a descriptor.
//!
//! Functions that only make a descriptor are not recorded: they do not wait. They are hooked so
//! that what is remembered for a number is forgotten when the number stands for something else. The
//! same holds for what `fcntl` does besides waiting for a lock.
//!
//! Invariants and the macro are in `hook`; what descriptors are is in `fd`.
//!
//! May contain `unsafe`: it defines functions for others to call.

use crate::os::fd::{forget, forget_range, resource};
use crate::os::hook::{hooks, observe, system};
use crate::os::musl;
use libc::{AT_FDCWD, AT_REMOVEDIR, AT_SYMLINK_NOFOLLOW};
use libc::{c_char, c_int, c_uint, c_void, mode_t, off_t, off64_t, size_t, ssize_t};
use libc::{stat as Stat, stat64 as Stat64, statx as Statx};
use trace_format::id::CallId;

/// The call has made this descriptor: what is remembered for its number is outdated.
pub(super) fn fresh(descriptor: c_int) -> c_int {
    forget(descriptor);
    descriptor
}

/// Two new descriptors, if the call has made them.
///
/// # Safety
/// If `result` is 0, `pair` is what the kernel has written two descriptors to.
unsafe fn fresh_pair(pair: *const c_int, result: c_int) -> c_int {
    if result == 0 {
        // SAFETY: the caller's promise.
        let [first, second] = unsafe { pair.cast::<[c_int; 2]>().read() };
        forget(first);
        forget(second);
    }
    result
}

/// Whether `fcntl` may wait for a lock.
const fn waits(command: c_int) -> bool {
    matches!(command, libc::F_SETLKW | libc::F_OFD_SETLKW)
}

/// Whether `fcntl` makes a descriptor.
const fn duplicates(command: c_int) -> bool {
    matches!(command, libc::F_DUPFD | libc::F_DUPFD_CLOEXEC)
}

/// `fcntl` while a trace runs.
fn control(fd: c_int, command: c_int, real: impl FnOnce() -> c_int) -> c_int {
    let is_observed = waits(command);
    let result =
        if is_observed { observe(CallId::FCNTL_LOCK, || resource(fd), real) } else { real() };
    if duplicates(command) { fresh(result) } else { result }
}

/// Forgets before the number can stand for something else, and after: another thread may have asked
/// meanwhile.
pub(super) fn closing(call: CallId, fd: c_int, real: impl FnOnce() -> c_int) -> c_int {
    if musl::is_in_borrowed_memory() {
        return real();
    }
    observe(
        call,
        || resource(fd),
        || {
            forget(fd);
            let result = real();
            forget(fd);
            result
        },
    )
}

hooks! { real:
    fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int,
        system!(SYS_openat, AT_FDCWD, path, flags, mode),
        fresh(observe(CallId::OPEN, || 0, real));
    fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int,
        system!(SYS_openat, AT_FDCWD, path, flags, mode),
        fresh(observe(CallId::OPEN, || 0, real));
    fn openat(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int,
        system!(SYS_openat, folder, path, flags, mode),
        fresh(observe(CallId::OPENAT, || 0, real));
    fn openat64(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int,
        system!(SYS_openat, folder, path, flags, mode),
        fresh(observe(CallId::OPENAT, || 0, real));
    fn close(fd: c_int) -> c_int,
        system!(SYS_close, fd),
        closing(CallId::CLOSE, fd, real);
    fn fsync(fd: c_int) -> c_int,
        system!(SYS_fsync, fd),
        observe(CallId::FSYNC, || resource(fd), real);
    fn fdatasync(fd: c_int) -> c_int,
        system!(SYS_fdatasync, fd),
        observe(CallId::FDATASYNC, || resource(fd), real);
    fn stat(path: *const c_char, into: *mut Stat) -> c_int,
        system!(SYS_newfstatat, AT_FDCWD, path, into, 0_usize),
        observe(CallId::STAT, || 0, real);
    fn stat64(path: *const c_char, into: *mut Stat64) -> c_int,
        system!(SYS_newfstatat, AT_FDCWD, path, into, 0_usize),
        observe(CallId::STAT, || 0, real);
    fn fstat(fd: c_int, into: *mut Stat) -> c_int,
        system!(SYS_fstat, fd, into),
        observe(CallId::FSTAT, || resource(fd), real);
    fn fstat64(fd: c_int, into: *mut Stat64) -> c_int,
        system!(SYS_fstat, fd, into),
        observe(CallId::FSTAT, || resource(fd), real);
    fn lstat(path: *const c_char, into: *mut Stat) -> c_int,
        system!(SYS_newfstatat, AT_FDCWD, path, into, AT_SYMLINK_NOFOLLOW),
        observe(CallId::LSTAT, || 0, real);
    fn lstat64(path: *const c_char, into: *mut Stat64) -> c_int,
        system!(SYS_newfstatat, AT_FDCWD, path, into, AT_SYMLINK_NOFOLLOW),
        observe(CallId::LSTAT, || 0, real);
    fn fstatat(folder: c_int, path: *const c_char, into: *mut Stat, flags: c_int) -> c_int,
        system!(SYS_newfstatat, folder, path, into, flags),
        observe(CallId::FSTATAT, || 0, real);
    fn fstatat64(folder: c_int, path: *const c_char, into: *mut Stat64, flags: c_int) -> c_int,
        system!(SYS_newfstatat, folder, path, into, flags),
        observe(CallId::FSTATAT, || 0, real);
    fn statx(
        folder: c_int, path: *const c_char, flags: c_int, mask: c_uint, into: *mut Statx,
    ) -> c_int,
        system!(SYS_statx, folder, path, flags, mask, into),
        observe(CallId::STATX, || 0, real);
    fn unlink(path: *const c_char) -> c_int,
        system!(SYS_unlinkat, AT_FDCWD, path, 0_usize),
        observe(CallId::UNLINK, || 0, real);
    fn rename(from: *const c_char, to: *const c_char) -> c_int,
        system!(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0_usize),
        observe(CallId::RENAME, || 0, real);
    fn mkdir(path: *const c_char, mode: mode_t) -> c_int,
        system!(SYS_mkdirat, AT_FDCWD, path, mode),
        observe(CallId::MKDIR, || 0, real);
    fn rmdir(path: *const c_char) -> c_int,
        system!(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR),
        observe(CallId::RMDIR, || 0, real);
    fn ftruncate(fd: c_int, bytes: off_t) -> c_int,
        system!(SYS_ftruncate, fd, bytes),
        observe(CallId::FTRUNCATE, || resource(fd), real);
    fn ftruncate64(fd: c_int, bytes: off64_t) -> c_int,
        system!(SYS_ftruncate, fd, bytes),
        observe(CallId::FTRUNCATE, || resource(fd), real);
    fn fallocate(fd: c_int, mode: c_int, from: off_t, bytes: off_t) -> c_int,
        system!(SYS_fallocate, fd, mode, from, bytes),
        observe(CallId::FALLOCATE, || resource(fd), real);
    fn fallocate64(fd: c_int, mode: c_int, from: off64_t, bytes: off64_t) -> c_int,
        system!(SYS_fallocate, fd, mode, from, bytes),
        observe(CallId::FALLOCATE, || resource(fd), real);
    fn flock(fd: c_int, operation: c_int) -> c_int,
        system!(SYS_flock, fd, operation),
        observe(CallId::FLOCK, || resource(fd), real);
    fn fcntl(fd: c_int, command: c_int, argument: usize) -> c_int,
        system!(SYS_fcntl, fd, command, argument),
        control(fd, command, real);
    fn fcntl64(fd: c_int, command: c_int, argument: usize) -> c_int,
        system!(SYS_fcntl, fd, command, argument),
        control(fd, command, real);
    fn getrandom(into: *mut c_void, bytes: size_t, flags: c_uint) -> ssize_t,
        system!(SYS_getrandom, into, bytes, flags),
        observe(CallId::GETRANDOM, || 0, real);

    fn dup(fd: c_int) -> c_int, system!(SYS_dup, fd), fresh(real());
    fn dup2(from: c_int, to: c_int) -> c_int, dup2_instead(from, to), fresh(real());
    fn dup3(from: c_int, to: c_int, flags: c_int) -> c_int,
        system!(SYS_dup3, from, to, flags), fresh(real());
    fn pipe(pair: *mut c_int) -> c_int,
        system!(SYS_pipe2, pair, 0_usize),
        // SAFETY: the kernel has written there, if the result says so.
        unsafe { fresh_pair(pair, real()) };
    fn pipe2(pair: *mut c_int, flags: c_int) -> c_int,
        system!(SYS_pipe2, pair, flags),
        // SAFETY: as above.
        unsafe { fresh_pair(pair, real()) };
    fn socketpair(domain: c_int, kind: c_int, protocol: c_int, pair: *mut c_int) -> c_int,
        system!(SYS_socketpair, domain, kind, protocol, pair),
        // SAFETY: as above.
        unsafe { fresh_pair(pair, real()) };
    fn eventfd(value: c_uint, flags: c_int) -> c_int,
        system!(SYS_eventfd2, value, flags), fresh(real());
    fn epoll_create(_bytes: c_int) -> c_int,
        system!(SYS_epoll_create1, 0_usize), fresh(real());
    fn epoll_create1(flags: c_int) -> c_int,
        system!(SYS_epoll_create1, flags), fresh(real());
    fn timerfd_create(clock: c_int, flags: c_int) -> c_int,
        system!(SYS_timerfd_create, clock, flags), fresh(real());
    fn memfd_create(name: *const c_char, flags: c_uint) -> c_int,
        system!(SYS_memfd_create, name, flags), fresh(real());
    fn close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int,
        system!(SYS_close_range, first, last, flags),
        { let result = real(); forget_range(first, last); result };
}

/// `dup3` refuses two equal descriptors, which `dup2` allows.
///
/// # Safety
/// That of a system call: the descriptors are the program's.
unsafe fn dup2_instead(from: c_int, to: c_int) -> c_int {
    if from != to {
        // SAFETY: the caller's promise.
        return unsafe { system!(SYS_dup3, from, to, 0_usize) };
    }
    // SAFETY: the caller's promise.
    let is_open: c_int = unsafe { system!(SYS_fcntl, from, libc::F_GETFD) };
    if is_open < 0 { is_open } else { to }
}
