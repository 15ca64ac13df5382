//! THE table: every event a thread writes, its fields, and how one is decoded.
//!
//! An event is an opcode byte, the time since the event before it in ticks, and its fields; all
//! numbers are unsigned varints. Times never run backwards within a batch. FORMAT.md, section 5,
//! has the same table, and a test compares the two.
//!
//! Bit 6 of the opcode of a region, poll or task run says *open*: its end follows as an event of
//! its own. Without the bit the event is *complete*: a duration is its last field and nothing
//! happened inside. Bit 7 folds the ids of the first 64 call sites into the opcode.

use crate::id::{FutureId, Open, SiteId, TaskId, ThreadId};
use crate::time::Ticks;
use crate::value::{Text, Value, Values, take_bytes, take_value};
use crate::varint::take_varint;

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
    /// Ends something that was not opened last, or elsewhere: what, time since its begin.
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
    /// Events were lost for want of memory: events, ends, first and last absolute ticks.
    pub const DROPPED: u8 = 0x11;
    /// Opcodes from here to [`EXTENSION_LAST`] have their length in front: an old reader skips them.
    pub const EXTENSION: u8 = 0x20;
    /// See [`EXTENSION`].
    pub const EXTENSION_LAST: u8 = 0x3f;
    /// On the first four: open, not complete.
    pub const OPEN: u8 = 0x40;
    /// A complete region without arguments of call site `opcode & 0x3f`, plus one.
    pub const REGION_SHORT: u8 = 0x80;
    /// How many call sites the short form reaches.
    pub const SHORT_SITES: u32 = 64;
}

/// How a region or a future ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It returned; the value, if recorded, is beside it.
    Returned,
    /// It returned an error.
    Failed,
    /// It was dropped before it was done.
    Dropped,
}

impl Outcome {
    /// The number on the wire.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        match self {
            Self::Returned => 0,
            Self::Failed => 1,
            Self::Dropped => 2,
        }
    }

    const fn from_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::Returned),
            1 => Some(Self::Failed),
            2 => Some(Self::Dropped),
            _ => None,
        }
    }
}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event<'a> {
    /// When; for a complete region, poll or task run its begin.
    pub ticks: Ticks,
    /// What.
    pub kind: EventKind<'a>,
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
    /// A future is polled for the first time.
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
    /// Events were lost because memory was at its bound.
    Dropped {
        /// How many regions, logs, tasks and so on were not written at all.
        events: u64,
        /// How many ends are missing of what was begun before.
        ends: u64,
        /// When the first was lost.
        from: Ticks,
        /// When the last was lost.
        to: Ticks,
    },
    /// An event of a newer version.
    Unknown {
        /// Its opcode.
        opcode: u8,
    },
}

/// The events of one batch's payload, in order. After an error it ends: what follows a fault
/// inside a batch can't be told apart from noise.
#[derive(Clone, Debug)]
pub struct Events<'a> {
    thread: ThreadId,
    bytes: &'a [u8],
    bytes_total: usize,
    ticks: u64,
    failed: bool,
}

/// Bytes inside a payload that are no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventError {
    /// From the start of the payload to the event's opcode.
    pub at: usize,
    /// The opcode that stands there.
    pub opcode: u8,
}

impl<'a> Events<'a> {
    /// The events in `payload`, the first of them `base` plus its delta.
    #[must_use]
    pub const fn new(thread: ThreadId, base: Ticks, payload: &'a [u8]) -> Self {
        let bytes_total = payload.len();
        Self { thread, bytes: payload, bytes_total, ticks: base.0, failed: false }
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
}

impl<'a> Iterator for Events<'a> {
    type Item = Result<Event<'a>, EventError>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let (&opcode, rest) = self.bytes.split_first()?;
        let mut rest = rest;
        let taken = take_event(opcode, &mut rest, &mut self.ticks);
        if taken.is_none() {
            return self.fail(opcode);
        }
        self.bytes = rest;
        taken.map(Ok)
    }
}

impl<'a> Events<'a> {
    #[cold]
    #[inline(never)]
    fn fail(&mut self, opcode: u8) -> Option<Result<Event<'a>, EventError>> {
        let at = self.bytes_total - self.bytes.len();
        self.bytes = &[];
        let first = !std::mem::replace(&mut self.failed, true);
        first.then_some(Err(EventError { at, opcode }))
    }
}

#[inline(always)]
fn take_event<'a>(opcode: u8, bytes: &mut &'a [u8], clock: &mut u64) -> Option<Event<'a>> {
    let ticks = clock.checked_add(take_varint(bytes)?)?;
    if opcode & opcode::REGION_SHORT != 0 {
        let site = SiteId(u32::from(opcode & 0x3f) + 1);
        let values = Values::new(&[]);
        let kind = if opcode & opcode::OPEN != 0 {
            *clock = ticks;
            EventKind::RegionBegin { site, values }
        } else {
            let duration = take_varint(bytes)?;
            *clock = ticks.checked_add(duration)?;
            EventKind::Region { site, duration: Ticks(duration), values }
        };
        return Some(Event { ticks: Ticks(ticks), kind });
    }
    let (kind, duration) = take_kind(opcode, bytes)?;
    *clock = ticks.checked_add(duration)?;
    Some(Event { ticks: Ticks(ticks), kind })
}

/// The fields of one event, and how far it moves the clock beyond its own time.
#[inline]
fn take_kind<'a>(code: u8, bytes: &mut &'a [u8]) -> Option<(EventKind<'a>, u64)> {
    let open = code & opcode::OPEN != 0;
    let kind = match code & !opcode::OPEN {
        code @ (opcode::REGION | opcode::REGION_ARGS) => {
            let site = take_site(bytes)?;
            let args = code == opcode::REGION_ARGS;
            let values = if args { take_values(bytes)? } else { Values::new(&[]) };
            if open {
                EventKind::RegionBegin { site, values }
            } else {
                let duration = take_varint(bytes)?;
                return Some((
                    EventKind::Region { site, duration: Ticks(duration), values },
                    duration,
                ));
            }
        }
        opcode::POLL => {
            let future = FutureId(take_varint(bytes)?);
            if open {
                EventKind::PollBegin { future }
            } else {
                let duration = take_varint(bytes)?;
                return Some((EventKind::Poll { future, duration: Ticks(duration) }, duration));
            }
        }
        opcode::TASK_RUN => {
            let task = TaskId(take_varint(bytes)?);
            if open {
                EventKind::TaskRunBegin { task }
            } else {
                let duration = take_varint(bytes)?;
                return Some((EventKind::TaskRun { task, duration: Ticks(duration) }, duration));
            }
        }
        _ if open => return None,
        opcode::END => EventKind::End,
        code => take_other(code, bytes)?,
    };
    Some((kind, 0))
}

#[inline(never)]
fn take_other<'a>(code: u8, bytes: &mut &'a [u8]) -> Option<EventKind<'a>> {
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
        opcode::EXTENSION..=opcode::EXTENSION_LAST => {
            take_bytes(bytes)?;
            EventKind::Unknown { opcode: code }
        }
        _ => return None,
    })
}

fn take_site(bytes: &mut &[u8]) -> Option<SiteId> {
    Some(SiteId(u32::try_from(take_varint(bytes)?).ok()?))
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

/// A text as a field of its own: the length before the cut, then the kept bytes with their length.
fn take_text<'a>(bytes: &mut &'a [u8]) -> Option<Text<'a>> {
    let bytes_before = take_varint(bytes)?;
    Some(Text { bytes: take_bytes(bytes)?, bytes_before })
}
