//! A rule about threads that wait by giving up their CPUs again and again.

use trace_format::id::{CallId, StackId, ThreadId};
use trace_format::time::Nanos;

use super::words::{Facts, count, is_part, percent, time};
use super::{Insight, InsightKind};
use crate::report::life::saturating_sum;

/// Fewer calls than this are no loop, ...
const CALLS_MIN: u64 = 1_000;

/// ... unless the thread does little else: where others want its CPU, each call takes long. Then so
/// many are enough, if it is in them for this part of that time, in per cents.
const FEW_MIN: u64 = 20;
const FEW_PERCENT: u64 = 90;

/// Least part of a thread's time on CPUs and ready that it is in such calls, in per cents: to give
/// up the CPU is nearly all that a loop of that kind does, but the call itself is short.
const IN_CALLS_PERCENT: u64 = 25;

/// And this part of the trace's time, in thousandths.
const SPIN_THOUSANDTHS: u64 = 50;

/// Threads that spin, and which these are. What they could run for is not work that lacks a CPU.
pub(super) fn threads(facts: &Facts<'_>) -> (Option<Insight>, Vec<ThreadId>) {
    let calls = &facts.lives.calls;
    let Some(group) = calls.by_call.iter().find(|it| it.call == CallId::SCHED_YIELD) else {
        return (None, Vec::new());
    };
    let able = |thread: ThreadId| {
        let life = facts.lives.threads.iter().find(|life| life.thread == thread)?;
        Some(life.times.cpu().0.saturating_add(life.times.ready.0))
    };
    let spins = group.threads.iter().filter_map(|share| {
        let able = able(share.of)?;
        let is_much =
            |calls, per_cent| share.count >= calls && is_part(share.total.0, able, per_cent);
        let is_loop = (is_much(CALLS_MIN, IN_CALLS_PERCENT) || is_much(FEW_MIN, FEW_PERCENT))
            && facts.is_worth(Nanos(able), SPIN_THOUSANDTHS);
        is_loop.then_some((*share, able))
    });
    let spins: Vec<_> = spins.collect();
    let threads: Vec<_> = spins.iter().map(|(share, _)| share.of).collect();
    if threads.is_empty() {
        return (None, threads);
    }
    let stack = group.stacks.first().map_or(StackId(0), |share| share.of);
    let (who, at) = (facts.threads(&threads), facts.at(stack));
    let (able, called) = (
        saturating_sum(spins.iter().map(|(_, able)| *able)),
        saturating_sum(spins.iter().map(|(share, _)| share.count)),
    );
    let title =
        format!("{who} spun for {}: {} calls of sched_yield{at}", time(Nanos(able)), count(called));
    let mut insight = Insight::new(InsightKind::Spinning, Nanos(able), title);
    for (share, able) in spins.iter().take(3) {
        let (name, could) = (facts.thread(share.of), time(Nanos(*able)));
        let part = percent(*able, facts.wall());
        insight.evidence.push(format!(
            "{name} was on a CPU or ready for {could}, {part} of the time, and gave it up {} times",
            count(share.count)
        ));
    }
    insight.evidence.push(
        "what it looks for could wake it: a condition, a channel, or park and unpark".to_owned(),
    );
    insight.stacks = [stack].into_iter().filter(|stack| *stack != StackId(0)).collect();
    insight.threads.clone_from(&threads);
    insight.call = Some(CallId::SCHED_YIELD);
    insight.command = "syscalls --by stack".to_owned();
    (Some(insight), threads)
}
