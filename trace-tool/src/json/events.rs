//! `exectrace events` for programs: an object on each line.

use serde::Serialize;
use trace_format::event::Outcome;
use trace_format::time::Nanos;

use super::stacks::FrameOut;
use super::values::{Named, OwnedValuesOut, ValueOut};
use crate::answer::events::Show;
use crate::answer::lines::{Line, SystemFields, TaskLink};
use crate::error::Failure;
use crate::label::names::Names;
use crate::output::Output;

/// Prints lines as they come.
#[derive(Debug)]
pub struct JsonLines<'o> {
    out: &'o mut Output,
}

impl<'o> JsonLines<'o> {
    /// Nothing is printed yet.
    pub fn new(out: &'o mut Output) -> Self {
        Self { out }
    }
}

impl Show for JsonLines<'_> {
    const READS_FIELDS: bool = true;

    fn line(&mut self, line: &mut Line, _: &Names<'_>) -> Result<(), Failure> {
        Ok(self.out.json_line(&LineOut::new(line))?)
    }
}

/// A line. `at_ns`, `thread`, `thread_name`, `kind` and `depth` are always there, the others where
/// they apply. Lines are in the order of time; the end of a region is where it ends.
#[derive(Debug, Serialize)]
pub struct LineOut<'l> {
    /// When, since the first clock snapshot.
    at_ns: u64,
    /// The thread's id in the trace; of a CPU 2147483648 plus its number. `null` only of a `fault`
    /// that may concern any thread.
    thread: Option<u32>,
    /// Its name.
    thread_name: Option<&'l str>,
    /// What happened: see below.
    kind: &'static str,
    /// How many things are open around it.
    depth: usize,
    /// The call site's id; 0 for all that the trace does not define.
    #[serde(skip_serializing_if = "Option::is_none")]
    site: Option<u32>,
    /// Of a call site its module and its name, with `::` between them; of a task its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'l str>,
    /// The task's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<u64>,
    /// The id of the task or the future that it is part of.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<u64>,
    /// The future's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    future: Option<u64>,
    /// How long it took, all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ns: Option<u64>,
    /// What was recorded at its begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<Named>,
    /// `returned`, `failed`, `dropped`, `panicked`, `ended` (nobody knows how).
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    /// What was recorded at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<OwnedValuesOut>,
    /// A counter's value.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<ValueOut<'static>>,
    /// A log's text, of which 8,192 bytes are kept, or what can't be read. A text that was cut ends
    /// in `… (9000 bytes in all)`, as do names of tasks longer than 256 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'l str>,
    /// Events that were not recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<u64>,
    /// Ends that were not recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends: Option<u64>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    link: Option<Box<TaskLinkOut>>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    system: Option<Box<SystemOut>>,
}

impl<'l> LineOut<'l> {
    /// Takes what it can't borrow out of the line.
    fn new(line: &'l mut Line) -> Self {
        let Line { at_ns, thread, kind, depth, fields, .. } = line;
        let fields = &mut **fields.get_or_insert_default();
        Self {
            at_ns: *at_ns,
            thread: thread.map(|thread| thread.0),
            thread_name: fields.thread_name.as_deref(),
            kind: *kind,
            depth: *depth,
            site: fields.site.map(|site| site.0),
            name: fields.name.as_deref(),
            task: fields.task.map(|task| task.0),
            parent: fields.parent,
            future: fields.future.map(|future| future.0),
            duration_ns: fields.duration.map(|Nanos(duration)| duration),
            arguments: fields.arguments.take().map(Named),
            outcome: fields.outcome.map(Outcome::name),
            result: fields.result.take().map(OwnedValuesOut),
            value: fields.value.map(ValueOut),
            message: fields.message.as_deref(),
            events: fields.events,
            ends: fields.ends,
            link: fields.link.take().map(|link| Box::new((*link).into())),
            system: fields.system.take().map(|system| Box::new((*system).into())),
        }
    }
}

/// What other processes call a task.
#[derive(Debug, Serialize)]
pub struct TaskLinkOut {
    /// As in W3C Trace Context.
    traceparent: String,
    /// The span that the task belongs to, in hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span: Option<String>,
}

impl From<TaskLink> for TaskLinkOut {
    fn from(link: TaskLink) -> Self {
        Self { traceparent: link.traceparent, parent_span: link.within }
    }
}

/// What the system did, and where an event was recorded.
#[derive(Debug, Serialize)]
pub struct SystemOut {
    /// The function that was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<String>,
    /// The id of what it was about.
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<u32>,
    /// The name of that: a path, or `local -> peer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_name: Option<String>,
    /// What it returned: bytes, a count, a descriptor; minus the error number if negative.
    #[serde(skip_serializing_if = "Option::is_none")]
    returned: Option<i64>,
    /// The error's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The system's id of a thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    os_thread: Option<u64>,
    /// Whether the thread could have gone on.
    #[serde(skip_serializing_if = "Option::is_none")]
    preempted: Option<bool>,
    /// The number of a sampled allocation.
    #[serde(skip_serializing_if = "Option::is_none")]
    sample: Option<u64>,
    /// Of an allocation or a page.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<u64>,
    /// An allocation's size.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    /// Records that the kernel had no room for.
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<u64>,
    /// With `--stacks`, the id of the stack. That of `poll` and `poll_end` is where the future
    /// waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    stack: Option<u32>,
    /// With `--stacks`, its functions, innermost first, without the recorder's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    frames: Vec<FrameOut>,
}

impl From<SystemFields> for SystemOut {
    fn from(system: SystemFields) -> Self {
        Self {
            call: system.call,
            resource: system.resource.map(|resource| resource.0),
            resource_name: system.resource_name,
            returned: system.returned,
            error: system.error,
            os_thread: system.os_thread,
            preempted: system.preempted,
            sample: system.sample.map(|sample| sample.0),
            address: system.address,
            bytes: system.bytes,
            records: system.records,
            stack: system.stack.map(|stack| stack.0),
            frames: system.frames.into_iter().map(FrameOut::from).collect(),
        }
    }
}
