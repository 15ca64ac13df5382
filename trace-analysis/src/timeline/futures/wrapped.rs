//! Futures that were wrapped in others before these were spawned: `spawn(future.traced(..))` names
//! both, and is one task. The wrapped one is a child future of the other.
//!
//! The first poll shows it. Until then it is presumed where an executor's task is spawned right
//! behind a future of the recorder's, on one thread: the recorder gives futures even numbers, and
//! makes the numbers of an executor's tasks odd.

use trace_format::id::{FutureId, TaskId};

use super::events::Here;
use super::state::Kind;
use super::{AsyncReport, State};

/// Whether a future has the number of an executor's task.
fn is_hooked(future: FutureId) -> bool {
    future.0 % 2 == 1
}

impl AsyncReport<'_> {
    /// A future was spawned: the one that was spawned before on the thread may be wrapped in it.
    pub(super) fn spawned_next(&mut self, here: Here<'_>, future: FutureId) {
        let thread = self.thread(here.who, here.thread);
        let before = std::mem::replace(&mut thread.last_spawned, future);
        if !is_hooked(future) || is_hooked(before) || !self.may_wrap(future, before) {
            return;
        }
        self.make_child(before, future);
        if let Some(inner) = self.known.get_mut(&before) {
            (inner.root, inner.is_presumed) = (future, true);
        }
        if let Some(outer) = self.known.get_mut(&future) {
            outer.wraps = before;
        }
    }

    /// Whether the first may have been wrapped around the second: both were spawned by the same,
    /// and nobody has polled them.
    fn may_wrap(&self, outer: FutureId, inner: FutureId) -> bool {
        let is_new = |state: &&State| state.is_new() && state.open == 0 && !state.ended;
        let of = |id: FutureId| self.known.get(&id).filter(is_new);
        let (Some(outer), Some(inner)) = (of(outer), of(inner)) else { return false };
        outer.spawner == inner.spawner && inner.begin <= outer.begin && inner.woken.is_none()
    }

    /// A future that is presumed to be wrapped is polled; or the other one was, without it.
    ///
    /// - `around`: the future that is polled around it.
    pub(super) fn confirm_wrapped(&mut self, id: FutureId, around: Option<FutureId>) {
        let Some(state) = self.known.get_mut(&id).filter(|it| it.is_presumed) else { return };
        state.is_presumed = false;
        if around != Some(state.parent) {
            self.make_task(id);
        }
    }

    /// Whether a future that is about to be polled, and was handed over to be polled by others, was
    /// handed to another traced future, which is polled around it. It was there before the other
    /// one began, and the other's first poll is its first. A task that merely runs inside of
    /// another's poll, as in a `LocalSet`, was spawned later than the other began.
    pub(super) fn is_inner_of(&self, id: FutureId, outer: FutureId) -> bool {
        let (Some(inner), Some(outer)) = (self.known.get(&id), self.known.get(&outer)) else {
            return false;
        };
        let is_first = (inner.polls, outer.polls) == (0, 1) && inner.woken.is_none();
        inner.kind == Kind::Spawned && is_first && inner.begin <= outer.begin
    }

    /// A future was taken for a task, and is a child future.
    pub(super) fn make_child(&mut self, id: FutureId, outer: FutureId) {
        self.count_as(id, Kind::Child);
        let Some(state) = self.known.get_mut(&id) else { return };
        state.parent = outer;
        // It works for whom it was given to, and so does what is around it.
        let works_for = state.works_for;
        if let Some(outer) = self.known.get_mut(&outer).filter(|it| it.works_for == TaskId(0)) {
            outer.works_for = works_for;
        }
    }

    /// A future was taken for a child future, and is a task.
    fn make_task(&mut self, id: FutureId) {
        self.count_as(id, Kind::Spawned);
        if let Some(state) = self.known.get_mut(&id) {
            (state.parent, state.root) = (FutureId(0), id);
        }
    }

    fn count_as(&mut self, id: FutureId, kind: Kind) {
        let Some(state) = self.known.get_mut(&id) else { return };
        state.kind = kind;
        let stack = self.sums.at(state.sums).stack;
        let sums = self.sums.place(state.site, kind);
        self.sums.leave(std::mem::replace(&mut state.sums, sums), false);
        self.sums.come(sums, stack);
    }
}
