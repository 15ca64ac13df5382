//! WebAssembly: without threads, clock and process ids nothing can be recorded.
//!
//! `Instant::now` and `process::id` panic on `wasm32-unknown-unknown`, and a blocking wait would
//! never end, so nothing may call them: `recorder` refuses to start before it calls any of them,
//! and without a session no event reads a clock.

use crate::sys::standstill::{Suspended, ThreadCounts};
use trace_format::time::Nanos;

/// Whether a trace can be recorded here.
pub(crate) const IS_SUPPORTED: bool = false;

/// There is no `fork`, so `forked` is never called.
pub(crate) fn at_fork(forked: extern "C" fn()) {
    let _ = forked;
}

/// There is no clock. The result is never 0, which stands for no time.
pub(crate) fn monotonic() -> u64 {
    1
}

/// There is no clock.
pub(crate) fn thread_cpu() -> u64 {
    0
}

/// CPU time that a thread of this process has used: there is no clock.
pub(crate) fn thread_cpu_of(os_id: u64) -> Option<u64> {
    let _ = os_id;
    None
}

/// There is no executable.
pub(crate) fn program() -> Option<std::path::PathBuf> {
    None
}

/// There is no clock.
pub(crate) fn wall() -> u64 {
    0
}

/// There is no clock to check.
pub(crate) fn check_clock() {}

/// As above.
pub(crate) fn clock_faked_by() -> Option<i64> {
    None
}

/// How long the machine has been suspended: there is no clock.
pub(crate) fn suspended() -> Suspended {
    Suspended { min: Nanos(0), max: Nanos(0) }
}

/// What the system has counted for the calling thread: there is no system.
pub(crate) fn thread_counts() -> ThreadCounts {
    ThreadCounts::default()
}
