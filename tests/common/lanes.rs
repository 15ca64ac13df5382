//! Properties of every CPU's lane, and which thread ran there from when to when. FORMAT.md,
//! sections 3 to 5.

use super::decoded::{Decoded, events};
use std::collections::BTreeMap;
use trace_format::event::{Event, EventKind};
use trace_format::header::FLAG_RESTATED;
use trace_format::id::ThreadId;
use trace_format::read::Batch;
use trace_format::time::Ticks;

/// The state of one CPU so far.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    /// The end of the piece before: its sequence, and the offset after it.
    place: Option<(u32, u32)>,
    last: u64,
    running: Running,
}

/// The thread on a CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Running {
    #[default]
    Unknown,
    Nobody,
    Thread(u64),
}

impl Lane {
    /// Fails unless this piece may follow the ones before.
    pub(crate) fn piece(&mut self, piece: &Batch<'static>) {
        let header = piece.header;
        let place = match self.place {
            Some((sequence, _)) if header.offset == 0 => (sequence + 1, 0),
            Some(place) => place,
            None => (0, 0),
        };
        assert_eq!((header.sequence, header.offset), place, "pieces follow without gaps");
        self.place = Some((header.sequence, header.offset + piece.payload.len() as u32));
        let restated = header.flags & FLAG_RESTATED != 0;
        assert_eq!(restated, header.offset == 0, "whole batches restate");
        assert!(header.base_ticks.0 >= self.last, "a piece begins behind the one before");
        for (at, event) in events(piece).iter().enumerate() {
            assert!(event.ticks.0 >= self.last, "time runs backwards on {:?}", header.thread);
            self.last = event.ticks.0;
            self.event(event, restated && at == 0);
        }
        assert!(header.last_ticks.0 >= self.last, "nothing is later than the header says");
    }

    /// Checks that a thread that comes onto a CPU was not on it, unless that is restated, and that
    /// a thread that leaves it was.
    fn event(&mut self, event: &Event<'_>, first: bool) {
        let known = self.running != Running::Unknown;
        match event.kind {
            EventKind::SwitchIn { os_thread } => {
                let new = Running::Thread(os_thread);
                let again = if first { new } else { Running::Nobody };
                let fine = !known || self.running == Running::Nobody || self.running == again;
                assert!(fine, "{os_thread} begins to run: {:?}", self.running);
                self.running = new;
            }
            EventKind::SwitchOut { os_thread, .. } => {
                let fine = !known || self.running == Running::Thread(os_thread);
                assert!(fine, "{os_thread} ceases to run: {:?}", self.running);
                self.running = Running::Nobody;
            }
            EventKind::Sample { os_thread, .. } | EventKind::Fault { os_thread, .. } => {
                let fine = !known || self.running == Running::Thread(os_thread);
                assert!(fine, "{os_thread} is seen to run: {:?}", self.running);
            }
            EventKind::LostKernel { .. } => self.running = Running::Unknown,
            other => panic!("no lane of a CPU has {other:?}"),
        }
    }
}

/// A stretch of time in which a thread ran on a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) cpu: u32,
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// True if the thread could have gone on.
    pub(crate) preempted: bool,
}

/// All runs, by the system's ids of threads, in the order of their ends. A run that goes on at the
/// end of the trace ends there.
pub(crate) fn runs(trace: &Decoded) -> BTreeMap<u64, Vec<Run>> {
    let mut runs: BTreeMap<u64, Vec<Run>> = BTreeMap::new();
    let mut open: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    let mut end = |cpu, (thread, from): (u64, u64), to, preempted| {
        runs.entry(thread).or_default().push(Run { cpu, from, to, preempted });
    };
    for (cpu, event) in lane_events(trace) {
        let Ticks(now) = event.ticks;
        match event.kind {
            EventKind::SwitchIn { os_thread } => {
                open.entry(cpu).or_insert((os_thread, now));
            }
            EventKind::SwitchOut { preempted, .. } => {
                if let Some(began) = open.remove(&cpu) {
                    end(cpu, began, now, preempted);
                }
            }
            EventKind::LostKernel { .. } => _ = open.remove(&cpu),
            _ => {}
        }
    }
    let stop = trace.tables.stop.map_or(0, |stop| stop.ticks.0);
    open.into_iter().for_each(|(cpu, began)| end(cpu, began, stop.max(began.1), false));
    runs.values_mut().for_each(|runs| runs.sort_by_key(|run| run.from));
    runs
}

/// The events of all CPUs, each CPU's in order.
pub(crate) fn lane_events(trace: &Decoded) -> impl Iterator<Item = (u32, Event<'static>)> {
    let pieces = trace.pieces().filter_map(|piece| Some((piece.header.thread.as_cpu()?, piece)));
    pieces.flat_map(|(cpu, piece)| events(piece).into_iter().map(move |event| (cpu, event)))
}

/// Whether these are the events of a CPU.
pub(crate) fn is_lane(thread: ThreadId) -> bool {
    thread.as_cpu().is_some()
}
