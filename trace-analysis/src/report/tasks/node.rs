//! A task and the tree below it, of which a limited part is kept: the slowest.

use trace_format::id::{TaskId, ThreadId};

/// Maximum number of one task's children that are kept whole.
pub(super) const CHILDREN_MAX: usize = 32;
/// A tree is cut below this height,
pub(super) const HEIGHT_MAX: u32 = 48;
/// and where it would get more tasks than this.
const TREE_TASKS_MAX: usize = 1000;

/// A task that is open, or whose tree is.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) parent: TaskId,
    pub(super) name: usize,
    pub(super) begin: u64,
    pub(super) end: Option<u64>,
    /// Only the state of a generation has named it.
    pub(super) is_told_by_state: bool,
    /// In which round of [`super::Forest::settle`] it ended.
    pub(super) round: u64,
    pub(super) worked: u64,
    pub(super) runs: u64,
    pub(super) hops: u64,
    pub(super) last: ThreadId,
    pub(super) children_open: u64,
    pub(super) children: Vec<(TaskId, Node)>,
    /// When there is no room for more children: the least latency among them.
    pub(super) least: u64,
    pub(super) height: u32,
    pub(super) tasks: usize,
    pub(super) omitted: u64,
    /// Whether it, or one below it, was open in the window.
    pub(super) is_inside: bool,
    /// Whether a thread that was asked for began it, ended it or worked for it, or for one below
    /// it.
    pub(super) is_own: bool,
}

impl Node {
    pub(super) fn latency(&self) -> u64 {
        self.end.unwrap_or(self.begin).saturating_sub(self.begin)
    }

    /// Takes a child whose own tree is complete, as far as there is room.
    pub(super) fn adopt(&mut self, task: TaskId, mut child: Node) {
        self.is_inside |= child.is_inside;
        self.is_own |= child.is_own;
        let is_full = self.children.len() >= CHILDREN_MAX;
        if is_full && child.latency() <= self.least {
            child.fell();
            self.omitted += 1 + child.omitted;
            return;
        }
        if child.height + 1 >= HEIGHT_MAX || self.tasks + child.tasks > TREE_TASKS_MAX {
            child.fell();
        }
        if is_full {
            let (_, mut fastest) = self.children.swap_remove(self.fastest());
            self.tasks -= fastest.tasks;
            fastest.fell();
            self.omitted += 1 + fastest.omitted;
        }
        self.height = self.height.max(child.height + 1);
        self.tasks += child.tasks;
        self.children.push((task, child));
        self.least = self.children[self.fastest()].1.latency();
    }

    /// The place of the child with the least latency.
    pub(super) fn fastest(&self) -> usize {
        let latencies = self.children.iter().map(|(_, child)| child.latency());
        latencies.enumerate().min_by_key(|(_, latency)| *latency).map_or(0, |(at, _)| at)
    }

    /// Leaves out all that is below.
    pub(super) fn fell(&mut self) {
        let below = self.tasks as u64 - 1;
        self.omitted +=
            below + self.children.iter().map(|child| child.1.omitted_all()).sum::<u64>();
        self.children.clear();
        self.height = 0;
        self.tasks = 1;
    }

    pub(super) fn omitted_all(&self) -> u64 {
        self.omitted + self.children.iter().map(|child| child.1.omitted_all()).sum::<u64>()
    }
}
