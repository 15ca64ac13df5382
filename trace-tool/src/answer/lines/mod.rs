//! Events as lines: one text for people, and with it the same in fields for programs.
//!
//! A trace has hundreds of millions of events, so a line costs as little as it can: its memory is
//! used again, names are made once (`words`), and fields are filled only if a program reads them.
//!
//! - `line`: a line and its fields.
//! - `futures`: futures, and tasks in other processes.
//! - `system`: calls, CPUs, allocations.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use trace_analysis::regions::OwnedValues;
use trace_analysis::stack::{Closed, Ending, Room, Stack, Visitor};
use trace_export::label::escape;
use trace_format::definition::OpenSince;
use trace_format::event::{Event, EventKind, Outcome};
use trace_format::id::{FutureId, Open, SiteId, TaskId, ThreadId};
use trace_format::read::{ClockCursor, ReadError, ThreadState, Timed};
use trace_format::time::{Nanos, Ticks};
use trace_format::value::{Value, Values};

use self::words::{TaskWords, Words};
use crate::label::names::{Names, outcome, push_value};
use crate::label::places::Places;
use crate::label::units;
pub use futures::TaskLink;
pub use line::{EventFields, Line};
pub use system::SystemFields;

mod futures;
mod line;
mod system;
mod words;

/// Maximum number of names of tasks, of futures and of resources that are remembered; other tasks
/// and futures are shown by their numbers alone.
const NAMES_MAX: usize = 1 << 20;
/// Maximum number of characters of a message that are shown.
const MESSAGE_CHARS_MAX: usize = 1000;
/// Maximum number of lines whose memory is kept.
const FREE_MAX: usize = 64;

/// Turns events, in the order of time, into lines.
#[derive(Debug)]
pub struct Lines<'t> {
    names: &'t Names<'t>,
    words: Words<'t>,
    clock: ClockCursor<'t>,
    /// If stacks are wanted.
    places: Option<Places<'t>>,
    /// Whether programs read the lines.
    has_fields: bool,
    stacks: BTreeMap<ThreadId, Stack>,
    /// Threads of which events are missing and that have not restated since what is open.
    gaps: BTreeMap<ThreadId, Gap>,
    /// Threads of which events are missing.
    faulty: BTreeSet<ThreadId>,
    room: Room,
    tasks: HashMap<TaskId, TaskWords>,
    futures: HashMap<FutureId, SiteId>,
    ended: Ended,
    lines: Vec<Line>,
    /// Lines that were shown, to be used again.
    free: Vec<Line>,
    last: Ticks,
}

/// Events of a thread are missing.
#[derive(Clone, Copy, Debug)]
struct Gap {
    /// Behind which time events follow a batch that restates what is open.
    restated_behind: Option<Ticks>,
    /// Whether the thread's stack knows of it.
    is_known: bool,
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
            Ending::Unseen => note = "  (its begin is missing)",
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
    /// No lines yet.
    ///
    /// - `places`: to show stacks.
    /// - `has_fields`: whether programs read the lines.
    #[must_use]
    pub fn new(names: &'t Names<'t>, places: Option<Places<'t>>, has_fields: bool) -> Self {
        Self {
            names,
            words: Words::new(names),
            clock: ClockCursor::new(&names.tables().clock),
            places,
            has_fields,
            stacks: BTreeMap::new(),
            gaps: BTreeMap::new(),
            faulty: BTreeSet::new(),
            room: Room::default(),
            tasks: HashMap::new(),
            futures: HashMap::new(),
            ended: Ended::default(),
            lines: Vec::new(),
            free: Vec::new(),
            last: Ticks(0),
        }
    }

    /// Hands out the lines since the last call.
    pub fn take(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.lines)
    }

    /// Takes lines back that are done with: their memory is used again.
    pub fn give_back(&mut self, mut lines: Vec<Line>) {
        let room = FREE_MAX - self.free.len();
        self.free.extend(lines.drain(..).take(room).map(|mut line| {
            line.clear();
            line
        }));
        if self.lines.is_empty() {
            lines.clear();
            self.lines = lines;
        }
    }

    /// What was open on a thread when the window began.
    pub fn open_at_start(&mut self, thread: ThreadId, open: &[OpenSince], at: Ticks) {
        let stack = self.stacks.entry(thread).or_insert_with(|| Stack::new().with_room(&self.room));
        stack.resume(open.iter().copied(), false, at, &mut self.ended);
        for (depth, open) in open.iter().enumerate() {
            let mut line = self.start("open_at_start");
            self.push_open(&mut line, open.open);
            line.text.push_str(" {  open since ");
            line.text.push_str(&units::since(self.names.since(open.begin)));
            line.depth = depth;
            self.push(thread, self.nanos(at), line);
        }
    }

    /// Whether events of a thread are missing.
    #[must_use]
    pub fn is_faulty(&self, thread: ThreadId) -> bool {
        self.faulty.contains(&thread)
    }

    /// Reports what has lost its end. A thread with a known state behind the lines loses what that
    /// state does not name; any other loses all that it has not restated since events went missing.
    ///
    /// - `states`: as of [`trace_analysis::states_behind`].
    pub fn lost_at_end(&mut self, states: &HashMap<ThreadId, ThreadState>) {
        for thread in std::mem::take(&mut self.faulty) {
            let new = || Stack::new().with_room(&self.room);
            let stack = self.stacks.entry(thread).or_insert_with(new);
            if self.gaps.remove(&thread).is_some_and(|gap| !gap.is_known) {
                stack.gap(self.last, &mut self.ended);
            }
            if let Some(state) = states.get(&thread) {
                stack.resume(state.open.iter().copied(), false, self.last, &mut self.ended);
            }
            stack.lose(self.last, &mut self.ended);
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
                let mut line = self.start("open_at_end");
                line.text.push_str("… ");
                self.push_open(&mut line, open.open);
                line.text.push_str(" still open, for ");
                line.push_duration(self.names.since(open.begin).until(self.nanos(self.last)));
                line.depth = depth;
                self.push(thread, self.nanos(self.last), line);
            }
        }
    }

    /// A fault, and whose events it cost.
    ///
    /// - `restated_behind`: as of [`InOrder::restated_behind`](trace_format::read::InOrder).
    pub fn fault(
        &mut self,
        thread: Option<ThreadId>,
        restated_behind: Option<Ticks>,
        error: &ReadError,
    ) {
        // What was open goes on if the thread says so next.
        let gap = Gap { restated_behind, is_known: false };
        self.gaps.extend(thread.map(|thread| (thread, gap)));
        self.faulty.extend(thread);
        let message = error.to_string();
        let mut line = self.start("fault");
        line.text.push_str("!! DAMAGED: ");
        escape::push(&mut line.text, message.as_bytes(), MESSAGE_CHARS_MAX);
        (line.at_ns, line.thread) = (self.nanos(self.last).0, thread);
        if let Some(fields) = line.fields() {
            fields.thread_name = thread.map(|thread| self.words.thread(thread));
            fields.message = Some(message);
        }
        self.lines.push(line);
    }

    /// The next event.
    pub fn event(&mut self, timed: &Timed<'_>) {
        let Timed { thread, event } = *timed;
        self.last = self.last.max(event.ticks);
        if thread.as_cpu().is_some() {
            return self.cpu_event(timed);
        }
        let stack = self.stacks.entry(thread).or_insert_with(|| Stack::new().with_room(&self.room));
        let gap = self.gaps.remove(&thread);
        if !matches!(event.kind, EventKind::Reopen { .. }) {
            if let Some(gap) = gap {
                if !gap.is_known {
                    stack.gap(event.ticks, &mut self.ended);
                }
                match gap.restated_behind {
                    Some(behind) if event.ticks > behind => stack.restate(),
                    _ => _ = self.gaps.insert(thread, Gap { is_known: true, ..gap }),
                }
            }
            stack.passes(&event, &mut self.ended);
        }
        // What was not restated has lost its end, whatever this event is.
        let has_lost = !self.ended.closed.is_empty();
        let lost = if has_lost { std::mem::take(&mut self.ended.closed) } else { Vec::new() };
        let depth = stack.depth();
        stack.feed(&event, &mut self.ended);
        self.lost(thread, event.ticks, &lost);
        if !is_end(&event.kind) {
            self.ended.closed.clear();
            let mut line = self.start("");
            self.fill(&mut line, &event);
            line.depth = depth;
            return self.push_with_stack(thread, &event.kind, event.ticks, line);
        }
        let returned = match event.kind {
            EventKind::EndCall { result } => Some(result),
            _ => None,
        };
        let mut closed = std::mem::take(&mut self.ended.closed);
        for ended in closed.drain(..) {
            let line = self.end_line(&ended, returned);
            self.push_with_stack(thread, &event.kind, ended.end, line);
        }
        self.ended.closed = closed;
        if std::mem::take(&mut self.ended.without_begin) {
            let mut line = self.start("region_end");
            line.text.push_str("} an end of nothing");
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

    /// A line without words.
    fn start(&mut self, kind: &'static str) -> Line {
        let mut line = self.free.pop().unwrap_or_default();
        line.kind = kind;
        if self.has_fields {
            line.fields.get_or_insert_default();
        }
        line
    }

    fn push(&mut self, thread: ThreadId, at: Nanos, mut line: Line) {
        (line.at_ns, line.thread) = (at.0, Some(thread));
        if let Some(fields) = line.fields() {
            fields.thread_name = Some(self.words.thread(thread));
        }
        self.lines.push(line);
    }

    fn nanos(&self, ticks: Ticks) -> Nanos {
        self.clock.nanos(ticks)
    }

    /// What an event says that is no end; of an end there is a line for each thing that ended.
    fn fill(&mut self, line: &mut Line, event: &Event<'_>) {
        let none = Values::default();
        match event.kind {
            EventKind::Region { site, duration, values } => {
                self.complete(line, (Open::Region(site), values), event.ticks, duration);
            }
            EventKind::Poll { future, duration, .. } => {
                self.complete(line, (Open::Poll(future), none), event.ticks, duration);
            }
            EventKind::TaskRun { task, duration } => {
                self.complete(line, (Open::Task(task), none), event.ticks, duration);
            }
            EventKind::Call { call, result, duration } => {
                self.call(line, call, event.ticks, (result, duration));
            }
            EventKind::CallBegin { call } => self.begin(line, Open::Call(call), none),
            EventKind::RegionBegin { site, values } => self.begin(line, Open::Region(site), values),
            EventKind::PollBegin { future } => self.begin(line, Open::Poll(future), none),
            EventKind::TaskRunBegin { task } => self.begin(line, Open::Task(task), none),
            _ => self.moment(line, &event.kind, event.ticks),
        }
    }

    fn complete(
        &mut self,
        line: &mut Line,
        (open, values): (Open, Values<'_>),
        at: Ticks,
        duration: Ticks,
    ) {
        line.kind = match open {
            Open::Region(_) => "region",
            Open::Poll(_) => "poll",
            Open::Task(_) => "task_run",
            Open::Call(_) => "call",
        };
        self.push_open(line, open);
        self.push_arguments(line, open, values);
        line.text.push_str("  ");
        line.push_duration(self.names.duration(at, duration));
    }

    fn begin(&mut self, line: &mut Line, open: Open, values: Values<'_>) {
        line.kind = match open {
            Open::Region(_) => "region_begin",
            Open::Poll(_) => "poll_begin",
            Open::Task(_) => "task_run_begin",
            Open::Call(_) => "call_begin",
        };
        self.push_open(line, open);
        self.push_arguments(line, open, values);
        line.text.push_str(" {");
    }

    fn end_line(&mut self, ended: &EndedOne, returned: Option<i64>) -> Line {
        let mut line = self.start(match ended.open {
            Open::Region(_) => "region_end",
            Open::Poll(_) => "poll_end",
            Open::Task(_) => "task_run_end",
            Open::Call(_) => "call_end",
        });
        line.text.push_str("} ");
        self.push_open(&mut line, ended.open);
        if let (Open::Call(made), Some(returned)) = (ended.open, returned) {
            line.push_ending(made.call, returned);
        }
        line.text.push_str("  ");
        line.push_duration(self.names.since(ended.begin).until(self.nanos(ended.end)));
        line.depth = ended.depth;
        if let Some((kind, values)) = &ended.outcome {
            line.text.push_str("  ");
            line.text.push_str(&outcome(*kind, values.values()));
            if let Some(fields) = line.fields() {
                (fields.outcome, fields.result) = (Some(*kind), Some(values.clone()));
            }
        }
        line.text.push_str(ended.note);
        line.text.truncate(line.text.trim_end().len());
        line
    }

    /// An event that neither opens nor ends anything on its thread's stack.
    fn moment(&mut self, line: &mut Line, kind: &EventKind<'_>, at: Ticks) {
        match *kind {
            EventKind::Instant { site, values } => {
                line.kind = "instant";
                line.text.push_str("* ");
                self.push_site(line, site);
                self.push_arguments(line, Open::Region(site), values);
            }
            EventKind::Log { site, text } => {
                line.kind = "log";
                self.push_short_site(line, site);
                line.text.push_str(": ");
                escape::push_text(&mut line.text, text, MESSAGE_CHARS_MAX);
                if let Some(fields) = line.fields() {
                    fields.message = Some(text.readable().into_owned());
                }
            }
            EventKind::Counter { site, value } => {
                line.kind = "counter";
                self.push_short_site(line, site);
                line.text.push_str(" = ");
                push_value(&mut line.text, &value);
                if let Some(fields) = line.fields() {
                    fields.value = number(value);
                }
            }
            EventKind::TaskBegin { task, parent, name } => {
                self.task_begin(line, (task, parent), &name.readable(), None);
            }
            EventKind::TaskBeginSite { task, parent, site, values } => {
                let name = self.names.raw_site(site);
                self.task_begin(line, (task, parent), &name, Some((site, values)));
            }
            EventKind::TaskEnd { task } => {
                line.kind = "task_end";
                self.push_task(line, task);
                line.text.push_str(" ends");
                self.tasks.remove(&task);
            }
            EventKind::Dropped { events, ends, from, to } => {
                line.kind = "dropped";
                let lost = units::plural(events, "event", "events");
                let lost_ends = units::plural(ends, "end", "ends");
                let from = units::moment(self.nanos(from));
                let to = units::moment(self.nanos(to));
                let text = format!("!! DROPPED {lost} and {lost_ends}, from {from} to {to} s");
                line.text.push_str(&text);
                if let Some(fields) = line.fields() {
                    (fields.events, fields.ends) = (Some(events), Some(ends));
                }
            }
            EventKind::Unknown { opcode } => {
                line.kind = "unknown";
                line.text.push_str(&format!("event {opcode:#04x} of a newer version"));
            }
            EventKind::Alloc { sample, address, bytes, .. } => {
                line.allocation(sample, address, bytes);
            }
            EventKind::Free { sample } => line.freed(sample),
            _ => self.future(line, kind, at),
        }
    }

    /// - `made`: its call site and arguments, if it has one.
    fn task_begin(
        &mut self,
        line: &mut Line,
        (task, parent): (TaskId, TaskId),
        name: &str,
        made: Option<(SiteId, Values<'_>)>,
    ) {
        let words = TaskWords::new(name);
        line.kind = "task_begin";
        line.text.push_str("task ");
        line.text.push_str(&words.shown);
        if let Some((site, values)) = made {
            self.push_arguments(line, Open::Region(site), values);
            if let Some(fields) = line.fields() {
                fields.site = Some(self.words.site(site).id);
            }
        }
        line.text.push(' ');
        line.push_id(task.0);
        line.text.push_str(" begins");
        if parent.0 > 0 {
            line.text.push_str(" in ");
            line.push_id(parent.0);
        }
        if let Some(fields) = line.fields() {
            (fields.name, fields.task) = (Some(Rc::clone(&words.name)), Some(task));
            fields.parent = (parent.0 > 0).then_some(parent.0);
        }
        self.keep_task(task, words);
    }

    /// What a task is called, as the trace has it.
    pub fn name_task(&mut self, task: TaskId, name: &str) {
        self.keep_task(task, TaskWords::new(name));
    }

    fn keep_task(&mut self, task: TaskId, words: TaskWords) {
        if self.tasks.len() < NAMES_MAX {
            self.tasks.insert(task, words);
        }
    }

    /// Appends what is open.
    fn push_open(&mut self, line: &mut Line, open: Open) {
        match open {
            Open::Region(site) => self.push_site(line, site),
            Open::Poll(future) => {
                line.text.push_str("poll ");
                self.push_future(line, future);
            }
            Open::Task(task) => self.push_task(line, task),
            Open::Call(made) => self.push_call(line, made),
        }
    }

    /// Appends a task: `task request #7`.
    fn push_task(&self, line: &mut Line, task: TaskId) {
        let words = self.tasks.get(&task);
        line.text.push_str("task ");
        if let Some(words) = words {
            line.text.push_str(&words.shown);
            line.text.push(' ');
        }
        line.push_id(task.0);
        if let Some(fields) = line.fields() {
            fields.name = words.map(|words| Rc::clone(&words.name));
            fields.task = Some(task);
        }
    }

    /// Appends a call site's path.
    fn push_site(&mut self, line: &mut Line, site: SiteId) {
        let words = self.words.site(site);
        line.text.push_str(&words.shown);
        line.set_site(words);
    }

    /// Appends a call site's name alone: of a counter or a log's category.
    fn push_short_site(&mut self, line: &mut Line, site: SiteId) {
        let words = self.words.site(site);
        line.text.push_str(&words.short);
        line.set_site(words);
    }

    fn push_arguments(&self, line: &mut Line, open: Open, values: Values<'_>) {
        let Open::Region(site) = open else { return };
        if values.is_empty() {
            return;
        }
        self.names.push_arguments(&mut line.text, site, values);
        if let Some(fields) = line.fields() {
            fields.arguments = Some(self.names.named(site, values));
        }
    }
}

/// Whether an event ends something: then there is a line for each thing that ended.
fn is_end(kind: &EventKind<'_>) -> bool {
    matches!(
        kind,
        EventKind::End
            | EventKind::EndValue { .. }
            | EventKind::EndCall { .. }
            | EventKind::EndPoll { .. }
            | EventKind::EndDetached { .. }
            | EventKind::Reopen { .. }
    )
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
