//! What the walk over a trace finds out, for those who draw it: what begins and ends on threads,
//! in which state each thread is, who ended whose wait, and what async tasks do.
//!
//! Reports add these up; an [`Observer`] sees each of them. Both come from the same walk, so a
//! picture and a table of the same trace agree. Always true:
//!
//! - **T1** On each thread, begins and ends nest: an end is for the innermost thing that began and
//!   has not ended.
//! - **T2** The intervals of a thread follow each other without gap or overlap, from its begin to
//!   its end. They add up to the thread's times in [`ThreadLife::times`], but for
//!   what happened very long before a thread's first switch: that is drawn as not known.
//! - **T3** An edge never points back in time.
//! - **T4** The intervals of an async task do not overlap, and lie between its begin and its end.
//!
//! Times are nanoseconds since the first clock snapshot. Calls come in the order of time as far as
//! possible. What shows only later comes later: intervals when they are over, edges when the wait
//! that they end is over.
//!
//! How, in private:
//!
//! - `walk` takes all events; `nesting` is its part about what begins and ends on threads, `closed`
//!   about what is over, `late` about what outlives what was around it, `switches` about CPUs,
//!   `start` about where threads were when the window began, `lost` about missing events, `finish`
//!   its end.
//! - `thread` is a thread's state, `spent` how long it was in which, `frame` what is open on it,
//!   `call` what it did in a call, `history` what it did lately; `gaps` says what of that goes on
//!   behind missing events, and `aside` has it meanwhile; `who` finds a thread by the system's ids;
//!   `futex` says who woke whom, `places` why and where threads wait, `hands` who held locks that
//!   have no address.
//! - `futures` is the part about futures and async tasks: who polls, who waits, who woke.
//! - `activity` is what was done in a poll or a task run; `cpus` counts what ran at once.
//! - `life` and `wait` are what is known of a thread, a wait or a call in the end.
//! - `observed` tells an observer what was found out; `fold` is how sums are told.
//! - `stack` is what is open on one thread, `standstill` when the whole process was stopped,
//!   `open_tasks` which tasks were open when a window began.
//!
//! Elsewhere: the loop (`walk`), sums (`report`), why a thread waits (`reason`).

mod activity;
mod aside;
mod call;
mod closed;
mod cpus;
mod finish;
mod fold;
mod frame;
mod futex;
pub(crate) mod futures;
mod gaps;
mod hands;
mod history;
mod late;
mod life;
mod lost;
mod nesting;
mod observed;
pub mod open_tasks;
mod places;
mod spent;
pub mod stack;
pub mod standstill;
mod start;
mod switches;
mod thread;
mod wait;
mod walk;
mod who;

use trace_format::event::{EventKind, Outcome};
use trace_format::id::{CallId, FutureId, Open, SiteId, StackId, TaskId, ThreadId};
use trace_format::time::Nanos;
use trace_format::value::Values;

pub use self::activity::{Activity, Stretch};
pub use self::cpus::{Concurrency, CpuLife};
pub(crate) use self::finish::Found;
pub(crate) use self::fold::{ClosedCall, EndedRegion, EndedRun, Fold, Waited};
pub(crate) use self::frame::Frame;
pub use self::futex::Holder;
pub use self::life::{ThreadLife, Times};
pub(crate) use self::places::Place;
pub use self::wait::{OneCall, TOP, Unended, Wait, Waker};
pub(crate) use self::walk::Walk;
pub use self::who::{main_thread, unjoined};
use crate::reason::Reason;
use crate::time::Moment;

/// A thread of the traced program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Who {
    /// Its number in this walk, from 0: as many as there are threads.
    pub number: usize,
    /// Its id in the trace; 0 if it recorded nothing and is known from a CPU only.
    pub thread: ThreadId,
    /// The system's id; 0 if unknown.
    pub os_id: u64,
}

/// Something that begins on a thread.
#[derive(Clone, Copy, Debug)]
pub struct Begun<'e> {
    /// What.
    pub open: Open,
    /// When, perhaps before the trace.
    pub at: Moment,
    /// Arguments; of regions only.
    pub values: Values<'e>,
    /// Of a call: what it waits for if it waits.
    pub reason: Option<Reason>,
    /// Of a call that is over already: what it returned.
    pub result: Option<i64>,
    /// Of a call that wakes, and of a poll: the number of the edges that begin or end here; 0 for
    /// none, and for what had begun before the window. See [`Edge::number`].
    pub edge: u64,
}

/// How something ended on a thread.
#[derive(Clone, Copy, Debug)]
pub enum How<'e> {
    /// In its turn.
    Plain,
    /// In its turn, with a value.
    Value(Outcome, Values<'e>),
    /// A call, with what it returned.
    Call(i64),
    /// A region that is held across an await: the poll of this future around it has ended. It goes
    /// on, and its own end is told by [`Observer::detached`].
    Held(FutureId),
    /// What is around it has ended first.
    Around,
    /// Its end is not in the trace.
    Lost,
    /// It has not ended: the trace has.
    Open,
}

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ThreadState {
    /// On a CPU, in the program's own code; which CPU, if that is known.
    Running(Option<u32>),
    /// On a CPU inside a call; without switches, inside a call that need not wait.
    InCall(Option<u32>),
    /// Able to run, and not on a CPU.
    Ready,
    /// Records are missing, or no switches were recorded and it is outside calls.
    Unknown,
    /// The whole process was stopped.
    Stopped,
    /// Waiting.
    Blocked(Reason),
}

/// A thread was in one state for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Which thread.
    pub who: Who,
    /// What it did.
    pub state: ThreadState,
    /// Since when.
    pub from: Nanos,
    /// Until when.
    pub to: Nanos,
    /// The call it was in; 0 if none.
    pub call: CallId,
    /// From where it made that call; 0 if unknown.
    pub stack: StackId,
}

/// What an async task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskState {
    /// It was spawned or woken, and nobody polls it yet.
    Ready,
    /// A thread polls it.
    Polled(ThreadId),
    /// It waits at this place; 0 if unknown.
    Idle(StackId),
}

/// An async task was in one state for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskInterval {
    /// Which.
    pub task: FutureId,
    /// What it did.
    pub state: TaskState,
    /// Since when, perhaps before the trace.
    pub from: Moment,
    /// Until when; `None` if it was so when the trace ended.
    pub to: Option<Nanos>,
}

/// Why one thing led to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EdgeKind {
    /// A call woke a thread that waited.
    Wake,
    /// A thread ended, for which another waited.
    Join,
}

/// Something that one thread did ended the wait of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Why.
    pub kind: EdgeKind,
    /// The number of the call that woke, as [`Begun::edge`] had it; 0 for a join.
    pub number: u64,
    /// Who ended the wait.
    pub from: Who,
    /// Where; 0 if unknown.
    pub stack: StackId,
    /// When.
    pub at: Nanos,
    /// Who waited.
    pub to: Who,
    /// When its call was over.
    pub end: Nanos,
}

/// How a future takes part in the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FutureRole {
    /// An async task: it was spawned, or nobody's poll is around its polls.
    Task,
    /// It is awaited by another.
    Child,
}

/// A future of which the trace tells for the first time.
#[derive(Clone, Copy, Debug)]
pub struct FutureBegun<'e> {
    /// Which.
    pub future: FutureId,
    /// What it is.
    pub role: FutureRole,
    /// Where it is made.
    pub site: SiteId,
    /// When it began, perhaps before the trace.
    pub at: Moment,
    /// Who spawned it, or awaits it; 0 if unknown.
    pub parent: FutureId,
    /// The task it works for; 0 if none.
    pub task: TaskId,
    /// Arguments.
    pub values: Values<'e>,
}

/// What the walk knows of an event that opens and ends nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Note {
    /// Of a spawn or a wake: the number of the edge to the poll that comes of it, which has it as
    /// [`Begun::edge`]; 0 if none comes of it.
    pub edge: u64,
    /// Of an event about a future: the async task it belongs to; 0 if unknown.
    pub task: FutureId,
    /// The call site of that; 0 if unknown.
    pub site: SiteId,
}

/// An end of something that is not open on its thread.
#[derive(Clone, Copy, Debug)]
pub struct Detached {
    /// What.
    pub open: Open,
    /// When it began, perhaps before the trace.
    pub begin: Moment,
    /// The future that was being polled there; 0 if none.
    pub polled: FutureId,
}

/// Events that are lost.
#[derive(Clone, Copy, Debug)]
pub struct Loss {
    /// How many.
    pub events: u64,
    /// How many of these were ends.
    pub ends: u64,
    /// Since when.
    pub from: Nanos,
    /// Until when.
    pub to: Nanos,
}

/// Sees what a walk finds out.
#[expect(unused_variables, reason = "names of parameters say more than underscores")]
pub trait Observer {
    /// Whether it sees anything; if not, the walk does nothing for it.
    const IS_ON: bool = true;

    /// Whether sums are wanted, too: if not, [`observe`](crate::report::observe) returns
    /// lives without waits and calls.
    const WANTS_SUMS: bool = true;

    /// Whether it wants no more: then the walk ends soon.
    fn is_done(&self) -> bool {
        false
    }

    /// Something begins on a thread.
    fn begin(&mut self, who: Who, begun: &Begun<'_>) {}

    /// The innermost thing on a thread ends.
    fn end(&mut self, who: Who, open: Open, at: Nanos, how: How<'_>) {}

    /// Something ends that is not open on this thread. Whether the observer knows what it is: a
    /// region held across an await, or one that was closed with what was around it. If not, it was
    /// begun on another thread, or in a gap.
    fn detached(&mut self, who: Who, at: Nanos, detached: &Detached) -> bool {
        true
    }

    /// Something that is open on a thread, `depth` things from the outermost, has ended on another.
    /// Its own end still comes.
    fn ended_elsewhere(&mut self, who: Who, depth: usize, at: Nanos) {}

    /// An end came when nothing was open.
    fn unmatched(&mut self, who: Who, at: Nanos) {}

    /// Something lies deeper than readers keep.
    fn too_deep(&mut self, who: Who) {}

    /// A future begins.
    fn future(&mut self, begun: &FutureBegun<'_>) {}

    /// An event that opens and ends nothing on its thread.
    fn event(&mut self, who: Who, at: Nanos, kind: &EventKind<'_>, note: Note) {}

    /// A thread was in a state, and is so no more.
    fn interval(&mut self, interval: &Interval) {}

    /// An async task was in a state, and is so no more.
    fn task_interval(&mut self, interval: &TaskInterval) {}

    /// A wait was ended.
    fn edge(&mut self, edge: &Edge) {}

    /// Events of a thread are lost.
    fn lost(&mut self, who: Who, at: Nanos, loss: &Loss) {}

    /// A thread was seen on a CPU.
    fn sample(&mut self, who: Who, cpu: u32, at: Nanos, stack: StackId) {}

    /// A thread had to wait for a page.
    fn fault(&mut self, who: Who, at: Nanos, address: u64, stack: StackId) {}

    /// The system lost records of a CPU.
    fn lost_records(&mut self, cpu: u32, at: Nanos, records: u64) {}

    /// Something that only a newer version knows.
    fn unknown(&mut self) {}
}
