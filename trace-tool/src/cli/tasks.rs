//! `exectrace tasks`: how long tasks took, by name, and the slowest of them as trees.

use clap::Args;

use super::TraceArguments;
use crate::answer::tasks::{Sort, TasksAnswer, TasksAsk};
use crate::error::{Failure, Verdict};
use crate::output::Output;
use crate::{json, text};

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    trace: TraceArguments,
    /// Maximum number of names; 0 for all.
    #[arg(long, alias = "limit", value_name = "N", default_value_t = 0)]
    top: usize,
    /// What they are sorted by.
    #[arg(long, value_enum, default_value_t = Sort::Total)]
    sort: Sort,
    /// How many of the slowest tasks are shown, with their sub-tasks: 10000 at most.
    #[arg(long = "longest", alias = "trees", value_name = "N", default_value_t = 3)]
    trees: usize,
}

/// Answers.
///
/// # Errors
/// If there is no trace, or the output can't be written.
pub fn run(arguments: Arguments, out: &mut Output) -> Result<Verdict, Failure> {
    let Arguments { trace, top, sort, trees } = arguments;
    let answer = TasksAnswer::read(&trace.unnamed(), TasksAsk { top, sort, trees })?;
    text::say_if_empty(&answer.subject);
    let verdict = text::warn(&answer.subject.missing);
    match trace.json {
        true => json::tasks::print(&answer, out)?,
        false => text::tasks::print(&answer, out)?,
    }
    Ok(verdict)
}
