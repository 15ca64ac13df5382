//! Rules about calls into the system, sleeping, and pages.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::hash::Hash;

use trace_format::call::CallClass;
use trace_format::id::{CallId, ResourceId, StackId, ThreadId};
use trace_format::time::Nanos;

use super::cost::Cost;
use super::locks::lock_word;
use super::words::{Facts, count, is_part, percent, plural, time};
use super::{Insight, InsightKind, MEASURED_MAX};
use crate::reason::Reason;
use crate::report::life::{CallGroup, Holder, Share, Wait, WaitGroup, merged, saturating_sum};
use crate::time::Moment;

/// So many calls about one thing with few bytes each are many. To wait in them is another matter.
const CHATTY_CALLS_MIN: u64 = 1_000;

/// And so many per cents of all that moved bytes; and they cost this part of the trace's time.
const CHATTY_PERCENT: u64 = 90;
const CHATTY_THOUSANDTHS: u64 = 20;

/// A thread that sleeps so often at one place, and no longer than so each time, looks again and
/// again whether something has happened: a clock that ticks sixty times a second is none. It sleeps
/// so for this part of the trace's time.
const SLEEPS_MIN: u64 = 50;
const SLEEP_NANOS_MAX: u64 = 12_000_000;
const SLEEP_THOUSANDTHS: u64 = 300;

/// Of a loop that sleeps, what comes late: half a sleep at each change, not the sleeping itself.
/// How many changes there were nobody knows; a tenth ranks it below what surely cost time.
const SLEEP_LOST_PART: u64 = 10;

/// A loop that sleeps with a lock is told so if others waited for the lock for this part of the
/// sleeping, in per cents.
const HELD_PERCENT: u64 = 25;

/// Calls that threads are in for this part of the trace's time, in thousandths, are a finding
/// however short each is, unless another finding explains that time divided by this.
const BUSY_THOUSANDTHS: u64 = 200;
const TOLD_PART: u64 = 4;

/// Pages that were waited for this part of the trace's time.
const FAULT_THOUSANDTHS: u64 = 20;

/// What is said of something slow, whichever way it was found.
struct Slow<'a> {
    what: String,
    resource: ResourceId,
    call: Option<CallId>,
    total: Nanos,
    count: u64,
    /// The longest, in words.
    max: String,
    stacks: &'a [Share<trace_format::id::StackId>],
    threads: &'a [Share<ThreadId>],
    at: Option<Moment>,
    /// The waits, if it is some: a part of these may have been something else.
    waits: Option<&'a WaitGroup>,
}

/// Says how much of a finding about waiting may have been readiness, and ranks it by what is left.
/// Findings of one thread share its readiness: each may be all of it, but they are not all of it
/// together.
fn rank_by_rest(insight: &mut Insight, group: &WaitGroup) {
    let (most, share) = (group.perhaps_ready, group.perhaps_ready_share);
    insight.lost = Nanos(insight.lost.0.saturating_sub(share.0));
    if most.0 > 0 {
        let (thread, it) = match insight.threads.as_slice() {
            [_] => ("the thread", "it"),
            _ => ("the threads", "them"),
        };
        let others = if share < most { ", in this and other waits together" } else { "" };
        insight.evidence.push(format!(
            "up to {} of it {thread} may have been ready without a CPU: the kernel counted so much \
             more for {it} than events show{others}",
            time(most)
        ));
    }
}

/// Files that were waited for. Switches tell what was waiting; without them a call's whole time
/// counts.
pub(super) fn slow(facts: &Facts<'_>) -> Vec<Insight> {
    let lives = facts.lives;
    let waits = lives.waits_by_files(1);
    let slow: Vec<_> = if lives.cpus.is_empty() {
        let groups = lives.calls.by_resource.iter();
        groups.filter(|group| is_about_files(facts, group)).map(slow_call).collect()
    } else {
        let waits = waits.iter().filter(|group| group.reason.is_file());
        waits.map(|group| slow_wait(facts, group)).collect()
    };
    let slow = slow.into_iter().filter(|slow| lives.is_slow(slow.total, slow.count));
    slow.take(MEASURED_MAX).map(|slow| tell_slow(facts, &slow)).collect()
}

fn is_about_files(facts: &Facts<'_>, group: &CallGroup) -> bool {
    use trace_format::definition::ResourceKind;
    let resource = facts.tables.resources.get(&group.resource);
    let is_file = resource.is_some_and(|resource| resource.kind == ResourceKind::File);
    match group.call.info().map(|info| info.class) {
        Some(CallClass::Read | CallClass::Write) => is_file,
        Some(CallClass::Sync | CallClass::Open | CallClass::Metadata) => true,
        _ => false,
    }
}

fn slow_call(group: &CallGroup) -> Slow<'_> {
    Slow {
        what: group.call.info().map_or("a call", |info| info.name).to_owned(),
        resource: group.resource,
        call: Some(group.call),
        total: group.total,
        count: group.count,
        max: time(group.quantiles.max),
        stacks: &group.stacks,
        threads: &group.threads,
        at: group.longest.first().map(|one| one.begin),
        waits: None,
    }
}

fn slow_wait<'w>(facts: &Facts<'_>, group: &'w WaitGroup) -> Slow<'w> {
    Slow {
        what: match group.resources {
            0 | 1 => group.reason.name().to_owned(),
            files => format!("{} of {} files", group.reason.name(), count(files)),
        },
        resource: group.resource,
        call: None,
        total: group.total,
        count: group.count,
        max: longest(facts, group),
        stacks: &group.stacks,
        threads: &group.waiters,
        at: group.longest.first().map(|wait| wait.begin),
        waits: Some(group),
    }
}

fn longest(facts: &Facts<'_>, group: &WaitGroup) -> String {
    let wait = group.longest.first();
    wait.map_or_else(|| time(group.quantiles.max), |wait| facts.took(wait))
}

fn tell_slow(facts: &Facts<'_>, slow: &Slow<'_>) -> Insight {
    let threads: Vec<_> = slow.threads.iter().map(|share| share.of).collect();
    let who = facts.threads(&threads);
    let name = facts.resource(slow.resource);
    let name = if name.is_empty() { name } else { format!(" of {name}") };
    let at = slow.stacks.first().map_or(String::new(), |share| facts.at(share.of));
    let times = plural(slow.count, "time", "times");
    let title = format!("{who} waited {} for {}{name}, {times}{at}", time(slow.total), slow.what);
    let cost = match slow.waits {
        Some(group) => Cost::of_waits([group]),
        None => Cost::of_shares(slow.threads),
    };
    let mut insight = facts.finding(InsightKind::SlowCalls, &cost, title);
    let mean = time(Nanos(slow.total.0 / slow.count.max(1)));
    insight.evidence.push(format!("{mean} each on average, the longest {}", slow.max));
    insight.threads = threads;
    if let Some(group) = slow.waits {
        rank_by_rest(&mut insight, group);
    }
    insight.stacks = slow.stacks.iter().map(|share| share.of).collect();
    insight.resource = Some(slow.resource).filter(|resource| *resource != ResourceId(0));
    (insight.call, insight.at) = (slow.call, slow.at);
    insight.command = match slow.resource {
        ResourceId(0) => "blocked --by stack".to_owned(),
        _ => "syscalls --by resource".to_owned(),
    };
    insight
}

/// Many calls with few bytes each.
pub(super) fn chatty(facts: &Facts<'_>) -> Vec<Insight> {
    use trace_format::definition::ResourceKind;
    let groups = facts.lives.calls.by_resource.iter().filter(|group| {
        let resource = facts.tables.resources.get(&group.resource);
        // Messages on sockets and counts of events are small by nature.
        let is_stream =
            resource.is_some_and(|it| matches!(it.kind, ResourceKind::File | ResourceKind::Pipe));
        let is_mostly_tiny =
            group.tiny.saturating_mul(100) >= group.count.saturating_mul(CHATTY_PERCENT);
        let is_worth = facts.is_worth(unwaited(facts, group), CHATTY_THOUSANDTHS);
        is_stream && group.tiny >= CHATTY_CALLS_MIN && is_mostly_tiny && is_worth
    });
    let insights = groups.take(MEASURED_MAX).map(|group| {
        let call = group.call.info().map_or("read or write", |info| info.name);
        let (name, took) = (facts.resource(group.resource), unwaited(facts, group));
        // Of the calls that the title counts, to the nearest: not of those alone that moved some.
        let each = group.bytes.saturating_add(group.count / 2) / group.count.max(1);
        let at = group.stacks.first().map_or(String::new(), |share| facts.at(share.of));
        let title = format!(
            "{} calls of {call} on {name} moved {} each and took {}{at}",
            count(group.count),
            plural(each, "byte", "bytes"),
            time(took),
        );
        let cost = Cost::of_threads(shared_out(group, took.0));
        let mut insight = facts.finding(InsightKind::ChattyCalls, &cost, title);
        let mean = time(Nanos(took.0 / group.count.max(1)));
        insight.evidence.push(format!(
            "{mean} each on average, for {} in all; a buffer makes one call of many",
            super::words::bytes(group.bytes)
        ));
        insight.threads = group.threads.iter().map(|share| share.of).collect();
        insight.stacks = group.stacks.iter().map(|share| share.of).collect();
        (insight.resource, insight.call) = (Some(group.resource), Some(group.call));
        insight.command = "syscalls --by resource".to_owned();
        insight
    });
    insights.collect()
}

/// How long threads were in calls and did not wait there, as far as switches tell.
fn unwaited(facts: &Facts<'_>, group: &CallGroup) -> Nanos {
    let waited = if facts.lives.cpus.is_empty() { 0 } else { group.off_cpu.0 };
    Nanos(group.total.0.saturating_sub(waited))
}

/// So much of the time of a group of calls by thread: the same part of every thread's time.
fn shared_out(group: &CallGroup, nanos: u64) -> impl Iterator<Item = (ThreadId, u64)> + use<'_> {
    let part = nanos as f64 / group.total.0.max(1) as f64;
    group.threads.iter().map(move |share| (share.of, (share.total.0 as f64 * part) as u64))
}

/// Calls of one kind in which threads were busy, though they waited for nobody.
struct InCalls<'a> {
    call: CallId,
    total: u64,
    count: u64,
    /// With how long threads were busy in each.
    groups: Vec<(&'a CallGroup, u64)>,
}

/// Calls that move bytes or see to files, in which threads spend much of the time, however short
/// each of them is.
///
/// - `told`: the findings so far.
pub(super) fn busy(facts: &Facts<'_>, told: &[Insight]) -> Vec<Insight> {
    let mut calls: Vec<InCalls<'_>> = Vec::new();
    for group in &facts.lives.calls.by_resource {
        let Some(busy) = busy_in(facts, group).filter(|busy| *busy > 0) else { continue };
        let new = || InCalls { call: group.call, total: 0, count: 0, groups: Vec::new() };
        let at = calls.iter().position(|it| it.call == group.call).unwrap_or_else(|| {
            calls.push(new());
            calls.len() - 1
        });
        let known = &mut calls[at];
        known.total = known.total.saturating_add(busy);
        known.count += group.count;
        known.groups.push((group, busy));
    }
    if !facts.lives.cpus.is_empty() {
        for it in &mut calls {
            // Where it is not known whether a thread was on a CPU, it is not known to be busy.
            it.total = it.total.min(in_calls(facts, it));
        }
    }
    let worth = calls.iter().filter(|it| facts.is_worth(Nanos(it.total), BUSY_THOUSANDTHS));
    let insights = worth.map(|it| tell_busy(facts, it));
    insights.filter(|it| !told.iter().any(|other| has_told(other, it))).collect()
}

/// How long the threads that made them were on CPUs in calls of any kind.
fn in_calls(facts: &Facts<'_>, it: &InCalls<'_>) -> u64 {
    let shares = it.groups.iter().flat_map(|(group, _)| &group.threads);
    let threads: HashSet<ThreadId> = shares.map(|share| share.of).collect();
    let lives = facts.lives.threads.iter().filter(|life| threads.contains(&life.thread));
    saturating_sum(lives.map(|life| life.times.in_calls.0))
}

/// How long threads were in these calls and did not wait for others: on CPUs, for the kernel's
/// work. Without switches all of a call's time counts, if it is about a file.
fn busy_in(facts: &Facts<'_>, group: &CallGroup) -> Option<u64> {
    use CallClass::{Close, Metadata, Open, Read, Sync, Write};
    let class = group.call.info()?.class;
    if !matches!(class, Close | Metadata | Open | Read | Sync | Write) {
        return None;
    }
    if facts.lives.cpus.is_empty() {
        return (class == Close || is_about_files(facts, group)).then_some(group.total.0);
    }
    Some(group.total.0.saturating_sub(group.off_cpu.0))
}

fn tell_busy(facts: &Facts<'_>, it: &InCalls<'_>) -> Insight {
    let call = it.call.info().map_or("a call", |info| info.name);
    let threads = parties(it.groups.iter().flat_map(|(group, _)| &group.threads));
    let stacks = busy_stacks(facts, it);
    let whose: HashSet<_> = threads.iter().copied().collect();
    let lives = facts.lives.threads.iter().filter(|life| whose.contains(&life.thread));
    let whole = saturating_sum(lives.map(|life| life.times.total().0));
    let share = percent(it.total, whole);
    let (who, spent) = (facts.threads(&threads), time(Nanos(it.total)));
    let at = stacks.first().map_or(String::new(), |stack| facts.own_at(*stack));
    let times = plural(it.count, "time", "times");
    let title = format!("{who} spent {spent} in {call}, {times}{at}");
    let mut insight = facts.finding(InsightKind::SlowCalls, &busy_cost(it), title);
    let each = time(Nanos(it.total / it.count.max(1)));
    let kernel = if facts.lives.cpus.is_empty() { "" } else { ", on CPUs: the kernel's work" };
    insight.evidence.push(format!("{share} of all their time, {each} each on average{kernel}"));
    let files = it.groups.iter().filter(|(group, _)| group.resource != ResourceId(0));
    if let Some((most, busy)) = files.max_by_key(|(_, busy)| *busy) {
        // Of all that threads were in them, the title has what is known to be on CPUs.
        let (name, took) = (facts.resource(most.resource), time(Nanos(it.total.min(*busy))));
        if !name.is_empty() {
            insight.evidence.push(format!("mostly about {name}: {took}"));
            insight.resource = Some(most.resource);
        }
    }
    (insight.threads, insight.stacks, insight.call) = (threads, stacks, Some(it.call));
    insight.stacks.retain(|stack| *stack != StackId(0));
    insight.command = "syscalls --by stack".to_owned();
    insight
}

/// How long each thread was busy in them.
fn busy_cost(it: &InCalls<'_>) -> Cost {
    let all = saturating_sum(it.groups.iter().map(|(_, busy)| *busy));
    let known = it.total as f64 / all.max(1) as f64;
    let times =
        it.groups.iter().flat_map(|&(group, busy)| shared_out(group, (busy as f64 * known) as u64));
    Cost::of_threads(times)
}

/// From where threads made the calls, the busiest first: not where they waited the longest.
fn busy_stacks(facts: &Facts<'_>, it: &InCalls<'_>) -> Vec<StackId> {
    if facts.lives.cpus.is_empty() {
        return parties(it.groups.iter().flat_map(|(group, _)| &group.stacks));
    }
    let groups = facts.lives.calls.by_stack.iter().filter(|group| group.call == it.call);
    let mut busy: Vec<_> = groups
        .filter_map(|group| Some((busy_in(facts, group)?, group.stack)))
        .filter(|(busy, _)| *busy > 0)
        .collect();
    busy.sort_by_key(|&(busy, stack)| (Reverse(busy), stack));
    busy.into_iter().map(|(_, stack)| stack).collect()
}

/// The parties of several groups, each once, the most time first.
fn parties<'s, K: Copy + Ord + Hash + 's>(of_groups: impl Iterator<Item = &'s Share<K>>) -> Vec<K> {
    merged(of_groups).into_iter().map(|share| share.of).collect()
}

/// Whether a finding names the same calls, or what is done at the same place.
fn has_told(told: &Insight, insight: &Insight) -> bool {
    let is_call = told.call.is_some() && told.call == insight.call;
    let is_place = insight.stacks.first().is_some_and(|stack| told.stacks.contains(stack));
    (is_call || is_place) && told.lost.0 >= insight.lost.0 / TOLD_PART
}

/// Threads that sleep in a loop.
pub(super) fn sleep_loops(facts: &Facts<'_>) -> Vec<Insight> {
    let groups = facts.lives.waits.by_resource.iter().filter(|group| {
        group.reason == Reason::Sleep
            && group.count >= SLEEPS_MIN
            && group.total.0 / group.count <= SLEEP_NANOS_MAX
            && facts.is_worth(group.total, SLEEP_THOUSANDTHS)
    });
    let insights = groups.map(|group| {
        let threads: Vec<_> = group.waiters.iter().map(|share| share.of).collect();
        let (who, at) = (facts.threads(&threads), facts.at(group.stack));
        let (times, each) = (count(group.count), time(Nanos(group.total.0 / group.count.max(1))));
        let title = format!("{who} slept {times} times for {each}{at}");
        let cost = Cost::of_waits([group]);
        let mut insight = facts.finding(InsightKind::SleepLoop, &cost, title);
        insight.lost.0 /= SLEEP_LOST_PART;
        insight.evidence.push(sleep_advice(facts, group));
        insight.threads = threads;
        insight.stacks = vec![group.stack];
        insight.at = group.longest.first().map(|wait: &Wait| wait.begin);
        insight.command = "blocked --by stack".to_owned();
        insight
    });
    insights.collect()
}

/// What to do about a loop that sleeps. If it holds a lock meanwhile and others wait for that, the
/// lock is what to change.
fn sleep_advice(facts: &Facts<'_>, group: &WaitGroup) -> String {
    let at = facts.at(group.stack);
    let is_here = |holder: &&Holder| {
        let class = holder.slow_call.info().map(|info| info.class);
        class == Some(CallClass::Sleep) && !at.is_empty() && facts.at(holder.slow_stack) == at
    };
    let locks = facts.lives.waits.by_resource.iter().filter(|group| group.reason.is_lock());
    let slept = locks.map(|lock| {
        let here = lock.holders.iter().filter(is_here);
        let slept = here.map(|holder| holder.times.blocked_by(Reason::Sleep).0);
        (saturating_sum(slept), lock_word(lock.reason))
    });
    match slept.max_by_key(|(slept, _)| *slept) {
        Some((slept, lock)) if is_part(slept, group.total.0, HELD_PERCENT) => {
            let share = percent(slept.min(group.total.0), group.total.0);
            format!(
                "for {share} of that time it held a {lock} that others waited for: give the \
                 {lock} up before the sleep"
            )
        }
        _ => "if it looks whether something has happened, a condition or a channel would wake it \
              at once"
            .to_owned(),
    }
}

/// Memory that had to be read from disk.
pub(super) fn page_faults(facts: &Facts<'_>) -> Option<Insight> {
    let mut groups = facts.lives.waits.by_reason.iter();
    let group = groups.find(|group| group.reason == Reason::PageFault)?;
    if !facts.is_worth(group.total, FAULT_THOUSANDTHS) {
        return None;
    }
    let threads: Vec<_> = group.waiters.iter().map(|share| share.of).collect();
    let (who, waited) = (facts.threads(&threads), time(group.total));
    let at = group.stacks.first().map_or(String::new(), |share| facts.at(share.of));
    let times = plural(group.count, "time", "times");
    let title = format!("{who} waited {waited} for pages of memory to be read, {times}{at}");
    let cost = Cost::of_waits([group]);
    let mut insight = facts.finding(InsightKind::PageFaults, &cost, title);
    let longest = longest(facts, group);
    insight
        .evidence
        .push(format!("the longest took {longest}; it was a file mapped into memory, or swapping"));
    insight.threads = threads;
    rank_by_rest(&mut insight, group);
    insight.stacks = group.stacks.iter().map(|share| share.of).collect();
    insight.command = "blocked --by reason".to_owned();
    Some(insight)
}
