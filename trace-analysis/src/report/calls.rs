//! All calls: by function, by what they are about, by stack.

use std::cmp::Reverse;
use std::collections::HashMap;

use trace_format::id::{CallId, ResourceId, StackId, ThreadId};
use trace_format::time::Nanos;

use super::grouped::{Grouped, Key, Longest, Sum, shares, whole};
use super::life::{CallGroup, Calls, OneCall, TINY_BYTES};
use crate::durations::{Budget, Durations, SLOT_BYTES_MAX, Scratch};
use crate::timeline::ClosedCall;
use crate::trace::Threads;

/// So many different errors of one group.
const ERRORS_MAX: usize = 16;

/// What calls are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CallKey {
    call: CallId,
    resource: ResourceId,
    pub(crate) stack: StackId,
    pub(crate) thread: ThreadId,
}

impl Key<3> for CallKey {
    fn late(self) -> Self {
        let (resource, stack, thread) = (ResourceId(0), StackId(0), ThreadId(0));
        Self { call: self.call, resource, stack, thread }
    }

    fn groups(self) -> [Self; 3] {
        let (Self { resource, stack, .. }, of) = (self, self.late());
        [of, Self { resource, ..of }, Self { stack, ..of }]
    }

    #[inline]
    fn slot(&self) -> usize {
        let Self { call, resource, stack, thread } = self;
        (resource.0 ^ stack.0 ^ (thread.0 << 3) ^ u32::from(call.0)) as usize
    }
}

#[derive(Debug, Default)]
struct CallSums {
    sum: Sum,
    open: u64,
    max: u64,
    off_cpu: u64,
    bytes: u64,
    tiny: u64,
    errors: Vec<(u32, u64)>,
    durations: Durations,
    longest: Longest<OneCall>,
}

/// All calls.
#[derive(Debug)]
pub(super) struct CallTable {
    calls: Grouped<CallKey, CallSums, 3>,
    budget: Budget,
    /// Only calls of these threads.
    threads: Threads,
}

/// From where, and by whom.
type Parties = (HashMap<StackId, Sum>, HashMap<ThreadId, Sum>);

impl CallTable {
    pub(super) fn new(threads: &Threads) -> Self {
        let (calls, budget) = (Grouped::new(), Budget::new(SLOT_BYTES_MAX));
        Self { calls, budget, threads: threads.clone() }
    }

    /// The window begins.
    pub(super) fn restart(&mut self) {
        *self = Self::new(&self.threads);
    }

    pub(super) fn add(&mut self, closed: &ClosedCall) {
        let OneCall { thread, stack, resource, inside, .. } = closed.one;
        if !self.threads.wants(thread) {
            return;
        }
        let key = CallKey { call: closed.call, resource, stack, thread };
        let budget = &mut self.budget;
        let sum = Sum { count: u64::from(closed.is_over), total: inside.0 };
        self.calls.add_sum(key, sum, |sums| match closed.is_over {
            true => sums.add(closed, budget),
            false => sums.add_open(closed),
        });
    }

    pub(super) fn fine(&self) -> Vec<(CallKey, Sum)> {
        self.calls.fine().collect()
    }

    pub(super) fn finish(&self, scratch: &mut Scratch) -> Calls {
        let Sum { count, total } = whole(self.calls.fine());
        let mut view = |view| self.view(view, scratch);
        Calls {
            count,
            open: 0,
            total: Nanos(total),
            late: self.calls.late(),
            by_call: view(0),
            by_resource: view(1),
            by_stack: view(2),
        }
    }

    fn view(&self, view: usize, scratch: &mut Scratch) -> Vec<CallGroup> {
        let groups = self.calls.view(view, |parties: &mut Parties, key, sum| {
            parties.0.entry(key.stack).or_default().merge(sum);
            parties.1.entry(key.thread).or_default().merge(sum);
        });
        let groups = groups.into_iter().map(|(key, sums, (stacks, threads))| CallGroup {
            stacks: shares(stacks),
            threads: shares(threads),
            ..sums.finish(&key, scratch)
        });
        let mut groups: Vec<_> = groups.collect();
        groups.sort_by_key(|group| {
            (std::cmp::Reverse(group.total), group.call, group.resource, group.stack)
        });
        groups
    }
}

impl CallSums {
    /// How long a call takes is not known before its end; what of it lies in the window is.
    fn add_open(&mut self, open: &ClosedCall) {
        self.sum.total = self.sum.total.saturating_add(open.one.inside.0);
        self.off_cpu = self.off_cpu.saturating_add(open.off_cpu);
        self.open += 1;
    }

    fn add(&mut self, ended: &ClosedCall, budget: &mut Budget) {
        let OneCall { duration, inside, result, .. } = ended.one;
        self.sum.add(inside.0);
        self.max = self.max.max(duration.0);
        self.off_cpu = self.off_cpu.saturating_add(ended.off_cpu);
        self.durations.record(duration.0, budget);
        self.longest
            .add(&ended.one, |one| (one.duration, (Reverse(one.begin), Reverse(one.thread))));
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
            open: self.open,
            total: Nanos(self.sum.total),
            off_cpu: Nanos(self.off_cpu),
            quantiles: self.durations.quantiles(Nanos(self.max), 1.0, scratch),
            bytes: self.bytes,
            tiny: self.tiny,
            errors,
            stacks: Vec::new(),
            threads: Vec::new(),
            longest: self.longest.to_vec(),
        }
    }
}
