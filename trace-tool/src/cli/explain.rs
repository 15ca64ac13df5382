//! `exectrace explain`: what made the program slow, in words, worst first.

use clap::Args;

use super::TraceArguments;
use crate::answer::explain::ExplainAnswer;
use crate::error::{Failure, Verdict};
use crate::output::Output;
use crate::symbols::binaries;
use crate::{json, text};

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    trace: TraceArguments,
    /// Maximum number of findings; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 6)]
    top: usize,
    #[command(flatten)]
    naming: binaries::Options,
}

/// Answers.
///
/// # Errors
/// If there is no trace, or the output can't be written.
pub fn run(arguments: Arguments, out: &mut Output) -> Result<Verdict, Failure> {
    let Arguments { trace, top, naming } = arguments;
    let answer = ExplainAnswer::read(&trace.question(naming), top)?;
    text::say_if_empty(&answer.subject);
    let verdict = text::warn(&answer.subject.missing);
    match trace.json {
        true => json::explain::print(&answer, out)?,
        false => text::explain::print(&answer, out)?,
    }
    Ok(verdict)
}
