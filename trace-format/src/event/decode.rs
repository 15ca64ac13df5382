//! From a payload's bytes to events: the table of [`super`], read.
//!
//! It allocates nothing, and no input makes it panic. Short regions of tight loops decide the
//! speed: their code is inlined into the caller's loop, and the code of rare events is kept out of
//! it.

use super::{Event, EventKind, FLAG_PREEMPTED, Outcome, opcode};
use crate::id::{
    CallId, FutureId, Open, OpenCall, ResourceId, SampleId, SiteId, StackId, TaskId, ThreadId,
};
use crate::time::Ticks;
use crate::value::{Text, Values, take_bytes, take_value};
use crate::varint::{take_varint, unzigzag};

/// The events of one batch's payload, in order. It ends after an error: behind a fault, events of a
/// batch can't be distinguished from noise.
#[derive(Clone, Debug)]
pub struct Events<'a> {
    thread: ThreadId,
    bytes: &'a [u8],
    bytes_total: usize,
    ticks: u64,
    last: u64,
    failed: bool,
}

/// Bytes inside a payload that are no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventError {
    /// From the start of the payload to the event's opcode.
    pub at: usize,
    /// The opcode there.
    pub opcode: u8,
}

impl<'a> Events<'a> {
    /// The events in `payload`, the first of them `base` plus its delta.
    #[must_use]
    pub const fn new(thread: ThreadId, base: Ticks, payload: &'a [u8]) -> Self {
        let bytes_total = payload.len();
        let (ticks, last) = (base.0, u64::MAX);
        Self { thread, bytes: payload, bytes_total, ticks, last, failed: false }
    }

    /// The same events, but one that is later than `last` is a fault: a batch header says that none
    /// is.
    #[must_use]
    pub const fn until(mut self, last: Ticks) -> Self {
        self.last = last.0;
        self
    }

    /// Whose events.
    #[must_use]
    pub const fn thread(&self) -> ThreadId {
        self.thread
    }

    /// The clock after the event that was taken last.
    #[must_use]
    pub const fn now(&self) -> Ticks {
        Ticks(self.ticks)
    }

    /// The events from the payload's byte `at` on, where the clock is `ticks`. To go on after a
    /// stop, keep [`Events::bytes_taken`] and [`Events::now`].
    #[cfg(feature = "read")]
    #[inline]
    pub(crate) fn resume(thread: ThreadId, ticks: u64, payload: &'a [u8], at: usize) -> Self {
        let bytes = payload.get(at..).unwrap_or(&[]);
        let (bytes_total, last) = (payload.len(), u64::MAX);
        Self { thread, bytes, bytes_total, ticks, last, failed: false }
    }

    /// Bytes from the start of the payload to the event that is decoded next.
    #[must_use]
    #[inline]
    pub const fn bytes_taken(&self) -> usize {
        self.bytes_total - self.bytes.len()
    }

    /// The time of the next event; `None` at the end, and if the bytes are no event.
    #[cfg(feature = "read")]
    #[inline(always)]
    pub(crate) fn peek(&self) -> Option<u64> {
        let mut rest = self.bytes.get(1..)?;
        let ticks = self.ticks.checked_add(take_varint(&mut rest)?)?;
        (ticks <= self.last).then_some(ticks)
    }

    /// Visits the remaining events. This is the fastest way, as no event is copied.
    ///
    /// # Errors
    /// The place at which the bytes are no event; all events before it have been visited.
    #[inline(always)]
    pub fn walk(&mut self, mut visit: impl FnMut(Event<'a>)) -> Result<(), EventError> {
        loop {
            // The most common events stay in registers. Decoding the others is a call, which
            // returns them in memory: if both paths joined, all events would go through memory.
            if let Some(event) = self.take_common(u64::MAX) {
                visit(event);
                continue;
            }
            match self.step(u64::MAX) {
                Step::Event(event) => visit_apart(&mut visit, event),
                Step::Fault(error) => return Err(error),
                Step::Later(_) | Step::End => return Ok(()),
            }
        }
    }

    /// The next event, if it is a short region (complete or its begin) or an end, has no fault, and
    /// is not later than `limit`. Else `None`, and nothing is taken.
    #[inline(always)]
    pub(crate) fn take_common(&mut self, limit: u64) -> Option<Event<'a>> {
        let (&code, mut rest) = self.bytes.split_first()?;
        if code & opcode::REGION_SHORT == 0 && code != opcode::END {
            return None;
        }
        let ticks = self.ticks.checked_add(take_varint(&mut rest)?)?;
        let (site, values) = (SiteId(u32::from(code & 0x3f) + 1), Values::new(&[]));
        let (kind, duration) = if code == opcode::END {
            (EventKind::End, 0)
        } else if code & opcode::OPEN != 0 {
            (EventKind::RegionBegin { site, values }, 0)
        } else {
            let duration = take_varint(&mut rest)?;
            (EventKind::Region { site, duration: Ticks(duration), values }, duration)
        };
        let end = ticks.checked_add(duration)?;
        if ticks > limit.min(self.last) {
            return None;
        }
        self.ticks = end;
        self.bytes = rest;
        Some(Event { ticks: Ticks(ticks), kind })
    }

    /// The next event, if it is not later than `limit`.
    #[inline(always)]
    pub(crate) fn step(&mut self, limit: u64) -> Step<'a> {
        let Some((&opcode, mut rest)) = self.bytes.split_first() else {
            return Step::End;
        };
        let Some(ticks) = take_varint(&mut rest).and_then(|delta| self.ticks.checked_add(delta))
        else {
            return self.fail(opcode);
        };
        if ticks > limit.min(self.last) {
            return if ticks > self.last { self.fail(opcode) } else { Step::Later(ticks) };
        }
        let Some((kind, duration)) = take_kind(opcode, &mut rest) else {
            return self.fail(opcode);
        };
        let Some(end) = ticks.checked_add(duration) else {
            return self.fail(opcode);
        };
        self.ticks = end;
        self.bytes = rest;
        Step::Event(Event { ticks: Ticks(ticks), kind })
    }

    #[cold]
    #[inline(never)]
    fn fail(&mut self, opcode: u8) -> Step<'a> {
        let at = self.bytes_taken();
        self.bytes = &[];
        let first = !std::mem::replace(&mut self.failed, true);
        if first { Step::Fault(EventError { at, opcode }) } else { Step::End }
    }
}

/// Visits something that is in memory, out of line, so that it does not affect the code that keeps
/// things in registers.
#[inline(never)]
pub(crate) fn visit_apart<T, R>(visit: &mut impl FnMut(T) -> R, it: T) -> R {
    visit(it)
}

/// What comes next in a payload.
#[cfg_attr(not(feature = "read"), expect(dead_code, reason = "only merging sets limits"))]
pub(crate) enum Step<'a> {
    /// An event, taken.
    Event(Event<'a>),
    /// The next event is later than the limit: its time. It was not taken.
    Later(u64),
    /// Nothing.
    End,
    /// Bytes that are no event; nothing comes after them.
    Fault(EventError),
}

impl<'a> Iterator for Events<'a> {
    type Item = Result<Event<'a>, EventError>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        match self.step(u64::MAX) {
            Step::Event(event) => Some(Ok(event)),
            Step::Fault(error) => Some(Err(error)),
            Step::Later(_) | Step::End => None,
        }
    }
}

/// The fields of one event, and how far it moves the clock beyond its own time.
#[inline(always)]
fn take_kind<'a>(code: u8, bytes: &mut &'a [u8]) -> Option<(EventKind<'a>, u64)> {
    if code & opcode::REGION_SHORT == 0 {
        let (kind, duration, rest) = take_long(code, bytes)?;
        *bytes = rest;
        return Some((kind, duration));
    }
    let site = SiteId(u32::from(code & 0x3f) + 1);
    let values = Values::new(&[]);
    if code & opcode::OPEN != 0 {
        return Some((EventKind::RegionBegin { site, values }, 0));
    }
    let duration = take_varint(bytes)?;
    Some((EventKind::Region { site, duration: Ticks(duration), values }, duration))
}

/// Events whose opcode has no call site. It takes and returns the bytes by value, so that the
/// loop's own slice stays in registers.
#[inline]
fn take_long(code: u8, bytes: &[u8]) -> Option<(EventKind<'_>, u64, &[u8])> {
    let mut rest = bytes;
    let bytes = &mut rest;
    let open = code & opcode::OPEN != 0;
    let (kind, duration) = match code & !opcode::OPEN {
        code @ (opcode::REGION | opcode::REGION_ARGS) => {
            let site = take_site(bytes)?;
            let args = code == opcode::REGION_ARGS;
            let values = if args { take_values(bytes)? } else { Values::new(&[]) };
            let duration = take_duration(open, bytes)?;
            let whole = EventKind::Region { site, duration, values };
            (if open { EventKind::RegionBegin { site, values } } else { whole }, duration)
        }
        opcode::POLL => {
            let future = FutureId(take_varint(bytes)?);
            let duration = take_duration(open, bytes)?;
            let whole = EventKind::Poll { future, waits_at: StackId(0), duration };
            (if open { EventKind::PollBegin { future } } else { whole }, duration)
        }
        opcode::TASK_RUN => {
            let task = TaskId(take_varint(bytes)?);
            let duration = take_duration(open, bytes)?;
            let whole = EventKind::TaskRun { task, duration };
            (if open { EventKind::TaskRunBegin { task } } else { whole }, duration)
        }
        opcode::END if !open => (EventKind::End, Ticks(0)),
        code => return take_other(code, open, rest),
    };
    Some((kind, duration.0, rest))
}

/// What is open has no duration yet.
#[inline(always)]
fn take_duration(open: bool, bytes: &mut &[u8]) -> Option<Ticks> {
    if open { Some(Ticks(0)) } else { take_ticks(bytes) }
}

/// Rare events.
#[inline(never)]
fn take_other(code: u8, open: bool, bytes: &[u8]) -> Option<(EventKind<'_>, u64, &[u8])> {
    let mut rest = bytes;
    match code {
        opcode::CALL => take_call(open, rest),
        _ if open => None,
        opcode::POLL_WAITS => {
            let future = FutureId(take_varint(&mut rest)?);
            let (waits_at, duration) = (take_stack(&mut rest)?, take_ticks(&mut rest)?);
            Some((EventKind::Poll { future, waits_at, duration }, duration.0, rest))
        }
        code => take_moment(code, &mut rest).map(|kind| (kind, 0, rest)),
    }
}

fn take_moment<'a>(code: u8, bytes: &mut &'a [u8]) -> Option<EventKind<'a>> {
    Some(match code {
        opcode::END_VALUE => {
            EventKind::EndValue { outcome: take_outcome(bytes)?, values: take_values(bytes)? }
        }
        opcode::END_DETACHED => EventKind::EndDetached {
            open: Open::from_word(take_varint(bytes)?)?,
            since: take_ticks(bytes)?,
        },
        opcode::REOPEN => EventKind::Reopen {
            open: Open::from_word(take_varint(bytes)?)?,
            since: take_ticks(bytes)?,
        },
        opcode::INSTANT => {
            EventKind::Instant { site: take_site(bytes)?, values: take_values(bytes)? }
        }
        opcode::LOG => EventKind::Log { site: take_site(bytes)?, text: take_text(bytes)? },
        opcode::COUNTER => {
            EventKind::Counter { site: take_site(bytes)?, value: take_value(bytes)? }
        }
        opcode::TASK_BEGIN => EventKind::TaskBegin {
            task: take_task(bytes)?,
            parent: take_task(bytes)?,
            name: take_text(bytes)?,
        },
        opcode::TASK_BEGIN_SITE => EventKind::TaskBeginSite {
            task: take_task(bytes)?,
            parent: take_task(bytes)?,
            site: take_site(bytes)?,
            values: take_values(bytes)?,
        },
        opcode::TASK_END => EventKind::TaskEnd { task: take_task(bytes)? },
        opcode::FUTURE_BEGIN => EventKind::FutureBegin {
            future: FutureId(take_varint(bytes)?),
            task: take_task(bytes)?,
            site: take_site(bytes)?,
            values: take_values(bytes)?,
        },
        opcode::FUTURE_END => EventKind::FutureEnd {
            future: FutureId(take_varint(bytes)?),
            outcome: take_outcome(bytes)?,
            values: take_values(bytes)?,
        },
        opcode::DROPPED => EventKind::Dropped {
            events: take_varint(bytes)?,
            ends: take_varint(bytes)?,
            from: take_ticks(bytes)?,
            to: take_ticks(bytes)?,
        },
        opcode::FUTURE_SPAWN..=opcode::TASK_LINK => return take_of_async(code, bytes),
        code => return take_of_system(code, bytes),
    })
}

/// Events of futures, except the most common ones, and the link of a task.
fn take_of_async<'a>(code: u8, bytes: &mut &'a [u8]) -> Option<EventKind<'a>> {
    Some(match code {
        opcode::FUTURE_SPAWN => EventKind::FutureSpawn {
            future: FutureId(take_varint(bytes)?),
            parent: FutureId(take_varint(bytes)?),
            task: take_task(bytes)?,
            site: take_site(bytes)?,
            stack: take_stack(bytes)?,
        },
        opcode::WAKE => {
            EventKind::Wake { future: FutureId(take_varint(bytes)?), stack: take_stack(bytes)? }
        }
        opcode::END_POLL => EventKind::EndPoll { waits_at: take_stack(bytes)? },
        opcode::READY => {
            EventKind::Ready { future: FutureId(take_varint(bytes)?), since: take_ticks(bytes)? }
        }
        opcode::UNWAKEABLE => EventKind::Unwakeable { future: FutureId(take_varint(bytes)?) },
        opcode::TASK_LINK => EventKind::TaskLink {
            task: take_task(bytes)?,
            trace: u128::from_be_bytes(take_array(bytes)?),
            span: u64::from_be_bytes(take_array(bytes)?),
            parent: u64::from_be_bytes(take_array(bytes)?),
        },
        _ => return None,
    })
}

fn take_array<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (array, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*array)
}

/// Events of the system, which no call site emits.
fn take_of_system<'a>(code: u8, bytes: &mut &'a [u8]) -> Option<EventKind<'a>> {
    Some(match code {
        opcode::END_CALL => EventKind::EndCall { result: unzigzag(take_varint(bytes)?) },
        opcode::ALLOC => EventKind::Alloc {
            sample: SampleId(take_varint(bytes)?),
            address: take_varint(bytes)?,
            bytes: take_varint(bytes)?,
            stack: take_stack(bytes)?,
        },
        opcode::FREE => EventKind::Free { sample: SampleId(take_varint(bytes)?) },
        opcode::SWITCH_IN => EventKind::SwitchIn { os_thread: take_varint(bytes)? },
        opcode::SWITCH_OUT => EventKind::SwitchOut {
            os_thread: take_varint(bytes)?,
            preempted: take_varint(bytes)? & FLAG_PREEMPTED != 0,
        },
        opcode::SAMPLE => {
            EventKind::Sample { os_thread: take_varint(bytes)?, stack: take_stack(bytes)? }
        }
        opcode::FAULT => EventKind::Fault {
            os_thread: take_varint(bytes)?,
            address: take_varint(bytes)?,
            stack: take_stack(bytes)?,
        },
        opcode::LOST_KERNEL => EventKind::LostKernel { records: take_varint(bytes)? },
        opcode::EXTENSION..=opcode::EXTENSION_LAST => {
            take_bytes(bytes)?;
            EventKind::Unknown { opcode: code }
        }
        _ => return None,
    })
}

/// A call, complete or its begin.
fn take_call(open: bool, mut bytes: &[u8]) -> Option<(EventKind<'_>, u64, &[u8])> {
    let rest = &mut bytes;
    let call = CallId(u8::try_from(take_varint(rest)?).ok()?);
    let resource = ResourceId::from_number(take_varint(rest)?)?;
    let call = OpenCall { call, resource, stack: take_stack(rest)? };
    if open {
        return Some((EventKind::CallBegin { call }, 0, bytes));
    }
    let (result, duration) = (unzigzag(take_varint(rest)?), take_ticks(rest)?);
    Some((EventKind::Call { call, result, duration }, duration.0, bytes))
}

fn take_site(bytes: &mut &[u8]) -> Option<SiteId> {
    Some(SiteId(u32::try_from(take_varint(bytes)?).ok()?))
}

fn take_stack(bytes: &mut &[u8]) -> Option<StackId> {
    StackId::from_number(take_varint(bytes)?)
}

fn take_task(bytes: &mut &[u8]) -> Option<TaskId> {
    Some(TaskId(take_varint(bytes)?))
}

fn take_ticks(bytes: &mut &[u8]) -> Option<Ticks> {
    Some(Ticks(take_varint(bytes)?))
}

fn take_outcome(bytes: &mut &[u8]) -> Option<Outcome> {
    Outcome::from_number(take_varint(bytes)?)
}

fn take_values<'a>(bytes: &mut &'a [u8]) -> Option<Values<'a>> {
    Some(Values::new(take_bytes(bytes)?))
}

/// A text field: the length before the cut, then the kept bytes with their length.
fn take_text<'a>(bytes: &mut &'a [u8]) -> Option<Text<'a>> {
    let bytes_before = take_varint(bytes)?;
    Some(Text { bytes: take_bytes(bytes)?, bytes_before })
}
