//! From sums of ticks to nanoseconds. Moments are converted by `trace_format::read::Clock`; a sum
//! has no place on the clock's lines, so it is converted with the trace's mean frequency.

use trace_format::read::Clock;
use trace_format::time::{Nanos, Ticks};

/// One trace's conversions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale<'c> {
    clock: &'c Clock,
    nanos_per_tick: f64,
}

impl<'c> Scale<'c> {
    pub(crate) fn new(clock: &'c Clock) -> Self {
        let nanos_per_tick = 1e9 / clock.frequency_hz();
        let sane = nanos_per_tick.is_finite() && nanos_per_tick > 0.0;
        Self { clock, nanos_per_tick: if sane { nanos_per_tick } else { 1.0 } }
    }

    /// Since the first clock snapshot.
    pub(crate) fn nanos(&self, ticks: Ticks) -> Nanos {
        self.clock.nanos(ticks)
    }

    /// Of a duration, or a sum of durations.
    pub(crate) fn duration(&self, ticks: Ticks) -> Nanos {
        Nanos((ticks.0 as f64 * self.nanos_per_tick).round() as u64)
    }

    /// Of `sum / count`; 0 of nothing.
    pub(crate) fn mean(&self, sum: u64, count: u64) -> Nanos {
        if count == 0 {
            return Nanos(0);
        }
        Nanos((sum as f64 * self.nanos_per_tick / count as f64).round() as u64)
    }

    pub(crate) fn nanos_per_tick(&self) -> f64 {
        self.nanos_per_tick
    }
}
