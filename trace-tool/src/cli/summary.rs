//! `exectrace summary`: where the time went, on one screen.

use clap::Args;

use super::TraceArguments;
use crate::answer::regions::Sort;
use crate::answer::summary::{SummaryAnswer, SummaryAsk};
use crate::error::{Failure, Verdict};
use crate::output::Output;
use crate::symbols::binaries;
use crate::{json, text};

/// Rows of a table that fit a screen.
const ROWS: usize = 12;

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    trace: TraceArguments,
    /// Maximum number of rows in each table; 0 for all [default: 12; with --json all].
    #[arg(long, alias = "limit", value_name = "N")]
    top: Option<usize>,
    /// What the regions are sorted by.
    #[arg(long, value_enum, default_value_t = Sort::SelfTime)]
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
    let top = top.unwrap_or(if trace.json { 0 } else { ROWS });
    let answer = SummaryAnswer::read(&trace.question(naming), SummaryAsk { top, sort })?;
    text::say_if_empty(&answer.subject);
    match trace.json {
        true => {
            text::warn(&answer.subject.missing);
            json::summary::print(&answer, out)?;
        }
        // It shows what is missing by itself.
        false => text::summary::print(&answer, out)?,
    }
    Ok(answer.subject.verdict())
}
