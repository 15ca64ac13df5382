//! The command line: what can be asked, one file per verb: arguments, help and the exit code.
//!
//! - Verbs that answer: [`summary`], [`regions`], [`tasks`], [`threads`], [`check`], [`events`];
//!   [`blocked`], [`syscalls`], [`heap`], [`explain`], [`async_tasks`], [`libtest`].
//! - Verbs that write files: [`profile`], [`symbolize`], [`recover`], [`export`], [`record`],
//!   [`completions`], [`man`].
//!
//! A verb's answer is made in [`answer`](crate::answer) and shown by [`text`](crate::text) or
//! [`json`](crate::json); what the exit codes mean, [`error`](crate::error) says.

pub mod async_tasks;
pub mod blocked;
pub mod check;
pub mod completions;
pub mod events;
pub mod explain;
pub mod export;
pub mod heap;
pub mod libtest;
pub mod man;
pub mod profile;
pub mod record;
pub mod recover;
pub mod regions;
pub mod summary;
pub mod symbolize;
pub mod syscalls;
pub mod tasks;
pub mod threads;

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, Parser, Subcommand};
use jiff::SignedDuration;
use trace_format::time::Nanos;

use crate::answer::{Question, Selection};
use crate::error::{Failure, Verdict};
use crate::label::STANDARD_INPUT;
use crate::output::{Output, say};
use crate::symbols::binaries;

/// Maximum width of help, however wide the terminal is.
pub(crate) const HELP_WIDTH_MAX: usize = 80;

/// Shows what a traced program did, and where its time went.
///
/// A file alone is summed up: `exectrace FILE` is `exectrace summary FILE`.
///
/// Exit code 0: all is well. 1: the trace is damaged, has no end, or lost events, or names that
/// `symbolize` was asked for are missing; what could be read was shown, and standard error or the
/// report says what is missing. 2: wrong use, no trace, or nothing in it that was to be written.
#[derive(Debug, Parser)]
#[command(
    name = "exectrace",
    version,
    max_term_width = HELP_WIDTH_MAX,
    override_usage = "exectrace <COMMAND>\n       exectrace <FILE>"
)]
pub struct CommandLine {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Where the time went: regions, threads, tasks, findings.
    Summary(summary::Arguments),
    /// What made the program slow, in words, worst first.
    Explain(explain::Arguments),
    /// Every event, in the order of time.
    Events(events::Arguments),
    /// Whether the file is whole; what is damaged, dropped or missing.
    Check(check::Arguments),
    /// Per call site: counts, times, percentiles and the longest regions.
    Regions(regions::Arguments),
    /// Per name of tasks: how long they took; and the slowest, as trees.
    Tasks(tasks::Arguments),
    /// Per thread: what it did with its time, and what it waited for.
    Threads(threads::Arguments),
    /// What the program waited for, who made it wait, and where.
    Blocked(blocked::Arguments),
    /// Async tasks: what blocked their threads, what they waited for, and which are stuck.
    Async(async_tasks::Arguments),
    /// Calls into the system: how often, how long, how many bytes, which errors.
    ///
    /// A total is the time in calls between --from and --to, so totals of several windows add up.
    /// Durations are of calls that ended there, each with all of its time.
    Syscalls(syscalls::Arguments),
    /// What lives on the heap, and who allocates.
    Heap(heap::Arguments),
    /// What each test of a test program did, and what it waited for.
    Tests(libtest::Arguments),
    /// Stacks and what they cost: for pprof, or as a flame graph.
    Profile(profile::Arguments),
    /// Write the trace anew with the names of its functions, to be read elsewhere.
    Symbolize(symbolize::Arguments),
    /// Write a whole trace out of one whose process was killed.
    Recover(recover::Arguments),
    /// Write the trace for another viewer.
    Export(export::Arguments),
    /// Fetch a trace of a program that runs and serves the pages of trace-http.
    Record(record::Arguments),
    /// Print what a shell needs to complete these commands.
    Completions(completions::Arguments),
    /// Write manual pages of these commands.
    Man(man::Arguments),
}

/// Which trace, and which part of it.
#[derive(Args, Clone, Debug)]
pub struct TraceArguments {
    /// The trace; - is standard input.
    pub file: PathBuf,
    /// From this time on, since the trace's begin: 1.5s, 200ms, 30us.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub from: Option<Nanos>,
    /// Until this time.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub to: Option<Nanos>,
    /// Only the threads with this name, or the one with this id.
    #[arg(long, value_name = "NAME|ID")]
    pub thread: Option<String>,
    /// Print JSON; its fields: trace-tool/JSON.md in exectrace's repository.
    #[arg(long)]
    pub json: bool,
}

impl TraceArguments {
    /// The question that all verbs have in common.
    #[must_use]
    pub fn question(&self, naming: binaries::Options) -> Question {
        let (from, to, thread) = (self.from, self.to, self.thread.clone());
        Question { file: self.file.clone(), part: Selection { from, to, thread }, naming }
    }

    /// The same for verbs that show no stacks.
    #[must_use]
    pub fn unnamed(&self) -> Question {
        self.question(binaries::Options::default())
    }
}

/// Runs one command line, the program's name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let line = match CommandLine::try_parse_from(with_verb(arguments.into_iter().collect())) {
        Ok(line) => line,
        Err(error) => {
            if let Some(failure) = second_trace(&error) {
                say(&failure.to_string());
                return failure.exit_code();
            }
            let line = CommandLine::command();
            let verbs: Vec<_> = line.get_subcommands().map(clap::Command::get_name).collect();
            let needed = format!(
                "a command is needed: one of {}; or a trace, to sum it up",
                verbs.join(", ")
            );
            return refuse(&error, &needed, "exectrace --help");
        }
    };
    let mut out = Output::stdout();
    let done = execute(line.verb, &mut out).and_then(|verdict| {
        out.flush()?;
        Ok(verdict)
    });
    match done {
        Ok(verdict) => verdict.exit_code(),
        Err(failure) if failure.is_closed_pipe() => {
            // What is still in the buffer has no reader: writing it again would only fail again.
            std::process::exit(0);
        }
        Err(failure) => {
            say(&failure.to_string());
            failure.exit_code()
        }
    }
}

/// A file behind the trace, as a shell makes of `out.*.trace`.
fn second_trace(error: &clap::Error) -> Option<Failure> {
    use clap::error::{ContextKind, ContextValue};
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) else { return None };
    let is_file = error.kind() == ErrorKind::UnknownArgument && Path::new(word).is_file();
    is_file.then(|| {
        let file = crate::label::path(Path::new(word));
        let what = format!("{file} is a second trace, and a command reads one: run it for each");
        Failure::Usage(what)
    })
}

fn execute(verb: Verb, out: &mut Output) -> Result<Verdict, Failure> {
    match verb {
        Verb::Summary(arguments) => summary::run(arguments, out),
        Verb::Explain(arguments) => explain::run(arguments, out),
        Verb::Events(arguments) => events::run(arguments, out),
        Verb::Check(arguments) => check::run(arguments, out),
        Verb::Regions(arguments) => regions::run(arguments, out),
        Verb::Tasks(arguments) => tasks::run(arguments, out),
        Verb::Threads(arguments) => threads::run(arguments, out),
        Verb::Blocked(arguments) => blocked::run(arguments, out),
        Verb::Async(arguments) => async_tasks::run(arguments, out),
        Verb::Syscalls(arguments) => syscalls::run(arguments, out),
        Verb::Heap(arguments) => heap::run(arguments, out),
        Verb::Tests(arguments) => libtest::run(arguments, out),
        Verb::Profile(arguments) => profile::run(arguments, out),
        Verb::Symbolize(arguments) => symbolize::run(&arguments, out),
        Verb::Recover(arguments) => recover::run(&arguments, out),
        Verb::Export(arguments) => export::run(&arguments, out),
        Verb::Record(arguments) => record::run(arguments, out),
        Verb::Completions(arguments) => completions::run(&arguments, out),
        Verb::Man(arguments) => man::run(&arguments, out),
    }
}

/// The words of a command line, with the verb that a file alone stands for.
fn with_verb(mut words: Vec<OsString>) -> Vec<OsString> {
    if words.get(1).is_some_and(|word| is_trace(word)) {
        words.insert(1, "summary".into());
    }
    words
}

/// Whether the first word behind the program's name is a trace: it is there, or has a path's
/// characters. Any other word is a verb, maybe a mistyped one.
fn is_trace(word: &OsStr) -> bool {
    let line = CommandLine::command();
    let is_verb = word == "help" || line.get_subcommands().any(|verb| word == verb.get_name());
    let text = word.to_string_lossy();
    let is_option = text.starts_with('-') && text != STANDARD_INPUT;
    let is_path = text == STANDARD_INPUT || text.contains(['/', '.']) || Path::new(word).exists();
    !is_verb && !is_option && is_path
}

/// Help is printed as clap made it; a fault is one line.
///
/// - `needed`: what is said if there is no command. `help`: what shows more.
pub(crate) fn refuse(error: &clap::Error, needed: &str, help: &str) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            say(&format!("{needed} (see {help})"));
            return ExitCode::from(2);
        }
        _ => {}
    }
    let text = error.render().to_string();
    let first: Vec<_> = text.lines().take_while(|line| !line.trim().is_empty()).collect();
    let joined = first.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
    let fault = joined.trim_start_matches("error: ");
    let fault = format!("{fault}{}", suggestion(error));
    say(&format!("{} (see {help})", trace_export::label::escape::plain(&fault, 600)));
    ExitCode::from(2)
}

/// What a mistyped word may have been; nothing if no word is like it.
fn suggestion(error: &clap::Error) -> String {
    let kinds =
        [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue];
    let likely = kinds.into_iter().find_map(|kind| match error.get(kind)? {
        ContextValue::String(word) => Some(word.as_str()),
        // The most similar comes last.
        ContextValue::Strings(words) => words.last().map(String::as_str),
        _ => None,
    });
    likely.map_or_else(String::new, |word| format!("; did you mean '{word}'?"))
}

/// In the current folder, named by the trace: `app.trace` gives `app.` and the ending, standard
/// input `stdin.` and the ending.
fn named_by(trace: &Path, ending: &str) -> PathBuf {
    let stem = match trace.as_os_str() {
        input if input == STANDARD_INPUT => "stdin".into(),
        _ => trace.file_stem().unwrap_or_default().to_string_lossy(),
    };
    PathBuf::from(format!("{stem}.{ending}"))
}

fn parse_time(text: &str) -> Result<Nanos, String> {
    let help = "a time has a unit: 1.5s, 200ms, 30us, 7ns";
    let time: SignedDuration = text.parse().map_err(|_| help.to_owned())?;
    let nanos = u64::try_from(time.as_nanos()).map_err(|_| "a time is not negative".to_owned())?;
    Ok(Nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_need_a_unit_and_may_have_a_fraction() {
        let cases = [("1.5s", 1_500_000_000), ("200ms", 200_000_000), ("30us", 30_000), ("7ns", 7)];
        for (text, nanos) in cases {
            assert_eq!(parse_time(text), Ok(Nanos(nanos)), "{text}");
        }
        assert_eq!(parse_time("2m"), Ok(Nanos(120_000_000_000)));
        for text in ["1.5", "", "s", "-1s", "1 parsec", "99999999999999999999s"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }
}
