//! What async tasks waited for, for programs.

use serde::Serialize;
use trace_analysis::async_tasks::{AsyncHolder, AwaitGroup, Idle};
use trace_analysis::life::Share;
use trace_analysis::reason::Await;
use trace_format::id::{FutureId, SiteId, StackId};

use super::blocked::PARTIES_MAX;
use super::polls::name;
use super::stacks::{FrameOut, SpreadOut, StackOut, WhoOut};
use crate::label::Labels;

/// What is awaited, and where.
#[derive(Debug, Serialize)]
pub struct AwaitedOut {
    /// `mutex`, `rwlock`, `semaphore`, `channel send`, `channel receive`, `oneshot`, `notify`,
    /// `barrier`, `once`, `join`, `timer`, `socket`, `file`, `pipe`, `process`, `signal`, `yield`,
    /// `unknown`.
    awaited: &'static str,
    /// The library it belongs to, as `tokio`; empty if that is not known.
    library: &'static str,
    /// The place in the program's own code.
    place: Option<FrameOut>,
    /// Where.
    at: Option<StackOut>,
}

impl AwaitedOut {
    pub(super) fn new(labels: Labels<'_>, awaited: Await, stack: StackId) -> Self {
        Self {
            awaited: awaited.awaited.name(),
            library: awaited.library,
            place: labels.places.own(stack).map(FrameOut::from),
            at: StackOut::new(labels, stack),
        }
    }

    pub(super) fn all(labels: Labels<'_>, all: &[(StackId, Await)]) -> Vec<Self> {
        all.iter().map(|(stack, awaited)| Self::new(labels, *awaited, *stack)).collect()
    }
}

/// Waits of the tasks of one call site at one place.
#[derive(Debug, Serialize)]
pub struct AwaitOut {
    /// The tasks' call site.
    site: u32,
    /// Its name.
    name: Option<String>,
    #[serde(flatten)]
    what: AwaitedOut,
    /// What else it may have been, if the tasks waited at several places at once and nothing tells
    /// which it was for.
    one_of: Vec<AwaitedOut>,
    /// How many waits there were.
    count: u64,
    /// How long they took together.
    total_ns: u64,
    #[serde(flatten)]
    spread: SpreadOut,
    /// Tasks that waited there at the end.
    waiting: u64,
    /// Who woke them, the most time first; the first 8.
    wakers: Vec<WakerOut>,
    /// How many pairs of a spawn site and a stack woke them: 64 at most. `late_parties` counts the
    /// waits that others ended.
    wakers_count: usize,
    /// Who held the lock, the most time first; the first 8.
    holders: Vec<AsyncHolderOut>,
    /// The longest waits, longest first.
    longest: Vec<IdleOut>,
}

impl AwaitOut {
    pub(super) fn new(labels: Labels<'_>, group: &AwaitGroup) -> Self {
        let wakers = group.wakers.iter().take(PARTIES_MAX);
        Self {
            site: group.site.0,
            name: name(labels, group.site),
            what: AwaitedOut::new(labels, group.awaited, group.stack),
            one_of: AwaitedOut::all(labels, &group.one_of),
            count: group.count,
            total_ns: group.total.0,
            spread: group.quantiles.into(),
            waiting: group.waiting,
            wakers: wakers.map(|waker| WakerOut::new(labels, waker)).collect(),
            wakers_count: group.wakers.len(),
            holders: group
                .holders
                .iter()
                .map(|holder| AsyncHolderOut::new(labels, holder))
                .collect(),
            longest: group.longest.iter().map(|idle| IdleOut::new(labels, idle)).collect(),
        }
    }
}

/// Tasks of one call site that woke others at one place.
#[derive(Debug, Serialize)]
pub struct WakerOut {
    /// The call site of the task that woke them; `null` if a thread did outside of any task.
    site: Option<u32>,
    /// Its name.
    name: Option<String>,
    /// Where.
    at: Option<StackOut>,
    /// How many waits it ended.
    count: u64,
    /// How long these took together.
    total_ns: u64,
}

impl WakerOut {
    pub(super) fn new(labels: Labels<'_>, share: &Share<(Option<SiteId>, StackId)>) -> Self {
        let (site, stack) = share.of;
        Self {
            site: site.map(|site| site.0),
            name: site.and_then(|site| name(labels, site)),
            at: StackOut::new(labels, stack),
            count: share.count,
            total_ns: share.total.0,
        }
    }
}

/// Tasks of one call site that held what others waited for.
#[derive(Debug, Serialize)]
pub struct AsyncHolderOut {
    /// The tasks' call site.
    site: u32,
    /// Its name.
    name: Option<String>,
    /// Where they let go.
    released_at: Option<StackOut>,
    /// How many waits they caused.
    count: u64,
    /// How long they held it while others waited.
    held_ns: u64,
    /// The longest of these times.
    held_max_ns: u64,
    /// The id of the task that held it the longest.
    held_longest_by: u64,
    /// How long they were idle meanwhile: the lock was held across awaits.
    idle_ns: u64,
    /// What they awaited then, and where; `null` if they were not idle.
    idle: Option<AwaitedOut>,
}

impl AsyncHolderOut {
    pub(super) fn new(labels: Labels<'_>, holder: &AsyncHolder) -> Self {
        let idle = AwaitedOut::new(labels, holder.idle_awaited, holder.idle_stack);
        Self {
            site: holder.site.0,
            name: name(labels, holder.site),
            released_at: StackOut::new(labels, holder.stack),
            count: holder.count,
            held_ns: holder.held.0,
            held_max_ns: holder.held_max.0,
            held_longest_by: holder.task.0,
            idle_ns: holder.idle.0,
            idle: (holder.idle.0 > 0).then_some(idle),
        }
    }
}

/// One wait of a task.
#[derive(Debug, Serialize)]
pub struct IdleOut {
    /// The task's id.
    task: u64,
    /// Since when it was idle; negative if that was before the trace.
    begin_ns: i64,
    /// For how long, all of it.
    duration_ns: u64,
    /// The thread that woke it.
    woken_on: Option<WhoOut>,
    /// The id of the task that woke it; `null` if a thread did outside of any task.
    woken_by: Option<u64>,
    /// Where.
    woken_at: Option<StackOut>,
}

impl IdleOut {
    pub(super) fn new(labels: Labels<'_>, idle: &Idle) -> Self {
        let waker = idle.waker;
        let task = waker.map(|waker| waker.task).filter(|task| *task != FutureId(0));
        Self {
            task: idle.task.0,
            begin_ns: idle.begin.0,
            duration_ns: idle.duration.0,
            woken_on: waker.and_then(|waker| WhoOut::new(labels, waker.thread)),
            woken_by: task.map(|task| task.0),
            woken_at: waker.and_then(|waker| StackOut::new(labels, waker.stack)),
        }
    }
}
