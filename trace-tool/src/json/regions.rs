//! `exectrace regions` for programs.

use serde::Serialize;
use trace_analysis::Summary;
use trace_analysis::life::RegionTimes;
use trace_analysis::regions::{Outlier, RegionSummary};
use trace_format::id::SiteId;

use super::findings::ReadOut;
use super::head::HeadOut;
use super::lives::RegionTimesOut;
use super::stacks::{SiteOut, SpreadOut};
use super::values::{Named, OwnedValuesOut};
use crate::answer::regions::{RegionsAnswer, by_site};
use crate::error::Failure;
use crate::label::names::Names;
use crate::output::Output;

/// What `regions` answers.
#[derive(Debug, Serialize)]
pub struct RegionsOut {
    #[serde(flatten)]
    head: HeadOut,
    #[serde(flatten)]
    read: ReadOut,
    /// The call sites, as `--sort` and `--top` have them.
    regions: Vec<RegionOut>,
    /// Call sites that `--top` left out.
    regions_omitted: usize,
    /// The sum of `self_ns` of all call sites, those left out included.
    regions_self_ns: u64,
}

/// Prints the answer.
///
/// # Errors
/// If it can't be written.
pub fn print(answer: &RegionsAnswer, out: &mut Output) -> Result<(), Failure> {
    let names = answer.subject.names();
    let summary = &answer.summary;
    Ok(out.json(&RegionsOut {
        head: HeadOut::new(&answer.subject),
        read: ReadOut::new(&names, summary),
        regions: RegionOut::all(&names, summary, &answer.times),
        regions_omitted: answer.omitted,
        regions_self_ns: answer.regions_self.0,
    })?)
}

/// The regions of one call site. Percentiles are of whole durations.
#[derive(Debug, Serialize)]
pub struct RegionOut {
    #[serde(flatten)]
    site: SiteOut,
    /// Those that ended.
    count: u64,
    /// Time inside, recursion counted once, summed over threads.
    total_ns: u64,
    /// The same without what direct children took.
    self_ns: u64,
    /// Of whole durations.
    mean_ns: u64,
    #[serde(flatten)]
    spread: SpreadOut,
    /// Those that ended with an error.
    failed: u64,
    /// Those that were open when what was around them ended.
    misnested: u64,
    /// Those that were open at the end.
    unfinished: u64,
    /// Those whose end is missing.
    lost_ends: u64,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    times: Option<RegionTimesOut>,
    /// The longest, longest first.
    outliers: Vec<OutlierOut>,
}

impl RegionOut {
    /// Of all call sites.
    ///
    /// - `times`: what threads did in them, where the trace says so.
    #[must_use]
    pub fn all(names: &Names<'_>, summary: &Summary, times: &[RegionTimes]) -> Vec<Self> {
        let times = by_site(times);
        let own = |region: &RegionSummary| times.get(&region.site).copied();
        summary.regions.iter().map(|region| Self::new(names, region, own(region))).collect()
    }

    fn new(names: &Names<'_>, region: &RegionSummary, own: Option<&RegionTimes>) -> Self {
        let outliers = region.outliers.iter();
        Self {
            site: SiteOut::new(names, region.site),
            count: region.count,
            total_ns: region.total.0,
            self_ns: region.self_time.0,
            mean_ns: region.mean.0,
            spread: region.quantiles.into(),
            failed: region.failed,
            misnested: region.misnested,
            unfinished: region.unfinished,
            lost_ends: region.lost_ends,
            times: own.map(RegionTimesOut::from),
            outliers: outliers.map(|it| OutlierOut::new(names, region.site, it)).collect(),
        }
    }
}

/// One of the longest regions of a call site.
#[derive(Debug, Serialize)]
pub struct OutlierOut {
    /// The thread's id in the trace.
    thread: u32,
    /// Its name.
    thread_name: String,
    /// When it began; negative if that was before the trace.
    begin_ns: i64,
    /// How long it took, all of it.
    duration_ns: u64,
    /// What was recorded at its begin.
    arguments: Named,
    /// How it ended, if that was recorded.
    outcome: Option<&'static str>,
    /// What was recorded at its end.
    result: Option<OwnedValuesOut>,
}

impl OutlierOut {
    fn new(names: &Names<'_>, site: SiteId, outlier: &Outlier) -> Self {
        let result = outlier.outcome.as_ref();
        Self {
            thread: outlier.thread.0,
            thread_name: names.thread_name(outlier.thread),
            begin_ns: outlier.begin.0,
            duration_ns: outlier.duration.0,
            arguments: Named(names.named(site, outlier.arguments.values())),
            outcome: result.map(|(outcome, _)| outcome.name()),
            result: result.map(|(_, values)| OwnedValuesOut(values.clone())),
        }
    }
}
