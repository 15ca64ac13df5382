//! `exectrace syscalls`: the program's calls into the system.

use clap::Args;

use super::TraceArguments;
use crate::answer::syscalls::{By, Sort, SyscallsAnswer, SyscallsAsk};
use crate::error::{Failure, Verdict};
use crate::output::Output;
use crate::symbols::binaries;
use crate::{json, text};

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    trace: TraceArguments,
    /// How calls are grouped.
    #[arg(long, value_enum, default_value_t = By::Call)]
    by: By,
    /// How groups are sorted: the greatest first.
    #[arg(long, value_enum, default_value_t = Sort::Total)]
    sort: Sort,
    /// Maximum number of groups; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,
    /// How many of the longest calls are shown; none of those that wait for threads or time.
    #[arg(long, value_name = "N", default_value_t = 5)]
    longest: usize,
    /// Show whole stacks of the longest calls.
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
    let Arguments { trace, by, sort, top, longest, stacks, naming } = arguments;
    let ask = SyscallsAsk { by, sort, top, longest };
    let answer = SyscallsAnswer::read(&trace.question(naming), ask)?;
    text::say_if_empty(&answer.subject);
    let verdict = text::warn(&answer.subject.missing);
    match trace.json {
        true => json::syscalls::print(&answer, out)?,
        false => text::syscalls::print(&answer, stacks, out)?,
    }
    Ok(verdict)
}
