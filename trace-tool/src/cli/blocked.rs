//! `exectrace blocked`: what the program waited for, who made it wait, and where.

use clap::Args;

use super::TraceArguments;
use crate::answer::blocked::{BlockedAnswer, BlockedAsk, By};
use crate::error::{Failure, Verdict};
use crate::output::Output;
use crate::symbols::binaries;
use crate::{json, text};

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    trace: TraceArguments,
    /// How waits are grouped.
    #[arg(long, value_enum, default_value_t = By::Lock)]
    by: By,
    /// Maximum number of groups in each list; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 5)]
    top: usize,
    /// Show whole stacks: of the waiting, and of who ended it.
    #[arg(long)]
    stacks: bool,
    #[command(flatten)]
    naming: binaries::Options,
}

/// Answers.
///
/// # Errors
/// If there is no trace, or the output can't be written.
pub fn run(arguments: Arguments, out: &mut Output) -> Result<Verdict, Failure> {
    let Arguments { trace, by, top, stacks, naming } = arguments;
    let answer = BlockedAnswer::read(&trace.question(naming), BlockedAsk { by, top })?;
    text::say_if_empty(&answer.subject);
    let verdict = text::warn(&answer.subject.missing);
    match trace.json {
        true => json::blocked::print(&answer, out)?,
        false => text::blocked::print(&answer, stacks, out)?,
    }
    Ok(verdict)
}
