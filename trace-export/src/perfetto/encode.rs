//! A scene, packet by packet.
//!
//! Tracks, names, stacks and argument names are written once, with the first packet that uses them,
//! and then referred to by number.
//!
//! Elsewhere: the bytes (`packet`), the numbers (`intern`, `stacks`), which track has what
//! (`draw`).

use std::io;

use trace_analysis::symbols::Symbols;
use trace_format::id::StackId;
use trace_format::read::Tables;

use super::annotate::{put_number, put_outcome, put_signed, put_values, put_word};
use super::intern::{Heading, Interner, Name};
use super::message::{
    CounterDescriptor, EventType, GenericKernelTaskStateEvent, MODE_USER, ORDER_CHRONOLOGICAL,
    ORDER_LEXICOGRAPHIC, PerfSample, ProcessDescriptor, TaskState, ThreadDescriptor, TracePacket,
    TrackDescriptor, TrackEvent, UNIT_BYTES,
};
use super::packet::Packets;
use super::stacks::Stacks;
use crate::scene::{
    Arrow, Detail, Label, Mark, Number, Order, OsThread, Scene, State, Track, TrackKind, Unit,
};

/// The process's track.
const PROCESS: u64 = 1;
/// The first thread's track, and the default track of the sequence, because most events are on
/// threads, and most of those on the first one.
pub(super) const FIRST: u64 = 2;

/// Writes a scene.
#[derive(Debug)]
pub(super) struct Encoder<'t, 'w> {
    packets: Packets<'w>,
    names: Interner<'t>,
    stacks: Stacks<'t>,
    next_track: u64,
    has_thread: bool,
    pid: i32,
    failure: Option<io::Error>,
}

impl<'t, 'w> Encoder<'t, 'w> {
    pub(super) fn new(tables: &'t Tables, symbols: &'t Symbols, packets: Packets<'w>) -> Self {
        Self {
            packets,
            names: Interner::new(tables),
            stacks: Stacks::new(tables, symbols),
            next_track: FIRST + 1,
            has_thread: false,
            pid: 1,
            failure: None,
        }
    }

    /// Writes out what is left. Returns the number of packets and bytes.
    pub(super) fn finish(self) -> io::Result<(u64, u64)> {
        match self.failure {
            Some(failure) => Err(failure),
            None => self.packets.finish(),
        }
    }

    fn keep(&mut self, result: io::Result<()>) {
        if let Err(failure) = result {
            self.failure.get_or_insert(failure);
        }
    }

    fn send(&mut self, at: u64) {
        let sent = self.packets.send(at, &mut self.names.fresh);
        self.keep(sent);
    }

    fn send_other(&mut self, at: u64, packet: TracePacket) {
        let sent = self.packets.send_other(at, packet, &mut self.names.fresh);
        self.keep(sent);
    }

    fn heading(&mut self, label: Label<'_>) -> Heading {
        match label {
            Label::Site(site) => self.names.site(site).heading.clone(),
            Label::Name(name, category) => self.names.heading(name, category),
            Label::Text(text, category, site) => Heading {
                name: Name::Text(text.into()),
                category: self.names.category(category),
                location: self.names.site(site).heading.location,
            },
        }
    }

    fn event(&mut self, kind: EventType, track: Track, at: u64, mark: &Mark<'_>) {
        let heading = self.heading(mark.label);
        let stack = Some(mark.stack).filter(|stack| *stack != StackId(0));
        let callstack = stack.and_then(|id| self.stacks.number(id, &mut self.names.fresh));
        let event = self.packets.event(kind, track.0);
        heading.put(event);
        event.callstack_iid = callstack;
        event.flow_ids.extend(mark.arrows.iter().map(|arrow| flow(*arrow)));
        event.correlation_id = Some(mark.task).filter(|task| *task != 0);
        mark.details.iter().for_each(|detail| put(event, &mut self.names, detail));
        self.send(at);
    }

    /// Begins or ends a slice that has only a label, as most have.
    fn plain(&mut self, kind: EventType, track: Track, at: u64, label: Option<Label<'_>>) {
        let site = match label {
            Some(Label::Site(site)) => Some(site),
            _ => None,
        };
        let alike = (track.0, site);
        match self.packets.send_alike(at, alike) {
            Ok(false) => {}
            sent => return self.keep(sent.map(|_| ())),
        }
        let event = self.packets.event(kind, track.0);
        if let Some(site) = site {
            self.names.site(site).heading.put(event);
        }
        let sent = self.packets.send_and_keep(at, alike, &mut self.names.fresh);
        self.keep(sent);
    }

    fn number(&mut self) -> u64 {
        let number = self.next_track;
        self.next_track += 1;
        number
    }

    fn thread(&mut self, name: &str, os_id: u64) -> TrackDescriptor {
        let is_first = !std::mem::replace(&mut self.has_thread, true);
        let uuid = if is_first { FIRST } else { self.number() };
        let tid = i64::try_from(os_id).ok().filter(|&tid| tid > 0);
        let thread = tid.map(|tid| ThreadDescriptor {
            pid: Some(self.pid),
            tid: Some(tid),
            thread_name: Some(name.to_owned()),
        });
        // Without the system's thread id this cannot be a thread's track; it has the thread's name.
        let name = tid.is_none().then(|| name.to_owned());
        TrackDescriptor { uuid: Some(uuid), name, thread, ..TrackDescriptor::default() }
    }

    fn process(&mut self, pid: u64, line: &str) -> TrackDescriptor {
        // A process id of 0 would mean the idle process.
        self.pid = i32::try_from(pid).ok().filter(|&pid| pid > 0).unwrap_or(1);
        let name = Some(line).filter(|line| !line.is_empty());
        TrackDescriptor {
            uuid: Some(PROCESS),
            process: Some(ProcessDescriptor {
                pid: Some(self.pid),
                cmdline: name.into_iter().map(str::to_owned).collect(),
                process_name: Some(name.unwrap_or("unknown process").to_owned()),
            }),
            ..TrackDescriptor::default()
        }
    }
}

impl Scene for Encoder<'_, '_> {
    // Viewers drop slices that are nested deeper, but not their ends, which then end other slices.
    // Perfetto's limit was 255 once and is 512 today.
    const DEPTH_MAX: usize = 250;

    fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    fn track(&mut self, below: Option<Track>, name: &str, kind: TrackKind<'_>) -> Track {
        let descriptor = match kind {
            TrackKind::Process(pid, line) => self.process(pid, line),
            TrackKind::Thread(os_id) => self.thread(name, os_id),
            TrackKind::Group(_) | TrackKind::Row | TrackKind::Counter(_) => TrackDescriptor {
                uuid: Some(self.number()),
                name: Some(name.to_owned()),
                ..TrackDescriptor::default()
            },
        };
        let child_ordering = match kind {
            TrackKind::Group(Order::Name) => Some(ORDER_LEXICOGRAPHIC),
            TrackKind::Group(Order::Time) => Some(ORDER_CHRONOLOGICAL),
            _ => None,
        };
        let counter = match kind {
            TrackKind::Counter(Unit::Bytes) => Some(CounterDescriptor { unit: Some(UNIT_BYTES) }),
            TrackKind::Counter(Unit::None) => Some(CounterDescriptor { unit: None }),
            _ => None,
        };
        let parent_uuid = below.map(|track| track.0);
        let track = Track(descriptor.uuid.unwrap_or(PROCESS));
        let descriptor = TrackDescriptor { parent_uuid, child_ordering, counter, ..descriptor };
        let described = self.packets.describe(descriptor);
        self.keep(described);
        track
    }

    #[inline]
    fn begin(&mut self, track: Track, at: u64, mark: &Mark<'_>) {
        let is_plain = mark.details.is_empty() && mark.arrows.is_empty() && mark.task == 0;
        match mark.label {
            Label::Site(_) if is_plain && mark.stack == StackId(0) => {
                self.plain(EventType::SliceBegin, track, at, Some(mark.label));
            }
            _ => self.event(EventType::SliceBegin, track, at, mark),
        }
    }

    #[inline]
    fn end(&mut self, track: Track, at: u64, details: &[Detail<'_>]) {
        if details.is_empty() {
            return self.plain(EventType::SliceEnd, track, at, None);
        }
        let event = self.packets.event(EventType::SliceEnd, track.0);
        details.iter().for_each(|detail| put(event, &mut self.names, detail));
        self.send(at);
    }

    fn instant(&mut self, track: Track, at: u64, mark: &Mark<'_>) {
        self.event(EventType::Instant, track, at, mark);
    }

    fn counter(&mut self, track: Track, at: u64, value: Number) {
        let event = self.packets.event(EventType::Counter, track.0);
        match value {
            Number::Whole(value) => event.counter_value = Some(value),
            Number::Real(value) => event.double_counter_value = Some(value),
        }
        self.send(at);
    }

    fn state(&mut self, thread: OsThread<'_>, at: u64, state: State) {
        let (sent, cpu) = match state {
            State::Running(cpu) => (TaskState::Running, cpu),
            State::Ready => (TaskState::Runnable, 0),
            // Importers take no better description of an unknown state.
            State::Asleep | State::Unknown => (TaskState::Sleep, 0),
        };
        let state = GenericKernelTaskStateEvent {
            cpu: i32::try_from(cpu).ok(),
            comm: Some(thread.name.to_owned()),
            tid: i64::try_from(thread.id).ok(),
            state: Some(sent as i32),
        };
        let generic_kernel_task_state_event = Some(state);
        let packet = TracePacket { generic_kernel_task_state_event, ..TracePacket::default() };
        self.send_other(at, packet);
    }

    fn sample(&mut self, thread: OsThread<'_>, cpu: u32, at: u64, stack: StackId) -> bool {
        let callstack_iid = self.stacks.number(stack, &mut self.names.fresh);
        if callstack_iid.is_none() {
            return false;
        }
        let perf_sample = Some(PerfSample {
            cpu: Some(cpu),
            pid: u32::try_from(self.pid).ok(),
            tid: u32::try_from(thread.id).ok(),
            callstack_iid,
            cpu_mode: Some(MODE_USER),
        });
        self.send_other(at, TracePacket { perf_sample, ..TracePacket::default() });
        true
    }
}

fn put(event: &mut TrackEvent, names: &mut Interner<'_>, detail: &Detail<'_>) {
    match *detail {
        Detail::Number(name, number) => put_number(event, names, name, number),
        Detail::Signed(name, number) => put_signed(event, names, name, number),
        Detail::Word(name, word) => put_word(event, names, name, word),
        Detail::Values(site, values) => put_values(event, names, site, values),
        Detail::Outcome(outcome, values) => put_outcome(event, names, outcome, values),
    }
}

/// An arrow's number. Ids count up from 1, so no two share one.
fn flow(arrow: Arrow) -> u64 {
    match arrow {
        Arrow::Task(task) => task << 1,
        Arrow::Future(future) => future << 1 | 1,
        Arrow::Wake(number) => 1 << 63 | number,
        Arrow::Poll(number) => 1 << 62 | number,
        Arrow::Join(thread) => 1 << 61 | thread,
    }
}
