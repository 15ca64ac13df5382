//! The events of all threads, merged by time.
//!
//! 1. Each thread has a cursor over its batches, with a time before which it has nothing.
//! 2. The cursor with the lowest time is the current one; the others wait in a heap.
//! 3. The current cursor hands out events until one is later than the heap's top; then they swap.
//! 4. A batch is loaded only when its cursor is the current one, so memory is one batch for each
//!    thread that is in the middle of one.
//!
//! Always true: times never run backwards, whatever the file says, but for the few events at a
//! window's begin that began before it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::ops::ControlFlow;

use super::cursor::{Cursor, Next};
use super::error::ReadError;
use super::file::{BatchBuffer, TraceFile};
use super::open::OpenStack;
use super::source::ReadAt;
use crate::definition::OpenSince;
use crate::event::{Event, Step, visit_apart};
use crate::header::BatchKind;
use crate::id::ThreadId;
use crate::time::Ticks;

/// Which part of a trace is wanted. The default is all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Events that end before are left out.
    pub from: Option<Ticks>,
    /// Events that begin then or later are left out.
    pub to: Option<Ticks>,
    /// Only this thread.
    pub thread: Option<ThreadId>,
}

/// An event and whose it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timed<'a> {
    /// Whose.
    pub thread: ThreadId,
    /// What, and when.
    pub event: Event<'a>,
}

/// Walks all threads' events in the order of their times. See [`TraceFile::in_order`].
///
/// **Order**: by [`Event::ticks`]; of equal times the thread with the lower id first; within a
/// thread as it wrote them. A complete region, poll or task run is one event at its begin.
///
/// **Window**: an event is handed out if any of its time lies in the window, so a complete region
/// that began before `from` and ended in it comes first, with its true begin. What was open at
/// `from` by a begin of its own is in [`InOrder::open_at_start`].
///
/// **Faults** come where they lie. After one, what [`InOrder::fault_thread`] had open is
/// unknown. `Reopen` events are left out, as they say nothing new, but behind a fault they are
/// handed out, and what they name is all that is open there. A batch that is missing was named by
/// [`TraceFile::faults`] already, and is named again; and so are damaged bytes that may have been
/// the last batch of a thread, behind that thread's last event ([`ReadErrorKind::EndMissing`]).
///
/// [`ReadErrorKind::EndMissing`]: super::ReadErrorKind::EndMissing
#[derive(Debug)]
pub struct InOrder<'f, S> {
    file: &'f TraceFile<S>,
    /// By thread id, so that a cursor's place breaks ties.
    cursors: Vec<Cursor>,
    /// The cursors that wait.
    waiting: BinaryHeap<Reverse<Turn>>,
    /// The current cursor.
    current: Option<Turn>,
    /// The current cursor has moved, and its time is not known yet.
    moved: bool,
    open: BTreeMap<ThreadId, Vec<OpenSince>>,
    faults: VecDeque<(ThreadId, ReadError)>,
    fault_thread: Option<ThreadId>,
    /// Memory of batches that are done.
    free: Vec<BatchBuffer>,
    /// Events behind are left out.
    last: u64,
}

impl<'f, S: ReadAt> InOrder<'f, S> {
    pub(crate) fn new(file: &'f TraceFile<S>, window: Window) -> Self {
        let mut order = Self {
            file,
            cursors: cursors(file, window),
            waiting: BinaryHeap::new(),
            current: None,
            moved: false,
            open: BTreeMap::new(),
            faults: VecDeque::new(),
            fault_thread: None,
            free: Vec::new(),
            last: window.to.map_or(u64::MAX, |to| to.0.saturating_sub(1)),
        };
        for at in 0..order.cursors.len() {
            if let Some(from) = window.from {
                order.skip_to(at, from);
            }
            if let Some(time) = order.cursors[at].time(file.index()) {
                order.waiting.push(Reverse(Turn::new(time, at as u32)));
            }
        }
        if window.to == Some(Ticks(0)) {
            order.waiting.clear();
        }
        order
    }

    /// What was open on each thread at the window's begin, outermost first. Empty without `from`.
    #[must_use]
    pub fn open_at_start(&self) -> &BTreeMap<ThreadId, Vec<OpenSince>> {
        &self.open
    }

    /// The thread whose events the fault that was returned last has cost.
    #[must_use]
    pub fn fault_thread(&self) -> Option<ThreadId> {
        self.fault_thread
    }

    /// Whether no event of [`InOrder::fault_thread`] comes any more, be that behind the window.
    #[must_use]
    pub fn is_fault_last(&self) -> bool {
        self.fault_place().is_some_and(|at| self.cursors[at].is_done())
    }

    /// From when on events of [`InOrder::fault_thread`] were missing at its last fault, if that is
    /// known: all that are before are here.
    #[must_use]
    pub fn missing_since(&self) -> Option<Ticks> {
        self.cursors[self.fault_place()?].missing_since()
    }

    /// Behind which time the events of [`InOrder::fault_thread`] follow a batch that restates what
    /// is open: such a batch begins then. `None` if the window has none. Before that, what was open
    /// may be so still.
    #[must_use]
    pub fn restated_behind(&mut self) -> Option<Ticks> {
        let at = self.fault_place()?;
        self.cursors[at].restated_behind(self.file.index())
    }

    fn fault_place(&self) -> Option<usize> {
        let thread = self.fault_thread?;
        self.cursors.binary_search_by_key(&thread, |cursor| cursor.thread).ok()
    }

    /// Events in batches that could not be read, by their headers or the index.
    #[must_use]
    pub fn events_lost(&self) -> u64 {
        self.cursors.iter().map(|cursor| cursor.events_lost).sum()
    }

    /// The next event, or a fault; after a fault it goes on behind it. `None` at the end.
    pub fn next_event(&mut self) -> Option<Result<Timed<'_>, ReadError>> {
        let (at, limit) = match self.settle() {
            Ok(settled) => settled?,
            Err(error) => return Some(Err(error)),
        };
        self.moved = true;
        let cursor = &mut self.cursors[at];
        let thread = cursor.thread;
        match cursor.step(limit)? {
            Ok(event) => Some(Ok(Timed { thread, event })),
            Err(error) => {
                self.fault_thread = Some(thread);
                Some(Err(error))
            }
        }
    }

    /// Visits the remaining events: the fast way. `Ok(Break)` if `visit` stopped it, `Ok(Continue)`
    /// at the end.
    ///
    /// # Errors
    /// The first fault met; another call goes on behind it.
    pub fn for_each(
        &mut self,
        mut visit: impl FnMut(Timed<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ReadError> {
        while let Some((at, limit)) = self.settle()? {
            let cursor = &mut self.cursors[at];
            let thread = cursor.thread;
            let mut events = cursor.events();
            let mut flow = ControlFlow::Continue(());
            let stop = loop {
                // Apart, as in `Events::walk`.
                if let Some(event) = events.take_common(limit) {
                    flow = visit(Timed { thread, event });
                } else {
                    match events.step(limit) {
                        Step::Event(event) => {
                            flow = visit_apart(&mut visit, Timed { thread, event });
                        }
                        other => break other,
                    }
                }
                if flow.is_break() {
                    break Step::End;
                }
            };
            let (taken, now) = (events.bytes_taken(), events.now());
            self.moved = true;
            match stop {
                Step::Later(time) => {
                    self.current = Some(Turn::new(time, at as u32));
                    self.moved = false;
                }
                Step::Fault(error) => {
                    self.fault_thread = Some(thread);
                    cursor.went_to(taken, now);
                    return Err(cursor.fail(error));
                }
                Step::Event(_) | Step::End => {}
            }
            cursor.went_to(taken, now);
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The cursor that has the next event in memory, and the time up to which the events are its
    /// own. `None` at the end.
    fn settle(&mut self) -> Result<Option<(usize, u64)>, ReadError> {
        if let Some((thread, error)) = self.faults.pop_front() {
            self.fault_thread = Some(thread);
            return Err(error);
        }
        loop {
            let Some(turn) = self.current_turn() else {
                return Ok(None);
            };
            let cursor = &mut self.cursors[turn.place()];
            if let Some(mut top) = self.waiting.peek_mut()
                && top.0 < turn
            {
                // The heap is put in order when `top` is dropped.
                self.current = Some(std::mem::replace(&mut *top, Reverse(turn)).0);
                if !cursor.is_loaded() {
                    self.free.extend(cursor.spare());
                }
                continue;
            }
            if cursor.is_loaded() {
                return Ok(Some((turn.place(), self.limit(turn))));
            }
            self.moved = true;
            let free = &mut self.free;
            let buffer = cursor.spare().unwrap_or_else(|| free.pop().unwrap_or_default());
            if let Err(error) = cursor.load(self.file, buffer) {
                self.fault_thread = Some(cursor.thread);
                return Err(error);
            }
        }
    }

    /// The current cursor and its time; another's if it is done. `None` if all are.
    #[inline]
    fn current_turn(&mut self) -> Option<Turn> {
        loop {
            let Some(mut turn) = self.current else {
                self.current = Some(self.waiting.pop()?.0);
                self.moved = false;
                continue;
            };
            let cursor = &mut self.cursors[turn.place()];
            let mut time = Some(turn.time());
            if std::mem::take(&mut self.moved) {
                time = cursor.time(self.file.index());
            }
            if let Some(time) = time.filter(|&time| time <= self.last) {
                turn = Turn::new(time, turn.place() as u32);
                self.current = Some(turn);
                return Some(turn);
            }
            self.free.extend(cursor.end());
            self.current = None;
        }
    }

    /// Up to which time the current cursor may go on before another has its turn.
    #[inline]
    fn limit(&self, turn: Turn) -> u64 {
        let Some(&Reverse(next)) = self.waiting.peek() else {
            return self.last;
        };
        // Of equal times the lower place goes first; the current cursor's own time is below.
        let first = turn.place() < next.place();
        let limit = if first { next.time() } else { next.time().saturating_sub(1) };
        limit.min(self.last)
    }

    /// Brings a cursor to the first event with a part at or behind `from`, and keeps what is open.
    fn skip_to(&mut self, at: usize, from: Ticks) {
        let mut open = OpenStack::default();
        let cursor = &mut self.cursors[at];
        let thread = cursor.thread;
        loop {
            match cursor.skip(from, &mut open) {
                Ok(Next::Here) => break,
                Ok(Next::Load) => {}
                Err(error) => {
                    open.clear();
                    self.faults.push_back((thread, error));
                }
            }
            if cursor.time(self.file.index()).is_none_or(|time| time > from.0) {
                break;
            }
            let buffer = cursor.spare().unwrap_or_else(|| self.free.pop().unwrap_or_default());
            if let Err(error) = cursor.load(self.file, buffer) {
                self.faults.push_back((thread, error));
                open.clear();
            }
        }
        self.free.extend(cursor.spare());
        let open = open.into_open();
        if !open.is_empty() {
            self.open.insert(thread, open);
        }
    }
}

/// A cursor's time, and its place among the cursors: who is less has its turn first. One number,
/// as comparing is most of what merging does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn(u128);

impl Turn {
    fn new(time: u64, place: u32) -> Self {
        Self(u128::from(time) << 32 | u128::from(place))
    }

    fn time(self) -> u64 {
        (self.0 >> 32) as u64
    }

    fn place(self) -> usize {
        self.0 as u32 as usize
    }
}

/// One cursor for each thread that has events in the window, by thread id.
fn cursors<S: ReadAt>(file: &TraceFile<S>, window: Window) -> Vec<Cursor> {
    let mut threads = BTreeMap::<ThreadId, Vec<u32>>::new();
    for (at, entry) in file.index().iter().enumerate() {
        let wanted = window.thread.is_none_or(|thread| thread == entry.thread);
        if entry.kind == BatchKind::Events && wanted {
            threads.entry(entry.thread).or_default().push(at as u32);
        }
    }
    let cursors = threads.into_iter().map(|(thread, entries)| {
        Cursor::new(thread, entries, file.index(), window, file.missing_end(thread))
    });
    cursors.collect()
}
