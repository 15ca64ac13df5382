//! Times from then to then, as sets: sorted, and none touches the next.

/// From when to when.
pub(crate) type Span = (u64, u64);

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
    fn each_moment_is_counted_once() {
        let set = union(vec![(30, 40), (5, 5), (0, 10), (8, 12), (12, 20), (1, 2)]);
        assert_eq!(set, [(0, 20), (30, 40)]);
        assert_eq!(length(&set), 30);
        let others = union(vec![(15, 35), (38, 39)]);
        assert_eq!(common(&set, &others), [(15, 20), (30, 35), (38, 39)]);
        assert_eq!(common(&set, &[]), []);
    }
}
