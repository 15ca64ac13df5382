//! `exectrace regions`: every call site, and its longest regions.

use clap::Args;

use super::TraceArguments;
use crate::answer::regions::{RegionsAnswer, RegionsAsk, Sort};
use crate::error::{Failure, Verdict};
use crate::output::Output;
use crate::{json, text};

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    trace: TraceArguments,
    /// Maximum number of call sites; 0 for all.
    #[arg(long, alias = "limit", value_name = "N", default_value_t = 0)]
    top: usize,
    /// What they are sorted by.
    #[arg(long, value_enum, default_value_t = Sort::SelfTime)]
    sort: Sort,
    /// How many of the longest regions of each call site are shown, with their arguments: 1000 at
    /// most.
    #[arg(long = "longest", alias = "outliers", value_name = "N", default_value_t = 3)]
    outliers: usize,
}

/// Answers.
///
/// # Errors
/// If there is no trace, or the output can't be written.
pub fn run(arguments: Arguments, out: &mut Output) -> Result<Verdict, Failure> {
    let Arguments { trace, top, sort, outliers } = arguments;
    let answer = RegionsAnswer::read(&trace.unnamed(), RegionsAsk { top, sort, outliers })?;
    text::say_if_empty(&answer.subject);
    let verdict = text::warn(&answer.subject.missing);
    match trace.json {
        true => json::regions::print(&answer, out)?,
        false => text::regions::print(&answer, out)?,
    }
    Ok(verdict)
}
