//! Rules about async tasks: workers that are blocked, locks that are held across awaits, tasks that
//! wait too long, for ever, or not at all.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use trace_format::id::{CallId, SiteId, StackId, ThreadId};
use trace_format::time::Nanos;

use super::cost::Cost;
use super::words::{Facts, all_of, count, holds, is_part, moment, percent, plural, time};
use super::{Insight, InsightKind, MEASURED_MAX};
use crate::reason::Awaited;
use crate::report::async_tasks::{
    AsyncHolder, AsyncTasks, AwaitGroup, Idle, LONG_POLL, LongPoll, Phase, SpawnSite,
    UNFINISHED_MAX, Unfinished,
};
use crate::report::life::{Activity, saturating_sum};
use crate::spans::{Span, common, length, union};

/// Long polls cost something from this part of the trace's time on, in thousandths.
const BLOCKED_THOUSANDTHS: u64 = 20;

/// Tasks that wait for one lock: many do at once, so this is less than it sounds. Where the holder
/// was idle meanwhile, less is worth a word: it can be helped.
const LOCK_THOUSANDTHS: u64 = 200;
const ACROSS_THOUSANDTHS: u64 = 20;

/// Tasks that are ready wait for a worker: from this part of the trace's time on, in thousandths,
/// and from this time of one in a hundred on.
const READY_THOUSANDTHS: u64 = 100;
const READY_P99_MIN: u64 = 1_000_000;

/// Workers that are in polls for this part of the time, in per cents, have enough to do.
const BUSY_PERCENT: u64 = 50;

/// That there was no CPU is why, if that explains this part of the time, in per cents.
const NO_CPU_PERCENT: u64 = 50;

/// What is ready, or waits for a lock, for so long when the trace stops may do so for ever: in
/// nanoseconds, and in thousandths of the trace's time.
const STUCK_NANOS: u64 = 200_000_000;
const STUCK_THOUSANDTHS: u64 = 50;

/// Fewer wakes than this are no loop.
const BUSY_WAKES_MIN: u64 = 1_000;

/// Polls that do nothing cost something from this part of the trace's time on, in thousandths.
const BUSY_THOUSANDTHS: u64 = 20;

/// So many parties are named.
const SAID: usize = 3;

/// All that is said of async tasks.
pub(super) fn all(facts: &Facts<'_>, tasks: &AsyncTasks) -> Vec<Insight> {
    let mut insights = blocked_workers(facts, tasks);
    insights.extend(locks(facts, tasks));
    insights.extend(stuck(facts, tasks));
    insights.extend(slow_ready(facts, tasks));
    insights.extend(never_on(facts, tasks));
    insights.extend(busy_wakers(facts, tasks));
    insights
}

/// Polls that kept their threads from polling others.
fn blocked_workers(facts: &Facts<'_>, tasks: &AsyncTasks) -> Vec<Insight> {
    let mut alike: BTreeMap<(SiteId, String), Vec<&LongPoll>> = BTreeMap::new();
    for poll in tasks.polls.iter().filter(|poll| poll.duration >= LONG_POLL) {
        alike.entry((poll.site, facts.own_at(poll.culprit()))).or_default().push(poll);
    }
    alike.into_values().filter_map(|polls| blocked(facts, tasks, &polls)).collect()
}

fn blocked(facts: &Facts<'_>, tasks: &AsyncTasks, polls: &[&LongPoll]) -> Option<Insight> {
    let worst = *polls.first()?;
    let culprit = worst.culprit();
    let behind = BehindPolls::of(tasks, polls);
    let (total, delayed) = (behind.total, behind.delayed_total);
    let doing = worst.activity.unwrap_or_default();
    // Without switches nobody knows whether a thread was on a CPU in a call that does not wait.
    let is_known = !facts.lives.cpus.is_empty() || !facts.never_blocks(doing.slow_stack);
    let in_calls = if is_known { doing.times.in_calls.0 } else { 0 };
    let waited = doing.times.blocked().0.saturating_add(in_calls);
    let is_blocked = waited >= worst.duration.0 / 2;
    let lost = Nanos(total.max(delayed));
    // Whoever computes while nobody waits does no harm.
    let is_in_place = facts.blocks_in_place(culprit);
    let is_harm = is_blocked && !is_in_place || delayed > 0 || behind.held_up > 0;
    if !facts.is_worth(lost, BLOCKED_THOUSANDTHS) || !is_harm {
        return None;
    }
    let (who, thread) = (facts.site(worst.site), facts.thread(worst.thread));
    let long = time(worst.duration);
    let verb = if worst.ended { "kept" } else { "still keeps" };
    let what = what(facts, &doing, culprit);
    let title = format!("a poll of {who} {verb} {thread} for {long}{what}");
    let kept = Cost::of_polls(polls.iter().copied());
    let others = behind.total.saturating_sub(kept.together());
    let cost = kept.and_site(worst.site, others);
    let mut insight = facts.finding(InsightKind::BlockedWorker, &cost, title);
    if let Some(site) = tasks.sites.iter().find(|it| it.site == worst.site && it.long_polls > 1) {
        let (longer, all) = (count(site.long_polls), time(site.long_total));
        let limit = time(LONG_POLL);
        insight.evidence.push(format!("{longer} of its polls took longer than {limit}: {all}"));
    }
    insight.evidence.extend(delays(facts, polls, &behind));
    insight.evidence.extend(held_up(facts, polls, &behind));
    if let Some(link) = worst.chain.last().filter(|it| it.duration.0 >= worst.duration.0 / 2) {
        let (site, long) = (facts.site(link.site), time(link.duration));
        insight.evidence.push(format!("{long} of it inside {site}"));
    }
    let when = moment(worst.begin);
    let advice = advice(facts, worst, culprit);
    insight.evidence.push(format!("the longest poll began at {when}; {advice}"));
    insight.threads = vec![worst.thread];
    insight.stacks = [culprit].into_iter().filter(|stack| *stack != StackId(0)).collect();
    insight.call = Some(doing.slow_call).filter(|call| *call != CallId(0));
    insight.at = Some(worst.begin);
    insight.command = "async".to_owned();
    Some(insight)
}

/// What to do about a long poll.
fn advice(facts: &Facts<'_>, poll: &LongPoll, culprit: StackId) -> String {
    let ready = poll.activity.unwrap_or_default().times.ready;
    if facts.blocks_in_place(culprit) {
        return "it was in block_in_place, which gives the other tasks to another worker"
            .to_owned();
    }
    if is_part(ready.0, poll.duration.0, NO_CPU_PERCENT) {
        let rest = time(Nanos(poll.duration.0.saturating_sub(ready.0)));
        return format!("with a CPU all the time it would have taken {rest}");
    }
    if facts.lives.cpus.is_empty() && facts.never_blocks(culprit) {
        return "that call does not wait, and without switches nobody knows whether the thread \
                had a CPU: record them"
            .to_owned();
    }
    "move work that blocks to spawn_blocking, or to a thread of its own".to_owned()
}

/// `: sleep for 99% of it, in clock_nanosleep at app::f (src/app.rs:12)`.
pub(super) fn what(facts: &Facts<'_>, doing: &Activity, culprit: StackId) -> String {
    let (times, whole) = (&doing.times, doing.times.total().0);
    let mut parts = vec![(times.running, "running"), (times.in_calls, "in calls")];
    parts.extend([(times.ready, "without a CPU"), (times.unknown, "in no recorded call")]);
    parts.extend(times.reasons().into_iter().map(|(reason, time)| (time, reason.name())));
    let Some((most, word)) = parts.into_iter().max_by_key(|(time, _)| *time) else {
        return String::new();
    };
    if most.0 == 0 {
        return String::new();
    }
    let share = percent(most.0, whole);
    let call = doing.slow_call.info().filter(|_| doing.is_slow_call());
    let call = call.map_or(String::new(), |info| format!(", in {}", info.name));
    format!(": {word} for {share} of it{call}{}", facts.own_at(culprit))
}

/// What long polls that are alike took, and what waited behind them.
#[derive(Debug)]
struct BehindPolls {
    total: u64,
    delayed: u64,
    delayed_total: u64,
    held_up: u64,
}

impl BehindPolls {
    fn of(tasks: &AsyncTasks, polls: &[&LongPoll]) -> Self {
        let sum = |of: fn(&LongPoll) -> u64| saturating_sum(polls.iter().map(|poll| of(poll)));
        let total = sum(|poll| poll.duration.0);
        // Of each spawn site only the longest are kept; if these are alike, so are the others.
        let is_of = |poll: &&LongPoll| poll.site == polls[0].site && poll.duration >= LONG_POLL;
        let kept = tasks.polls.iter().filter(is_of).count();
        let mut sites = tasks.sites.iter().filter(|site| site.site == polls[0].site);
        match (sites.next(), sites.next()) {
            (Some(site), None) if kept == polls.len() => Self {
                total: total.max(site.long_total.0),
                delayed: site.delayed,
                delayed_total: site.delayed_total.0,
                held_up: site.held_up,
            },
            _ => Self {
                total,
                delayed: sum(|poll| poll.delayed),
                delayed_total: sum(|poll| poll.delayed_total.0),
                held_up: sum(|poll| poll.held_up),
            },
        }
    }
}

/// Who waited behind long polls.
fn delays(facts: &Facts<'_>, polls: &[&LongPoll], behind: &BehindPolls) -> Option<String> {
    let most = polls.iter().filter_map(|poll| poll.delayed_most).max_by_key(|most| most.2)?;
    let (who, long) = (facts.site(most.1), time(most.2));
    let (times, all) = (plural(behind.delayed, "time", "times"), time(Nanos(behind.delayed_total)));
    Some(format!("{times} a ready task waited behind it, {all} in all: up to {long}, {who}"))
}

/// What could be woken only after long polls.
fn held_up(facts: &Facts<'_>, polls: &[&LongPoll], behind: &BehindPolls) -> Option<String> {
    let most = polls.iter().filter_map(|poll| poll.held_up_most).max_by_key(|most| most.2)?;
    let (who, long) = (facts.site(most.1), time(most.2));
    let times = plural(behind.held_up, "time", "times");
    Some(format!(
        "{times} a task was woken only after it, as it kept all threads that see to timers and \
         sockets: up to {long} late, {who}"
    ))
}

/// Locks that tasks waited for, and what their holders did.
fn locks(facts: &Facts<'_>, tasks: &AsyncTasks) -> Vec<Insight> {
    // Of a task that may have waited for something else no holder is to blame.
    let is_locked = |it: &&AwaitGroup| it.awaited.awaited.is_lock() && it.one_of.is_empty();
    let groups = tasks.waits.iter().filter(is_locked);
    groups.take(MEASURED_MAX).filter_map(|group| lock(facts, tasks, group)).collect()
}

/// `12.0 ms`; `at least 12.0 ms` of one that was not over at the end of what was read.
fn took(tasks: &AsyncTasks, idle: &Idle) -> String {
    let is_open = idle.begin.until(tasks.to) <= idle.duration;
    let long = time(idle.duration);
    if is_open && idle.waker.is_none() { format!("at least {long}") } else { long }
}

fn lock(facts: &Facts<'_>, tasks: &AsyncTasks, group: &AwaitGroup) -> Option<Insight> {
    let across = group.holders.iter().find(|holder| {
        holder.idle.0 >= holder.held.0 / 2 && facts.is_worth(holder.held, ACROSS_THOUSANDTHS)
    });
    if across.is_none() && !facts.is_worth(group.total, LOCK_THOUSANDTHS) {
        return None;
    }
    // Without a release there is nobody to blame; `stuck` tells of it.
    let holder = across.or(group.holders.first())?;
    let (who, what) = (facts.site(group.site), group.awaited.name());
    let (waited, times) = (time(group.total), plural(group.count, "time", "times"));
    let at = facts.own_at(group.stack);
    let by = facts.site(holder.site);
    let (kind, why) = match across {
        Some(holder) => {
            let (thing, there) = (holder.idle_awaited.name(), facts.own_at(holder.idle_stack));
            let why = format!(", while {by} held it across an await: for {thing}{there}");
            (InsightKind::LockAcrossAwait, why)
        }
        None => (InsightKind::LockContention, format!(", held by {by}")),
    };
    let title = format!("{who} waited {waited} for a {what}, {times}{at}{why}");
    let mut insight = facts.finding(kind, &Cost::of_idles(group), title);
    insight.evidence = group.holders.iter().take(SAID).map(|it| held_by(facts, it)).collect();
    let (p50, p99) = (time(group.quantiles.p50), time(group.quantiles.p99));
    insight.evidence.push(format!("half of the waits took up to {p50}, 99 in 100 up to {p99}"));
    if let Some(idle) = group.longest.first() {
        let (task, long, when) = (idle.task.0, took(tasks, idle), moment(idle.begin));
        insight.evidence.push(format!("the longest took {long}: task {task}, from {when} on"));
        insight.at = Some(idle.begin);
    }
    insight.stacks = vec![holder.idle_stack, holder.stack, group.stack];
    insight.stacks.retain(|stack| *stack != StackId(0));
    insight.command = "async".to_owned();
    Some(insight)
}

/// `writer gave it up at app::f (src/app.rs:70); 12 holds, 120 ms at most and 1.10 s in all, the
/// longest by task 7: idle for 95%, waiting for tokio timer at app::g (src/app.rs:9)`.
fn held_by(facts: &Facts<'_>, holder: &AsyncHolder) -> String {
    let (who, at) = (facts.site(holder.site), facts.own_at(holder.stack));
    let holds = holds(holder.count, holder.held_max, holder.held);
    let which = if holder.count > 1 { ", the longest" } else { "," };
    let mut line = format!("{who} gave it up{at}; {holds}{which} by task {}", holder.task.0);
    if holder.idle.0 > 0 {
        let (idle, what) = (percent(holder.idle.0, holder.held.0), holder.idle_awaited.name());
        line +=
            &format!(": idle for {idle}, waiting for {what}{}", facts.own_at(holder.idle_stack));
    }
    line
}

/// Tasks that wait for locks to the end of the trace.
fn stuck(facts: &Facts<'_>, tasks: &AsyncTasks) -> Option<Insight> {
    let stuck: Vec<_> = tasks
        .unfinished
        .iter()
        .filter(|task| task.phase == Phase::Idle)
        .filter(|task| all_of(task.awaited, &task.one_of).all(Awaited::is_lock))
        .filter(|task| !task.unwakeable && is_long(facts, task))
        .collect();
    if stuck.is_empty() {
        return None;
    }
    let who = facts.sites(stuck.iter().map(|task| task.site));
    let tell = at_least(tasks, plural(stuck.len() as u64, "async task", "async tasks"));
    let title = format!(
        "{tell} ({who}) still waited for locks when the trace stopped, and nobody gave those up: a \
         deadlock, or a lock held for ever"
    );
    let number = stuck.len() as u64;
    Some(unfinished(facts, tasks, (InsightKind::Stuck, title), (&stuck, number)))
}

/// Tasks that nobody can wake any more.
fn never_on(facts: &Facts<'_>, tasks: &AsyncTasks) -> Option<Insight> {
    let lost: Vec<_> = tasks.unfinished.iter().filter(|task| task.unwakeable).collect();
    let number = saturating_sum(tasks.sites.iter().map(|site| site.unwakeable));
    if number == 0 {
        return None;
    }
    // All are counted, and not all are kept: perhaps none.
    let others = tasks.sites.iter().filter(|site| site.unwakeable > 0).map(|site| site.site);
    let who = facts.sites(lost.iter().map(|task| task.site).chain(others));
    let tell = plural(number, "async task", "async tasks");
    let title = format!(
        "{tell} ({who}) can't go on: pending, not woken, and no waker of {} is left",
        if number == 1 { "it" } else { "theirs" }
    );
    Some(unfinished(facts, tasks, (InsightKind::LeakedTasks, title), (&lost, number)))
}

/// Of tasks that had not ended the oldest are kept: where there is no room for more, more may wait.
pub(super) fn at_least(tasks: &AsyncTasks, what: String) -> String {
    let is_full = tasks.unfinished.len() >= UNFINISHED_MAX;
    if is_full { format!("at least {what}") } else { what }
}

/// - `which`: those that are kept, of `number` that the title counts.
fn unfinished(
    facts: &Facts<'_>,
    tasks: &AsyncTasks,
    (kind, title): (InsightKind, String),
    (which, number): (&[&Unfinished], u64),
) -> Insight {
    let since = |task: &Unfinished| task.since.until(tasks.to).0;
    let cost = Cost::of_unfinished(which.iter().copied());
    let mut insight = facts.finding(kind, &cost, title);
    for task in which.iter().take(SAID) {
        let (who, id, what) = (facts.site(task.site), task.task.0, facts.awaited_by(task));
        let (from, long) = (moment(task.since), time(Nanos(since(task))));
        let line = format!("task {id} ({who}) waits for {what}, since {from}, for {long}");
        insight.evidence.push(line);
    }
    let named = which.len().min(SAID) as u64;
    match number.saturating_sub(named) {
        0 => {}
        more if named > 0 => insight.evidence.push(format!("{} more", count(more))),
        _ => {
            let kept = count(UNFINISHED_MAX as u64);
            insight.evidence.push(format!("they are not among the {kept} that waited longest"));
        }
    }
    insight.stacks = which.iter().take(SAID).map(|task| task.stack).collect();
    insight.stacks.retain(|stack| *stack != StackId(0));
    insight.at = which.first().map(|task| task.since);
    insight.command = "async".to_owned();
    insight
}

fn is_long(facts: &Facts<'_>, task: &Unfinished) -> bool {
    let long = task.since.until(task.known_to);
    long.0 >= STUCK_NANOS && facts.is_worth(long, STUCK_THOUSANDTHS)
}

/// Tasks that could go on and had no worker.
fn slow_ready(facts: &Facts<'_>, tasks: &AsyncTasks) -> Option<Insight> {
    let forgotten: Vec<_> = tasks
        .unfinished
        .iter()
        .filter(|task| matches!(task.phase, Phase::New | Phase::Ready))
        .filter(|task| is_long(facts, task))
        .collect();
    let busy = saturating_sum(tasks.sites.iter().map(|site| site.busy.0));
    // Of the same times as `elapsed`: those that a poll ended, without what lies behind long polls.
    let rest = Nanos(saturating_sum(tasks.ready.iter().map(|ready| ready.total.0)));
    let elapsed = Nanos(length(&union(ready_times(tasks))));
    let mut slow: Vec<&SpawnSite> =
        tasks.sites.iter().filter(|site| site.ready.p99.0 >= READY_P99_MIN).collect();
    slow.sort_by_key(|site| (Reverse(site.ready_total), site.site));
    let is_much = facts.is_worth(elapsed, READY_THOUSANDTHS) && rest.0 >= busy / 2;
    let is_slow = !slow.is_empty() && is_much;
    if !is_slow && forgotten.is_empty() {
        return None;
    }
    let cost = match is_slow {
        true => Cost::of_spans(ready_times(tasks)),
        false => Cost::of_unfinished(forgotten.iter().copied()),
    };
    let title = if is_slow {
        let (busy, why) = (time(Nanos(busy)), too_much(facts, tasks, elapsed));
        let (long, all) = (time(elapsed), time(rest));
        let all = if all == long { String::new() } else { format!(", {all} of all together") };
        format!("async tasks were ready and not polled for {long}{all}, and polled for {busy}{why}")
    } else {
        let tell = plural(forgotten.len() as u64, "async task was", "async tasks were");
        let tell = at_least(tasks, tell);
        let is_known = forgotten.iter().all(|task| task.known_to >= tasks.to);
        let or = if is_known { "" } else { ", or until events went missing" };
        format!("{tell} ready and not polled to the end of the trace{or}")
    };
    let mut insight = facts.finding(InsightKind::SlowReady, &cost, title);
    for site in slow.iter().take(SAID).filter(|_| is_slow) {
        let (who, p50) = (facts.site(site.site), time(site.ready.p50));
        let (p99, max) = (time(site.ready.p99), time(site.ready.max));
        insight.evidence.push(format!("{who} was ready for {p50} (p50), {p99} (p99), {max} (max)"));
    }
    for task in forgotten.iter().take(SAID) {
        let (who, id, since) = (facts.site(task.site), task.task.0, moment(task.since));
        let phase = task.phase.name();
        insight.evidence.push(format!("task {id} ({who}) is {phase} since {since}"));
    }
    let wall = facts.wall();
    for worker in tasks.workers.iter().take(SAID) {
        let (who, share) = (facts.thread(worker.thread), percent(worker.busy.0, wall));
        insight.evidence.push(format!("{who} was in polls for {share} of the time"));
    }
    insight.threads = tasks.workers.iter().map(|worker| worker.thread).collect();
    insight.at = tasks.delays.first().map(|delay| delay.ready.into());
    insight.command = "async".to_owned();
    Some(insight)
}

/// When tasks were ready, of all spawn sites.
fn ready_times(tasks: &AsyncTasks) -> Vec<Span> {
    tasks.ready.iter().flat_map(|ready| &ready.times).copied().collect()
}

/// How long tasks were ready while a thread that polls such tasks could run and had no CPU.
fn without_cpu(facts: &Facts<'_>, tasks: &AsyncTasks) -> Nanos {
    let threads = &facts.lives.fine.long_ready;
    // Most spawn sites have the same threads.
    let mut known: HashMap<&[ThreadId], Vec<Span>> = HashMap::new();
    let mut times = Vec::new();
    for ready in &tasks.ready {
        let lacking = known.entry(&ready.pollers).or_insert_with(|| {
            let pollers = ready.pollers.iter().filter_map(|thread| threads.get(thread));
            union(pollers.flatten().copied().collect())
        });
        times.extend(common(&ready.times, lacking));
    }
    Nanos(length(&union(times)))
}

/// Why tasks were polled late: their workers had no CPU, or more to do than they could, if they
/// polled most of the time. What was ready before all that was read began came of something else.
///
/// - `elapsed`: how long one of them was ready, or several.
fn too_much(facts: &Facts<'_>, tasks: &AsyncTasks, elapsed: Nanos) -> String {
    let busy = saturating_sum(tasks.workers.iter().map(|worker| worker.busy.0));
    let whole = facts.wall().saturating_mul(tasks.workers.len() as u64);
    let before = saturating_sum(tasks.ready.iter().map(|ready| ready.since_before.0));
    let all = saturating_sum(tasks.ready.iter().map(|ready| ready.total.0));
    if before > all / 2 {
        return ": most of them since before the begin of what was read".to_owned();
    }
    let ready = without_cpu(facts, tasks);
    if is_part(ready.0, elapsed.0, NO_CPU_PERCENT) {
        return format!(": their workers had no CPU for {} of it", time(ready));
    }
    if is_part(busy, whole, BUSY_PERCENT) {
        return ": more work than their workers can do".to_owned();
    }
    ", though their workers were in polls for less than half of the time".to_owned()
}

/// Tasks that are woken again and again for nothing.
fn busy_wakers(facts: &Facts<'_>, tasks: &AsyncTasks) -> Vec<Insight> {
    let busy = tasks.sites.iter().filter_map(|site| busy_waker(facts, site));
    busy.collect()
}

fn busy_waker(facts: &Facts<'_>, site: &SpawnSite) -> Option<Insight> {
    let (own, futile) = (site.self_wakes, site.futile_wakes);
    let most = own.max(futile);
    if most < BUSY_WAKES_MIN || most < site.wakes / 2 {
        return None;
    }
    let share = most as f64 / site.polls.max(1) as f64;
    let lost = Nanos((site.busy.0 as f64 * share.min(1.0)) as u64);
    if !facts.is_worth(lost, BUSY_THOUSANDTHS) {
        return None;
    }
    let (who, times, spent) = (facts.site(site.site), count(most), time(lost));
    let title = if own >= futile {
        format!("{who} woke itself {times} times, {spent} of polls: it looks instead of waiting")
    } else {
        format!("{who} was woken {times} times and had nothing to do, {spent} of polls")
    };
    let cost = Cost::of_site(site.site, lost.0);
    let mut insight = facts.finding(InsightKind::BusyWaker, &cost, title);
    let (wakes, polls) = (count(site.wakes), count(site.polls));
    let (own, futile) = (count(own), count(futile));
    let line = format!("{wakes} wakes, {own} of them its own, {futile} in vain; {polls} polls");
    insight.evidence.push(line);
    insight.stacks = [site.stack].into_iter().filter(|stack| *stack != StackId(0)).collect();
    insight.command = "async".to_owned();
    Some(insight)
}
