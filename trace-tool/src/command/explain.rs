//! `exectrace explain`: what made the program slow, in words, worst first.

use std::io::Write;

use clap::Args;
use trace_analysis::explain::{Insight, explain_all};
use trace_profile::escape;

use super::life::Life;
use super::reading::{Source, limited, missing};
use super::{Failure, Verdict};
use crate::json::Trace;
use crate::json::explain::ExplainReport;
use crate::output::Output;
use crate::symbols::binaries;
use crate::units;

/// What a trace of annotations alone lacks.
const WITH_FULL: &str = "with the feature `full` it would say what threads waited for and who made \
    them, which calls were slow, and who had no CPU: features = [\"full\"] in place of \
    \"enabled\" in Cargo.toml, or cargo exectrace --record full run";

/// So many characters of a sentence are shown.
const SENTENCE_CHARS_MAX: usize = 1000;

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    source: Source,
    /// At most so many findings; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 6)]
    top: usize,
    #[command(flatten)]
    naming: binaries::Options,
}

/// Prints what was found.
///
/// # Errors
/// If there is no trace, or the output can't be written.
pub fn run(arguments: &Arguments, out: &mut Output) -> Result<Verdict, Failure> {
    let (life, report) = Life::read_all(&arguments.source, &arguments.naming)?;
    let file = &life.reading.file;
    let tasks = (report.async_tasks.as_ref(), report.slow_tasks.as_slice());
    let heap = report.heap.as_ref();
    let insights = explain_all(file, &life.lives, heap, tasks, &life.symbols);
    let names = life.names();
    let words = life.words(&names);
    let verdict = life.missing.warn();
    let shown = limited(&insights, arguments.top);
    if arguments.source.json {
        let trace = Trace::new(&arguments.source.file, file);
        out.json(&ExplainReport::new(trace, words, &life.lives, shown, &life.missing))?;
        return Ok(verdict);
    }
    let path = arguments.source.file.display().to_string();
    let path = escape::plain(&path, 400);
    for (at, insight) in shown.iter().enumerate() {
        print(at + 1, insight, &path, out)?;
    }
    if shown.is_empty() {
        let about = if life.reading.has_life() { "" } else { " that regions alone can show" };
        writeln!(out, "nothing stands out{about}")?;
        if !life.reading.has_life() {
            out.wrapped(WITH_FULL, 2)?;
        }
        writeln!(out, "   more: exectrace threads {path}")?;
    }
    let more = insights.len() - shown.len();
    if more > 0 {
        writeln!(out, "… and {}: --top 0", units::plural(more as u64, "more", "more"))?;
    }
    for line in missing(file.tables()) {
        out.wrapped(&format!("({line})"), 2)?;
    }
    Ok(verdict)
}

fn print(number: usize, insight: &Insight, path: &str, out: &mut Output) -> Result<(), Failure> {
    if number > 1 {
        writeln!(out)?;
    }
    let title = escape::plain(&insight.title, SENTENCE_CHARS_MAX);
    out.wrapped_bold(&format!("{number}. {title}"), 3)?;
    for sentence in &insight.evidence {
        let sentence = escape::plain(sentence, SENTENCE_CHARS_MAX);
        out.wrapped(&format!("   - {sentence}"), 5)?;
    }
    if !insight.command.is_empty() {
        let command = escape::plain(&insight.command, SENTENCE_CHARS_MAX);
        let command = match command.split_once(' ') {
            Some((verb, rest)) => format!("{verb} {path} {rest}"),
            None => format!("{command} {path}"),
        };
        writeln!(out, "   more: exectrace {command}")?;
    }
    Ok(())
}
