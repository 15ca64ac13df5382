//! `exectrace summary`: where the time went, on one screen.

use std::io::Write;

use clap::Args;
use trace_analysis::Summary;
use trace_analysis::life::Lives;
use trace_format::time::Nanos;

use super::reading::{
    FINDINGS_SHOWN, Reading, Source, late, limited, missing, oddities, say_if_empty, standstills,
    symbols,
};
use super::{Failure, Verdict};
use crate::command::{blocked, regions, tasks, threads};
use crate::completeness::Completeness;
use crate::describe::{Names, push_value};
use crate::json::life::Words;
use crate::json::{Parts, Report, Trace};
use crate::output::Output;
use crate::symbols::binaries;
use crate::table::{Column, Table};
use crate::units;
use trace_export::label::place::Places;

const LIVES: &str = "Threads (parts of their lives; ready: able to run, and had no CPU)";
const WHERE: &str = "Where the time went (self: without callees; wall%: of the time that passed)";

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    source: Source,
    /// At most so many rows in each table; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 12)]
    limit: usize,
    /// What the regions are sorted by.
    #[arg(long, value_enum, default_value_t = regions::Sort::SelfTime)]
    sort: regions::Sort,
    #[command(flatten)]
    naming: binaries::Options,
}

impl Arguments {
    /// Those that are not given on this command's own line.
    #[must_use]
    pub fn of(file: std::path::PathBuf, limit: usize) -> Self {
        let source = Source::whole(file);
        Self { source, limit, sort: regions::Sort::SelfTime, naming: binaries::Options::default() }
    }
}

/// Prints a summary.
///
/// # Errors
/// If there is no trace, or the output can't be written.
pub fn run(arguments: &Arguments, out: &mut Output) -> Result<Verdict, Failure> {
    let reading = arguments.source.open()?;
    let mut summary = reading.summary(5, 10);
    let names = Names::new(reading.file.tables());
    say_if_empty(&reading, &summary);
    regions::sort(&mut summary.regions, arguments.sort, &names);
    let symbols = match reading.has_life() {
        true => Some(symbols(&reading.file, &arguments.naming)?),
        false => None,
    };
    let life = symbols.as_ref().map(|symbols| {
        let places = Places::new(reading.file.tables(), symbols);
        (Words { names: &names, places }, reading.lives(symbols))
    });
    let lives = life.as_ref().map(|(_, lives)| lives);
    let completeness = Completeness::new(&reading.file, &summary, lives);
    if arguments.source.json {
        let trace = Trace::new(&arguments.source.file, &reading.file);
        let report = Report::new(trace, &names, &summary, Parts::All, &completeness);
        match &life {
            Some((words, lives)) => out.json(&report.with_lives(*words, lives))?,
            None => out.json(&report)?,
        }
        completeness.warn();
    } else {
        let life = life.as_ref().map(|(words, lives)| (*words, lives));
        print(arguments, (&reading, &completeness), &summary, (&names, life), out)?;
    }
    Ok(completeness.verdict())
}

fn print(
    arguments: &Arguments,
    (reading, completeness): (&Reading, &Completeness),
    summary: &Summary,
    (names, life): (&Names<'_>, Option<(Words<'_>, &Lives)>),
    out: &mut Output,
) -> Result<(), Failure> {
    let recorded = summary.threads.iter().filter(|thread| thread.thread.as_cpu().is_none());
    let threads = life.map_or_else(|| recorded.count(), |(_, lives)| lives.threads.len());
    out.write_all(head(reading, summary, threads as u64, out.width).as_bytes())?;
    for (line, further) in completeness.lines(FINDINGS_SHOWN) {
        writeln!(out, "{}", out.loud(&format!("!! {line}")))?;
        for line in further {
            writeln!(out, "{line}")?;
        }
    }
    for line in life.iter().flat_map(|(_, lives)| standstills(lives)) {
        out.wrapped_loud(&format!("!! {line}"), 3)?;
    }
    for line in missing(reading.file.tables()) {
        out.wrapped(&format!("({line})"), 2)?;
    }
    let limit = arguments.limit;
    if summary.regions.is_empty() {
        writeln!(out, "\nno regions were recorded")?;
    }
    if !summary.regions.is_empty() {
        let shown = limited(&summary.regions, limit);
        let times = life.map_or(&[][..], |(_, lives)| &lives.regions);
        section(out, WHERE, regions::table(shown, times, summary, names))?;
        more(out, summary.regions.len() - shown.len(), "call site", "call sites", "regions")?;
    }
    if let Some((words, lives)) = life {
        print_lives(lives, limit, words, out)?;
    } else if !summary.threads.is_empty() {
        let shown = limited(&summary.threads, limit);
        section(out, "Threads (busy: inside any region)", threads::table(shown, summary, names))?;
        more(out, summary.threads.len() - shown.len(), "thread", "threads", "threads")?;
    }
    if !summary.tasks.names.is_empty() {
        let shown = limited(&summary.tasks.names, limit);
        section(
            out,
            "Tasks (latency from begin to end; worked: by threads, for them)",
            tasks::table(shown),
        )?;
        more(out, summary.tasks.names.len() - shown.len(), "name", "names", "tasks")?;
    }
    if !summary.futures.is_empty() {
        section(out, "Futures", futures(limited(&summary.futures, limit), names))?;
        out.wrapped(&longest_poll(&summary.futures, names), 2)?;
    }
    if !summary.counters.is_empty() {
        section(out, "Counters", counters(limited(&summary.counters, limit), names))?;
    }
    let odd = oddities(names, summary);
    if !odd.is_empty() {
        writeln!(out, "\n{}", out.bold("Findings"))?;
        for line in odd {
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}

/// What threads did with their time, and what held them up the most.
fn print_lives(
    lives: &Lives,
    limit: usize,
    words: Words<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    if lives.threads.is_empty() {
        return Ok(());
    }
    let shown = limited(&lives.threads, limit);
    section(out, LIVES, threads::life_table(shown, words, out.width))?;
    more(out, lives.threads.len() - shown.len(), "thread", "threads", "threads")?;
    let cpus = threads::cpu_use(lives);
    if !cpus.is_empty() {
        out.wrapped(&cpus, 2)?;
    }
    let waits = lives.waits_by_resource();
    if let Some(group) = waits.iter().find(|group| !blocked::is_rest(group)) {
        let time = units::time(group.total);
        let count = units::plural(group.count, "wait", "waits");
        let subject = blocked::subject(group, words);
        out.wrapped(&format!("Top wait: {time} in {count}, {subject}"), 2)?;
        writeln!(out, "  more: exectrace blocked, exectrace explain")?;
    }
    if let Some(line) = late(lives.waits.late, "waits") {
        out.wrapped(&line, 2)?;
    }
    Ok(())
}

/// What was traced, when, for how long, and how much was recorded.
fn head(reading: &Reading, summary: &Summary, threads: u64, width: Option<usize>) -> String {
    let (file, tables) = (&reading.file, reading.file.tables());
    let mut who = Vec::new();
    match &tables.process {
        Some(process) => {
            let executable = trace_profile::escape::plain(&process.executable, 80);
            who.push(format!("{executable} (pid {})", process.pid));
            let system = format!("{} {}", process.os, process.arch);
            who.push(trace_profile::escape::plain(&system, 40));
        }
        None => who.push("unknown program".to_owned()),
    }
    who.extend(date(tables.clock.wall(tables.clock.origin().ticks)));

    let all = reading.from.is_none() && reading.to.is_none() && reading.threads.is_empty();
    let mut what = vec![units::time(summary.wall())];
    if !all {
        let (from, to) = (units::moment(summary.from), units::moment(summary.to));
        what.push(format!("from {from} s to {to} s"));
    }
    what.push(units::plural(threads, "thread", "threads"));
    let events = units::plural(summary.events, "event", "events");
    if all && summary.events > 0 {
        let each = file.bytes() as f64 / summary.events as f64;
        what.push(format!("{events} in {} ({each:.2} bytes each)", units::bytes(file.bytes())));
    } else {
        what.push(events);
    }
    if let Some(process) = &tables.process {
        let hertz = tables.clock.frequency_hz() / 1e9;
        what.push(format!("clock {} {hertz:.2} GHz", process.clock.name()));
    }
    if let Some(stop) = tables.stop.filter(|_| all) {
        what.push(format!("recorder {} CPU", units::time(stop.tracer_cpu)));
    }
    list(&who, width) + &list(&what, width)
}

/// Parts with commas between them, in lines of at most `width`.
fn list(parts: &[String], width: Option<usize>) -> String {
    let mut text = String::new();
    let mut column = 0;
    for (at, part) in parts.iter().enumerate() {
        let own = part.chars().count() + 2;
        if at > 0 && width.is_some_and(|width| column + own > width) {
            text.push_str(",\n  ");
            column = 2;
        } else if at > 0 {
            text.push_str(", ");
        }
        text.push_str(part);
        column += own;
    }
    text.push('\n');
    text
}

/// A wall clock time; nothing if the trace has none.
fn date(wall: Nanos) -> Option<String> {
    let seconds = i64::try_from(wall.0 / 1_000_000_000).ok().filter(|seconds| *seconds > 0)?;
    let start = jiff::Timestamp::from_second(seconds).ok()?;
    Some(start.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

fn section(out: &mut Output, title: &str, table: Table) -> Result<(), Failure> {
    let title = out.bold(title);
    let text = table.render(out.width);
    write!(out, "\n{title}\n{text}")?;
    Ok(())
}

fn more(
    out: &mut Output,
    count: usize,
    one: &str,
    many: &str,
    command: &str,
) -> Result<(), Failure> {
    if count > 0 {
        let count = units::plural(count as u64, one, many);
        writeln!(out, "… and {count}: --limit 0, or exectrace {command}")?;
    }
    Ok(())
}

fn futures(futures: &[trace_analysis::futures::FutureSummary], names: &Names<'_>) -> Table {
    let mut table = Table::new(&[
        Column::Name("future"),
        Column::Number("count"),
        Column::Number("polls"),
        Column::Number("poll total"),
        Column::Optional("poll p50", 3),
        Column::Number("poll max"),
        Column::Number("life p50"),
        Column::Optional("life max", 4),
        Column::Optional("failed", 1),
        Column::Optional("dropped", 2),
        Column::Optional("panicked", 2),
        Column::Optional("open", 2),
    ]);
    for future in futures {
        table.row([
            names.site(future.site),
            units::count(future.count),
            units::count(future.polls),
            units::time(future.poll_total),
            units::time(future.poll.p50),
            units::time(future.poll.max),
            units::time(future.life.p50),
            units::time(future.life.max),
            units::count(future.failed),
            units::count(future.dropped),
            units::count(future.panicked),
            units::count(future.unfinished),
        ]);
    }
    let rare = ["failed", "dropped", "panicked", "open"];
    rare.into_iter().fold(table, |table, title| table.without_empty(title, "0"))
}

/// The longest poll, and whom to ask what was in it.
fn longest_poll(futures: &[trace_analysis::futures::FutureSummary], names: &Names<'_>) -> String {
    let longest = futures.iter().max_by_key(|future| future.poll.max);
    let longest = longest.filter(|future| future.polls > 0).map(|future| {
        let (long, who) = (units::time(future.poll.max), names.site(future.site));
        format!("Longest poll: {long}, of {who}; ")
    });
    longest.unwrap_or_default() + "more: exectrace async"
}

fn counters(counters: &[trace_analysis::counters::CounterSummary], names: &Names<'_>) -> Table {
    let mut table = Table::new(&[
        Column::Name("counter"),
        Column::Number("count"),
        Column::Number("min"),
        Column::Number("max"),
        Column::Number("last"),
        Column::OptionalText("where", 0),
    ]);
    for counter in counters {
        let value = |value| {
            let mut text = String::new();
            push_value(&mut text, value);
            text
        };
        table.row([
            names.site(counter.site),
            units::count(counter.count),
            value(&counter.min),
            value(&counter.max),
            value(&counter.last),
            names.place(counter.site),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_that_is_absurd_is_left_out() {
        assert_eq!(
            date(Nanos(1_767_323_045_000_000_000)).as_deref(),
            Some("2026-01-02 03:04:05 UTC")
        );
        assert_eq!(date(Nanos(0)), None);
        assert!(date(Nanos(u64::MAX)).is_some());
    }
}
