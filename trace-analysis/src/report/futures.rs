//! Per call site of a traced future: how many, how often polled, how long alive.

use std::collections::{BTreeMap, HashMap, VecDeque};

use trace_format::event::Outcome;
use trace_format::id::{FutureId, SiteId};
use trace_format::read::FutureState;
use trace_format::time::{Nanos, Ticks};

use crate::durations::{Budget, Durations, Quantiles, Scratch};
use crate::report::by_site::BySite;
use crate::time::Scale;

/// Maximum number of futures known at once; polls of others count for call site 0.
const KNOWN_MAX: usize = 1 << 20;
/// Number of ended futures that stay known, for polls that come late.
const ENDED_MAX: usize = 1 << 16;
/// So many futures may have been polled before they were told of, each so often.
const EARLY_MAX: usize = 1 << 12;
const EARLY_POLLS_MAX: usize = 16;

/// The futures of one call site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FutureSummary {
    /// Where in the source; 0 for polls of futures whose begin is not in the trace.
    pub site: SiteId,
    /// Futures that began, were polled or ended in the window.
    pub count: u64,
    /// Returned a value.
    pub returned: u64,
    /// Returned an error.
    pub failed: u64,
    /// Were dropped before they were done.
    pub dropped: u64,
    /// Panicked.
    pub panicked: u64,
    /// Ended, nobody knows how: executors' own hooks do not say.
    pub ended: u64,
    /// Of these, those that were neither done nor dropped at the end.
    pub unfinished: u64,
    /// Polls that ended in the window.
    pub polls: u64,
    /// Time inside polls, as far as it lies in the window.
    pub poll_total: Nanos,
    /// How the durations of polls are distributed.
    pub poll: Quantiles,
    /// How the lives are distributed, from the first poll to the end.
    pub life: Quantiles,
}

/// A poll, in ticks.
#[derive(Clone, Copy, Debug)]
struct OnePoll {
    /// If it ended in the window.
    duration: Option<u64>,
    /// What of it lies in the window.
    inside: u64,
}

/// A future that is known.
#[derive(Clone, Copy, Debug)]
struct Known {
    site: SiteId,
    begin: u64,
    /// Whether it has done something in the window.
    is_counted: bool,
}

#[derive(Debug, Default)]
struct Sums {
    count: u64,
    /// By [`Outcome::to_byte`].
    outcomes: [u64; 5],
    polls: u64,
    poll_total: u64,
    poll_max: u64,
    life_max: u64,
    poll: Durations,
    life: Durations,
}

/// The futures of a trace, told in the order of time.
#[derive(Debug)]
pub(crate) struct Futures<'f> {
    /// Those that lived when a generation began.
    told: &'f BTreeMap<FutureId, FutureState>,
    known: HashMap<FutureId, Known>,
    /// Polls of futures whose spawn has not been read yet: that may come later in the file.
    early: HashMap<FutureId, Vec<OnePoll>>,
    ended: VecDeque<FutureId>,
    sums: BySite<Sums>,
    budget: Budget,
    from: u64,
}

impl<'f> Futures<'f> {
    pub(crate) fn new(
        sites_max: SiteId,
        told: &'f BTreeMap<FutureId, FutureState>,
        from: Ticks,
    ) -> Self {
        Self {
            told,
            known: HashMap::new(),
            early: HashMap::new(),
            ended: VecDeque::new(),
            sums: BySite::new(sites_max),
            budget: Budget::new(crate::durations::SLOT_BYTES_MAX),
            from: from.0,
        }
    }

    /// An event names a future, perhaps again, perhaps before the window.
    ///
    /// - `is_own`: whether by a thread that was asked for.
    pub(crate) fn begin(&mut self, future: FutureId, site: SiteId, at: Ticks, is_own: bool) {
        let site = self.sums.known(site);
        let early = self.early.remove(&future);
        // What is polled early is polled in the window.
        let is_inside = is_own && at.0 >= self.from || early.is_some();
        if let Some(known) = self.known.get_mut(&future) {
            count(known, is_inside, &mut self.sums);
            return;
        }
        self.come(future, site, at, is_inside);
        for poll in early.into_iter().flatten() {
            self.sums.at(site).poll(poll, &mut self.budget);
        }
    }

    fn come(&mut self, future: FutureId, site: SiteId, begin: Ticks, is_inside: bool) -> Known {
        let mut known = Known { site, begin: begin.0, is_counted: false };
        count(&mut known, is_inside, &mut self.sums);
        if self.known.len() < KNOWN_MAX {
            self.known.insert(future, known);
        }
        known
    }

    /// A future does something in the window. What is known of it, if anything is.
    fn acts(&mut self, future: FutureId) -> Option<Known> {
        if let Some(known) = self.known.get_mut(&future) {
            count(known, true, &mut self.sums);
            return Some(*known);
        }
        let told = self.told.get(&future)?;
        let site = self.sums.known(told.site);
        // Without room for it, it would come with each thing that it does.
        let is_new = self.known.len() < KNOWN_MAX;
        Some(self.come(future, site, told.begin, is_new))
    }

    /// A future ends.
    ///
    /// - `is_own`: whether on a thread that was asked for: if not, it counts if it did before.
    pub(crate) fn end(&mut self, future: FutureId, outcome: Outcome, at: Ticks, is_own: bool) {
        let counts = is_own || self.known.get(&future).is_some_and(|it| it.is_counted);
        if at.0 < self.from || !counts {
            self.known.remove(&future);
            return;
        }
        let known = self.acts(future);
        let sums = self.sums.at(known.map_or(SiteId(0), |known| known.site));
        sums.outcomes[usize::from(outcome.to_byte())] += 1;
        let Some(Known { begin, .. }) = known else { return };
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

    /// A poll of which something lies in the window: `inside`.
    ///
    /// - `end`: if it ended in the window.
    pub(crate) fn poll(
        &mut self,
        future: FutureId,
        begin: Ticks,
        end: Option<Ticks>,
        inside: Ticks,
    ) {
        let duration = end.map(|end| end.0.saturating_sub(begin.0));
        let poll = OnePoll { duration, inside: inside.0 };
        let Some(known) = self.acts(future) else {
            self.poll_early(future, poll);
            return;
        };
        self.sums.at(known.site).poll(poll, &mut self.budget);
    }

    fn poll_early(&mut self, future: FutureId, poll: OnePoll) {
        if self.early.len() < EARLY_MAX || self.early.contains_key(&future) {
            let polls = self.early.entry(future).or_default();
            if polls.len() < EARLY_POLLS_MAX {
                polls.push(poll);
                return;
            }
        }
        self.sums.at(SiteId(0)).poll(poll, &mut self.budget);
    }

    /// The call sites that were seen, the most time inside polls first.
    pub(crate) fn summarise(mut self, scale: &Scale<'_>) -> Vec<FutureSummary> {
        for poll in self.early.into_values().flatten() {
            self.sums.at(SiteId(0)).poll(poll, &mut self.budget);
        }
        let mut scratch = Scratch::new();
        let sites = self.sums.into_sorted().into_iter();
        let seen = sites.filter(|(_, sums)| sums.count > 0 || sums.polls > 0);
        let mut futures: Vec<_> =
            seen.map(|(site, sums)| sums.summarise(site, scale, &mut scratch)).collect();
        futures.sort_by_key(|future| (std::cmp::Reverse(future.poll_total), future.site));
        futures
    }
}

/// Counts a future that does something in the window, once.
fn count(known: &mut Known, is_inside: bool, sums: &mut BySite<Sums>) {
    if is_inside && !std::mem::replace(&mut known.is_counted, true) {
        sums.at(known.site).count += 1;
    }
}

impl Sums {
    fn poll(&mut self, OnePoll { duration, inside }: OnePoll, budget: &mut Budget) {
        self.poll_total = self.poll_total.saturating_add(inside);
        let Some(duration) = duration else { return };
        self.polls += 1;
        self.poll_max = self.poll_max.max(duration);
        self.poll.record(duration, budget);
    }

    fn summarise(self, site: SiteId, scale: &Scale<'_>, scratch: &mut Scratch) -> FutureSummary {
        let [returned, failed, dropped, panicked, ended] = self.outcomes;
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
            panicked,
            ended,
            unfinished: self.count.saturating_sub(self.outcomes.iter().sum()),
            polls: self.polls,
            poll_total: scale.duration(Ticks(self.poll_total)),
            poll: quantiles(&self.poll, self.poll_max),
            life: quantiles(&self.life, self.life_max),
        }
    }
}
