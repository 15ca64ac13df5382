//! What was found to make the program slow, for programs.

use serde::Serialize;
use trace_analysis::Moment;
use trace_analysis::explain::Insight;
use trace_analysis::life::Lives;

use super::Trace;
use super::life::{ResourceOut, StackOut, WhoOut, Words};
use super::process::FacilityOut;
use crate::call;
use crate::completeness::Completeness;

/// What `explain` answers.
#[derive(Debug, Serialize)]
pub struct ExplainReport {
    trace: Trace,
    from_ns: u64,
    to_ns: u64,
    wall_ns: u64,
    facilities: Vec<FacilityOut>,
    has_loss: bool,
    insights: Vec<InsightOut>,
}

impl ExplainReport {
    /// The findings, in this order.
    #[must_use]
    pub fn new(
        trace: Trace,
        words: Words<'_>,
        lives: &Lives,
        insights: &[Insight],
        missing: &Completeness,
    ) -> Self {
        let facilities = words.names.tables().facilities.values();
        Self {
            trace,
            from_ns: lives.from.0,
            to_ns: lives.to.0,
            wall_ns: lives.to.0.saturating_sub(lives.from.0),
            facilities: facilities.map(FacilityOut::from).collect(),
            has_loss: missing.has_loss(),
            insights: insights.iter().map(|insight| InsightOut::new(words, insight)).collect(),
        }
    }
}

#[derive(Debug, Serialize)]
struct InsightOut {
    kind: &'static str,
    lost_ns: u64,
    title: String,
    evidence: Vec<String>,
    threads: Vec<WhoOut>,
    stacks: Vec<StackOut>,
    resource: Option<ResourceOut>,
    call: Option<String>,
    at_ns: Option<i64>,
    command: String,
}

impl InsightOut {
    fn new(words: Words<'_>, insight: &Insight) -> Self {
        let threads = insight.threads.iter().filter_map(|id| WhoOut::new(words, *id));
        let stacks = insight.stacks.iter().filter_map(|id| StackOut::new(words, *id));
        Self {
            kind: insight.kind.name(),
            lost_ns: insight.lost.0,
            title: insight.title.clone(),
            evidence: insight.evidence.clone(),
            threads: threads.collect(),
            stacks: stacks.collect(),
            resource: insight.resource.and_then(|id| ResourceOut::new(words, id)),
            call: insight.call.map(call::name),
            at_ns: insight.at.map(|Moment(at)| at),
            command: insight.command.clone(),
        }
    }
}
