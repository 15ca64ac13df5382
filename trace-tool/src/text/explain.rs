//! `exectrace explain`: what made the program slow, in words, worst first.

use std::io::Write;

use trace_analysis::explain::Insight;
use trace_export::label::escape;

use super::{facilities_off, print_more};
use crate::answer::Reading;
use crate::answer::explain::ExplainAnswer;
use crate::error::Failure;
use crate::label::units;
use crate::output::Output;

/// What a trace of annotations alone lacks.
const WITH_FULL: &str = "with the feature `full` it would say what threads waited for and who made \
    them, which calls were slow, and who had no CPU: features = [\"full\"] in place of \
    \"enabled\" in Cargo.toml, or cargo exectrace --record full run";

/// Maximum number of characters of a sentence that are shown.
const SENTENCE_CHARS_MAX: usize = 1000;

/// Prints what was found.
///
/// # Errors
/// If it can't be written.
pub fn print(answer: &ExplainAnswer, out: &mut Output) -> Result<(), Failure> {
    let reading = &answer.subject.reading;
    for (at, insight) in answer.insights.iter().enumerate() {
        print_insight(at + 1, insight, reading, out)?;
    }
    if answer.insights.is_empty() {
        let about = if reading.has_life() { "" } else { " that regions alone can show" };
        writeln!(out, "nothing stands out{about}")?;
        if !reading.has_life() {
            out.wrapped(WITH_FULL, 2)?;
        }
        writeln!(out, "   more: {}", reading.more("threads"))?;
    }
    print_more(out, answer.omitted, "--top 0")?;
    print_functions(answer, out)?;
    let unseen = answer.unseen.iter().map(|unseen| unseen.advice().to_owned());
    for line in unseen.chain(facilities_off(reading)) {
        out.wrapped(&format!("({line})"), 2)?;
    }
    Ok(())
}

/// `Of 2.30 s of CPU time: app::parse 31%, app::print 20%`.
fn print_functions(answer: &ExplainAnswer, out: &mut Output) -> Result<(), Failure> {
    let ExplainAnswer { functions, functions_command: command, .. } = answer;
    let Some(all) = functions.first().map(|function| function.all) else { return Ok(()) };
    let shares = functions.iter().map(|function| {
        let name = escape::plain(&function.name, SENTENCE_CHARS_MAX);
        format!("{name} {}", units::percent(function.cpu.0, all.0))
    });
    let shares = shares.collect::<Vec<_>>().join(", ");
    out.wrapped(&format!("Of {} of CPU time: {shares}", units::time(all)), 2)?;
    writeln!(out, "  more: {}", answer.subject.reading.pasted(command))?;
    Ok(())
}

fn print_insight(
    number: usize,
    insight: &Insight,
    reading: &Reading,
    out: &mut Output,
) -> Result<(), Failure> {
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
        writeln!(out, "   more: {}", reading.pasted(&insight.command))?;
    }
    Ok(())
}
