//! The long idle times of async tasks, one by one, and the tasks that lived long: what a walk back
//! along the critical path needs (`report::path`) where a thread waits for futures.
//!
//! What is too short to matter is left out, so memory is limited.

use trace_format::id::{FutureId, SiteId, StackId, ThreadId};

use super::AsyncWaker;
use crate::reason::Await;
use crate::spans::shrink;
use crate::timeline::futures::State;

/// What is shorter than what is read divided by this is left out.
const PART: u64 = 4_000;

/// What is shorter than this, in nanoseconds, is left out.
const NANOS_MIN: u64 = 20_000;

/// Maximum number of idle times, and of lives, that are kept; beyond, the least length is doubled.
const KEPT_MAX: usize = 1 << 15;

/// A task was idle, for what is known surely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LongIdle {
    pub(crate) task: FutureId,
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// Where, and what it awaited.
    pub(crate) stack: StackId,
    pub(crate) awaited: Await,
    pub(crate) waker: Option<AsyncWaker>,
}

/// A task's life, as far as it lies in what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskLife {
    pub(crate) task: FutureId,
    pub(crate) site: SiteId,
    pub(crate) begin: u64,
    pub(crate) end: u64,
    /// The thread it ended on; 0 if it has not ended.
    pub(crate) ended_on: ThreadId,
    /// Who spawned it: the task, or the thread if that polled none; both 0 if unknown.
    pub(crate) spawner: Spawner,
}

/// Who spawned a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spawner {
    pub(crate) task: FutureId,
    pub(crate) thread: ThreadId,
}

/// All of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LongTasks {
    /// By task and time, once finished.
    idles: Vec<LongIdle>,
    /// By task, once finished.
    lives: Vec<TaskLife>,
    /// The places in `lives` of those that ended, by thread and time, once finished.
    ends: Vec<usize>,
    idle_min: u64,
    life_min: u64,
}

impl LongTasks {
    /// - `nanos`: how long what is read is.
    pub(crate) fn new(nanos: u64) -> Self {
        let least = (nanos / PART).max(NANOS_MIN);
        Self { idle_min: least, life_min: least, ..Self::default() }
    }

    /// A task was idle, or is so to the end.
    #[inline]
    pub(crate) fn idle(
        &mut self,
        task: FutureId,
        (from, to): (u64, u64),
        (stack, awaited): (StackId, Await),
        waker: Option<AsyncWaker>,
    ) {
        if to.saturating_sub(from) < self.idle_min {
            return;
        }
        self.idles.push(LongIdle { task, from, to, stack, awaited, waker });
        let least = &mut self.idle_min;
        shrink(&mut self.idles, KEPT_MAX, least, |idle| idle.to - idle.from);
    }

    /// A task is over, or the trace is.
    ///
    /// - `ended_on`: 0 if it has not ended.
    #[inline]
    pub(crate) fn life(&mut self, task: FutureId, state: &State, end: u64, ended_on: ThreadId) {
        let begin = state.begin.inside().0;
        if !state.is_task() || end.saturating_sub(begin) < self.life_min {
            return;
        }
        let (site, spawner) = (state.site, state.spawner);
        self.lives.push(TaskLife { task, site, begin, end, ended_on, spawner });
        shrink(&mut self.lives, KEPT_MAX, &mut self.life_min, |life| life.end - life.begin);
    }

    pub(crate) fn finish(&mut self) -> Self {
        let mut all = std::mem::take(self);
        all.idles.sort_by_key(|idle| (idle.task, idle.from, idle.to));
        all.lives.sort_by_key(|life| (life.task, life.end));
        let lives = &all.lives;
        all.ends = (0..lives.len()).filter(|&at| lives[at].ended_on != ThreadId(0)).collect();
        all.ends.sort_by_key(|&at| (lives[at].ended_on, lives[at].end, lives[at].task));
        all
    }

    /// The life of a task, if it was long.
    pub(crate) fn life_of(&self, task: FutureId) -> Option<&TaskLife> {
        let at = self.lives.partition_point(|life| life.task < task);
        self.lives.get(at).filter(|life| life.task == task)
    }

    /// The last long idle time of a task that began before this.
    pub(crate) fn last_idle(&self, task: FutureId, at: u64) -> Option<&LongIdle> {
        let after = self.idles.partition_point(|idle| (idle.task, idle.from) < (task, at));
        self.idles.get(after.checked_sub(1)?).filter(|idle| idle.task == task)
    }

    /// The task that ended last on a thread, from `from` to `to`.
    pub(crate) fn last_end(&self, thread: ThreadId, from: u64, to: u64) -> Option<&TaskLife> {
        let of = |at: &usize| &self.lives[*at];
        let after = self.ends.partition_point(|at| (of(at).ended_on, of(at).end) <= (thread, to));
        let life = of(self.ends.get(after.checked_sub(1)?)?);
        (life.ended_on == thread && life.end >= from).then_some(life)
    }
}
