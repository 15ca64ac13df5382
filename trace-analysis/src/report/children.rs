//! Which child processes threads waited for.
//!
//! A child counts once, however often a thread asked for it. A wait that found none that has ended
//! was for none. A wait that is not over at the end is for one more, unless it names one that is
//! known.

use std::collections::HashSet;

use trace_format::id::{CallId, ResourceId, ThreadId};

use crate::hash::FastMap;
use crate::timeline::{EndedCall, Waited};

/// Maximum number of children that are told apart, of all threads. Of others each wait counts that
/// a child has ended.
const NAMED_MAX: usize = 1 << 16;

/// The children of one thread.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Children {
    /// Those that waits name: by their number, or by the pipe that their output came from.
    pub(crate) named: HashSet<ResourceId>,
    /// How many more there are.
    pub(crate) unnamed: u64,
}

/// The children of all threads.
#[derive(Debug, Default)]
pub(super) struct ChildTable {
    threads: FastMap<ThreadId, Children>,
    /// How many of them have names.
    named: usize,
}

impl ChildTable {
    /// A call that waits for processes is over.
    pub(super) fn ended(&mut self, ended: &EndedCall) {
        let one = &ended.one;
        let is_named = one.resource != ResourceId(0);
        // `waitid` says nothing but that it did not fail. One for any child has found one if it was
        // off its CPU; one that names a child is taken to have found it.
        let is_mute = ended.call == CallId::WAITID;
        let has_found = if is_mute { is_named || ended.off_cpu > 0 } else { one.result > 0 };
        if has_found && one.result >= 0 {
            self.add(one.thread, one.resource);
        }
    }

    /// A wait for a process is not over at the end.
    pub(super) fn open(&mut self, waited: &Waited) {
        self.add(waited.wait.thread, waited.wait.resource);
    }

    /// - `child`: 0 if it has no name.
    fn add(&mut self, thread: ThreadId, child: ResourceId) {
        let children = self.threads.entry(thread).or_default();
        if child != ResourceId(0) && self.named < NAMED_MAX {
            self.named += usize::from(children.named.insert(child));
        } else if !children.named.contains(&child) {
            children.unnamed += 1;
        }
    }

    pub(super) fn finish(self) -> FastMap<ThreadId, Children> {
        self.threads
    }
}

/// How many children these are together: one that several threads waited for counts once.
pub(crate) fn count<'c>(all: impl Iterator<Item = &'c Children> + Clone) -> u64 {
    let named: HashSet<_> = all.clone().flat_map(|it| &it.named).collect();
    let unnamed = crate::units::sum(all.map(|it| it.unnamed));
    unnamed.saturating_add(named.len() as u64)
}
