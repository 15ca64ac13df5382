//! The vocabulary of exporters: what viewers of timelines can show, in any format.
//!
//! A *track* is one row of the picture. It has *slices*, which have a begin and an end and nest,
//! and *instants*, which have one moment. An *arrow* connects slices and instants that name it. A
//! *counter* track has values. A thread has a *state* at every moment, and *samples* of its stack.
//!
//! `draw` makes these from a trace's timeline; an exporter is a [`Scene`], which writes them.
//! Always true:
//!
//! - **S1** On each track slices nest: an end is for the slice that began last and has not ended.
//!   No track has more than [`Scene::DEPTH_MAX`] open slices.
//! - **S2** On each track, begins, ends and instants come in the order of time. Items on different
//!   tracks need not: a slice may be drawn late.
//! - **S3** A track is made before anything is put on it.
//!
//! Times are nanoseconds on the recording machine's monotonic clock.

use trace_format::event::Outcome;
use trace_format::id::{SiteId, StackId};
use trace_format::value::Values;

/// A track, by the number that the scene gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Track(pub u64);

/// What a track is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackKind<'a> {
    /// One of the program's threads; the system's id, 0 if unknown.
    Thread(u64),
    /// A group of tracks, with the order in which they are shown.
    Group(Order),
    /// Slices below another track.
    Row,
    /// A counter, with its unit.
    Counter(Unit),
    /// The process: its id, 0 if unknown, and its command line.
    Process(u64, &'a str),
}

/// How the tracks of a group are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By their names.
    Name,
    /// By the time of their first slices.
    Time,
}

/// What a counter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// No unit is known.
    None,
    /// Bytes.
    Bytes,
}

/// A value of a counter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A whole number.
    Whole(i64),
    /// Any other.
    Real(f64),
}

/// The name and category of a slice or an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label<'a> {
    /// The name, module and place of a call site.
    Site(SiteId),
    /// A name that is used more than once, and its category.
    Name(&'a str, &'a str),
    /// A text that is used once, its category, and the call site it belongs to.
    Text(&'a str, &'a str, SiteId),
}

/// A detail of a slice or an instant.
#[derive(Clone, Copy, Debug)]
pub enum Detail<'a> {
    /// A number.
    Number(&'static str, u64),
    /// A number that may be negative.
    Signed(&'static str, i64),
    /// A text.
    Word(&'static str, &'a str),
    /// Arguments, as the call site names them.
    Values(SiteId, Values<'a>),
    /// How something ended, and its value.
    Outcome(Outcome, Values<'a>),
}

/// An arrow: slices and instants that name the same arrow are connected in the order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arrow {
    /// Connects everything that is done for a task.
    Task(u64),
    /// Connects every poll of a future.
    Future(u64),
    /// From a call to the waits that it ended.
    Wake(u64),
    /// From a spawn or a wake of an async task to the poll that followed.
    Poll(u64),
    /// From the end of a thread to the wait that it ended.
    Join(u64),
}

/// A slice or an instant.
#[derive(Clone, Copy, Debug)]
pub struct Mark<'a> {
    /// What stands over it.
    pub label: Label<'a>,
    /// What is said of it.
    pub details: &'a [Detail<'a>],
    /// The arrows that begin, pass or end here.
    pub arrows: &'a [Arrow],
    /// The task it belongs to; 0 for none.
    pub task: u64,
    /// The stack where it was done; 0 if unknown.
    pub stack: StackId,
}

impl<'a> Mark<'a> {
    /// A mark with a label and nothing else.
    #[must_use]
    pub const fn new(label: Label<'a>) -> Self {
        Self { label, details: &[], arrows: &[], task: 0, stack: StackId(0) }
    }

    /// The same mark with details.
    #[must_use]
    pub const fn with(self, details: &'a [Detail<'a>]) -> Self {
        Self { details, ..self }
    }
}

/// A thread's state for the system's scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It runs on this CPU.
    Running(u32),
    /// It is able to run, and has no CPU.
    Ready,
    /// It waits.
    Asleep,
    /// The trace does not say.
    Unknown,
}

/// One of the system's threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OsThread<'a> {
    /// The system's id, never 0.
    pub id: u64,
    /// Its name.
    pub name: &'a str,
}

/// Receives a picture item by item, and writes it.
pub trait Scene {
    /// Maximum number of open slices on one track.
    const DEPTH_MAX: usize;

    /// Whether writing has failed; then drawing may stop.
    fn has_failed(&self) -> bool;

    /// Makes a track below another; `None` for the process's, which is the first.
    fn track(&mut self, below: Option<Track>, name: &str, kind: TrackKind<'_>) -> Track;

    /// A slice begins.
    fn begin(&mut self, track: Track, at: u64, mark: &Mark<'_>);

    /// The innermost slice ends, with details that are known only then.
    fn end(&mut self, track: Track, at: u64, details: &[Detail<'_>]);

    /// An instant.
    fn instant(&mut self, track: Track, at: u64, mark: &Mark<'_>);

    /// A counter has a new value.
    fn counter(&mut self, track: Track, at: u64, value: Number);

    /// A thread is in a state from now on.
    fn state(&mut self, thread: OsThread<'_>, at: u64, state: State);

    /// A sample of a thread on a CPU, with its stack. Returns whether the format has it.
    fn sample(&mut self, thread: OsThread<'_>, cpu: u32, at: u64, stack: StackId) -> bool;
}
