//! `exectrace summary` for programs.

use serde::Serialize;
use trace_analysis::counters::{CounterSummary, MomentSummary};
use trace_analysis::futures::FutureSummary;
use trace_format::id::SiteId;
use trace_format::time::Nanos;

use super::awaits::AwaitOut;
use super::blocked::WaitGroupOut;
use super::findings::ReadOut;
use super::head::HeadOut;
use super::lives::LivesOut;
use super::regions::RegionOut;
use super::stacks::{SiteOut, SpreadOut};
use super::tasks::TaskReportOut;
use super::threads::ThreadOut;
use super::values::ValueOut;
use crate::answer::summary::{SummaryAnswer, SummaryOmitted};
use crate::error::Failure;
use crate::label::names::Names;
use crate::output::Output;

/// What `summary` answers.
#[derive(Debug, Serialize)]
pub struct SummaryOut {
    #[serde(flatten)]
    head: HeadOut,
    #[serde(flatten)]
    read: ReadOut,
    /// Threads of the program that were seen.
    thread_count: u64,
    /// The call sites of regions, as `--sort` has them.
    regions: Vec<RegionOut>,
    /// The sum of `self_ns` of all call sites, those left out included.
    regions_self_ns: u64,
    /// The threads by what they recorded, the busiest first, and the CPUs.
    threads: Vec<ThreadOut>,
    /// The tasks.
    tasks: TaskReportOut,
    /// The call sites of futures, the most time inside polls first.
    futures: Vec<FutureOut>,
    /// The longest poll of any future.
    longest_poll: Option<LongestPollOut>,
    /// The counters.
    counters: Vec<CounterOut>,
    /// Logs and instants, the most frequent first.
    moments: Vec<MomentOut>,
    /// What threads did with their time, if the trace has calls or CPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    lives: Option<LivesOut>,
    /// What held threads up the most: the waits that explain most of the time that passed. The text
    /// shows it, or `top_async_wait` if that explains more, if it is a hundredth of the window.
    top_wait: Option<WaitGroupOut>,
    /// The same of async tasks.
    top_async_wait: Option<AwaitOut>,
    /// What `--top` left out; without it, nothing.
    omitted: OmittedOut,
}

/// Prints the answer.
///
/// # Errors
/// If it can't be written.
pub fn print(answer: &SummaryAnswer, out: &mut Output) -> Result<(), Failure> {
    let names = answer.subject.names();
    let labels = answer.subject.labels(&names);
    let (summary, lives, top) = (&answer.summary, answer.lives.as_ref(), &answer.top_waits);
    let times = lives.map_or(&[][..], |lives| &lives.regions);
    Ok(out.json(&SummaryOut {
        head: HeadOut::new(&answer.subject),
        read: ReadOut::new(&names, summary),
        thread_count: answer.threads,
        regions: RegionOut::all(&names, summary, times),
        regions_self_ns: answer.regions_self.0,
        threads: ThreadOut::all(&names, &summary.threads),
        tasks: TaskReportOut::new(&summary.tasks),
        futures: summary.futures.iter().map(|it| FutureOut::new(&names, it)).collect(),
        longest_poll: answer.longest_poll.map(|longest| LongestPollOut::new(&names, longest)),
        counters: summary.counters.iter().map(|it| CounterOut::new(&names, it)).collect(),
        moments: summary.moments.iter().map(|it| MomentOut::new(&names, it)).collect(),
        lives: lives.map(|lives| LivesOut::new(labels, lives, &answer.cpus)),
        top_wait: top.threads.as_ref().map(|group| WaitGroupOut::new(labels, group)),
        top_async_wait: top.tasks.as_ref().map(|group| AwaitOut::new(labels, group)),
        omitted: answer.omitted.into(),
    })?)
}

/// The futures of one call site.
#[derive(Debug, Serialize)]
pub struct FutureOut {
    #[serde(flatten)]
    site: SiteOut,
    /// Those that began, were polled or ended in the window.
    count: u64,
    /// Those that returned.
    returned: u64,
    /// Those that returned an error.
    failed: u64,
    /// Those that were dropped before they were ready.
    dropped: u64,
    /// Those that panicked.
    panicked: u64,
    /// Those that ended, nobody knows how.
    ended: u64,
    /// Of these, those that had not ended.
    unfinished: u64,
    /// Polls that ended.
    polls: u64,
    /// Time inside polls, as far as it lies in the trace.
    poll_total_ns: u64,
    /// Of polls.
    poll: SpreadOut,
    /// From begin to end.
    life: SpreadOut,
}

impl FutureOut {
    fn new(names: &Names<'_>, future: &FutureSummary) -> Self {
        Self {
            site: SiteOut::new(names, future.site),
            count: future.count,
            returned: future.returned,
            failed: future.failed,
            dropped: future.dropped,
            panicked: future.panicked,
            ended: future.ended,
            unfinished: future.unfinished,
            polls: future.polls,
            poll_total_ns: future.poll_total.0,
            poll: future.poll.into(),
            life: future.life.into(),
        }
    }
}

/// The longest poll of any future.
#[derive(Debug, Serialize)]
pub struct LongestPollOut {
    #[serde(flatten)]
    site: SiteOut,
    /// How long it took.
    duration_ns: u64,
}

impl LongestPollOut {
    fn new(names: &Names<'_>, (duration, site): (Nanos, SiteId)) -> Self {
        Self { site: SiteOut::new(names, site), duration_ns: duration.0 }
    }
}

/// A counter.
#[derive(Debug, Serialize)]
pub struct CounterOut {
    #[serde(flatten)]
    site: SiteOut,
    /// How often it was recorded.
    count: u64,
    /// The least value.
    min: ValueOut<'static>,
    /// The greatest value.
    max: ValueOut<'static>,
    /// The last value.
    last: ValueOut<'static>,
    /// When that was recorded.
    last_at_ns: u64,
}

impl CounterOut {
    fn new(names: &Names<'_>, counter: &CounterSummary) -> Self {
        Self {
            site: SiteOut::new(names, counter.site),
            count: counter.count,
            min: ValueOut(counter.min),
            max: ValueOut(counter.max),
            last: ValueOut(counter.last),
            last_at_ns: counter.last_at.0,
        }
    }
}

/// The logs or instants of one call site.
#[derive(Debug, Serialize)]
pub struct MomentOut {
    #[serde(flatten)]
    site: SiteOut,
    /// How many there are.
    count: u64,
}

impl MomentOut {
    fn new(names: &Names<'_>, moment: &MomentSummary) -> Self {
        Self { site: SiteOut::new(names, moment.site), count: moment.count }
    }
}

/// How many rows were left out of each list.
#[derive(Debug, Serialize)]
pub struct OmittedOut {
    /// Call sites of `regions`.
    regions: usize,
    /// `threads`.
    threads: usize,
    /// `threads` of `lives`.
    lives: usize,
    /// `names` of `tasks`.
    tasks: usize,
    /// Call sites of `futures`.
    futures: usize,
    /// `counters`.
    counters: usize,
    /// Call sites of `moments`.
    moments: usize,
}

impl From<SummaryOmitted> for OmittedOut {
    fn from(omitted: SummaryOmitted) -> Self {
        let SummaryOmitted { regions, threads, lives, tasks, futures, counters, moments } = omitted;
        Self { regions, threads, lives, tasks, futures, counters, moments }
    }
}
