//! `exectrace async`: what kept executors' threads, and what async tasks waited for.

use clap::Args;
use trace_format::time::Nanos;

use super::{TraceArguments, parse_time};
use crate::answer::async_tasks::{AsyncAnswer, AsyncAsk};
use crate::error::{Failure, Verdict};
use crate::output::Output;
use crate::symbols::binaries;
use crate::{json, text};

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    trace: TraceArguments,
    /// Maximum length of each list; a table has twice as many rows. 0 for all.
    #[arg(long, value_name = "N", default_value_t = 3)]
    top: usize,
    /// Only the tasks of spawn sites whose names contain this.
    #[arg(long, value_name = "NAME")]
    site: Option<String>,
    /// Show unfinished tasks that have waited for at least this long.
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "100ms")]
    idle: Nanos,
    #[command(flatten)]
    naming: binaries::Options,
}

/// Answers.
///
/// # Errors
/// If there is no trace, or the output can't be written.
pub fn run(arguments: Arguments, out: &mut Output) -> Result<Verdict, Failure> {
    let Arguments { trace, top, site, idle, naming } = arguments;
    let answer = AsyncAnswer::read(&trace.question(naming), AsyncAsk { top, site, idle })?;
    text::say_if_empty(&answer.subject);
    let verdict = text::warn(&answer.subject.missing);
    match trace.json {
        true => json::async_tasks::print(&answer, out)?,
        false => text::async_tasks::print(&answer, out)?,
    }
    Ok(verdict)
}
