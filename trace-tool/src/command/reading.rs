//! What every reading command shares: which file, which part of it, and what is said when parts of
//! it are missing.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::num::NonZero;
use std::path::{Path, PathBuf};

use clap::Args;
use jiff::SignedDuration;
use trace_analysis::life::Lives;
use trace_analysis::slow_tasks::{SlowTask, slow_tasks};
use trace_analysis::symbols::Symbols;
use trace_analysis::{Options, Report, Summary, Wanted};
use trace_format::flight;
use trace_format::id::ThreadId;
use trace_format::live::{Recovered, recover_part};
use trace_format::read::{Facility, ReadAt, Tables, TraceFile};
use trace_format::time::{Nanos, Ticks};

use super::Failure;
use super::beside::{live_of, open_plain, part_before, read_live, say_other_name};
use crate::completeness::Completeness;
use crate::describe::{Names, heading};
use crate::output::{advance, progress, say};
use crate::symbols::{self, binaries};
use crate::units;

/// Maximum number of lines that are printed about one kind of finding.
pub const FINDINGS_SHOWN: usize = 5;

/// Times of standing still that have a line of their own.
const STANDSTILLS_SHOWN: usize = 3;

/// Stacks whose code is nowhere are worth a word if they are one in so many.
const NAMELESS_PART: usize = 20;

/// Which trace, and which part of it.
#[derive(Args, Clone, Debug)]
pub struct Source {
    /// The trace.
    pub file: PathBuf,
    /// From this time on, since the trace's begin: 1.5s, 200ms, 30us.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub from: Option<Nanos>,
    /// Until this time.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub to: Option<Nanos>,
    /// Only the threads with this name, or the one with this id.
    #[arg(long, value_name = "NAME|ID")]
    pub thread: Option<String>,
    /// Print JSON; its fields: trace-tool/JSON.md in exectrace's repository.
    #[arg(long)]
    pub json: bool,
}

/// An open trace, and the part of it that is wanted.
#[derive(Debug)]
pub struct Reading {
    /// The trace.
    pub file: TraceFile<Bytes>,
    /// From when on.
    pub from: Option<Ticks>,
    /// Until when.
    pub to: Option<Ticks>,
    /// Which threads; empty for all.
    pub threads: Vec<ThreadId>,
}

impl Source {
    /// All of a trace, for people.
    #[must_use]
    pub fn whole(file: PathBuf) -> Self {
        Self { file, from: None, to: None, thread: None, json: false }
    }

    /// Opens the trace.
    ///
    /// # Errors
    /// If there is none, or nothing can be in the part that is wanted.
    pub fn open(&self) -> Result<Reading, Failure> {
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from >= to
        {
            return Err(Failure::Usage("--from must be before --to".to_owned()));
        }
        let file = open(&self.file)?;
        let tables = file.tables();
        let ticks = |at| tables.clock.ticks(at);
        let threads = match &self.thread {
            Some(wanted) => threads(tables, wanted)?,
            None => Vec::new(),
        };
        let (from, to) = (self.from.map(ticks), self.to.map(ticks));
        Ok(Reading { file, from, to, threads })
    }
}

/// Opens a trace.
///
/// # Errors
/// If there is none.
pub fn open(path: &PathBuf) -> Result<TraceFile<Bytes>, Failure> {
    let fail = |error| Failure::Open(path.clone(), error);
    let file = File::open(path).map_err(fail)?;
    let kind = file.metadata().map_err(fail)?;
    // A folder opens like a file and fails at the first read, with a puzzling message.
    if kind.is_dir() {
        return Err(Failure::Usage(format!("{}: is a folder, not a trace", path.display())));
    }
    if kind.is_file() && kind.len() == 0 {
        let why = "the file is empty: was its program built with the feature `enabled`? or was \
                   the start refused (`AlreadyRunning`) after `File::create` had emptied it?";
        return Err(Failure::Usage(format!("{}: at byte 0: {why}", path.display())));
    }
    let fail = |error| Failure::Trace(path.clone(), error);
    let trace = match flight_recorders(&file, path) {
        Some(trace) => TraceFile::open(Bytes::Memory(trace)).map_err(fail)?,
        None => TraceFile::open(Bytes::File(file)).map_err(fail)?,
    };
    say_other_name(path);
    if trace.is_complete() {
        return Ok(trace);
    }
    // The process may have been killed, and its memory be there.
    let Some(live) = read_live(path, &trace) else { return Ok(trace) };
    let before = part_before(path).and_then(|part| open_plain(&part).ok());
    let before = before.and_then(|part| TraceFile::open(part).ok());
    match recover_part(trace, &live, before.as_ref()) {
        Ok(recovered) => {
            let events = units::count(recovered.events);
            say(&format!("recovered: {events} events of {}", live_of(path).display()));
            TraceFile::open(Bytes::Recovered(Box::new(recovered))).map_err(fail)
        }
        Err(trace) => Ok(*trace),
    }
}

/// The trace that a flight recorder's file has, if it is one.
pub(super) fn flight_recorders(file: &File, path: &Path) -> Option<Vec<u8>> {
    let mut magic = [0; flight::MAGIC.len()];
    let count = file.read_at(&mut magic, 0).ok()?;
    let is_one = magic[..count] == flight::MAGIC;
    is_one.then(|| flight::unwind(&std::fs::read(path).ok()?))?
}

/// Where a trace's bytes come from.
#[derive(Debug)]
pub enum Bytes {
    /// A file.
    File(File),
    /// What was made of a flight recorder's file.
    Memory(Vec<u8>),
    /// The same, with what a killed process has left beside it.
    Recovered(Box<Recovered<Self>>),
}

impl ReadAt for Bytes {
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read_at(out, offset),
            Self::Memory(bytes) => bytes.read_at(out, offset),
            Self::Recovered(recovered) => recovered.read_at(out, offset),
        }
    }

    fn bytes(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => file.bytes(),
            Self::Memory(bytes) => bytes.bytes(),
            Self::Recovered(recovered) => recovered.bytes(),
        }
    }
}

impl Reading {
    /// Sums up the part that is wanted.
    #[must_use]
    pub fn summary(&self, outliers: usize, trees: usize) -> Summary {
        let options = Options { outliers, trees, ..self.options() };
        let bar = progress(self.file.bytes());
        let summary = Summary::read(&self.file, &options, |progress| advance(&bar, progress));
        bar.finish_and_clear();
        summary
    }

    /// All of a trace.
    #[must_use]
    pub fn whole(file: TraceFile<Bytes>) -> Self {
        Self { file, from: None, to: None, threads: Vec::new() }
    }

    /// What threads did in the part that is wanted.
    #[must_use]
    pub fn lives(&self, symbols: &Symbols) -> Lives {
        self.report(symbols, Wanted::default()).lives
    }

    /// The same, and what else is wanted.
    #[must_use]
    pub fn report(&self, symbols: &Symbols, wanted: Wanted) -> Report {
        let bar = progress(self.file.bytes());
        let advance = |progress| advance(&bar, progress);
        let report = Report::read(&self.file, &self.options(), wanted, symbols, advance);
        bar.finish_and_clear();
        report
    }

    /// The tasks that took longer than is usual, without what threads did in them.
    ///
    /// - `summary`: of the same part.
    #[must_use]
    pub fn slow_tasks(&self, summary: &Summary) -> Vec<SlowTask> {
        slow_tasks(&self.file, &self.options(), summary)
    }

    /// What is missing from an answer about the part that is wanted.
    #[must_use]
    pub fn completeness(&self) -> Completeness {
        Completeness::new(&self.file, &self.summary(0, 0), None)
    }

    /// Whether the trace says more of threads than what they recorded themselves: their calls, or
    /// where they ran.
    #[must_use]
    pub fn has_life(&self) -> bool {
        let tables = self.file.tables();
        let is_on = |name: &str| tables.facilities.get(name).is_some_and(|facility| facility.on);
        is_on("os")
            || is_on("sched")
            || !tables.resources.is_empty()
            || self.file.index().iter().any(|entry| entry.thread.as_cpu().is_some())
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
}

/// Names for all stacks of a trace. Files that are missing are told of on standard error.
///
/// # Errors
/// If a file that `options` names can't be read.
pub fn symbols(file: &TraceFile<Bytes>, options: &binaries::Options) -> Result<Symbols, Failure> {
    let tables = file.tables();
    let stacks = tables.stacks.values().flat_map(|stack| stack.addresses.iter().copied());
    let entries = tables.threads.values().map(|thread| thread.entry).filter(|entry| *entry > 0);
    let addresses: BTreeSet<u64> = stacks.chain(entries).collect();
    let symbols = symbols::resolve(file, addresses, options)?;
    say_nameless(tables, &symbols);
    Ok(symbols)
}

/// Says so if the code of many stacks is nowhere. That of a few is nobody's concern, and of what
/// stands behind a stack's true end there is no code.
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

/// A line for each part of the recorder that did not serve, and why. What nobody asked for is no
/// news.
#[must_use]
pub fn missing(tables: &Tables) -> Vec<String> {
    let is_off = |facility: &&Facility| !facility.on && !facility.note.starts_with("not asked for");
    let off = tables.facilities.values().filter(is_off);
    off.map(|facility| {
        let name = trace_profile::escape::plain(&facility.name, 40);
        let note = trace_profile::escape::plain(&facility.note, 300);
        let note = if note.is_empty() { String::new() } else { format!(": {note}") };
        format!("without {name}{note}")
    })
    .collect()
}

/// A line about what is in no group of its own; nothing if all is.
///
/// - `what`: waits or calls.
#[must_use]
pub fn late(late: u64, what: &str) -> Option<String> {
    let count = units::count(late);
    (late > 0).then(|| {
        format!(
            "(the table is full: {count} {what} came when it had no room for another group, and \
             are in groups without a place or a file; --from and --to show less at a time)"
        )
    })
}

/// A line about each of the longest times in which the whole process stood still.
#[must_use]
pub fn standstills(lives: &Lives) -> Vec<String> {
    let mut told: Vec<_> = lives.standstills.iter().collect();
    told.sort_by_key(|it| std::cmp::Reverse((it.suspended, it.to.0.saturating_sub(it.from.0))));
    let shown = told.iter().take(STANDSTILLS_SHOWN).map(|it| {
        let (from, to) = (units::moment(it.from), units::moment(it.to));
        let length = units::time(Nanos(it.to.0.saturating_sub(it.from.0)));
        match it.suspended {
            Nanos(0) => format!(
                "STOPPED: the whole process stood still from {from} s to {to} s, for {length}"
            ),
            suspended => format!(
                "SUSPENDED: the machine was, for {}, between {from} s and {to} s; no time here \
                 counts that",
                units::time(suspended)
            ),
        }
    });
    let more = told.len().saturating_sub(STANDSTILLS_SHOWN);
    let more = (more > 0).then(|| format!("… and {more} more: --json"));
    shown.chain(more).collect()
}

/// The lines about what is odd and no loss, each kind under its heading.
#[must_use]
pub fn oddities(names: &Names<'_>, summary: &Summary) -> Vec<String> {
    let mut lines = Vec::new();
    for (kept, count) in summary.findings.by_kind() {
        let kind = &kept[0].kind;
        if kind.is_loss() {
            continue;
        }
        let heading = heading(kind);
        if let [only] = kept {
            lines.push(format!("{heading}: {}", names.finding(only)));
            continue;
        }
        lines.push(format!("{heading}: {} times", units::count(count)));
        for finding in kept.iter().take(FINDINGS_SHOWN) {
            lines.push(format!("     {}", names.finding(finding)));
        }
        let more = count.saturating_sub(FINDINGS_SHOWN as u64);
        if more > 0 {
            lines.push(format!("     … and {} more", units::count(more)));
        }
    }
    lines
}

/// A window that reaches beyond the trace shows nothing, and a person may wonder why.
pub fn say_if_empty(reading: &Reading, summary: &Summary) {
    if summary.events == 0 && (reading.from.is_some() || reading.to.is_some()) {
        say(&format!("nothing in this window; {}", length(reading)));
    }
}

fn length(reading: &Reading) -> String {
    let tables = reading.file.tables();
    let last = reading.file.index().iter().map(|entry| entry.last_ticks).max().unwrap_or_default();
    let last = tables.stop.map_or(last, |stop| stop.ticks);
    format!("the trace is {} long", units::time(tables.clock.nanos(last)))
}

fn threads(tables: &Tables, wanted: &str) -> Result<Vec<ThreadId>, Failure> {
    let by_name = tables.threads.values().filter(|thread| thread.name == wanted);
    let found: Vec<_> = by_name.map(|thread| thread.id).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let cpu = wanted.strip_prefix("CPU ").and_then(|number| number.parse::<u32>().ok());
    if let Some(cpu) = cpu.filter(|cpu| *cpu < ThreadId::CPU_FIRST) {
        return Ok(vec![ThreadId::cpu(cpu)]);
    }
    let number = wanted.trim_start_matches("thread ").trim_start_matches('#').parse::<u64>();
    if let Ok(number) = number {
        let ids = tables.threads.values().find(|thread| u64::from(thread.id.0) == number);
        let found = ids.or_else(|| tables.threads.values().find(|thread| thread.os_id == number));
        if let Some(thread) = found {
            return Ok(vec![thread.id]);
        }
    }
    let names = Names::new(tables);
    let some: Vec<_> = tables.threads.keys().take(8).map(|id| names.thread(*id)).collect();
    let more = if tables.threads.len() > 8 { ", …" } else { "" };
    let wanted = trace_profile::escape::plain(wanted, 80);
    let there_are = some.join(", ");
    Err(Failure::Usage(format!("no thread `{wanted}` in the trace; there are {there_are}{more}")))
}

pub(crate) fn parse_time(text: &str) -> Result<Nanos, String> {
    let help = "a time has a unit: 1.5s, 200ms, 30us, 7ns";
    let time: SignedDuration = text.parse().map_err(|_| help.to_owned())?;
    let nanos = u64::try_from(time.as_nanos()).map_err(|_| "a time is not negative".to_owned())?;
    Ok(Nanos(nanos))
}

/// The first `limit` of some items; 0 is no limit.
#[must_use]
pub fn limited<T>(items: &[T], limit: usize) -> &[T] {
    if limit == 0 { items } else { &items[..items.len().min(limit)] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_need_a_unit_and_may_have_a_fraction() {
        let cases = [("1.5s", 1_500_000_000), ("200ms", 200_000_000), ("30us", 30_000), ("7ns", 7)];
        for (text, nanos) in cases {
            assert_eq!(parse_time(text), Ok(Nanos(nanos)), "{text}");
        }
        assert_eq!(parse_time("2m"), Ok(Nanos(120_000_000_000)));
        for text in ["1.5", "", "s", "-1s", "1 parsec", "99999999999999999999s"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }
}
