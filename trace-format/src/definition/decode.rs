//! From a payload's bytes to definitions: the table of FORMAT.md, section 7, read.
//!
//! Lists grow as their entries are really there, so a lying count costs nothing.

use super::{
    ArgumentKind, CallsiteKind, Definition, FRAMES_MAX, FUNCTIONS_MAX, Function, OpenSince,
    ResourceKind, StackFlags, kind,
};
use crate::id::{FutureId, Open, ResourceId, SiteId, StackId, TaskId, ThreadId};
use crate::time::{ClockKind, ClockSnapshot, Nanos, Ticks};
use crate::value::take_bytes;
use crate::varint::{take_varint, unzigzag};

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
            parent: ThreadId(u32::try_from(take_or_zero(b)?).ok()?),
            stack: StackId::from_number(take_or_zero(b)?)?,
            entry: take_or_zero(b)?,
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
        kind => return take_of_system(kind, b),
    })
}

/// What no call site or task of the user's defines.
fn take_of_system<'a>(kind: u8, b: &mut &'a [u8]) -> Option<Definition<'a>> {
    Some(match kind {
        kind::THREAD_NAME => Definition::ThreadName {
            id: take_thread(b)?,
            ticks: Ticks(take_varint(b)?),
            name: take_bytes(b)?,
        },
        kind::MODULE => Definition::Module {
            first: take_varint(b)?,
            last: take_varint(b)?,
            bias: take_varint(b)?,
            build_id: take_bytes(b)?,
            path: take_bytes(b)?,
        },
        kind::STACK => take_stack(b)?,
        kind::RESOURCE => Definition::Resource {
            id: ResourceId::from_number(take_varint(b)?)?,
            kind: ResourceKind::from_number(take_varint(b)?),
            value: take_varint(b)?,
            name: take_bytes(b)?,
        },
        kind::SYMBOL => take_symbol(b)?,
        kind::FACILITY => Definition::Facility {
            name: take_bytes(b)?,
            on: take_varint(b)? != 0,
            note: take_bytes(b)?,
        },
        kind::HEAP => Definition::Heap {
            ticks: Ticks(take_varint(b)?),
            live_bytes: take_varint(b)?,
            live_allocations: take_varint(b)?,
            allocated_bytes: take_varint(b)?,
            allocations: take_varint(b)?,
            sample_bytes: take_varint(b)?,
        },
        kind::FUTURE_STATE => Definition::FutureState {
            id: FutureId(take_varint(b)?),
            parent: FutureId(take_varint(b)?),
            task: TaskId(take_varint(b)?),
            site: SiteId(take_u32(b)?),
            begin: Ticks(take_varint(b)?),
            spawned: take_varint(b)? != 0,
            waits_at: StackId::from_number(take_varint(b)?)?,
            since: Ticks(take_varint(b)?),
        },
        kind::STOPPED => Definition::Stopped {
            from: Ticks(take_varint(b)?),
            to: Ticks(take_varint(b)?),
            suspended: Nanos(take_varint(b)?),
        },
        kind::THREAD_TIME => {
            let (id, ticks, cpu) = (take_thread(b)?, Ticks(take_varint(b)?), take_varint(b)?);
            let (is_known, ready) = (take_varint(b)? != 0, Nanos(take_varint(b)?));
            let (cpu, ready) = (Nanos(cpu), is_known.then_some(ready));
            Definition::ThreadTime { id, ticks, cpu, ready }
        }
        kind => Definition::Unknown { kind },
    })
}

fn take_stack<'a>(b: &mut &'a [u8]) -> Option<Definition<'a>> {
    let id = StackId::from_number(take_varint(b)?)?;
    let mut flags = StackFlags::from_number(take_varint(b)?);
    let count = take_varint(b)?;
    let (mut addresses, mut before) = (Vec::new(), None);
    for _ in 0..count.min(FRAMES_MAX as u64) {
        let word = take_varint(b)?;
        let address = match before {
            None => word,
            Some(before) => unzigzag(word).cast_unsigned().wrapping_add(before),
        };
        addresses.push(address);
        before = Some(address);
    }
    flags.cut |= count > FRAMES_MAX as u64;
    Some(Definition::Stack { id, flags, addresses })
}

fn take_symbol<'a>(b: &mut &'a [u8]) -> Option<Definition<'a>> {
    let (address, count) = (take_varint(b)?, take_varint(b)?);
    let mut functions = Vec::new();
    for _ in 0..count.min(FUNCTIONS_MAX as u64) {
        functions.push(Function { name: take_bytes(b)?, file: take_bytes(b)?, line: take_u32(b)? });
    }
    Some(Definition::Symbol { address, functions })
}

/// A field that stands at the end and may be missing.
fn take_or_zero(bytes: &mut &[u8]) -> Option<u64> {
    if bytes.is_empty() { Some(0) } else { take_varint(bytes) }
}

fn take_callsite<'a>(b: &mut &'a [u8]) -> Option<Definition<'a>> {
    let id = SiteId(take_u32(b)?);
    let kind = CallsiteKind::from_number(take_varint(b)?);
    let (name, module, file) = (take_bytes(b)?, take_bytes(b)?, take_bytes(b)?);
    let (line, column, min) = (take_u32(b)?, take_u32(b)?, Nanos(take_varint(b)?));
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
