//! How long tasks took, by name, and the slowest of them as trees.

use std::cmp::Reverse;

use clap::ValueEnum;
use trace_analysis::Summary;
use trace_analysis::tasks::TaskSummary;

use super::{Question, Reading, Subject, cut};
use crate::error::Failure;

/// Maximum number of task trees that are kept.
const TREES_MAX: usize = 10_000;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct TasksAsk {
    /// Maximum number of names; 0 for all.
    pub top: usize,
    /// What they are sorted by.
    pub sort: Sort,
    /// How many of the slowest tasks are wanted.
    pub trees: usize,
}

/// What tasks are sorted by; the greatest first.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Sort {
    /// The sum of their latencies.
    Total,
    /// How many there were.
    Count,
    /// The median latency.
    P50,
    /// The latency that one in a hundred exceeds.
    P99,
    /// The greatest latency.
    Max,
    /// Time that threads worked for them.
    Worked,
    /// The name, from A to Z.
    Name,
}

/// The answer.
#[derive(Debug)]
pub struct TasksAnswer {
    /// What it is about.
    pub subject: Subject,
    /// Its tasks are sorted and cut.
    pub summary: Summary,
    /// Names that were left out.
    pub omitted: usize,
}

impl TasksAnswer {
    /// Reads the trace.
    ///
    /// # Errors
    /// If there is none.
    pub fn read(question: &Question, ask: TasksAsk) -> Result<Self, Failure> {
        let reading = Reading::open(&question.file, &question.part)?;
        let mut summary = reading.summary(0, ask.trees.min(TREES_MAX));
        let subject = Subject::of_summary(reading, &summary);
        sort(&mut summary.tasks.names, ask.sort);
        let omitted = cut(&mut summary.tasks.names, ask.top);
        Ok(Self { subject, summary, omitted })
    }
}

fn sort(names: &mut [TaskSummary], by: Sort) {
    match by {
        Sort::Total => names.sort_by_key(|task| Reverse(task.total)),
        Sort::Count => names.sort_by_key(|task| Reverse(task.count)),
        Sort::P50 => names.sort_by_key(|task| Reverse(task.quantiles.p50)),
        Sort::P99 => names.sort_by_key(|task| Reverse(task.quantiles.p99)),
        Sort::Max => names.sort_by_key(|task| Reverse(task.quantiles.max)),
        Sort::Worked => names.sort_by_key(|task| Reverse(task.worked)),
        Sort::Name => names.sort_by(|a, b| a.name.cmp(&b.name)),
    }
}
