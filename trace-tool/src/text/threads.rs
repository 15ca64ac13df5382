//! `exectrace threads`: what each thread did with its time.

use std::io::Write;

use trace_analysis::kernel_times::Unseen;
use trace_analysis::life::{Lives, ThreadLife, Times, Unended};
use trace_analysis::threads::ThreadSummary;
use trace_export::label::escape;
use trace_format::id::StackId;
use trace_format::time::Nanos;

use super::table::{Column, Table};
use super::{facilities_off, print_more, print_table, standstills};
use crate::answer::threads::{CpuUse, ThreadsAnswer, kernel_cpu, unseen};
use crate::answer::{Subject, limited};
use crate::error::Failure;
use crate::label::names::Names;
use crate::label::{Labels, units};
use crate::output::Output;

/// Maximum number of reasons for waiting that are named of each thread, if there is room.
const REASONS_SHOWN: usize = 3;
/// On a narrower terminal times are shown only as parts of the thread's life.
const TIMES_WIDTH_MIN: usize = 110;
/// Maximum number of waits that never ended that are shown.
const UNENDED_SHOWN: usize = 12;
/// Maximum number of threads that are named because the kernel counted more than events show.
const UNSEEN_SHOWN: usize = 3;
/// Maximum number of CPUs whose use is shown one by one.
const CPUS_SHOWN: usize = 8;

/// Prints the threads.
///
/// # Errors
/// If it can't be written.
pub fn print(answer: &ThreadsAnswer, out: &mut Output) -> Result<(), Failure> {
    let ThreadsAnswer { subject, summary, lives, .. } = answer;
    let names = subject.names();
    match lives {
        Some(lives) => print_lives(answer, lives, subject.labels(&names), out)?,
        None if !summary.threads.is_empty() => {
            print_table(out, table(&summary.threads, subject, &names))?;
            print_more(out, answer.omitted, "--top 0")?;
        }
        None => {}
    }
    Ok(())
}

fn print_lives(
    answer: &ThreadsAnswer,
    lives: &Lives,
    labels: Labels<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    if lives.threads.is_empty() {
        return Ok(());
    }
    print_table(out, life_table(&lives.threads, labels, out.width))?;
    print_more(out, answer.lives_omitted, "--top 0")?;
    let unended: Vec<_> = lives.unended.iter().filter(|it| it.stands_out(lives)).collect();
    if !unended.is_empty() {
        writeln!(out, "\n{}", out.bold("Still waiting when the trace stopped"))?;
        let shown = limited(&unended, UNENDED_SHOWN);
        print_table(out, unended_table(shown, labels))?;
        print_more(out, unended.len() - shown.len(), "--json")?;
    }
    for line in standstills(&lives.standstills) {
        out.wrapped_loud(&line, 2)?;
    }
    for line in unseen_lines(lives, labels.names) {
        out.wrapped(&line, 2)?;
    }
    let cpus = cpu_use(&answer.cpus, &answer.subject, labels.names);
    if !cpus.is_empty() {
        writeln!(out)?;
        out.wrapped(&cpus, 2)?;
    }
    for line in facilities_off(&answer.subject.reading) {
        out.wrapped(&format!("({line})"), 2)?;
    }
    Ok(())
}

/// Prints where threads still waited at the end: what one would ask a debugger about a program that
/// hangs.
fn unended_table(unended: &[&Unended], labels: Labels<'_>) -> Table {
    let mut table = Table::new(&[
        Column::Name("thread"),
        Column::Number("since"),
        Column::Number("waited"),
        Column::Text("for"),
        Column::OptionalText("at", 0),
        Column::OptionalText("held by", 0),
    ]);
    for Unended { reason, wait, holder, .. } in unended {
        let resource = labels.names.resource_name(wait.resource).unwrap_or_default();
        table.row([
            labels.names.thread(wait.thread),
            units::since(wait.begin),
            units::time(wait.duration),
            format!("{} {}", reason.name(), escape::plain(&resource, 60)).trim_end().to_owned(),
            labels.places.shown(wait.stack).unwrap_or_default(),
            holder.map_or(String::new(), |(thread, since)| {
                format!("{} since {} s", labels.names.thread(thread), units::moment(since))
            }),
        ]);
    }
    table.without_empty("at", "").without_empty("held by", "")
}

/// Lines about times that the kernel counted and events do not show, the most first.
fn unseen_lines(lives: &Lives, names: &Names<'_>) -> Vec<String> {
    let lines = |found: &[(Unseen, &ThreadLife)], what: &str, shown: &str, why: &str| {
        let line = |(it, life): &(Unseen, &ThreadLife)| {
            let (counted, seen) = (units::time(it.counted), units::time(it.shown));
            let name = names.life(life);
            format!("{name}: the kernel counted {counted} {what}, {shown} {seen}: {why}")
        };
        let mut lines: Vec<_> = limited(found, UNSEEN_SHOWN).iter().map(line).collect();
        let more = found.len().saturating_sub(UNSEEN_SHOWN);
        if more > 0 {
            lines.push(format!("… and {} more: --json", units::count(more as u64)));
        }
        lines
    };
    let [cpu, ready] = unseen(lives, names);
    let cpu = lines(&cpu, "of CPU time", "switches show", "the switching itself is in no event");
    let ready = lines(
        &ready,
        "of waiting for a CPU",
        "events show",
        "after a timer or a device no event says that a thread is ready, so it counts as blocked",
    );
    cpu.into_iter().chain(ready).collect()
}

/// How busy the program kept the CPUs: `CPU use: 0.81 on average, on 1 of 2 CPUs (81%)`; nothing if
/// no switches were recorded.
#[must_use]
pub fn cpu_use(cpus: &CpuUse, subject: &Subject, names: &Names<'_>) -> String {
    let CpuUse { busy, watched, ready } = cpus;
    let wall = subject.wall();
    if busy.is_empty() || wall == Nanos(0) {
        return String::new();
    }
    let used = units::sum(busy.iter().map(|busy| busy.0)) as f64 / wall.0 as f64;
    let mut count = units::plural((*watched).max(busy.len()) as u64, "CPU", "CPUs");
    if busy.len() < *watched {
        count = format!("{} of {count}", busy.len());
    }
    let each: Vec<_> = busy.iter().map(|busy| units::percent(busy.0, wall.0)).collect();
    let each =
        if each.len() > CPUS_SHOWN { String::new() } else { format!(" ({})", each.join(", ")) };
    let who = match subject.reading.threads.as_slice() {
        [] => "threads were".to_owned(),
        [one] => format!("{} was", names.thread(*one)),
        some => format!("{} of the threads were", units::count(some.len() as u64)),
    };
    let waiting = match ready {
        Nanos(0) => String::new(),
        ready => format!("; {who} ready and had no CPU for {}", units::time(*ready)),
    };
    format!("CPU use: {used:.2} on average, on {count}{each}{waiting}")
}

/// A row for each thread; its parts add up to its life. `running` is on a CPU in the program's own
/// code, `in calls` on a CPU in the system, `ready` able to run and not on a CPU. `CPU time` is not
/// one of the parts: without switches it says how long the thread ran in all.
#[must_use]
pub fn life_table(threads: &[ThreadLife], labels: Labels<'_>, width: Option<usize>) -> Table {
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
            labels.names.life(life),
            life.os_id.to_string(),
            units::time(Nanos(whole)),
            part(times.running),
            part(times.in_calls),
            part(times.ready),
            part(times.blocked()),
            part(times.unknown),
            kernel_cpu(life, labels.names).filter(|_| !has_switches).map_or("-".to_owned(), part),
            part(times.stopped),
            reasons(times, whole, if with_times { REASONS_SHOWN } else { 1 }),
            units::count(life.preemptions),
            made_by(life, labels),
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
fn made_by(life: &ThreadLife, labels: Labels<'_>) -> String {
    let parent = (life.parent.0 > 0).then(|| labels.names.thread(life.parent));
    let place = (life.stack != StackId(0)).then(|| labels.places.shown(life.stack)).flatten();
    match (parent, place) {
        (Some(parent), Some(place)) => format!("{parent} at {place}"),
        (one, other) => one.or(other).unwrap_or_default(),
    }
}

/// A row for each thread. `busy%` is of the time that passed in the window.
#[must_use]
pub fn table(threads: &[ThreadSummary], subject: &Subject, names: &Names<'_>) -> Table {
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
        table.row([
            names.thread(thread.thread),
            os_id,
            units::time(thread.busy),
            units::percent(thread.busy.0, subject.wall().0),
            units::count(thread.events),
            units::count(thread.regions),
            units::time(thread.first),
            units::time(thread.last),
            units::bytes(thread.bytes),
            units::count(thread.dropped_events),
            units::count(thread.dropped_ends),
        ]);
    }
    table.without_empty("dropped", "0").without_empty("lost ends", "0")
}
