//! What the collector writes: everything that events refer to, and the states that a reader needs
//! to start in the middle. FORMAT.md, section 7.
//!
//! A definition is a kind byte, its length, and its fields, so an unknown kind can be skipped, and
//! fields that a newer version appends are ignored.
//!
//! - `table` (private): one row for each definition. `encode`, `decode` (private): the table,
//!   written and read; `text` has its lines.
//! - `words` (private): the enumerations in them.

mod decode;
mod encode;
pub(crate) mod table;
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

/// Maximum number of addresses that a reader keeps of a stack; it leaves out those further out.
pub const FRAMES_MAX: usize = 1024;

/// Maximum number of functions that a reader keeps of an address; it leaves out those further out.
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
        /// The clock that times events.
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
        /// What kind of events come from it.
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
        /// Regions shorter than this were not recorded; 0 if all were.
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
        /// Whether the thread has ended; else only the trace has.
        ended: bool,
        /// When that was.
        ticks: Ticks,
        /// Events it wrote, in all its batches.
        events: u64,
        /// Events that were dropped because memory was at its bound.
        dropped_events: u64,
        /// Ends that were dropped because memory was at its bound.
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
        /// The state holds in front of the payload byte `offset` of the batch `sequence`.
        sequence: u32,
        /// See `sequence`.
        offset: u32,
        /// More is open than the recorder can list: deeper regions.
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
        /// Whether it is on now.
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
        /// Events that were dropped because memory was at its bound.
        dropped_events: u64,
        /// Ends that were dropped because memory was at its bound.
        dropped_ends: u64,
        /// CPU time of the recorder's own threads; 0 if it is not known.
        tracer_cpu: Nanos,
        /// Maximum memory that batches took, in bytes; 0 if it is not known.
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
        /// The build id that its linker gave it; may be empty.
        build_id: &'a [u8],
        /// Its file.
        path: &'a [u8],
    },
    /// A stack that events name.
    Stack {
        /// Events name it by this.
        id: StackId,
        /// Who walked it, and whether it is whole.
        flags: StackFlags,
        /// Innermost first, at most [`FRAMES_MAX`]: addresses of calling or running instructions,
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
        /// Innermost inlined one first, at most [`FUNCTIONS_MAX`].
        functions: Vec<Function<'a>>,
    },
    /// Whether a part of the recorder works here, and how, or why not.
    Facility {
        /// One of [`facility`](crate::facility)'s, or a later version's.
        name: &'a [u8],
        /// Whether it works.
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
        /// Average number of allocated bytes per sampled one.
        sample_bytes: u64,
    },
    /// A future that was neither done nor dropped when a generation began. A trace has it once, in
    /// the first generation that the future lives to see; a snapshot of the last seconds has it for
    /// all futures that live.
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
        /// It was handed over to be polled elsewhere; else it was introduced before its first poll.
        spawned: bool,
        /// Where it waits; 0 if unknown.
        waits_at: StackId,
        /// When the last poll began that left it waiting; 0 if there was none.
        since: Ticks,
    },
    /// The whole process stood still for a while: no thread of it ran, though time went by.
    Stopped {
        /// No thread of it ran from here on, or from earlier on.
        from: Ticks,
        /// The end of that time; later than `from`.
        to: Ticks,
        /// 0: it was stopped, all the time from `from` to `to`. Else the machine was suspended for
        /// this long at some time in between, and the monotonic clock did not count that.
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
    /// A thread of which only the id is known, and when it recorded for the first time.
    #[cfg(feature = "read")]
    pub(crate) fn unnamed_thread(id: ThreadId, os_id: u64, first: Ticks) -> Self {
        let (parent, stack) = (ThreadId(0), StackId(0));
        Self::Thread { id, os_id, name: b"", first, parent, stack, entry: 0 }
    }
}

macro_rules! kinds {
    ($($number:literal $constant:ident $variant:ident $fields:tt $(=> $wire:tt)?, $holds:ident,
        $word:literal $words:tt;)*) => {
        /// The numbers on the wire.
        pub mod kind {
            $(#[doc = concat!("Of [`super::Definition::", stringify!($variant), "`].")]
            pub const $constant: u8 = $number;)*

            /// All kinds, in the order of the table.
            pub const ALL: &[u8] = &[$($constant),*];
        }

        impl Definition<'_> {
            /// The number on the wire, one of [`kind`]'s or of a newer version.
            #[must_use]
            pub const fn kind(&self) -> u8 {
                match self {
                    $(Self::$variant { .. } => kind::$constant,)*
                    Self::Unknown { kind } => *kind,
                }
            }

            /// Whether it says what held at one moment, as `Clock` does. The others, and unknown
            /// ones, hold from then on, as `Module` does: FORMAT.md, section 12.
            #[must_use]
            pub const fn is_of_moment(&self) -> bool {
                match self {
                    $(Self::$variant { .. } => is_of_moment!($holds),)*
                    Self::Unknown { .. } => false,
                }
            }
        }
    };
}

macro_rules! is_of_moment {
    (moment) => {
        true
    };
    (lasting) => {
        false
    };
}

table::definitions!(kinds);
