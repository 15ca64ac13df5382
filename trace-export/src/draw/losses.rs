//! Lost events: an instant on the thread, and a slice on a track below it that shows how long
//! events were lost.

use trace_analysis::timeline::{Loss, Who};

use super::rows::Row;
use super::{Drawing, OWN_CATEGORY};
use crate::scene::{Detail, Label, Mark, Scene, TrackKind};

const LABEL: Label<'_> = Label::Name("EVENTS DROPPED", OWN_CATEGORY);

impl<S: Scene> Drawing<'_, '_, S> {
    pub(super) fn dropped(&mut self, who: Who, at: u64, loss: &Loss) {
        let Loss { events, ends, .. } = *loss;
        self.totals.dropped_events = self.totals.dropped_events.saturating_add(events);
        self.totals.dropped_ends = self.totals.dropped_ends.saturating_add(ends);
        let details = [Detail::Number("events", events), Detail::Number("ends", ends)];
        let mark = Mark::new(LABEL).with(&details);
        self.instant(who, at, &mark);
        let parent = self.thread(who).track;
        let mut row = match self.thread(who).losses {
            Some(row) => row,
            None => Row::new(self.scene.track(Some(parent), "EVENTS DROPPED", TrackKind::Row)),
        };
        // On a track of their own, because they may begin before begins that are drawn later.
        let (from, to) = (self.time(loss.from), self.time(loss.to));
        let (track, from) = row.stamp(from);
        self.scene.begin(track, from, &mark);
        self.totals.slices += 1;
        let (track, to) = row.stamp(to);
        self.scene.end(track, to, &[]);
        self.thread(who).losses = Some(row);
    }
}
