//! One wait, one call: what the rules know of each when it is over.

use trace_format::id::{CallId, ResourceId, StackId, ThreadId};
use trace_format::time::Nanos;

use crate::reason::Reason;
use crate::time::Moment;

/// Maximum number of the longest waits or calls that a group keeps, and of the holders that are
/// named for one lock: those that made others wait most.
pub const TOP: usize = 8;

/// One stretch of waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Who.
    pub thread: ThreadId,
    /// Where; 0 if unknown.
    pub stack: StackId,
    /// For what; 0 if unknown.
    pub resource: ResourceId,
    /// When it began, perhaps before what was read.
    pub begin: Moment,
    /// How long, all of it.
    pub duration: Nanos,
    /// How long in what was read: what sums are made of.
    pub inside: Nanos,
    /// Who ended it, where, and when; nobody if that can't be told.
    pub waker: Option<Waker>,
    /// Whether it ended because its time was up, and nobody woke the thread.
    pub timed_out: bool,
}

/// A wait that was not over when the trace stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unended {
    /// Why.
    pub reason: Reason,
    /// In which call.
    pub call: CallId,
    /// Who, where, since when.
    pub wait: Wait,
    /// Of a lock: the thread that had it then, and since when, if that is known. It is of threads
    /// that had waited for it themselves: to take a free lock leaves no trace.
    pub holder: Option<(ThreadId, Nanos)>,
}

/// Who ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waker {
    /// Which thread.
    pub thread: ThreadId,
    /// Where; 0 if unknown.
    pub stack: StackId,
    /// When, since the first clock snapshot.
    pub at: Nanos,
    /// For locks: since when at the latest it had held it, if that can be shown.
    pub held_since: Option<Nanos>,
}

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneCall {
    /// Who made it.
    pub thread: ThreadId,
    /// From where; 0 if unknown.
    pub stack: StackId,
    /// About what; 0 if about nothing in particular.
    pub resource: ResourceId,
    /// When it began, perhaps before what was read.
    pub begin: Moment,
    /// How long, all of it.
    pub duration: Nanos,
    /// How long in what was read: what sums are made of.
    pub inside: Nanos,
    /// Bytes or a count; negative: minus the error number.
    pub result: i64,
}
