//! `exectrace async`: what kept executors' threads, what async tasks waited for, and which of them
//! are stuck.
//!
//! What to mend first comes first: a poll that blocks its worker hurts every task, and a lock that
//! is held across an await hurts the tasks that want it. Only then it matters which spawn site does
//! what.

use std::io::Write;

use trace_analysis::async_tasks::{
    AsyncHolder, AsyncTasks, AwaitGroup, LONG_POLL, LongPoll, Phase, SpawnSite,
};
use trace_analysis::reason::Await;
use trace_format::id::{CallId, StackId};

use super::blocked::shares;
use super::table::{Column, Table};
use super::{late, print_more, print_table};
use crate::answer::async_tasks::{AsyncAnswer, PollGroup, StuckGroup, own_place as place};
use crate::answer::limited;
use crate::error::Failure;
use crate::label::{Labels, call, units};
use crate::output::{Output, say};

/// Prints what async tasks did.
///
/// # Errors
/// If it can't be written.
pub fn print(answer: &AsyncAnswer, out: &mut Output) -> Result<(), Failure> {
    let tasks = &answer.tasks;
    if tasks.is_empty() {
        say(&nothing(answer));
        return Ok(());
    }
    let names = answer.subject.names();
    let labels = answer.subject.labels(&names);
    out.wrapped(&head(answer), 2)?;
    print_polls(answer, labels, out)?;
    print_waits(answer, labels, out)?;
    print_sites(tasks, answer.ask.top, labels, out)?;
    print_stuck(answer, labels, out)?;
    print_workers(answer, labels, out)
}

fn nothing(answer: &AsyncAnswer) -> String {
    match &answer.ask.site {
        Some(site) if answer.has_others() => {
            let site = trace_export::label::escape::plain(site, 80);
            format!("no spawn site is called `{site}`; without --site all are shown")
        }
        _ if AsyncTasks::are_in(&answer.subject.reading.file) => {
            "the trace has no async tasks here".to_owned()
        }
        _ => "the trace has no async tasks here; were they spawned with `exectrace::tokio::spawn` \
              or traced with `.traced(name)`?"
            .to_owned(),
    }
}

/// How much there was of everything.
fn head(answer: &AsyncAnswer) -> String {
    let (totals, tasks) = (&answer.totals, &answer.tasks);
    let count = units::plural(totals.count, "async task", "async tasks");
    let alive = format!("{} alive at the end", units::count(totals.alive));
    let polls = units::plural(totals.polls, "poll", "polls");
    let [busy, ready, idle] = [totals.busy, totals.ready, totals.idle].map(units::time);
    let threads = units::plural(tasks.workers.len() as u64, "thread", "threads");
    // A task moves between threads; a poll belongs to one thread.
    let mut text = if answer.subject.reading.threads.is_all() {
        format!("{count}, {alive}, {polls}, busy {busy}, ready {ready}, idle {idle}, on {threads}")
    } else {
        format!(
            "{count} of all threads, {alive}, idle {idle}; {polls}, busy {busy}, ready {ready}, \
             on {threads}"
        )
    };
    if tasks.untracked > 0 {
        let more = units::plural(tasks.untracked, "future", "futures");
        text.push_str(&format!("; {more} more, too many at once, left out"));
    }
    text
}

/// Prints the polls that kept their threads longest; those of one place are one entry.
fn print_polls(answer: &AsyncAnswer, labels: Labels<'_>, out: &mut Output) -> Result<(), Failure> {
    let (blocking, in_place) = (answer.long_polls_blocking(), answer.long_polls_in_place);
    if blocking == 0 {
        writeln!(out, "{}", none_blocked(answer))?;
    }
    let (given_way, blocked): (Vec<_>, Vec<_>) =
        answer.long_polls.iter().partition(|group| group.gives_way());
    if blocking > 0 {
        let many = units::plural(blocking, "poll", "polls");
        let title = format!("Blocked workers: {many} of {} or more", units::time(LONG_POLL));
        writeln!(out, "\n{}", out.bold(&title))?;
        if blocked.is_empty() {
            writeln!(
                out,
                "(none of them is among the longest, which are kept; --from and --to show less)"
            )?;
        }
    }
    for group in blocked {
        print_poll(group, answer.has_cpus, labels, out)?;
    }
    if in_place > 0 {
        let many = units::plural(in_place, "long poll", "long polls");
        let title = format!("In block_in_place: {many}, another worker had the other tasks");
        writeln!(out, "\n{}", out.bold(&title))?;
    }
    for group in given_way {
        print_poll(group, answer.has_cpus, labels, out)?;
    }
    Ok(print_more(out, answer.long_polls_omitted, "--top 0")?)
}

/// Why no worker was blocked.
fn none_blocked(answer: &AsyncAnswer) -> String {
    let limit = units::time(LONG_POLL);
    if answer.long_polls_in_place > 0 {
        return format!("no worker was blocked: no poll outside of block_in_place took {limit}");
    }
    let longest = answer.longest_poll;
    let longest = longest.map(|poll| format!(": the longest took {}", units::time(poll)));
    format!("no worker was blocked: no poll took {limit}{}", longest.unwrap_or_default())
}

fn print_poll(
    group: &PollGroup,
    has_cpus: bool,
    labels: Labels<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let poll = &group.longest;
    let (long, who) = (units::time(poll.duration), labels.names.site_at(poll.site));
    let (thread, at) = (labels.names.thread(poll.thread), units::since(poll.begin));
    let over = if poll.ended { "" } else { ", not over at the end" };
    let times = match group.count {
        1 => String::new(),
        // Only the longest polls of each spawn site are kept.
        more => format!(", and so did {} more of its longest polls", units::count(more as u64 - 1)),
    };
    let line = format!("{long:>8}  {who} kept {thread} from {at} on{over}{times}");
    if group.gives_way() {
        out.wrapped(&line, 10)?;
    } else {
        out.wrapped_loud(&line, 10)?;
        if group.is_in_place {
            writeln!(out, "{:10}in block_in_place, and yet others waited for it", "")?;
        }
    }
    let meanwhile = doing(poll, labels);
    if !meanwhile.is_empty() {
        out.wrapped(&format!("{:10}{meanwhile}", ""), 12)?;
    }
    let half = poll.chain.iter().filter(|link| link.duration.0 >= poll.duration.0 / 2);
    let chain: Vec<_> = half
        .map(|link| format!("{} {}", labels.names.site(link.site), units::time(link.duration)))
        .collect();
    if !chain.is_empty() {
        out.wrapped(&format!("{:10}inside: {}", "", chain.join(" > ")), 12)?;
    }
    if let Some((who, most)) = group.delayed_most {
        let times = units::plural(group.delayed, "time", "times");
        let (who, most) = (labels.names.site(who), units::time(most));
        let them = if group.count == 1 { "it" } else { "them" };
        let line =
            format!("{:10}{times} a ready task waited behind {them}: {who} for {most} at most", "");
        out.wrapped(&line, 12)?;
    }
    if let Some((who, most)) = group.held_up_most {
        let times = units::plural(group.held_up, "time", "times");
        let (who, most) = (labels.names.site(who), units::time(most));
        let them = if group.count == 1 { "it" } else { "them" };
        let line = format!(
            "{:10}{times} a task was woken only after {them}, as no thread was left to do so: \
             {who}, up to {most} late",
            ""
        );
        out.wrapped(&line, 12)?;
    }
    if !has_cpus && meanwhile.is_empty() {
        let line = "what it did is not known: record with the features `os` and `sched`";
        writeln!(out, "{:10}{line}", "")?;
    }
    Ok(())
}

/// `sleep 99%, in clock_nanosleep at app::query (src/app.rs:12)`.
fn doing(poll: &LongPoll, labels: Labels<'_>) -> String {
    let Some(doing) = &poll.activity else { return String::new() };
    let mut text = shares(&doing.times).join(", ");
    let culprit = place(labels, poll.culprit());
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

/// Prints where tasks were idle, and which task held what they waited for.
fn print_waits(answer: &AsyncAnswer, labels: Labels<'_>, out: &mut Output) -> Result<(), Failure> {
    if answer.tasks.waits.is_empty() {
        return Ok(());
    }
    let total = units::time(answer.totals.waited);
    let title = format!("What tasks waited for: idle {total}");
    writeln!(out, "\n{}", out.bold(&title))?;
    for group in &answer.tasks.waits {
        print_wait(group, labels, out)?;
    }
    print_more(out, answer.waits_omitted, "--top 0")?;
    if answer.tasks.late_parties > 0 {
        let count = units::plural(answer.tasks.late_parties, "wait", "waits");
        let line = format!(
            "(of {count} it is not said who woke the task or held the lock: too many others did; \
             --from and --to show less at a time)"
        );
        out.wrapped(&line, 2)?;
    }
    if let Some(line) = late(answer.tasks.late_waits, "waits") {
        out.wrapped(&line, 2)?;
    }
    Ok(())
}

/// What tasks waited for, and which: `tokio mutex at app::work (src/main.rs:41), of tasks worker`.
#[must_use]
pub fn wait_subject(group: &AwaitGroup, labels: Labels<'_>) -> String {
    let what = one_of(labels, (group.stack, group.awaited), &group.one_of);
    format!("{what}, of async tasks {}", labels.names.site(group.site))
}

fn print_wait(group: &AwaitGroup, labels: Labels<'_>, out: &mut Output) -> Result<(), Failure> {
    let (total, who) = (units::time(group.total), labels.names.site(group.site));
    let what = one_of(labels, (group.stack, group.awaited), &group.one_of);
    let spread = &group.quantiles;
    let times = units::plural(group.count, "time", "times");
    let (p99, max) = (units::time(spread.p99), units::time(spread.max));
    let mut line = format!("{total:>8}  {who} waited for {what}, {times}, p99 {p99}, max {max}");
    if group.waiting > 0 {
        line.push_str(&format!(", {} at the end", units::count(group.waiting)));
    }
    out.wrapped(&line, 10)?;
    if let Some(holder) = group.holders.first() {
        return print_holder(holder, labels, out);
    }
    let Some(waker) = group.wakers.first() else { return Ok(()) };
    let (by, stack) = waker.of;
    let by = match by {
        Some(by) => labels.names.site(by),
        None => "a thread outside of any task".to_owned(),
    };
    let place = place(labels, stack);
    let place = if place.is_empty() { place } else { format!(" at {place}") };
    let share = units::percent(waker.total.0, group.total.0);
    out.wrapped(&format!("{:10}woken by {by}{place}: {share} of it", ""), 12)?;
    Ok(())
}

fn print_holder(holder: &AsyncHolder, labels: Labels<'_>, out: &mut Output) -> Result<(), Failure> {
    let (who, held) = (labels.names.site_at(holder.site), units::time(holder.held_max));
    let released = place(labels, holder.stack);
    let released = if released.is_empty() { released } else { format!(", released at {released}") };
    let line = format!("{:10}held by {who} up to {held} (task {}){released}", "", holder.task.0);
    out.wrapped(&line, 12)?;
    if holder.idle.0 >= holder.held.0 / 2 {
        let (share, all) = (units::percent(holder.idle.0, holder.held.0), units::time(holder.held));
        let what = awaited(labels, &holder.idle_awaited.name(), holder.idle_stack);
        let line = format!(
            "{:10}held across an await: for {share} of {all} in all it waited for {what}",
            ""
        );
        out.wrapped_loud(&line, 12)?;
    }
    Ok(())
}

fn print_sites(
    tasks: &AsyncTasks,
    top: usize,
    labels: Labels<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let title = "Async tasks by spawn site (ready: woken and not yet polled; idle: not woken)";
    writeln!(out, "\n{}", out.bold(title))?;
    // A table's rows are cheap.
    let rows = top.saturating_mul(2);
    let shown = limited(&tasks.sites, rows);
    print_table(out, table(shown, labels))?;
    Ok(print_more(out, tasks.sites.len() - shown.len(), "--top 0")?)
}

/// A row for each spawn site.
fn table(sites: &[SpawnSite], labels: Labels<'_>) -> Table {
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
        let ended = units::sum([it.returned, it.failed, it.dropped, it.panicked, it.ended]);
        let mark = if it.spawned { "" } else { " (awaited)" };
        let own = labels.names.place_beside(it.site);
        table.row([
            format!("{}{mark}", labels.names.site(it.site)),
            own.rsplit('/').next().unwrap_or_default().to_owned(),
            units::count(it.count),
            units::count(it.alive),
            units::count(it.alive_max),
            units::count(it.polls),
            units::time(it.busy),
            units::time_of(it.polls, it.poll.p99),
            // A poll that has not ended may be the longest.
            units::time_of(it.polls.max(it.poll.max.0), it.poll.max),
            // A time ready that no poll ended may be the longest, or the only one.
            units::time_of(it.ready.p99.0, it.ready.p99),
            units::time_of(it.ready.max.0, it.ready.max),
            units::time(it.idle),
            units::time_of(ended, it.life.p50),
            units::count(it.failed),
            units::count(it.dropped),
            units::count(it.panicked),
            units::count(it.wakes),
            units::count(it.futile_wakes),
            units::count(it.self_wakes),
        ]);
    }
    let table = table.without_empty("where", "");
    let rare = ["failed", "cancelled", "panicked", "wakes", "futile", "self"];
    rare.into_iter().fold(table, |table, title| table.without_empty(title, "0"))
}

/// Prints unfinished tasks, those that are most worth a look first.
fn print_stuck(answer: &AsyncAnswer, labels: Labels<'_>, out: &mut Output) -> Result<(), Failure> {
    let limit = units::time(answer.ask.idle);
    if answer.stuck.is_empty() {
        writeln!(out, "no unfinished task has waited for {limit}")?;
        return Ok(());
    }
    let many = units::plural(answer.tasks.unfinished.len() as u64, "task", "tasks");
    let title = format!("Unfinished: {many} waited for {limit} or longer at the end");
    writeln!(out, "\n{}", out.bold(&title))?;
    for group in &answer.stuck {
        print_unfinished(&answer.tasks, group, labels, out)?;
    }
    Ok(print_more(out, answer.stuck_omitted, "--top 0")?)
}

fn print_unfinished(
    tasks: &AsyncTasks,
    group: &StuckGroup,
    labels: Labels<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let task = &group.longest;
    let long = units::time(task.since.until(tasks.to));
    let (who, id) = (labels.names.site(task.site), task.task.0);
    let which = match group.count {
        1 => format!("{who} (task {id})"),
        more => format!("{} of {who} (task {id}, …)", units::count(more as u64)),
    };
    let doing = match task.phase {
        Phase::Idle => {
            let what = one_of(labels, (task.stack, task.awaited), &task.one_of);
            format!("waits for {what}")
        }
        phase => phase.name().to_owned(),
    };
    let line = format!("{long:>8}  {which} {doing}");
    let chain: Vec<_> = task.chain.iter().map(|(_, site)| labels.names.site(*site)).collect();
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
    answer: &AsyncAnswer,
    labels: Labels<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let title = "Threads (starved: in a long poll while tasks for it were ready)";
    writeln!(out, "\n{}", out.bold(title))?;
    let wall = answer.subject.wall().0;
    let mut table = Table::new(&[
        Column::Name("thread"),
        Column::Number("polls"),
        Column::Number("in polls"),
        Column::Optional("parked", 1),
        Column::Number("starved"),
        Column::Number("longest poll"),
    ]);
    let workers = &answer.tasks.workers;
    let shown = limited(workers, answer.ask.top.saturating_mul(2));
    for worker in shown {
        table.row([
            labels.names.thread(worker.thread),
            units::count(worker.polls),
            units::percent(worker.busy.0, wall),
            units::percent(worker.parked.0, wall),
            units::percent(worker.starved.0, wall),
            units::time(worker.longest),
        ]);
    }
    print_table(out, table.without_empty("parked", "0%"))?;
    Ok(print_more(out, workers.len() - shown.len(), "--top 0")?)
}

/// What is awaited; `one of ...` if it may be, or have been, another of these.
fn one_of(labels: Labels<'_>, one: (StackId, Await), others: &[(StackId, Await)]) -> String {
    let all = std::iter::once(&one).chain(others);
    let all: Vec<_> = all.map(|(stack, what)| awaited(labels, &what.name(), *stack)).collect();
    if others.is_empty() { all.concat() } else { format!("one of {}", all.join(", ")) }
}

/// `tokio mutex at app::f (src/app.rs:88)`.
fn awaited(labels: Labels<'_>, what: &str, stack: StackId) -> String {
    let what = if what == "unknown" { "something" } else { what };
    match place(labels, stack).as_str() {
        "" => what.to_owned(),
        place => format!("{what} at {place}"),
    }
}
