//! The recorder's own threads, by the system's ids. The kernel records their switches like those of
//! all threads of the process; they are not the program's, so `sched` leaves them out.
//!
//! A thread is listed before it does its work, and stays listed after its end, as the kernel's
//! records of it are read later. It stays until its place is needed, [`PLACES`] such threads later.
//!
//! Elsewhere: how they are made (`recorder_thread`).

use crate::base::primitive::Ordering;
use crate::base::primitive::global::{AtomicU64, AtomicUsize};

/// Maximum number of threads that are listed; only a few of them run at once.
const PLACES: usize = 32;

/// A bit beside the id in a place: the thread has ended, and another one may take the place.
const HAS_ENDED: u64 = 1 << 32;

/// The recorder's threads in this process.
pub(crate) static OWN_THREADS: OwnThreads = OwnThreads::new();

/// A list of threads' ids.
#[derive(Debug)]
pub(crate) struct OwnThreads {
    /// 0 for a place that was never used.
    places: [AtomicU64; PLACES],
    /// Where the next search begins, so that those that ended last stay longest.
    next: AtomicUsize,
    /// Number of threads that are being made and are not listed yet.
    starting: AtomicUsize,
}

/// A listed thread. It is dropped when the thread ends.
#[derive(Debug)]
pub(crate) struct Listed<'l>(Option<&'l AtomicU64>);

impl OwnThreads {
    const fn new() -> Self {
        let places = [const { AtomicU64::new(0) }; PLACES];
        Self { places, next: AtomicUsize::new(0), starting: AtomicUsize::new(0) }
    }

    /// A thread is about to be made, which will call [`Self::list`]; if it can't be made, call
    /// [`Self::not_started`].
    pub(crate) fn start(&self) {
        self.starting.fetch_add(1, Ordering::SeqCst);
    }

    /// The thread could not be made.
    pub(crate) fn not_started(&self) {
        self.starting.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether the kernel may have records of a thread that is not listed yet.
    pub(crate) fn is_one_starting(&self) -> bool {
        self.starting.load(Ordering::SeqCst) > 0
    }

    /// Lists the thread with this id. It is the first thing that the thread does.
    pub(crate) fn list(&self, id: u32) -> Listed<'_> {
        let first = self.next.load(Ordering::Relaxed);
        let places = || (0..PLACES).map(|at| (first + at) % PLACES);
        let take = |at: usize, may_take: fn(u64) -> bool| {
            let word = self.places[at].load(Ordering::Relaxed);
            let (order, failed) = (Ordering::SeqCst, Ordering::Relaxed);
            let exchange = || self.places[at].compare_exchange(word, id.into(), order, failed);
            may_take(word) && exchange().is_ok()
        };
        let free = places().find(|at| take(*at, |word| word == 0));
        let place = free.or_else(|| places().find(|at| take(*at, |word| word & HAS_ENDED > 0)));
        if let Some(at) = place {
            self.next.store((at + 1) % PLACES, Ordering::Relaxed);
        }
        self.not_started();
        Listed(place.map(|at| &self.places[at]))
    }

    /// Whether the thread with this id is or was one of them.
    pub(crate) fn has(&self, id: u32) -> bool {
        self.places.iter().any(|place| place.load(Ordering::SeqCst) as u32 == id)
    }

    /// In a forked child: empties the list, whose threads are the parent's.
    pub(crate) fn forked(&self) {
        self.places.iter().for_each(|place| place.store(0, Ordering::Relaxed));
        self.starting.store(0, Ordering::Relaxed);
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.0 {
            place.fetch_or(HAS_ENDED, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(threads: &OwnThreads, id: u32) -> Listed<'_> {
        threads.start();
        threads.list(id)
    }

    #[test]
    fn one_that_runs_stays_listed_whatever_number_comes_and_goes() {
        let threads = OwnThreads::new();
        let runs = list(&threads, 1_000);
        (1..=100).for_each(|id| drop(list(&threads, id)));
        assert!(threads.has(1_000));
        // The last of those that have ended.
        assert!((101 - PLACES as u32 + 1..=100).all(|id| threads.has(id)));
        assert!(!threads.has(1));
        drop(runs);
        assert!(threads.has(1_000), "its last records are read later");
        (101..=200).for_each(|id| drop(list(&threads, id)));
        assert!(!threads.has(1_000));
    }

    #[test]
    fn one_that_is_made_is_starting_until_it_is_listed() {
        let threads = OwnThreads::new();
        threads.start();
        assert!(threads.is_one_starting() && !threads.has(7));
        let _listed = threads.list(7);
        assert!(!threads.is_one_starting() && threads.has(7));
        threads.start();
        threads.not_started();
        assert!(!threads.is_one_starting());
    }
}
