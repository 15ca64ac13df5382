//! `exectrace threads`: how busy each thread was.

use std::cmp::Reverse;
use std::io::Write;

use clap::{Args, ValueEnum};
use trace_analysis::Summary;
use trace_analysis::threads::ThreadSummary;
use trace_format::time::Nanos;

use super::reading::{Source, limited, say_if_empty, verdict, warn};
use super::{Failure, Verdict};
use crate::describe::Names;
use crate::json::{Parts, Report, Trace};
use crate::output::Output;
use crate::table::{Column, Table};
use crate::units;

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    source: Source,
    /// At most so many threads; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 0)]
    limit: usize,
    /// What they are sorted by.
    #[arg(long, value_enum, default_value_t = Sort::Busy)]
    sort: Sort,
}

/// What threads are sorted by.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Sort {
    /// The busiest first.
    Busy,
    /// The most events first.
    Events,
    /// The oldest first.
    Id,
    /// The name, from A to Z.
    Name,
}

/// Prints the threads.
///
/// # Errors
/// If there is no trace, or the output can't be written.
pub fn run(arguments: &Arguments, out: &mut Output) -> Result<Verdict, Failure> {
    let reading = arguments.source.open()?;
    let mut summary = reading.summary(0, 0);
    let names = Names::new(reading.file.tables());
    say_if_empty(&reading, &summary);
    warn(&names, &summary);
    match arguments.sort {
        Sort::Busy => summary.threads.sort_by_key(|thread| Reverse(thread.busy)),
        Sort::Events => summary.threads.sort_by_key(|thread| Reverse(thread.events)),
        Sort::Id => summary.threads.sort_by_key(|thread| thread.thread),
        Sort::Name => summary.threads.sort_by_cached_key(|thread| names.thread(thread.thread)),
    }
    let kept = limited(&summary.threads, arguments.limit).len();
    if arguments.source.json {
        summary.threads.truncate(kept);
        let trace = Trace::new(&arguments.source.file, &reading.file);
        out.json(&Report::new(trace, &names, &summary, Parts::Threads))?;
    } else if kept > 0 {
        let text = table(&summary.threads[..kept], &summary, &names).render(out.width);
        out.write_all(text.as_bytes())?;
    }
    Ok(verdict(&summary))
}

/// A row for each thread. `busy%` is of the time that passed in the window.
#[must_use]
pub fn table(threads: &[ThreadSummary], summary: &Summary, names: &Names<'_>) -> Table {
    let mut table = Table::new(&[
        Column::Name("thread"),
        Column::Optional("os id", 1),
        Column::Number("busy"),
        Column::Number("busy%"),
        Column::Number("events"),
        Column::Optional("regions", 3),
        Column::Optional("first at", 4),
        Column::Optional("last at", 5),
        Column::Optional("bytes", 0),
        Column::Number("dropped"),
        Column::Number("lost ends"),
    ]);
    for thread in threads {
        let os_id = names.os_id(thread.thread).map_or_else(|| "-".to_owned(), |id| id.to_string());
        let since = |at: Nanos| units::time(Nanos(at.0.saturating_sub(summary.from.0)));
        table.row([
            names.thread(thread.thread),
            os_id,
            units::time(thread.busy),
            units::percent(thread.busy.0, summary.wall().0),
            units::count(thread.events),
            units::count(thread.regions),
            since(thread.first),
            since(thread.last),
            units::bytes(thread.bytes),
            units::count(thread.dropped_events),
            units::count(thread.dropped_ends),
        ]);
    }
    table.without_empty("dropped", "0").without_empty("lost ends", "0")
}
