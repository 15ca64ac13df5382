//! `exectrace recover`: a whole trace out of one whose process was killed.

use std::path::PathBuf;

use clap::Args;

use super::named_by;
use crate::error::{Failure, Verdict};
use crate::output::Output;
use crate::recover;

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The trace; - is standard input. What lies beside a file in FILE.live is taken in.
    file: PathBuf,
    /// The trace to write; - is standard output [default: app.trace gives app.recovered.trace
    /// here].
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
}

/// Writes the trace.
///
/// # Errors
/// If there is no trace, or the output can't be written.
pub fn run(arguments: &Arguments, out: &mut Output) -> Result<Verdict, Failure> {
    let target = arguments.output.clone();
    let target = target.unwrap_or_else(|| named_by(&arguments.file, "recovered.trace"));
    recover::run(&arguments.file, &target, out)
}
