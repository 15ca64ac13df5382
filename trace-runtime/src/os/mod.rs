//! Threads, blocking and system calls of the program, without annotations.
//!
//! Where `os_hooks` is set, the program's own definitions of libc's functions are in here; elsewhere
//! nothing is, and a trace says so.

use crate::thread::Thread;
use std::sync::Arc;

/// The calling thread's state, if it was made for it when the trace began.
pub(crate) fn claim() -> Option<Arc<Thread>> {
    None
}
