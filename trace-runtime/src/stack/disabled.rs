//! The twin of stacks, for the feature `stacks` off, and for targets on which stacks can't be
//! walked.

use crate::base::options::Stacks;
#[cfg(feature = "stacks")]
pub(crate) use source::StackSource;

/// No stack.
#[cfg(all(feature = "heap", not(exectrace_loom)))]
pub(crate) fn capture() -> u32 {
    0
}

/// Nothing to prepare.
pub(crate) fn prepare() -> bool {
    true
}

/// Nothing to forget.
pub(crate) fn begin() {}

/// Nothing to prepare.
pub(crate) fn prepare_thread() {}

/// There are none to define.
#[inline(always)]
pub(crate) fn note_used(_: u32) {}

/// Without effect.
pub(crate) fn want_for_async(_: bool) {}

/// No stack.
#[inline(always)]
pub(crate) fn for_async() -> u32 {
    0
}

/// Without effect.
pub(crate) fn want_for_regions(_: Stacks) {}

/// No region wants a stack.
pub(crate) fn regions_want() -> bool {
    false
}

/// No stack.
#[inline(always)]
pub(crate) fn for_region() -> u32 {
    0
}

#[cfg(feature = "stacks")]
mod source {
    use crate::output::Outputs;
    use crate::source::Source;
    use trace_format::definition::Definition;
    use trace_format::facility;

    /// Says in the trace that there are no stacks.
    #[derive(Debug, Default)]
    pub(crate) struct StackSource;

    impl Source for StackSource {
        fn begin(&mut self, outputs: &mut Outputs) {
            let note = b"stacks are recorded on Linux, on x86_64 and aarch64";
            let name = facility::STACKS.as_bytes();
            outputs.define(&Definition::Facility { name, on: false, note });
        }
    }
}
