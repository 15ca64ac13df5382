//! Task trees: who began whom, how long each took, and how long threads worked for it.
//!
//! Tasks are summed by name, all of them. Whole trees are kept of the slowest roots only, and in a
//! tree the slowest children of each task, so memory depends on the tasks that are open at once,
//! not on how many there were.
//!
//! The time threads worked for a task is that of its task runs; a run inside another task's run
//! counts for both.
//!
//! `node` is a task and the tree below it.

mod node;

use std::cmp::Reverse;
use std::collections::HashMap;

use trace_format::id::{SiteId, TaskId, ThreadId};
use trace_format::time::{Nanos, Ticks};

use self::node::Node;
use crate::durations::{Budget, Durations, Quantiles, Scratch};
use crate::report::life::keep_longest;
use crate::time::{Moment, Scale};

/// Maximum number of tasks that are open at once; those that begin beyond are only counted.
const OPEN_MAX: usize = 1 << 20;
/// Maximum number of ends that wait for their begins.
const EARLY_MAX: usize = 1 << 16;
/// Maximum number of names that are kept separately; the rest share one.
const NAMES_MAX: usize = 10_000;

/// Everything about a trace's tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tasks {
    /// By name, the greatest sum of latencies first.
    pub names: Vec<TaskSummary>,
    /// The slowest of the tasks that belong to no other, slowest first.
    pub slowest: Vec<TaskTree>,
    /// Tasks that began while too many were open to follow another one.
    pub untracked: u64,
}

/// The tasks of one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskSummary {
    /// The name; of a call that is a task its call site's name.
    pub name: String,
    /// Tasks that ended.
    pub count: u64,
    /// Still open at the end.
    pub unfinished: u64,
    /// Latencies of those that ended, from begin to end, summed.
    pub total: Nanos,
    /// Time threads worked for them, of the unfinished too.
    pub worked: Nanos,
    /// Mean latency.
    pub mean: Nanos,
    /// How latencies are distributed.
    pub quantiles: Quantiles,
    /// How often a task went on on another thread than before.
    pub thread_hops: u64,
    /// The slowest of those that ended, slowest first; [`crate::report::life::TOP`] at most.
    pub slowest: Vec<OneTask>,
    /// The oldest of those that are open still, oldest first; [`crate::report::life::TOP`] at most.
    pub open: Vec<OneTask>,
}

/// One task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OneTask {
    /// Which.
    pub id: TaskId,
    /// When it began, perhaps before the trace.
    pub begin: Moment,
    /// From begin to end; if it did not end, to the end of the window.
    pub latency: Nanos,
}

/// One task and those that belong to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskTree {
    /// Which.
    pub id: TaskId,
    /// The task it belongs to; 0 for none.
    pub parent: TaskId,
    /// Its name.
    pub name: String,
    /// When it began, perhaps before the trace.
    pub begin: Moment,
    /// From begin to end; if it did not end, to the end of the window.
    pub latency: Nanos,
    /// Whether it was still open at the end.
    pub unfinished: bool,
    /// Time threads worked for it.
    pub worked: Nanos,
    /// Number of uninterrupted stretches.
    pub runs: u64,
    /// How often it went on on another thread than before.
    pub thread_hops: u64,
    /// Its sub-tasks, in the order they began.
    pub children: Vec<TaskTree>,
    /// Faster descendants that are left out here.
    pub omitted: u64,
}

/// A task that had not ended when the trace did.
#[derive(Clone, Debug)]
pub(crate) struct OpenTask {
    pub(crate) task: TaskId,
    pub(crate) name: String,
    pub(crate) begin: Ticks,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
enum Key {
    Site(SiteId),
    Text(Box<[u8]>),
}

#[derive(Debug, Default)]
struct Sums {
    name: String,
    count: u64,
    unfinished: u64,
    latency: u64,
    latency_max: u64,
    worked: u64,
    hops: u64,
    latencies: Durations,
    slowest: Vec<Long>,
    open: Vec<Long>,
}

/// A task, in ticks.
#[derive(Clone, Copy, Debug)]
struct Long {
    task: TaskId,
    begin: u64,
    latency: u64,
}

/// The tasks of a trace, told in the order of time.
#[derive(Debug)]
pub(crate) struct Forest {
    open: HashMap<TaskId, Node>,
    keys: HashMap<Key, usize>,
    sums: Vec<Sums>,
    /// Ended, with a run that may still be told.
    ended: Vec<TaskId>,
    /// Ends that were told before their begins, of tasks begun on a thread that is read later; and
    /// whether they were on a thread that was asked for.
    early: HashMap<TaskId, (Ticks, bool)>,
    round: u64,
    roots: Vec<(TaskId, Node)>,
    roots_max: usize,
    untracked: u64,
    budget: Budget,
    from: u64,
    /// Whether all threads were asked for.
    is_of_all: bool,
}

impl Forest {
    /// - `is_of_all`: whether all threads are read; else only those tasks count with which the
    ///   threads that were asked for have to do.
    pub(crate) fn new(from: Ticks, roots_max: usize, is_of_all: bool) -> Self {
        Self {
            open: HashMap::new(),
            keys: HashMap::new(),
            sums: Vec::new(),
            ended: Vec::new(),
            early: HashMap::new(),
            round: 0,
            roots: Vec::new(),
            roots_max,
            untracked: 0,
            budget: Budget::new(crate::durations::SLOT_BYTES_MAX),
            from: from.0,
            is_of_all,
        }
    }

    /// A task begins whose name is a text.
    ///
    /// - `is_own`: whether on a thread that was asked for.
    pub(crate) fn begin_named(
        &mut self,
        task: TaskId,
        parent: TaskId,
        name: &[u8],
        at: Ticks,
        is_own: bool,
    ) {
        let text = || String::from_utf8_lossy(name).into_owned();
        let name = self.name(Key::Text(name.into()), text);
        self.begin((task, parent), name, at, is_own);
    }

    /// A task that was open when the trace, or the window, began. If an event tells of its begin as
    /// well, that is what holds.
    pub(crate) fn was_open(&mut self, task: TaskId, parent: TaskId, name: &[u8], at: Ticks) {
        self.begin_named(task, parent, name, at, self.is_of_all);
        if let Some(node) = self.open.get_mut(&task) {
            node.is_told_by_state = true;
        }
    }

    /// A task begins whose name is its call site's: `text`. `it` is the task and its parent.
    pub(crate) fn begin_at_site(
        &mut self,
        it: (TaskId, TaskId),
        site: SiteId,
        text: impl FnOnce() -> String,
        at: Ticks,
        is_own: bool,
    ) {
        let key = Key::Site(site);
        let name = self.keys.get(&key).copied().unwrap_or_else(|| {
            // Of a task that a generation tells of only the name is known: it is of the same row.
            let text = text();
            let name = self.name(Key::Text(text.as_bytes().into()), || text);
            if self.keys.len() <= 2 * NAMES_MAX {
                self.keys.insert(key, name);
            }
            name
        });
        self.begin(it, name, at, is_own);
    }

    fn name(&mut self, key: Key, text: impl FnOnce() -> String) -> usize {
        if let Some(&name) = self.keys.get(&key) {
            return name;
        }
        if self.sums.len() > NAMES_MAX {
            return NAMES_MAX;
        }
        let name = self.sums.len();
        let text = if name == NAMES_MAX { "(other names)".to_owned() } else { text() };
        self.sums.push(Sums { name: text, ..Sums::default() });
        if name < NAMES_MAX {
            self.keys.insert(key, name);
        }
        name
    }

    fn begin(&mut self, (task, parent): (TaskId, TaskId), name: usize, at: Ticks, is_own: bool) {
        if self.open.len() >= OPEN_MAX {
            self.untracked += 1;
            return;
        }
        if let Some(node) = self.open.get_mut(&task) {
            node.is_own |= is_own;
            if std::mem::take(&mut node.is_told_by_state) {
                (node.name, node.begin) = (name, at.0);
            }
            return;
        }
        if let Some(parent) = self.open.get_mut(&parent) {
            parent.children_open += 1;
        }
        let node = Node { parent, name, begin: at.0, tasks: 1, is_own, ..Node::default() };
        self.open.insert(task, node);
        if let Some((end, is_own)) = self.early.remove(&task) {
            self.end(task, end, is_own);
        }
    }

    /// A task ends.
    ///
    /// - `is_own`: whether on a thread that was asked for.
    pub(crate) fn end(&mut self, task: TaskId, at: Ticks, is_own: bool) {
        let Some(node) = self.open.get_mut(&task) else {
            if self.early.len() < EARLY_MAX {
                self.early.insert(task, (at, is_own));
            }
            return;
        };
        node.is_own |= is_own;
        if node.end.is_some() {
            return;
        }
        node.end = Some(at.0);
        node.round = self.round;
        self.ended.push(task);
        node.is_inside |= at.0 >= self.from;
        if at.0 >= self.from && node.is_own {
            let latency = at.0.saturating_sub(node.begin);
            let sums = &mut self.sums[node.name];
            sums.count += 1;
            sums.latency = sums.latency.saturating_add(latency);
            sums.latency_max = sums.latency_max.max(latency);
            sums.latencies.record(latency, &mut self.budget);
            let long = Long { task, begin: node.begin, latency };
            keep_longest(&mut sums.slowest, long, |it| it.latency);
        }
    }

    /// A thread worked for a task for `inside` ticks of the window.
    pub(crate) fn run(&mut self, task: TaskId, thread: ThreadId, inside: Ticks) {
        let Some(node) = self.open.get_mut(&task) else { return };
        let hop = node.runs > 0 && node.last != thread;
        node.is_own = true;
        node.worked = node.worked.saturating_add(inside.0);
        node.runs += 1;
        node.hops += u64::from(hop);
        node.last = thread;
        let sums = &mut self.sums[node.name];
        sums.worked = sums.worked.saturating_add(inside.0);
        sums.hops += u64::from(hop);
    }

    /// Puts away the tasks that ended before the last call. Their last runs have been told by now.
    pub(crate) fn settle(&mut self) {
        let ended = std::mem::take(&mut self.ended);
        self.round += 1;
        for task in ended {
            match self.open.get(&task) {
                Some(node) if node.round + 1 < self.round => self.close(task),
                Some(_) => self.ended.push(task),
                None => {}
            }
        }
    }

    /// Moves a task that has ended into its parent, and so on upwards.
    fn close(&mut self, mut task: TaskId) {
        while let Some(node) = self.open.get(&task) {
            let over = node.end.is_some() && node.children_open == 0;
            if !over || node.round + 1 >= self.round {
                return;
            }
            let parent = node.parent;
            self.put_away(task);
            task = parent;
        }
    }

    fn put_away(&mut self, task: TaskId) {
        let Some(node) = self.open.remove(&task) else { return };
        match self.open.get_mut(&node.parent) {
            Some(parent) => {
                parent.children_open = parent.children_open.saturating_sub(1);
                parent.adopt(task, node);
            }
            None => self.plant(task, node),
        }
    }

    fn plant(&mut self, task: TaskId, node: Node) {
        if !node.is_inside || !node.is_own {
            return;
        }
        self.roots.push((task, node));
        // Twice as many as wanted before the rest is thrown away: a sort for each would be slow.
        if self.roots.len() > 2 * self.roots_max {
            self.prune();
        }
    }

    fn prune(&mut self) {
        self.roots.sort_by_key(|(id, node)| (Reverse(node.latency()), *id));
        self.roots.truncate(self.roots_max);
    }

    /// The sums and trees, and what was still open at `end`.
    pub(crate) fn summarise(
        mut self,
        end: Ticks,
        scale: &Scale<'_>,
    ) -> (Tasks, u64, Vec<OpenTask>) {
        // Children have the greater ids, so they come before their parents.
        let mut left: Vec<_> = self.open.keys().copied().collect();
        left.sort_by_key(|task| Reverse(*task));
        let (mut open, mut count) = (Vec::new(), 0);
        for task in left {
            let Some(node) = self.open.get_mut(&task) else { continue };
            if node.end.is_none() && node.is_own {
                count += 1;
                let sums = &mut self.sums[node.name];
                sums.unfinished += 1;
                let latency = end.0.saturating_sub(node.begin);
                let long = Long { task, begin: node.begin, latency };
                keep_longest(&mut sums.open, long, |it| it.latency);
                let begin = Ticks(node.begin);
                open.push(OpenTask { task, name: sums.name.clone(), begin });
                if open.len() > 2 * crate::report::findings::FINDINGS_MAX {
                    open.drain(..crate::report::findings::FINDINGS_MAX);
                }
                (node.round, node.is_inside) = (u64::MAX, true);
                node.end = Some(end.0.max(node.begin));
            }
            self.put_away(task);
        }
        open.reverse();
        self.prune();
        let roots = std::mem::take(&mut self.roots);
        let slowest = roots.into_iter().map(|root| self.tree(root, scale)).collect();
        let mut scratch = Scratch::new();
        let mut names: Vec<_> =
            self.sums.into_iter().map(|sums| sums.summarise(scale, &mut scratch)).collect();
        names.retain(|name| name.count + name.unfinished > 0 || name.worked.0 > 0);
        names.sort_by(|a, b| b.total.cmp(&a.total).then_with(|| a.name.cmp(&b.name)));
        (Tasks { names, slowest, untracked: self.untracked }, count, open)
    }

    fn tree(&self, (id, node): (TaskId, Node), scale: &Scale<'_>) -> TaskTree {
        let latency = scale.duration(Ticks(node.latency()));
        let mut children: Vec<_> =
            node.children.into_iter().map(|child| self.tree(child, scale)).collect();
        children.sort_by_key(|child| (child.begin, child.id));
        TaskTree {
            id,
            parent: node.parent,
            name: self.sums[node.name].name.clone(),
            begin: scale.moment(Ticks(node.begin)),
            latency,
            unfinished: node.round == u64::MAX,
            worked: scale.duration(Ticks(node.worked)),
            runs: node.runs,
            thread_hops: node.hops,
            children,
            omitted: node.omitted,
        }
    }
}

impl Sums {
    fn summarise(self, scale: &Scale<'_>, scratch: &mut Scratch) -> TaskSummary {
        let max = scale.duration(Ticks(self.latency_max));
        let one = |long: Long| OneTask {
            id: long.task,
            begin: scale.moment(Ticks(long.begin)),
            latency: scale.duration(Ticks(long.latency)),
        };
        TaskSummary {
            name: self.name,
            count: self.count,
            unfinished: self.unfinished,
            total: scale.duration(Ticks(self.latency)),
            worked: scale.duration(Ticks(self.worked)),
            mean: scale.mean(self.latency, self.count),
            quantiles: self.latencies.quantiles(max, scale.nanos_per_tick(), scratch),
            thread_hops: self.hops,
            slowest: self.slowest.into_iter().map(one).collect(),
            open: self.open.into_iter().map(one).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::node::{CHILDREN_MAX, HEIGHT_MAX};
    use super::*;
    use trace_format::read::Clock;

    fn summary(forest: Forest, end: u64) -> Tasks {
        forest.summarise(Ticks(end), &Scale::new(&Clock::default())).0
    }

    #[test]
    fn a_tree_knows_latency_work_and_hops_of_each_task() {
        let mut forest = Forest::new(Ticks(0), 10, true);
        forest.begin_named(TaskId(1), TaskId(0), b"request", Ticks(10), true);
        forest.begin_named(TaskId(2), TaskId(1), b"query", Ticks(20), true);
        forest.run(TaskId(2), ThreadId(1), Ticks(5));
        forest.run(TaskId(2), ThreadId(2), Ticks(7));
        forest.end(TaskId(2), Ticks(60), true);
        forest.end(TaskId(1), Ticks(110), true);
        for _ in 0..4 {
            forest.settle();
        }
        let tasks = summary(forest, 1000);
        assert_eq!(tasks.slowest.len(), 1);
        let root = &tasks.slowest[0];
        assert_eq!(
            (root.name.as_str(), root.latency, root.unfinished),
            ("request", Nanos(100), false)
        );
        let child = &root.children[0];
        assert_eq!((child.name.as_str(), child.latency), ("query", Nanos(40)));
        assert_eq!((child.worked, child.runs, child.thread_hops), (Nanos(12), 2, 1));
    }

    #[test]
    fn an_end_that_is_told_first_says_whose_it_was() {
        for is_own in [true, false] {
            let mut forest = Forest::new(Ticks(0), 10, false);
            forest.end(TaskId(1), Ticks(20), is_own);
            forest.begin_named(TaskId(1), TaskId(0), b"job", Ticks(10), false);
            let (tasks, open, _) = forest.summarise(Ticks(50), &Scale::new(&Clock::default()));
            let counts: Vec<_> = tasks.names.iter().map(|name| name.count).collect();
            assert_eq!((counts, open), (vec![1; usize::from(is_own)], 0));
        }
    }

    #[test]
    fn a_run_told_after_its_task_ended_still_counts() {
        let mut forest = Forest::new(Ticks(0), 10, true);
        forest.begin_named(TaskId(1), TaskId(0), b"t", Ticks(0), true);
        forest.end(TaskId(1), Ticks(10), true);
        forest.settle();
        forest.run(TaskId(1), ThreadId(1), Ticks(9));
        assert_eq!(summary(forest, 10).slowest[0].worked, Nanos(9));
    }

    #[test]
    fn what_never_ended_is_unfinished_and_lasts_to_the_end() {
        let mut forest = Forest::new(Ticks(0), 10, true);
        forest.begin_named(TaskId(1), TaskId(0), b"t", Ticks(100), true);
        forest.begin_named(TaskId(2), TaskId(1), b"u", Ticks(100), true);
        forest.end(TaskId(2), Ticks(150), true);
        let tasks = summary(forest, 300);
        assert!(tasks.slowest[0].unfinished && !tasks.slowest[0].children[0].unfinished);
        assert_eq!(tasks.slowest[0].latency, Nanos(200));
        let unfinished: u64 = tasks.names.iter().map(|name| name.unfinished).sum();
        assert_eq!(unfinished, 1);
    }

    #[test]
    fn many_tasks_keep_the_slowest_trees_and_exact_sums() {
        let mut forest = Forest::new(Ticks(0), 3, true);
        forest.begin_named(TaskId(1), TaskId(0), b"root", Ticks(0), true);
        for at in 2..=200_000_u64 {
            let parent = if at % 2 == 0 { TaskId(0) } else { TaskId(1) };
            forest.begin_named(TaskId(at), parent, b"job", Ticks(at), true);
            forest.end(TaskId(at), Ticks(at + at % 1000), true);
            if at % 1000 == 0 {
                forest.settle();
                assert!(forest.open.len() < 5000);
            }
        }
        let tasks = summary(forest, 400_000);
        assert_eq!(tasks.slowest.len(), 3);
        let root = &tasks.slowest[0];
        assert_eq!((root.children.len(), root.omitted), (CHILDREN_MAX, 99_999 - 32));
        assert!(root.children.iter().all(|child| child.latency == Nanos(999)));
        assert_eq!(tasks.names[0].count, 199_999);
    }

    #[test]
    fn cycles_and_endless_chains_of_parents_are_cut() {
        let mut forest = Forest::new(Ticks(0), 10, true);
        for task in 1..=200_000_u64 {
            forest.begin_named(TaskId(task), TaskId(task - 1), b"chain", Ticks(task), true);
        }
        forest.begin_named(TaskId(300_001), TaskId(300_002), b"cycle", Ticks(1), true);
        forest.begin_named(TaskId(300_002), TaskId(300_001), b"cycle", Ticks(1), true);
        let tasks = summary(forest, 400_000);
        let (mut height, mut tree) = (0, &tasks.slowest[0]);
        while let Some(child) = tree.children.first() {
            (height, tree) = (height + 1, child);
        }
        assert!(height <= HEIGHT_MAX);
    }
}
