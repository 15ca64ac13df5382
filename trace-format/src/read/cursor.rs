//! One thread's events, in the order it wrote them, through all its batches.
//!
//! A cursor knows without loading anything a time before which it has no event. It notices what
//! is missing between its batches, and refuses a batch that would run back in time. Behind its last
//! batch it reports that more may be missing, if the file says so.

use super::error::{ReadError, ReadErrorKind};
use super::file::{BatchBuffer, TraceFile};
use super::open::OpenStack;
use super::order::Window;
use super::sequel::Sequel;
use super::source::ReadAt;
use super::stream::Batch;
use super::unowned::MissingEnd;
use crate::event::{Event, EventError, EventKind, Events, Step, opcode};
use crate::header::{BatchHeader, FLAG_RESTATED};
use crate::id::ThreadId;
use crate::index::IndexEntry;
use crate::time::Ticks;

/// What [`Cursor::skip`] came to.
pub(crate) enum Next {
    /// An event that is wanted.
    Here,
    /// The end of what is loaded.
    Load,
}

/// A place among one thread's events.
#[derive(Debug)]
pub(crate) struct Cursor {
    pub(crate) thread: ThreadId,
    /// Events of batches that could not be read.
    pub(crate) events_lost: u64,
    /// Places in the file's index, in file order.
    entries: Vec<u32>,
    /// The next of them to load.
    next: usize,
    /// The first from there on that restates what is open, when that was last looked for.
    restated: usize,
    /// Whether the thread has more of them behind the window.
    is_cut: bool,
    /// What may be missing behind the last one, until that is reported.
    missing_end: Option<MissingEnd>,
    /// The batch that is being walked, or that was.
    batch: Option<(BatchHeader, u64)>,
    buffer: Option<BatchBuffer>,
    /// Bytes of its payload that are done, and how many there are.
    at: usize,
    end: usize,
    /// The clock there; nothing to come is earlier.
    ticks: u64,
    /// Nothing in the batch is later.
    last: Ticks,
    sequel: Sequel,
    /// Something before was lost, so what is open is not known.
    gap: bool,
    /// From when on events were missing at the last fault, if that is known.
    missing_since: Option<Ticks>,
}

impl Cursor {
    pub(crate) fn new(
        thread: ThreadId,
        mut entries: Vec<u32>,
        index: &[IndexEntry],
        window: Window,
        missing_end: Option<MissingEnd>,
    ) -> Self {
        let entry = |&at: &u32| &index[at as usize];
        let mut is_cut = false;
        if let Some(to) = window.to {
            let end = entries.iter().position(|at| entry(at).base_ticks >= to);
            is_cut = end.is_some();
            entries.truncate(end.unwrap_or(entries.len()));
        }
        // As if behind a gap, a cursor that starts in the middle wants to know what is open; and so
        // does one at the beginning, for a trace may begin in the middle of a thread.
        let mut sequel = Sequel::default();
        if let Some(from) = window.from {
            let before = |at: usize| at.checked_sub(1).map(|at| entry(&entries[at]));
            let begins = |at: &usize| entry(&entries[*at]).begins_window(before(*at), from);
            if let Some(start) = (0..entries.len()).rev().find(begins) {
                entries.drain(..start);
                sequel = Sequel::behind(entry(&entries[0]).sequence);
            }
        }
        Self {
            thread,
            events_lost: 0,
            entries,
            next: 0,
            restated: 0,
            is_cut,
            missing_end: missing_end.filter(|_| !is_cut),
            batch: None,
            buffer: None,
            at: 0,
            end: 0,
            ticks: 0,
            last: Ticks(0),
            sequel,
            gap: true,
            missing_since: None,
        }
    }

    /// A time before which nothing comes: the next event's, if it is in memory. `None` at the end.
    #[inline]
    pub(crate) fn time(&self, index: &[IndexEntry]) -> Option<u64> {
        if self.is_loaded() {
            return Some(self.events().peek().unwrap_or(self.ticks));
        }
        let next = match self.entries.get(self.next) {
            Some(&at) => index[at as usize].base_ticks,
            None => self.missing_end?.since,
        };
        Some(next.0.max(self.ticks))
    }

    /// Whether the next event, or a fault in its place, is in memory.
    #[inline]
    pub(crate) fn is_loaded(&self) -> bool {
        self.at < self.end
    }

    /// From when on events were missing at the last fault, if that is known.
    pub(crate) fn missing_since(&self) -> Option<Ticks> {
        self.missing_since
    }

    /// Whether nothing of the thread comes any more, be that behind the window.
    pub(crate) fn is_done(&self) -> bool {
        let is_read = !self.is_loaded() && self.next >= self.entries.len();
        is_read && !self.is_cut && self.missing_end.is_none()
    }

    /// Behind which time all events follow a batch that restates what is open: the next one of the
    /// window that does so begins then. `None` if there is none.
    pub(crate) fn restated_behind(&mut self, index: &[IndexEntry]) -> Option<Ticks> {
        let before = |base: Ticks| Some(Ticks(base.0.saturating_sub(1)));
        if let (Some((header, _)), 0, true) = (&self.batch, self.at, self.is_loaded())
            && header.flags & FLAG_RESTATED != 0
        {
            // None of its events has been handed out.
            return before(header.base_ticks);
        }
        self.restated = self.restated.max(self.next);
        while let Some(&at) = self.entries.get(self.restated) {
            let entry = &index[at as usize];
            if entry.flags & FLAG_RESTATED != 0 {
                // A piece before it may end in the same moment.
                let is_next = self.restated == self.next && !self.is_loaded();
                return if is_next { before(entry.base_ticks) } else { Some(entry.base_ticks) };
            }
            self.restated += 1;
        }
        None
    }

    #[inline]
    fn payload(&self) -> &[u8] {
        self.buffer.as_ref().map_or(&[], BatchBuffer::payload)
    }

    /// The events that are left of the batch in memory.
    #[inline]
    pub(crate) fn events(&self) -> Events<'_> {
        Events::resume(self.thread, self.ticks, self.payload(), self.at).until(self.last)
    }

    /// Notes how far a walk over [`Cursor::events`] came.
    #[inline]
    pub(crate) fn went_to(&mut self, at: usize, ticks: Ticks) {
        (self.at, self.ticks) = (at, ticks.0);
    }

    /// The next event, if it is in memory and not behind `limit`.
    #[inline]
    pub(crate) fn step(&mut self, limit: u64) -> Option<Result<Event<'_>, ReadError>> {
        // Not by `self.payload()`: the event borrows the buffer alone, and the rest is written.
        let payload = self.buffer.as_ref().map_or(&[][..], BatchBuffer::payload);
        let events = Events::resume(self.thread, self.ticks, payload, self.at);
        let mut events = events.until(self.last);
        let step = events.step(limit);
        (self.at, self.ticks) = (events.bytes_taken(), events.now().0);
        match step {
            Step::Event(event) => Some(Ok(event)),
            Step::Fault(error) => {
                let (fault, lost, ticks) = fault(self.batch, payload, error, self.ticks);
                self.events_lost += lost;
                (self.ticks, self.gap, self.missing_since) = (ticks, true, None);
                Some(Err(fault))
            }
            Step::Later(_) | Step::End => None,
        }
    }

    /// Notes a fault met by a walk over [`Cursor::events`].
    #[cold]
    pub(crate) fn fail(&mut self, error: EventError) -> ReadError {
        let (fault, lost, ticks) = fault(self.batch, self.payload(), error, self.ticks);
        self.events_lost += lost;
        (self.ticks, self.gap, self.missing_since) = (ticks, true, None);
        fault
    }

    /// Its memory, if nothing in it is needed any more.
    pub(crate) fn spare(&mut self) -> Option<BatchBuffer> {
        if self.is_loaded() { None } else { self.buffer.take() }
    }

    /// Gives up what is left; returns its memory.
    pub(crate) fn end(&mut self) -> Option<BatchBuffer> {
        self.entries.clear();
        (self.end, self.missing_end) = (0, None);
        self.buffer.take()
    }

    /// Loads the next batch into `buffer`. It or the report of a missing end must be there still.
    ///
    /// # Errors
    /// What is wrong with it, and then it is passed over; or what is missing before it, and then
    /// it is loaded all the same; or what may be missing behind the last.
    pub(crate) fn load<S: ReadAt>(
        &mut self,
        file: &TraceFile<S>,
        mut buffer: BatchBuffer,
    ) -> Result<(), ReadError> {
        let Some(&at) = self.entries.get(self.next) else {
            self.buffer = Some(buffer);
            return Err(self.miss_end());
        };
        let entry = &file.index()[at as usize];
        self.next += 1;
        self.end = 0;
        self.sequel.reach(Ticks(self.ticks));
        let is_next = !self.gap && self.sequel.is_next(entry.sequence, entry.piece);
        self.missing_since = None;
        let loaded = file.load(entry, &mut buffer).and_then(|batch| {
            self.sequel.refuse_past(&batch)?;
            Ok((batch.header, batch.offset))
        });
        self.buffer = Some(buffer);
        let (header, offset) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                let is_past = matches!(error.kind, ReadErrorKind::TimeBackwards { .. });
                self.missing_since = Some(entry.base_ticks).filter(|_| is_next && !is_past);
                self.gap = true;
                self.events_lost += u64::from(entry.events);
                // Its turn came at its time, so others are there already.
                self.ticks = self.ticks.max(entry.base_ticks.0);
                return Err(error);
            }
        };
        self.batch = Some((header, offset));
        self.last = header.last_ticks;
        (self.at, self.end, self.ticks) = (0, self.payload().len(), header.base_ticks.0);
        let missing = self.sequel.missing_before(&header);
        self.gap |= missing.is_some();
        if header.flags & FLAG_RESTATED != 0 {
            if !self.gap {
                self.skip_reopens();
            }
            self.gap = false;
        }
        missing.map_or(Ok(()), |kind| Err(ReadError::new(offset, kind)))
    }

    #[cold]
    fn miss_end(&mut self) -> ReadError {
        let MissingEnd { since, offset } = self.missing_end.take().unwrap_or_default();
        (self.gap, self.ticks) = (true, self.ticks.max(since.0));
        self.missing_since = Some(Ticks(self.ticks));
        let (thread, since) = (self.thread.0, self.ticks);
        ReadError::new(offset, ReadErrorKind::EndMissing { thread, since })
    }

    fn skip_reopens(&mut self) {
        while self.payload().get(self.at) == Some(&opcode::REOPEN) {
            let mut events = self.events();
            if !matches!(events.step(u64::MAX), Step::Event(_)) {
                return;
            }
            let (at, ticks) = (events.bytes_taken(), events.now());
            self.went_to(at, ticks);
        }
    }

    /// Passes over the events in memory that are over before `from`; `open` is kept up to date.
    pub(crate) fn skip(&mut self, from: Ticks, open: &mut OpenStack) -> Result<Next, ReadError> {
        let mut events = self.events();
        let mut done = (self.at, events.now());
        let next = loop {
            match events.step(u64::MAX) {
                Step::Event(event) => {
                    let again = matches!(event.kind, EventKind::Reopen { .. });
                    if !again && (event.ticks >= from || events.now() > from) {
                        break Ok(Next::Here);
                    }
                    open.follow(&event);
                    done = (events.bytes_taken(), events.now());
                }
                Step::Fault(error) => break Err(error),
                Step::Later(_) | Step::End => break Ok(Next::Load),
            }
        };
        self.went_to(done.0, done.1);
        if next.is_err() {
            self.at = self.end;
        }
        next.map_err(|error| self.fail(error))
    }
}

/// A fault among events as a fault of the file, how many events it cost, and its time: a cursor's
/// turn comes at the time of what is next, so the others' events are out up to there.
#[cold]
fn fault(
    batch: Option<(BatchHeader, u64)>,
    payload: &[u8],
    error: EventError,
    ticks: u64,
) -> (ReadError, u64, u64) {
    let Some((header, offset)) = batch else {
        let EventError { at, opcode } = error;
        return (ReadError::new(0, ReadErrorKind::EventFaulty { opcode, at }), 0, ticks);
    };
    let batch = Batch { header, offset, payload };
    let good = batch.events().filter(Result::is_ok).count() as u64;
    let next = Events::resume(header.thread, ticks, payload, error.at).until(header.last_ticks);
    let time = next.peek().unwrap_or(ticks);
    (batch.error(error), u64::from(header.events).saturating_sub(good), time)
}
