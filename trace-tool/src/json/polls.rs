//! Long polls, and tasks that waited behind them, for programs.

use serde::Serialize;
use trace_analysis::async_tasks::{Delay, LongPoll};
use trace_analysis::life::Activity;
use trace_format::id::{CallId, FutureId, SiteId};

use super::lives::TimesOut;
use super::stacks::{StackOut, WhoOut};
use crate::answer::async_tasks::PollGroup;
use crate::label::{Labels, call};

/// A poll.
#[derive(Debug, Serialize)]
pub struct PollOut {
    /// The task.
    task: NamedFutureOut,
    #[serde(flatten)]
    thread: Option<WhoOut>,
    /// When it began; negative if that was before the trace.
    begin_ns: i64,
    /// How long it took, all of it.
    duration_ns: u64,
    /// Whether it was over when the trace stopped.
    ended: bool,
    /// What took longest in it, and in that, and so on.
    inside: Vec<LinkOut>,
    /// Tasks that were ready and waited behind it.
    delayed: u64,
    /// How long these had been ready during the poll, all together.
    delayed_total_ns: u64,
    /// The one of these that had been ready longest.
    delayed_most: Option<DelayedOut>,
    /// Tasks that waited for time or for the system meanwhile, and were woken when it was over: it
    /// kept all threads that could have done so before.
    held_up: u64,
    /// The one of these that may have been kept longest.
    held_up_most: Option<HeldUpOut>,
    /// Where it spent its time.
    culprit: Option<StackOut>,
    /// Whether that was inside tokio's `block_in_place`, so that another worker had the other
    /// tasks.
    in_place: bool,
    /// What the thread did in it, as far as it lies in the window.
    doing: Option<DoingOut>,
}

impl PollOut {
    pub(super) fn new(labels: Labels<'_>, poll: &LongPoll) -> Self {
        let chain = poll.chain.iter().map(|link| LinkOut {
            what: NamedFutureOut::new(labels, link.future, link.site),
            duration_ns: link.duration.0,
        });
        Self {
            task: NamedFutureOut::new(labels, poll.task, poll.site),
            thread: WhoOut::new(labels, poll.thread),
            begin_ns: poll.begin.0,
            duration_ns: poll.duration.0,
            ended: poll.ended,
            inside: chain.collect(),
            delayed: poll.delayed,
            delayed_total_ns: poll.delayed_total.0,
            delayed_most: poll.delayed_most.map(|(task, site, ready)| DelayedOut {
                task: NamedFutureOut::new(labels, task, site),
                ready_ns: ready.0,
            }),
            held_up: poll.held_up,
            held_up_most: poll.held_up_most.map(|(task, site, most)| HeldUpOut {
                task: NamedFutureOut::new(labels, task, site),
                at_most_ns: most.0,
            }),
            culprit: StackOut::new(labels, poll.culprit()),
            in_place: labels.places.blocks_in_place(poll.culprit()),
            doing: poll.activity.as_ref().map(|doing| DoingOut::new(labels, doing)),
        }
    }
}

/// Something that took long inside a poll: a child future or a region.
#[derive(Debug, Serialize)]
pub struct LinkOut {
    #[serde(flatten)]
    what: NamedFutureOut,
    /// How long it took.
    duration_ns: u64,
}

/// A task that waited behind a poll.
#[derive(Debug, Serialize)]
pub struct DelayedOut {
    /// The task.
    task: NamedFutureOut,
    /// How long it had been ready.
    ready_ns: u64,
}

/// A task that was woken only after a poll.
#[derive(Debug, Serialize)]
pub struct HeldUpOut {
    /// The task.
    task: NamedFutureOut,
    /// How much later than without the poll, at most: when it could have been is not known.
    at_most_ns: u64,
}

/// What a thread did in a poll.
#[derive(Debug, Serialize)]
pub struct DoingOut {
    /// What the thread did with the time.
    times: TimesOut,
    /// The call that took longest.
    slow_call: Option<String>,
    /// How long that took.
    slow_ns: u64,
    /// From where it was called.
    slow_at: Option<StackOut>,
    /// Where samples found it running the most.
    sampled_at: Option<StackOut>,
    /// Samples of it there.
    samples: u64,
    /// Samples of it in all.
    samples_total: u64,
}

impl DoingOut {
    pub(super) fn new(labels: Labels<'_>, doing: &Activity) -> Self {
        Self {
            times: (&doing.times).into(),
            slow_call: (doing.slow_call != CallId(0)).then(|| call::name(doing.slow_call)),
            slow_ns: doing.slow.0,
            slow_at: StackOut::new(labels, doing.slow_stack),
            sampled_at: StackOut::new(labels, doing.sampled),
            samples: doing.samples.0,
            samples_total: doing.samples.1,
        }
    }
}

/// Polls of one call site that spent their time at one place.
#[derive(Debug, Serialize)]
pub struct PollGroupOut {
    /// How many the trace has: of each call site the longest are kept.
    count: usize,
    /// The longest.
    longest: PollOut,
    /// Tasks that were ready and waited behind one of them.
    delayed: u64,
    /// How long the one waited that waited longest; `null` if none did.
    delayed_most_ns: Option<u64>,
    /// Tasks that were woken only after one of them, as `held_up` of a poll has them.
    held_up: u64,
    /// How long one of these was kept at most; `null` if none was.
    held_up_most_ns: Option<u64>,
}

impl PollGroupOut {
    pub(super) fn new(labels: Labels<'_>, group: &PollGroup) -> Self {
        Self {
            count: group.count,
            longest: PollOut::new(labels, &group.longest),
            delayed: group.delayed,
            delayed_most_ns: group.delayed_most.map(|(_, ready)| ready.0),
            held_up: group.held_up,
            held_up_most_ns: group.held_up_most.map(|(_, most)| most.0),
        }
    }
}

/// A time in which a task was ready and was not polled.
#[derive(Debug, Serialize)]
pub struct DelayOut {
    /// The task.
    task: NamedFutureOut,
    /// The thread that polled it in the end, or is to do so once its poll is over; absent if it was
    /// never polled and waits for no such thread.
    #[serde(flatten)]
    thread: Option<WhoOut>,
    /// Since when it was ready.
    ready_ns: u64,
    /// For how long.
    duration_ns: u64,
    /// The poll that kept the thread the longest meanwhile.
    behind: Option<BehindOut>,
}

impl DelayOut {
    pub(super) fn new(labels: Labels<'_>, delay: &Delay) -> Self {
        Self {
            task: NamedFutureOut::new(labels, delay.task, delay.site),
            thread: WhoOut::new(labels, delay.thread),
            ready_ns: delay.ready.0,
            duration_ns: delay.duration.0,
            behind: delay.behind.map(|behind| BehindOut {
                task: NamedFutureOut::new(labels, behind.task, behind.site),
                begin_ns: behind.begin.0,
                duration_ns: behind.duration.0,
            }),
        }
    }
}

/// A poll that another task waited for.
#[derive(Debug, Serialize)]
pub struct BehindOut {
    /// The task that was polled.
    task: NamedFutureOut,
    /// When that poll began; negative if that was before the trace.
    begin_ns: i64,
    /// How long it took.
    duration_ns: u64,
}

/// A future, and where it came from.
#[derive(Debug, Serialize)]
pub struct NamedFutureOut {
    /// Its id; 0 for a region.
    future: u64,
    /// Its call site's id.
    site: u32,
    /// The call site's name.
    name: Option<String>,
}

impl NamedFutureOut {
    pub(super) fn new(labels: Labels<'_>, future: FutureId, site: SiteId) -> Self {
        Self { future: future.0, site: site.0, name: name(labels, site) }
    }
}

/// A call site's own name.
pub(super) fn name(labels: Labels<'_>, site: SiteId) -> Option<String> {
    labels.names.callsite(site).map(|known| known.name.clone())
}
