//! `exectrace profile`: what is said about a profile that was written for another tool.

use std::path::Path;

use trace_analysis::profile::ProfileKind;
use trace_export::profile::contents;
use trace_format::facility;

use crate::answer::profile::ProfileAnswer;
use crate::create;
use crate::error::Failure;
use crate::label::units;
use crate::output::{Output, say};
use crate::profile::Format;

/// What takes samples of running threads.
const SAMPLES: &str = "build with exectrace's feature `sched`, and record with `cpu_samples=1000` \
                       in EXECTRACE, or `Options::cpu_samples(1000)`";
/// What records the heap.
const HEAP: &str = "build with exectrace's feature `heap`, and make `exectrace::Heap` the \
                    program's allocator";

/// Why there is nothing for a profile, and what to switch on so that there is.
#[must_use]
pub fn why_empty(answer: &ProfileAnswer, kind: ProfileKind) -> String {
    let tables = answer.subject.reading.file.tables();
    let why = contents::why_empty(tables, kind);
    let (facility, switch_on) = match kind {
        ProfileKind::Cpu => (facility::SAMPLES, SAMPLES),
        ProfileKind::Sched => (facility::SCHED, "build with exectrace's feature `sched`"),
        ProfileKind::Heap => (facility::HEAP, HEAP),
        _ => (facility::OS, "build with exectrace's feature `os`"),
    };
    // One that was there and off has a note, which says why.
    match tables.facilities.get(facility) {
        Some(_) => why,
        None => format!("{why}; {switch_on}"),
    }
}

/// Says on standard error what may be wrong with a profile.
pub fn say_doubts(answer: &ProfileAnswer) {
    if answer.lacks_samples {
        say("no samples were taken, so time in the program's own code has no stack: record with \
             `cpu_samples=1000` in EXECTRACE, or `Options::cpu_samples(1000)`");
    } else if answer.lacks_callers {
        say("samples follow frame pointers, which this program was built without: callers are \
             missing or wrong; build it with RUSTFLAGS=\"-C force-frame-pointers=yes\"");
    }
}

/// Prints what was written, and what opens it.
///
/// # Errors
/// If it can't be written.
pub fn print_written(
    stacks: usize,
    target: &Path,
    format: Format,
    out: &mut Output,
) -> Result<(), Failure> {
    let stacks = units::plural(stacks as u64, "stack", "stacks");
    let open_with = match format {
        Format::Pprof => "; open it with go tool pprof",
        Format::Folded => "",
        Format::Svg => "; open it with a browser",
    };
    create::print_written(target, &format!("{stacks}{open_with}"), out)
}
