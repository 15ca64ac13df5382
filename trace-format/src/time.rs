//! Ticks and nanoseconds, and the only way from one to the other.
//!
//! Events have raw clock ticks. The collector writes a clock snapshot at least every second, and a
//! reader interpolates between snapshots. So times are right even if the clock's frequency was
//! estimated wrongly, or drifts.

/// Raw units of the recording machine's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticks(pub u64);

/// Nanoseconds, since a stated origin or as a duration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub u64);

/// One moment, read on three clocks at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockSnapshot {
    /// On the clock that times events.
    pub ticks: Ticks,
    /// On the system's monotonic clock.
    pub monotonic: Nanos,
    /// Since 1970-01-01 00:00 UTC.
    pub wall: Nanos,
}

/// The clock that times events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClockKind {
    /// x86's time stamp counter, checked to be invariant.
    Tsc,
    /// aarch64's virtual counter.
    Cntvct,
    /// The system's monotonic clock; one tick is a nanosecond.
    #[default]
    Monotonic,
}

impl ClockKind {
    /// Every kind, in wire order.
    pub const ALL: [Self; 3] = [Self::Tsc, Self::Cntvct, Self::Monotonic];

    /// The byte on the wire.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        match self {
            Self::Tsc => 1,
            Self::Cntvct => 2,
            Self::Monotonic => 3,
        }
    }

    /// The inverse of [`ClockKind::to_byte`]; an unknown kind counts as [`ClockKind::Monotonic`].
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Tsc,
            2 => Self::Cntvct,
            _ => Self::Monotonic,
        }
    }

    /// The name people know.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tsc => "tsc",
            Self::Cntvct => "cntvct_el0",
            Self::Monotonic => "monotonic",
        }
    }
}
