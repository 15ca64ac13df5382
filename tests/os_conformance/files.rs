//! Files, and all calls that make a descriptor.
//!
//! May contain `unsafe`: zeros stand for what the kernel reads.

use crate::run::{Run, call};
use libc::c_int;
use std::ffi::{CStr, CString};
use std::ptr;

/// Files, by descriptor and by name.
pub(super) fn files(run: &mut Run) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| {
        let path = folder.path().join(name).into_os_string().into_string();
        CString::new(path.expect("a plain path")).expect("no zero byte")
    };
    let (file, other, inner) = (path("file"), path("other"), path("folder"));
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
    let fd = call!(run, open(file.as_ptr(), flags, 0o600));
    run.blur(fd);
    call!(run, open(file.as_ptr(), flags, 0o600));
    call!(run, open64(ptr::null::<u8>(), libc::O_RDONLY));
    let second = call!(run, openat(libc::AT_FDCWD, file.as_ptr(), libc::O_RDONLY));
    run.blur(second);
    call!(run, openat64(-1, c"x".as_ptr(), libc::O_RDONLY));
    let mut buffer = *b"0123456789abcdef";
    let at = buffer.as_mut_ptr();
    for offset in [0_i64, 100, -1] {
        call!(run, pwrite(fd, at, 16, offset));
        call!(run, pwrite64(fd, at, 16, offset));
        call!(run, pread(fd, at, 4, offset));
        call!(run, pread64(fd, at, 4, offset));
        let slice = libc::iovec { iov_base: at.cast(), iov_len: 8 };
        call!(run, pwritev(fd, &raw const slice, 1, offset));
        call!(run, pwritev64(fd, &raw const slice, 1, offset));
        call!(run, preadv(fd, &raw const slice, 1, offset));
        call!(run, preadv64(fd, &raw const slice, 1, offset));
    }
    call!(run, fsync(fd));
    call!(run, fdatasync(fd));
    call!(run, fsync(-1));
    call!(run, fdatasync(-1));
    call!(run, ftruncate(fd, 40));
    call!(run, ftruncate64(fd, -1_i64));
    call!(run, ftruncate64(second, 4));
    call!(run, fallocate(fd, 0, 0, 4096));
    call!(run, fallocate64(fd, 0, 0, 0));
    call!(run, flock(fd, libc::LOCK_EX | libc::LOCK_NB));
    call!(run, flock(second, libc::LOCK_EX | libc::LOCK_NB));
    call!(run, flock(-1, libc::LOCK_EX));
    run.note(buffer);
    states(run, fd, [&file, &other]);
    let from = call!(run, open(file.as_ptr(), libc::O_RDONLY));
    run.blur(from);
    call!(run, sendfile(fd, from, ptr::null::<u8>(), 16));
    call!(run, sendfile64(-1, from, ptr::null::<u8>(), 16));
    call!(run, copy_file_range(-1, ptr::null::<u8>(), fd, ptr::null::<u8>(), 16, 0));
    call!(run, splice(from, ptr::null::<u8>(), fd, ptr::null::<u8>(), 16, 0));
    call!(run, mkdir(inner.as_ptr(), 0o700));
    call!(run, mkdir(inner.as_ptr(), 0o700));
    call!(run, rename(file.as_ptr(), other.as_ptr()));
    call!(run, rename(file.as_ptr(), other.as_ptr()));
    call!(run, unlink(inner.as_ptr()));
    call!(run, rmdir(inner.as_ptr()));
    call!(run, rmdir(inner.as_ptr()));
    call!(run, unlink(other.as_ptr()));
    call!(run, unlink(other.as_ptr()));
    for each in [fd, second, from] {
        call!(run, close(each));
    }
}

/// `stat` and its kin by their names from before glibc 2.33.
fn older_states(run: &mut Run, fd: c_int, [file, other]: [&CStr; 2]) {
    // The version argument of those functions; the kernel has only this one.
    let version = if cfg!(target_arch = "x86_64") { 1 } else { 0 };
    let mut state = [0_u64; 64];
    let (into, here) = (state.as_mut_ptr(), libc::AT_FDCWD);
    call!(run, __xstat(version, file.as_ptr(), into));
    call!(run, __xstat64(version, other.as_ptr(), into));
    call!(run, __lxstat(version, file.as_ptr(), into));
    call!(run, __lxstat64(version, other.as_ptr(), into));
    call!(run, __fxstat(version, fd, into));
    call!(run, __fxstat64(version, -1, into));
    call!(run, __fxstatat(version, here, file.as_ptr(), into, 0));
    call!(run, __fxstatat64(version, here, other.as_ptr(), into, -1));
}

fn states(run: &mut Run, fd: c_int, [file, other]: [&CStr; 2]) {
    // Larger than any such structure; bytes 48..56 are the size on both architectures.
    let mut state = [0_u64; 64];
    let into = state.as_mut_ptr();
    let here = libc::AT_FDCWD;
    older_states(run, fd, [file, other]);
    call!(run, stat(file.as_ptr(), into));
    call!(run, stat64(other.as_ptr(), into));
    call!(run, lstat(file.as_ptr(), into));
    call!(run, lstat64(other.as_ptr(), into));
    call!(run, fstat(fd, into));
    run.note(state[6]);
    call!(run, fstat64(-1, into));
    call!(run, fstatat(here, file.as_ptr(), into, 0));
    call!(run, fstatat64(here, file.as_ptr(), ptr::null::<u8>(), 0));
    call!(run, statx(here, file.as_ptr(), 0, libc::STATX_SIZE, into));
    call!(run, statx(here, other.as_ptr(), 0, libc::STATX_SIZE, into));
    call!(run, fcntl(fd, libc::F_GETFL));
    call!(run, fcntl64(-1, libc::F_GETFL));
    let copy = call!(run, fcntl(fd, libc::F_DUPFD_CLOEXEC, 50));
    run.blur(copy);
    call!(run, close(copy));
    // SAFETY: zeros are a lock.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as _;
    call!(run, fcntl(fd, libc::F_SETLKW, &raw const lock));
    call!(run, fcntl(-1, libc::F_SETLKW, &raw const lock));
}

/// Calls that make descriptors in other ways.
pub(super) fn descriptors(run: &mut Run) {
    let mut pair = [0; 2];
    call!(run, pipe(pair.as_mut_ptr()));
    let copy = call!(run, dup(pair[0]));
    run.blur(copy);
    call!(run, dup(-1));
    let other = call!(run, dup2(pair[0], copy));
    run.blur(other);
    let same = call!(run, dup2(copy, copy));
    run.blur(same);
    call!(run, dup2(-1, -1));
    call!(run, dup3(copy, copy, 0));
    let other = call!(run, dup3(pair[0], copy, libc::O_CLOEXEC));
    run.blur(other);
    call!(run, pipe2(pair.as_mut_ptr(), -1));
    call!(run, pipe(ptr::null::<u8>()));
    let set = call!(run, epoll_create(1));
    run.blur(set);
    call!(run, epoll_create1(-1));
    let timer = call!(run, timerfd_create(libc::CLOCK_MONOTONIC, 0));
    run.blur(timer);
    call!(run, timerfd_create(-1, 0));
    let memory = call!(run, memfd_create(c"m".as_ptr(), 0));
    run.blur(memory);
    call!(run, memfd_create(ptr::null::<u8>(), 0));
    call!(run, eventfd(0, -1));
    call!(run, close_range(9, 3, 0));
    for each in [copy, set, timer] {
        call!(run, close(each));
    }
    call!(run, close_range(memory, memory, 0));
    call!(run, close(memory));
    call!(run, close(pair[0]));
    call!(run, close(pair[1]));
}
