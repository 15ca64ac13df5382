//! What happens to futures: they come, are polled, woken, and end.

use trace_format::event::{EventKind, Outcome};
use trace_format::id::{FutureId, SiteId, StackId, TaskId, ThreadId};
use trace_format::read::FutureState;
use trace_format::time::Nanos;
use trace_format::value::Values;

use super::idle::HeldUp;
use super::state::{EARLY_MAX, Kind, State, Woken};
use super::worker::{LINK_NANOS_MIN, Recent};
use super::{AsyncReport, Link, News, innermost_poll, is_polling};
use crate::report::async_tasks::{LONG_POLL, Late, OnePoll, PollDone, Spawner};
use crate::spans::Span;
use crate::time::Moment;
use crate::timeline::{Activity, Frame, FutureBegun, FutureRole, Note, TaskState};

/// Maximum number of live futures that are followed; those that begin beyond are only counted.
const KNOWN_MAX: usize = 1 << 18;

/// Maximum number of ended futures that stay known, for wakes and polls that come late.
const ENDED_MAX: usize = 1 << 16;

/// What an event says about a future that it names.
#[derive(Clone, Copy, Debug)]
struct Told {
    kind: Kind,
    site: SiteId,
    /// From where it was spawned; 0 if unknown.
    stack: StackId,
    /// Who spawned it; 0 if unknown.
    parent: FutureId,
    task: TaskId,
}

/// A thread, as the timeline knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Here<'t> {
    /// Its number, and its id.
    pub(crate) who: usize,
    pub(crate) thread: ThreadId,
    /// The futures that are polled on it, innermost last; of a poll that begins or ends just now,
    /// those around it.
    pub(crate) polls: &'t [FutureId],
}

impl AsyncReport<'_> {
    /// An event that opens and ends nothing.
    ///
    /// - `at`, `moment`: when, cut to the window, and wherever that lies.
    /// - `ready`: for `Ready`, since when.
    pub(crate) fn event(
        &mut self,
        here: Here<'_>,
        (at, moment): (u64, Moment),
        kind: &EventKind<'_>,
        ready: u64,
    ) -> Note {
        match *kind {
            EventKind::FutureSpawn { future, parent, task, site, stack } => {
                let told = Told { kind: Kind::Spawned, site, stack, parent, task };
                let is_news = self.tell(future, told, moment);
                self.works_for(future, task);
                self.spawned_by(future, Spawner { task: parent, thread: here.thread });
                self.spawned_next(here, future);
                return Note { edge: self.spawned(future, is_news), ..Note::default() };
            }
            EventKind::FutureBegin { future, task, site, .. } => {
                let around = innermost_poll(here.polls).filter(|it| *it != future);
                let kind = if around.is_some() { Kind::Child } else { Kind::Polled };
                let (stack, parent) = (StackId(0), FutureId(0));
                self.tell(future, Told { kind, site, stack, parent, task }, moment);
                self.works_for(future, task);
            }
            EventKind::FutureEnd { future, outcome, .. } => self.end(here, future, outcome, at),
            EventKind::Wake { future, stack } => return self.wake(here, future, stack, at),
            EventKind::Ready { future, .. } => {
                if let Some(state) = self.known.get_mut(&future) {
                    state.ready = Some(ready);
                }
            }
            EventKind::Unwakeable { future } => {
                if let Some(state) = self.known.get_mut(&future) {
                    state.unwakeable = state.woken.is_none();
                }
            }
            _ => self.for_tasks.event(kind),
        }
        Note::default()
    }

    /// A future works for this task of the user's; 0 for none.
    fn works_for(&mut self, future: FutureId, task: TaskId) {
        if let Some(state) = self.known.get_mut(&future)
            && task != TaskId(0)
        {
            state.works_for = task;
        }
    }

    fn spawned_by(&mut self, future: FutureId, spawner: Spawner) {
        if let Some(state) = self.known.get_mut(&future) {
            state.spawner = spawner;
        }
    }

    /// A future was spawned. Returns the number of the edge to its first poll, if that is to come.
    fn spawned(&mut self, future: FutureId, is_news: bool) -> u64 {
        let is_new = |it: &State| it.is_task() && it.polls == 0 && it.woken.is_none();
        if !is_news || !self.known.get(&future).is_some_and(is_new) {
            return 0;
        }
        let edge = self.edge();
        if let Some(state) = self.known.get_mut(&future) {
            state.edge = edge;
        }
        edge
    }

    /// A future whose begin is not among the events, as a definition tells it. What an old one says
    /// it waited for may be long over.
    pub(crate) fn remember(&mut self, told: &FutureState) {
        let kind = match (told.spawned, told.parent) {
            (true, _) => Kind::Spawned,
            (false, FutureId(0)) => Kind::Polled,
            (false, _) => Kind::Child,
        };
        let begin = self.moment(told.begin);
        let (site, task, stack) = (told.site, told.task, StackId(0));
        // Of what is awaited, only who awaits it is known.
        let parent = if kind == Kind::Child { FutureId(0) } else { told.parent };
        self.tell(told.id, Told { kind, site, stack, parent, task }, begin);
        let (since, older) = (self.nanos(told.since), self.moment(told.since).before(self.from));
        let Some(state) = self.known.get_mut(&told.id) else { return };
        state.works_for = told.task;
        // That may be where a future in it took the waker: it is not its own place for sure.
        if !told.is_old {
            state.waits_at = told.waits_at;
        }
        if told.since.0 > 0 && !told.is_old {
            (state.polls, state.polled, state.older) = (1, (since, since), older);
        }
        if kind == Kind::Child {
            (state.parent, state.root) = (told.parent, told.parent);
        }
    }

    /// An event names a future, maybe again. Returns whether this is the first time.
    fn tell(&mut self, id: FutureId, told: Told, at: Moment) -> bool {
        let Told { kind, site, stack, .. } = told;
        if self.ended.contains_key(&id) {
            return false;
        }
        let site = if self.tables.callsite(site).is_some() { site } else { SiteId(0) };
        let Some(state) = self.known.get_mut(&id) else {
            self.come(id, kind, site, true, stack, at);
            return self.begun(id, told);
        };
        // What was said of it first holds, but for what nobody knew.
        if state.is_told && (state.site != SiteId(0) || site == SiteId(0)) {
            return false;
        }
        let is_news = !state.is_told;
        let before = state.sums;
        // Who is awaited by another is so, whoever tells it.
        let kind = if state.is_told || kind == Kind::Polled { state.kind } else { kind };
        let sums = self.sums.place(site, kind);
        (state.is_told, state.site, state.kind, state.sums) = (true, site, kind, sums);
        if kind == Kind::Spawned {
            (state.root, state.parent) = (id, FutureId(0));
        }
        self.sums.leave(before, false);
        self.sums.come(sums, stack);
        for poll in std::mem::take(&mut state.early) {
            self.sums.poll(sums, poll);
        }
        is_news && self.begun(id, told)
    }

    /// A future is known from now on. Whether there was room for it.
    fn begun(&mut self, id: FutureId, told: Told) -> bool {
        let Some(state) = self.known.get(&id) else { return false };
        if let Some(news) = &mut self.news {
            let role = if state.is_task() { FutureRole::Task } else { FutureRole::Child };
            let Told { site, parent, task, .. } = told;
            let (future, at, values) = (id, state.begin, Values::default());
            news.push(News::Begun(FutureBegun { future, role, site, at, parent, task, values }));
        }
        true
    }

    /// A future is there that was not before.
    fn come(
        &mut self,
        id: FutureId,
        kind: Kind,
        site: SiteId,
        is_told: bool,
        stack: StackId,
        at: Moment,
    ) {
        if self.known.len() >= KNOWN_MAX {
            self.untracked += 1;
            return;
        }
        let sums = self.sums.place(site, kind);
        self.sums.come(sums, stack);
        let state = State { is_told, ..State::new(id, kind, site, sums, at) };
        self.known.insert(id, state);
    }

    /// A poll begins.
    ///
    /// - `older`: how long before the window it began.
    /// - Returns whether it is one of a task, not of a child future, and the number of the edge
    ///   that led to it; 0 if none did.
    pub(crate) fn begin_poll(
        &mut self,
        here: Here<'_>,
        id: FutureId,
        at: u64,
        older: u64,
    ) -> (bool, u64) {
        if self.ended.contains_key(&id) {
            return (false, 0);
        }
        let around = innermost_poll(here.polls).filter(|around| *around != id);
        match self.known.get(&id).map(|state| state.is_presumed) {
            Some(false) => {}
            Some(true) => self.confirm_wrapped(id, around),
            None => {
                let kind = if around.is_some() { Kind::Child } else { Kind::Polled };
                match self.tables.futures.get(&id) {
                    Some(told) => self.remember(told),
                    None => {
                        let begin = Moment::older(at, older);
                        self.come(id, kind, SiteId(0), false, StackId(0), begin);
                    }
                }
            }
        }
        if let Some(outer) = around.filter(|outer| self.is_inner_of(id, *outer)) {
            self.make_child(id, outer);
        }
        let around =
            around.map(|outer| (outer, self.known.get(&outer).map_or(outer, |it| it.root)));
        let Some(state) = self.known.get_mut(&id) else { return (false, 0) };
        if state.kind == Kind::Child {
            if let Some((outer, root)) = around {
                (state.parent, state.root) = (outer, root);
                if let Some(outer) = self.known.get_mut(&outer) {
                    outer.child = id;
                }
                if let Some(root) = self.known.get_mut(&root) {
                    root.add_child(id);
                }
            }
        } else {
            self.begin_task_poll(here, id, (at, older));
        }
        let Some(state) = self.known.get_mut(&id) else { return (false, 0) };
        let edge = std::mem::take(&mut state.edge);
        (state.was_woken, state.is_lost) = (state.woken.is_some(), false);
        state.polls += 1;
        state.open = state.open.saturating_add(1);
        (state.woken, state.ready, state.unwakeable) = (None, None, false);
        (state.polled.0, state.older, state.child_waits_at) = (at, older, StackId(0));
        (state.child_waits_in, state.has_new_child) = (FutureId(0), false);
        (state.is_task(), edge)
    }

    /// A task is polled: it is ready no longer.
    fn begin_task_poll(&mut self, here: Here<'_>, id: FutureId, (at, older): (u64, u64)) {
        let Some(state) = self.known.get_mut(&id) else { return };
        if state.is_futile {
            state.is_futile = false;
            self.sums.at(state.sums).futile_wakes += 1;
        }
        let ready = state.ready_since().map(|ready| ready.clamp(self.from, at));
        let (site, sums, idle) = (state.site, state.sums, state.idle_since());
        self.polls.ready.polled(sums, (here.who, here.thread));
        let thread = self.thread(here.who, here.thread);
        thread.has_polled = true;
        if innermost_poll(here.polls).is_none() {
            thread.polling = Some((at, older));
        }
        if let Some(since) = idle {
            // Nobody was seen to wake it.
            self.was_idle(id, (since, ready.unwrap_or(at)), None, None);
        }
        if let Some(ready) = ready {
            self.draw(id, TaskState::Ready, Nanos(ready).into(), Some(at));
        }
        if let Some(ready) = ready.filter(|_| self.counts_polls_of(here.thread)) {
            let (is_polled, is_since_before) = (true, self.is_since_before(ready));
            let late = Late { task: id, site, sums, ready, at, is_since_before, is_polled };
            self.thread(here.who, here.thread);
            let sums = &self.sums;
            let site_of = |place: usize| sums.all[place].1.told.site;
            self.polls.late(&mut self.threads[here.who], late, site_of);
        }
        if let Some(state) = self.known.get_mut(&id) {
            // Counted with the poll: its site may not be known yet.
            state.delay = ready.map(|ready| at - ready);
        }
    }

    /// A poll ends. Returns what names it in the chain of what is around it; `None` for a future
    /// that is not known.
    ///
    /// - `frame`: the poll; `here` is what is around it.
    /// - `activity`: what the thread did in it.
    pub(crate) fn end_poll(
        &mut self,
        here: Here<'_>,
        id: FutureId,
        frame: &Frame,
        end: u64,
        activity: Option<Box<Activity>>,
    ) -> Option<Link> {
        let Frame { begin, older, is_full, waits_at, .. } = *frame;
        let nanos = end.saturating_sub(begin);
        let counts = self.counts_polls_of(here.thread);
        let state = self.known.get_mut(&id)?;
        state.open = state.open.saturating_sub(1);
        (state.polled.1, state.older) = (end.max(state.polled.1), 0);
        let took = if waits_at == StackId(0) { state.child_waits_at } else { waits_at };
        let is_same = took == StackId(0) || took == state.waits_at;
        state.is_futile = state.was_woken && !is_full && is_same && state.polls > 1;
        let mut took_in = if waits_at == StackId(0) { state.child_waits_in } else { FutureId(0) };
        if took != StackId(0) {
            (state.waits_at, state.waits_in) = (took, took_in);
        }
        if waits_at != StackId(0) {
            state.takes_waker_at(waits_at);
            took_in = id;
        } else if state.has_new_child {
            // It went on to another future.
            state.own_waits_at = StackId(0);
        }
        let (site, root, sums) = (state.site, state.root, state.sums);
        let (parent, polled) = (state.parent, state.polls);
        let wraps = std::mem::take(&mut state.wraps);
        let (is_task, is_over) = (state.is_task(), state.ended && state.open == 0);
        let poll = OnePoll { nanos, older, ready: state.delay.take() };
        if counts && (state.is_told || state.early.len() >= EARLY_MAX) {
            self.sums.poll(sums, poll);
        } else if counts {
            state.early.push(poll);
        }
        if is_over && let Some(state) = self.known.remove(&id) {
            self.forget(id, &state);
        }
        if wraps != FutureId(0) {
            self.confirm_wrapped(wraps, None);
        }
        if waits_at != StackId(0) {
            self.went_on(root, id, waits_at);
        }
        if is_task {
            self.end_task_poll(here, (id, site, sums), frame, end, activity);
        } else if took != StackId(0)
            && let Some(parent) = self.known.get_mut(&parent)
        {
            (parent.child_waits_at, parent.child_waits_in) = (took, took_in);
            parent.has_new_child |= polled == 1;
        }
        Some(Link { site, future: id, duration: Nanos(nanos.saturating_add(older)) })
    }

    fn end_task_poll(
        &mut self,
        here: Here<'_>,
        (task, site, sums): (FutureId, SiteId, usize),
        frame: &Frame,
        end: u64,
        activity: Option<Box<Activity>>,
    ) {
        let (begin, older) = (frame.begin, frame.older);
        let nanos = end.saturating_sub(begin);
        self.draw(task, TaskState::Polled(here.thread), Moment::older(begin, older), Some(end));
        self.polled_undecided(task);
        let thread = self.thread(here.who, here.thread);
        if innermost_poll(here.polls).is_none() {
            thread.polling = None;
            thread.add_poll(nanos, older, LONG_POLL.0);
        }
        if nanos < LINK_NANOS_MIN || !self.counts_polls_of(here.thread) {
            return;
        }
        let since = Moment::older(begin, older);
        let done = PollDone { task, site, thread: here.thread, begin: since, end, is_over: true };
        let serial = self.polls.add(sums, done, frame.chain.links(), activity);
        let starved_from = end;
        let recent = Recent { serial, task, sums, begin, end, older, starved_from };
        self.threads[here.who].remember(recent);
    }

    /// A waker of a future is used.
    fn wake(&mut self, here: Here<'_>, id: FutureId, stack: StackId, at: u64) -> Note {
        let Some(state) = self.known.get(&id) else {
            if let Some(&sums) = self.ended.get(&id) {
                self.sums.at(sums).late_wakes += 1;
            }
            return Note::default();
        };
        let (is_child, root, sums) = (!state.is_task(), state.root, state.sums);
        let mut note = Note { site: state.site, ..Note::default() };
        if is_child {
            self.sums.at(sums).wakes += 1;
            let is_own = is_polling(here.polls, id);
            self.sums.at(sums).self_wakes += u64::from(is_own);
        }
        let Some(task) = self.known.get_mut(&root).filter(|task| task.is_task()) else {
            return note;
        };
        (note.task, note.site) = (root, task.site);
        // A child's waker that uses its task's is one wake, whoever tells of it.
        if let Some(woken) = &mut task.woken
            && (is_child || woken.is_childs)
        {
            woken.is_childs = false;
            return note;
        }
        let is_own = is_polling(here.polls, root);
        let told = self.sums.at(task.sums);
        told.wakes += 1;
        told.self_wakes += u64::from(is_own);
        let (by, works_for) = self.polled_here(here);
        let Some(task) = self.known.get(&root).filter(|task| task.woken.is_none()) else {
            return note;
        };
        // One that was spawned and not polled yet is ready already.
        if task.edge == 0 {
            note.edge = self.edge();
        }
        let Some(task) = self.known.get_mut(&root) else { return note };
        task.edge = if note.edge == 0 { task.edge } else { note.edge };
        let idle = task.idle_since();
        task.unwakeable = false;
        let thread = here.thread;
        let woken = Woken { at, thread, by, works_for, stack, is_childs: is_child };
        task.woken = Some(woken);
        if let Some(since) = idle {
            let by = if is_child { id } else { FutureId(0) };
            let held_up = self.held_up(here, root, (since, at));
            self.was_idle(root, (since, at), Some((woken, by)), held_up);
        }
        note
    }

    /// A task is woken that was idle so long, by what a runtime does between polls: the poll
    /// before, if it was long, and when all threads that poll such tasks were in long ones.
    fn held_up(&self, here: Here<'_>, task: FutureId, (since, at): Span) -> Option<HeldUp> {
        if innermost_poll(here.polls).is_some() {
            return None;
        }
        let sums = self.known.get(&task)?.sums;
        let poll = self.threads.get(here.who)?.long_poll_before(at)?;
        if poll.end <= since || poll.task == task {
            return None;
        }
        let mut span = (poll.begin.max(since), poll.end);
        let mut is_poller = false;
        for who in self.polls.ready.pollers(sums) {
            is_poller |= who == here.who;
            if who != here.who {
                span = self.threads.get(who)?.in_long_poll(span, at)?;
            }
        }
        is_poller.then_some(HeldUp { poll, span })
    }

    /// The task that is polled on a thread, and for which task of the user's the innermost future
    /// in it works: 0 if there is none.
    fn polled_here(&self, here: Here<'_>) -> (FutureId, TaskId) {
        let Some(by) = innermost_poll(here.polls) else { return (FutureId(0), TaskId(0)) };
        let Some(state) = self.known.get(&by) else { return (by, TaskId(0)) };
        let root = self.known.get(&state.root);
        let works_for = match state.works_for {
            TaskId(0) => root.map_or(TaskId(0), |root| root.works_for),
            own => own,
        };
        (state.root, works_for)
    }

    /// A future is done, or dropped.
    fn end(&mut self, here: Here<'_>, id: FutureId, outcome: Outcome, at: u64) {
        let Some(state) = self.known.get_mut(&id).filter(|state| !state.ended) else { return };
        if outcome == Outcome::Dropped && state.is_futile {
            self.sums.at(state.sums).futile_wakes += 1;
        }
        // What returns was not idle since its last poll, and not ready.
        let is_cut = matches!(outcome, Outcome::Dropped | Outcome::Ended);
        let is_cut = is_cut && state.kind != Kind::Child;
        let idle = state.idle_since().filter(|_| is_cut);
        let is_unpolled = is_cut && state.open == 0;
        let state = self.known.get(&id).filter(|_| is_unpolled);
        let ready = state.and_then(|state| self.ready_unpolled(state, at));
        if let Some(since) = idle {
            self.was_idle(id, (since, at), None, None);
        }
        if let Some((since, to)) = ready {
            self.draw(id, TaskState::Ready, Nanos(since).into(), Some(to));
            self.was_ready(id, (since.max(self.from), to), None);
        }
        let Some(state) = self.known.get(&id) else { return };
        let root = state.root;
        match (outcome, root == id) {
            (Outcome::Dropped, true) => self.decide(id),
            (Outcome::Dropped, false) => self.was_dropped(root, id),
            _ => self.went_on(root, id, StackId(0)),
        }
        self.draw_last_poll(here, id, at);
        let Some(state) = self.known.get_mut(&id) else { return };
        (state.ended, state.is_futile) = (true, false);
        self.decide(id);
        let Some(state) = self.known.get(&id) else { return };
        self.sums.end(state.sums, state.begin.until(Nanos(at)).0, outcome);
        self.long.life(id, state, at, here.thread);
        self.sums.at(state.sums).never_polled += u64::from(state.polls == 0);
        if state.open == 0
            && let Some(state) = self.known.remove(&id)
        {
            self.forget(id, &state);
        }
    }

    /// A task ends in its own poll, as tokio's hooks tell it: for an observer the poll is over
    /// here, as nothing is told of a task behind its end.
    fn draw_last_poll(&mut self, here: Here<'_>, id: FutureId, at: u64) {
        let Some(state) = self.known.get(&id) else { return };
        if state.is_task() && is_polling(here.polls, id) {
            let begin = Moment::older(state.polled.0, state.older);
            self.draw(id, TaskState::Polled(here.thread), begin, Some(at));
        }
    }

    /// What has ended is known no longer than what may come late.
    fn forget(&mut self, id: FutureId, state: &State) {
        if let Some(root) = self.known.get_mut(&state.root) {
            root.children.retain(|child| *child != id);
        }
        for &poll in &state.early {
            self.sums.poll(state.sums, poll);
        }
        self.sums.leave(state.sums, true);
        if self.ended.insert(id, state.sums).is_none() {
            self.ended_first.push_back(id);
        }
        if self.ended_first.len() > ENDED_MAX
            && let Some(old) = self.ended_first.pop_front()
        {
            self.ended.remove(&old);
        }
    }
}
