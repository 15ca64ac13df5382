//! Events as lines: fields, and one text for people that is made together with them.
//!
//! - `futures`: futures, and tasks in other processes.
//! - `system`: calls, CPUs, allocations.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use trace_analysis::regions::OwnedValues;
use trace_analysis::stack::{Closed, Ending, Room, Stack, Visitor};
use trace_export::label::escape;
use trace_format::definition::OpenSince;
use trace_format::event::{Event, EventKind, Outcome};
use trace_format::id::{FutureId, Open, SiteId, TaskId, ThreadId};
use trace_format::read::{ReadError, ThreadState, Timed};
use trace_format::time::{Nanos, Ticks};
use trace_format::value::{Value, Values};

use crate::label::names::{NamedValues, Names, outcome, push_value};
use crate::label::places::Places;
use crate::label::{call, units};
pub use futures::TaskLink;
pub use system::SystemFields;

mod futures;
mod system;

/// Maximum number of names of tasks and of futures that are remembered; others are shown by their
/// number alone.
const NAMES_MAX: usize = 1 << 20;
/// Maximum number of characters of a message that are shown.
const MESSAGE_CHARS_MAX: usize = 1000;

/// One line. `text` is for people, safe to print; the other fields are for programs, and those
/// that do not apply are empty.
#[derive(Debug, Default)]
pub struct Line {
    /// Since the first clock snapshot.
    pub at_ns: u64,
    /// Whose.
    pub thread: Option<ThreadId>,
    /// Its name as the trace has it.
    pub thread_name: Option<String>,
    /// What happened.
    pub kind: &'static str,
    /// How many things were open around it.
    pub depth: usize,
    /// The call site.
    pub site: Option<SiteId>,
    /// Of the call site or the task, as the trace has it.
    pub name: Option<String>,
    /// The task.
    pub task: Option<TaskId>,
    /// The task or the future that it is part of.
    pub parent: Option<u64>,
    /// The future.
    pub future: Option<FutureId>,
    /// How long.
    pub duration: Option<Nanos>,
    /// What was recorded at its begin.
    pub arguments: Option<NamedValues>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// What was recorded at its end.
    pub result: Option<OwnedValues>,
    /// Of a counter.
    pub value: Option<Value<'static>>,
    /// Of a log or a fault.
    pub message: Option<String>,
    /// Events that were not recorded.
    pub events: Option<u64>,
    /// Ends that were not recorded.
    pub ends: Option<u64>,
    /// What other processes call the task.
    pub link: Option<Box<TaskLink>>,
    /// What the system did.
    pub system: Option<Box<SystemFields>>,
    /// For people.
    pub text: String,
    /// More lines for people: a stack.
    pub below: Vec<String>,
}

impl Line {
    /// Whether it says that something is missing.
    #[must_use]
    pub fn is_loud(&self) -> bool {
        matches!(self.kind, "dropped" | "fault" | "lost_records")
    }
}

/// Turns events, in the order of time, into lines.
#[derive(Debug)]
pub struct Lines<'t> {
    names: &'t Names<'t>,
    /// If stacks are wanted.
    places: Option<Places<'t>>,
    stacks: BTreeMap<ThreadId, Stack>,
    /// Threads of which events are missing since they were heard of last.
    gaps: BTreeSet<ThreadId>,
    /// Threads of which events are missing.
    faulty: BTreeSet<ThreadId>,
    room: Room,
    /// Their names as the trace has them.
    tasks: HashMap<TaskId, String>,
    futures: HashMap<FutureId, SiteId>,
    ended: Ended,
    lines: Vec<Line>,
    last: Ticks,
}

/// What ended at one event.
#[derive(Debug, Default)]
struct Ended {
    closed: Vec<EndedOne>,
    without_begin: bool,
}

#[derive(Debug)]
struct EndedOne {
    open: Open,
    begin: Ticks,
    end: Ticks,
    depth: usize,
    outcome: Option<(Outcome, OwnedValues)>,
    note: &'static str,
}

impl Visitor for Ended {
    fn closed(&mut self, closed: &Closed<'_>) {
        let (mut outcome, mut note) = (None, "");
        match closed.ending {
            Ending::Ended => {}
            Ending::With(kind, values) => outcome = Some((kind, OwnedValues::new(values))),
            Ending::Misnested => note = "  (mis-nested: what was around it ended first)",
            Ending::Elsewhere => note = "  (begun on another thread)",
            Ending::Lost => note = "  (its end is missing)",
            Ending::Unfinished => note = "  (still open)",
        }
        let Closed { open, begin, end, depth, .. } = *closed;
        self.closed.push(EndedOne { open, begin, end, depth, outcome, note });
    }

    fn end_without_begin(&mut self, _: Ticks) {
        self.without_begin = true;
    }

    /// What lies too deep has no line of its own; how much it is, is said at the end.
    fn too_deep(&mut self, _: Ticks) {}
}

impl<'t> Lines<'t> {
    /// No lines yet. With `places`, stacks are shown.
    #[must_use]
    pub fn new(names: &'t Names<'t>, places: Option<Places<'t>>) -> Self {
        Self {
            names,
            places,
            stacks: BTreeMap::new(),
            gaps: BTreeSet::new(),
            faulty: BTreeSet::new(),
            room: Room::default(),
            tasks: HashMap::new(),
            futures: HashMap::new(),
            ended: Ended::default(),
            lines: Vec::new(),
            last: Ticks(0),
        }
    }

    /// Hands out the lines since the last call.
    pub fn take(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.lines)
    }

    /// What was open on a thread when the window began.
    pub fn open_at_start(&mut self, thread: ThreadId, open: &[OpenSince], at: Ticks) {
        let stack = self.stacks.entry(thread).or_insert_with(|| Stack::new().with_room(&self.room));
        stack.resume(open.iter().copied(), false, at, &mut self.ended);
        for (depth, open) in open.iter().enumerate() {
            let (fields, what) = self.open_fields(open.open);
            let since = units::since(self.names.since(open.begin));
            let text = format!("{what} {{  open since {since}");
            let line = Line { kind: "open_at_start", depth, text, ..fields };
            self.push(thread, self.nanos(at), line);
        }
    }

    /// Reports what has lost its end. A thread with a known last state loses what that state does
    /// not name; any other loses all, if no event of it came since some went missing.
    ///
    /// - `states`: as of [`trace_analysis::last_states`].
    pub fn lost_at_end(&mut self, states: &HashMap<ThreadId, ThreadState>) {
        for thread in std::mem::take(&mut self.faulty) {
            let new = || Stack::new().with_room(&self.room);
            let stack = self.stacks.entry(thread).or_insert_with(new);
            match states.get(&thread) {
                Some(state) => {
                    let open = state.open.iter().copied();
                    stack.resume(open, false, self.last, &mut self.ended);
                }
                None if self.gaps.contains(&thread) => stack.gap(self.last, &mut self.ended),
                None => {}
            }
            let lost = std::mem::take(&mut self.ended.closed);
            self.lost(thread, self.last, &lost);
        }
    }

    /// What is still open, of all threads, and what is mis-nested and has no end of its own.
    pub fn open_at_end(&mut self) {
        for (thread, mut stack) in std::mem::take(&mut self.stacks) {
            stack.end_late(&mut self.ended);
            for ended in std::mem::take(&mut self.ended.closed) {
                let line = self.end_line(&ended, None);
                self.push(thread, self.nanos(ended.end), line);
            }
            for (depth, open) in stack.open().enumerate() {
                let (fields, what) = self.open_fields(open.open);
                let duration = self.names.since(open.begin).until(self.nanos(self.last));
                let text = format!("… {what} still open, for {}", units::time(duration));

                let line =
                    Line { kind: "open_at_end", depth, text, duration: Some(duration), ..fields };
                self.push(thread, self.nanos(self.last), line);
            }
        }
    }

    /// A fault, and whose events it cost.
    pub fn fault(&mut self, thread: Option<ThreadId>, error: &ReadError) {
        // What was open goes on if the thread says so next.
        self.gaps.extend(thread);
        self.faulty.extend(thread);
        let message = error.to_string();
        let text = format!("!! DAMAGED: {}", escape::plain(&message, MESSAGE_CHARS_MAX));
        let at_ns = self.nanos(self.last).0;
        let thread_name = thread.map(|thread| self.names.thread_name(thread));
        let message = Some(message);
        self.lines.push(Line {
            at_ns,
            thread,
            thread_name,
            kind: "fault",
            text,
            message,
            ..Line::default()
        });
    }

    /// The next event.
    pub fn event(&mut self, timed: &Timed<'_>) {
        let Timed { thread, event } = *timed;
        self.last = self.last.max(event.ticks);
        if thread.as_cpu().is_some() {
            return self.cpu_event(timed);
        }
        let stack = self.stacks.entry(thread).or_insert_with(|| Stack::new().with_room(&self.room));
        let is_missing = self.gaps.remove(&thread);
        if !matches!(event.kind, EventKind::Reopen { .. }) {
            if is_missing {
                stack.gap(event.ticks, &mut self.ended);
            }
            stack.passes(&event, &mut self.ended);
        }
        // What was not restated has lost its end, whatever this event is.
        let lost: Vec<_> = self.ended.closed.drain(..).collect();
        let depth = stack.depth();
        stack.feed(&event, &mut self.ended);
        self.lost(thread, event.ticks, &lost);
        if let Some(line) = self.line(&event, depth) {
            self.ended.closed.clear();
            self.push_with_stack(thread, &event.kind, event.ticks, line);
            return;
        }
        let returned = match event.kind {
            EventKind::EndCall { result } => Some(result),
            _ => None,
        };
        for ended in std::mem::take(&mut self.ended.closed) {
            let line = self.end_line(&ended, returned);
            self.push_with_stack(thread, &event.kind, ended.end, line);
        }
        if std::mem::take(&mut self.ended.without_begin) {
            let text = "} an end of nothing".to_owned();
            let line = Line { kind: "region_end", text, ..Line::default() };
            self.push(thread, self.nanos(event.ticks), line);
        }
    }

    /// The lines of what was closed on a thread because its end is missing.
    fn lost(&mut self, thread: ThreadId, at: Ticks, lost: &[EndedOne]) {
        for ended in lost {
            let line = self.end_line(ended, None);
            self.push(thread, self.nanos(at), line);
        }
    }

    fn push(&mut self, thread: ThreadId, at: Nanos, mut line: Line) {
        line.at_ns = at.0;
        line.thread = Some(thread);
        line.thread_name = Some(self.names.thread_name(thread));
        self.lines.push(line);
    }

    fn nanos(&self, ticks: Ticks) -> Nanos {
        self.names.nanos(ticks)
    }

    /// The line of an event that is no end; of an end there is one for each thing that ended.
    fn line(&mut self, event: &Event<'_>, depth: usize) -> Option<Line> {
        let line = match event.kind {
            EventKind::Region { site, duration, values } => {
                self.complete(Open::Region(site), event.ticks, duration, values)
            }
            EventKind::Poll { future, duration, .. } => {
                self.complete(Open::Poll(future), event.ticks, duration, Values::default())
            }
            EventKind::TaskRun { task, duration } => {
                self.complete(Open::Task(task), event.ticks, duration, Values::default())
            }
            EventKind::Call { call, result, duration } => {
                self.call(call, event.ticks, result, duration)
            }
            EventKind::CallBegin { call } => self.begin(Open::Call(call), Values::default()),
            EventKind::RegionBegin { site, values } => self.begin(Open::Region(site), values),
            EventKind::PollBegin { future } => self.begin(Open::Poll(future), Values::default()),
            EventKind::TaskRunBegin { task } => self.begin(Open::Task(task), Values::default()),
            EventKind::End
            | EventKind::EndValue { .. }
            | EventKind::EndCall { .. }
            | EventKind::EndPoll { .. }
            | EventKind::EndDetached { .. }
            | EventKind::Reopen { .. } => return None,
            _ => self.moment(&event.kind, event.ticks),
        };
        Some(Line { depth, ..line })
    }

    fn complete(&self, open: Open, at: Ticks, duration: Ticks, values: Values<'_>) -> Line {
        let (fields, what) = self.open_fields(open);
        let kind = match open {
            Open::Region(_) => "region",
            Open::Poll(_) => "poll",
            Open::Task(_) => "task_run",
            Open::Call(_) => "call",
        };
        let duration = self.names.duration(at, duration);
        let (shown, arguments) = self.arguments(open, values);
        let text = format!("{what}{shown}  {}", units::time(duration));
        Line { kind, text, arguments, duration: Some(duration), ..fields }
    }

    fn begin(&self, open: Open, values: Values<'_>) -> Line {
        let (fields, what) = self.open_fields(open);
        let kind = match open {
            Open::Region(_) => "region_begin",
            Open::Poll(_) => "poll_begin",
            Open::Task(_) => "task_run_begin",
            Open::Call(_) => "call_begin",
        };
        let (shown, arguments) = self.arguments(open, values);
        Line { kind, text: format!("{what}{shown} {{"), arguments, ..fields }
    }

    fn end_line(&self, ended: &EndedOne, returned: Option<i64>) -> Line {
        let (mut fields, mut what) = self.open_fields(ended.open);
        if let (Open::Call(made), Some(returned)) = (ended.open, returned) {
            what.push_str(&call::ending(made.call, returned));
            fields.system.get_or_insert_default().set_result(returned);
        }
        let kind = match ended.open {
            Open::Region(_) => "region_end",
            Open::Poll(_) => "poll_end",
            Open::Task(_) => "task_run_end",
            Open::Call(_) => "call_end",
        };
        let duration = self.names.since(ended.begin).until(self.nanos(ended.end));
        let mut text = format!("}} {what}  {}", units::time(duration));
        let mut line = Line { kind, depth: ended.depth, duration: Some(duration), ..fields };
        if let Some((kind, values)) = &ended.outcome {
            text.push_str("  ");
            text.push_str(&outcome(*kind, values.values()));
            line.outcome = Some(*kind);
            line.result = Some(values.clone());
        }
        text.push_str(ended.note);
        line.text = text.trim_end().to_owned();
        line
    }

    /// An event that neither opens nor ends anything on its thread's stack.
    fn moment(&mut self, kind: &EventKind<'_>, at: Ticks) -> Line {
        match *kind {
            EventKind::Instant { site, values } => {
                let (shown, arguments) = self.arguments(Open::Region(site), values);
                let text = format!("* {}{shown}", self.names.site(site));
                Line { kind: "instant", text, arguments, ..self.site_fields(site) }
            }
            EventKind::Log { site, text: message } => {
                let mut text = format!("{}: ", self.names.short_site(site));
                escape::push_text(&mut text, message, MESSAGE_CHARS_MAX);
                let message = Some(message.readable().into_owned());
                Line { kind: "log", text, message, ..self.site_fields(site) }
            }
            EventKind::Counter { site, value } => {
                let mut text = format!("{} = ", self.names.short_site(site));
                push_value(&mut text, &value);
                let value = number(value);
                Line { kind: "counter", text, value, ..self.site_fields(site) }
            }
            EventKind::TaskBegin { task, parent, name } => {
                self.task_begin(task, parent, name.readable().into_owned(), "")
            }
            EventKind::TaskBeginSite { task, parent, site, values } => {
                let (shown, arguments) = self.arguments(Open::Region(site), values);
                let line = self.task_begin(task, parent, self.names.raw_site(site), &shown);
                Line { arguments, site: self.site_fields(site).site, ..line }
            }
            EventKind::TaskEnd { task } => {
                let (fields, what) = self.open_fields(Open::Task(task));
                self.tasks.remove(&task);
                Line { kind: "task_end", text: format!("{what} ends"), ..fields }
            }
            EventKind::Dropped { events, ends, from, to } => {
                let lost = units::plural(events, "event", "events");
                let lost_ends = units::plural(ends, "end", "ends");
                let from = units::moment(self.nanos(from));
                let to = units::moment(self.nanos(to));
                let text = format!("!! DROPPED {lost} and {lost_ends}, from {from} to {to} s");
                let (events, ends) = (Some(events), Some(ends));
                Line { kind: "dropped", text, events, ends, ..Line::default() }
            }
            EventKind::Unknown { opcode } => {
                let text = format!("event {opcode:#04x} of a newer version");
                Line { kind: "unknown", text, ..Line::default() }
            }
            EventKind::Alloc { sample, address, bytes, .. } => {
                system::allocation(sample, address, bytes)
            }
            EventKind::Free { sample } => system::freed(sample),
            _ => self.future(kind, at),
        }
    }

    /// - `arguments`: as they are shown.
    fn task_begin(&mut self, task: TaskId, parent: TaskId, name: String, arguments: &str) -> Line {
        let within = if parent.0 == 0 { String::new() } else { format!(" in #{}", parent.0) };
        let shown = escape::plain(&name, MESSAGE_CHARS_MAX);
        let text = format!("task {shown}{arguments} #{} begins{within}", task.0);
        self.name_task(task, name.clone());
        let (name, task) = (Some(name), Some(task));
        let parent = (parent.0 > 0).then_some(parent.0);
        Line { kind: "task_begin", text, name, task, parent, ..Line::default() }
    }

    /// What a task is called, as the trace has it.
    pub fn name_task(&mut self, task: TaskId, name: String) {
        if self.tasks.len() < NAMES_MAX {
            self.tasks.insert(task, name);
        }
    }

    /// The fields that say what is open, and the same for people.
    fn open_fields(&self, open: Open) -> (Line, String) {
        match open {
            Open::Region(site) => (self.site_fields(site), self.names.site(site)),
            Open::Poll(future) => {
                let site = self.future_site(future);
                let fields = site.map_or_else(Line::default, |site| self.site_fields(site));
                let text = format!("poll {}", self.future_name(future));
                (Line { future: Some(future), ..fields }, text)
            }
            Open::Task(task) => {
                let name = self.tasks.get(&task).cloned();
                let text = match &name {
                    Some(name) => {
                        format!("task {} #{}", escape::plain(name, MESSAGE_CHARS_MAX), task.0)
                    }
                    None => format!("task #{}", task.0),
                };
                (Line { task: Some(task), name, ..Line::default() }, text)
            }
            Open::Call(made) => self.call_fields(made),
        }
    }

    fn site_fields(&self, site: SiteId) -> Line {
        let defined = self.names.callsite(site);
        let name = defined.map(|site| match site.module.as_str() {
            "" => site.name.clone(),
            module => format!("{module}::{}", site.name),
        });
        // All that the trace does not define is one, as in every sum.
        let site = if defined.is_some() { site } else { SiteId(0) };
        Line { site: Some(site), name, ..Line::default() }
    }

    fn arguments(&self, open: Open, values: Values<'_>) -> (String, Option<NamedValues>) {
        match open {
            Open::Region(site) if !values.is_empty() => {
                (self.names.arguments(site, values), Some(self.names.named(site, values)))
            }
            _ => (String::new(), None),
        }
    }
}

/// A value that borrows nothing.
fn number(value: Value<'_>) -> Option<Value<'static>> {
    Some(match value {
        Value::U64(number) => Value::U64(number),
        Value::I64(number) => Value::I64(number),
        Value::F64(number) => Value::F64(number),
        Value::U128(number) => Value::U128(number),
        Value::I128(number) => Value::I128(number),
        Value::Bool(truth) => Value::Bool(truth),
        _ => return None,
    })
}
