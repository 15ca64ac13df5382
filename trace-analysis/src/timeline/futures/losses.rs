//! When events of threads are missing that may have been polls of tasks.

use crate::spans::Span;

/// Maximum number of threads whose missing events are kept separately.
const THREADS_MAX: usize = 64;

/// Maximum number of times that are kept separately for one thread; later ones count as one.
const TIMES_MAX: usize = 256;

/// What is missing of one thread, or of all that are not told apart.
#[derive(Debug)]
struct OfThread {
    /// The timeline's number of the thread.
    who: usize,
    /// By time, apart from each other; the last may have no end yet.
    times: Vec<Span>,
}

/// What is missing of all threads.
#[derive(Debug, Default)]
pub(crate) struct LossTimes {
    threads: Vec<OfThread>,
}

impl LossTimes {
    fn times(&mut self, who: usize) -> &mut Vec<Span> {
        let known = self.threads.iter().position(|it| it.who == who);
        let place = known.unwrap_or(self.threads.len()).min(THREADS_MAX - 1);
        if place == self.threads.len() {
            self.threads.push(OfThread { who, times: Vec::new() });
        }
        &mut self.threads[place].times
    }

    /// Events of a thread are missing from then to then.
    ///
    /// - `to`: the greatest time if it is not known yet.
    pub(crate) fn add(&mut self, who: usize, (from, to): Span) {
        let times = self.times(who);
        let is_full = times.len() >= TIMES_MAX;
        match times.last_mut() {
            Some(last) if from <= last.1 || is_full => last.1 = last.1.max(to),
            _ => times.push((from, to)),
        }
    }

    /// A thread tells what it does again.
    pub(crate) fn end(&mut self, who: usize, at: u64) {
        let times = self.threads.iter_mut().find(|it| it.who == who);
        let last = times.and_then(|it| it.times.last_mut());
        if let Some(last) = last.filter(|last| last.1 == u64::MAX) {
            last.1 = at.max(last.0);
        }
    }

    /// From when on events are missing that may have ended what was so at `since`; the greatest
    /// time if none are.
    ///
    /// - `is_poller`: whether a thread polls tasks.
    pub(crate) fn first_behind(&self, since: u64, is_poller: impl Fn(usize) -> bool) -> u64 {
        let first = self.threads.iter().enumerate().filter_map(|(place, it)| {
            // The last place has those that are not told apart.
            let is_meant = place + 1 == THREADS_MAX || is_poller(it.who);
            let next = it.times.partition_point(|(_, to)| *to <= since);
            it.times.get(next).filter(|_| is_meant).map(|(from, _)| since.max(*from))
        });
        first.min().unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_counts_from_its_begin_until_its_end() {
        let mut losses = LossTimes::default();
        losses.add(1, (10, 20));
        losses.add(2, (30, u64::MAX));
        let of = |losses: &LossTimes, since, who: &[usize]| {
            losses.first_behind(since, |it| who.contains(&it))
        };
        assert_eq!([0, 15, 20].map(|since| of(&losses, since, &[1])), [10, 15, u64::MAX]);
        assert_eq!([0, 50].map(|since| of(&losses, since, &[2])), [30, 50]);
        assert_eq!(of(&losses, 0, &[1, 2, 3]), 10);
        losses.end(2, 40);
        losses.end(1, 90);
        assert_eq!([20, 35, 40].map(|since| of(&losses, since, &[1, 2])), [30, 35, u64::MAX]);
    }

    #[test]
    fn any_number_of_threads_and_times_is_limited_and_none_is_forgotten() {
        let mut losses = LossTimes::default();
        for who in 0..1_000 {
            (0..1_000).for_each(|at| losses.add(who, (10 * at, 10 * at + 5)));
        }
        let kept: usize = losses.threads.iter().map(|it| it.times.len()).sum();
        assert!(kept <= THREADS_MAX * TIMES_MAX, "{kept}");
        assert_eq!(losses.first_behind(9_991, |who| who == 999), 9_991);
        assert_eq!(losses.first_behind(9_995, |_| true), u64::MAX);
    }
}
