//! Lines about futures: spawned, woken, ended; and about what ties tasks to other
//! processes.

use trace_analysis::regions::OwnedValues;
use trace_format::event::{EventKind, Outcome};
use trace_format::id::{FutureId, Open, SiteId, StackId, TaskId};
use trace_format::time::Ticks;
use trace_format::value::Values;

use super::{Line, Lines, NAMES_MAX};
use crate::label::names::{outcome, traceparent};
use crate::label::units;

/// What other processes call a task.
#[derive(Debug)]
pub struct TaskLink {
    /// As W3C Trace Context has it.
    pub traceparent: String,
    /// What the task belongs to in another process, in hexadecimal digits.
    pub within: Option<String>,
}

/// The stack that says where a future waits, is woken or comes from.
pub(super) fn stack_of(kind: &EventKind<'_>) -> Option<StackId> {
    match *kind {
        EventKind::Poll { waits_at, .. } | EventKind::EndPoll { waits_at } => Some(waits_at),
        EventKind::FutureSpawn { stack, .. } | EventKind::Wake { stack, .. } => Some(stack),
        EventKind::FutureBegin { values, .. } => values.stack(),
        _ => None,
    }
}

impl Lines<'_> {
    /// The line of an event about a future, at `at`.
    pub(super) fn future(&mut self, kind: &EventKind<'_>, at: Ticks) -> Line {
        match *kind {
            EventKind::FutureSpawn { future, parent, task, site, .. } => {
                self.future_spawn(future, parent, task, site)
            }
            EventKind::FutureBegin { future, task, site, values } => {
                self.future_begin(future, task, site, values)
            }
            EventKind::FutureEnd { future, outcome, values } => {
                self.future_end(future, outcome, values)
            }
            EventKind::Wake { future, .. } => {
                self.about("wake", future, |name| format!("wake {name}"))
            }
            EventKind::Ready { future, since } => {
                let since = self.names.duration(Ticks(at.0.saturating_sub(since.0)), since);
                let text = |name: &str| format!("{name} ready for {}", units::time(since));
                Line { duration: Some(since), ..self.about("ready", future, text) }
            }
            EventKind::Unwakeable { future } => {
                self.about("unwakeable", future, |name| format!("nobody is left to wake {name}"))
            }
            EventKind::TaskLink { task, trace, span, parent } => {
                self.task_link(task, (trace, span, parent))
            }
            _ => Line { kind: "unknown", text: "an unknown event".to_owned(), ..Line::default() },
        }
    }

    fn future_spawn(
        &mut self,
        future: FutureId,
        parent: FutureId,
        task: TaskId,
        site: SiteId,
    ) -> Line {
        self.name_future(future, site);
        let mut text = format!("future {} #{} spawned", self.names.site(site), future.0);
        if parent != FutureId(0) {
            text.push_str(&format!(" by #{}", parent.0));
        }
        text.push_str(&for_task(task));
        let parent = (parent.0 > 0).then_some(parent.0);
        let task = (task.0 > 0).then_some(task);
        let fields = Line { future: Some(future), parent, task, ..self.site_fields(site) };
        Line { kind: "future_spawn", text, ..fields }
    }

    fn future_begin(
        &mut self,
        future: FutureId,
        task: TaskId,
        site: SiteId,
        values: Values<'_>,
    ) -> Line {
        self.name_future(future, site);
        let (shown, arguments) = self.arguments(Open::Region(site), values);
        let name = self.names.site(site);
        let text = format!("future {name}{shown} #{} begins{}", future.0, for_task(task));
        let task = (task.0 > 0).then_some(task);
        let fields = Line { future: Some(future), task, ..self.site_fields(site) };
        Line { kind: "future_begin", text, arguments, ..fields }
    }

    fn future_end(&mut self, future: FutureId, kind: Outcome, values: Values<'_>) -> Line {
        let how = match outcome(kind, values) {
            how if how.is_empty() => kind.name().to_owned(),
            how => how,
        };
        let line = self.about("future_end", future, |name| format!("future {name} ends: {how}"));
        self.futures.remove(&future);
        let result = Some(OwnedValues::new(values));
        Line { outcome: Some(kind), result, ..line }
    }

    fn task_link(&self, task: TaskId, (trace, span, parent): (u128, u64, u64)) -> Line {
        let (fields, what) = self.open_fields(Open::Task(task));
        let traceparent = traceparent(trace, span);
        let parent_span = (parent != 0).then(|| format!("{parent:016x}"));
        let within = parent_span.as_ref().map_or(String::new(), |span| format!(" in span {span}"));
        let text = format!("{what} is {traceparent}{within}");
        let link = Some(Box::new(TaskLink { traceparent, within: parent_span }));
        Line { kind: "task_link", text, link, ..fields }
    }

    fn about(
        &self,
        kind: &'static str,
        future: FutureId,
        text: impl FnOnce(&str) -> String,
    ) -> Line {
        let (fields, _) = self.open_fields(Open::Poll(future));
        Line { kind, text: text(&self.future_name(future)), ..fields }
    }

    fn name_future(&mut self, future: FutureId, site: SiteId) {
        if self.futures.len() < NAMES_MAX {
            self.futures.insert(future, site);
        }
    }

    /// What a future is, as far as events have said, or the state of a generation.
    pub(super) fn future_site(&self, future: FutureId) -> Option<SiteId> {
        let told = self.futures.get(&future).copied();
        told.or_else(|| self.names.tables().futures.get(&future).map(|state| state.site))
    }

    pub(super) fn future_name(&self, future: FutureId) -> String {
        match self.future_site(future) {
            Some(site) => format!("{} #{}", self.names.site(site), future.0),
            None => format!("#{}", future.0),
        }
    }
}

fn for_task(task: TaskId) -> String {
    if task.0 == 0 { String::new() } else { format!(" for task #{}", task.0) }
}
