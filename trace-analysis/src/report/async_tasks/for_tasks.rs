//! What futures waited for that worked for a slow task of the user's: where a request was while
//! no thread worked for it, in whichever service.
//!
//! A future works for the task that it was spawned or begun in, or was given: so a request is
//! followed wherever it is handed on with its task.

use std::cmp::Reverse;
use std::collections::HashMap;

use trace_format::event::EventKind;
use trace_format::id::{SiteId, StackId, TaskId};
use trace_format::time::Nanos;

use crate::reason::Await;
use crate::report::life::{Sum, TOP};
use crate::report::slow_tasks::{Owners, SlowTask, TaskWait};

/// Maximum number of places that are kept separately for one task; waits at later ones are left
/// out.
const PLACES_MAX: usize = 256;

/// A time in which a future was idle that may work for one of them.
#[derive(Clone, Debug)]
pub(crate) struct TaskIdle<'a> {
    /// The future's spawn site.
    pub(crate) site: SiteId,
    /// Where it waited and for what; and where else it may have.
    pub(crate) place: (StackId, Await),
    pub(crate) others: &'a [(StackId, Await)],
    pub(crate) span: (u64, u64),
    /// For which task the future worked that ended this; 0 for none.
    pub(crate) waker_works_for: TaskId,
}

/// The tasks, by number.
#[derive(Debug, Default)]
pub(crate) struct ForTasks {
    pub(crate) owners: Owners,
    tasks: Vec<OneOfThem>,
}

#[derive(Debug, Default)]
struct OneOfThem {
    /// Its life, as far as it is read.
    span: (u64, u64),
    waits: HashMap<TaskWaitKey, (Await, Sum)>,
}

/// What waits are told apart by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct TaskWaitKey {
    site: SiteId,
    stack: StackId,
    one_of: Vec<(StackId, Await)>,
    is_handed_on: bool,
}

impl ForTasks {
    /// - `slow`: the tasks, in their order.
    pub(crate) fn new(slow: &[SlowTask], window: (u64, u64)) -> Self {
        let clip = |at: Nanos| at.0.clamp(window.0, window.1);
        let one = |slow: &SlowTask| OneOfThem {
            span: (clip(slow.task.begin.inside()), clip(slow.end())),
            waits: HashMap::new(),
        };
        Self { owners: Owners::of(slow), tasks: slow.iter().map(one).collect() }
    }

    /// What a sub-task does, its task does.
    #[inline]
    pub(crate) fn event(&mut self, kind: &EventKind<'_>) {
        if let EventKind::TaskBegin { task, parent, .. }
        | EventKind::TaskBeginSite { task, parent, .. } = *kind
        {
            self.owners.inherit(task, parent);
        }
    }

    /// A future was idle that worked for this task, 0 if for none.
    pub(crate) fn add(&mut self, works_for: TaskId, idle: &TaskIdle<'_>) {
        let Some(owner) = self.owners.owner(works_for) else { return };
        let task = &mut self.tasks[owner];
        let (from, to) = (idle.span.0.max(task.span.0), idle.span.1.min(task.span.1));
        if to <= from {
            return;
        }
        let is_handed_on = self.owners.owner(idle.waker_works_for) == Some(owner);
        let one_of = idle.others.to_vec();
        let key = TaskWaitKey { site: idle.site, stack: idle.place.0, one_of, is_handed_on };
        if task.waits.len() < PLACES_MAX || task.waits.contains_key(&key) {
            let (_, sum) = task.waits.entry(key).or_insert((idle.place.1, Sum::default()));
            sum.add(to - from);
        }
    }

    /// What futures waited for, of each task, the most time first.
    pub(crate) fn finish(&mut self) -> Vec<Vec<TaskWait>> {
        let tasks = std::mem::take(&mut self.tasks).into_iter();
        tasks.map(|task| waits_of(task.waits)).collect()
    }
}

fn waits_of(waits: HashMap<TaskWaitKey, (Await, Sum)>) -> Vec<TaskWait> {
    let waits = waits.into_iter().map(|(key, (awaited, sum))| TaskWait {
        site: key.site,
        stack: key.stack,
        awaited,
        one_of: key.one_of,
        count: sum.count,
        total: Nanos(sum.total),
        is_handed_on: key.is_handed_on,
    });
    let mut waits: Vec<_> = waits.collect();
    waits.sort_by(|a, b| {
        let key = |it: &TaskWait| (it.is_handed_on, Reverse(it.total), it.site, it.stack);
        key(a).cmp(&key(b)).then_with(|| a.one_of.cmp(&b.one_of))
    });
    waits.truncate(TOP);
    waits
}
