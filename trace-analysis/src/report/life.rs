//! What each thread did with its time, what it waited for, and who was to blame.
//!
//! [`Lives::read`] walks the calls of all threads and the switches of all CPUs once, in the order
//! of time, in memory that does not grow with the trace's length. Three things always hold:
//!
//! - The times of a thread add up to its life, to the nanosecond. What can't be known is a time of
//!   its own ([`Times::unknown`]), never left out.
//! - While the whole process was stopped (`standstill`), no thread did or waited for anything.
//! - What a wait's waker or a lock's holder is said to be follows from events: a wake of the same
//!   futex inside the wait, by the thread that is named. Where there is none, nobody is named.
//!
//! The rules are the timeline's (`crate::timeline`); here is what they are added up to.

use trace_format::id::{CallId, ResourceId, SiteId, StackId, ThreadId};
use trace_format::time::Nanos;

use super::calls::CallKey;
use super::children::ChildProcesses;
pub(crate) use super::grouped::{Sum, keep_longest, merged, shares};
pub(crate) use super::long::{LongWait, LongWaker};
use super::waits::WaitKey;
use crate::durations::Quantiles;
use crate::hash::FastMap;
use crate::reason::Reason;
use crate::spans::Span;
use crate::timeline::standstill::Standstill;
pub use crate::timeline::{
    Activity, Concurrency, CpuLife, Holder, OneCall, Stretch, TOP, ThreadLife, Times, Unended,
    Wait, Waker,
};
pub(crate) use crate::units::sum as saturating_sum;

/// Everything about how the threads of a trace, or of a window of it, spent their time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lives {
    /// The begin of what was read, since the first clock snapshot.
    pub from: Nanos,
    /// The end of what was read.
    pub to: Nanos,
    /// Per thread, by its begin.
    pub threads: Vec<ThreadLife>,
    /// Per CPU on which a thread ran, by number; empty if no switches were recorded.
    pub cpus: Vec<CpuLife>,
    /// How many CPUs there were to run on, as far as is known; 0 if no switches were recorded.
    pub cpus_watched: usize,
    /// Every stretch of waiting, in groups.
    pub waits: Waits,
    /// What threads still waited for when the trace stopped, the longest first.
    pub unended: Vec<Unended>,
    /// Every call, in groups.
    pub calls: Calls,
    /// Per call site whose regions ended: what the threads did in them, where that is known;
    /// empty if no switches were recorded.
    pub regions: Vec<RegionTimes>,
    /// How much ran at once; all zero if no switches were recorded.
    pub concurrency: Concurrency,
    /// Switches and samples that the kernel had no room for.
    pub lost_records: u64,
    /// When the whole process stood still, as far as that lies in what was read, by time.
    pub standstills: Vec<Standstill>,
    /// Major page faults.
    pub faults: u64,
    /// Batches and events that could not be read.
    pub unreadable: u64,
    /// The first of these, in words.
    pub damage: Vec<String>,
    /// Events in batches that could not be read.
    pub events_missing: u64,
    /// Events that the recorder had no memory for, as far as events of what was read say so.
    pub events_dropped: u64,
    /// Regions, polls and calls that lie deeper than readers keep: they are in no time.
    pub too_deep: u64,
    pub(crate) fine: Fine,
}

/// The finest sums, for profiles.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Fine {
    pub(crate) waits: Vec<(WaitKey, Sum)>,
    pub(crate) calls: Vec<(CallKey, Sum)>,
    pub(crate) ready: Vec<((StackId, ThreadId), Sum)>,
    pub(crate) kernel: Vec<((StackId, ThreadId), Sum)>,
    pub(crate) faults: Vec<((StackId, ThreadId), Sum)>,
    pub(crate) samples: Vec<((StackId, ThreadId), Sum)>,
    /// Of all threads, by thread and time.
    pub(crate) long_waits: Vec<LongWait>,
    /// When each thread was ready and had no CPU, where that was long; of all threads that recorded
    /// nothing together.
    pub(crate) long_ready: FastMap<ThreadId, Vec<Span>>,
    /// Whether some of these were left out, as there were too many.
    pub(crate) is_ready_cut: bool,
    pub(crate) children: ChildProcesses,
}

/// What the threads did inside the regions of one call site that ended or were open at the end, and
/// of nested ones of the same site only inside the outermost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegionTimes {
    /// Which.
    pub site: SiteId,
    /// How many ended.
    pub count: u64,
    /// On a CPU, inside calls or outside.
    pub cpu: Nanos,
    /// Able to run, and not on a CPU.
    pub ready: Nanos,
    /// Waiting.
    pub blocked: Nanos,
    /// The process was stopped.
    pub stopped: Nanos,
    /// What can't be known.
    pub unknown: Nanos,
}

/// By what waits are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    /// Reason, and lock, channel, file: what is waited for, where it has an address or a
    /// descriptor of its own; else where the waiting is.
    Resource,
    /// Reason alone.
    Reason,
    /// Reason and stack.
    Stack,
    /// Reason and waiting thread.
    Thread,
}

/// All waiting of the window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Waits {
    /// Stretches of waiting.
    pub count: u64,
    /// Their time, of all threads.
    pub total: Nanos,
    /// How many are in groups for what came too late, as there is room for a limited number of
    /// groups: such a group has a reason and no more.
    pub late: u64,
    /// How many have no waker or no holder, as they came when there was no room for another lock,
    /// another place at which threads wait for locks without an address, or another holder of one.
    pub late_holders: u64,
    /// By [`By::Resource`], the most time first.
    pub by_resource: Vec<WaitGroup>,
    /// By [`By::Reason`], the most time first.
    pub by_reason: Vec<WaitGroup>,
    /// By [`By::Stack`], the most time first.
    pub by_stack: Vec<WaitGroup>,
    /// By [`By::Thread`], the most time first.
    pub by_thread: Vec<WaitGroup>,
}

/// Some waits that have something in common.
#[derive(Clone, Debug, PartialEq)]
pub struct WaitGroup {
    /// Why.
    pub reason: Reason,
    /// Whether threads waited so since before the trace, nobody knows for what. Such waits are
    /// never in one group with others.
    pub is_before: bool,
    /// Whether these are reads of pipes and sockets by threads other than the main thread that had
    /// not ended when the trace did, be that behind the window: such a thread has nothing to do.
    /// They are never in one group with others.
    pub is_endless: bool,
    /// For what; 0 if for several things, or for nothing that has a name.
    pub resource: ResourceId,
    /// Where: one stack of that place in the program; 0 if at several: then see `stacks`.
    pub stack: StackId,
    /// Who; 0 if several threads: then see `waiters`.
    pub thread: ThreadId,
    /// How many things are put together here that were waited for: 1, if nobody did so
    /// ([`Lives::waits_by_resource`]).
    pub resources: u64,
    /// How often.
    pub count: u64,
    /// How many of these ended because their time was up, and nobody woke the thread.
    pub timeouts: u64,
    /// How long in all.
    pub total: Nanos,
    /// How much of that the threads may have been ready instead, and had no CPU, at most: the
    /// kernel counted so much more of that for them than events show. Of waits for files and pages
    /// of memory only: no event says that a device has ended these.
    ///
    /// This is a bound for each group alone. The readiness that is missing of a thread may lie in
    /// any of its groups and counts in the bound of each, so bounds must not be added up.
    pub perhaps_ready: Nanos,
    /// The same if what is missing of a thread lay evenly in all its waits for files and pages of
    /// memory: of several groups of a list these may be added up, and are together no more than
    /// what is missing of their threads. Never more than `perhaps_ready`.
    pub perhaps_ready_share: Nanos,
    /// How long each.
    pub quantiles: Quantiles,
    /// How many threads waited at once at most; of [`By::Resource`] only.
    pub waiters_max: u32,
    /// Where, the most time first; all of them.
    pub stacks: Vec<Share<StackId>>,
    /// Who, the most time first; all of them.
    pub waiters: Vec<Share<ThreadId>>,
    /// Who ended the waiting and where, the most waiting time first; all of them.
    pub wakers: Vec<Share<(ThreadId, StackId)>>,
    /// Who held what was waited for, the most waiting caused first; [`TOP`] at most.
    pub holders: Vec<Holder>,
    /// Of the time, how long nobody held it: who had been woken for it had no CPU.
    pub free: Nanos,
    /// The longest, longest first; [`TOP`] at most.
    pub longest: Vec<Wait>,
}

/// What one party has of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share<T> {
    /// The party.
    pub of: T,
    /// How often.
    pub count: u64,
    /// How long in all.
    pub total: Nanos,
}

/// All calls of the window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calls {
    /// How many ended.
    pub count: u64,
    /// How many more had not ended at the end of what was read.
    pub open: u64,
    /// Their time in the window, of all threads: that of the open ones, too, so that the times of
    /// several windows add up.
    pub total: Nanos,
    /// How many are in groups for what came too late, as there is room for a limited number of
    /// groups: such a group has a call and no more.
    pub late: u64,
    /// By call, the most time first.
    pub by_call: Vec<CallGroup>,
    /// By call and resource, the most time first.
    pub by_resource: Vec<CallGroup>,
    /// By call and stack, the most time first.
    pub by_stack: Vec<CallGroup>,
}

/// Calls that have something in common.
#[derive(Clone, Debug, PartialEq)]
pub struct CallGroup {
    /// Which.
    pub call: CallId,
    /// About what; 0 if about several things or nothing.
    pub resource: ResourceId,
    /// From where; 0 if from several places.
    pub stack: StackId,
    /// How many ended.
    pub count: u64,
    /// How many more had not ended at the end of what was read: they count in `total` and `off_cpu`
    /// alone.
    pub open: u64,
    /// How long in all, in the window.
    pub total: Nanos,
    /// Of that, off the CPU, where switches were recorded.
    pub off_cpu: Nanos,
    /// How long each took that ended, all of it.
    pub quantiles: Quantiles,
    /// Bytes read or written.
    pub bytes: u64,
    /// Of those that read or wrote something, how many less than [`TINY_BYTES`].
    pub tiny: u64,
    /// How many failed, per error number, the most frequent first.
    pub errors: Vec<(u32, u64)>,
    /// From where, the most time first; all of them.
    pub stacks: Vec<Share<StackId>>,
    /// By whom, the most time first; all of them.
    pub threads: Vec<Share<ThreadId>>,
    /// The longest, longest first; [`TOP`] at most.
    pub longest: Vec<OneCall>,
}

/// Reading or writing fewer bytes in a call is called tiny: the call costs more than the bytes.
pub const TINY_BYTES: u64 = 512;

impl Waits {
    /// The groups of all lists.
    pub(super) fn groups_mut(&mut self) -> impl Iterator<Item = &mut WaitGroup> {
        let Self { by_resource, by_reason, by_stack, by_thread, .. } = self;
        [by_resource, by_reason, by_stack, by_thread].into_iter().flatten()
    }
}

impl Lives {
    /// The numbers of the processes that the program has started, in ascending order, as far as
    /// calls say so.
    #[must_use]
    pub fn processes_started(&self) -> &[u64] {
        &self.fine.children.started
    }

    /// The long waits of a thread, by time.
    pub(crate) fn long_waits(&self, thread: ThreadId) -> &[LongWait] {
        let all = &self.fine.long_waits;
        let from = all.partition_point(|wait| wait.thread < thread);
        let to = all.partition_point(|wait| wait.thread <= thread);
        &all[from..to]
    }
}
