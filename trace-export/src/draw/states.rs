//! The states of threads (running on which CPU, ready, asleep), samples, and page faults. Drawn
//! only if switches were recorded; without them states are unknown.
//!
//! - **C1** A thread that is shown as running is not shown as running again before it left.
//! - **C2** Every thread that is named here has a track, so it belongs to the process.

use trace_analysis::timeline::{Interval, ThreadState, Who};
use trace_format::id::StackId;

use super::{Drawing, OWN_CATEGORY};
use crate::scene::{Detail, Label, Mark, OsThread, Scene, State};

/// The state of a thread that was drawn last; `None` at first.
pub(super) type Shown = Option<State>;

impl<S: Scene> Drawing<'_, '_, S> {
    pub(super) fn thread_was(&mut self, interval: &Interval) {
        let who = interval.who;
        if !self.has_cpus || who.os_id == 0 {
            return;
        }
        let state = match interval.state {
            ThreadState::Running(Some(cpu)) | ThreadState::InCall(Some(cpu)) => State::Running(cpu),
            ThreadState::Ready => State::Ready,
            ThreadState::Blocked(_) | ThreadState::Stopped => State::Asleep,
            ThreadState::Running(None) | ThreadState::InCall(None) | ThreadState::Unknown => {
                State::Unknown
            }
        };
        let at = self.time(interval.from);
        let thread = self.thread(who);
        let before = thread.state.replace(state);
        if before == Some(state) || (before.is_none() && state == State::Unknown) {
            return;
        }
        if let Some(Some(thread)) = self.threads.get(who.number) {
            let thread = OsThread { id: who.os_id, name: &thread.name };
            if let (Some(State::Running(_)), State::Running(_)) = (before, state) {
                self.scene.state(thread, at, State::Unknown);
            }
            self.scene.state(thread, at, state);
        }
    }

    pub(super) fn sampled(&mut self, who: Who, cpu: u32, at: u64, stack: StackId) {
        self.thread(who);
        let mut is_shown = false;
        if let Some(Some(thread)) = self.threads.get(who.number).filter(|_| who.os_id > 0) {
            let thread = OsThread { id: who.os_id, name: &thread.name };
            is_shown = self.scene.sample(thread, cpu, at, stack);
        }
        let count = if is_shown { &mut self.totals.samples } else { &mut self.totals.hidden };
        *count += 1;
    }

    /// Draws an instant on the thread that had to wait for a page.
    pub(super) fn page_fault(&mut self, who: Who, at: u64, address: u64, stack: StackId) {
        let address = format!("{address:#x}");
        let details = [Detail::Word("address", &address)];
        let mark = Mark { stack, ..Mark::new(Label::Name("page fault", OWN_CATEGORY)) };
        self.instant(who, at, &mark.with(&details));
    }

    /// Draws an instant on the process for records that the system lost, as they may be about any
    /// thread.
    pub(super) fn records_lost(&mut self, cpu: u32, at: u64, records: u64) {
        self.totals.lost_records = self.totals.lost_records.saturating_add(records);
        let details = [Detail::Number("cpu", cpu.into()), Detail::Number("records", records)];
        let mark = Mark::new(Label::Name("KERNEL RECORDS LOST", OWN_CATEGORY));
        self.scene.instant(self.rows.process, at, &mark.with(&details));
    }
}
