//! What the collector collects beside the threads' batches: what the kernel, the allocator and the
//! system tell. Each is a [`Source`], made anew for every trace, and used on the collector's thread
//! only, except for its making. `proc_folder` says whether `/proc` can be read.

#[cfg(all(any(feature = "os", feature = "sched"), target_os = "linux", not(exectrace_loom)))]
pub(crate) mod proc_folder;

use crate::output::Output;
use std::fmt;
use std::time::Duration;

/// One of them. Nothing in it may wait for a recording thread.
pub(crate) trait Source: Send + fmt::Debug {
    /// The trace begins: on the thread that starts it, before any event is recorded.
    fn begin(&mut self, output: &mut Output) {
        let _ = output;
    }

    /// The threads' batches have just been collected.
    fn collect(&mut self, output: &mut Output) {
        let _ = output;
    }

    /// A generation has begun: what a reader needs to start here.
    fn cut(&mut self, output: &mut Output) {
        let _ = output;
    }

    /// The trace ends: nothing is recorded any more. The last call.
    fn stop(&mut self, output: &mut Output) {
        let _ = output;
    }

    /// How often [`Source::collect`] is wanted at least, while it is: `None` for whenever.
    fn collect_every(&self) -> Option<Duration> {
        None
    }
}
