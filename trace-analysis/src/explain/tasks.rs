//! A rule about tasks (`exectrace::Task`): one that took much longer than others of its name.

use trace_format::id::{CallId, StackId};
use trace_format::time::Nanos;

use super::async_tasks::what;
use super::words::{Facts, count, moment, percent, plural, time};
use super::{Insight, InsightKind};
use crate::report::slow_tasks::{SlowTask, TaskWait};
use crate::time::Moment;

/// A task without any of its name to compare it with is slow if it is open for so long when the
/// trace stops: in nanoseconds, and in thousandths of the trace's time.
const ALONE_NANOS: u64 = 200_000_000;
const ALONE_THOUSANDTHS: u64 = 50;

/// Less time without anybody is not worth a word.
const SHORT: u64 = 1_000_000;

/// So many others are named.
const SAID: usize = 3;

/// Waiting of its futures is told from this part on of the time in which no thread worked for it.
const WAIT_PART: u64 = 10;

/// The slowest task of each name.
pub(super) fn slow(facts: &Facts<'_>, tasks: &[SlowTask]) -> Vec<Insight> {
    tasks.iter().filter(|task| is_worth(facts, task)).map(|task| tell(facts, task)).collect()
}

fn is_worth(facts: &Facts<'_>, task: &SlowTask) -> bool {
    let latency = task.task.latency;
    let is_long = latency.0 >= ALONE_NANOS && facts.is_worth(latency, ALONE_THOUSANDTHS);
    task.ended > 0 || is_long
}

fn tell(facts: &Facts<'_>, slow: &SlowTask) -> Insight {
    let (name, id, long) = (facts.short(&slow.name), slow.task.id.0, time(slow.task.latency));
    let took = if slow.is_open { "was open for" } else { "took" };
    let title = format!("task {name} #{id} {took} {long}{}{}", usual(slow), meanwhile(facts, slow));
    // A request is slow for who sent it: whether the program ended later is not the question.
    let mut insight = Insight::new(InsightKind::SlowTask, slow.lost(), title);
    let since = match slow.task.begin {
        begin if begin < Moment(0) => moment(begin),
        begin => format!("at {}", moment(begin)),
    };
    let (worked, unworked) = (time(slow.worked), time(slow.unworked));
    let line = match slow.runs.len() {
        0 => format!("it began {since}"),
        _ => {
            let nobody = match slow.unworked.0 {
                0..SHORT => String::new(),
                _ => format!(", nobody for {unworked}"),
            };
            let who = facts.threads(&slow.threads);
            insight.threads.clone_from(&slow.threads);
            format!("it began {since}; {who} worked for it for {worked}{nobody}")
        }
    };
    insight.evidence.push(line);
    let waits = slow.waits.iter().filter(|wait| wait.total.0 >= slow.unworked.0 / WAIT_PART);
    // The title has the main one.
    let waits = waits.filter(|wait| Some(*wait) != main_wait(slow));
    insight.evidence.extend(waits.take(SAID).map(|wait| waited(facts, slow, wait)));
    if !slow.others.is_empty() {
        let others = slow.others.iter().take(SAID);
        let others = others.map(|(it, is_open)| {
            let open = if *is_open { ", still open" } else { "" };
            format!("#{} {}{open}", it.id.0, time(it.latency))
        });
        let more = if slow.others.len() > SAID { " …" } else { "" };
        let others = others.collect::<Vec<_>>().join("; ");
        insight.evidence.push(format!("other slow tasks of that name: {others}{more}"));
    }
    insight.stacks = main_wait(slow).map(|wait| wait.stack).into_iter().collect();
    if let Some(doing) = &slow.activity {
        insight.stacks.extend([doing.slow_stack, doing.sampled]);
        insight.call = Some(doing.slow_call).filter(|call| *call != CallId(0));
    }
    insight.stacks.retain(|stack| *stack != StackId(0));
    insight.at = Some(slow.task.begin);
    let from = slow.task.begin.inside().0;
    let whole = slow.task.latency.0.saturating_sub(slow.task.begin.before_trace().0);
    let to = Nanos(from.saturating_add(whole).saturating_add(1_000));
    insight.command = format!("events --from {} --to {}", seconds(Nanos(from)), seconds(to));
    insight
}

/// `, and half of 150 tasks of that name 3.10 ms or less`.
fn usual(slow: &SlowTask) -> String {
    match slow.ended {
        0 => " when the trace stopped".to_owned(),
        ended if slow.is_open => {
            let usual = time(slow.usual);
            let ended = count(ended);
            format!(" when the trace stopped, and half of {ended} that ended took at most {usual}")
        }
        ended => {
            let (tasks, usual) = (plural(ended, "task", "tasks"), time(slow.usual));
            format!(", and half of {tasks} of that name took at most {usual}")
        }
    }
}

/// What was done in it: `: sleep for 99% of it, in clock_nanosleep at app::f (src/app.rs:12)`.
fn meanwhile(facts: &Facts<'_>, slow: &SlowTask) -> String {
    if let Some(wait) = main_wait(slow) {
        return format!(": {}", waited(facts, slow, wait));
    }
    if slow.runs.is_empty() {
        return ": no thread worked for it".to_owned();
    }
    if slow.unworked > slow.worked {
        return format!(": nobody worked for it for {}", time(slow.unworked));
    }
    let is_known = !facts.lives.cpus.is_empty() || facts.lives.calls.count > 0;
    let doing = slow.activity.as_ref().filter(|_| is_known || !facts.lives.unended.is_empty());
    doing.map_or_else(String::new, |doing| {
        let culprit = if doing.is_slow_call() { doing.slow_stack } else { doing.sampled };
        what(facts, doing, culprit)
    })
}

/// What its futures waited for the longest while no thread worked for it, if that explains much of
/// it. What another of its futures ended is explained by what that one did.
fn main_wait(slow: &SlowTask) -> Option<&TaskWait> {
    let explains = |wait: &&TaskWait| wait.total.0 >= slow.unworked.0 / 2;
    let mut waits = slow.waits.iter().filter(|wait| wait.stack != StackId(0));
    waits.find(explains).filter(|_| slow.unworked > slow.worked)
}

/// `store (src/store.rs:9) waited 92.0 ms of it for tokio timer at app::compact (src/store.rs:3)`.
fn waited(facts: &Facts<'_>, slow: &SlowTask, wait: &TaskWait) -> String {
    let (who, long) = (facts.site(wait.site), time(wait.total));
    let share = percent(wait.total.0, slow.task.latency.0);
    let what = facts.awaited((wait.stack, wait.awaited), &wait.one_of);
    format!("{who} waited {long} ({share}) of it for {what}")
}

/// As options have it: `1.234567s`.
fn seconds(at: Nanos) -> String {
    moment(at).replace(' ', "")
}
