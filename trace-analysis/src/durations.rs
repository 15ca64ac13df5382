//! How long the regions of one call site took: counts per duration, at a few nanoseconds each.
//!
//! Durations are counted in ticks, in slots whose width is at most a thousandth of what they hold,
//! and become nanoseconds (and an `hdrhistogram`) once, at the end. `hdrhistogram` itself counts in
//! the same way, but its table begins at one and reaches to the longest value, 170 KB for a second
//! of ticks; this one covers only the octaves that occur, and none for the rare sites.

use hdrhistogram::Histogram;
use trace_format::time::Nanos;

/// Values below this stand for themselves; above, each octave has half as many slots.
const LINEAR: u64 = 2048;
const LINEAR_BITS: u32 = LINEAR.trailing_zeros();
const OCTAVE_SLOTS: usize = LINEAR as usize / 2;

/// So many values are kept as they are before slots are worth their memory.
const FEW_MAX: usize = 512;

/// Absurd durations count as this, 292 years: `hdrhistogram` refuses more.
const NANOS_MAX: u64 = i64::MAX as u64;

/// Memory for slots that all call sites of one reader share, in bytes. A site that finds it used
/// up keeps every second of its values, then every fourth, and so on: percentiles of a sample.
pub(crate) const SLOT_BYTES_MAX: usize = 64 << 20;

/// What is left of [`SLOT_BYTES_MAX`].
#[derive(Debug)]
pub(crate) struct Budget {
    bytes: usize,
}

impl Budget {
    pub(crate) const fn new(bytes: usize) -> Self {
        Self { bytes }
    }

    fn take(&mut self, slots: usize) -> bool {
        let bytes = slots * size_of::<u64>();
        let enough = bytes <= self.bytes;
        if enough {
            self.bytes -= bytes;
        }
        enough
    }
}

/// The durations of one call site.
#[derive(Clone, Debug, Default)]
pub(crate) struct Durations {
    /// The number of the slot that `counts[0]` is.
    first: usize,
    /// Empty while `few` serves.
    counts: Vec<u64>,
    few: Vec<u64>,
    /// `few` holds every value whose number is a multiple of `1 << skip`.
    skip: u32,
    seen: u64,
}

impl Durations {
    /// Counts one value.
    #[inline(always)]
    pub(crate) fn record(&mut self, ticks: u64, budget: &mut Budget) {
        let at = slot(ticks).wrapping_sub(self.first);
        match self.counts.get_mut(at) {
            Some(count) => *count += 1,
            None => self.record_rare(ticks, budget),
        }
    }

    #[cold]
    #[inline(never)]
    fn record_rare(&mut self, ticks: u64, budget: &mut Budget) {
        if self.counts.is_empty() {
            self.record_few(ticks, budget);
            return;
        }
        self.cover(slot(ticks), budget);
        let at = self.nearest(ticks);
        self.counts[at] += 1;
    }

    /// Where to count `ticks`: its own slot, or the outermost one if there is no memory for that
    /// (the exact maximum is kept elsewhere).
    fn nearest(&self, ticks: u64) -> usize {
        slot(ticks).saturating_sub(self.first).min(self.counts.len() - 1)
    }

    fn record_few(&mut self, ticks: u64, budget: &mut Budget) {
        let number = self.seen;
        self.seen += 1;
        if number & ((1 << self.skip) - 1) == 0 {
            self.push_few(ticks, budget);
        }
    }

    fn push_few(&mut self, ticks: u64, budget: &mut Budget) {
        self.few.push(ticks);
        if self.few.len() >= FEW_MAX && !(self.skip == 0 && self.spread(budget)) {
            self.halve();
        }
    }

    /// Keeps every second value from here on.
    fn halve(&mut self) {
        let mut at = 0;
        self.few.retain(|_| {
            at += 1;
            at % 2 == 1
        });
        self.skip += 1;
    }

    /// Moves the few into slots; `false` if there is no memory for them.
    fn spread(&mut self, budget: &mut Budget) -> bool {
        let least = self.few.iter().copied().min().unwrap_or(0);
        let most = self.few.iter().copied().max().unwrap_or(0);
        self.first = slot(least) / OCTAVE_SLOTS * OCTAVE_SLOTS;
        if !self.cover(slot(most), budget) {
            self.first = 0;
            return false;
        }
        for ticks in std::mem::take(&mut self.few) {
            self.counts[slot(ticks) - self.first] += 1;
        }
        true
    }

    /// Grows the slots, in whole octaves, until `slot` is among them.
    fn cover(&mut self, slot: usize, budget: &mut Budget) -> bool {
        let octave = slot / OCTAVE_SLOTS * OCTAVE_SLOTS;
        if octave < self.first {
            let more = self.first - octave;
            if !budget.take(more) {
                return false;
            }
            self.counts.splice(0..0, std::iter::repeat_n(0, more));
            self.first = octave;
        }
        let end = octave + OCTAVE_SLOTS - self.first;
        if let Some(more) = end.checked_sub(self.counts.len()) {
            if !budget.take(more) {
                return false;
            }
            self.counts.resize(end, 0);
        }
        true
    }

    /// Adds what another reader counted for the same call site.
    pub(crate) fn merge(&mut self, mut other: Self, budget: &mut Budget) {
        if self.counts.is_empty() {
            std::mem::swap(self, &mut other);
        }
        if self.counts.is_empty() {
            self.merge_few(&other, budget);
            return;
        }
        let few = other.few.iter().map(|&ticks| (ticks, 1 << other.skip));
        let counted = other.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        let counted = counted.map(|(at, &count)| (middle(at + other.first), count));
        for (ticks, count) in few.chain(counted) {
            self.cover(slot(ticks), budget);
            let at = self.nearest(ticks);
            self.counts[at] += count;
        }
    }

    /// Both hold values as they are: every so many of each, in the same measure.
    fn merge_few(&mut self, other: &Self, budget: &mut Budget) {
        while self.skip < other.skip {
            self.halve();
        }
        let step = 1 << (self.skip - other.skip);
        for &ticks in other.few.iter().step_by(step) {
            // The first to fill the list may have moved it into slots.
            match self.counts.is_empty() {
                true => self.push_few(ticks, budget),
                false => self.record_rare(ticks, budget),
            }
        }
        self.seen += other.seen;
    }

    /// The quantiles in nanoseconds; `max` is the exact longest value.
    pub(crate) fn quantiles(
        &self,
        max: Nanos,
        nanos_per_tick: f64,
        scratch: &mut Scratch,
    ) -> Quantiles {
        if self.counts.is_empty() && nanos_per_tick == 1.0 {
            return self.quantiles_of_few(max);
        }
        let histogram = &mut scratch.histogram;
        histogram.reset();
        let mut add = |ticks: u64, count| {
            let nanos = ((ticks as f64 * nanos_per_tick) as u64).min(max.0).clamp(1, NANOS_MAX);
            histogram.record_n(nanos, count).expect("the histogram grows as it must");
        };
        self.few.iter().for_each(|&ticks| add(ticks, 1));
        for (at, &count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            add(middle(at + self.first), count);
        }
        let at = |quantile| Nanos(histogram.value_at_quantile(quantile).min(max.0));
        Quantiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), max }
    }
}

impl Durations {
    /// The same where values are nanoseconds and kept as they are: exact, and without clearing the
    /// table, which costs more than all else where there are many groups of few values.
    fn quantiles_of_few(&self, max: Nanos) -> Quantiles {
        let mut few = self.few.clone();
        few.sort_unstable();
        let at = |part: usize| {
            let place = (few.len() * part).div_ceil(100).saturating_sub(1);
            Nanos(few.get(place).map_or(0, |nanos| (*nanos).min(max.0)))
        };
        Quantiles { p50: at(50), p90: at(90), p99: at(99), max }
    }
}

/// Memory that one conversion after the other uses.
#[derive(Debug)]
pub(crate) struct Scratch {
    histogram: Histogram<u64>,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        let histogram = Histogram::new(3).expect("three significant digits are allowed");
        Self { histogram }
    }
}

/// How durations are distributed, to three significant digits; the maximum is exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quantiles {
    /// Half are not longer than this.
    pub p50: Nanos,
    /// Nine in ten are not longer.
    pub p90: Nanos,
    /// 99 in 100 are not longer.
    pub p99: Nanos,
    /// The longest.
    pub max: Nanos,
}

#[inline(always)]
fn slot(ticks: u64) -> usize {
    let octave = 64 - LINEAR_BITS - (ticks | (LINEAR - 1)).leading_zeros();
    octave as usize * OCTAVE_SLOTS + (ticks >> octave) as usize
}

/// A value in the middle of a slot.
fn middle(slot: usize) -> u64 {
    let octave = (slot / OCTAVE_SLOTS).saturating_sub(1);
    let front = ((slot - octave * OCTAVE_SLOTS) as u64) << octave;
    front + (1 << octave >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantiles(values: impl Iterator<Item = u64>, bytes: usize) -> Quantiles {
        let mut budget = Budget::new(bytes);
        let (mut durations, mut max) = (Durations::default(), 0);
        for value in values {
            durations.record(value, &mut budget);
            max = max.max(value);
        }
        durations.quantiles(Nanos(max), 1.0, &mut Scratch::new())
    }

    fn check_near(found: Nanos, expected: u64, parts_per_thousand: u64) {
        let off = found.0.abs_diff(expected);
        assert!(off * 1000 <= expected * parts_per_thousand, "{} for {expected}", found.0);
    }

    #[test]
    fn a_slot_is_never_wider_than_a_thousandth_of_its_value() {
        for shift in 0..64 {
            for value in [1_u64 << shift, (1 << shift) | 1, u64::MAX >> shift] {
                let off = middle(slot(value)).abs_diff(value);
                assert!(off <= value / 1024, "{value} is taken for {}", middle(slot(value)));
            }
        }
        assert_eq!(slot(2047) + 1, slot(2048), "the octaves join without a gap");
        assert_eq!(slot(4095) + 1, slot(4096));
    }

    #[test]
    fn quantiles_of_many_and_of_few_are_those_of_the_values() {
        for count in [100, 100_000] {
            let found = quantiles((1..=count).rev(), SLOT_BYTES_MAX);
            check_near(found.p50, count / 2, 3);
            check_near(found.p90, count / 10 * 9, 3);
            check_near(found.p99, count / 100 * 99, 3);
            assert_eq!(found.max.0, count);
        }
    }

    #[test]
    fn without_memory_for_slots_quantiles_are_those_of_a_sample() {
        let found = quantiles(1..=1_000_000, 0);
        check_near(found.p50, 500_000, 20);
        check_near(found.p99, 990_000, 20);
        assert_eq!(found.max.0, 1_000_000);
    }

    #[test]
    fn extreme_values_cost_bounded_memory_and_do_not_panic() {
        let mut budget = Budget::new(SLOT_BYTES_MAX);
        let mut durations = Durations::default();
        for value in (0..2000).map(|at| if at % 2 == 0 { at } else { u64::MAX - at }) {
            durations.record(value, &mut budget);
        }
        assert!(durations.counts.len() <= 55 * OCTAVE_SLOTS);
        let found = durations.quantiles(Nanos(u64::MAX), 0.4, &mut Scratch::new());
        assert!(found.p50 <= found.p90 && found.p99 <= found.max);
    }

    #[test]
    fn merging_in_any_order_gives_the_quantiles_of_all() {
        let mut budget = Budget::new(SLOT_BYTES_MAX);
        let (mut many, mut few) = (Durations::default(), Durations::default());
        (1..=10_000).for_each(|value| many.record(value, &mut budget));
        (10_001..=10_100).for_each(|value| few.record(value, &mut budget));
        for (one, other) in [(&many, &few), (&few, &many)] {
            let mut sum = one.clone();
            sum.merge(other.clone(), &mut budget);
            let found = sum.quantiles(Nanos(10_100), 1.0, &mut Scratch::new());
            check_near(found.p50, 5_050, 3);
            check_near(found.p99, 9_999, 3);
        }
    }
}
