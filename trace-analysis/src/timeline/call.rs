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
    /// The last stretch off the CPU by its own will: the state it counts as, from when to when.
    pub(super) last_off: Option<(usize, u64, u64)>,
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
        match cpu {
            Cpu::Off => {
                self.off_cpu += nanos;
                let since = match self.last_off {
                    Some((before, since, until)) if before == slot && until == from => since,
                    _ => from,
                };
                self.last_off = Some((slot, since, to));
            }
            Cpu::Preempted => self.off_cpu += nanos,
            Cpu::On(_) => self.on_cpu += nanos,
            Cpu::Never => self.unresolved += nanos,
            Cpu::Lost => {}
        }
    }

    /// The thread's first switch has come: `on` says whether it had been on a CPU until then.
    pub(super) fn resolve(&mut self, on: bool) {
        let nanos = std::mem::take(&mut self.unresolved);
        if on {
            // What looked like waiting was not.
            (self.blocked, self.faulted) = (0, 0);
            self.on_cpu += nanos;
        } else {
            self.off_cpu += nanos;
        }
    }

    /// Events are missing in it: what it did so far stays as it is, as observers were told of it.
    pub(super) fn settle(&mut self) {
        self.last_off = None;
    }
}
