//! Per call site of a traced future: how many, how often polled, how long alive.

use std::collections::{HashMap, VecDeque};

use trace_format::event::Outcome;
use trace_format::id::{FutureId, SiteId};
use trace_format::time::{Nanos, Ticks};

use crate::durations::{Budget, Durations, Quantiles, Scratch};
use crate::time::Scale;

/// So many futures are known at once; polls of others count for call site 0.
const KNOWN_MAX: usize = 1 << 20;
/// So many ended futures stay known, for polls that are told late.
const ENDED_MAX: usize = 1 << 16;

/// The futures of one call site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FutureSummary {
    /// Where in the source; 0 for polls of futures whose begin is not in the trace.
    pub site: SiteId,
    /// Futures that were polled at least once.
    pub count: u64,
    /// Returned a value.
    pub returned: u64,
    /// Returned an error.
    pub failed: u64,
    /// Were dropped before they were done.
    pub dropped: u64,
    /// Neither done nor dropped at the end.
    pub unfinished: u64,
    /// Polls that ended.
    pub polls: u64,
    /// Time inside polls.
    pub poll_total: Nanos,
    /// How the durations of polls are distributed.
    pub poll: Quantiles,
    /// How the lives are distributed, from the first poll to the end.
    pub life: Quantiles,
}

#[derive(Debug, Default)]
struct Sums {
    count: u64,
    /// By [`Outcome::to_byte`].
    outcomes: [u64; 3],
    polls: u64,
    poll_total: u64,
    poll_max: u64,
    life_max: u64,
    poll: Durations,
    life: Durations,
}

/// The futures of a trace, told in the order of time.
#[derive(Debug)]
pub(crate) struct Futures {
    known: HashMap<FutureId, (usize, u64)>,
    ended: VecDeque<FutureId>,
    sums: Vec<Sums>,
    budget: Budget,
}

impl Futures {
    pub(crate) fn new(sites_max: SiteId) -> Self {
        Self {
            known: HashMap::new(),
            ended: VecDeque::new(),
            sums: (0..=sites_max.0).map(|_| Sums::default()).collect(),
            budget: Budget::new(crate::durations::SLOT_BYTES_MAX),
        }
    }

    pub(crate) fn begin(&mut self, future: FutureId, site: SiteId, at: Ticks) {
        let site = if (site.0 as usize) < self.sums.len() { site.0 as usize } else { 0 };
        self.sums[site].count += 1;
        if self.known.len() < KNOWN_MAX {
            self.known.insert(future, (site, at.0));
        }
    }

    pub(crate) fn end(&mut self, future: FutureId, outcome: Outcome, at: Ticks) {
        let known = self.known.get(&future).copied();
        let sums = &mut self.sums[known.map_or(0, |(site, _)| site)];
        sums.outcomes[usize::from(outcome.to_byte())] += 1;
        let Some((_, begin)) = known else { return };
        let life = at.0.saturating_sub(begin);
        sums.life_max = sums.life_max.max(life);
        sums.life.record(life, &mut self.budget);
        self.ended.push_back(future);
        if self.ended.len() > ENDED_MAX
            && let Some(old) = self.ended.pop_front()
        {
            self.known.remove(&old);
        }
    }

    pub(crate) fn poll(&mut self, future: FutureId, begin: Ticks, end: Ticks) {
        let known = self.known.get(&future);
        let sums = &mut self.sums[known.map_or(0, |(site, _)| *site)];
        let duration = end.0.saturating_sub(begin.0);
        sums.polls += 1;
        sums.poll_total = sums.poll_total.saturating_add(duration);
        sums.poll_max = sums.poll_max.max(duration);
        sums.poll.record(duration, &mut self.budget);
    }

    /// The call sites that were seen, the most time inside polls first.
    pub(crate) fn summarise(self, scale: &Scale<'_>) -> Vec<FutureSummary> {
        let mut scratch = Scratch::new();
        let sites = (0..).map(SiteId).zip(self.sums);
        let seen = sites.filter(|(_, sums)| sums.count > 0 || sums.polls > 0);
        let mut futures: Vec<_> =
            seen.map(|(site, sums)| sums.summarise(site, scale, &mut scratch)).collect();
        futures.sort_by_key(|future| (std::cmp::Reverse(future.poll_total), future.site));
        futures
    }
}

impl Sums {
    fn summarise(self, site: SiteId, scale: &Scale<'_>, scratch: &mut Scratch) -> FutureSummary {
        let [returned, failed, dropped] = self.outcomes;
        let mut quantiles = |durations: &Durations, ticks_max| {
            let max = scale.duration(Ticks(ticks_max));
            durations.quantiles(max, scale.nanos_per_tick(), scratch)
        };
        FutureSummary {
            site,
            count: self.count,
            returned,
            failed,
            dropped,
            unfinished: self.count.saturating_sub(returned + failed + dropped),
            polls: self.polls,
            poll_total: scale.duration(Ticks(self.poll_total)),
            poll: quantiles(&self.poll, self.poll_max),
            life: quantiles(&self.life, self.life_max),
        }
    }
}
