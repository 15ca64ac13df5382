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
//! How, in private:
//!
//! - `walk` takes all events; `nesting` is its part about what begins and ends on threads, `closed`
//!   about what is over, `switches` about CPUs, `lost` about missing events, `finish` its end.
//! - `thread` is a thread's state, `spent` how long it was in which, `frame` what is open on it,
//!   `call` what it did in a call, `history` what it did lately, `gaps` what of that goes on behind
//!   missing events; `who` finds it by the system's ids; `futex` tells who woke whom, `places` why
//!   and where threads wait, `hands` who held locks that have no address.
//! - `long` keeps the long waits one by one.
//! - `files` puts waiting for many files together. `rest` tells which waiting is rest.
//! - `activity` is what was done in a poll or a task run, `regions` in the regions of a call site.
//! - `observed` tells an observer what was found out, for pictures (`timeline`).
//! - `cpus` counts what ran at once; `waits` and `calls` put together, by means of `grouped`.

mod activity;
mod call;
mod calls;
mod closed;
mod cpus;
mod files;
mod finish;
mod frame;
mod futex;
mod gaps;
mod grouped;
mod hands;
mod history;
mod long;
mod lost;
mod nesting;
mod observed;
mod places;
mod regions;
mod rest;
mod spent;
mod switches;
mod thread;
mod waits;
mod walk;
mod who;

use trace_format::id::{CallId, ResourceId, SiteId, StackId, ThreadId};
use trace_format::time::Nanos;

pub use self::activity::{Activity, Stretch};
use self::calls::CallKey;
pub(crate) use self::frame::Frame;
pub(crate) use self::grouped::{Sum, keep_longest, top};
pub(crate) use self::long::{LongWait, LongWaker};
pub(crate) use self::places::Place;
use self::waits::WaitKey;
pub(crate) use self::walk::{Also, Walk};
use crate::durations::Quantiles;
use crate::reason::Reason;
use crate::standstill::Standstill;
use crate::time::Moment;
pub(crate) use crate::units::sum as saturating_sum;

/// How many of the slowest are kept of each group, and of its parties.
pub const TOP: usize = 8;

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
    pub(crate) samples: Vec<((StackId, ThreadId), Sum)>,
    /// Of all threads, by thread and time.
    pub(crate) long_waits: Vec<LongWait>,
}

/// One thread's life, as far as it lies in the window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadLife {
    /// Which; 0 if it recorded nothing and is known from a CPU only.
    pub thread: ThreadId,
    /// The system's id.
    pub os_id: u64,
    /// Its name; may be empty.
    pub name: String,
    /// The thread that made it; 0 if none or unknown.
    pub parent: ThreadId,
    /// Where it was made; 0 if unknown.
    pub stack: StackId,
    /// The address of the function it began with; 0 if unknown.
    pub entry: u64,
    /// Since the first clock snapshot.
    pub begin: Nanos,
    /// The end of its life, or of the window.
    pub end: Nanos,
    /// Whether it has ended.
    pub ended: bool,
    /// What it did; adds up to `end - begin`.
    pub times: Times,
    /// Calls into the system that ended.
    pub calls: u64,
    /// How often it went off its CPU by its own will.
    pub yields: u64,
    /// How often it was put off its CPU.
    pub preemptions: u64,
}

/// What a thread did with a stretch of time. Each moment is in exactly one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// On a CPU, in the program's own code.
    pub running: Nanos,
    /// On a CPU inside a call; without switches, inside a call that need not wait.
    pub in_calls: Nanos,
    /// Able to run, and not on a CPU: preempted, or woken and not yet there.
    pub ready: Nanos,
    /// Where records are missing, and outside recorded calls where no switches were recorded: it
    /// may have run there, been ready, or waited in a call that is not hooked.
    pub unknown: Nanos,
    /// The whole process was stopped, whatever the thread was about to do.
    pub stopped: Nanos,
    /// Waiting, by [`Reason`] as a number.
    pub blocked: [Nanos; Reason::COUNT],
}

/// One CPU, as far as the program's threads are concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuLife {
    /// The system's number.
    pub cpu: u32,
    /// How long threads of the program ran on it.
    pub busy: Nanos,
    /// How often one came onto it.
    pub switches: u64,
    /// How often one was put off it.
    pub preemptions: u64,
    /// Samples taken on it.
    pub samples: u64,
    /// Records of it that the kernel had no room for.
    pub lost_records: u64,
}

/// How many threads of the program ran at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Concurrency {
    /// `running[n]`: how long exactly `n` threads were on CPUs; the last is "so many or more".
    pub running: Vec<Nanos>,
    /// `able[n]`: how long exactly `n` threads ran or waited, preempted, to go on.
    pub able: Vec<Nanos>,
    /// How long threads that could go on did not, as there were more of them than CPUs: the sum
    /// over them.
    pub shared: Nanos,
    /// The same, as CPUs were taken by other programs, or the system did not give them.
    pub taken: Nanos,
}

/// What the threads did inside the regions of one call site that ended, whole regions counted, and
/// of nested ones of the same site only the outermost.
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
    /// How long each.
    pub quantiles: Quantiles,
    /// How many threads waited at once at most; of [`By::Resource`] only.
    pub waiters_max: u32,
    /// Where, the most time first; [`TOP`] at most.
    pub stacks: Vec<Share<StackId>>,
    /// Who, the most time first; [`TOP`] at most.
    pub waiters: Vec<Share<ThreadId>>,
    /// Who ended the waiting and where, the most waiting time first; [`TOP`] at most.
    pub wakers: Vec<Share<(ThreadId, StackId)>>,
    /// Who held what was waited for, the most waiting caused first; [`TOP`] at most.
    pub holders: Vec<Holder>,
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

/// One stretch of waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Who.
    pub thread: ThreadId,
    /// Where; 0 if unknown.
    pub stack: StackId,
    /// For what; 0 if unknown.
    pub resource: ResourceId,
    /// When it began, perhaps before what was read.
    pub begin: Moment,
    /// How long, all of it.
    pub duration: Nanos,
    /// How long in what was read: what sums are made of.
    pub inside: Nanos,
    /// Who ended it, where, and when; nobody if that can't be told.
    pub waker: Option<Waker>,
    /// Whether it ended because its time was up, and nobody woke the thread.
    pub timed_out: bool,
}

/// A wait that was not over when the trace stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unended {
    /// Why.
    pub reason: Reason,
    /// In which call.
    pub call: CallId,
    /// Who, where, since when.
    pub wait: Wait,
}

/// Who ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waker {
    /// Which thread.
    pub thread: ThreadId,
    /// Where; 0 if unknown.
    pub stack: StackId,
    /// When, since the first clock snapshot.
    pub at: Nanos,
    /// For locks: since when at the latest it had held it, if that can be shown.
    pub held_since: Option<Nanos>,
}

/// All calls of the window that ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calls {
    /// How many.
    pub count: u64,
    /// Their time, of all threads.
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
    /// How often.
    pub count: u64,
    /// How long in all.
    pub total: Nanos,
    /// Of that, off the CPU, where switches were recorded.
    pub off_cpu: Nanos,
    /// How long each.
    pub quantiles: Quantiles,
    /// Bytes read or written.
    pub bytes: u64,
    /// Of those that read or wrote something, how many less than [`TINY_BYTES`].
    pub tiny: u64,
    /// How many failed, per error number, the most frequent first.
    pub errors: Vec<(u32, u64)>,
    /// From where, the most time first; [`TOP`] at most.
    pub stacks: Vec<Share<StackId>>,
    /// By whom, the most time first; [`TOP`] at most.
    pub threads: Vec<Share<ThreadId>>,
    /// The longest, longest first; [`TOP`] at most.
    pub longest: Vec<OneCall>,
}

/// Reading or writing fewer bytes in a call is called tiny: the call costs more than the bytes.
pub const TINY_BYTES: u64 = 512;

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneCall {
    /// Who made it.
    pub thread: ThreadId,
    /// From where; 0 if unknown.
    pub stack: StackId,
    /// About what; 0 if about nothing in particular.
    pub resource: ResourceId,
    /// When it began, perhaps before what was read.
    pub begin: Moment,
    /// How long, all of it.
    pub duration: Nanos,
    /// How long in what was read: what sums are made of.
    pub inside: Nanos,
    /// Bytes or a count; negative: minus the error number.
    pub result: i64,
}

impl Lives {
    /// The long waits of a thread, by time.
    pub(crate) fn long_waits(&self, thread: ThreadId) -> &[LongWait] {
        let all = &self.fine.long_waits;
        let from = all.partition_point(|wait| wait.thread < thread);
        let to = all.partition_point(|wait| wait.thread <= thread);
        &all[from..to]
    }
}

impl Default for Times {
    fn default() -> Self {
        Self {
            running: Nanos(0),
            in_calls: Nanos(0),
            ready: Nanos(0),
            unknown: Nanos(0),
            stopped: Nanos(0),
            blocked: [Nanos(0); Reason::COUNT],
        }
    }
}

impl Times {
    /// On a CPU.
    #[must_use]
    pub const fn cpu(&self) -> Nanos {
        Nanos(self.running.0.saturating_add(self.in_calls.0))
    }

    /// Waiting for one reason.
    #[must_use]
    pub const fn blocked_by(&self, reason: Reason) -> Nanos {
        self.blocked[reason as usize]
    }

    /// Waiting, for whatever reason.
    #[must_use]
    pub fn blocked(&self) -> Nanos {
        Nanos(saturating_sum(self.blocked.iter().map(|time| time.0)))
    }

    /// The reasons it waited for, the most time first.
    #[must_use]
    pub fn reasons(&self) -> Vec<(Reason, Nanos)> {
        let all = Reason::ALL.iter().map(|&reason| (reason, self.blocked_by(reason)));
        let mut reasons: Vec<_> = all.filter(|(_, time)| time.0 > 0).collect();
        reasons.sort_by_key(|&(reason, time)| (std::cmp::Reverse(time), reason));
        reasons
    }

    /// All of it.
    #[must_use]
    pub fn total(&self) -> Nanos {
        let parts = [self.running, self.in_calls, self.ready, self.unknown, self.stopped];
        let parts = parts.into_iter().chain(self.blocked);
        Nanos(saturating_sum(parts.map(|time| time.0)))
    }

    /// Adds another's times.
    pub fn add(&mut self, other: &Self) {
        let add = |mine: &mut Nanos, theirs: Nanos| mine.0 = mine.0.saturating_add(theirs.0);
        add(&mut self.running, other.running);
        add(&mut self.in_calls, other.in_calls);
        add(&mut self.ready, other.ready);
        add(&mut self.unknown, other.unknown);
        add(&mut self.stopped, other.stopped);
        for (mine, theirs) in self.blocked.iter_mut().zip(other.blocked) {
            add(mine, theirs);
        }
    }
}
