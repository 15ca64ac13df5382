//! The events that open nothing on their thread: tasks begin, tasks and futures end, marks,
//! messages, counters.
//!
//! Elsewhere: what nests on a thread (`convert`), the tracks of what lives (`tracks`), how futures
//! begin and what they do (`futures`).

use std::io;

use trace_format::event::{EventKind, Outcome};
use trace_format::id::{FutureId, SiteId, TaskId};
use trace_format::time::Ticks;
use trace_format::value::{Text, Value, Values};

use super::annotate::{put_number, put_outcome, put_values, put_word};
use super::convert::{Converter, OWN_CATEGORY};
use super::intern::{Heading, Name};
use super::message::EventType;
use super::tracks::{Group, Life, Opened};
use crate::describe::traceparent;

/// A longer message is shortened for its mark's name, and whole among its annotations.
const LOG_NAME_CHARS_MAX: usize = 120;

/// The category of tasks that are named by their text.
const TASK_CATEGORY: &str = "task";

impl Converter<'_, '_> {
    /// Sends what an event needs that opens and ends nothing on its thread.
    pub(super) fn other(
        &mut self,
        lane: usize,
        (ticks, at): (Ticks, u64),
        kind: &EventKind<'_>,
    ) -> io::Result<()> {
        match *kind {
            EventKind::Instant { site, values } => self.instant(lane, at, site, values),
            EventKind::Log { site, text } => self.log(lane, at, site, text),
            EventKind::Counter { site, value } => self.counter(at, site, value),
            EventKind::TaskBegin { task, parent, name } => {
                let name = name.readable();
                let heading = self.names.heading(&name, TASK_CATEGORY);
                self.task_begin(lane, at, (task, parent), (heading, &name), None)
            }
            EventKind::TaskBeginSite { task, parent, site, values } => {
                let heading = self.names.site(site).heading.clone();
                let tables = self.tables;
                let name = tables.callsite(site).map_or("unknown call site", |site| &site.name);
                self.task_begin(lane, at, (task, parent), (heading, name), Some((site, values)))
            }
            EventKind::TaskEnd { task } => {
                self.life_end(Life::Task(task), at, Outcome::Returned, Values::default())
            }
            EventKind::TaskLink { task, trace, span, parent } => {
                self.task_link(lane, at, task, (trace, span, parent))
            }
            EventKind::Alloc { bytes, stack, .. } => self.allocation(lane, at, bytes, stack),
            // When it is freed is no news to a viewer that has no heap profile.
            EventKind::Free { .. } => Ok(()),
            _ => {
                let is_known = self.future(lane, (ticks, at), kind)?;
                self.totals.unknown += u64::from(!is_known);
                Ok(())
            }
        }
    }

    fn instant(
        &mut self,
        lane: usize,
        at: u64,
        site: SiteId,
        values: Values<'_>,
    ) -> io::Result<()> {
        let track = self.track(lane);
        let callstack = values.stack().and_then(|stack| self.callstack(stack));
        let event = self.packets.event(EventType::Instant, track);
        self.names.site(site).heading.put(event);
        event.callstack_iid = callstack;
        put_values(event, &mut self.names, site, values);
        self.send(lane, at)
    }

    /// A mark named by its message.
    fn log(&mut self, lane: usize, at: u64, site: SiteId, text: Text<'_>) -> io::Result<()> {
        let message = text.readable();
        let line = message.lines().next().unwrap_or_default();
        let short: String = line.chars().take(LOG_NAME_CHARS_MAX).collect();
        let is_whole = short.len() == message.len();
        let category = self.tables.callsite(site).map_or("log", |site| site.name.as_str());
        // An event without a name is shown as nothing.
        let short = if short.is_empty() { category.to_owned() } else { short };
        let heading = Heading {
            name: Name::Text(short.into()),
            category: self.names.category(category),
            location: self.names.site(site).heading.location,
        };
        let track = self.track(lane);
        let event = self.packets.event(EventType::Instant, track);
        heading.put(event);
        if !is_whole {
            put_word(event, &mut self.names, "message", &message);
        }
        self.send(lane, at)
    }

    /// A new value on the track of the counter's name; what is no number is left out.
    fn counter(&mut self, at: u64, site: SiteId, value: Value<'_>) -> io::Result<()> {
        let (whole, real) = match value {
            Value::U64(number) => whole_or_real(i64::try_from(number), number as f64),
            Value::I64(number) => (Some(number), None),
            Value::F64(number) => (None, Some(number)),
            Value::Bool(truth) => (Some(truth.into()), None),
            Value::U128(number) => whole_or_real(i64::try_from(number), number as f64),
            Value::I128(number) => whole_or_real(i64::try_from(number), number as f64),
            _ => {
                self.totals.hidden += 1;
                return Ok(());
            }
        };
        let name = self.tables.callsite(site).map_or("unknown counter", |site| site.name.as_str());
        let track = self.tracks.counter(name, None, &mut self.packets)?;
        let event = self.packets.event(EventType::Counter, track);
        event.counter_value = whole;
        event.double_counter_value = real;
        self.packets.send(at, &mut self.names.fresh)
    }

    /// A mark on the thread that begins the task, and the task's own slice: the flow leads from the
    /// one to the other, and from there to every thread that works for the task.
    fn task_begin(
        &mut self,
        lane: usize,
        at: u64,
        (task, parent): (TaskId, TaskId),
        (heading, name): (Heading, &str),
        arguments: Option<(SiteId, Values<'_>)>,
    ) -> io::Result<()> {
        let life = Life::Task(task);
        let above = (heading.clone(), name, SiteId(0));
        let opened = self.tracks.open((life, Group::Tasks), above, at, &mut self.packets)?;
        let Opened::On(begin, track) = opened else {
            self.totals.hidden += 1;
            return Ok(());
        };
        let own = self.track(lane);
        for (kind, track) in [(EventType::Instant, own), (EventType::SliceBegin, track)] {
            let event = self.packets.event(kind, track);
            heading.put(event);
            event.flow_ids.push(life.flow());
            event.correlation_id = Some(task.0);
            put_number(event, &mut self.names, "task", task.0);
            if kind == EventType::Instant {
                self.send(lane, at)?;
                continue;
            }
            if parent != TaskId(0) {
                put_number(event, &mut self.names, "parent", parent.0);
            }
            if let Some((site, values)) = arguments {
                put_values(event, &mut self.names, site, values);
            }
            self.totals.slices += 1;
            self.packets.send(begin, &mut self.names.fresh)?;
        }
        Ok(())
    }

    /// A mark on the task: as what other processes know it. On the thread if it has no track.
    fn task_link(
        &mut self,
        lane: usize,
        at: u64,
        task: TaskId,
        (trace, span, parent): (u128, u64, u64),
    ) -> io::Result<()> {
        let heading = self.names.heading("trace context", OWN_CATEGORY);
        let stamp = self.tracks.get_mut(Life::Task(task)).map(|alive| alive.row.stamp(at));
        let track = stamp.map_or(self.track(lane), |(_, track)| track);
        let event = self.packets.event(EventType::Instant, track);
        heading.put(event);
        put_word(event, &mut self.names, "traceparent", &traceparent(trace, span));
        if parent != 0 {
            put_word(event, &mut self.names, "parent span", &format!("{parent:016x}"));
        }
        match stamp {
            Some((at, _)) => self.packets.send(at, &mut self.names.fresh),
            None => self.send(lane, at),
        }
    }

    /// Ends the slice of a task or a future. One whose begin is not in the trace has none.
    pub(super) fn life_end(
        &mut self,
        life: Life,
        at: u64,
        outcome: Outcome,
        values: Values<'_>,
    ) -> io::Result<()> {
        if let Life::Future(future) = life {
            self.stage_last(future, at, outcome)?;
        }
        let Some(mut alive) = self.tracks.close(life) else {
            return Ok(());
        };
        // Its regions can't outlive it; their own ends come too late, or were lost.
        let (count, row) = alive.held();
        self.send_held_ends(row.stamp(at), count)?;
        let (at, track) = alive.row.stamp(at);
        let event = self.packets.event(EventType::SliceEnd, track);
        if alive.progress.is_some() && outcome == Outcome::Returned {
            put_word(event, &mut self.names, "outcome", outcome.name());
        }
        put_outcome(event, &mut self.names, outcome, values);
        self.tracks.give_back(&alive);
        self.packets.send(at, &mut self.names.fresh)
    }

    /// The innermost `count` things on a thread are closed by the end of a poll: the regions among
    /// them are held across an await. They go on, on the future's track.
    pub(super) fn hold(&mut self, lane: usize, count: u64, future: FutureId) -> io::Result<bool> {
        let regions: Vec<_> = self.regions_above(lane, count).collect();
        let mut is_held = false;
        for (site, begin) in regions {
            let at = self.nanos(begin);
            let Some(row) = self.tracks.hold(future, site, begin, &mut self.packets)? else {
                self.totals.hidden += 1;
                continue;
            };
            is_held = true;
            self.totals.slices += 1;
            let (at, track) = row.stamp(at);
            let event = self.packets.event(EventType::SliceBegin, track);
            self.names.site(site).heading.put(event);
            self.packets.send(at, &mut self.names.fresh)?;
        }
        Ok(is_held)
    }

    /// Ends slices of regions that were held across an await.
    pub(super) fn send_held_ends(
        &mut self,
        (at, track): (u64, u64),
        count: usize,
    ) -> io::Result<()> {
        for _ in 0..count {
            self.packets.event(EventType::SliceEnd, track);
            self.packets.send(at, &mut self.names.fresh)?;
        }
        Ok(())
    }
}

fn whole_or_real<E>(whole: Result<i64, E>, real: f64) -> (Option<i64>, Option<f64>) {
    match whole {
        Ok(whole) => (Some(whole), None),
        Err(_) => (None, Some(real)),
    }
}
