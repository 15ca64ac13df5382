//! `exectrace tests`: what each test of a test program did.

use clap::Args;

use super::TraceArguments;
use crate::answer::libtest::{Sort, TestsAnswer, TestsAsk};
use crate::error::{Failure, Verdict};
use crate::output::Output;
use crate::symbols::binaries;
use crate::{json, text};

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    trace: TraceArguments,
    /// Maximum number of tests; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,
    /// What they are sorted by.
    #[arg(long, value_enum, default_value_t = Sort::Wall)]
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
    let answer = TestsAnswer::read(&trace.question(naming), TestsAsk { top, sort })?;
    text::say_if_empty(&answer.subject);
    let verdict = text::warn(&answer.subject.missing);
    match trace.json {
        true => json::libtest::print(&answer, out)?,
        false => text::libtest::print(&answer, out)?,
    }
    Ok(verdict)
}
