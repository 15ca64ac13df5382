//! What the collector collects beside the threads' batches: what the kernel, the allocator and the
//! system tell. Each is a [`Source`], made anew for every trace, and used on the collector's thread
//! only, except for its making.

use crate::options::Options;
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

/// Those that are compiled in and wanted.
pub(crate) fn sources(options: &Options) -> Vec<Box<dyn Source>> {
    let sources: Vec<Option<Box<dyn Source>>> = Vec::from([
        // First: what the others intern needs its tables.
        #[cfg(feature = "stacks")]
        Some(Box::new(crate::stack::StackSource::default()) as Box<dyn Source>),
        #[cfg(all(
            any(feature = "os", feature = "sched"),
            target_os = "linux",
            not(exectrace_loom)
        ))]
        (options.os || options.sched)
            .then(|| Box::new(crate::proc_folder::ProcFolder) as Box<dyn Source>),
        #[cfg(feature = "os")]
        options.os.then(|| Box::new(crate::os::Watch) as Box<dyn Source>),
        #[cfg(all(feature = "heap", not(exectrace_loom)))]
        options.heap.then(|| Box::new(crate::heap::Snapshots::new(options)) as Box<dyn Source>),
        #[cfg(all(feature = "sched", not(exectrace_loom)))]
        options.sched.then(|| Box::new(crate::sched::Sched::new(options)) as Box<dyn Source>),
    ]);
    let _ = options;
    sources.into_iter().flatten().collect()
}
