//! `exectrace heap` for programs.

use serde::Serialize;
use trace_analysis::heap::{HeapPoint, HeapStack};

use super::head::HeadOut;
use super::stacks::{FrameOut, StackOut};
use crate::answer::heap::{HeapAnswer, HeapCounters};
use crate::error::Failure;
use crate::label::Labels;
use crate::output::Output;

/// What `heap` answers. Its window begins where growth begins to be measured (`--from`), and ends
/// with the trace, whenever it was looked at: allocations count until then.
#[derive(Debug, Serialize)]
pub struct HeapOut {
    #[serde(flatten)]
    head: HeadOut,
    /// When it was looked at: as `--at` says; without it at the end, or at the peak if nothing
    /// lives then.
    at_ns: u64,
    /// Whether that is the peak though it was not asked for.
    is_peak_instead: bool,
    /// The exact counters, to the trace's end; also the peak, if it lies between two snapshots of
    /// the recorder.
    points: Vec<PointOut>,
    /// What these say of the window; `null` without counters until `at_ns`.
    counters: Option<CountersOut>,
    /// Bytes between two samples, on average.
    sample_bytes: u64,
    /// Sampled allocations.
    samples: u64,
    /// Live samples for which there was no memory: they count only as allocated.
    samples_untold: u64,
    /// Bytes that the live samples stand for. If the counters have fewer, those before `at_ns` and
    /// those behind it, what lives in `stacks` and `places` is scaled down to the larger of these.
    estimated_bytes: u64,
    /// Live bytes of all stacks, those left out included.
    live_bytes: u64,
    /// By stack, estimated, as `--sort` and `--top` have them.
    stacks: Vec<HeapStackOut>,
    /// Stacks that `--top` left out.
    stacks_omitted: usize,
    /// By place in the program, estimated, as `--sort` and `--top` have them.
    places: Vec<HeapPlaceOut>,
    /// Places that `--top` left out.
    places_omitted: usize,
}

/// Prints the answer.
///
/// # Errors
/// If it can't be written.
pub fn print(answer: &HeapAnswer, out: &mut Output) -> Result<(), Failure> {
    let names = answer.subject.names();
    let labels = answer.subject.labels(&names);
    let heap = &answer.heap;
    Ok(out.json(&HeapOut {
        head: HeadOut::new(&answer.subject),
        at_ns: heap.at.0,
        is_peak_instead: answer.is_peak_instead,
        points: heap.points.iter().map(PointOut::from).collect(),
        counters: answer.counters.as_ref().map(CountersOut::from),
        sample_bytes: heap.sample_bytes,
        samples: heap.samples,
        samples_untold: heap.samples_untold,
        estimated_bytes: heap.estimated_bytes,
        live_bytes: answer.live,
        stacks: heap.stacks.iter().map(|stack| HeapStackOut::new(labels, stack)).collect(),
        stacks_omitted: answer.stacks_omitted,
        places: answer.places.iter().map(|place| HeapPlaceOut::new(labels, place)).collect(),
        places_omitted: answer.places_omitted,
    })?)
}

/// The exact counters at one moment.
#[derive(Debug, Serialize)]
pub struct PointOut {
    /// When.
    at_ns: u64,
    /// Bytes allocated and not freed.
    live_bytes: u64,
    /// Allocations not freed.
    live_allocations: u64,
    /// Bytes allocated since the program began.
    allocated_bytes: u64,
    /// Allocations since the program began.
    allocations: u64,
}

impl From<&HeapPoint> for PointOut {
    fn from(point: &HeapPoint) -> Self {
        let HeapPoint { at, live_bytes, live_allocations, allocated_bytes, allocations } = *point;
        Self { at_ns: at.0, live_bytes, live_allocations, allocated_bytes, allocations }
    }
}

/// What the exact counters say of the window. They are of the moments at which the recorder took
/// them, and `stacks` and `places` of the moments that were asked for.
#[derive(Debug, Serialize)]
pub struct CountersOut {
    /// At `at_ns`, or just before.
    at: PointOut,
    /// Just behind `at_ns`; `null` if `at` is of that moment, or there are none.
    next: Option<PointOut>,
    /// At the window's begin, or just before; or if there are none, the first of all.
    first: PointOut,
    /// The last of all.
    last: PointOut,
    /// When most lived, from `first` to `last`.
    most: PointOut,
    /// How many more bytes lived at `at` than at `first`; `null` if no time had passed.
    grown_bytes: Option<i128>,
    /// Bytes allocated from `first` to `last`; `null` if no time has passed.
    allocated_bytes: Option<u64>,
    /// Allocations from `first` to `last`; `null` if no time has passed.
    allocations: Option<u64>,
}

impl From<&HeapCounters> for CountersOut {
    fn from(counters: &HeapCounters) -> Self {
        Self {
            at: (&counters.at).into(),
            next: counters.next.as_ref().map(PointOut::from),
            first: (&counters.first).into(),
            last: (&counters.last).into(),
            most: (&counters.most).into(),
            grown_bytes: counters.grown(),
            allocated_bytes: counters.allocated().map(|(bytes, _)| bytes),
            allocations: counters.allocated().map(|(_, count)| count),
        }
    }
}

/// What a stack or a place allocated, estimated.
#[derive(Debug, Serialize)]
pub struct HeapSumsOut {
    /// Samples among those live.
    live_samples: u64,
    /// Bytes live when it was looked at, of what was allocated while the trace ran.
    live_bytes: u64,
    /// Allocations of them.
    live_count: u64,
    /// Bytes allocated in the window.
    allocated_bytes: u64,
    /// Allocations of them.
    allocated_count: u64,
    /// Bytes live when it was looked at, less those at the window's begin.
    grown_bytes: i64,
}

impl From<&HeapStack> for HeapSumsOut {
    fn from(stack: &HeapStack) -> Self {
        Self {
            live_samples: stack.live_samples,
            live_bytes: stack.live_bytes,
            live_count: stack.live_count,
            allocated_bytes: stack.allocated_bytes,
            allocated_count: stack.allocated_count,
            grown_bytes: stack.grown_bytes,
        }
    }
}

/// What one stack allocated.
#[derive(Debug, Serialize)]
pub struct HeapStackOut {
    /// The stack; `null` if it is not known.
    at: Option<StackOut>,
    #[serde(flatten)]
    sums: HeapSumsOut,
}

impl HeapStackOut {
    fn new(labels: Labels<'_>, stack: &HeapStack) -> Self {
        Self { at: StackOut::new(labels, stack.stack), sums: stack.into() }
    }
}

/// What the stacks of one place in the program allocated together.
#[derive(Debug, Serialize)]
pub struct HeapPlaceOut {
    /// The place; `null` if it is not known.
    place: Option<FrameOut>,
    #[serde(flatten)]
    sums: HeapSumsOut,
}

impl HeapPlaceOut {
    fn new(labels: Labels<'_>, place: &HeapStack) -> Self {
        let at = labels.places.own(place.stack);
        Self { place: at.map(FrameOut::from), sums: place.into() }
    }
}
