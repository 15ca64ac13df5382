//! `exectrace completions`: what a shell needs to complete `exectrace`'s words.

use std::io::Write;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::CommandLine;
use crate::error::{Failure, Verdict};
use crate::output::Output;

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The shell that completes.
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints a script for the shell, made from the command line itself.
///
/// # Errors
/// If it can't be written.
pub fn run(arguments: &Arguments, out: &mut Output) -> Result<Verdict, Failure> {
    // Not to standard output itself: clap panics where it can't write, and a pipe may be closed.
    let mut script = Vec::new();
    let mut line = CommandLine::command();
    clap_complete::generate(arguments.shell, &mut line, "exectrace", &mut script);
    out.write_all(&script)?;
    Ok(Verdict::Fine)
}
