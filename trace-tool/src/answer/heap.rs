//! What lives on the heap, since when, and who allocates.

use std::cmp::Reverse;
use std::collections::HashMap;

use clap::ValueEnum;
use trace_analysis::heap::{Heap, HeapOptions, HeapPoint, HeapStack};
use trace_format::time::{Nanos, Ticks};

use super::{Question, Reading, Subject, cut};
use crate::error::Failure;
use crate::label::{Labels, units};

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct HeapAsk {
    /// The moment to look at; `None` for the trace's end, or the peak if nothing lives at the end.
    pub at: Option<At>,
    /// What stacks are sorted by.
    pub sort: Sort,
    /// Maximum number of places and of stacks; 0 for all.
    pub top: usize,
}

/// The moment to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// At this time.
    Time(Nanos),
    /// When most lived.
    Peak,
    /// At the trace's end.
    End,
}

/// What stacks are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// Live bytes.
    Live,
    /// By how much live bytes have grown since the begin.
    Growth,
    /// Bytes allocated, freed or not.
    Allocated,
}

/// The answer.
#[derive(Debug)]
pub struct HeapAnswer {
    /// What it is about.
    pub subject: Subject,
    /// The heap; its stacks are sorted and cut.
    pub heap: Heap,
    /// The same stacks with those of one place in the program put together, as many lead there;
    /// sorted and cut. Each is named by one of its stacks.
    pub places: Vec<HeapStack>,
    /// Live bytes of all stacks.
    pub live: u64,
    /// What the counters say; none without counters.
    pub counters: Option<HeapCounters>,
    /// Whether the moment is the peak though nobody asked for it, as nothing that was sampled lives
    /// at the end.
    pub is_peak_instead: bool,
    /// Stacks that were left out.
    pub stacks_omitted: usize,
    /// Places that were left out.
    pub places_omitted: usize,
}

/// What the exact counters say of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeapCounters {
    /// When it was looked at, or just before.
    pub at: HeapPoint,
    /// Just behind that, if `at` is before.
    pub next: Option<HeapPoint>,
    /// When most lived, from `first` on.
    pub most: HeapPoint,
    /// At the window's begin, or just before; without one, the first of all.
    pub first: HeapPoint,
    /// The last of the window: allocations count until then.
    pub last: HeapPoint,
}

impl HeapCounters {
    fn new(heap: &Heap) -> Option<Self> {
        let (at, next) = heap.around();
        let window = heap.window();
        Some(Self {
            at: *at?,
            next: next.copied(),
            most: *window.iter().max_by_key(|point| point.live_bytes)?,
            first: *window.first()?,
            last: *window.last()?,
        })
    }

    /// By how many bytes the heap has grown from `first` to `at`; `None` if no time has passed.
    #[must_use]
    pub fn grown(&self) -> Option<i128> {
        let grown = i128::from(self.at.live_bytes) - i128::from(self.first.live_bytes);
        (self.at.at > self.first.at).then_some(grown)
    }

    /// Bytes and allocations from `first` to `last`; none if no time has passed.
    #[must_use]
    pub fn allocated(&self) -> Option<(u64, u64)> {
        let bytes = self.last.allocated_bytes.saturating_sub(self.first.allocated_bytes);
        let count = self.last.allocations.saturating_sub(self.first.allocations);
        (self.last.at > self.first.at).then_some((bytes, count))
    }
}

impl HeapAnswer {
    /// Reads the trace.
    ///
    /// # Errors
    /// If there is none, or a file that names were to be taken from can't be read.
    pub fn read(question: &Question, ask: HeapAsk) -> Result<Self, Failure> {
        let from = question.part.from;
        if let (Some(from), Some(At::Time(at))) = (from, ask.at)
            && from >= at
        {
            return Err(Failure::Usage("--from must be before --at".to_owned()));
        }
        // All earlier allocations decide what lives, so the whole trace is read.
        let reading = Reading::whole(&question.file)?;
        let from = from.map(|from| reading.file.tables().clock.ticks(from));
        let (mut heap, is_peak_instead) = read(&reading, from, ask.at);
        sort(&mut heap.stacks, ask.sort);
        let summary = reading.summary(0, 0);
        let mut subject = Subject::of_summary(reading, &summary);
        (subject.from, subject.to) = (heap.from, heap.to);
        if !heap.points.is_empty() || heap.samples > 0 {
            subject.symbols = subject.reading.symbols(&question.naming)?;
        }
        let names = subject.names();
        let mut places = by_place(&heap.stacks, ask.sort, subject.labels(&names));
        drop(names);
        let live = units::sum(heap.stacks.iter().map(|stack| stack.live_bytes));
        Ok(Self {
            counters: HeapCounters::new(&heap),
            places_omitted: cut(&mut places, ask.top),
            stacks_omitted: cut(&mut heap.stacks, ask.top),
            subject,
            heap,
            places,
            live,
            is_peak_instead,
        })
    }

    /// Whether the trace says nothing about the heap.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap.points.is_empty() && self.heap.samples == 0
    }
}

/// The heap at the moment that was asked for, and whether that is the peak though nobody asked for
/// it.
fn read(reading: &Reading, from: Option<Ticks>, at: Option<At>) -> (Heap, bool) {
    let tables = reading.file.tables();
    let clock = &tables.clock;
    let options = |at| HeapOptions { from, at, to: None };
    let end = options(None);
    let peak = || {
        let from = from.unwrap_or_default();
        // The last count before the window says what lives when the window begins.
        let before = tables.heap.iter().map(|state| state.ticks).filter(|at| *at <= from).max();
        let states = tables.heap.iter().filter(|state| state.ticks >= before.unwrap_or_default());
        let peak = states.max_by_key(|state| (state.live_bytes, state.ticks));
        peak.map(|state| options(Some(state.ticks.max(from))))
    };
    let wanted = match at {
        Some(At::Time(at)) => vec![options(Some(clock.ticks(at)))],
        Some(At::End) => vec![end],
        Some(At::Peak) => vec![peak().unwrap_or(end)],
        None => [end].into_iter().chain(peak()).collect(),
    };
    let mut heaps = reading.heaps(&wanted).into_iter();
    let first = heaps.next().unwrap_or_default();
    let is_live = first.stacks.iter().any(|stack| stack.live_bytes > 0);
    match heaps.next() {
        // Without samples there are only the counters, and those are for the end as well.
        Some(peak) if !is_live && first.samples > 0 && peak.around().0 != first.around().0 => {
            (peak, true)
        }
        _ => (first, false),
    }
}

fn sort(stacks: &mut [HeapStack], by: Sort) {
    match by {
        Sort::Live => stacks.sort_by_key(|stack| Reverse(stack.live_bytes)),
        Sort::Growth => stacks.sort_by_key(|stack| Reverse(stack.grown_bytes)),
        Sort::Allocated => stacks.sort_by_key(|stack| Reverse(stack.allocated_bytes)),
    }
}

fn by_place(stacks: &[HeapStack], by: Sort, labels: Labels<'_>) -> Vec<HeapStack> {
    let mut places: Vec<HeapStack> = Vec::new();
    let mut known: HashMap<(String, String), usize> = HashMap::new();
    for stack in stacks {
        let place = labels.places.own(stack.stack);
        let place = place.map(|place| (place.shown_function(), place.source().unwrap_or_default()));
        let next = places.len();
        let at = *known.entry(place.unwrap_or_default()).or_insert(next);
        match places.get_mut(at) {
            Some(place) => place.add(stack),
            None => places.push(*stack),
        }
    }
    sort(&mut places, by);
    places
}
