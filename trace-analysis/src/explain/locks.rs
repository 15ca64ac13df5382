//! Rules about threads that stand in each other's way.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;

use trace_format::call::CallClass;
use trace_format::id::{CallId, ResourceId, StackId, ThreadId};
use trace_format::time::Nanos;

use super::cost::Cost;
use super::stuck;
use super::words::{Facts, count, holds, moment, percent, plural, time};
use super::{Insight, InsightKind, MEASURED_MAX};
use crate::reason::Reason;
use crate::report::life::{Holder, Share, TOP, Times, WaitGroup, merged, saturating_sum};

/// A lock costs something if threads waited for it for this part of the trace's time, in
/// thousandths. Several threads wait at once, so this is less than it sounds.
const LOCK_THOUSANDTHS: u64 = 30;

/// A channel that is full is how fast producers are slowed down; only much of it is a finding.
const CHANNEL_THOUSANDTHS: u64 = 200;

/// That a lock was free while others waited is said from this part of their waiting on: one in so
/// many.
const FREE_PART: u64 = 100;

/// So many holders are named.
const HOLDERS_SAID: usize = 3;

/// Locks that were fought for.
pub(super) fn contended(facts: &Facts<'_>) -> Vec<Insight> {
    let mut locks: BTreeMap<(ResourceId, StackId), Vec<&WaitGroup>> = BTreeMap::new();
    let groups = facts.lives.waits.by_resource.iter().filter(|group| group.reason.is_lock());
    for group in groups {
        // Readers and writers wait for one lock.
        let place = if group.resource == ResourceId(0) { group.stack } else { StackId(0) };
        locks.entry((group.resource, place)).or_default().push(group);
    }
    let mut locks: Vec<_> = locks.into_values().collect();
    locks.sort_by_key(|groups| Reverse(saturating_sum(groups.iter().map(|it| it.total.0))));
    locks.truncate(MEASURED_MAX);
    locks.into_iter().filter_map(|groups| contended_lock(facts, groups)).collect()
}

fn contended_lock(facts: &Facts<'_>, groups: Vec<&WaitGroup>) -> Option<Insight> {
    let unended: Vec<_> = groups.iter().copied().flat_map(|it| stuck::unended(facts, it)).collect();
    let groups: Vec<_> = groups.into_iter().map(|group| ended(facts, group)).collect();
    let total = Nanos(saturating_sum(groups.iter().map(|group| group.total.0)));
    let main = groups.iter().max_by_key(|group| group.total)?;
    if !facts.is_worth(total, LOCK_THOUSANDTHS) {
        return None;
    }
    let count = saturating_sum(groups.iter().map(|group| group.count));
    let waiters = merged(groups.iter().flat_map(|group| &group.waiters));
    let mut waiters: Vec<_> = waiters.into_iter().map(|share| share.of).collect();
    waiters.sort_unstable();
    let place = main.stacks.first().map_or(main.stack, |share| share.of);
    let (kind, why) = blame(facts, main);
    let (lock, at) = (lock_word(main.reason), facts.at(place));
    let (waited, times) = (time(total), plural(count, "time", "times"));
    let who = facts.threads(&waiters);
    let title = format!("{who} waited {waited} for one {lock}, {times}{at}{why}");
    let cost = Cost::of_waits(groups.iter().map(|group| &**group)).except(unended);
    let mut insight = facts.finding(kind, &cost, title);
    // `ended` copies only groups with waits that never ended.
    insight.evidence = evidence(facts, main, matches!(main, Cow::Owned(_)));
    insight.threads = main.holders.iter().map(|holder| holder.thread).collect();
    insight.threads.extend(main.wakers.iter().map(|share| share.of.0));
    insight.threads.extend(waiters);
    insight.stacks = main.holders.iter().map(|holder| holder.stack).chain([place]).collect();
    insight.resource = Some(main.resource).filter(|resource| *resource != ResourceId(0));
    insight.at = main.longest.first().map(|wait| wait.begin);
    insight.command = "blocked --by lock".to_owned();
    Some(insight)
}

/// A group without those of its waits that never ended: `stuck` reports these. How many threads
/// waited at once stays what it was.
fn ended<'g>(facts: &Facts<'_>, group: &'g WaitGroup) -> Cow<'g, WaitGroup> {
    let unended: Vec<_> = stuck::unended(facts, group).map(|it| it.wait).collect();
    if unended.is_empty() {
        return Cow::Borrowed(group);
    }
    let mut rest = group.clone();
    rest.count = rest.count.saturating_sub(unended.len() as u64);
    let inside = saturating_sum(unended.iter().map(|wait| wait.inside.0));
    rest.total = Nanos(rest.total.0.saturating_sub(inside));
    take_out(&mut rest.stacks, unended.iter().map(|wait| (wait.stack, wait.inside)));
    take_out(&mut rest.waiters, unended.iter().map(|wait| (wait.thread, wait.inside)));
    let unended: HashSet<_> = unended.iter().map(|wait| (wait.thread, wait.begin)).collect();
    rest.longest.retain(|wait| !unended.contains(&(wait.thread, wait.begin)));
    Cow::Owned(rest)
}

/// Takes single waits out of the shares of their parties.
fn take_out<T: Copy + Ord + Hash>(
    shares: &mut Vec<Share<T>>,
    waits: impl Iterator<Item = (T, Nanos)>,
) {
    let mut taken: HashMap<T, (u64, u64)> = HashMap::new();
    for (of, inside) in waits {
        let (count, total) = taken.entry(of).or_default();
        *count += 1;
        *total = total.saturating_add(inside.0);
    }
    for share in shares.iter_mut() {
        let (count, total) = taken.get(&share.of).copied().unwrap_or_default();
        share.count = share.count.saturating_sub(count);
        share.total = Nanos(share.total.0.saturating_sub(total));
    }
    shares.retain(|share| share.count > 0);
    shares.sort_by_key(|share| (Reverse((share.total, share.count)), share.of));
}

pub(super) fn lock_word(reason: Reason) -> &'static str {
    match reason {
        Reason::RwLockRead | Reason::RwLockWrite => "rwlock",
        Reason::Once => "initialisation",
        _ => "mutex",
    }
}

/// Whether the lock itself is too much wanted, what its holders did was slow, or nobody had a CPU.
fn blame(facts: &Facts<'_>, group: &WaitGroup) -> (InsightKind, String) {
    let (holders, (free, whole)) = (&group.holders, group.free_share());
    if free.0 > whole.0 / 2 {
        let why = ": it was free, and the thread woken for it had no CPU".to_owned();
        return (InsightKind::HolderPreempted, why);
    }
    let held = saturating_sum(holders.iter().map(|holder| holder.held.0));
    let mut times = Times::default();
    holders.iter().for_each(|holder| times.add(&holder.times));
    let away = times.blocked().0.saturating_add(times.in_calls.0);
    // By how much waiting they caused: who is named first is who is to be looked at.
    let Some(worst) = holders.first().filter(|_| held > 0) else {
        return (InsightKind::LockContention, String::new());
    };
    if times.ready.0 >= held / 2 {
        return (InsightKind::HolderPreempted, ": the thread that held it had no CPU".to_owned());
    }
    if away >= held / 2
        && let Some(what) = slow_doing(worst)
    {
        let who = to_blame(facts, holders, &what);
        return (InsightKind::SlowHolder, format!(": {who} {what} while it held it"));
    }
    (InsightKind::LockContention, String::new())
}

/// Who is named for what holders did: the worst of them, or one of those that were as bad.
fn to_blame(facts: &Facts<'_>, holders: &[Holder], what: &str) -> String {
    // A thread may have given the lock up at several places.
    let mut caused: BTreeMap<ThreadId, u64> = BTreeMap::new();
    for holder in holders.iter().filter(|it| slow_doing(it).as_deref() == Some(what)) {
        let sum = caused.entry(holder.thread).or_default();
        *sum = sum.saturating_add(holder.caused.0);
    }
    facts.worst(&Vec::from_iter(caused), holders.len() >= TOP)
}

/// What a holder mostly did instead of running: `slept`, `was in fsync`, `waited (channel send)`.
fn slow_doing(holder: &Holder) -> Option<String> {
    let reason = holder.times.reasons().first().map(|(reason, _)| *reason);
    let call = holder.slow_call.info().filter(|_| holder.slow_call != CallId(0));
    match (reason, call) {
        (Some(Reason::Sleep), _) => Some("slept".to_owned()),
        // It gave the lock up there: waiting is what the others did.
        (_, Some(info)) if info.class == CallClass::FutexWake => {
            reason.map(|reason| format!("waited ({})", reason.name()))
        }
        (_, Some(info)) if matches!(info.class, CallClass::Futex | CallClass::Join) => {
            Some(format!("waited ({})", reason.map_or("for a thread", Reason::name)))
        }
        (_, Some(info)) => Some(format!("was in {}", info.name)),
        (Some(reason), None) => Some(format!("waited ({})", reason.name())),
        (None, None) => None,
    }
}

/// - `has_unended`: whether waits that never ended were taken out of the group.
fn evidence(facts: &Facts<'_>, group: &WaitGroup, has_unended: bool) -> Vec<String> {
    let mut evidence = Vec::new();
    for holder in group.holders.iter().take(HOLDERS_SAID) {
        evidence.push(held_by(facts, holder, group.share(holder)));
    }
    let (free, whole) = group.free_share();
    if free.0 > 0 && free.0 >= whole.0 / FREE_PART {
        let share = percent(free.0, whole.0);
        evidence.push(format!(
            "it was free for {share} of the waiting, while the thread woken for it had no CPU"
        ));
    }
    if group.holders.is_empty() {
        for waker in group.wakers.iter().take(HOLDERS_SAID) {
            let (name, at) = (facts.thread(waker.of.0), facts.at(waker.of.1));
            let share = percent(waker.total.0, group.total.0);
            evidence.push(format!("{name} ended {share} of the waiting, by giving it up{at}"));
        }
    }
    if group.waiters_max > 1 {
        let most = count(group.waiters_max.into());
        let others = if has_unended { ", with those that never got it" } else { "" };
        evidence.push(format!("up to {most} threads waited for it at once{others}"));
    }
    if let Some(wait) = group.longest.first() {
        let (name, long, when) = (facts.thread(wait.thread), facts.took(wait), moment(wait.begin));
        let by = wait.waker.map(|waker| facts.thread(waker.thread));
        let by = by.map_or(String::new(), |by| format!(", ended by {by}"));
        evidence.push(format!("the longest wait took {long}: {name}, from {when} on{by}"));
    }
    evidence
}

/// - `part`, `whole`: how much of the waiting it caused.
fn held_by(facts: &Facts<'_>, holder: &Holder, (part, whole): (Nanos, Nanos)) -> String {
    let (name, share) = (facts.thread(holder.thread), percent(part.0, whole.0));
    let at = facts.at(holder.stack);
    let mut line = format!("{name} held it for {share} of the waiting and gave it up{at}");
    let (held, times) = (holder.held.0, &holder.times);
    if held == 0 {
        return line;
    }
    line += &format!("; {}", holds(holder.count, holder.held_max, holder.held));
    let mut parts = vec![(times.running, "running"), (times.ready, "ready without a CPU")];
    parts.push((times.in_calls, "in system calls"));
    parts.push((times.unknown, "unknown"));
    parts.extend(times.reasons().into_iter().map(|(reason, time)| (time, reason.name())));
    parts.retain(|(time, _)| time.0 >= held / 20);
    parts.sort_by_key(|(time, _)| Reverse(*time));
    let parts: Vec<_> =
        parts.iter().map(|(time, what)| format!("{what} {}", percent(time.0, held))).collect();
    if !parts.is_empty() {
        line += &format!(": {}", parts.join(", "));
    }
    let away = times.blocked().0.saturating_add(times.in_calls.0);
    let call = holder.slow_call.info().filter(|_| holder.slow_call != CallId(0));
    if let Some(call) = call.filter(|_| away >= held / 4) {
        line += &format!(", of its calls mostly {}{}", call.name, facts.at(holder.slow_stack));
    }
    line
}

/// Senders that wait for room.
pub(super) fn full_channels(facts: &Facts<'_>) -> Vec<Insight> {
    let groups = facts.lives.waits.by_resource.iter();
    let groups = groups.filter(|group| group.reason == Reason::ChannelSend);
    let worth = groups.filter(|group| facts.is_worth(group.total, CHANNEL_THOUSANDTHS));
    let insights = worth.take(MEASURED_MAX).map(|group| {
        let senders: Vec<_> = group.waiters.iter().map(|share| share.of).collect();
        let (who, at) = (facts.threads(&senders), facts.at(group.stack));
        let (waited, times) = (time(group.total), plural(group.count, "time", "times"));
        let title = format!("{who} waited {waited} for room in a channel, {times}{at}");
        let cost = Cost::of_waits([group]);
        let mut insight = facts.finding(InsightKind::FullChannel, &cost, title);
        for waker in group.wakers.iter().take(HOLDERS_SAID) {
            let share = percent(waker.total.0, group.total.0);
            let (name, at) = (facts.thread(waker.of.0), facts.at(waker.of.1));
            insight.evidence.push(format!("{name} made room for {share} of it{at}"));
        }
        let wakers = group.wakers.iter().map(|share| share.of.0);
        insight.threads = wakers.chain(senders).collect();
        insight.stacks = vec![group.stack];
        insight.at = group.longest.first().map(|wait| wait.begin);
        insight.command = "blocked --by lock".to_owned();
        insight
    });
    insights.collect()
}
