//! Where the time went, in tables that fit a screen.

use trace_analysis::explain::{TopWaits, top_waits};
use trace_analysis::life::Lives;
use trace_analysis::{Report, Summary, Wanted};
use trace_format::id::SiteId;
use trace_format::time::Nanos;

use super::regions::{self, Sort};
use super::threads::{CpuUse, recorded};
use super::{Question, Subject, SummaryReading, cut};
use crate::error::Failure;

/// Number of longest regions that are kept of each call site.
const OUTLIERS: usize = 5;
/// Number of task trees that are kept.
const TREES: usize = 10;

/// What is asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct SummaryAsk {
    /// Maximum number of rows in each list; 0 for all.
    pub top: usize,
    /// What the regions are sorted by.
    pub sort: Sort,
}

/// The answer.
#[derive(Debug)]
pub struct SummaryAnswer {
    /// What it is about.
    pub subject: Subject,
    /// The lists, cut to what was asked.
    pub summary: Summary,
    /// What threads did, if the trace says so; its threads are cut as well.
    pub lives: Option<Lives>,
    /// How many rows were left out of each list.
    pub omitted: SummaryOmitted,
    /// Threads of the program that were seen.
    pub threads: u64,
    /// The sum of all regions' own time.
    pub regions_self: Nanos,
    /// The longest poll of any future, and whose it was.
    pub longest_poll: Option<(Nanos, SiteId)>,
    /// What held threads and async tasks up the most.
    pub top_waits: TopWaits,
    /// What the CPUs did.
    pub cpus: CpuUse,
}

/// How many rows were left out of each list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SummaryOmitted {
    /// Call sites of regions.
    pub regions: usize,
    /// Threads, by what they recorded.
    pub threads: usize,
    /// Threads, by what they did.
    pub lives: usize,
    /// Names of tasks.
    pub tasks: usize,
    /// Call sites of futures.
    pub futures: usize,
    /// Counters.
    pub counters: usize,
    /// Call sites of logs and instants.
    pub moments: usize,
}

impl SummaryAnswer {
    /// Reads the trace.
    ///
    /// # Errors
    /// If there is none.
    pub fn read(question: &Question, ask: SummaryAsk) -> Result<Self, Failure> {
        let wanted = Wanted { async_tasks: true, ..Wanted::default() };
        let SummaryReading { subject, summary, report } =
            SummaryReading::read(question, (OUTLIERS, TREES), wanted)?;
        Ok(Self::new(subject, summary, report, ask))
    }

    fn new(
        subject: Subject,
        mut summary: Summary,
        report: Option<Report>,
        ask: SummaryAsk,
    ) -> Self {
        let trace = subject.reading.trace(&subject.symbols);
        let top_waits = report.as_ref().map(|report| top_waits(&trace, report));
        let top_waits = top_waits.unwrap_or_default();
        let mut lives = report.map(|report| report.lives);
        regions::sort(&mut summary.regions, ask.sort, &subject.names());
        let threads = match &lives {
            Some(lives) => lives.threads.len(),
            None => recorded(&summary.threads).count(),
        };
        let futures = summary.futures.iter().filter(|future| future.polls > 0);
        let longest_poll = futures.max_by_key(|future| future.poll.max);
        let longest_poll = longest_poll.map(|future| (future.poll.max, future.site));
        let regions_self = regions::self_total(&summary.regions);
        let cpus = lives.as_ref().map(CpuUse::new).unwrap_or_default();
        let omitted = SummaryOmitted {
            regions: cut(&mut summary.regions, ask.top),
            threads: cut(&mut summary.threads, ask.top),
            lives: lives.as_mut().map_or(0, |lives| cut(&mut lives.threads, ask.top)),
            tasks: cut(&mut summary.tasks.names, ask.top),
            futures: cut(&mut summary.futures, ask.top),
            counters: cut(&mut summary.counters, ask.top),
            moments: cut(&mut summary.moments, ask.top),
        };
        Self {
            subject,
            summary,
            lives,
            omitted,
            threads: threads as u64,
            regions_self,
            longest_poll,
            top_waits,
            cpus,
        }
    }
}
