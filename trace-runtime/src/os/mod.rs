//! Threads, blocking and system calls of the program, without annotations.
//!
//! The program gets its own definitions of some of libc's functions. Each calls the real one, and
//! while a trace runs records the call: begin, end, result, what it was about, and from where it
//! was called. Where `os_hooks` is not set, none of this is compiled, and a trace says so.
//!
//! - `hook`: what every hook does, and the macro that makes them; `mode`: whether hooks have work
//!   to do; `real`: where libc's real functions are; `result`: what a result says in a trace.
//! - `files`, `folders`, `fortified`, `io`, `messages`, `older`, `processes`, `sync`, `threads`,
//!   `wait`: the hooks, by family.
//! - `musl`: where that libc differs.
//! - `fd`, `handle`: what descriptors and threads' handles stand for.
//! - `waiting`: threads that were there before the trace.
//! - `watch`: what a trace says about recorded calls.
//!
//! Elsewhere: system calls without libc (`sys/raw`).
//!
#![doc = include_str!("hooks.md")]

#[cfg(os_hooks)]
pub(crate) mod fd;
#[cfg(os_hooks)]
mod files;
#[cfg(os_threads)]
mod folders;
#[cfg(os_hooks)]
mod fortified;
#[cfg(os_threads)]
mod handle;
#[cfg(os_hooks)]
mod hook;
#[cfg(os_hooks)]
mod io;
#[cfg(os_threads)]
mod messages;
#[cfg(os_hooks)]
mod mode;
#[cfg(all(os_hooks, target_env = "musl"))]
mod musl;
#[cfg(os_threads)]
mod older;
#[cfg(os_threads)]
mod processes;
#[cfg(os_hooks)]
mod real;
#[cfg(os_hooks)]
mod result;
#[cfg(os_hooks)]
mod sync;
#[cfg(os_threads)]
mod threads;
#[cfg(os_hooks)]
mod wait;
#[cfg(os_hooks)]
mod waiting;
#[cfg(feature = "os")]
mod watch;

#[cfg(os_hooks)]
use crate::session::Session;
use crate::thread::thread_ref::ThreadRef;
#[cfg(os_hooks)]
use std::sync::Arc;
#[cfg(feature = "os")]
pub(crate) use watch::CallSource;

/// Only musl's object files hold further functions beside hooked ones.
#[cfg(all(os_hooks, not(target_env = "musl")))]
mod musl {
    pub(super) const REAL: &[&super::real::Real] = &[];
    pub(super) const HOOKS: &[*const ()] = &[];

    pub(super) fn begin() {}

    pub(super) const fn is_in_borrowed_memory() -> bool {
        false
    }
}

/// In a static program no system call could take the place of these functions.
#[cfg(all(os_hooks, not(os_threads)))]
mod folders {
    pub(super) static REAL: &[&super::real::Real] = &[];
    pub(super) const HOOKS: &[*const ()] = &[];
}

/// As above.
#[cfg(all(os_hooks, not(os_threads)))]
mod messages {
    pub(super) static REAL: &[&super::real::Real] = &[];
    pub(super) const HOOKS: &[*const ()] = &[];
}

/// As above.
#[cfg(all(os_hooks, not(os_threads)))]
mod older {
    pub(super) static REAL: &[&super::real::Real] = &[];
    pub(super) const HOOKS: &[*const ()] = &[];
}

/// As above.
#[cfg(all(os_hooks, not(os_threads)))]
mod processes {
    pub(super) static REAL: &[&super::real::Real] = &[];
    pub(super) const HOOKS: &[*const ()] = &[];
}

/// As above.
#[cfg(all(os_hooks, not(os_threads)))]
mod threads {
    pub(super) static REAL: &[&super::real::Real] = &[];
    pub(super) const HOOKS: &[*const ()] = &[];
}

/// A trace begins: threads may attach. The caller has suppressed recording.
#[cfg(os_hooks)]
pub(crate) fn begin(session: &Arc<Session>) {
    fd::forget_all();
    waiting::begin_looking();
    musl::begin();
    mode::set_on();
    waiting::look(session);
}

/// The trace ends. The caller has suppressed recording.
#[cfg(os_hooks)]
pub(crate) fn end() {
    mode::set_off();
    waiting::clear();
}

/// In a forked child: there is no trace. `goes_on`: there may be one later.
#[cfg(os_hooks)]
pub(crate) fn forked(goes_on: bool) {
    if goes_on {
        mode::set_forked()
    } else {
        mode::set_off()
    }
    waiting::forget();
}

/// In a forked child: calls no longer decide whether there will be a trace.
#[cfg(all(os_hooks, feature = "auto", target_os = "linux"))]
pub(crate) fn settle() {
    mode::set_off();
}

/// The calling thread's state, if it was made for it when the trace began.
///
/// - `is_new`: the thread was made while the trace ran: a state that was made for its id is an
///   ended thread's.
pub(crate) fn claim(is_new: bool) -> Option<ThreadRef> {
    #[cfg(os_hooks)]
    {
        #[cfg(os_threads)]
        handle::note(crate::thread::local::system_id());
        if is_new { waiting::bury() } else { return waiting::claim() }
    }
    let _ = is_new;
    None
}
