//! When tasks were ready and not polled, as times of the program: tasks that are ready side by side
//! lose no more of it than one.
//!
//! Time behind long polls is left out: findings about long polls name it.

use trace_format::id::{SiteId, ThreadId};
use trace_format::time::Nanos;

use super::sums::add;
use crate::spans::{LongSpans, Span, union};

/// Maximum number of threads of one spawn site that are remembered.
const POLLERS_MAX: usize = 256;

/// When tasks of one spawn site were ready.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadyTimes {
    pub(crate) site: SiteId,
    /// When one of them was, or several.
    pub(crate) times: Vec<Span>,
    /// The sum of all such times: those of tasks that were ready side by side are all in it.
    pub(crate) total: Nanos,
    /// Those of them that began before what is read.
    pub(crate) since_before: Nanos,
    /// The threads that poll such tasks, in order.
    pub(crate) pollers: Vec<ThreadId>,
}

/// The same of all, by the place of the spawn site among the sums.
#[derive(Debug)]
pub(crate) struct ReadyTable {
    sites: Vec<OneSite>,
    /// What does not touch what came after it.
    over: LongSpans<usize>,
}

#[derive(Clone, Debug, Default)]
struct OneSite {
    last: Span,
    total: Nanos,
    since_before: Nanos,
    /// The timeline's numbers of the threads, and their ids.
    pollers: Vec<(usize, ThreadId)>,
}

impl Default for ReadyTable {
    fn default() -> Self {
        Self { sites: Vec::new(), over: LongSpans::new(1) }
    }
}

impl ReadyTable {
    fn site(&mut self, sums: usize) -> &mut OneSite {
        if self.sites.len() <= sums {
            self.sites.resize(sums + 1, OneSite::default());
        }
        &mut self.sites[sums]
    }

    /// A thread polls a task.
    #[inline]
    pub(crate) fn polled(&mut self, sums: usize, poller: (usize, ThreadId)) {
        let pollers = &mut self.site(sums).pollers;
        if pollers.len() < POLLERS_MAX && !pollers.contains(&poller) {
            pollers.push(poller);
        }
    }

    /// The timeline's numbers of the threads that poll such tasks.
    pub(crate) fn pollers(&self, sums: usize) -> impl Iterator<Item = usize> {
        let site = self.sites.get(sums);
        site.into_iter().flat_map(|site| site.pollers.iter().map(|(who, _)| *who))
    }

    /// A task was ready, and is polled at the end of this, or behind a long poll that came then.
    ///
    /// - `is_since_before`: it was ready already when what is read began.
    pub(crate) fn add(&mut self, sums: usize, (from, to): Span, is_since_before: bool) {
        if from >= to {
            return;
        }
        let site = self.site(sums);
        add(&mut site.total, to - from);
        if is_since_before {
            add(&mut site.since_before, to - from);
        }
        let last = &mut site.last;
        if from <= last.1 && to >= last.0 {
            *last = (last.0.min(from), last.1.max(to));
            return;
        }
        let over = std::mem::replace(last, (from, to));
        self.over.add((sums, over));
    }

    /// The window begins: who polls what is known.
    pub(crate) fn restart(&mut self) {
        for site in &mut self.sites {
            *site = OneSite { pollers: std::mem::take(&mut site.pollers), ..OneSite::default() };
        }
        self.over.restart();
    }

    /// - `site_of`: of a place among the sums.
    pub(crate) fn finish(&mut self, site_of: impl Fn(usize) -> SiteId) -> Vec<ReadyTimes> {
        let mut times = self.over.by_party();
        self.over.restart();
        let mut all: Vec<_> = self
            .sites
            .drain(..)
            .enumerate()
            .map(|(sums, site)| {
                let mut times = times.remove(&sums).unwrap_or_default();
                times.push(site.last);
                let OneSite { total, since_before, .. } = site;
                let pollers = site.pollers.into_iter().map(|(_, thread)| thread);
                let mut pollers: Vec<_> = pollers.collect();
                pollers.sort_unstable();
                let times = union(times);
                ReadyTimes { site: site_of(sums), times, total, since_before, pollers }
            })
            .filter(|ready| !ready.times.is_empty())
            .collect();
        all.sort_by(|a, b| (a.site, &a.times).cmp(&(b.site, &b.times)));
        all
    }
}
