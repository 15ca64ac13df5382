//! `exectrace blocked` for programs.

use serde::Serialize;
use trace_analysis::life::{Holder, Share, TOP, Wait, WaitGroup};
use trace_format::id::{CallId, StackId, ThreadId};
use trace_format::time::Nanos;

use super::head::{DisturbancesOut, HeadOut};
use super::lives::TimesOut;
use super::stacks::{ResourceOut, SpreadOut, StackOut, WhoOut};
use crate::answer::blocked::{BlockedAnswer, WaitGroups, WaitKind};
use crate::error::Failure;
use crate::label::{Labels, call};
use crate::output::Output;

/// Maximum number of threads or places of a group that are listed, as many as it keeps of others;
/// all are counted.
pub const PARTIES_MAX: usize = TOP;

/// What `blocked` answers.
#[derive(Debug, Serialize)]
pub struct BlockedOut {
    #[serde(flatten)]
    head: HeadOut,
    #[serde(flatten)]
    disturbances: DisturbancesOut,
    /// The waits.
    waits: WaitsOut,
}

/// Prints the answer.
///
/// # Errors
/// If it can't be written.
pub fn print(answer: &BlockedAnswer, out: &mut Output) -> Result<(), Failure> {
    let names = answer.subject.names();
    let labels = answer.subject.labels(&names);
    Ok(out.json(&BlockedOut {
        head: HeadOut::new(&answer.subject),
        disturbances: (&answer.disturbances).into(),
        waits: WaitsOut::new(labels, answer),
    })?)
}

/// All waits, four times in groups. A list has the groups of all kinds, `--top` of each at most,
/// the most time first: what holds threads up, how they rest, and what is outside of recorded
/// calls.
#[derive(Debug, Serialize)]
pub struct WaitsOut {
    /// How many there were.
    count: u64,
    /// How long they took together.
    total_ns: u64,
    /// How many are in groups without `resource`, `at` and `thread`, because a table of 8,192
    /// groups was full.
    late: u64,
    /// How many have no `wakers` or no `holders`, because a table was full: of 65,536 addresses at
    /// which threads waited, of 4,096 places at which they waited for locks without an address, or
    /// of 256 holders of one lock.
    late_holders: u64,
    /// By what is waited for; by the place where that has no name, and for child processes. Files
    /// that cost little are one group if they are many.
    by_lock: Vec<WaitGroupOut>,
    /// By the reason.
    by_reason: Vec<WaitGroupOut>,
    /// By the stack.
    by_stack: Vec<WaitGroupOut>,
    /// By the thread.
    by_thread: Vec<WaitGroupOut>,
    /// Sums of each list, those left out included.
    sums: WaitSumsOut,
}

impl WaitsOut {
    fn new(labels: Labels<'_>, answer: &BlockedAnswer) -> Self {
        let BlockedAnswer { by_lock, by_reason, by_stack, by_thread, .. } = answer;
        Self {
            count: answer.count,
            total_ns: answer.total.0,
            late: answer.late,
            late_holders: answer.late_holders,
            by_lock: WaitGroupOut::all(labels, by_lock),
            by_reason: WaitGroupOut::all(labels, by_reason),
            by_stack: WaitGroupOut::all(labels, by_stack),
            by_thread: WaitGroupOut::all(labels, by_thread),
            sums: WaitSumsOut {
                by_lock: by_lock.into(),
                by_reason: by_reason.into(),
                by_stack: by_stack.into(),
                by_thread: by_thread.into(),
            },
        }
    }
}

/// Sums of each list.
#[derive(Debug, Serialize)]
pub struct WaitSumsOut {
    /// Of `by_lock`.
    by_lock: WaitKindsOut,
    /// Of `by_reason`.
    by_reason: WaitKindsOut,
    /// Of `by_stack`.
    by_stack: WaitKindsOut,
    /// Of `by_thread`.
    by_thread: WaitKindsOut,
}

/// The kinds of waits in a list.
#[derive(Debug, Serialize)]
pub struct WaitKindsOut {
    /// What holds threads up.
    held_up: WaitKindOut,
    /// How threads rest: waiting for work, time, or other threads.
    at_rest: WaitKindOut,
    /// Off a CPU outside of recorded calls, `unseen`: in page faults, locks of the kernel, or
    /// system calls that libc did not make.
    outside: WaitKindOut,
}

impl From<&WaitGroups> for WaitKindsOut {
    fn from(groups: &WaitGroups) -> Self {
        let WaitGroups { held_up, at_rest, outside } = groups;
        Self { held_up: held_up.into(), at_rest: at_rest.into(), outside: outside.into() }
    }
}

/// The waits of one kind in a list.
#[derive(Debug, Serialize)]
pub struct WaitKindOut {
    /// How many waits there are in all groups.
    count: u64,
    /// How long they took together.
    total_ns: u64,
    /// Groups that `--top` left out.
    omitted: usize,
}

impl From<&WaitKind> for WaitKindOut {
    fn from(kind: &WaitKind) -> Self {
        let WaitKind { count, total, omitted, groups: _ } = *kind;
        Self { count, total_ns: total.0, omitted }
    }
}

/// Waits that have something in common. `resource`, `at`, `thread` and `thread_name` are there if
/// all of them have the same.
#[derive(Debug, Serialize)]
pub struct WaitGroupOut {
    /// Why they waited: see `blocked` of [Times](#times).
    reason: &'static str,
    /// Whether this is how threads rest, rather than what holds them up.
    at_rest: bool,
    /// Whether they began before the trace: then nothing says what they were for.
    since_before: bool,
    /// Whether these are reads of pipes and sockets that had not ended when the trace did, by
    /// threads other than the main thread: they had nothing to do.
    never_ended: bool,
    /// What they waited for.
    resource: Option<ResourceOut>,
    /// How many files these are, if they are put together; else 0 or 1.
    resources: u64,
    /// Where they waited.
    at: Option<StackOut>,
    #[serde(flatten)]
    who: Option<WhoOut>,
    /// How many there were.
    count: u64,
    /// How long they took together, as far as it lies in the trace.
    total_ns: u64,
    /// How much of that the threads may have been ready without a CPU, at most: the kernel counted
    /// so much more of that for them than events show. Of waits for files and pages of memory only.
    /// What is missing of a thread may lie in any of its groups and counts in each: not to be added
    /// up.
    perhaps_ready_ns: u64,
    /// The same if what is missing of a thread lay evenly in all its waits for files and pages of
    /// memory: over the groups of a list no more than what is missing of the threads.
    perhaps_ready_share_ns: u64,
    #[serde(flatten)]
    spread: SpreadOut,
    /// How many ended because their time was up, and nobody woke the thread.
    timeouts: u64,
    /// Maximum number of threads that waited at once.
    waiters_max: u32,
    /// Where, the most time first; the first 8.
    stacks: Vec<AtOut>,
    /// At how many stacks.
    stacks_count: usize,
    /// Who waited, the most time first; the first 8.
    waiters: Vec<PartyOut>,
    /// How many threads waited.
    waiters_count: usize,
    /// Who ended it, and where, the most time first; the first 8.
    wakers: Vec<PartyOut>,
    /// How many pairs of a thread and a stack ended it.
    wakers_count: usize,
    /// Who held the lock, the most waiting caused first; the first 8.
    holders: Vec<HolderOut>,
    /// Of `total_ns`, how long nobody held the lock: the thread that was woken for it had no CPU.
    free_ns: u64,
    /// The longest, longest first; the first 8.
    longest: Vec<WaitOut>,
}

impl WaitGroupOut {
    fn all(labels: Labels<'_>, groups: &WaitGroups) -> Vec<Self> {
        let WaitGroups { held_up, at_rest, outside } = groups;
        let kinds = [held_up, at_rest, outside];
        let mut all: Vec<_> = kinds.into_iter().flat_map(|kind| &kind.groups).collect();
        all.sort_by_key(|group| std::cmp::Reverse(group.total));
        all.into_iter().map(|group| Self::new(labels, group)).collect()
    }

    /// Of a group.
    #[must_use]
    pub fn new(labels: Labels<'_>, group: &WaitGroup) -> Self {
        let waiter = |share: &Share<ThreadId>| PartyOut::new(labels, share, share.of, StackId(0));
        let waker = |share: &Share<_>| {
            let (thread, stack) = share.of;
            PartyOut::new(labels, share, thread, stack)
        };
        Self {
            reason: group.reason.name(),
            at_rest: group.is_rest(),
            since_before: group.is_before,
            never_ended: group.is_endless,
            resource: ResourceOut::new(labels, group.resource),
            resources: group.resources,
            at: StackOut::new(labels, group.stack),
            who: WhoOut::new(labels, group.thread),
            count: group.count,
            total_ns: group.total.0,
            perhaps_ready_ns: group.perhaps_ready.0,
            perhaps_ready_share_ns: group.perhaps_ready_share.0,
            spread: group.quantiles.into(),
            timeouts: group.timeouts,
            waiters_max: group.waiters_max,
            stacks: AtOut::first(labels, &group.stacks),
            stacks_count: group.stacks.len(),
            waiters: group.waiters.iter().take(PARTIES_MAX).map(waiter).collect(),
            waiters_count: group.waiters.len(),
            wakers: group.wakers.iter().take(PARTIES_MAX).map(waker).collect(),
            wakers_count: group.wakers.len(),
            holders: group.holders.iter().map(|holder| HolderOut::new(labels, holder)).collect(),
            free_ns: group.free.0,
            longest: group.longest.iter().map(|wait| WaitOut::new(labels, wait)).collect(),
        }
    }
}

/// A place's share of a group.
#[derive(Debug, Serialize)]
pub struct AtOut {
    /// The place.
    at: Option<StackOut>,
    /// How many were there.
    count: u64,
    /// How long they took together.
    total_ns: u64,
}

impl AtOut {
    /// Of the first stacks of a group.
    #[must_use]
    pub fn first(labels: Labels<'_>, shares: &[Share<StackId>]) -> Vec<Self> {
        shares.iter().take(PARTIES_MAX).map(|share| Self::new(labels, share)).collect()
    }

    fn new(labels: Labels<'_>, share: &Share<StackId>) -> Self {
        let at = StackOut::new(labels, share.of);
        Self { at, count: share.count, total_ns: share.total.0 }
    }
}

/// A thread's share of a group.
#[derive(Debug, Serialize)]
pub struct PartyOut {
    #[serde(flatten)]
    who: Option<WhoOut>,
    /// Where, of those who ended waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<StackOut>,
    /// How many were its.
    count: u64,
    /// How long they took together.
    total_ns: u64,
}

impl PartyOut {
    /// Of a thread's share.
    #[must_use]
    pub fn new<T>(labels: Labels<'_>, share: &Share<T>, thread: ThreadId, stack: StackId) -> Self {
        Self {
            who: WhoOut::new(labels, thread),
            at: StackOut::new(labels, stack),
            count: share.count,
            total_ns: share.total.0,
        }
    }
}

/// A thread that held what others waited for.
#[derive(Debug, Serialize)]
pub struct HolderOut {
    #[serde(flatten)]
    who: Option<WhoOut>,
    /// Where it let go.
    released_at: Option<StackOut>,
    /// How often it gave it up while others waited.
    count: u64,
    /// Of the group's `total_ns`, what others waited meanwhile: the sum over them, with `--thread`
    /// over the chosen threads.
    caused_ns: u64,
    /// How long it held it while a thread waited.
    held_ns: u64,
    /// The longest of these times.
    held_max_ns: u64,
    /// What it did then; adds up to `held_ns`. Of long times a part is `unknown`.
    times: TimesOut,
    /// Where it made the longest of the calls that took most of this time.
    slow_at: Option<StackOut>,
    /// Which call that was.
    slow_call: Option<String>,
}

impl HolderOut {
    fn new(labels: Labels<'_>, holder: &Holder) -> Self {
        Self {
            who: WhoOut::new(labels, holder.thread),
            released_at: StackOut::new(labels, holder.stack),
            count: holder.count,
            caused_ns: holder.caused.0,
            held_ns: holder.held.0,
            held_max_ns: holder.held_max.0,
            times: (&holder.times).into(),
            slow_at: StackOut::new(labels, holder.slow_stack),
            slow_call: (holder.slow_call != CallId(0)).then(|| call::name(holder.slow_call)),
        }
    }
}

/// One wait.
#[derive(Debug, Serialize)]
pub struct WaitOut {
    #[serde(flatten)]
    who: Option<WhoOut>,
    /// Where.
    at: Option<StackOut>,
    /// What for.
    resource: Option<ResourceOut>,
    /// Since when; negative if that was before the trace.
    begin_ns: i64,
    /// For how long, all of it.
    duration_ns: u64,
    /// Whether it ended because its time was up.
    timed_out: bool,
    /// Who ended it.
    woken: Option<WokenOut>,
}

impl WaitOut {
    fn new(labels: Labels<'_>, wait: &Wait) -> Self {
        Self {
            who: WhoOut::new(labels, wait.thread),
            at: StackOut::new(labels, wait.stack),
            resource: ResourceOut::new(labels, wait.resource),
            begin_ns: wait.begin.0,
            duration_ns: wait.duration.0,
            timed_out: wait.timed_out,
            woken: wait.waker.map(|waker| WokenOut {
                by: WhoOut::new(labels, waker.thread),
                at: StackOut::new(labels, waker.stack),
                at_ns: waker.at.0,
                held_since_ns: waker.held_since.map(|Nanos(since)| since),
            }),
        }
    }
}

/// Who ended a wait.
#[derive(Debug, Serialize)]
pub struct WokenOut {
    #[serde(flatten)]
    by: Option<WhoOut>,
    /// Where.
    at: Option<StackOut>,
    /// When.
    at_ns: u64,
    /// Since when at the latest it had held the lock.
    held_since_ns: Option<u64>,
}
