//! An open trace and the part of it that is asked about: reads that part, with names for its
//! stacks. The file itself is opened by [`source`].

use std::collections::BTreeSet;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use trace_analysis::heap::{Heap, HeapOptions};
use trace_analysis::life::Lives;
use trace_analysis::slow_tasks::{SlowTask, slow_tasks};
use trace_analysis::symbols::Symbols;
use trace_analysis::{Options, Report, Summary, Threads, Trace, Wanted};
use trace_format::facility;
use trace_format::header::BatchKind;
use trace_format::id::ThreadId;
use trace_format::read::{Facility, Tables, TraceFile};
use trace_format::time::{Nanos, Ticks};

use super::completeness::Completeness;
use crate::error::Failure;
use crate::label::names::Names;
use crate::label::units;
use crate::output::{advance, progress, say};
use crate::source::{self, Bytes, Opened};
use crate::symbols::{self, binaries};

/// Unnamed stacks are reported if they are at least one in this many.
const NAMELESS_PART: usize = 20;

/// A part of a trace; all of it by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// From this time on, since the trace's begin.
    pub from: Option<Nanos>,
    /// Until this time.
    pub to: Option<Nanos>,
    /// Only the threads with this name, or the one with this id.
    pub thread: Option<String>,
}

/// An open trace, and the part of it that is wanted.
#[derive(Debug)]
pub struct Reading {
    /// Where the trace is.
    pub path: PathBuf,
    /// Whether it can be opened there again.
    pub is_named: bool,
    /// The part, as it was asked for.
    pub part: Selection,
    /// The trace.
    pub file: TraceFile<Bytes>,
    /// From when on.
    pub from: Option<Ticks>,
    /// Until when.
    pub to: Option<Ticks>,
    /// Which threads.
    pub threads: Threads,
}

impl Reading {
    /// Opens a trace.
    ///
    /// # Errors
    /// If there is none, or nothing can be in the part that is wanted.
    pub fn open(path: &Path, part: &Selection) -> Result<Self, Failure> {
        if let (Some(from), Some(to)) = (part.from, part.to)
            && from >= to
        {
            return Err(Failure::Usage("--from must be before --to".to_owned()));
        }
        let Opened { trace: file, is_named } = source::open(path)?;
        let tables = file.tables();
        let ticks = |at| tables.clock.ticks(at);
        let threads = match &part.thread {
            Some(wanted) => threads(&file, wanted)?.into(),
            None => Threads::default(),
        };
        let (from, to) = (part.from.map(ticks), part.to.map(ticks));
        Ok(Self { path: path.to_owned(), is_named, part: part.clone(), file, from, to, threads })
    }

    /// Opens all of a trace.
    ///
    /// # Errors
    /// If there is none.
    pub fn whole(path: &Path) -> Result<Self, Failure> {
        Self::open(path, &Selection::default())
    }

    /// Whether all of the trace is wanted.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.from.is_none() && self.to.is_none() && self.threads.is_all()
    }

    /// Whether a thread is wanted.
    #[must_use]
    pub fn wants(&self, thread: ThreadId) -> bool {
        self.threads.wants(thread)
    }

    /// Sums up the part that is wanted.
    #[must_use]
    pub fn summary(&self, outliers: usize, trees: usize) -> Summary {
        self.sum_up(Options { outliers, trees, ..self.options() })
    }

    fn sum_up(&self, options: Options) -> Summary {
        let bar = progress(self.file.bytes());
        let trace = Trace::new(&self.file).with(options);
        let summary = Summary::read(&trace, |progress| advance(&bar, progress));
        bar.finish_and_clear();
        summary
    }

    /// What threads did in the part that is wanted.
    #[must_use]
    pub fn lives(&self, symbols: &Symbols) -> Lives {
        self.report(symbols, Wanted::default()).lives
    }

    /// The same, and what else is wanted.
    #[must_use]
    pub fn report(&self, symbols: &Symbols, wanted: Wanted) -> Report {
        let report = self.report_unless(&AtomicBool::new(false), symbols, wanted);
        report.expect("nobody says that it is of no use")
    }

    /// The same, until another thread says that the report is of no use.
    fn report_unless(
        &self,
        is_useless: &AtomicBool,
        symbols: &Symbols,
        wanted: Wanted,
    ) -> Option<Report> {
        let bar = progress(self.file.bytes());
        let advance = |progress| advance(&bar, progress);
        let report = Report::read_unless(is_useless, &self.trace(symbols), wanted, advance);
        bar.finish_and_clear();
        report
    }

    /// Sums up the part that is wanted, and at the same time walks it in the order of time, which
    /// takes a core of its own.
    ///
    /// - `outliers`, `trees`: how many of the longest regions and tasks are kept.
    #[must_use]
    pub fn summary_and_report(
        &self,
        (outliers, trees): (usize, usize),
        symbols: &Symbols,
        wanted: Wanted,
    ) -> (Summary, Report) {
        std::thread::scope(|scope| {
            let summary = scope.spawn(|| self.summary_beside_walk(outliers, trees));
            let report = self.report(symbols, wanted);
            let summary = summary.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (summary, report)
        })
    }

    /// The same, with what was done in slow tasks, if there are any. Only the summary knows whether
    /// there are: the walk begins as if there were none, and begins again if there are some.
    #[must_use]
    pub fn summary_and_slow_tasks(&self, symbols: &Symbols, wanted: Wanted) -> (Summary, Report) {
        let is_useless = AtomicBool::new(false);
        let (summary, slow_tasks, report) = std::thread::scope(|scope| {
            let summary = scope.spawn(|| {
                let summary = self.summary_beside_walk(0, 0);
                let slow_tasks = self.slow_tasks(&summary);
                is_useless.store(!slow_tasks.is_empty(), Ordering::Relaxed);
                (summary, slow_tasks)
            });
            let report = self.report_unless(&is_useless, symbols, wanted.clone());
            let summary = summary.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (summary.0, summary.1, report)
        });
        // The walk may have ended before the summary did.
        let report = report.filter(|_| slow_tasks.is_empty());
        let again = || self.report(symbols, Wanted { slow_tasks, ..wanted });
        (summary, report.unwrap_or_else(again))
    }

    fn summary_beside_walk(&self, outliers: usize, trees: usize) -> Summary {
        let options = self.options();
        let workers = options.workers.saturating_sub(1).max(1);
        let trace = Trace::new(&self.file).with(Options { outliers, trees, workers, ..options });
        Summary::read(&trace, |_| {})
    }

    /// The heap, once for each of these options.
    #[must_use]
    pub fn heaps(&self, options: &[HeapOptions]) -> Vec<Heap> {
        let bar = progress(self.file.bytes());
        let heaps = Heap::read_each(&self.file, options, |progress| advance(&bar, progress));
        bar.finish_and_clear();
        heaps
    }

    /// The tasks that took longer than is usual, without what threads did in them.
    ///
    /// - `summary`: of the same part.
    #[must_use]
    pub fn slow_tasks(&self, summary: &Summary) -> Vec<SlowTask> {
        slow_tasks(&Trace::new(&self.file).with(self.options()), summary)
    }

    /// What is missing from an answer about the part that is wanted. It is of all threads, as what
    /// others did also tells about the threads that are wanted.
    ///
    /// - `summary`: of that part.
    /// - `lives`: of the same part, if the answer is about what threads did.
    #[must_use]
    pub fn missing(&self, summary: &Summary, lives: Option<&Lives>) -> Completeness {
        if self.threads.is_all() {
            return Completeness::new(&self.file, summary, lives);
        }
        let all = Options { outliers: 0, trees: 0, threads: Threads::default(), ..self.options() };
        Completeness::new(&self.file, &self.sum_up(all), lives)
    }

    /// The same of an answer that needs no summary.
    #[must_use]
    pub fn completeness(&self) -> Completeness {
        self.missing(&self.summary(0, 0), None)
    }

    /// Whether the trace has more about threads than their annotations: their calls, or where they
    /// ran.
    #[must_use]
    pub fn has_life(&self) -> bool {
        let tables = self.file.tables();
        let is_on = |name: &str| tables.facilities.get(name).is_some_and(|facility| facility.on);
        is_on(facility::OS)
            || is_on(facility::SCHED)
            || !tables.resources.is_empty()
            || self.file.has_cpus()
    }

    /// The part that is wanted, with names.
    #[must_use]
    pub fn trace<'t>(&'t self, symbols: &'t Symbols) -> Trace<'t, Bytes> {
        Trace::new(&self.file).named(symbols).with(self.options())
    }

    fn options(&self) -> Options {
        Options {
            from: self.from,
            to: self.to,
            threads: self.threads.clone(),
            workers: std::thread::available_parallelism().map_or(1, NonZero::get),
            ..Options::default()
        }
    }

    /// Names for all stacks of the trace. A line on standard error reports files that are missing.
    ///
    /// # Errors
    /// If a file that `options` names can't be read.
    pub fn symbols(&self, options: &binaries::Options) -> Result<Symbols, Failure> {
        symbols(&self.file, options)
    }

    /// The parts of the recorder that did not serve, without those that [`Completeness`] reports.
    #[must_use]
    pub fn facilities_off(&self) -> Vec<&Facility> {
        let is_off = |it: &&Facility| !it.on && !it.is_unasked() && it.name != facility::NAMES;
        self.file.tables().facilities.values().filter(is_off).collect()
    }
}

/// Names for all stacks of a trace. A line on standard error reports files that are missing.
///
/// # Errors
/// If a file that `options` names can't be read.
pub fn symbols(file: &TraceFile<Bytes>, options: &binaries::Options) -> Result<Symbols, Failure> {
    let tables = file.tables();
    let symbols = symbols::resolve(file, symbols::addresses(tables), options)?;
    say_nameless(tables, &symbols);
    Ok(symbols)
}

/// Says so if the code of many stacks is in no module. A few are no reason to worry, and addresses
/// behind the true end of a stack are no code.
fn say_nameless(tables: &Tables, symbols: &Symbols) {
    let is_nowhere = |address: &&u64| {
        symbols.module(**address).is_none() && symbols.functions(**address).is_empty()
    };
    let inner = tables.stacks.values().filter_map(|stack| stack.addresses.first());
    let (all, nowhere) = (inner.clone().count(), inner.filter(is_nowhere).count());
    if nowhere > 0 && nowhere.saturating_mul(NAMELESS_PART) >= all {
        let (nowhere, all) = (units::count(nowhere as u64), units::count(all as u64));
        say(&format!(
            "no names for the innermost functions of {nowhere} of {all} stacks: their code was \
             made while the program ran, or unloaded before the trace stopped; keep its libraries \
             loaded"
        ));
    }
}

fn threads(file: &TraceFile<Bytes>, wanted: &str) -> Result<Vec<ThreadId>, Failure> {
    let tables = file.tables();
    let by_name = tables.threads.values().filter(|thread| thread.name == wanted);
    let found: Vec<_> = by_name.map(|thread| thread.id).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    // As names are shown: with the number if another thread has the same name, and safe to print.
    let names = Names::new(tables);
    let all = all_threads(file);
    if let Some(id) = all.iter().find(|id| names.thread(**id) == wanted) {
        return Ok(vec![*id]);
    }
    let cpu = wanted.strip_prefix("CPU ").and_then(|number| number.parse::<u32>().ok());
    if let Some(cpu) = cpu.filter(|cpu| *cpu < ThreadId::CPU_FIRST) {
        return Ok(vec![ThreadId::cpu(cpu)]);
    }
    let number = wanted.trim_start_matches("thread ").trim_start_matches('#').parse::<u64>();
    if let Ok(number) = number {
        let by_id = all.iter().find(|id| u64::from(id.0) == number).copied();
        let by_os_id = || tables.threads.values().find(|thread| thread.os_id == number);
        if let Some(id) = by_id.or_else(|| by_os_id().map(|thread| thread.id)) {
            return Ok(vec![id]);
        }
    }
    let wanted = trace_export::label::escape::plain(wanted, 80);
    let some: Vec<_> = all.iter().take(8).map(|id| names.thread(*id)).collect();
    let there_are = match some.join(", ") {
        none if none.is_empty() => "there are none".to_owned(),
        some if all.len() > 8 => format!("there are {some}, …"),
        some => format!("there are {some}"),
    };
    Err(Failure::Usage(format!("no thread `{wanted}` in the trace; {there_are}")))
}

/// The threads of a trace: those that it defines, and those that only have batches, as their
/// definitions may be in a damaged part.
fn all_threads(file: &TraceFile<Bytes>) -> BTreeSet<ThreadId> {
    let events = file.index().iter().filter(|entry| entry.kind == BatchKind::Events);
    let recorded = events.map(|entry| entry.thread).filter(|id| id.as_cpu().is_none());
    file.tables().threads.keys().copied().chain(recorded).collect()
}
