//! The heap: counters of what is live, and marks where a sampled allocation was made.
//!
//! Elsewhere: what the samples say of the whole (`trace_analysis`).

use std::io;

use trace_format::id::StackId;
use trace_format::read::{HeapState, Tables};
use trace_format::time::Ticks;

use super::annotate::put_number;
use super::convert::{Converter, OWN_CATEGORY};
use super::message::{EventType, UNIT_BYTES};

/// The recorder's looks at the heap that are still to be sent, in the order of time.
#[derive(Debug)]
pub(super) struct Snapshots<'t> {
    rest: Vec<&'t HeapState>,
    next: Option<Ticks>,
}

impl<'t> Snapshots<'t> {
    pub(super) fn new(tables: &'t Tables) -> Self {
        let mut rest: Vec<_> = tables.heap.iter().collect();
        // The last is the next: it is taken off the end.
        rest.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.ticks));
        let next = rest.last().map(|snapshot| snapshot.ticks);
        Self { rest, next }
    }

    /// Whether one was before `ticks`.
    #[inline]
    pub(super) fn is_due(&self, ticks: Ticks) -> bool {
        self.next.is_some_and(|next| next <= ticks)
    }
}

impl Converter<'_, '_> {
    /// Sends the heap's counters until `ticks`.
    pub(super) fn heap_until(&mut self, ticks: Ticks) -> io::Result<()> {
        while self.heap.is_due(ticks) {
            let Some(snapshot) = self.heap.rest.pop() else { break };
            self.heap.next = self.heap.rest.last().map(|snapshot| snapshot.ticks);
            let at = self.nanos(snapshot.ticks);
            let counters = [
                ("heap: live bytes", Some(UNIT_BYTES), snapshot.live_bytes),
                ("heap: live allocations", None, snapshot.live_allocations),
                ("heap: bytes allocated", Some(UNIT_BYTES), snapshot.allocated_bytes),
            ];
            for (name, unit, value) in counters {
                let track = self.tracks.counter(name, unit, &mut self.packets)?;
                let event = self.packets.event(EventType::Counter, track);
                event.counter_value = i64::try_from(value).ok().or(Some(i64::MAX));
                self.packets.send(at, &mut self.names.fresh)?;
            }
        }
        Ok(())
    }

    /// A mark where a sampled allocation was made.
    pub(super) fn allocation(
        &mut self,
        lane: usize,
        at: u64,
        bytes: u64,
        stack: StackId,
    ) -> io::Result<()> {
        let callstack = self.callstack(stack);
        let heading = self.names.heading("sampled allocation", OWN_CATEGORY);
        let event = self.packets.event(EventType::Instant, self.track(lane));
        heading.put(event);
        event.callstack_iid = callstack;
        put_number(event, &mut self.names, "bytes", bytes);
        self.send(lane, at)
    }
}
