//! The hook of `syscall`, by which std, parking_lot and tokio make threads wait and wake them.
//!
//! A futex call is recorded as a wait, a wake or a requeue; its resource is the address. Other
//! calls are recorded as the function that makes the same system call, or by their number.
//!
//! Invariants and the macro are in `hook`.

use crate::os::fd::{address, forget, kind, number as numbered, resource};
use crate::os::hook::{hooks, observe};
use libc::{c_int, c_long};
use trace_format::id::CallId;

/// Calls that do not return, or return twice: they are made without a record.
const LEFT_ALONE: [c_long; 7] = [
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_rt_sigreturn,
];

/// As [`LEFT_ALONE`].
#[cfg(target_arch = "x86_64")]
const LEFT_ALONE_HERE: [c_long; 2] = [libc::SYS_fork, libc::SYS_vfork];
#[cfg(target_arch = "aarch64")]
const LEFT_ALONE_HERE: [c_long; 0] = [];

/// Linux 5.14's operation; older versions of libc do not name it.
const FUTEX_LOCK_PI2: c_int = 13;

/// What a futex call does. Its operation is the second argument.
fn futex(operation: usize) -> CallId {
    let flags = libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME;
    match operation as c_int & !flags {
        libc::FUTEX_WAIT
        | libc::FUTEX_WAIT_BITSET
        | libc::FUTEX_WAIT_REQUEUE_PI
        | libc::FUTEX_LOCK_PI
        | FUTEX_LOCK_PI2 => CallId::FUTEX_WAIT,
        libc::FUTEX_WAKE | libc::FUTEX_WAKE_BITSET | libc::FUTEX_WAKE_OP => CallId::FUTEX_WAKE,
        libc::FUTEX_REQUEUE | libc::FUTEX_CMP_REQUEUE | libc::FUTEX_CMP_REQUEUE_PI => {
            CallId::FUTEX_REQUEUE
        }
        _ => CallId::FUTEX_OTHER,
    }
}

/// Whether a system call waits on a futex.
#[inline(always)]
fn waits(number: c_long, operation: usize) -> bool {
    number == libc::SYS_futex && futex(operation) == CallId::FUTEX_WAIT
}

/// System calls that have a function, all about the descriptor in the first argument.
const OF_DESCRIPTORS: [(c_long, CallId); 32] = [
    (libc::SYS_read, CallId::READ),
    (libc::SYS_write, CallId::WRITE),
    (libc::SYS_pread64, CallId::PREAD64),
    (libc::SYS_pwrite64, CallId::PWRITE64),
    (libc::SYS_readv, CallId::READV),
    (libc::SYS_writev, CallId::WRITEV),
    (libc::SYS_preadv, CallId::PREADV),
    (libc::SYS_pwritev, CallId::PWRITEV),
    (libc::SYS_recvfrom, CallId::RECVFROM),
    (libc::SYS_sendto, CallId::SENDTO),
    (libc::SYS_recvmsg, CallId::RECVMSG),
    (libc::SYS_sendmsg, CallId::SENDMSG),
    (libc::SYS_accept, CallId::ACCEPT),
    (libc::SYS_accept4, CallId::ACCEPT4),
    (libc::SYS_connect, CallId::CONNECT),
    (libc::SYS_close, CallId::CLOSE),
    (libc::SYS_fsync, CallId::FSYNC),
    (libc::SYS_fdatasync, CallId::FDATASYNC),
    (libc::SYS_sendfile, CallId::SENDFILE),
    (libc::SYS_epoll_pwait, CallId::EPOLL_PWAIT),
    (libc::SYS_epoll_pwait2, CallId::EPOLL_PWAIT2),
    (libc::SYS_fstat, CallId::FSTAT),
    (libc::SYS_ftruncate, CallId::FTRUNCATE),
    (libc::SYS_fallocate, CallId::FALLOCATE),
    (libc::SYS_shutdown, CallId::SHUTDOWN),
    (libc::SYS_bind, CallId::BIND),
    (libc::SYS_listen, CallId::LISTEN),
    (libc::SYS_flock, CallId::FLOCK),
    (libc::SYS_copy_file_range, CallId::COPY_FILE_RANGE),
    (libc::SYS_splice, CallId::SPLICE),
    (libc::SYS_tee, CallId::SPLICE),
    (libc::SYS_getdents64, CallId::GETDENTS64),
];

/// System calls that have a function, recorded without a resource.
const OF_NOTHING: [(c_long, CallId); 11] = [
    (libc::SYS_openat, CallId::OPENAT),
    (libc::SYS_ppoll, CallId::PPOLL),
    (libc::SYS_pselect6, CallId::PSELECT),
    (libc::SYS_nanosleep, CallId::NANOSLEEP),
    (libc::SYS_clock_nanosleep, CallId::CLOCK_NANOSLEEP),
    (libc::SYS_sched_yield, CallId::SCHED_YIELD),
    (libc::SYS_statx, CallId::STATX),
    (libc::SYS_newfstatat, CallId::FSTATAT),
    (libc::SYS_getrandom, CallId::GETRANDOM),
    (libc::SYS_socket, CallId::SOCKET),
    (libc::SYS_madvise, CallId::MADVISE),
];

/// As [`OF_DESCRIPTORS`], where the older calls are still there.
#[cfg(target_arch = "x86_64")]
const OF_DESCRIPTORS_HERE: [(c_long, CallId); 1] = [(libc::SYS_epoll_wait, CallId::EPOLL_WAIT)];
#[cfg(target_arch = "aarch64")]
const OF_DESCRIPTORS_HERE: [(c_long, CallId); 0] = [];

/// As [`OF_NOTHING`], where the older calls are still there.
#[cfg(target_arch = "x86_64")]
const OF_NOTHING_HERE: [(c_long, CallId); 3] = [
    (libc::SYS_open, CallId::OPEN),
    (libc::SYS_poll, CallId::POLL),
    (libc::SYS_select, CallId::SELECT),
];
#[cfg(target_arch = "aarch64")]
const OF_NOTHING_HERE: [(c_long, CallId); 0] = [];

/// A system call as it stands in a trace.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeenCall {
    pub(super) call: CallId,
    about: About,
}

#[derive(Clone, Copy, Debug)]
enum About {
    Address(usize),
    Descriptor(c_int),
    Process(c_int),
    Number(c_long),
    Nothing,
}

impl SeenCall {
    /// From a number and its first two arguments; `None` for a call that is not recorded.
    pub(super) fn new(number: c_long, first: usize, second: usize) -> Option<Self> {
        if LEFT_ALONE.contains(&number) || LEFT_ALONE_HERE.contains(&number) {
            return None;
        }
        if number == libc::SYS_futex {
            return Some(Self { call: futex(second), about: About::Address(first) });
        }
        let mut of_descriptors = OF_DESCRIPTORS.iter().chain(&OF_DESCRIPTORS_HERE);
        let mut of_nothing = OF_NOTHING.iter().chain(&OF_NOTHING_HERE);
        let seen = if let Some(&(_, call)) = of_descriptors.find(|each| each.0 == number) {
            Self { call, about: About::Descriptor(first as c_int) }
        } else if let Some(&(_, call)) = of_nothing.find(|each| each.0 == number) {
            Self { call, about: About::Nothing }
        } else if number == libc::SYS_wait4 {
            Self { call: CallId::WAIT4, about: About::Process(first as c_int) }
        } else if number == libc::SYS_waitid {
            Self { call: CallId::WAITID, about: About::Process(second as c_int) }
        } else {
            Self { call: CallId::SYSCALL, about: About::Number(number) }
        };
        Some(seen)
    }

    /// The id of what it is about.
    pub(super) fn resource(self) -> u32 {
        match self.about {
            About::Address(place) => address(place),
            About::Descriptor(descriptor) => resource(descriptor),
            About::Process(id) => numbered(kind::PROCESS, i64::from(id) as u64),
            About::Number(number) => numbered(kind::NUMBER, number as u64),
            About::Nothing => 0,
        }
    }
}

/// `syscall` while a trace runs.
#[inline(always)]
fn seen(number: c_long, first: usize, second: usize, real: impl FnOnce() -> c_long) -> c_long {
    let Some(seen) = SeenCall::new(number, first, second) else { return real() };
    let result = observe(seen.call, || seen.resource(), real);
    if matches!(seen.call, CallId::CLOSE | CallId::CONNECT) {
        forget(first as c_int);
    } else if matches!(seen.call, CallId::SYSCALL | CallId::OPEN | CallId::OPENAT | CallId::SOCKET)
        || matches!(seen.call, CallId::ACCEPT | CallId::ACCEPT4)
    {
        // The result may be a new descriptor. If it is not, the system is asked about one once
        // more.
        forget(c_int::try_from(result).unwrap_or(-1));
    }
    result
}

hooks! { real:
    fn syscall(
        call_number: c_long, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize,
    ) -> c_long,
        crate::sys::raw::invoke(call_number, [a, b, c, d, e, f]) as c_long,
        seen(call_number, a, b, real), looks if waits(call_number, b);
}
