//! Moments that may lie before the trace, and from sums of ticks to nanoseconds. Moments are
//! converted by `trace_format::read::Clock`; a sum has no place on the clock's lines, so it is
//! converted with the trace's mean frequency.

use trace_format::read::Clock;
use trace_format::time::{Nanos, Ticks};

/// When something began: in nanoseconds since the first clock snapshot, negative before it. What
/// was open when the trace began has its true begin all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub i64);

impl Moment {
    /// So many nanoseconds, less those that it is older.
    pub(crate) fn older(nanos: u64, by: u64) -> Self {
        Self(Self::from(Nanos(nanos)).0.saturating_sub_unsigned(by))
    }

    /// How long before `from` it is; 0 if it is not.
    pub(crate) fn before(self, from: u64) -> u64 {
        let older = Self::from(Nanos(from)).0.saturating_sub(self.0);
        older.max(0).unsigned_abs()
    }

    /// How long the trace had not begun yet; 0 from its begin on.
    #[must_use]
    pub fn before_trace(self) -> Nanos {
        Nanos(self.0.min(0).unsigned_abs())
    }

    /// In the trace: its begin, if it is before that.
    #[must_use]
    pub fn inside(self) -> Nanos {
        Nanos(self.0.max(0).unsigned_abs())
    }

    /// How long it was from here to `end`; 0 if that is before.
    #[must_use]
    pub fn until(self, end: Nanos) -> Nanos {
        Nanos(end.0.saturating_sub(self.inside().0).saturating_add(self.before_trace().0))
    }
}

impl From<Nanos> for Moment {
    fn from(nanos: Nanos) -> Self {
        Self(i64::try_from(nanos.0).unwrap_or(i64::MAX))
    }
}

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

    /// The same, wherever it lies.
    pub(crate) fn moment(&self, ticks: Ticks) -> Moment {
        Moment(self.clock.signed_nanos(ticks))
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
