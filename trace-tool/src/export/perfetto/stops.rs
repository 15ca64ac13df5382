//! When the whole process stood still: slices on a track of its own, below the process.

use std::io;

use trace_analysis::standstill::Standstill;
use trace_format::time::Nanos;

use super::annotate::put_number;
use super::convert::{Converter, OWN_CATEGORY};
use super::message::EventType;

impl Converter<'_, '_> {
    /// Sends them all, in one go: they are few.
    pub(super) fn standstills(&mut self, told: &[Standstill]) -> io::Result<()> {
        if told.is_empty() {
            return Ok(());
        }
        let track = self.tracks.of_process("process stopped", &mut self.packets)?;
        let origin = self.tables.clock.origin().monotonic.0;
        for it in told {
            let (from, to) = (origin.saturating_add(it.from.0), origin.saturating_add(it.to.0));
            let (name, suspended) = match it.suspended {
                Nanos(0) => ("stopped", None),
                nanos => ("machine suspended, at some time", Some(nanos.0)),
            };
            let heading = self.names.heading(name, OWN_CATEGORY);
            let event = self.packets.event(EventType::SliceBegin, track);
            heading.put(event);
            if let Some(nanos) = suspended {
                put_number(event, &mut self.names, "suspended_ns", nanos);
            }
            self.packets.send(from, &mut self.names.fresh)?;
            self.packets.event(EventType::SliceEnd, track);
            self.packets.send(to, &mut self.names.fresh)?;
            self.totals.slices += 1;
        }
        Ok(())
    }
}
