//! Who held a lock while others waited for it, and what they did meanwhile.
//!
//! What a wake costs is in proportion to those who wait for the lock only if it ends a wait, and
//! the thread that makes it is known to have held the lock since the wake before.

use trace_format::id::{CallId, StackId, ThreadId};
use trace_format::time::Nanos;

use super::{Comer, Futex, Wake};
use crate::reason::Reason;
use crate::timeline::TOP;
use crate::timeline::history::{Doings, Spots};
use crate::timeline::life::Times;
use crate::timeline::spent::{BLOCKED, READY, Spent};
use crate::timeline::standstill::Stops;
use crate::timeline::thread::Living;

/// Maximum number of holders that are told apart for one lock.
const HOLDERS_MAX: usize = 256;

/// The reasons for which threads wait that another thread can be to blame for.
pub(in crate::timeline) const LOCKS: [Reason; 4] =
    [Reason::Mutex, Reason::RwLockRead, Reason::RwLockWrite, Reason::Once];

/// A thread that held a lock for which others waited, and gave it up at one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Holder {
    /// Who.
    pub thread: ThreadId,
    /// Where it gave the lock up.
    pub stack: StackId,
    /// How often while others waited.
    pub count: u64,
    /// How long others waited meanwhile: the sum over the waiters, those of the threads that were
    /// asked for ([`WaitGroup::share`](crate::report::life::WaitGroup::share)).
    pub caused: Nanos,
    /// How long it is known to have held it while somebody waited.
    pub held: Nanos,
    /// The longest of these.
    pub held_max: Nanos,
    /// What it did in the time `held`; adds up to that.
    pub times: Times,
    /// The call in which it spent most of this time, waiting included; 0 for none.
    pub slow_call: CallId,
    /// Where it made the longest of these calls; 0 if that is not known.
    pub slow_stack: StackId,
}

/// What is known of a thread that makes a wake, from before that.
#[derive(Debug)]
pub(in crate::timeline) struct Release {
    /// The wake before.
    last: u64,
    /// When the first of those that wait for it began who did so behind that.
    first: Option<u64>,
    /// Since when the thread is known to have had the lock.
    pub(super) since: Option<u64>,
    /// How its own wait for the lock was over.
    came: Option<Comer>,
}

/// What threads did up to a wake.
pub(in crate::timeline) struct Meanwhile<'w> {
    pub(in crate::timeline) living: &'w [Living],
    /// The begin of what counts.
    pub(in crate::timeline) from: u64,
    pub(in crate::timeline) stops: &'w Stops,
}

/// For what others waited, who held it, and where it gave it up. Readers and writers wait for one
/// lock, and are told apart.
pub(in crate::timeline) type HolderKey = (Reason, ThreadId, StackId);

/// What one thread held, and gave up at one place.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::timeline) struct Held {
    count: u64,
    caused: u64,
    held: u64,
    held_max: u64,
    spent: Spent,
    spots: Spots,
    /// When it gave the lock up last.
    released: u64,
}

impl Release {
    /// Whether others may have waited for the thread, or before it had the lock.
    pub(in crate::timeline) fn is_awaited(&self, begin: u64) -> bool {
        self.since.is_some_and(|since| since < begin) || self.was_woken_last().is_some()
    }

    /// How its own wait was over, if the wake before ended that.
    fn was_woken_last(&self) -> Option<Comer> {
        self.came.filter(|came| came.woken == Some(self.last))
    }
}

impl Meanwhile<'_> {
    fn doings(&self, who: usize, from: u64, to: u64) -> Doings {
        self.living[who].history.doings(from, to)
    }

    fn spent_as(&self, slot: usize, who: usize, (from, to): (u64, u64)) -> u64 {
        self.living[who].history.spent_as(slot, from, to)
    }
}

impl Futex {
    /// A thread makes a wake, at a lock by giving it up. Returns what is known of it; `None` if
    /// nobody waited, as the wake woke nobody: that is all there is to it.
    pub(in crate::timeline) fn release(&mut self, wake: &Wake) -> Option<Release> {
        let Wake { thread, begin, left: woken, .. } = *wake;
        let last = std::mem::replace(&mut self.last_wake, begin);
        let came = self.came.iter().position(|it| it.thread == thread);
        let came = came.map(|at| self.came.remove(at));
        if woken == 0 {
            return None;
        }
        let first = self.waiters.first_between(last, begin);
        // With nobody waiting it may have given the lock up, and taken it again.
        let was_awaited_before = self.waiters.is_awaited_since_before(last);
        // Nobody has a lock while it waits for it, or another gives it up.
        let came_at = came.map_or(last, |came| came.end.max(last));
        let since = match came {
            Some(_) if was_awaited_before => Some(came_at),
            _ => first.map(|first| first.max(came_at)),
        };
        Some(Release { last, first, since, came })
    }

    /// Before that: who makes it is to blame for the waiting of the others while it had the lock.
    ///
    /// - `then`: what threads did up to now; those of [`Futex::hand_over`] are there.
    pub(in crate::timeline) fn blame_holder(
        &mut self,
        who: usize,
        wake: &Wake,
        release: &Release,
        then: &Meanwhile<'_>,
    ) {
        let Wake { thread, place, begin, .. } = *wake;
        let Release { last, first, since, .. } = *release;
        if let Some(came) = release.was_woken_last() {
            // What it was ready for since it was woken.
            let from = last.max(then.from);
            let to = from + then.spent_as(READY, who, (from, came.end));
            let free = self.waited_for((from, first.map_or(to, |first| first.min(to))), then);
            for (sum, free) in self.free.iter_mut().zip(free) {
                *sum = sum.saturating_add(free);
            }
        }
        let caused = since.map(|since| self.waited_for((since, begin), then)).unwrap_or_default();
        for (reason, caused) in LOCKS.into_iter().zip(caused) {
            let holder = (reason, thread, place);
            if self.blame(holder, begin, caused)
                && let Some(since) = since.map(|since| since.max(then.from))
            {
                self.held(holder, then.stops.awake(since, begin), then.doings(who, since, begin));
            }
        }
        let is_blocked = |who: usize, reason| then.living[who].is_blocked_for(reason);
        self.waiters.settle(is_blocked);
    }

    /// How long those who still wait for each kind of lock were blocked meanwhile: since the wake
    /// before, or later.
    fn waited_for(&self, (from, to): (u64, u64), then: &Meanwhile<'_>) -> [u64; LOCKS.len()] {
        let from = from.max(then.from);
        if from >= to {
            return [0; LOCKS.len()];
        }
        let nanos = then.stops.awake(from, to);
        let mut waited = self.waiters.steady().map(|count| u64::from(count).saturating_mul(nanos));
        for waiter in self.waiters.recent().filter(|it| it.begin <= to) {
            if let Some(lock) = waiter.lock() {
                let slot = BLOCKED + waiter.reason as usize;
                let blocked = then.spent_as(slot, waiter.who, (waiter.begin.max(from), to));
                waited[lock] = waited[lock].saturating_add(blocked);
            }
        }
        waited
    }

    /// A thread held the lock until `released`, and others waited for it meanwhile: `caused`, the
    /// sum over them. Returns whether this release is new, so that [`Futex::held`] must say what
    /// the thread did: each of the others may report the same release.
    pub(in crate::timeline) fn blame(
        &mut self,
        holder: HolderKey,
        released: u64,
        caused: u64,
    ) -> bool {
        let is_full = self.holders.len() >= HOLDERS_MAX;
        let is_late = is_full && !self.holders.contains_key(&holder);
        self.late += u64::from(caused > 0 && is_late);
        if caused == 0 || is_late {
            return false;
        }
        let held = self.holders.entry(holder).or_default();
        held.caused = held.caused.saturating_add(caused);
        let is_news = held.count == 0 || held.released != released;
        held.count += u64::from(is_news);
        held.released = released;
        is_news
    }

    /// How long the thread had held the lock that gave it up last, and what it did meanwhile.
    pub(in crate::timeline) fn held(&mut self, holder: HolderKey, nanos: u64, doings: Doings) {
        let Some(held) = self.holders.get_mut(&holder) else { return };
        let Doings { spent, spots } = doings.of(nanos);
        held.held = held.held.saturating_add(nanos);
        held.held_max = held.held_max.max(nanos);
        held.spent.add(&spent);
        held.spots.merge(&spots);
    }

    /// How long threads waited for this reason while nobody had it: who was woken had no CPU.
    pub(in crate::timeline) fn free(&self, reason: Reason) -> Nanos {
        let lock = LOCKS.iter().position(|lock| *lock == reason);
        Nanos(lock.map_or(0, |lock| self.free[lock]))
    }

    /// Who held it while others waited for this reason, the most waiting caused first;
    /// [`TOP`] at most.
    pub(in crate::timeline) fn holders(&self, reason: Reason) -> Vec<Holder> {
        let mut holders: Vec<_> = self.holders.iter().filter(|(key, _)| key.0 == reason).collect();
        holders.sort_by_key(|(key, held)| (std::cmp::Reverse(held.caused), **key));
        let holders = holders.into_iter().take(TOP).map(|(&(_, thread, stack), held)| {
            let (slow_call, slow_stack) = held.spots.most();
            Holder {
                thread,
                stack,
                count: held.count,
                caused: Nanos(held.caused),
                held: Nanos(held.held),
                held_max: Nanos(held.held_max),
                times: held.spent.times(),
                slow_stack,
                slow_call,
            }
        });
        holders.collect()
    }
}
