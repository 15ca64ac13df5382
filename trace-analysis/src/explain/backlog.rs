//! A rule about async tasks that pile up.

use trace_format::id::StackId;

use super::cost::Cost;
use super::words::{Facts, all_of, count, is_part, percent};
use super::{Insight, InsightKind};
use crate::reason::Awaited;
use crate::report::async_tasks::{AsyncTasks, AwaitGroup, SpawnSite};

/// Fewer tasks than this are no backlog.
const ALIVE_MIN: u64 = 100;

/// Least part of a spawn site's tasks that had not ended, in per cents, ...
const ALIVE_PERCENT: u64 = 50;

/// ... and least part of the most that lived at once: they did not become fewer.
const MOST_PERCENT: u64 = 90;

/// Maximum number of places that are named at which they wait.
const SAID: usize = 3;

/// Spawn sites of which more tasks begin than end.
pub(super) fn tasks(facts: &Facts<'_>, tasks: &AsyncTasks) -> Vec<Insight> {
    tasks.sites.iter().filter_map(|site| piled_up(facts, tasks, site)).collect()
}

fn piled_up(facts: &Facts<'_>, tasks: &AsyncTasks, site: &SpawnSite) -> Option<Insight> {
    let is_pile = site.spawned
        && site.alive >= ALIVE_MIN
        && is_part(site.alive, site.count, ALIVE_PERCENT)
        && is_part(site.alive, site.alive_max, MOST_PERCENT);
    let waiting = || {
        let groups = tasks.waits.iter().filter(|group| group.site == site.site);
        let mut groups: Vec<_> = groups.filter(|group| group.waiting > 0).collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.waiting));
        groups
    };
    // Who waits for the world, for work or for time may rest: a connection each, say.
    let groups = if is_pile { waiting() } else { return None };
    let resting: u64 = groups.iter().filter(|it| rests(it)).map(|it| it.waiting).sum();
    if resting >= site.alive / 2 {
        return None;
    }
    let who = facts.site(site.site);
    let (left, all) = (count(site.alive), count(site.count));
    let title = format!(
        "{left} of {all} async tasks ({who}) had not ended when the trace stopped: more begin \
         than end"
    );
    let alive = tasks.unfinished.iter().filter(|task| task.site == site.site);
    // Of all spawn sites those that have waited longest are kept, perhaps none of these.
    let longest = groups.iter().flat_map(|group| &group.longest).map(|idle| {
        let from = idle.begin.inside().0;
        (from, from.saturating_add(idle.inside.0))
    });
    let cost = Cost::of_unfinished(alive).and_spans(longest);
    let mut insight = facts.finding(InsightKind::Backlog, &cost, title);
    for group in groups.iter().take(SAID) {
        let what = facts.awaited((group.stack, group.awaited), &group.one_of);
        let (waiting, share) = (count(group.waiting), percent(group.waiting, site.alive));
        insight.evidence.push(format!("{waiting} of them ({share}) waited for {what}"));
    }
    let idle: u64 = groups.iter().map(|group| group.waiting).sum();
    let rest = site.alive.saturating_sub(idle);
    if rest > 0 {
        insight.evidence.push(format!("{} of them were ready or in a poll", count(rest)));
    }
    insight.stacks = groups.iter().take(SAID).map(|group| group.stack).collect();
    insight.stacks.retain(|stack| *stack != StackId(0));
    insight.command = "async".to_owned();
    Some(insight)
}

fn rests(group: &AwaitGroup) -> bool {
    all_of(group.awaited, &group.one_of).any(|awaited| {
        awaited.is_rest() || matches!(awaited, Awaited::Socket | Awaited::ChannelReceive)
    })
}
