//! `exectrace symbolize`: a trace that brings the names of its stacks along.

use std::path::PathBuf;

use clap::Args;

use super::named_by;
use crate::error::{Failure, Verdict};
use crate::output::Output;
use crate::symbolize;
use crate::symbols::binaries;

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The trace; - is standard input.
    file: PathBuf,
    /// The trace to write; - is standard output [default: app.trace gives app.symbols.trace here].
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    #[command(flatten)]
    binaries: binaries::Options,
}

/// Writes the trace.
///
/// # Errors
/// If there is no trace, a binary can't be read, or the output can't be written.
pub fn run(arguments: &Arguments, out: &mut Output) -> Result<Verdict, Failure> {
    let target = arguments.output.clone();
    let target = target.unwrap_or_else(|| named_by(&arguments.file, "symbols.trace"));
    symbolize::run(&arguments.file, &target, &arguments.binaries, out)
}
