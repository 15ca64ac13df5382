//! What a trace says about calls: whether and how they are recorded. The collector also looks here
//! for threads that were there before the trace and have ended without a call.

use crate::output::Outputs;
use crate::source::Source;
use trace_format::definition::Definition;
use trace_format::facility;

/// Says in the trace whether calls are recorded, and notes threads that have ended unseen.
#[derive(Debug)]
pub(crate) struct CallSource;

impl Source for CallSource {
    fn begin(&mut self, outputs: &mut Outputs) {
        #[cfg(os_hooks)]
        let (on, note) = if super::real::are_in_place() { (IS_ON, NOTE) } else { (false, ABSENT) };
        #[cfg(not(os_hooks))]
        let (on, note) = (IS_ON, NOTE);
        let name = facility::OS.as_bytes();
        outputs.define(&Definition::Facility { name, on, note: note.as_bytes() });
    }

    #[cfg(os_hooks)]
    fn advance(&mut self, _: &mut Outputs) {
        super::waiting::bury_dead();
    }
}

/// The note where [`real::are_in_place`](super::real::are_in_place) says no.
#[cfg(os_hooks)]
const ABSENT: &str = "a library that was loaded later: calls go to libc's own functions";

const IS_ON: bool = cfg!(os_hooks);

const NOTE: &str = if !cfg!(os_hooks) {
    "not on this system: Linux on x86_64 or aarch64 is needed"
} else if cfg!(not(os_threads)) {
    "static program: thread starts and joins and reading of folders are not seen, \
     hooked calls are no cancellation points"
} else {
    "hooks of libc's functions"
};
