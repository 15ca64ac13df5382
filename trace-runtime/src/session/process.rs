//! What this process knows about its traces, to be read without a lock: whether one runs, and
//! which; how many forks there were; which ids call sites have; how many lost events no thread's
//! state counts; and the executable's name.
//!
//! After a fork the child has no trace; its counters go on from the parent's.
//!
//! Elsewhere: who starts and stops traces, and its locks (`start/recorder`).

use crate::base::primitive::Ordering;
use crate::base::primitive::global::{AtomicBool, AtomicU32, AtomicU64};
use crate::session::Session;
use crate::session::running::Borrowed;
#[cfg(not(exectrace_loom))]
use crate::session::running::Running;
use crate::sys;
use std::sync::{Arc, OnceLock};

/// Whether a trace runs.
static ENABLED: AtomicBool = AtomicBool::new(false);

/// How many call sites have an id.
static SITES: AtomicU32 = AtomicU32::new(0);

/// The session that threads may attach to, for code that must not take a lock.
#[cfg(not(exectrace_loom))]
static RUNNING: Running<Session> = Running::new();

/// Number of traces that were started; what outlives a trace notices the next one by it.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Number of forks: what a process began does not belong to its forked child.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// Events lost by threads that could not be attached, or while recording was suppressed.
static UNATTACHED: AtomicU64 = AtomicU64::new(0);

/// Threads may attach to this session from now on.
pub(crate) fn begin(session: &Arc<Session>) {
    #[cfg(not(exectrace_loom))]
    RUNNING.set(session);
    NUMBER.fetch_add(1, Ordering::Relaxed);
    ENABLED.store(true, Ordering::Release);
    let _ = session;
}

/// Ends the trace: first `is_enabled` becomes false, then no thread may attach.
///
/// - `between`: called between the two.
pub(crate) fn end(between: impl FnOnce()) {
    ENABLED.store(false, Ordering::Release);
    between();
    #[cfg(not(exectrace_loom))]
    RUNNING.clear();
}

/// In the child, after a fork: there is no trace. Only stores words.
pub(crate) fn forked() {
    ENABLED.store(false, Ordering::Relaxed);
    FORKS.fetch_add(1, Ordering::Relaxed);
    #[cfg(not(exectrace_loom))]
    RUNNING.forget();
}

/// Whether a trace is running.
#[inline(always)]
#[must_use]
pub fn is_enabled() -> bool {
    ENABLED.load(Ordering::Relaxed)
}

/// The number of the trace that runs, or ran last; the first has 1.
#[inline(always)]
pub(crate) fn number() -> u64 {
    NUMBER.load(Ordering::Relaxed)
}

/// The session that threads may attach to.
#[cfg(not(exectrace_loom))]
pub(crate) fn running() -> Option<Borrowed<'static, Session>> {
    if is_enabled() { RUNNING.borrow() } else { None }
}

/// Models attach their threads by hand.
#[cfg(exectrace_loom)]
pub(crate) fn running() -> Option<Borrowed<'static, Session>> {
    None
}

/// Counts lost events that no thread's state can count.
pub(crate) fn lose_unattached(events: u64) {
    if events > 0 && is_enabled() {
        UNATTACHED.fetch_add(events, Ordering::Relaxed);
    }
}

/// What [`lose_unattached`] has counted in this session.
pub(crate) fn unattached() -> u64 {
    UNATTACHED.load(Ordering::Relaxed)
}

/// How many forks lie between the first process and this one.
pub(crate) fn forks() -> u32 {
    FORKS.load(Ordering::Relaxed)
}

/// Resets the count of [`unattached`]: a session begins.
pub(crate) fn forget_unattached() {
    UNATTACHED.store(0, Ordering::Relaxed);
}

/// The id of a call site that has none yet.
pub(crate) fn next_site() -> u32 {
    SITES.fetch_add(1, Ordering::Relaxed) + 1
}

/// The executable's file name.
pub(crate) fn executable() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let path = sys::program().unwrap_or_default();
        path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    })
}
