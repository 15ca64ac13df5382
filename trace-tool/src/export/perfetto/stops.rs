//! When the whole process stood still: slices on tracks of their own, below the process; one for
//! stops, and one for suspended machines, as the one may lie in the other.

use std::io;

use trace_analysis::standstill::Standstill;
use trace_format::time::Nanos;

use super::annotate::put_number;
use super::convert::{Converter, OWN_CATEGORY};
use super::message::EventType;

impl Converter<'_, '_> {
    /// Sends them all, in one go: they are few.
    pub(super) fn standstills(&mut self, told: &[Standstill]) -> io::Result<()> {
        let (stopped, suspended): (Vec<_>, Vec<_>) =
            told.iter().partition(|it| it.suspended == Nanos(0));
        self.standstills_on("process stopped", "stopped", &stopped)?;
        self.standstills_on("machine suspended", "suspended at some time", &suspended)
    }

    fn standstills_on(&mut self, track: &str, name: &str, told: &[&Standstill]) -> io::Result<()> {
        if told.is_empty() {
            return Ok(());
        }
        let track = self.tracks.of_process(track, &mut self.packets)?;
        let origin = self.tables.clock.origin().monotonic.0;
        for it in told {
            let (from, to) = (origin.saturating_add(it.from.0), origin.saturating_add(it.to.0));
            let heading = self.names.heading(name, OWN_CATEGORY);
            let event = self.packets.event(EventType::SliceBegin, track);
            heading.put(event);
            if it.suspended > Nanos(0) {
                put_number(event, &mut self.names, "suspended_ns", it.suspended.0);
            }
            self.packets.send(from, &mut self.names.fresh)?;
            self.packets.event(EventType::SliceEnd, track);
            self.packets.send(to, &mut self.names.fresh)?;
            self.totals.slices += 1;
        }
        Ok(())
    }
}
