//! `exectrace explain` for programs.

use serde::Serialize;
use trace_analysis::Moment;
use trace_analysis::explain::{FunctionShare, Insight};

use super::blocked::PARTIES_MAX;
use super::head::HeadOut;
use super::stacks::{ResourceOut, StackOut, WhoOut};
use crate::answer::explain::ExplainAnswer;
use crate::error::Failure;
use crate::label::{Labels, call};
use crate::output::Output;

/// What `explain` answers.
#[derive(Debug, Serialize)]
pub struct ExplainOut {
    #[serde(flatten)]
    head: HeadOut,
    /// What was found, worst first, `--top` at most.
    insights: Vec<InsightOut>,
    /// Those that `--top` left out.
    insights_omitted: usize,
    /// What another recording would show: `async_tasks` if threads wait for futures and there are
    /// no tasks, `functions` if threads compute and there are no samples.
    unseen: Vec<&'static str>,
    /// The functions that have the most CPU time, where samples tell and no finding does.
    functions: Vec<FunctionOut>,
    /// What to ask this tool for more of these; empty if there are none.
    functions_command: String,
}

/// A function's part of the CPU time.
#[derive(Debug, Serialize)]
pub struct FunctionOut {
    /// Its name.
    function: String,
    /// Its CPU time, as samples tell.
    cpu_ns: u64,
    /// The CPU time of the whole program.
    all_cpu_ns: u64,
    /// How many samples found it.
    samples: u64,
}

impl From<&FunctionShare> for FunctionOut {
    fn from(share: &FunctionShare) -> Self {
        let (function, cpu_ns) = (share.name.clone(), share.cpu.0);
        Self { function, cpu_ns, all_cpu_ns: share.all.0, samples: share.samples }
    }
}

/// Prints the answer.
///
/// # Errors
/// If it can't be written.
pub fn print(answer: &ExplainAnswer, out: &mut Output) -> Result<(), Failure> {
    let names = answer.subject.names();
    let labels = answer.subject.labels(&names);
    Ok(out.json(&ExplainOut {
        head: HeadOut::new(&answer.subject),
        insights: answer.insights.iter().map(|it| InsightOut::new(labels, it)).collect(),
        insights_omitted: answer.omitted,
        unseen: answer.unseen.iter().map(|unseen| unseen.name()).collect(),
        functions: answer.functions.iter().map(FunctionOut::from).collect(),
        functions_command: answer.functions_command.clone(),
    })?)
}

/// Something that made the program slow.
#[derive(Debug, Serialize)]
pub struct InsightOut {
    /// `loss`, `stuck`, `lock_contention`, `slow_holder`, `holder_preempted`, `oversubscribed`,
    /// `slow_calls`, `chatty_calls`, `one_thread`, `sleep_loop`, `page_faults`, `heap_growth`,
    /// `blocked_worker`, `lock_across_await`, `slow_ready`, `leaked_tasks`, `busy_waker`,
    /// `slow_task`, `full_channel`, `cpus_taken`, `stopped`, `critical_path`, `hot_function`,
    /// `spinning`, `allocation_rate`, `backlog`, `child_processes`.
    kind: &'static str,
    /// How much of the time that was looked at it explains: what would not have passed without it.
    /// Findings are ordered by it.
    lost_ns: u64,
    /// What it is, in a sentence.
    title: String,
    /// What shows it, in sentences.
    evidence: Vec<String>,
    /// The threads that it concerns, those to blame first; the first 8.
    threads: Vec<WhoOut>,
    /// How many threads it concerns, of those that recorded something.
    threads_count: usize,
    /// Where, the most important first; the first 16.
    stacks: Vec<StackOut>,
    /// What was waited for or called.
    resource: Option<ResourceOut>,
    /// The function that was called.
    call: Option<String>,
    /// When it was worst; negative if that was before the trace.
    at_ns: Option<i64>,
    /// What to ask this tool for more, of the same part of the trace; empty if nothing. The file's
    /// name belongs behind the first word.
    command: String,
}

impl InsightOut {
    fn new(labels: Labels<'_>, insight: &Insight) -> Self {
        // A thread that recorded nothing has no id: only the words name it.
        let threads = insight.threads.iter().filter_map(|id| WhoOut::new(labels, *id));
        let mut threads: Vec<_> = threads.collect();
        let threads_count = threads.len();
        threads.truncate(PARTIES_MAX);
        let stacks = insight.stacks.iter().filter_map(|id| StackOut::new(labels, *id));
        Self {
            kind: insight.kind.name(),
            lost_ns: insight.lost.0,
            title: insight.title.clone(),
            evidence: insight.evidence.clone(),
            threads,
            threads_count,
            stacks: stacks.collect(),
            resource: insight.resource.and_then(|id| ResourceOut::new(labels, id)),
            call: insight.call.map(call::name),
            at_ns: insight.at.map(|Moment(at)| at),
            command: insight.command.clone(),
        }
    }
}
