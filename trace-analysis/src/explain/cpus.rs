//! Rules about who gets CPUs.

use std::cmp::Reverse;

use trace_format::time::Nanos;

use super::words::{Facts, count, is_part, percent, plural, time};
use super::{Insight, InsightKind};
use crate::reason::ReasonKind;
use crate::report::life::{ThreadLife, saturating_sum};

/// Threads that are ready so much of the time in which they could run, in per cents, are short of
/// CPUs: any scheduler lets threads wait a little.
const READY_PERCENT: u64 = 25;

/// And this part of the trace's time, in thousandths.
const READY_THOUSANDTHS: u64 = 50;

/// One thread is said to do all the work if it has so much of the CPU time, in per cents ...
const ONE_PERCENT: u64 = 80;

/// ... and is busy for so much of the trace, in per cents.
const BUSY_PERCENT: u64 = 70;

/// Of the other threads so many wait for work for this part of the trace, in per cents.
const IDLE_THREADS: usize = 2;
const IDLE_PERCENT: u64 = 60;

/// Threads that could run and did not.
pub(super) fn without_cpu(facts: &Facts<'_>) -> Option<Insight> {
    let lives = facts.lives;
    let sum = |of: fn(&ThreadLife) -> u64| saturating_sum(lives.threads.iter().map(of));
    let (ready, cpu) = (sum(|life| life.times.ready.0), sum(|life| life.times.cpu().0));
    let is_short = is_part(ready, ready.saturating_add(cpu), READY_PERCENT);
    if !is_short || !facts.is_worth(Nanos(ready), READY_THOUSANDTHS) {
        return None;
    }
    let mut threads: Vec<_> = lives.threads.iter().collect();
    threads.sort_by_key(|life| Reverse(life.times.ready));
    let (shared, taken) = (lives.concurrency.shared.0, lives.concurrency.taken.0);
    let cpus = plural(lives.cpus_watched as u64, "CPU", "CPUs");
    let waited = time(Nanos(ready));
    let able = lives.concurrency.able.len().saturating_sub(1);
    let (kind, title) = if shared >= taken {
        let title = format!(
            "Threads were ready for {waited} and had no CPU: up to {able} at once, on {cpus}"
        );
        (InsightKind::Oversubscribed, title)
    } else {
        let title = format!(
            "Threads were ready for {waited} and had no CPU, as other programs or a limit took them"
        );
        (InsightKind::CpusTaken, title)
    };
    let mut insight = Insight::new(kind, Nanos(ready), title);
    for life in threads.iter().take(3).filter(|life| life.times.ready.0 > 0) {
        let of = life.times.ready.0.saturating_add(life.times.cpu().0);
        let (name, share) = (facts.thread(life.thread), percent(life.times.ready.0, of));
        let put_off = plural(life.preemptions, "time", "times");
        let could = time(Nanos(of));
        insight.evidence.push(format!(
            "{name} could run for {could}, {share} of it ready without a CPU; put off {put_off}",
        ));
    }
    let used = cpu as f64 / facts.wall() as f64;
    insight.evidence.push(format!(
        "the program used {used:.2} CPUs in the mean, of {}",
        count(lives.cpus_watched as u64)
    ));
    insight.threads = threads.iter().take(3).map(|life| life.thread).collect();
    insight.command = "threads".to_owned();
    Some(insight)
}

/// One thread works, and others wait for work.
pub(super) fn one_thread(facts: &Facts<'_>) -> Option<Insight> {
    let lives = facts.lives;
    if lives.cpus_watched < 2 {
        return None;
    }
    let cpu = saturating_sum(lives.threads.iter().map(|life| life.times.cpu().0));
    let worker = lives.threads.iter().max_by_key(|life| life.times.cpu())?;
    let (own, wall) = (worker.times.cpu().0, facts.wall());
    if !is_part(own, cpu, ONE_PERCENT) || !is_part(own, wall, BUSY_PERCENT) {
        return None;
    }
    let waiting = |life: &ThreadLife| {
        let reasons = life.times.reasons().into_iter();
        let others = reasons.filter(|(reason, _)| reason.kind() == ReasonKind::Others);
        saturating_sum(others.map(|(_, time)| time.0))
    };
    let mut idle: Vec<_> = lives
        .threads
        .iter()
        .filter(|life| life.thread != worker.thread && is_part(waiting(life), wall, IDLE_PERCENT))
        .collect();
    if idle.len() < IDLE_THREADS {
        return None;
    }
    idle.sort_by_key(|life| Reverse(waiting(life)));
    let name = facts.thread(worker.thread);
    let share = percent(own, cpu);
    let threads: Vec<_> = idle.iter().map(|life| life.thread).collect();
    let title = format!("{name} did {share} of the work, while {} waited", facts.threads(&threads));
    // What others could have done at the same time.
    let helpers = idle.len().min(lives.cpus_watched - 1) as u64;
    let lost = Nanos(own - own / (helpers + 1));
    let mut insight = Insight::new(InsightKind::OneThread, lost, title);
    insight.evidence.push(format!(
        "{name} was on a CPU for {}, {} of the trace",
        time(Nanos(own)),
        percent(own, wall)
    ));
    for life in idle.iter().take(2) {
        let name = facts.thread(life.thread);
        let reason = life.times.reasons().first().map_or("nothing", |(reason, _)| reason.name());
        let waited = time(Nanos(waiting(life)));
        insight.evidence.push(format!("{name} waited {waited}, mostly for: {reason}"));
    }
    insight.threads = std::iter::once(worker.thread).chain(threads).collect();
    insight.command = "threads".to_owned();
    Some(insight)
}
