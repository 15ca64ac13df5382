//! Things that are put together in several ways at once, in bounded memory.
//!
//! Each thing has a fine key, which names everything but how long it took, and belongs to one group
//! of each view; only groups know how long each took. One look-up finds the fine entry, and that
//! knows its groups. Beyond the limits what is new goes to the group its key calls late.

use std::collections::HashMap;
use std::hash::Hash;

use trace_format::time::Nanos;

use super::life::{Share, TOP};
use crate::hash::FastMap;

/// So many groups of one view.
const GROUPS_MAX: usize = 1 << 13;

/// So many fine entries.
const FINE_MAX: usize = 1 << 17;

/// How often and how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) count: u64,
    pub(crate) total: u64,
}

impl Sum {
    pub(crate) fn add(&mut self, nanos: u64) {
        self.count += 1;
        self.total = self.total.saturating_add(nanos);
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.total = self.total.saturating_add(other.total);
    }
}

/// What a thing is told apart by, with `N` ways to be put together.
pub(super) trait Key<const N: usize>: Copy + Eq + Hash {
    /// The key of what comes too late to have one of its own.
    fn late(self) -> Self;

    /// The key of its group: of each view one.
    fn groups(self) -> [Self; N];

    /// A number that most keys that come near each other do not share.
    fn slot(&self) -> usize;
}

/// Number of fine entries that are found without their hash, as they came lately; a power of two.
const RECENT_MAX: usize = 64;

/// One view: its groups, and where they are.
#[derive(Debug)]
struct View<K, V> {
    places: FastMap<K, u32>,
    groups: Vec<(K, V)>,
}

/// All things.
#[derive(Debug)]
pub(super) struct Grouped<K, V, const N: usize> {
    fine: Vec<(K, FineEntry<N>)>,
    /// The place of each in `fine`.
    places: FastMap<K, u32>,
    /// Of each slot the key that came last, and its place.
    recent: Vec<Option<(K, u32)>>,
    views: [View<K, V>; N],
    /// How many things had no room for a fine entry.
    late: u64,
}

/// A fine entry.
#[derive(Debug)]
struct FineEntry<const N: usize> {
    sum: Sum,
    /// The places of its groups, one of each view.
    places: [u32; N],
    /// Whether a view had no room for a group of its own.
    is_late: bool,
}

impl<K: Key<N>, V: Default, const N: usize> Grouped<K, V, N> {
    pub(super) fn new() -> Self {
        let view = |_| View { places: FastMap::default(), groups: Vec::new() };
        Self {
            fine: Vec::new(),
            places: FastMap::default(),
            recent: vec![None; RECENT_MAX],
            views: std::array::from_fn(view),
            late: 0,
        }
    }

    /// Adds a thing that took so long; `each` is called with each of its groups.
    pub(super) fn add(&mut self, key: K, nanos: u64, each: impl FnMut(&mut V)) {
        self.add_sum(key, Sum { count: 1, total: nanos }, each);
    }

    /// Adds several things of one key, or the time of one that does not count yet.
    pub(super) fn add_sum(&mut self, key: K, sum: Sum, mut each: impl FnMut(&mut V)) {
        let slot = key.slot() % RECENT_MAX;
        let at = match self.recent[slot] {
            Some((recent, at)) if recent == key => at,
            _ => self.find(key, slot),
        };
        let (_, fine) = &mut self.fine[at as usize];
        fine.sum.merge(sum);
        for (view, &place) in self.views.iter_mut().zip(fine.places.iter()) {
            each(&mut view.groups[place as usize].1);
        }
    }

    /// The place of a key's entry, which there is from now on.
    fn find(&mut self, key: K, slot: usize) -> u32 {
        let is_full = self.fine.len() >= FINE_MAX && !self.places.contains_key(&key);
        if is_full {
            self.late += 1;
            return self.place(key.late());
        }
        let at = self.place(key);
        self.recent[slot] = Some((key, at));
        at
    }

    fn place(&mut self, key: K) -> u32 {
        let next = self.fine.len() as u32;
        let at = *self.places.entry(key).or_insert(next);
        if at == next {
            let groups = key.groups();
            let mut is_late = false;
            let places = std::array::from_fn(|view| {
                let (place, is_of_others) = self.views[view].place(groups[view], key.late());
                is_late |= is_of_others;
                place
            });
            self.fine.push((key, FineEntry { sum: Sum::default(), places, is_late }));
        }
        at
    }

    /// How many things were put to others, as there was no room for a group of their own.
    pub(super) fn late(&self) -> u64 {
        let late = self.fine.iter().filter(|(_, fine)| fine.is_late);
        self.late + late.map(|(_, fine)| fine.sum.count).sum::<u64>()
    }

    /// The fine entries.
    pub(super) fn fine(&self) -> impl Iterator<Item = (K, Sum)> + '_ {
        self.fine.iter().map(|(key, fine)| (*key, fine.sum))
    }

    /// The groups of one view, each with what `P` makes of its fine entries.
    pub(super) fn view<P: Default>(
        &self,
        view: usize,
        add: impl Fn(&mut P, &K, Sum),
    ) -> Vec<(K, &V, P)> {
        let groups = &self.views[view].groups;
        let mut all: Vec<_> =
            groups.iter().map(|(key, group)| (*key, group, P::default())).collect();
        for (key, fine) in &self.fine {
            add(&mut all[fine.places[view] as usize].2, key, fine.sum);
        }
        all
    }
}

impl<K: Copy + Eq + Hash, V: Default> View<K, V> {
    /// The place of a key's group, and whether that is the one for what came too late.
    fn place(&mut self, key: K, late: K) -> (u32, bool) {
        let is_full = self.groups.len() >= GROUPS_MAX && !self.places.contains_key(&key);
        // Its own group may be the one for what came too late.
        let is_of_others = is_full && key != late;
        let key = if is_full { late } else { key };
        let next = self.groups.len() as u32;
        let place = *self.places.entry(key).or_insert(next);
        if place == next {
            self.groups.push((key, V::default()));
        }
        (place, is_of_others)
    }
}

/// All parties, the most time first.
pub(crate) fn shares<K: Copy + Ord>(parties: HashMap<K, Sum>) -> Vec<Share<K>> {
    let share = |(of, sum): (K, Sum)| Share { of, count: sum.count, total: Nanos(sum.total) };
    let mut shares: Vec<_> = parties.into_iter().map(share).collect();
    shares.sort_by_key(|share| (std::cmp::Reverse((share.total, share.count)), share.of));
    shares
}

/// The parties of several groups, each once, the most time first.
pub(crate) fn merged<'s, K: Copy + Ord + Hash + 's>(
    of_groups: impl IntoIterator<Item = &'s Share<K>>,
) -> Vec<Share<K>> {
    let mut sums: HashMap<K, Sum> = HashMap::new();
    for share in of_groups {
        let sum = Sum { count: share.count, total: share.total.0 };
        sums.entry(share.of).or_default().merge(sum);
    }
    shares(sums)
}

/// Keeps the [`TOP`] longest, longest first.
///
/// - `length`: how long one is; and more, where the order in which they come must not matter.
pub(crate) fn keep_longest<T, L: Ord>(longest: &mut Vec<T>, new: T, length: impl Fn(&T) -> L) {
    if longest.len() >= TOP && longest.last().is_some_and(|least| length(least) >= length(&new)) {
        return;
    }
    let at = longest.partition_point(|old| length(old) >= length(&new));
    longest.insert(at, new);
    longest.truncate(TOP);
}

/// The [`TOP`] longest of many, longest first.
#[derive(Debug)]
pub(super) struct Longest<T> {
    kept: Vec<T>,
    /// How long the shortest of these is, once there is no room for more. It stands here as most
    /// are shorter: for those the list is not looked at.
    least: Nanos,
}

impl<T> Default for Longest<T> {
    fn default() -> Self {
        Self { kept: Vec::new(), least: Nanos(0) }
    }
}

impl<T: Copy> Longest<T> {
    /// - `length`: how long one is, and what else is compared, as for [`keep_longest`].
    #[inline]
    pub(super) fn add<L: Ord>(&mut self, new: &T, length: impl Fn(&T) -> (Nanos, L)) {
        if length(new).0 >= self.least {
            self.keep(*new, length);
        }
    }

    #[inline(never)]
    fn keep<L: Ord>(&mut self, new: T, length: impl Fn(&T) -> (Nanos, L)) {
        keep_longest(&mut self.kept, new, &length);
        if let Some(least) = self.kept.get(TOP - 1) {
            self.least = length(least).0;
        }
    }

    pub(super) fn to_vec(&self) -> Vec<T> {
        self.kept.clone()
    }
}

/// The sums of all entries.
pub(super) fn whole<K>(fine: impl Iterator<Item = (K, Sum)>) -> Sum {
    let mut whole = Sum::default();
    fine.for_each(|(_, sum)| whole.merge(sum));
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Key<1> for u32 {
        fn late(self) -> Self {
            0
        }

        fn groups(self) -> [Self; 1] {
            [self]
        }

        fn slot(&self) -> usize {
            *self as usize
        }
    }

    #[test]
    fn what_is_of_others_by_itself_is_not_late() {
        let mut grouped: Grouped<u32, u64, 1> = Grouped::new();
        for key in 1..=GROUPS_MAX as u32 {
            grouped.add(key, 1, |_| {});
        }
        grouped.add(0, 1, |_| {});
        assert_eq!(grouped.late(), 0, "it is in the group that it belongs to");
    }

    #[test]
    fn what_has_no_room_for_a_group_is_counted() {
        let mut grouped: Grouped<u32, u64, 1> = Grouped::new();
        let groups = GROUPS_MAX as u32;
        for key in 1..=groups {
            grouped.add(key, 1, |count| *count += 1);
        }
        assert_eq!(grouped.late(), 0, "the table is full, and has had room for all");
        for _ in 0..3 {
            grouped.add(groups + 1, 1, |count| *count += 1);
        }
        grouped.add(groups + 2, 1, |count| *count += 1);
        grouped.add(1, 1, |count| *count += 1);
        assert_eq!(grouped.late(), 4);
        let counts = |key| {
            let view = grouped.view(0, |_: &mut (), _, _| {});
            view.into_iter().find(|group| group.0 == key).map(|group| *group.1)
        };
        assert_eq!((counts(0), counts(1), counts(groups + 1)), (Some(4), Some(2), None));
    }
}
