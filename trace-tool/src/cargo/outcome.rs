//! The traces that a run has left, and what is printed about them.
//!
//! Elsewhere: what they say together (`answer::ranking`).

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use crate::answer::Question;
use crate::answer::ranking::{Ranking, RankingAsk};
use crate::answer::summary::{SummaryAnswer, SummaryAsk};
use crate::error::Failure;
use crate::label::{self, pasted};
use crate::output::{Output, say};
use crate::source::beside::{has_other_names, is_same_file};
use crate::{json, text};

/// The traces in a folder, by name.
///
/// # Errors
/// If the folder can't be read.
pub(super) fn traces(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = std::fs::read_dir(folder);
    let entries = entries.map_err(|error| Failure::Open(folder.to_path_buf(), error))?;
    let paths = entries.flatten().map(|entry| entry.path());
    let is_trace = |path: &PathBuf| path.extension().is_some_and(|name| name == "trace");
    let mut traces: Vec<_> = paths.filter(is_trace).collect();
    traces.sort();
    Ok(once(traces))
}

/// Each file once. A process that was killed while it gave a part its number leaves one under two
/// names; the one without a number, which comes last, has more beside it.
fn once(traces: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut kept: Vec<PathBuf> = Vec::with_capacity(traces.len());
    for path in traces.into_iter().rev() {
        let is_there = |other: &PathBuf| is_same_file(&path, other);
        if !has_other_names(&path) || !kept.iter().any(is_there) {
            kept.push(path);
        }
    }
    kept.reverse();
    kept
}

/// What is wanted of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    /// Maximum number of rows in a table; 0 for all.
    pub(super) top: usize,
    /// A summary of each trace.
    pub(super) every: bool,
    /// The ranking as JSON, and nothing else.
    pub(super) json: bool,
    /// What was run.
    pub(super) kind: Kind,
}

/// What a command of cargo's runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A program.
    Program,
    /// Tests.
    Tests,
    /// Benchmarks.
    Benches,
}

/// Prints what the traces say.
///
/// # Errors
/// If the output can't be written.
pub(super) fn show(
    folder: &Path,
    ask: Ask,
    status: ExitStatus,
    out: &mut Output,
) -> Result<(), Failure> {
    let paths = traces(folder)?;
    if paths.is_empty() {
        let _ = std::fs::remove_dir(folder);
        // What cargo could not build has nothing to say.
        if status.success() {
            let why = "no trace was written: nothing that ran has linked exectrace";
            say(&format!("{why}; `use exectrace as _;` in the root of a crate links it"));
        }
    }
    let wanted = RankingAsk { top: ask.top, has_tests: ask.kind == Kind::Tests };
    let ranking = Ranking::read(&paths, wanted);
    if ask.json {
        json::ranking::print(folder, &ranking, out)?;
        return Ok(out.flush()?);
    }
    if paths.is_empty() {
        return Ok(());
    }
    // Tests are ranked; of one program there is more to say.
    let is_ranked = ranking.tests.count() + ranking.tasks.count() > 0;
    if ask.every || paths.len() == 1 && (ask.kind == Kind::Program || !is_ranked) {
        print_summaries(&ranking.paths, ask.top, out)?;
    }
    text::ranking::print(&ranking, out)?;
    if ranking.processes.count() > 0 && ranking.is_bare {
        writeln!(out)?;
        out.wrapped(why_bare(ask, status), 2)?;
    }
    writeln!(out, "\nTraces: {}", label::path(folder))?;
    if let Some(path) = ranking.worth_reading() {
        let verb = if ranking.tests.count() > 0 { "tests" } else { "summary" };
        writeln!(out, "  more: exectrace {verb} {}", pasted(path))?;
    }
    Ok(out.flush()?)
}

fn print_summaries(paths: &[PathBuf], top: usize, out: &mut Output) -> Result<(), Failure> {
    for path in paths {
        let question = Question { file: path.clone(), ..Question::default() };
        let ask = SummaryAsk { top, ..SummaryAsk::default() };
        match SummaryAnswer::read(&question, ask) {
            Ok(answer) => {
                writeln!(out)?;
                text::summary::print(&answer, out)?;
            }
            Err(failure) => say(&failure.to_string()),
        }
    }
    Ok(())
}

/// Why there may be nothing but events of the recorder's own.
fn why_bare(ask: Ask, status: ExitStatus) -> &'static str {
    if ask.kind == Kind::Program && !status.success() {
        return "nothing that is annotated ran before the program failed. If it starts a trace of \
                its own, that was refused (AlreadyRunning), for this trace runs already: let it go \
                on without its own when `start` says so, or run it by plain cargo";
    }
    "nothing that is annotated ran: #[exectrace::test], #[traced], trace_region! annotate"
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt as _;

    #[test]
    fn a_trace_that_cannot_be_read_does_not_end_the_report() {
        for every in [true, false] {
            let folder = tempfile::tempdir().expect("a folder");
            std::fs::write(folder.path().join("a.trace"), "").expect("it can be written");
            let ask = Ask { top: 0, every, json: false, kind: Kind::Tests };
            let shown = show(folder.path(), ask, ExitStatus::from_raw(0), &mut Output::stdout());
            assert!(shown.is_ok(), "{shown:?}");
        }
    }
}
