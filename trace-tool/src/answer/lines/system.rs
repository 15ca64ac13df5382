//! Lines about what the system did: calls into it, what ran where, allocations.

use trace_format::event::EventKind;
use trace_format::id::{OpenCall, ResourceId, SampleId, StackId, ThreadId};
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
    pub(super) fn set_result(&mut self, result: i64) {
        self.returned = Some(result);
        self.error = (result < 0).then(|| errno::shown(result.unsigned_abs()));
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

/// An allocation that is a sample.
pub(super) fn allocation(sample: SampleId, address: u64, bytes: u64) -> Line {
    let text = format!("sampled allocation #{} of {}", sample.0, units::bytes(bytes));
    let (sample, address, bytes) = (Some(sample), Some(address), Some(bytes));
    let fields = SystemFields { sample, address, bytes, ..SystemFields::default() };
    Line { kind: "alloc", text, system: Some(Box::new(fields)), ..Line::default() }
}

/// The end of one.
pub(super) fn freed(sample: SampleId) -> Line {
    let text = format!("sampled allocation #{} freed", sample.0);
    let fields = SystemFields { sample: Some(sample), ..SystemFields::default() };
    Line { kind: "free", text, system: Some(Box::new(fields)), ..Line::default() }
}

impl Lines<'_> {
    /// The fields that say which call it is, and the same for people.
    pub(super) fn call_fields(&self, made: OpenCall) -> (Line, String) {
        let name = call::name(made.call);
        let resource = call::resource(self.names.tables(), made.resource);
        let text = match &resource {
            Some(resource) => format!("{name} {resource}"),
            None => name.clone(),
        };
        let system = SystemFields {
            call: Some(name),
            resource: (made.resource.0 > 0).then_some(made.resource),
            resource_name: self.names.resource_name(made.resource),
            ..SystemFields::default()
        };
        (Line { system: Some(Box::new(system)), ..Line::default() }, text)
    }

    /// A call with nothing inside.
    pub(super) fn call(&self, made: OpenCall, at: Ticks, returned: i64, duration: Ticks) -> Line {
        let (mut line, text) = self.call_fields(made);
        let duration = self.names.duration(at, duration);
        line.text =
            format!("{text}{}  {}", call::ending(made.call, returned), units::time(duration));
        line.kind = "call";
        line.duration = Some(duration);
        line.system.get_or_insert_default().set_result(returned);
        line
    }

    /// What happened on a CPU.
    pub(super) fn cpu_event(&mut self, timed: &Timed<'_>) {
        let Timed { thread, event } = *timed;
        let at = event.ticks;
        let who = |os_thread| self.names.os_thread(os_thread, at);
        let (kind, text, os_thread) = match event.kind {
            EventKind::SwitchIn { os_thread } => {
                ("switch_in", format!("{} runs", who(os_thread)), os_thread)
            }
            EventKind::SwitchOut { os_thread, preempted: true } => {
                ("switch_out", format!("{} is put off", who(os_thread)), os_thread)
            }
            EventKind::SwitchOut { os_thread, preempted: false } => {
                ("switch_out", format!("{} waits", who(os_thread)), os_thread)
            }
            EventKind::Sample { os_thread, .. } => {
                ("sample", format!("{} seen running", who(os_thread)), os_thread)
            }
            EventKind::Fault { os_thread, address, .. } => {
                let text = format!("{} waits for the page at {address:#x}", who(os_thread));
                ("page_fault", text, os_thread)
            }
            EventKind::LostKernel { records } => {
                let lost = units::plural(records, "record", "records");
                ("lost_records", format!("!! LOST {lost} of what ran where"), 0)
            }
            _ => ("unknown", "an unknown event".to_owned(), 0),
        };
        let mut system = SystemFields { os_thread: Some(os_thread), ..SystemFields::default() };
        match event.kind {
            EventKind::SwitchOut { preempted, .. } => system.preempted = Some(preempted),
            EventKind::Fault { address, .. } => system.address = Some(address),
            EventKind::LostKernel { records } => {
                (system.records, system.os_thread) = (Some(records), None);
            }
            _ => {}
        }
        let line = Line { kind, text, system: Some(Box::new(system)), ..Line::default() };
        self.push_with_stack(thread, &event.kind, at, line);
    }

    /// Adds a line, and below it the stack that its event was recorded at.
    pub(super) fn push_with_stack(
        &mut self,
        thread: ThreadId,
        kind: &EventKind<'_>,
        at: Ticks,
        mut line: Line,
    ) {
        if let (Some(places), Some(stack)) = (self.places, stack_of(kind)) {
            let system = line.system.get_or_insert_default();
            system.stack = Some(stack);
            system.frames = places.frames(stack).iter().map(Place::new).collect();
            line.below = places.lines(stack);
        }
        self.push(thread, self.nanos(at), line);
    }
}
