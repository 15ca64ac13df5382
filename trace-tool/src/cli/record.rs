//! `exectrace record`: a trace of a running program, over HTTP.

use std::path::PathBuf;

use clap::Args;

use crate::error::{Failure, Verdict};
use crate::output::Output;
use crate::record::{self, Recording};

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Where the program serves: host:port, or http://host:port with a path before /debug, if any.
    url: String,
    /// How long to record.
    #[arg(long, value_name = "N", default_value_t = 5.0, value_parser = parse_seconds)]
    seconds: f64,
    /// The file to write; - is standard output [default: named by the address and the time].
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// The token that the program wants [default: the variable EXECTRACE_TOKEN].
    #[arg(long, value_name = "T")]
    token: Option<String>,
    /// Take the last seconds, as the program's flight recorder has them.
    #[arg(long, conflicts_with = "seconds")]
    snapshot: bool,
    /// Have the program name the functions in stacks, for a trace that is read where its files are
    /// not. It needs exectrace's feature `names`, which is in `full`.
    #[arg(long)]
    names: bool,
}

/// Fetches the trace.
///
/// # Errors
/// If the program gives none, or the file can't be written.
pub fn run(arguments: Arguments, out: &mut Output) -> Result<Verdict, Failure> {
    let Arguments { url, seconds, output, token, snapshot, names } = arguments;
    let output = output.unwrap_or_else(|| record::free_name(&url));
    record::run(&Recording { url, seconds, output, token, snapshot, names }, out)
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds".to_owned())?;
    // Far above what any program allows; it says its own limit.
    let fits = seconds > 0.0 && seconds <= 86_400.0;
    fits.then_some(seconds).ok_or_else(|| "a number of seconds above 0, up to a day".to_owned())
}
