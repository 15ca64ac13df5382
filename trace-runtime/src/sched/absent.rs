//! Feature `sched` where there is no such thing: the trace says so.
//!
//! Elsewhere: where there is (`mod.rs` beside this).

use crate::base::options::Options;
use crate::output::Output;
use crate::source::Source;
use trace_format::definition::Definition;
use trace_format::facility;

/// A source of nothing.
#[derive(Debug)]
pub(crate) struct Sched;

impl Sched {
    /// The same whatever is wanted.
    pub(crate) fn new(_: &Options) -> Self {
        Self
    }
}

impl Source for Sched {
    fn begin(&mut self, output: &mut Output) {
        for name in [facility::SCHED, facility::SAMPLES, facility::FAULTS] {
            let note = b"only on Linux, and on x86_64 and aarch64";
            output.define(&Definition::Facility { name: name.as_bytes(), on: false, note });
        }
    }
}
