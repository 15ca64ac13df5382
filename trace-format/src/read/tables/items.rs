//! What single definitions say, owned: threads, the process, generations, states, the stop.

use crate::definition::OpenSince;
use crate::id::{FutureId, SiteId, StackId, TaskId, ThreadId};
use crate::time::{ClockKind, Nanos, Ticks};

/// A thread of the traced program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Batches name it by this.
    pub id: ThreadId,
    /// The system's id; 0 if its definition is missing.
    pub os_id: u64,
    /// Its name, the latest; may be empty.
    pub name: String,
    /// Its names and since when each, in time order.
    pub names: Vec<(Ticks, String)>,
    /// When it recorded for the first time.
    pub first: Ticks,
    /// The thread that made it; 0 if none or unknown.
    pub parent: ThreadId,
    /// Where it was made; 0 if unknown.
    pub stack: StackId,
    /// The address of the function it began with; 0 if unknown.
    pub entry: u64,
    /// Its totals, if the trace has them.
    pub end: Option<ThreadEnd>,
}

impl Thread {
    /// A thread of which only the id is known.
    pub(super) fn unknown(id: ThreadId, first: Ticks) -> Self {
        Self {
            id,
            os_id: 0,
            name: String::new(),
            names: Vec::new(),
            first,
            parent: ThreadId(0),
            stack: StackId(0),
            entry: 0,
            end: None,
        }
    }

    /// Takes a name; one from before the latest changes nothing.
    pub(super) fn rename(&mut self, since: Ticks, name: String) {
        if self.names.last().is_some_and(|(latest, _)| *latest > since) || self.name == name {
            return;
        }
        self.name.clone_from(&name);
        self.names.push((since, name));
    }

    /// Its name at a time; may be empty.
    #[must_use]
    pub fn name_at(&self, ticks: Ticks) -> &str {
        let count = self.names.partition_point(|(since, _)| *since <= ticks);
        // Before its first name it has that name already.
        self.names.get(count.saturating_sub(1)).map_or(&self.name, |(_, name)| name)
    }
}

/// What is known of a thread when it, or the trace, has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadEnd {
    /// Whether the thread has ended; else only the trace has.
    pub ended: bool,
    /// When that was.
    pub ticks: Ticks,
    /// Events it wrote, in all its batches.
    pub events: u64,
    /// Events that were dropped because memory was at its bound.
    pub dropped_events: u64,
    /// Ends that were dropped because memory was at its bound.
    pub dropped_ends: u64,
}

/// What the kernel has counted for a thread, as far as the trace says so. Each time is counted
/// since the thread was made, so what it spent in the trace is the last minus the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadTimes {
    /// On a CPU: first and last.
    pub cpu: Option<(Counted, Counted)>,
    /// Able to run, and not on a CPU: first and last.
    pub ready: Option<(Counted, Counted)>,
}

/// A time that had been counted by a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// The moment.
    pub ticks: Ticks,
    /// The time.
    pub nanos: Nanos,
}

impl ThreadTimes {
    pub(super) fn note(&mut self, ticks: Ticks, cpu: Nanos, ready: Option<Nanos>) {
        let note = |place: &mut Option<(Counted, Counted)>, nanos| {
            let counted = Counted { ticks, nanos };
            let (first, last) = place.get_or_insert((counted, counted));
            if counted.ticks < first.ticks {
                *first = counted;
            }
            if counted.ticks >= last.ticks {
                *last = counted;
            }
        };
        note(&mut self.cpu, cpu);
        if let Some(ready) = ready {
            note(&mut self.ready, ready);
        }
    }
}

/// What was traced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// The system's id.
    pub pid: u64,
    /// The file name of the executable.
    pub executable: String,
    /// As in `std::env::consts::OS`.
    pub os: String,
    /// As in `std::env::consts::ARCH`.
    pub arch: String,
    /// The clock that times events.
    pub clock: ClockKind,
    /// The recorder's version.
    pub tracer: String,
}

/// The trace's totals, written when it was stopped properly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// When.
    pub ticks: Ticks,
    /// Events in all batches.
    pub events: u64,
    /// Events that were dropped because memory was at its bound.
    pub dropped_events: u64,
    /// Ends that were dropped because memory was at its bound.
    pub dropped_ends: u64,
    /// CPU time of the recorder's own threads; 0 if it is not known, as in a snapshot that a
    /// process took while it went on.
    pub tracer_cpu: Nanos,
    /// Maximum memory that batches took, in bytes; 0 if that is not known.
    pub memory_max: u64,
}

impl Stop {
    /// CPU time of the recorder's own threads, if it is known.
    #[must_use]
    pub fn known_cpu(&self) -> Option<Nanos> {
        Some(self.tracer_cpu).filter(|cpu| cpu.0 > 0)
    }

    /// Maximum memory that batches took, in bytes, if that is known.
    #[must_use]
    pub fn known_memory(&self) -> Option<u64> {
        Some(self.memory_max).filter(|bytes| *bytes > 0)
    }
}

/// The begin of a stretch of trace that stands by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    /// From 1.
    pub number: u32,
    /// When.
    pub ticks: Ticks,
}

/// What was open on a thread when a generation began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadState {
    /// Which.
    pub id: ThreadId,
    /// The generation's number.
    pub generation: u32,
    /// The state holds in front of the payload byte `offset` of the batch `sequence`.
    pub sequence: u32,
    /// See `sequence`.
    pub offset: u32,
    /// More is open than the recorder can list: deeper regions.
    pub more: bool,
    /// Outermost first.
    pub open: Vec<OpenSince>,
}

/// A task that was open when a generation began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskState {
    /// Which.
    pub id: TaskId,
    /// The task it belongs to; 0 for none.
    pub parent: TaskId,
    /// Its name.
    pub name: String,
    /// Its true begin.
    pub begin: Ticks,
}

/// A future that was neither done nor dropped when a generation began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FutureState {
    /// Which.
    pub id: FutureId,
    /// The future that was being polled where this one came from; 0 if none.
    pub parent: FutureId,
    /// The task it works for; 0 for none.
    pub task: TaskId,
    /// What it is, and where it came from.
    pub site: SiteId,
    /// Its true begin.
    pub begin: Ticks,
    /// It was handed over to be polled elsewhere.
    pub spawned: bool,
    /// Where it waited; 0 if unknown.
    pub waits_at: StackId,
    /// When the last poll began that left it waiting; 0 if there was none.
    pub since: Ticks,
    /// It was written in a generation whose events the trace does not have. So it says what the
    /// future is, but not that it lived when the trace began, nor what it waited for.
    pub is_old: bool,
}

/// The whole process stood still for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// No thread of it ran from here on, or from earlier on.
    pub from: Ticks,
    /// The end of that time. In a faulty trace it may be before `from`.
    pub to: Ticks,
    /// 0: it was stopped, all the time from `from` to `to`. Else the machine was suspended for this
    /// long at some time in between, and the monotonic clock did not count that.
    pub suspended: Nanos,
}

/// A call site was switched on or off while the trace ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    /// Which.
    pub site: SiteId,
    /// Whether it is on now.
    pub on: bool,
    /// When.
    pub ticks: Ticks,
}
