//! Lines about what the system did: calls into it, what ran where, allocations.

use trace_format::event::EventKind;
use trace_format::id::{CallId, OpenCall, ResourceId, SampleId, StackId, ThreadId};
use trace_format::read::Timed;
use trace_format::time::Ticks;

use super::{Line, Lines, futures};
use crate::label::places::Place;
use crate::label::{call, errno, units};

/// The fields of such lines. Those that do not apply are empty.
#[derive(Debug, Default)]
pub struct SystemFields {
    /// The function.
    pub call: Option<String>,
    /// What it was about.
    pub resource: Option<ResourceId>,
    /// The name of that, as the trace has it.
    pub resource_name: Option<String>,
    /// Bytes, a count; minus the error number if negative.
    pub returned: Option<i64>,
    /// The name of the error.
    pub error: Option<String>,
    /// The system's id of a thread.
    pub os_thread: Option<u64>,
    /// Whether it could have gone on.
    pub preempted: Option<bool>,
    /// A sampled allocation's number.
    pub sample: Option<SampleId>,
    /// Of an allocation or a page.
    pub address: Option<u64>,
    /// Of an allocation.
    pub bytes: Option<u64>,
    /// Records that the kernel had no room for.
    pub records: Option<u64>,
    /// Where it was recorded, if stacks are wanted.
    pub stack: Option<StackId>,
    /// The functions of that stack, innermost first.
    pub frames: Vec<Place>,
}

impl SystemFields {
    /// Adds what a call returned.
    fn set_result(&mut self, result: i64) {
        self.returned = Some(result);
        self.error = (result < 0).then(|| errno::shown(result.unsigned_abs()));
    }

    /// Of an event of a CPU.
    ///
    /// - `os_thread`: the system's id of the thread it is about.
    fn of_cpu(kind: &EventKind<'_>, os_thread: u64) -> Self {
        let system = Self { os_thread: Some(os_thread), ..Self::default() };
        match *kind {
            EventKind::SwitchOut { preempted, .. } => Self { preempted: Some(preempted), ..system },
            EventKind::Fault { address, .. } => Self { address: Some(address), ..system },
            EventKind::LostKernel { records } => {
                Self { records: Some(records), os_thread: None, ..system }
            }
            _ => system,
        }
    }
}

/// The stack that an event was recorded at.
pub(super) fn stack_of(kind: &EventKind<'_>) -> Option<StackId> {
    let stack = match *kind {
        EventKind::Call { call, .. } | EventKind::CallBegin { call } => Some(call.stack),
        EventKind::Alloc { stack, .. }
        | EventKind::Sample { stack, .. }
        | EventKind::Fault { stack, .. } => Some(stack),
        EventKind::Region { values, .. }
        | EventKind::RegionBegin { values, .. }
        | EventKind::Instant { values, .. }
        | EventKind::TaskBeginSite { values, .. } => values.stack(),
        _ => futures::stack_of(kind),
    };
    stack.filter(|stack| *stack != StackId(0))
}

impl Line {
    /// Appends what a call returned that has ended.
    pub(super) fn push_ending(&mut self, made: CallId, result: i64) {
        call::push_ending(&mut self.text, made, result);
        if let Some(fields) = self.fields() {
            fields.system.get_or_insert_default().set_result(result);
        }
    }

    /// An allocation that is a sample.
    pub(super) fn allocation(&mut self, sample: SampleId, address: u64, bytes: u64) {
        self.kind = "alloc";
        self.text.push_str("sampled allocation ");
        self.push_id(sample.0);
        self.text.push_str(" of ");
        self.text.push_str(&units::bytes(bytes));
        if let Some(fields) = self.fields() {
            let (sample, address, bytes) = (Some(sample), Some(address), Some(bytes));
            let system = SystemFields { sample, address, bytes, ..SystemFields::default() };
            fields.system = Some(Box::new(system));
        }
    }

    /// The end of one.
    pub(super) fn freed(&mut self, sample: SampleId) {
        self.kind = "free";
        self.text.push_str("sampled allocation ");
        self.push_id(sample.0);
        self.text.push_str(" freed");
        if let Some(fields) = self.fields() {
            let system = SystemFields { sample: Some(sample), ..SystemFields::default() };
            fields.system = Some(Box::new(system));
        }
    }
}

impl Lines<'_> {
    /// Appends a call: its name, and what it is about.
    pub(super) fn push_call(&mut self, line: &mut Line, made: OpenCall) {
        let name = trace_export::label::call::name(made.call);
        line.text.push_str(&name);
        self.words.push_resource(&mut line.text, made.resource);
        if let Some(fields) = line.fields() {
            let system = SystemFields {
                call: Some(name.into_owned()),
                resource: (made.resource.0 > 0).then_some(made.resource),
                resource_name: self.names.resource_name(made.resource),
                ..SystemFields::default()
            };
            fields.system = Some(Box::new(system));
        }
    }

    /// A call with nothing inside.
    pub(super) fn call(
        &mut self,
        line: &mut Line,
        made: OpenCall,
        at: Ticks,
        (returned, duration): (i64, Ticks),
    ) {
        line.kind = "call";
        self.push_call(line, made);
        line.push_ending(made.call, returned);
        line.text.push_str("  ");
        line.push_duration(self.names.duration(at, duration));
    }

    /// What happened on a CPU.
    pub(super) fn cpu_event(&mut self, timed: &Timed<'_>) {
        let Timed { thread, event } = *timed;
        let (kind, os_thread, what) = match event.kind {
            EventKind::SwitchIn { os_thread } => ("switch_in", os_thread, " runs"),
            EventKind::SwitchOut { os_thread, preempted: true } => {
                ("switch_out", os_thread, " is put off")
            }
            EventKind::SwitchOut { os_thread, preempted: false } => {
                ("switch_out", os_thread, " waits")
            }
            EventKind::Sample { os_thread, .. } => ("sample", os_thread, " seen running"),
            EventKind::Fault { os_thread, .. } => ("page_fault", os_thread, " waits for the page"),
            EventKind::LostKernel { .. } => ("lost_records", 0, ""),
            _ => ("unknown", 0, "an unknown event"),
        };
        let mut line = self.start(kind);
        if !matches!(kind, "lost_records" | "unknown") {
            self.names.push_os_thread(&mut line.text, os_thread, event.ticks);
        }
        line.text.push_str(what);
        match event.kind {
            EventKind::Fault { address, .. } => {
                line.text.push_str(&format!(" at {address:#x}"));
            }
            EventKind::LostKernel { records } => {
                let lost = units::plural(records, "record", "records");
                line.text.push_str(&format!("!! LOST {lost} of what ran where"));
            }
            _ => {}
        }
        if let Some(fields) = line.fields() {
            fields.system = Some(Box::new(SystemFields::of_cpu(&event.kind, os_thread)));
        }
        self.push_with_stack(thread, &event.kind, event.ticks, line);
    }

    /// Adds a line, and the stack that its event was recorded at.
    pub(super) fn push_with_stack(
        &mut self,
        thread: ThreadId,
        kind: &EventKind<'_>,
        at: Ticks,
        mut line: Line,
    ) {
        if let Some(places) = self.places
            && let Some(stack) = stack_of(kind)
        {
            match line.fields() {
                Some(fields) => {
                    let system = fields.system.get_or_insert_default();
                    system.stack = Some(stack);
                    system.frames = places.frames(stack).iter().map(Place::new).collect();
                }
                None => line.below = places.lines(stack),
            }
        }
        self.push(thread, self.nanos(at), line);
    }
}
