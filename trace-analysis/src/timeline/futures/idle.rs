//! Where a task waits, and what is counted once that is over.
//!
//! A task waits where its open futures took wakers: where its own code did, and where child futures
//! did that have not ended. Mostly that is one place. With `join!`, `select!` and their like it may
//! be several, and all share the task's waker. If the runtime itself used it, as a descriptor was
//! ready or time was up, it was a wait of that kind. Else what happens next tells: the future that
//! returns in the polls that follow, or goes on to wait elsewhere, is what the task had waited for.
//! If none does, the task waited for one of them, and that is what is said.

use trace_format::id::{FutureId, SiteId, StackId, TaskId};
use trace_format::time::Nanos;

use super::state::{Past, State, Woken};
use super::worker::Recent;
use super::{AsyncReport, News};
use crate::reason::{Await, Awaited};
use crate::report::async_tasks::{AsyncWaker, Idle, TaskIdle, add};
use crate::spans::Span;
use crate::time::Moment;
use crate::timeline::{TaskInterval, TaskState};

/// Maximum number of places that an answer names if the task waited at one of several.
const ONE_OF_MAX: usize = 4;

/// Maximum number of polls in which it may turn out what a task had waited for. An observer waits
/// meanwhile for all that the task does.
const UNDECIDED_POLLS_MAX: u32 = 16;

/// An open future of a task, and where it took a waker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) future: FutureId,
    pub(crate) stack: StackId,
    /// The user's task that it works for; 0 for none.
    pub(crate) works_for: TaskId,
}

/// What a holder of a lock had done by the time it gave the lock up.
#[derive(Clone, Debug)]
pub(crate) struct HolderThen {
    pub(crate) id: FutureId,
    pub(crate) site: SiteId,
    pub(crate) begin: u64,
    pub(crate) past: Vec<Past>,
    /// One stack for all that give locks up there.
    pub(crate) released_at: StackId,
}

/// A task could be woken only when a poll was over that kept a thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeldUp {
    pub(crate) poll: Recent,
    /// In this time no other thread could have woken it either.
    pub(crate) span: Span,
}

/// A time in which a task was idle, until it is known what for.
#[derive(Clone, Debug)]
pub(crate) struct Undecided {
    idle: Idle,
    /// From when to when, of what is read.
    span: (u64, u64),
    /// Whose wake ended it: the spawn site, and one stack for all that wake there.
    by: Option<(Option<SiteId>, StackId)>,
    /// The user's task that its waker works for; 0 for none.
    waker_works_for: TaskId,
    holder: Option<HolderThen>,
    held_up: Option<HeldUp>,
    among: Vec<Waiting>,
    /// What an observer gets once the reason is known.
    drawn: Option<TaskInterval>,
    /// Those that were dropped since.
    dropped: Vec<FutureId>,
    /// How many polls of the task are over since.
    polls: u32,
}

impl AsyncReport<'_> {
    /// Where a task waits: the open futures in it that took a waker, each with its place.
    ///
    /// - `woken`: the child future whose own waker was used; 0 if none was.
    pub(crate) fn waiting(&self, id: FutureId, task: &State, woken: FutureId) -> Vec<Waiting> {
        let open = |id: FutureId| self.known.get(&id).filter(|it| !it.ended && !it.is_task());
        let at = |future, stack, state: &State| {
            let works_for =
                if state.works_for == TaskId(0) { task.works_for } else { state.works_for };
            Waiting { future, stack, works_for }
        };
        if let Some(child) = open(woken).filter(|it| it.waits_at != StackId(0)) {
            return vec![at(woken, child.waits_at, child)];
        }
        let children = task.children.iter().filter_map(|&child| Some((child, open(child)?)));
        let own = std::iter::once((id, task)).chain(children);
        let own = own.filter(|(_, it)| it.own_waits_at != StackId(0));
        let mut all: Vec<_> = own.map(|(id, it)| at(id, it.own_waits_at, it)).collect();
        if all.is_empty() && (task.waits_in == FutureId(0) || open(task.waits_in).is_some()) {
            all.push(at(id, task.waits_at, task));
        }
        // Child futures first, the one that was polled last before all.
        let polled = |it: &Waiting| self.known.get(&it.future).map_or(0, |it| it.polled.1);
        all.sort_by_key(|it| std::cmp::Reverse((it.future != id, polled(it))));
        all
    }

    /// One stack for each of these places, each once, and what is awaited there. The same places
    /// have the same order, whichever of them took its waker last.
    fn places_of(&mut self, all: &[Waiting]) -> Vec<(StackId, Await)> {
        let mut places = Vec::new();
        for it in all {
            let place = self.places.of(it.stack);
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places.truncate(ONE_OF_MAX);
        places.sort_unstable();
        places
    }

    /// Where a task waits, and for what: one stack for all at each place. One at least; several if
    /// it waits at several at once.
    pub(crate) fn waits_at(&mut self, id: FutureId) -> Vec<(StackId, Await)> {
        let task = self.known.get(&id);
        let all = task.map(|task| self.waiting(id, task, FutureId(0))).unwrap_or_default();
        let mut places = self.places_of(&all);
        if places.is_empty() {
            places.push((StackId(0), Await::UNKNOWN));
        }
        places
    }

    /// A task was idle, until it was woken or polled.
    ///
    /// - `woken`: how, and by which child future's waker; 0 for its own.
    /// - `held_up`: which poll kept its runtime from waking it before, if that is what does so.
    pub(crate) fn was_idle(
        &mut self,
        id: FutureId,
        (from, to): (u64, u64),
        woken: Option<(Woken, FutureId)>,
        held_up: Option<HeldUp>,
    ) {
        self.decide(id);
        let Some(state) = self.known.get(&id).filter(|_| to > from) else { return };
        let begin = Moment::older(from, state.older);
        let among = self.waiting(id, state, woken.map_or(FutureId(0), |(_, child)| child));
        let among = self.ended_by_runtime(among, woken.map(|(woken, _)| woken));
        let stack = among.first().map_or(StackId(0), |it| it.stack);
        let woken = woken.map(|(woken, _)| woken);
        let waker = woken.and_then(|woken| self.known.get(&woken.by));
        let waker_works_for = woken.map_or(TaskId(0), |woken| woken.works_for);
        let waker_site = waker.map(|waker| waker.site);
        let by = woken.map(|woken| (waker_site, self.places.of(woken.stack).0));
        let holder = woken.filter(|woken| woken.by != id);
        let holder = holder.and_then(|woken| self.holder_then(&woken, &among));
        let waker =
            woken.map(|Woken { thread, by, stack, .. }| AsyncWaker { thread, task: by, stack });
        let (duration, inside) = (begin.until(Nanos(to)), Nanos(to - from));
        let idle = Idle { task: id, begin, duration, inside, waker };
        let held_up = held_up.filter(|_| self.are_for_runtime(&among));
        let is_clear = self.places_of(&among).len() <= 1;
        let drawn = self.drawn(id, TaskState::Idle(stack), begin, Some(to));
        let Some(state) = self.known.get_mut(&id) else { return };
        state.remember(Past { from, to, stack });
        if let Some(HeldUp { poll, span }) = held_up {
            self.polls.held_up(&poll, span.1 - span.0, (id, state.site));
        }
        add(&mut self.sums.at(state.sums).idle, to - from);
        let (span, dropped) = ((from, to), Vec::new());
        let over = Undecided {
            idle,
            span,
            by,
            waker_works_for,
            holder,
            held_up,
            among,
            drawn,
            dropped,
            polls: 0,
        };
        if is_clear {
            let among = over.among.clone();
            self.count(id, over, &among);
        } else {
            state.undecided = Some(Box::new(over));
        }
    }

    /// Of the places at which a task waited those whose wait the runtime itself ended, if it was
    /// the runtime that woke it and there are such places; else all.
    fn ended_by_runtime(&mut self, among: Vec<Waiting>, woken: Option<Woken>) -> Vec<Waiting> {
        let driver = woken.and_then(|woken| self.places.driver(woken.stack));
        let Some(driver) = driver else { return among };
        let mut ended = Vec::new();
        for it in &among {
            // The last poll tells one place of each future; it may wait at those before as well.
            let lately = self.known.get(&it.future).map_or(&[][..], |state| &state.own_lately[..]);
            let mut all = std::iter::once(it.stack).chain(lately.iter().copied());
            let fits = all.find(|stack| driver.ends(self.places.of(*stack).1.awaited));
            ended.extend(fits.map(|stack| Waiting { stack, ..*it }));
        }
        if ended.is_empty() { among } else { ended }
    }

    /// Whether the runtime itself ends a wait at any of these places: as time is up, or the system
    /// is ready.
    fn are_for_runtime(&mut self, among: &[Waiting]) -> bool {
        let mut awaited = among.iter().map(|it| self.places.of(it.stack).1.awaited);
        !among.is_empty() && awaited.all(Awaited::is_for_runtime)
    }

    /// Who held the lock that a task may have waited for: who woke it, as it was then.
    fn holder_then(&mut self, woken: &Woken, among: &[Waiting]) -> Option<HolderThen> {
        let is_lock = among.iter().any(|it| self.places.is_lock(it.stack));
        let holder = self.known.get(&woken.by).filter(|_| is_lock)?;
        Some(HolderThen {
            id: woken.by,
            site: holder.site,
            begin: holder.begin.inside().0,
            past: holder.past.clone(),
            released_at: self.places.of(woken.stack).0,
        })
    }

    /// A future in a task has gone on: that is what the task had waited for, if it was not clear.
    ///
    /// - `place`: where it waits now; 0 if it is over.
    pub(crate) fn went_on(&mut self, root: FutureId, future: FutureId, place: StackId) {
        let Some(task) = self.known.get(&root) else { return };
        let Some(undecided) = &task.undecided else { return };
        let Some(&it) = undecided.among.iter().find(|it| it.future == future) else { return };
        // Some futures take a new waker in each poll: that is no progress.
        if place != StackId(0) && self.places.of(place).0 == self.places.of(it.stack).0 {
            return;
        }
        let undecided = self.known.get_mut(&root).and_then(|task| task.undecided.take());
        if let Some(undecided) = undecided {
            self.count(root, *undecided, &[it]);
        }
    }

    /// A future in a task was dropped: `select!` does that to those that were not what it waited
    /// for.
    pub(crate) fn was_dropped(&mut self, root: FutureId, future: FutureId) {
        let task = self.known.get_mut(&root).filter(|task| task.open > 0);
        if let Some(undecided) = task.and_then(|task| task.undecided.as_mut())
            && undecided.among.iter().any(|it| it.future == future)
        {
            undecided.dropped.push(future);
        }
    }

    /// A poll of a task is over, and it may still be unclear what the task had waited for before.
    pub(crate) fn polled_undecided(&mut self, id: FutureId) {
        let task = self.known.get_mut(&id);
        let Some(undecided) = task.and_then(|task| task.undecided.as_mut()) else { return };
        undecided.polls += 1;
        if undecided.polls >= UNDECIDED_POLLS_MAX {
            self.decide(id);
        }
    }

    /// Nothing more can tell what a task had waited for.
    pub(crate) fn decide(&mut self, id: FutureId) {
        let undecided = self.known.get_mut(&id).and_then(|task| task.undecided.take());
        let Some(undecided) = undecided else { return };
        let is_left = |it: &&Waiting| !undecided.dropped.contains(&it.future);
        let mut left: Vec<Waiting> = undecided.among.iter().filter(is_left).copied().collect();
        let is_own = |it: &Waiting| it.future == id;
        if !undecided.dropped.is_empty() && left.iter().any(is_own) {
            // What is not a future of its own in the trace went on.
            left.retain(is_own);
        }
        let left = if left.is_empty() { undecided.among.clone() } else { left };
        self.count(id, *undecided, &left);
    }

    /// Gives an observer what a task had waited for, and what it did since.
    fn tell_idle(&mut self, id: FutureId, drawn: Option<TaskInterval>, left: &[Waiting]) {
        let later = self.known.get_mut(&id).map(|task| std::mem::take(&mut task.untold));
        let Some(news) = &mut self.news else { return };
        if let Some(interval) = drawn {
            let stack = left.first().map_or(StackId(0), |it| it.stack);
            news.push(News::Interval(TaskInterval { state: TaskState::Idle(stack), ..interval }));
        }
        news.extend(later.into_iter().flatten().map(News::Interval));
    }

    /// A task had waited for one of these: it is counted.
    fn count(&mut self, id: FutureId, over: Undecided, left: &[Waiting]) {
        let Some(task) = self.known.get_mut(&id) else { return };
        let Undecided { idle, span, by, waker_works_for, holder, held_up, drawn, .. } = over;
        let (sums, site) = (task.sums, task.site);
        if let (Some(past), Some(it)) = (task.past.last_mut(), left.first())
            && past.from == span.0
        {
            past.stack = it.stack;
        }
        self.tell_idle(id, drawn, left);
        let places = self.places_of(left);
        let place = places.first().copied().unwrap_or((StackId(0), Await::UNKNOWN));
        let others = places.get(1..).unwrap_or_default();
        self.waits.add(sums, place, others, idle, by, true);
        match (held_up, idle.waker) {
            (Some(HeldUp { poll, span: held }), Some(waker)) => {
                // Before it waited for what it says, and then for that poll's end.
                self.long.idle(id, (span.0, held.0), place, None);
                let waker = AsyncWaker { task: poll.task, stack: StackId(0), ..waker };
                self.long.idle(id, held, (StackId(0), Await::HELD_UP), Some(waker));
            }
            (_, waker) => self.long.idle(id, span, place, waker),
        }
        let works_for = left.first().map_or(TaskId(0), |it| it.works_for);
        self.for_tasks.add(works_for, &TaskIdle { site, place, others, span, waker_works_for });
        if let Some(holder) = holder.filter(|_| others.is_empty() && place.1.awaited.is_lock()) {
            self.waits.held(sums, place, span, &holder, &mut self.places);
        }
    }
}
