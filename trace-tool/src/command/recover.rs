//! `exectrace recover`: a whole trace out of one whose process was killed.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use clap::Args;
use trace_format::read::rewrite::{RewriteError, end};
use trace_format::read::{ReadError, ReadErrorKind};
use trace_profile::escape::plain;

use super::beside::live_of;
use super::export::is_same;
use super::reading::{Reading, open};
use super::{Failure, Verdict};
use crate::create::create;
use crate::output::Output;
use crate::units;

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The trace. What lies beside it in FILE.live is taken in.
    file: PathBuf,
    /// The trace to write [default: app.trace gives app.recovered.trace here].
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
}

/// Writes the trace anew, with all that was in the killed process's memory, an index and an end.
///
/// # Errors
/// If there is no trace, or the output can't be written.
pub fn run(arguments: &Arguments, out: &mut Output) -> Result<Verdict, Failure> {
    let target = arguments.output.clone().unwrap_or_else(|| {
        let stem = arguments.file.file_stem().unwrap_or_default().to_string_lossy();
        PathBuf::from(format!("{stem}.recovered.trace"))
    });
    if is_same(&arguments.file, &target) || is_same(&live_of(&arguments.file), &target) {
        return Err(Failure::Usage("the output would overwrite the trace".to_owned()));
    }
    let reading = Reading::whole(open(&arguments.file)?);
    let mut writer = BufWriter::with_capacity(1 << 18, create(&target)?);
    let bytes = end(&reading.file, &mut writer).map_err(|error| match error {
        RewriteError::Read { offset, source } => {
            let error = ReadError::new(offset, ReadErrorKind::Io(source));
            Failure::Trace(arguments.file.clone(), error)
        }
        RewriteError::Write(error) => Failure::Output(error),
        other => Failure::Usage(other.to_string()),
    })?;
    writer.flush()?;
    let path = plain(&target.display().to_string(), 400);
    writeln!(out, "{path}: {}", units::plural(bytes, "byte", "bytes"))?;
    Ok(reading.completeness().warn())
}
