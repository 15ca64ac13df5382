//! What the program waited for, who made it wait, and where.
//!
//! Waiting is of two kinds, each with its own list: being held up, which could be less, and
//! waiting for work, time or other threads, which is how a program rests. A lock that costs a
//! tenth of the time must not stand below a main thread that waits for its workers. What is
//! outside of recorded calls has no place and no name, so it is told apart from both.

use clap::ValueEnum;
use trace_analysis::Wanted;
use trace_analysis::life::{WaitGroup, Waits};
use trace_analysis::reason::Reason;
use trace_format::time::Nanos;

use super::{Disturbances, LifeReading, Question, Subject, cut};
use crate::error::Failure;
use crate::label::units;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct BlockedAsk {
    /// How waits are grouped.
    pub by: By,
    /// Maximum number of groups of each kind; 0 for all.
    pub top: usize,
}

/// What waits have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// The lock, channel, file or socket; the place where there is none.
    Lock,
    /// The reason alone.
    Reason,
    /// The stack of the waiting.
    Stack,
    /// The thread that waits.
    Thread,
}

/// The answer.
#[derive(Debug)]
pub struct BlockedAnswer {
    /// What it is about.
    pub subject: Subject,
    /// What disturbs its times.
    pub disturbances: Disturbances,
    /// How many waits there were.
    pub count: u64,
    /// How long they took together.
    pub total: Nanos,
    /// How many are in groups without a place or a file, because the table was full.
    pub late: u64,
    /// How many have no waker or no holder, because the table of locks or that of a lock's holders
    /// was full.
    pub late_holders: u64,
    /// By what is waited for.
    pub by_lock: WaitGroups,
    /// By the reason.
    pub by_reason: WaitGroups,
    /// By the stack.
    pub by_stack: WaitGroups,
    /// By the thread.
    pub by_thread: WaitGroups,
    /// What people asked for.
    pub by: By,
}

/// The same waits in groups, by their kinds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WaitGroups {
    /// What holds threads up.
    pub held_up: WaitKind,
    /// How threads rest.
    pub at_rest: WaitKind,
    /// Off a CPU outside of recorded calls.
    pub outside: WaitKind,
}

/// The waits of one kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WaitKind {
    /// How many waits there were in all groups.
    pub count: u64,
    /// How long they took.
    pub total: Nanos,
    /// The groups, the most time first, cut.
    pub groups: Vec<WaitGroup>,
    /// How many groups were left out.
    pub omitted: usize,
}

impl BlockedAnswer {
    /// Reads the trace.
    ///
    /// # Errors
    /// If there is none, or a file that names were to be taken from can't be read.
    pub fn read(question: &Question, ask: BlockedAsk) -> Result<Self, Failure> {
        let LifeReading { subject, report } = LifeReading::read(question, Wanted::default())?;
        let by_lock = WaitGroups::new(report.lives.waits_by_resource(), ask.top);
        let disturbances = Disturbances::new(&report.lives);
        let Waits { count, total, late, late_holders, .. } = report.lives.waits;
        let Waits { by_reason, by_stack, by_thread, .. } = report.lives.waits;
        Ok(Self {
            subject,
            disturbances,
            count,
            total,
            late,
            late_holders,
            by_lock,
            by_reason: WaitGroups::new(by_reason, ask.top),
            by_stack: WaitGroups::new(by_stack, ask.top),
            by_thread: WaitGroups::new(by_thread, ask.top),
            by: ask.by,
        })
    }

    /// The groups that were asked for.
    #[must_use]
    pub fn groups(&self) -> &WaitGroups {
        match self.by {
            By::Lock => &self.by_lock,
            By::Reason => &self.by_reason,
            By::Stack => &self.by_stack,
            By::Thread => &self.by_thread,
        }
    }
}

impl WaitGroups {
    fn new(groups: Vec<WaitGroup>, top: usize) -> Self {
        let is_outside = |group: &WaitGroup| group.reason == Reason::Unseen;
        let (outside, in_calls): (Vec<_>, Vec<_>) = groups.into_iter().partition(is_outside);
        let (at_rest, held_up) = in_calls.into_iter().partition(WaitGroup::is_rest);
        let [held_up, at_rest, outside] =
            [held_up, at_rest, outside].map(|groups| WaitKind::new(groups, top));
        Self { held_up, at_rest, outside }
    }
}

impl WaitKind {
    fn new(mut groups: Vec<WaitGroup>, top: usize) -> Self {
        let count = units::sum(groups.iter().map(|group| group.count));
        let total = Nanos(units::sum(groups.iter().map(|group| group.total.0)));
        let omitted = cut(&mut groups, top);
        Self { count, total, groups, omitted }
    }
}
