//! Hooks of starting processes.
//!
//! `posix_spawn` returns when the child has begun its program, or failed to. It is more than a
//! system call, which could not take its place: in a static program this file is left out. glibc's
//! child, which shares the parent's memory, calls none of the hooked functions.
//!
//! Invariants and the macro are in `hook`.
//!
//! May contain `unsafe`: it defines functions for others to call, and reads the child's id.

use crate::os::hook::{hooks, observe};
use crate::os::result::{CallResult, ReturnedErrno};
use libc::{c_char, c_int, pid_t, posix_spawn_file_actions_t, posix_spawnattr_t};
use trace_format::id::CallId;

hooks! { real:
    fn posix_spawn(
        into: *mut pid_t, path: *const c_char, actions: *const posix_spawn_file_actions_t,
        attributes: *const posix_spawnattr_t, arguments: *const *mut c_char,
        environment: *const *mut c_char,
    ) -> ReturnedErrno,
        ReturnedErrno(libc::EAGAIN),
        spawning(into, real);
    fn posix_spawnp(
        into: *mut pid_t, name: *const c_char, actions: *const posix_spawn_file_actions_t,
        attributes: *const posix_spawnattr_t, arguments: *const *mut c_char,
        environment: *const *mut c_char,
    ) -> ReturnedErrno,
        ReturnedErrno(libc::EAGAIN),
        spawning(into, real);
}

/// Either of them while a trace runs.
fn spawning(into: *const pid_t, real: impl FnOnce() -> ReturnedErrno) -> ReturnedErrno {
    observe(CallId::POSIX_SPAWN, || 0, || StartedProcess { failure: real(), into }).failure
}

/// A process that was started, or why it was not.
#[derive(Clone, Copy, Debug)]
struct StartedProcess {
    failure: ReturnedErrno,
    /// Where libc writes its id, or null.
    into: *const pid_t,
}

impl CallResult for StartedProcess {
    fn outcome(self, errno: c_int) -> i64 {
        if self.failure.0 != 0 || self.into.is_null() {
            return self.failure.outcome(errno);
        }
        // SAFETY: libc has written the id to this place of the caller's.
        i64::from(unsafe { self.into.read() })
    }
}
