//! Rules about the critical path: what the program's main thread waited for in the end, through
//! however many other threads. Or another thread that no thread of the trace made: the one in which
//! a test runs.

use std::collections::HashMap;

use trace_format::id::{StackId, ThreadId};
use trace_format::time::Nanos;

use super::words::{Facts, count, is_part, percent, time};
use super::{Insight, InsightKind};
use crate::reason::Reason;
use crate::report::life::saturating_sum;
use crate::report::path::{CriticalPath, HandOver, PathDoing, PathStep};

/// One cause is a finding from this part on of the main thread's time, in thousandths.
const CAUSE_THOUSANDTHS: u64 = 400;

/// A thread that computes is a cause if it has so much of all CPU time, in per cents: where others
/// compute as well the work is shared.
const ALONE_PERCENT: u64 = 80;

/// A thread that computes is a cause if all its time on CPUs and ready, wherever in its life, is at
/// least this part of its time on the path, in per cents: there short waits look like work.
const ABLE_PERCENT: u64 = 70;

/// Maximum number of threads whose paths are looked at.
const FIRST_MAX: usize = 16;

/// Maximum number of hand-overs that are named; of a longer chain the first and the last.
const CHAIN_SAID: usize = 6;

/// All time of the path in which one thread did one thing.
#[derive(Debug)]
struct Cause {
    thread: ThreadId,
    doing: PathDoing,
    total: u64,
    longest: PathStep,
}

/// What the main thread waited for in the end, if it is one thing and no other rule has named it.
///
/// - `told`: the findings so far.
pub(super) fn cause(facts: &Facts<'_>, told: &[Insight]) -> Option<Insight> {
    first_threads(facts).into_iter().find_map(|first| cause_of(facts, told, first))
}

fn cause_of(facts: &Facts<'_>, told: &[Insight], main: ThreadId) -> Option<Insight> {
    let path = CriticalPath::of(facts.lives, main);
    let whole = saturating_sum(path.steps.iter().map(|step| step.to.0 - step.from.0));
    let cause = causes(facts, &path).into_iter().find(|cause| cause.thread != main)?;
    let is_main =
        u128::from(cause.total) * 1000 >= u128::from(facts.wall()) * u128::from(CAUSE_THOUSANDTHS);
    let is_told = told.iter().any(|insight| names(insight, &cause));
    if !is_main || is_told || !is_worth(facts, &cause) {
        return None;
    }
    let chain = path.chain(&cause.longest);
    (!chain.is_empty()).then(|| tell(facts, (main, whole), &cause, &chain))
}

/// The threads that no thread of the trace made, the one that the process began with first.
fn first_threads(facts: &Facts<'_>) -> Vec<ThreadId> {
    let process = facts.tables.process.as_ref().map(|process| process.pid);
    let threads = facts.lives.threads.iter();
    let own = threads.filter(|life| life.thread != ThreadId(0) && life.parent == ThreadId(0));
    let mut own: Vec<_> = own.collect();
    own.sort_by_key(|life| {
        (Some(life.os_id) != process, life.name != "main", life.begin, life.thread)
    });
    own.into_iter().take(FIRST_MAX).map(|life| life.thread).collect()
}

/// What the path consists of, the most time first.
fn causes(facts: &Facts<'_>, path: &CriticalPath) -> Vec<Cause> {
    let mut places: HashMap<(ThreadId, Option<Reason>, String), Cause> = HashMap::new();
    for step in &path.steps {
        let (reason, at) = match step.doing {
            PathDoing::Working => (None, String::new()),
            PathDoing::Waiting(reason, stack) => (Some(reason), facts.at(stack)),
        };
        let nanos = step.to.0 - step.from.0;
        let (thread, doing) = (step.thread, step.doing);
        let cause = places.entry((thread, reason, at)).or_insert(Cause {
            thread,
            doing,
            total: 0,
            longest: *step,
        });
        cause.total = cause.total.saturating_add(nanos);
        if nanos > cause.longest.to.0 - cause.longest.from.0 {
            (cause.longest, cause.doing) = (*step, doing);
        }
    }
    let mut causes: Vec<_> = places.into_values().collect();
    causes.sort_by_key(|cause| (std::cmp::Reverse(cause.total), cause.thread, cause.doing));
    causes
}

/// Whether the cause can be helped: a thread that works alone, or that waits for something that is
/// neither work to come nor the world to ask for something.
fn is_worth(facts: &Facts<'_>, cause: &Cause) -> bool {
    use Reason::{File, FileLock, FileRead, FileSync, FileWrite, PageFault, PipeRead, PipeWrite};
    match cause.doing {
        PathDoing::Working => works_alone(facts, cause),
        PathDoing::Waiting(reason, _) => matches!(
            reason,
            Reason::Sleep
                | Reason::Process
                | File
                | FileLock
                | FileRead
                | FileSync
                | FileWrite
                | PageFault
                | PipeRead
                | PipeWrite
        ),
    }
}

fn works_alone(facts: &Facts<'_>, cause: &Cause) -> bool {
    let lives = facts.lives;
    let all = saturating_sum(lives.threads.iter().map(|life| life.times.cpu().0));
    let own = lives.threads.iter().find(|life| life.thread == cause.thread);
    let times = own.map(|life| life.times).unwrap_or_default();
    let able = times.cpu().0.saturating_add(times.ready.0);
    lives.cpus_watched >= 2
        && times.cpu().0 > 0
        && is_part(times.cpu().0, all, ALONE_PERCENT)
        && is_part(able, cause.total, ABLE_PERCENT)
}

/// Whether a finding has the cause already: its thread or its place.
fn names(insight: &Insight, cause: &Cause) -> bool {
    let is_about_cpus =
        matches!(insight.kind, InsightKind::CpusTaken | InsightKind::Oversubscribed);
    let is_place = match cause.doing {
        PathDoing::Waiting(_, stack) => insight.stacks.contains(&stack),
        PathDoing::Working => false,
    };
    !is_about_cpus && (is_place || insight.threads.first() == Some(&cause.thread))
}

fn tell(
    facts: &Facts<'_>,
    (main, whole): (ThreadId, u64),
    cause: &Cause,
    chain: &[HandOver],
) -> Insight {
    let (who, whose) = (facts.thread(cause.thread), facts.thread(main));
    let (share, total) = (percent(cause.total, whole), time(Nanos(cause.total)));
    let (kind, lost, did) = match cause.doing {
        PathDoing::Working => {
            // What others could have done at the same time.
            let cpus = facts.lives.cpus_watched.max(1) as u64;
            let lost = cause.total - cause.total / cpus;
            // A thread that others kept off the CPUs has not computed all that time.
            let own = facts.lives.threads.iter().find(|life| life.thread == cause.thread);
            let had_none = own.is_some_and(|life| life.times.ready > life.times.cpu());
            let did = if had_none { "which computed, or had no CPU" } else { "which computed" };
            (InsightKind::OneThread, lost, did.to_owned())
        }
        PathDoing::Waiting(reason, stack) => {
            let did = match reason {
                Reason::Sleep => "which slept".to_owned(),
                reason => format!("which waited ({})", reason.name()),
            };
            (InsightKind::CriticalPath, cause.total, did + &facts.at(stack))
        }
    };
    let whole = time(Nanos(whole));
    let title = format!("{share} of {whose}'s {whole} depend on {who}, {did}: {total}");
    let mut insight = Insight::new(kind, Nanos(lost), title);
    insight.evidence.push(chain_line(facts, chain));
    if cause.doing == PathDoing::Working {
        insight.evidence.extend(computed(facts, cause.thread));
    }
    insight.threads = vec![cause.thread, main];
    let stacks = chain.iter().rev().map(|hand| hand.stack);
    insight.stacks = match cause.doing {
        PathDoing::Waiting(_, stack) => std::iter::once(stack).chain(stacks).collect(),
        PathDoing::Working => stacks.collect(),
    };
    insight.stacks.retain(|stack| *stack != StackId(0));
    insight.at = Some(cause.longest.from.into());
    insight.command = "threads".to_owned();
    insight
}

/// `main waited 210 ms for stage-3 (join at app::main (src/main.rs:17)), stage-3 for ...`.
fn chain_line(facts: &Facts<'_>, chain: &[HandOver]) -> String {
    let said = |hand: &HandOver| {
        let (waiter, other) = (facts.thread(hand.waiter), facts.thread(hand.other));
        let (reason, at) = (hand.reason.name(), facts.at(hand.stack));
        format!("{waiter} waited {} for {other} ({reason}{at})", time(hand.waited))
    };
    let (first, last) = match chain.len() {
        0..=CHAIN_SAID => (chain, &[][..]),
        long => (&chain[..CHAIN_SAID / 2], &chain[long - CHAIN_SAID / 2..]),
    };
    let mut parts: Vec<_> = first.iter().map(said).collect();
    let left_out = chain.len() - first.len() - last.len();
    if left_out > 0 {
        parts.push(format!("{} more", count(left_out as u64)));
    }
    parts.extend(last.iter().map(said));
    parts.join("; ")
}

/// What a thread that computes had, and what the other CPUs did.
fn computed(facts: &Facts<'_>, thread: ThreadId) -> Option<String> {
    let lives = facts.lives;
    let life = lives.threads.iter().find(|life| life.thread == thread)?;
    let all = saturating_sum(lives.threads.iter().map(|life| life.times.cpu().0));
    let (cpu, ready) = (time(life.times.cpu()), life.times.ready);
    let ready = match ready.0 {
        0..1_000_000 => String::new(),
        _ => format!(", ready without one for {}", time(ready)),
    };
    let used = all as f64 / facts.wall() as f64;
    let cpus = count(lives.cpus_watched as u64);
    let name = facts.thread(thread);
    let program = format!("the program used {used:.2} CPUs in the mean, of {cpus}");
    Some(format!("{name} was on a CPU for {cpu}{ready}; {program}"))
}
