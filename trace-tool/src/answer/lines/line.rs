//! One line: a text for people, fields for programs.

use std::rc::Rc;

use trace_analysis::regions::OwnedValues;
use trace_format::event::Outcome;
use trace_format::id::{FutureId, SiteId, TaskId, ThreadId};
use trace_format::time::Nanos;
use trace_format::value::Value;

use super::words::SiteWords;
use super::{SystemFields, TaskLink};
use crate::label::names::NamedValues;
use crate::label::units;

/// Maximum number of bytes that are kept of a line's memory.
const FREE_BYTES_MAX: usize = 1 << 12;

/// One line.
#[derive(Debug, Default)]
pub struct Line {
    /// Since the first clock snapshot.
    pub at_ns: u64,
    /// Whose.
    pub thread: Option<ThreadId>,
    /// What happened.
    pub kind: &'static str,
    /// How many things were open around it.
    pub depth: usize,
    /// For people, safe to print.
    pub text: String,
    /// More lines for people: a stack. Programs have it in the fields.
    pub below: Vec<String>,
    /// For programs; nothing if none reads it.
    pub fields: Option<Box<EventFields>>,
}

/// What a line has for programs. Those that do not apply are empty.
#[derive(Debug, Default)]
pub struct EventFields {
    /// The thread's name as the trace has it.
    pub thread_name: Option<Rc<str>>,
    /// The call site.
    pub site: Option<SiteId>,
    /// Of the call site or the task, as the trace has it.
    pub name: Option<Rc<str>>,
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
}

impl Line {
    /// Whether it says that something is missing.
    #[must_use]
    pub fn is_loud(&self) -> bool {
        matches!(self.kind, "dropped" | "fault" | "lost_records")
    }

    /// What programs read, if they do.
    pub(super) fn fields(&mut self) -> Option<&mut EventFields> {
        self.fields.as_deref_mut()
    }

    /// Appends a number that names something: `#12`.
    pub(super) fn push_id(&mut self, id: u64) {
        self.text.push('#');
        units::push_number(&mut self.text, id);
    }

    /// Appends a duration.
    pub(super) fn push_duration(&mut self, duration: Nanos) {
        units::push_time(&mut self.text, duration);
        if let Some(fields) = self.fields() {
            fields.duration = Some(duration);
        }
    }

    /// Says which call site it is about.
    pub(super) fn set_site(&mut self, words: &SiteWords) {
        if let Some(fields) = self.fields() {
            (fields.site, fields.name) = (Some(words.id), words.name.clone());
        }
    }

    /// Forgets all but the memory.
    pub(super) fn clear(&mut self) {
        let Self { mut text, mut below, mut fields, .. } = std::mem::take(self);
        text.clear();
        text.shrink_to(FREE_BYTES_MAX);
        below.clear();
        if let Some(fields) = &mut fields {
            **fields = EventFields::default();
        }
        *self = Self { text, below, fields, ..Self::default() };
    }
}
