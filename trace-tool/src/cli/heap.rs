//! `exectrace heap`: what lives on the heap, since when, and who allocates.

use std::path::PathBuf;

use clap::Args;
use trace_format::time::Nanos;

use super::parse_time;
use crate::answer::heap::{At, HeapAnswer, HeapAsk, Sort};
use crate::answer::{Question, Selection};
use crate::error::{Failure, Verdict};
use crate::output::Output;
use crate::symbols::binaries;
use crate::{json, text};

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The trace; - is standard input.
    file: PathBuf,
    /// The moment to look at: a time, `end`, or `peak`, when most lived [default: the trace's end,
    /// or the peak if nothing lives at the end].
    #[arg(long, value_name = "TIME|peak|end", value_parser = parse_at)]
    at: Option<At>,
    /// Measure growth and allocations from this time on [default: the trace's begin].
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    from: Option<Nanos>,
    /// How stacks are sorted: the greatest first.
    #[arg(long, value_enum, default_value_t = Sort::Live)]
    sort: Sort,
    /// Maximum number of places or stacks; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,
    /// Show whole stacks, not one row for each place in the program.
    #[arg(long)]
    stacks: bool,
    /// Print JSON; its fields: trace-tool/JSON.md in exectrace's repository.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    naming: binaries::Options,
}

/// Answers.
///
/// # Errors
/// If there is no trace, or the output can't be written.
pub fn run(arguments: Arguments, out: &mut Output) -> Result<Verdict, Failure> {
    let Arguments { file, at, from, sort, top, stacks, json, naming } = arguments;
    let question = Question { file, part: Selection { from, ..Selection::default() }, naming };
    let answer = HeapAnswer::read(&question, HeapAsk { at, sort, top })?;
    if from.is_some() && answer.subject.from >= answer.subject.to {
        text::say_empty_window(&answer.subject);
    }
    if matches!(at, Some(At::Time(at)) if at > answer.subject.to) {
        text::say_beyond_end(&answer.subject);
    }
    let verdict = text::warn(&answer.subject.missing);
    match json {
        true => json::heap::print(&answer, out)?,
        false => text::heap::print(&answer, stacks, out)?,
    }
    Ok(verdict)
}

fn parse_at(text: &str) -> Result<At, String> {
    match text {
        "peak" => Ok(At::Peak),
        "end" => Ok(At::End),
        time => parse_time(time).map(At::Time),
    }
}
