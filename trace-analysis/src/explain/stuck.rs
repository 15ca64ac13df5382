//! Rules about threads that never went on: a program that hangs has no other finding.

use std::collections::HashSet;

use trace_format::id::{ResourceId, StackId, ThreadId};
use trace_format::time::Nanos;

use super::async_tasks::at_least;
use super::cost::Cost;
use super::locks::lock_word;
use super::words::{Facts, all_of, moment, plural, time};
use super::{Insight, InsightKind};
use crate::reason::{Awaited, Reason};
use crate::report::async_tasks::{AsyncTasks, Phase, Unfinished};
use crate::report::life::{Unended, WaitGroup};

/// So many threads are named, of those in locks and of the others.
const THREADS_SAID: usize = 4;

/// Tasks that wait for this part of the trace's time to its end are told if a thread waits for a
/// future, in thousandths.
const FUTURE_THOUSANDTHS: u64 = 400;

/// The waits of a group that [`in_locks`] reports.
pub(super) fn unended<'a>(
    facts: &Facts<'a>,
    group: &'a WaitGroup,
) -> impl Iterator<Item = &'a Unended> {
    let stacks: HashSet<_> = group.stacks.iter().map(|share| share.of).collect();
    let is_in = move |it: &&Unended| match group.resource {
        ResourceId(0) => stacks.contains(&it.wait.stack),
        resource => it.wait.resource == resource,
    };
    stuck(facts).filter(|it| it.reason == group.reason).filter(is_in)
}

/// Threads that waited for locks to the end of the trace.
pub(super) fn in_locks(facts: &Facts<'_>) -> Option<Insight> {
    let stuck: Vec<_> = stuck(facts).collect();
    if stuck.is_empty() {
        return None;
    }
    let threads: Vec<_> = stuck.iter().map(|it| it.wait.thread).collect();
    let who = facts.threads(&threads);
    let title = match stuck.len() {
        1 => format!(
            "{who} still waited for a {} when the trace stopped, and nobody gave it up: held for \
             ever, or taken twice by one thread",
            lock_word(stuck[0].reason)
        ),
        _ => format!(
            "{who} still waited for locks when the trace stopped, and nobody gave them up: a \
             deadlock, or a lock held for ever"
        ),
    };
    let cost = Cost::of_unended(stuck.iter().copied());
    let mut insight = facts.finding(InsightKind::Stuck, &cost, title);
    // One that waits for a lock waits for it itself; any other may be who holds it.
    let others = facts.lives.unended.iter();
    let others = others.filter(|it| !it.reason.is_lock() && it.stands_out(facts.lives));
    for it in stuck.iter().copied().take(THREADS_SAID).chain(others.take(THREADS_SAID)) {
        insight.evidence.push(waits(facts, it));
    }
    if let Some(more) = stuck.len().checked_sub(THREADS_SAID).filter(|more| *more > 0) {
        let more = plural(more as u64, "more thread waits", "more threads wait");
        insight.evidence.push(format!("{more} for locks"));
    }
    if stuck.iter().any(|it| it.holder.is_none()) && stuck.len() > 1 {
        insight.evidence.push(
            "a thread that takes a free lock leaves no trace of that: where nobody is named, each \
             of these threads may have the lock that another waits for"
                .to_owned(),
        );
    }
    let mut resources = stuck.iter().map(|it| it.wait.resource);
    insight.resource = resources.next().filter(|one| resources.all(|other| other == *one));
    insight.stacks = stuck.iter().map(|it| it.wait.stack).collect();
    insight.at = stuck.iter().map(|it| it.wait.begin).min();
    insight.threads = threads;
    insight.command = "threads".to_owned();
    Some(insight)
}

/// A thread that was in `block_on` to the end, and what its tasks waited for all the time.
pub(super) fn in_block_on(facts: &Facts<'_>, tasks: &AsyncTasks) -> Option<Insight> {
    let open = facts.lives.unended.iter().filter(|it| it.reason == Reason::Future);
    let open = open.filter(|it| it.is_long(facts.lives)).max_by_key(|it| it.wait.duration)?;
    let since = |task: &Unfinished| task.since.until(tasks.to);
    let waiting = tasks.unfinished.iter().filter(|task| {
        let is_idle = task.phase == Phase::Idle && !task.unwakeable;
        is_idle && holds_up(task) && facts.is_worth(since(task), FUTURE_THOUSANDTHS)
    });
    let mut waiting: Vec<_> = waiting.collect();
    waiting.sort_by_key(|task| (std::cmp::Reverse(since(task)), task.task));
    let first = *waiting.first()?;
    let (who, long) = (facts.thread(open.wait.thread), time(open.wait.duration));
    let (task, what) = (facts.site(first.site), facts.awaited_by(first));
    let title = format!(
        "{who} still waited for a future when the trace stopped, for {long}, and {task} for {what}"
    );
    let cost = Cost::of_unfinished(waiting.iter().copied());
    let mut insight = facts.finding(InsightKind::CriticalPath, &cost, title);
    for task in waiting.iter().take(THREADS_SAID) {
        let (who, id, what) = (facts.site(task.site), task.task.0, facts.awaited_by(task));
        let path = task.chain.iter().map(|(_, site)| facts.site(*site));
        let path: Vec<_> = path.collect();
        let path = match path.as_slice() {
            [] => String::new(),
            inner => format!(", in {}", inner.join(" in ")),
        };
        let (from, long) = (moment(task.since), time(since(task)));
        let line = format!("task {id} ({who}) waits for {what}{path}, since {from}, for {long}");
        insight.evidence.push(line);
    }
    if let Some(more) = waiting.len().checked_sub(THREADS_SAID).filter(|more| *more > 0) {
        insight.evidence.push(at_least(tasks, plural(more as u64, "more task", "more tasks")));
    }
    insight.threads = vec![open.wait.thread];
    insight.stacks = waiting.iter().take(THREADS_SAID).map(|task| task.stack).collect();
    insight.stacks.push(open.wait.stack);
    insight.stacks.retain(|stack| *stack != StackId(0));
    insight.at = Some(first.since);
    insight.command = "async".to_owned();
    Some(insight)
}

/// Whether what a task waits for may hold up others. Work to come, the world and time do not, and
/// locks have a rule of their own. Who waits at one of several places may rest at any of them.
fn holds_up(task: &Unfinished) -> bool {
    use Awaited::{Barrier, ChannelSend, File, Join, Oneshot, Pipe, Process};
    all_of(task.awaited, &task.one_of)
        .all(|it| matches!(it, Barrier | ChannelSend | File | Join | Oneshot | Pipe | Process))
}

fn stuck<'a>(facts: &Facts<'a>) -> impl Iterator<Item = &'a Unended> {
    let lives = facts.lives;
    lives.unended.iter().filter(|it| it.reason.is_lock() && it.is_long(lives))
}

/// `worker waits for mutex 0x1234 at app::f (src/app.rs:13), since 0.051 s, for 1.95 s`.
fn waits(facts: &Facts<'_>, it: &Unended) -> String {
    let wait = &it.wait;
    let what = match it.reason {
        Reason::Join => "another thread to end".to_owned(),
        reason if reason.is_lock() => {
            format!("{} {}", lock_word(reason), facts.resource(wait.resource))
        }
        reason => reason.name().to_owned(),
    };
    let (name, at) = (facts.thread(wait.thread), facts.at(wait.stack));
    let (what, since, long) = (what.trim_end(), moment(wait.begin), time(wait.duration));
    let held = it.holder.map_or(String::new(), |holder| held_by(facts, it, holder));
    format!("{name} waits for {what}{at}, since {since}, for {long}{held}")
}

/// `; clerk has had it since 0.050 s, taken at app::g (src/app.rs:20)`.
fn held_by(facts: &Facts<'_>, it: &Unended, (thread, since): (ThreadId, Nanos)) -> String {
    let waits = facts.lives.long_waits(thread);
    let mut waits = waits.iter().filter(|wait| wait.resource == it.wait.resource);
    // It took the lock where it had waited for that.
    let taken = waits.rfind(|wait| wait.end() == since);
    let at = taken.map_or(String::new(), |wait| facts.at(wait.stack));
    let at = if at.is_empty() { at } else { format!(", taken{at}") };
    format!("; {} has had it since {}{at}", facts.thread(thread), moment(since))
}
