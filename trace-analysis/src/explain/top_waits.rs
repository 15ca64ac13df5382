//! What held the program up the most: one group of waits of threads, and one of async tasks.

use trace_format::read::ReadAt;

use super::cost::Cost;
use super::measure::Measure;
use super::words::{Facts, all_of, shared_names};
use crate::reason::{Awaited, Reason};
use crate::report::Report;
use crate::report::async_tasks::AwaitGroup;
use crate::report::life::WaitGroup;
use crate::trace::Trace;

/// Maximum number of groups that are measured, of threads and of tasks: those with the most time.
const MEASURED_MAX: usize = 16;

/// The groups of waits that explain the most of the time that was looked at. How threads and tasks
/// rest is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TopWaits {
    /// Of threads.
    pub threads: Option<WaitGroup>,
    /// Of async tasks.
    pub tasks: Option<AwaitGroup>,
    /// Whether that of tasks explains more.
    pub is_of_tasks: bool,
}

/// Finds what held threads and async tasks up the most, by the measure that findings have
/// ([`super::Insight::lost`]); of what explains the same, by all waiting together.
#[must_use]
pub fn top_waits<S: ReadAt>(trace: &Trace<'_, S>, report: &Report) -> TopWaits {
    let tables = trace.file.tables();
    let shared = shared_names(tables);
    let names = Facts::new(tables, &report.lives, trace.symbols, &shared);
    let measure = Measure::new(names, report.async_tasks.as_ref());
    let worth = |cost: &Cost| (measure.explained(cost), cost.together());
    let groups = report.lives.waits_by_resource().into_iter();
    // A wait without a place or a name helps nobody.
    let is_named = |group: &WaitGroup| group.reason != Reason::Unseen;
    let groups = groups.filter(|group| !group.is_rest() && is_named(group)).take(MEASURED_MAX);
    let threads: Vec<_> = groups.map(|group| (worth(&Cost::of_waits([&group])), group)).collect();
    // Of those alike the first, as lists have them.
    let threads = threads.into_iter().rev().max_by_key(|(worth, _)| *worth);
    let waits = report.async_tasks.iter().flat_map(|tasks| &tasks.waits);
    let waits = waits.filter(|group| !rests(group)).take(MEASURED_MAX);
    let tasks: Vec<_> = waits.map(|group| (worth(&Cost::of_idles(group)), group)).collect();
    let tasks = tasks.into_iter().rev().max_by_key(|(worth, _)| *worth);
    TopWaits {
        is_of_tasks: tasks.as_ref().map(|it| it.0) > threads.as_ref().map(|it| it.0),
        threads: threads.map(|(_, group)| group),
        tasks: tasks.map(|(_, group)| group.clone()),
    }
}

/// Whether to wait so may be how a task rests: for time, for others, or for the world.
fn rests(group: &AwaitGroup) -> bool {
    use Awaited::{ChannelSend, File, Pipe, Process};
    all_of(group.awaited, &group.one_of).any(|awaited| {
        !awaited.is_lock() && !matches!(awaited, ChannelSend | File | Pipe | Process)
    })
}
