//! The events of every future of a trace, on all threads. Only for traces so short that no batch
//! gets full: restated events are not read.

use super::decoded::Decoded;
use std::collections::BTreeMap;
use trace_format::event::{EventKind, Outcome};
use trace_format::id::{FutureId, SiteId, StackId, TaskId, ThreadId};

/// A future.
#[derive(Debug, Default)]
pub(crate) struct Life {
    pub(crate) name: String,
    /// File and line of its call site.
    pub(crate) place: (String, u32),
    /// The name of the future that spawned it.
    pub(crate) parent: String,
    pub(crate) task: u64,
    /// Number of its spawn events, and of events that define it.
    pub(crate) spawns: u32,
    pub(crate) begins: u32,
    pub(crate) polls: u32,
    /// Its wakes: for each the name of the future that was being polled there, or an empty text.
    pub(crate) wakes: Vec<String>,
    pub(crate) readies: u32,
    pub(crate) ends: Vec<Outcome>,
    /// Stacks at which its polls ended.
    pub(crate) waits: Vec<StackId>,
}

/// All futures by number.
pub(crate) fn lives(trace: &Decoded) -> BTreeMap<FutureId, Life> {
    let mut story = Story { trace, lives: BTreeMap::new(), parents: Vec::new(), wakes: Vec::new() };
    for (id, state) in &trace.tables.futures {
        story.is(*id, state.site, state.task);
    }
    trace.tables.threads.keys().for_each(|&thread| story.thread(thread));
    story.finish()
}

/// The only one of this name.
pub(crate) fn one<'l>(lives: &'l BTreeMap<FutureId, Life>, name: &str) -> &'l Life {
    let mut found = lives.values().filter(|life| life.name == name);
    let life = found.next().unwrap_or_else(|| panic!("no future is called {name}: {lives:#?}"));
    assert!(found.next().is_none(), "one future is called {name}: {lives:#?}");
    life
}

struct Story<'t> {
    trace: &'t Decoded,
    lives: BTreeMap<FutureId, Life>,
    /// Futures, and those that spawned or woke them; names are resolved at the end.
    parents: Vec<(FutureId, FutureId)>,
    wakes: Vec<(FutureId, Option<FutureId>)>,
}

impl Story<'_> {
    fn is(&mut self, future: FutureId, site: SiteId, task: TaskId) {
        let site = self.trace.tables.callsite(site).expect("sites are defined");
        let life = self.lives.entry(future).or_default();
        if life.name.is_empty() {
            life.name = site.name.clone();
            life.place = (site.file.clone(), site.line);
        }
        life.task = life.task.max(task.0);
    }

    fn thread(&mut self, thread: ThreadId) {
        let mut open: Vec<Option<FutureId>> = Vec::new();
        for event in self.trace.events(thread) {
            match event.kind {
                EventKind::FutureSpawn { future, parent, site, task, .. } => {
                    self.is(future, site, task);
                    self.parents.push((future, parent));
                    self.life(future).spawns += 1;
                }
                EventKind::FutureBegin { future, site, task, .. } => {
                    self.is(future, site, task);
                    self.life(future).begins += 1;
                }
                EventKind::Poll { future, waits_at, .. } => {
                    let life = self.life(future);
                    life.polls += 1;
                    life.waits.push(waits_at);
                }
                EventKind::PollBegin { future } => {
                    self.life(future).polls += 1;
                    open.push(Some(future));
                }
                EventKind::RegionBegin { .. } | EventKind::TaskRunBegin { .. } => open.push(None),
                EventKind::End | EventKind::EndValue { .. } => drop(open.pop()),
                EventKind::EndPoll { waits_at } => {
                    let future = open.pop().flatten().expect("a poll is open");
                    self.life(future).waits.push(waits_at);
                }
                EventKind::Wake { future, .. } => {
                    let by = open.iter().rev().flatten().next().copied();
                    self.wakes.push((future, by));
                }
                EventKind::Ready { future, .. } => self.life(future).readies += 1,
                EventKind::FutureEnd { future, outcome, .. } => {
                    self.life(future).ends.push(outcome);
                }
                _ => {}
            }
        }
    }

    fn life(&mut self, future: FutureId) -> &mut Life {
        self.lives.entry(future).or_default()
    }

    fn finish(mut self) -> BTreeMap<FutureId, Life> {
        let names: BTreeMap<_, _> =
            self.lives.iter().map(|(id, life)| (*id, life.name.clone())).collect();
        let name = |id: FutureId| names.get(&id).cloned().unwrap_or_default();
        for (future, parent) in std::mem::take(&mut self.parents) {
            self.life(future).parent = name(parent);
        }
        for (future, by) in std::mem::take(&mut self.wakes) {
            self.life(future).wakes.push(by.map(name).unwrap_or_default());
        }
        self.lives
    }
}
