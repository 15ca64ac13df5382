//! Rules about full channels: senders wait because the receiver is slow.

use std::collections::BTreeMap;

use trace_format::id::{SiteId, StackId, ThreadId};
use trace_format::time::Nanos;

use super::cost::Cost;
use super::words::{Facts, is_part, percent, plural, time};
use super::{Insight, InsightKind, MEASURED_MAX};
use crate::reason::{Awaited, Reason};
use crate::report::async_tasks::{AsyncTasks, AwaitGroup};

/// A channel that is full is how fast producers are slowed down; only much of it is a finding: this
/// part of the trace's time, in thousandths.
const FULL_THOUSANDTHS: u64 = 200;

/// What a receiver does for less than this part of the time, in per cents, makes nobody slow.
const DOES_PERCENT: u64 = 25;

/// Maximum number of receivers that are named.
const SAID: usize = 3;

/// Async tasks that wait for room, and for nothing else.
pub(super) fn full(facts: &Facts<'_>, tasks: &AsyncTasks) -> Vec<Insight> {
    let is_sent =
        |it: &&AwaitGroup| it.awaited.awaited == Awaited::ChannelSend && it.one_of.is_empty();
    let groups = tasks.waits.iter().filter(is_sent);
    let worth = groups.filter(|group| facts.is_worth(group.total, FULL_THOUSANDTHS));
    worth.take(MEASURED_MAX).map(|group| full_channel(facts, tasks, group)).collect()
}

fn full_channel(facts: &Facts<'_>, tasks: &AsyncTasks, group: &AwaitGroup) -> Insight {
    let (who, at) = (facts.site(group.site), facts.own_at(group.stack));
    let (waited, times) = (time(group.total), plural(group.count, "time", "times"));
    let library = group.awaited.library;
    let channel = [library, "channel"].join(" ").trim_start().to_owned();
    let receiver = group.wakers.first().and_then(|share| share.of.0);
    let (why, does_at) = match receiver.and_then(|site| what_task_does(facts, tasks, site)) {
        Some((what, stack)) => (format!(": {what}"), stack),
        None => (String::new(), StackId(0)),
    };
    let title = format!("{who} waited {waited} for room in a {channel}, {times}{at}{why}");
    let cost = Cost::of_idles(group);
    let mut insight = facts.finding(InsightKind::FullChannel, &cost, title);
    for waker in group.wakers.iter().take(SAID) {
        let share = percent(waker.total.0, group.total.0);
        let (site, at) = (waker.of.0, facts.own_at(waker.of.1));
        insight.evidence.push(match site.map(|site| facts.site(site)) {
            Some(name) => format!("{name} made room for {share} of it{at}"),
            None => format!("no task, but something else made room for {share} of it{at}"),
        });
    }
    if group.waiting > 0 {
        let tasks = plural(group.waiting, "task waits", "tasks wait");
        insight.evidence.push(format!("{tasks} there still at the end"));
    }
    insight.stacks = vec![does_at, group.stack];
    insight.stacks.retain(|stack| *stack != StackId(0));
    insight.at = group.longest.first().map(|idle| idle.begin);
    insight.command = "async".to_owned();
    insight
}

/// What the tasks of a spawn site did most, if that is not to wait for messages; and where.
fn what_task_does(
    facts: &Facts<'_>,
    tasks: &AsyncTasks,
    site: SiteId,
) -> Option<(String, StackId)> {
    let told = tasks.sites.iter().find(|it| it.site == site)?;
    let whole = told.busy.0.saturating_add(told.idle.0).saturating_add(told.ready_total.0);
    let groups = tasks.waits.iter().filter(|group| group.site == site);
    let idle = groups.max_by_key(|group| group.total);
    let idle_nanos = idle.map_or(0, |group| group.total.0);
    let name = facts.site(site);
    let most = idle_nanos.max(told.busy.0).max(told.ready_total.0);
    if !is_part(most, whole, DOES_PERCENT) {
        return None;
    }
    let share = percent(most, whole);
    if most == told.busy.0 {
        return Some((
            format!("{name} receives, and was in polls for {share} of its time"),
            StackId(0),
        ));
    }
    if most == told.ready_total.0 {
        let what = format!("{name} receives, and was ready and not polled for {share} of its time");
        return Some((what, StackId(0)));
    }
    let idle = idle.filter(|group| group.awaited.awaited != Awaited::ChannelReceive)?;
    let what = facts.awaited((idle.stack, idle.awaited), &idle.one_of);
    Some((format!("{name} receives, and waited for {what} for {share} of its time"), idle.stack))
}

/// Of a finding about threads that wait for room: who receives, and what it does instead.
pub(super) fn name_receiver(facts: &Facts<'_>, insight: &mut Insight) {
    let place = insight.stacks.first();
    let groups = facts
        .lives
        .waits
        .by_resource
        .iter()
        .filter(|group| group.reason == Reason::ChannelSend && Some(&group.stack) == place);
    let wakers = groups.map(|group| &group.wakers).find(|wakers| !wakers.is_empty());
    let Some(wakers) = wakers.filter(|_| insight.kind == InsightKind::FullChannel) else {
        return;
    };
    let mut receivers: BTreeMap<ThreadId, u64> = BTreeMap::new();
    for waker in wakers {
        let sum = receivers.entry(waker.of.0).or_default();
        *sum = sum.saturating_add(waker.total.0);
    }
    let name = facts.worst(&Vec::from_iter(receivers), false);
    let Some((what, stack)) = what_thread_does(facts, wakers[0].of.0, &name) else { return };
    insight.title += &format!(": {what}");
    if stack != StackId(0) {
        insight.stacks.insert(0, stack);
    }
}

/// What a thread did most, if that is not to wait for messages; and where.
///
/// - `name`: what it is called.
fn what_thread_does(facts: &Facts<'_>, thread: ThreadId, name: &str) -> Option<(String, StackId)> {
    let lives = facts.lives;
    let life = lives.threads.iter().find(|life| life.thread == thread)?;
    let times = &life.times;
    let whole = times.total().0;
    let (reason, blocked) = times.reasons().first().copied().unwrap_or((Reason::Unseen, Nanos(0)));
    let (cpu, ready) = (times.cpu(), times.ready);
    let most = blocked.max(cpu).max(ready);
    if !is_part(most.0, whole, DOES_PERCENT) {
        return None;
    }
    let share = percent(most.0, whole);
    if most == cpu {
        return Some((
            format!("{name} receives, and computed for {share} of its time"),
            StackId(0),
        ));
    }
    if most == ready {
        let what = format!("{name} receives, and was ready without a CPU for {share} of its time");
        return Some((what, StackId(0)));
    }
    if matches!(reason, Reason::ChannelReceive | Reason::Unseen | Reason::Futex) {
        return None;
    }
    let groups = lives.waits.by_stack.iter().filter(|group| group.reason == reason);
    let mut groups = groups.filter(|it| it.waiters.iter().any(|share| share.of == thread));
    let stack = groups.next().map_or(StackId(0), |group| group.stack);
    let did = match reason {
        Reason::Sleep => "slept".to_owned(),
        reason => format!("waited ({})", reason.name()),
    };
    let at = facts.at(stack);
    Some((format!("{name} receives, and {did}{at} for {share} of its time"), stack))
}
