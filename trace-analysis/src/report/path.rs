//! The critical path of a thread: who did what while it took its time.
//!
//! From the end of a thread's life the path goes back: while the thread works, the time is its own;
//! where it waited and another thread ended that, the path goes on with that thread, at the moment
//! at which it did so; where a thread begins, with the one that made it. So each moment belongs to
//! one thread, which either works or waits for something that no thread of the trace ended: to have
//! that done faster would have made the whole faster, and nothing else would.
//!
//! A thread that waits for a future waits for async tasks, and the path goes through these in the
//! same way: a task works or is ready, or was idle until another task or thread woke it.
//!
//! Waits that are too short to matter are not known here: they count as work.
//!
//! To find out what some waits cost, a path can be asked for as if these had been over at once
//! ([`Without`]): the actor then had what it waited for, and the path stays with it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use trace_format::id::{FutureId, StackId, ThreadId};
use trace_format::time::Nanos;

use crate::reason::{Await, Awaited, Reason};
use crate::report::async_tasks::{AsyncTasks, AsyncWaker, LongIdle, LongTasks, TaskLife};
use crate::report::life::{Lives, LongWait, LongWaker, ThreadLife};

/// Maximum number of turns of a path, each back by one wait or to who made a thread or a task; what
/// lies before is left out.
const TURNS_MAX: usize = 1 << 14;

/// Whom a path goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Actor {
    Thread(ThreadId),
    /// An async task.
    Task(FutureId),
}

/// What an actor waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum WaitsFor {
    Thread(Reason),
    Task(Await),
}

/// One step of a path, the last in time first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PathStep {
    pub(crate) actor: Actor,
    pub(crate) from: Nanos,
    pub(crate) to: Nanos,
    pub(crate) doing: PathDoing,
    /// How many hand-overs lie between the path's begin and this step: the first of
    /// [`CriticalPath::hands`].
    pub(crate) hands: usize,
}

/// What an actor does in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum PathDoing {
    /// It works, or is ready to.
    Working,
    /// It waits for what no thread and no task of the trace ended, at this stack.
    Waiting(WaitsFor, StackId),
    /// It waits, and the path was asked for without this wait.
    LeftOut,
}

/// An actor waited for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HandOver {
    pub(crate) waiter: Actor,
    pub(crate) reason: WaitsFor,
    pub(crate) stack: StackId,
    pub(crate) waited: Nanos,
    /// Whom it waited for.
    pub(crate) other: Actor,
}

/// A critical path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CriticalPath {
    pub(crate) steps: Vec<PathStep>,
    pub(crate) hands: Vec<HandOver>,
}

/// Waits that a path is asked for without.
#[derive(Clone, Copy)]
pub(crate) struct Without<'w> {
    /// Whether a thread's wait is one of them,
    pub(crate) wait: &'w dyn Fn(&LongWait) -> bool,
    /// and a task's idle time.
    pub(crate) idle: &'w dyn Fn(&LongIdle) -> bool,
}

impl Without<'_> {
    /// The path as it was.
    pub(crate) const NOTHING: Without<'static> =
        Without { wait: &|_: &LongWait| false, idle: &|_: &LongIdle| false };
}

/// What paths are found in.
#[derive(Clone, Debug)]
pub(crate) struct PathGraph<'l> {
    lives: &'l Lives,
    tasks: Cow<'l, LongTasks>,
    /// The first of each, if a false trace has several.
    threads: HashMap<ThreadId, &'l ThreadLife>,
    /// The threads that poll tasks: what they do is not their own.
    workers: HashSet<ThreadId>,
    /// Where threads woke others as a task of their executor had ended.
    task_ends: HashSet<StackId>,
}

impl<'l> PathGraph<'l> {
    /// - `is_task_end`: whether a thread wakes others there as a task of its executor has ended.
    pub(crate) fn new(
        lives: &'l Lives,
        tasks: Option<&'l AsyncTasks>,
        is_task_end: impl Fn(StackId) -> bool,
    ) -> Self {
        let threads = lives.threads.iter().rev().map(|life| (life.thread, life)).collect();
        let workers = tasks.iter().flat_map(|tasks| &tasks.workers);
        let workers = workers.map(|worker| worker.thread).collect();
        let tasks = tasks
            .map_or_else(|| Cow::Owned(LongTasks::default()), |tasks| Cow::Borrowed(&tasks.long));
        let for_futures = lives.fine.long_waits.iter().filter(|wait| wait.reason == Reason::Future);
        let of_threads = for_futures.filter_map(|wait| wait.waker).map(|waker| waker.stack);
        let wakers = tasks.idles().iter().filter_map(|idle| idle.waker);
        let outside_polls = wakers.filter(|waker| waker.task == FutureId(0));
        let of_tasks = outside_polls.map(|waker| waker.stack);
        let woken_at: HashSet<_> = of_threads.chain(of_tasks).collect();
        let task_ends = woken_at.into_iter().filter(|stack| is_task_end(*stack)).collect();
        Self { lives, tasks, threads, workers, task_ends }
    }

    /// Whether a thread polls async tasks.
    pub(crate) fn is_worker(&self, thread: ThreadId) -> bool {
        self.workers.contains(&thread)
    }

    /// The long times and lives of async tasks.
    pub(crate) fn tasks(&self) -> &LongTasks {
        &self.tasks
    }

    /// The path to the end of a thread's life, as far as that is read.
    pub(crate) fn path(&self, thread: ThreadId, without: Without<'_>) -> CriticalPath {
        let Some(at) = self.threads.get(&thread).map(|life| life.end.0) else {
            return CriticalPath::default();
        };
        let (first, actor, path) = (thread, Actor::Thread(thread), CriticalPath::default());
        let mut walker =
            PathWalker { graph: self, without, first, actor, at, root_ran: true, path };
        // Each turn goes back in time, or from a thread to the one that made it: a false trace may
        // have threads that made each other.
        for _ in 0..TURNS_MAX {
            if walker.at <= self.lives.from.0 || !walker.step() {
                break;
            }
        }
        walker.path
    }

    /// The task whose end ended a thread's wait for a future.
    fn ended_by(&self, wait: &LongWait, waker: &LongWaker) -> Option<TaskLife> {
        if wait.reason != Reason::Future || !self.task_ends.contains(&waker.stack) {
            return None;
        }
        let waited = self.last_wait(waker.thread, waker.at);
        let since = waited.map_or(0, |waited| waited.to);
        self.tasks.last_end(waker.thread, since, waker.at).copied()
    }

    /// Who woke a task at a time: another task, one that had just ended, or a thread that polls
    /// none.
    fn waker(&self, task: FutureId, waker: &AsyncWaker, at: u64) -> Option<Actor> {
        if waker.task != FutureId(0) {
            let life = self.tasks.life_of(waker.task).filter(|_| waker.task != task);
            return life.map(|life| Actor::Task(life.task));
        }
        if self.task_ends.contains(&waker.stack) {
            let waited = self.last_wait(waker.thread, at);
            let since = waited.map_or(0, |waited| waited.to);
            let life = self.tasks.last_end(waker.thread, since, at);
            if let Some(life) = life.filter(|life| life.task != task) {
                return Some(Actor::Task(life.task));
            }
        }
        let is_known = self.threads.contains_key(&waker.thread) && !self.is_worker(waker.thread);
        is_known.then_some(Actor::Thread(waker.thread))
    }

    /// The last wait of a thread that began before this.
    fn last_wait(&self, thread: ThreadId, at: u64) -> Option<LongWait> {
        let waits = self.lives.long_waits(thread);
        let before = waits.partition_point(|wait| wait.from < at);
        before.checked_sub(1).map(|last| waits[last])
    }
}

impl CriticalPath {
    /// The hand-overs that lead to a step, the path's own thread first: each actor once, as a
    /// detour that comes back to one leads nowhere.
    pub(crate) fn chain(&self, step: &PathStep) -> Vec<HandOver> {
        // Back from the step, each time to the wait that led to that actor, until the path's own.
        let Some(first) = self.hands.first().map(|hand| hand.waiter) else { return Vec::new() };
        let (mut chain, mut next) = (Vec::new(), step.actor);
        for hand in self.hands[..step.hands].iter().rev().filter(|_| step.actor != first) {
            if next != first && hand.other == next {
                chain.push(*hand);
                next = hand.waiter;
            }
        }
        chain.reverse();
        let mut straight: Vec<HandOver> = Vec::new();
        for hand in chain {
            straight.push(hand);
            if let Some(at) = straight.iter().position(|it| it.waiter == hand.other) {
                straight.truncate(at);
            }
        }
        straight
    }
}

struct PathWalker<'g> {
    graph: &'g PathGraph<'g>,
    without: Without<'g>,
    /// The path's own thread.
    first: ThreadId,
    actor: Actor,
    at: u64,
    /// Whether the future in `block_on` of a thread that polls tasks itself surely ran now: what
    /// the thread is woken for else may be another task's.
    root_ran: bool,
    path: CriticalPath,
}

impl PathWalker<'_> {
    /// Goes back by one wait, or to where the actor began. Whether that went anywhere.
    fn step(&mut self) -> bool {
        match self.actor {
            Actor::Thread(thread) => self.of_thread(thread),
            Actor::Task(task) => self.of_task(task),
        }
    }

    fn of_thread(&mut self, thread: ThreadId) -> bool {
        let (graph, without) = (self.graph, self.without);
        let wait = graph.last_wait(thread, self.at);
        if let Some(wait) = wait.filter(|wait| (without.wait)(wait)) {
            self.add(wait.to, PathDoing::Working);
            self.add(wait.from, PathDoing::LeftOut);
            return true;
        }
        if let Some(wait) = wait.filter(|wait| self.root_ran && wait.reason == Reason::Future)
            && let Some(life) = graph.tasks.last_end(thread, wait.to, self.at)
        {
            // It polls tasks itself in `block_on`, and went on as this one had ended. Until another
            // one ended there before, it may have waited for that.
            self.add(life.end, PathDoing::Working);
            let before = graph.tasks.last_end(thread, life.begin, life.end.saturating_sub(1));
            let since = before.map_or(life.begin, |before| before.end);
            let since = since.max(graph.lives.from.0);
            let waited = Nanos(life.end.saturating_sub(since));
            return self.follow_task(&wait, waited, *life);
        }
        let Some(wait) = wait else { return self.before_it_waited(thread) };
        self.add(wait.to, PathDoing::Working);
        let is_inside = |at: u64| at >= wait.from && at <= self.at;
        match wait.waker.filter(|it| it.thread != thread && is_inside(it.at)) {
            Some(waker) => {
                self.add(waker.at, PathDoing::Working);
                if let Some(life) = graph.ended_by(&wait, &waker) {
                    // Before, it may have waited for something else.
                    let (from, to) = (wait.from.max(life.begin), wait.to.min(life.end));
                    return self.follow_task(&wait, Nanos(to.saturating_sub(from)), life);
                }
                let reason = WaitsFor::Thread(wait.reason);
                self.hand_over(reason, wait.stack, wait.nanos(), Actor::Thread(waker.thread));
            }
            None => {
                let waits_for = WaitsFor::Thread(wait.reason);
                self.add(wait.from, PathDoing::Waiting(waits_for, wait.stack));
                self.root_ran &= wait.reason != Reason::Future || !graph.is_worker(thread);
            }
        }
        true
    }

    /// A thread waited so long for this task, which had ended by now.
    fn follow_task(&mut self, wait: &LongWait, waited: Nanos, life: TaskLife) -> bool {
        let reason = WaitsFor::Thread(wait.reason);
        self.hand_over(reason, wait.stack, waited, Actor::Task(life.task));
        true
    }

    fn hand_over(&mut self, reason: WaitsFor, stack: StackId, waited: Nanos, other: Actor) {
        self.path.hands.push(HandOver { waiter: self.actor, reason, stack, waited, other });
        self.actor = other;
        // Two that woke each other at one moment would go on for ever.
        self.at = self.at.saturating_sub(1);
    }

    fn of_task(&mut self, task: FutureId) -> bool {
        let (graph, without) = (self.graph, self.without);
        let Some(idle) = graph.tasks.last_idle(task, self.at).copied() else {
            return self.before_it_was_idle(task);
        };
        self.add(idle.to, PathDoing::Working);
        if (without.idle)(&idle) {
            self.add(idle.from, PathDoing::LeftOut);
            return true;
        }
        let waker = idle.waker.filter(|_| is_ended_by_others(idle.awaited.awaited));
        let other = waker.and_then(|waker| graph.waker(task, &waker, self.at));
        let reason = WaitsFor::Task(idle.awaited);
        match other {
            Some(other) => {
                self.hand_over(reason, idle.stack, Nanos(idle.to - idle.from), other);
            }
            None => self.add(idle.from, PathDoing::Waiting(reason, idle.stack)),
        }
        true
    }

    /// The actor does this from then until now.
    fn add(&mut self, from: u64, doing: PathDoing) {
        if from < self.at {
            let (actor, hands) = (self.actor, self.path.hands.len());
            let (from, to) = (Nanos(from), Nanos(self.at));
            self.path.steps.push(PathStep { actor, from, to, doing, hands });
            self.at = from.0;
        }
    }

    /// The thread has not waited before: it works since its begin, and then the one that made it.
    fn before_it_waited(&mut self, thread: ThreadId) -> bool {
        let life = self.graph.threads.get(&thread);
        let (begin, parent) = life.map_or((self.at, ThreadId(0)), |it| (it.begin.0, it.parent));
        self.add(begin.max(self.graph.lives.from.0), PathDoing::Working);
        let is_parent = parent != ThreadId(0) && parent != thread;
        self.actor = Actor::Thread(parent);
        is_parent
    }

    /// The task was not idle before: it works since it was spawned, and then who spawned it.
    fn before_it_was_idle(&mut self, task: FutureId) -> bool {
        let graph = self.graph;
        let Some(life) = graph.tasks.life_of(task) else { return false };
        self.add(life.begin.max(graph.lives.from.0), PathDoing::Working);
        let spawner = life.spawner;
        if spawner.task != FutureId(0) && spawner.task != task {
            self.actor = Actor::Task(spawner.task);
            return true;
        }
        (self.actor, self.root_ran) = (Actor::Thread(spawner.thread), true);
        // On a worker some future spawned it of which the trace does not tell.
        spawner.thread == self.first
            || spawner.thread != ThreadId(0) && !graph.is_worker(spawner.thread)
    }
}

/// Whether another task, or a thread, ends such a wait, rather than the world or time.
fn is_ended_by_others(awaited: Awaited) -> bool {
    use Awaited::{File, Pipe, Process, Signal, Socket, Timer, Yield};
    !matches!(awaited, File | Pipe | Process | Signal | Socket | Timer | Yield)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hand(waiter: u32, other: u32) -> HandOver {
        let actor = |thread| Actor::Thread(ThreadId(thread));
        let reason = WaitsFor::Thread(Reason::Mutex);
        let (waiter, other) = (actor(waiter), actor(other));
        HandOver { waiter, reason, stack: StackId(0), waited: Nanos(1), other }
    }

    #[test]
    fn a_chain_has_no_detours() {
        for (hands, chain) in [
            (vec![hand(1, 2), hand(2, 3)], vec![hand(1, 2), hand(2, 3)]),
            (vec![hand(1, 2), hand(2, 3), hand(3, 2)], vec![hand(1, 2)]),
            (vec![hand(1, 2), hand(2, 1), hand(1, 3)], vec![hand(1, 3)]),
            (
                vec![hand(1, 2), hand(2, 3), hand(3, 4), hand(4, 2), hand(2, 5)],
                vec![hand(1, 2), hand(2, 5)],
            ),
        ] {
            let (actor, hands_before) = (hands[hands.len() - 1].other, hands.len());
            let path = CriticalPath { steps: Vec::new(), hands };
            let (from, to, doing) = (Nanos(0), Nanos(1), PathDoing::Working);
            let step = PathStep { actor, from, to, doing, hands: hands_before };
            assert_eq!(path.chain(&step), chain);
        }
    }
}
