//! What was read, and what is odd in it.

use serde::Serialize;
use trace_analysis::Summary;
use trace_analysis::findings::{Finding, FindingKind};

use crate::label::names::Names;

/// What was read.
#[derive(Debug, Serialize)]
pub struct ReadOut {
    /// Events in the window.
    events: u64,
    /// Batches of events; each piece counts as one.
    batches: u64,
    /// Their bytes in the file.
    batch_bytes: u64,
    /// What is odd, the worst first.
    findings: Vec<FindingGroupOut>,
}

impl ReadOut {
    /// Of a summary.
    #[must_use]
    pub fn new(names: &Names<'_>, summary: &Summary) -> Self {
        let groups = summary.findings.by_kind();
        Self {
            events: summary.events,
            batches: summary.batches,
            batch_bytes: summary.bytes,
            findings: groups
                .map(|(kept, count)| FindingGroupOut::new(names, kept, count))
                .collect(),
        }
    }
}

/// Findings of one kind.
#[derive(Debug, Serialize)]
pub struct FindingGroupOut {
    /// `damage`, `not_stopped`, `missing`, `dropped`, `end_lost`, `too_deep` (more is open at once
    /// than readers keep, and what lies deeper is in no sum), `end_without_begin`, `misnested`,
    /// `ended_elsewhere`, `unfinished`, `task_unfinished`, `sites_undefined`, `skipped`,
    /// `clock_unknown`, `clock_contradicts`, `clock_drift`.
    kind: &'static str,
    /// Whether something is missing because of it.
    is_loss: bool,
    /// How many there are.
    count: u64,
    /// The first hundred at most.
    evidence: Vec<FindingOut>,
}

impl FindingGroupOut {
    fn new(names: &Names<'_>, kept: &[Finding], count: u64) -> Self {
        Self {
            kind: kept[0].kind.name(),
            is_loss: kept[0].kind.is_loss(),
            count,
            evidence: kept.iter().map(|finding| FindingOut::new(names, finding)).collect(),
        }
    }
}

/// One finding.
#[derive(Debug, Serialize)]
pub struct FindingOut {
    /// The thread that it concerns.
    thread: Option<u32>,
    /// Its name.
    thread_name: Option<String>,
    /// When.
    at_ns: Option<u64>,
    /// Where in the file, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    /// How many events it concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<u64>,
    /// The line for people.
    text: String,
}

impl FindingOut {
    fn new(names: &Names<'_>, finding: &Finding) -> Self {
        let (offset, events) = match finding.kind {
            FindingKind::Damage { offset, .. } => (Some(offset), None),
            FindingKind::Missing { events }
            | FindingKind::Dropped { events, .. }
            | FindingKind::SitesUndefined { events } => (None, Some(events)),
            _ => (None, None),
        };
        Self {
            thread: finding.thread.map(|thread| thread.0),
            thread_name: finding.thread.map(|thread| names.thread_name(thread)),
            at_ns: finding.at.map(|at| at.0),
            offset,
            events,
            text: names.finding(finding),
        }
    }
}
