//! What the collector collects in addition to the threads' batches: reports of the kernel, the
//! allocator and the system's library. Each is a [`Source`], made anew for every trace, and used on
//! the collector's thread only, once it is made. `proc_folder` says whether `/proc` can be read.

#[cfg(all(any(feature = "os", feature = "sched"), target_os = "linux", not(exectrace_loom)))]
pub(crate) mod proc_folder;

use crate::output::Outputs;
use std::fmt;
use std::time::Duration;

/// One source. None of its functions may wait for a recording thread.
pub(crate) trait Source: Send + fmt::Debug {
    /// The trace begins. Called on the thread that starts it, before any event is recorded.
    fn begin(&mut self, outputs: &mut Outputs) {
        let _ = outputs;
    }

    /// The threads' batches have just been collected.
    fn collect(&mut self, outputs: &mut Outputs) {
        let _ = outputs;
    }

    /// A generation has begun: defines what a reader that starts here needs.
    fn advance(&mut self, outputs: &mut Outputs) {
        let _ = outputs;
    }

    /// The trace ends: nothing is recorded any more. The last call.
    fn stop(&mut self, outputs: &mut Outputs) {
        let _ = outputs;
    }

    /// The longest time between two calls of [`Source::collect`]; `None` if it does not matter.
    fn collect_every(&self) -> Option<Duration> {
        None
    }
}
