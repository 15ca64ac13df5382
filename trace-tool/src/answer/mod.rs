//! What each verb answers: plain values, cut to what was asked. [`text`](crate::text) and
//! [`json`](crate::json) show the same answer, so that they can't disagree.
//!
//! - [`Selection`] is what can be asked of any trace, [`Reading`] (in [`reading`]) the trace that
//!   is opened for it, and [`Subject`] what every answer has: its trace, its names, its window,
//!   what is missing.
//! - [`completeness`]: what is missing, in every command's words. [`command`]: commands that show
//!   more of the same part.
//! - One file per verb: [`summary`], [`regions`], [`tasks`], [`threads`], [`check`], [`events`];
//!   [`blocked`], [`syscalls`], [`heap`], [`explain`], [`async_tasks`], [`profile`], [`libtest`].
//! - [`ranking`] is of several traces, those of one run of `cargo exectrace`.
//! - [`lines`] makes the lines of [`events`].

pub mod async_tasks;
pub mod blocked;
pub mod check;
pub mod command;
pub mod completeness;
pub mod events;
pub mod explain;
pub mod heap;
pub mod libtest;
pub mod lines;
pub mod profile;
pub mod ranking;
pub mod reading;
pub mod regions;
pub mod summary;
pub mod syscalls;
pub mod tasks;
pub mod threads;

use std::path::PathBuf;

use trace_analysis::life::Lives;
use trace_analysis::standstill::Standstill;
use trace_analysis::symbols::Symbols;
use trace_analysis::{Report, Summary, Wanted};
use trace_format::time::Nanos;

use self::completeness::Completeness;
pub use self::reading::{Reading, Selection};
use crate::error::{Failure, Verdict};
use crate::label::Labels;
use crate::label::names::Names;
use crate::label::places::Places;
use crate::symbols::binaries;

/// Which trace is asked about, which part of it, and where names come from.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// The trace.
    pub file: PathBuf,
    /// The part.
    pub part: Selection,
    /// The names.
    pub naming: binaries::Options,
}

/// What every answer has.
#[derive(Debug)]
pub struct Subject {
    /// The trace, and the part that was asked about.
    pub reading: Reading,
    /// Names of its stacks; none if the answer needs none.
    pub symbols: Symbols,
    /// The window's begin, since the first clock snapshot.
    pub from: Nanos,
    /// Its end.
    pub to: Nanos,
    /// Whether the threads that were asked for recorded nothing in the window, and, as far as is
    /// known, were not there.
    pub is_empty: bool,
    /// What is missing from the answer.
    pub missing: Completeness,
}

impl Subject {
    /// How long the window is.
    #[must_use]
    pub fn wall(&self) -> Nanos {
        Nanos(self.to.0.saturating_sub(self.from.0))
    }

    /// The names of threads, call sites and resources.
    #[must_use]
    pub fn names(&self) -> Names<'_> {
        Names::new(self.reading.file.tables())
    }

    /// These and those of stacks.
    #[must_use]
    pub fn labels<'t>(&'t self, names: &'t Names<'t>) -> Labels<'t> {
        Labels { names, places: Places::new(self.reading.file.tables(), &self.symbols) }
    }

    /// What is missing, for the exit code.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.missing.verdict()
    }

    /// The subject of an answer that needs only a summary.
    fn of_summary(reading: Reading, summary: &Summary) -> Self {
        let missing = reading.missing(summary, None);
        let (from, to, is_empty) = (summary.from, summary.to, summary.events == 0);
        Self { reading, symbols: Symbols::default(), from, to, is_empty, missing }
    }

    /// The subject of an answer about what threads did.
    ///
    /// - `summary`, `lives`: of the same part.
    fn of_lives(reading: Reading, symbols: Symbols, summary: &Summary, lives: &Lives) -> Self {
        let missing = reading.missing(summary, Some(lives));
        // A thread that waits during the whole window has no event in it.
        let is_there = lives.threads.iter().any(|life| life.end > life.begin);
        let (from, to, is_empty) = (lives.from, lives.to, summary.events == 0 && !is_there);
        Self { reading, symbols, from, to, is_empty, missing }
    }
}

/// What makes all times unreliable.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Disturbances {
    /// When the whole process stood still, by time.
    pub standstills: Vec<Standstill>,
    /// Batches and events that could not be read.
    pub unreadable: u64,
}

impl Disturbances {
    /// Of what threads did.
    #[must_use]
    pub fn new(lives: &Lives) -> Self {
        Self { standstills: lives.standstills.clone(), unreadable: lives.unreadable }
    }
}

/// What a summary says, and what threads did, if the trace says so.
#[derive(Debug)]
struct SummaryReading {
    subject: Subject,
    summary: Summary,
    report: Option<Report>,
}

impl SummaryReading {
    /// Reads a trace.
    ///
    /// - `outliers`, `trees`: how many of the longest regions and tasks are kept.
    /// - `wanted`: what is wanted besides what threads did.
    fn read(
        question: &Question,
        (outliers, trees): (usize, usize),
        wanted: Wanted,
    ) -> Result<Self, Failure> {
        let reading = Reading::open(&question.file, &question.part)?;
        if !reading.has_life() {
            let summary = reading.summary(outliers, trees);
            let subject = Subject::of_summary(reading, &summary);
            return Ok(Self { subject, summary, report: None });
        }
        let symbols = reading.symbols(&question.naming)?;
        let (summary, report) = reading.summary_and_report((outliers, trees), &symbols, wanted);
        let subject = Subject::of_lives(reading, symbols, &summary, &report.lives);
        Ok(Self { subject, summary, report: Some(report) })
    }
}

/// What was read in the order of time for an answer about what threads did.
#[derive(Debug)]
struct LifeReading {
    subject: Subject,
    report: Report,
}

impl LifeReading {
    /// Reads a trace: for what is missing, and at the same time in the order of time.
    ///
    /// - `wanted`: what is wanted besides what threads did.
    fn read(question: &Question, wanted: Wanted) -> Result<Self, Failure> {
        let reading = Reading::open(&question.file, &question.part)?;
        let symbols = reading.symbols(&question.naming)?;
        let (summary, report) = reading.summary_and_report((0, 0), &symbols, wanted);
        let subject = Subject::of_lives(reading, symbols, &summary, &report.lives);
        Ok(Self { subject, report })
    }

    /// The same, with what was done in slow tasks.
    fn read_with_slow_tasks(question: &Question, wanted: Wanted) -> Result<Self, Failure> {
        let reading = Reading::open(&question.file, &question.part)?;
        let symbols = reading.symbols(&question.naming)?;
        let (summary, report) = reading.summary_and_slow_tasks(&symbols, wanted);
        let subject = Subject::of_lives(reading, symbols, &summary, &report.lives);
        Ok(Self { subject, report })
    }
}

/// The first `limit` of some items; 0 is no limit.
#[must_use]
pub fn limited<T>(items: &[T], limit: usize) -> &[T] {
    if limit == 0 { items } else { &items[..items.len().min(limit)] }
}

/// Leaves the first `limit` items, 0 for all; how many were left out.
pub fn cut<T>(items: &mut Vec<T>, limit: usize) -> usize {
    let count = items.len();
    items.truncate(limited(items, limit).len());
    count - items.len()
}
