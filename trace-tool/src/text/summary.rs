//! `exectrace summary`: where the time went, on one screen.

use std::io::Write;

use trace_analysis::counters::CounterSummary;
use trace_analysis::explain::TopWaits;
use trace_analysis::futures::FutureSummary;
use trace_analysis::life::Lives;
use trace_export::label::escape;
use trace_format::time::Nanos;

use super::table::{Column, Table};
use super::{
    FINDINGS_SHOWN, async_tasks, blocked, facilities_off, oddities, print_late, print_more,
    print_table, regions, standstills, tasks, threads,
};
use crate::answer::summary::SummaryAnswer;
use crate::error::Failure;
use crate::label::names::{Names, push_value};
use crate::label::{Labels, units};
use crate::output::Output;

const LIVES: &str =
    "Threads (parts of their lives; running, in calls: on a CPU; ready: had no CPU)";
const WHERE: &str = "Where the time went (self: without callees; wall%: of the time that passed)";
/// A top wait is named if it is at least one part in this many of the time that passed.
const TOP_WAIT_PART: u64 = 100;

const TASKS: &str = "Tasks (latency from begin to end; worked: by threads, for them)";

/// Prints a summary, with what is missing from it.
///
/// # Errors
/// If it can't be written.
pub fn print(answer: &SummaryAnswer, out: &mut Output) -> Result<(), Failure> {
    let names = answer.subject.names();
    let labels = answer.subject.labels(&names);
    print_head(answer, out)?;
    print_regions(answer, &names, out)?;
    print_threads(answer, labels, out)?;
    print_annotations(answer, &names, out)?;
    let odd = oddities(&names, &answer.summary);
    if !odd.is_empty() {
        writeln!(out, "\n{}", out.bold("Findings"))?;
        for line in odd {
            writeln!(out, "{line}")?;
        }
    }
    if answer.lives.is_some() && !answer.subject.is_empty {
        let more = answer.subject.reading.more("explain");
        writeln!(out, "\nWhat made it slow, in words: {more}")?;
    }
    Ok(())
}

/// Prints what was traced, and what is missing.
fn print_head(answer: &SummaryAnswer, out: &mut Output) -> Result<(), Failure> {
    out.write_all(head(answer, out.width).as_bytes())?;
    for (line, further) in answer.subject.missing.lines(FINDINGS_SHOWN - 1) {
        writeln!(out, "{}", out.loud(&format!("!! {line}")))?;
        for line in further {
            writeln!(out, "{line}")?;
        }
    }
    for line in answer.lives.iter().flat_map(|lives| standstills(&lives.standstills)) {
        out.wrapped_loud(&format!("!! {line}"), 3)?;
    }
    for line in facilities_off(&answer.subject.reading) {
        out.wrapped(&format!("({line})"), 2)?;
    }
    Ok(())
}

fn print_regions(
    answer: &SummaryAnswer,
    names: &Names<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let summary = &answer.summary;
    if summary.regions.is_empty() {
        // Where there are no annotations, the calls of threads say where the time went.
        if answer.lives.is_none() {
            writeln!(out, "\nno regions were recorded")?;
        }
        return Ok(());
    }
    let times = answer.lives.as_ref().map_or(&[][..], |lives| &lives.regions);
    section(out, WHERE, regions::table(summary, times, answer.regions_self, names))?;
    more(out, answer.omitted.regions, ("call site", "call sites"), "regions")
}

fn print_threads(
    answer: &SummaryAnswer,
    labels: Labels<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    if let Some(lives) = &answer.lives {
        return print_lives(answer, lives, labels, out);
    }
    let recorded = &answer.summary.threads;
    if recorded.is_empty() {
        return Ok(());
    }
    let table = threads::table(recorded, &answer.subject, labels.names);
    section(out, "Threads (busy: inside any region)", table)?;
    more(out, answer.omitted.threads, ("thread", "threads"), "threads")
}

/// Prints what threads did with their time, and what held them up most.
fn print_lives(
    answer: &SummaryAnswer,
    lives: &Lives,
    labels: Labels<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    if lives.threads.is_empty() {
        return Ok(());
    }
    section(out, LIVES, threads::life_table(&lives.threads, labels, out.width))?;
    more(out, answer.omitted.lives, ("thread", "threads"), "threads")?;
    let cpus = threads::cpu_use(&answer.cpus, &answer.subject, labels.names);
    if !cpus.is_empty() {
        out.wrapped(&cpus, 2)?;
    }
    print_top_wait(answer, labels, out)?;
    Ok(print_late(out, lives.waits.late, lives.waits.late_holders)?)
}

/// What held the program up the most, be that threads or async tasks.
fn print_top_wait(
    answer: &SummaryAnswer,
    labels: Labels<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let TopWaits { threads, tasks, is_of_tasks } = &answer.top_waits;
    let of_tasks = tasks.as_ref().filter(|_| *is_of_tasks).map(|group| {
        let subject = async_tasks::wait_subject(group, labels);
        (group.total, group.count, subject, "async")
    });
    let of_threads = threads.as_ref().filter(|_| !*is_of_tasks);
    let of_threads = of_threads
        .map(|group| (group.total, group.count, blocked::subject(group, labels), "blocked"));
    let is_much = |total: Nanos| total.0.saturating_mul(TOP_WAIT_PART) >= answer.subject.wall().0;
    let top = of_tasks.or(of_threads).filter(|(total, ..)| is_much(*total));
    let Some((total, count, subject, verb)) = top else { return Ok(()) };
    let (time, count) = (units::time(total), units::plural(count, "wait", "waits"));
    out.wrapped(&format!("Top wait: {time} in {count}, {subject}"), 2)?;
    Ok(writeln!(out, "  more: {}", answer.subject.reading.more(verb))?)
}

/// Tasks, futures and counters.
fn print_annotations(
    answer: &SummaryAnswer,
    names: &Names<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let summary = &answer.summary;
    if !summary.tasks.names.is_empty() {
        section(out, TASKS, tasks::table(&summary.tasks.names))?;
        more(out, answer.omitted.tasks, ("name", "names"), "tasks")?;
    }
    if !summary.futures.is_empty() {
        section(out, "Futures", futures(&summary.futures, names))?;
        more(out, answer.omitted.futures, ("call site", "call sites"), "async")?;
        if let Some((time, site)) = answer.longest_poll {
            let line = format!("Longest poll: {}, of {}", units::time(time), names.site(site));
            out.wrapped(&line, 2)?;
        }
        writeln!(out, "  more: {}", answer.subject.reading.more("async"))?;
    }
    if !summary.counters.is_empty() {
        section(out, "Counters", counters(&summary.counters, names))?;
        print_more(out, answer.omitted.counters, "--top 0")?;
    }
    Ok(())
}

/// What was traced, when, for how long, and how much was recorded.
fn head(answer: &SummaryAnswer, width: Option<usize>) -> String {
    let (reading, summary) = (&answer.subject.reading, &answer.summary);
    let (file, tables) = (&reading.file, reading.file.tables());
    let mut who = Vec::new();
    match &tables.process {
        Some(process) => {
            let executable = escape::plain(&process.executable, 80);
            who.push(format!("{executable} (pid {})", process.pid));
            let system = format!("{} {}", process.os, process.arch);
            who.push(escape::plain(&system, 40));
        }
        None => who.push("unknown program".to_owned()),
    }
    who.extend(date(tables.clock.wall(tables.clock.origin().ticks)));

    let all = reading.is_whole();
    let mut what = vec![units::time(summary.wall())];
    if reading.from.is_some() || reading.to.is_some() {
        let (from, to) = (units::moment(summary.from), units::moment(summary.to));
        what.push(format!("from {from} s to {to} s"));
    }
    what.push(units::plural(answer.threads, "thread", "threads"));
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
    if let Some(cpu) = tables.stop.filter(|_| all).and_then(|stop| stop.known_cpu()) {
        what.push(format!("recorder {} CPU", units::time(cpu)));
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
    writeln!(out, "\n{}", out.bold(title))?;
    Ok(print_table(out, table)?)
}

/// Prints how many more there are, and the verb that shows them; nothing if there are none.
fn more(
    out: &mut Output,
    omitted: usize,
    (one, many): (&str, &str),
    verb: &str,
) -> Result<(), Failure> {
    if omitted > 0 {
        let count = units::plural(omitted as u64, one, many);
        writeln!(out, "… and {count}: --top 0, or exectrace {verb}")?;
    }
    Ok(())
}

fn futures(futures: &[FutureSummary], names: &Names<'_>) -> Table {
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
        Column::Optional("open of these", 2),
        Column::OptionalText("where", 0),
    ]);
    for future in futures {
        let FutureSummary { returned, failed, dropped, panicked, ended, .. } = *future;
        let over = units::sum([returned, failed, dropped, panicked, ended]);
        table.row([
            names.site(future.site),
            units::count(future.count),
            units::count(future.polls),
            units::time(future.poll_total),
            units::time_of(future.polls, future.poll.p50),
            units::time_of(future.polls, future.poll.max),
            units::time_of(over, future.life.p50),
            units::time_of(over, future.life.max),
            units::count(future.failed),
            units::count(future.dropped),
            units::count(future.panicked),
            units::count(future.unfinished),
            names.place_beside(future.site),
        ]);
    }
    let table = table.without_empty("where", "");
    let rare = ["failed", "dropped", "panicked", "open of these"];
    rare.into_iter().fold(table, |table, title| table.without_empty(title, "0"))
}

fn counters(counters: &[CounterSummary], names: &Names<'_>) -> Table {
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
