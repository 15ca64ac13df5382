//! `exectrace async`: what kept executors' threads, what async tasks waited for, and who is stuck.
//!
//! The order is that of cures: a poll that blocks its worker hurts every task, a lock held across
//! an await those that want it, and only then it matters which spawn site does what.

use std::collections::BTreeMap;
use std::io::Write;

use clap::Args;
use trace_analysis::async_tasks::{
    AsyncHolder, AsyncTasks, AwaitGroup, LONG_POLL, LongPoll, Phase, SpawnSite, Unfinished,
};
use trace_analysis::life::Lives;
use trace_analysis::reason::Await;
use trace_format::id::{CallId, SiteId, StackId};
use trace_format::time::Nanos;

use super::blocked::shares;
use super::life::Life;
use super::reading::{Source, limited, parse_time};
use super::{Failure, Verdict};
use crate::json::Trace;
use crate::json::async_tasks::AsyncReport;
use crate::json::life::Words;
use crate::output::{Output, say};
use crate::symbols::binaries;
use crate::table::{Column, Table};
use crate::{call, units};

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    source: Source,
    /// At most so many in each list; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 3)]
    top: usize,
    /// Only the tasks of spawn sites whose names contain this.
    #[arg(long, value_name = "NAME")]
    site: Option<String>,
    /// Unfinished tasks are shown that have waited for so long.
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "100ms")]
    idle: Nanos,
    #[command(flatten)]
    naming: binaries::Options,
}

/// Prints what async tasks did.
///
/// # Errors
/// If there is no trace, or the output can't be written.
pub fn run(arguments: &Arguments, out: &mut Output) -> Result<Verdict, Failure> {
    let (life, mut tasks) = Life::read_async(&arguments.source, &arguments.naming)?;
    let names = life.names();
    let words = life.words(&names);
    let verdict = life.missing.warn();
    if let Some(wanted) = &arguments.site {
        narrow(&mut tasks, wanted, words);
    }
    let threads = &life.reading.threads;
    if !threads.is_empty() {
        tasks.polls.retain(|it| threads.contains(&it.thread));
        tasks.delays.retain(|it| threads.contains(&it.thread));
        tasks.workers.retain(|it| threads.contains(&it.thread));
    }
    let long_ago = |task: &Unfinished| task.since.until(tasks.to) >= arguments.idle;
    let (stuck, others): (Vec<_>, Vec<_>) =
        std::mem::take(&mut tasks.unfinished).into_iter().partition(long_ago);
    if arguments.source.json {
        let trace = Trace::new(&arguments.source.file, &life.reading.file);
        tasks.unfinished = stuck;
        cut(&mut tasks, arguments.top);
        out.json(&AsyncReport::new(trace, words, &tasks, others.len(), &life.missing))?;
        return Ok(verdict);
    }
    if tasks.is_empty() {
        say(&nothing(arguments, &life));
        return Ok(verdict);
    }
    out.wrapped(&head(&tasks), 2)?;
    let top = arguments.top;
    print_polls(&tasks, &life.lives, top, words, out)?;
    print_waits(&tasks, top, words, out)?;
    print_sites(&tasks, top, words, out)?;
    print_stuck(&tasks, &stuck, arguments, words, out)?;
    print_workers(&tasks, top, words, out)?;
    Ok(verdict)
}

fn nothing(arguments: &Arguments, life: &Life) -> String {
    match &arguments.site {
        Some(site) if AsyncTasks::are_in(&life.reading.file) => {
            let site = trace_profile::escape::plain(site, 80);
            format!("no spawn site is called `{site}`; without --site all are shown")
        }
        _ => "the trace has no async tasks here; were they spawned with `exectrace::tokio::spawn` \
              or traced with `.traced(name)`?"
            .to_owned(),
    }
}

/// Leaves what belongs to spawn sites of that name.
fn narrow(tasks: &mut AsyncTasks, wanted: &str, words: Words<'_>) {
    let is = |site: SiteId| words.names.site(site).contains(wanted);
    tasks.sites.retain(|it| is(it.site));
    tasks.children.retain(|it| is(it.site));
    tasks.polls.retain(|it| is(it.site));
    tasks.delays.retain(|it| is(it.site));
    tasks.waits.retain(|it| is(it.site));
    tasks.unfinished.retain(|it| is(it.site));
}

fn cut(tasks: &mut AsyncTasks, top: usize) {
    let AsyncTasks { polls, delays, waits, .. } = tasks;
    polls.truncate(limited(polls, top).len());
    delays.truncate(limited(delays, top).len());
    waits.truncate(limited(waits, top).len());
}

/// How much there was of everything.
fn head(tasks: &AsyncTasks) -> String {
    let sum = |of: fn(&SpawnSite) -> u64| units::sum(tasks.sites.iter().map(of));
    let parts = [
        units::plural(sum(|site| site.count), "async task", "async tasks"),
        format!("{} alive at the end", units::count(sum(|site| site.alive))),
        units::plural(sum(|site| site.polls), "poll", "polls"),
        format!("busy {}", units::time(Nanos(sum(|site| site.busy.0)))),
        format!("ready {}", units::time(Nanos(sum(|site| site.ready_total.0)))),
        format!("idle {}", units::time(Nanos(sum(|site| site.idle.0)))),
        format!("on {}", units::plural(tasks.workers.len() as u64, "thread", "threads")),
    ];
    let mut text = parts.join(", ");
    if tasks.untracked > 0 {
        let more = units::plural(tasks.untracked, "future", "futures");
        text.push_str(&format!("; {more} more, too many at once, left out"));
    }
    text
}

/// The polls that kept their threads the longest, those of one place together.
fn print_polls(
    tasks: &AsyncTasks,
    lives: &Lives,
    top: usize,
    words: Words<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut alike: Vec<(SiteId, String, Vec<&LongPoll>)> = Vec::new();
    for poll in tasks.polls.iter().filter(|poll| poll.duration >= LONG_POLL) {
        let place = place(words, poll.culprit());
        let found = alike.iter_mut().find(|it| (it.0, &it.1) == (poll.site, &place));
        match found {
            Some((.., polls)) => polls.push(poll),
            None => alike.push((poll.site, place, vec![poll])),
        }
    }
    let number = units::sum(tasks.sites.iter().map(|site| site.long_polls));
    let open = tasks.polls.iter().filter(|poll| !poll.ended && poll.duration >= LONG_POLL);
    let number = number + open.count() as u64;
    let limit = units::time(LONG_POLL);
    if alike.is_empty() {
        let longest = tasks.polls.first();
        let longest =
            longest.map(|poll| format!(": the longest took {}", units::time(poll.duration)));
        let longest = longest.unwrap_or_default();
        writeln!(out, "no worker was blocked: no poll took {limit}{longest}")?;
        return Ok(());
    }
    let many = units::plural(number, "poll", "polls");
    let title = format!("Blocked workers: {many} of {limit} or more");
    writeln!(out, "\n{}", out.bold(&title))?;
    for (_, _, polls) in limited(&alike, top) {
        print_poll(polls, lives, words, out)?;
    }
    more(alike.len(), top, out)
}

fn print_poll(
    polls: &[&LongPoll],
    lives: &Lives,
    words: Words<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let poll = polls[0];
    let (long, who) = (units::time(poll.duration), site(words, poll.site));
    let (thread, at) = (words.names.thread(poll.thread), units::since(poll.begin));
    let over = if poll.ended { "" } else { ", not over at the end" };
    let times = match polls.len() {
        1 => String::new(),
        more => format!(", {more} times"),
    };
    let line = format!("{long:>8}  {who} kept {thread} from {at} on{over}{times}");
    out.wrapped_loud(&line, 10)?;
    if words.places.blocks_in_place(poll.culprit()) {
        let line = "in block_in_place: another worker had the other tasks meanwhile";
        writeln!(out, "{:10}{line}", "")?;
    }
    let meanwhile = doing(poll, words);
    if !meanwhile.is_empty() {
        out.wrapped(&format!("{:10}{meanwhile}", ""), 12)?;
    }
    let half = poll.chain.iter().filter(|link| link.duration.0 >= poll.duration.0 / 2);
    let chain: Vec<_> = half
        .map(|link| format!("{} {}", words.names.site(link.site), units::time(link.duration)))
        .collect();
    if !chain.is_empty() {
        out.wrapped(&format!("{:10}inside: {}", "", chain.join(" > ")), 12)?;
    }
    let delayed = units::sum(polls.iter().map(|poll| poll.delayed));
    let most = polls.iter().filter_map(|poll| poll.delayed_most).max_by_key(|most| most.2);
    if let Some((_, who, most)) = most {
        let tasks = units::plural(delayed, "task", "tasks");
        let (who, most) = (words.names.site(who), units::time(most));
        let line = format!("{:10}{tasks} waited behind it, ready: {who} for {most}", "");
        out.wrapped(&line, 12)?;
    }
    if lives.cpus.is_empty() && meanwhile.is_empty() {
        let line = "what it did is not known: record with the features `os` and `sched`";
        writeln!(out, "{:10}{line}", "")?;
    }
    Ok(())
}

/// `sleep 99%, in clock_nanosleep at app::query (src/app.rs:12)`.
fn doing(poll: &LongPoll, words: Words<'_>) -> String {
    let Some(doing) = &poll.activity else { return String::new() };
    let mut text = shares(&doing.times).join(", ");
    let culprit = place(words, poll.culprit());
    if doing.is_slow_call() && doing.slow_call != CallId(0) {
        text.push_str(&format!(": in {}", call::name(doing.slow_call)));
    }
    if !culprit.is_empty() {
        text.push_str(&format!(" at {culprit}"));
    }
    if !doing.is_slow_call() && doing.samples.0 > 0 {
        let (found, all) = doing.samples;
        text.push_str(&format!(" in {found} of {} samples", units::count(all)));
    }
    text
}

/// Where tasks were idle, with who held what they waited for.
fn print_waits(
    tasks: &AsyncTasks,
    top: usize,
    words: Words<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    if tasks.waits.is_empty() {
        return Ok(());
    }
    let total = units::time(Nanos(units::sum(tasks.waits.iter().map(|group| group.total.0))));
    let title = format!("What tasks waited for: idle {total}");
    writeln!(out, "\n{}", out.bold(&title))?;
    let mut groups: Vec<_> = tasks.waits.iter().collect();
    // To wait for a timer is how a task rests; a lock that costs less must not stand below.
    groups.sort_by_key(|group| (!group.awaited.awaited.is_lock(), group.awaited.awaited.is_rest()));
    for group in limited(&groups, top) {
        print_wait(group, words, out)?;
    }
    more(groups.len(), top, out)
}

fn print_wait(group: &AwaitGroup, words: Words<'_>, out: &mut Output) -> Result<(), Failure> {
    let (total, who) = (units::time(group.total), words.names.site(group.site));
    let what = one_of(words, (group.stack, group.awaited), &group.one_of);
    let spread = &group.quantiles;
    let times = units::plural(group.count, "time", "times");
    let (p99, max) = (units::time(spread.p99), units::time(spread.max));
    let mut line = format!("{total:>8}  {who} waited for {what}, {times}, p99 {p99}, max {max}");
    if group.waiting > 0 {
        line.push_str(&format!(", {} at the end", units::count(group.waiting)));
    }
    out.wrapped(&line, 10)?;
    if let Some(holder) = group.holders.first() {
        return print_holder(holder, words, out);
    }
    let Some(waker) = group.wakers.first() else { return Ok(()) };
    let (by, stack) = waker.of;
    let by = by.map_or_else(|| "no task".to_owned(), |by| words.names.site(by));
    let place = place(words, stack);
    let place = if place.is_empty() { place } else { format!(" at {place}") };
    let share = units::percent(waker.total.0, group.total.0);
    out.wrapped(&format!("{:10}woken by {by}{place}: {share} of it", ""), 12)?;
    Ok(())
}

fn print_holder(holder: &AsyncHolder, words: Words<'_>, out: &mut Output) -> Result<(), Failure> {
    let (who, held) = (site(words, holder.site), units::time(holder.held_max));
    let released = place(words, holder.stack);
    let released = if released.is_empty() { released } else { format!(", released at {released}") };
    let line = format!("{:10}held by {who} up to {held} (task {}){released}", "", holder.task.0);
    out.wrapped(&line, 12)?;
    if holder.idle.0 >= holder.held.0 / 2 {
        let share = units::percent(holder.idle.0, holder.held.0);
        let what = awaited(words, &holder.idle_awaited.name(), holder.idle_stack);
        let line = format!("{:10}held across an await: {share} of that it waited for {what}", "");
        out.wrapped_loud(&line, 12)?;
    }
    Ok(())
}

fn print_sites(
    tasks: &AsyncTasks,
    top: usize,
    words: Words<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let title = "Async tasks by spawn site (ready: woken and not yet polled; idle: not woken)";
    writeln!(out, "\n{}", out.bold(title))?;
    // A table's rows are cheap.
    let rows = top.saturating_mul(2);
    let shown = limited(&tasks.sites, rows);
    out.write_all(table(shown, words).render(out.width).as_bytes())?;
    more(tasks.sites.len(), rows, out)
}

/// A row for each spawn site, or call site of child futures.
fn table(sites: &[SpawnSite], words: Words<'_>) -> Table {
    let mut table = Table::new(&[
        Column::Name("spawned"),
        Column::OptionalText("where", 4),
        Column::Number("tasks"),
        Column::Number("alive"),
        Column::Optional("most", 2),
        Column::Number("polls"),
        Column::Number("busy"),
        Column::Optional("p99", 7),
        Column::Number("max"),
        Column::Optional("ready p99", 8),
        Column::Optional("ready max", 3),
        Column::Optional("idle", 5),
        Column::Optional("life p50", 1),
        Column::Optional("failed", 6),
        Column::Optional("cancelled", 6),
        Column::Optional("panicked", 6),
        Column::Optional("wakes", 0),
        Column::Optional("futile", 6),
        Column::Optional("self", 6),
    ]);
    for it in sites {
        let mark = if it.spawned { "" } else { " (awaited)" };
        let own = words.names.callsite(it.site).map(|_| words.names.place(it.site));
        let own = own.unwrap_or_default();
        table.row([
            format!("{}{mark}", words.names.site(it.site)),
            own.rsplit('/').next().unwrap_or_default().to_owned(),
            units::count(it.count),
            units::count(it.alive),
            units::count(it.alive_max),
            units::count(it.polls),
            units::time(it.busy),
            units::time(it.poll.p99),
            units::time(it.poll.max),
            units::time(it.ready.p99),
            units::time(it.ready.max),
            units::time(it.idle),
            units::time(it.life.p50),
            units::count(it.failed),
            units::count(it.dropped),
            units::count(it.panicked),
            units::count(it.wakes),
            units::count(it.futile_wakes),
            units::count(it.self_wakes),
        ]);
    }
    let rare = ["failed", "cancelled", "panicked", "wakes", "futile", "self"];
    rare.into_iter().fold(table, |table, title| table.without_empty(title, "0"))
}

/// Unfinished tasks in the order in which they are worth a look.
fn print_stuck(
    tasks: &AsyncTasks,
    stuck: &[Unfinished],
    arguments: &Arguments,
    words: Words<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut alike: BTreeMap<(u8, SiteId, StackId, Phase), Vec<&Unfinished>> = BTreeMap::new();
    for task in stuck {
        let rank = match task.phase {
            _ if task.unwakeable => 0,
            Phase::New | Phase::Ready => 1,
            Phase::Polled => 2,
            Phase::Idle if task.awaited.awaited.is_lock() => 3,
            Phase::Idle => 4 + u8::from(task.awaited.awaited.is_rest()),
        };
        alike.entry((rank, task.site, task.stack, task.phase)).or_default().push(task);
    }
    let limit = units::time(arguments.idle);
    if alike.is_empty() {
        writeln!(out, "no unfinished task has waited for {limit}")?;
        return Ok(());
    }
    let many = units::plural(stuck.len() as u64, "task", "tasks");
    let title = format!("Unfinished: {many} waited for {limit} or longer at the end");
    writeln!(out, "\n{}", out.bold(&title))?;
    let groups: Vec<_> = alike.into_values().collect();
    for group in limited(&groups, arguments.top) {
        print_unfinished(tasks, group, words, out)?;
    }
    more(groups.len(), arguments.top, out)
}

fn print_unfinished(
    tasks: &AsyncTasks,
    group: &[&Unfinished],
    words: Words<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let task = group[0];
    let long = units::time(task.since.until(tasks.to));
    let (who, id) = (words.names.site(task.site), task.task.0);
    let which = match group.len() {
        1 => format!("{who} (task {id})"),
        more => format!("{} of {who} (task {id}, …)", units::count(more as u64)),
    };
    let doing = match task.phase {
        Phase::Idle => {
            let what = one_of(words, (task.stack, task.awaited), &task.one_of);
            format!("waits for {what}")
        }
        phase => phase.name().to_owned(),
    };
    let line = format!("{long:>8}  {which} {doing}");
    let chain: Vec<_> = task.chain.iter().map(|(_, site)| words.names.site(*site)).collect();
    let inside =
        if chain.is_empty() { String::new() } else { format!(", in {}", chain.join(" > ")) };
    if task.unwakeable {
        let line = format!("{line}{inside}: lost, no waker is left");
        out.wrapped_loud(&line, 10)?;
    } else {
        out.wrapped(&format!("{line}{inside}"), 10)?;
    }
    Ok(())
}

fn print_workers(
    tasks: &AsyncTasks,
    top: usize,
    words: Words<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let title = "Threads (starved: in a long poll while tasks for it were ready)";
    writeln!(out, "\n{}", out.bold(title))?;
    let wall = tasks.to.0.saturating_sub(tasks.from.0);
    let mut table = Table::new(&[
        Column::Name("thread"),
        Column::Number("polls"),
        Column::Number("in polls"),
        Column::Optional("parked", 1),
        Column::Number("starved"),
        Column::Number("longest poll"),
    ]);
    let rows = top.saturating_mul(2);
    for worker in limited(&tasks.workers, rows) {
        table.row([
            words.names.thread(worker.thread),
            units::count(worker.polls),
            units::percent(worker.busy.0, wall),
            units::percent(worker.parked.0, wall),
            units::percent(worker.starved.0, wall),
            units::time(worker.longest),
        ]);
    }
    let table = table.without_empty("parked", "0%");
    out.write_all(table.render(out.width).as_bytes())?;
    more(tasks.workers.len(), rows, out)
}

/// The same; `one of ...` if it may be, or have been, another of these.
fn one_of(words: Words<'_>, one: (StackId, Await), others: &[(StackId, Await)]) -> String {
    let all = std::iter::once(&one).chain(others);
    let all: Vec<_> = all.map(|(stack, what)| awaited(words, &what.name(), *stack)).collect();
    if others.is_empty() { all.concat() } else { format!("one of {}", all.join(", ")) }
}

/// `tokio mutex at app::f (src/app.rs:88)`.
fn awaited(words: Words<'_>, what: &str, stack: StackId) -> String {
    let what = if what == "unknown" { "something" } else { what };
    match place(words, stack).as_str() {
        "" => what.to_owned(),
        place => format!("{what} at {place}"),
    }
}

/// A place in the program's own code; empty if it is not known.
fn place(words: Words<'_>, stack: StackId) -> String {
    words.places.own(stack).map(|place| place.shown()).unwrap_or_default()
}

/// `app::handler (src/app.rs:10)`.
fn site(words: Words<'_>, site: SiteId) -> String {
    let name = words.names.site(site);
    match words.names.place(site).as_str() {
        "" => name,
        place => format!("{name} ({place})"),
    }
}

fn more(count: usize, top: usize, out: &mut Output) -> Result<(), Failure> {
    if top > 0 && count > top {
        let more = units::plural((count - top) as u64, "more", "more");
        writeln!(out, "… and {more}: --top 0")?;
    }
    Ok(())
}
