//! Hooks of sending and receiving several messages at once.
//!
//! What is recorded as the result is the bytes of all messages, as of other calls that read and
//! write. Where there is no second definition to call, each libc has its own idea of what the
//! kernel makes of a list of messages; so in a static program this file is left out.
//!
//! Invariants and the macro are in `hook`.
//!
//! May contain `unsafe`: it defines functions for others to call, and reads what libc has written.

use crate::os::fd::resource;
use crate::os::hook::{Outcome, hooks, observe, system};
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

/// The messages that went, or -1.
#[derive(Clone, Copy, Debug)]
struct Messages {
    count: c_int,
    list: *const mmsghdr,
}

impl Outcome for Messages {
    fn outcome(self, errno: c_int) -> i64 {
        let Ok(count) = usize::try_from(self.count) else { return -i64::from(errno) };
        let bytes = |at: usize| {
            // SAFETY: `add` wants a place in the list: the kernel has gone through `count`.
            let message = unsafe { self.list.add(at) };
            // SAFETY: `read` wants a message: the caller's own, of which the kernel has written the
            // length.
            let message = unsafe { message.read() };
            i64::from(message.msg_len)
        };
        (0..count).map(bytes).sum()
    }
}
