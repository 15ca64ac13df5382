//! Lines about futures: spawned, woken, ended; and about what ties tasks to other
//! processes.

use trace_analysis::regions::OwnedValues;
use trace_format::event::{EventKind, Outcome};
use trace_format::id::{FutureId, Open, SiteId, StackId, TaskId};
use trace_format::time::Ticks;
use trace_format::value::Values;

use super::{Line, Lines, NAMES_MAX};
use crate::label::names::{outcome, traceparent};

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
    pub(super) fn future(&mut self, line: &mut Line, kind: &EventKind<'_>, at: Ticks) {
        match *kind {
            EventKind::FutureSpawn { future, parent, task, site, .. } => {
                self.future_spawn(line, (future, parent), task, site);
            }
            EventKind::FutureBegin { future, task, site, values } => {
                self.future_begin(line, future, task, (site, values));
            }
            EventKind::FutureEnd { future, outcome, values } => {
                self.future_end(line, future, outcome, values);
            }
            EventKind::Wake { future, .. } => {
                line.kind = "wake";
                line.text.push_str("wake ");
                self.push_future(line, future);
            }
            EventKind::Ready { future, since } => {
                line.kind = "ready";
                self.push_future(line, future);
                line.text.push_str(" ready for ");
                let begin = Ticks(at.0.saturating_sub(since.0));
                line.push_duration(self.names.duration(begin, since));
            }
            EventKind::Unwakeable { future } => {
                line.kind = "unwakeable";
                line.text.push_str("nobody is left to wake ");
                self.push_future(line, future);
            }
            EventKind::TaskLink { task, trace, span, parent } => {
                self.task_link(line, task, (trace, span, parent));
            }
            _ => {
                line.kind = "unknown";
                line.text.push_str("an unknown event");
            }
        }
    }

    /// - `futures`: which, and who spawned it.
    fn future_spawn(
        &mut self,
        line: &mut Line,
        (future, parent): (FutureId, FutureId),
        task: TaskId,
        site: SiteId,
    ) {
        self.name_future(future, site);
        line.kind = "future_spawn";
        self.push_new_future(line, future, site, Values::default());
        line.text.push_str(" spawned");
        if parent != FutureId(0) {
            line.text.push_str(" by ");
            line.push_id(parent.0);
        }
        push_for_task(line, task);
        if let Some(fields) = line.fields() {
            fields.parent = (parent.0 > 0).then_some(parent.0);
        }
    }

    fn future_begin(
        &mut self,
        line: &mut Line,
        future: FutureId,
        task: TaskId,
        (site, values): (SiteId, Values<'_>),
    ) {
        self.name_future(future, site);
        line.kind = "future_begin";
        self.push_new_future(line, future, site, values);
        line.text.push_str(" begins");
        push_for_task(line, task);
    }

    /// `future app::handler(n=7) #12`.
    fn push_new_future(
        &mut self,
        line: &mut Line,
        future: FutureId,
        site: SiteId,
        values: Values<'_>,
    ) {
        line.text.push_str("future ");
        self.push_site(line, site);
        self.push_arguments(line, Open::Region(site), values);
        line.text.push(' ');
        line.push_id(future.0);
        if let Some(fields) = line.fields() {
            fields.future = Some(future);
        }
    }

    fn future_end(&mut self, line: &mut Line, future: FutureId, kind: Outcome, values: Values<'_>) {
        line.kind = "future_end";
        line.text.push_str("future ");
        self.push_future(line, future);
        line.text.push_str(" ends: ");
        match outcome(kind, values) {
            how if how.is_empty() => line.text.push_str(kind.name()),
            how => line.text.push_str(&how),
        }
        self.futures.remove(&future);
        if let Some(fields) = line.fields() {
            (fields.outcome, fields.result) = (Some(kind), Some(OwnedValues::new(values)));
        }
    }

    fn task_link(&self, line: &mut Line, task: TaskId, (trace, span, parent): (u128, u64, u64)) {
        line.kind = "task_link";
        self.push_task(line, task);
        let traceparent = traceparent(trace, span);
        let within = (parent != 0).then(|| format!("{parent:016x}"));
        line.text.push_str(" is ");
        line.text.push_str(&traceparent);
        if let Some(span) = &within {
            line.text.push_str(" in span ");
            line.text.push_str(span);
        }
        if let Some(fields) = line.fields() {
            fields.link = Some(Box::new(TaskLink { traceparent, within }));
        }
    }

    fn name_future(&mut self, future: FutureId, site: SiteId) {
        if self.futures.len() < NAMES_MAX {
            self.futures.insert(future, site);
        }
    }

    /// Appends `app::handler #12`, or the number alone if nothing says what the future is.
    pub(super) fn push_future(&mut self, line: &mut Line, future: FutureId) {
        // As far as events have said, or the state of a generation.
        let told = self.futures.get(&future).copied();
        let site = told.or_else(|| self.names.tables().futures.get(&future).map(|it| it.site));
        if let Some(site) = site {
            self.push_site(line, site);
            line.text.push(' ');
        }
        line.push_id(future.0);
        if let Some(fields) = line.fields() {
            fields.future = Some(future);
        }
    }
}

fn push_for_task(line: &mut Line, task: TaskId) {
    if task.0 > 0 {
        line.text.push_str(" for task ");
        line.push_id(task.0);
        if let Some(fields) = line.fields() {
            fields.task = Some(task);
        }
    }
}
