//! The walk's part about CPUs: threads come onto them and go off them.

use trace_format::event::{Event, EventKind};
use trace_format::id::{ResourceId, StackId, ThreadId};
use trace_format::time::Nanos;

use super::cpus::Switch;
use super::thread::Cpu;
use super::walk::Walk;
use super::{Fold, Observer, Wait, Waited};
use crate::reason::Reason;

impl<O: Observer, F: Fold> Walk<'_, O, F> {
    /// Takes an event of a CPU.
    pub(super) fn cpu_event(&mut self, cpu: u32, event: &Event<'_>) {
        let at = self.nanos(event.ticks);
        self.settle(at);
        match event.kind {
            EventKind::SwitchIn { os_thread } => {
                let Some(who) = self.os_thread(os_thread, at) else { return };
                self.switch_in(cpu, who, at);
            }
            EventKind::SwitchOut { os_thread, preempted } => {
                let Some(who) = self.os_thread(os_thread, at) else { return };
                self.switch_out(cpu, who, at, preempted);
            }
            EventKind::Sample { os_thread, stack } => {
                self.cpus.sample(cpu);
                let Some(who) = self.os_thread(os_thread, at) else { return };
                if let Some(account) = self.living[who].account() {
                    account.sample(stack, 1);
                }
                self.sums.sampled(self.names[who].0, stack);
                if self.is_watched() {
                    let seen = self.seen(who);
                    self.observer.sample(seen, cpu, Nanos(at), stack);
                }
            }
            EventKind::Fault { os_thread, stack, address } => {
                self.faults += 1;
                let Some(who) = self.os_thread(os_thread, at) else { return };
                self.bring(who, at);
                self.living[who].fault = Some((stack, at));
                if self.is_watched() {
                    let seen = self.seen(who);
                    self.observer.fault(seen, Nanos(at), address, stack);
                }
            }
            EventKind::LostKernel { records } => {
                self.cpus.lost(cpu, records);
                if self.is_watched() {
                    self.observer.lost_records(cpu, Nanos(at), records);
                }
                self.lose_switches(at);
            }
            _ if self.is_inside => self.observer.unknown(),
            _ => {}
        }
    }

    fn os_thread(&mut self, os_id: u64, at: u64) -> Option<usize> {
        match self.who.os_thread(os_id, at) {
            Some(who) => Some(who),
            None => self.meet_stranger(ThreadId(0), os_id, at),
        }
    }

    /// A thread comes onto a CPU.
    pub(super) fn switch_in(&mut self, cpu: u32, who: usize, at: u64) {
        self.come_back(who, at);
        let before = self.cpus.switch_in(cpu, who, at);
        // Its own going off was not recorded.
        if let Some(lost) = before.filter(|&lost| self.living[lost].cpu == Cpu::On(cpu)) {
            self.bring(lost, at);
            self.put(lost, Cpu::Lost, at);
        }
        self.put(who, Cpu::On(cpu), at);
    }

    /// A thread goes off a CPU.
    pub(super) fn switch_out(&mut self, cpu: u32, who: usize, at: u64, preempted: bool) {
        self.cpus.switch_out(cpu, who, at, preempted);
        self.go_off(who, cpu, at, preempted);
    }

    fn come_back(&mut self, who: usize, at: u64) {
        let living = &mut self.living[who];
        if living.now == living.begin && at < living.begin {
            living.begin_at(at);
        }
        living.seen = true;
        self.bring(who, at);
        let living = &mut self.living[who];
        if living.cpu == Cpu::Never {
            living.resolve(false);
        }
        self.tell_outside(who);
        self.living[who].fault = None;
    }

    /// If a thread was put off its CPU: it could run since then, up to its present moment, save
    /// where the process was stopped.
    pub(super) fn end_put_off(&mut self, who: usize) {
        let living = &self.living[who];
        if living.cpu == Cpu::Preempted {
            let stack = living.call().map_or(StackId(0), |call| call.open.stack);
            let stops = self.stops.clone();
            for span in stops.awake_spans(living.since, living.now) {
                self.add_ready(stack, self.names[who].0, span);
            }
        }
    }

    /// Waiting outside calls is over.
    pub(super) fn tell_outside(&mut self, who: usize) {
        let is_told = O::WANTS_SUMS && !self.may_be_another(who);
        let living = &mut self.living[who];
        let nanos = std::mem::take(&mut living.outside);
        if nanos == 0 {
            return;
        }
        let (reason, stack) = match living.fault {
            Some((stack, _)) => (Reason::PageFault, stack),
            None => (Reason::Unseen, StackId(0)),
        };
        if !is_told {
            return;
        }
        let wait = Wait {
            thread: self.names[who].0,
            stack,
            resource: ResourceId(0),
            begin: Nanos(living.now - nanos.min(living.now)).into(),
            duration: Nanos(nanos),
            inside: Nanos(nanos),
            waker: None,
            timed_out: false,
        };
        let end = self.living[who].now;
        let (named, waker_place, place) = (false, None, stack);
        let (is_over, is_endless) = (true, false);
        let waited = Waited { reason, named, place, waker_place, wait, end, is_over, is_endless };
        self.sums.wait(&waited);
    }

    fn go_off(&mut self, who: usize, cpu: u32, at: u64, preempted: bool) {
        let living = &mut self.living[who];
        // Clocks of CPUs differ by a little: it may be on another already.
        if matches!(living.cpu, Cpu::On(other) if other != cpu) {
            return;
        }
        living.seen = true;
        self.bring(who, at);
        let living = &mut self.living[who];
        if living.cpu == Cpu::Never {
            living.resolve(true);
        }
        let count = if preempted { &mut living.preemptions } else { &mut living.yields };
        *count += 1;
        if let (Some((stack, since)), Cpu::On(_), None) = (living.fault, living.cpu, living.call())
            && !preempted
        {
            // The kernel asked for the page. In a call its time is the kernel's anyway.
            let nanos = self.stops.awake(since, at);
            self.sums.in_fault(self.names[who].0, stack, Nanos(nanos));
        }
        self.put(who, if preempted { Cpu::Preempted } else { Cpu::Off }, at);
    }

    /// Time must have been made pass.
    fn put(&mut self, who: usize, cpu: Cpu, at: u64) {
        self.end_put_off(who);
        let living = &mut self.living[who];
        let before = std::mem::replace(&mut living.cpu, cpu);
        living.since = at;
        if !std::mem::replace(&mut living.is_switched, true) {
            self.switched.push(who);
        }
        self.waiter_changed(who);
        self.tell_intervals(who);
        self.cpus.switched(Switch { at, before, after: cpu });
    }

    /// Records of switches are missing: nothing is known of any thread and CPUs.
    pub(super) fn lose_switches(&mut self, at: u64) {
        // Not all threads: a false trace may have many of them, and lose records again and again.
        for who in std::mem::take(&mut self.switched) {
            if self.living[who].cpu != Cpu::Lost {
                self.bring(who, at);
                self.put(who, Cpu::Lost, at);
            }
            self.living[who].is_switched = false;
        }
        self.cpus.lose();
    }
}
