//! What a thread did lately: stretches of one state, one after another.
//!
//! They say what a lock's holder did while it held the lock. An observer gets each one as
//! soon as it won't change any more; what the observer has got stays as it is.
//!
//! The last stretches are kept one by one. What lies further back is kept in sums of some stretches
//! each, and of twice as many the further back that is: so a lock may be held for any number of
//! stretches, and what is not known of it, as it began within a sum, is a small part. What was done
//! before anybody waited for a lock is not kept.

use std::collections::VecDeque;

use trace_format::id::{CallId, StackId};

use super::futex::LockWaits;
use super::observed::UNTOLD_MAX;
use super::spent::{BLOCKED, EITHER, IN_CALLS, READY, RUNNING, STOPPED, Spent, UNKNOWN};

/// Maximum number of stretches that are kept one by one.
pub(super) const HISTORY_MAX: usize = 288;

/// Number of stretches that are put together once there are too many.
const SUMMED: usize = 32;

/// Maximum number of sums of one size. A time that is asked for begins within one of them: an
/// eighth of its stretches lie there at most.
const SUMS_MAX: usize = 16;

/// Maximum number of sizes: what lies further back than some 2^20 stretches is forgotten, and a
/// thread's sums take 110 kB at most.
const SIZES_MAX: usize = 12;

// What an observer has not got yet is kept one by one.
const _: () = assert!(UNTOLD_MAX + 8 < HISTORY_MAX - SUMMED);

/// A stretch of one state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) slot: usize,
    pub(super) call: CallId,
    pub(super) stack: StackId,
    /// The CPU it was on, if it was on one.
    pub(super) cpu: Option<u32>,
}

/// Maximum number of calls that are told apart among those in which a thread spent its time.
const SPOTS_MAX: usize = 8;

/// Time spent in one call, waiting included. The same call comes from many places, as `write!`
/// makes one for each of its parts: the place is that of the longest stretch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Spot {
    call: CallId,
    nanos: u64,
    /// How long the longest stretch was, and where the call was made.
    longest: (u64, StackId),
}

/// In which calls a thread spent most of its time in calls and waiting. What took more than an
/// eighth of that is among these, whatever came when: a new one takes over the time of the least
/// (Metwally and others, "Efficient computation of frequent and top-k elements in data streams",
/// 2005).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spots([Spot; SPOTS_MAX]);

/// What a thread did for a while.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Doings {
    pub(super) spent: Spent,
    pub(super) spots: Spots,
}

/// What lies further back than the stretches: some of them, put together.
#[derive(Clone, Copy, Debug)]
struct Past {
    from: u64,
    to: u64,
    doings: Doings,
}

/// A part of what is remembered.
enum Part<'h> {
    /// A stretch, and how long it lay in the time that was asked for.
    Stretch(&'h Stretch, u64),
    /// What was done in several.
    Past(&'h Doings),
}

/// The last stretches of a thread.
#[derive(Debug, Default)]
pub(super) struct History {
    stretches: VecDeque<Stretch>,
    /// Number of them, from the front, that an observer has got.
    told: usize,
    /// What lies before these, by time; each of some stretches, the next of twice as many each.
    past: Vec<VecDeque<Past>>,
    lock_waits: LockWaits,
}

impl Spots {
    #[inline]
    fn add(&mut self, new: Spot) {
        match self.0.iter_mut().find(|spot| spot.call == new.call) {
            Some(spot) => {
                spot.nanos = spot.nanos.saturating_add(new.nanos);
                if new.longest.0 > spot.longest.0 {
                    spot.longest = new.longest;
                }
            }
            None => self.take_over(new),
        }
    }

    fn take_over(&mut self, new: Spot) {
        if let Some(least) = self.0.iter_mut().min_by_key(|spot| spot.nanos) {
            *least = Spot { nanos: least.nanos.saturating_add(new.nanos), ..new };
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for spot in other.0.iter().filter(|spot| spot.nanos > 0) {
            self.add(*spot);
        }
    }

    /// The call that took most, and where it took longest; 0 for both if there was none.
    pub(super) fn most(&self) -> (CallId, StackId) {
        let most = self.0.iter().filter(|spot| spot.nanos > 0).max_by_key(|spot| spot.nanos);
        most.map_or_else(Default::default, |spot| (spot.call, spot.longest.1))
    }
}

impl Doings {
    #[inline]
    fn add(&mut self, stretch: &Stretch, nanos: u64) {
        self.spent.0[stretch.slot] += nanos;
        if !matches!(stretch.slot, RUNNING | READY) && stretch.call != CallId(0) {
            let longest = (nanos, stretch.stack);
            self.spots.add(Spot { call: stretch.call, nanos, longest });
        }
    }

    fn merge(&mut self, other: &Self) {
        self.spent.add(&other.spent);
        self.spots.merge(&other.spots);
    }

    /// Of a time that was this long, what is not among these is not known. A stop of the whole
    /// process is no part of that time.
    pub(super) fn of(mut self, nanos: u64) -> Self {
        self.spent.0[STOPPED] = 0;
        let known: u64 = self.spent.0.iter().sum();
        self.spent.0[UNKNOWN] += nanos.saturating_sub(known);
        self
    }
}

impl Past {
    fn of(stretches: impl Iterator<Item = Stretch>) -> Option<Self> {
        let mut past: Option<Self> = None;
        for stretch in stretches {
            let Stretch { from, to, .. } = stretch;
            let past = past.get_or_insert(Self { from, to, doings: Doings::default() });
            past.to = to;
            past.doings.add(&stretch, to - from);
        }
        past
    }
}

impl History {
    pub(super) fn new(lock_waits: LockWaits) -> Self {
        Self { lock_waits, ..Self::default() }
    }

    /// The window begins: what was before does not count.
    pub(super) fn begin_window(&mut self) {
        *self = Self::new(self.lock_waits.clone());
    }

    /// Time has passed.
    #[inline]
    pub(super) fn add(&mut self, stretch: Stretch) {
        let is_untold = self.untold() > 0;
        if let Some(last) = self.stretches.back_mut() {
            let key = |it: &Stretch| (it.slot, it.call, it.stack, it.cpu);
            if key(last) == key(&stretch) && is_untold && last.to == stretch.from {
                last.to = stretch.to;
                return;
            }
        }
        // Not only one: a wait that is told apart from being ready adds a stretch, too.
        while self.stretches.len() >= HISTORY_MAX {
            self.sum_up();
        }
        self.stretches.push_back(stretch);
    }

    /// Puts the stretches together that lie furthest back.
    #[inline(never)]
    fn sum_up(&mut self) {
        self.told = self.told.saturating_sub(SUMMED);
        let until = self.stretches[SUMMED - 1].to;
        if self.lock_waits.since().is_none_or(|since| until <= since) {
            // Their memory is for the next time that somebody waits.
            self.past.iter_mut().for_each(VecDeque::clear);
            self.stretches.drain(..SUMMED);
            return;
        }
        let Some(mut past) = Past::of(self.stretches.drain(..SUMMED)) else { return };
        for size in 0..SIZES_MAX {
            if self.past.len() <= size {
                self.past.push(VecDeque::with_capacity(SUMS_MAX + 1));
            }
            let sums = &mut self.past[size];
            sums.push_back(past);
            if sums.len() <= SUMS_MAX {
                return;
            }
            let (Some(first), Some(second)) = (sums.pop_front(), sums.pop_front()) else { return };
            past = Past { to: second.to, ..first };
            past.doings.merge(&second.doings);
        }
    }

    /// Number of those that an observer has not got yet.
    pub(super) fn untold(&self) -> usize {
        self.stretches.len() - self.told
    }

    /// The next one for an observer.
    pub(super) fn tell(&mut self) -> Option<Stretch> {
        let stretch = *self.stretches.get(self.told)?;
        self.told += 1;
        Some(stretch)
    }

    /// The first switch has come: `on` says whether the thread had been on a CPU until then.
    pub(super) fn resolve(&mut self, on: bool) {
        for stretch in self.stretches.iter_mut().skip(self.told) {
            stretch.slot = match (on, stretch.slot) {
                (true, EITHER) => RUNNING,
                (true, BLOCKED..) => IN_CALLS,
                (false, EITHER | IN_CALLS) => UNKNOWN,
                (_, slot) => slot,
            };
        }
        for past in self.past.iter_mut().flatten() {
            past.doings.spent = past.doings.spent.resolved(on);
        }
    }

    /// The last `nanos` up to `to`, which were of this state, were being ready. Whether that can
    /// still be said: an observer may have got what lies further back.
    ///
    /// The stretch may go on behind `to`: a call inside another one can be like it.
    pub(super) fn make_ready(&mut self, (slot, to): (usize, u64), nanos: u64) -> bool {
        let is_it = |it: &Stretch| it.slot == slot && it.from < to && to <= it.to;
        let Some(at) = self.stretches.iter().rposition(is_it) else { return false };
        // Whether or not there is an observer, so that both hear the same.
        if at + UNTOLD_MAX < self.stretches.len() || at < self.told {
            return false;
        }
        let rest = Stretch { from: to, ..self.stretches[at] };
        if rest.from < rest.to {
            self.stretches[at].to = to;
            self.stretches.insert(at + 1, rest);
        }
        self.split(at, READY, nanos);
        true
    }

    /// The last `nanos` that were spent as `from` were spent as `to`.
    pub(super) fn relabel(&mut self, from: usize, to: usize, mut nanos: u64) {
        let mut at = self.stretches.len();
        while nanos > 0 && at > self.told {
            at -= 1;
            let stretch = self.stretches[at];
            if stretch.slot == from {
                self.split(at, to, nanos);
                nanos = nanos.saturating_sub(stretch.to - stretch.from);
            }
        }
    }

    /// The last `nanos` of a stretch, or all of it, are another state.
    fn split(&mut self, at: usize, slot: usize, nanos: u64) {
        let mut rest = self.stretches[at];
        if nanos >= rest.to - rest.from {
            self.stretches[at].slot = slot;
            return;
        }
        (rest.from, rest.slot) = (rest.to - nanos, slot);
        self.stretches[at].to = rest.from;
        self.stretches.insert(at + 1, rest);
    }

    /// How long the thread was in one state from then to then, as far as it is remembered.
    pub(super) fn spent_as(&self, slot: usize, from: u64, to: u64) -> u64 {
        let mut spent = 0;
        self.for_each((from, to), |part| match part {
            Part::Stretch(stretch, nanos) if stretch.slot == slot => spent += nanos,
            Part::Stretch(..) => {}
            Part::Past(doings) => spent += doings.spent.0[slot],
        });
        spent
    }

    /// What the thread did from then to then, as far as it is remembered.
    pub(super) fn doings(&self, from: u64, to: u64) -> Doings {
        let mut doings = Doings::default();
        self.for_each((from, to), |part| match part {
            Part::Stretch(stretch, nanos) => doings.add(stretch, nanos),
            Part::Past(past) => doings.merge(past),
        });
        doings
    }

    /// What is remembered of a time, the last first.
    #[inline]
    fn for_each(&self, (from, to): (u64, u64), mut visit: impl FnMut(Part<'_>)) {
        for stretch in self.stretches.iter().rev().take_while(|it| it.to > from) {
            let nanos = stretch.to.min(to).saturating_sub(stretch.from.max(from));
            visit(Part::Stretch(stretch, nanos));
        }
        let past = self.past.iter().flat_map(|sums| sums.iter().rev());
        // What the thread did within a sum is not known.
        for past in past.take_while(|it| it.from >= from).filter(|it| it.to <= to) {
            visit(Part::Past(&past.doings));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: CallId = CallId::WRITE;

    fn stretch(at: u64, slot: usize, call: CallId, stack: u32) -> Stretch {
        Stretch { from: at, to: at + 10, slot, call, stack: StackId(stack), cpu: None }
    }

    /// That of a thread while another waits for a lock.
    fn awaited() -> History {
        History::new(LockWaits::since_the_begin())
    }

    /// Runs and calls by turns, 10 ns each.
    fn history(stretches: u64) -> History {
        let mut history = awaited();
        for at in 0..stretches {
            let (slot, call) = if at % 2 == 0 { (RUNNING, CallId(0)) } else { (IN_CALLS, CALL) };
            history.add(stretch(at * 10, slot, call, 1));
        }
        history
    }

    #[test]
    fn what_was_done_in_any_number_of_stretches_is_known_but_for_an_eighth() {
        let count = 100_000;
        let history = history(count);
        let to = count * 10;
        for stretches in [1, 100, 200, 5_000, 30_000, count] {
            let nanos = stretches * 10;
            let spent = history.doings(to - nanos, to).of(nanos).spent;
            assert_eq!(spent.0.iter().sum::<u64>(), nanos, "all of it is said");
            let unknown = spent.0[UNKNOWN];
            assert!(unknown <= nanos / 8, "{unknown} of {nanos}");
            assert!(spent.0[RUNNING].abs_diff(spent.0[IN_CALLS]) <= 10, "{spent:?}");
        }
        for (from, to) in [(0, to), (to / 3, to / 2), (to - 1_005, to - 7), (to / 2, to)] {
            let doings = history.doings(from, to).spent.0;
            let each = [RUNNING, IN_CALLS, READY].map(|slot| history.spent_as(slot, from, to));
            assert_eq!(each, [doings[RUNNING], doings[IN_CALLS], 0], "from {from} to {to}");
        }
        let whole = history.doings(0, to).spent;
        assert_eq!((whole.0[RUNNING], whole.0[IN_CALLS]), (to / 2, to / 2), "nothing is forgotten");
    }

    #[test]
    fn a_time_that_is_over_has_nothing_of_what_came_behind_it() {
        let history = history(1_000);
        let spent = history.doings(1_000, 3_000).of(2_000).spent;
        assert_eq!(spent.0.iter().sum::<u64>(), 2_000);
    }

    #[test]
    fn what_nobody_waited_for_is_not_kept() {
        let mut history = History::default();
        for at in 0..10_000 {
            history.add(stretch(at * 10, if at % 2 == 0 { RUNNING } else { IN_CALLS }, CALL, 1));
        }
        assert!(history.past.iter().all(VecDeque::is_empty));
    }

    #[test]
    fn memory_is_limited() {
        let history = history(1 << 22);
        let sums: usize = history.past.iter().map(VecDeque::len).sum();
        assert!(sums <= SUMS_MAX * SIZES_MAX, "{sums}");
        assert!(history.stretches.len() <= HISTORY_MAX);
    }

    #[test]
    fn many_short_calls_outweigh_the_longest_one() {
        let mut history = awaited();
        let long = Stretch { to: 5_000, ..stretch(0, IN_CALLS, CallId::FSYNC, 2) };
        history.add(long);
        for at in 500..2_500 {
            // From two places, and now and then something else, each time another call.
            let (call, stack) =
                if at % 10 == 0 { (CallId(128 + (at / 10 % 100) as u8), 3) } else { (CALL, 1) };
            history.add(stretch(at * 10, IN_CALLS, call, stack + at as u32 % 2));
        }
        let (call, stack) = history.doings(0, 25_000).spots.most();
        assert_eq!(call, CALL);
        assert!((1..=2).contains(&stack.0), "{stack:?}");
    }

    #[test]
    fn the_first_switch_resolves_what_was_put_together() {
        let mut history = awaited();
        for at in 0..1_000 {
            let slot = if at % 2 == 0 { EITHER } else { BLOCKED };
            history.add(stretch(at * 10, slot, CALL, 1));
        }
        history.resolve(true);
        let spent = history.doings(0, 10_000).spent;
        assert_eq!((spent.0[RUNNING], spent.0[IN_CALLS]), (5_000, 5_000));
    }
}
