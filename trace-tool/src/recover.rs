//! A whole trace out of one whose process was killed.

use std::io::{BufWriter, Write};
use std::path::Path;

use trace_format::read::rewrite::end;

use crate::answer::Reading;
use crate::create::create_beside;
use crate::error::{Failure, Verdict};
use crate::label::units;
use crate::output::Output;
use crate::text;

/// Writes the trace `path` anew to `target`, with all that was in the killed process's memory, an
/// index and an end.
///
/// # Errors
/// If there is no trace, or the output can't be written.
pub fn run(path: &Path, target: &Path, out: &mut Output) -> Result<Verdict, Failure> {
    let reading = Reading::whole(path)?;
    let mut writer = BufWriter::with_capacity(1 << 18, create_beside(path, target)?);
    let written = end(&reading.file, &mut writer);
    let bytes = written.map_err(|error| Failure::of_rewrite(path, error))?;
    writer.flush()?;
    writeln!(out, "{}: {}", text::path(target), units::plural(bytes, "byte", "bytes"))?;
    Ok(text::warn(&reading.completeness()))
}
