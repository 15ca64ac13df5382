//! The critical path of a thread: who did what while it took its time.
//!
//! From the end of a thread's life the path goes back: while the thread works, the time is its own;
//! where it waited and another thread ended that, the path goes on with that thread, at the moment
//! at which it did so; where a thread begins, with the one that made it. So each moment belongs to
//! one thread, which either works or waits for something that no thread of the trace ended: to have
//! that done faster would have made the whole faster, and nothing else would.
//!
//! Waits that are too short to matter are not known here: they count as work.

use std::collections::HashMap;

use trace_format::id::{StackId, ThreadId};
use trace_format::time::Nanos;

use crate::reason::Reason;
use crate::report::life::{Lives, LongWait, ThreadLife};

/// Maximum number of turns of a path, each back by one wait or to who made a thread; what lies
/// before is left out.
const TURNS_MAX: usize = 1 << 14;

/// One step of a path, the last in time first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PathStep {
    pub(crate) thread: ThreadId,
    pub(crate) from: Nanos,
    pub(crate) to: Nanos,
    pub(crate) doing: PathDoing,
    /// How many hand-overs lie between the path's begin and this step: the first of
    /// [`CriticalPath::hands`].
    pub(crate) hands: usize,
}

/// What a thread does in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum PathDoing {
    /// It works, or is ready to.
    Working,
    /// It waits for what no thread of the trace ended, at this stack.
    Waiting(Reason, StackId),
}

/// A thread waited for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HandOver {
    pub(crate) waiter: ThreadId,
    pub(crate) reason: Reason,
    pub(crate) stack: StackId,
    pub(crate) waited: Nanos,
    /// Whom it waited for.
    pub(crate) other: ThreadId,
}

/// A critical path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CriticalPath {
    pub(crate) steps: Vec<PathStep>,
    pub(crate) hands: Vec<HandOver>,
}

impl CriticalPath {
    /// The path to the end of a thread's life, as far as that is read.
    pub(crate) fn of(lives: &Lives, thread: ThreadId) -> Self {
        // The first of each, if a false trace has several.
        let threads: HashMap<_, _> =
            lives.threads.iter().rev().map(|life| (life.thread, life)).collect();
        let Some(at) = threads.get(&thread).map(|life| life.end.0) else {
            return Self::default();
        };
        let mut walker = PathWalker { lives, threads, at, thread, path: Self::default() };
        // Each turn goes back in time, or from a thread to the one that made it: a false trace may
        // have threads that made each other.
        for _ in 0..TURNS_MAX {
            if walker.at <= lives.from.0 || !walker.step() {
                break;
            }
        }
        walker.path
    }

    /// The hand-overs that lead to a step, the path's own thread first: each pair of threads once.
    pub(crate) fn chain(&self, step: &PathStep) -> Vec<HandOver> {
        // Back from the step, each time to the wait that led to that thread, until the path's own.
        let Some(first) = self.hands.first().map(|hand| hand.waiter) else { return Vec::new() };
        let (mut chain, mut next) = (Vec::new(), step.thread);
        for hand in self.hands[..step.hands].iter().rev().filter(|_| step.thread != first) {
            if next != first && hand.other == next {
                chain.push(*hand);
                next = hand.waiter;
            }
        }
        chain.reverse();
        chain
    }
}

struct PathWalker<'l> {
    lives: &'l Lives,
    threads: HashMap<ThreadId, &'l ThreadLife>,
    thread: ThreadId,
    at: u64,
    path: CriticalPath,
}

impl PathWalker<'_> {
    /// Goes back by one wait, or to where the thread began. Whether that went anywhere.
    fn step(&mut self) -> bool {
        let Some(wait) = self.last_wait() else { return self.before_it_waited() };
        self.add(wait.to, PathDoing::Working);
        let is_inside = |at: u64| at >= wait.from && at <= self.at;
        match wait.waker.filter(|it| it.thread != self.thread && is_inside(it.at)) {
            Some(waker) => {
                self.add(waker.at, PathDoing::Working);
                self.path.hands.push(HandOver {
                    waiter: self.thread,
                    reason: wait.reason,
                    stack: wait.stack,
                    waited: wait.nanos(),
                    other: waker.thread,
                });
                self.thread = waker.thread;
                // Two that woke each other at one moment would go on for ever.
                self.at = self.at.saturating_sub(1);
            }
            None => self.add(wait.from, PathDoing::Waiting(wait.reason, wait.stack)),
        }
        true
    }

    /// The last wait of the thread that began before now.
    fn last_wait(&self) -> Option<LongWait> {
        let waits = self.lives.long_waits(self.thread);
        let before = waits.partition_point(|wait| wait.from < self.at);
        before.checked_sub(1).map(|last| waits[last])
    }

    /// The thread does this from then until now.
    fn add(&mut self, from: u64, doing: PathDoing) {
        if from < self.at {
            let (thread, hands) = (self.thread, self.path.hands.len());
            let (from, to) = (Nanos(from), Nanos(self.at));
            self.path.steps.push(PathStep { thread, from, to, doing, hands });
            self.at = from.0;
        }
    }

    /// The thread has not waited before: it works since its begin, and then the one that made it.
    fn before_it_waited(&mut self) -> bool {
        let life = self.threads.get(&self.thread);
        let (begin, parent) = life.map_or((self.at, ThreadId(0)), |it| (it.begin.0, it.parent));
        self.add(begin.max(self.lives.from.0), PathDoing::Working);
        let is_parent = parent != ThreadId(0) && parent != self.thread;
        self.thread = parent;
        is_parent
    }
}
