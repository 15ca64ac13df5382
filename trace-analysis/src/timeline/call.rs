//! A call that a thread is in, and what the thread did in it so far.

use trace_format::id::{OpenCall, ResourceId, StackId};

use super::places::Meaning;
use super::spent::BLOCKED;
use super::thread::Cpu;
use crate::reason::Why;

/// A call that is or was open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(super) open: OpenCall,
    pub(super) why: Why,
    /// One stack for all that wait at the same place of the program.
    pub(super) place: StackId,
    /// One resource for all that mean the same.
    pub(super) resource: ResourceId,
    /// Of its time, what was waiting for its reason.
    pub(super) blocked: u64,
    /// Of its time, what was waiting for memory to be read.
    pub(super) faulted: u64,
    /// Of its time, what was not on a CPU, as far as that is known.
    pub(super) off_cpu: u64,
    /// Of its time, what was on one: the kernel's work.
    pub(super) on_cpu: u64,
    /// Of its time, what the thread's first switch is yet to tell of.
    unresolved: u64,
    /// Bytes or a negative error, once it is over.
    pub(super) result: Option<i64>,
    /// The last stretch off the CPU by its own will.
    pub(super) last_off: Option<Off>,
    /// The same before the thread's first switch, which tells whether it was one.
    unresolved_off: Option<Off>,
}

/// A stretch off the CPU.
#[derive(Clone, Copy, Debug)]
pub(super) struct Off {
    /// The state it counts as.
    pub(super) slot: usize,
    pub(super) from: u64,
    pub(super) to: u64,
    /// Whether it lies before the thread's first switch.
    pub(super) is_early: bool,
}

impl Off {
    /// A stretch is over that goes on from `before`, if that is the same one.
    fn longer(before: Option<Self>, new: Self) -> Self {
        match before {
            Some(before)
                if (before.slot, before.is_early) == (new.slot, new.is_early)
                    && before.to == new.from =>
            {
                Self { from: before.from, ..new }
            }
            _ => new,
        }
    }
}

impl Call {
    /// A call that begins.
    pub(super) fn new(open: OpenCall, meaning: Meaning) -> Self {
        let Meaning { why, place, resource } = meaning;
        Self {
            open,
            why,
            place,
            resource,
            blocked: 0,
            faulted: 0,
            off_cpu: 0,
            on_cpu: 0,
            unresolved: 0,
            result: None,
            last_off: None,
            unresolved_off: None,
        }
    }

    /// Its thread spent a stretch in it, in one state.
    #[inline]
    pub(super) fn spend(&mut self, slot: usize, cpu: Cpu, from: u64, to: u64) {
        let nanos = to - from;
        if slot == BLOCKED + self.why.reason as usize {
            self.blocked += nanos;
        } else if slot >= BLOCKED {
            self.faulted += nanos;
        }
        let off = Off { slot, from, to, is_early: cpu == Cpu::Never };
        match cpu {
            Cpu::Off => {
                self.off_cpu += nanos;
                self.last_off = Some(Off::longer(self.last_off, off));
            }
            Cpu::Preempted => self.off_cpu += nanos,
            Cpu::On(_) => self.on_cpu += nanos,
            Cpu::Never => {
                self.unresolved += nanos;
                self.unresolved_off = Some(Off::longer(self.unresolved_off, off));
            }
            Cpu::Lost => {}
        }
    }

    /// The thread's first switch has come: `on` says whether it had been on a CPU until then.
    pub(super) fn resolve(&mut self, on: bool) {
        let nanos = std::mem::take(&mut self.unresolved);
        let off = self.unresolved_off.take();
        if on {
            // What looked like waiting was not.
            (self.blocked, self.faulted) = (0, 0);
            self.on_cpu += nanos;
        } else {
            self.off_cpu += nanos;
            self.last_off = off;
        }
    }

    /// The window ends, and the thread's first switch has not come: it has not run.
    pub(super) fn presume_off(&mut self) {
        self.off_cpu += std::mem::take(&mut self.unresolved);
        self.last_off = self.last_off.or(self.unresolved_off);
    }

    /// The window begins: what the thread did in it before does not count.
    pub(super) fn begin_window(&mut self) {
        (self.blocked, self.faulted, self.off_cpu, self.on_cpu) = (0, 0, 0, 0);
        (self.unresolved, self.last_off, self.unresolved_off) = (0, None, None);
    }

    /// Events are missing in it: what it did so far stays as it is, as observers have got it.
    pub(super) fn settle(&mut self) {
        self.last_off = None;
    }
}
