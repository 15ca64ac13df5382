//! What is odd about a trace, each with its evidence: where, when, how much.
//!
//! A finding is never an error: the summary beside it is right as far as the trace goes.

use trace_format::id::{Open, TaskId, ThreadId};
use trace_format::time::Nanos;

use crate::time::Moment;

/// Maximum number of findings of each kind that are kept; all are counted.
pub const FINDINGS_MAX: usize = 100;

/// One odd thing.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// On which thread, if it is one thread's.
    pub thread: Option<ThreadId>,
    /// When, since the first clock snapshot, if it has a time.
    pub at: Option<Nanos>,
    /// What.
    pub kind: FindingKind,
}

/// The kinds of findings, worst first.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum FindingKind {
    /// A part of the file can't be read.
    Damage {
        /// From the start of the file.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// The trace was not stopped: its program ended, or the file was cut.
    NotStopped,
    /// Events are in no batch of the file although they were written.
    Missing {
        /// How many.
        events: u64,
    },
    /// Memory was at its bound, and events were not written.
    Dropped {
        /// How many.
        events: u64,
        /// Ends of regions that had been written before.
        ends: u64,
        /// When the last was dropped; the first was at [`Finding::at`].
        to: Nanos,
    },
    /// The end of something is missing from the trace.
    EndLost {
        /// What.
        open: Open,
        /// When it began, perhaps before the trace.
        begin: Moment,
    },
    /// Something lies deeper than readers keep
    /// ([`NESTING_MAX`](trace_format::read::NESTING_MAX)), or found no room: it is in no sum.
    TooDeep,
    /// An end came while nothing was open.
    EndWithoutBegin,
    /// Something was open when what was around it ended.
    Misnested {
        /// What.
        open: Open,
        /// When it began, perhaps before the trace.
        begin: Moment,
    },
    /// Something ended on another thread than the one it began on.
    EndedElsewhere {
        /// What.
        open: Open,
        /// When it began, perhaps before the trace.
        begin: Moment,
    },
    /// A region, poll or task run was still open when the trace ended.
    Unfinished {
        /// What.
        open: Open,
        /// For how long it had been.
        open_for: Nanos,
    },
    /// A task had not ended when the trace did.
    TaskUnfinished {
        /// Which.
        task: TaskId,
        /// Its name.
        name: String,
        /// For how long it had been open.
        open_for: Nanos,
    },
    /// Events refer to call sites that the trace does not define.
    SitesUndefined {
        /// How many of the events.
        events: u64,
    },
    /// Events, definitions or batches of a newer version were skipped.
    Skipped {
        /// How many.
        items: u64,
    },
    /// The trace does not say how long a tick is; one is taken for a nanosecond.
    ClockUnknown,
    /// Snapshots of the clocks contradict each other.
    ClockContradicts {
        /// How many were left out.
        snapshots: u64,
    },
    /// The clock's frequency was not constant.
    ClockDrift {
        /// The worst deviation from the mean, in parts per million.
        parts_per_million: f64,
    },
}

impl FindingKind {
    /// Whether something is missing from what is shown: to be said loudly. The others are about
    /// the traced program, or harmless.
    #[must_use]
    pub const fn is_loss(&self) -> bool {
        matches!(
            self,
            Self::Damage { .. }
                | Self::NotStopped
                | Self::Missing { .. }
                | Self::Dropped { .. }
                | Self::EndLost { .. }
                | Self::TooDeep
                | Self::ClockUnknown
        )
    }

    /// A short name for programs, stable between versions.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Damage { .. } => "damage",
            Self::NotStopped => "not_stopped",
            Self::Missing { .. } => "missing",
            Self::Dropped { .. } => "dropped",
            Self::EndLost { .. } => "end_lost",
            Self::TooDeep => "too_deep",
            Self::EndWithoutBegin => "end_without_begin",
            Self::Misnested { .. } => "misnested",
            Self::EndedElsewhere { .. } => "ended_elsewhere",
            Self::Unfinished { .. } => "unfinished",
            Self::TaskUnfinished { .. } => "task_unfinished",
            Self::SitesUndefined { .. } => "sites_undefined",
            Self::Skipped { .. } => "skipped",
            Self::ClockUnknown => "clock_unknown",
            Self::ClockContradicts { .. } => "clock_contradicts",
            Self::ClockDrift { .. } => "clock_drift",
        }
    }

    const fn rank(&self) -> usize {
        match self {
            Self::Damage { .. } => 0,
            Self::NotStopped => 1,
            Self::Missing { .. } => 2,
            Self::Dropped { .. } => 3,
            Self::EndLost { .. } => 4,
            Self::TooDeep => 5,
            Self::EndWithoutBegin => 6,
            Self::Misnested { .. } => 7,
            Self::EndedElsewhere { .. } => 8,
            Self::Unfinished { .. } => 9,
            Self::TaskUnfinished { .. } => 10,
            Self::SitesUndefined { .. } => 11,
            Self::Skipped { .. } => 12,
            Self::ClockUnknown => 13,
            Self::ClockContradicts { .. } => 14,
            Self::ClockDrift { .. } => 15,
        }
    }
}

const KINDS: usize = 16;

/// Findings, worst first, a bounded number of each kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    kept: [Vec<Finding>; KINDS],
    counts: [u64; KINDS],
}

impl Findings {
    /// Adds one.
    pub fn add(&mut self, finding: Finding) {
        let rank = finding.kind.rank();
        self.counts[rank] += 1;
        if self.kept[rank].len() < FINDINGS_MAX {
            self.kept[rank].push(finding);
        }
    }

    pub(crate) fn add_unkept(&mut self, kind: &FindingKind, count: u64) {
        self.counts[kind.rank()] += count;
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (rank, kept) in other.kept.into_iter().enumerate() {
            self.counts[rank] += other.counts[rank];
            self.kept[rank].extend(kept);
        }
    }

    /// Brings each kind in the order of time, and within its bound.
    pub(crate) fn sort(&mut self) {
        for kept in &mut self.kept {
            kept.sort_by_key(|finding| (finding.at, finding.thread));
            kept.truncate(FINDINGS_MAX);
        }
    }

    /// Those that are kept, worst first, each kind in the order of time.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.kept.iter().flatten()
    }

    /// The kinds there are, worst first: those that are kept, and how many there were in all.
    pub fn by_kind(&self) -> impl Iterator<Item = (&[Finding], u64)> {
        let kinds = self.kept.iter().zip(self.counts).filter(|(kept, _)| !kept.is_empty());
        kinds.map(|(kept, count)| (kept.as_slice(), count))
    }

    /// How many of the kind with this [`FindingKind::name`] there were.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        let mut kinds = self.by_kind().filter(|(kept, _)| kept[0].kind.name() == name);
        kinds.next().map_or(0, |(_, count)| count)
    }

    /// Whether anything is missing from what the summary shows.
    #[must_use]
    pub fn has_loss(&self) -> bool {
        self.iter().any(|finding| finding.kind.is_loss())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_kind().next().is_none()
    }
}
