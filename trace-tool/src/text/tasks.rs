//! `exectrace tasks`: how long tasks took, by name, and the slowest of them as trees.

use std::io::Write;

use trace_analysis::tasks::{TaskSummary, TaskTree};
use trace_export::label::escape;

use super::table::{Column, Table};
use super::{print_more, print_table};
use crate::answer::tasks::TasksAnswer;
use crate::error::Failure;
use crate::label::units;
use crate::output::{Output, say};

/// Prints the tasks.
///
/// # Errors
/// If it can't be written.
pub fn print(answer: &TasksAnswer, out: &mut Output) -> Result<(), Failure> {
    let tasks = &answer.summary.tasks;
    if tasks.untracked > 0 {
        let untracked = units::plural(tasks.untracked, "task", "tasks");
        say(&format!("{untracked} began while too many were open to follow them"));
    }
    if tasks.names.is_empty() {
        say("the trace has no tasks here");
        return Ok(());
    }
    print_table(out, table(&tasks.names))?;
    print_more(out, answer.omitted, "--top 0")?;
    if !tasks.slowest.is_empty() {
        writeln!(out, "\n{}", out.bold("The slowest"))?;
        for tree in &tasks.slowest {
            print_tree(tree, "", "", out)?;
        }
    }
    Ok(())
}

/// A row for each name. Percentiles are of latencies, from a task's begin to its end; `worked` is
/// the time threads spent on them.
#[must_use]
pub fn table(names: &[TaskSummary]) -> Table {
    let mut table = Table::new(&[
        Column::Name("task"),
        Column::Number("count"),
        Column::Optional("mean", 2),
        Column::Number("p50"),
        Column::Optional("p90", 1),
        Column::Number("p99"),
        Column::Number("max"),
        Column::Number("worked"),
        Column::Optional("hops", 0),
        Column::Number("open"),
    ]);
    for task in names {
        // A task that has not ended has no latency.
        let time = |time| if task.count > 0 { units::time(time) } else { "-".to_owned() };
        table.row([
            escape::plain(&task.name, 120),
            units::count(task.count),
            time(task.mean),
            time(task.quantiles.p50),
            time(task.quantiles.p90),
            time(task.quantiles.p99),
            time(task.quantiles.max),
            units::time(task.worked),
            units::count(task.thread_hops),
            units::count(task.unfinished),
        ]);
    }
    table.without_empty("open", "0")
}

/// Prints one task on a line, and its sub-tasks below it.
fn print_tree(tree: &TaskTree, front: &str, below: &str, out: &mut Output) -> Result<(), Failure> {
    let name = escape::plain(&tree.name, 80);
    let open = if tree.unfinished { " and still open" } else { "" };
    let latency = units::time(tree.latency);
    let worked = units::time(tree.worked);
    let runs = units::plural(tree.runs, "run", "runs");
    let hops = match tree.thread_hops {
        0 => String::new(),
        hops => format!(", {}", units::plural(hops, "thread hop", "thread hops")),
    };
    let begin = units::since(tree.begin);
    let id = tree.id.0;
    writeln!(
        out,
        "{front}{name} #{id}  {latency}{open}, worked {worked} in {runs}{hops}, at {begin}"
    )?;
    let last = tree.children.len() + usize::from(tree.omitted > 0);
    for (at, child) in tree.children.iter().enumerate() {
        let (joint, beside) =
            if at + 1 == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        print_tree(child, &format!("{below}{joint}"), &format!("{below}{beside}"), out)?;
    }
    if tree.omitted > 0 {
        writeln!(out, "{below}└─ … {} faster", units::plural(tree.omitted, "task", "tasks"))?;
    }
    Ok(())
}
