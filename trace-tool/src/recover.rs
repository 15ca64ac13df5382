//! A whole trace out of one whose process was killed.

use std::io::{BufWriter, Write};
use std::path::Path;

use trace_format::read::rewrite::end;

use crate::answer::Reading;
use crate::create::{create_beside, is_stdout, print_written};
use crate::error::{Failure, Verdict};
use crate::label::units;
use crate::output::Output;
use crate::text;

/// Writes the trace `path` anew to `target`, with all that was in the killed process's memory, an
/// index and an end; `-` is standard output.
///
/// # Errors
/// If there is no trace, or the output can't be written.
pub fn run(path: &Path, target: &Path, out: &mut Output) -> Result<Verdict, Failure> {
    let reading = Reading::whole(path)?;
    if is_stdout(target) {
        put(&reading, out)?;
    } else {
        let created = create_beside(path, target)?;
        let bytes = put(&reading, &mut BufWriter::with_capacity(1 << 18, created))?;
        print_written(target, &units::plural(bytes, "byte", "bytes"), out)?;
    }
    Ok(text::warn(&reading.completeness()))
}

/// Writes the whole trace; how many bytes that is.
fn put(reading: &Reading, out: &mut impl Write) -> Result<u64, Failure> {
    let written = end(&reading.file, out);
    let bytes = written.map_err(|error| Failure::of_rewrite(&reading.path, error))?;
    out.flush()?;
    Ok(bytes)
}
