//! Waits and calls put together: by what they are about, by reason, by stack, by thread.
//!
//! Every wait and every call adds to one entry of a fine table, which knows everything but how
//! long each took, and to a few coarse groups, which know that. At the end the coarse ones take
//! their parties from the fine ones. All tables are bounded: beyond, what is new goes to the group
//! of its reason or call alone.

use std::collections::HashMap;
use std::hash::Hash;

use trace_format::id::{CallId, ResourceId, StackId, ThreadId};
use trace_format::time::Nanos;

use super::{CallGroup, Calls, OneCall, Share, TINY_BYTES, TOP, Wait, WaitGroup, Waits};
use crate::durations::{Budget, Durations, SLOT_BYTES_MAX, Scratch};
use crate::reason::Reason;

/// So many groups of one table.
const GROUPS_MAX: usize = 1 << 13;

/// So many fine entries.
const FINE_MAX: usize = 1 << 17;

/// So many different errors of one group.
const ERRORS_MAX: usize = 16;

/// A wait as the fine table knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct WaitKey {
    pub(crate) reason: Reason,
    /// 0 if what is waited for has no name.
    pub(crate) resource: ResourceId,
    /// Where it is waited for, if it has no name: one stack of all at that place.
    place: StackId,
    pub(crate) stack: StackId,
    pub(crate) thread: ThreadId,
    waker: Option<(ThreadId, StackId)>,
}

/// A call as the fine table knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CallKey {
    pub(crate) call: CallId,
    pub(crate) resource: ResourceId,
    pub(crate) stack: StackId,
    pub(crate) thread: ThreadId,
}

/// How often and how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) count: u64,
    pub(crate) total: u64,
}

impl Sum {
    pub(crate) fn add(&mut self, nanos: u64) {
        self.count += 1;
        self.total = self.total.saturating_add(nanos);
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.total = self.total.saturating_add(other.total);
    }
}

/// The entry of a bounded table, or the one that stands for all that came too late.
fn entry<K: Copy + Eq + Hash, V: Default>(
    table: &mut HashMap<K, V>,
    max: usize,
    key: K,
    late: K,
) -> &mut V {
    let is_full = table.len() >= max && !table.contains_key(&key);
    table.entry(if is_full { late } else { key }).or_default()
}

/// What waits are put together by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct GroupKey {
    reason: Reason,
    resource: ResourceId,
    stack: StackId,
    thread: ThreadId,
}

impl GroupKey {
    const fn of(reason: Reason) -> Self {
        Self { reason, resource: ResourceId(0), stack: StackId(0), thread: ThreadId(0) }
    }
}

#[derive(Debug, Default)]
struct WaitSums {
    sum: Sum,
    max: u64,
    durations: Durations,
    /// By duration, the longest first.
    longest: Vec<Wait>,
}

/// All waits.
#[derive(Debug)]
pub(super) struct WaitTable {
    pub(super) fine: HashMap<WaitKey, Sum>,
    by_resource: HashMap<GroupKey, WaitSums>,
    by_reason: HashMap<GroupKey, WaitSums>,
    by_stack: HashMap<GroupKey, WaitSums>,
    by_thread: HashMap<GroupKey, WaitSums>,
    budget: Budget,
    /// Only waits of these threads; empty for all.
    threads: Vec<ThreadId>,
}

impl WaitTable {
    pub(super) fn new(threads: &[ThreadId]) -> Self {
        Self {
            fine: HashMap::new(),
            by_resource: HashMap::new(),
            by_reason: HashMap::new(),
            by_stack: HashMap::new(),
            by_thread: HashMap::new(),
            budget: Budget::new(SLOT_BYTES_MAX),
            threads: threads.to_vec(),
        }
    }

    /// Adds a wait.
    ///
    /// - `named`: whether its resource is the name of what is waited for.
    /// - `places`: one stack for all that wait there; and who ended it, with one stack for all that
    ///   do so there.
    pub(super) fn add(
        &mut self,
        reason: Reason,
        named: bool,
        (place, waker): (StackId, Option<(ThreadId, StackId)>),
        wait: &Wait,
    ) {
        if !self.threads.is_empty() && !self.threads.contains(&wait.thread) {
            return;
        }
        let Wait { thread, stack, .. } = *wait;
        let resource = if named { wait.resource } else { ResourceId(0) };
        let place = if resource == ResourceId(0) { place } else { StackId(0) };
        let key = WaitKey { reason, resource, place, stack, thread, waker };
        let late = WaitKey {
            reason,
            resource: ResourceId(0),
            place: StackId(0),
            stack: StackId(0),
            thread: ThreadId(0),
            waker: None,
        };
        entry(&mut self.fine, FINE_MAX, key, late).add(wait.duration.0);
        let of = GroupKey::of(reason);
        let by_resource = GroupKey { resource, stack: place, ..of };
        let (by_stack, by_thread) = (GroupKey { stack, ..of }, GroupKey { thread, ..of });
        let budget = &mut self.budget;
        entry(&mut self.by_resource, GROUPS_MAX, by_resource, of).add(wait, budget);
        entry(&mut self.by_reason, GROUPS_MAX, of, of).add(wait, budget);
        entry(&mut self.by_stack, GROUPS_MAX, by_stack, of).add(wait, budget);
        entry(&mut self.by_thread, GROUPS_MAX, by_thread, of).add(wait, budget);
    }

    pub(super) fn finish(&self, scratch: &mut Scratch) -> Waits {
        let mut waits = Waits::default();
        for sum in self.fine.values() {
            waits.count += sum.count;
            waits.total.0 = waits.total.0.saturating_add(sum.total);
        }
        let of = |key: &WaitKey| GroupKey::of(key.reason);
        waits.by_resource = self.groups(&self.by_resource, scratch, |key| GroupKey {
            resource: key.resource,
            stack: key.place,
            ..of(key)
        });
        waits.by_reason = self.groups(&self.by_reason, scratch, of);
        let by_stack = |key: &WaitKey| GroupKey { stack: key.stack, ..of(key) };
        waits.by_stack = self.groups(&self.by_stack, scratch, by_stack);
        let by_thread = |key: &WaitKey| GroupKey { thread: key.thread, ..of(key) };
        waits.by_thread = self.groups(&self.by_thread, scratch, by_thread);
        waits
    }

    fn groups(
        &self,
        table: &HashMap<GroupKey, WaitSums>,
        scratch: &mut Scratch,
        group_of: impl Fn(&WaitKey) -> GroupKey,
    ) -> Vec<WaitGroup> {
        let mut parties: HashMap<GroupKey, WaitParties> = HashMap::new();
        for (key, sum) in &self.fine {
            let group = group_of(key);
            let group = if table.contains_key(&group) { group } else { GroupKey::of(key.reason) };
            parties.entry(group).or_default().add(key, *sum);
        }
        let groups = table.iter().map(|(key, sums)| {
            let parties = parties.remove(key).unwrap_or_default();
            sums.finish(key, parties, scratch)
        });
        let mut groups: Vec<_> = groups.collect();
        groups.sort_by_key(|group| {
            let ids = (group.reason, group.resource, group.stack, group.thread);
            (std::cmp::Reverse(group.total), ids)
        });
        groups
    }
}

impl WaitSums {
    fn add(&mut self, wait: &Wait, budget: &mut Budget) {
        let nanos = wait.duration.0;
        self.sum.add(nanos);
        self.max = self.max.max(nanos);
        self.durations.record(nanos, budget);
        keep_longest(&mut self.longest, *wait, |wait| wait.duration.0);
    }

    fn finish(&self, key: &GroupKey, parties: WaitParties, scratch: &mut Scratch) -> WaitGroup {
        WaitGroup {
            reason: key.reason,
            resource: key.resource,
            stack: key.stack,
            thread: key.thread,
            count: self.sum.count,
            total: Nanos(self.sum.total),
            quantiles: self.durations.quantiles(Nanos(self.max), 1.0, scratch),
            waiters_max: 0,
            stacks: top(parties.stacks),
            waiters: top(parties.waiters),
            wakers: top(parties.wakers),
            holders: Vec::new(),
            longest: self.longest.clone(),
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

/// The parties with the most time.
fn top<K: Copy + Ord>(parties: HashMap<K, Sum>) -> Vec<Share<K>> {
    let share = |(of, sum): (K, Sum)| Share { of, count: sum.count, total: Nanos(sum.total) };
    let mut shares: Vec<_> = parties.into_iter().map(share).collect();
    shares.sort_by_key(|share| (std::cmp::Reverse((share.total, share.count)), share.of));
    shares.truncate(TOP);
    shares
}

/// Keeps the [`TOP`] longest, longest first.
fn keep_longest<T>(longest: &mut Vec<T>, new: T, nanos: impl Fn(&T) -> u64) {
    if longest.len() >= TOP && longest.last().is_some_and(|least| nanos(least) >= nanos(&new)) {
        return;
    }
    let at = longest.partition_point(|old| nanos(old) >= nanos(&new));
    longest.insert(at, new);
    longest.truncate(TOP);
}

#[derive(Debug, Default)]
struct CallSums {
    sum: Sum,
    max: u64,
    off_cpu: u64,
    bytes: u64,
    tiny: u64,
    errors: Vec<(u32, u64)>,
    durations: Durations,
    longest: Vec<OneCall>,
}

/// A call that has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) call: CallId,
    pub(super) one: OneCall,
    pub(super) off_cpu: u64,
    /// Whether its result counts bytes.
    pub(super) has_bytes: bool,
}

/// All calls.
#[derive(Debug)]
pub(super) struct CallTable {
    pub(super) fine: HashMap<CallKey, Sum>,
    by_call: HashMap<CallKey, CallSums>,
    by_resource: HashMap<CallKey, CallSums>,
    by_stack: HashMap<CallKey, CallSums>,
    budget: Budget,
    threads: Vec<ThreadId>,
}

impl CallKey {
    const fn of(call: CallId) -> Self {
        Self { call, resource: ResourceId(0), stack: StackId(0), thread: ThreadId(0) }
    }
}

impl CallTable {
    pub(super) fn new(threads: &[ThreadId]) -> Self {
        Self {
            fine: HashMap::new(),
            by_call: HashMap::new(),
            by_resource: HashMap::new(),
            by_stack: HashMap::new(),
            budget: Budget::new(SLOT_BYTES_MAX),
            threads: threads.to_vec(),
        }
    }

    pub(super) fn add(&mut self, ended: &Ended) {
        let OneCall { thread, stack, resource, duration, .. } = ended.one;
        if !self.threads.is_empty() && !self.threads.contains(&thread) {
            return;
        }
        let of = CallKey::of(ended.call);
        let key = CallKey { resource, stack, thread, ..of };
        entry(&mut self.fine, FINE_MAX, key, of).add(duration.0);
        let budget = &mut self.budget;
        entry(&mut self.by_call, GROUPS_MAX, of, of).add(ended, budget);
        let key = CallKey { resource, ..of };
        entry(&mut self.by_resource, GROUPS_MAX, key, of).add(ended, budget);
        let key = CallKey { stack, ..of };
        entry(&mut self.by_stack, GROUPS_MAX, key, of).add(ended, budget);
    }

    pub(super) fn finish(&self, scratch: &mut Scratch) -> Calls {
        let mut calls = Calls::default();
        for sum in self.fine.values() {
            calls.count += sum.count;
            calls.total.0 = calls.total.0.saturating_add(sum.total);
        }
        let of = |key: &CallKey| CallKey::of(key.call);
        calls.by_call = self.groups(&self.by_call, scratch, of);
        let by_resource = |key: &CallKey| CallKey { resource: key.resource, ..of(key) };
        calls.by_resource = self.groups(&self.by_resource, scratch, by_resource);
        let by_stack = |key: &CallKey| CallKey { stack: key.stack, ..of(key) };
        calls.by_stack = self.groups(&self.by_stack, scratch, by_stack);
        calls
    }

    fn groups(
        &self,
        table: &HashMap<CallKey, CallSums>,
        scratch: &mut Scratch,
        group_of: impl Fn(&CallKey) -> CallKey,
    ) -> Vec<CallGroup> {
        type Parties = (HashMap<StackId, Sum>, HashMap<ThreadId, Sum>);
        let mut parties: HashMap<CallKey, Parties> = HashMap::new();
        for (key, sum) in &self.fine {
            let group = group_of(key);
            let group = if table.contains_key(&group) { group } else { CallKey::of(key.call) };
            let (stacks, threads) = parties.entry(group).or_default();
            stacks.entry(key.stack).or_default().merge(*sum);
            threads.entry(key.thread).or_default().merge(*sum);
        }
        let groups = table.iter().map(|(key, sums)| {
            let (stacks, threads) = parties.remove(key).unwrap_or_default();
            CallGroup { stacks: top(stacks), threads: top(threads), ..sums.finish(key, scratch) }
        });
        let mut groups: Vec<_> = groups.collect();
        groups.sort_by_key(|group| {
            (std::cmp::Reverse(group.total), group.call, group.resource, group.stack)
        });
        groups
    }
}

impl CallSums {
    fn add(&mut self, ended: &Ended, budget: &mut Budget) {
        let OneCall { duration, result, .. } = ended.one;
        self.sum.add(duration.0);
        self.max = self.max.max(duration.0);
        self.off_cpu = self.off_cpu.saturating_add(ended.off_cpu);
        self.durations.record(duration.0, budget);
        keep_longest(&mut self.longest, ended.one, |one| one.duration.0);
        match u64::try_from(result) {
            Ok(bytes) if ended.has_bytes && bytes > 0 => {
                self.bytes = self.bytes.saturating_add(bytes);
                self.tiny += u64::from(bytes < TINY_BYTES);
            }
            Ok(_) => {}
            Err(_) => {
                let error = u32::try_from(result.unsigned_abs()).unwrap_or(u32::MAX);
                match self.errors.iter().position(|(known, _)| *known == error) {
                    Some(at) => self.errors[at].1 += 1,
                    None if self.errors.len() < ERRORS_MAX => self.errors.push((error, 1)),
                    None => {}
                }
            }
        }
    }

    fn finish(&self, key: &CallKey, scratch: &mut Scratch) -> CallGroup {
        let mut errors = self.errors.clone();
        errors.sort_by_key(|&(error, count)| (std::cmp::Reverse(count), error));
        CallGroup {
            call: key.call,
            resource: key.resource,
            stack: key.stack,
            count: self.sum.count,
            total: Nanos(self.sum.total),
            off_cpu: Nanos(self.off_cpu),
            quantiles: self.durations.quantiles(Nanos(self.max), 1.0, scratch),
            bytes: self.bytes,
            tiny: self.tiny,
            errors,
            stacks: Vec::new(),
            threads: Vec::new(),
            longest: self.longest.clone(),
        }
    }
}
