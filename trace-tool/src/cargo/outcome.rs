//! The traces that a run has left, and what they say together: one for each process, and its tasks
//! ranked across all of them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use trace_analysis::Summary;
use trace_export::label::escape;
use trace_format::time::Nanos;

use super::runs::{self, Spent};
use crate::answer::completeness::Completeness;
use crate::answer::summary::{SummaryAnswer, SummaryAsk};
use crate::answer::{Question, Reading, limited};
use crate::error::Failure;
use crate::label::names::Names;
use crate::label::{self, pasted, units};
use crate::output::{Output, say};
use crate::source::beside::{has_other_names, is_same_file};
use crate::text::table::{Column, Table};
use crate::{symbols, text};

/// Maximum number of traces whose names are read at once: each costs up to a second.
const NAMED_MAX: usize = 64;

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
    pub(super) limit: usize,
    /// A summary of each trace.
    pub(super) every: bool,
    /// A program was run, no tests or benches.
    pub(super) is_run: bool,
}

/// One process.
#[derive(Debug)]
struct Process {
    path: PathBuf,
    life: Nanos,
    events: u64,
    fault: &'static str,
}

/// What has one name, in all processes.
#[derive(Debug, Default)]
struct Ranked {
    name: String,
    place: String,
    count: u64,
    total: Nanos,
    /// Of `total`: that threads worked for it, or that was its own.
    own: Nanos,
    max: Nanos,
    unfinished: u64,
    /// Of threads that worked for it, where that is known.
    spent: Option<Spent>,
    /// Where the greatest is.
    slowest: PathBuf,
}

/// All of a run.
#[derive(Debug, Default)]
struct Outcome {
    processes: Vec<Process>,
    tasks: BTreeMap<String, Ranked>,
    regions: BTreeMap<(String, String), Ranked>,
    /// Whether there were futures, counters, logs or instants, which are not ranked.
    has_others: bool,
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
        return Ok(());
    }
    let mut outcome = Outcome::default();
    for path in &paths {
        if let Err(failure) = outcome.add(path) {
            say(&failure.to_string());
        }
    }
    if let Some(more) = paths.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
        let traces = units::plural(more as u64, "trace", "traces");
        say(&format!("names of {traces} are not kept: read them before the next build"));
    }
    // Tests are ranked; of one program there is more to say.
    if ask.every || paths.len() == 1 && (ask.is_run || outcome.tasks.is_empty()) {
        // Of those that can't be read it has been said.
        for Process { path, .. } in &outcome.processes {
            let question = Question { file: path.clone(), ..Question::default() };
            let summary = SummaryAsk { limit: ask.limit, ..SummaryAsk::default() };
            match SummaryAnswer::read(&question, summary) {
                Ok(answer) => {
                    writeln!(out)?;
                    text::summary::print(&answer, out)?;
                }
                Err(failure) => say(&failure.to_string()),
            }
        }
    }
    outcome.print(ask.limit, out)?;
    if !outcome.processes.is_empty() && outcome.is_bare() {
        writeln!(out)?;
        out.wrapped(why_bare(ask, status), 2)?;
    }
    writeln!(out, "\nTraces: {}", label::path(folder))?;
    if let Some(path) = outcome.worth_reading() {
        writeln!(out, "  more: exectrace summary {}", pasted(path))?;
    }
    out.flush()?;
    Ok(())
}

/// Why there may be nothing but events of the recorder's own.
fn why_bare(ask: Ask, status: ExitStatus) -> &'static str {
    if ask.is_run && !status.success() {
        return "nothing that is annotated ran before the program failed. If it starts a trace of \
                its own, that was refused (AlreadyRunning), for this trace runs already: let it go \
                on without its own when `start` says so, or run it by plain cargo";
    }
    "nothing that is annotated ran: #[exectrace::test], #[traced], trace_region! annotate"
}

impl Outcome {
    fn add(&mut self, path: &Path) -> Result<(), Failure> {
        let reading = Reading::whole(path)?;
        let summary = reading.summary(0, 0);
        // While the program is there: after the next build it is another.
        if self.processes.len() < NAMED_MAX {
            symbols::keep(&reading.file);
        }
        let names = Names::new(reading.file.tables());
        let fault = match () {
            () if !reading.file.is_complete() => "cut",
            () if Completeness::new(&reading.file, &summary, None).has_loss() => "LOST",
            () => "",
        };
        let (life, events) = (summary.wall(), summary.events);
        self.add_tasks(&summary, &runs::spent(&reading), path);
        self.add_regions(&summary, &names, path);
        self.has_others |= !summary.futures.is_empty()
            || !summary.counters.is_empty()
            || !summary.moments.is_empty();
        self.processes.push(Process { path: path.to_path_buf(), life, events, fault });
        Ok(())
    }

    fn add_tasks(&mut self, summary: &Summary, spent: &HashMap<String, Spent>, path: &Path) {
        for task in &summary.tasks.names {
            let ranked = self.tasks.entry(task.name.clone()).or_default();
            ranked.name.clone_from(&task.name);
            ranked.add(task.count, task.total, task.worked, task.quantiles.max, path);
            if let Some(spent) = spent.get(&task.name) {
                ranked.spent.get_or_insert_default().add(*spent);
            }
            ranked.unfinished = ranked.unfinished.saturating_add(task.unfinished);
        }
    }

    fn add_regions(&mut self, summary: &Summary, names: &Names<'_>, path: &Path) {
        for region in &summary.regions {
            let key = (names.site(region.site), names.place(region.site));
            let ranked = self.regions.entry(key.clone()).or_default();
            (ranked.name, ranked.place) = key;
            let max = region.quantiles.max;
            ranked.add(region.count, region.total, region.self_time, max, path);
        }
    }

    fn print(&self, limit: usize, out: &mut Output) -> Result<(), Failure> {
        if self.processes.len() > 1 {
            let mut processes: Vec<_> = self.processes.iter().collect();
            processes.sort_by_key(|process| Reverse(process.life));
            let title = units::plural(processes.len() as u64, "process", "processes");
            let shown = limited(&processes, limit);
            section(&title, &processes_table(shown), processes.len() - shown.len(), out)?;
        }
        let tasks = ranking(self.tasks.values());
        let shown = limited(&tasks, limit);
        if !shown.is_empty() {
            let title = "Tasks, the longest first (worked: by threads, for them)";
            section(title, &self.tasks_table(shown), tasks.len() - shown.len(), out)?;
        }
        // Of one process they are in its summary.
        if tasks.is_empty() && self.processes.len() > 1 {
            let mut regions = ranking(self.regions.values());
            regions.sort_by_key(|region| Reverse(region.own));
            let shown = limited(&regions, limit);
            let title = "Regions of all processes, by their own time";
            section(title, &regions_table(shown), regions.len() - shown.len(), out)?;
        }
        Ok(())
    }

    /// Whether nothing that is annotated ran.
    fn is_bare(&self) -> bool {
        self.tasks.is_empty() && self.regions.is_empty() && !self.has_others
    }

    fn tasks_table(&self, tasks: &[&Ranked]) -> Table {
        let is_one = self.processes.len() == 1;
        let mut table = Table::new(&[
            Column::Name("task"),
            Column::Number("count"),
            Column::Number("total"),
            Column::Number("max"),
            Column::Number("worked"),
            Column::Number("waited"),
            Column::Number("on CPU"),
            Column::Number("ready"),
            Column::Number("blocked"),
            Column::Number("open"),
            Column::OptionalText("longest in", 0),
        ]);
        for task in tasks {
            let spent = |part: fn(Spent) -> Nanos| {
                task.spent.map_or_else(|| "-".to_owned(), |spent| units::time(part(spent)))
            };
            table.row([
                escape::plain(&task.name, 120),
                units::count(task.count),
                units::time(task.total),
                units::time(task.max),
                units::time(task.own),
                units::time(Nanos(task.total.0.saturating_sub(task.own.0))),
                spent(|spent| spent.cpu),
                spent(|spent| spent.ready),
                spent(|spent| spent.blocked),
                units::count(task.unfinished),
                if is_one { String::new() } else { file_name(&task.slowest) },
            ]);
        }
        table
            .without_empty("on CPU", "-")
            .without_empty("ready", "-")
            .without_empty("blocked", "-")
            .without_empty("open", "0")
            .without_empty("count", "1")
            .without_empty("longest in", "")
    }

    /// The trace with the longest task, or of the longest process.
    fn worth_reading(&self) -> Option<&Path> {
        let task = self.tasks.values().max_by_key(|task| task.max);
        let process = self.processes.iter().max_by_key(|process| process.life);
        task.map(|task| &*task.slowest).or_else(|| process.map(|process| &*process.path))
    }
}

impl Ranked {
    fn add(&mut self, count: u64, total: Nanos, own: Nanos, max: Nanos, path: &Path) {
        self.count = self.count.saturating_add(count);
        self.total = Nanos(self.total.0.saturating_add(total.0));
        self.own = Nanos(self.own.0.saturating_add(own.0));
        if max >= self.max {
            self.max = max;
            self.slowest = path.to_path_buf();
        }
    }
}

fn ranking<'a>(all: impl Iterator<Item = &'a Ranked>) -> Vec<&'a Ranked> {
    let mut ranking: Vec<_> = all.collect();
    ranking.sort_by_key(|ranked| Reverse(ranked.total));
    ranking
}

fn section(title: &str, table: &Table, more: usize, out: &mut Output) -> Result<(), Failure> {
    writeln!(out, "\n{}", out.bold(title))?;
    let text = table.clone().render(out.width);
    out.write_all(text.as_bytes())?;
    if more > 0 {
        writeln!(out, "… and {} more: --limit 0", units::count(more as u64))?;
    }
    Ok(())
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    escape::plain(&name.to_string_lossy(), 120)
}

fn processes_table(processes: &[&Process]) -> Table {
    let columns = [
        Column::Name("trace"),
        Column::Number("life"),
        Column::Number("events"),
        Column::Text("fault"),
    ];
    let mut table = Table::new(&columns);
    for process in processes {
        table.row([
            file_name(&process.path),
            units::time(process.life),
            units::count(process.events),
            process.fault.to_owned(),
        ]);
    }
    table.without_empty("fault", "")
}

fn regions_table(regions: &[&Ranked]) -> Table {
    let mut table = Table::new(&[
        Column::Name("region"),
        Column::Number("self"),
        Column::Number("total"),
        Column::Number("count"),
        Column::Number("max"),
        Column::OptionalText("where", 0),
    ]);
    for region in regions {
        table.row([
            escape::plain(&region.name, 120),
            units::time(region.own),
            units::time(region.total),
            units::count(region.count),
            units::time(region.max),
            escape::plain(&region.place, 120),
        ]);
    }
    table
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt as _;
    use trace_format::batch::Compression;
    use trace_format::definition::CallsiteKind;
    use trace_format::event::EventKind;
    use trace_format::id::{FutureId, SiteId, StackId, TaskId, ThreadId};
    use trace_format::testgen::TraceBuilder;

    fn trace() -> TraceBuilder {
        let mut trace = TraceBuilder::started(Compression::None);
        trace.thread(1, "main");
        trace
    }

    #[test]
    fn a_trace_that_cannot_be_read_does_not_end_the_report() {
        for others in [&["b.trace"][..], &[]] {
            let folder = tempfile::tempdir().expect("a folder");
            std::fs::write(folder.path().join("a.trace"), "").expect("it can be written");
            for name in others {
                let bytes = trace().stop(1_000);
                std::fs::write(folder.path().join(name), bytes).expect("it can be written");
            }
            let ask = Ask { limit: 0, every: true, is_run: false };
            let shown = show(folder.path(), ask, ExitStatus::from_raw(0), &mut Output::stdout());
            assert!(shown.is_ok(), "{others:?}: {shown:?}");
        }
    }

    #[test]
    fn a_process_whose_records_the_kernel_lost_is_marked_as_every_command_does() {
        let mut trace = trace();
        trace.event(ThreadId::cpu(0).0, 200, EventKind::LostKernel { records: 7 });
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.trace");
        std::fs::write(&path, trace.stop(1_000)).expect("it can be written");
        let mut outcome = Outcome::default();
        outcome.add(&path).expect("it can be read");
        assert_eq!(outcome.processes[0].fault, "LOST");
    }

    #[test]
    fn a_traced_async_function_is_something_that_ran() {
        let (mut annotated, bare) = (trace(), trace());
        annotated.callsite(1, CallsiteKind::Future, "handle");
        let (future, site, stack) = (FutureId(1), SiteId(1), StackId(0));
        let (parent, task) = (FutureId(0), TaskId(0));
        annotated.event(1, 100, EventKind::FutureSpawn { future, parent, task, site, stack });
        for (trace, is_bare) in [(annotated, false), (bare, true)] {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("a.trace");
            std::fs::write(&path, trace.stop(1_000)).expect("it can be written");
            let mut outcome = Outcome::default();
            outcome.add(&path).expect("it can be read");
            assert_eq!(outcome.is_bare(), is_bare);
        }
    }
}
