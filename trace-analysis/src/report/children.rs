//! Which child processes threads waited for, and where those were started.
//!
//! A child counts once, however often a thread asked for it. A wait that found none that has ended
//! was for none. A wait that is not over at the end is for one more, unless it names one that is
//! known.
//!
//! Where a child was started says the call that started it, by the process's number. A wait that
//! names no process, as for a child's output, is for the child whose end its thread finds next.

use std::collections::HashSet;

use trace_format::definition::ResourceKind;
use trace_format::id::{CallId, ResourceId, StackId, ThreadId};
use trace_format::read::Tables;

use super::grouped::Sum;
use crate::hash::FastMap;
use crate::timeline::{ClosedCall, Wait, Waited};

/// Maximum number of children that are told apart, of all threads. Of others each wait counts that
/// a child has ended.
const NAMED_MAX: usize = 1 << 16;

/// Maximum number of processes of which it is remembered where they were started.
const STARTED_MAX: usize = 1 << 16;

/// Maximum number of places where threads wait, with where what they wait for was started. Of
/// others it is not said where that was.
const PLACES_MAX: usize = 1 << 14;

/// Maximum number of places where one thread has waited for a child that is not known yet.
const UNNAMED_MAX: usize = 16;

/// The children of one thread.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Children {
    /// Those that waits name: by their number, or by the pipe that their output came from.
    pub(crate) named: HashSet<ResourceId>,
    /// How many more there are.
    pub(crate) unnamed: u64,
}

/// How a thread waited at one place for children that were started at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChildWaits {
    pub(crate) thread: ThreadId,
    /// Where it waited; 0 if unknown.
    pub(crate) stack: StackId,
    /// Where they were started; 0 if unknown.
    pub(crate) started: StackId,
    pub(crate) sum: Sum,
}

/// All that is known of child processes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ChildProcesses {
    /// Which ones each thread waited for.
    pub(crate) by_thread: FastMap<ThreadId, Children>,
    /// The waiting, by thread, place and start.
    pub(crate) waits: Vec<ChildWaits>,
    /// The numbers of those that were started, in ascending order.
    pub(crate) started: Vec<u64>,
}

/// A thread, where it waited, and where what it waited for was started.
type WaitKey = (ThreadId, StackId, StackId);

/// The children of all threads.
#[derive(Debug)]
pub(super) struct ChildTable<'t> {
    tables: &'t Tables,
    threads: FastMap<ThreadId, Children>,
    /// How many of them have names.
    named: usize,
    /// Where each process was started, by its number: before the window, too.
    started: FastMap<u64, StackId>,
    waits: FastMap<WaitKey, Sum>,
    /// Waits of each thread for the child whose end it finds next.
    unnamed: FastMap<ThreadId, Vec<(StackId, Sum)>>,
}

impl<'t> ChildTable<'t> {
    pub(super) fn new(tables: &'t Tables) -> Self {
        let (threads, started, waits, unnamed) = Default::default();
        Self { tables, threads, named: 0, started, waits, unnamed }
    }

    /// The window begins.
    pub(super) fn restart(&mut self) {
        let started = std::mem::take(&mut self.started);
        *self = Self { started, ..Self::new(self.tables) };
    }

    /// A call that starts a process is over.
    pub(super) fn start(&mut self, ended: &ClosedCall) {
        // The caller may not have asked for the number.
        let Some(process) = u64::try_from(ended.one.result).ok().filter(|it| *it > 0) else {
            return;
        };
        if self.started.len() < STARTED_MAX || self.started.contains_key(&process) {
            self.started.insert(process, ended.one.stack);
        }
    }

    /// A thread has waited for processes, or does so still at the end.
    pub(super) fn waited(&mut self, waited: &Waited) {
        let Wait { thread, stack, resource, inside, .. } = waited.wait;
        if !waited.is_over {
            self.add(thread, resource);
        }
        let sum = Sum { count: 1, total: inside.0 };
        match self.process(resource) {
            Some(process) => self.add_wait(thread, stack, self.started_at(process), sum),
            None if waited.is_over => self.add_unnamed(thread, stack, sum),
            None => self.add_wait(thread, stack, StackId(0), sum),
        }
    }

    /// A call that waits for processes is over.
    pub(super) fn ended(&mut self, ended: &ClosedCall) {
        let one = &ended.one;
        let is_named = one.resource != ResourceId(0);
        // `waitid` says nothing but that it did not fail. One for any child has found one if it was
        // off its CPU; one that names a child is taken to have found it.
        let is_mute = ended.call == CallId::WAITID;
        let has_found = if is_mute { is_named || ended.off_cpu > 0 } else { one.result > 0 };
        if has_found && one.result >= 0 {
            self.add(one.thread, one.resource);
            let told = u64::try_from(one.result).ok().filter(|_| !is_mute);
            let process = self.process(one.resource).or(told);
            let started = process.map_or(StackId(0), |process| self.started_at(process));
            self.name_waits(one.thread, started);
        }
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

    /// The number of the process that a call names.
    fn process(&self, resource: ResourceId) -> Option<u64> {
        let resource = self.tables.resources.get(&resource)?;
        (resource.kind == ResourceKind::Process).then_some(resource.value)
    }

    fn started_at(&self, process: u64) -> StackId {
        self.started.get(&process).copied().unwrap_or(StackId(0))
    }

    fn add_wait(&mut self, thread: ThreadId, stack: StackId, started: StackId, sum: Sum) {
        let mut key = (thread, stack, started);
        if self.waits.len() >= PLACES_MAX && !self.waits.contains_key(&key) {
            key = (thread, StackId(0), StackId(0));
        }
        self.waits.entry(key).or_default().merge(sum);
    }

    fn add_unnamed(&mut self, thread: ThreadId, stack: StackId, sum: Sum) {
        let waits = self.unnamed.entry(thread).or_default();
        match waits.iter().position(|(known, _)| *known == stack) {
            Some(at) => waits[at].1.merge(sum),
            None if waits.len() < UNNAMED_MAX => waits.push((stack, sum)),
            None => self.add_wait(thread, stack, StackId(0), sum),
        }
    }

    /// What a thread has waited for without a name was started there.
    fn name_waits(&mut self, thread: ThreadId, started: StackId) {
        let waits = self.unnamed.get_mut(&thread).map(std::mem::take).unwrap_or_default();
        for (stack, sum) in waits {
            self.add_wait(thread, stack, started, sum);
        }
    }

    pub(super) fn finish(mut self) -> ChildProcesses {
        let threads: Vec<_> = self.unnamed.keys().copied().collect();
        threads.into_iter().for_each(|thread| self.name_waits(thread, StackId(0)));
        let waits = self.waits.into_iter();
        let waits =
            waits.map(|((thread, stack, started), sum)| ChildWaits { thread, stack, started, sum });
        let (mut waits, mut started) = (waits.collect::<Vec<_>>(), Vec::from_iter(self.started));
        waits.sort_unstable_by_key(|it| (it.thread, it.stack, it.started));
        started.sort_unstable();
        let started = started.into_iter().map(|(process, _)| process).collect();
        ChildProcesses { by_thread: self.threads, waits, started }
    }
}

/// How many children these are together: one that several threads waited for counts once.
pub(crate) fn count<'c>(all: impl Iterator<Item = &'c Children> + Clone) -> u64 {
    let named: HashSet<_> = all.clone().flat_map(|it| &it.named).collect();
    let unnamed = crate::units::sum(all.map(|it| it.unnamed));
    unnamed.saturating_add(named.len() as u64)
}
