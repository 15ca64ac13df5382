//! How the rules tell those who add up: each wait, call, region and run when it is over, with all
//! that is known of it. Rules name no sums, but for those about async tasks (`futures`).

use trace_format::event::Event;
use trace_format::id::{CallId, SiteId, StackId, TaskId, ThreadId};
use trace_format::time::Nanos;

use super::spent::Known;
use super::{Activity, OneCall, Stretch, Unended, Wait};
use crate::reason::Reason;

/// A wait that is over, or is not when the trace ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waited {
    pub(crate) reason: Reason,
    /// Whether its resource is the name of what was waited for.
    pub(crate) named: bool,
    /// One stack for all that wait at this place of the program.
    pub(crate) place: StackId,
    /// Who ended it, with one stack for all that do so there.
    pub(crate) waker_place: Option<(ThreadId, StackId)>,
    pub(crate) wait: Wait,
    /// When the thread went on.
    pub(crate) end: u64,
    /// Whether it was over when what is read ended.
    pub(crate) is_over: bool,
    /// Whether it was not over when the trace ended.
    pub(crate) is_endless: bool,
}

/// A call that has ended, or had not when what is read ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClosedCall {
    pub(crate) call: CallId,
    pub(crate) one: OneCall,
    pub(crate) off_cpu: u64,
    /// Whether its result counts bytes.
    pub(crate) has_bytes: bool,
    /// Whether it has ended: else it has no result, and its duration is the part so far.
    pub(crate) is_over: bool,
}

/// A region that has ended or is cut by the window's end, where switches were recorded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndedRegion {
    pub(crate) site: SiteId,
    pub(crate) is_over: bool,
    /// Whether another of the same site is around it.
    pub(crate) is_inner: bool,
    /// How long, in nanoseconds.
    pub(crate) wall: u64,
    /// What its thread did meanwhile, as far as that is known.
    pub(crate) inside: Known,
}

/// A run of a user's task that has ended, or is open when the trace ends.
#[derive(Debug)]
pub(crate) struct EndedRun<'r> {
    pub(crate) task: TaskId,
    /// The runs around it, outermost first.
    pub(crate) around: &'r [TaskId],
    pub(crate) stretch: Stretch,
    /// What its thread did in it, if that was wanted.
    pub(crate) activity: Option<Box<Activity>>,
}

/// Adds up what the rules find out.
pub(crate) trait Fold {
    /// The window begins: what was told until now does not count.
    fn restart(&mut self);

    /// An event, before anything is made of it.
    fn raw(&mut self, event: &Event<'_>);

    /// Whether waits of this thread are those that were asked for.
    fn counts(&self, thread: ThreadId) -> bool;

    /// A thread has waited.
    fn wait(&mut self, waited: &Waited);

    /// A thread's wait was not over when the trace stopped.
    fn unended(&mut self, unended: Unended);

    /// A call is over, or what is read is.
    fn call(&mut self, call: &ClosedCall);

    /// A thread was able to run and did not, since its call at this stack was over or before that.
    fn ready(&mut self, stack: StackId, ready: Stretch);

    /// A thread was on a CPU inside a call at this stack.
    fn in_kernel(&mut self, thread: ThreadId, stack: StackId, time: Nanos);

    /// A thread was on a CPU outside calls, where it touched a page that had to be read.
    fn in_fault(&mut self, thread: ThreadId, stack: StackId, time: Nanos);

    /// A thread was seen on a CPU.
    fn sampled(&mut self, thread: ThreadId, stack: StackId);

    /// A region is over.
    fn region(&mut self, region: &EndedRegion);

    /// Whether runs of tasks are wanted at all,
    fn wants_runs(&self) -> bool;

    /// and what is done in those of this task.
    fn wants_run(&self, task: TaskId) -> bool;

    /// A run of a task is over.
    fn run(&mut self, run: EndedRun<'_>);
}
