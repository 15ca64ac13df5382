//! What the traces of one run say together: its processes, and the tests, tasks and regions of all
//! of them, ranked.
//!
//! Elsewhere: one trace's tests ([`super::libtest`]), tasks and regions.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use trace_analysis::symbols::Symbols;
use trace_analysis::{Summary, Wanted};
use trace_format::time::Nanos;

use super::completeness::Completeness;
use super::libtest::{self, Test};
use super::{Reading, cut};
use crate::error::Failure;
use crate::label::names::Names;
use crate::label::units;
use crate::output::say;
use crate::symbols;

/// Maximum number of traces whose names are read: each costs up to a second.
const NAMED_MAX: usize = 64;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct RankingAsk {
    /// Maximum number of items in each list; 0 for all.
    pub top: usize,
    /// Whether tests ran, so that their threads are looked for.
    pub has_tests: bool,
}

/// The answer.
#[derive(Debug, Default)]
pub struct Ranking {
    /// The traces that could be read, as they were given.
    pub paths: Vec<PathBuf>,
    /// Their processes, the one that lived longest first; cut.
    pub processes: Ranked<Process>,
    /// Tests that had a thread of their own, the longest first; cut.
    pub tests: Ranked<TestOf>,
    /// All other tasks by name, the most time first; cut.
    pub tasks: Ranked<Named>,
    /// Regions by name and place, the most time of their own first; cut.
    pub regions: Ranked<Named>,
    /// Whether nothing that is annotated ran, and no test.
    pub is_bare: bool,
}

/// The first of a list.
#[derive(Debug)]
pub struct Ranked<T> {
    /// The items, the greatest first.
    pub items: Vec<T>,
    /// How many were left out.
    pub omitted: usize,
}

/// One process.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its trace.
    pub path: PathBuf,
    /// How long that is.
    pub life: Nanos,
    /// Its events.
    pub events: u64,
    /// Whether the trace has no end.
    pub is_cut: bool,
    /// Whether parts of it are missing.
    pub has_loss: bool,
}

/// A test of one of the processes.
#[derive(Clone, Debug)]
pub struct TestOf {
    /// The test.
    pub test: Test,
    /// Its trace.
    pub path: PathBuf,
}

/// What has one name, in all processes.
#[derive(Clone, Debug, Default)]
pub struct Named {
    /// The name; not made safe to print.
    pub name: String,
    /// Where in the source it is; empty for tasks.
    pub place: String,
    /// How often it ended.
    pub count: u64,
    /// How long in all.
    pub total: Nanos,
    /// Of `total`, the part that threads worked for the task, or that was the region's own.
    pub own: Nanos,
    /// The longest.
    pub max: Nanos,
    /// How many did not end.
    pub unfinished: u64,
    /// What threads did for the task; `None` if that is not known.
    pub spent: Option<Spent>,
    /// The trace that has the longest.
    pub slowest: PathBuf,
}

/// How the time went that threads worked for a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// On a CPU.
    pub cpu: Nanos,
    /// Able to run, without a CPU.
    pub ready: Nanos,
    /// Waiting.
    pub blocked: Nanos,
}

impl<T> Default for Ranked<T> {
    fn default() -> Self {
        Self { items: Vec::new(), omitted: 0 }
    }
}

impl<T> Ranked<T> {
    /// - `items`: sorted.
    fn new(mut items: Vec<T>, top: usize) -> Self {
        let omitted = cut(&mut items, top);
        Self { items, omitted }
    }

    /// How many there are with those that were left out.
    #[must_use]
    pub fn count(&self) -> usize {
        self.items.len() + self.omitted
    }
}

impl Ranking {
    /// Reads the traces of one run. A line on standard error reports each that can't be read.
    #[must_use]
    pub fn read(paths: &[PathBuf], ask: RankingAsk) -> Self {
        let mut sums = RankingSums::default();
        for path in paths {
            if let Err(failure) = sums.add(path, ask.has_tests) {
                say(&failure.to_string());
            }
        }
        let more = paths.len().saturating_sub(NAMED_MAX);
        if more > 0 {
            let traces = units::plural(more as u64, "trace", "traces");
            say(&format!("names of {traces} are not kept: read them before the next build"));
        }
        sums.finish(ask.top)
    }

    /// The trace to read next: that of the longest test or task, or of the longest process.
    #[must_use]
    pub fn worth_reading(&self) -> Option<&Path> {
        let test = self.tests.items.first().map(|test| &test.path);
        let task = || self.tasks.items.first().map(|task| &task.slowest);
        let process = || self.processes.items.first().map(|process| &process.path);
        test.or_else(task).or_else(process).map(PathBuf::as_path)
    }
}

/// What is added up while the traces are read.
#[derive(Debug, Default)]
struct RankingSums {
    paths: Vec<PathBuf>,
    processes: Vec<Process>,
    tests: Vec<TestOf>,
    tasks: BTreeMap<String, Named>,
    regions: BTreeMap<(String, String), Named>,
    /// Whether there were futures, counters, logs or instants, which are not ranked.
    has_others: bool,
}

impl RankingSums {
    fn add(&mut self, path: &Path, has_tests: bool) -> Result<(), Failure> {
        let reading = Reading::whole(path)?;
        let summary = reading.summary(0, 0);
        let tables = reading.file.tables();
        // Names are kept while the program is there: after the next build it is another.
        let is_named = self.processes.len() < NAMED_MAX;
        let symbols =
            if is_named { symbols::keep(&reading.file) } else { Symbols::of_trace(tables) };
        let mut spent = HashMap::new();
        if reading.has_life() {
            let wanted = Wanted { tasks_by_name: true, ..Wanted::default() };
            let report = reading.report(&symbols, wanted);
            let tests = if has_tests {
                libtest::tests(tables, &report.lives, &symbols)
            } else {
                Vec::new()
            };
            self.tests.extend(tests.into_iter().map(|test| TestOf { test, path: path.into() }));
            spent.extend(report.tasks_by_name.into_iter().map(|(name, activity)| {
                let times = &activity.times;
                let (cpu, ready, blocked) = (times.cpu(), times.ready, times.blocked());
                (name, Spent { cpu, ready, blocked })
            }));
        }
        self.add_tasks(&summary, &spent, path);
        self.add_regions(&summary, &Names::new(tables), path);
        self.has_others |= !summary.futures.is_empty()
            || !summary.counters.is_empty()
            || !summary.moments.is_empty();
        self.processes.push(Process {
            path: path.into(),
            life: summary.wall(),
            events: summary.events,
            is_cut: !reading.file.is_complete(),
            has_loss: Completeness::new(&reading.file, &summary, None).has_loss(),
        });
        self.paths.push(path.into());
        Ok(())
    }

    fn add_tasks(&mut self, summary: &Summary, spent: &HashMap<String, Spent>, path: &Path) {
        for task in &summary.tasks.names {
            let named = self.tasks.entry(task.name.clone()).or_default();
            named.name.clone_from(&task.name);
            named.add(task.count, task.total, task.worked, task.quantiles.max, path);
            if let Some(spent) = spent.get(&task.name) {
                named.spent.get_or_insert_default().add(*spent);
            }
            named.unfinished = named.unfinished.saturating_add(task.unfinished);
        }
    }

    fn add_regions(&mut self, summary: &Summary, names: &Names<'_>, path: &Path) {
        for region in &summary.regions {
            let key = (names.site(region.site), names.place(region.site));
            let named = self.regions.entry(key.clone()).or_default();
            (named.name, named.place) = key;
            let max = region.quantiles.max;
            named.add(region.count, region.total, region.self_time, max, path);
        }
    }

    fn finish(self, top: usize) -> Ranking {
        let Self { paths, mut processes, mut tests, mut tasks, regions, has_others } = self;
        let is_bare = tests.is_empty() && tasks.is_empty() && regions.is_empty() && !has_others;
        // A test that is a task as well has its row among the tests.
        let names: HashSet<_> = tests.iter().map(|it| it.test.name.as_str()).collect();
        tasks.retain(|name, _| !names.contains(name.as_str()));
        processes.sort_by_key(|process| Reverse(process.life));
        tests.sort_by_key(|it| Reverse(it.test.wall()));
        let mut tasks: Vec<_> = tasks.into_values().collect();
        tasks.sort_by_key(|task| Reverse(task.total));
        let mut regions: Vec<_> = regions.into_values().collect();
        regions.sort_by_key(|region| Reverse((region.own, region.total)));
        Ranking {
            paths,
            processes: Ranked::new(processes, top),
            tests: Ranked::new(tests, top),
            tasks: Ranked::new(tasks, top),
            regions: Ranked::new(regions, top),
            is_bare,
        }
    }
}

impl Named {
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

impl Spent {
    fn add(&mut self, other: Self) {
        for (sum, part) in [
            (&mut self.cpu, other.cpu),
            (&mut self.ready, other.ready),
            (&mut self.blocked, other.blocked),
        ] {
            *sum = Nanos(sum.0.saturating_add(part.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trace_format::batch::Compression;
    use trace_format::definition::CallsiteKind;
    use trace_format::event::EventKind;
    use trace_format::id::{FutureId, SiteId, StackId, TaskId, ThreadId};
    use trace_format::testgen::TraceBuilder;
    use trace_format::value::Text;

    fn trace() -> TraceBuilder {
        let mut trace = TraceBuilder::started(Compression::None);
        trace.thread(1, "main");
        trace
    }

    fn read(traces: &[Vec<u8>]) -> Ranking {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |(at, bytes): (usize, &Vec<u8>)| {
            let path = folder.path().join(format!("{at}.trace"));
            std::fs::write(&path, bytes).expect("it can be written");
            path
        };
        let paths: Vec<_> = traces.iter().enumerate().map(write).collect();
        Ranking::read(&paths, RankingAsk { top: 0, has_tests: true })
    }

    #[test]
    fn a_trace_that_cannot_be_read_does_not_end_the_report() {
        let ranking = read(&[Vec::new(), trace().stop(1_000)]);
        assert_eq!((ranking.paths.len(), ranking.processes.count()), (1, 1));
        assert_eq!(read(&[Vec::new()]).processes.count(), 0);
    }

    #[test]
    fn a_process_whose_records_the_kernel_lost_has_a_loss_as_every_command_says() {
        let mut trace = trace();
        trace.event(ThreadId::cpu(0).0, 200, EventKind::LostKernel { records: 7 });
        let process = &read(&[trace.stop(1_000)]).processes.items[0];
        assert_eq!((process.is_cut, process.has_loss), (false, true));
    }

    #[test]
    fn a_traced_async_function_is_something_that_ran() {
        let (mut annotated, bare) = (trace(), trace());
        annotated.callsite(1, CallsiteKind::Future, "handle");
        let (future, site, stack) = (FutureId(1), SiteId(1), StackId(0));
        let (parent, task) = (FutureId(0), TaskId(0));
        annotated.event(1, 100, EventKind::FutureSpawn { future, parent, task, site, stack });
        for (trace, is_bare) in [(annotated, false), (bare, true)] {
            assert_eq!(read(&[trace.stop(1_000)]).is_bare, is_bare);
        }
    }

    #[test]
    fn a_test_that_is_a_task_as_well_has_one_row() {
        let mut trace = trace();
        trace.facility("os", true, "");
        trace.spawned(2, "adds", 100, (1, 0, 0));
        for (at, name) in [(1, "adds"), (2, "a request")] {
            let (task, parent, name) = (TaskId(at), TaskId(0), Text::cut(name.as_bytes(), 256));
            trace.event(2, at * 200, EventKind::TaskBegin { task, parent, name });
            trace.event(2, at * 200 + 100, EventKind::TaskEnd { task });
        }
        let ranking = read(&[trace.stop(1_000)]);
        let tests: Vec<_> = ranking.tests.items.iter().map(|it| &*it.test.name).collect();
        let tasks: Vec<_> = ranking.tasks.items.iter().map(|it| &*it.name).collect();
        assert_eq!((tests, tasks), (vec!["adds"], vec!["a request"]));
    }
}
