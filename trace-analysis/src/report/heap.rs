//! The heap over time, and by stack what lives on it: estimated from sampled allocations.
//!
//! An allocation of `n` bytes is sampled with probability `1 - exp(-n / mean)`, so each sample
//! stands for the inverse of that many allocations, and sums are unbiased whatever the sizes. A few
//! samples can stand for more than there is: together they never count as more live bytes than the
//! exact counters have, those before the moment or those behind it, whichever are larger.

use std::cmp::Reverse;
use std::collections::HashMap;

use trace_format::definition::OpenSince;
use trace_format::event::{Event, EventKind};
use trace_format::id::{SampleId, StackId, ThreadId};
use trace_format::read::{HeapState, ReadAt, Timed, TraceFile, Window};
use trace_format::time::{Nanos, Ticks};

use crate::report::profile::{Profile, ProfileKind, ProfileSample};
use crate::trace::{Progress, bounds};
use crate::walk::{Fault, PendingBegin, Visitor, walk};

/// Maximum number of live samples that are followed, at 48 bytes each: half a terabyte of live
/// heap at the usual rate of sampling.
const LIVE_MAX: usize = 1 << 20;

/// Maximum number of stacks that are kept separately; others count as unknown.
const STACKS_MAX: usize = 1 << 16;

/// What to read of the heap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeapOptions {
    /// From when on allocations count, and growth is measured; nothing for the trace's begin.
    pub from: Option<Ticks>,
    /// When to look at what lives; nothing for the trace's end.
    pub at: Option<Ticks>,
    /// Until when allocations count, whatever the moment that is looked at; nothing for the trace's
    /// end.
    pub to: Option<Ticks>,
}

/// What is known of the heap.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heap {
    /// When growth began to be measured, since the first clock snapshot.
    pub from: Nanos,
    /// When it was looked at.
    pub at: Nanos,
    /// Until when allocations count.
    pub to: Nanos,
    /// The exact counters until [`Heap::to`], in order; empty without the feature. Between two that
    /// the recorder takes in turn lies the peak, if more lived then.
    pub points: Vec<HeapPoint>,
    /// By stack, the most live bytes first.
    pub stacks: Vec<HeapStack>,
    /// Sampled allocations that were read.
    pub samples: u64,
    /// Bytes between samples, in the mean.
    pub sample_bytes: u64,
    /// Live samples beyond the limit of memory, which count as allocated only.
    pub samples_untold: u64,
    /// Live bytes that the samples stand for. If the counters have fewer, live bytes, counts and
    /// growth of all stacks are scaled down to those.
    pub estimated_bytes: u64,
}

/// The heap's counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeapPoint {
    /// Since the first clock snapshot.
    pub at: Nanos,
    /// Bytes allocated and not freed.
    pub live_bytes: u64,
    /// Allocations not freed.
    pub live_allocations: u64,
    /// Bytes allocated since the program began.
    pub allocated_bytes: u64,
    /// Allocations since the program began.
    pub allocations: u64,
}

/// What one stack allocated, estimated.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HeapStack {
    /// Where; 0 if unknown.
    pub stack: StackId,
    /// Samples among those live.
    pub live_samples: u64,
    /// Bytes live at [`Heap::at`], of what was allocated while the trace ran.
    pub live_bytes: u64,
    /// Allocations of them.
    pub live_count: u64,
    /// Bytes allocated between [`Heap::from`] and [`Heap::to`].
    pub allocated_bytes: u64,
    /// Allocations of them.
    pub allocated_count: u64,
    /// Bytes live at [`Heap::at`] less those at [`Heap::from`].
    pub grown_bytes: i64,
}

impl HeapStack {
    /// Adds what another allocated; its stack goes unsaid.
    pub fn add(&mut self, other: &Self) {
        for (sum, part) in [
            (&mut self.live_samples, other.live_samples),
            (&mut self.live_bytes, other.live_bytes),
            (&mut self.live_count, other.live_count),
            (&mut self.allocated_bytes, other.allocated_bytes),
            (&mut self.allocated_count, other.allocated_count),
        ] {
            *sum = sum.saturating_add(part);
        }
        self.grown_bytes = self.grown_bytes.saturating_add(other.grown_bytes);
    }
}

/// A sampled allocation that has not been freed.
#[derive(Clone, Copy, Debug)]
struct Live {
    stack: StackId,
    /// What it stands for.
    bytes: f64,
    count: f64,
}

/// The sums of one stack.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    live_samples: u64,
    live_bytes: f64,
    live_count: f64,
    allocated_bytes: f64,
    allocated_count: f64,
    /// Live when growth began to be measured.
    before_bytes: f64,
}

impl Heap {
    /// Reads the allocations of a trace up to the end that `options` names.
    ///
    /// - `progress` is called every few megabytes.
    pub fn read<S: ReadAt>(
        file: &TraceFile<S>,
        options: &HeapOptions,
        progress: impl FnMut(Progress),
    ) -> Self {
        let mut heaps = Self::read_each(file, std::slice::from_ref(options), progress);
        heaps.pop().unwrap_or_default()
    }

    /// Reads the same trace once and looks at the heap in several ways, in the order of `options`.
    ///
    /// - `progress` is called every few megabytes.
    pub fn read_each<S: ReadAt>(
        file: &TraceFile<S>,
        options: &[HeapOptions],
        progress: impl FnMut(Progress),
    ) -> Vec<Self> {
        let reports = options.iter().map(|options| HeapReport::new(file, options));
        let mut reports = HeapReports(reports.collect());
        let to = reports.0.iter().map(|report| Ticks(report.to.0.saturating_add(1))).max();
        walk(file, Window { to, ..Window::default() }, |_| false, &mut reports, progress);
        reports.0.into_iter().map(|report| report.finish(file)).collect()
    }

    /// The exact counters from [`Heap::from`] on. The first were taken at that moment or before, as
    /// what lived then is what they said last; or if none were, later.
    #[must_use]
    pub fn window(&self) -> &[HeapPoint] {
        let first = self.points.iter().rposition(|point| point.at <= self.from);
        &self.points[first.unwrap_or(0)..]
    }

    /// The exact counters at [`Heap::at`], or the last before; and unless they are of that very
    /// moment, the first behind it. The heap had at most what the larger of the two has.
    #[must_use]
    pub fn around(&self) -> (Option<&HeapPoint>, Option<&HeapPoint>) {
        let before = self.points.iter().rfind(|point| point.at <= self.at);
        let is_exact = before.is_some_and(|point| point.at == self.at);
        let next = self.points.iter().find(|point| point.at > self.at);
        (before, next.filter(|_| !is_exact))
    }

    /// As a profile.
    #[must_use]
    pub fn profile(&self) -> Profile {
        let samples = self.stacks.iter().map(|stack| ProfileSample {
            stack: stack.stack,
            count: stack.live_count,
            value: stack.live_bytes,
            allocated_count: stack.allocated_count,
            allocated: stack.allocated_bytes,
            ..ProfileSample::default()
        });
        Profile { kind: ProfileKind::Heap, samples: samples.collect() }
    }
}

/// What is known of the heap, while a trace is walked from its begin.
#[derive(Debug)]
pub(crate) struct HeapReport {
    sample_bytes: u64,
    from: Ticks,
    at: Ticks,
    to: Ticks,
    /// The last snapshot of the counters until `at`, and about how much was allocated from there
    /// to `at`.
    counted: Option<HeapState>,
    since_counted: f64,
    live: HashMap<SampleId, Live>,
    sums: HashMap<StackId, Sums>,
    samples: u64,
    untold: u64,
    /// Whether `from` has been passed.
    is_counting: bool,
}

impl HeapReport {
    pub(crate) fn new<S: ReadAt>(file: &TraceFile<S>, options: &HeapOptions) -> Self {
        let (tables, (begin, end)) = (file.tables(), bounds(file));
        let at = options.at.unwrap_or(end).clamp(begin, end);
        let until = tables.heap.iter().filter(|state| state.ticks <= at);
        Self {
            sample_bytes: tables.heap.iter().map(|state| state.sample_bytes).max().unwrap_or(0),
            from: options.from.unwrap_or(begin).max(begin),
            at,
            to: options.to.unwrap_or(end).clamp(at, end),
            counted: until.max_by_key(|state| state.ticks).copied(),
            since_counted: 0.0,
            live: HashMap::new(),
            sums: HashMap::new(),
            samples: 0,
            untold: 0,
            is_counting: false,
        }
    }

    #[inline]
    pub(crate) fn event(&mut self, event: &Event<'_>) {
        match event.kind {
            EventKind::Alloc { sample, bytes, stack, .. } if event.ticks <= self.to => {
                self.pass(event.ticks);
                self.alloc(event.ticks, sample, bytes, stack);
            }
            EventKind::Free { sample } if event.ticks <= self.at => {
                self.pass(event.ticks);
                self.free(sample);
            }
            _ => {}
        }
    }

    pub(crate) fn finish<S: ReadAt>(mut self, file: &TraceFile<S>) -> Heap {
        self.pass(self.to.max(self.from));
        let tables = file.tables();
        let estimated = self.sums.values().map(|sums| sums.live_bytes).sum::<f64>();
        let next = tables.heap.iter().filter(|state| state.ticks >= self.at);
        let scale = self.scale(estimated, next.min_by_key(|state| state.ticks));
        let states = tables.heap.iter().filter(|state| state.ticks <= self.to);
        let points = states.map(|state| HeapPoint {
            at: tables.clock.nanos(state.ticks),
            live_bytes: state.live_bytes,
            live_allocations: state.live_allocations,
            allocated_bytes: state.allocated_bytes,
            allocations: state.allocations,
        });
        let mut points: Vec<_> = points.collect();
        points.sort_by_key(|point| point.at);
        Heap {
            from: tables.clock.nanos(self.from),
            at: tables.clock.nanos(self.at),
            to: tables.clock.nanos(self.to),
            points,
            stacks: self.stacks(scale),
            samples: self.samples,
            sample_bytes: self.sample_bytes,
            samples_untold: self.untold,
            estimated_bytes: estimated.round() as u64,
        }
    }

    /// By how much to shrink what the samples stand for, so that no more lives than the counters
    /// say: those before, those next, if there are any, and else what was allocated since.
    fn scale(&self, estimated: f64, next: Option<&HeapState>) -> f64 {
        let Some(counted) = self.counted else { return 1.0 };
        let before = counted.live_bytes as f64;
        let most = match next {
            Some(next) => before.max(next.live_bytes as f64),
            None => before + self.since_counted,
        };
        if estimated > most { most / estimated } else { 1.0 }
    }

    fn pass(&mut self, at: Ticks) {
        if !self.is_counting && at >= self.from {
            self.is_counting = true;
            for sums in self.sums.values_mut() {
                sums.before_bytes = sums.live_bytes;
            }
        }
    }

    fn sums(&mut self, stack: StackId) -> &mut Sums {
        let is_full = self.sums.len() >= STACKS_MAX && !self.sums.contains_key(&stack);
        self.sums.entry(if is_full { StackId(0) } else { stack }).or_default()
    }

    fn alloc(&mut self, at: Ticks, sample: SampleId, bytes: u64, stack: StackId) {
        self.samples += 1;
        let count = stands_for(bytes, self.sample_bytes);
        let live = Live { stack, bytes: bytes as f64 * count, count };
        if self.is_counting {
            let sums = self.sums(stack);
            sums.allocated_bytes += live.bytes;
            sums.allocated_count += live.count;
        }
        if at > self.at {
            return;
        }
        if self.counted.is_some_and(|counted| at > counted.ticks) {
            self.since_counted += live.bytes;
        }
        if self.live.len() >= LIVE_MAX {
            self.untold += 1;
            return;
        }
        // Of one sample that is said twice the first was freed unseen.
        if let Some(old) = self.live.insert(sample, live) {
            self.take_away(old);
        }
        let sums = self.sums(stack);
        sums.live_samples += 1;
        sums.live_bytes += live.bytes;
        sums.live_count += live.count;
    }

    fn free(&mut self, sample: SampleId) {
        if let Some(live) = self.live.remove(&sample) {
            self.take_away(live);
        }
    }

    fn take_away(&mut self, live: Live) {
        let sums = self.sums(live.stack);
        sums.live_samples = sums.live_samples.saturating_sub(1);
        sums.live_bytes -= live.bytes;
        sums.live_count -= live.count;
        // What rounding leaves of nothing is nothing.
        if sums.live_samples == 0 {
            (sums.live_bytes, sums.live_count) = (0.0, 0.0);
        }
    }

    fn stacks(&self, scale: f64) -> Vec<HeapStack> {
        let stacks = self.sums.iter().map(|(&stack, sums)| HeapStack {
            stack,
            live_samples: sums.live_samples,
            live_bytes: (sums.live_bytes * scale).round() as u64,
            live_count: (sums.live_count * scale).round() as u64,
            allocated_bytes: sums.allocated_bytes.round() as u64,
            allocated_count: sums.allocated_count.round() as u64,
            grown_bytes: ((sums.live_bytes - sums.before_bytes) * scale).round() as i64,
        });
        let mut stacks: Vec<_> = stacks.collect();
        stacks.sort_by_key(|it| (Reverse((it.live_bytes, it.allocated_bytes)), it.stack));
        stacks
    }
}

/// Several at once.
struct HeapReports(Vec<HeapReport>);

impl Visitor for HeapReports {
    fn open_at_start(&mut self, _: ThreadId, _: &[OpenSince]) {}

    fn begin_pending(&mut self, _: &PendingBegin) {}

    #[inline]
    fn event(&mut self, timed: Timed<'_>) {
        for report in &mut self.0 {
            report.event(&timed.event);
        }
    }

    fn fault(&mut self, _: &Fault) {}
}

/// How many allocations a sample of this size stands for, at a mean of so many bytes between
/// samples: the inverse of the chance to be sampled.
fn stands_for(bytes: u64, mean: u64) -> f64 {
    if mean <= 1 {
        return 1.0;
    }
    let chance = -(-(bytes.max(1) as f64) / mean as f64).exp_m1();
    1.0 / chance
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_those_of_a_moment_or_those_around_it() {
        let points = [10, 30, 50].map(|at| HeapPoint { at: Nanos(at), ..HeapPoint::default() });
        let at = |from, at| {
            let (from, at) = (Nanos(from), Nanos(at));
            let heap = Heap { from, at, points: points.to_vec(), ..Heap::default() };
            let (before, next) = heap.around();
            let moment = |point: Option<&HeapPoint>| point.map(|point| point.at.0);
            (moment(heap.window().first()), moment(before), moment(next))
        };
        assert_eq!(at(0, 9), (Some(10), None, Some(10)));
        assert_eq!(at(10, 30), (Some(10), Some(30), None));
        assert_eq!(at(29, 49), (Some(10), Some(30), Some(50)));
        assert_eq!(at(30, 50), (Some(30), Some(50), None));
        assert_eq!(at(60, 60), (Some(50), Some(50), None));
    }

    #[test]
    fn small_samples_stand_for_many_and_large_ones_for_themselves() {
        assert!((stands_for(64, 524_288) - 8192.5).abs() < 0.1);
        assert!((stands_for(524_288, 524_288) - 1.582).abs() < 0.001);
        assert!((stands_for(u64::MAX, 524_288) - 1.0).abs() < 1e-9);
        assert!(stands_for(0, 524_288).is_finite() && stands_for(7, 0) == 1.0);
    }
}
