//! The command line: what can be asked, one file per verb, and what the exit code says.
//!
//! Exit codes: 0 all is well; 1 something is missing from the trace, which was said
//! ([`completeness`](crate::completeness)), and what could be read was shown; 2 wrong use, or there
//! is no trace to read. A closed pipe ends a command early and is no fault.
//!
//! - [`summary`]: where the time went.
//! - [`events`]: every event, in the order of time. [`lines`]: what it prints of each. [`raw`]:
//!   what lies in the file.
//! - [`check`]: whether the file is whole.
//! - [`regions`], [`tasks`], [`threads`]: tables of each.
//! - [`explain`]: what made the program slow. [`blocked`], [`syscalls`], [`heap`]: what it waited
//!   for, its calls into the system, its memory. [`life`]: what these share.
//! - [`async_tasks`]: what async tasks did, and what their executors did with them.
//! - [`export`]: for other viewers. [`profile`]: stacks with weights, for pprof and others.
//! - [`symbolize`]: a trace that brings names along. [`recover`]: one that a killed process left.
//! - [`record`]: a trace of a program that runs, over HTTP.
//! - [`completions`], [`man`]: what shells and `man` want to know of these.
//! - [`reading`]: what all of them share: opening the file, the window, the warnings.
//!   [`beside`]: what lies beside it.

pub mod async_tasks;
pub mod beside;
pub mod blocked;
pub mod check;
pub mod completions;
pub mod events;
pub mod explain;
pub mod export;
pub mod heap;
pub mod life;
pub mod lines;
pub mod man;
pub mod profile;
pub mod raw;
pub mod reading;
pub mod record;
pub mod recover;
pub mod regions;
pub mod summary;
pub mod symbolize;
pub mod syscalls;
pub mod tasks;
pub mod threads;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use trace_format::read::ReadError;

use crate::output::{Output, say};

/// Shows what a traced program did, and where its time went.
///
/// Exit code 0: all is well. 1: the trace is damaged, has no end, or lost events; what could be
/// read was shown, and standard error or the report says what is missing. 2: wrong use, or no
/// trace.
#[derive(Debug, Parser)]
#[command(name = "exectrace", version, max_term_width = 100)]
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
    /// Per name, and the slowest task trees.
    Tasks(tasks::Arguments),
    /// Per thread: what it did with its time, and what it waited for.
    Threads(threads::Arguments),
    /// What the program waited for, who made it wait, and where.
    Blocked(blocked::Arguments),
    /// Async tasks: what blocked their threads, what they waited for, and which are stuck.
    Async(async_tasks::Arguments),
    /// Calls into the system: how often, how long, how many bytes, which errors.
    Syscalls(syscalls::Arguments),
    /// What lives on the heap, and who allocates.
    Heap(heap::Arguments),
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

/// How a command ended that could do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is missing.
    Fine,
    /// Parts of the trace are damaged, dropped or missing, and this was said.
    Faulty,
}

/// Why a command could not do its work.
#[derive(Debug)]
pub enum Failure {
    /// It was asked something impossible.
    Usage(String),
    /// The file is no trace, or can't be read.
    Trace(PathBuf, ReadError),
    /// The file can't be opened.
    Open(PathBuf, io::Error),
    /// The answer can't be written.
    Output(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Usage(what) => write!(f, "{what}"),
            Self::Open(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Output(error) => write!(f, "can't write the output: {error}"),
            Self::Trace(path, error) => {
                write!(f, "{}: {error}", path.display())?;
                match std::error::Error::source(error) {
                    Some(cause) => write!(f, ": {cause}"),
                    None => Ok(()),
                }
            }
        }
    }
}

/// Runs one command line, the program's name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let line = match CommandLine::try_parse_from(arguments) {
        Ok(line) => line,
        Err(error) => return refuse(&error),
    };
    let mut out = Output::stdout();
    let done = execute(line.verb, &mut out).and_then(|verdict| {
        out.flush()?;
        Ok(verdict)
    });
    match done {
        Ok(Verdict::Fine) => ExitCode::SUCCESS,
        Ok(Verdict::Faulty) => ExitCode::from(1),
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            // What is still in the buffer has no reader: writing it again would only fail again.
            std::process::exit(0);
        }
        Err(failure) => {
            say(&failure.to_string());
            ExitCode::from(2)
        }
    }
}

fn execute(verb: Verb, out: &mut Output) -> Result<Verdict, Failure> {
    match verb {
        Verb::Summary(arguments) => summary::run(&arguments, out),
        Verb::Explain(arguments) => explain::run(&arguments, out),
        Verb::Events(arguments) => events::run(&arguments, out),
        Verb::Check(arguments) => check::run(&arguments, out),
        Verb::Regions(arguments) => regions::run(&arguments, out),
        Verb::Tasks(arguments) => tasks::run(&arguments, out),
        Verb::Threads(arguments) => threads::run(&arguments, out),
        Verb::Blocked(arguments) => blocked::run(&arguments, out),
        Verb::Async(arguments) => async_tasks::run(&arguments, out),
        Verb::Syscalls(arguments) => syscalls::run(&arguments, out),
        Verb::Heap(arguments) => heap::run(&arguments, out),
        Verb::Profile(arguments) => profile::run(&arguments, out),
        Verb::Symbolize(arguments) => symbolize::run(&arguments, out),
        Verb::Recover(arguments) => recover::run(&arguments, out),
        Verb::Export(arguments) => export::run(&arguments, out),
        Verb::Record(arguments) => record::run(&arguments, out),
        Verb::Completions(arguments) => completions::run(&arguments, out),
        Verb::Man(arguments) => man::run(&arguments, out),
    }
}

/// Help is printed as clap made it; a fault is one line.
fn refuse(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let line = CommandLine::command();
        let verbs: Vec<_> = line.get_subcommands().map(clap::Command::get_name).collect();
        say(&format!("a command is needed: one of {}", verbs.join(", ")));
        return ExitCode::from(2);
    }
    let text = error.render().to_string();
    let first: Vec<_> = text.lines().take_while(|line| !line.trim().is_empty()).collect();
    let joined = first.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
    let fault = joined.trim_start_matches("error: ");
    say(&format!("{} (see exectrace --help)", trace_profile::escape::plain(fault, 400)));
    ExitCode::from(2)
}
