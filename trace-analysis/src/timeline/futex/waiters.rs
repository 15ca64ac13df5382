//! The threads that wait at one address.
//!
//! To hand a lock over costs what has changed since the hand-over before, not what waits: of
//! waiters whose state is the same since then only the number is needed, as all of them were
//! blocked for as long. The others are looked at one by one, once.

use std::collections::VecDeque;

use super::holders::LOCKS;
use crate::reason::Reason;

/// A thread that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiter {
    pub(super) who: usize,
    pub(super) begin: u64,
    pub(super) reason: Reason,
    /// Whether its waiting is somebody's to answer for: that of threads that were asked for.
    pub(super) counts: bool,
    /// When the wake was made that has ended its wait, as far as is known.
    pub(super) woken: Option<u64>,
    /// Whether it will be known that its time was up: no wake ends its wait.
    is_unwoken: bool,
    standing: Standing,
}

/// What is known of how long a waiter was blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Nobody is to answer for it.
    Free,
    /// It is among those whose state may have changed since the last hand-over.
    Changed,
    /// It has been in one state since then: whether it is blocked.
    Steady(bool),
}

/// All that wait.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    /// By begin.
    all: VecDeque<Waiter>,
    /// How many of these have been blocked since the last hand-over, by [`LOCKS`].
    steady: [u32; LOCKS.len()],
    /// Those whose state may have changed since: when they began, and which.
    changed: Vec<(u64, usize)>,
    /// These, as the present hand-over found them.
    recent: Vec<(u64, usize)>,
}

impl Waiter {
    pub(super) fn new(who: usize, begin: u64, reason: Reason, counts: bool) -> Self {
        let (woken, is_unwoken, standing) = (None, false, Standing::Free);
        Self { who, begin, reason, counts, woken, is_unwoken, standing }
    }

    /// The place in [`LOCKS`] of what it waits for, if its waiting goes on, and is somebody's to
    /// answer for.
    pub(super) fn lock(&self) -> Option<usize> {
        let is_to_answer_for = self.counts && self.woken.is_none();
        LOCKS.iter().position(|lock| *lock == self.reason).filter(|_| is_to_answer_for)
    }
}

impl Waiters {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn add(&mut self, waiter: Waiter) {
        let is_last = self.all.back().is_none_or(|last| last.begin <= waiter.begin);
        let place = match is_last {
            true => self.all.len(),
            false => self.all.partition_point(|it| it.begin <= waiter.begin),
        };
        self.all.insert(place, waiter);
        self.track(place);
    }

    /// Takes a waiter out.
    pub(super) fn remove(&mut self, begin: u64, who: usize) -> Option<Waiter> {
        let place = self.place(begin, who)?;
        self.untrack(place);
        self.all.remove(place)
    }

    /// A waiter's place in `all`.
    fn place(&self, begin: u64, who: usize) -> Option<usize> {
        let first = self.all.partition_point(|it| it.begin < begin);
        let alike = self.all.range(first..).take_while(|it| it.begin == begin);
        alike.enumerate().find(|(_, it)| it.who == who).map(|(at, _)| first + at)
    }

    pub(super) fn get(&self, begin: u64, who: usize) -> Option<&Waiter> {
        self.all.get(self.place(begin, who)?)
    }

    /// The wait of a thread that began just now will be over as its time is up.
    pub(super) fn nobody_wakes(&mut self, who: usize) {
        if let Some(waiter) = self.all.iter_mut().rev().find(|it| it.who == who) {
            waiter.is_unwoken = true;
        }
    }

    /// Whether one waits for a lock since before this, and is not known to be woken.
    pub(super) fn is_awaited_since_before(&self, at: u64) -> bool {
        let mut before = self.all.iter().take_while(|it| it.begin < at);
        before.any(|it| it.reason.is_lock() && it.woken.is_none())
    }

    /// When the first began of those that wait for a lock and began in this time, its end included.
    pub(super) fn first_between(&self, from: u64, to: u64) -> Option<u64> {
        let first = self.all.partition_point(|it| it.begin < from);
        let mut later = self.all.range(first..).take_while(|it| it.begin <= to);
        later.find(|it| it.reason.is_lock()).map(|it| it.begin)
    }

    /// A wake at this moment ended the waits of those that have waited longest.
    pub(super) fn end_oldest(&mut self, at: u64, woken: u64) {
        let mut left = woken;
        let mut place = 0;
        while left > 0
            && let Some(waiter) = self.all.get(place).filter(|it| it.begin <= at)
        {
            if waiter.woken.is_none() && !waiter.is_unwoken {
                self.untrack(place);
                self.all[place].woken = Some(at);
                left -= 1;
            }
            place += 1;
        }
    }

    /// Another's wait was ended by the wake at this moment than was thought.
    pub(super) fn take_back(&mut self, at: u64) {
        if let Some(place) = self.all.iter().position(|it| it.woken == Some(at)) {
            self.all[place].woken = None;
            self.track(place);
        }
    }

    /// The state of a waiter has changed.
    pub(super) fn change(&mut self, begin: u64, who: usize) {
        if let Some(place) = self.place(begin, who)
            && matches!(self.all[place].standing, Standing::Steady(_))
        {
            self.untrack(place);
            self.track(place);
        }
    }

    /// Counts one from now on.
    fn track(&mut self, place: usize) {
        let waiter = &mut self.all[place];
        if waiter.lock().is_some() {
            waiter.standing = Standing::Changed;
            self.changed.push((waiter.begin, waiter.who));
        }
    }

    /// Counts one no more.
    fn untrack(&mut self, place: usize) {
        let waiter = &mut self.all[place];
        let it = (waiter.begin, waiter.who);
        let lock = waiter.lock();
        match (std::mem::replace(&mut waiter.standing, Standing::Free), lock) {
            (Standing::Steady(true), Some(lock)) => self.steady[lock] -= 1,
            (Standing::Changed, _) => {
                // Mostly it came lately.
                if let Some(at) = self.changed.iter().rposition(|other| *other == it) {
                    self.changed.swap_remove(at);
                }
            }
            _ => {}
        }
    }

    /// A lock is handed over: those whose state may have changed since the last time.
    pub(super) fn hand_over(&mut self) -> impl Iterator<Item = usize> + '_ {
        std::mem::swap(&mut self.changed, &mut self.recent);
        for &(begin, who) in &self.recent {
            let place = self.all.partition_point(|it| it.begin < begin);
            let alike = self.all.range_mut(place..).take_while(|it| it.begin == begin);
            for waiter in alike.filter(|it| it.who == who) {
                waiter.standing = Standing::Steady(false);
            }
        }
        self.recent.iter().map(|(_, who)| *who)
    }

    /// How many have been blocked since the last hand-over, by [`LOCKS`].
    pub(super) fn steady(&self) -> [u32; LOCKS.len()] {
        self.steady
    }

    /// The others that still wait for a lock.
    pub(super) fn recent(&self) -> impl Iterator<Item = &Waiter> {
        self.recent.iter().filter_map(|(begin, who)| self.get(*begin, *who))
    }

    /// The lock was handed over.
    ///
    /// - `is_blocked`: of these others, whether a thread is blocked for this reason.
    pub(super) fn settle(&mut self, is_blocked: impl Fn(usize, Reason) -> bool) {
        let mut recent = std::mem::take(&mut self.recent);
        for (begin, who) in recent.drain(..) {
            let Some(place) = self.place(begin, who) else { continue };
            let waiter = &mut self.all[place];
            if let Some(lock) = waiter.lock().filter(|_| waiter.standing == Standing::Steady(false))
                && is_blocked(who, waiter.reason)
            {
                waiter.standing = Standing::Steady(true);
                self.steady[lock] += 1;
            }
        }
        // Its memory is used again.
        self.recent = recent;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long all that wait were blocked since `from`, all of them blocked all the time.
    fn waited(waiters: &mut Waiters, (from, to): (u64, u64)) -> (u64, usize) {
        let looked_at = waiters.hand_over().count();
        let steady: u32 = waiters.steady().iter().sum();
        let recent = waiters.recent().filter(|it| it.lock().is_some());
        let recent: u64 = recent.map(|it| to - it.begin.max(from)).sum();
        waiters.settle(|_, _| true);
        (u64::from(steady) * (to - from) + recent, looked_at)
    }

    #[test]
    fn what_is_counted_is_what_looking_at_all_would_find() {
        let (mut waiters, mut all) = (Waiters::default(), Vec::<(u64, usize)>::new());
        let (mut last, mut looked_at, mut came) = (0, 0, 0);
        // A small generator: any order of begins, time-outs, changes and wakes.
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        for now in 1..20_000_u64 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            match random % 8 {
                0..=2 => {
                    waiters.add(Waiter::new(now as usize, now, Reason::Mutex, true));
                    all.push((now, now as usize));
                    came += 1;
                }
                3 if !all.is_empty() => {
                    let (begin, who) = all.remove(random as usize % all.len());
                    assert!(waiters.remove(begin, who).is_some_and(|it| it.woken.is_none()));
                }
                4 if !all.is_empty() => {
                    let (begin, who) = all[random as usize % all.len()];
                    waiters.change(begin, who);
                    came += 1;
                }
                5 if !all.is_empty() => {
                    // The kernel takes another than the oldest.
                    waiters.end_oldest(now, 1);
                    let (oldest, who) = all.remove(0);
                    assert_eq!(waiters.get(oldest, who).and_then(|it| it.woken), Some(now));
                    if random.is_multiple_of(3) {
                        waiters.take_back(now);
                        all.insert(0, (oldest, who));
                        came += 1;
                    } else {
                        waiters.remove(oldest, who);
                    }
                }
                _ => {
                    let right: u64 = all.iter().map(|(begin, _)| now - last.max(*begin)).sum();
                    let (found, count) = waited(&mut waiters, (last, now));
                    assert_eq!(found, right, "at {now}");
                    (last, looked_at) = (now, looked_at + count);
                }
            }
        }
        assert!(all.len() > 500 && looked_at <= came, "{} wait, {looked_at} looks", all.len());
    }

    #[test]
    fn what_a_wake_woke_is_the_oldest_that_a_wake_can_end() {
        let mut waiters = Waiters::default();
        for (who, begin) in [(1, 30), (2, 10), (3, 20), (4, 90)] {
            waiters.add(Waiter::new(who, begin, Reason::Futex, true));
            if who == 2 {
                waiters.nobody_wakes(who);
            }
        }
        waiters.end_oldest(50, 5);
        let woken = [(30, 1), (10, 2), (20, 3), (90, 4)]
            .map(|(begin, who)| waiters.get(begin, who).expect("it waits").woken);
        assert_eq!(woken, [Some(50), None, Some(50), None]);
        assert_eq!(
            (waiters.first_between(0, 99), waiters.is_awaited_since_before(99)),
            (None, false)
        );
    }
}
