//! What async tasks did, for programs.

use serde::Serialize;
use trace_analysis::async_tasks::{
    AsyncHolder, AsyncTasks, AwaitGroup, Delay, Idle, LongPoll, SpawnSite, Unfinished, Worker,
};
use trace_analysis::life::{Activity, Share};
use trace_analysis::reason::Await;
use trace_format::id::{CallId, FutureId, SiteId, StackId};
use trace_format::time::Nanos;

use super::life::{FrameOut, StackOut, TimesOut, WhoOut, Words};
use super::{Place, Spread, Trace};
use crate::call;
use crate::completeness::Completeness;

/// What `async` answers.
#[derive(Debug, Serialize)]
pub struct AsyncReport {
    trace: Trace,
    from_ns: u64,
    to_ns: u64,
    wall_ns: u64,
    untracked: u64,
    unreadable: u64,
    has_loss: bool,
    sites: Vec<SiteOut>,
    children: Vec<SiteOut>,
    polls: Vec<PollOut>,
    delays: Vec<DelayOut>,
    waits: Vec<AwaitOut>,
    unfinished: Vec<UnfinishedOut>,
    /// Unfinished tasks that have not waited for so long.
    unfinished_omitted: usize,
    workers: Vec<WorkerOut>,
}

impl AsyncReport {
    /// All of it.
    ///
    /// - `omitted`: how many unfinished tasks `tasks` has no longer.
    #[must_use]
    pub fn new(
        trace: Trace,
        words: Words<'_>,
        tasks: &AsyncTasks,
        omitted: usize,
        missing: &Completeness,
    ) -> Self {
        Self {
            trace,
            from_ns: tasks.from.0,
            to_ns: tasks.to.0,
            wall_ns: tasks.to.0.saturating_sub(tasks.from.0),
            untracked: tasks.untracked,
            unreadable: tasks.unreadable,
            has_loss: missing.has_loss(),
            sites: tasks.sites.iter().map(|it| SiteOut::new(words, it)).collect(),
            children: tasks.children.iter().map(|it| SiteOut::new(words, it)).collect(),
            polls: tasks.polls.iter().map(|it| PollOut::new(words, it)).collect(),
            delays: tasks.delays.iter().map(|it| DelayOut::new(words, it)).collect(),
            waits: tasks.waits.iter().map(|it| AwaitOut::new(words, it)).collect(),
            unfinished: tasks
                .unfinished
                .iter()
                .map(|it| UnfinishedOut::new(words, it, tasks.to))
                .collect(),
            unfinished_omitted: omitted,
            workers: tasks.workers.iter().map(|it| WorkerOut::new(words, it)).collect(),
        }
    }
}

#[derive(Debug, Serialize)]
struct SiteOut {
    #[serde(flatten)]
    place: Place,
    spawned: bool,
    spawned_at: Option<StackOut>,
    count: u64,
    alive: u64,
    alive_max: u64,
    polls: u64,
    busy_ns: u64,
    poll: Spread,
    long_polls: u64,
    long_total_ns: u64,
    ready_total_ns: u64,
    ready: Spread,
    idle_ns: u64,
    life: Spread,
    returned: u64,
    failed: u64,
    dropped: u64,
    panicked: u64,
    ended: u64,
    wakes: u64,
    self_wakes: u64,
    futile_wakes: u64,
    late_wakes: u64,
    never_polled: u64,
    unwakeable: u64,
}

impl SiteOut {
    fn new(words: Words<'_>, it: &SpawnSite) -> Self {
        Self {
            place: Place::new(words.names, it.site),
            spawned: it.spawned,
            spawned_at: StackOut::new(words, it.stack),
            count: it.count,
            alive: it.alive,
            alive_max: it.alive_max,
            polls: it.polls,
            busy_ns: it.busy.0,
            poll: it.poll.into(),
            long_polls: it.long_polls,
            long_total_ns: it.long_total.0,
            ready_total_ns: it.ready_total.0,
            ready: it.ready.into(),
            idle_ns: it.idle.0,
            life: it.life.into(),
            returned: it.returned,
            failed: it.failed,
            dropped: it.dropped,
            panicked: it.panicked,
            ended: it.ended,
            wakes: it.wakes,
            self_wakes: it.self_wakes,
            futile_wakes: it.futile_wakes,
            late_wakes: it.late_wakes,
            never_polled: it.never_polled,
            unwakeable: it.unwakeable,
        }
    }
}

/// A call site's own name.
fn name(words: Words<'_>, site: SiteId) -> Option<String> {
    words.names.callsite(site).map(|known| known.name.clone())
}

/// A future, and where it came from.
#[derive(Debug, Serialize)]
struct FutureOut {
    future: u64,
    site: u32,
    name: Option<String>,
}

impl FutureOut {
    fn new(words: Words<'_>, future: FutureId, site: SiteId) -> Self {
        Self { future: future.0, site: site.0, name: name(words, site) }
    }
}

#[derive(Debug, Serialize)]
struct PollOut {
    task: FutureOut,
    #[serde(flatten)]
    thread: Option<WhoOut>,
    begin_ns: i64,
    duration_ns: u64,
    ended: bool,
    inside: Vec<LinkOut>,
    delayed: u64,
    delayed_total_ns: u64,
    delayed_most: Option<DelayedOut>,
    culprit: Option<StackOut>,
    in_place: bool,
    doing: Option<DoingOut>,
}

#[derive(Debug, Serialize)]
struct LinkOut {
    #[serde(flatten)]
    what: FutureOut,
    duration_ns: u64,
}

#[derive(Debug, Serialize)]
struct DelayedOut {
    task: FutureOut,
    ready_ns: u64,
}

#[derive(Debug, Serialize)]
struct DoingOut {
    times: TimesOut,
    slow_call: Option<String>,
    slow_ns: u64,
    slow_at: Option<StackOut>,
    sampled_at: Option<StackOut>,
    samples: u64,
    samples_total: u64,
}

impl PollOut {
    fn new(words: Words<'_>, poll: &LongPoll) -> Self {
        let chain = poll.chain.iter().map(|link| LinkOut {
            what: FutureOut::new(words, link.future, link.site),
            duration_ns: link.duration.0,
        });
        Self {
            task: FutureOut::new(words, poll.task, poll.site),
            thread: WhoOut::new(words, poll.thread),
            begin_ns: poll.begin.0,
            duration_ns: poll.duration.0,
            ended: poll.ended,
            inside: chain.collect(),
            delayed: poll.delayed,
            delayed_total_ns: poll.delayed_total.0,
            delayed_most: poll.delayed_most.map(|(task, site, ready)| DelayedOut {
                task: FutureOut::new(words, task, site),
                ready_ns: ready.0,
            }),
            culprit: StackOut::new(words, poll.culprit()),
            in_place: words.places.blocks_in_place(poll.culprit()),
            doing: poll.activity.as_ref().map(|doing| DoingOut::new(words, doing)),
        }
    }
}

impl DoingOut {
    fn new(words: Words<'_>, doing: &Activity) -> Self {
        Self {
            times: (&doing.times).into(),
            slow_call: (doing.slow_call != CallId(0)).then(|| call::name(doing.slow_call)),
            slow_ns: doing.slow.0,
            slow_at: StackOut::new(words, doing.slow_stack),
            sampled_at: StackOut::new(words, doing.sampled),
            samples: doing.samples.0,
            samples_total: doing.samples.1,
        }
    }
}

#[derive(Debug, Serialize)]
struct DelayOut {
    task: FutureOut,
    #[serde(flatten)]
    thread: Option<WhoOut>,
    ready_ns: u64,
    duration_ns: u64,
    behind: Option<BehindOut>,
}

#[derive(Debug, Serialize)]
struct BehindOut {
    task: FutureOut,
    begin_ns: i64,
    duration_ns: u64,
}

impl DelayOut {
    fn new(words: Words<'_>, delay: &Delay) -> Self {
        Self {
            task: FutureOut::new(words, delay.task, delay.site),
            thread: WhoOut::new(words, delay.thread),
            ready_ns: delay.ready.0,
            duration_ns: delay.duration.0,
            behind: delay.behind.map(|behind| BehindOut {
                task: FutureOut::new(words, behind.task, behind.site),
                begin_ns: behind.begin.0,
                duration_ns: behind.duration.0,
            }),
        }
    }
}

/// What is awaited, and where.
#[derive(Debug, Serialize)]
struct AwaitedOut {
    awaited: &'static str,
    library: &'static str,
    place: Option<FrameOut>,
    at: Option<StackOut>,
}

impl AwaitedOut {
    fn new(words: Words<'_>, awaited: Await, stack: StackId) -> Self {
        Self {
            awaited: awaited.awaited.name(),
            library: awaited.library,
            place: words.places.own(stack).map(FrameOut::new),
            at: StackOut::new(words, stack),
        }
    }

    fn all(words: Words<'_>, all: &[(StackId, Await)]) -> Vec<Self> {
        all.iter().map(|(stack, awaited)| Self::new(words, *awaited, *stack)).collect()
    }
}

#[derive(Debug, Serialize)]
struct AwaitOut {
    site: u32,
    name: Option<String>,
    #[serde(flatten)]
    what: AwaitedOut,
    one_of: Vec<AwaitedOut>,
    count: u64,
    total_ns: u64,
    #[serde(flatten)]
    spread: Spread,
    waiting: u64,
    wakers: Vec<WakerOut>,
    holders: Vec<HolderOut>,
    longest: Vec<IdleOut>,
}

#[derive(Debug, Serialize)]
struct WakerOut {
    site: Option<u32>,
    name: Option<String>,
    at: Option<StackOut>,
    count: u64,
    total_ns: u64,
}

#[derive(Debug, Serialize)]
struct HolderOut {
    site: u32,
    name: Option<String>,
    released_at: Option<StackOut>,
    count: u64,
    held_ns: u64,
    held_max_ns: u64,
    held_longest_by: u64,
    idle_ns: u64,
    idle: Option<AwaitedOut>,
}

#[derive(Debug, Serialize)]
struct IdleOut {
    task: u64,
    begin_ns: i64,
    duration_ns: u64,
    woken_on: Option<WhoOut>,
    woken_by: Option<u64>,
    woken_at: Option<StackOut>,
}

impl AwaitOut {
    fn new(words: Words<'_>, group: &AwaitGroup) -> Self {
        Self {
            site: group.site.0,
            name: name(words, group.site),
            what: AwaitedOut::new(words, group.awaited, group.stack),
            one_of: AwaitedOut::all(words, &group.one_of),
            count: group.count,
            total_ns: group.total.0,
            spread: group.quantiles.into(),
            waiting: group.waiting,
            wakers: group.wakers.iter().map(|waker| WakerOut::new(words, waker)).collect(),
            holders: group.holders.iter().map(|holder| HolderOut::new(words, holder)).collect(),
            longest: group.longest.iter().map(|idle| IdleOut::new(words, idle)).collect(),
        }
    }
}

impl WakerOut {
    fn new(words: Words<'_>, share: &Share<(Option<SiteId>, StackId)>) -> Self {
        let (site, stack) = share.of;
        Self {
            site: site.map(|site| site.0),
            name: site.and_then(|site| name(words, site)),
            at: StackOut::new(words, stack),
            count: share.count,
            total_ns: share.total.0,
        }
    }
}

impl HolderOut {
    fn new(words: Words<'_>, holder: &AsyncHolder) -> Self {
        let idle = AwaitedOut::new(words, holder.idle_awaited, holder.idle_stack);
        Self {
            site: holder.site.0,
            name: name(words, holder.site),
            released_at: StackOut::new(words, holder.stack),
            count: holder.count,
            held_ns: holder.held.0,
            held_max_ns: holder.held_max.0,
            held_longest_by: holder.task.0,
            idle_ns: holder.idle.0,
            idle: (holder.idle.0 > 0).then_some(idle),
        }
    }
}

impl IdleOut {
    fn new(words: Words<'_>, idle: &Idle) -> Self {
        let waker = idle.waker;
        let task = waker.map(|waker| waker.task).filter(|task| *task != FutureId(0));
        Self {
            task: idle.task.0,
            begin_ns: idle.begin.0,
            duration_ns: idle.duration.0,
            woken_on: waker.and_then(|waker| WhoOut::new(words, waker.thread)),
            woken_by: task.map(|task| task.0),
            woken_at: waker.and_then(|waker| StackOut::new(words, waker.stack)),
        }
    }
}

#[derive(Debug, Serialize)]
struct UnfinishedOut {
    task: FutureOut,
    begin_ns: i64,
    polls: u64,
    phase: &'static str,
    since_ns: i64,
    waited_ns: u64,
    #[serde(flatten)]
    what: AwaitedOut,
    one_of: Vec<AwaitedOut>,
    unwakeable: bool,
    chain: Vec<FutureOut>,
}

impl UnfinishedOut {
    fn new(words: Words<'_>, task: &Unfinished, to: Nanos) -> Self {
        let chain = task.chain.iter().map(|(id, site)| FutureOut::new(words, *id, *site));
        Self {
            task: FutureOut::new(words, task.task, task.site),
            begin_ns: task.begin.0,
            polls: task.polls,
            phase: task.phase.name(),
            since_ns: task.since.0,
            waited_ns: task.since.until(to).0,
            what: AwaitedOut::new(words, task.awaited, task.stack),
            one_of: AwaitedOut::all(words, &task.one_of),
            unwakeable: task.unwakeable,
            chain: chain.collect(),
        }
    }
}

#[derive(Debug, Serialize)]
struct WorkerOut {
    #[serde(flatten)]
    thread: Option<WhoOut>,
    polls: u64,
    busy_ns: u64,
    parked_ns: u64,
    starved_ns: u64,
    longest_ns: u64,
    long_polls: u64,
}

impl WorkerOut {
    fn new(words: Words<'_>, worker: &Worker) -> Self {
        Self {
            thread: WhoOut::new(words, worker.thread),
            polls: worker.polls,
            busy_ns: worker.busy.0,
            parked_ns: worker.parked.0,
            starved_ns: worker.starved.0,
            longest_ns: worker.longest.0,
            long_polls: worker.long_polls,
        }
    }
}
