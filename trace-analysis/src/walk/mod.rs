//! The one loop over the events of all threads and CPUs in the order of time.
//!
//! Everything that follows a trace in order goes through here, so all of it has the same window,
//! counts the same damage, reports progress in the same way, and knows the same of what was open
//! when the window began, of what had begun without an event of its own (`pending`), and of what is
//! open behind missing events (`last_states`). What could not be read is counted (`missing`).

mod last_states;
mod missing;
mod pending;

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use trace_format::definition::OpenSince;
use trace_format::header::BatchKind;
use trace_format::id::{Open, ThreadId};
use trace_format::read::{InOrder, ReadAt, ReadErrorKind, ThreadState, Timed, TraceFile, Window};
use trace_format::time::Ticks;

pub(crate) use self::last_states::last_states;
pub use self::last_states::states_behind;
pub(crate) use self::missing::Missing;
use self::pending::Pending;
pub(crate) use self::pending::PendingBegin;
use crate::trace::{Progress, bounds};

/// Events between two reports of progress.
const PROGRESS_EVENTS: u64 = 1 << 16;

/// Events between two questions whether the visitor wants more.
const ASKED_EVENTS: u64 = 1 << 12;

/// Receives a trace's events in the order of time.
pub(crate) trait Visitor {
    /// What a thread had open when the window began, outermost first.
    fn open_at_start(&mut self, thread: ThreadId, open: &[OpenSince]);

    /// Something begins of which the trace has no event: only the state at the last generation
    /// names it.
    fn begin_pending(&mut self, pending: &PendingBegin);

    /// The next event.
    fn event(&mut self, timed: Timed<'_>);

    /// Events are missing here.
    fn fault(&mut self, fault: &Fault);

    /// What a thread has open behind the last of its events that are missing, where a state says
    /// so.
    ///
    /// - `is_end`: whether this is the end of all. If not, it is the fault itself, as no event of
    ///   the thread comes any more.
    fn open_behind(&mut self, state: &ThreadState, is_end: bool) {
        let _ = (state, is_end);
    }

    /// Whether it wants no more; asked now and then.
    fn is_done(&self) -> bool {
        false
    }
}

/// Events that are missing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fault {
    /// Of which thread or CPU; `None` if nobody can tell.
    pub(crate) thread: Option<ThreadId>,
    /// From when on, if that is known: until then nothing is missing.
    pub(crate) since: Option<Ticks>,
    /// Behind which time the thread's events follow a batch that restates what is open. `None` if
    /// there is no such batch.
    pub(crate) restated_behind: Option<Ticks>,
}

impl Fault {
    /// The fault that was met last.
    fn new<S: ReadAt>(order: &mut InOrder<'_, S>) -> Self {
        let (thread, since) = (order.fault_thread(), order.missing_since());
        Self { thread, since, restated_behind: order.restated_behind() }
    }
}

/// Walks the events of a window.
///
/// - `is_pending`: which of the things that began without an event are wanted.
/// - `progress` is called every few megabytes.
/// - Returns what could not be read.
pub(crate) fn walk<S: ReadAt>(
    file: &TraceFile<S>,
    window: Window,
    is_pending: impl Fn(&Open) -> bool,
    visitor: &mut impl Visitor,
    mut progress: impl FnMut(Progress),
) -> Missing {
    let mut order = file.in_order(window);
    for (&thread, open) in order.open_at_start() {
        visitor.open_at_start(thread, open);
    }
    let states = last_states(file);
    let mut pending = Pending::of(file, &states, is_pending);
    let events = file.index().iter().filter(|entry| entry.kind == BatchKind::Events);
    let bytes_total = events.map(|entry| u64::from(entry.bytes)).sum::<u64>();
    let (begin, end) = bounds(file);
    let from = window.from.unwrap_or(begin).0;
    let length = window.to.unwrap_or(end).0.saturating_sub(from).max(1);
    let (mut count, mut missing, mut faulty) = (0_u64, Missing::default(), BTreeSet::new());
    loop {
        let walked = order.for_each(|timed| {
            count += 1;
            if count.is_multiple_of(ASKED_EVENTS) && visitor.is_done() {
                return ControlFlow::Break(());
            }
            if count.is_multiple_of(PROGRESS_EVENTS) {
                let part = timed.event.ticks.0.saturating_sub(from) as f64 / length as f64;
                let bytes = (bytes_total as f64 * part.min(1.0)) as u64;
                progress(Progress { bytes, bytes_total });
            }
            while let Some(begun) = pending.before(timed.event.ticks) {
                visitor.begin_pending(&begun);
            }
            visitor.event(timed);
            ControlFlow::Continue(())
        });
        let Err(error) = walked else { break };
        // The bytes that may have been a thread's end were reported when the file was opened.
        if !matches!(error.kind, ReadErrorKind::EndMissing { .. }) {
            missing.note(&error);
        }
        let fault = Fault::new(&mut order);
        visitor.fault(&fault);
        let Some(thread) = fault.thread else { continue };
        match states.get(&thread).filter(|_| order.is_fault_last()) {
            Some(state) => {
                faulty.remove(&thread);
                visitor.open_behind(state, false);
            }
            None => _ = faulty.insert(thread),
        }
    }
    while let Some(begun) = pending.before(Ticks(u64::MAX)) {
        visitor.begin_pending(&begun);
    }
    if !faulty.is_empty() {
        let mut states = states_behind(file, window.to, |thread| faulty.contains(&thread));
        for state in faulty.iter().filter_map(|thread| states.remove(thread)) {
            visitor.open_behind(&state, true);
        }
    }
    missing.events = order.events_lost();
    progress(Progress { bytes: bytes_total, bytes_total });
    missing
}
