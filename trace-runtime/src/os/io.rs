//! Hooks of reading and writing, and of sockets.
//!
//! Invariants and the macro are in `hook`; what descriptors are is in `fd`.
//!
//! May contain `unsafe`: it defines functions for others to call.

use crate::os::fd::{forget, resource};
use crate::os::hook::{hooks, observe, system};
#[cfg(target_env = "musl")]
use crate::os::musl::{recvmsg_instead, sendmsg_instead};
use crate::os::result::CallResult;
use libc::{c_int, c_uint, c_void, iovec, msghdr, off_t, off64_t, size_t};
use libc::{sockaddr, socklen_t, ssize_t};
use std::ptr;
use trace_format::id::CallId;

/// The call has made this descriptor: what is remembered for its number is outdated.
fn fresh<R: CallResult>(descriptor: R) -> R {
    forget(descriptor.outcome(0) as c_int);
    descriptor
}

/// A socket has another address or peer now.
fn renamed(descriptor: c_int, result: c_int) -> c_int {
    if result == 0 {
        forget(descriptor);
    }
    result
}

hooks! { real:
    fn read(fd: c_int, buffer: *mut c_void, bytes: size_t) -> ssize_t,
        system!(SYS_read, fd, buffer, bytes),
        observe(CallId::READ, || resource(fd), real);
    fn write(fd: c_int, buffer: *const c_void, bytes: size_t) -> ssize_t,
        system!(SYS_write, fd, buffer, bytes),
        observe(CallId::WRITE, || resource(fd), real);
    fn pread(fd: c_int, buffer: *mut c_void, bytes: size_t, at: off_t) -> ssize_t,
        system!(SYS_pread64, fd, buffer, bytes, at),
        observe(CallId::PREAD64, || resource(fd), real);
    fn pread64(fd: c_int, buffer: *mut c_void, bytes: size_t, at: off64_t) -> ssize_t,
        system!(SYS_pread64, fd, buffer, bytes, at),
        observe(CallId::PREAD64, || resource(fd), real);
    fn pwrite(fd: c_int, buffer: *const c_void, bytes: size_t, at: off_t) -> ssize_t,
        system!(SYS_pwrite64, fd, buffer, bytes, at),
        observe(CallId::PWRITE64, || resource(fd), real);
    fn pwrite64(fd: c_int, buffer: *const c_void, bytes: size_t, at: off64_t) -> ssize_t,
        system!(SYS_pwrite64, fd, buffer, bytes, at),
        observe(CallId::PWRITE64, || resource(fd), real);
    fn readv(fd: c_int, slices: *const iovec, count: c_int) -> ssize_t,
        system!(SYS_readv, fd, slices, count),
        observe(CallId::READV, || resource(fd), real);
    fn writev(fd: c_int, slices: *const iovec, count: c_int) -> ssize_t,
        system!(SYS_writev, fd, slices, count),
        observe(CallId::WRITEV, || resource(fd), real);
    // The offset's upper half follows, which is 0 where one word holds the whole offset.
    fn preadv(fd: c_int, slices: *const iovec, count: c_int, at: off_t) -> ssize_t,
        system!(SYS_preadv, fd, slices, count, at, 0_usize),
        observe(CallId::PREADV, || resource(fd), real);
    fn preadv64(fd: c_int, slices: *const iovec, count: c_int, at: off64_t) -> ssize_t,
        system!(SYS_preadv, fd, slices, count, at, 0_usize),
        observe(CallId::PREADV, || resource(fd), real);
    fn pwritev(fd: c_int, slices: *const iovec, count: c_int, at: off_t) -> ssize_t,
        system!(SYS_pwritev, fd, slices, count, at, 0_usize),
        observe(CallId::PWRITEV, || resource(fd), real);
    fn pwritev64(fd: c_int, slices: *const iovec, count: c_int, at: off64_t) -> ssize_t,
        system!(SYS_pwritev, fd, slices, count, at, 0_usize),
        observe(CallId::PWRITEV, || resource(fd), real);
    fn recv(fd: c_int, buffer: *mut c_void, bytes: size_t, flags: c_int) -> ssize_t,
        system!(SYS_recvfrom, fd, buffer, bytes, flags, 0_usize, 0_usize),
        observe(CallId::RECV, || resource(fd), real);
    fn send(fd: c_int, buffer: *const c_void, bytes: size_t, flags: c_int) -> ssize_t,
        system!(SYS_sendto, fd, buffer, bytes, flags, 0_usize, 0_usize),
        observe(CallId::SEND, || resource(fd), real);
    fn recvfrom(
        fd: c_int, buffer: *mut c_void, bytes: size_t, flags: c_int,
        from: *mut sockaddr, from_bytes: *mut socklen_t,
    ) -> ssize_t,
        system!(SYS_recvfrom, fd, buffer, bytes, flags, from, from_bytes),
        observe(CallId::RECVFROM, || resource(fd), real);
    fn sendto(
        fd: c_int, buffer: *const c_void, bytes: size_t, flags: c_int,
        to: *const sockaddr, to_bytes: socklen_t,
    ) -> ssize_t,
        system!(SYS_sendto, fd, buffer, bytes, flags, to, to_bytes),
        observe(CallId::SENDTO, || resource(fd), real);
    fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t,
        recvmsg_instead(fd, message, flags),
        observe(CallId::RECVMSG, || resource(fd), real);
    fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t,
        sendmsg_instead(fd, message, flags),
        observe(CallId::SENDMSG, || resource(fd), real);
    fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int,
        system!(SYS_socket, domain, kind, protocol),
        fresh(observe(CallId::SOCKET, || 0, real));
    fn accept(fd: c_int, from: *mut sockaddr, from_bytes: *mut socklen_t) -> c_int,
        system!(SYS_accept4, fd, from, from_bytes, 0_usize),
        fresh(observe(CallId::ACCEPT, || resource(fd), real)), looks if true;
    fn accept4(fd: c_int, from: *mut sockaddr, from_bytes: *mut socklen_t, flags: c_int) -> c_int,
        system!(SYS_accept4, fd, from, from_bytes, flags),
        fresh(observe(CallId::ACCEPT4, || resource(fd), real)), looks if true;
    fn connect(fd: c_int, to: *const sockaddr, to_bytes: socklen_t) -> c_int,
        system!(SYS_connect, fd, to, to_bytes),
        { let result = observe(CallId::CONNECT, || resource(fd), real); forget(fd); result };
    fn bind(fd: c_int, to: *const sockaddr, to_bytes: socklen_t) -> c_int,
        system!(SYS_bind, fd, to, to_bytes),
        renamed(fd, observe(CallId::BIND, || resource(fd), real));
    fn listen(fd: c_int, waiting_max: c_int) -> c_int,
        system!(SYS_listen, fd, waiting_max),
        renamed(fd, observe(CallId::LISTEN, || resource(fd), real));
    fn shutdown(fd: c_int, how: c_int) -> c_int,
        system!(SYS_shutdown, fd, how),
        observe(CallId::SHUTDOWN, || resource(fd), real);
    fn sendfile(to: c_int, from: c_int, at: *mut off_t, bytes: size_t) -> ssize_t,
        system!(SYS_sendfile, to, from, at, bytes),
        observe(CallId::SENDFILE, || resource(to), real);
    fn sendfile64(to: c_int, from: c_int, at: *mut off64_t, bytes: size_t) -> ssize_t,
        system!(SYS_sendfile, to, from, at, bytes),
        observe(CallId::SENDFILE, || resource(to), real);
    fn copy_file_range(
        from: c_int, from_at: *mut off64_t, to: c_int, to_at: *mut off64_t,
        bytes: size_t, flags: c_uint,
    ) -> ssize_t,
        system!(SYS_copy_file_range, from, from_at, to, to_at, bytes, flags),
        observe(CallId::COPY_FILE_RANGE, || resource(to), real);
    fn splice(
        from: c_int, from_at: *mut off64_t, to: c_int, to_at: *mut off64_t,
        bytes: size_t, flags: c_uint,
    ) -> ssize_t,
        system!(SYS_splice, from, from_at, to, to_at, bytes, flags),
        observe(CallId::SPLICE, || resource(to), real);
    fn eventfd_write(fd: c_int, value: u64) -> c_int,
        eventfd_write_instead(fd, value),
        observe(CallId::EVENTFD_WRITE, || resource(fd), real);
}

/// # Safety
/// That of `recvmsg`.
#[cfg(not(target_env = "musl"))]
unsafe fn recvmsg_instead(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    // SAFETY: the caller's promise.
    unsafe { system!(SYS_recvmsg, fd, message, flags) }
}

/// # Safety
/// That of `sendmsg`.
#[cfg(not(target_env = "musl"))]
unsafe fn sendmsg_instead(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    // SAFETY: the caller's promise.
    unsafe { system!(SYS_sendmsg, fd, message, flags) }
}

/// # Safety
/// That of a system call: the descriptor is the program's.
unsafe fn eventfd_write_instead(fd: c_int, value: u64) -> c_int {
    let place = ptr::from_ref(&value);
    // SAFETY: `write` wants that many readable bytes.
    let written: ssize_t = unsafe { system!(SYS_write, fd, place, size_of::<u64>()) };
    if written == size_of::<u64>() as ssize_t { 0 } else { -1 }
}
