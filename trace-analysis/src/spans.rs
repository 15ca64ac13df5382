//! Times from then to then. A set of them is sorted, and none touches the next.

use std::hash::Hash;

use crate::hash::FastMap;

/// From when to when.
pub(crate) type Span = (u64, u64);

/// Maximum number of long things that are kept of one kind; beyond, the least length is doubled.
pub(crate) const KEPT_MAX: usize = 1 << 16;

/// What is shorter than what is read divided by this is left out where the critical path is looked
/// for.
const PATH_PART: u64 = 4_000;

/// What is shorter than this, in nanoseconds, is left out there, too.
pub(crate) const PATH_NANOS_MIN: u64 = 20_000;

/// Something that lasts for a while.
pub(crate) trait Lasting {
    /// For how long, in nanoseconds.
    fn length(&self) -> u64;
}

/// The long ones of many things: the short ones are left out, so memory is limited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Longest<T> {
    all: Vec<T>,
    /// What is shorter is left out: now, and at first.
    least: u64,
    least_at_first: u64,
    /// Whether some were left out to limit memory.
    is_cut: bool,
}

impl<T> Default for Longest<T> {
    fn default() -> Self {
        Self { all: Vec::new(), least: 0, least_at_first: 0, is_cut: false }
    }
}

impl<T: Lasting> Longest<T> {
    /// - `least`: the least length that is kept, in nanoseconds.
    pub(crate) fn new(least: u64) -> Self {
        Self { least, least_at_first: least, ..Self::default() }
    }

    /// Of what is looked at where the critical path is looked for.
    ///
    /// - `nanos`: how long what is read is.
    pub(crate) fn of_path(nanos: u64) -> Self {
        Self::new((nanos / PATH_PART).max(PATH_NANOS_MIN))
    }

    /// None yet, as at first.
    pub(crate) fn restart(&mut self) {
        *self = Self::new(self.least_at_first);
    }

    /// Whether something of this length is kept.
    #[inline]
    pub(crate) fn wants(&self, nanos: u64) -> bool {
        nanos >= self.least
    }

    #[inline]
    pub(crate) fn add(&mut self, one: T) {
        if self.wants(one.length()) {
            self.keep(one);
        }
    }

    #[inline(never)]
    fn keep(&mut self, one: T) {
        self.all.push(one);
        while self.all.len() > KEPT_MAX {
            self.is_cut = true;
            self.least = self.least.saturating_mul(2);
            // Longer than that: the greatest length cannot be doubled.
            let least = self.least;
            self.all.retain(|one| one.length() > least);
        }
    }

    /// Whether some were left out that are as long as was asked for.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Those that are kept, as they came.
    pub(crate) fn as_slice(&self) -> &[T] {
        &self.all
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.all
    }

    pub(crate) fn into_vec(self) -> Vec<T> {
        self.all
    }
}

/// The long times of several parties.
pub(crate) type LongSpans<K> = Longest<(K, Span)>;

impl<K> Lasting for (K, Span) {
    fn length(&self) -> u64 {
        self.1.1.saturating_sub(self.1.0)
    }
}

impl<K: Copy + Eq + Hash> LongSpans<K> {
    /// The times of each, as they came: those of a party that is several may overlap.
    pub(crate) fn by_party(&self) -> FastMap<K, Vec<Span>> {
        let mut times: FastMap<K, Vec<Span>> = FastMap::default();
        for &(of, span) in &self.all {
            times.entry(of).or_default().push(span);
        }
        times
    }
}

/// What lies in any of these times, each moment once.
pub(crate) fn union(mut all: Vec<Span>) -> Vec<Span> {
    all.retain(|(from, to)| from < to);
    all.sort_unstable();
    let mut joined: Vec<Span> = Vec::with_capacity(all.len());
    for (from, to) in all {
        match joined.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    joined
}

/// What lies in both sets.
pub(crate) fn common(some: &[Span], others: &[Span]) -> Vec<Span> {
    let (mut at, mut other) = (0, 0);
    let mut both = Vec::new();
    while let (Some(a), Some(b)) = (some.get(at), others.get(other)) {
        let span = (a.0.max(b.0), a.1.min(b.1));
        if span.0 < span.1 {
            both.push(span);
        }
        if a.1 <= b.1 { at += 1 } else { other += 1 }
    }
    both
}

/// How much of a time lies in a set.
pub(crate) fn overlap(set: &[Span], (from, to): Span) -> u64 {
    let first = set.partition_point(|span| span.1 <= from);
    let inside = set[first..].iter().take_while(|span| span.0 < to);
    crate::units::sum(inside.map(|span| span.1.min(to) - span.0.max(from)))
}

/// What of a time lies in none of a set.
pub(crate) fn outside(set: &[Span], (from, to): Span) -> Vec<Span> {
    let mut left = Vec::new();
    let mut at = from;
    for &(begin, end) in set {
        if begin > at {
            left.push((at, begin.min(to)));
        }
        at = at.max(end);
    }
    left.push((at, to));
    left.retain(|(from, to)| from < to);
    left
}

/// How long a set is.
pub(crate) fn length(set: &[Span]) -> u64 {
    crate::units::sum(set.iter().map(|(from, to)| to - from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_times_the_longest_are_kept() {
        let mut times = LongSpans::new(10);
        times.add(('a', (0, 9)));
        times.add(('a', (20, 40)));
        for at in 0..2 * KEPT_MAX as u64 {
            times.add(('b', (100 * at, 100 * at + 10 + at % 2 * 40)));
        }
        // None of them can be left out by doubling.
        (0..=KEPT_MAX).for_each(|_| times.add(('c', (0, u64::MAX))));
        assert!(times.is_cut());
        let kept = times.by_party();
        assert!(!kept.contains_key(&'a') && !kept.contains_key(&'b'), "{kept:?}");
        times.restart();
        times.add(('a', (0, 9)));
        times.add(('a', (20, 40)));
        assert!(!times.is_cut(), "what was too much before does not count");
        assert_eq!(times.by_party()[&'a'], [(20, 40)]);
    }

    #[test]
    fn each_moment_is_counted_once() {
        let set = union(vec![(30, 40), (5, 5), (0, 10), (8, 12), (12, 20), (1, 2)]);
        assert_eq!(set, [(0, 20), (30, 40)]);
        assert_eq!(length(&set), 30);
        let others = union(vec![(15, 35), (38, 39)]);
        assert_eq!(common(&set, &others), [(15, 20), (30, 35), (38, 39)]);
        assert_eq!(common(&set, &[]), []);
        assert_eq!(overlap(&set, (15, 35)), length(&common(&set, &[(15, 35)])));
        assert_eq!([(0, 40), (20, 30), (25, 25)].map(|span| overlap(&set, span)), [30, 0, 0]);
        assert_eq!(outside(&set, (5, 50)), [(20, 30), (40, 50)]);
        assert_eq!(outside(&set, (22, 28)), [(22, 28)]);
        assert_eq!(outside(&[], (5, 50)), [(5, 50)]);
    }
}
