//! Hooks of sending and receiving several messages at once.
//!
//! The recorded result is the bytes of all messages, as for other calls that read and write. Each
//! libc passes a list of messages to the kernel in its own way, which a system call could not
//! replace; so in a static program this file is left out.
//!
//! Invariants and the macro are in `hook`.
//!
//! May contain `unsafe`: it defines functions for others to call, and reads what libc has written.

use crate::os::fd::resource;
use crate::os::hook::{hooks, observe, system};
use crate::os::result::CallResult;
use libc::{c_int, c_uint, mmsghdr, timespec};
use trace_format::id::CallId;

hooks! { real:
    fn sendmmsg(fd: c_int, list: *mut mmsghdr, count: c_uint, flags: c_int) -> c_int,
        system!(SYS_sendmmsg, fd, list, count, flags),
        observe(CallId::SENDMMSG, || resource(fd), || Messages { count: real(), list }).count;
    fn recvmmsg(
        fd: c_int, list: *mut mmsghdr, count: c_uint, flags: c_int, time: *mut timespec,
    ) -> c_int,
        system!(SYS_recvmmsg, fd, list, count, flags, time),
        observe(CallId::RECVMMSG, || resource(fd), || Messages { count: real(), list }).count;
}

/// How many messages were sent or received, or -1.
#[derive(Clone, Copy, Debug)]
struct Messages {
    count: c_int,
    list: *const mmsghdr,
}

impl CallResult for Messages {
    fn outcome(self, errno: c_int) -> i64 {
        let Ok(count) = usize::try_from(self.count) else { return -i64::from(errno) };
        let bytes = |at: usize| {
            // SAFETY: `add` wants a place in the list: the kernel has handled `count` messages of
            // it.
            let message = unsafe { self.list.add(at) };
            // SAFETY: `read` wants a message: it is the caller's, and the kernel has written its
            // length.
            let message = unsafe { message.read() };
            i64::from(message.msg_len)
        };
        (0..count).map(bytes).sum()
    }
}
