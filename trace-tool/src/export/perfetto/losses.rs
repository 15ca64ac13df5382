//! What is missing: events that were dropped, batches that can't be read, ends that never came.
//!
//! Elsewhere: which of a thread's slices end because of it (`lane`).

use std::io;

use trace_format::id::ThreadId;

use super::annotate::put_number;
use super::convert::{Converter, OWN_CATEGORY};
use super::lane::Lane;
use super::message::EventType;

/// How slices ended whose ends are missing.
pub(super) const LOST: &str = "earlier: its end is not in the trace";

impl Converter<'_, '_> {
    /// Batches of `thread` are missing before its next event.
    pub(super) fn gap(&mut self, thread: ThreadId) -> io::Result<()> {
        if thread.as_cpu().is_some() {
            return Ok(());
        }
        let lane = self.lane(thread)?;
        self.lanes[lane].mark_gap();
        Ok(())
    }

    /// Adds what threads lost at their ends: no event of theirs could say it any more.
    pub(super) fn last_losses(&mut self) -> io::Result<()> {
        let tables = self.tables;
        let ends = tables.threads.values().filter_map(|thread| Some((thread.id, thread.end?)));
        for (thread, end) in ends.filter(|(_, end)| end.dropped_events > 0 || end.dropped_ends > 0)
        {
            let lane = self.lane(thread)?;
            let (events, ends) = self.lanes[lane].lost;
            let events = end.dropped_events.saturating_sub(events);
            let ends = end.dropped_ends.saturating_sub(ends);
            if events > 0 || ends > 0 {
                let (from, to) = (self.lanes[lane].last, self.nanos(end.ticks));
                self.dropped(lane, from.max(to), (events, ends), (from, to))?;
            }
        }
        Ok(())
    }

    /// Events were lost here. A mark on the thread, and a slice on a track below it that says how
    /// long.
    pub(super) fn dropped(
        &mut self,
        lane: usize,
        at: u64,
        (events, ends): (u64, u64),
        (from, to): (u64, u64),
    ) -> io::Result<()> {
        let Lane { lost, .. } = &mut self.lanes[lane];
        *lost = (lost.0.saturating_add(events), lost.1.saturating_add(ends));
        self.totals.dropped_events = self.totals.dropped_events.saturating_add(events);
        self.totals.dropped_ends = self.totals.dropped_ends.saturating_add(ends);
        let here = self.lanes[lane].take_lost(ends);
        let slices = self.lanes[lane].pop_many(here);
        self.send_lost_ends(lane, to.min(at), slices)?;
        let (track, last) = match self.lanes[lane].drops {
            Some(drops) => drops,
            None => {
                let parent = self.lanes[lane].track;
                (self.tracks.child(parent, "EVENTS DROPPED", &mut self.packets)?, 0)
            }
        };
        // Their own track, so they may reach behind the begins that waited to be written.
        let from = from.max(last);
        let to = to.max(from);
        self.lanes[lane].drops = Some((track, to));
        let heading = self.names.heading("EVENTS DROPPED", OWN_CATEGORY);
        let own = self.lanes[lane].track;
        for (kind, track) in [(EventType::Instant, own), (EventType::SliceBegin, track)] {
            let event = self.packets.event(kind, track);
            heading.put(event);
            put_number(event, &mut self.names, "events", events);
            put_number(event, &mut self.names, "ends", ends);
            match kind {
                EventType::Instant => self.send(lane, at)?,
                _ => self.packets.send(from, &mut self.names.fresh)?,
            }
        }
        self.totals.slices += 1;
        self.packets.event(EventType::SliceEnd, track);
        self.packets.send(to, &mut self.names.fresh)
    }

    /// Ends slices whose true ends are not in the trace.
    pub(super) fn send_lost_ends(&mut self, lane: usize, at: u64, count: usize) -> io::Result<()> {
        self.send_ends(lane, at, count, LOST)?;
        if self.lanes[lane].polls_over.is_empty() {
            return Ok(());
        }
        self.polls_end(lane, at, false)
    }
}
