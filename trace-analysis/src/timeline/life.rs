//! What is known of one thread's life: from when to when, and how it spent the time.

use trace_format::id::{StackId, ThreadId};
use trace_format::time::Nanos;

use crate::reason::Reason;
use crate::units::sum as saturating_sum;

/// One thread's life, as far as it lies in the window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadLife {
    /// Which; 0 if it recorded nothing and is known from a CPU only.
    pub thread: ThreadId,
    /// The system's id.
    pub os_id: u64,
    /// Its name; may be empty.
    pub name: String,
    /// The thread that made it; 0 if none or unknown.
    pub parent: ThreadId,
    /// Where it was made; 0 if unknown.
    pub stack: StackId,
    /// The address of the function it began with; 0 if unknown.
    pub entry: u64,
    /// Since the first clock snapshot.
    pub begin: Nanos,
    /// The end of its life, or of the window.
    pub end: Nanos,
    /// Whether it has ended.
    pub ended: bool,
    /// What it did; adds up to `end - begin`.
    pub times: Times,
    /// Calls into the system that ended.
    pub calls: u64,
    /// How often it went off its CPU by its own will.
    pub yields: u64,
    /// How often it was put off its CPU.
    pub preemptions: u64,
}

/// What a thread did with a stretch of time. Each moment is in exactly one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// On a CPU, in the program's own code.
    pub running: Nanos,
    /// On a CPU inside a call; without switches, inside a call that need not wait.
    pub in_calls: Nanos,
    /// Able to run, and not on a CPU: preempted, or woken and not yet there.
    pub ready: Nanos,
    /// Where records are missing, and outside recorded calls where no switches were recorded: it
    /// may have run there, been ready, or waited in a call that is not hooked.
    pub unknown: Nanos,
    /// The whole process was stopped, whatever the thread was about to do.
    pub stopped: Nanos,
    /// Waiting, by [`Reason`] as a number.
    pub blocked: [Nanos; Reason::COUNT],
}

impl Default for Times {
    fn default() -> Self {
        Self {
            running: Nanos(0),
            in_calls: Nanos(0),
            ready: Nanos(0),
            unknown: Nanos(0),
            stopped: Nanos(0),
            blocked: [Nanos(0); Reason::COUNT],
        }
    }
}

impl Times {
    /// On a CPU.
    #[must_use]
    pub const fn cpu(&self) -> Nanos {
        Nanos(self.running.0.saturating_add(self.in_calls.0))
    }

    /// Waiting for one reason.
    #[must_use]
    pub const fn blocked_by(&self, reason: Reason) -> Nanos {
        self.blocked[reason as usize]
    }

    /// Waiting, for whatever reason.
    #[must_use]
    pub fn blocked(&self) -> Nanos {
        Nanos(saturating_sum(self.blocked.iter().map(|time| time.0)))
    }

    /// The reasons it waited for, the most time first.
    #[must_use]
    pub fn reasons(&self) -> Vec<(Reason, Nanos)> {
        let all = Reason::ALL.iter().map(|&reason| (reason, self.blocked_by(reason)));
        let mut reasons: Vec<_> = all.filter(|(_, time)| time.0 > 0).collect();
        reasons.sort_by_key(|&(reason, time)| (std::cmp::Reverse(time), reason));
        reasons
    }

    /// All of it.
    #[must_use]
    pub fn total(&self) -> Nanos {
        let parts = [self.running, self.in_calls, self.ready, self.unknown, self.stopped];
        let parts = parts.into_iter().chain(self.blocked);
        Nanos(saturating_sum(parts.map(|time| time.0)))
    }

    /// Adds another's times.
    pub fn add(&mut self, other: &Self) {
        let add = |mine: &mut Nanos, theirs: Nanos| mine.0 = mine.0.saturating_add(theirs.0);
        add(&mut self.running, other.running);
        add(&mut self.in_calls, other.in_calls);
        add(&mut self.ready, other.ready);
        add(&mut self.unknown, other.unknown);
        add(&mut self.stopped, other.stopped);
        for (mine, theirs) in self.blocked.iter_mut().zip(other.blocked) {
            add(mine, theirs);
        }
    }
}
