//! One future as time goes by.

use trace_format::id::{FutureId, SiteId, StackId, TaskId, ThreadId};
use trace_format::time::Nanos;

use super::idle::Undecided;
use crate::report::async_tasks::{OnePoll, Phase, Spawner};
use crate::time::Moment;
use crate::timeline::TaskInterval;

/// Maximum number of the last times in which a task was idle that are remembered, to say what it
/// did while it held a lock.
const PAST_MAX: usize = 8;

/// Maximum number of polls that wait to be told which call site is theirs: a spawn may be told
/// late.
pub(crate) const EARLY_MAX: usize = 4;

/// What a future is to those who count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// An async task that was spawned.
    Spawned,
    /// An outermost future that was not.
    Polled,
    /// A child future.
    Child,
}

/// A wake, the first since the last poll began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Woken {
    pub(crate) at: u64,
    pub(crate) thread: ThreadId,
    /// The task that was polled there.
    pub(crate) by: FutureId,
    /// The user's task that the future worked for that was polled innermost there; 0 for none.
    pub(crate) works_for: TaskId,
    pub(crate) stack: StackId,
    /// It was a child future's waker.
    pub(crate) is_childs: bool,
}

/// A time in which a task was idle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Past {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) stack: StackId,
}

/// Maximum number of places of one future that are remembered: the branches of its `select!`.
const OWN_PLACES_MAX: usize = 4;

/// Maximum number of child futures of one task that are remembered while they are open.
const CHILDREN_MAX: usize = 64;

/// One future.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) kind: Kind,
    pub(crate) site: SiteId,
    /// Its place among the sums.
    pub(crate) sums: usize,
    /// An event has named it: its site is known.
    pub(crate) is_told: bool,
    pub(crate) begin: Moment,
    pub(crate) spawner: Spawner,
    /// The future around it, and the task it is in: 0 and itself for a task.
    pub(crate) parent: FutureId,
    pub(crate) root: FutureId,
    /// That it is in that is presumed, until one of both is polled.
    pub(crate) is_presumed: bool,
    /// The future that is presumed to be wrapped in it; 0 for none, and after its first poll.
    pub(crate) wraps: FutureId,
    /// The child future that was polled in it last.
    pub(crate) child: FutureId,
    pub(crate) polls: u64,
    /// How many of its polls are open: one, in traces that are true.
    pub(crate) open: u32,
    /// When its last poll began and ended.
    pub(crate) polled: (u64, u64),
    /// How long before what is read its last poll had ended, or the one that is open begun:
    /// `polled` has the first moment of that then.
    pub(crate) older: u64,
    pub(crate) woken: Option<Woken>,
    /// Since when it has been ready, if that was said.
    pub(crate) ready: Option<u64>,
    /// How long it had been ready when its present poll began.
    pub(crate) delay: Option<u64>,
    /// The user's task that it works for; 0 for none.
    pub(crate) works_for: TaskId,
    /// Where it waits, and where a child future took a waker in the present poll.
    pub(crate) waits_at: StackId,
    pub(crate) child_waits_at: StackId,
    /// The child future that waits there, in both cases; 0 for the future itself.
    pub(crate) waits_in: FutureId,
    pub(crate) child_waits_in: FutureId,
    /// A child future was polled in the present poll for the first time, and waits.
    pub(crate) has_new_child: bool,
    /// Where the future itself last took a waker; 0 if it went on since, or never did.
    pub(crate) own_waits_at: StackId,
    /// Where it did so in its polls lately, each place once, the last first: of a `select!` a poll
    /// tells one branch, as they come in any order.
    pub(crate) own_lately: [StackId; OWN_PLACES_MAX],
    /// Of a task: how it was idle last, if it is not yet known what for.
    pub(crate) undecided: Option<Box<Undecided>>,
    /// Of a task: the child futures that were polled in it and have not ended, as far as they fit.
    pub(crate) children: Vec<FutureId>,
    /// It was woken for its last poll.
    pub(crate) was_woken: bool,
    /// Its last poll did nothing, if it turns out that it was pending.
    pub(crate) is_futile: bool,
    /// The end of its last poll is not in the trace: what came then is not known.
    pub(crate) is_lost: bool,
    /// The number of the edge to its next poll; 0 if none leads there yet.
    pub(crate) edge: u64,
    /// Up to when an observer was told what it did.
    pub(crate) drawn: Moment,
    /// What it did since it was idle, while it is not known what for: an observer gets it later.
    pub(crate) untold: Vec<TaskInterval>,
    pub(crate) unwakeable: bool,
    /// It is over, and only its poll is still open.
    pub(crate) ended: bool,
    pub(crate) past: Vec<Past>,
    /// Polls that are not counted yet.
    pub(crate) early: Vec<OnePoll>,
}

impl State {
    pub(crate) fn new(id: FutureId, kind: Kind, site: SiteId, sums: usize, begin: Moment) -> Self {
        Self {
            kind,
            site,
            sums,
            is_told: false,
            begin,
            spawner: Spawner::default(),
            parent: FutureId(0),
            root: id,
            is_presumed: false,
            wraps: FutureId(0),
            child: FutureId(0),
            polls: 0,
            open: 0,
            polled: (0, 0),
            older: 0,
            woken: None,
            ready: None,
            delay: None,
            works_for: TaskId(0),
            waits_at: StackId(0),
            child_waits_at: StackId(0),
            waits_in: FutureId(0),
            child_waits_in: FutureId(0),
            has_new_child: false,
            own_waits_at: StackId(0),
            own_lately: [StackId(0); OWN_PLACES_MAX],
            undecided: None,
            children: Vec::new(),
            was_woken: false,
            is_futile: false,
            is_lost: false,
            edge: 0,
            drawn: begin,
            untold: Vec::new(),
            unwakeable: false,
            ended: false,
            past: Vec::new(),
            early: Vec::new(),
        }
    }

    pub(crate) fn is_task(&self) -> bool {
        self.kind != Kind::Child
    }

    /// Since when it is idle: pending, and not woken; `None` if it is not.
    pub(crate) fn idle_since(&self) -> Option<u64> {
        let is_over = self.polls > 0 && self.open == 0 && !self.is_lost;
        (is_over && self.woken.is_none() && !self.ended).then_some(self.polled.1)
    }

    /// Since when it has been ready at `at`, if that is known.
    pub(crate) fn ready_since(&self) -> Option<u64> {
        let new = (self.is_new() && self.is_told).then(|| self.begin.inside().0);
        let woken = self.woken.map(|woken| woken.at.max(self.polled.1));
        self.ready.or(new).or(woken)
    }

    /// What it is doing at the end of what is read, and since when.
    pub(crate) fn phase(&self) -> (Phase, Moment) {
        if self.open > 0 {
            return (Phase::Polled, Moment::older(self.polled.0, self.older));
        }
        // Its runtime may have said since when it is ready.
        let ready = self.ready.or(self.woken.map(|woken| woken.at.max(self.polled.1)));
        match ready {
            _ if self.is_new() => {
                (Phase::New, self.ready.map_or(self.begin, |ready| Nanos(ready).into()))
            }
            Some(ready) => (Phase::Ready, Nanos(ready).into()),
            None if self.polls == 0 => (Phase::New, self.begin),
            None => (Phase::Idle, Moment::older(self.polled.1, self.older)),
        }
    }

    /// Whether it was handed over to be polled, and never was: it is ready, woken or not.
    pub(crate) fn is_new(&self) -> bool {
        self.polls == 0 && self.kind == Kind::Spawned
    }

    /// It took a waker itself in the poll that is over.
    pub(crate) fn takes_waker_at(&mut self, stack: StackId) {
        self.own_waits_at = stack;
        let known = self.own_lately.iter().position(|it| *it == stack);
        let at = known.unwrap_or(OWN_PLACES_MAX - 1);
        self.own_lately[..=at].rotate_right(1);
        self.own_lately[0] = stack;
    }

    /// A child future is polled in it.
    pub(crate) fn add_child(&mut self, child: FutureId) {
        if self.children.len() < CHILDREN_MAX && !self.children.contains(&child) {
            self.children.push(child);
        }
    }

    /// It was idle.
    pub(crate) fn remember(&mut self, past: Past) {
        if self.past.len() >= PAST_MAX {
            self.past.remove(0);
        }
        self.past.push(past);
    }
}
