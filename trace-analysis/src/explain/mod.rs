//! What made the program slow, in words: few findings, each with its evidence, worst first.
//!
//! A finding must be worth a person's time: every rule has a least share of the trace's time, or
//! of what it is about, below which it is silent. A program that is well gives no findings.
//!
//! Worst is what explains most of the time that was looked at: what would not have passed without
//! it. `measure` (private) is that measure, the same for all findings, and `cost` what it measures.
//!
//! - `stopped`, `locks`, `channels`, `stuck`, `spinning`, `cpus`, `hot`, `calls`, `processes`,
//!   `memory`, `tasks`, `async_tasks`, `backlog`, `own_waits`, `path` (private): the rules, with
//!   their limits. `calls::busy`, `own_waits` and `path` come last, in this order: they say nothing
//!   of a cause that another rule has named.
//! - `unseen`: what another recording would show. `functions`: where CPU time is, `top_waits`: what
//!   held threads and tasks up the most, finding or not.
//! - `words` (private): names, places and numbers as sentences have them.

use std::cmp::Reverse;
use std::collections::HashSet;

use trace_format::id::{CallId, ResourceId, StackId, ThreadId};
use trace_format::read::ReadAt;
use trace_format::time::Nanos;

use crate::report::Report;
use crate::time::Moment;
use crate::trace::Trace;

mod async_tasks;
mod backlog;
mod calls;
mod channels;
mod cost;
mod cpus;
mod hot;
mod locks;
mod measure;
mod memory;
mod own_waits;
mod path;
mod processes;
mod spinning;
mod stopped;
mod stuck;
mod tasks;
mod top_waits;
mod unseen;
mod words;

pub use hot::{FunctionShare, functions};
pub use top_waits::{TopWaits, top_waits};
pub use unseen::{Unseen, unseen};

use measure::Measure;
use words::Facts;

/// Maximum number of findings of one kind: the worst tell the story.
const OF_A_KIND_MAX: usize = 3;

/// Maximum number of findings of one rule that are measured: those in which threads and tasks lost
/// most time together.
const MEASURED_MAX: usize = 64;

/// Maximum number of stacks that a finding has: the first say where to look.
const STACKS_MAX: usize = 16;

/// What an [`Insight`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum InsightKind {
    /// Part of the trace is missing: all else is said with that in mind.
    Loss,
    /// The whole process was stopped for a while, or the machine was suspended: all else is said
    /// with that in mind.
    Stopped,
    /// Threads waited for locks until the trace stopped, and nobody gave those up.
    Stuck,
    /// Many wait for one lock.
    LockContention,
    /// Whoever held a lock waited, slept or was in a slow call meanwhile, and others waited for it.
    SlowHolder,
    /// The thread that held a lock, or was woken to have it next, could have run and had no CPU,
    /// and others waited for it.
    HolderPreempted,
    /// A channel was full: whoever sends waits for whoever receives.
    FullChannel,
    /// More threads were able to run than there were CPUs.
    Oversubscribed,
    /// Threads were able to run, and CPUs were taken by others.
    CpusTaken,
    /// Calls took long.
    SlowCalls,
    /// Many calls with few bytes each.
    ChattyCalls,
    /// Threads waited for child processes.
    ChildProcesses,
    /// One thread works, and the others wait.
    OneThread,
    /// The main thread slept or waited itself for most of the time, or it waited, through other
    /// threads and tasks, for one that did.
    CriticalPath,
    /// One function has most of the CPU time.
    HotFunction,
    /// A thread waits by giving up its CPU again and again.
    Spinning,
    /// A thread sleeps again and again, to look whether something has happened.
    SleepLoop,
    /// Memory had to be read from disk.
    PageFaults,
    /// The heap grows and grows.
    HeapGrowth,
    /// Much of the CPU time goes into allocating.
    AllocationRate,
    /// A poll of an async task took so long that others waited for its thread.
    BlockedWorker,
    /// Async tasks waited for a lock whose holder was itself waiting for something else.
    LockAcrossAwait,
    /// Async tasks were ready, and no thread polled them.
    SlowReady,
    /// More async tasks begin than end.
    Backlog,
    /// Async tasks wait, and nobody can wake them any more.
    LeakedTasks,
    /// Async tasks are woken again and again for nothing.
    BusyWaker,
    /// A task (`exectrace::Task`) took much longer than is usual for its name, or never ended.
    SlowTask,
}

impl InsightKind {
    /// A short name for programs, stable between versions.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Stopped => "stopped",
            Self::Stuck => "stuck",
            Self::LockContention => "lock_contention",
            Self::SlowHolder => "slow_holder",
            Self::HolderPreempted => "holder_preempted",
            Self::FullChannel => "full_channel",
            Self::Oversubscribed => "oversubscribed",
            Self::CpusTaken => "cpus_taken",
            Self::SlowCalls => "slow_calls",
            Self::ChattyCalls => "chatty_calls",
            Self::ChildProcesses => "child_processes",
            Self::OneThread => "one_thread",
            Self::CriticalPath => "critical_path",
            Self::HotFunction => "hot_function",
            Self::Spinning => "spinning",
            Self::SleepLoop => "sleep_loop",
            Self::PageFaults => "page_faults",
            Self::HeapGrowth => "heap_growth",
            Self::AllocationRate => "allocation_rate",
            Self::BlockedWorker => "blocked_worker",
            Self::LockAcrossAwait => "lock_across_await",
            Self::SlowReady => "slow_ready",
            Self::Backlog => "backlog",
            Self::LeakedTasks => "leaked_tasks",
            Self::BusyWaker => "busy_waker",
            Self::SlowTask => "slow_task",
        }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Insight {
    /// What it is about.
    pub kind: InsightKind,
    /// How much of the time that was looked at it explains: what would not have passed without it,
    /// as far as can be told. Findings are ordered by it.
    pub lost: Nanos,
    /// What threads and tasks lost to it together: orders what explains the same.
    pub(crate) together: Nanos,
    /// Whether the program's critical path goes another way.
    pub(crate) is_beside: bool,
    /// It in one sentence.
    pub title: String,
    /// What shows it, in sentences, the strongest first.
    pub evidence: Vec<String>,
    /// The threads it is about, who is to blame first; each once.
    pub threads: Vec<ThreadId>,
    /// Where, in the same order of importance; each once, and the first 16 only.
    pub stacks: Vec<StackId>,
    /// What it is about: a lock, a file.
    pub resource: Option<ResourceId>,
    /// The call it is about.
    pub call: Option<CallId>,
    /// When it was worst.
    pub at: Option<Moment>,
    /// What to ask the tool for more: `blocked`, without the program's name and the file's.
    pub command: String,
}

/// Finds what made the program slow: all that a report of this trace shows, and nothing of what was
/// not wanted of it.
#[must_use]
pub fn explain<S: ReadAt>(trace: &Trace<'_, S>, report: &Report) -> Vec<Insight> {
    let Report { lives, async_tasks: tasks, heap, slow_tasks: slow, tasks_by_name: _ } = report;
    let tables = trace.file.tables();
    let shared = words::shared_names(tables);
    let names = Facts::new(tables, lives, trace.symbols, &shared);
    let measure = Measure::new(names, tasks.as_ref());
    let facts = names.measured_by(&measure);
    let mut insights = memory::loss(&facts);
    insights.extend(stopped::stopped(&facts));
    insights.extend(stuck::in_locks(&facts));
    insights.extend(locks::contended(&facts));
    insights.extend(locks::full_channels(&facts));
    let (spinning, spinners) = spinning::threads(&facts);
    insights.extend(spinning);
    insights.extend(cpus::without_cpu(&facts, &spinners));
    insights.extend(cpus::one_thread(&facts));
    insights.extend(hot::function(&facts));
    insights.extend(calls::slow(&facts));
    insights.extend(calls::chatty(&facts));
    insights.extend(calls::sleep_loops(&facts));
    insights.extend(calls::page_faults(&facts));
    let mut children = processes::children(&facts, measure.root());
    children.iter_mut().for_each(|it| path::name_chain(&facts, tasks.as_ref(), it));
    insights.extend(children);
    insights.extend(heap.iter().flat_map(|heap| memory::all(&facts, heap)));
    insights.extend(tasks.iter().flat_map(|tasks| async_tasks::all(&facts, tasks)));
    insights.extend(tasks.iter().flat_map(|tasks| stuck::in_block_on(&facts, tasks)));
    insights.extend(tasks.iter().flat_map(|tasks| channels::full(&facts, tasks)));
    insights.extend(tasks.iter().flat_map(|tasks| backlog::tasks(&facts, tasks)));
    insights.extend(tasks::slow(&facts, slow));
    insights.iter_mut().for_each(|insight| channels::name_receiver(&facts, insight));
    // The rules below are silent about what a finding shows, and about nothing else.
    insights.iter_mut().for_each(Insight::limit);
    let busy = calls::busy(&facts, &insights);
    insights.extend(busy);
    let mut insights = worst_of_each(&facts, insights);
    insights.extend(own_waits::of_main(&facts, &insights));
    insights.extend(path::cause(&facts, tasks.as_ref(), &insights));
    let mut insights = worst_of_each(&facts, insights);
    say_what_lies_beside(&facts, &mut insights);
    insights
}

/// Says of findings that explain next to nothing why they do not.
fn say_what_lies_beside(facts: &Facts<'_>, insights: &mut [Insight]) {
    let Some(root) = facts.measure.and_then(Measure::root) else { return };
    let who = facts.thread(root);
    for insight in insights.iter_mut().filter(|insight| insight.is_beside) {
        insight.evidence.push(format!(
            "without it {who} would have taken nearly as long: what {who} waited for meanwhile \
             was something else"
        ));
    }
}

/// The worst findings of each kind, worst first, with as much as is shown of them.
fn worst_of_each(facts: &Facts<'_>, mut insights: Vec<Insight>) -> Vec<Insight> {
    // Losses and stops come first, as all else is to be read with them in mind.
    let rank = |kind| match kind {
        InsightKind::Loss => 0,
        InsightKind::Stopped => 1,
        _ => 2,
    };
    // A request may have begun before what was looked at.
    let explains = |it: &Insight| it.lost.0.min(facts.wall());
    // What explains nothing is told by how much was lost to it beside the path.
    let beside = |it: &Insight| if it.lost.0 == 0 { it.together.0 } else { 0 };
    insights.sort_by_key(|it| {
        let worst = Reverse((explains(it), it.lost, beside(it)));
        (rank(it.kind), worst, it.kind, Reverse(it.together))
    });
    let mut kept: Vec<Insight> = Vec::new();
    for mut insight in insights {
        insight.limit();
        let before = kept.iter().filter(|it| it.kind == insight.kind).count();
        if before < OF_A_KIND_MAX {
            kept.push(insight);
        }
    }
    kept
}

impl Insight {
    /// A finding that has yet to get its evidence.
    fn new(kind: InsightKind, lost: Nanos, title: String) -> Self {
        Self {
            kind,
            lost,
            together: lost,
            is_beside: false,
            title,
            evidence: Vec::new(),
            threads: Vec::new(),
            stacks: Vec::new(),
            resource: None,
            call: None,
            at: None,
            command: String::new(),
        }
    }

    /// Names each thread and stack once, and no more stacks than are shown.
    fn limit(&mut self) {
        let mut threads = HashSet::new();
        self.threads.retain(|thread| threads.insert(*thread));
        let mut stacks = HashSet::new();
        self.stacks.retain(|stack| stacks.insert(*stack));
        self.stacks.truncate(STACKS_MAX);
    }
}
