//! The sums of one call site's futures.

use std::collections::HashMap;

use trace_format::event::Outcome;
use trace_format::id::{SiteId, StackId};
use trace_format::time::Nanos;

use super::SpawnSite;
use super::polls::LONG_POLL;
use crate::durations::{Budget, Durations, Scratch};
use crate::timeline::futures::Kind;

/// A poll that is over, or open when the trace ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OnePoll {
    /// How long it took of what is read, and before.
    pub(crate) nanos: u64,
    pub(crate) older: u64,
    /// How long the future had been ready, if that is known.
    pub(crate) ready: Option<u64>,
}

/// One call site.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    /// The counts; the quantiles come at the end.
    pub(crate) told: SpawnSite,
    polls: Durations,
    ready: Durations,
    lives: Durations,
    poll_max: u64,
    ready_max: u64,
    life_max: u64,
}

/// All call sites.
#[derive(Debug)]
pub(crate) struct SumTable {
    places: HashMap<(SiteId, Kind), usize>,
    pub(crate) all: Vec<(Kind, Sums)>,
    pub(crate) budget: Budget,
}

impl SumTable {
    pub(crate) fn new() -> Self {
        let budget = Budget::new(crate::durations::SLOT_BYTES_MAX);
        Self { places: HashMap::new(), all: Vec::new(), budget }
    }

    /// The place of a call site that the trace defines, or of 0: so there are not more than it has.
    pub(crate) fn place(&mut self, site: SiteId, kind: Kind) -> usize {
        let next = self.all.len();
        let place = *self.places.entry((site, kind)).or_insert(next);
        if place == next {
            let told = SpawnSite { site, spawned: kind == Kind::Spawned, ..SpawnSite::default() };
            self.all.push((kind, Sums { told, ..Sums::default() }));
        }
        place
    }

    pub(crate) fn at(&mut self, place: usize) -> &mut SpawnSite {
        &mut self.all[place].1.told
    }

    /// A future is there.
    pub(crate) fn come(&mut self, place: usize, stack: StackId) {
        let told = self.at(place);
        told.count += 1;
        told.alive += 1;
        told.alive_max = told.alive_max.max(told.alive);
        if told.stack == StackId(0) {
            told.stack = stack;
        }
    }

    /// It belongs elsewhere, or is over.
    pub(crate) fn leave(&mut self, place: usize, is_over: bool) {
        let told = self.at(place);
        told.alive = told.alive.saturating_sub(1);
        if !is_over {
            told.count = told.count.saturating_sub(1);
        }
    }

    pub(crate) fn poll(&mut self, place: usize, poll: OnePoll) {
        let OnePoll { nanos, older, ready } = poll;
        let whole = nanos.saturating_add(older);
        let sums = &mut self.all[place].1;
        let told = &mut sums.told;
        told.polls += 1;
        add(&mut told.busy, nanos);
        if whole >= LONG_POLL.0 {
            told.long_polls += 1;
            add(&mut told.long_total, nanos);
        }
        sums.poll_max = sums.poll_max.max(whole);
        sums.polls.record(whole, &mut self.budget);
        if let Some(ready) = ready {
            self.ready(place, ready);
        }
    }

    /// A future was ready for this long, and no poll has ended that: so it is before none.
    pub(crate) fn ready_unpolled(&mut self, place: usize, nanos: u64) {
        let sums = &mut self.all[place].1;
        add(&mut sums.told.ready_total, nanos);
        sums.ready_max = sums.ready_max.max(nanos);
    }

    /// A future was ready for this long before a poll.
    pub(crate) fn ready(&mut self, place: usize, nanos: u64) {
        self.ready_unpolled(place, nanos);
        self.all[place].1.ready.record(nanos, &mut self.budget);
    }

    /// A poll is open when the trace ends: it has no length yet, but is long already if it is.
    pub(crate) fn open_poll(&mut self, place: usize, poll: OnePoll) {
        let OnePoll { nanos, older, ready } = poll;
        let whole = nanos.saturating_add(older);
        let sums = &mut self.all[place].1;
        add(&mut sums.told.busy, nanos);
        sums.poll_max = sums.poll_max.max(whole);
        if whole >= LONG_POLL.0 {
            sums.told.long_polls += 1;
            add(&mut sums.told.long_total, nanos);
        }
        if let Some(ready) = ready {
            self.ready(place, ready);
        }
    }

    pub(crate) fn end(&mut self, place: usize, nanos: u64, outcome: Outcome) {
        let sums = &mut self.all[place].1;
        sums.life_max = sums.life_max.max(nanos);
        sums.lives.record(nanos, &mut self.budget);
        match outcome {
            Outcome::Returned => sums.told.returned += 1,
            Outcome::Failed => sums.told.failed += 1,
            Outcome::Dropped => sums.told.dropped += 1,
            Outcome::Panicked => sums.told.panicked += 1,
            Outcome::Ended => sums.told.ended += 1,
        }
    }

    /// The window begins: what is there counts, what has happened does not.
    pub(crate) fn restart(&mut self) {
        self.budget = Budget::new(crate::durations::SLOT_BYTES_MAX);
        for (_, sums) in &mut self.all {
            let SpawnSite { site, spawned, stack, alive, .. } = sums.told;
            let told = SpawnSite {
                site,
                spawned,
                stack,
                alive,
                count: alive,
                alive_max: alive,
                ..SpawnSite::default()
            };
            *sums = Sums { told, ..Sums::default() };
        }
    }

    /// The sites of async tasks, and those of child futures, each with the most time first.
    pub(crate) fn finish(&mut self) -> (Vec<SpawnSite>, Vec<SpawnSite>) {
        let mut scratch = Scratch::new();
        let (mut tasks, mut children) = (Vec::new(), Vec::new());
        for (kind, sums) in self.all.drain(..) {
            let mut of =
                |durations: &Durations, max| durations.quantiles(Nanos(max), 1.0, &mut scratch);
            let told = SpawnSite {
                // Some were told to be elsewhere's after they had been counted here.
                alive_max: sums.told.alive_max.min(sums.told.count),
                poll: of(&sums.polls, sums.poll_max),
                ready: of(&sums.ready, sums.ready_max),
                life: of(&sums.lives, sums.life_max),
                ..sums.told
            };
            let is_seen = told.count > 0 || told.polls > 0 || told.late_wakes > 0;
            let list = if kind == Kind::Child { &mut children } else { &mut tasks };
            list.extend(is_seen.then_some(told));
        }
        for list in [&mut tasks, &mut children] {
            list.sort_by_key(|told| (std::cmp::Reverse(told.busy), told.site, told.spawned));
        }
        (tasks, children)
    }
}

pub(crate) fn add(sum: &mut Nanos, nanos: u64) {
    sum.0 = sum.0.saturating_add(nanos);
}
