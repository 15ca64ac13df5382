//! Times from then to then. A set of them is sorted, and none touches the next.

use std::hash::Hash;

use crate::hash::FastMap;

/// From when to when.
pub(crate) type Span = (u64, u64);

/// Maximum number of times that are kept; beyond, the least length is doubled.
const KEPT_MAX: usize = 1 << 16;

/// The long times of several parties: the short ones are left out, so memory is limited.
#[derive(Debug)]
pub(crate) struct LongSpans<K> {
    all: Vec<(K, Span)>,
    least: u64,
    /// Whether some were left out to limit memory.
    is_cut: bool,
}

impl<K: Copy + Eq + Hash> LongSpans<K> {
    /// - `least`: how long a time is at least that is kept.
    pub(crate) fn new(least: u64) -> Self {
        Self { all: Vec::new(), least, is_cut: false }
    }

    pub(crate) fn add(&mut self, of: K, (from, to): Span) {
        if to.saturating_sub(from) < self.least {
            return;
        }
        self.all.push((of, (from, to)));
        self.is_cut |= self.all.len() > KEPT_MAX;
        shrink(&mut self.all, KEPT_MAX, &mut self.least, |(_, (from, to))| to - from);
    }

    /// Whether some were left out that are as long as was asked for.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The times of each, as they came: those of a party that is several may overlap.
    pub(crate) fn finish(self) -> FastMap<K, Vec<Span>> {
        let mut times: FastMap<K, Vec<Span>> = FastMap::default();
        for (of, span) in self.all {
            times.entry(of).or_default().push(span);
        }
        times
    }
}

/// Leaves out the shortest while there are more than `max`, each time what is shorter than twice
/// the least length so far.
pub(crate) fn shrink<T>(all: &mut Vec<T>, max: usize, least: &mut u64, length: impl Fn(&T) -> u64) {
    while all.len() > max {
        *least = least.saturating_mul(2);
        // Longer than that: the greatest length cannot be doubled.
        all.retain(|one| length(one) > *least);
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
        times.add('a', (0, 9));
        times.add('a', (20, 40));
        for at in 0..2 * KEPT_MAX as u64 {
            times.add('b', (100 * at, 100 * at + 10 + at % 2 * 40));
        }
        // None of them can be left out by doubling.
        (0..=KEPT_MAX).for_each(|_| times.add('c', (0, u64::MAX)));
        assert!(times.is_cut());
        let kept = times.finish();
        assert!(!kept.contains_key(&'a') && !kept.contains_key(&'b'), "{kept:?}");
        let mut times = LongSpans::new(10);
        times.add('a', (0, 9));
        times.add('a', (20, 40));
        assert!(!times.is_cut());
        assert_eq!(times.finish()[&'a'], [(20, 40)]);
    }

    #[test]
    fn each_moment_is_counted_once() {
        let set = union(vec![(30, 40), (5, 5), (0, 10), (8, 12), (12, 20), (1, 2)]);
        assert_eq!(set, [(0, 20), (30, 40)]);
        assert_eq!(length(&set), 30);
        let others = union(vec![(15, 35), (38, 39)]);
        assert_eq!(common(&set, &others), [(15, 20), (30, 35), (38, 39)]);
        assert_eq!(common(&set, &[]), []);
    }
}
