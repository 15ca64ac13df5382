//! `exectrace tasks` for programs.

use serde::Serialize;
use trace_analysis::tasks::{TaskSummary, TaskTree, Tasks};

use super::findings::ReadOut;
use super::head::HeadOut;
use super::stacks::SpreadOut;
use crate::answer::tasks::TasksAnswer;
use crate::error::Failure;
use crate::output::Output;

/// What `tasks` answers.
#[derive(Debug, Serialize)]
pub struct TasksOut {
    #[serde(flatten)]
    head: HeadOut,
    #[serde(flatten)]
    read: ReadOut,
    /// The tasks.
    tasks: TaskReportOut,
    /// Names that `--top` left out.
    tasks_omitted: usize,
}

/// Prints the answer.
///
/// # Errors
/// If it can't be written.
pub fn print(answer: &TasksAnswer, out: &mut Output) -> Result<(), Failure> {
    let names = answer.subject.names();
    Ok(out.json(&TasksOut {
        head: HeadOut::new(&answer.subject),
        read: ReadOut::new(&names, &answer.summary),
        tasks: TaskReportOut::new(&answer.summary.tasks),
        tasks_omitted: answer.omitted,
    })?)
}

/// Tasks by name, and the slowest.
#[derive(Debug, Serialize)]
pub struct TaskReportOut {
    /// By name.
    names: Vec<TaskNameOut>,
    /// The slowest, slowest first.
    slowest: Vec<TaskTreeOut>,
    /// Tasks that are left out, as too many were open when they began.
    untracked: u64,
}

impl TaskReportOut {
    /// All of them.
    #[must_use]
    pub fn new(tasks: &Tasks) -> Self {
        Self {
            names: tasks.names.iter().map(TaskNameOut::new).collect(),
            slowest: tasks.slowest.iter().map(TaskTreeOut::new).collect(),
            untracked: tasks.untracked,
        }
    }
}

/// The tasks of one name. Percentiles are of latencies, from a task's begin to its end.
#[derive(Debug, Serialize)]
pub struct TaskNameOut {
    /// The name.
    name: String,
    /// Those that ended.
    count: u64,
    /// Those that were open at the end.
    unfinished: u64,
    /// The sum of their latencies.
    total_ns: u64,
    /// Time that threads worked for them.
    worked_ns: u64,
    /// Of latencies.
    mean_ns: u64,
    #[serde(flatten)]
    spread: SpreadOut,
    /// How often another thread went on with one.
    thread_hops: u64,
}

impl TaskNameOut {
    fn new(task: &TaskSummary) -> Self {
        Self {
            name: task.name.clone(),
            count: task.count,
            unfinished: task.unfinished,
            total_ns: task.total.0,
            worked_ns: task.worked.0,
            mean_ns: task.mean.0,
            spread: task.quantiles.into(),
            thread_hops: task.thread_hops,
        }
    }
}

/// A task with its sub-tasks.
#[derive(Debug, Serialize)]
pub struct TaskTreeOut {
    /// Its id.
    task: u64,
    /// The id of the task it is part of; 0 if of none.
    parent: u64,
    /// Its name.
    name: String,
    /// When it began; negative if that was before the trace.
    begin_ns: i64,
    /// From its begin to its end, or to the window's.
    latency_ns: u64,
    /// Whether it was open at the end.
    unfinished: bool,
    /// Time that threads worked for it.
    worked_ns: u64,
    /// How often a thread worked for it.
    runs: u64,
    /// How often that was another thread than before.
    thread_hops: u64,
    /// Faster descendants that were left out.
    omitted: u64,
    /// Its sub-tasks.
    children: Vec<TaskTreeOut>,
}

impl TaskTreeOut {
    fn new(tree: &TaskTree) -> Self {
        Self {
            task: tree.id.0,
            parent: tree.parent.0,
            name: tree.name.clone(),
            begin_ns: tree.begin.0,
            latency_ns: tree.latency.0,
            unfinished: tree.unfinished,
            worked_ns: tree.worked.0,
            runs: tree.runs,
            thread_hops: tree.thread_hops,
            omitted: tree.omitted,
            children: tree.children.iter().map(Self::new).collect(),
        }
    }
}
