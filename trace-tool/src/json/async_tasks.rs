//! `exectrace async` for programs.

use serde::Serialize;
use trace_analysis::async_tasks::{AsyncTasks, SpawnSite, Unfinished, Worker};
use trace_format::time::Nanos;

use super::awaits::{AwaitOut, AwaitedOut};
use super::head::HeadOut;
use super::polls::{DelayOut, NamedFutureOut, PollGroupOut, PollOut};
use super::stacks::{SiteOut, SpreadOut, StackOut, WhoOut};
use crate::answer::async_tasks::{AsyncAnswer, AsyncTotals};
use crate::error::Failure;
use crate::label::Labels;
use crate::output::Output;

/// What `async` answers, of async tasks: futures that were spawned, or that no other awaits. With
/// `--thread`, polls and their times, and times in which tasks were ready, are those of these
/// threads, and all else is of all.
#[derive(Debug, Serialize)]
pub struct AsyncOut {
    #[serde(flatten)]
    head: HeadOut,
    /// Futures that are left out, as too many lived when they began.
    untracked: u64,
    /// Batches and events that could not be read.
    unreadable: u64,
    /// Sums over all sites.
    totals: TotalsOut,
    /// Per call site, the most time in polls first; this list and all that do not speak of `--top`
    /// are whole.
    sites: Vec<SpawnSiteOut>,
    /// The futures that these await, per call site, the most time in polls first.
    children: Vec<SpawnSiteOut>,
    /// How long the longest poll took.
    longest_poll_ns: Option<u64>,
    /// How many polls took 10 ms or more.
    long_polls_count: u64,
    /// How many of these blocked their workers: all but those in `long_polls_in_place`.
    long_polls_blocking: u64,
    /// How many of these were inside tokio's `block_in_place` and kept no task waiting, of those
    /// that are kept.
    long_polls_in_place: u64,
    /// These polls, those of one place together, `--top` places at most: those that blocked their
    /// workers first, and of each kind the longest. Of all spawn sites, 64 of the longest polls are
    /// kept: there may be none of those of `--site`.
    long_polls: Vec<PollGroupOut>,
    /// Places that `--top` left out.
    long_polls_omitted: usize,
    /// The longest polls, longest first, `--top` at most.
    polls: Vec<PollOut>,
    /// The longest times that tasks were ready and not polled, longest first, `--top` at most.
    delays: Vec<DelayOut>,
    /// Where tasks were idle, `--top` at most: locks first, timers last, and of each the most time
    /// first.
    waits: Vec<AwaitOut>,
    /// Places that `--top` left out.
    waits_omitted: usize,
    /// How many of the times that tasks were idle are in groups without a place, because a table of
    /// 16,384 groups was full.
    late_waits: u64,
    /// How many times have a waker or a holder that is not in `waits`, because the 64 places of its
    /// group were taken.
    late_parties: u64,
    /// Unfinished tasks that have waited for as long as `--idle` says.
    unfinished: Vec<UnfinishedOut>,
    /// Unfinished tasks that have not waited for that long.
    unfinished_omitted: usize,
    /// The threads that polled.
    workers: Vec<WorkerOut>,
}

/// Prints the answer.
///
/// # Errors
/// If it can't be written.
pub fn print(answer: &AsyncAnswer, out: &mut Output) -> Result<(), Failure> {
    let names = answer.subject.names();
    let labels = answer.subject.labels(&names);
    Ok(out.json(&AsyncOut::new(labels, answer))?)
}

impl AsyncOut {
    fn new(labels: Labels<'_>, answer: &AsyncAnswer) -> Self {
        let AsyncTasks { untracked, unreadable, to, .. } = answer.tasks;
        let AsyncTasks { sites, children, polls, delays, waits, unfinished, workers, .. } =
            &answer.tasks;
        let long_polls = answer.long_polls.iter();
        Self {
            head: HeadOut::new(&answer.subject),
            untracked,
            unreadable,
            totals: answer.totals.into(),
            sites: sites.iter().map(|it| SpawnSiteOut::new(labels, it)).collect(),
            children: children.iter().map(|it| SpawnSiteOut::new(labels, it)).collect(),
            longest_poll_ns: answer.longest_poll.map(|longest| longest.0),
            long_polls_count: answer.long_polls_count,
            long_polls_blocking: answer.long_polls_blocking(),
            long_polls_in_place: answer.long_polls_in_place,
            long_polls: long_polls.map(|group| PollGroupOut::new(labels, group)).collect(),
            long_polls_omitted: answer.long_polls_omitted,
            polls: polls.iter().map(|it| PollOut::new(labels, it)).collect(),
            delays: delays.iter().map(|it| DelayOut::new(labels, it)).collect(),
            waits: waits.iter().map(|it| AwaitOut::new(labels, it)).collect(),
            waits_omitted: answer.waits_omitted,
            late_waits: answer.tasks.late_waits,
            late_parties: answer.tasks.late_parties,
            unfinished: unfinished.iter().map(|it| UnfinishedOut::new(labels, it, to)).collect(),
            unfinished_omitted: answer.unfinished_omitted,
            workers: workers.iter().map(|it| WorkerOut::new(labels, it)).collect(),
        }
    }
}

/// Sums over all sites.
#[derive(Debug, Serialize)]
pub struct TotalsOut {
    /// Async tasks.
    count: u64,
    /// Those that had not ended.
    alive: u64,
    /// Polls.
    polls: u64,
    /// Time inside polls.
    busy_ns: u64,
    /// Time in which tasks were woken and not yet polled.
    ready_ns: u64,
    /// Time in which tasks were not woken.
    idle_ns: u64,
    /// The sum of `total_ns` of all `waits`, those left out included.
    waited_ns: u64,
}

impl From<AsyncTotals> for TotalsOut {
    fn from(totals: AsyncTotals) -> Self {
        let AsyncTotals { count, alive, polls, busy, ready, idle, waited } = totals;
        Self {
            count,
            alive,
            polls,
            busy_ns: busy.0,
            ready_ns: ready.0,
            idle_ns: idle.0,
            waited_ns: waited.0,
        }
    }
}

/// The async tasks, or the child futures, of one call site.
#[derive(Debug, Serialize)]
pub struct SpawnSiteOut {
    #[serde(flatten)]
    site: SiteOut,
    /// Whether they were spawned; else they are awaited, and by no other future.
    spawned: bool,
    /// Where they were spawned.
    spawned_at: Option<StackOut>,
    /// Those that lived in the window.
    count: u64,
    /// Those that had not ended.
    alive: u64,
    /// Maximum number that lived at once.
    alive_max: u64,
    /// Polls.
    polls: u64,
    /// Time inside polls.
    busy_ns: u64,
    /// Of polls.
    poll: SpreadOut,
    /// Polls that took 10 ms or more.
    long_polls: u64,
    /// How long these took together.
    long_total_ns: u64,
    /// Ready tasks that waited behind one of these, of whichever site.
    delayed: u64,
    /// How long these waited together.
    delayed_total_ns: u64,
    /// Tasks that were woken only after one of these, as it kept all threads that could have done
    /// so before.
    held_up: u64,
    /// Time in which they could go on and were not polled: before a poll, or until they were
    /// dropped or what was read ended.
    ready_total_ns: u64,
    /// Of these times those that a poll ended; `max_ns` is of all, and may be of one that no poll
    /// ended.
    ready: SpreadOut,
    /// Time in which they were not woken.
    idle_ns: u64,
    /// From begin to end.
    life: SpreadOut,
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
    /// Wakes.
    wakes: u64,
    /// Wakes of a task by itself.
    self_wakes: u64,
    /// Wakes of what had been woken already.
    futile_wakes: u64,
    /// Wakes after the end.
    late_wakes: u64,
    /// Those that were never polled.
    never_polled: u64,
    /// Those of which no waker is left.
    unwakeable: u64,
}

impl SpawnSiteOut {
    fn new(labels: Labels<'_>, it: &SpawnSite) -> Self {
        Self {
            site: SiteOut::new(labels.names, it.site),
            spawned: it.spawned,
            spawned_at: StackOut::new(labels, it.stack),
            count: it.count,
            alive: it.alive,
            alive_max: it.alive_max,
            polls: it.polls,
            busy_ns: it.busy.0,
            poll: it.poll.into(),
            long_polls: it.long_polls,
            long_total_ns: it.long_total.0,
            delayed: it.delayed,
            delayed_total_ns: it.delayed_total.0,
            held_up: it.held_up,
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

/// A task that had not ended.
#[derive(Debug, Serialize)]
pub struct UnfinishedOut {
    /// The task.
    task: NamedFutureOut,
    /// When it began; negative if that was before the trace.
    begin_ns: i64,
    /// How often it was polled in the window.
    polls: u64,
    /// `polled`, `never polled`, `ready`, `idle`.
    phase: &'static str,
    /// Since when; negative if that was before the trace.
    since_ns: i64,
    /// For how long.
    waited_ns: u64,
    #[serde(flatten)]
    what: AwaitedOut,
    /// What else it may wait for, if it waits at several places at once.
    one_of: Vec<AwaitedOut>,
    /// Whether no waker is left.
    unwakeable: bool,
    /// The child futures it is in, outermost first.
    chain: Vec<NamedFutureOut>,
}

impl UnfinishedOut {
    fn new(labels: Labels<'_>, task: &Unfinished, to: Nanos) -> Self {
        let chain = task.chain.iter().map(|(id, site)| NamedFutureOut::new(labels, *id, *site));
        Self {
            task: NamedFutureOut::new(labels, task.task, task.site),
            begin_ns: task.begin.0,
            polls: task.polls,
            phase: task.phase.name(),
            since_ns: task.since.0,
            waited_ns: task.since.until(to).0,
            what: AwaitedOut::new(labels, task.awaited, task.stack),
            one_of: AwaitedOut::all(labels, &task.one_of),
            unwakeable: task.unwakeable,
            chain: chain.collect(),
        }
    }
}

/// A thread that polled.
#[derive(Debug, Serialize)]
pub struct WorkerOut {
    #[serde(flatten)]
    thread: Option<WhoOut>,
    /// Polls.
    polls: u64,
    /// Time inside polls.
    busy_ns: u64,
    /// Time in which it had nothing to do, as far as the trace says so.
    parked_ns: u64,
    /// Time in long polls while tasks were ready that were polled there later.
    starved_ns: u64,
    /// The longest poll.
    longest_ns: u64,
    /// Polls that took 10 ms or more.
    long_polls: u64,
}

impl WorkerOut {
    fn new(labels: Labels<'_>, worker: &Worker) -> Self {
        Self {
            thread: WhoOut::new(labels, worker.thread),
            polls: worker.polls,
            busy_ns: worker.busy.0,
            parked_ns: worker.parked.0,
            starved_ns: worker.starved.0,
            longest_ns: worker.longest.0,
            long_polls: worker.long_polls,
        }
    }
}
