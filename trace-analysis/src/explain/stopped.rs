//! The rule about times in which nothing of the process ran.

use trace_format::time::Nanos;

use super::words::{Facts, moment, plural, time};
use super::{Insight, InsightKind};
use crate::timeline::standstill::Standstill;

/// The longest are told one by one.
const TOLD_MAX: usize = 3;

/// The process was stopped, or the machine slept.
pub(super) fn stopped(facts: &Facts<'_>) -> Vec<Insight> {
    let all = facts.lives.standstills.iter();
    let (mut stops, mut sleeps): (Vec<&Standstill>, Vec<&Standstill>) =
        all.partition(|it| it.suspended == Nanos(0));
    stops.sort_by_key(|it| std::cmp::Reverse(length(it)));
    sleeps.sort_by_key(|it| std::cmp::Reverse(it.suspended));
    let mut insights = Vec::new();
    if let Some(longest) = stops.first() {
        insights.push(of_process(longest, &stops));
    }
    if let Some(longest) = sleeps.first() {
        insights.push(of_machine(longest, &sleeps));
    }
    insights
}

fn length(stop: &Standstill) -> Nanos {
    Nanos(stop.to.0 - stop.from.0)
}

fn of_process(longest: &Standstill, all: &[&Standstill]) -> Insight {
    let total = Nanos(crate::report::life::saturating_sum(all.iter().map(|it| length(it).0)));
    let title = format!(
        "The whole process stood still from {} to {}, for {}: it was stopped by a signal or a \
         debugger, or frozen with its control group",
        moment(longest.from),
        moment(longest.to),
        time(length(longest)),
    );
    let mut insight = Insight::new(InsightKind::Stopped, total, title);
    insight
        .evidence
        .push("no thread of it ran; what they seemed to wait for then is not counted".to_owned());
    for more in all.iter().skip(1).take(TOLD_MAX - 1) {
        let (from, to) = (moment(more.from), moment(more.to));
        insight.evidence.push(format!("also from {from} to {to}, for {}", time(length(more))));
    }
    if all.len() > TOLD_MAX {
        let count = plural(all.len() as u64, "time", "times");
        insight.evidence.push(format!("{count} in all, for {}", time(total)));
    }
    (insight.at, insight.command) = (Some(longest.from.into()), "threads".to_owned());
    insight
}

fn of_machine(longest: &Standstill, all: &[&Standstill]) -> Insight {
    let title = format!(
        "The machine was suspended for {}, at some time between {} and {}",
        time(longest.suspended),
        moment(longest.from),
        moment(longest.to),
    );
    let mut insight = Insight::new(InsightKind::Stopped, Nanos(0), title);
    insight.evidence.push("no time in this report counts that".to_owned());
    if all.len() > 1 {
        let count = plural(all.len() as u64, "time", "times");
        insight.evidence.push(format!("it was suspended {count} in all"));
    }
    (insight.at, insight.command) = (Some(longest.from.into()), "threads".to_owned());
    insight
}
