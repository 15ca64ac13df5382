//! What the collector writes: everything that events refer to, and the states a reader needs to
//! start in the middle. FORMAT.md, section 7.
//!
//! A definition is a kind byte, its length, and its fields, so an unknown kind can be skipped, and
//! fields that a newer version appends are ignored.

use crate::id::{Open, SiteId, TaskId, ThreadId};
use crate::time::{ClockKind, ClockSnapshot, Nanos, Ticks};
use crate::value::take_bytes;
use crate::varint::{put_varint, take_varint};

/// What a call site emits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallsiteKind {
    /// `#[traced]` on a function.
    Function,
    /// `trace_region!`.
    Region,
    /// A traced `async fn` or a function that returns a future.
    Future,
    /// A call that is a user task of its own.
    Task,
    /// `log!`; the name is the category.
    Log,
    /// `counter!`.
    Counter,
    /// `instant!`.
    Instant,
}

impl CallsiteKind {
    /// Every kind, in wire order.
    pub const ALL: [Self; 7] = [
        Self::Function,
        Self::Region,
        Self::Future,
        Self::Task,
        Self::Log,
        Self::Counter,
        Self::Instant,
    ];

    /// The number on the wire, from 0.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        self as u8
    }

    /// The inverse of [`CallsiteKind::to_byte`]; kinds of newer versions count as regions.
    #[must_use]
    pub fn from_number(number: u64) -> Self {
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        Self::ALL.get(at).copied().unwrap_or(Self::Region)
    }

    /// The name people read.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Function => "function",
            Self::Region => "region",
            Self::Future => "future",
            Self::Task => "task",
            Self::Log => "log",
            Self::Counter => "counter",
            Self::Instant => "instant",
        }
    }
}

/// How an argument is turned into a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ArgumentKind {
    /// Its type is kept.
    Typed,
    /// As `Debug` prints it.
    Debug,
    /// As `Display` prints it.
    Display,
}

impl ArgumentKind {
    /// The number on the wire, from 0.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        self as u8
    }

    const fn from_number(number: u64) -> Self {
        match number {
            1 => Self::Debug,
            2 => Self::Display,
            _ => Self::Typed,
        }
    }
}

/// One thing that is open on a thread, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenSince {
    /// What.
    pub open: Open,
    /// Its true begin.
    pub begin: Ticks,
}

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
    /// A thread that recorded something.
    Thread {
        /// Batches name it by this.
        id: ThreadId,
        /// The system's id.
        os_id: u64,
        /// Its name; may be empty.
        name: &'a [u8],
        /// When it recorded for the first time.
        first: Ticks,
    },
    /// A thread has ended, or the trace has: its totals.
    ThreadEnd {
        /// Which.
        id: ThreadId,
        /// Whether the thread has ended; else it lives on and only the trace ends.
        ended: bool,
        /// When that was noticed.
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
    /// The trace was stopped properly. The last definition.
    Stop {
        /// When.
        ticks: Ticks,
        /// Events in all batches.
        events: u64,
        /// Events that were not written for want of memory.
        dropped_events: u64,
        /// Ends that were not written for want of memory.
        dropped_ends: u64,
        /// CPU time the recorder took beside the traced threads.
        tracer_cpu: Nanos,
        /// The most memory that batches took.
        memory_max: u64,
    },
    /// Of a newer version.
    Unknown {
        /// Its kind byte.
        kind: u8,
    },
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
}

/// Appends one definition to a payload.
pub fn put_definition(out: &mut Vec<u8>, definition: &Definition<'_>) {
    let mut body = Vec::with_capacity(64);
    let kind = put_body(&mut body, definition);
    out.push(kind);
    put_bytes(out, &body);
}

fn put_body(out: &mut Vec<u8>, definition: &Definition<'_>) -> u8 {
    match definition {
        Definition::Process { pid, executable, os, arch, clock, tracer } => {
            put_varint(out, *pid);
            for text in [executable, os, arch] {
                put_bytes(out, text);
            }
            out.push(clock.to_byte());
            put_bytes(out, tracer);
            kind::PROCESS
        }
        Definition::Clock(clock) => {
            put_all(out, &[clock.ticks.0, clock.monotonic.0, clock.wall.0]);
            kind::CLOCK
        }
        Definition::Callsite { .. } => {
            put_callsite(out, definition);
            kind::CALLSITE
        }
        Definition::Thread { id, os_id, name, first } => {
            put_all(out, &[u64::from(id.0), *os_id]);
            put_bytes(out, name);
            put_varint(out, first.0);
            kind::THREAD
        }
        Definition::ThreadEnd { id, ended, ticks, events, dropped_events, dropped_ends } => {
            let ended = u64::from(*ended);
            let counts = [*events, *dropped_events, *dropped_ends];
            put_all(out, &[u64::from(id.0), ended, ticks.0]);
            put_all(out, &counts);
            kind::THREAD_END
        }
        Definition::Generation { number, ticks } => {
            put_all(out, &[u64::from(*number), ticks.0]);
            kind::GENERATION
        }
        Definition::ThreadState { id, sequence, offset, more, open } => {
            let front = [id.0, *sequence, *offset, u32::from(*more)];
            put_all(out, &front.map(u64::from));
            put_varint(out, open.len() as u64);
            for OpenSince { open, begin } in open {
                put_all(out, &[open.to_word(), begin.0]);
            }
            kind::THREAD_STATE
        }
        Definition::TaskState { id, parent, name, begin } => {
            put_all(out, &[id.0, parent.0]);
            put_bytes(out, name);
            put_varint(out, begin.0);
            kind::TASK_STATE
        }
        Definition::Switch { site, on, ticks } => {
            put_all(out, &[u64::from(site.0), u64::from(*on), ticks.0]);
            kind::SWITCH
        }
        Definition::Stop {
            ticks,
            events,
            dropped_events,
            dropped_ends,
            tracer_cpu,
            memory_max,
        } => {
            put_all(out, &[ticks.0, *events, *dropped_events, *dropped_ends]);
            put_all(out, &[tracer_cpu.0, *memory_max]);
            kind::STOP
        }
        Definition::Unknown { kind } => *kind,
    }
}

fn put_callsite(out: &mut Vec<u8>, definition: &Definition<'_>) {
    let Definition::Callsite { id, kind, name, module, file, line, column, min, arguments } =
        definition
    else {
        return;
    };
    put_all(out, &[u64::from(id.0), u64::from(kind.to_byte())]);
    for text in [name, module, file] {
        put_bytes(out, text);
    }
    let count = arguments.len() as u64;
    put_all(out, &[u64::from(*line), u64::from(*column), min.0, count]);
    for (name, kind) in arguments {
        put_bytes(out, name);
        out.push(kind.to_byte());
    }
}

fn put_all(out: &mut Vec<u8>, numbers: &[u64]) {
    for &number in numbers {
        put_varint(out, number);
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// The definitions of one batch's payload. Ends early at bytes that are none; see
/// [`Definitions::rest`].
#[derive(Clone, Copy, Debug)]
pub struct Definitions<'a> {
    bytes: &'a [u8],
}

impl<'a> Definitions<'a> {
    /// The definitions in `payload`.
    #[must_use]
    pub const fn new(payload: &'a [u8]) -> Self {
        Self { bytes: payload }
    }

    /// Bytes that have not been taken; not empty at the end if the payload is faulty.
    #[must_use]
    pub const fn rest(&self) -> usize {
        self.bytes.len()
    }
}

impl<'a> Iterator for Definitions<'a> {
    type Item = Definition<'a>;

    fn next(&mut self) -> Option<Definition<'a>> {
        let (&kind, mut rest) = self.bytes.split_first()?;
        let mut body = take_bytes(&mut rest)?;
        let definition = take_body(kind, &mut body)?;
        self.bytes = rest;
        Some(definition)
    }
}

fn take_body<'a>(kind: u8, b: &mut &'a [u8]) -> Option<Definition<'a>> {
    Some(match kind {
        kind::PROCESS => Definition::Process {
            pid: take_varint(b)?,
            executable: take_bytes(b)?,
            os: take_bytes(b)?,
            arch: take_bytes(b)?,
            clock: ClockKind::from_byte(take_byte(b)?),
            tracer: take_bytes(b)?,
        },
        kind::CLOCK => Definition::Clock(ClockSnapshot {
            ticks: Ticks(take_varint(b)?),
            monotonic: Nanos(take_varint(b)?),
            wall: Nanos(take_varint(b)?),
        }),
        kind::CALLSITE => take_callsite(b)?,
        kind::THREAD => Definition::Thread {
            id: take_thread(b)?,
            os_id: take_varint(b)?,
            name: take_bytes(b)?,
            first: Ticks(take_varint(b)?),
        },
        kind::THREAD_END => Definition::ThreadEnd {
            id: take_thread(b)?,
            ended: take_varint(b)? != 0,
            ticks: Ticks(take_varint(b)?),
            events: take_varint(b)?,
            dropped_events: take_varint(b)?,
            dropped_ends: take_varint(b)?,
        },
        kind::GENERATION => {
            Definition::Generation { number: take_u32(b)?, ticks: Ticks(take_varint(b)?) }
        }
        kind::THREAD_STATE => take_thread_state(b)?,
        kind::TASK_STATE => Definition::TaskState {
            id: TaskId(take_varint(b)?),
            parent: TaskId(take_varint(b)?),
            name: take_bytes(b)?,
            begin: Ticks(take_varint(b)?),
        },
        kind::SWITCH => Definition::Switch {
            site: SiteId(take_u32(b)?),
            on: take_varint(b)? != 0,
            ticks: Ticks(take_varint(b)?),
        },
        kind::STOP => Definition::Stop {
            ticks: Ticks(take_varint(b)?),
            events: take_varint(b)?,
            dropped_events: take_varint(b)?,
            dropped_ends: take_varint(b)?,
            tracer_cpu: Nanos(take_varint(b)?),
            memory_max: take_varint(b)?,
        },
        kind => Definition::Unknown { kind },
    })
}

fn take_callsite<'a>(b: &mut &'a [u8]) -> Option<Definition<'a>> {
    let id = SiteId(take_u32(b)?);
    let kind = CallsiteKind::from_number(take_varint(b)?);
    let (name, module, file) = (take_bytes(b)?, take_bytes(b)?, take_bytes(b)?);
    let (line, column, min) = (take_u32(b)?, take_u32(b)?, Nanos(take_varint(b)?));
    // Grown as its entries are really there, so a lying count costs nothing.
    let mut arguments = Vec::new();
    for _ in 0..take_varint(b)? {
        arguments.push((take_bytes(b)?, ArgumentKind::from_number(take_varint(b)?)));
    }
    Some(Definition::Callsite { id, kind, name, module, file, line, column, min, arguments })
}

fn take_thread_state<'a>(b: &mut &'a [u8]) -> Option<Definition<'a>> {
    let (id, sequence, offset) = (take_thread(b)?, take_u32(b)?, take_u32(b)?);
    let more = take_varint(b)? != 0;
    let mut open = Vec::new();
    for _ in 0..take_varint(b)? {
        let what = Open::from_word(take_varint(b)?)?;
        open.push(OpenSince { open: what, begin: Ticks(take_varint(b)?) });
    }
    Some(Definition::ThreadState { id, sequence, offset, more, open })
}

fn take_byte(bytes: &mut &[u8]) -> Option<u8> {
    let (&byte, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(byte)
}

fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    u32::try_from(take_varint(bytes)?).ok()
}

fn take_thread(bytes: &mut &[u8]) -> Option<ThreadId> {
    Some(ThreadId(take_u32(bytes)?))
}
