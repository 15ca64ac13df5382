//! Per call site: how often, how long in total, by itself, and at worst.
//!
//! - `count`, `mean` and the quantiles are of the regions that *ended* inside the window, with
//!   their whole duration, wherever they began.
//! - `total` and `self_time` are the time that lies *inside* the window, of ended and of still
//!   open regions alike. In `total` a recursive call site counts once: only regions with no other
//!   of the same call site around them on their thread add to it. Everything adds to `self_time`.
//! - A region whose end is missing from the trace adds to nothing but `lost_ends`.
//!
//! Sums are in ticks until the end and are then converted with the trace's mean frequency, which
//! differs from the true one by the drift that the findings report.

use trace_format::event::Outcome;
use trace_format::id::{SiteId, ThreadId};
use trace_format::time::{Nanos, Ticks};
use trace_format::value::Values;

use crate::durations::{Budget, Durations, Quantiles, Scratch};
use crate::report::by_site::BySite;
use crate::time::{Moment, Scale};
use crate::timeline::stack::{Closed, Ending};

/// What the regions of one call site did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegionSummary {
    /// Where in the source; 0 for all call sites that the trace does not define.
    pub site: SiteId,
    /// Regions that ended.
    pub count: u64,
    /// Time inside at least one region of this call site, summed over threads.
    pub total: Nanos,
    /// The same without what their direct children took.
    pub self_time: Nanos,
    /// Of the whole durations of those that ended.
    pub mean: Nanos,
    /// How these are distributed.
    pub quantiles: Quantiles,
    /// Ended with an error.
    pub failed: u64,
    /// Were open when something around them ended. They count until their own end, if that came.
    pub misnested: u64,
    /// Still open at the end.
    pub unfinished: u64,
    /// Their end is missing from the trace.
    pub lost_ends: u64,
    /// The longest of those that ended, longest first.
    pub outliers: Vec<Outlier>,
}

/// One long region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlier {
    /// On which thread it ended.
    pub thread: ThreadId,
    /// When it began, perhaps before the trace.
    pub begin: Moment,
    /// How long it took.
    pub duration: Nanos,
    /// Its arguments, in the call site's order; empty if they were not recorded.
    pub arguments: OwnedValues,
    /// How it ended, if that was recorded, and its value or error.
    pub outcome: Option<(Outcome, OwnedValues)>,
}

/// Values that live on their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedValues(Vec<u8>);

impl OwnedValues {
    /// A copy.
    #[must_use]
    pub fn new(values: Values<'_>) -> Self {
        Self(values.as_bytes().to_vec())
    }

    /// To walk them.
    #[must_use]
    pub fn values(&self) -> Values<'_> {
        Values::new(&self.0)
    }

    fn set(&mut self, values: Values<'_>) {
        self.0.clear();
        self.0.extend_from_slice(values.as_bytes());
    }
}

/// The sums of one call site, in ticks.
#[derive(Debug, Default)]
struct Sums {
    count: u64,
    whole: u64,
    total: u64,
    self_time: u64,
    failed: u64,
    misnested: u64,
    unfinished: u64,
    lost_ends: u64,
    durations: Durations,
    outliers: Longest,
}

/// One reader's sums for all call sites.
#[derive(Debug)]
pub(crate) struct Regions {
    sites: BySite<Sums>,
    budget: Budget,
    from: u64,
    to: u64,
    outliers_max: usize,
}

impl Regions {
    pub(crate) fn new(sites_max: SiteId, window: (Ticks, Ticks), outliers_max: usize) -> Self {
        let sites = BySite::new(sites_max);
        let budget = Budget::new(crate::durations::SLOT_BYTES_MAX);
        Self { sites, budget, from: window.0.0, to: window.1.0, outliers_max }
    }

    /// Adds a region that is no longer open.
    #[inline(always)]
    pub(crate) fn add(&mut self, thread: ThreadId, site: SiteId, closed: &Closed<'_>) {
        let sums = self.sites.at(site);
        if closed.ending == Ending::Lost {
            sums.lost_ends += u64::from(closed.end.0 >= self.from);
            return;
        }
        if closed.outermost {
            sums.total = sums.total.saturating_add(closed.inside.0);
        }
        sums.self_time = sums.self_time.saturating_add(closed.self_time.0);
        if closed.end.0 < self.from {
            return;
        }
        // Its end is known if it was written with its begin, and may still be none of the window's.
        if closed.end.0 >= self.to || closed.ending == Ending::Unfinished {
            sums.unfinished += 1;
            return;
        }
        if closed.ending != Ending::Ended {
            add_ending(sums, &closed.ending);
        }
        let duration = closed.duration().0;
        sums.count += 1;
        sums.whole = sums.whole.saturating_add(duration);
        sums.durations.record(duration, &mut self.budget);
        if duration >= sums.outliers.take_from {
            sums.outliers.add(thread, closed, self.outliers_max);
        }
    }

    /// Adds what another reader has.
    pub(crate) fn merge(&mut self, other: Self) {
        for (site, theirs) in other.sites.into_sorted() {
            let mine = self.sites.at(site);
            mine.count += theirs.count;
            mine.whole = mine.whole.saturating_add(theirs.whole);
            mine.total = mine.total.saturating_add(theirs.total);
            mine.self_time = mine.self_time.saturating_add(theirs.self_time);
            mine.failed += theirs.failed;
            mine.misnested += theirs.misnested;
            mine.unfinished += theirs.unfinished;
            mine.lost_ends += theirs.lost_ends;
            mine.durations.merge(theirs.durations, &mut self.budget);
            mine.outliers.merge(theirs.outliers, self.outliers_max);
        }
    }

    /// The call sites that were seen, the greatest total first.
    pub(crate) fn summarise(self, scale: &Scale<'_>) -> Vec<RegionSummary> {
        let mut scratch = Scratch::new();
        let most = self.outliers_max;
        let sites = self.sites.into_sorted().into_iter();
        let seen = sites.filter(|(_, sums)| sums.is_seen());
        let mut regions: Vec<_> =
            seen.map(|(site, sums)| sums.summarise(site, most, scale, &mut scratch)).collect();
        regions.sort_by_key(|region| (std::cmp::Reverse(region.total), region.site));
        regions
    }
}

#[cold]
fn add_ending(sums: &mut Sums, ending: &Ending<'_>) {
    match ending {
        Ending::With(Outcome::Failed, _) => sums.failed += 1,
        Ending::Misnested => sums.misnested += 1,
        _ => {}
    }
}

impl Sums {
    /// Regions outside the window leave zeros.
    fn is_seen(&self) -> bool {
        [self.count, self.total, self.unfinished, self.lost_ends, self.misnested] != [0; 5]
    }

    fn summarise(
        self,
        site: SiteId,
        outliers_max: usize,
        scale: &Scale<'_>,
        scratch: &mut Scratch,
    ) -> RegionSummary {
        let longest = self.outliers.ticks_max();
        let max = scale.duration(Ticks(longest));
        RegionSummary {
            site,
            count: self.count,
            total: scale.duration(Ticks(self.total)),
            self_time: scale.duration(Ticks(self.self_time)),
            mean: scale.mean(self.whole, self.count),
            quantiles: self.durations.quantiles(max, scale.nanos_per_tick(), scratch),
            failed: self.failed,
            misnested: self.misnested,
            unfinished: self.unfinished,
            lost_ends: self.lost_ends,
            outliers: self.outliers.into_outliers(outliers_max, scale),
        }
    }
}

/// The longest regions of one call site, in no order. At least one is kept: it is the maximum.
#[derive(Debug, Default)]
struct Longest {
    entries: Vec<Long>,
    /// Anything shorter is not among the longest.
    take_from: u64,
}

#[derive(Debug, Default)]
struct Long {
    duration: u64,
    begin: u64,
    thread: ThreadId,
    arguments: OwnedValues,
    outcome: Option<Outcome>,
    result: OwnedValues,
}

impl Longest {
    #[cold]
    #[inline(never)]
    fn add(&mut self, thread: ThreadId, closed: &Closed<'_>, entries_max: usize) {
        if self.entries.len() < entries_max.max(1) {
            self.entries.push(Long::default());
            let at = self.entries.len() - 1;
            self.entries[at].set(thread, closed);
        } else if let Some(least) = self.entries.iter_mut().min_by_key(|entry| entry.duration) {
            least.set(thread, closed);
        }
        self.update(entries_max);
    }

    fn update(&mut self, entries_max: usize) {
        if self.entries.len() >= entries_max.max(1) {
            let least = self.entries.iter().map(|entry| entry.duration).min();
            self.take_from = least.unwrap_or(0).saturating_add(1);
        }
    }

    fn merge(&mut self, other: Self, entries_max: usize) {
        self.entries.extend(other.entries);
        self.entries.sort_by_key(|entry| std::cmp::Reverse(entry.duration));
        self.entries.truncate(entries_max.max(1));
        self.update(entries_max);
    }

    fn ticks_max(&self) -> u64 {
        self.entries.iter().map(|entry| entry.duration).max().unwrap_or(0)
    }

    fn into_outliers(mut self, entries_max: usize, scale: &Scale<'_>) -> Vec<Outlier> {
        self.entries.sort_by_key(|entry| (std::cmp::Reverse(entry.duration), entry.begin));
        self.entries.truncate(entries_max);
        let outliers = self.entries.into_iter().map(|entry| Outlier {
            thread: entry.thread,
            begin: scale.moment(Ticks(entry.begin)),
            duration: scale.duration(Ticks(entry.duration)),
            arguments: entry.arguments,
            outcome: entry.outcome.map(|outcome| (outcome, entry.result)),
        });
        outliers.collect()
    }
}

impl Long {
    fn set(&mut self, thread: ThreadId, closed: &Closed<'_>) {
        self.duration = closed.duration().0;
        self.begin = closed.begin.0;
        self.thread = thread;
        self.arguments.set(closed.values);
        match closed.ending {
            Ending::With(outcome, result) => {
                self.outcome = Some(outcome);
                self.result.set(result);
            }
            _ => self.outcome = None,
        }
    }
}
