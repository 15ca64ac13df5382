//! One poll of a wrapped future: a slice on the thread that polls, and a waker that records.
//!
//! Elsewhere: what else is recorded of a future (`wrapper`), wakers (`waker`).

use crate::annotate::future::current::{self, OuterPoll, TakenAt};
use crate::annotate::future::waker::{Hands, Lazy, WakerNode, Whose};
use crate::annotate::future::wrapper::{FutureEnd, FutureGuard};
use crate::annotate::task::TaskGuard;
use crate::callsite::Callsite;
use crate::thread::encoded::EventHead;
use crate::thread::record;
use crate::thread::refill::Patience;
use std::mem::ManuallyDrop;
use std::task::Waker;
use trace_format::event::{Outcome, opcode};
use trace_format::id::{FutureId, Open};

/// Records the begin of a poll. Returns the time; 0 if it is not recorded.
#[inline(always)]
pub(crate) fn begin_poll(future: u64) -> u64 {
    let what = Open::Poll(FutureId(future)).to_word();
    let head = EventHead { code: opcode::POLL | opcode::OPEN, id: future };
    record::begin(head, what, 0, Patience::Never)
}

/// A poll that is going on.
///
/// It is made in its final place and filled there: moving what was just written takes longer than
/// writing it.
pub(super) struct Polling<'p> {
    pub(super) guard: &'p mut FutureGuard,
    hands: Hands,
    lazy: Lazy<'p>,
    /// The thread works for the task until the end of the poll.
    pub(super) task: Option<TaskGuard>,
    before: OuterPoll,
    /// When it began; 0 if the slice is not recorded, or is recorded by others.
    begin: u64,
    is_open: bool,
}

impl<'p> Polling<'p> {
    #[inline(always)]
    pub(super) fn new(
        guard: &'p mut FutureGuard,
        site: &'static Callsite,
        executors: &'p Waker,
    ) -> Self {
        let lazy = Lazy::new(Whose { future: guard.id, site }, executors);
        let (before, hands) = (OuterPoll::default(), Hands::On);
        Self { guard, hands, lazy, task: None, before, begin: 0, is_open: false }
    }

    /// The poll begins.
    #[inline(always)]
    pub(super) fn open(&mut self, executors: &Waker) {
        let id = self.guard.id;
        if !self.guard.task.is_nothing() {
            self.enter_task();
        }
        if !current::is_hooked(id) {
            self.begin = begin_poll(id);
        }
        self.before = current::enter(id);
        self.is_open = true;
        self.hands = Hands::choose(executors, self.guard.node.as_deref());
    }

    #[inline(never)]
    fn enter_task(&mut self) {
        if self.guard.task.id() != 0 {
            self.task = Some(self.guard.task.enter_by_itself());
        }
    }

    /// The waker for the future; `None` for the executor's own.
    #[inline(always)]
    pub(super) fn waker(&self) -> Option<ManuallyDrop<Waker>> {
        match self.hands {
            Hands::On => None,
            Hands::Kept => self.guard.node.as_ref().map(WakerNode::lend),
            Hands::Fresh => Some(self.lazy.lend()),
        }
    }

    /// Ends the poll and its slice.
    #[inline(always)]
    pub(super) fn close(&mut self, waits: bool) {
        self.is_open = false;
        let (node, taken) = current::leave(&self.before);
        let what = Open::Poll(FutureId(self.lazy.future())).to_word();
        if taken.stack() != 0 {
            self.close_at(node, what, taken);
        } else if self.begin != 0 {
            record::end(self.begin, what);
        }
        let is_lost = match (self.hands, &self.guard.node) {
            (Hands::Kept, Some(node)) => waits && node.wait(),
            (Hands::Fresh, _) => self.keep(waits),
            _ => false,
        };
        if waits {
            self.guard.registration.wait(taken.stack(), self.begin);
            if is_lost {
                self.lazy.note_lost();
            }
        }
    }

    /// Ends the slice of a poll in which a waker was taken. The poll of the future that took it
    /// records on which stack. The polls around it, whose futures share the waker, only remember
    /// the stack; but if the inner future was spawned, they record it, too.
    #[inline(never)]
    fn close_at(&self, node: usize, what: u64, taken: TakenAt) {
        let (waits_at, is_recorded) = (taken.stack(), self.begin != 0);
        if node == self.before.node || !is_recorded {
            // For readers, a spawned future is a task of its own: they do not search it for what
            // the future around it waits for.
            let is_inner = if is_recorded { !self.guard.spawned } else { taken.is_inner() };
            current::set_waits_at(waits_at, is_inner);
        }
        match self.begin {
            0 => {}
            begin if taken.is_inner() => record::end(begin, what),
            begin => record::end_poll(begin, what, waits_at),
        }
    }

    #[cold]
    #[inline(never)]
    fn panicked(&mut self) {
        self.close(false);
        self.guard.end(&FutureEnd::new(Outcome::Panicked));
    }

    /// Uses the node that the first clone has made from now on. Returns whether the future is lost.
    #[inline(never)]
    fn keep(&mut self, waits: bool) -> bool {
        let (node, is_lost) = self.lazy.take(waits);
        if let Some(node) = node
            && let Some(old) = self.guard.node.replace(node)
        {
            old.end();
        }
        is_lost
    }
}

impl Drop for Polling<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.is_open {
            self.panicked();
        }
    }
}
