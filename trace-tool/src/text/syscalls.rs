//! `exectrace syscalls`: the program's calls into the system: how often, how long, how much, and
//! what went wrong.

use std::io::Write;

use trace_analysis::life::CallGroup;
use trace_format::facility;
use trace_format::id::StackId;
use trace_format::time::Nanos;

use super::table::{Column, Table};
use super::{late, print_more, print_stack, print_table, why_nothing};
use crate::answer::syscalls::SyscallsAnswer;
use crate::error::Failure;
use crate::label::{Labels, call, errno, units};
use crate::output::{Output, say};

/// Maximum number of kinds of errors of a group that are named.
const ERRORS_SHOWN: usize = 2;

/// Prints the calls.
///
/// - `with_stacks`: whole stacks of the longest calls.
///
/// # Errors
/// If it can't be written.
pub fn print(answer: &SyscallsAnswer, with_stacks: bool, out: &mut Output) -> Result<(), Failure> {
    let calls = &answer.calls;
    if calls.count == 0 && calls.open == 0 {
        say(&why_nothing(&answer.subject, "no calls here", facility::OS));
        return Ok(());
    }
    let names = answer.subject.names();
    let labels = answer.subject.labels(&names);
    let count = units::plural(calls.count, "call", "calls");
    let open = match calls.open {
        0 => String::new(),
        open => format!(" and {} that had not ended", units::count(open)),
    };
    let of = if answer.subject.reading.threads.is_all() { ", of all threads" } else { "" };
    let title = format!("{count}{open}, {} in them{of}", units::time(calls.total));
    writeln!(out, "{}", out.bold(&title))?;
    let (groups, omitted) = answer.groups();
    print_table(out, table(groups, labels))?;
    print_more(out, omitted, "--top 0")?;
    if groups.iter().any(|group| group.tiny > 0) {
        writeln!(out, "(tiny: fewer than 512 bytes, so that the call costs more than they do)")?;
    }
    if let Some(line) = late(calls.late, "calls") {
        out.wrapped(&line, 2)?;
    }
    print_longest(answer, labels, with_stacks, out)
}

/// A row for each group. The rate is of the time in the calls.
#[must_use]
pub fn table(groups: &[CallGroup], labels: Labels<'_>) -> Table {
    let mut table = Table::new(&[
        Column::Name("call"),
        Column::Number("count"),
        Column::Optional("open", 0),
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
            subject(group, labels),
            units::count(group.count),
            units::count(group.open),
            units::time(group.total),
            off_cpu,
            units::time_of(group.count, group.quantiles.p50),
            units::time_of(group.count, group.quantiles.p99),
            units::time_of(group.count, group.quantiles.max),
            bytes,
            rate(group.bytes, group.total).unwrap_or_else(nothing),
            tiny,
            errors(group),
        ]);
    }
    let table = table.without_empty("open", "0").without_empty("off CPU", "-");
    let table = table.without_empty("bytes", "-");
    table.without_empty("rate", "-").without_empty("tiny", "-").without_empty("errors", "")
}

fn subject(group: &CallGroup, labels: Labels<'_>) -> String {
    let mut text = call::name(group.call);
    if let Some(resource) = call::resource(labels.names.tables(), group.resource) {
        text = format!("{text} {resource}");
    }
    match labels.places.shown(group.stack) {
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

fn print_longest(
    answer: &SyscallsAnswer,
    labels: Labels<'_>,
    with_stacks: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    if answer.longest.is_empty() {
        return Ok(());
    }
    let title = "The longest of each kind (none that wait for threads or time)";
    writeln!(out, "\n{}", out.bold(title))?;
    for (made, one) in &answer.longest {
        let duration = units::time(one.duration);
        let mut line = format!("{duration:>8}  {}", call::name(*made));
        if let Some(resource) = call::resource(labels.names.tables(), one.resource) {
            line = format!("{line} {resource}");
        }
        let ending = call::ending(*made, one.result);
        let (thread, begin) = (labels.names.thread(one.thread), units::since(one.begin));
        line = format!("{line}{ending}, on {thread} at {begin}");
        if let Some(place) = labels.places.shown(one.stack) {
            line = format!("{line}, in {place}");
        }
        out.wrapped(&line, 10)?;
        if with_stacks && one.stack != StackId(0) {
            print_stack(out, labels, one.stack, 14)?;
        }
    }
    Ok(())
}
