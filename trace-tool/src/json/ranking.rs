//! `cargo exectrace` for programs.

use std::path::Path;

use serde::Serialize;

use super::libtest::TestOut;
use crate::answer::ranking::{Named, Process, Ranking, Spent, TestOf};
use crate::error::Failure;
use crate::output::Output;

/// What `cargo exectrace` answers: all processes of one run together. Each list is cut as `--top`
/// has it.
#[derive(Debug, Serialize)]
pub struct RankingOut {
    /// The folder of the traces.
    folder: String,
    /// The processes, the one that lived longest first.
    processes: Vec<ProcessOut>,
    /// Processes that `--top` left out.
    processes_omitted: usize,
    /// Tests that had a thread of their own, the longest first.
    tests: Vec<TestOfOut>,
    /// Tests that `--top` left out.
    tests_omitted: usize,
    /// All other tasks by name, the most time first.
    tasks: Vec<NamedTaskOut>,
    /// Tasks that `--top` left out.
    tasks_omitted: usize,
    /// Regions by name and place, the most time of their own first.
    regions: Vec<NamedRegionOut>,
    /// Regions that `--top` left out.
    regions_omitted: usize,
}

/// Prints the answer.
///
/// - `folder`: of the traces.
///
/// # Errors
/// If it can't be written.
pub fn print(folder: &Path, ranking: &Ranking, out: &mut Output) -> Result<(), Failure> {
    let Ranking { processes, tests, tasks, regions, .. } = ranking;
    Ok(out.json(&RankingOut {
        folder: folder.display().to_string(),
        processes: processes.items.iter().map(ProcessOut::from).collect(),
        processes_omitted: processes.omitted,
        tests: tests.items.iter().map(TestOfOut::from).collect(),
        tests_omitted: tests.omitted,
        tasks: tasks.items.iter().map(NamedTaskOut::from).collect(),
        tasks_omitted: tasks.omitted,
        regions: regions.items.iter().map(NamedRegionOut::from).collect(),
        regions_omitted: regions.omitted,
    })?)
}

/// One process.
#[derive(Debug, Serialize)]
pub struct ProcessOut {
    /// Its trace.
    path: String,
    /// How long that is.
    life_ns: u64,
    /// Its events.
    events: u64,
    /// Whether the trace has its end.
    stopped: bool,
    /// Whether parts of it are missing.
    has_loss: bool,
}

impl From<&Process> for ProcessOut {
    fn from(process: &Process) -> Self {
        let Process { ref path, life, events, is_cut, has_loss } = *process;
        Self {
            path: path.display().to_string(),
            life_ns: life.0,
            events,
            stopped: !is_cut,
            has_loss,
        }
    }
}

/// A test of one of the processes.
#[derive(Debug, Serialize)]
pub struct TestOfOut {
    /// The trace of its process.
    path: String,
    #[serde(flatten)]
    test: TestOut,
}

impl From<&TestOf> for TestOfOut {
    fn from(it: &TestOf) -> Self {
        Self { path: it.path.display().to_string(), test: (&it.test).into() }
    }
}

/// Tasks of one name, in all processes.
#[derive(Debug, Serialize)]
pub struct NamedTaskOut {
    /// The name.
    name: String,
    /// How many ended.
    count: u64,
    /// Their latencies, added up.
    total_ns: u64,
    /// Time that threads worked for them.
    worked_ns: u64,
    /// The rest of their latencies.
    waited_ns: u64,
    /// The greatest latency.
    max_ns: u64,
    /// How many did not end.
    unfinished: u64,
    /// What threads did for them; `null` if the traces do not say.
    spent: Option<SpentOut>,
    /// The trace that has the longest.
    slowest: String,
}

impl From<&Named> for NamedTaskOut {
    fn from(task: &Named) -> Self {
        Self {
            name: task.name.clone(),
            count: task.count,
            total_ns: task.total.0,
            worked_ns: task.own.0,
            waited_ns: task.total.0.saturating_sub(task.own.0),
            max_ns: task.max.0,
            unfinished: task.unfinished,
            spent: task.spent.map(SpentOut::from),
            slowest: task.slowest.display().to_string(),
        }
    }
}

/// What threads did while they worked for tasks.
#[derive(Debug, Serialize)]
pub struct SpentOut {
    /// On a CPU.
    cpu_ns: u64,
    /// Able to run, without a CPU.
    ready_ns: u64,
    /// Waiting.
    blocked_ns: u64,
}

impl From<Spent> for SpentOut {
    fn from(spent: Spent) -> Self {
        let Spent { cpu, ready, blocked } = spent;
        Self { cpu_ns: cpu.0, ready_ns: ready.0, blocked_ns: blocked.0 }
    }
}

/// Regions of one name and place, in all processes.
#[derive(Debug, Serialize)]
pub struct NamedRegionOut {
    /// The call site's path.
    name: String,
    /// Where in the source it is: file and line.
    place: String,
    /// How many ended.
    count: u64,
    /// Time in them.
    total_ns: u64,
    /// The same without the regions inside them.
    self_ns: u64,
    /// The longest.
    max_ns: u64,
    /// The trace that has the longest.
    slowest: String,
}

impl From<&Named> for NamedRegionOut {
    fn from(region: &Named) -> Self {
        Self {
            name: region.name.clone(),
            place: region.place.clone(),
            count: region.count,
            total_ns: region.total.0,
            self_ns: region.own.0,
            max_ns: region.max.0,
            slowest: region.slowest.display().to_string(),
        }
    }
}
