//! `exectrace threads`: what each thread did with its time.

use clap::Args;

use super::TraceArguments;
use crate::answer::threads::{Sort, ThreadsAnswer, ThreadsAsk};
use crate::error::{Failure, Verdict};
use crate::output::Output;
use crate::symbols::binaries;
use crate::{json, text};

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    trace: TraceArguments,
    /// Maximum number of threads; 0 for all.
    #[arg(long, alias = "limit", value_name = "N", default_value_t = 0)]
    top: usize,
    /// What they are sorted by.
    #[arg(long, value_enum, default_value_t = Sort::Busy)]
    sort: Sort,
    #[command(flatten)]
    naming: binaries::Options,
}

/// Answers.
///
/// # Errors
/// If there is no trace, or the output can't be written.
pub fn run(arguments: Arguments, out: &mut Output) -> Result<Verdict, Failure> {
    let Arguments { trace, top, sort, naming } = arguments;
    let answer = ThreadsAnswer::read(&trace.question(naming), ThreadsAsk { top, sort })?;
    text::say_if_empty(&answer.subject);
    let verdict = text::warn(&answer.subject.missing);
    match trace.json {
        true => json::threads::print(&answer, out)?,
        false => text::threads::print(&answer, out)?,
    }
    Ok(verdict)
}
