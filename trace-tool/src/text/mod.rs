//! Answers as text for people, over the values of [`answer`](crate::answer).
//!
//! - One file per verb: [`summary`], [`regions`], [`tasks`], [`threads`], [`check`], [`events`];
//!   [`blocked`], [`syscalls`], [`heap`], [`explain`], [`async_tasks`], [`profile`], [`libtest`];
//!   [`ranking`] of several traces.
//! - [`table`], [`graph`]: tables that fit the terminal, and small pictures.
//! - This file: what several verbs print.

pub mod async_tasks;
pub mod blocked;
pub mod check;
pub mod events;
pub mod explain;
pub mod graph;
pub mod heap;
pub mod libtest;
pub mod profile;
pub mod ranking;
pub mod regions;
pub mod summary;
pub mod syscalls;
pub mod table;
pub mod tasks;
pub mod threads;

use std::io::{self, Write};

use trace_analysis::standstill::Standstill;
use trace_analysis::{Summary, Trace};
use trace_export::label::escape;
use trace_export::profile::contents::why_silent;
use trace_format::id::StackId;
use trace_format::read::Facility;
use trace_format::time::Nanos;

use self::table::Table;
use crate::answer::completeness::Completeness;
use crate::answer::{Reading, Subject};
use crate::error::Verdict;
use crate::label::names::{Names, heading};
use crate::label::{Labels, units};
use crate::output::{Output, say};

/// Maximum number of findings of one kind that are printed.
pub const FINDINGS_SHOWN: usize = 5;

/// Maximum number of standstills that have a line of their own.
const STANDSTILLS_SHOWN: usize = 3;

/// Says on standard error what is missing, a line for each kind of loss, and what it means for the
/// exit code.
pub fn warn(missing: &Completeness) -> Verdict {
    missing.losses.iter().for_each(|loss| say(&loss.line()));
    missing.verdict()
}

/// Says on standard error how long the trace is if a window shows nothing: the window may lie
/// beyond the end.
pub fn say_if_empty(subject: &Subject) {
    let reading = &subject.reading;
    if subject.is_empty && (reading.from.is_some() || reading.to.is_some()) {
        say_empty_window(subject);
    }
}

/// Says the same about a window that is known to show nothing.
pub fn say_empty_window(subject: &Subject) {
    say(&format!("nothing in this window; {}", length(subject)));
}

/// Says on standard error that a moment that was asked for lies behind the trace's end.
pub fn say_beyond_end(subject: &Subject) {
    say(&format!("nothing was recorded that late: this is the end; {}", length(subject)));
}

fn length(subject: &Subject) -> String {
    let reading = &subject.reading;
    let end = Trace::new(&reading.file).end();
    format!("the trace is {} long", units::time(end))
}

/// A line with the reason for each part of the recorder that was asked for and did not serve.
#[must_use]
pub fn facilities_off(reading: &Reading) -> Vec<String> {
    let line = |facility: &Facility| {
        let name = escape::plain(&facility.name, 40);
        let note = escape::plain(&facility.note, 300);
        let note = if note.is_empty() { String::new() } else { format!(": {note}") };
        format!("without {name}{note}")
    };
    reading.facilities_off().into_iter().map(line).collect()
}

/// A line that says that there is nothing to show; and why, if the part of the recorder that would
/// have recorded it was off.
///
/// - `what`: waits or calls, with where they would be: `no waits here`.
/// - `facility`: the part of the recorder that records them.
#[must_use]
pub fn why_nothing(subject: &Subject, what: &str, facility: &str) -> String {
    match why_silent(subject.reading.file.tables(), facility) {
        Some(why) => format!("the trace has {what}; {why}"),
        None => format!("the trace has {what}"),
    }
}

/// Prints lines about waits for which a table had no room.
///
/// # Errors
/// If they can't be written.
pub fn print_late(out: &mut Output, late: u64, without_holder: u64) -> io::Result<()> {
    let lines = [self::late(late, "waits"), late_holders(without_holder)];
    lines.into_iter().flatten().try_for_each(|line| out.wrapped(&line, 2))
}

/// A line that says how many have no group of their own; `None` if all have one.
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

/// A line that says of how many waits nobody knows who held the lock; `None` if there are none.
fn late_holders(late: u64) -> Option<String> {
    let count = units::plural(late, "wait", "waits");
    (late > 0).then(|| {
        format!(
            "(the table of locks or that of a lock's holders is full: who held the lock, or woke \
             the thread, is not known of {count} that came when it had no room for another one; \
             --from and --to show less at a time)"
        )
    })
}

/// A line for each of the longest times in which the whole process stood still.
#[must_use]
pub fn standstills(all: &[Standstill]) -> Vec<String> {
    let mut longest: Vec<_> = all.iter().collect();
    longest.sort_by_key(|it| std::cmp::Reverse((it.suspended, it.to.0.saturating_sub(it.from.0))));
    let shown = longest.iter().take(STANDSTILLS_SHOWN).map(|it| {
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
    let more = longest.len().saturating_sub(STANDSTILLS_SHOWN);
    let more = (more > 0).then(|| format!("… and {} more: --json", units::count(more as u64)));
    shown.chain(more).collect()
}

/// Lines about the findings that are no losses, each kind under its heading.
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

/// Prints a table.
///
/// # Errors
/// If it can't be written.
pub fn print_table(out: &mut Output, table: Table) -> io::Result<()> {
    let text = table.render(out.width);
    out.write_all(text.as_bytes())
}

/// Prints how many more there are, and the option that shows them; nothing if there are none.
///
/// # Errors
/// If it can't be written.
pub fn print_more(out: &mut Output, omitted: usize, option: &str) -> io::Result<()> {
    if omitted == 0 {
        return Ok(());
    }
    writeln!(out, "… and {}: {option}", units::plural(omitted as u64, "more", "more"))
}

/// Prints a stack, a line for each function.
///
/// # Errors
/// If it can't be written.
pub fn print_stack(
    out: &mut Output,
    labels: Labels<'_>,
    stack: StackId,
    indent: usize,
) -> io::Result<()> {
    for line in labels.places.lines(stack) {
        out.wrapped(&format!("{:indent$}{line}", ""), indent + 4)?;
    }
    Ok(())
}
