//! What does not come from threads' events: the heap's counters, and when the whole process stood
//! still.

use trace_analysis::standstill::Standstill;
use trace_format::read::{HeapState, Tables};
use trace_format::time::Nanos;

use super::{Drawing, OWN_CATEGORY};
use crate::scene::{Detail, Label, Mark, Number, Scene, Unit};

/// The recorder's records of the heap that are still to be drawn, in the order of time.
#[derive(Debug)]
pub(super) struct Snapshots<'t> {
    rest: Vec<&'t HeapState>,
    /// The time of the next one; the maximum if there is none.
    next: u64,
}

impl<'t> Snapshots<'t> {
    pub(super) fn new(tables: &'t Tables) -> Self {
        let mut rest: Vec<_> = tables.heap.iter().collect();
        // Reversed, so that the next one is at the end.
        rest.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.ticks));
        let next = if rest.is_empty() { u64::MAX } else { 0 };
        Self { rest, next }
    }
}

impl<S: Scene> Drawing<'_, '_, S> {
    /// Draws the heap's counters up to `at`.
    #[inline]
    pub(super) fn heap_until(&mut self, at: u64) {
        if self.heap.next <= at {
            self.draw_heap(at);
        }
    }

    #[cold]
    fn draw_heap(&mut self, until: u64) {
        while let Some(snapshot) = self.heap.rest.last() {
            let at = self.time(self.tables.clock.nanos(snapshot.ticks));
            self.heap.next = at;
            if at > until {
                return;
            }
            let counters = [
                ("heap: live bytes", Unit::Bytes, snapshot.live_bytes),
                ("heap: live allocations", Unit::None, snapshot.live_allocations),
                ("heap: bytes allocated", Unit::Bytes, snapshot.allocated_bytes),
            ];
            for (name, unit, value) in counters {
                let track = self.rows.counter(self.scene, name, unit);
                let value = i64::try_from(value).unwrap_or(i64::MAX);
                self.scene.counter(track, at, Number::Whole(value));
            }
            self.heap.rest.pop();
        }
        self.heap.next = u64::MAX;
    }

    /// Draws slices on tracks of their own: one track for stops, and one for suspended machines,
    /// because either may lie in the other.
    pub(super) fn standstills(&mut self, all: &[Standstill]) {
        let (stopped, suspended): (Vec<_>, Vec<_>) =
            all.iter().partition(|it| it.suspended == Nanos(0));
        self.standstills_on("process stopped", "stopped", &stopped);
        self.standstills_on("machine suspended", "suspended at some time", &suspended);
    }

    fn standstills_on(&mut self, track: &str, name: &str, all: &[&Standstill]) {
        if all.is_empty() {
            return;
        }
        let track = self.rows.of_process(self.scene, track);
        for it in all {
            let details = [Detail::Number("suspended_ns", it.suspended.0)];
            let details = &details[..usize::from(it.suspended > Nanos(0))];
            let mark = Mark::new(Label::Name(name, OWN_CATEGORY)).with(details);
            self.scene.begin(track, self.time(it.from), &mark);
            self.scene.end(track, self.time(it.to), &[]);
            self.totals.slices += 1;
        }
    }
}
