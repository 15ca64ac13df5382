//! One event in, the packets it needs out.
//!
//! A complete region is one event at its begin, but its end has its own place in the order of
//! times: it waits in a heap, at most one per thread, until an event that is not earlier comes. So
//! packets are in the order of time, save those about what was noticed late.
//!
//! Elsewhere: what a thread has open (`lane`), tasks, futures and who has which track (`lives`,
//! `tracks`), arguments (`annotate`), numbers for names (`intern`), bytes (`packet`).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;

use trace_analysis::symbols::Symbols;
use trace_format::event::{Event, EventKind, Outcome};
use trace_format::id::{CallId, Open, SiteId, StackId, ThreadId};
use trace_format::read::{Tables, ThreadState, Timed};
use trace_format::time::Ticks;
use trace_format::value::Values;

use super::Totals;
use super::annotate::{put_number, put_outcome, put_values, put_word};
use super::cpus::Cpus;
use super::futures::Futures;
use super::heap::Snapshots;
use super::intern::{Heading, Interner};
use super::lane::{Lane, Popped};
use super::message::{EventType, TrackEvent};
use super::packet::Packets;
use super::stacks::Stacks;
use super::tracks::{Life, Tracks};
use super::wakes::Wakes;
use crate::places::Places;

/// A region that ended on another thread is looked for on so many threads.
const SEARCHED_LANES_MAX: usize = 1024;
/// So many threads' lanes are found at once; a power of two.
const RECENT_MAX: usize = 64;
/// The category of what the exporter has to say itself.
pub(super) const OWN_CATEGORY: &str = "exectrace";
// How slices ended that were not ended in their turn.
const ENDED_ELSEWHERE: &str = "on another thread";
const HELD: &str = "with the poll around it: held across an await, goes on below the future";
const MISNESTED: &str = "with the one around it: mis-nested";

/// All state of an export.
#[derive(Debug)]
pub(super) struct Converter<'t, 'w> {
    pub(super) tables: &'t Tables,
    pub(super) packets: Packets<'w>,
    pub(super) names: Interner<'t>,
    pub(super) tracks: Tracks,
    pub(super) totals: Totals,
    pub(super) stacks: Stacks<'t>,
    pub(super) wakes: Wakes,
    pub(super) futures: Futures<'t>,
    /// What stands over waits, by their call and stack.
    pub(super) waits: HashMap<(CallId, StackId), Heading>,
    pub(super) cpus: Cpus,
    pub(super) heap: Snapshots<'t>,
    pub(super) lanes: Vec<Lane>,
    lane_by_thread: HashMap<ThreadId, usize>,
    /// Lanes found lately, by the low bits of the thread's id: a hash a time would be felt.
    recent: [Option<(ThreadId, usize)>; RECENT_MAX],
    /// Ends of complete regions that are still to be sent: when, on which lane.
    ends: BinaryHeap<Reverse<(u64, usize)>>,
}

impl<'t, 'w> Converter<'t, 'w> {
    /// Describes the process.
    pub(super) fn begin(
        tables: &'t Tables,
        symbols: &'t Symbols,
        mut packets: Packets<'w>,
    ) -> io::Result<Self> {
        let tracks = Tracks::begin(tables, &mut packets)?;
        let mut converter = Self {
            tables,
            packets,
            names: Interner::new(tables),
            tracks,
            totals: Totals::default(),
            stacks: Stacks::new(tables, symbols),
            wakes: Wakes::default(),
            futures: Futures::new(Places::new(tables, symbols)),
            waits: HashMap::new(),
            cpus: Cpus::new(tables),
            heap: Snapshots::new(tables),
            lanes: Vec::new(),
            lane_by_thread: HashMap::new(),
            recent: [None; RECENT_MAX],
            ends: BinaryHeap::new(),
        };
        converter.begin_futures()?;
        Ok(converter)
    }

    /// Sends what one event needs.
    pub(super) fn event(&mut self, timed: &Timed<'_>) -> io::Result<()> {
        let Timed { thread, event } = *timed;
        let at = self.nanos(event.ticks);
        self.end_until(at)?;
        if self.heap.is_due(event.ticks) {
            self.heap_until(event.ticks)?;
        }
        if let Some(cpu) = thread.as_cpu() {
            return self.cpu_event(cpu, &event);
        }
        let lane = self.lane(thread)?;
        // Only times that run backwards leave an end behind here; pairing goes before time.
        if self.lanes[lane].ending.is_some() {
            self.send_ending(lane)?;
        }
        self.lanes[lane].waits_at = StackId(0);
        if let EventKind::Reopen { open, since } = event.kind {
            return self.reopen(lane, open, before(event.ticks, since));
        }
        let unnamed = self.lanes[lane].settle_front();
        self.send_lost_ends(lane, at, unnamed)?;
        self.totals.events += 1;
        self.dispatch(lane, at, &event)
    }

    fn dispatch(&mut self, lane: usize, at: u64, event: &Event<'_>) -> io::Result<()> {
        let ticks = event.ticks;
        let begin = (ticks, at);
        match event.kind {
            EventKind::Region { site, duration, values } => {
                self.complete(lane, begin, Open::Region(site), duration, values)
            }
            EventKind::RegionBegin { site, values } => {
                self.open(lane, begin, Open::Region(site), values)
            }
            EventKind::Poll { future, duration, waits_at } => {
                self.lanes[lane].waits_at = waits_at;
                self.complete(lane, begin, Open::Poll(future), duration, Values::default())
            }
            EventKind::PollBegin { future } => {
                self.open(lane, begin, Open::Poll(future), Values::default())
            }
            EventKind::TaskRun { task, duration } => {
                self.complete(lane, begin, Open::Task(task), duration, Values::default())
            }
            EventKind::TaskRunBegin { task } => {
                self.open(lane, begin, Open::Task(task), Values::default())
            }
            EventKind::Call { call, result, duration } => {
                self.call_complete(lane, begin, call, (result, duration))
            }
            EventKind::CallBegin { call } => {
                self.open(lane, begin, Open::Call(call), Values::default())
            }
            EventKind::EndCall { result } => self.end_call(lane, at, result),
            EventKind::EndPoll { waits_at } => {
                self.lanes[lane].waits_at = waits_at;
                self.end(lane, at, None)
            }
            EventKind::End => self.end(lane, at, None),
            EventKind::EndValue { outcome, values } => self.end(lane, at, Some((outcome, values))),
            EventKind::EndDetached { open, since } => {
                self.end_detached(lane, at, open, before(ticks, since))
            }
            EventKind::Dropped { events, ends, from, to } => {
                self.dropped(lane, at, (events, ends), (self.nanos(from), self.nanos(to)))
            }
            _ => self.other(lane, begin, &event.kind),
        }
    }

    /// Takes over what a thread had open at the end: also what has begun, but whose begin was not
    /// written yet. `state` must be later than all of the thread's events.
    pub(super) fn last_state(&mut self, state: &ThreadState, ticks: Ticks) -> io::Result<()> {
        let lane = self.lane(state.id)?;
        self.lanes[lane].begin_front();
        for open in &state.open {
            self.reopen(lane, open.open, open.begin)?;
        }
        let unnamed = self.lanes[lane].settle_front();
        self.send_lost_ends(lane, self.nanos(ticks), unnamed)
    }

    /// Sends what is left and writes everything out.
    pub(super) fn finish(mut self) -> io::Result<Totals> {
        self.end_until(u64::MAX)?;
        self.heap_until(Ticks(u64::MAX))?;
        self.finish_futures()?;
        let open: usize = self.lanes.iter().map(Lane::slices_open).sum();
        self.totals.unfinished = (open + self.tracks.slices_open()) as u64;
        (self.totals.packets, self.totals.bytes) = self.packets.finish()?;
        Ok(self.totals)
    }

    /// Nanoseconds on the monotonic clock.
    pub(super) fn nanos(&self, ticks: Ticks) -> u64 {
        let clock = &self.tables.clock;
        clock.origin().monotonic.0.saturating_add_signed(clock.signed_nanos(ticks))
    }

    #[inline]
    pub(super) fn lane(&mut self, thread: ThreadId) -> io::Result<usize> {
        match self.recent[thread.0 as usize % RECENT_MAX] {
            Some((recent, lane)) if recent == thread => Ok(lane),
            _ => self.find_lane(thread),
        }
    }

    fn find_lane(&mut self, thread: ThreadId) -> io::Result<usize> {
        let lane = match self.lane_by_thread.get(&thread) {
            Some(&lane) => lane,
            None => {
                let os_id = self.tables.threads.get(&thread).map_or(0, |thread| thread.os_id);
                let name = self.tables.thread_name(thread);
                let track = self.tracks.thread(&name, os_id, &mut self.packets)?;
                self.lanes.push(Lane::new(thread, track));
                self.lane_by_thread.insert(thread, self.lanes.len() - 1);
                self.lanes.len() - 1
            }
        };
        self.recent[thread.0 as usize % RECENT_MAX] = Some((thread, lane));
        Ok(lane)
    }

    /// Sends the ends of complete regions that are not later than `at`.
    #[inline]
    fn end_until(&mut self, at: u64) -> io::Result<()> {
        while let Some(&Reverse((end, lane))) = self.ends.peek()
            && end <= at
        {
            self.ends.pop();
            // Not so if it was sent already, out of turn.
            if self.lanes[lane].ending == Some(end) {
                self.send_ending(lane)?;
            }
        }
        Ok(())
    }

    fn send_ending(&mut self, lane: usize) -> io::Result<()> {
        let end = self.lanes[lane].ending.take().unwrap_or(0);
        if self.lanes[lane].wait.is_some() {
            self.woken(lane, end)?;
        }
        self.send_plain_end(lane, end)?;
        match self.lanes[lane].poll.take() {
            Some(future) => {
                self.lanes[lane].polls_over.push(future);
                self.polls_end(lane, end, true)
            }
            None => Ok(()),
        }
    }

    fn complete(
        &mut self,
        lane: usize,
        (begin, at): (Ticks, u64),
        open: Open,
        duration: Ticks,
        values: Values<'_>,
    ) -> io::Result<()> {
        let end = Ticks(begin.0.saturating_add(duration.0));
        if !self.lanes[lane].has_room() {
            self.totals.hidden += 1;
            return Ok(());
        }
        self.send_begin(lane, at, open, values)?;
        if let Open::Poll(future) = open {
            self.lanes[lane].poll = Some(future);
        }
        let end = self.nanos(end);
        self.end_later(lane, end);
        Ok(())
    }

    /// What was begun last on a lane is complete: its end is sent in its turn.
    pub(super) fn end_later(&mut self, lane: usize, end: u64) {
        self.lanes[lane].ending = Some(end);
        self.ends.push(Reverse((end, lane)));
    }

    fn open(
        &mut self,
        lane: usize,
        (begin, at): (Ticks, u64),
        open: Open,
        values: Values<'_>,
    ) -> io::Result<()> {
        if self.lanes[lane].push(open, begin) {
            return self.send_begin(lane, at, open, values);
        }
        self.totals.hidden += 1;
        Ok(())
    }

    fn send_begin(
        &mut self,
        lane: usize,
        at: u64,
        open: Open,
        values: Values<'_>,
    ) -> io::Result<()> {
        self.totals.slices += 1;
        match open {
            Open::Region(site) if values.as_bytes().is_empty() => {
                let (at, track) = self.stamp(lane, at);
                let alike = (track, Some(site));
                if self.packets.send_alike(at, alike)? {
                    return Ok(());
                }
                let event = self.packets.event(EventType::SliceBegin, track);
                self.names.site(site).heading.put(event);
                return self.packets.send_and_keep(at, alike, &mut self.names.fresh);
            }
            Open::Region(site) => {
                let callstack = values.stack().and_then(|stack| self.callstack(stack));
                let event = self.packets.event(EventType::SliceBegin, self.lanes[lane].track);
                self.names.site(site).heading.put(event);
                event.callstack_iid = callstack;
                put_values(event, &mut self.names, site, values);
            }
            Open::Call(made) => self.fill_call(lane, at, made, None),
            Open::Poll(future) => {
                let arrow = self.poll_begins(lane, at, future)?;
                self.fill_run(lane, open, arrow);
            }
            Open::Task(_) => self.fill_run(lane, open, None),
        }
        self.send(lane, at)
    }

    /// A poll of a future, or a stretch of work for a task: tied to its life by a flow, and by
    /// `arrow` to what led to it.
    fn fill_run(&mut self, lane: usize, open: Open, arrow: Option<u64>) {
        let heading = self.heading(open);
        let event = self.packets.event(EventType::SliceBegin, self.lanes[lane].track);
        heading.put(event);
        match open {
            Open::Poll(future) => {
                event.flow_ids.push(Life::Future(future).flow());
                event.flow_ids.extend(arrow);
                put_number(event, &mut self.names, "future", future.0);
            }
            Open::Task(task) => {
                event.flow_ids.push(Life::Task(task).flow());
                event.correlation_id = Some(task.0);
                put_number(event, &mut self.names, "task", task.0);
            }
            Open::Region(_) | Open::Call(_) => {}
        }
    }

    fn end(
        &mut self,
        lane: usize,
        at: u64,
        result: Option<(Outcome, Values<'_>)>,
    ) -> io::Result<()> {
        let put = |event: &mut TrackEvent, names: &mut Interner<'_>| {
            if let Some((outcome, values)) = result {
                put_outcome(event, names, outcome, values);
            }
        };
        self.end_with(lane, at, result.is_some().then_some(put))
    }

    /// What was opened last ends; `put`, if given, says how.
    pub(super) fn end_with(
        &mut self,
        lane: usize,
        at: u64,
        put: Option<impl FnOnce(&mut TrackEvent, &mut Interner<'_>)>,
    ) -> io::Result<()> {
        let (own, below) = match self.lanes[lane].pop() {
            Popped::Ended { own, below } => (own, below),
            Popped::Nothing => return self.end_without_begin(lane, at),
            Popped::Unknown => return Ok(()),
        };
        match put.filter(|_| own) {
            Some(put) => {
                let event = self.packets.event(EventType::SliceEnd, self.lanes[lane].track);
                put(event, &mut self.names);
                self.send(lane, at)?;
            }
            None if own => self.send_plain_end(lane, at)?,
            None => {}
        }
        if !self.lanes[lane].polls_over.is_empty() {
            self.polls_end(lane, at, true)?;
        }
        self.send_ends(lane, at, below, ENDED_ELSEWHERE)
    }

    fn end_without_begin(&mut self, lane: usize, at: u64) -> io::Result<()> {
        self.totals.misnested += 1;
        let heading = self.names.heading("end without begin", OWN_CATEGORY);
        heading.put(self.packets.event(EventType::Instant, self.lanes[lane].track));
        self.send(lane, at)
    }

    /// Something that is not the innermost ended. If it is open here, all above it ended with it;
    /// or it is a region held across an await, or it was begun on another thread.
    fn end_detached(&mut self, lane: usize, at: u64, open: Open, begin: Ticks) -> io::Result<()> {
        if let Some(above) = self.lanes[lane].above(open, begin) {
            let is_held = match open {
                Open::Poll(future) => self.hold(lane, above, future)?,
                _ => false,
            };
            self.totals.misnested += u64::from(!is_held);
            if !is_held {
                self.lanes[lane].note_cut(above);
            }
            let slices = self.lanes[lane].pop_many(above);
            self.send_ends(lane, at, slices, if is_held { HELD } else { MISNESTED })?;
            return self.end(lane, at, None);
        }
        if let (Some(future), Open::Region(site)) = (self.lanes[lane].polled(), open)
            && let Some((ends, row)) = self.tracks.release(future, site, begin)
        {
            let stamp = row.stamp(at);
            return self.send_held_ends(stamp, ends);
        }
        if self.lanes[lane].take_cut(open, begin) {
            return self.mark_end(
                lane,
                at,
                open,
                begin,
                "here: what was around it had ended first",
            );
        }
        self.end_elsewhere(lane, at, open, begin)
    }

    /// Something ended that was not begun here, as far as the trace says.
    fn end_elsewhere(&mut self, lane: usize, at: u64, open: Open, begin: Ticks) -> io::Result<()> {
        self.totals.misnested += 1;
        let others = 0..self.lanes.len().min(SEARCHED_LANES_MAX);
        let found = others.into_iter().find(|&at| self.lanes[at].above(open, begin).is_some());
        if let Some(other) = found {
            if self.lanes[other].ending.is_some() {
                // What is complete there ends inside, whatever its time.
                self.send_ending(other)?;
            }
            let slices = self.lanes[other].end_elsewhere(open, begin);
            self.send_ends(other, at, slices, ENDED_ELSEWHERE)?;
        }
        self.mark_end(lane, at, open, begin, "here: begun elsewhere, or in a gap")
    }

    /// A mark where something ended that has no slice here.
    fn mark_end(
        &mut self,
        lane: usize,
        at: u64,
        open: Open,
        begin: Ticks,
        how: &'static str,
    ) -> io::Result<()> {
        let heading = self.heading(open);
        let duration = at.saturating_sub(self.nanos(begin));
        let event = self.packets.event(EventType::Instant, self.lanes[lane].track);
        heading.put(event);
        put_word(event, &mut self.names, "ended", how);
        put_number(event, &mut self.names, "duration_ns", duration);
        self.send(lane, at)
    }

    /// A restated batch says that something is open.
    fn reopen(&mut self, lane: usize, open: Open, begin: Ticks) -> io::Result<()> {
        let (ended, begins) = self.lanes[lane].restate(open, begin);
        let begin = self.nanos(begin);
        self.send_lost_ends(lane, begin, ended)?;
        if begins { self.send_begin(lane, begin, open, Values::default()) } else { Ok(()) }
    }

    /// Ends the innermost slice, with nothing to say.
    fn send_plain_end(&mut self, lane: usize, at: u64) -> io::Result<()> {
        let (at, track) = self.stamp(lane, at);
        if self.packets.send_alike(at, (track, None))? {
            return Ok(());
        }
        self.packets.event(EventType::SliceEnd, track);
        self.packets.send_and_keep(at, (track, None), &mut self.names.fresh)
    }

    /// Ends the innermost `count` slices, whose true ends are `how`.
    pub(super) fn send_ends(
        &mut self,
        lane: usize,
        at: u64,
        count: usize,
        how: &str,
    ) -> io::Result<()> {
        for _ in 0..count {
            let event = self.packets.event(EventType::SliceEnd, self.lanes[lane].track);
            put_word(event, &mut self.names, "ended", how);
            self.send(lane, at)?;
        }
        Ok(())
    }

    /// What stands over the slices of something.
    fn heading(&mut self, open: Open) -> Heading {
        let life = match open {
            Open::Region(site) => return self.names.site(site).heading.clone(),
            Open::Call(made) => return self.call_heading(made),
            Open::Poll(future) => Life::Future(future),
            Open::Task(task) => Life::Task(task),
        };
        match self.tracks.get(life) {
            Some(alive) => alive.heading.clone(),
            None => self.names.heading(life.kind(), life.kind()),
        }
    }

    /// Sends the event on a thread's track, not before what was sent there last.
    #[inline]
    pub(super) fn send(&mut self, lane: usize, at: u64) -> io::Result<()> {
        let (at, _) = self.stamp(lane, at);
        self.packets.send(at, &mut self.names.fresh)
    }

    /// The time of the next packet on a thread's track, and the track.
    #[inline]
    fn stamp(&mut self, lane: usize, at: u64) -> (u64, u64) {
        let lane = &mut self.lanes[lane];
        lane.last = lane.last.max(at);
        (lane.last, lane.track)
    }

    /// The track of a lane.
    pub(super) fn track(&self, lane: usize) -> u64 {
        self.lanes[lane].track
    }

    /// The regions among the innermost `count` things on a lane, outermost first.
    pub(super) fn regions_above(
        &self,
        lane: usize,
        count: u64,
    ) -> impl Iterator<Item = (SiteId, Ticks)> {
        self.lanes[lane].regions_above(count)
    }
}

/// When something began that had lasted for `since`.
pub(super) fn before(ticks: Ticks, since: Ticks) -> Ticks {
    Ticks(ticks.0.saturating_sub(since.0))
}
