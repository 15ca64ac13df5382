//! `exectrace profile`: what is said about a profile that was written for another tool.

use std::io::Write;
use std::path::Path;

use trace_analysis::profile::ProfileKind;
use trace_export::profile::contents::why_empty;

use super::say_if_empty;
use crate::answer::profile::ProfileAnswer;
use crate::error::Failure;
use crate::label::{path, units};
use crate::output::{Output, say};
use crate::profile::Format;

/// Says on standard error why a profile is empty, or what may be wrong with it.
pub fn say_doubts(answer: &ProfileAnswer, kind: ProfileKind) {
    say_if_empty(&answer.subject);
    if answer.samples.is_empty() {
        say(&why_empty(answer.subject.reading.file.tables(), kind));
    } else if answer.lacks_samples {
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
        Format::Pprof => ": open it with go tool pprof",
        Format::Folded => "",
        Format::Svg => ": open it with a browser",
    };
    writeln!(out, "{stacks} in {}{open_with}", path(target))?;
    Ok(())
}
