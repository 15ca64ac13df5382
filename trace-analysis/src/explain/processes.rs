//! A rule about threads that wait for other processes.

use std::collections::{HashMap, HashSet};

use trace_format::id::{StackId, ThreadId};
use trace_format::time::Nanos;

use super::words::{Facts, count, percent, plural, time};
use super::{Insight, InsightKind};
use crate::reason::Reason;
use crate::report::children;
use crate::report::life::{Share, WaitGroup, saturating_sum};

/// Processes that were waited for this part of the trace's time, in thousandths.
const WAITED_THOUSANDTHS: u64 = 100;

/// Starting them is told from this part on.
const STARTED_THOUSANDTHS: u64 = 10;

/// Minimum number of processes that a thread other than main waits for: one that waits for a single
/// process may only watch over it. If others wait for that thread, the critical path shows it.
const PROCESSES_MIN: u64 = 2;

/// Maximum number of places that are named.
const PLACES_SAID: usize = 3;

/// Threads that wait for child processes: the main thread, or else all that do.
///
/// - `main`: the thread that the process began with, if it is known.
pub(super) fn children(facts: &Facts<'_>, main: Option<ThreadId>) -> Option<Insight> {
    let groups = facts.lives.waits.by_thread.iter();
    let groups: Vec<_> = groups.filter(|group| group.reason == Reason::Process).collect();
    let is_main = |group: &WaitGroup| Some(group.thread) == main;
    let is_worth = |group: &WaitGroup| facts.is_worth(group.total, WAITED_THOUSANDTHS);
    let told: Vec<&WaitGroup> = match groups.iter().find(|it| is_main(it) && is_worth(it)) {
        Some(group) => vec![group],
        None => {
            let others = groups.into_iter().filter(|group| !is_main(group));
            others.filter(|group| children_of(facts, &[group.thread]) >= PROCESSES_MIN).collect()
        }
    };
    let total = Nanos(saturating_sum(told.iter().map(|group| group.total.0)));
    facts.is_worth(total, WAITED_THOUSANDTHS).then(|| tell(facts, &told, total))
}

fn tell(facts: &Facts<'_>, groups: &[&WaitGroup], total: Nanos) -> Insight {
    let threads: Vec<_> = groups.iter().map(|group| group.thread).collect();
    let longest = groups.iter().filter_map(|group| group.longest.first());
    let longest = longest.max_by_key(|wait| wait.duration);
    let mut places: Vec<_> = groups.iter().flat_map(|group| &group.stacks).collect();
    places.sort_by_key(|share| (std::cmp::Reverse(share.total), share.of));
    let children = children_of(facts, &threads);
    let children = plural(children.max(1), "child process", "child processes");
    let who = facts.threads(&threads);
    let max =
        longest.map_or_else(String::new, |wait| format!(", the longest {},", facts.took(wait)));
    let by_place = by_place(facts, &places);
    let at = by_place.first().map_or("", |(at, ..)| at.as_str());
    let title = format!("{who} waited {} for {children}{max}{at}", time(total));
    let title = title.trim_end_matches(',').to_owned();
    let mut insight = Insight::new(InsightKind::ChildProcesses, total, title);
    let whose: HashSet<_> = threads.iter().copied().collect();
    let lives = facts.lives.threads.iter().filter(|life| whose.contains(&life.thread));
    let whole = saturating_sum(lives.map(|life| life.times.total().0));
    let their = if threads.len() == 1 { "its" } else { "their" };
    let share = percent(total.0, whole);
    insight
        .evidence
        .push(format!("{share} of {their} time; what the processes did is not recorded"));
    for (at, long, waits) in by_place.iter().take(PLACES_SAID).filter(|_| by_place.len() > 1) {
        let (long, waits) = (time(*long), plural(*waits, "wait", "waits"));
        insight.evidence.push(format!("{long} in {waits}{at}"));
    }
    insight.evidence.extend(started(facts, &whose));
    insight.threads = threads;
    insight.stacks = places.iter().map(|share| share.of).collect();
    insight.stacks.retain(|stack| *stack != StackId(0));
    insight.at = longest.map(|wait| wait.begin);
    insight.command = "blocked --by stack".to_owned();
    insight
}

/// The places as they are said, each once, with how long and how often was waited there; the most
/// time first.
fn by_place(facts: &Facts<'_>, stacks: &[&Share<StackId>]) -> Vec<(String, Nanos, u64)> {
    let mut sums: HashMap<String, (u64, u64)> = HashMap::new();
    for share in stacks {
        let (total, waits) = sums.entry(facts.own_at(share.of)).or_default();
        *total = total.saturating_add(share.total.0);
        *waits += share.count;
    }
    let places = sums.into_iter().map(|(at, (total, waits))| (at, Nanos(total), waits));
    let mut places: Vec<_> = places.collect();
    places.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    places
}

/// How many child processes these threads waited for.
fn children_of(facts: &Facts<'_>, threads: &[ThreadId]) -> u64 {
    let children = &facts.lives.fine.children;
    children::count(threads.iter().filter_map(|thread| children.get(thread)))
}

/// What it cost to start them.
fn started(facts: &Facts<'_>, threads: &HashSet<ThreadId>) -> Option<String> {
    let groups = facts.lives.waits.by_thread.iter();
    let groups = groups
        .filter(|group| group.reason == Reason::ProcessStart && threads.contains(&group.thread));
    let groups: Vec<_> = groups.collect();
    let total = Nanos(saturating_sum(groups.iter().map(|group| group.total.0)));
    let times: u64 = groups.iter().map(|group| group.count).sum();
    let stack = groups.first().and_then(|group| group.stacks.first());
    let at = stack.map_or_else(String::new, |share| facts.own_at(share.of));
    let starts = if times == 1 { "start" } else { "starts" };
    facts
        .is_worth(total, STARTED_THOUSANDTHS)
        .then(|| format!("and {} for {} {starts} of processes{at}", time(total), count(times)))
}
