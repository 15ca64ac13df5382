//! `exectrace blocked`: what the program waited for, who made it wait, and where.
//!
//! Waiting is of two kinds, each with its own list: being held up, which could be less, and
//! waiting for work, time or other threads, which is how a program rests. A lock that costs a
//! tenth of the time must not stand below a main thread that waits for its workers.

use std::borrow::Cow;
use std::io::Write;

use clap::{Args, ValueEnum};
use trace_analysis::life::{Holder, Lives, Share, Times, Wait, WaitGroup, Waits};
use trace_analysis::reason::{Reason, ReasonKind};
use trace_format::definition::ResourceKind;
use trace_format::id::{CallId, StackId, ThreadId};
use trace_format::time::Nanos;

use super::life::Life;
use super::reading::{Source, late, limited, standstills};
use super::{Failure, Verdict};
use crate::json::Trace;
use crate::json::life::{LifeReport, Words};
use crate::output::{Output, say};
use crate::symbols::binaries;
use crate::table::{Column, Table};
use crate::{call, units};

/// So many threads or places of a group are named in a line.
const PARTIES_SHOWN: usize = 3;
/// A part of a holder's time that is less than one in so many is not worth a word.
const SHARE_MIN: u64 = 20;

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    source: Source,
    /// What waits are put together by.
    #[arg(long, value_enum, default_value_t = By::Lock)]
    by: By,
    /// At most so many groups in each list; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 5)]
    top: usize,
    /// Show whole stacks: of the waiting, and of who ended it.
    #[arg(long)]
    stacks: bool,
    #[command(flatten)]
    naming: binaries::Options,
}

/// What waits have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    /// The lock, channel, file or socket; the place where there is none.
    Lock,
    /// The reason alone.
    Reason,
    /// The stack of the waiting.
    Stack,
    /// The thread that waits.
    Thread,
}

/// Prints what was waited for.
///
/// # Errors
/// If there is no trace, or the output can't be written.
pub fn run(arguments: &Arguments, out: &mut Output) -> Result<Verdict, Failure> {
    let mut life = Life::read(&arguments.source, &arguments.naming)?;
    if arguments.source.json {
        cut(&mut life.lives.waits, arguments.top);
    }
    let names = life.names();
    let words = life.words(&names);
    let verdict = life.missing.warn();
    if arguments.source.json {
        let trace = Trace::new(&arguments.source.file, &life.reading.file);
        let report = LifeReport::new(trace, words, &life.lives, &life.missing);
        out.json(&report.with_waits(words, &life.lives.waits))?;
        return Ok(verdict);
    }
    for line in standstills(&life.lives) {
        out.wrapped_loud(&line, 2)?;
    }
    let waits = &life.lives.waits;
    if waits.count == 0 {
        say(&life.why_nothing("waits", "os"));
        return Ok(verdict);
    }
    let groups = groups(&life.lives, arguments.by);
    let (idle, held): (Vec<_>, Vec<_>) = groups.iter().partition(|group| is_rest(group));
    if !held.is_empty() {
        let processes = held.iter().any(|group| group.reason == Reason::Process);
        let processes = if processes { ", processes" } else { "" };
        let title = heading(&format!("Held up, by locks, files, sockets{processes}"), &held);
        writeln!(out, "{}", out.bold(&title))?;
        for group in limited(&held, arguments.top) {
            print_group(group, words, arguments.stacks, out)?;
        }
        more(held.len(), arguments.top, out)?;
    }
    if !idle.is_empty() {
        let gap = if held.is_empty() { "" } else { "\n" };
        let title = heading("At rest: waiting for work, time, or other threads", &idle);
        writeln!(out, "{gap}{}", out.bold(&title))?;
        let shown = limited(&idle, arguments.top);
        out.write_all(table(shown, words).render(out.width).as_bytes())?;
        more(idle.len(), arguments.top, out)?;
    }
    if let Some(line) = late(waits.late, "waits") {
        out.wrapped(&line, 2)?;
    }
    Ok(verdict)
}

/// Leaves `top` groups of each kind: the lists for programs have no two halves.
fn cut(waits: &mut Waits, top: usize) {
    let Waits { by_resource, by_reason, by_stack, by_thread, .. } = waits;
    for groups in [by_resource, by_reason, by_stack, by_thread] {
        groups.truncate(limited(groups, top).len());
    }
}

fn groups(lives: &Lives, by: By) -> Cow<'_, [WaitGroup]> {
    match by {
        By::Lock => lives.waits_by_resource().into(),
        By::Reason => lives.waits.by_reason.as_slice().into(),
        By::Stack => lives.waits.by_stack.as_slice().into(),
        By::Thread => lives.waits.by_thread.as_slice().into(),
    }
}

/// Whether waiting so is how a program rests, rather than what holds it up. Who was waiting when
/// the trace began, for nobody knows what, mostly waited for work.
#[must_use]
pub fn is_rest(group: &WaitGroup) -> bool {
    let reason = group.reason;
    let is_idle = matches!(reason.kind(), ReasonKind::Others | ReasonKind::Time);
    is_idle || reason == Reason::Poll || is_older(group)
}

/// Whether threads waited so since before the trace: then no stack says for what.
fn is_older(group: &WaitGroup) -> bool {
    group.reason == Reason::Futex && stacks(group).all(|stack| stack == StackId(0))
}

fn heading(title: &str, groups: &[&WaitGroup]) -> String {
    let total = units::sum(groups.iter().map(|group| group.total.0));
    let count = units::sum(groups.iter().map(|group| group.count));
    let waits = units::plural(count, "wait", "waits");
    format!("{title}: {} in {waits}", units::time(Nanos(total)))
}

fn more(count: usize, top: usize, out: &mut Output) -> Result<(), Failure> {
    if top > 0 && count > top {
        let more = units::plural((count - top) as u64, "more", "more");
        writeln!(out, "… and {more}: --top 0")?;
    }
    Ok(())
}

/// What a group's waits were for, and where: `mutex 0x55d0 at app::work (src/main.rs:41)`.
#[must_use]
pub fn subject(group: &WaitGroup, words: Words<'_>) -> String {
    match place(group, words).as_str() {
        "" => reason(group, words),
        place => format!("{} at {place}", reason(group, words)),
    }
}

/// Why a group waited, with what it waited for if that has a name that says something.
fn reason(group: &WaitGroup, words: Words<'_>) -> String {
    let mut text = match group.reason {
        Reason::Unseen => "off its CPU in no call that was recorded".to_owned(),
        _ if is_older(group) => "unknown, since before the trace".to_owned(),
        reason => reason.name().to_owned(),
    };
    if group.resources > 1 {
        text.push_str(&format!(" of {} files", units::count(group.resources)));
    }
    if let Some(resource) = resource(words, group) {
        text.push(' ');
        text.push_str(&resource);
    }
    if group.thread != ThreadId(0) {
        text.push_str(" of ");
        text.push_str(&words.names.thread(group.thread));
    }
    text
}

/// Where most of a group's waiting was.
fn place(group: &WaitGroup, words: Words<'_>) -> String {
    let places = places(group, words);
    let first = places.first().cloned().unwrap_or_default();
    match places.len().saturating_sub(1) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// A thread's handle is no name of a thread, and everyone parks at an address of their own.
fn resource(words: Words<'_>, group: &WaitGroup) -> Option<String> {
    let tables = words.names.tables();
    let kind = tables.resources.get(&group.resource)?.kind;
    let is_telling = match kind {
        ResourceKind::Thread => false,
        ResourceKind::Address => group.reason.is_lock() || group.reason == Reason::Condvar,
        _ => true,
    };
    is_telling.then(|| call::resource(tables, group.resource)).flatten()
}

/// The different places of a group's waits, the most time first.
fn places(group: &WaitGroup, words: Words<'_>) -> Vec<String> {
    let mut places = Vec::new();
    for place in stacks(group).filter_map(|stack| words.places.shown(stack)) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

/// The stacks of a group's waits, the most time first.
fn stacks(group: &WaitGroup) -> impl Iterator<Item = StackId> {
    let own = (group.stack != StackId(0)).then_some(group.stack);
    own.into_iter().chain(group.stacks.iter().map(|share| share.of))
}

fn print_group(
    group: &WaitGroup,
    words: Words<'_>,
    stacks: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    let time = units::time(group.total);
    out.wrapped(&format!("{time:>8}  {}", subject(group, words)), 10)?;
    let spread = &group.quantiles;
    let mut how = vec![
        units::plural(group.count, "time", "times"),
        format!("p50 {}", units::time(spread.p50)),
        format!("p99 {}", units::time(spread.p99)),
        format!("max {}", units::time(spread.max)),
    ];
    if let Some(older) = group.longest.iter().map(|wait| wait.begin).filter(|it| it.0 < 0).min() {
        how.push(format!("since {}", units::since(older)));
    }
    how.extend(timeouts(group));
    if group.waiters_max > 1 {
        how.push(format!("up to {} threads at once", group.waiters_max));
    }
    out.wrapped(&format!("{:10}{}", "", how.join(", ")), 12)?;
    if group.thread == ThreadId(0) {
        out.wrapped(&format!("{:10}waited: {}", "", waiters(group, words)), 12)?;
    }
    if stacks {
        let stack = group.longest.first().map_or(group.stack, |longest| longest.stack);
        print_stack(stack, words, out)?;
    }
    match group.holders.first() {
        Some(holder) => print_holder(group, holder, words, stacks, out),
        None => print_waker(group, words, stacks, out),
    }
}

/// How many of a group's waits ended because their time was up.
fn timeouts(group: &WaitGroup) -> Option<String> {
    match group.timeouts {
        0 => None,
        all if all == group.count => Some("nobody woke it: its time was up".to_owned()),
        some => Some(format!("{} of them until its time was up", units::count(some))),
    }
}

fn waiters(group: &WaitGroup, words: Words<'_>) -> String {
    let shown = group.waiters.iter().take(PARTIES_SHOWN).map(|share| {
        let part = units::percent(share.total.0, group.total.0);
        format!("{} {part}", words.names.thread(share.of))
    });
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if group.waiters.len() > PARTIES_SHOWN {
        text.push_str(" …");
    }
    text
}

/// Who held the lock, and what it did meanwhile.
fn print_holder(
    group: &WaitGroup,
    holder: &Holder,
    words: Words<'_>,
    stacks: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    let who = words.names.thread(holder.thread);
    // Several may hold at once, as readers do.
    let part = units::percent(holder.caused.0.min(group.total.0), group.total.0);
    let place = words.places.shown(holder.stack);
    let place = place.map_or_else(String::new, |place| format!(", released at {place}"));
    let held = units::time(holder.held_max);
    let line = format!("{:10}held by {who}: {part} of it, up to {held}{place}", "");
    out.wrapped_loud(&line, 12)?;
    let meanwhile = meanwhile(holder, words);
    if !meanwhile.is_empty() {
        out.wrapped(&format!("{:12}meanwhile {meanwhile}", ""), 14)?;
    }
    if stacks {
        print_stack(holder.stack, words, out)?;
    }
    if group.holders.len() > 1 {
        let others = group.holders.iter().skip(1).take(PARTIES_SHOWN).map(|holder| {
            let part = units::percent(holder.caused.0, group.total.0);
            format!("{} {part}", words.names.thread(holder.thread))
        });
        let others = others.collect::<Vec<_>>().join(", ");
        out.wrapped(&format!("{:10}also held by {others}", ""), 12)?;
    }
    match group.longest.first() {
        Some(wait) => Ok(out.wrapped(&format!("{:10}{}", "", longest(wait, words)), 12)?),
        None => Ok(()),
    }
}

/// One wait: `longest: worker-1 at 0.512 s, until slow-poke let go, which held it since 0.497 s`.
fn longest(wait: &Wait, words: Words<'_>) -> String {
    let who = words.names.thread(wait.thread);
    let (duration, begin) = (units::time(wait.duration), units::since(wait.begin));
    let mut text = format!("longest: {who} {duration}, from {begin} on");
    let Some(waker) = wait.waker else { return text };
    text.push_str(&format!(", until {} let go", words.names.thread(waker.thread)));
    if let Some(since) = waker.held_since {
        let since = units::moment(since);
        text.push_str(&format!(", which held it since {since} s or longer"));
    }
    text
}

/// What a holder did while others waited: `sleep 88%, running 12%, the longest in fsync at …`.
fn meanwhile(holder: &Holder, words: Words<'_>) -> String {
    let mut parts = shares(&holder.times);
    let call = (holder.slow_call != CallId(0)).then(|| call::name(holder.slow_call));
    let place = words.places.shown(holder.slow_stack);
    let longest = match (call, place) {
        (Some(call), Some(place)) => format!("the longest in {call} at {place}"),
        (Some(call), None) => format!("the longest in {call}"),
        (None, Some(place)) => format!("the longest at {place}"),
        (None, None) => return parts.join(", "),
    };
    parts.push(longest);
    parts.join(", ")
}

/// What somebody did with a time, the most first, in parts worth a word.
#[must_use]
pub fn shares(times: &Times) -> Vec<String> {
    let whole = times.total().0;
    let named = [
        ("running", times.running),
        ("in calls", times.in_calls),
        ("ready, without a CPU", times.ready),
        ("unknown", times.unknown),
        ("stopped, with the whole process", times.stopped),
    ];
    let blocked = times.reasons().into_iter().map(|(reason, time)| (reason.name(), time));
    let mut parts: Vec<_> = named.into_iter().chain(blocked).collect();
    parts.retain(|(_, time)| time.0 > 0 && time.0 >= whole / SHARE_MIN);
    parts.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
    let shown = |(name, time): (&str, Nanos)| format!("{name} {}", units::percent(time.0, whole));
    parts.into_iter().map(shown).collect()
}

/// Who ended the waiting.
fn print_waker(
    group: &WaitGroup,
    words: Words<'_>,
    stacks: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    let Some(waker) = group.wakers.first() else { return Ok(()) };
    let line = format!("{:10}ended by {}", "", woken_by(group, waker, words));
    out.wrapped(&line, 12)?;
    if stacks {
        print_stack(waker.of.1, words, out)?;
    }
    Ok(())
}

fn woken_by(group: &WaitGroup, waker: &Share<(ThreadId, StackId)>, words: Words<'_>) -> String {
    let (thread, stack) = waker.of;
    let who = words.names.thread(thread);
    let part = units::percent(waker.total.0, group.total.0);
    match words.places.shown(stack) {
        Some(place) => format!("{who} {part}, at {place}"),
        None => format!("{who} {part}"),
    }
}

fn print_stack(stack: StackId, words: Words<'_>, out: &mut Output) -> Result<(), Failure> {
    for line in words.places.lines(stack) {
        out.wrapped(&format!("{:14}{line}", ""), 18)?;
    }
    Ok(())
}

/// A row for each group, with who ended most of its waits.
fn table(groups: &[&WaitGroup], words: Words<'_>) -> Table {
    let mut table = Table::new(&[
        Column::Number("waited"),
        Column::Number("times"),
        Column::Optional("p50", 2),
        Column::Optional("p99", 1),
        Column::Number("max"),
        Column::Text("for"),
        Column::Name("function"),
        Column::OptionalText("where", 3),
        Column::Optional("timed out", 0),
        Column::OptionalText("ended by", 0),
    ]);
    for group in groups {
        let by = group.wakers.first().map(|waker| words.names.thread(waker.of.0));
        let place = stacks(group).find_map(|stack| words.places.place(stack)).unwrap_or_default();
        let more = places(group, words).len().saturating_sub(1);
        let more = if more > 0 { format!(" +{more}") } else { String::new() };
        table.row([
            units::time(group.total),
            units::count(group.count),
            units::time(group.quantiles.p50),
            units::time(group.quantiles.p99),
            units::time(group.quantiles.max),
            reason(group, words),
            place.shown_function(),
            place.shown_line() + &more,
            units::count(group.timeouts),
            by.unwrap_or_default(),
        ]);
    }
    table.without_empty("timed out", "0").without_empty("ended by", "")
}
