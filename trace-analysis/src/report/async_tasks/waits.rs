//! Where tasks were idle, who ended that, and who held the lock that was awaited.
//!
//! What is said of holders rests on this alone: whoever gives up a lock for which a task waits
//! wakes that task; and locks of async libraries are handed on in the order of waiting, so whoever
//! gave it up had it since the waiting began, or since its own waiting for a lock ended.

use std::cmp::Reverse;
use std::collections::HashMap;

use trace_format::id::{FutureId, SiteId, StackId};
use trace_format::time::Nanos;

use super::sums::add;
use super::{AsyncHolder, AwaitGroup, Idle};
use crate::durations::{Budget, Durations, Scratch};
use crate::reason::Await;
use crate::report::life::{Sum, TOP, keep_longest, shares};
use crate::timeline::futures::{HolderThen, Places};

/// Maximum number of groups; the rest share one group for each spawn site, and are counted.
const GROUPS_MAX: usize = 1 << 14;

/// Maximum number of wakers, holders and places of one holder that are kept separately in a group.
const PARTIES_MAX: usize = 64;

/// Tasks of one spawn site, idle at one place.
#[derive(Debug)]
struct Group {
    awaited: Await,
    sum: Sum,
    max: u64,
    durations: Durations,
    waiting: u64,
    wakers: HashMap<(Option<SiteId>, StackId), Sum>,
    holders: HashMap<(SiteId, StackId), Held>,
    longest: Vec<Idle>,
}

/// What tasks did that held a lock.
#[derive(Debug, Default)]
struct Held {
    count: u64,
    held: Nanos,
    held_max: Nanos,
    idle: Nanos,
    places: HashMap<(StackId, Await), u64>,
    task: FutureId,
}

/// The spawn site among the sums, the place, and the other places if it is not known which.
type GroupKey = (usize, StackId, Vec<(StackId, Await)>);

/// All groups.
#[derive(Debug)]
pub(crate) struct Waits {
    groups: HashMap<GroupKey, Group>,
    budget: Budget,
    /// How many waits had a place for which there was no room.
    late: u64,
    /// Number of those with a waker or a holder that had no room in their group.
    late_parties: u64,
}

impl Waits {
    pub(crate) fn new() -> Self {
        let budget = Budget::new(crate::durations::SLOT_BYTES_MAX);
        Self { groups: HashMap::new(), budget, late: 0, late_parties: 0 }
    }

    /// Where a wait belongs, and whether that is the group for what came too late.
    fn group(
        &mut self,
        sums: usize,
        (stack, awaited): (StackId, Await),
        others: &[(StackId, Await)],
    ) -> (&mut Group, bool) {
        let mut key = (sums, stack, others.to_vec());
        let mut awaited = awaited;
        let is_full = self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(&key);
        let is_late = is_full && stack != StackId(0);
        if is_full {
            (key, awaited) = ((sums, StackId(0), Vec::new()), Await::UNKNOWN);
        }
        let group = self.groups.entry(key).or_insert_with(|| Group {
            awaited,
            sum: Sum::default(),
            max: 0,
            durations: Durations::default(),
            waiting: 0,
            wakers: HashMap::new(),
            holders: HashMap::new(),
            longest: Vec::new(),
        });
        (group, is_late)
    }

    /// How many waits are in groups for what came too late.
    pub(crate) fn late(&self) -> u64 {
        self.late
    }

    /// How many have a waker or a holder that is not in their group.
    pub(crate) fn late_parties(&self) -> u64 {
        self.late_parties
    }

    /// A task was idle, or still is.
    ///
    /// - `place`: one stack for all at that place, and what is awaited there.
    /// - `others`: the other places, if it is not known for which of them it waited.
    /// - `waker`: the spawn site of the task that woke it, and where, as one stack for all.
    pub(crate) fn add(
        &mut self,
        sums: usize,
        place: (StackId, Await),
        others: &[(StackId, Await)],
        idle: Idle,
        waker: Option<(Option<SiteId>, StackId)>,
        is_over: bool,
    ) {
        // The budget is the groups', not the group's.
        let mut budget = std::mem::replace(&mut self.budget, Budget::new(0));
        let (group, is_late) = self.group(sums, place, others);
        let (nanos, inside) = (idle.duration.0, idle.inside.0);
        group.sum.add(inside);
        group.max = group.max.max(nanos);
        group.durations.record(nanos, &mut budget);
        group.waiting += u64::from(!is_over);
        keep_longest(&mut group.longest, idle, |idle| idle.duration.0);
        let mut is_party_late = false;
        if let Some(waker) = waker {
            let is_known = group.wakers.contains_key(&waker);
            if is_known || group.wakers.len() < PARTIES_MAX {
                group.wakers.entry(waker).or_default().add(inside);
            } else {
                is_party_late = true;
            }
        }
        self.budget = budget;
        self.late_parties += u64::from(is_party_late);
        self.late += u64::from(is_late);
    }

    /// A task woke another that awaited a lock, by giving it up.
    ///
    /// - `waited`: from when to when the other was idle.
    /// - `released_at`: one stack for all that do so there.
    pub(crate) fn held(
        &mut self,
        sums: usize,
        place: (StackId, Await),
        waited: (u64, u64),
        holder: &HolderThen,
        places: &mut Places<'_>,
    ) {
        let last = holder.past.iter().rev().find(|past| places.is_lock(past.stack));
        let from = waited.0.max(last.map_or(0, |past| past.to)).max(holder.begin);
        let Some(nanos) = waited.1.checked_sub(from).filter(|nanos| *nanos > 0) else { return };
        let (group, _) = self.group(sums, place, &[]);
        let key = (holder.site, holder.released_at);
        if group.holders.len() >= PARTIES_MAX && !group.holders.contains_key(&key) {
            self.late_parties += 1;
            return;
        }
        let held = group.holders.entry(key).or_default();
        held.count += 1;
        add(&mut held.held, nanos);
        if Nanos(nanos) > held.held_max {
            (held.held_max, held.task) = (Nanos(nanos), holder.id);
        }
        for past in &holder.past {
            let idle = past.to.min(waited.1).saturating_sub(past.from.max(from));
            if idle == 0 {
                continue;
            }
            add(&mut held.idle, idle);
            let place = places.of(past.stack);
            if held.places.len() < PARTIES_MAX || held.places.contains_key(&place) {
                let sum = held.places.entry(place).or_default();
                *sum = sum.saturating_add(idle);
            }
        }
    }

    /// The window begins.
    pub(crate) fn restart(&mut self) {
        *self = Self::new();
    }

    /// The groups, the most time first.
    pub(crate) fn finish(&mut self, site_of: impl Fn(usize) -> SiteId) -> Vec<AwaitGroup> {
        let mut scratch = Scratch::new();
        let mut groups: Vec<_> = self
            .groups
            .drain()
            .map(|((sums, stack, one_of), group)| AwaitGroup {
                site: site_of(sums),
                stack,
                one_of,
                awaited: group.awaited,
                count: group.sum.count,
                total: Nanos(group.sum.total),
                quantiles: group.durations.quantiles(Nanos(group.max), 1.0, &mut scratch),
                waiting: group.waiting,
                wakers: shares(group.wakers),
                holders: holders(group.holders),
                longest: group.longest,
            })
            .collect();
        groups.sort_by(|a, b| {
            let key = |it: &AwaitGroup| (Reverse((it.total, it.count)), it.site, it.stack);
            key(a).cmp(&key(b)).then_with(|| a.one_of.cmp(&b.one_of))
        });
        groups
    }
}

fn holders(holders: HashMap<(SiteId, StackId), Held>) -> Vec<AsyncHolder> {
    let holder = |((site, stack), held): ((SiteId, StackId), Held)| {
        let places = held.places.into_iter();
        let most = places.max_by_key(|((stack, _), nanos)| (*nanos, Reverse(*stack)));
        let (idle_stack, idle_awaited) =
            most.map_or((StackId(0), Await::UNKNOWN), |(place, _)| place);
        AsyncHolder {
            site,
            stack,
            count: held.count,
            held: held.held,
            held_max: held.held_max,
            idle: held.idle,
            idle_stack,
            idle_awaited,
            task: held.task,
        }
    };
    let mut holders: Vec<_> = holders.into_iter().map(holder).collect();
    holders.sort_by_key(|holder| (Reverse(holder.held), holder.site, holder.stack));
    holders.truncate(TOP);
    holders
}
