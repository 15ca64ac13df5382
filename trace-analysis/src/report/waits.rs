//! All waits: by what is waited for, by reason, by stack, by thread.

use std::cmp::Reverse;
use std::collections::HashMap;

use trace_format::id::{ResourceId, StackId, ThreadId};
use trace_format::read::{Tables, Thread};
use trace_format::time::Nanos;

use super::grouped::{Grouped, Key, Longest, Sum, shares, whole};
use super::life::{Wait, WaitGroup, Waits};
use crate::durations::{Budget, Durations, SLOT_BYTES_MAX, Scratch};
use crate::hash::FastMap;
use crate::reason::Reason;
use crate::time::Moment;
use crate::timeline::{Waited, main_thread};
use crate::trace::Threads;

/// What distinguishes waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WaitKey {
    pub(crate) reason: Reason,
    /// Whether it began before the trace, and nobody knows for what.
    is_before: bool,
    /// Whether it is how the thread rests, and was not over at the end of what was read.
    is_endless: bool,
    /// 0 if what is waited for has no name.
    resource: ResourceId,
    /// Where it is waited for, if it has no name: one stack of all at that place.
    place: StackId,
    pub(crate) stack: StackId,
    pub(crate) thread: ThreadId,
    waker: Option<(ThreadId, StackId)>,
}

impl Key<4> for WaitKey {
    fn late(self) -> Self {
        Self {
            reason: self.reason,
            is_before: self.is_before,
            is_endless: self.is_endless,
            resource: ResourceId(0),
            place: StackId(0),
            stack: StackId(0),
            thread: ThreadId(0),
            waker: None,
        }
    }

    fn groups(self) -> [Self; 4] {
        let Self { resource, place, stack, thread, .. } = self;
        let of = self.late();
        let by_resource = Self { resource, place, ..of };
        [by_resource, of, Self { stack, ..of }, Self { thread, ..of }]
    }

    #[inline]
    fn slot(&self) -> usize {
        let waker = self.waker.map_or(0, |(thread, _)| thread.0);
        let Self { resource, stack, thread, .. } = self;
        (resource.0 ^ stack.0 ^ (thread.0 << 3) ^ waker) as usize
    }
}

#[derive(Debug, Default)]
struct WaitSums {
    sum: Sum,
    max: u64,
    timeouts: u64,
    durations: Durations,
    /// By duration, the longest first.
    longest: Longest<Wait>,
}

/// All waits.
#[derive(Debug)]
pub(super) struct WaitTable {
    waits: Grouped<WaitKey, WaitSums, 4>,
    budget: Budget,
    /// Only waits of these threads.
    threads: Threads,
    /// When each thread was first there.
    firsts: FastMap<ThreadId, Moment>,
    /// The thread that the process began with; 0 if that is not known.
    main: ThreadId,
}

impl WaitTable {
    pub(super) fn new(threads: &Threads, tables: &Tables) -> Self {
        let (waits, budget) = (Grouped::new(), Budget::new(SLOT_BYTES_MAX));
        let first = |it: &Thread| (it.id, Moment(tables.clock.signed_nanos(it.first)));
        let firsts = tables.threads.values().map(first).collect();
        let main = main_thread(tables).unwrap_or(ThreadId(0));
        Self { waits, budget, threads: threads.clone(), firsts, main }
    }

    /// Whether waits of this thread are those that were asked for.
    pub(super) fn counts(&self, thread: ThreadId) -> bool {
        self.threads.wants(thread)
    }

    /// Whether a wait began before the trace: the recorder finds the thread in it, knows no stack,
    /// and tells of it from the thread's first moment on. Other threads' waits say by themselves
    /// what they are for.
    fn is_before(&self, reason: Reason, wait: &Wait) -> bool {
        let is_untold = reason == Reason::Futex && wait.stack == StackId(0);
        is_untold && self.firsts.get(&wait.thread).is_none_or(|first| wait.begin <= *first)
    }

    /// The window begins.
    pub(super) fn restart(&mut self) {
        (self.waits, self.budget) = (Grouped::new(), Budget::new(SLOT_BYTES_MAX));
    }

    /// Adds a wait.
    pub(super) fn add(&mut self, waited: &Waited) {
        let Waited { reason, named, waker_place: waker, ref wait, .. } = *waited;
        let Wait { thread, stack, .. } = *wait;
        if !self.counts(thread) {
            return;
        }
        let resource = if named { wait.resource } else { ResourceId(0) };
        let place = if resource == ResourceId(0) { waited.place } else { StackId(0) };
        let is_before = self.is_before(reason, wait);
        let is_endless = waited.is_endless && reason.is_input() && thread != self.main;
        let key = WaitKey { reason, is_before, is_endless, resource, place, stack, thread, waker };
        let budget = &mut self.budget;
        self.waits.add(key, wait.inside.0, |sums| sums.add(wait, budget));
    }

    pub(super) fn fine(&self) -> Vec<(WaitKey, Sum)> {
        self.waits.fine().collect()
    }

    pub(super) fn finish(&self, scratch: &mut Scratch) -> Waits {
        let Sum { count, total } = whole(self.waits.fine());
        let mut view = |view| self.view(view, scratch);
        Waits {
            count,
            total: Nanos(total),
            late: self.waits.late(),
            late_holders: 0,
            by_resource: view(0),
            by_reason: view(1),
            by_stack: view(2),
            by_thread: view(3),
        }
    }

    fn view(&self, view: usize, scratch: &mut Scratch) -> Vec<WaitGroup> {
        let groups = self.waits.view(view, WaitParties::add).into_iter();
        let groups = groups.map(|(key, sums, parties)| sums.finish(&key, parties, scratch));
        let mut groups: Vec<_> = groups.collect();
        groups.sort_by_key(WaitGroup::order);
        groups
    }
}

impl WaitSums {
    fn add(&mut self, wait: &Wait, budget: &mut Budget) {
        let nanos = wait.duration.0;
        self.sum.add(wait.inside.0);
        self.max = self.max.max(nanos);
        self.timeouts += u64::from(wait.timed_out);
        self.durations.record(nanos, budget);
        self.longest.add(wait, |wait| (wait.duration, (Reverse(wait.begin), Reverse(wait.thread))));
    }

    fn finish(&self, key: &WaitKey, parties: WaitParties, scratch: &mut Scratch) -> WaitGroup {
        WaitGroup {
            reason: key.reason,
            is_before: key.is_before,
            is_endless: key.is_endless,
            resource: key.resource,
            // Of a view one of them is said at most.
            stack: key.stack.max(key.place),
            thread: key.thread,
            resources: 1,
            count: self.sum.count,
            timeouts: self.timeouts,
            total: Nanos(self.sum.total),
            perhaps_ready: Nanos(0),
            perhaps_ready_share: Nanos(0),
            quantiles: self.durations.quantiles(Nanos(self.max), 1.0, scratch),
            waiters_max: 0,
            stacks: shares(parties.stacks),
            waiters: shares(parties.waiters),
            wakers: shares(parties.wakers),
            holders: Vec::new(),
            free: Nanos(0),
            longest: self.longest.to_vec(),
        }
    }
}

#[derive(Debug, Default)]
struct WaitParties {
    stacks: HashMap<StackId, Sum>,
    waiters: HashMap<ThreadId, Sum>,
    wakers: HashMap<(ThreadId, StackId), Sum>,
}

impl WaitParties {
    fn add(&mut self, key: &WaitKey, sum: Sum) {
        self.stacks.entry(key.stack).or_default().merge(sum);
        self.waiters.entry(key.thread).or_default().merge(sum);
        if let Some(waker) = key.waker {
            self.wakers.entry(waker).or_default().merge(sum);
        }
    }
}
