//! Hooks of waiting: for descriptors, for time, for processes.
//!
//! Invariants and the macro are in `hook`.
//!
//! May contain `unsafe`: it defines functions for others to call.

use crate::os::fd::{kind, number, resource};
use crate::os::hook::{hooks, observe, system};
use crate::os::result::ReturnedErrno;
use crate::sys::raw;
use libc::{c_int, c_uint, c_void, clockid_t, epoll_event, fd_set, id_t, idtype_t, nfds_t};
use libc::{pid_t, pollfd, rusage, siginfo_t, sigset_t, timespec, timeval};
use std::ptr;
use trace_format::id::CallId;

/// Bytes of the kernel's set of signals.
const SIGNALS_BYTES: usize = 8;

fn process(id: i64) -> u32 {
    number(kind::PROCESS, id as u64)
}

hooks! { real:
    fn poll(list: *mut pollfd, count: nfds_t, millis: c_int) -> c_int,
        poll_instead(list, count, millis),
        observe(CallId::POLL, || 0, real), looks if true;
    fn ppoll(
        list: *mut pollfd, count: nfds_t, time: *const timespec, signals: *const sigset_t,
    ) -> c_int,
        ppoll_instead(list, count, time, signals),
        observe(CallId::PPOLL, || 0, real), looks if true;
    fn select(
        count: c_int, read: *mut fd_set, write: *mut fd_set, except: *mut fd_set,
        time: *mut timeval,
    ) -> c_int,
        select_instead(count, [read, write, except], time),
        observe(CallId::SELECT, || 0, real), looks if true;
    fn pselect(
        count: c_int, read: *mut fd_set, write: *mut fd_set, except: *mut fd_set,
        time: *const timespec, signals: *const sigset_t,
    ) -> c_int,
        pselect_instead(count, [read, write, except], time, signals),
        observe(CallId::PSELECT, || 0, real), looks if true;
    fn epoll_wait(set: c_int, events: *mut epoll_event, count: c_int, millis: c_int) -> c_int,
        system!(SYS_epoll_pwait, set, events, count, millis, 0_usize, SIGNALS_BYTES),
        observe(CallId::EPOLL_WAIT, || resource(set), real), looks if true;
    fn epoll_pwait(
        set: c_int, events: *mut epoll_event, count: c_int, millis: c_int,
        signals: *const sigset_t,
    ) -> c_int,
        system!(SYS_epoll_pwait, set, events, count, millis, signals, SIGNALS_BYTES),
        observe(CallId::EPOLL_PWAIT, || resource(set), real), looks if true;
    fn epoll_pwait2(
        set: c_int, events: *mut epoll_event, count: c_int, time: *const timespec,
        signals: *const sigset_t,
    ) -> c_int,
        system!(SYS_epoll_pwait2, set, events, count, time, signals, SIGNALS_BYTES),
        observe(CallId::EPOLL_PWAIT2, || resource(set), real), looks if true;
    fn nanosleep(time: *const timespec, rest: *mut timespec) -> c_int,
        system!(SYS_nanosleep, time, rest),
        observe(CallId::NANOSLEEP, || 0, real), looks if true;
    fn clock_nanosleep(
        clock: clockid_t, flags: c_int, time: *const timespec, rest: *mut timespec,
    ) -> ReturnedErrno,
        clock_nanosleep_instead(clock, flags, time, rest),
        observe(CallId::CLOCK_NANOSLEEP, || 0, real), looks if true;
    fn usleep(micros: c_uint) -> c_int,
        usleep_instead(micros),
        observe(CallId::USLEEP, || 0, real), looks if true;
    fn sleep(seconds: c_uint) -> c_uint,
        sleep_instead(seconds),
        observe(CallId::SLEEP, || 0, real), looks if true;
    fn sched_yield() -> c_int,
        system!(SYS_sched_yield),
        observe(CallId::SCHED_YIELD, || 0, real);
    fn waitpid(which: pid_t, status: *mut c_int, flags: c_int) -> pid_t,
        system!(SYS_wait4, which, status, flags, 0_usize),
        observe(CallId::WAITPID, || process(i64::from(which)), real), looks if true;
    fn wait4(which: pid_t, status: *mut c_int, flags: c_int, usage: *mut rusage) -> pid_t,
        system!(SYS_wait4, which, status, flags, usage),
        observe(CallId::WAIT4, || process(i64::from(which)), real), looks if true;
    fn waitid(kind: idtype_t, which: id_t, into: *mut siginfo_t, flags: c_int) -> c_int,
        system!(SYS_waitid, kind, which, into, flags, 0_usize),
        observe(CallId::WAITID, || process(i64::from(which)), real), looks if true;
}

/// # Safety
/// That of `poll`.
unsafe fn poll_instead(list: *mut pollfd, count: nfds_t, millis: c_int) -> c_int {
    let time = timespec {
        tv_sec: (millis / 1000).into(),
        tv_nsec: libc::c_long::from(millis % 1000) * 1_000_000,
    };
    let time = if millis < 0 { ptr::null() } else { &raw const time };
    // SAFETY: the caller's promise; the time is a copy of ours.
    unsafe { system!(SYS_ppoll, list, count, time, 0_usize, SIGNALS_BYTES) }
}

/// The kernel overwrites the time with what is left of it; libc's callers do not expect that.
///
/// # Safety
/// That of `ppoll`.
unsafe fn ppoll_instead(
    list: *mut pollfd,
    count: nfds_t,
    time: *const timespec,
    signals: *const sigset_t,
) -> c_int {
    // SAFETY: a time that is given can be read: the caller's promise.
    let mut copy = (!time.is_null()).then(|| unsafe { time.read() });
    let time = copy.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
    // SAFETY: the caller's promise; the time is a copy of ours.
    unsafe { system!(SYS_ppoll, list, count, time, signals, SIGNALS_BYTES) }
}

/// # Safety
/// That of `select`.
unsafe fn select_instead(count: c_int, sets: [*mut fd_set; 3], time: *mut timeval) -> c_int {
    let mut left = timespec { tv_sec: 0, tv_nsec: 0 };
    if !time.is_null() {
        // SAFETY: a time that is given can be read: the caller's promise.
        let given = unsafe { time.read() };
        left = timespec { tv_sec: given.tv_sec, tv_nsec: given.tv_usec.saturating_mul(1000) };
    }
    let at = if time.is_null() { ptr::null_mut() } else { &raw mut left };
    let [read, write, except] = sets;
    // SAFETY: the caller's promise; the time is a copy of ours.
    let result = unsafe { system!(SYS_pselect6, count, read, write, except, at, 0_usize) };
    if !time.is_null() {
        let left = timeval { tv_sec: left.tv_sec, tv_usec: left.tv_nsec / 1000 };
        // SAFETY: on Linux `select` writes back the time that is left, so the caller promises that
        // it can be written to.
        unsafe { time.write(left) };
    }
    result
}

/// # Safety
/// That of `pselect`.
unsafe fn pselect_instead(
    count: c_int,
    sets: [*mut fd_set; 3],
    time: *const timespec,
    signals: *const sigset_t,
) -> c_int {
    // SAFETY: a time that is given can be read: the caller's promise.
    let mut copy = (!time.is_null()).then(|| unsafe { time.read() });
    let time = copy.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
    let mask = [signals as usize, SIGNALS_BYTES];
    let [read, write, except] = sets;
    // SAFETY: the caller's promise; the time is a copy, and the mask is laid out as the kernel
    // wants it.
    unsafe { system!(SYS_pselect6, count, read, write, except, time, mask.as_ptr()) }
}

/// # Safety
/// That of `clock_nanosleep`.
unsafe fn clock_nanosleep_instead(
    clock: clockid_t,
    flags: c_int,
    time: *const timespec,
    rest: *mut timespec,
) -> ReturnedErrno {
    let words = [clock as usize, flags as usize, time as usize, rest as usize, 0, 0];
    // SAFETY: the caller's promise.
    let result = unsafe { raw::bare(libc::SYS_clock_nanosleep, words) };
    ReturnedErrno(-result as c_int)
}

fn usleep_instead(micros: c_uint) -> c_int {
    let nanos = i64::from(micros % 1_000_000) * 1000;
    let time = timespec { tv_sec: (micros / 1_000_000).into(), tv_nsec: nanos };
    // SAFETY: `nanosleep` wants a time that it can read, and a place for the rest or null.
    unsafe { system!(SYS_nanosleep, &raw const time, ptr::null_mut::<c_void>()) }
}

fn sleep_instead(seconds: c_uint) -> c_uint {
    let mut time = timespec { tv_sec: seconds.into(), tv_nsec: 0 };
    let place = &raw mut time;
    // SAFETY: `nanosleep` wants a time that it can read, and a place for the rest.
    let result: c_int = unsafe { system!(SYS_nanosleep, place, place) };
    if result == 0 { 0 } else { time.tv_sec as c_uint + c_uint::from(time.tv_nsec >= 500_000_000) }
}
