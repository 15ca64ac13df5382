//! A rule about the thread whose time is the program's: most of it passes while it waits itself,
//! for the world outside or for time, and nobody of the program ends that.
//!
//! Elsewhere: what it waits for through other threads and tasks (`path`), child processes
//! (`processes`), files that are slow (`calls`).

use std::collections::HashMap;

use trace_format::id::{ResourceId, StackId, ThreadId};
use trace_format::time::Nanos;

use super::words::{Facts, is_part, percent, plural, time};
use super::{Insight, InsightKind};
use crate::reason::{Reason, ReasonKind};
use crate::report::life::{Share, WaitGroup, merged, saturating_sum};

/// Least part of the time that it waits so, in thousandths.
const WAITED_THOUSANDTHS: u64 = 500;

/// Another thread that can run for this part of the waiting, in per cents, does the program's work:
/// then the one that sleeps or listens only rests.
const BUSY_PERCENT: u64 = 25;

/// Another finding tells of the waiting, or of what a program that rests does meanwhile, if it
/// explains at least the waiting divided by this.
const TOLD_PART: u64 = 4;

/// Maximum number of places that are named.
const PLACES_SAID: usize = 3;

/// All waiting of one kind.
struct OwnWaits<'g> {
    thread: ThreadId,
    reason: Reason,
    groups: Vec<&'g WaitGroup>,
    /// Where, the most time first.
    stacks: Vec<Share<StackId>>,
    /// How long nobody of the program ended it.
    total: u64,
}

/// The thread that the program depends on waits for most of the time.
///
/// - `told`: the findings so far.
pub(super) fn of_main(facts: &Facts<'_>, told: &[Insight]) -> Option<Insight> {
    let thread = facts.measure?.root()?;
    let mut kinds: HashMap<Reason, Vec<&WaitGroup>> = HashMap::new();
    let groups = facts.lives.waits.by_thread.iter().filter(|group| group.thread == thread);
    for group in groups.filter(|group| is_for_others_outside(group.reason)) {
        kinds.entry(group.reason).or_default().push(group);
    }
    let kinds = kinds.into_iter().map(|(reason, groups)| own(facts, thread, reason, groups));
    let most = kinds.max_by_key(|waits| (waits.total, waits.reason))?;
    let is_told = told.iter().any(|insight| tells(facts, insight, &most));
    let is_worth = facts.is_worth(Nanos(most.total), WAITED_THOUSANDTHS);
    (is_worth && !is_told && !only_rests(facts, told, &most)).then(|| tell(facts, &most))
}

fn is_for_others_outside(reason: Reason) -> bool {
    matches!(reason.kind(), ReasonKind::Outside | ReasonKind::Time) || reason.is_file()
}

fn own<'g>(
    facts: &Facts<'_>,
    thread: ThreadId,
    reason: Reason,
    groups: Vec<&'g WaitGroup>,
) -> OwnWaits<'g> {
    let mut stacks = merged(groups.iter().flat_map(|group| &group.stacks));
    // Who listens waits for the world to ask for something.
    stacks.retain(|share| !facts.accepts(share.of));
    let all = saturating_sum(stacks.iter().map(|share| share.total.0));
    let ended = facts.lives.long_waits(thread).iter().filter(|wait| {
        wait.reason == reason && wait.waker.is_some_and(|waker| waker.thread != thread)
    });
    let ended = saturating_sum(ended.map(|wait| wait.nanos().0));
    OwnWaits { thread, reason, groups, stacks, total: all.saturating_sub(ended) }
}

/// Whether a finding tells of the waiting: where it is, or that this thread waits.
fn tells(facts: &Facts<'_>, insight: &Insight, waits: &OwnWaits<'_>) -> bool {
    let is_its = insight.threads.first() == Some(&waits.thread);
    if insight.kind == InsightKind::SleepLoop && waits.reason == Reason::Sleep {
        return is_its;
    }
    let place = waits.stacks.first().map(|share| facts.own_at(share.of));
    let place = place.filter(|at| !at.is_empty());
    let is_there =
        place.is_some() && insight.stacks.iter().any(|stack| Some(facts.own_at(*stack)) == place);
    (is_its || is_there) && insight.lost.0 >= waits.total / TOLD_PART
}

/// Whether to wait so may be how the thread rests while the program does its work, as the main
/// thread of a server does.
fn only_rests(facts: &Facts<'_>, told: &[Insight], waits: &OwnWaits<'_>) -> bool {
    let is_rest = match waits.reason {
        Reason::Sleep | Reason::Poll => true,
        _ => is_standard_input(facts, resource(facts, waits)),
    };
    let is_busy = facts.lives.threads.iter().filter(|life| life.thread != waits.thread).any(|it| {
        let able = it.times.cpu().0.saturating_add(it.times.ready.0);
        is_part(able.saturating_add(it.times.unknown.0), waits.total, BUSY_PERCENT)
    });
    let is_slow = told.iter().any(|insight| insight.lost.0 >= waits.total / TOLD_PART);
    is_rest && (is_busy || is_slow)
}

/// What most of it was for; 0 if that has no name.
fn resource(facts: &Facts<'_>, waits: &OwnWaits<'_>) -> ResourceId {
    let groups = facts.lives.waits.by_resource.iter();
    let groups = groups.filter(|group| group.reason == waits.reason);
    let own = groups.filter_map(|group| {
        let mut waiters = group.waiters.iter();
        let share = waiters.find(|share| share.of == waits.thread)?;
        Some((share.total.0, group.resource))
    });
    let most = own.max_by_key(|(total, resource)| (*total, std::cmp::Reverse(*resource)));
    let most = most.filter(|(total, _)| is_part(*total, waits.total, 50));
    most.map_or(ResourceId(0), |(_, resource)| resource)
}

fn is_standard_input(facts: &Facts<'_>, resource: ResourceId) -> bool {
    let resource = facts.tables.resources.get(&resource);
    resource.is_some_and(|resource| resource.kind.is_descriptor() && resource.value == 0)
}

fn tell(facts: &Facts<'_>, waits: &OwnWaits<'_>) -> Insight {
    let (total, resource) = (Nanos(waits.total), resource(facts, waits));
    let lives = facts.lives.threads.iter().filter(|life| life.thread == waits.thread);
    let whole = saturating_sum(lives.map(|life| life.times.total().0));
    let (who, long, share) = (facts.thread(waits.thread), time(total), percent(total.0, whole));
    let did = match (waits.reason, facts.resource(resource)) {
        (Reason::Sleep, _) => format!("slept for {long}"),
        (Reason::Poll, _) => format!("waited {long} for descriptors to be ready"),
        _ if is_standard_input(facts, resource) => format!("waited {long} for standard input"),
        (reason, name) if name.is_empty() => format!("waited {long} for {}", reason.name()),
        (reason, name) => format!("waited {long} for {} of {name}", reason.name()),
    };
    let mut places: Vec<(String, u64)> = Vec::new();
    for share in &waits.stacks {
        let at = facts.own_at(share.of);
        match places.iter_mut().find(|(place, _)| *place == at) {
            Some((_, total)) => *total = total.saturating_add(share.total.0),
            None => places.push((at, share.total.0)),
        }
    }
    places.sort_by(|a, b| (b.1, &a.0).cmp(&(a.1, &b.0)));
    let at = places.first().map_or("", |(at, _)| at.as_str());
    let title = format!("{who} {did}, {share} of its time{at}");
    let mut insight = Insight::new(InsightKind::CriticalPath, total, title);
    let count = saturating_sum(waits.groups.iter().map(|group| group.count));
    let longest = waits.groups.iter().filter_map(|group| group.longest.first());
    let longest = longest.max_by_key(|wait| wait.duration);
    let times = plural(count, "time", "times");
    let most = longest.map_or(String::new(), |wait| format!(", the longest {}", facts.took(wait)));
    insight.evidence.push(format!("{times}{most}"));
    for (at, total) in places.iter().take(PLACES_SAID).filter(|_| places.len() > 1) {
        insight.evidence.push(format!("{}{at}", time(Nanos(*total))));
    }
    if waits.reason.is_input() || matches!(waits.reason, Reason::PipeWrite | Reason::SocketWrite) {
        let line = "no thread of the program ended it: what the other side did is not recorded";
        insight.evidence.push(line.to_owned());
    }
    insight.threads = vec![waits.thread];
    insight.stacks = waits.stacks.iter().map(|share| share.of).collect();
    insight.stacks.retain(|stack| *stack != StackId(0));
    insight.resource = Some(resource).filter(|resource| *resource != ResourceId(0));
    insight.at = longest.map(|wait| wait.begin);
    insight.command = "blocked --by stack".to_owned();
    insight
}
