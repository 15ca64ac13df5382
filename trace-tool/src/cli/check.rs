//! `exectrace check`: whether the file is whole, and if not, what is wrong where.

use clap::Args;

use super::TraceArguments;
use crate::answer::check::CheckAnswer;
use crate::error::{Failure, Verdict};
use crate::output::Output;
use crate::{json, text};

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    trace: TraceArguments,
}

/// Answers; what is missing is the answer.
///
/// # Errors
/// If there is no trace, or the output can't be written.
pub fn run(arguments: Arguments, out: &mut Output) -> Result<Verdict, Failure> {
    let Arguments { trace } = arguments;
    let answer = CheckAnswer::read(&trace.unnamed())?;
    text::say_if_empty(&answer.subject);
    match trace.json {
        true => json::check::print(&answer, out)?,
        false => text::check::print(&answer, out)?,
    }
    Ok(answer.subject.verdict())
}
