//! Draws a trace's timeline into a scene.
//!
//! A thread's regions, polls, task runs and calls are slices on the thread's track, with their
//! arguments. A task or a future is a slice on a track of its own, with an arrow to every thread
//! that works for it. An async task (a future that was spawned, or that no traced future awaits)
//! also has a slice for each time in which it was ready, polled or idle, and arrows from each spawn
//! or wake to the poll that followed. A region held across an await goes on below its future.
//! Counters have counter tracks; instants and messages are instants; lost events are an instant on
//! the thread and a slice below it. An arrow leads from the waker to the thread that waited.
//! Threads have states, samples and stacks. A slice that has not ended in the trace has no end.
//!
//! Memory depends on what is open at a time (the open slices of each thread, the tasks and futures
//! that are alive) and on the names of tasks that have had a track. Each has a limit.
//!
//! - `threads`: slices on threads. `lives`: tasks and futures. `marks`: instants and counters.
//! - `states`: states of threads, samples, page faults. `losses`: lost events.
//! - `beside`: the heap, and when the process stood still.
//! - `rows`: which track each thread, task and future has.

mod beside;
mod lives;
mod losses;
mod marks;
mod rows;
mod states;
mod threads;

use trace_analysis::report::observe;
use trace_analysis::symbols::Symbols;
use trace_analysis::timeline::{
    Begun, Detached, Edge, FutureBegun, How, Interval, Loss, Note, Observer, TaskInterval, Who,
};
use trace_analysis::{Moment, Progress, Trace};
use trace_format::event::EventKind;
use trace_format::header::BatchKind;
use trace_format::id::{FutureId, Open, StackId};
use trace_format::read::{ReadAt, Tables, TraceFile};
use trace_format::time::Nanos;

use self::beside::Snapshots;
use self::marks::Headings;
use self::rows::Rows;
use self::threads::Thread;
use crate::label::place::Places;
use crate::scene::Scene;

/// The category of slices and instants without a call site.
const OWN_CATEGORY: &str = "exectrace";

/// What was drawn, and what could not be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Events read.
    pub events: u64,
    /// Slices begun.
    pub slices: u64,
    /// Slices that are left open: of regions, polls, task runs, tasks, futures and what they do.
    pub unfinished: u64,
    /// Slices that did not end in order: before a slice inside them, on another thread, or without
    /// a begin.
    pub misnested: u64,
    /// Events that the recorder dropped because memory was at its limit.
    pub dropped_events: u64,
    /// Ends that the recorder dropped because memory was at its limit.
    pub dropped_ends: u64,
    /// Items left out of the picture: nested too deep, too many at once, or not a number.
    pub hidden: u64,
    /// Samples of running threads.
    pub samples: u64,
    /// Switches and samples that the system lost.
    pub lost_records: u64,
    /// Events of a newer version, left out.
    pub unknown: u64,
    /// Batches and events that could not be read.
    pub unreadable: u64,
}

/// Draws a whole trace.
///
/// - `symbols`: names for the addresses of stacks.
/// - `progress` is called every few megabytes.
/// - Returns what was drawn and left out. Damaged batches are left out; see
///   [`Totals::unreadable`].
pub fn draw<S: ReadAt>(
    file: &TraceFile<S>,
    symbols: &Symbols,
    scene: &mut impl Scene,
    progress: impl FnMut(Progress),
) -> Totals {
    let mut drawing = Drawing::begin(file, symbols, scene);
    let trace = Trace::new(file).named(symbols);
    let lives = observe(&trace, &mut drawing, progress);
    drawing.heap_until(u64::MAX);
    drawing.standstills(&lives.standstills);
    let mut totals = drawing.finish();
    let batches = file.index().iter().filter(|entry| entry.kind == BatchKind::Events);
    let events = batches.map(|entry| u64::from(entry.events)).sum::<u64>();
    totals.events = events.saturating_sub(lives.events_missing);
    totals.unreadable = lives.unreadable;
    totals
}

/// A picture that is being drawn.
#[derive(Debug)]
struct Drawing<'t, 's, S> {
    tables: &'t Tables,
    scene: &'s mut S,
    places: Places<'t>,
    totals: Totals,
    rows: Rows,
    headings: Headings,
    heap: Snapshots<'t>,
    /// Indexed by the walk's numbers of threads.
    threads: Vec<Option<Thread>>,
    has_cpus: bool,
}

impl<'t, 's, S: Scene> Drawing<'t, 's, S> {
    fn begin<R: ReadAt>(file: &'t TraceFile<R>, symbols: &'t Symbols, scene: &'s mut S) -> Self {
        let tables = file.tables();
        let rows = Rows::begin(tables, scene);
        Self {
            tables,
            scene,
            places: Places::new(tables, symbols),
            totals: Totals::default(),
            rows,
            headings: Headings::default(),
            heap: Snapshots::new(tables),
            threads: Vec::new(),
            has_cpus: file.has_cpus(),
        }
    }

    /// Nanoseconds on the monotonic clock.
    fn at(&self, moment: Moment) -> u64 {
        self.tables.clock.origin().monotonic.0.saturating_add_signed(moment.0)
    }

    /// The time on the monotonic clock, from nanoseconds since the first clock snapshot.
    fn time(&self, nanos: Nanos) -> u64 {
        self.tables.clock.origin().monotonic.0.saturating_add(nanos.0)
    }

    fn finish(mut self) -> Totals {
        self.totals.unfinished += self.rows.alive_count();
        self.totals
    }
}

impl<S: Scene> Observer for Drawing<'_, '_, S> {
    const WANTS_SUMS: bool = false;

    fn is_done(&self) -> bool {
        self.scene.has_failed()
    }

    fn begin(&mut self, who: Who, begun: &Begun<'_>) {
        self.slice_begins(who, begun);
    }

    fn end(&mut self, who: Who, open: Open, at: Nanos, how: How<'_>) {
        self.slice_ends(who, open, self.time(at), how);
    }

    fn detached(&mut self, who: Who, at: Nanos, detached: &Detached) -> bool {
        self.ended_detached(who, self.time(at), detached)
    }

    fn ended_elsewhere(&mut self, who: Who, depth: usize, at: Nanos) {
        self.slice_ended_elsewhere(who, depth, self.time(at));
    }

    fn unmatched(&mut self, who: Who, at: Nanos) {
        self.end_without_begin(who, self.time(at));
    }

    fn too_deep(&mut self, _: Who) {
        self.totals.hidden += 1;
    }

    fn future(&mut self, begun: &FutureBegun<'_>) {
        self.future_begins(begun);
    }

    fn event(&mut self, who: Who, at: Nanos, kind: &EventKind<'_>, note: Note) {
        let at = self.time(at);
        self.heap_until(at);
        self.mark(who, at, kind, note);
    }

    fn interval(&mut self, interval: &Interval) {
        self.thread_was(interval);
    }

    fn task_interval(&mut self, interval: &TaskInterval) {
        self.task_was(interval);
    }

    fn edge(&mut self, edge: &Edge) {
        self.woken(edge);
    }

    fn lost(&mut self, who: Who, at: Nanos, loss: &Loss) {
        self.dropped(who, self.time(at), loss);
    }

    fn sample(&mut self, who: Who, cpu: u32, at: Nanos, stack: StackId) {
        self.sampled(who, cpu, self.time(at), stack);
    }

    fn fault(&mut self, who: Who, at: Nanos, address: u64, stack: StackId) {
        self.page_fault(who, self.time(at), address, stack);
    }

    fn lost_records(&mut self, cpu: u32, at: Nanos, records: u64) {
        self.records_lost(cpu, self.time(at), records);
    }

    fn unknown(&mut self) {
        self.totals.unknown += 1;
    }
}

/// Whether the id stands for a future; 0 means none.
fn is_some(future: FutureId) -> bool {
    future != FutureId(0)
}
