//! Who woke whom, and who held what: one [`Futex`] for each address that threads wait at.
//!
//! What is said rests on these facts alone:
//!
//! - A wake that woke `n` threads accounts for `n` waits at the same address that it lies in; a
//!   wait was ended by the latest such wake that is not used up.
//! - Whoever gives up a lock at which others wait wakes one. So between two wakes at a lock with
//!   waiters it stayed in one hand: that of the thread that made the second wake.
//! - Whoever waited for a lock and was woken has it next, if it does not wait again.

use std::collections::{HashMap, VecDeque};

use trace_format::call::CallClass;
use trace_format::id::{CallId, StackId, ThreadId};
use trace_format::time::Nanos;

use super::history::Doings;
use super::life::Times;
use super::spent::Spent;
use super::standstill::Stops;
use crate::hash::FastMap;

/// So many wakes at one address are remembered: those that a wait that goes on may need.
const WAKES_MAX: usize = 256;

/// So many addresses are remembered; those at which nobody waits are forgotten beyond.
const FUTEXES_MAX: usize = 1 << 16;

/// So many holders are told apart for one lock,
const HOLDERS_MAX: usize = 256;
/// and so many of them are told of in the end.
const HOLDERS_TOLD: usize = 8;

/// Linux's number of the error that says that the time was up.
const ETIMEDOUT: i64 = 110;

/// A thread that held a lock for which others waited, and gave it up at one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Holder {
    /// Who.
    pub thread: ThreadId,
    /// Where it gave the lock up.
    pub stack: StackId,
    /// How often while others waited.
    pub count: u64,
    /// How long others waited meanwhile: the sum over the waiters.
    pub caused: Nanos,
    /// How long it is known to have held it while somebody waited.
    pub held: Nanos,
    /// The longest of these.
    pub held_max: Nanos,
    /// What it did in the time `held`.
    pub times: Times,
    /// The stack of its longest waiting or call while it held the lock; 0 if there was none.
    pub slow_stack: StackId,
    /// The call that was, if it was in one.
    pub slow_call: CallId,
}

/// A call that woke who waited at an address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wake {
    pub(super) thread: ThreadId,
    pub(super) stack: StackId,
    /// One stack for all at that place of the program.
    pub(super) place: StackId,
    pub(super) begin: u64,
    /// The greatest number while it goes on: then nobody knows yet how many it wakes.
    end: u64,
    /// How many more waits it may have ended.
    left: u64,
    /// The number of the edges from it; 0 if it woke nobody.
    pub(super) edge: u64,
    /// For locks: since when the thread is known to have held it.
    pub(super) held_since: Option<u64>,
}

/// Someone who waits.
#[derive(Clone, Copy, Debug)]
struct Waiter {
    who: usize,
    begin: u64,
    is_lock: bool,
}

/// One address.
#[derive(Debug, Default)]
pub(super) struct Futex {
    wakes: VecDeque<Wake>,
    waiters: Vec<Waiter>,
    pub(super) waiters_max: u32,
    /// The last wake, or the begin of all.
    last_wake: u64,
    /// Who has it, and since when, if that is known.
    holder: Option<(ThreadId, u64)>,
    pub(super) holders: HashMap<(ThreadId, StackId), Held>,
}

/// What one thread held, and gave up at one place.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    count: u64,
    caused: u64,
    held: u64,
    held_max: u64,
    spent: Spent,
    slow: (u64, CallId, StackId),
    /// When it gave the lock up last.
    released: u64,
}

impl Wake {
    /// A wake that is not known to be a release.
    pub(super) fn new(
        thread: ThreadId,
        (stack, place): (StackId, StackId),
        (begin, end): (u64, u64),
        woken: u64,
    ) -> Self {
        Self { thread, stack, place, begin, end, left: woken, edge: 0, held_since: None }
    }
}

/// All addresses.
#[derive(Debug, Default)]
pub(super) struct Futexes {
    by_resource: FastMap<u32, Futex>,
}

impl Futexes {
    /// The address with this resource id; `None` for none, and beyond the limit.
    pub(super) fn at(&mut self, resource: u32) -> Option<&mut Futex> {
        if resource == 0 {
            return None;
        }
        if self.by_resource.len() >= FUTEXES_MAX && !self.by_resource.contains_key(&resource) {
            self.by_resource.retain(|_, futex| !futex.waiters.is_empty() || futex.was_fought());
            if self.by_resource.len() >= FUTEXES_MAX {
                return None;
            }
        }
        Some(self.by_resource.entry(resource).or_default())
    }

    /// The window begins: who waits and who holds is known, what was counted does not count.
    pub(super) fn restart(&mut self) {
        for futex in self.by_resource.values_mut() {
            futex.holders.clear();
            futex.waiters_max = u32::try_from(futex.waiters.len()).unwrap_or(u32::MAX);
        }
    }

    /// An address that is remembered.
    pub(super) fn get(&self, resource: u32) -> Option<&Futex> {
        self.by_resource.get(&resource)
    }
}

impl Futex {
    fn was_fought(&self) -> bool {
        !self.holders.is_empty()
    }

    /// A thread begins to wait.
    pub(super) fn wait(&mut self, who: usize, thread: ThreadId, begin: u64, is_lock: bool) {
        // It was woken, and another was faster.
        if self.holder.is_some_and(|(holder, _)| holder == thread) {
            self.holder = None;
        }
        self.waiters.push(Waiter { who, begin, is_lock });
        let waiters = u32::try_from(self.waiters.len()).unwrap_or(u32::MAX);
        self.waiters_max = self.waiters_max.max(waiters);
    }

    /// A thread's wait is over. Returns who ended it, if `was_woken`.
    pub(super) fn waited(
        &mut self,
        who: usize,
        thread: ThreadId,
        (begin, end): (u64, u64),
        was_woken: bool,
    ) -> Option<Wake> {
        let at = self.waiters.iter().position(|waiter| waiter.who == who);
        let waiter = at.map(|at| self.waiters.swap_remove(at));
        if !was_woken {
            return None;
        }
        let fits = |wake: &&mut Wake| wake.begin <= end && wake.end >= begin && wake.left > 0;
        let wake = self.wakes.iter_mut().rev().find(fits)?;
        wake.left -= 1;
        let wake = *wake;
        // It has the lock now, unless it was given up and taken again by then.
        if waiter.is_some_and(|waiter| waiter.is_lock) && self.last_wake <= wake.begin {
            self.holder = Some((thread, end));
        }
        Some(wake)
    }

    /// A thread makes a wake, at a lock by giving it up. Returns from when on it is known to have
    /// held it; then [`Futex::held`] is to be told what it did meanwhile.
    ///
    /// - `stack`, `place`: where; and one stack for all at that place.
    /// - `edge`: the number of the edges from it.
    /// - `woken`: how many threads it woke, or may have.
    /// - `stops`: when nobody made anybody wait.
    pub(super) fn wake(
        &mut self,
        (thread, edge): (ThreadId, u64),
        (stack, place): (StackId, StackId),
        (begin, end): (u64, u64),
        woken: u64,
        stops: &Stops,
    ) -> Option<u64> {
        let last = std::mem::replace(&mut self.last_wake, begin);
        let waiters = self.waiters.iter().filter(|waiter| waiter.is_lock && waiter.begin <= begin);
        let (mut caused, mut first) = (0_u64, None::<u64>);
        for waiter in waiters {
            caused = caused.saturating_add(stops.awake(waiter.begin.max(last), begin));
            if waiter.begin >= last {
                first = Some(first.map_or(waiter.begin, |first| first.min(waiter.begin)));
            }
        }
        let holder = self.holder.take().filter(|(holder, _)| *holder == thread);
        let since = holder.map(|(_, since)| since).or(first);
        if self.wakes.len() >= WAKES_MAX {
            self.wakes.pop_front();
        }
        if woken > 0 {
            let wake = Wake::new(thread, (stack, place), (begin, end), woken);
            self.wakes.push_back(Wake { edge, held_since: since, ..wake });
        }
        let is_news = self.blame(thread, place, begin, caused);
        since.filter(|_| is_news)
    }

    /// A thread held the lock until `released`, and others waited for it meanwhile: `caused`, the
    /// sum over them. Returns whether this is news, and what it did is to be told
    /// ([`Futex::held`]): each of the others may tell of the same release.
    pub(super) fn blame(
        &mut self,
        thread: ThreadId,
        place: StackId,
        released: u64,
        caused: u64,
    ) -> bool {
        let is_known = self.holders.contains_key(&(thread, place));
        if caused == 0 || !is_known && self.holders.len() >= HOLDERS_MAX {
            return false;
        }
        let held = self.holders.entry((thread, place)).or_default();
        held.caused = held.caused.saturating_add(caused);
        let is_news = held.count == 0 || held.released != released;
        held.count += u64::from(is_news);
        held.released = released;
        is_news
    }

    /// What the thread that made the last wake did while it held the lock.
    pub(super) fn held(&mut self, thread: ThreadId, place: StackId, nanos: u64, doings: &Doings) {
        let Some(held) = self.holders.get_mut(&(thread, place)) else { return };
        held.held = held.held.saturating_add(nanos);
        held.held_max = held.held_max.max(nanos);
        held.spent.add(&doings.spent);
        if doings.slow.0 > held.slow.0 {
            held.slow = doings.slow;
        }
    }

    /// How many threads a wake woke, now that it is over; of one that was met whole it is known.
    pub(super) fn woke(&mut self, thread: ThreadId, begin: u64, end: u64, woken: u64) {
        let fits = |it: &&mut Wake| it.thread == thread && it.begin == begin;
        let found = self.wakes.iter_mut().rev().find(fits);
        if let Some(wake) = found.filter(|wake| wake.end == u64::MAX) {
            // One may have been used up on the guess that there was one.
            wake.end = end;
            wake.left = woken.saturating_sub(u64::from(wake.left == 0));
        }
    }

    /// Its holders, the most waiting caused first; [`HOLDERS_TOLD`] at most.
    pub(super) fn holders(&self) -> Vec<Holder> {
        let mut holders: Vec<_> = self.holders.iter().collect();
        holders.sort_by_key(|(key, held)| (std::cmp::Reverse(held.caused), **key));
        let holders =
            holders.into_iter().take(HOLDERS_TOLD).map(|(&(thread, stack), held)| Holder {
                thread,
                stack,
                count: held.count,
                caused: Nanos(held.caused),
                held: Nanos(held.held),
                held_max: Nanos(held.held_max),
                times: held.spent.times(),
                slow_stack: held.slow.2,
                slow_call: held.slow.1,
            });
        holders.collect()
    }
}

/// Whether a call waited at an address until its time was up, by its result: a negative error, or
/// what `pthread_cond_timedwait` itself returns.
pub(super) fn timed_out(call: CallId, result: i64) -> bool {
    let is_wait = call.info().is_some_and(|info| info.class == CallClass::Futex);
    let is_own = call == CallId::PTHREAD_COND_TIMEDWAIT && result == ETIMEDOUT;
    is_wait && (result == -ETIMEDOUT || is_own)
}

/// How many waits a wake may have ended, by its result.
pub(super) fn woken(call: CallId, result: i64) -> u64 {
    match call {
        CallId::PTHREAD_COND_BROADCAST => u64::MAX,
        CallId::PTHREAD_COND_SIGNAL | CallId::PTHREAD_MUTEX_UNLOCK => 1,
        _ => u64::try_from(result).unwrap_or(0),
    }
}
