//! The twins of tasks and traced futures: nothing is recorded about them.

use std::fmt;
use std::marker::PhantomData;

/// A future that would be traced: itself.
pub type Traced<F> = F;

/// Would trace any future.
pub trait TracedExt: Future + Sized {
    /// This future, as it is.
    fn traced(self, _name: impl FutureName) -> Traced<Self> {
        self
    }
}

impl<F: Future> TracedExt for F {}

/// What would name a future.
pub trait FutureName: sealed::Named {}

impl FutureName for &'static str {}
impl FutureName for Task {}
impl FutureName for &Task {}

mod sealed {
    use super::Task;

    /// Other crates' types are no names here either.
    pub trait Named {}

    impl Named for &'static str {}
    impl Named for Task {}
    impl Named for &Task {}
}

/// A piece of the user's work, which is not recorded.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Task {}

impl Task {
    /// Would begin a task.
    #[must_use = "a task ends when its last handle is dropped"]
    pub fn new(_name: &str) -> Self {
        Self::default()
    }

    /// Would begin a task that is a part of this one.
    #[must_use = "a task ends when its last handle is dropped"]
    pub fn subtask(&self, _name: &str) -> Self {
        Self::default()
    }

    /// One that does nothing.
    #[must_use]
    pub fn current() -> Self {
        Self::default()
    }

    /// Would begin a task whose parent is in another process.
    #[must_use = "a task ends when its last handle is dropped"]
    pub fn from_traceparent(_name: &str, _traceparent: &str) -> Self {
        Self::default()
    }

    /// The header for other processes: none.
    #[must_use]
    pub fn traceparent(&self) -> Option<Traceparent> {
        None
    }

    /// Does nothing.
    pub fn enter(&self) -> TaskGuard {
        TaskGuard { not_send: PhantomData }
    }

    /// Does nothing.
    pub fn end(&self) {}

    /// Its id in the trace: 0.
    #[must_use]
    pub fn id(&self) -> u64 {
        0
    }

    /// `future` itself.
    pub fn wrap<F: Future>(&self, future: F) -> F {
        future
    }
}

/// A span of a distributed trace; there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Traceparent {}

impl Traceparent {
    /// Parses no header.
    #[must_use]
    pub fn parse(_header: &str) -> Option<Self> {
        None
    }

    /// The trace.
    #[must_use]
    pub fn trace_id(&self) -> u128 {
        match *self {}
    }

    /// The span.
    #[must_use]
    pub fn span_id(&self) -> u64 {
        match *self {}
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

/// Would mark that this thread works for a task.
#[derive(Debug)]
#[must_use = "the thread works for the task only while this lives"]
pub struct TaskGuard {
    not_send: PhantomData<*const ()>,
}

impl Drop for TaskGuard {
    // With this, `drop(guard)` raises no warning, as with the recorder's guard.
    fn drop(&mut self) {}
}
