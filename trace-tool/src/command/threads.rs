//! `exectrace threads`: what each thread did with its time.
//!
//! A trace that has calls or CPUs says of every moment of a thread what it did; of another only how
//! long it was inside regions is known.

use std::cmp::Reverse;
use std::io::Write;

use clap::{Args, ValueEnum};
use trace_analysis::Summary;
use trace_analysis::kernel_times::{KernelTimes, Unseen};
use trace_analysis::life::{Lives, ThreadLife, Times, Unended};
use trace_analysis::reason::Reason;
use trace_analysis::threads::ThreadSummary;
use trace_format::id::StackId;
use trace_format::time::Nanos;
use trace_profile::escape;

use super::reading::{Source, limited, missing, say_if_empty, standstills, symbols};
use super::{Failure, Verdict};
use crate::completeness::Completeness;
use crate::describe::Names;
use crate::json::life::Words;
use crate::json::{Parts, Report, Trace};
use crate::output::Output;
use crate::symbols::binaries;
use crate::table::{Column, Table};
use crate::units;
use trace_export::label::place::Places;

/// So many reasons for waiting are named of each thread, if there is room.
const REASONS_SHOWN: usize = 3;
/// On a narrower terminal times are shown as parts of the life alone.
const TIMES_WIDTH_MIN: usize = 110;

/// So many waits that never ended are shown, of those that took a tenth of a second and this part
/// of the trace.
const UNENDED_SHOWN: usize = 12;
const UNENDED_NANOS_MIN: u64 = 100_000_000;
const UNENDED_SHARE: u64 = 20;

/// Maximum number of threads named of which the kernel counted more than events show.
const UNSEEN_SHOWN: usize = 3;

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
    #[command(flatten)]
    naming: binaries::Options,
}

/// What threads are sorted by.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Sort {
    /// The busiest first: those that ran the longest, if that is known.
    Busy,
    /// Those first that waited the longest.
    Blocked,
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
    sort(&mut summary.threads, arguments.sort, &names);
    let kept = limited(&summary.threads, arguments.limit).len();
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
    let verdict = completeness.warn();
    if arguments.source.json {
        summary.threads.truncate(kept);
        let trace = Trace::new(&arguments.source.file, &reading.file);
        let report = Report::new(trace, &names, &summary, Parts::Threads, &completeness);
        match life {
            Some((words, lives)) => out.json(&report.with_lives(words, &lives))?,
            None => out.json(&report)?,
        }
        return Ok(verdict);
    }
    match life {
        Some((words, mut lives)) => {
            sort_lives(&mut lives.threads, arguments.sort, &names);
            print_lives(&lives, arguments.limit, words, out)?;
        }
        None if kept > 0 => {
            let text = table(&summary.threads[..kept], &summary, &names).render(out.width);
            out.write_all(text.as_bytes())?;
        }
        None => {}
    }
    Ok(verdict)
}

fn sort(threads: &mut [ThreadSummary], by: Sort, names: &Names<'_>) {
    match by {
        Sort::Busy | Sort::Blocked => threads.sort_by_key(|thread| Reverse(thread.busy)),
        Sort::Events => threads.sort_by_key(|thread| Reverse(thread.events)),
        Sort::Id => threads.sort_by_key(|thread| thread.thread),
        Sort::Name => threads.sort_by_cached_key(|thread| names.thread(thread.thread)),
    }
}

fn sort_lives(threads: &mut [ThreadLife], by: Sort, names: &Names<'_>) {
    let busy =
        |life: &ThreadLife| life.times.cpu().max(kernel_cpu(life, names).unwrap_or_default());
    match by {
        Sort::Busy => threads.sort_by_key(|life| Reverse(busy(life))),
        Sort::Blocked => threads.sort_by_key(|life| Reverse(life.times.blocked())),
        Sort::Events => threads.sort_by_key(|life| Reverse(life.calls)),
        Sort::Id => threads.sort_by_key(|life| (life.begin, life.os_id)),
        Sort::Name => threads.sort_by_cached_key(|life| name(life, names)),
    }
}

/// A thread's name; of one that recorded nothing, what the system calls it.
#[must_use]
pub fn name(life: &ThreadLife, names: &Names<'_>) -> String {
    match (life.thread.0, life.name.as_str()) {
        (0, "") => format!("os thread {}", life.os_id),
        (0, name) => format!("{} (os {})", escape::plain(name, 40), life.os_id),
        _ => names.thread(life.thread),
    }
}

fn print_lives(
    lives: &Lives,
    limit: usize,
    words: Words<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let shown = limited(&lives.threads, limit);
    if shown.is_empty() {
        return Ok(());
    }
    out.write_all(life_table(shown, words, out.width).render(out.width).as_bytes())?;
    let more = lives.threads.len() - shown.len();
    if more > 0 {
        writeln!(out, "… and {}: --limit 0", units::plural(more as u64, "more", "more"))?;
    }
    let unended: Vec<_> = lives.unended.iter().filter(|it| is_told(lives, it)).collect();
    if !unended.is_empty() {
        writeln!(out, "\n{}", out.bold("Still waiting when the trace stopped"))?;
        let shown = limited(&unended, UNENDED_SHOWN);
        out.write_all(unended_table(shown, words).render(out.width).as_bytes())?;
        let more = unended.len() - shown.len();
        if more > 0 {
            writeln!(out, "… and {}: --json", units::plural(more as u64, "more", "more"))?;
        }
    }
    for line in standstills(lives) {
        out.wrapped_loud(&line, 2)?;
    }
    for line in unseen(lives, words.names) {
        out.wrapped(&line, 2)?;
    }
    let cpus = cpu_use(lives);
    if !cpus.is_empty() {
        writeln!(out)?;
        out.wrapped(&cpus, 2)?;
    }
    for line in missing(words.names.tables()) {
        out.wrapped(&format!("({line})"), 2)?;
    }
    Ok(())
}

/// Whether a wait that never ended is worth a line: not of who waits for time or for the next piece
/// of work, and not one that has only begun.
fn is_told(lives: &Lives, unended: &Unended) -> bool {
    let wall = lives.to.0.saturating_sub(lives.from.0);
    let nanos = unended.wait.duration.0;
    let is_rest = matches!(unended.reason, Reason::Sleep | Reason::Worker | Reason::Unseen);
    !is_rest && nanos >= UNENDED_NANOS_MIN && nanos.saturating_mul(UNENDED_SHARE) >= wall
}

/// Where threads are that never came back: what a debugger would be asked of a stuck program.
fn unended_table(unended: &[&Unended], words: Words<'_>) -> Table {
    let mut table = Table::new(&[
        Column::Name("thread"),
        Column::Number("since"),
        Column::Number("waited"),
        Column::Text("for"),
        Column::OptionalText("at", 0),
    ]);
    for Unended { reason, wait, .. } in unended {
        let resource = words.names.resource_name(wait.resource).unwrap_or_default();
        table.row([
            words.names.thread(wait.thread),
            units::since(wait.begin),
            units::time(wait.duration),
            format!("{} {}", reason.name(), escape::plain(&resource, 60)).trim_end().to_owned(),
            words.places.shown(wait.stack).unwrap_or_default(),
        ]);
    }
    table.without_empty("at", "")
}

/// Lines about times that the kernel counted and events do not show, the most first.
fn unseen(lives: &Lives, names: &Names<'_>) -> Vec<String> {
    let times = |life: &ThreadLife| KernelTimes::new(names.tables(), life.thread);
    let lines = |of: &dyn Fn(&ThreadLife) -> Option<Unseen>, what: &str, shown: &str, why: &str| {
        let mut found: Vec<_> =
            lives.threads.iter().filter_map(|life| Some((of(life)?, life))).collect();
        let missing = |it: &Unseen| it.counted.0.saturating_sub(it.shown.0);
        found.sort_by_key(|(it, _)| Reverse(missing(it)));
        let more = found.len().saturating_sub(UNSEEN_SHOWN);
        let line = |(it, life): &(Unseen, &ThreadLife)| {
            let (counted, seen) = (units::time(it.counted), units::time(it.shown));
            let name = name(life, names);
            format!("{name}: the kernel counted {counted} {what}, {shown} {seen}: {why}")
        };
        let mut lines: Vec<_> = found.iter().take(UNSEEN_SHOWN).map(line).collect();
        if more > 0 {
            lines.push(format!("… and {more} more: --json"));
        }
        lines
    };
    let cpu = lines(
        &|life| times(life).unseen_cpu(life),
        "of CPU time",
        "switches show",
        "the switching itself is in no event",
    );
    let ready = lines(
        &|life| times(life).unseen_ready(life),
        "of waiting for a CPU",
        "events show",
        "after a timer or a device no event says that a thread is ready, so it counts as blocked",
    );
    cpu.into_iter().chain(ready).collect()
}

/// How busy the program kept the CPUs: `CPUs: 1.62 of 2 in use, 3 threads able to run at most`.
#[must_use]
pub fn cpu_use(lives: &Lives) -> String {
    let wall = lives.to.0.saturating_sub(lives.from.0);
    if lives.cpus.is_empty() || wall == 0 {
        return String::new();
    }
    let busy = units::sum(lives.cpus.iter().map(|cpu| cpu.busy.0));
    let ready = units::sum(lives.threads.iter().map(|life| life.times.ready.0));
    let used = busy as f64 / wall as f64;
    let cpus = units::plural(lives.cpus.len() as u64, "CPU", "CPUs");
    let each: Vec<_> = lives.cpus.iter().map(|cpu| units::percent(cpu.busy.0, wall)).collect();
    let each = if each.len() > 8 { String::new() } else { format!(" ({})", each.join(", ")) };
    let waiting = match ready {
        0 => String::new(),
        _ => format!("; threads were ready and had no CPU for {}", units::time(Nanos(ready))),
    };
    format!("CPU use: {used:.2} on average, on {cpus}{each}{waiting}")
}

/// CPU time as the kernel counted it.
fn kernel_cpu(life: &ThreadLife, names: &Names<'_>) -> Option<Nanos> {
    KernelTimes::new(names.tables(), life.thread).cpu_in(life)
}

/// A row for each thread; its parts add up to its life. `running` is on a CPU in the program's own
/// code, `in calls` on a CPU in the system, `ready` able to run and not on a CPU. `CPU time` is no
/// part: where switches do not say when a thread ran, it says how long in all.
#[must_use]
pub fn life_table(threads: &[ThreadLife], words: Words<'_>, width: Option<usize>) -> Table {
    let mut table = Table::new(&[
        Column::Name("thread"),
        Column::Optional("os id", 0),
        Column::Number("life"),
        Column::Number("running"),
        Column::Number("in calls"),
        Column::Number("ready"),
        Column::Number("blocked"),
        Column::Number("unknown"),
        Column::Number("CPU time"),
        Column::Number("stopped"),
        Column::OptionalText("mostly for", 3),
        Column::Optional("preempted", 2),
        Column::OptionalText("made by", 1),
    ]);
    let has_switches = threads.iter().any(|life| life.times.running > Nanos(0));
    let with_times = width.is_none_or(|width| width >= TIMES_WIDTH_MIN);
    for life in threads {
        let times = &life.times;
        let whole = life.end.0.saturating_sub(life.begin.0);
        let part = |time: Nanos| match time {
            Nanos(0) => "-".to_owned(),
            time if with_times => {
                format!("{} {:>5}", units::time(time), units::percent(time.0, whole))
            }
            time => units::percent(time.0, whole),
        };
        table.row([
            name(life, words.names),
            life.os_id.to_string(),
            units::time(Nanos(whole)),
            part(times.running),
            part(times.in_calls),
            part(times.ready),
            part(times.blocked()),
            part(times.unknown),
            kernel_cpu(life, words.names).filter(|_| !has_switches).map_or("-".to_owned(), part),
            part(times.stopped),
            reasons(times, whole, if with_times { REASONS_SHOWN } else { 1 }),
            units::count(life.preemptions),
            made_by(life, words),
        ]);
    }
    for column in ["running", "in calls", "ready", "unknown", "CPU time", "stopped"] {
        table = table.without_empty(column, "-");
    }
    table
        .without_empty("mostly for", "")
        .without_empty("preempted", "0")
        .without_empty("made by", "")
}

/// What was waited for the most: `mutex 40.1%, sleep 12.0%`.
fn reasons(times: &Times, whole: u64, count_max: usize) -> String {
    let shown = times.reasons().into_iter().take(count_max);
    let shown = shown.filter(|(_, time)| time.0.saturating_mul(200) >= whole);
    let shown =
        shown.map(|(reason, time)| format!("{} {}", reason.name(), units::percent(time.0, whole)));
    shown.collect::<Vec<_>>().join(", ")
}

/// The thread that made this one, and where.
fn made_by(life: &ThreadLife, words: Words<'_>) -> String {
    let parent = (life.parent.0 > 0).then(|| words.names.thread(life.parent));
    let place = (life.stack != StackId(0)).then(|| words.places.shown(life.stack)).flatten();
    match (parent, place) {
        (Some(parent), Some(place)) => format!("{parent} at {place}"),
        (one, other) => one.or(other).unwrap_or_default(),
    }
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
