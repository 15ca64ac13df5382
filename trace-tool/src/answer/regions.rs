//! Every call site, and its longest regions.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use clap::ValueEnum;
use trace_analysis::Summary;
use trace_analysis::life::RegionTimes;
use trace_analysis::regions::RegionSummary;
use trace_analysis::symbols::Symbols;
use trace_format::id::SiteId;
use trace_format::time::Nanos;

use super::{Question, Reading, Subject, cut};
use crate::error::Failure;
use crate::label::names::Names;
use crate::label::units;

/// Maximum number of the longest regions of one call site that are kept.
const OUTLIERS_MAX: usize = 1000;

/// What is asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct RegionsAsk {
    /// Maximum number of call sites; 0 for all.
    pub top: usize,
    /// What they are sorted by.
    pub sort: Sort,
    /// How many of the longest regions of each are wanted.
    pub outliers: usize,
}

/// What regions are sorted by; the greatest first.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum Sort {
    /// Time in the region itself, without what it called.
    #[default]
    #[value(name = "self")]
    SelfTime,
    /// Time in the region and what it called.
    Total,
    /// How many there were.
    Count,
    /// The mean duration.
    Mean,
    /// The median duration.
    P50,
    /// The duration that one in a hundred exceeds.
    P99,
    /// The longest.
    Max,
    /// The name, from A to Z.
    Name,
}

/// The answer.
#[derive(Debug)]
pub struct RegionsAnswer {
    /// What it is about.
    pub subject: Subject,
    /// Its regions are sorted and cut.
    pub summary: Summary,
    /// What threads did in them, where the trace says so.
    pub times: Vec<RegionTimes>,
    /// The sum of all regions' own time.
    pub regions_self: Nanos,
    /// Call sites that were left out.
    pub omitted: usize,
}

impl RegionsAnswer {
    /// Reads the trace.
    ///
    /// # Errors
    /// If there is none.
    pub fn read(question: &Question, ask: RegionsAsk) -> Result<Self, Failure> {
        let reading = Reading::open(&question.file, &question.part)?;
        let mut summary = reading.summary(ask.outliers.min(OUTLIERS_MAX), 0);
        // Looking up names takes time, and these times do not depend on reasons for waiting.
        let lives = reading.has_life().then(|| reading.lives(&Symbols::default()));
        let (subject, times) = match lives {
            None => (Subject::of_summary(reading, &summary), Vec::new()),
            Some(lives) => {
                let symbols = Symbols::default();
                (Subject::of_lives(reading, symbols, &summary, &lives), lives.regions)
            }
        };
        sort(&mut summary.regions, ask.sort, &subject.names());
        let regions_self = self_total(&summary.regions);
        let omitted = cut(&mut summary.regions, ask.top);
        Ok(Self { subject, summary, times, regions_self, omitted })
    }
}

/// Puts call sites in order.
pub fn sort(regions: &mut [RegionSummary], by: Sort, names: &Names<'_>) {
    match by {
        Sort::SelfTime => regions.sort_by_key(|region| Reverse(region.self_time)),
        Sort::Total => regions.sort_by_key(|region| Reverse(region.total)),
        Sort::Count => regions.sort_by_key(|region| Reverse(region.count)),
        Sort::Mean => regions.sort_by_key(|region| Reverse(region.mean)),
        Sort::P50 => regions.sort_by_key(|region| Reverse(region.quantiles.p50)),
        Sort::P99 => regions.sort_by_key(|region| Reverse(region.quantiles.p99)),
        Sort::Max => regions.sort_by_key(|region| Reverse(region.quantiles.max)),
        Sort::Name => regions.sort_by_cached_key(|region| names.site(region.site)),
    }
}

/// What threads did in regions, by call site: a trace may have tens of thousands of these.
#[must_use]
pub fn by_site(times: &[RegionTimes]) -> BTreeMap<SiteId, &RegionTimes> {
    times.iter().map(|times| (times.site, times)).collect()
}

/// The sum of regions' own time.
#[must_use]
pub fn self_total(regions: &[RegionSummary]) -> Nanos {
    Nanos(units::sum(regions.iter().map(|region| region.self_time.0)))
}
