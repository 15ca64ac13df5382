//! Tasks and futures: slices from their begins to their ends, and what async tasks do in between.
//!
//! Elsewhere: their tracks (`rows`), their polls on threads (`threads`).

use trace_analysis::timeline::{FutureBegun, FutureRole, TaskInterval, TaskState, Who};
use trace_format::event::Outcome;
use trace_format::id::{FutureId, SiteId, StackId, TaskId};
use trace_format::value::Values;

use super::rows::{Group, Heading, Life, Opened};
use super::{Drawing, OWN_CATEGORY, is_some};
use crate::label::traceparent;
use crate::scene::{Detail, Label, Mark, Scene};

const UNWAKEABLE: Mark<'_> = Mark::new(Label::Name("nobody is left to wake it", OWN_CATEGORY));

impl<S: Scene> Drawing<'_, '_, S> {
    /// The name of a call site.
    pub(super) fn site_name(&self, site: SiteId) -> &str {
        self.tables.callsite(site).map_or("unknown call site", |site| site.name.as_str())
    }

    pub(super) fn future_begins(&mut self, begun: &FutureBegun<'_>) {
        let FutureBegun { future, role, site, parent, task, values, .. } = *begun;
        let (life, at) = (Life::Future(future), self.at(begun.at));
        let group = match role {
            FutureRole::Task => Group::AsyncTasks,
            FutureRole::Child => Group::Futures,
        };
        let name = self.site_name(site).to_owned();
        let above = (Heading::Site(site), name.as_str());
        let (track, at) = match self.rows.open(self.scene, (life, group), above, at) {
            Opened::On(track, at) => (track, at),
            Opened::Again => return,
            Opened::Full => {
                self.totals.hidden += 1;
                return;
            }
        };
        let mut details = vec![Detail::Number("future", future.0)];
        if is_some(parent) {
            details.push(Detail::Number("parent", parent.0));
        }
        if task != TaskId(0) {
            details.push(Detail::Number("task", task.0));
        }
        if !values.as_bytes().is_empty() {
            details.push(Detail::Values(site, values));
        }
        let (label, details, arrows) = (Label::Site(site), &details[..], &[life.arrow()]);
        let stack = values.stack().unwrap_or(StackId(0));
        self.totals.slices += 1;
        self.scene.begin(track, at, &Mark { label, details, arrows, task: task.0, stack });
    }

    /// A task or a future ends. One whose begin is not in the trace has no slice.
    pub(super) fn life_ends(&mut self, life: Life, at: u64, outcome: Outcome, values: Values<'_>) {
        let Some(mut alive) = self.rows.close(life) else { return };
        // Regions cannot outlive their future; their own ends come too late, or were lost.
        let (count, row) = alive.held();
        let (track, held_at) = row.stamp(at);
        (0..count).for_each(|_| self.scene.end(track, held_at, &[]));
        if let Some(at) = alive.unwakeable {
            let (track, at) = alive.row.stamp(at);
            let details = [Detail::Number("future", life.number())];
            self.scene.instant(track, at, &UNWAKEABLE.with(&details));
        }
        let (track, at) = alive.row.stamp(at);
        let how = Detail::Outcome(outcome, values);
        // "returned" says something about a future; most tasks have no other outcome.
        match (life, outcome) {
            (Life::Future(_), Outcome::Returned) if alive.is_async_task() => {
                self.scene.end(track, at, &[Detail::Word("outcome", outcome.name()), how]);
            }
            _ => self.scene.end(track, at, &[how]),
        }
        self.rows.give_back(alive);
    }

    /// Draws what an async task did in an interval.
    pub(super) fn task_was(&mut self, interval: &TaskInterval) {
        let from = self.at(interval.from);
        let to = interval.to.map(|to| self.time(to));
        let Some(alive) = self.rows.get_mut(Life::Future(interval.task)) else { return };
        let (track, from) = alive.row.stamp(from);
        let (name, stack, words);
        match interval.state {
            TaskState::Ready => (name, stack, words) = ("ready", StackId(0), None),
            TaskState::Polled(thread) => {
                let thread = self.tables.thread_name(thread).into_owned();
                (name, stack, words) = ("polled", StackId(0), Some(("thread", thread)));
            }
            TaskState::Idle(at) => {
                let place = self.headings.place(&self.places, at);
                (name, stack, words) = ("idle", at, place.map(|place| ("waits at", place)));
            }
        }
        let detail = words.as_ref().map(|(name, word)| Detail::Word(name, word));
        let details = detail.as_slice();
        let mark = Mark { details, stack, ..Mark::new(Label::Name(name, OWN_CATEGORY)) };
        self.totals.slices += 1;
        self.scene.begin(track, from, &mark);
        let Some(alive) = self.rows.get_mut(Life::Future(interval.task)) else { return };
        let is_inside = |at: &mut u64| from <= *at && to.is_none_or(|to| *at <= to);
        if let Some(at) = alive.unwakeable.take_if(is_inside) {
            let (track, at) = alive.row.stamp(at);
            let details = [Detail::Number("future", interval.task.0)];
            self.scene.instant(track, at, &UNWAKEABLE.with(&details));
        }
        match to.map(|to| alive.row.stamp(to)) {
            Some((track, to)) => self.scene.end(track, to, &[]),
            None => self.totals.unfinished += 1,
        }
    }

    /// Draws an instant on the thread that begins the task, and the task's own slice. An arrow
    /// leads from the instant to the slice, and from there to every thread that works for the task.
    pub(super) fn task_begins(
        &mut self,
        (who, at): (Who, u64),
        (task, parent): (TaskId, TaskId),
        (heading, name): (Heading, &str),
        arguments: Option<(SiteId, Values<'_>)>,
    ) {
        let life = Life::Task(task);
        let above = (heading.clone(), name);
        let opened = self.rows.open(self.scene, (life, Group::Tasks), above, at);
        let Opened::On(track, begin) = opened else {
            self.totals.hidden += 1;
            return;
        };
        let mut details = vec![Detail::Number("task", task.0)];
        let arrows = &[life.arrow()];
        let mark = Mark { arrows, task: task.0, ..Mark::new(heading.label()) };
        self.instant(who, at, &mark.with(&details));
        if parent != TaskId(0) {
            details.push(Detail::Number("parent", parent.0));
        }
        if let Some((site, values)) = arguments {
            details.push(Detail::Values(site, values));
        }
        self.totals.slices += 1;
        self.scene.begin(track, begin, &mark.with(&details));
    }

    /// Draws an instant with the task's id in other processes: on the task's track, or on the
    /// thread if the task has none.
    pub(super) fn task_linked(
        &mut self,
        (who, at): (Who, u64),
        task: TaskId,
        (trace, span, parent): (u128, u64, u64),
    ) {
        let (context, parent_span) = (traceparent(trace, span), format!("{parent:016x}"));
        let details =
            [Detail::Word("traceparent", &context), Detail::Word("parent span", &parent_span)];
        let details = &details[..if parent == 0 { 1 } else { 2 }];
        let mark = Mark::new(Label::Name("trace context", OWN_CATEGORY)).with(details);
        match self.rows.get_mut(Life::Task(task)).map(|alive| alive.row.stamp(at)) {
            Some((track, at)) => self.scene.instant(track, at, &mark),
            None => self.instant(who, at, &mark),
        }
    }

    /// No one can wake a future any more. This is drawn later, after the intervals up to now.
    pub(super) fn unwakeable(&mut self, who: Who, at: u64, future: FutureId) {
        let details = [Detail::Number("future", future.0)];
        match self.rows.get_mut(Life::Future(future)) {
            Some(alive) if alive.is_async_task() => alive.unwakeable = Some(at),
            Some(alive) => {
                let (track, at) = alive.row.stamp(at);
                self.scene.instant(track, at, &UNWAKEABLE.with(&details));
            }
            None => {
                self.instant(who, at, &UNWAKEABLE.with(&details));
            }
        }
    }
}
