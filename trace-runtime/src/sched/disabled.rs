//! The twin of the switches of threads, for systems on which they can't be recorded: the trace says
//! so.

use crate::base::options::Options;
use crate::output::Outputs;
use crate::source::Source;
use trace_format::definition::Definition;
use trace_format::facility;

/// A source that collects nothing.
#[derive(Debug)]
pub(crate) struct Sched;

impl Sched {
    /// The options do not matter.
    pub(crate) fn new(_: &Options) -> Self {
        Self
    }
}

impl Source for Sched {
    fn begin(&mut self, outputs: &mut Outputs) {
        for name in [facility::SCHED, facility::SAMPLES, facility::FAULTS] {
            let note = b"only on Linux, and on x86_64 and aarch64";
            outputs.define(&Definition::Facility { name: name.as_bytes(), on: false, note });
        }
    }
}
