//! Tasks whose begins lie before what is read: a generation tells which were open when it began,
//! and the events from then on tell the rest.

use std::collections::HashMap;

use trace_format::header::BatchKind;
use trace_format::id::{SiteId, ThreadId};
use trace_format::index::IndexEntry;
use trace_format::read::{Generation, ReadAt, Tables, TaskState, TraceFile};
use trace_format::time::Ticks;

/// The tasks that were open when a window began, as its last generation until then tells them; if
/// there is none, as the first of the trace does. Those that began since are among the events. None
/// if that can't be read.
#[must_use]
pub fn open_tasks<S: ReadAt>(file: &TraceFile<S>, from: Ticks) -> Vec<TaskState> {
    let told = generation_before(file.tables(), from).or(file.tables().generations.first());
    let state = told.and_then(|generation| file.state_at(generation.number).ok().flatten());
    state.map_or_else(Vec::new, |state| state.tasks)
}

/// From when on events tell what [`open_tasks`] does not: the begin of the generation that these
/// are from. The begin of time if there is none.
pub(crate) fn told_from(tables: &Tables, from: Ticks) -> Ticks {
    generation_before(tables, from).map_or(Ticks(0), |generation| generation.ticks)
}

/// The last generation that had begun by then.
pub(crate) fn generation_before(tables: &Tables, from: Ticks) -> Option<&Generation> {
    tables.generations.iter().rev().find(|generation| generation.ticks <= from)
}

/// The batches before those that a window needs anyway, as far as they tell of tasks and futures
/// since `told_from`: one thread may begin a task and another end it.
///
/// - `wanted`: the batches that the window needs.
pub(crate) fn earlier(
    index: &[IndexEntry],
    wanted: &[IndexEntry],
    told_from: Ticks,
) -> Vec<IndexEntry> {
    let mut starts = HashMap::<ThreadId, u64>::new();
    for entry in wanted.iter().filter(|entry| entry.thread.as_cpu().is_none()) {
        starts.entry(entry.thread).or_insert(entry.offset);
    }
    let is_earlier = |entry: &&IndexEntry| {
        let is_before = starts.get(&entry.thread).is_some_and(|start| entry.offset < *start);
        entry.kind == BatchKind::Events && is_before && entry.last_ticks >= told_from
    };
    index.iter().filter(is_earlier).copied().collect()
}

/// What tasks are called that begin at a call site: by its own name, without its module.
#[must_use]
pub fn site_name(tables: &Tables, site: SiteId) -> String {
    tables.callsite(site).map_or_else(|| format!("call site {}", site.0), |site| site.name.clone())
}
