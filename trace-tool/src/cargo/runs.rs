//! What threads did while they worked for tasks: how much of it they ran, were ready, and waited.
//!
//! Of tests this is what a ranking is for: a task's latency does not say why it took so long.

use std::collections::HashMap;

use trace_analysis::Wanted;
use trace_analysis::symbols::Symbols;
use trace_format::time::Nanos;

use crate::answer::Reading;

/// How the time went that threads worked for a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spent {
    pub(super) cpu: Nanos,
    pub(super) ready: Nanos,
    pub(super) blocked: Nanos,
}

impl Spent {
    pub(super) fn add(&mut self, other: Self) {
        for (sum, part) in [
            (&mut self.cpu, other.cpu),
            (&mut self.ready, other.ready),
            (&mut self.blocked, other.blocked),
        ] {
            *sum = Nanos(sum.0.saturating_add(part.0));
        }
    }
}

/// By the names of tasks; empty if the trace does not say what threads did.
pub(super) fn spent(reading: &Reading) -> HashMap<String, Spent> {
    if !reading.has_life() {
        return HashMap::new();
    }
    let wanted = Wanted { tasks_by_name: true, ..Wanted::default() };
    // Reasons are told by names of functions, and are not asked for.
    let report = reading.report(&Symbols::default(), wanted);
    let spent = report.tasks_by_name.into_iter().map(|(name, activity)| {
        let times = &activity.times;
        (name, Spent { cpu: times.cpu(), ready: times.ready, blocked: times.blocked() })
    });
    spent.collect()
}
