//! A rule about threads that wait by giving up their CPUs again and again.

use std::collections::{HashMap, HashSet};

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

/// And CPU time for this part of the trace's time, in thousandths. Who is ready does not spin:
/// others have the CPU.
const SPIN_THOUSANDTHS: u64 = 50;

/// Threads that spin, and which these are. What they could run for is not work that lacks a CPU.
pub(super) fn threads(facts: &Facts<'_>) -> (Option<Insight>, HashSet<ThreadId>) {
    let calls = &facts.lives.calls;
    let Some(group) = calls.by_call.iter().find(|it| it.call == CallId::SCHED_YIELD) else {
        return (None, HashSet::new());
    };
    let lives = facts.lives.threads.iter().rev();
    let times: HashMap<ThreadId, _> =
        lives.map(|life| (life.thread, (life.times.cpu(), life.times.ready))).collect();
    let spins = group.threads.iter().filter_map(|share| {
        let (cpu, ready) = *times.get(&share.of)?;
        let able = cpu.0.saturating_add(ready.0);
        let is_much =
            |calls, per_cent| share.count >= calls && is_part(share.total.0, able, per_cent);
        let is_loop = (is_much(CALLS_MIN, IN_CALLS_PERCENT) || is_much(FEW_MIN, FEW_PERCENT))
            && facts.is_worth(cpu, SPIN_THOUSANDTHS);
        is_loop.then_some((*share, cpu, ready))
    });
    let spins: Vec<_> = spins.collect();
    let threads: Vec<_> = spins.iter().map(|(share, ..)| share.of).collect();
    if threads.is_empty() {
        return (None, HashSet::new());
    }
    let stack = group.stacks.first().map_or(StackId(0), |share| share.of);
    let (who, at) = (facts.threads(&threads), facts.at(stack));
    let (spun, called) = (
        Nanos(saturating_sum(spins.iter().map(|(_, cpu, _)| cpu.0))),
        saturating_sum(spins.iter().map(|(share, ..)| share.count)),
    );
    let title =
        format!("{who} spun for {}: {} calls of sched_yield{at}", time(spun), count(called));
    let cost = facts.cpu_cost(spins.iter().map(|(share, cpu, _)| (share.of, cpu.0)));
    let mut insight = facts.finding(InsightKind::Spinning, &cost, title);
    for (share, cpu, ready) in spins.iter().take(3) {
        let (name, on) = (facts.thread(share.of), time(*cpu));
        let part = percent(cpu.0, facts.wall());
        let ready =
            if ready.0 == 0 { String::new() } else { format!(", ready for {}", time(*ready)) };
        let times = count(share.count);
        insight.evidence.push(format!(
            "{name} was on a CPU for {on}, {part} of the time{ready}, and gave it up {times} times",
        ));
    }
    insight.evidence.push(
        "what it looks for could wake it: a condition, a channel, or park and unpark".to_owned(),
    );
    insight.stacks = [stack].into_iter().filter(|stack| *stack != StackId(0)).collect();
    insight.call = Some(CallId::SCHED_YIELD);
    insight.command = "syscalls --by stack".to_owned();
    let spinners = threads.iter().copied().collect();
    insight.threads = threads;
    (Some(insight), spinners)
}
