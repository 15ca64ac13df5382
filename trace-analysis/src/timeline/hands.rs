//! Who held a lock whose waiters wait at addresses of their own, as `parking_lot`'s do.
//!
//! The recorder does not see the lock, only that one thread ended another's wait. Who gives such a
//! lock up wakes the first in the queue, so hands are followed from wait to wait: the thread that
//! ended my wait had the lock since its own wait was ended; before that the thread that ended that
//! one had it, and so on, back to a thread that did not wait while I did.
//!
//! Two such locks cannot be told apart. A thread that held one, and waited for another while I
//! waited for the first, is taken to have got the first when its own wait ended; whom it waited for
//! is named for the time before, as that thread made us both wait.
//!
//! Elsewhere: locks that have an address (`futex`).

use std::collections::HashMap;

use trace_format::id::{StackId, ThreadId};

use super::call::Call;
use super::futex::{Futex, Wake};
use super::walk::Walk;
use super::{Fold, Observer};
use crate::reason::Reason;

/// Maximum number of hands that one wait is followed through. What was before stays without a name.
const HANDS_MAX: usize = 64;

/// Maximum number of places at which locks are waited for; waits at later ones have no holders, and
/// are counted.
const PLACES_MAX: usize = 1 << 12;

/// One thread that had a lock while another waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LockHand {
    pub(super) thread: ThreadId,
    /// Where it gave the lock up: one stack for all at that place.
    pub(super) place: StackId,
    pub(super) from: u64,
    pub(super) until: u64,
}

/// What is known of all such locks.
#[derive(Debug, Default)]
pub(super) struct LockHands {
    /// Of each thread's last wait for a lock, in whose hands it was meanwhile, the last first.
    waits: HashMap<ThreadId, Vec<LockHand>>,
    /// The holders, by why and where others waited.
    places: HashMap<(Reason, StackId), Futex>,
    /// How many waits were at other places.
    late: u64,
}

impl LockHands {
    /// A thread's wait for a lock, since `begin`, was ended by `wake`. Returns in whose hands the
    /// lock was meanwhile, the last first.
    pub(super) fn pass(&mut self, thread: ThreadId, begin: u64, wake: &Wake) -> &[LockHand] {
        let (until, place) = (wake.begin, wake.place);
        let before = self.waits.get(&wake.thread).map_or(&[][..], Vec::as_slice);
        // Its own wait was over before: it held something else, or this lock all the time.
        let before = before.iter().take_while(|hand| hand.until > begin && hand.until < until);
        let mut hands = vec![LockHand { thread: wake.thread, place, from: begin, until }];
        for hand in before.take(HANDS_MAX - 1) {
            if let Some(later) = hands.last_mut() {
                later.from = hand.until;
            }
            hands.push(LockHand { from: hand.from.max(begin), ..*hand });
        }
        let kept = self.waits.entry(thread).or_default();
        *kept = hands;
        kept
    }

    /// The holders of what is waited for at a place; `None` beyond the limit.
    pub(super) fn at(&mut self, reason: Reason, place: StackId) -> Option<&mut Futex> {
        let key = (reason, place);
        if self.places.len() >= PLACES_MAX && !self.places.contains_key(&key) {
            return None;
        }
        Some(self.places.entry(key).or_default())
    }

    /// How many waits are at places for which there was no room, and how often a lock was given up
    /// when there was none for another of its holders.
    pub(super) fn late(&self) -> u64 {
        let of_holders = self.places.values().map(|lock| lock.late);
        self.late.saturating_add(crate::units::sum(of_holders))
    }

    /// The window begins: whose hands a lock was in is known, what was counted does not count.
    pub(super) fn restart(&mut self) {
        self.places.clear();
        self.late = 0;
    }

    /// The same, once all is known.
    pub(super) fn found(&self, reason: Reason, place: StackId) -> Option<&Futex> {
        self.places.get(&(reason, place))
    }
}

impl<O: Observer, F: Fold> Walk<'_, O, F> {
    /// Since when the thread that ended a wait for a lock is known to have held it. Who held a lock
    /// that has no address is to blame for the wait from here on.
    pub(super) fn held_since(
        &mut self,
        thread: ThreadId,
        call: &Call,
        begin: u64,
        wake: &Wake,
    ) -> Option<u64> {
        if !call.why.reason.is_lock() || call.why.named {
            return wake.held_since.filter(|_| call.why.reason.is_lock());
        }
        let hands = self.hands.pass(thread, begin, wake).to_vec();
        let since = hands.first().map(|hand| hand.from);
        let counts = self.sums.counts(thread);
        let Some(lock) = self.hands.at(call.why.reason, call.place) else {
            self.hands.late += u64::from(counts);
            return since;
        };
        for hand in hands.iter().filter(|_| counts) {
            let from = hand.from.max(self.from);
            let held = self.stops.awake(from, hand.until);
            let holder = (call.why.reason, hand.thread, hand.place);
            if lock.blame(holder, hand.until, held)
                && let Some(who) = self.who.thread(hand.thread)
            {
                self.living[who].catch_up();
                let doings = self.living[who].history.doings(from, hand.until);
                lock.held(holder, held, doings);
            }
        }
        since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wake(thread: u32, begin: u64) -> Wake {
        let stack = StackId(thread);
        Wake::new(ThreadId(thread), (stack, stack), (begin, begin + 1), 1)
    }

    fn passed(hands: &mut LockHands, thread: u32, begin: u64, by: &Wake) -> Vec<(u32, u64, u64)> {
        let hands = hands.pass(ThreadId(thread), begin, by);
        hands.iter().map(|hand| (hand.thread.0, hand.from, hand.until)).collect()
    }

    #[test]
    fn hands_are_followed_back_to_who_held_all_along() {
        let mut hands = LockHands::default();
        // Thread 1 holds; 2, 3 and 4 wait and pass the lock on.
        assert_eq!(passed(&mut hands, 2, 10, &wake(1, 100)), [(1, 10, 100)]);
        assert_eq!(passed(&mut hands, 3, 20, &wake(2, 103)), [(2, 100, 103), (1, 20, 100)]);
        let third = passed(&mut hands, 4, 15, &wake(3, 107));
        assert_eq!(third, [(3, 103, 107), (2, 100, 103), (1, 20, 100)]);
    }

    #[test]
    fn who_did_not_wait_meanwhile_held_it_all_the_time() {
        let mut hands = LockHands::default();
        passed(&mut hands, 2, 10, &wake(1, 100));
        // The wait of thread 2 was over when thread 3 began to wait.
        assert_eq!(passed(&mut hands, 3, 200, &wake(2, 300)), [(2, 200, 300)]);
        assert_eq!(passed(&mut hands, 4, 200, &wake(9, 300)), [(9, 200, 300)]);
    }

    #[test]
    fn a_wait_is_followed_through_a_limited_number_of_hands() {
        let mut hands = LockHands::default();
        let mut last = Vec::new();
        for at in 0..200 {
            last = passed(&mut hands, at + 1, 1, &wake(at, 10 + u64::from(at)));
        }
        assert_eq!(last.len(), HANDS_MAX);
        assert_eq!(last[0], (199, 208, 209));
        let contiguous = last.windows(2).all(|pair| pair[0].1 == pair[1].2);
        assert!(contiguous, "no time has two holders: {last:?}");
    }
}
