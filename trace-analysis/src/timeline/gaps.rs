//! What a thread had open when events of it went missing, and what of that goes on.
//!
//! Behind a gap a thread restates what is open, the outermost things first, a limited number. What
//! it names goes on as if nothing had been missing; what it does not name has ended somewhere in
//! the gap. Such ends are reported once more, as lost: they must not end anything else.
//!
//! Before it restates, the thread may go on with the rest of a batch. What was open is neither over
//! nor known to go on there.

use trace_format::definition::OpenSince;
use trace_format::id::Open;
use trace_format::read::RESTATED_MAX;
use trace_format::time::Ticks;

use super::aside::{PutAside, WasOpen};
use super::call::Call;
use super::frame::Frame;

/// Something that was open when events went missing.
#[derive(Debug)]
pub(super) struct Aside {
    pub(super) frame: Frame,
    /// What is known of it if it is a call.
    pub(super) call: Option<Call>,
}

/// Gaps of one thread.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    /// What was open and is not restated yet.
    rest: PutAside<Aside>,
    /// How much of it was restated so far.
    restated: usize,
    /// Ends that are known to be missing, as what they ended was not restated.
    unconfirmed: u64,
    /// More may be open than is known: events are missing, and nothing was restated since.
    is_unsure: bool,
    /// Behind which time events follow a batch that restates what is open; `None` if there is none.
    restated_behind: Option<Ticks>,
    /// Events and ends that are missing, as far as the thread's events say.
    lost: (u64, u64),
}

impl WasOpen for Aside {
    fn since(&self) -> OpenSince {
        OpenSince { open: self.frame.open, begin: Ticks(self.frame.begin) }
    }
}

impl Gaps {
    /// Events are missing: takes what was open, outermost first.
    pub(super) fn begin(&mut self, open: impl IntoIterator<Item = Aside>) {
        open.into_iter().for_each(|it| self.rest.put(it));
        (self.restated, self.is_unsure) = (0, true);
    }

    /// Events behind this time follow a batch that restates what is open; `None` if there is none.
    pub(super) fn expect(&mut self, restated_behind: Option<Ticks>) {
        self.restated_behind = restated_behind;
    }

    /// The window begins then.
    pub(super) fn begin_window(&mut self, at: u64) {
        for aside in self.rest.iter_mut() {
            aside.frame.begin_window(at);
            aside.call.iter_mut().for_each(Call::begin_window);
        }
    }

    /// Whether it is not known yet what of it goes on.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        !self.rest.is_empty()
    }

    /// Whether something that has been open since then was put aside, if it was known.
    pub(super) fn is_from_before(&self, begin: u64) -> bool {
        self.rest.innermost().is_some_and(|innermost| begin <= innermost.frame.begin)
    }

    /// Whether more may be open than is known.
    #[inline]
    pub(super) fn is_unsure(&self) -> bool {
        self.is_unsure
    }

    /// Whether an event of this time follows a batch that restates what is open.
    pub(super) fn is_restated(&self, at: Ticks) -> bool {
        self.restated_behind.is_some_and(|behind| at > behind)
    }

    /// Whether something of what was put aside was restated.
    pub(super) fn is_restating(&self) -> bool {
        self.restated > 0
    }

    /// The thread restates what is open since `begin`. Returns what was put aside of it.
    pub(super) fn restate(&mut self, open: Open, begin: u64) -> Option<Aside> {
        self.is_unsure = false;
        let found = self.rest.restate(OpenSince { open, begin: Ticks(begin) });
        self.restated += usize::from(found.is_some());
        found
    }

    /// The thread restates what is open, and nothing is.
    pub(super) fn restate_nothing(&mut self) {
        self.is_unsure = false;
    }

    /// Something ends by itself that was put aside. Returns what was inside of it, innermost first,
    /// and then itself.
    pub(super) fn take(&mut self, open: Open, begin: u64) -> Option<Vec<Aside>> {
        let taken = self.rest.take(OpenSince { open, begin: Ticks(begin) })?;
        self.unconfirmed += taken.len() as u64 - 1;
        Some(taken)
    }

    /// Nothing more is restated. Returns what is left of what was put aside, outermost first, and
    /// whether it goes on all the same: a thread restates a limited number.
    pub(super) fn end(&mut self) -> (Vec<Aside>, bool) {
        let rest: Vec<_> = self.rest.take_all().rev().collect();
        let goes_on = std::mem::take(&mut self.restated) >= RESTATED_MAX;
        if !goes_on {
            self.unconfirmed += rest.len() as u64;
        }
        (rest, goes_on)
    }

    /// The thread says that events and ends are missing. Returns how many of these ends end what is
    /// open: others ended what was not restated, and is known to be over.
    pub(super) fn lose(&mut self, (events, ends): (u64, u64)) -> u64 {
        let (all, some) = &mut self.lost;
        (*all, *some) = (all.saturating_add(events), some.saturating_add(ends));
        let known = self.unconfirmed.min(ends);
        self.unconfirmed -= known;
        ends - known
    }

    /// Events and ends that are missing, as far as the thread's events say.
    pub(super) fn lost(&self) -> (u64, u64) {
        self.lost
    }
}
