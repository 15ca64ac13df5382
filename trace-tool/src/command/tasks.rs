//! `exectrace tasks`: how long tasks took, by name, and the slowest of them as trees.

use std::cmp::Reverse;
use std::io::Write;

use clap::{Args, ValueEnum};
use trace_analysis::tasks::{TaskSummary, TaskTree};
use trace_profile::escape;

use super::reading::{Source, limited, say_if_empty};
use super::{Failure, Verdict};
use crate::completeness::Completeness;
use crate::describe::Names;
use crate::json::{Parts, Report, Trace};
use crate::output::{Output, say};
use crate::table::{Column, Table};
use crate::units;

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    source: Source,
    /// At most so many names; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 0)]
    limit: usize,
    /// What they are sorted by.
    #[arg(long, value_enum, default_value_t = Sort::Total)]
    sort: Sort,
    /// Show so many of the slowest tasks with their sub-tasks.
    #[arg(long, value_name = "N", default_value_t = 3)]
    trees: usize,
}

/// What tasks are sorted by; the greatest first.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Sort {
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

/// Prints the tasks.
///
/// # Errors
/// If there is no trace, or the output can't be written.
pub fn run(arguments: &Arguments, out: &mut Output) -> Result<Verdict, Failure> {
    let reading = arguments.source.open()?;
    let mut summary = reading.summary(0, arguments.trees.min(10_000));
    let names = Names::new(reading.file.tables());
    say_if_empty(&reading, &summary);
    let missing = Completeness::new(&reading.file, &summary, None);
    let verdict = missing.warn();
    sort(&mut summary.tasks.names, arguments.sort);
    let kept = limited(&summary.tasks.names, arguments.limit).len();
    if arguments.source.json {
        summary.tasks.names.truncate(kept);
        let trace = Trace::new(&arguments.source.file, &reading.file);
        out.json(&Report::new(trace, &names, &summary, Parts::Tasks, &missing))?;
        return Ok(verdict);
    }
    if summary.tasks.untracked > 0 {
        let untracked = units::plural(summary.tasks.untracked, "task", "tasks");
        say(&format!("{untracked} began while too many were open to follow them"));
    }
    if kept == 0 {
        say("the trace has no tasks here");
        return Ok(verdict);
    }
    out.write_all(table(&summary.tasks.names[..kept]).render(out.width).as_bytes())?;
    if !summary.tasks.slowest.is_empty() {
        writeln!(out, "\n{}", out.bold("The slowest"))?;
        for tree in &summary.tasks.slowest {
            print_tree(tree, "", "", out)?;
        }
    }
    Ok(verdict)
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
        // Of tasks that have not ended there is no latency.
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

/// One task on a line, its sub-tasks below it.
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
