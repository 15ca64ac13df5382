//! `exectrace syscalls`: the program's calls into the system: how often, how long, how much, and
//! what went wrong.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::io::Write;

use clap::{Args, ValueEnum};
use trace_analysis::life::{CallGroup, Calls, OneCall};
use trace_format::id::StackId;
use trace_format::time::Nanos;

use super::life::Life;
use super::reading::{Source, late, limited};
use super::{Failure, Verdict};
use crate::json::Trace;
use crate::json::life::{LifeReport, Words};
use crate::output::{Output, say};
use crate::symbols::binaries;
use crate::table::{Column, Table};
use crate::{call, units};
use trace_export::label::errno;

/// So many kinds of errors of a group are named.
const ERRORS_SHOWN: usize = 2;

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    source: Source,
    /// What calls are put together by.
    #[arg(long, value_enum, default_value_t = By::Call)]
    by: By,
    /// What groups are sorted by; the greatest first.
    #[arg(long, value_enum, default_value_t = Sort::Total)]
    sort: Sort,
    /// At most so many groups; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,
    /// Show so many of the longest calls, waits left out.
    #[arg(long, value_name = "N", default_value_t = 5)]
    longest: usize,
    /// Show whole stacks of the longest calls.
    #[arg(long)]
    stacks: bool,
    #[command(flatten)]
    naming: binaries::Options,
}

/// What calls have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    /// The function.
    Call,
    /// The function, and the file, socket or lock.
    Resource,
    /// The function, and from where it was called.
    Stack,
}

/// What groups are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// Time.
    Total,
    /// How many.
    Count,
    /// The longest.
    Max,
    /// Bytes read or written.
    Bytes,
    /// How many failed.
    Errors,
}

/// Prints the calls.
///
/// # Errors
/// If there is no trace, or the output can't be written.
pub fn run(arguments: &Arguments, out: &mut Output) -> Result<Verdict, Failure> {
    let mut life = Life::read(&arguments.source, &arguments.naming)?;
    let Calls { by_call, by_resource, by_stack, .. } = &mut life.lives.calls;
    for groups in [by_call, by_resource, by_stack] {
        sort(groups, arguments.sort);
        if arguments.source.json {
            groups.truncate(limited(groups, arguments.top).len());
        }
    }
    let names = life.names();
    let words = life.words(&names);
    let verdict = life.missing.warn();
    let calls = &life.lives.calls;
    if arguments.source.json {
        let trace = Trace::new(&arguments.source.file, &life.reading.file);
        let report = LifeReport::new(trace, words, &life.lives, &life.missing);
        out.json(&report.with_calls(words, calls))?;
        return Ok(verdict);
    }
    if calls.count == 0 {
        say(&life.why_nothing("calls", "os"));
        return Ok(verdict);
    }
    let groups = groups(calls, arguments.by);
    let shown = limited(groups, arguments.top);
    let count = units::plural(calls.count, "call", "calls");
    let title = format!("{count}, {} in them, of all threads", units::time(calls.total));
    writeln!(out, "{}", out.bold(&title))?;
    let rest = groups.len() - shown.len();
    out.write_all(table(shown, words).render(out.width).as_bytes())?;
    if rest > 0 {
        writeln!(out, "… and {}: --top 0", units::plural(rest as u64, "more", "more"))?;
    }
    if groups.iter().any(|group| group.tiny > 0) {
        writeln!(out, "(tiny: fewer than 512 bytes, so that the call costs more than they do)")?;
    }
    if let Some(line) = late(calls.late, "calls") {
        out.wrapped(&line, 2)?;
    }
    print_longest(arguments, calls, words, out)?;
    Ok(verdict)
}

fn groups(calls: &Calls, by: By) -> &[CallGroup] {
    match by {
        By::Call => &calls.by_call,
        By::Resource => &calls.by_resource,
        By::Stack => &calls.by_stack,
    }
}

fn sort(groups: &mut [CallGroup], by: Sort) {
    match by {
        Sort::Total => groups.sort_by_key(|group| Reverse(group.total)),
        Sort::Count => groups.sort_by_key(|group| Reverse(group.count)),
        Sort::Max => groups.sort_by_key(|group| Reverse(group.quantiles.max)),
        Sort::Bytes => groups.sort_by_key(|group| Reverse(group.bytes)),
        Sort::Errors => groups.sort_by_key(|group| Reverse(failed(group))),
    }
}

fn failed(group: &CallGroup) -> u64 {
    units::sum(group.errors.iter().map(|(_, count)| *count))
}

/// A row for each group. `MB/s` is of the time in the calls.
#[must_use]
pub fn table(groups: &[CallGroup], words: Words<'_>) -> Table {
    let mut table = Table::new(&[
        Column::Name("call"),
        Column::Number("count"),
        Column::Number("total"),
        Column::Optional("off CPU", 1),
        Column::Optional("p50", 4),
        Column::Optional("p99", 5),
        Column::Number("max"),
        Column::Optional("bytes", 6),
        Column::Optional("rate", 2),
        Column::Optional("tiny", 3),
        Column::OptionalText("errors", 7),
    ]);
    for group in groups {
        let nothing = || "-".to_owned();
        let bytes = if group.bytes > 0 { units::bytes(group.bytes) } else { nothing() };
        let tiny = if group.tiny > 0 { units::count(group.tiny) } else { nothing() };
        let off_cpu = if group.off_cpu.0 > 0 { units::time(group.off_cpu) } else { nothing() };
        table.row([
            subject(group, words),
            units::count(group.count),
            units::time(group.total),
            off_cpu,
            units::time(group.quantiles.p50),
            units::time(group.quantiles.p99),
            units::time(group.quantiles.max),
            bytes,
            rate(group.bytes, group.total).unwrap_or_else(nothing),
            tiny,
            errors(group),
        ]);
    }
    let table = table.without_empty("off CPU", "-").without_empty("bytes", "-");
    table.without_empty("rate", "-").without_empty("tiny", "-").without_empty("errors", "")
}

fn subject(group: &CallGroup, words: Words<'_>) -> String {
    let mut text = call::name(group.call);
    if let Some(resource) = call::resource(words.names.tables(), group.resource) {
        text = format!("{text} {resource}");
    }
    match words.places.shown(group.stack) {
        Some(place) => format!("{text} at {place}"),
        None => text,
    }
}

/// `12.3 MB/s`; nothing if nothing was read or written.
fn rate(bytes: u64, time: Nanos) -> Option<String> {
    if bytes == 0 || time.0 == 0 {
        return None;
    }
    let per_second = bytes as f64 * 1e9 / time.0 as f64;
    Some(format!("{}/s", units::bytes(per_second as u64)))
}

fn errors(group: &CallGroup) -> String {
    let shown = group.errors.iter().take(ERRORS_SHOWN);
    let shown = shown.map(|(number, count)| {
        format!("{} {}", units::count(*count), errno::shown((*number).into()))
    });
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if group.errors.len() > ERRORS_SHOWN {
        text.push_str(" …");
    }
    text
}

/// The longest calls that were not made to wait for another thread or for time to pass.
fn print_longest(
    arguments: &Arguments,
    calls: &Calls,
    words: Words<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let own = calls.by_call.iter().filter(|group| !call::is_rest(group.call));
    let mut longest: Vec<(&CallGroup, &OneCall)> =
        own.flat_map(|group| group.longest.iter().map(move |one| (group, one))).collect();
    longest.sort_by_key(|(_, one)| Reverse(one.duration));
    // Of calls alike only the longest.
    let mut seen = HashSet::new();
    longest.retain(|(group, one)| seen.insert((group.call, one.resource, one.stack)));
    longest.truncate(arguments.longest);
    if longest.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n{}",
        out.bold("The longest of each kind (none that wait for threads or time)")
    )?;
    for (group, one) in longest {
        let duration = units::time(one.duration);
        let mut line = format!("{duration:>8}  {}", call::name(group.call));
        if let Some(resource) = call::resource(words.names.tables(), one.resource) {
            line = format!("{line} {resource}");
        }
        let result = call::result(group.call, one.result);
        let (thread, begin) = (words.names.thread(one.thread), units::since(one.begin));
        line = format!("{line} = {result}, on {thread} at {begin}");
        if let Some(place) = words.places.shown(one.stack) {
            line = format!("{line}, in {place}");
        }
        out.wrapped(&line, 10)?;
        if arguments.stacks && one.stack != StackId(0) {
            for frame in words.places.lines(one.stack) {
                out.wrapped(&format!("{:14}{frame}", ""), 18)?;
            }
        }
    }
    Ok(())
}
