//! Where musl differs from glibc: functions that share an object file with hooked ones, and the
//! layout of messages.
//!
//! A linker takes whole object files out of libc's archive. musl has `epoll_ctl` and `epoll_wait`
//! in the same object: a program that calls `epoll_ctl` would get a second definition of
//! `epoll_wait` besides the hook, and fail to link. So this file has each function that shares an
//! object with a hooked one. They only make their call; none of them waits.
//!
//! In the child, `posix_spawn` closes a descriptor by the function `close`, in the parent's memory,
//! on a stack of 5 KiB inside the parent's frame: a hook that records there would overwrite the
//! arguments of the child. So in another process it only makes its call.
//!
//! musl's counts in a message's header have 32 bits and padding, which the caller need not clear,
//! where the kernel's have 64 bits.
//!
//! Invariants and the macro are in `hook`.
//!
//! May contain `unsafe`: it defines functions for others to call.

use crate::base::primitive::Ordering;
use crate::base::primitive::global::AtomicU32;
use crate::os::hook::{hooks, system};
use crate::sys::errno;
use crate::sys::raw;
use libc::{c_int, c_void, epoll_event, itimerspec, msghdr, ssize_t};

/// The process that records.
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// A trace begins, in this process.
pub(super) fn begin() {
    PROCESS.store(std::process::id(), Ordering::Relaxed);
}

/// Whether this is the child of `posix_spawn`, or of `vfork`, which shares the memory of the
/// process that records. This asks the kernel, which takes a tenth of a microsecond more.
pub(super) fn is_in_borrowed_memory() -> bool {
    // SAFETY: the call takes nothing and cannot fail.
    let own = unsafe { raw::bare(libc::SYS_getpid, [0; 6]) };
    own as u32 != PROCESS.load(Ordering::Relaxed)
}

/// The most bytes of control messages that can be sent at once: musl's own limit.
const CONTROL_BYTES_MAX: usize = 1024;

hooks! { real:
    fn epoll_ctl(set: c_int, what: c_int, fd: c_int, event: *mut epoll_event) -> c_int,
        system!(SYS_epoll_ctl, set, what, fd, event), real();
    fn eventfd_read(fd: c_int, value: *mut u64) -> c_int,
        eventfd_read_instead(fd, value), real();
    fn timerfd_gettime(fd: c_int, now: *mut itimerspec) -> c_int,
        system!(SYS_timerfd_gettime, fd, now), real();
    fn timerfd_settime(
        fd: c_int, flags: c_int, new: *const itimerspec, old: *mut itimerspec,
    ) -> c_int,
        system!(SYS_timerfd_settime, fd, flags, new, old), real();
}

/// # Safety
/// That of a system call: the descriptor is the program's, and so is the place.
unsafe fn eventfd_read_instead(fd: c_int, value: *mut u64) -> c_int {
    // SAFETY: `read` wants room for that many bytes: the caller's promise.
    let read: ssize_t = unsafe { system!(SYS_read, fd, value, size_of::<u64>()) };
    if read == size_of::<u64>() as ssize_t { 0 } else { -1 }
}

/// A message's header as the kernel has it.
#[derive(Debug)]
#[repr(C)]
struct MessageHeader {
    name: *mut c_void,
    name_bytes: c_int,
    slices: *mut libc::iovec,
    slice_count: usize,
    control: *mut c_void,
    control_bytes: usize,
    flags: c_int,
}

impl MessageHeader {
    fn new(message: &msghdr) -> Self {
        Self {
            name: message.msg_name,
            name_bytes: message.msg_namelen as c_int,
            slices: message.msg_iov,
            slice_count: message.msg_iovlen as usize,
            control: message.msg_control,
            control_bytes: message.msg_controllen as usize,
            flags: message.msg_flags,
        }
    }
}

/// # Safety
/// That of `recvmsg`.
pub(super) unsafe fn recvmsg_instead(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    // SAFETY: a unique reference wants a header that no other code uses: the caller's promise.
    let message = unsafe { &mut *message };
    let mut header = MessageHeader::new(message);
    // SAFETY: the caller's promise; the header is a copy that refers to the same memory.
    let result = unsafe { system!(SYS_recvmsg, fd, &raw mut header, flags) };
    message.msg_namelen = header.name_bytes as libc::socklen_t;
    message.msg_controllen = header.control_bytes as libc::socklen_t;
    message.msg_flags = header.flags;
    result
}

/// # Safety
/// That of `sendmsg`.
pub(super) unsafe fn sendmsg_instead(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    // SAFETY: a shared reference wants a header that no code writes to: the caller's promise.
    let message = unsafe { &*message };
    let mut header = MessageHeader::new(message);
    let mut control = ControlBytes([0; CONTROL_BYTES_MAX]);
    if header.control_bytes > 0 {
        let Some(place) = control.0.get_mut(..header.control_bytes) else {
            // SAFETY: `errno` is the thread's own.
            unsafe { errno::place().write(libc::ENOMEM) };
            return -1;
        };
        // SAFETY: that many bytes can be read there: the caller's promise. `place` is ours, and has
        // the same length.
        unsafe { header.control.cast::<u8>().copy_to(place.as_mut_ptr(), header.control_bytes) };
        clear_padding(place);
        header.control = place.as_mut_ptr().cast();
    }
    // SAFETY: the caller's promise; header and control messages are copies.
    unsafe { system!(SYS_sendmsg, fd, &raw const header, flags) }
}

/// Control messages, aligned as the kernel and libc want them.
#[derive(Debug)]
#[repr(align(8))]
struct ControlBytes([u8; CONTROL_BYTES_MAX]);

/// Clears the padding behind the length of each control message.
fn clear_padding(mut messages: &mut [u8]) {
    const LENGTH_BYTES: usize = size_of::<libc::socklen_t>();
    while messages.len() >= size_of::<libc::cmsghdr>() {
        let (length, behind) = messages.split_at_mut(LENGTH_BYTES);
        let length = length.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes)) as usize;
        behind[..LENGTH_BYTES].fill(0);
        let next = length.max(size_of::<libc::cmsghdr>()).next_multiple_of(size_of::<usize>());
        messages = messages.get_mut(next..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_padding_is_cleared() {
        let message = |bytes: u32, padding: u8, data: &[u8]| {
            let mut all = bytes.to_ne_bytes().to_vec();
            all.extend([padding; 4]);
            all.extend([1, 2, 3, 4, 5, 6, 7, 8]);
            all.extend(data);
            all.resize(all.len().next_multiple_of(8), 9);
            all
        };
        let all = |padding| {
            [message(20, padding, &[7; 4]), message(17, padding, &[8]), vec![5; 3]].concat()
        };
        let mut bytes = all(0xff);
        clear_padding(&mut bytes);
        assert_eq!(bytes, all(0));
        // A length that leads nowhere.
        let mut wrong = message(u32::MAX, 0xff, &[]);
        clear_padding(&mut wrong);
        assert_eq!(wrong, message(u32::MAX, 0, &[]));
    }
}
