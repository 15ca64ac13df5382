//! THE table: every event that a thread writes, and its fields.
//!
//! An event is an opcode byte, the ticks since the event before it, and its fields; all numbers are
//! unsigned varints. Times never run backwards within a batch. FORMAT.md, section 5, has the same
//! table, and a test compares the two.
//!
//! - `decode` (private): [`Events`], from a payload's bytes.
//! - `encode` (private): [`put_event`], the same table backwards.
//!
//! Bit 6 of the opcode of a region, poll, task run or call means *open*: its end follows as an
//! event of its own. Without the bit the event is *complete*: its last field is a duration, and
//! nothing was recorded inside. With bit 7 the opcode has the id of one of the first 64 call sites.

mod decode;
mod encode;

pub use decode::{EventError, Events};
#[cfg(feature = "read")]
pub(crate) use decode::{Step, visit_apart};
pub use encode::put_event;

use crate::id::{FutureId, Open, OpenCall, SampleId, SiteId, StackId, TaskId};
use crate::time::Ticks;
use crate::value::{Text, Value, Values};

/// The numbers on the wire.
pub mod opcode {
    /// A complete region: site, duration.
    pub const REGION: u8 = 0x01;
    /// A complete region with arguments: site, values, duration.
    pub const REGION_ARGS: u8 = 0x02;
    /// A complete poll: future, duration.
    pub const POLL: u8 = 0x03;
    /// A complete task run: task, duration.
    pub const TASK_RUN: u8 = 0x04;
    /// Ends what was opened last.
    pub const END: u8 = 0x05;
    /// Ends what was opened last, with its outcome: outcome, values.
    pub const END_VALUE: u8 = 0x06;
    /// Ends something that was not opened last, or on another thread: what, time since its begin.
    pub const END_DETACHED: u8 = 0x07;
    /// Was open already when this batch began: what, time since its begin.
    pub const REOPEN: u8 = 0x08;
    /// A moment: site, values.
    pub const INSTANT: u8 = 0x09;
    /// A log message: site, text.
    pub const LOG: u8 = 0x0a;
    /// A counter's new value: site, value.
    pub const COUNTER: u8 = 0x0b;
    /// A task begins: task, parent, name.
    pub const TASK_BEGIN: u8 = 0x0c;
    /// A task named by its call site begins: task, parent, site, values.
    pub const TASK_BEGIN_SITE: u8 = 0x0d;
    /// A task ends: task.
    pub const TASK_END: u8 = 0x0e;
    /// A future is polled for the first time: future, task, site, values.
    pub const FUTURE_BEGIN: u8 = 0x0f;
    /// A future is done or dropped: future, outcome, values.
    pub const FUTURE_END: u8 = 0x10;
    /// Events were dropped because memory was at its bound: events, ends, first and last ticks.
    pub const DROPPED: u8 = 0x11;
    /// A complete call: call, resource, stack, result, duration.
    pub const CALL: u8 = 0x12;
    /// Ends what was opened last, which is a call: result.
    pub const END_CALL: u8 = 0x13;
    /// A sampled allocation: sample, address, bytes, stack.
    pub const ALLOC: u8 = 0x14;
    /// A sampled allocation is freed: sample.
    pub const FREE: u8 = 0x15;
    /// A thread begins to run on this CPU: the system's thread id.
    pub const SWITCH_IN: u8 = 0x16;
    /// A thread stops running on this CPU: the system's thread id, flags.
    pub const SWITCH_OUT: u8 = 0x17;
    /// A thread was seen running on this CPU: the system's thread id, stack.
    pub const SAMPLE: u8 = 0x18;
    /// A thread on this CPU has to wait for a page: the system's thread id, address, stack.
    pub const FAULT: u8 = 0x19;
    /// The kernel lost records of this CPU: their number.
    pub const LOST_KERNEL: u8 = 0x1a;
    /// A future is handed over to be polled: future, parent, task, site, stack.
    pub const FUTURE_SPAWN: u8 = 0x1b;
    /// A future is woken: future, stack.
    pub const WAKE: u8 = 0x1c;
    /// A complete poll after which the future waits at a known place: future, stack, duration.
    pub const POLL_WAITS: u8 = 0x1d;
    /// Ends what was opened last, a poll after which the future waits: stack.
    pub const END_POLL: u8 = 0x1e;
    /// A future that is about to be polled has been ready for a while: future, how long.
    pub const READY: u8 = 0x1f;
    /// No waker of a waiting future is left: future.
    pub const UNWAKEABLE: u8 = 0x20;
    /// A task belongs to a distributed trace: task, trace id, span id, parent span id.
    pub const TASK_LINK: u8 = 0x21;
    /// Opcodes from here to [`EXTENSION_LAST`] are for newer versions: their length stands in
    /// front, so that readers can skip them.
    pub const EXTENSION: u8 = 0x30;
    /// See [`EXTENSION`].
    pub const EXTENSION_LAST: u8 = 0x3f;
    /// Bit of regions, polls, task runs and calls: open, not complete.
    pub const OPEN: u8 = 0x40;
    /// A complete region without arguments of call site `opcode & 0x3f`, plus one.
    pub const REGION_SHORT: u8 = 0x80;
    /// The number of call sites that have the short form.
    pub const SHORT_SITES: u32 = 64;
}

/// In the flags of [`opcode::SWITCH_OUT`]: the thread could have gone on.
pub const FLAG_PREEMPTED: u64 = 1;

/// How a region or a future ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It returned; the value, if recorded, is beside it.
    Returned,
    /// It returned an error.
    Failed,
    /// It was dropped before it was done.
    Dropped,
    /// A poll of it panicked.
    Panicked,
    /// It has ended, and it is not known how.
    Ended,
}

impl Outcome {
    /// The number on the wire.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        match self {
            Self::Returned => 0,
            Self::Failed => 1,
            Self::Dropped => 2,
            Self::Panicked => 3,
            Self::Ended => 4,
        }
    }

    /// Every outcome, in wire order.
    pub const ALL: [Self; 5] =
        [Self::Returned, Self::Failed, Self::Dropped, Self::Panicked, Self::Ended];

    /// The name people read, one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Returned => "returned",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
            Self::Panicked => "panicked",
            Self::Ended => "ended",
        }
    }

    const fn from_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::Returned),
            1 => Some(Self::Failed),
            2 => Some(Self::Dropped),
            3 => Some(Self::Panicked),
            4 => Some(Self::Ended),
            _ => None,
        }
    }
}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event<'a> {
    /// When it happened; for a complete region, poll, task run or call its begin.
    pub ticks: Ticks,
    /// What happened.
    pub kind: EventKind<'a>,
}

impl Event<'_> {
    /// When it ended: the end of a complete region, poll, task run or call; of all other events the
    /// time at which they happened.
    #[must_use]
    pub const fn end(&self) -> Ticks {
        match self.kind.duration() {
            Some(duration) => Ticks(self.ticks.0.saturating_add(duration.0)),
            None => self.ticks,
        }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum EventKind<'a> {
    /// A region, from begin to end; nothing was recorded inside.
    Region {
        /// Where in the source.
        site: SiteId,
        /// How long.
        duration: Ticks,
        /// Its arguments.
        values: Values<'a>,
    },
    /// A region begins; its end follows.
    RegionBegin {
        /// Where in the source.
        site: SiteId,
        /// Its arguments.
        values: Values<'a>,
    },
    /// A poll of a future, from begin to end; nothing was recorded inside.
    Poll {
        /// Which.
        future: FutureId,
        /// Where it took a waker and waits now; 0 if it took none, or that is not known.
        waits_at: StackId,
        /// How long.
        duration: Ticks,
    },
    /// A poll of a future begins; its end follows.
    PollBegin {
        /// Which.
        future: FutureId,
    },
    /// A thread works for a task, from begin to end; nothing was recorded inside.
    TaskRun {
        /// Which.
        task: TaskId,
        /// How long.
        duration: Ticks,
    },
    /// A thread begins to work for a task; the end follows.
    TaskRunBegin {
        /// Which.
        task: TaskId,
    },
    /// What was opened last ends.
    End,
    /// What was opened last ends, with its outcome.
    EndValue {
        /// Returned or failed.
        outcome: Outcome,
        /// The value or the error, if recorded.
        values: Values<'a>,
    },
    /// Something ends that was not opened last, or on another thread: mis-nested.
    EndDetached {
        /// What ends.
        open: Open,
        /// How long ago it began.
        since: Ticks,
    },
    /// Was open when this batch began. Only at the front of a batch, outermost first.
    Reopen {
        /// What is open.
        open: Open,
        /// How long before the batch's base time it began.
        since: Ticks,
    },
    /// A moment.
    Instant {
        /// Where in the source.
        site: SiteId,
        /// Its arguments.
        values: Values<'a>,
    },
    /// A log message.
    Log {
        /// Where in the source; its name is the category.
        site: SiteId,
        /// The message.
        text: Text<'a>,
    },
    /// A counter's new value.
    Counter {
        /// Where in the source; its name is the counter's.
        site: SiteId,
        /// A number.
        value: Value<'a>,
    },
    /// A task begins.
    TaskBegin {
        /// Which.
        task: TaskId,
        /// The task it belongs to; 0 for none.
        parent: TaskId,
        /// Its name.
        name: Text<'a>,
    },
    /// A task begins that is a call of a function.
    TaskBeginSite {
        /// Which.
        task: TaskId,
        /// The task it belongs to; 0 for none.
        parent: TaskId,
        /// Where in the source; its name is the task's.
        site: SiteId,
        /// The call's arguments.
        values: Values<'a>,
    },
    /// A task ends.
    TaskEnd {
        /// Which.
        task: TaskId,
    },
    /// A future is handed over to be polled elsewhere, usually to an executor.
    FutureSpawn {
        /// Which.
        future: FutureId,
        /// The future that was being polled here; 0 if none.
        parent: FutureId,
        /// The task it works for; 0 for none.
        task: TaskId,
        /// Its name, and where in the source it was handed over.
        site: SiteId,
        /// Where it was handed over; 0 if unknown.
        stack: StackId,
    },
    /// What a future is. It comes before the future's first poll in the trace, and perhaps again
    /// later.
    FutureBegin {
        /// Which.
        future: FutureId,
        /// The task it works for; 0 for none.
        task: TaskId,
        /// Where in the source.
        site: SiteId,
        /// Its arguments.
        values: Values<'a>,
    },
    /// A future is done, or dropped before that.
    FutureEnd {
        /// Which.
        future: FutureId,
        /// How.
        outcome: Outcome,
        /// The value or the error, if recorded.
        values: Values<'a>,
    },
    /// A future is woken: it is ready to be polled.
    Wake {
        /// Which.
        future: FutureId,
        /// Where it was woken; 0 if unknown.
        stack: StackId,
    },
    /// What was opened last, a poll, ends, and the future waits.
    EndPoll {
        /// Where it took a waker; 0 if unknown.
        waits_at: StackId,
    },
    /// A future that is about to be polled on this thread has been ready for a while.
    Ready {
        /// Which.
        future: FutureId,
        /// How long.
        since: Ticks,
    },
    /// No waker of a waiting future is left, so nobody can wake it.
    Unwakeable {
        /// Which.
        future: FutureId,
    },
    /// A task belongs to a distributed trace, in the sense of W3C Trace Context.
    TaskLink {
        /// Which.
        task: TaskId,
        /// The trace, the same in all processes.
        trace: u128,
        /// The task's own span.
        span: u64,
        /// The span it belongs to, of this or of another process; 0 if it is the trace's first.
        parent: u64,
    },
    /// Events were dropped because memory was at its bound.
    Dropped {
        /// Number of regions, logs, tasks and so on that were not written at all.
        events: u64,
        /// Number of missing ends of what had begun before.
        ends: u64,
        /// When the first was dropped.
        from: Ticks,
        /// When the last was dropped.
        to: Ticks,
    },
    /// A call into the system, from begin to end; nothing was recorded inside.
    Call {
        /// Which function, called from where, about what.
        call: OpenCall,
        /// As it returned: bytes, a count, or the negative error number.
        result: i64,
        /// How long.
        duration: Ticks,
    },
    /// A call into the system begins; its end follows.
    CallBegin {
        /// Which function, called from where, about what.
        call: OpenCall,
    },
    /// What was opened last, a call, ends.
    EndCall {
        /// As it returned: bytes, a count, or the negative error number.
        result: i64,
    },
    /// A sampled allocation.
    Alloc {
        /// Which.
        sample: SampleId,
        /// Where in memory.
        address: u64,
        /// How many bytes the program asked for.
        bytes: u64,
        /// Where it was allocated; 0 if unknown.
        stack: StackId,
    },
    /// A sampled allocation is freed.
    Free {
        /// Which.
        sample: SampleId,
    },
    /// A thread begins to run. In batches of CPUs only.
    SwitchIn {
        /// The system's id of the thread.
        os_thread: u64,
    },
    /// A thread stops running. In batches of CPUs only.
    SwitchOut {
        /// The system's id of the thread.
        os_thread: u64,
        /// It could have gone on, but another thread got the CPU.
        preempted: bool,
    },
    /// A sample: a thread was running. In batches of CPUs only.
    Sample {
        /// The system's id of the thread.
        os_thread: u64,
        /// What it was doing; 0 if unknown.
        stack: StackId,
    },
    /// A thread touched a page that had to be read first. In batches of CPUs only.
    Fault {
        /// The system's id of the thread.
        os_thread: u64,
        /// What it touched.
        address: u64,
        /// What it was doing; 0 if unknown.
        stack: StackId,
    },
    /// The kernel lost records of this CPU. In batches of CPUs only.
    LostKernel {
        /// How many.
        records: u64,
    },
    /// An event of a newer version.
    Unknown {
        /// Its opcode.
        opcode: u8,
    },
}

impl EventKind<'_> {
    /// How long a complete region, poll, task run or call took; `None` for all other events.
    #[must_use]
    pub const fn duration(&self) -> Option<Ticks> {
        match *self {
            Self::Region { duration, .. }
            | Self::Poll { duration, .. }
            | Self::TaskRun { duration, .. }
            | Self::Call { duration, .. } => Some(duration),
            _ => None,
        }
    }
}
