//! What the collector writes: everything that events refer to, and the states a reader needs to
//! start in the middle. FORMAT.md, section 7.
//!
//! A definition is a kind byte, its length, and its fields, so an unknown kind can be skipped, and
//! fields that a newer version appends are ignored.
//!
//! - `words` (private): the enumerations in them.
//! - `encode`, `decode` (private): the table, written and read.

mod decode;
mod encode;
mod words;

pub use decode::Definitions;
pub use encode::put_definition;
pub use words::{ArgumentKind, CallsiteKind, FoundBy, ResourceKind, StackFlags};

use crate::id::{FutureId, Open, ResourceId, SiteId, StackId, TaskId, ThreadId};
use crate::time::{ClockKind, ClockSnapshot, Nanos, Ticks};

/// One thing that is open on a thread, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OpenSince {
    /// What.
    pub open: Open,
    /// Its true begin.
    pub begin: Ticks,
}

/// One function of a [`Definition::Symbol`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function<'a> {
    /// Its name, readable.
    pub name: &'a [u8],
    /// The source file; empty if unknown.
    pub file: &'a [u8],
    /// From 1; 0 if unknown.
    pub line: u32,
}

/// The most addresses a stack keeps; those further out are left out at reading.
pub const FRAMES_MAX: usize = 1024;

/// The most functions one address keeps; those further out are left out at reading.
pub const FUNCTIONS_MAX: usize = 256;

/// One definition. Texts are borrowed from the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Definition<'a> {
    /// What was traced. The first definition of every trace.
    Process {
        /// The system's id.
        pid: u64,
        /// The file name of the executable.
        executable: &'a [u8],
        /// As in `std::env::consts::OS`.
        os: &'a [u8],
        /// As in `std::env::consts::ARCH`.
        arch: &'a [u8],
        /// What stamps events.
        clock: ClockKind,
        /// The recorder's version.
        tracer: &'a [u8],
    },
    /// One moment on three clocks; at least one a second, and one at each end.
    Clock(ClockSnapshot),
    /// A call site.
    Callsite {
        /// Events name it by this.
        id: SiteId,
        /// What it emits.
        kind: CallsiteKind,
        /// Its name.
        name: &'a [u8],
        /// The module it is in.
        module: &'a [u8],
        /// The source file, as the compiler was given it.
        file: &'a [u8],
        /// From 1.
        line: u32,
        /// From 1.
        column: u32,
        /// Regions shorter than this left nothing behind; 0 for none.
        min: Nanos,
        /// Names and kinds of its arguments, in the order of its values.
        arguments: Vec<(&'a [u8], ArgumentKind)>,
    },
    /// A thread of the program.
    Thread {
        /// Batches name it by this.
        id: ThreadId,
        /// The system's id.
        os_id: u64,
        /// Its name; may be empty.
        name: &'a [u8],
        /// When it recorded for the first time.
        first: Ticks,
        /// The thread that made it; 0 if none or unknown.
        parent: ThreadId,
        /// Where it was made; 0 if unknown.
        stack: StackId,
        /// The address of the function it began with; 0 if unknown.
        entry: u64,
    },
    /// A thread has ended, or the trace has: its totals.
    ThreadEnd {
        /// Which.
        id: ThreadId,
        /// Whether the thread has ended; else it lives on and only the trace ends.
        ended: bool,
        /// When that was.
        ticks: Ticks,
        /// Events it wrote, in all its batches.
        events: u64,
        /// Events that were not written for want of memory.
        dropped_events: u64,
        /// Ends that were not written for want of memory.
        dropped_ends: u64,
    },
    /// A generation begins: the states below hold at this moment.
    Generation {
        /// From 1.
        number: u32,
        /// When.
        ticks: Ticks,
    },
    /// What was open on a thread when the generation began.
    ThreadState {
        /// Which.
        id: ThreadId,
        /// The state is the one before the payload byte `offset` of the batch `sequence`.
        sequence: u32,
        /// See `sequence`.
        offset: u32,
        /// Regions deeper than the recorder can list are open as well.
        more: bool,
        /// Outermost first.
        open: Vec<OpenSince>,
    },
    /// A task that had begun and not ended when the generation began.
    TaskState {
        /// Which.
        id: TaskId,
        /// The task it belongs to; 0 for none.
        parent: TaskId,
        /// Its name.
        name: &'a [u8],
        /// Its true begin.
        begin: Ticks,
    },
    /// A call site was switched on or off while the trace ran.
    Switch {
        /// Which.
        site: SiteId,
        /// Now.
        on: bool,
        /// When.
        ticks: Ticks,
    },
    /// The trace was stopped properly. The recorder's last definition.
    Stop {
        /// When.
        ticks: Ticks,
        /// Events in all batches.
        events: u64,
        /// Events that were not written for want of memory.
        dropped_events: u64,
        /// Ends that were not written for want of memory.
        dropped_ends: u64,
        /// CPU time the recorder took beside the traced threads; 0 if it is not known.
        tracer_cpu: Nanos,
        /// The most memory that batches took; 0 if it is not known.
        memory_max: u64,
    },
    /// A thread has a new name.
    ThreadName {
        /// Which.
        id: ThreadId,
        /// Since when.
        ticks: Ticks,
        /// The name.
        name: &'a [u8],
    },
    /// An executable or a library, as it lies in memory.
    Module {
        /// Its first address.
        first: u64,
        /// The address behind its last.
        last: u64,
        /// Its addresses in memory minus those in its file, modulo 2^64.
        bias: u64,
        /// What its linker named it; may be empty.
        build_id: &'a [u8],
        /// Its file.
        path: &'a [u8],
    },
    /// A stack that events name.
    Stack {
        /// Events name it by this.
        id: StackId,
        /// How it was found, and whether it is whole.
        flags: StackFlags,
        /// Innermost first, [`FRAMES_MAX`] at most: addresses of calling or running instructions,
        /// not return addresses.
        addresses: Vec<u64>,
    },
    /// What calls are about.
    Resource {
        /// Calls name it by this.
        id: ResourceId,
        /// What it is.
        kind: ResourceKind,
        /// Its number: an address, a descriptor, a process, by its kind.
        value: u64,
        /// Its path, or `local -> peer`; may be empty.
        name: &'a [u8],
    },
    /// The functions at an address.
    Symbol {
        /// Of an instruction, as stacks have it.
        address: u64,
        /// Innermost inlined one first, [`FUNCTIONS_MAX`] at most.
        functions: Vec<Function<'a>>,
    },
    /// Whether a part of the recorder serves, and how, or why not.
    Facility {
        /// One of [`facility`](crate::facility)'s, or a later version's.
        name: &'a [u8],
        /// Whether it does.
        on: bool,
        /// In words.
        note: &'a [u8],
    },
    /// The heap at one moment.
    Heap {
        /// When.
        ticks: Ticks,
        /// Bytes allocated and not freed.
        live_bytes: u64,
        /// Allocations not freed.
        live_allocations: u64,
        /// Bytes allocated since the program began.
        allocated_bytes: u64,
        /// Allocations since the program began.
        allocations: u64,
        /// Of so many bytes one is sampled, in the mean.
        sample_bytes: u64,
    },
    /// A future that was neither done nor dropped when a generation began, and had not been told of
    /// in this way before; in a snapshot of the last seconds, all of them.
    FutureState {
        /// Which.
        id: FutureId,
        /// The future that was being polled where this one came from; 0 if none.
        parent: FutureId,
        /// The task it works for; 0 for none.
        task: TaskId,
        /// What it is, and where it came from.
        site: SiteId,
        /// Its true begin.
        begin: Ticks,
        /// It was handed over to be polled by others; else it was first told of when polled.
        spawned: bool,
        /// Where it waits; 0 if unknown.
        waits_at: StackId,
        /// When the last poll began that left it waiting; 0 if there was none.
        since: Ticks,
    },
    /// The whole process stood still for a while, and time went by for it as if it had waited.
    Stopped {
        /// No thread of it ran from here on at the latest.
        from: Ticks,
        /// To here; later than `from`.
        to: Ticks,
        /// 0: it was stopped, all the time from `from` to `to`. Else the machine was suspended for
        /// this long, somewhere in between, and the monotonic clock did not count that.
        suspended: Nanos,
    },
    /// What the kernel has counted for a thread since it was made.
    ThreadTime {
        /// Which.
        id: ThreadId,
        /// When that was read.
        ticks: Ticks,
        /// On a CPU, in the program's code and in the system.
        cpu: Nanos,
        /// Able to run, and not on a CPU; `None` if that was not read.
        ready: Option<Nanos>,
    },
    /// Of a newer version.
    Unknown {
        /// Its kind byte.
        kind: u8,
    },
}

impl Definition<'_> {
    /// A thread of which no more is known than that it recorded, from then on.
    #[cfg(feature = "read")]
    pub(crate) fn unnamed_thread(id: ThreadId, os_id: u64, first: Ticks) -> Self {
        let (parent, stack) = (ThreadId(0), StackId(0));
        Self::Thread { id, os_id, name: b"", first, parent, stack, entry: 0 }
    }
}

/// The numbers on the wire.
pub mod kind {
    #![allow(missing_docs, reason = "they are the variants of Definition, in order")]
    pub const PROCESS: u8 = 1;
    pub const CLOCK: u8 = 2;
    pub const CALLSITE: u8 = 3;
    pub const THREAD: u8 = 4;
    pub const THREAD_END: u8 = 5;
    pub const GENERATION: u8 = 6;
    pub const THREAD_STATE: u8 = 7;
    pub const TASK_STATE: u8 = 8;
    pub const SWITCH: u8 = 9;
    pub const STOP: u8 = 10;
    pub const THREAD_NAME: u8 = 11;
    pub const MODULE: u8 = 12;
    pub const STACK: u8 = 13;
    pub const RESOURCE: u8 = 14;
    pub const SYMBOL: u8 = 15;
    pub const FACILITY: u8 = 16;
    pub const HEAP: u8 = 17;
    pub const FUTURE_STATE: u8 = 18;
    pub const STOPPED: u8 = 19;
    pub const THREAD_TIME: u8 = 20;
}
