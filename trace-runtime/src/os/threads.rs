//! Hooks of making, joining and naming threads, and of looking up hosts.
//!
//! These functions are more than a system call, which could not take their place: in a static
//! program this file is left out. Threads are known from their first event on then, without a
//! parent.
//!
//! Invariants and the macro are in `hook`.
//!
//! May contain `unsafe`: it defines functions for others to call, and hands a new thread its start
//! routine.

use crate::os::fd::{kind, number};
use crate::os::handle;
use crate::os::hook::{self, foreign, hooks, observe, system};
use crate::os::result::{CallResult, ReturnedErrno};
use crate::os::waiting;
use crate::sys::errno;
use crate::thread::attach::{self, Arrival, ThreadSpawn};
use crate::thread::local;
use libc::{addrinfo, c_char, c_int, c_void, pthread_attr_t, pthread_t};
use std::ffi::CStr;
use trace_format::id::{CallId, ThreadId};

/// The function that a thread runs.
type Routine = foreign!(fn(*mut c_void) -> *mut c_void);

/// A result that is a number, and no errno.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(super) struct ReturnedCode(c_int);

impl CallResult for ReturnedCode {
    fn outcome(self, _: c_int) -> i64 {
        i64::from(self.0)
    }
}

hooks! { real:
    fn pthread_create(
        into: *mut pthread_t, attributes: *const pthread_attr_t, routine: Routine,
        argument: *mut c_void,
    ) -> ReturnedErrno,
        ReturnedErrno(libc::EAGAIN),
        // SAFETY: the arguments are the caller's, who promises what the function wants.
        unsafe { create(into, attributes, routine, argument) };
    fn pthread_join(thread: pthread_t, result: *mut *mut c_void) -> ReturnedErrno,
        ReturnedErrno(libc::ESRCH),
        // SAFETY: the caller of `pthread_join` has a valid handle.
        observe(CallId::PTHREAD_JOIN, || unsafe { joined(thread) }, real), looks if true;
    fn pthread_setname_np(thread: pthread_t, name: *const c_char) -> ReturnedErrno,
        ReturnedErrno(libc::ENOSYS),
        {
            let result = real();
            if result.0 == 0 && is_own(thread) {
                // SAFETY: the function has read it, so it is a string.
                unsafe { note_name(name) };
            }
            result
        };
    fn prctl(option: c_int, a: usize, b: usize, c: usize, d: usize) -> c_int,
        system!(SYS_prctl, option, a, b, c, d),
        {
            let result = real();
            if result == 0 && option == libc::PR_SET_NAME {
                // SAFETY: the kernel has read it, so it is a string.
                unsafe { note_name(a as *const c_char) };
            }
            result
        };
    fn getaddrinfo(
        host: *const c_char, service: *const c_char, hints: *const addrinfo,
        into: *mut *mut addrinfo,
    ) -> ReturnedCode,
        ReturnedCode(libc::EAI_SYSTEM),
        observe(CallId::GETADDRINFO, || 0, real);
}

/// # Safety
/// The handle is valid.
unsafe fn joined(thread: pthread_t) -> u32 {
    // SAFETY: the caller's promise.
    number(kind::THREAD, unsafe { handle::system_id(thread) })
}

fn is_own(thread: pthread_t) -> bool {
    // SAFETY: `pthread_self` takes nothing and cannot fail.
    thread == unsafe { libc::pthread_self() }
}

/// What a new thread gets to begin with.
struct ThreadStartArguments {
    routine: Routine,
    argument: *mut c_void,
    spawn: ThreadSpawn,
}

/// `pthread_create` while a trace runs: the thread first attaches itself.
///
/// # Safety
/// That of `pthread_create`.
unsafe fn create(
    into: *mut pthread_t,
    attributes: *const pthread_attr_t,
    routine: Routine,
    argument: *mut c_void,
) -> ReturnedErrno {
    if local::is_suppressed() {
        // SAFETY: the caller's promise.
        return unsafe { call::pthread_create(into, attributes, routine, argument) };
    }
    let (begun, start) = errno::keeping(|| {
        let begun = hook::begin(CallId::PTHREAD_CREATE, 0);
        let mut parent = ThreadId(0);
        local::with_attached(|thread| parent = thread.id);
        let _suppressed = local::suppress();
        let is_known = !waiting::is_looking();
        let (stack, entry) = (begun.stack(), routine as usize as u64);
        let spawn = ThreadSpawn { parent, stack, entry, is_known };
        (begun, Box::into_raw(Box::new(ThreadStartArguments { routine, argument, spawn })))
    });
    // SAFETY: the caller's promise; `begin_thread` is a routine, and `start` is the argument that
    // it wants.
    let result = unsafe { call::pthread_create(into, attributes, begin_thread, start.cast()) };
    if result.0 != 0 {
        // SAFETY: no thread was made that could take it.
        _ = unsafe { take(start) };
    }
    hook::end(begun, result);
    result
}

/// # Safety
/// `start` came from `Box::into_raw`, and no other call takes it.
unsafe fn take(start: *mut ThreadStartArguments) -> ThreadStartArguments {
    errno::keeping(|| {
        let _suppressed = local::suppress();
        // SAFETY: the caller's promise.
        let start = unsafe { Box::from_raw(start) };
        *start
    })
}

foreign! {
    /// The routine of threads that are made while a trace runs. It holds nothing that has to be
    /// dropped while the program's own routine runs (C2).
    ///
    /// # Safety
    /// `start` was made by [`create`], for this thread alone.
    fn begin_thread(start: *mut c_void) -> *mut c_void {
        // SAFETY: the caller's promise.
        let ThreadStartArguments { routine, argument, spawn } = unsafe { take(start.cast()) };
        errno::keeping(|| attach::arrive(Arrival { spawn: Some(spawn), result: 0 }));
        // SAFETY: the program has given this routine and argument together.
        unsafe { routine(argument) }
    }
}

/// The calling thread has a new name. Rust's name is preferred if it begins with the system's: the
/// system cuts names at 15 bytes.
///
/// # Safety
/// `name` is a string.
unsafe fn note_name(name: *const c_char) {
    if local::is_suppressed() {
        return;
    }
    errno::keeping(|| {
        let ticks = crate::sys::clock::ticks();
        local::with_attached(|thread| {
            let _suppressed = local::suppress();
            // SAFETY: the caller's promise.
            let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
            let full = crate::thread::naming::rust_name().filter(|full| full.starts_with(&*name));
            let name = full.unwrap_or_else(|| name.into_owned());
            thread.session.note_name(thread.id, ticks, name);
        });
    });
}
