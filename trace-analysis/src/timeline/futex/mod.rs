//! Who woke whom, and who held what: one [`Futex`] for each address that threads wait at.
//!
//! What is said rests on these facts alone:
//!
//! - A wake that woke `n` threads accounts for `n` waits at the same address that it lies in; a
//!   wait was ended by the latest such wake that is not used up. Until the call returns it is taken
//!   to be the oldest wait's, as the kernel's queue is one: whoever was woken and has no CPU yet is
//!   not made to wait by those who have the lock next.
//! - Whoever gives up a lock at which others wait wakes one. So the thread that made a wake had the
//!   lock until then: since it came back from its own wait for it, or since another began to wait
//!   for it, if that was behind the wake before. If neither is so, nobody knows since when.
//! - From when a thread is woken for a lock to when it comes back and has it the lock is free, if
//!   nobody else gives it up meanwhile. If it has no CPU, that makes others wait, and nobody holds
//!   the lock.
//! - A thread makes others wait for as long as they were blocked meanwhile: so the parts of the
//!   waiting add up to no more than all of it.
//!
//! `waiters` has those who wait; `holders` is about who held what.

mod holders;
mod waiters;

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use trace_format::call::CallClass;
use trace_format::id::{CallId, StackId, ThreadId};
use trace_format::time::Nanos;

pub use self::holders::Holder;
pub(super) use self::holders::Meanwhile;
use self::holders::{Held, HolderKey, LOCKS, Release};
use self::waiters::{Waiter, Waiters};
use crate::hash::FastMap;
use crate::reason::Reason;

/// Maximum number of wakes that are remembered of one address: a wait that goes on may need them.
const WAKES_MAX: usize = 256;

/// Maximum number of addresses that are remembered; beyond, those at which nobody waits are
/// forgotten.
const FUTEXES_MAX: usize = 1 << 16;

/// Number of new addresses between two searches for those that can be forgotten: so each new one
/// costs the same, however many there are.
const SWEEP_EACH: usize = FUTEXES_MAX / 16;

/// Maximum number of threads that came back from their wait for one lock and have not given it up.
const CAME_MAX: usize = 64;

/// Linux's number of the error that says that the time was up.
const ETIMEDOUT: i64 = 110;

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

/// Since when threads have waited for locks without a pause, whichever threads and locks: nobody
/// asks what was done before. Everyone who has it has the same.
#[derive(Clone, Debug, Default)]
pub(super) struct LockWaits(Rc<Cell<(u32, u64)>>);

/// One address.
#[derive(Debug, Default)]
pub(super) struct Futex {
    lock_waits: LockWaits,
    wakes: VecDeque<Wake>,
    waiters: Waiters,
    /// How many of these count.
    counted: u32,
    pub(super) waiters_max: u32,
    /// The last wake, or the begin of all.
    last_wake: u64,
    /// Who waited for it as a lock, came back, and has neither given it up nor waited again.
    came: Vec<Comer>,
    holders: HashMap<HolderKey, Held>,
    /// How often a thread gave it up that had no room among these.
    pub(super) late: u64,
    /// How long threads waited while nobody had it, by [`LOCKS`].
    free: [u64; LOCKS.len()],
}

/// A thread whose wait for a lock was over.
#[derive(Clone, Copy, Debug)]
struct Comer {
    thread: ThreadId,
    /// Why it had waited.
    reason: Reason,
    /// When it was over.
    end: u64,
    /// When the wake was made that ended it, if that is known.
    woken: Option<u64>,
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
    pub(super) lock_waits: LockWaits,
    /// How many waits at other addresses began when there was no room for another one.
    late: u64,
    /// How many addresses came for which there was no room, or were new, since some were last
    /// looked for that could be forgotten.
    since_sweep: usize,
}

impl LockWaits {
    /// Since when; `None` if nobody waits.
    #[inline]
    pub(super) fn since(&self) -> Option<u64> {
        let (count, since) = self.0.get();
        (count > 0).then_some(since)
    }

    fn begin(&self, at: u64) {
        let (count, since) = self.0.get();
        self.0.set((count + 1, if count == 0 { at } else { since.min(at) }));
    }

    fn end(&self) {
        let (count, since) = self.0.get();
        self.0.set((count - 1, since));
    }

    #[cfg(test)]
    pub(super) fn since_the_begin() -> Self {
        Self(Rc::new(Cell::new((1, 0))))
    }
}

impl Futexes {
    /// The address with this resource id; `None` for none, and beyond the limit.
    pub(super) fn at(&mut self, resource: u32) -> Option<&mut Futex> {
        if resource == 0 {
            return None;
        }
        if !self.by_resource.contains_key(&resource) {
            self.since_sweep += 1;
            if self.by_resource.len() >= FUTEXES_MAX && self.since_sweep > SWEEP_EACH {
                self.since_sweep = 0;
                self.by_resource.retain(|_, futex| !futex.waiters.is_empty() || futex.was_fought());
            }
            if self.by_resource.len() >= FUTEXES_MAX {
                return None;
            }
        }
        let new = || Futex { lock_waits: self.lock_waits.clone(), ..Futex::default() };
        Some(self.by_resource.entry(resource).or_insert_with(new))
    }

    /// A thread begins to wait at an address. Without room for that, nobody will be known to have
    /// ended this wait, or to have held the lock.
    pub(super) fn wait(
        &mut self,
        resource: u32,
        who: (usize, ThreadId),
        begin: u64,
        reason: Reason,
        counts: bool,
    ) {
        match self.at(resource) {
            Some(futex) => futex.wait(who, begin, reason, counts),
            None => self.late += u64::from(counts && resource != 0),
        }
    }

    /// The wait of a thread that began just now will be over as its time is up.
    pub(super) fn nobody_wakes(&mut self, resource: u32, who: usize) {
        if let Some(futex) = self.get_mut(resource) {
            futex.waiters.nobody_wakes(who);
        }
    }

    /// The state of a thread that waits has changed.
    ///
    /// - `begin`: of the wait.
    pub(super) fn change(&mut self, resource: u32, who: usize, begin: u64) {
        if let Some(futex) = self.get_mut(resource) {
            futex.waiters.change(begin, who);
        }
    }

    /// How many waits began when there was no room for another address, and how often a lock was
    /// given up when there was none for another of its holders.
    pub(super) fn late(&self) -> u64 {
        let of_holders = self.by_resource.values().map(|futex| futex.late);
        self.late.saturating_add(crate::units::sum(of_holders))
    }

    /// The window begins: who waits and who holds is known, what was counted does not count.
    pub(super) fn restart(&mut self) {
        self.late = 0;
        for futex in self.by_resource.values_mut() {
            futex.holders.clear();
            futex.late = 0;
            futex.free = Default::default();
            futex.waiters_max = futex.counted;
        }
    }

    /// An address that is remembered.
    pub(super) fn get(&self, resource: u32) -> Option<&Futex> {
        self.by_resource.get(&resource)
    }

    /// The same, where a wait may be over.
    pub(super) fn get_mut(&mut self, resource: u32) -> Option<&mut Futex> {
        self.by_resource.get_mut(&resource)
    }
}

impl Futex {
    fn was_fought(&self) -> bool {
        !self.holders.is_empty()
    }

    /// A thread begins to wait.
    ///
    /// - `counts`: whether somebody is to answer for that.
    pub(super) fn wait(
        &mut self,
        (who, thread): (usize, ThreadId),
        begin: u64,
        reason: Reason,
        counts: bool,
    ) {
        // It came back, and another was faster.
        self.came.retain(|it| it.thread != thread);
        self.waiters.add(Waiter::new(who, begin, reason, counts));
        if reason.is_lock() {
            self.lock_waits.begin(begin);
        }
        self.counted += u32::from(counts);
        self.waiters_max = self.waiters_max.max(self.counted);
    }

    /// A thread's wait is over. Returns who ended it, if `was_woken`.
    pub(super) fn waited(
        &mut self,
        who: usize,
        thread: ThreadId,
        (begin, end): (u64, u64),
        was_woken: bool,
    ) -> Option<Wake> {
        let waiter = self.waiters.remove(begin, who);
        self.counted -= u32::from(waiter.is_some_and(|waiter| waiter.counts));
        let taken = waiter.and_then(|waiter| waiter.woken);
        let fits = |wake: &&mut Wake| wake.begin <= end && wake.end >= begin && wake.left > 0;
        let mut wakes = self.wakes.iter_mut().rev().filter(|_| was_woken).filter(fits);
        let last = wakes.next();
        // The kernel's queue says which, if several may have.
        let wake = match last {
            Some(last) if taken.is_some_and(|taken| taken != last.begin) => {
                wakes.find(|wake| Some(wake.begin) == taken).or(Some(last))
            }
            last => last,
        };
        let wake = wake.map(|wake| {
            wake.left -= 1;
            *wake
        });
        if let Some(waiter) = waiter.filter(|it| it.reason.is_lock()) {
            self.lock_waits.end();
            let (reason, woken) = (waiter.reason, wake.map(|wake| wake.begin));
            self.comes(Comer { thread, reason, end, woken });
        }
        if let Some(taken) = taken {
            self.pass_on(taken, wake.map(|wake| wake.begin));
        } else if let Some(wake) = wake {
            self.waiters.take_back(wake.begin);
        }
        wake
    }

    fn comes(&mut self, comer: Comer) {
        if self.came.len() >= CAME_MAX {
            self.came.remove(0);
        }
        self.came.push(comer);
    }

    /// The lock is handed over: those who wait for it and whose state may have changed since the
    /// last time. Time must be made pass for these before [`Futex::blame_holder`].
    pub(super) fn hand_over(&mut self) -> impl Iterator<Item = usize> + '_ {
        self.waiters.hand_over()
    }

    /// When the wait of a thread that is still in its call was ended, as far as is known.
    ///
    /// - `begin`: of the wait.
    pub(super) fn woken_at(&self, who: usize, begin: u64) -> Option<u64> {
        self.waiters.get(begin, who)?.woken
    }

    /// A wait is over that was thought to be ended by the wake at `taken`; in fact it was that at
    /// `by`, or none.
    fn pass_on(&mut self, taken: u64, by: Option<u64>) {
        if by == Some(taken) {
            return;
        }
        if let Some(by) = by {
            self.waiters.take_back(by);
        }
        self.waiters.end_oldest(taken, 1);
    }

    /// Who surely has the lock, and since when: the last thread that waited for it, was woken for
    /// it, and has not given it up since. A reader gives it up without a wake if no writer waits.
    pub(super) fn holder(&self) -> Option<(ThreadId, Nanos)> {
        let is_alone = |it: &&Comer| matches!(it.reason, Reason::Mutex | Reason::RwLockWrite);
        let woken = self.came.iter().filter(|it| it.woken == Some(self.last_wake));
        let last = woken.filter(is_alone).max_by_key(|it| it.end)?;
        Some((last.thread, Nanos(last.end)))
    }

    /// Such a wake, which woke somebody, is from now on known to those who wait.
    pub(super) fn wake(&mut self, wake: Wake, release: &Release) {
        if self.wakes.len() >= WAKES_MAX {
            self.wakes.pop_front();
        }
        self.wakes.push_back(Wake { held_since: release.since, ..wake });
        self.waiters.end_oldest(wake.begin, wake.left);
    }

    /// How many threads a wake woke, now that it is over; of one that was met whole it is known.
    pub(super) fn woke(&mut self, thread: ThreadId, begin: u64, end: u64, woken: u64) {
        let fits = |it: &&mut Wake| it.thread == thread && it.begin == begin;
        let found = self.wakes.iter_mut().rev().find(fits);
        if let Some(wake) = found.filter(|wake| wake.end == u64::MAX) {
            // One may have been used up on the guess that there was one.
            wake.end = end;
            wake.left = woken.saturating_sub(u64::from(wake.left == 0));
            match woken {
                0 => self.waiters.take_back(begin),
                _ => self.waiters.end_oldest(begin, woken - 1),
            }
        }
    }
}

/// Whether a call waited at an address until its time was up, by its result: a negative error, or
/// what `pthread_cond_timedwait` itself returns.
pub(super) fn timed_out(call: CallId, result: i64) -> bool {
    let is_wait = call.info().is_some_and(|info| info.class == CallClass::Futex);
    let is_own = call == CallId::PTHREAD_COND_TIMEDWAIT && result == ETIMEDOUT;
    is_wait && (result == -ETIMEDOUT || is_own)
}

/// Whether a wake may have ended a wait at an address, by its call's result.
pub(super) fn was_woken(call: CallId, result: i64) -> bool {
    result >= 0 && !timed_out(call, result)
}

/// How many waits a wake may have ended, by its result.
pub(super) fn woken(call: CallId, result: i64) -> u64 {
    match call {
        CallId::PTHREAD_COND_BROADCAST => u64::MAX,
        CallId::PTHREAD_COND_SIGNAL | CallId::PTHREAD_MUTEX_UNLOCK => 1,
        _ => u64::try_from(result).unwrap_or(0),
    }
}
