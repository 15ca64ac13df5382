//! One CPU's batches: events that say which thread runs there.
//!
//! Always true: times do not run backwards; the thread that stops running is the one that began,
//! unless records were lost in between; the first piece of a batch begins with the thread that is
//! running.

use crate::buffer::losses::Reported;
use crate::output::Outputs;
use trace_format::batch::BatchInfo;
use trace_format::event::{Event, EventKind, put_event};
use trace_format::header::{BatchKind, FLAG_RESTATED};
use trace_format::id::ThreadId;
use trace_format::time::Ticks;

/// Bytes after which a batch gets a successor.
const BATCH_BYTES: usize = 48 << 10;

/// Which thread of the traced process runs on a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnCpu {
    /// Not known: nothing was recorded yet, or records were lost.
    Unknown,
    Nobody,
    /// The system's id of the thread.
    Thread(u32),
}

/// One CPU's lane.
#[derive(Debug)]
pub(super) struct CpuLane {
    cpu: u32,
    running: OnCpu,
    /// The open batch's number.
    sequence: u32,
    /// Payload bytes of the open batch that are written.
    offset: usize,
    /// The events that are not written yet, ...
    payload: Vec<u8>,
    events: u32,
    /// ... from here ...
    base: Ticks,
    /// ... to here.
    last: Ticks,
}

impl CpuLane {
    /// The lane of the CPU with this number.
    pub(super) fn new(cpu: u32) -> Self {
        Self {
            cpu,
            running: OnCpu::Unknown,
            sequence: 0,
            offset: 0,
            payload: Vec::new(),
            events: 0,
            base: Ticks(0),
            last: Ticks(0),
        }
    }

    /// `thread` begins to run.
    pub(super) fn switch_in(&mut self, ticks: u64, thread: u32) {
        // A thread that began while the watching was set up may be watched twice, and has two
        // records.
        if self.running != OnCpu::Thread(thread) {
            self.leave_unseen(ticks);
            self.put(ticks, EventKind::SwitchIn { os_thread: u64::from(thread) });
            self.running = OnCpu::Thread(thread);
        }
    }

    /// Another thread is on this CPU now. The previous one has left without a record, while the
    /// watching was set up.
    fn leave_unseen(&mut self, ticks: u64) {
        if let OnCpu::Thread(gone) = self.running {
            let os_thread = u64::from(gone);
            self.put(ticks, EventKind::SwitchOut { os_thread, preempted: false });
            self.running = OnCpu::Nobody;
        }
    }

    /// `thread` is running. If its begin was not recorded, but is known, it is `since`.
    pub(super) fn runs(&mut self, thread: u32, since: Option<u64>) {
        if let Some(since) = since {
            self.switch_in(since, thread);
        }
    }

    /// `thread` stops running; `since` as in [`CpuLane::runs`].
    pub(super) fn switch_out(
        &mut self,
        ticks: u64,
        thread: u32,
        preempted: bool,
        since: Option<u64>,
    ) {
        self.runs(thread, since);
        if self.running != OnCpu::Thread(thread) {
            self.leave_unseen(ticks);
        }
        if self.running != OnCpu::Nobody {
            self.put(ticks, EventKind::SwitchOut { os_thread: u64::from(thread), preempted });
            self.running = OnCpu::Nobody;
        }
    }

    /// This number of `records` was lost before this time.
    pub(super) fn lost(&mut self, ticks: u64, records: u64) {
        self.put(ticks, EventKind::LostKernel { records });
        self.running = OnCpu::Unknown;
    }

    /// Adds an event of the running thread.
    pub(super) fn put(&mut self, ticks: u64, kind: EventKind<'_>) {
        if self.payload.is_empty() {
            self.last = self.last.max(Ticks(ticks));
            self.base = self.last;
        }
        put_event(&mut self.payload, &mut self.last, &Event { ticks: Ticks(ticks), kind });
        self.events += 1;
    }

    /// Writes the events as a piece; if the batch is long, begins another one.
    pub(super) fn write(&mut self, outputs: &mut Outputs) {
        if self.payload.is_empty() {
            return;
        }
        let info = BatchInfo {
            kind: BatchKind::Events,
            thread: ThreadId::cpu(self.cpu),
            sequence: self.sequence,
            offset: self.offset as u32,
            generation: outputs.generation,
            base_ticks: self.base,
            last_ticks: self.last,
            events: self.events,
            flags: if self.offset == 0 { FLAG_RESTATED } else { 0 },
        };
        outputs.events(&info, &self.payload, Reported::default());
        self.offset += self.payload.len();
        self.payload.clear();
        self.events = 0;
        if self.is_long() {
            self.begin_batch(self.last.0);
        }
    }

    /// Whether the batch is long enough to end.
    pub(super) fn is_long(&self) -> bool {
        self.offset + self.payload.len() >= BATCH_BYTES
    }

    /// Begins a batch at this time. A thread that goes on running gets another begin there.
    pub(super) fn begin_batch(&mut self, ticks: u64) {
        if self.offset > 0 {
            self.sequence += 1;
            self.offset = 0;
        }
        if let OnCpu::Thread(thread) = self.running {
            self.put(ticks, EventKind::SwitchIn { os_thread: u64::from(thread) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trace_format::event::Events;

    /// The events of a lane that are not written yet.
    fn held(lane: &CpuLane) -> Vec<(u64, String)> {
        let events = Events::new(ThreadId::cpu(lane.cpu), lane.base, &lane.payload);
        let events = events.until(lane.last).map(|event| event.expect("events only"));
        let told: Vec<_> =
            events.map(|event| (event.ticks.0, format!("{:?}", event.kind))).collect();
        assert_eq!(told.len(), lane.events as usize);
        told
    }

    fn is(ticks: u64, thread: u64) -> (u64, String) {
        (ticks, format!("SwitchIn {{ os_thread: {thread} }}"))
    }

    fn left(ticks: u64, thread: u64, preempted: bool) -> (u64, String) {
        (ticks, format!("SwitchOut {{ os_thread: {thread}, preempted: {preempted} }}"))
    }

    #[test]
    fn a_thread_that_is_watched_twice_is_told_of_once() {
        let mut lane = CpuLane::new(3);
        for _ in 0..2 {
            lane.switch_in(100, 7);
        }
        for _ in 0..2 {
            lane.switch_out(150, 7, true, None);
        }
        assert_eq!(held(&lane), [is(100, 7), left(150, 7, true)]);
    }

    #[test]
    fn who_has_been_running_begins_when_that_is_known() {
        let mut lane = CpuLane::new(0);
        lane.switch_out(150, 7, false, Some(90));
        lane.runs(8, Some(160));
        lane.switch_out(170, 8, false, None);
        assert_eq!(held(&lane), [is(90, 7), left(150, 7, false), is(160, 8), left(170, 8, false)]);
    }

    #[test]
    fn times_never_run_backwards_and_after_a_loss_nothing_is_known() {
        let mut lane = CpuLane::new(0);
        lane.switch_in(100, 7);
        lane.switch_in(90, 8);
        lane.lost(95, 4);
        lane.switch_out(120, 9, false, None);
        let lost = (100, "LostKernel { records: 4 }".to_owned());
        let gone = left(100, 7, false);
        assert_eq!(held(&lane), [is(100, 7), gone, is(100, 8), lost, left(120, 9, false)]);
    }

    #[test]
    fn a_batch_begins_with_who_goes_on_running() {
        let sink = crate::output::sink::Sink::new(Box::new(std::io::sink()), Default::default());
        let mut outputs = Outputs::to_sink(sink);
        let mut lane = CpuLane::new(0);
        lane.switch_in(100, 7);
        lane.write(&mut outputs);
        assert_eq!((lane.events, lane.sequence, lane.offset > 0), (0, 0, true));
        lane.begin_batch(130);
        assert_eq!(held(&lane), [is(130, 7)]);
        lane.switch_out(140, 7, false, None);
        lane.write(&mut outputs);
        lane.begin_batch(200);
        assert_eq!((lane.sequence, lane.offset), (2, 0));
        assert_eq!(held(&lane), [], "nobody runs");
    }

    #[test]
    fn who_left_unseen_has_left_when_another_comes_or_goes() {
        let mut lane = CpuLane::new(0);
        lane.switch_in(10, 1);
        lane.switch_in(20, 2);
        lane.switch_out(30, 3, true, None);
        lane.switch_out(40, 2, false, None);
        let expected = [is(10, 1), left(20, 1, false), is(20, 2), left(30, 2, false)];
        assert_eq!(held(&lane), expected, "and nobody leaves twice");
    }
}
