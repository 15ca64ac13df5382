//! Converts the times in the kernel's records to ticks of the events' clock.
//!
//! If the events' clock is the processor's counter, and the kernel says how it computes its own
//! times from that counter, the computation is inverted, exactly. Otherwise the kernel is asked for
//! times on `CLOCK_MONOTONIC`: these are ticks already, or lie on a line between two reads of both
//! clocks.

use std::path::Path;

use super::ring::Rate;
use crate::sys::clock;
use trace_format::time::{ClockKind, ClockSnapshot};

/// Minimum length of a line, except for the first. Its ends are precise to some ten nanoseconds,
/// and so is all between them and shortly behind.
const LINE_NS_MIN: u64 = 10_000_000;

/// How times are converted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Convert {
    way: Conversion,
    /// Nanoseconds by which this process's `CLOCK_MONOTONIC` is ahead of the kernel's own.
    offset: i64,
}

#[derive(Clone, Copy, Debug)]
enum Conversion {
    /// By inverting the kernel's computation.
    Rate(Rate),
    /// The kernel's times are ticks.
    Same,
    /// Along a line from the first read of both clocks to the last.
    Line(ClockSnapshot, ClockSnapshot),
}

impl Convert {
    /// The best conversion to this `clock` of events, with the kernel's `rate`, if it has one.
    ///
    /// # Errors
    /// The note for the trace: why the kernel's times can't be converted.
    pub(super) fn new(clock: ClockKind, rate: Option<Rate>) -> Result<Self, String> {
        let way = match (clock, rate) {
            (ClockKind::Monotonic, _) => Conversion::Same,
            (_, Some(rate)) => Conversion::Rate(rate),
            (_, None) => {
                let now = clock::snapshot();
                Conversion::Line(now, now)
            }
        };
        let offset = match way {
            // The counter is the same in all namespaces.
            Conversion::Rate(_) => 0,
            Conversion::Same | Conversion::Line(..) => own_offset()?,
        };
        Ok(Self { way, offset })
    }

    /// Whether it needs times on `CLOCK_MONOTONIC`.
    pub(super) fn wants_monotonic(&self) -> bool {
        !matches!(self.way, Conversion::Rate(_))
    }

    /// The note for the trace: how precise the times are.
    pub(super) fn how(&self) -> &'static str {
        match self.way {
            Conversion::Rate(_) => "times exact (the kernel tells the counter's rate)",
            Conversion::Same => "times on CLOCK_MONOTONIC, as the events'",
            Conversion::Line(..) => "times on CLOCK_MONOTONIC, to some ten nanoseconds",
        }
    }

    /// To be called just before the rings are read: their records are newer than the last read, and
    /// so lie between the ends of the line, or shortly behind.
    pub(super) fn look(&mut self) {
        if let Conversion::Line(first, last) = &mut self.way {
            if last.monotonic.0 - first.monotonic.0 >= LINE_NS_MIN {
                *first = *last;
            }
            *last = clock::snapshot();
        }
    }

    /// Ticks at a time in a record.
    pub(super) fn ticks(&self, time: u64) -> u64 {
        // Records have the time outside of a time namespace; the process reads the time inside.
        let inside = time.wrapping_add_signed(self.offset);
        match &self.way {
            Conversion::Rate(rate) => rate.ticks(time),
            Conversion::Same => inside,
            Conversion::Line(first, last) => {
                let nanos = i128::from(last.monotonic.0) - i128::from(first.monotonic.0);
                let ticks = i128::from(last.ticks.0) - i128::from(first.ticks.0);
                let since = i128::from(inside) - i128::from(first.monotonic.0);
                (i128::from(first.ticks.0) + since * ticks / nanos.max(1)) as u64
            }
        }
    }
}

/// The offset of the namespace that this process is in; 0 where there are no time namespaces.
fn own_offset() -> Result<i64, String> {
    let [own, of_children] = ["time", "time_for_children"]
        .map(|name| std::fs::read_link(format!("/proc/self/ns/{name}")).ok());
    let offsets = std::fs::read_to_string("/proc/self/timens_offsets").ok();
    offset_of(own.as_deref(), of_children.as_deref(), offsets.as_deref())
}

/// The same, from what the system says: the namespaces of this process and of its future children,
/// and the children's offsets.
fn offset_of(
    own: Option<&Path>,
    of_children: Option<&Path>,
    offsets: Option<&str>,
) -> Result<i64, String> {
    match (own, offsets) {
        (None, _) | (_, None) => Ok(0),
        (Some(_), Some(text)) if own == of_children => Ok(namespace_offset(text).unwrap_or(0)),
        _ => {
            let why = "the program's children will be in another time namespace than the program \
                       (unshare), and the system has the offset of the kernel's clock only for \
                       the children's: start the program inside its namespace";
            Err(why.to_owned())
        }
    }
}

/// The offset of `CLOCK_MONOTONIC` in `/proc/self/timens_offsets` (time_namespaces(7)), whose lines
/// have a clock, seconds and nanoseconds.
fn namespace_offset(text: &str) -> Option<i64> {
    let line = text.lines().find(|line| line.trim_start().starts_with("monotonic"))?;
    let mut numbers = line.split_whitespace().skip(1).map(|word| word.parse::<i64>().ok());
    let (seconds, nanos) = (numbers.next()??, numbers.next()??);
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

impl Rate {
    /// Inverts the kernel's `zero + ticks * mult / 2^shift`, split like that so that it fits 64
    /// bits. Of the ticks with this nanosecond it returns the first, or the one before.
    fn ticks(&self, time: u64) -> u64 {
        let (nanos, mult) = (time.wrapping_sub(self.zero), u64::from(self.mult));
        let (whole, rest) = (nanos / mult, nanos % mult);
        (whole << self.shift).wrapping_add((rest << self.shift) / mult)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trace_format::time::{Nanos, Ticks};

    /// perf_event_open(2), `time_zero`.
    fn kernel_time(rate: &Rate, ticks: u64) -> u64 {
        let (mult, mask) = (u64::from(rate.mult), (1 << rate.shift) - 1);
        let whole = (ticks >> rate.shift).wrapping_mul(mult);
        let rest = ((ticks & mask) * mult) >> rate.shift;
        rate.zero.wrapping_add(whole).wrapping_add(rest)
    }

    #[test]
    fn turning_the_kernels_time_round_is_good_to_its_nanosecond() {
        // Counters of 2.6 GHz and 24 MHz, and of 1 GHz with a zero that has wrapped.
        let rates = [(123, 413_000_000, 30), (0, 1_398_101_333, 25), (u64::MAX - 5, 1 << 31, 31)];
        for (zero, mult, shift) in rates {
            let rate = Rate { zero, mult, shift };
            let nanosecond = ((1_u64 << shift) / u64::from(mult)).max(1);
            let mut ticks = 1_u64;
            while ticks < 1 << 58 {
                let found = rate.ticks(kernel_time(&rate, ticks));
                assert!(found <= ticks && ticks - found <= nanosecond + 1, "{ticks}, {found}");
                ticks = ticks * 3 + 7;
            }
        }
    }

    #[test]
    fn an_offset_that_is_not_the_own_one_is_refused() {
        let [ours, theirs] = ["time:[1]", "time:[2]"].map(Path::new);
        let text = "monotonic 500 7\nboottime 500 0\n";
        assert_eq!(offset_of(Some(ours), Some(ours), Some(text)), Ok(500_000_000_007));
        assert!(offset_of(Some(ours), Some(theirs), Some(text)).is_err());
        // Kernels without them, and a /proc that is not there.
        assert_eq!(offset_of(None, None, None), Ok(0));
        assert_eq!(offset_of(Some(ours), Some(ours), None), Ok(0));
    }

    #[test]
    fn a_line_goes_through_its_looks_and_beyond() {
        let look = |ticks, monotonic| ClockSnapshot {
            ticks: Ticks(ticks),
            monotonic: Nanos(monotonic),
            wall: Nanos(0),
        };
        let way = Conversion::Line(look(1_000, 500), look(4_000, 1_500));
        let line = Convert { way, offset: 0 };
        assert_eq!(
            [400, 500, 1_000, 1_500, 2_000].map(|time| line.ticks(time)),
            [700, 1_000, 2_500, 4_000, 5_500]
        );
    }

    #[test]
    fn times_inside_a_namespace_are_ahead_by_its_offset() {
        let text = "monotonic      500000    7000\nboottime       500000         0\n";
        assert_eq!(namespace_offset(text), Some(500_000_000_007_000));
        assert_eq!(namespace_offset("monotonic -3 0"), Some(-3_000_000_000));
        assert_eq!(namespace_offset("boottime 1 2\n"), None);
        let convert = Convert { way: Conversion::Same, offset: -3_000 };
        assert_eq!(convert.ticks(10_000), 7_000);
    }
}
