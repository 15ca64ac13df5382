//! Tasks that took much longer than others of their name, or never ended, and what was done in
//! them: by the threads that worked for them, or by nobody.
//!
//! It takes three steps, as most traces have none: a summary says which are slow, one walk when
//! threads worked for them ([`read`]), and `Lives` what these did meanwhile ([`SlowTask::tell`]).

use std::collections::{BTreeMap, HashMap};

use trace_format::event::EventKind;
use trace_format::id::{Open, SiteId, TaskId, ThreadId};
use trace_format::read::{ReadAt, TraceFile, Window};
use trace_format::time::{Nanos, Ticks};

use crate::life::{Doing, Pending, Stretch, saturating_sum};
use crate::stack::{Closed, Stack, Visitor};
use crate::summary::{Options, Summary, bounds};
use crate::tasks::{OneTask, TaskSummary};

/// A task is slow that took so many times as long as half of them, and not less than this.
pub const SLOW_TIMES: u64 = 3;
/// The least time that is slow.
pub const SLOW_MIN: Nanos = Nanos(10_000_000);

/// What is usual for a name is only known if so many ended.
const USUAL_MIN: u64 = 5;

/// So many names have a slow task: those that lost most.
pub const NAMES_MAX: usize = 8;

/// So many runs of one task are looked at, the longest.
const RUNS_MAX: usize = 64;

/// So many sub-tasks of a slow task are followed.
const SUBTASKS_MAX: usize = 1 << 12;

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
    /// Others of its name that are slow, too, the slowest first.
    pub others: Vec<OneTask>,
    /// When threads worked for it or its sub-tasks, in what was read: the longest.
    pub runs: Vec<Stretch>,
    /// How long any did, and how long nobody did, of its time in what was read.
    pub worked: Nanos,
    /// See there.
    pub unworked: Nanos,
    /// What the threads did in `runs`, once [`SlowTask::tell`] was told: the times of all, and the
    /// longest call of any.
    pub doing: Option<Doing>,
}

impl SlowTask {
    /// How much longer it took than is usual.
    #[must_use]
    pub fn lost(&self) -> Nanos {
        Nanos(self.task.latency.0.saturating_sub(self.usual.0))
    }

    /// Takes over what the threads did in `runs`.
    pub fn tell(&mut self, doings: &[Doing]) {
        let mut all = Doing::default();
        for doing in doings {
            all.times.add(&doing.times);
            if doing.slow > all.slow {
                let Doing { slow_call, slow_stack, slow, .. } = *doing;
                (all.slow_call, all.slow_stack, all.slow) = (slow_call, slow_stack, slow);
            }
            if doing.samples.0 > all.samples.0 {
                (all.sampled, all.samples) = (doing.sampled, doing.samples);
            }
        }
        self.doing = (!doings.is_empty()).then_some(all);
    }
}

/// The slow tasks of a summary, and when threads worked for them.
pub fn read<S: ReadAt + Sync>(
    file: &TraceFile<S>,
    options: &Options,
    summary: &Summary,
) -> Vec<SlowTask> {
    let end = bounds(file).1;
    let is_trace_end = options.to.is_none_or(|to| to >= end);
    let names = summary.tasks.names.iter();
    let mut slow: Vec<_> = names.filter_map(|name| slowest(name, is_trace_end)).collect();
    slow.sort_by_key(|task| std::cmp::Reverse(task.lost()));
    slow.truncate(NAMES_MAX);
    if !slow.is_empty() {
        Runs::read(file, (summary.from, summary.to), &slow).give(&mut slow, summary);
    }
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
        others: all.map(|(task, _)| task).collect(),
        ..SlowTask::default()
    })
}

/// When threads worked for some tasks.
struct Runs {
    /// To which of the slow tasks a task belongs.
    owners: HashMap<TaskId, usize>,
    runs: Vec<Vec<Stretch>>,
}

/// The runs of one thread that have just ended, in ticks.
#[derive(Default)]
struct Ended(Vec<(TaskId, Ticks, Ticks)>);

impl Visitor for Ended {
    fn closed(&mut self, closed: &Closed<'_>) {
        if let Open::Task(task) = closed.open {
            self.0.push((task, closed.begin, closed.end));
        }
    }
}

impl Runs {
    fn read<S: ReadAt + Sync>(
        file: &TraceFile<S>,
        (from, to): (Nanos, Nanos),
        slow: &[SlowTask],
    ) -> Self {
        let clock = &file.tables().clock;
        let first = slow.iter().map(|it| it.task.begin.inside()).min().unwrap_or(from).max(from);
        let ends = slow.iter().map(|it| end_of(it).min(to));
        let last = ends.max().unwrap_or(to);
        let until = Ticks(clock.ticks(last).0.saturating_add(1));
        let window = Window { from: Some(clock.ticks(first)), to: Some(until), thread: None };
        let owners = slow.iter().enumerate().map(|(at, it)| (it.task.id, at)).collect();
        let mut runs = Self { owners, runs: vec![Vec::new(); slow.len()] };
        let mut stacks: BTreeMap<ThreadId, Stack> = BTreeMap::new();
        let mut ended = Ended::default();
        let mut order = file.in_order(window);
        for (&thread, open) in order.open_at_start() {
            let stack = stacks.entry(thread).or_insert_with(|| Stack::new(SiteId(0)));
            stack.resume(open.iter().copied(), false, clock.ticks(first), &mut ended);
        }
        while let Some(timed) = order.next_event() {
            // Whoever reads lives says what is damaged.
            let Ok(timed) = timed else { continue };
            runs.begin(&timed.event.kind);
            if timed.thread.as_cpu().is_some() {
                continue;
            }
            let stack = stacks.entry(timed.thread).or_insert_with(|| Stack::new(SiteId(0)));
            stack.feed(&timed.event, &mut ended);
            for (task, begin, end) in ended.0.drain(..) {
                let [begin, end] = [begin, end].map(|at| clock.nanos(at));
                runs.add(timed.thread, task, begin, end);
            }
        }
        let open = stacks.iter().flat_map(|(id, stack)| stack.open().map(|it| (*id, it)));
        let mut open: Vec<_> = open.map(|(id, it)| (id, it.open, it.begin)).collect();
        let mut pending = Pending::of(file, |open| matches!(open, Open::Task(_)));
        while let Some((begin, thread, task)) = pending.before(until) {
            open.push((thread, task, begin));
        }
        open.sort_by_key(|(thread, _, begin)| (*thread, *begin));
        open.dedup();
        for (thread, open, begin) in open {
            if let Open::Task(task) = open {
                runs.add(thread, task, clock.nanos(begin), last);
            }
        }
        runs
    }

    /// What a sub-task does, its task does.
    fn begin(&mut self, kind: &EventKind<'_>) {
        let (EventKind::TaskBegin { task, parent, .. }
        | EventKind::TaskBeginSite { task, parent, .. }) = *kind
        else {
            return;
        };
        if self.owners.len() < SUBTASKS_MAX
            && let Some(&owner) = self.owners.get(&parent)
        {
            self.owners.entry(task).or_insert(owner);
        }
    }

    fn add(&mut self, thread: ThreadId, task: TaskId, from: Nanos, to: Nanos) {
        if let Some(&owner) = self.owners.get(&task) {
            self.runs[owner].push(Stretch { thread, from, to });
        }
    }

    /// Each task gets its own.
    fn give(self, slow: &mut [SlowTask], summary: &Summary) {
        for (task, mut runs) in slow.iter_mut().zip(self.runs) {
            let from = task.task.begin.inside().max(summary.from);
            let to = end_of(task).min(summary.to).max(from);
            for run in &mut runs {
                (run.from, run.to) = (run.from.max(from), run.to.min(to));
            }
            runs.retain(|run| run.from < run.to);
            let whole = to.0 - from.0;
            let worked = union(&mut runs).min(whole);
            (task.worked, task.unworked) = (Nanos(worked), Nanos(whole - worked));
            runs.sort_by_key(|run| std::cmp::Reverse(run.to.0 - run.from.0));
            runs.truncate(RUNS_MAX);
            task.runs = runs;
        }
    }
}

fn end_of(task: &SlowTask) -> Nanos {
    let OneTask { begin, latency, .. } = task.task;
    Nanos(begin.inside().0.saturating_add(latency.0.saturating_sub(begin.before_trace().0)))
}

/// How long there was any; of one thread's that lie in each other the outer ones are left.
fn union(runs: &mut Vec<Stretch>) -> u64 {
    runs.sort_by_key(|run| (run.thread, run.from, std::cmp::Reverse(run.to)));
    let mut outer: Option<Stretch> = None;
    runs.retain(|run| {
        let is_inner = outer.is_some_and(|it| it.thread == run.thread && run.to <= it.to);
        if !is_inner {
            outer = Some(*run);
        }
        !is_inner
    });
    let mut all: Vec<_> = runs.iter().map(|run| (run.from.0, run.to.0)).collect();
    all.sort_unstable();
    let mut until = 0;
    saturating_sum(all.into_iter().map(|(from, to)| {
        let nanos = to.saturating_sub(from.max(until));
        until = until.max(to);
        nanos
    }))
}
