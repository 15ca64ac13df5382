//! The long idle times of async tasks, one by one, and the tasks that lived long: what a walk back
//! along the critical path needs (`report::path`) where a thread waits for futures.
//!
//! What is too short to matter is left out, so memory is limited.

use trace_format::id::{FutureId, SiteId, StackId, ThreadId};

use super::AsyncWaker;
use crate::reason::Await;
use crate::spans::{Lasting, Longest};
use crate::timeline::futures::State;

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

impl Lasting for LongIdle {
    fn length(&self) -> u64 {
        self.to.saturating_sub(self.from)
    }
}

impl Lasting for TaskLife {
    fn length(&self) -> u64 {
        self.end.saturating_sub(self.begin)
    }
}

/// All of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LongTasks {
    /// By task and time, once finished.
    idles: Longest<LongIdle>,
    /// By task, once finished.
    lives: Longest<TaskLife>,
    /// The places in `lives` of those that ended, by thread and time, once finished.
    ends: Vec<usize>,
}

impl LongTasks {
    /// - `nanos`: how long what is read is.
    pub(crate) fn new(nanos: u64) -> Self {
        let (idles, lives) = (Longest::of_path(nanos), Longest::of_path(nanos));
        Self { idles, lives, ends: Vec::new() }
    }

    /// The window begins.
    pub(crate) fn restart(&mut self) {
        self.idles.restart();
        self.lives.restart();
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
        self.idles.add(LongIdle { task, from, to, stack, awaited, waker });
    }

    /// A task is over, or the trace is.
    ///
    /// - `ended_on`: 0 if it has not ended.
    #[inline]
    pub(crate) fn life(&mut self, task: FutureId, state: &State, end: u64, ended_on: ThreadId) {
        let begin = state.begin.inside().0;
        if state.is_task() {
            let (site, spawner) = (state.site, state.spawner);
            self.lives.add(TaskLife { task, site, begin, end, ended_on, spawner });
        }
    }

    pub(crate) fn finish(&mut self) -> Self {
        let mut all = std::mem::take(self);
        all.idles.as_mut_slice().sort_by_key(|idle| (idle.task, idle.from, idle.to));
        all.lives.as_mut_slice().sort_by_key(|life| (life.task, life.end));
        let lives = all.lives.as_slice();
        all.ends = (0..lives.len()).filter(|&at| lives[at].ended_on != ThreadId(0)).collect();
        all.ends.sort_by_key(|&at| (lives[at].ended_on, lives[at].end, lives[at].task));
        all
    }

    /// The idle times of all, by task and time.
    pub(crate) fn idles(&self) -> &[LongIdle] {
        self.idles.as_slice()
    }

    /// The life of a task, if it was long.
    pub(crate) fn life_of(&self, task: FutureId) -> Option<&TaskLife> {
        let lives = self.lives.as_slice();
        let at = lives.partition_point(|life| life.task < task);
        lives.get(at).filter(|life| life.task == task)
    }

    /// The last long idle time of a task that began before this.
    pub(crate) fn last_idle(&self, task: FutureId, at: u64) -> Option<&LongIdle> {
        let idles = self.idles.as_slice();
        let after = idles.partition_point(|idle| (idle.task, idle.from) < (task, at));
        idles.get(after.checked_sub(1)?).filter(|idle| idle.task == task)
    }

    /// The task that ended last on a thread, from `from` to `to`.
    pub(crate) fn last_end(&self, thread: ThreadId, from: u64, to: u64) -> Option<&TaskLife> {
        let of = |at: &usize| &self.lives.as_slice()[*at];
        let after = self.ends.partition_point(|at| (of(at).ended_on, of(at).end) <= (thread, to));
        let life = of(self.ends.get(after.checked_sub(1)?)?);
        (life.ended_on == thread && life.end >= from).then_some(life)
    }
}
