//! CPU lanes: which thread ran where, what it was doing, and the states of threads between.
//!
//! States are sent as the viewer's own kind of event, so that it shows its rows of CPUs and, above
//! every thread, whether it ran, was ready, or slept. Always true:
//!
//! - **C1** A thread that is sent as running is not sent as running again before it left: importers
//!   refuse that, and lost records would make it so.
//! - **C2** Every thread that is named here was described before: so it belongs to the process.
//!
//! Elsewhere: which wake made a thread ready (`calls`).

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;

use trace_format::event::{Event, EventKind};
use trace_format::id::{StackId, ThreadId};
use trace_format::read::Tables;
use trace_format::time::Ticks;

use super::annotate::{put_number, put_word};
use super::convert::{Converter, OWN_CATEGORY};
use super::message::{
    EventType, GenericKernelTaskStateEvent, MODE_USER, PerfSample, TaskState, TracePacket,
};
use super::tracks::PROCESS;

/// So many of the system's threads are followed; a trace of more is not of one program.
const THREADS_MAX: usize = 1 << 16;

/// What the scheduler says of threads.
#[derive(Debug)]
pub(super) struct Cpus {
    threads: HashMap<u64, OsThread>,
    /// Recording threads by the system's ids, each id's in the order of their begins.
    recorders: HashMap<u64, Vec<ThreadId>>,
}

/// One of the system's threads.
#[derive(Clone, Debug)]
struct OsThread {
    name: String,
    state: State,
    /// When it slept last, from and to: for a wake that is noticed late.
    slept: Option<(u64, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unknown,
    Running(u32),
    Ready,
    /// Since when.
    Asleep(u64),
}

impl State {
    fn sent(self) -> TaskState {
        match self {
            Self::Running(_) => TaskState::Running,
            Self::Ready => TaskState::Runnable,
            Self::Asleep(_) | Self::Unknown => TaskState::Sleep,
        }
    }
}

impl Cpus {
    pub(super) fn new(tables: &Tables) -> Self {
        let mut recorders = HashMap::<u64, Vec<ThreadId>>::new();
        for thread in tables.threads.values().filter(|thread| thread.os_id > 0) {
            recorders.entry(thread.os_id).or_default().push(thread.id);
        }
        for ids in recorders.values_mut() {
            ids.sort_by_key(|id| tables.threads[id].first);
        }
        Self { threads: HashMap::new(), recorders }
    }

    /// The recording thread that had this id of the system at `at`: the last one that had recorded
    /// by then, else the first one that will.
    fn recorder(&self, tables: &Tables, os_thread: u64, at: Ticks) -> Option<ThreadId> {
        let ids = self.recorders.get(&os_thread)?;
        let by_then = ids.partition_point(|id| tables.threads[id].first <= at);
        ids.get(by_then.saturating_sub(1)).copied()
    }
}

impl Converter<'_, '_> {
    /// Sends what an event of a CPU needs.
    pub(super) fn cpu_event(&mut self, cpu: u32, event: &Event<'_>) -> io::Result<()> {
        self.totals.events += 1;
        let (ticks, at) = (event.ticks, self.nanos(event.ticks));
        match event.kind {
            EventKind::SwitchIn { os_thread } => {
                self.switch(os_thread, (ticks, at), cpu, State::Running(cpu))
            }
            EventKind::SwitchOut { os_thread, preempted: true } => {
                self.switch(os_thread, (ticks, at), cpu, State::Ready)
            }
            EventKind::SwitchOut { os_thread, preempted: false } => {
                self.switch(os_thread, (ticks, at), cpu, State::Asleep(at))
            }
            EventKind::Sample { os_thread, stack } => {
                self.sample(cpu, os_thread, (ticks, at), stack)
            }
            EventKind::Fault { os_thread, address, stack } => {
                self.fault(os_thread, (ticks, at), address, stack)
            }
            EventKind::LostKernel { records } => self.records_lost(cpu, at, records),
            _ => {
                self.totals.unknown += 1;
                Ok(())
            }
        }
    }

    fn switch(
        &mut self,
        os_thread: u64,
        (ticks, at): (Ticks, u64),
        cpu: u32,
        state: State,
    ) -> io::Result<()> {
        // Threads that are no one's run when nothing else does.
        if os_thread == 0 {
            return Ok(());
        }
        if !self.know(os_thread, ticks)? {
            self.totals.hidden += 1;
            return Ok(());
        }
        let thread = self.cpus.threads.get_mut(&os_thread).expect("known since then");
        let before = std::mem::replace(&mut thread.state, state);
        if let (State::Asleep(since), State::Running(_)) = (before, state) {
            thread.slept = Some((since, at));
        }
        if let (State::Running(old), State::Running(_)) = (before, state) {
            // C1: when it left is lost.
            self.send_state(os_thread, old, at, TaskState::Sleep)?;
        }
        self.send_state(os_thread, cpu, at, state.sent())
    }

    /// A thread was woken at `at`, which is said when its wait ends. If it slept then, it was ready
    /// from then on.
    pub(super) fn ready(&mut self, thread: ThreadId, at: u64) -> io::Result<()> {
        let Some(thread) = self.tables.threads.get(&thread) else { return Ok(()) };
        let os_thread = thread.os_id;
        let slept = self.cpus.threads.get_mut(&os_thread).and_then(|thread| thread.slept.take());
        match slept {
            // At the very begin or end it would be another state's.
            Some((from, to)) if from < at && at < to => {
                self.send_state(os_thread, 0, at, TaskState::Runnable)
            }
            _ => Ok(()),
        }
    }

    fn send_state(
        &mut self,
        os_thread: u64,
        cpu: u32,
        at: u64,
        state: TaskState,
    ) -> io::Result<()> {
        let name = self.cpus.threads.get(&os_thread).map(|thread| thread.name.clone());
        let state = GenericKernelTaskStateEvent {
            cpu: i32::try_from(cpu).ok(),
            comm: name,
            tid: i64::try_from(os_thread).ok(),
            state: Some(state as i32),
        };
        let generic_kernel_task_state_event = Some(state);
        let packet = TracePacket { generic_kernel_task_state_event, ..TracePacket::default() };
        self.packets.send_other(at, packet, &mut self.names.fresh)
    }

    /// Describes one of the system's threads, if it is new (C2). Whether there was room.
    fn know(&mut self, os_thread: u64, at: Ticks) -> io::Result<bool> {
        let recorder = self.cpus.recorder(self.tables, os_thread, at);
        let name = recorder.map(|id| self.tables.thread_name(id));
        if let Some(known) = self.cpus.threads.get_mut(&os_thread) {
            // Another thread may have the id by now.
            if let Some(name) = name.filter(|name| *name != known.name) {
                known.name = name.into_owned();
                self.os_lane(os_thread, at)?;
            }
            return Ok(true);
        }
        if self.cpus.threads.len() >= THREADS_MAX || i32::try_from(os_thread).is_err() {
            return Ok(false);
        }
        let name = name.map_or_else(|| format!("thread {os_thread}"), Cow::into_owned);
        if recorder.is_none() {
            self.tracks.thread(&name, os_thread, &mut self.packets)?;
        }
        let known = OsThread { name, state: State::Unknown, slept: None };
        self.cpus.threads.insert(os_thread, known);
        self.os_lane(os_thread, at)?;
        Ok(true)
    }

    /// The lane of the recording thread with this id of the system.
    fn os_lane(&mut self, os_thread: u64, at: Ticks) -> io::Result<Option<usize>> {
        match self.cpus.recorder(self.tables, os_thread, at) {
            Some(thread) => self.lane(thread).map(Some),
            None => Ok(None),
        }
    }

    fn sample(
        &mut self,
        cpu: u32,
        os_thread: u64,
        (ticks, at): (Ticks, u64),
        stack: StackId,
    ) -> io::Result<()> {
        let callstack_iid = self.callstack(stack);
        if callstack_iid.is_none() || !self.know(os_thread, ticks)? {
            self.totals.hidden += 1;
            return Ok(());
        }
        let perf_sample = Some(PerfSample {
            cpu: Some(cpu),
            pid: u32::try_from(self.tracks.pid()).ok(),
            tid: u32::try_from(os_thread).ok(),
            callstack_iid,
            cpu_mode: Some(MODE_USER),
        });
        let packet = TracePacket { perf_sample, ..TracePacket::default() };
        self.totals.samples += 1;
        self.packets.send_other(at, packet, &mut self.names.fresh)
    }

    /// A mark on the thread that had to wait for a page.
    fn fault(
        &mut self,
        os_thread: u64,
        (ticks, at): (Ticks, u64),
        address: u64,
        stack: StackId,
    ) -> io::Result<()> {
        let Some(lane) = self.os_lane(os_thread, ticks)? else {
            self.totals.hidden += 1;
            return Ok(());
        };
        let callstack = self.callstack(stack);
        let heading = self.names.heading("page fault", OWN_CATEGORY);
        let event = self.packets.event(EventType::Instant, self.track(lane));
        heading.put(event);
        event.callstack_iid = callstack;
        put_word(event, &mut self.names, "address", &format!("{address:#x}"));
        self.send(lane, at)
    }

    /// The system lost records: a mark on the process, as it may be about any thread.
    fn records_lost(&mut self, cpu: u32, at: u64, records: u64) -> io::Result<()> {
        self.totals.lost_records = self.totals.lost_records.saturating_add(records);
        let heading = self.names.heading("KERNEL RECORDS LOST", OWN_CATEGORY);
        let event = self.packets.event(EventType::Instant, PROCESS);
        heading.put(event);
        put_number(event, &mut self.names, "cpu", cpu.into());
        put_number(event, &mut self.names, "records", records);
        self.packets.send(at, &mut self.names.fresh)
    }
}
