//! Ticks to nanoseconds: straight lines between clock snapshots. FORMAT.md, section 7, "Time".
//!
//! Whatever the snapshots say, converting never panics, and times never run backwards. Snapshots
//! that contradict those before them are left out and counted.

use std::cell::Cell;

use crate::time::{ClockKind, ClockSnapshot, Nanos, Ticks};

/// The clocks of a trace.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    kind: Option<ClockKind>,
    /// Strictly increasing in ticks, increasing in monotonic time.
    snapshots: Vec<ClockSnapshot>,
    /// Nanoseconds per tick behind each snapshot, in units of 2^-48; one for each.
    slopes: Vec<u128>,
    rejected: u64,
    /// Whether the first snapshot is made up.
    is_extended: bool,
}

/// Fraction bits of a slope: at 2^-48 an hour at 3 GHz is off by less than a tenth of a nanosecond.
const FRACTION_BITS: u32 = 48;
const ONE: u128 = 1 << FRACTION_BITS;

/// Shorter times between snapshots say more about reading the clocks than about the clocks.
const DRIFT_NANOS_MIN: u64 = 100_000_000;

impl Clock {
    /// Adds a snapshot. One that is not later than the last one on both clocks is left out.
    pub fn add(&mut self, snapshot: ClockSnapshot) {
        if let Some(last) = self.snapshots.last() {
            let later = snapshot.ticks > last.ticks && snapshot.monotonic > last.monotonic;
            if !later {
                self.rejected += 1;
                return;
            }
            let nanos = u128::from(snapshot.monotonic.0 - last.monotonic.0);
            let slope = (nanos << FRACTION_BITS) / u128::from(snapshot.ticks.0 - last.ticks.0);
            if let Some(own) = self.slopes.last_mut() {
                *own = slope;
            }
            self.slopes.push(slope);
        } else {
            self.slopes.push(ONE);
        }
        self.snapshots.push(snapshot);
    }

    pub(crate) fn set_kind(&mut self, kind: ClockKind) {
        self.kind = Some(kind);
    }

    /// Whether there is a snapshot.
    pub(crate) fn has_snapshot(&self) -> bool {
        !self.snapshots.is_empty()
    }

    /// The trace began then, and its first snapshots are missing: that is the zero, by the line
    /// behind the first that is there.
    pub(crate) fn begin_at(&mut self, ticks: Ticks) {
        let (Some(&first), Some(&slope)) = (self.snapshots.first(), self.slopes.first()) else {
            return;
        };
        let nanos = scale(first.ticks.0.saturating_sub(ticks.0), slope);
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
        let before = |at: Nanos| at.0.checked_sub(nanos).map(Nanos);
        if let (Some(monotonic), Some(wall)) = (before(first.monotonic), before(first.wall))
            && monotonic < first.monotonic
        {
            self.snapshots.insert(0, ClockSnapshot { ticks, monotonic, wall });
            self.slopes.insert(0, slope);
            self.is_extended = true;
        }
    }

    /// Whether nanoseconds are known: there are two snapshots, or the clock counts nanoseconds. If
    /// not, a tick counts as a nanosecond.
    #[must_use]
    pub fn is_known(&self) -> bool {
        let read = self.snapshots.len() - usize::from(self.is_extended);
        read >= 2 || self.kind == Some(ClockKind::Monotonic)
    }

    /// The first snapshot: the zero of [`Clock::nanos`].
    #[must_use]
    pub fn origin(&self) -> ClockSnapshot {
        self.snapshots.first().copied().unwrap_or_default()
    }

    /// The last snapshot that is not left out.
    #[must_use]
    pub fn last(&self) -> ClockSnapshot {
        self.snapshots.last().copied().unwrap_or_default()
    }

    /// Snapshots that contradicted the ones before them.
    #[must_use]
    pub fn rejected(&self) -> u64 {
        self.rejected
    }

    /// Nanoseconds since the first snapshot; 0 before it.
    #[must_use]
    pub fn nanos(&self, ticks: Ticks) -> Nanos {
        Nanos(u64::try_from(self.wide_nanos(ticks).max(0)).unwrap_or(u64::MAX))
    }

    /// Nanoseconds since the first snapshot, negative before it, saturating at the ends of `i64`.
    #[must_use]
    pub fn signed_nanos(&self, ticks: Ticks) -> i64 {
        let wide = self.wide_nanos(ticks);
        i64::try_from(wide).unwrap_or(if wide < 0 { i64::MIN } else { i64::MAX })
    }

    /// The nanoseconds of `duration` ticks from `at` on.
    #[must_use]
    pub fn duration(&self, at: Ticks, duration: Ticks) -> Nanos {
        let end = Ticks(at.0.saturating_add(duration.0));
        let nanos = self.wide_nanos(end) - self.wide_nanos(at);
        Nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The inverse of [`Clock::nanos`]: the first tick whose time is not before `nanos`, or the
    /// last tick of all.
    #[must_use]
    pub fn ticks(&self, nanos: Nanos) -> Ticks {
        let origin = self.origin();
        let at = self.snapshots.partition_point(|s| s.monotonic.0 - origin.monotonic.0 <= nanos.0);
        let at = at.saturating_sub(1);
        let base = self.snapshots.get(at).copied().unwrap_or_default();
        let rest = u128::from(nanos.0 - (base.monotonic.0 - origin.monotonic.0));
        let slope = self.slopes.get(at).copied().unwrap_or(ONE).max(1);
        let ticks = u128::from(base.ticks.0) + (rest << FRACTION_BITS).div_ceil(slope);
        // Rounding must not move it behind the snapshot that is already late enough.
        let next = self.snapshots.get(at + 1).map_or(u64::MAX, |snapshot| snapshot.ticks.0);
        Ticks(u64::try_from(ticks).unwrap_or(u64::MAX).min(next))
    }

    /// The wall clock, in nanoseconds since 1970: that of the snapshot before, plus the time since.
    #[must_use]
    pub fn wall(&self, ticks: Ticks) -> Nanos {
        let at = self.at(ticks);
        let base = self.snapshots.get(at).copied().unwrap_or_default();
        let since = self.wide_nanos(ticks) - self.wide_nanos(base.ticks);
        let wall = i128::from(base.wall.0) + since;
        Nanos(u64::try_from(wall.max(0)).unwrap_or(u64::MAX))
    }

    /// Ticks per second from the first snapshot to the last; 1e9 if unknown.
    #[must_use]
    pub fn frequency_hz(&self) -> f64 {
        match (self.snapshots.first(), self.snapshots.last()) {
            (Some(first), Some(last)) if first.ticks < last.ticks => frequency(first, last),
            _ => 1e9,
        }
    }

    /// The greatest deviation of the frequency between two snapshots from the mean, in parts per
    /// million. Times below 100 ms between snapshots do not count.
    #[must_use]
    pub fn drift_ppm(&self) -> f64 {
        let mean = self.frequency_hz();
        let pairs = self.snapshots.windows(2);
        let long = pairs.filter(|p| p[1].monotonic.0 - p[0].monotonic.0 >= DRIFT_NANOS_MIN);
        long.map(|p| ((frequency(&p[0], &p[1]) / mean - 1.0) * 1e6).abs()).fold(0.0, f64::max)
    }

    /// The snapshot whose line holds at `ticks`.
    #[inline]
    fn at(&self, ticks: Ticks) -> usize {
        self.snapshots.partition_point(|snapshot| snapshot.ticks <= ticks).saturating_sub(1)
    }

    /// Nanoseconds since the origin, of either sign; below 2^113.
    #[inline]
    fn wide_nanos(&self, ticks: Ticks) -> i128 {
        let at = self.at(ticks);
        let Some(base) = self.snapshots.get(at) else {
            return i128::from(ticks.0);
        };
        let (slope, start) = (self.slopes[at], base.monotonic.0 - self.snapshots[0].monotonic.0);
        if ticks >= base.ticks {
            i128::from(start) + scale(ticks.0 - base.ticks.0, slope)
        } else {
            -scale(base.ticks.0 - ticks.0, slope)
        }
    }
}

/// Converts times as [`Clock::nanos`] does, but faster if they are close to each other, as those of
/// a trace in order are: it remembers the line of the last one.
#[derive(Debug)]
pub struct ClockCursor<'c> {
    clock: &'c Clock,
    line: Cell<Segment>,
}

/// The straight line between two snapshots.
#[derive(Clone, Copy, Debug)]
struct Segment {
    from: u64,
    /// Exclusive.
    to: u64,
    /// Nanoseconds at `from`.
    start: u64,
    slope: u64,
}

impl<'c> ClockCursor<'c> {
    /// A cursor for a trace's clock.
    #[must_use]
    pub fn new(clock: &'c Clock) -> Self {
        // No time lies on this line.
        let line = Segment { from: 0, to: 0, start: 0, slope: 0 };
        Self { clock, line: Cell::new(line) }
    }

    /// Nanoseconds since the first snapshot; 0 before it.
    #[inline]
    pub fn nanos(&self, ticks: Ticks) -> Nanos {
        let Segment { from, to, start, slope } = self.line.get();
        if from <= ticks.0 && ticks.0 < to {
            let since = (u128::from(ticks.0 - from) * u128::from(slope)) >> FRACTION_BITS;
            return Nanos(start.saturating_add(u64::try_from(since).unwrap_or(u64::MAX)));
        }
        self.find(ticks)
    }

    #[cold]
    #[inline(never)]
    fn find(&self, ticks: Ticks) -> Nanos {
        let clock = self.clock;
        let at = clock.at(ticks);
        if let (Some(base), Some(&slope)) = (clock.snapshots.get(at), clock.slopes.get(at))
            && let Ok(slope) = u64::try_from(slope)
        {
            let to = clock.snapshots.get(at + 1).map_or(u64::MAX, |next| next.ticks.0);
            let start = base.monotonic.0 - clock.snapshots[0].monotonic.0;
            self.line.set(Segment { from: base.ticks.0, to, start, slope });
        }
        clock.nanos(ticks)
    }
}

/// `ticks` times `slope`. A slope is below 2^112, so the product may not fit: it saturates.
#[inline]
fn scale(ticks: u64, slope: u128) -> i128 {
    (u128::from(ticks).saturating_mul(slope) >> FRACTION_BITS) as i128
}

fn frequency(from: &ClockSnapshot, to: &ClockSnapshot) -> f64 {
    (to.ticks.0 - from.ticks.0) as f64 / (to.monotonic.0 - from.monotonic.0) as f64 * 1e9
}
