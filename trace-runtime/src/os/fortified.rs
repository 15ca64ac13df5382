//! Hooks of the names by which C code calls hooked functions if it was built with checks.
//!
//! With `_FORTIFY_SOURCE`, as distributions build their libraries, glibc's headers turn `read` into
//! `__read_chk` where the compiler knows how long the buffer is but not how much is read. The last
//! argument, or the last before the flags, is the room in the buffer; libc ends the program if the
//! call could overrun it. A call is recorded as the function whose variant it is. Where libc has no
//! such names, no code calls these hooks.
//!
//! Invariants and the macro are in `hook`.

use crate::os::fd::resource;
use crate::os::files::fresh;
use crate::os::hook::{hooks, observe};
use crate::os::{files, io, wait};
use libc::{c_char, c_int, c_void, nfds_t, off_t, off64_t, pollfd, sigset_t, size_t};
use libc::{sockaddr, socklen_t, ssize_t, timespec};
use trace_format::id::CallId;

hooks! { real:
    fn __read_chk(fd: c_int, buffer: *mut c_void, bytes: size_t, room: size_t) -> ssize_t,
        { check(bytes, room); io::instead::read(fd, buffer, bytes) },
        observe(CallId::READ, || resource(fd), real);
    fn __pread_chk(
        fd: c_int, buffer: *mut c_void, bytes: size_t, at: off_t, room: size_t,
    ) -> ssize_t,
        { check(bytes, room); io::instead::pread(fd, buffer, bytes, at) },
        observe(CallId::PREAD64, || resource(fd), real);
    fn __pread64_chk(
        fd: c_int, buffer: *mut c_void, bytes: size_t, at: off64_t, room: size_t,
    ) -> ssize_t,
        { check(bytes, room); io::instead::pread64(fd, buffer, bytes, at) },
        observe(CallId::PREAD64, || resource(fd), real);
    fn __recv_chk(
        fd: c_int, buffer: *mut c_void, bytes: size_t, room: size_t, flags: c_int,
    ) -> ssize_t,
        { check(bytes, room); io::instead::recv(fd, buffer, bytes, flags) },
        observe(CallId::RECV, || resource(fd), real);
    fn __recvfrom_chk(
        fd: c_int, buffer: *mut c_void, bytes: size_t, room: size_t, flags: c_int,
        from: *mut sockaddr, from_bytes: *mut socklen_t,
    ) -> ssize_t,
        { check(bytes, room); io::instead::recvfrom(fd, buffer, bytes, flags, from, from_bytes) },
        observe(CallId::RECVFROM, || resource(fd), real);
    fn __poll_chk(list: *mut pollfd, count: nfds_t, millis: c_int, room: size_t) -> c_int,
        { check_list(count, room); wait::instead::poll(list, count, millis) },
        observe(CallId::POLL, || 0, real), looks if true;
    fn __ppoll_chk(
        list: *mut pollfd, count: nfds_t, time: *const timespec, signals: *const sigset_t,
        room: size_t,
    ) -> c_int,
        { check_list(count, room); wait::instead::ppoll(list, count, time, signals) },
        observe(CallId::PPOLL, || 0, real), looks if true;
    // These check that the call creates no file, as it has no mode to create it with.
    fn __open_2(path: *const c_char, flags: c_int) -> c_int,
        { check_flags(flags); files::instead::open(path, flags, 0) },
        fresh(observe(CallId::OPEN, || 0, real));
    fn __open64_2(path: *const c_char, flags: c_int) -> c_int,
        { check_flags(flags); files::instead::open64(path, flags, 0) },
        fresh(observe(CallId::OPEN, || 0, real));
    fn __openat_2(folder: c_int, path: *const c_char, flags: c_int) -> c_int,
        { check_flags(flags); files::instead::openat(folder, path, flags, 0) },
        fresh(observe(CallId::OPENAT, || 0, real));
    fn __openat64_2(folder: c_int, path: *const c_char, flags: c_int) -> c_int,
        { check_flags(flags); files::instead::openat64(folder, path, flags, 0) },
        fresh(observe(CallId::OPENAT, || 0, real));
}

/// Ends the program, as libc would, if the call wants more bytes than fit into the buffer.
fn check(bytes: size_t, room: size_t) {
    if bytes > room {
        std::process::abort();
    }
}

/// As [`check`], for a list that takes `room` bytes.
fn check_list(count: nfds_t, room: size_t) {
    check(count as size_t, room / size_of::<pollfd>());
}

/// Ends the program if these flags create a file.
fn check_flags(flags: c_int) {
    let creates = flags & libc::O_CREAT != 0 || flags & libc::O_TMPFILE == libc::O_TMPFILE;
    check(usize::from(creates), 0);
}
