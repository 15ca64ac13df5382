//! `exectrace events`: every event, in the order of time.

use clap::Args;

use super::TraceArguments;
use crate::answer::events::{self, EventsAnswer, EventsAsk};
use crate::error::{Failure, Verdict};
use crate::output::Output;
use crate::symbols::binaries;
use crate::{json, raw, text};

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    trace: TraceArguments,
    /// Maximum number of lines; 0 for all.
    #[arg(long, alias = "limit", value_name = "N", default_value_t = 0)]
    top: u64,
    /// Only events whose description contains this text: what stands behind the time and the
    /// thread, without the stack. For threads there is --thread.
    #[arg(long, value_name = "TEXT")]
    grep: Option<String>,
    /// Show below each event the stack it was recorded at, if there is one.
    #[arg(long)]
    stacks: bool,
    /// Print what lies in the file, batch by batch, as the lines of FORMAT.md, section 9: for
    /// looking at bytes, and for tests.
    #[arg(long, conflicts_with_all = ["from", "to", "thread", "json", "top", "grep", "stacks"])]
    raw: bool,
    #[command(flatten)]
    naming: binaries::Options,
}

/// Answers.
///
/// # Errors
/// If there is no trace, or the output can't be written.
pub fn run(arguments: Arguments, out: &mut Output) -> Result<Verdict, Failure> {
    let Arguments { trace, top, grep, stacks, raw, naming } = arguments;
    if raw {
        return raw::run(&trace.file, out);
    }
    let question = trace.question(naming);
    let ask = EventsAsk { top, grep, stacks, is_shown: out.width.is_some() };
    let EventsAnswer { subject, shown } = match trace.json {
        true => events::read(&question, &ask, &mut json::events::JsonLines::new(out))?,
        false => events::read(&question, &ask, &mut text::events::TextLines::new(out))?,
    };
    if shown == 0 {
        text::say_if_empty(&subject);
    }
    Ok(text::warn(&subject.missing))
}
