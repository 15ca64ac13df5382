//! Systems on which the recorder uses only what Rust's std offers: Windows.

use crate::sys::standstill::{Suspended, ThreadCounts};
use std::sync::OnceLock;
use std::time::Instant;
use trace_format::time::Nanos;

/// Whether a trace can be recorded here.
pub(crate) const IS_SUPPORTED: bool = true;

/// There is no `fork`, so `forked` is never called.
pub(crate) fn at_fork(forked: extern "C" fn()) {
    let _ = forked;
}

/// Nanoseconds since the first call; at least 1, for 0 is no time.
pub(crate) fn monotonic() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64 + 1
}

/// CPU time this thread has used: std does not know.
pub(crate) fn thread_cpu() -> u64 {
    0
}

/// CPU time that a thread of this process has used: std does not know.
pub(crate) fn thread_cpu_of(os_id: u64) -> Option<u64> {
    let _ = os_id;
    None
}

/// The executable.
pub(crate) fn program() -> Option<std::path::PathBuf> {
    std::env::current_exe().ok()
}

/// The time of day, in nanoseconds since 1970.
pub(crate) fn wall() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}

/// There is no second clock to compare with.
pub(crate) fn check_clock() {}

/// As above.
pub(crate) fn clock_faked_by() -> Option<i64> {
    None
}

/// How long the machine has been suspended: std does not know.
pub(crate) fn suspended() -> Suspended {
    Suspended { min: Nanos(0), max: Nanos(0) }
}

/// What the system has counted for the calling thread: std does not know.
pub(crate) fn thread_counts() -> ThreadCounts {
    ThreadCounts::default()
}
