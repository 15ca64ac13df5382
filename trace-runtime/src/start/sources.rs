//! The sources of a trace.

use crate::base::options::Options;
use crate::source::Source;

/// The sources that are compiled in and that the options want.
pub(crate) fn sources(options: &Options) -> Vec<Box<dyn Source>> {
    let sources: Vec<Option<Box<dyn Source>>> = Vec::from([
        // First, as the others need its tables to intern.
        #[cfg(feature = "stacks")]
        Some(Box::new(crate::stack::StackSource::default()) as Box<dyn Source>),
        #[cfg(all(
            any(feature = "os", feature = "sched"),
            target_os = "linux",
            not(exectrace_loom)
        ))]
        (options.os || options.sched)
            .then(|| Box::new(crate::source::proc_folder::ProcFolder) as Box<dyn Source>),
        #[cfg(feature = "os")]
        options.os.then(|| Box::new(crate::os::CallSource) as Box<dyn Source>),
        #[cfg(all(feature = "heap", not(exectrace_loom)))]
        options.heap.then(|| Box::new(crate::heap::HeapSnapshots::new(options)) as Box<dyn Source>),
        #[cfg(all(feature = "sched", not(exectrace_loom)))]
        options.sched.then(|| Box::new(crate::sched::Sched::new(options)) as Box<dyn Source>),
    ]);
    let _ = options;
    sources.into_iter().flatten().collect()
}
