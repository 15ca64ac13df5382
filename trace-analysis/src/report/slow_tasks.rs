//! Tasks that took much longer than others of their name, or never ended, and what was done in
//! them: by the threads that worked for them, or by nobody.
//!
//! A summary tells which are slow ([`slow_tasks`]); the walk of [`crate::report`] tells when
//! threads worked for them, and what these did.

use std::collections::HashMap;

use trace_format::event::EventKind;
use trace_format::id::{SiteId, StackId, TaskId, ThreadId};
use trace_format::read::{ReadAt, Tables};
use trace_format::time::Nanos;

use crate::reason::Await;
use crate::report::life::{Activity, Stretch};
use crate::report::summary::Summary;
use crate::report::tasks::{OneTask, TaskSummary};
use crate::spans;
use crate::trace::{Trace, bounds};

/// A task is slow that took so many times as long as half of them, and not less than this.
pub const SLOW_TIMES: u64 = 3;
/// The least time that is slow.
pub const SLOW_MIN: Nanos = Nanos(10_000_000);

/// Minimum number of ended tasks from which what is usual for a name is known.
const USUAL_MIN: u64 = 5;

/// Maximum number of names with a slow task: those that lost most.
pub const NAMES_MAX: usize = 8;

/// Maximum number of runs of one task that are looked at, the longest.
const RUNS_MAX: usize = 64;

/// Maximum number of runs around another one that are looked at: inside one of its own task a run
/// is not counted again.
const AROUND_MAX: usize = 64;

/// Maximum number of tasks that are followed; what later ones do is left out.
const TASKS_MAX: usize = 1 << 18;

/// The slowest task of a name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SlowTask {
    /// Its name.
    pub name: String,
    /// Which.
    pub task: OneTask,
    /// Whether it was open when the trace stopped.
    pub is_open: bool,
    /// How many of its name ended; 0 if they are too few to say what is usual.
    pub ended: u64,
    /// How long half of them took at most; 0 if that is not known.
    pub usual: Nanos,
    /// Others of its name that are slow, too, the slowest first; and whether each was still open.
    pub others: Vec<(OneTask, bool)>,
    /// When threads worked for it or its sub-tasks, in what was read: the longest.
    pub runs: Vec<Stretch>,
    /// All threads that did, whether `runs` has a run of theirs or not.
    pub threads: Vec<ThreadId>,
    /// How long any thread worked for it, of its time in what was read.
    pub worked: Nanos,
    /// The rest of that time: no thread worked for it.
    pub unworked: Nanos,
    /// What the threads did in all runs: the times of all, and the longest call of any.
    pub activity: Option<Activity>,
    /// What futures waited for that worked for it, wherever they were polled: first what was ended
    /// from outside, then what another of its futures ended, each by time; eight at most, and
    /// empty unless async tasks are followed, too.
    pub waits: Vec<TaskWait>,
}

/// Waiting of futures that worked for a task of the user's, at one place.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskWait {
    /// The spawn site of the async task that waited.
    pub site: SiteId,
    /// Where; 0 if unknown. One stack for all at that place in the program.
    pub stack: StackId,
    /// What for.
    pub awaited: Await,
    /// The other places, if it is not known at which of several it waited.
    pub one_of: Vec<(StackId, Await)>,
    /// How often.
    pub count: u64,
    /// How long in all, within the task's life.
    pub total: Nanos,
    /// Whether another future that works for the same task ended it: what that one did meanwhile
    /// says more.
    pub is_handed_on: bool,
}

impl SlowTask {
    /// How much longer it took than is usual.
    #[must_use]
    pub fn lost(&self) -> Nanos {
        Nanos(self.task.latency.0.saturating_sub(self.usual.0))
    }

    /// When it ended, or what is read does.
    #[must_use]
    pub fn end(&self) -> Nanos {
        let OneTask { begin, latency, .. } = self.task;
        Nanos(begin.inside().0.saturating_add(latency.0.saturating_sub(begin.before_trace().0)))
    }
}

/// The slow tasks of a trace's summary; when threads worked for them is not known yet.
#[must_use]
pub fn slow_tasks<S: ReadAt>(trace: &Trace<'_, S>, summary: &Summary) -> Vec<SlowTask> {
    let end = bounds(trace.file).1;
    let is_trace_end = trace.options.to.is_none_or(|to| to >= end);
    let names = summary.tasks.names.iter();
    let mut slow: Vec<_> = names.filter_map(|name| slowest(name, is_trace_end)).collect();
    slow.sort_by_key(|task| std::cmp::Reverse(task.lost()));
    slow.truncate(NAMES_MAX);
    slow
}

fn slowest(name: &TaskSummary, is_trace_end: bool) -> Option<SlowTask> {
    let is_usual = name.count >= USUAL_MIN;
    let usual = if is_usual { name.quantiles.p50 } else { Nanos(0) };
    let limit = usual.0.saturating_mul(SLOW_TIMES).max(SLOW_MIN.0);
    let is_slow = |task: &&OneTask| task.latency.0 >= limit;
    let ended = name.slowest.iter().filter(is_slow).filter(|_| is_usual);
    let ended = ended.map(|task| (*task, false));
    let open = name.open.iter().filter(is_slow).filter(|_| is_trace_end);
    let mut all: Vec<_> = ended.chain(open.map(|task| (*task, true))).collect();
    all.sort_by_key(|(task, is_open)| (std::cmp::Reverse(task.latency), !is_open, task.id));
    let mut all = all.into_iter();
    let (task, is_open) = all.next()?;
    Some(SlowTask {
        name: name.name.clone(),
        task,
        is_open,
        ended: if is_usual { name.count } else { 0 },
        usual,
        others: all.collect(),
        ..SlowTask::default()
    })
}

/// To which of the slow tasks, or to which name, a task belongs.
#[derive(Debug, Default)]
pub(crate) struct Owners(HashMap<TaskId, usize>);

impl Owners {
    /// Each of these, by its place.
    pub(crate) fn of(slow: &[SlowTask]) -> Self {
        Self(slow.iter().enumerate().map(|(at, it)| (it.task.id, at)).collect())
    }

    /// The place of a task's owner.
    #[inline]
    pub(crate) fn owner(&self, task: TaskId) -> Option<usize> {
        // Mostly there are none.
        if self.0.is_empty() { None } else { self.0.get(&task).copied() }
    }

    /// What a sub-task does, its task does.
    pub(crate) fn inherit(&mut self, task: TaskId, parent: TaskId) {
        if let Some(owner) = self.owner(parent) {
            self.add(task, owner);
        }
    }

    fn add(&mut self, task: TaskId, owner: usize) {
        if self.0.len() < TASKS_MAX {
            self.0.entry(task).or_insert(owner);
        }
    }
}

/// When threads worked for some tasks, and what they did then: filled while a trace is walked.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    owners: Owners,
    tasks: Vec<TaskRuns>,
    /// The names and their places, if all tasks are wanted, by name.
    names: Option<HashMap<String, usize>>,
}

/// The runs of one slow task and of its sub-tasks, but for those inside others on their thread.
#[derive(Clone, Debug, Default)]
struct TaskRuns {
    runs: Vec<Stretch>,
    activity: Option<Activity>,
}

impl Runs {
    pub(crate) fn new(slow: &[SlowTask]) -> Self {
        let tasks = vec![TaskRuns::default(); slow.len()];
        Self { owners: Owners::of(slow), tasks, names: None }
    }

    /// All tasks, by name.
    pub(crate) fn by_name() -> Self {
        Self { names: Some(HashMap::new()), ..Self::default() }
    }

    /// Whether this task is one of them.
    #[inline]
    pub(crate) fn wants(&self, task: TaskId) -> bool {
        self.owners.owner(task).is_some()
    }

    /// What a sub-task does, its task does; of all tasks each counts for its own name.
    #[inline]
    pub(crate) fn event(&mut self, kind: &EventKind<'_>, tables: &Tables) {
        let name = |site| tables.callsite(site).map_or("", |site| site.name.as_str());
        match *kind {
            EventKind::TaskBegin { task, parent, name } => {
                self.begin(task, parent, || name.readable().into_owned());
            }
            EventKind::TaskBeginSite { task, parent, site, .. } => {
                self.begin(task, parent, || name(site).to_owned());
            }
            _ => {}
        }
    }

    fn begin(&mut self, task: TaskId, parent: TaskId, name: impl FnOnce() -> String) {
        let Some(names) = &mut self.names else { return self.owners.inherit(task, parent) };
        let next = names.len();
        let place = *names.entry(name()).or_insert(next);
        if place == next {
            self.tasks.push(TaskRuns::default());
        }
        self.owners.add(task, place);
    }

    /// A run is over, or the trace is.
    ///
    /// - `around`: the runs around it, innermost last.
    /// - `activity`: what the thread did in it.
    pub(crate) fn add(
        &mut self,
        task: TaskId,
        around: &[TaskId],
        run: Stretch,
        activity: Option<Box<Activity>>,
    ) {
        let Some(owner) = self.owners.owner(task) else { return };
        let mut around = around.iter().rev().take(AROUND_MAX);
        if around.any(|outer| self.owners.owner(*outer) == Some(owner)) {
            return;
        }
        let task = &mut self.tasks[owner];
        if self.names.is_none() {
            task.runs.push(run);
        }
        if let Some(activity) = activity {
            task.activity.get_or_insert_default().merge(&activity);
        }
    }

    /// What the threads did for the tasks of each name.
    pub(crate) fn activities(self) -> HashMap<String, Activity> {
        let tasks = &self.tasks;
        let names = self.names.unwrap_or_default().into_iter();
        names.filter_map(|(name, at)| Some((name, tasks[at].activity?))).collect()
    }

    /// Each task gets its own.
    pub(crate) fn give(self, slow: &mut [SlowTask], (begin, end): (Nanos, Nanos)) {
        for (slow, TaskRuns { mut runs, activity }) in slow.iter_mut().zip(self.tasks) {
            let from = slow.task.begin.inside().max(begin);
            let to = slow.end().min(end).max(from);
            for run in &mut runs {
                (run.from, run.to) = (run.from.max(from), run.to.min(to));
            }
            runs.retain(|run| run.from < run.to);
            let whole = to.0 - from.0;
            let worked = runs.iter().map(|run| (run.from.0, run.to.0)).collect();
            let worked = spans::length(&spans::union(worked)).min(whole);
            (slow.worked, slow.unworked) = (Nanos(worked), Nanos(whole - worked));
            slow.threads = runs.iter().map(|run| run.thread).collect();
            slow.threads.sort_unstable();
            slow.threads.dedup();
            runs.sort_by_key(|run| std::cmp::Reverse(run.to.0 - run.from.0));
            runs.truncate(RUNS_MAX);
            (slow.runs, slow.activity) = (runs, activity);
        }
    }
}
