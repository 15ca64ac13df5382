//! What a stack tells of things that are no longer open.

use trace_format::event::Outcome;
use trace_format::id::Open;
use trace_format::time::Ticks;
use trace_format::value::Values;

/// Something that was open on a thread and is so no longer.
#[derive(Clone, Copy, Debug)]
pub struct Closed<'a> {
    /// What.
    pub open: Open,
    /// When it began.
    pub begin: Ticks,
    /// When it ended, or until when it is known to have been open.
    pub end: Ticks,
    /// The part of it that lies in the stack's window.
    pub inside: Ticks,
    /// `inside` without what its direct children took of the window.
    pub self_time: Ticks,
    /// How many things were open around it.
    pub depth: usize,
    /// Whether it stands alone: no other region of its call site, or run of its task, was open
    /// around it.
    pub outermost: bool,
    /// Its arguments; empty if its begin is not in the file.
    pub values: Values<'a>,
    /// How it ended.
    pub ending: Ending<'a>,
}

impl Closed<'_> {
    /// From begin to end.
    #[must_use]
    pub fn duration(&self) -> Ticks {
        Ticks(self.end.0.saturating_sub(self.begin.0))
    }
}

/// How something that was open ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ending<'a> {
    /// As its writer said.
    Ended,
    /// The same, with a result; the value or the error is there if it was recorded.
    With(Outcome, Values<'a>),
    /// Something around it ended first. `end` is that of its own, if it came, and else when that
    /// around it ended.
    Misnested,
    /// It was opened on another thread, whose stack still has it.
    Elsewhere,
    /// It was opened among events that are missing, or on another thread.
    Unseen,
    /// Its end is missing from the trace; `end` is when that was noticed.
    Lost,
    /// It was still open when reading ended.
    Unfinished,
}

impl Ending<'_> {
    /// Whether `end` is the true time of the end.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        !matches!(self, Self::Lost | Self::Unfinished)
    }
}

/// Receives what ends on a stack.
pub trait Visitor {
    /// Something is no longer open.
    fn closed(&mut self, closed: &Closed<'_>);

    /// An end came while nothing was open, and no gap explains it.
    fn end_without_begin(&mut self, at: Ticks) {
        let _ = at;
    }

    /// Something began that is only counted: it lies too deep, or there is no room for it.
    fn too_deep(&mut self, at: Ticks) {
        let _ = at;
    }
}
