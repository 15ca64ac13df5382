//! `exectrace threads` for programs.

use serde::Serialize;
use trace_analysis::threads::ThreadSummary;

use super::findings::ReadOut;
use super::head::HeadOut;
use super::lives::LivesOut;
use crate::answer::threads::ThreadsAnswer;
use crate::error::Failure;
use crate::label::names::Names;
use crate::output::Output;

/// What `threads` answers.
#[derive(Debug, Serialize)]
pub struct ThreadsOut {
    #[serde(flatten)]
    head: HeadOut,
    #[serde(flatten)]
    read: ReadOut,
    /// The threads by what they recorded, and the CPUs, as `--sort` and `--top` have them.
    threads: Vec<ThreadOut>,
    /// Threads that `--top` left out of these.
    threads_omitted: usize,
    /// What they did with their time, if the trace has calls or CPUs; its threads are as `--sort`
    /// and `--top` have them.
    #[serde(skip_serializing_if = "Option::is_none")]
    lives: Option<LivesOut>,
    /// Threads that `--top` left out of `lives`.
    lives_omitted: usize,
}

/// Prints the answer.
///
/// # Errors
/// If it can't be written.
pub fn print(answer: &ThreadsAnswer, out: &mut Output) -> Result<(), Failure> {
    let names = answer.subject.names();
    let labels = answer.subject.labels(&names);
    let lives = answer.lives.as_ref();
    Ok(out.json(&ThreadsOut {
        head: HeadOut::new(&answer.subject),
        read: ReadOut::new(&names, &answer.summary),
        threads: ThreadOut::all(&names, &answer.summary.threads),
        threads_omitted: answer.omitted,
        lives: lives.map(|lives| LivesOut::new(labels, lives, &answer.cpus)),
        lives_omitted: answer.lives_omitted,
    })?)
}

/// What a thread recorded, or what was recorded of a CPU.
#[derive(Debug, Serialize)]
pub struct ThreadOut {
    /// Its id in the trace; of a CPU 2147483648 plus its number.
    thread: u32,
    /// Its name.
    name: String,
    /// The system's id.
    os_id: Option<u64>,
    /// Its first event in the window.
    first_ns: u64,
    /// Its last event in the window.
    last_ns: u64,
    /// Whether the thread ended.
    ended: bool,
    /// Time inside any region or poll.
    busy_ns: u64,
    /// Its events.
    events: u64,
    /// Its regions.
    regions: u64,
    /// Events that were not recorded.
    dropped_events: u64,
    /// Ends that were not recorded.
    dropped_ends: u64,
    /// Batches of its events.
    batches: u64,
    /// Their bytes in the file.
    bytes: u64,
}

impl ThreadOut {
    /// All of them.
    #[must_use]
    pub fn all(names: &Names<'_>, threads: &[ThreadSummary]) -> Vec<Self> {
        threads.iter().map(|thread| Self::new(names, thread)).collect()
    }

    fn new(names: &Names<'_>, thread: &ThreadSummary) -> Self {
        Self {
            thread: thread.thread.0,
            name: names.thread_name(thread.thread),
            os_id: names.os_id(thread.thread),
            first_ns: thread.first.0,
            last_ns: thread.last.0,
            ended: thread.ended,
            busy_ns: thread.busy.0,
            events: thread.events,
            regions: thread.regions,
            dropped_events: thread.dropped_events,
            dropped_ends: thread.dropped_ends,
            batches: thread.batches,
            bytes: thread.bytes,
        }
    }
}
