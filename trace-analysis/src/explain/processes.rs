//! A rule about threads that wait for other processes.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use trace_format::id::{StackId, ThreadId};
use trace_format::time::Nanos;

use super::cost::Cost;
use super::words::{Facts, count, percent, plural, time};
use super::{Insight, InsightKind};
use crate::reason::Reason;
use crate::report::children;
use crate::report::life::{Sum, WaitGroup, saturating_sum};

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
    let mut stacks: Vec<_> = groups.iter().flat_map(|group| &group.stacks).collect();
    stacks.sort_by_key(|share| (Reverse(share.total), share.of));
    let children = children_of(facts, &threads);
    let children = plural(children.max(1), "child process", "child processes");
    let who = facts.threads(&threads);
    let max =
        longest.map_or_else(String::new, |wait| format!(", the longest {},", facts.took(wait)));
    let whose: HashSet<_> = threads.iter().copied().collect();
    let by_place = by_place(facts, &whose);
    let at = mostly(&by_place);
    let title = format!("{who} waited {} for {children}{max}{at}", time(total));
    let title = title.trim_end_matches(',').to_owned();
    let cost = Cost::of_waits(groups.iter().copied());
    let mut insight = facts.finding(InsightKind::ChildProcesses, &cost, title);
    let lives = facts.lives.threads.iter().filter(|life| whose.contains(&life.thread));
    let whole = saturating_sum(lives.map(|life| life.times.total().0));
    let their = if threads.len() == 1 { "its" } else { "their" };
    let share = percent(total.0, whole);
    insight
        .evidence
        .push(format!("{share} of {their} time; what the processes did is not in this trace"));
    for it in by_place.iter().take(PLACES_SAID).filter(|_| by_place.len() > 1) {
        let (long, waits) = (time(it.total), plural(it.waits, "wait", "waits"));
        let those = if it.is_start { " for those" } else { "" };
        insight.evidence.push(format!("{long} in {waits}{those}{}", it.at()));
    }
    insight.evidence.extend(started(facts, &whose));
    insight.threads = threads;
    insight.stacks = stacks.iter().map(|share| share.of).collect();
    insight.stacks.retain(|stack| *stack != StackId(0));
    insight.at = longest.map(|wait| wait.begin);
    insight.command = "blocked --by stack".to_owned();
    insight
}

/// What is told together, as it was done at one place.
struct AtPlace {
    /// `app::f (src/app.rs:13)`, and who called it where several do; empty if it is not known.
    place: String,
    /// Whether processes were started there and waited for elsewhere.
    is_start: bool,
    total: Nanos,
    waits: u64,
}

impl AtPlace {
    /// ` at app::f (src/app.rs:13)`, or ` started at ...`; nothing if it is not known.
    fn at(&self) -> String {
        match (self.place.as_str(), self.is_start) {
            ("", _) => String::new(),
            (place, true) => format!(" started at {place}"),
            (place, false) => format!(" at {place}"),
        }
    }
}

/// The waiting of these threads by the place where the processes were started; by where they were
/// waited for if that is not known. The most time first.
fn by_place(facts: &Facts<'_>, threads: &HashSet<ThreadId>) -> Vec<AtPlace> {
    let waits = &facts.lives.fine.children.waits;
    let waits = waits.iter().filter(|it| threads.contains(&it.thread));
    told_apart(waits.map(|it| {
        let (started, waited) = (facts.own_path(it.started), facts.own_path(it.stack));
        let is_start = !started.is_empty() && started.first() != waited.first();
        (is_start, if started.is_empty() { waited } else { started }, it.sum)
    }))
}

/// Puts together what was done at one place. A function that several others call to run a process
/// is several places: the first of its callers that differ tells them apart.
///
/// - `paths`: of each place the program's own functions, innermost first.
fn told_apart(paths: impl Iterator<Item = (bool, Vec<String>, Sum)>) -> Vec<AtPlace> {
    let mut sums: HashMap<(bool, Vec<String>), Sum> = HashMap::new();
    for (is_start, path, sum) in paths {
        sums.entry((is_start, path)).or_default().merge(sum);
    }
    // Of each innermost function what all its paths begin with.
    let mut common: HashMap<&str, &[String]> = HashMap::new();
    for (_, path) in sums.keys() {
        let Some(first) = path.first() else { continue };
        let known = common.entry(first).or_insert(path);
        let same = known.iter().zip(path).take_while(|(one, other)| one == other).count();
        *known = &known[..same];
    }
    let mut told: HashMap<(bool, String), Sum> = HashMap::new();
    for ((is_start, path), sum) in &sums {
        let first = path.first().map_or("", String::as_str);
        let caller = common.get(first).and_then(|common| path.get(common.len()));
        let place = match caller {
            Some(caller) => format!("{first}, called at {caller}"),
            None => first.to_owned(),
        };
        told.entry((*is_start, place)).or_default().merge(*sum);
    }
    let places = told.into_iter().map(|((is_start, place), sum)| {
        let Sum { count: waits, total } = sum;
        AtPlace { place, is_start, total: Nanos(total), waits }
    });
    let mut places: Vec<_> = places.collect();
    places.sort_by(|a, b| b.total.cmp(&a.total).then_with(|| a.at().cmp(&b.at())));
    places
}

/// The place if there is one or most of the time is there; else how many there are.
fn mostly(places: &[AtPlace]) -> String {
    let whole = saturating_sum(places.iter().map(|it| it.total.0));
    match places {
        [] => String::new(),
        [one] => one.at(),
        [first, ..] if first.total.0 > whole / 2 && !first.place.is_empty() => {
            format!(" mostly{}", first.at())
        }
        several => format!(" at {} places", count(several.len() as u64)),
    }
}

/// How many child processes these threads waited for.
fn children_of(facts: &Facts<'_>, threads: &[ThreadId]) -> u64 {
    let children = &facts.lives.fine.children.by_thread;
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
    let stacks = groups.iter().flat_map(|group| &group.stacks);
    let at = mostly(&told_apart(stacks.map(|share| {
        let sum = Sum { count: share.count, total: share.total.0 };
        (false, facts.own_path(share.of), sum)
    })));
    let times = plural(times, "time", "times");
    let line = format!("starting processes took another {}, {times}{at}", time(total));
    facts.is_worth(total, STARTED_THOUSANDTHS).then_some(line)
}
