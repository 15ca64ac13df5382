//! Futures: they are told of, spawned, polled, woken, and left by all who could wake them.
//!
//! A future that is awaited by others has a slice for its life. An async task has besides one for
//! each stretch in which it was ready, polled or idle, and arrows lead from who spawned or woke it
//! to the poll that came of it: of several wakes before one poll the first counts.
//!
//! Elsewhere: what is known of an async task (`progress`), how lives end (`lives`).

use std::collections::HashMap;
use std::io;

use trace_format::event::{EventKind, Outcome};
use trace_format::id::{FutureId, SiteId, StackId, TaskId};
use trace_format::read::FutureState;
use trace_format::time::Ticks;
use trace_format::value::Values;

use super::annotate::{put_number, put_values, put_word};
use super::convert::{Converter, OWN_CATEGORY, before};
use super::intern::Heading;
use super::losses::LOST;
use super::message::EventType;
use super::progress::{Early, EarlyPolls, Progress, Stage};
use super::tracks::{Group, Life, Opened};
use crate::places::Places;

/// Of so many stacks the place is remembered in words.
const PLACES_MAX: usize = 1 << 16;
/// The bit that arrows to polls have, beside those of lives and of calls that wake.
const ARROW: u64 = 1 << 62;

/// What is kept about all futures together.
#[derive(Debug)]
pub(super) struct Futures<'t> {
    places: Places<'t>,
    shown: HashMap<StackId, Option<String>>,
    /// What stands over spawns and wakes, by the future's call site: so bounded by those.
    marks: HashMap<(&'static str, SiteId), Heading>,
    early: Early,
    arrows: u64,
}

impl<'t> Futures<'t> {
    pub(super) fn new(places: Places<'t>) -> Self {
        Self {
            places,
            shown: HashMap::new(),
            marks: HashMap::new(),
            early: Early::default(),
            arrows: 0,
        }
    }

    fn arrow(&mut self) -> u64 {
        self.arrows += 1;
        ARROW | self.arrows
    }

    /// A stack's place in words.
    fn place(&mut self, stack: StackId) -> Option<String> {
        if let Some(shown) = self.shown.get(&stack) {
            return shown.clone();
        }
        let shown = self.places.shown(stack);
        if self.shown.len() < PLACES_MAX {
            self.shown.insert(stack, shown.clone());
        }
        shown
    }
}

impl Converter<'_, '_> {
    /// Opens what lived already when the trace began.
    pub(super) fn begin_futures(&mut self) -> io::Result<()> {
        let tables = self.tables;
        let Some(first) = tables.generations.first() else { return Ok(()) };
        let lived = |state: &&FutureState| !state.is_old && state.begin < first.ticks;
        for state in tables.futures.values().filter(lived) {
            self.known(state)?;
            if state.since < first.ticks && state.since != Ticks(0) {
                let since = self.nanos(state.since);
                if let Some((row, progress)) = self.tracks.progress(state.id) {
                    progress.waits_at = state.waits_at;
                    progress.stage = Stage::Over(row.stamp(since).0);
                }
            }
        }
        Ok(())
    }

    /// Sends what is still to be said of async tasks.
    pub(super) fn finish_futures(&mut self) -> io::Result<()> {
        self.tracks.tasks_over().into_iter().try_for_each(|task| self.settle(task))
    }

    /// Sends what an event about a future needs. Whether it is one.
    pub(super) fn future(
        &mut self,
        lane: usize,
        (ticks, at): (Ticks, u64),
        kind: &EventKind<'_>,
    ) -> io::Result<bool> {
        match *kind {
            EventKind::FutureSpawn { future, parent, task, site, stack } => {
                self.spawned(lane, at, (future, parent, task), (site, stack))?;
            }
            EventKind::FutureBegin { future, task, site, values } => {
                let around = self.lanes[lane].polled_around(future);
                let group = if around.is_some() { Group::Futures } else { Group::AsyncTasks };
                self.begun(at, (future, FutureId(0), task), group, (site, values))?;
            }
            EventKind::FutureEnd { future, outcome, values } => {
                self.futures.early.take(future);
                self.life_end(Life::Future(future), at, outcome, values)?;
            }
            EventKind::Wake { future, stack } => self.woken_up(lane, at, future, stack)?,
            EventKind::Ready { future, since } => {
                self.was_ready(future, self.nanos(before(ticks, since)))?;
            }
            EventKind::Unwakeable { future } => self.unwakeable(lane, at, future)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// A future begins to live. Whether it has a slice because of that.
    fn begun(
        &mut self,
        at: u64,
        (future, parent, task): (FutureId, FutureId, TaskId),
        group: Group,
        (site, values): (SiteId, Values<'_>),
    ) -> io::Result<bool> {
        let life = Life::Future(future);
        let early = self.futures.early.take(future);
        let at = early.map_or(at, |early| early.first.min(at));
        let heading = self.names.site(site).heading.clone();
        let name = self.tables.callsite(site).map_or("unknown call site", |site| &site.name);
        let above = (heading.clone(), name, site);
        let (at, track) = match self.tracks.open((life, group), above, at, &mut self.packets)? {
            Opened::On(at, track) => (at, track),
            // It was only told of once more.
            Opened::Again => return Ok(false),
            Opened::Full => {
                self.totals.hidden += 1;
                return Ok(false);
            }
        };
        let callstack = values.stack().and_then(|stack| self.callstack(stack));
        let event = self.packets.event(EventType::SliceBegin, track);
        heading.put(event);
        event.callstack_iid = callstack;
        event.flow_ids.push(life.flow());
        put_number(event, &mut self.names, "future", future.0);
        if parent != FutureId(0) {
            put_number(event, &mut self.names, "parent", parent.0);
        }
        if task != TaskId(0) {
            put_number(event, &mut self.names, "task", task.0);
            event.correlation_id = Some(task.0);
        }
        put_values(event, &mut self.names, site, values);
        self.totals.slices += 1;
        self.packets.send(at, &mut self.names.fresh)?;
        if let Some(early) = early {
            self.begun_late(future, early)?;
        }
        Ok(true)
    }

    /// What is told of only now was polled before.
    fn begun_late(&mut self, future: FutureId, early: EarlyPolls) -> io::Result<()> {
        let Some((row, progress)) = self.tracks.progress(future) else { return Ok(()) };
        progress.waits_at = early.waits_at;
        match early.by {
            Some(thread) => self.stage_begin(future, early.since, Stage::Polled(thread)),
            None => {
                progress.stage = Stage::Over(row.stamp(early.since).0);
                Ok(())
            }
        }
    }

    /// A future that a generation told of. Whether it has a slice because of that.
    fn known(&mut self, state: &FutureState) -> io::Result<bool> {
        let FutureState { id, parent, task, site, begin, spawned, .. } = *state;
        let is_task = spawned || parent == FutureId(0);
        let group = if is_task { Group::AsyncTasks } else { Group::Futures };
        let parent = if is_task { parent } else { FutureId(0) };
        self.begun(self.nanos(begin), (id, parent, task), group, (site, Values::default()))
    }

    /// A mark on the thread that spawned it, and an arrow to the first poll.
    fn spawned(
        &mut self,
        lane: usize,
        at: u64,
        (future, parent, task): (FutureId, FutureId, TaskId),
        (site, stack): (SiteId, StackId),
    ) -> io::Result<()> {
        let ids = (future, parent, task);
        let has_begun = self.begun(at, ids, Group::AsyncTasks, (site, Values::default()))?;
        let mut arrow = None;
        if has_begun
            && let Some((_, Progress { stage: Stage::Unknown, woken, .. })) =
                self.tracks.progress(future)
        {
            arrow = Some(self.futures.arrow());
            *woken = arrow;
            self.stage_begin(future, at, Stage::Ready)?;
        }
        let heading = self.mark("spawn", site);
        let callstack = self.callstack(stack);
        let event = self.packets.event(EventType::Instant, self.track(lane));
        heading.put(event);
        event.callstack_iid = callstack;
        event.flow_ids.extend(arrow);
        put_number(event, &mut self.names, "future", future.0);
        self.send(lane, at)
    }

    /// What stands over a mark about a future of this call site: `wake fetch`.
    fn mark(&mut self, verb: &'static str, site: SiteId) -> Heading {
        if let Some(heading) = self.futures.marks.get(&(verb, site)) {
            return heading.clone();
        }
        let callsite = self.tables.callsite(site);
        let name = callsite.map_or(Life::Future(FutureId(0)).kind(), |site| site.name.as_str());
        let heading = self.names.heading(&format!("{verb} {name}"), OWN_CATEGORY);
        if callsite.is_some() {
            self.futures.marks.insert((verb, site), heading.clone());
        }
        heading
    }

    /// A mark on the thread that wakes a future: the async task it belongs to is ready from now on,
    /// if it was not before, and an arrow leads to its next poll.
    fn woken_up(
        &mut self,
        lane: usize,
        at: u64,
        future: FutureId,
        stack: StackId,
    ) -> io::Result<()> {
        let task = self.tracks.async_task(future);
        let arrow = match task {
            Some(task) => self.wake_task(task, at)?,
            None => None,
        };
        let named = task.and_then(|task| self.tracks.get(Life::Future(task)));
        let named = named.or_else(|| self.tracks.get(Life::Future(future)));
        let site = named.map_or(SiteId(0), |alive| alive.site);
        let heading = self.mark("wake", site);
        let callstack = self.callstack(stack);
        let event = self.packets.event(EventType::Instant, self.track(lane));
        heading.put(event);
        event.callstack_iid = callstack;
        event.flow_ids.extend(arrow);
        put_number(event, &mut self.names, "future", future.0);
        if let Some(task) = task.filter(|task| *task != future) {
            put_number(event, &mut self.names, "async task", task.0);
        }
        self.send(lane, at)
    }

    /// The arrow of a wake, if it is the first since the last poll began.
    fn wake_task(&mut self, task: FutureId, at: u64) -> io::Result<Option<u64>> {
        let stage = match self.tracks.progress(task) {
            Some((_, Progress { stage, woken: None, .. })) => *stage,
            _ => return Ok(None),
        };
        if !matches!(stage, Stage::Polled(_) | Stage::Ready) {
            self.stage_end(task, at, None)?;
            self.stage_begin(task, at, Stage::Ready)?;
        }
        let arrow = Some(self.futures.arrow());
        if let Some((_, progress)) = self.tracks.progress(task) {
            progress.woken = arrow;
        }
        Ok(arrow)
    }

    /// A future that is about to be polled has been ready since `at`, which nobody said before.
    fn was_ready(&mut self, future: FutureId, at: u64) -> io::Result<()> {
        match self.tracks.progress(future) {
            Some((_, Progress { woken: None, .. })) => {}
            _ => return Ok(()),
        }
        self.stage_end(future, at, None)?;
        self.stage_begin(future, at, Stage::Ready)
    }

    /// A mark on the future, which is lost.
    fn unwakeable(&mut self, lane: usize, at: u64, future: FutureId) -> io::Result<()> {
        self.settle(future)?;
        let heading = self.names.heading("nobody is left to wake it", OWN_CATEGORY);
        let (at, track) = match self.tracks.get_mut(Life::Future(future)) {
            Some(alive) => alive.row.stamp(at),
            None => (at, self.track(lane)),
        };
        let event = self.packets.event(EventType::Instant, track);
        heading.put(event);
        put_number(event, &mut self.names, "future", future.0);
        if track == self.track(lane) {
            return self.send(lane, at);
        }
        self.packets.send(at, &mut self.names.fresh)
    }

    /// A poll begins on a thread. Returns the arrow that leads to it.
    pub(super) fn poll_begins(
        &mut self,
        lane: usize,
        at: u64,
        future: FutureId,
    ) -> io::Result<Option<u64>> {
        let thread = self.lanes[lane].thread;
        let tables = self.tables;
        if self.tracks.get(Life::Future(future)).is_none() {
            match tables.futures.get(&future) {
                // How it began is lost.
                Some(state) => {
                    self.known(state)?;
                }
                None => self.futures.early.begin(future, at, thread),
            }
        }
        // What it did until now shows only as long as it counts as woken.
        self.stage_end(future, at, None)?;
        let around = self.lanes[lane].polled_around(future);
        let within = around.and_then(|around| self.tracks.async_task(around));
        let Some(alive) = self.tracks.get_mut(Life::Future(future)) else { return Ok(None) };
        let Some(progress) = &mut alive.progress else {
            alive.within = within;
            return Ok(None);
        };
        let arrow = progress.begin_poll();
        self.stage_begin(future, at, Stage::Polled(thread))?;
        Ok(arrow)
    }

    /// Polls on a thread have ended, in their turn or, as far as one can tell, before.
    pub(super) fn polls_end(&mut self, lane: usize, at: u64, is_known: bool) -> io::Result<()> {
        let mut over = std::mem::take(&mut self.lanes[lane].polls_over);
        let waits_at = std::mem::take(&mut self.lanes[lane].waits_at);
        for (last, future) in over.iter().rev().enumerate().rev() {
            // The end says where the one waits that it ends, and those inside ended with it.
            let waits_at = if last == 0 { waits_at } else { StackId(0) };
            self.poll_ends((lane, at), *future, waits_at, is_known)?;
        }
        over.clear();
        self.lanes[lane].polls_over = over;
        Ok(())
    }

    fn poll_ends(
        &mut self,
        (lane, at): (usize, u64),
        future: FutureId,
        waits_at: StackId,
        is_known: bool,
    ) -> io::Result<()> {
        let thread = self.lanes[lane].thread;
        let Some(alive) = self.tracks.get_mut(Life::Future(future)) else {
            self.futures.early.end(future, at, waits_at);
            return Ok(());
        };
        let within = alive.within;
        let Some(progress) = &mut alive.progress else {
            if let Some((_, progress)) = within.and_then(|task| self.tracks.progress(task)) {
                progress.awaits(waits_at);
            }
            return Ok(());
        };
        // Another thread polls it by now, so the end that was missing has been made up for.
        if progress.stage != Stage::Polled(thread) {
            return Ok(());
        }
        progress.end_poll(waits_at);
        self.stage_end(future, at, (!is_known).then_some(LOST))?;
        if let Some((row, progress)) = self.tracks.progress(future).filter(|_| is_known) {
            progress.stage = Stage::Over(row.stamp(at).0);
        }
        Ok(())
    }

    /// The slice of what an async task does begins. It must have none.
    fn stage_begin(&mut self, task: FutureId, at: u64, stage: Stage) -> io::Result<()> {
        let Some((row, progress)) = self.tracks.progress(task) else { return Ok(()) };
        progress.stage = stage;
        let waits_at = progress.waits_at;
        let (at, track) = row.stamp(at);
        let (name, waits_at) = match stage {
            Stage::Ready => ("ready", StackId(0)),
            Stage::Polled(_) => ("polled", StackId(0)),
            Stage::Idle => ("idle", waits_at),
            Stage::Unknown | Stage::Over(_) => return Ok(()),
        };
        let heading = self.names.heading(name, OWN_CATEGORY);
        let callstack = self.callstack(waits_at);
        let event = self.packets.event(EventType::SliceBegin, track);
        heading.put(event);
        event.callstack_iid = callstack;
        if let Some(place) = self.futures.place(waits_at) {
            put_word(event, &mut self.names, "waits at", &place);
        }
        if let Stage::Polled(thread) = stage {
            let thread = self.tables.thread_name(thread);
            put_word(event, &mut self.names, "thread", &thread);
        }
        self.totals.slices += 1;
        self.packets.send(at, &mut self.names.fresh)
    }

    /// The slice of what an async task did ends; one that was still to be begun is sent whole, if
    /// that took any time.
    fn stage_end(&mut self, task: FutureId, at: u64, how: Option<&str>) -> io::Result<()> {
        self.forget(task, |since| at <= since);
        self.settle(task)?;
        let Some((row, progress)) = self.tracks.progress(task) else { return Ok(()) };
        if std::mem::take(&mut progress.stage).has_slice() {
            let (at, track) = row.stamp(at);
            let event = self.packets.event(EventType::SliceEnd, track);
            if let Some(how) = how {
                put_word(event, &mut self.names, "ended", how);
            }
            self.packets.send(at, &mut self.names.fresh)?;
        }
        Ok(())
    }

    /// The last slice of what an async task did ends with the task: only one that was dropped did
    /// anything behind its last poll.
    pub(super) fn stage_last(
        &mut self,
        task: FutureId,
        at: u64,
        outcome: Outcome,
    ) -> io::Result<()> {
        self.forget(task, |_| outcome != Outcome::Dropped);
        self.stage_end(task, at, None)
    }

    /// What came after the last poll gets no slice, if it was nothing.
    fn forget(&mut self, task: FutureId, is_nothing: impl FnOnce(u64) -> bool) {
        if let Some((_, progress)) = self.tracks.progress(task)
            && let Stage::Over(since) = progress.stage
            && is_nothing(since)
        {
            progress.stage = Stage::Unknown;
        }
    }

    /// Begins the slice of what an async task did after its last poll, now that it shows: it was
    /// ready if it was woken in that poll.
    fn settle(&mut self, task: FutureId) -> io::Result<()> {
        let Some((_, &mut Progress { stage: Stage::Over(since), woken, .. })) =
            self.tracks.progress(task)
        else {
            return Ok(());
        };
        let stage = if woken.is_some() { Stage::Ready } else { Stage::Idle };
        self.stage_begin(task, since, stage)
    }
}
