//! Tasks whose begins lie before what is read: a generation tells which were open when it began.

use trace_format::id::SiteId;
use trace_format::read::{ReadAt, Tables, TaskState, TraceFile};
use trace_format::time::Ticks;

/// The tasks that were open when a window began, as its last generation until then tells them; if
/// there is none, as the first of the trace does. Those that began since are among the events. None
/// if that can't be read.
#[must_use]
pub fn open_tasks<S: ReadAt>(file: &TraceFile<S>, from: Ticks) -> Vec<TaskState> {
    let generations = &file.tables().generations;
    let before = generations.iter().rev().find(|generation| generation.ticks <= from);
    let told = before.or(generations.first());
    let state = told.and_then(|generation| file.state_at(generation.number).ok().flatten());
    state.map_or_else(Vec::new, |state| state.tasks)
}

/// What tasks are called that begin at a call site: by its own name, without its module.
#[must_use]
pub fn site_name(tables: &Tables, site: SiteId) -> String {
    tables.callsite(site).map_or_else(|| format!("call site {}", site.0), |site| site.name.clone())
}
