//! `exectrace blocked`: what the program waited for, who made it wait, and where.

use std::collections::HashSet;
use std::io::Write;

use trace_analysis::Moment;
use trace_analysis::life::{Holder, Share, Times, Wait, WaitGroup};
use trace_analysis::reason::Reason;
use trace_format::definition::ResourceKind;
use trace_format::facility;
use trace_format::id::{CallId, StackId, ThreadId};
use trace_format::time::Nanos;

use super::table::{Column, Table};
use super::{print_late, print_more, print_stack, print_table, standstills, why_nothing};
use crate::answer::blocked::{BlockedAnswer, By, WaitKind};
use crate::error::Failure;
use crate::label::{Labels, call, units};
use crate::output::{Output, say};

/// Maximum number of threads or places of a group that are named in a line.
const PARTIES_SHOWN: usize = 3;
/// What may keep threads off their CPUs outside of recorded calls.
const OUTSIDE: &str = "page faults, locks in the kernel, or system calls that libc did not make";
/// A part of a holder's time, or of waiting, is shown if it is at least one in this many.
const SHARE_MIN: u64 = 20;

/// Prints what was waited for.
///
/// - `with_stacks`: whole stacks, of the waiting and of what ended it.
///
/// # Errors
/// If it can't be written.
pub fn print(answer: &BlockedAnswer, with_stacks: bool, out: &mut Output) -> Result<(), Failure> {
    let names = answer.subject.names();
    let labels = answer.subject.labels(&names);
    for line in standstills(&answer.disturbances.standstills) {
        out.wrapped_loud(&line, 2)?;
    }
    if answer.count == 0 {
        say(&why_nothing(&answer.subject, "no waits here", facility::OS));
        return Ok(());
    }
    let groups = answer.groups();
    let (held, rest) = (&groups.held_up, &groups.at_rest);
    if !held.groups.is_empty() {
        let processes = held.groups.iter().any(|group| group.reason == Reason::Process);
        let processes = if processes { ", processes" } else { "" };
        let title = heading(&format!("Held up, by locks, files, sockets{processes}"), held);
        writeln!(out, "{}", out.bold(&title))?;
        for group in &held.groups {
            print_group(group, labels, with_stacks, out)?;
        }
        print_more(out, held.omitted, "--top 0")?;
    }
    if !rest.groups.is_empty() {
        let gap = if held.groups.is_empty() { "" } else { "\n" };
        let title = heading("At rest: waiting for work, time, or other threads", rest);
        writeln!(out, "{gap}{}", out.bold(&title))?;
        if with_stacks {
            for group in &rest.groups {
                print_group(group, labels, with_stacks, out)?;
            }
        } else {
            print_table(out, table(&rest.groups, labels))?;
        }
        print_more(out, rest.omitted, "--top 0")?;
    }
    if groups.outside.count > 0 {
        if !held.groups.is_empty() || !rest.groups.is_empty() {
            writeln!(out)?;
        }
        print_outside(answer, labels, out)?;
    }
    Ok(print_late(out, answer.late, answer.late_holders)?)
}

/// Prints one line about what is outside of recorded calls, as it has no place and no name: which
/// threads have how much of it.
fn print_outside(
    answer: &BlockedAnswer,
    labels: Labels<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let outside = &answer.groups().outside;
    let title = heading("Off a CPU outside of recorded calls", outside);
    writeln!(out, "{}", out.bold(&title))?;
    let whose = match (answer.by, outside.groups.first()) {
        (By::Thread, _) => {
            let name = |group: &WaitGroup| labels.names.thread(group.thread);
            let of = |group: &WaitGroup| format!("{} {}", name(group), units::time(group.total));
            outside.groups.iter().map(of).collect::<Vec<_>>().join(", ")
        }
        (_, Some(all)) => waiters(all, labels),
        (_, None) => String::new(),
    };
    out.wrapped(&format!("  {whose}: {OUTSIDE}"), 4)?;
    Ok(print_more(out, outside.omitted, "--top 0")?)
}

fn heading(title: &str, waits: &WaitKind) -> String {
    let count = units::plural(waits.count, "wait", "waits");
    format!("{title}: {} in {count}", units::time(waits.total))
}

/// What a group's waits were for, and where: `mutex 0x55d0 at app::work (src/main.rs:41)`.
#[must_use]
pub fn subject(group: &WaitGroup, labels: Labels<'_>) -> String {
    match place(group, labels).as_str() {
        "" => reason(group, labels),
        place => format!("{} at {place}", reason(group, labels)),
    }
}

/// Why a group waited, and for what, if that has a telling name.
fn reason(group: &WaitGroup, labels: Labels<'_>) -> String {
    let mut text = match group.reason {
        Reason::Unseen => "off its CPU outside of recorded calls".to_owned(),
        _ if group.is_before => "unknown, since before the trace".to_owned(),
        Reason::Futex if group.all_stacks().all(|stack| stack == StackId(0)) => {
            "futex, without a stack".to_owned()
        }
        reason => reason.name().to_owned(),
    };
    if group.resources > 1 {
        text.push_str(&format!(" of {} files", units::count(group.resources)));
    }
    if let Some(resource) = resource(labels, group) {
        text.push(' ');
        text.push_str(&resource);
    }
    if group.is_endless {
        text.push_str(", never ended");
    }
    if group.thread != ThreadId(0) {
        text.push_str(" of ");
        text.push_str(&labels.names.thread(group.thread));
    }
    text
}

/// Where most of a group's waiting was.
fn place(group: &WaitGroup, labels: Labels<'_>) -> String {
    let places = places(group, labels);
    let first = places.first().cloned().unwrap_or_default();
    match places.len().saturating_sub(1) {
        0 => first,
        more => format!("{first} and {} more", units::count(more as u64)),
    }
}

/// What a group waited for, unless that tells nothing: the handle of a thread does not name the
/// thread, and each thread parks at an address of its own.
fn resource(labels: Labels<'_>, group: &WaitGroup) -> Option<String> {
    let tables = labels.names.tables();
    let kind = tables.resources.get(&group.resource)?.kind;
    let is_telling = match kind {
        ResourceKind::Thread => false,
        ResourceKind::Address => group.reason.is_lock() || group.reason == Reason::Condvar,
        _ => true,
    };
    is_telling.then(|| call::resource(tables, group.resource)).flatten()
}

/// The different places of a group's waits, the most time first.
fn places(group: &WaitGroup, labels: Labels<'_>) -> Vec<String> {
    let mut known = HashSet::new();
    let places = group.all_stacks().filter_map(|stack| labels.places.shown(stack));
    places.filter(|place| known.insert(place.clone())).collect()
}

fn print_group(
    group: &WaitGroup,
    labels: Labels<'_>,
    with_stacks: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    let time = units::time(group.total);
    out.wrapped(&format!("{time:>8}  {}", subject(group, labels)), 10)?;
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
        out.wrapped(&format!("{:10}waited: {}", "", waiters(group, labels)), 12)?;
    }
    if group.perhaps_ready.0 > 0 && group.perhaps_ready.0 >= group.total.0 / SHARE_MIN {
        out.wrapped(&format!("{:10}{}", "", perhaps_ready(group)), 12)?;
    }
    if with_stacks {
        let stack = group.longest.first().map_or(group.stack, |longest| longest.stack);
        print_stack(out, labels, stack, 14)?;
    }
    match group.holders.first() {
        Some(holder) => print_holder(group, holder, labels, with_stacks, out)?,
        None => print_waker(group, labels, with_stacks, out)?,
    }
    let (free, whole) = group.free_share();
    if free.0 > 0 {
        let part = units::percent(free.0, whole.0);
        let line =
            format!("{:10}free for {part} of it, while the thread that was woken had no CPU", "");
        out.wrapped(&line, 12)?;
    }
    Ok(())
}

/// How long threads of a group may have been ready instead of waiting. The readiness that is
/// missing of a thread may lie in any of its groups, so these times must not be added up.
fn perhaps_ready(group: &WaitGroup) -> String {
    let ready = units::time(group.perhaps_ready);
    let is_shared = group.perhaps_ready_share < group.perhaps_ready;
    let others = if is_shared { ", in this and other waits together" } else { "" };
    format!(
        "up to {ready} of it ready without a CPU: the kernel counted so much more than events \
         show{others}"
    )
}

/// How many of a group's waits ended because their time was up.
fn timeouts(group: &WaitGroup) -> Option<String> {
    match group.timeouts {
        0 => None,
        all if all == group.count => Some("nobody woke it: its time was up".to_owned()),
        some => Some(format!("{} of them until its time was up", units::count(some))),
    }
}

fn waiters(group: &WaitGroup, labels: Labels<'_>) -> String {
    let shown = group.waiters.iter().take(PARTIES_SHOWN).map(|share| {
        let part = units::percent(share.total.0, group.total.0);
        format!("{} {part}", labels.names.thread(share.of))
    });
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if let Some(more) = group.waiters.len().checked_sub(PARTIES_SHOWN).filter(|more| *more > 0) {
        text.push_str(&format!(" and {} more", units::count(more as u64)));
    }
    text
}

/// Prints who held the lock, and what that thread did meanwhile.
fn print_holder(
    group: &WaitGroup,
    holder: &Holder,
    labels: Labels<'_>,
    with_stacks: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    let who = labels.names.thread(holder.thread);
    let part = part_of(group, holder);
    let place = labels.places.shown(holder.stack);
    let place = place.map_or_else(String::new, |place| format!(", released at {place}"));
    let held = units::time(holder.held_max);
    let line = format!("{:10}held by {who}: {part} of it, up to {held}{place}", "");
    out.wrapped_loud(&line, 12)?;
    let meanwhile = meanwhile(holder, labels);
    if !meanwhile.is_empty() {
        let held = units::time(holder.held);
        out.wrapped(&format!("{:12}meanwhile, {held} in all: {meanwhile}", ""), 14)?;
    }
    if with_stacks {
        print_stack(out, labels, holder.stack, 14)?;
    }
    if group.holders.len() > 1 {
        let others = group.holders.iter().skip(1).take(PARTIES_SHOWN).map(|holder| {
            format!("{} {}", labels.names.thread(holder.thread), part_of(group, holder))
        });
        let others = others.collect::<Vec<_>>().join(", ");
        out.wrapped(&format!("{:10}also held by {others}", ""), 12)?;
    }
    match group.longest.first() {
        Some(wait) => Ok(out.wrapped(&format!("{:10}{}", "", longest(wait, labels)), 12)?),
        None => Ok(()),
    }
}

/// The part of a group's waiting that a holder caused.
fn part_of(group: &WaitGroup, holder: &Holder) -> String {
    let (part, whole) = group.share(holder);
    units::percent(part.0, whole.0)
}

/// One wait: `longest: worker-1 at 0.512 s, until slow-poke let go, which held it since 0.497 s`.
fn longest(wait: &Wait, labels: Labels<'_>) -> String {
    let who = labels.names.thread(wait.thread);
    let (duration, begin) = (units::time(wait.duration), units::since(wait.begin));
    let mut text = format!("longest: {who} {duration}, from {begin} on");
    let Some(waker) = wait.waker else { return text };
    text.push_str(&format!(", until {} let go", labels.names.thread(waker.thread)));
    // If it held the lock during the whole wait, that need not be said.
    if let Some(since) = waker.held_since.filter(|since| Moment::from(*since) > wait.begin) {
        let since = units::moment(since);
        text.push_str(&format!(", which held it since {since} s or longer"));
    }
    text
}

/// What a holder did in all its holds while others waited: `file sync 88%, running 12%, of its
/// calls mostly fsync at …`.
fn meanwhile(holder: &Holder, labels: Labels<'_>) -> String {
    let parts = shares(&holder.times).join(", ");
    if holder.slow_call == CallId(0) {
        return parts;
    }
    let call = call::name(holder.slow_call);
    let place = labels.places.shown(holder.slow_stack);
    let place = place.map_or_else(String::new, |place| format!(" at {place}"));
    format!("{parts}, of its calls mostly {call}{place}")
}

/// What a thread did with a time, the most first, in parts worth a word.
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

/// Prints who ended the waiting; of a lock, who released it last. Other holders are not known here.
fn print_waker(
    group: &WaitGroup,
    labels: Labels<'_>,
    with_stacks: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    let Some(waker) = group.wakers.first() else { return Ok(()) };
    let how = if group.reason.is_lock() { "held at last by" } else { "ended by" };
    let line = format!("{:10}{how} {}", "", woken_by(group, waker, labels));
    out.wrapped(&line, 12)?;
    if with_stacks {
        print_stack(out, labels, waker.of.1, 14)?;
    }
    Ok(())
}

fn woken_by(group: &WaitGroup, waker: &Share<(ThreadId, StackId)>, labels: Labels<'_>) -> String {
    let (thread, stack) = waker.of;
    let who = labels.names.thread(thread);
    let part = units::percent(waker.total.0, group.total.0);
    match labels.places.shown(stack) {
        Some(place) if group.reason.is_lock() => format!("{who} {part}, released at {place}"),
        Some(place) => format!("{who} {part}, at {place}"),
        None => format!("{who} {part}"),
    }
}

/// A row for each group, with who ended most of its waits.
fn table(groups: &[WaitGroup], labels: Labels<'_>) -> Table {
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
        let by = group.wakers.first().map(|waker| labels.names.thread(waker.of.0));
        let place =
            group.all_stacks().find_map(|stack| labels.places.place(stack)).unwrap_or_default();
        let more = places(group, labels).len().saturating_sub(1);
        let more =
            if more > 0 { format!(" +{}", units::count(more as u64)) } else { String::new() };
        table.row([
            units::time(group.total),
            units::count(group.count),
            units::time(group.quantiles.p50),
            units::time(group.quantiles.p99),
            units::time(group.quantiles.max),
            reason(group, labels),
            place.shown_function(),
            place.shown_line() + &more,
            units::count(group.timeouts),
            by.unwrap_or_default(),
        ]);
    }
    table.without_empty("timed out", "0").without_empty("ended by", "")
}
