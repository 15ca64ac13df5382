//! What each thread did with its time.
//!
//! A trace that has calls or CPUs says what a thread did at every moment; another says only how
//! long it was inside regions.

use std::cmp::Reverse;
use std::collections::HashMap;

use clap::ValueEnum;
use trace_analysis::kernel_times::{KernelTimes, Unseen};
use trace_analysis::life::{Lives, ThreadLife};
use trace_analysis::threads::ThreadSummary;
use trace_analysis::{Summary, Wanted};
use trace_format::id::ThreadId;
use trace_format::time::Nanos;

use super::{Question, Subject, SummaryReading, cut};
use crate::error::Failure;
use crate::label::names::Names;
use crate::label::units;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct ThreadsAsk {
    /// Maximum number of threads; 0 for all.
    pub top: usize,
    /// What they are sorted by.
    pub sort: Sort,
}

/// What threads are sorted by.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Sort {
    /// The busiest first: those that ran the longest, if that is known.
    Busy,
    /// Those first that waited the longest; where that is not known, the busiest.
    Blocked,
    /// The most events first.
    Events,
    /// The oldest first.
    Id,
    /// The name, from A to Z.
    Name,
}

/// The answer.
#[derive(Debug)]
pub struct ThreadsAnswer {
    /// What it is about.
    pub subject: Subject,
    /// What threads recorded; its threads are sorted and cut.
    pub summary: Summary,
    /// What they did, if the trace says so; its threads are sorted and cut.
    pub lives: Option<Lives>,
    /// What the CPUs did.
    pub cpus: CpuUse,
    /// Threads that were left out of the summary.
    pub omitted: usize,
    /// Threads that were left out of the lives.
    pub lives_omitted: usize,
}

impl ThreadsAnswer {
    /// Reads the trace.
    ///
    /// # Errors
    /// If there is none.
    pub fn read(question: &Question, ask: ThreadsAsk) -> Result<Self, Failure> {
        let SummaryReading { subject, summary, report } =
            SummaryReading::read(question, (0, 0), Wanted::default())?;
        Ok(Self::new(subject, summary, report.map(|report| report.lives), ask))
    }

    fn new(
        subject: Subject,
        mut summary: Summary,
        mut lives: Option<Lives>,
        ask: ThreadsAsk,
    ) -> Self {
        let names = subject.names();
        let events: HashMap<_, _> =
            summary.threads.iter().map(|it| (it.thread, it.events)).collect();
        sort(&mut summary.threads, ask.sort, &names);
        let omitted = cut(&mut summary.threads, ask.top);
        let cpus = lives.as_ref().map(CpuUse::new).unwrap_or_default();
        let lives_omitted = lives.as_mut().map_or(0, |lives| {
            sort_lives(&mut lives.threads, ask.sort, &events, &names);
            cut(&mut lives.threads, ask.top)
        });
        drop(names);
        Self { subject, summary, lives, cpus, omitted, lives_omitted }
    }
}

/// How busy the program kept the CPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuUse {
    /// How long threads of the program ran on each CPU; empty if no switches were recorded.
    pub busy: Vec<Nanos>,
    /// CPUs that the recorder watched: those that the program could run on.
    pub watched: usize,
    /// How long threads were ready and had no CPU, of all threads that were asked for.
    pub ready: Nanos,
}

impl CpuUse {
    /// Of the CPUs and the threads in `lives`.
    #[must_use]
    pub fn new(lives: &Lives) -> Self {
        Self {
            watched: lives.cpus_watched,
            busy: lives.cpus.iter().map(|cpu| cpu.busy).collect(),
            ready: Nanos(units::sum(lives.threads.iter().map(|life| life.times.ready.0))),
        }
    }
}

/// Threads that recorded, without the CPUs.
pub fn recorded(threads: &[ThreadSummary]) -> impl Iterator<Item = &ThreadSummary> {
    threads.iter().filter(|thread| thread.thread.as_cpu().is_none())
}

fn sort(threads: &mut [ThreadSummary], by: Sort, names: &Names<'_>) {
    match by {
        Sort::Busy | Sort::Blocked => threads.sort_by_key(|thread| Reverse(thread.busy)),
        Sort::Events => threads.sort_by_key(|thread| Reverse(thread.events)),
        Sort::Id => threads.sort_by_key(|thread| thread.thread),
        Sort::Name => threads.sort_by_cached_key(|thread| names.thread(thread.thread)),
    }
}

/// - `events`: how many each thread has recorded.
fn sort_lives(
    threads: &mut [ThreadLife],
    by: Sort,
    events: &HashMap<ThreadId, u64>,
    names: &Names<'_>,
) {
    let busy =
        |life: &ThreadLife| life.times.cpu().max(kernel_cpu(life, names).unwrap_or_default());
    match by {
        Sort::Busy => threads.sort_by_key(|life| Reverse(busy(life))),
        Sort::Blocked => threads.sort_by_key(|life| Reverse(life.times.blocked())),
        Sort::Events => threads.sort_by_key(|life| Reverse(events.get(&life.thread))),
        Sort::Id => threads.sort_by_key(|life| (life.begin, life.os_id)),
        Sort::Name => threads.sort_by_cached_key(|life| names.life(life)),
    }
}

/// CPU time of a thread as the kernel counted it.
#[must_use]
pub fn kernel_cpu(life: &ThreadLife, names: &Names<'_>) -> Option<Nanos> {
    KernelTimes::new(names.tables(), life.thread).cpu_in(life)
}

/// What the kernel counted of threads and events do not show: CPU time, and waiting for a CPU, each
/// with its thread, the most first.
#[must_use]
pub fn unseen<'l>(lives: &'l Lives, names: &Names<'_>) -> [Vec<(Unseen, &'l ThreadLife)>; 2] {
    let times = |life: &ThreadLife| KernelTimes::new(names.tables(), life.thread);
    let found = |of: &dyn Fn(&ThreadLife) -> Option<Unseen>| {
        let mut found: Vec<_> =
            lives.threads.iter().filter_map(|life| Some((of(life)?, life))).collect();
        found.sort_by_key(|(it, _)| Reverse(it.counted.0.saturating_sub(it.shown.0)));
        found
    };
    [found(&|life| times(life).unseen_cpu(life)), found(&|life| times(life).unseen_ready(life))]
}
