//! What a trace says of recorded calls: whether they are, and how. And the collector's look at
//! threads that were there before the trace and have ended without a call.

use crate::output::Output;
use crate::source::Source;
use trace_format::definition::Definition;

/// Says in the trace whether calls are recorded, and takes note of threads that have ended unseen.
#[derive(Debug)]
pub(crate) struct Watch;

impl Source for Watch {
    fn begin(&mut self, output: &mut Output) {
        output.define(&Definition::Facility { name: b"os", on: IS_ON, note: NOTE.as_bytes() });
    }

    #[cfg(os_hooks)]
    fn cut(&mut self, _: &mut Output) {
        super::waiting::bury_dead();
    }
}

const IS_ON: bool = cfg!(os_hooks);

const NOTE: &str = if !cfg!(os_hooks) {
    "not on this system: Linux on x86_64 or aarch64 is needed"
} else if cfg!(not(os_threads)) {
    "static program: thread starts and joins are not seen, hooked calls are no cancellation points"
} else {
    "hooks of libc's functions"
};
