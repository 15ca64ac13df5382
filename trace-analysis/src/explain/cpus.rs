//! Rules about who gets CPUs.

use std::cmp::Reverse;
use std::collections::HashSet;

use trace_format::id::ThreadId;
use trace_format::time::Nanos;

use super::cost::Cost;
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

/// Maximum number of threads that the title names.
const NAMED_MAX: usize = 3;

/// Threads that could run and did not.
///
/// - `spinning`: those that waited by giving up their CPUs again and again; they are no victims.
pub(super) fn without_cpu(facts: &Facts<'_>, spinning: &HashSet<ThreadId>) -> Option<Insight> {
    let lives = facts.lives;
    let mut threads: Vec<_> =
        lives.threads.iter().filter(|life| !spinning.contains(&life.thread)).collect();
    threads.sort_by_key(|life| Reverse(life.times.ready));
    let sum = |of: fn(&ThreadLife) -> u64| saturating_sum(threads.iter().map(|life| of(life)));
    let (ready, cpu) = (sum(|life| life.times.ready.0), sum(|life| life.times.cpu().0));
    let is_short = is_part(ready, ready.saturating_add(cpu), READY_PERCENT);
    let lost = delayed(facts, ready, cpu);
    if !is_short || !facts.is_worth(lost, READY_THOUSANDTHS) {
        return None;
    }
    let (shared, taken) = (lives.concurrency.shared.0, lives.concurrency.taken.0);
    let cpus = plural(lives.cpus_watched as u64, "CPU", "CPUs");
    let waited = time(Nanos(ready));
    let victims = threads.iter().copied().filter(|life| life.times.ready.0 > 0);
    let victims: Vec<_> = victims.collect();
    let (who, in_all) = match victims.as_slice() {
        [one] => (format!("{} was", facts.life(one)), ""),
        some if some.len() <= NAMED_MAX => (format!("{} were", facts.all(some)), " in all"),
        _ => ("Threads were".to_owned(), " in all"),
    };
    // Neither is known of who was woken and came onto no CPU yet.
    let (kind, why) = if shared == 0 && taken == 0 {
        (InsightKind::CpusTaken, String::new())
    } else if shared >= taken {
        let at_once = waited_at_once(facts, &victims);
        (InsightKind::Oversubscribed, format!(": {at_once} waited for {cpus} at once"))
    } else {
        (InsightKind::CpusTaken, ", as other programs or a limit took them".to_owned())
    };
    let title = format!("{who} ready for {waited}{in_all} and had no CPU{why}");
    let ready = threads.iter().map(|life| (life.thread, life.times.ready.0));
    let cost = Cost::of_threads(ready).at_once(facts.able_at_once());
    let mut insight = facts.finding(kind, &cost, title);
    for life in threads.iter().take(3).filter(|life| life.times.ready.0 > 0) {
        let of = life.times.ready.0.saturating_add(life.times.cpu().0);
        let (name, share) = (facts.life(life), percent(life.times.ready.0, of));
        let put_off = plural(life.preemptions, "time", "times");
        let could = time(Nanos(of));
        insight.evidence.push(format!(
            "{name} could run for {could}, {share} of it ready without a CPU; it was put off its \
             CPU {put_off}",
        ));
    }
    let used = facts.program_cpu() as f64 / facts.wall() as f64;
    insight.evidence.push(format!(
        "the program used {used:.2} CPUs on average, of {}",
        count(lives.cpus_watched as u64)
    ));
    insight.threads = victims.iter().map(|life| life.thread).collect();
    insight.command = "threads".to_owned();
    Some(insight)
}

/// `up to 3 threads`: how many of these were ready at one time and had no CPU; `3 threads or more`
/// if not all such times were kept.
fn waited_at_once(facts: &Facts<'_>, victims: &[&ThreadLife]) -> String {
    let fine = &facts.lives.fine;
    // Those that recorded nothing are several under one number.
    let threads: HashSet<ThreadId> = victims.iter().map(|life| life.thread).collect();
    let times = threads.iter().filter_map(|thread| fine.long_ready.get(thread)).flatten();
    let begin = facts.lives.from.0;
    let times = times.map(|&(from, to)| (from.max(begin), to)).filter(|(from, to)| from < to);
    // Where one time ends and another begins, the end comes first.
    let mut edges: Vec<_> = times.flat_map(|(from, to)| [(from, true), (to, false)]).collect();
    edges.sort_unstable();
    let (mut now, mut most) = (0_u64, 0);
    for (_, is_begin) in edges {
        now = if is_begin { now + 1 } else { now - 1 };
        most = most.max(now);
    }
    let threads = plural(most.max(1), "thread", "threads");
    let is_least = fine.is_ready_cut || most == 0;
    if is_least { format!("{threads} or more") } else { format!("up to {threads}") }
}

/// By how much the program was delayed: of the time in which anything of it could run, the part in
/// which what could run had no CPU.
fn delayed(facts: &Facts<'_>, ready: u64, cpu: u64) -> Nanos {
    let able = facts.lives.concurrency.able.iter().skip(1);
    let able = saturating_sum(able.map(|time| time.0));
    let share = ready as f64 / ready.saturating_add(cpu).max(1) as f64;
    Nanos(((able as f64 * share) as u64).min(ready))
}

/// One thread works, and others wait for work.
pub(super) fn one_thread(facts: &Facts<'_>) -> Option<Insight> {
    let lives = facts.lives;
    if lives.cpus_watched < 2 {
        return None;
    }
    let cpu = facts.program_cpu();
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
    let name = facts.life(worker);
    let share = percent(own, cpu);
    let threads: Vec<_> = idle.iter().map(|life| life.thread).collect();
    let title = format!("{name} did {share} of the work, while {} waited", facts.all(&idle));
    let cost = facts.cpu_cost([(worker.thread, own)]);
    let mut insight = facts.finding(InsightKind::OneThread, &cost, title);
    insight.evidence.push(format!(
        "{name} was on a CPU for {}, {} of the trace",
        time(Nanos(own)),
        percent(own, wall)
    ));
    for life in idle.iter().take(2) {
        let name = facts.life(life);
        let reason = life.times.reasons().first().map_or("nothing", |(reason, _)| reason.name());
        let waited = time(Nanos(waiting(life)));
        insight.evidence.push(format!("{name} waited {waited}, mostly for: {reason}"));
    }
    insight.threads = std::iter::once(worker.thread).chain(threads).collect();
    insight.command = "threads".to_owned();
    Some(insight)
}
