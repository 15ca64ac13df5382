//! The twin of the recorder for `enabled` off: the same surface; everything compiles, nothing
//! happens, and it succeeds.
//!
//! Types that say how something went are the recorder's, field by field, so that code which reads
//! them compiles either way.

use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::marker::PhantomData;
use std::time::Duration;

/// Would start a trace that is written to `writer`; here it drops the writer.
///
/// # Errors
/// None.
pub fn start(writer: impl Write + Send + 'static) -> Result<Trace, StartError> {
    drop(writer);
    Ok(Trace {})
}

/// As [`start`], with options.
///
/// # Errors
/// None.
pub fn start_with(
    options: Options,
    writer: impl Write + Send + 'static,
) -> Result<Trace, StartError> {
    let _ = options;
    start(writer)
}

/// Whether a trace is running: never.
#[must_use]
pub const fn is_enabled() -> bool {
    false
}

/// Every call site linked into the program: none.
pub fn callsites() -> impl Iterator<Item = &'static Callsite> {
    std::iter::empty()
}

/// Would switch call sites on or off; returns how many, 0.
pub const fn set_module_on(module: &str, on: bool) -> usize {
    let _ = (module, on);
    0
}

/// A trace that does not run.
#[derive(Debug)]
#[must_use = "dropping a trace stops it"]
#[non_exhaustive]
pub struct Trace {}

impl Trace {
    /// Reports nothing.
    ///
    /// # Errors
    /// None.
    pub fn stop(self) -> Result<Report, StopError> {
        Ok(Report::default())
    }
}

/// How a trace would be recorded.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {}

impl Options {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The most memory that batches may take, in bytes.
    #[must_use]
    pub fn memory_max(self, _bytes: usize) -> Self {
        self
    }

    /// What happens when memory is at its bound.
    #[must_use]
    pub fn on_full(self, _on_full: OnFull) -> Self {
        self
    }

    /// Which annotations have stacks.
    #[must_use]
    pub fn stacks(self, _stacks: Stacks) -> Self {
        self
    }

    /// How batches are stored.
    #[must_use]
    pub fn compression(self, _compression: Compression) -> Self {
        self
    }

    /// How often a reader can start anew.
    #[must_use]
    pub fn generation(self, _every: Duration) -> Self {
        self
    }

    /// Whether wakes, spawns and waits of futures have stacks.
    #[must_use]
    pub fn async_stacks(self, _on: bool) -> Self {
        self
    }

    /// Whether threads, blocking and system calls are recorded.
    #[must_use]
    pub fn os(self, _on: bool) -> Self {
        self
    }

    /// Whether the kernel is asked which thread runs where.
    #[must_use]
    pub fn sched(self, _on: bool) -> Self {
        self
    }

    /// How often each thread is looked at, in a second of its CPU time.
    #[must_use]
    pub fn cpu_samples(self, _per_second: u32) -> Self {
        self
    }

    /// Whether page faults are recorded that had to wait for a disk.
    #[must_use]
    pub fn page_faults(self, _on: bool) -> Self {
        self
    }

    /// Whether the allocator counts and samples for the trace.
    #[must_use]
    pub fn heap(self, _on: bool) -> Self {
        self
    }

    /// One allocation is sampled in so many bytes allocated, on average.
    #[must_use]
    pub fn heap_sample_bytes(self, _bytes: u64) -> Self {
        self
    }
}

/// What happens to events when memory is at its bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFull {
    /// They are dropped and counted.
    #[default]
    Drop,
    /// The recording thread waits.
    Wait,
}

/// Which regions, moments, futures and tasks are recorded with the stack they begin on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stacks {
    /// None.
    #[default]
    None,
    /// One in so many on average.
    Sampled {
        /// At least 1.
        one_in: u32,
    },
    /// All.
    All,
}

/// How batches are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// As they are.
    #[default]
    None,
}

/// What a trace came to: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Events written.
    pub events: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Threads that recorded something.
    pub threads: u64,
    /// Events lost because memory was at its bound.
    pub dropped_events: u64,
    /// Ends of regions lost because memory was at its bound.
    pub dropped_ends: u64,
    /// Events lost because the writer failed.
    pub unwritten_events: u64,
    /// CPU time of the collector.
    pub tracer_cpu: Duration,
    /// The most bytes that batches took at any time.
    pub memory_max: u64,
}

/// Why a trace could not start: it always can.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// A trace is running already.
    AlreadyRunning,
    /// The writer refused the first bytes.
    Write(io::Error),
    /// The collector's thread could not be started.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the trace could not start")
    }
}

impl Error for StartError {}

/// Why a trace did not stop well: it always does.
#[derive(Debug)]
#[non_exhaustive]
pub enum StopError {
    /// A write failed.
    Write {
        /// The first failure.
        error: io::Error,
        /// What was written before, and what was lost.
        report: Report,
    },
    /// This is a forked child.
    Forked,
    /// The collector panicked.
    Collector,
}

impl fmt::Display for StopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the trace did not stop well")
    }
}

impl Error for StopError {}

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

    /// Nobody else's types are names here either.
    pub trait Named {}

    impl Named for &'static str {}
    impl Named for Task {}
    impl Named for &Task {}
}

/// A piece of work of the user's, of which nothing is recorded.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Task {}

impl Task {
    /// Would begin a task.
    #[must_use = "a task ends when its last handle is dropped"]
    pub fn new(_name: &str) -> Self {
        Self::default()
    }

    /// Would begin a task that is part of this one.
    #[must_use = "a task ends when its last handle is dropped"]
    pub fn subtask(&self, _name: &str) -> Self {
        Self::default()
    }

    /// One that does nothing.
    #[must_use]
    pub fn current() -> Self {
        Self::default()
    }

    /// Would go on with a task of another process.
    #[must_use = "a task ends when its last handle is dropped"]
    pub fn from_traceparent(_name: &str, _traceparent: &str) -> Self {
        Self::default()
    }

    /// Nothing to send along.
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
    /// Understands no header.
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
    // So that dropping it by name raises no warning, as with the recorder's.
    fn drop(&mut self) {}
}

/// A place in the source that would emit; there are none.
#[derive(Debug)]
pub enum Callsite {}

impl Callsite {
    /// What it emits.
    #[must_use]
    pub fn kind(&self) -> CallsiteKind {
        match *self {}
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match *self {}
    }

    /// The module it is in.
    #[must_use]
    pub fn module_path(&self) -> &'static str {
        match *self {}
    }

    /// The source file.
    #[must_use]
    pub fn file(&self) -> &'static str {
        match *self {}
    }

    /// From 1.
    #[must_use]
    pub fn line(&self) -> u32 {
        match *self {}
    }

    /// From 1.
    #[must_use]
    pub fn column(&self) -> u32 {
        match *self {}
    }

    /// Regions shorter than this leave nothing behind.
    #[must_use]
    pub fn min_nanos(&self) -> u64 {
        match *self {}
    }

    /// Names and kinds of its arguments.
    #[must_use]
    pub fn arguments(&self) -> &'static [ArgumentName] {
        match *self {}
    }

    /// Whether it will emit while a trace runs.
    #[must_use]
    pub fn is_on(&self) -> bool {
        match *self {}
    }

    /// Switches it on or off.
    pub fn set_on(&'static self, _on: bool) {
        match *self {}
    }

    /// Whether an event from here would be recorded now.
    #[must_use]
    pub fn is_live(&self) -> bool {
        match *self {}
    }
}

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

/// An argument, as the call site knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArgumentName {
    name: &'static str,
    kind: ArgumentKind,
}

impl ArgumentName {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// How it becomes a value.
    #[must_use]
    pub const fn kind(&self) -> ArgumentKind {
        self.kind
    }
}

/// A type whose values would keep their type in a trace.
pub trait Argument {
    /// The value to record.
    fn value(&self) -> Value<'_>;
}

/// The value of one argument.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Value<'a> {
    /// `None`, `()`.
    None,
    /// Unsigned integers up to 64 bits.
    U64(u64),
    /// Signed integers up to 64 bits.
    I64(i64),
    /// Floats.
    F64(f64),
    /// Truth values.
    Bool(bool),
    /// Characters.
    Char(char),
    /// Text.
    Str(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// `u128`.
    U128(u128),
    /// `i128`.
    I128(i128),
    /// Printed by `Debug` when the event is recorded.
    Debug(&'a dyn fmt::Debug),
    /// Printed by `Display` when the event is recorded.
    Display(&'a dyn fmt::Display),
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value")
    }
}
