//! Tracks: who has which number, and the lives of tasks and futures, which have tracks of their
//! own.
//!
//! A task or future has a track to itself from its begin to its end; then the next one of its name
//! takes it over, so there are as many tracks as were alive at once. Viewers show tracks of one
//! name below one parent as one group. The first async tasks have tracks of their own for good, as
//! many as one can look at; later ones share like all others. What is alive is bounded: beyond the
//! limit, tasks and futures are counted, and not shown.
//!
//! Elsewhere: threads' stacks (`lane`), what async tasks do (`progress`).

use std::collections::{HashMap, HashSet};
use std::io;

use trace_format::id::{FutureId, SiteId, TaskId};
use trace_format::read::Tables;
use trace_format::time::Ticks;

use super::intern::{Heading, Name};
use super::message::{
    CounterDescriptor, ORDER_CHRONOLOGICAL, ORDER_LEXICOGRAPHIC, ProcessDescriptor,
    ThreadDescriptor, TrackDescriptor,
};
use super::packet::Packets;
use super::progress::{Progress, Stage};

/// The process's track.
pub(super) const PROCESS: u64 = 1;
/// The first thread's track: the default of the sequence.
pub(super) const FIRST: u64 = 5;

/// So many tasks and futures together may be alive at once. One takes about 250 bytes.
const ALIVE_MAX: usize = 1 << 18;
/// So many async tasks have a track that no other takes over.
const OWN_TRACKS_MAX: u64 = 1 << 12;
/// So many regions of one future are shown across awaits.
const HELD_MAX: usize = 64;

/// What has a life of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Life {
    Task(TaskId),
    Future(FutureId),
}

impl Life {
    /// The number that ties its slices together. Ids count up from 1, so no two share one.
    pub(super) fn flow(self) -> u64 {
        match self {
            Self::Task(task) => task.0 << 1,
            Self::Future(future) => future.0 << 1 | 1,
        }
    }

    /// What it is called if its begin is not in the trace.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Task(_) => "task",
            Self::Future(_) => "future",
        }
    }
}

/// Where the track of something alive is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Group {
    Tasks,
    /// What is awaited by others.
    Futures,
    /// Futures that are polled by whoever runs them: spawned ones, and those begun in no other's
    /// poll.
    AsyncTasks,
}

impl Group {
    fn track(self) -> u64 {
        match self {
            Self::Tasks => 2,
            Self::Futures => 3,
            Self::AsyncTasks => 4,
        }
    }

    /// What it is called, and the order of its tracks.
    fn heading(self) -> (&'static str, i32) {
        match self {
            Self::Tasks => ("Tasks", ORDER_LEXICOGRAPHIC),
            Self::Futures => ("Futures", ORDER_LEXICOGRAPHIC),
            Self::AsyncTasks => ("Async tasks", ORDER_CHRONOLOGICAL),
        }
    }
}

/// A track, and the time of the last packet on it. Whatever is sent later is not earlier.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    track: u64,
    last: u64,
}

impl Row {
    fn new(track: u64) -> Self {
        Self { track, last: 0 }
    }

    /// The time of the next packet, and the track.
    pub(super) fn stamp(&mut self, at: u64) -> (u64, u64) {
        self.last = self.last.max(at);
        (self.last, self.track)
    }
}

/// The track of something alive, and the one below it of its held regions if there is one.
type Rows = (Row, Option<Row>);

/// A task or future that is alive.
#[derive(Debug)]
pub(super) struct Alive {
    pub(super) row: Row,
    pub(super) heading: Heading,
    /// What a future is; 0 for a task.
    pub(super) site: SiteId,
    /// The async task that a future was polled in last, if it is none itself.
    pub(super) within: Option<FutureId>,
    /// Of an async task.
    pub(super) progress: Option<Box<Progress>>,
    group: Group,
    /// Whether others may take the track over.
    is_shared: bool,
    /// Regions that are held across an await, outermost first.
    held: Vec<Held>,
    /// Their track: of an async task one below its own, where they would lie across its stages.
    held_row: Option<Row>,
}

impl Alive {
    /// How many regions are held, and on which track.
    pub(super) fn held(&mut self) -> (usize, &mut Row) {
        (self.held.len(), self.held_row.as_mut().unwrap_or(&mut self.row))
    }
}

/// What became of something that began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// It has a track now; the time of its first packet, and the track.
    On(u64, u64),
    /// It had one already.
    Again,
    /// Too much is alive.
    Full,
}

/// A region that has outlived the poll in which it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) site: SiteId,
    pub(super) begin: Ticks,
    /// It has ended, but one that began later has not: slices end innermost first.
    pub(super) ended: bool,
}

/// All tracks.
#[derive(Debug)]
pub(super) struct Tracks {
    next: u64,
    has_thread: bool,
    pid: i32,
    tasks: HashMap<TaskId, Alive>,
    futures: HashMap<FutureId, Alive>,
    /// Async tasks that have got a track of their own.
    own_tracks: u64,
    /// Tracks whose task or future has ended, by group and name.
    free: HashMap<(Group, u64), Vec<Rows>>,
    counters: HashMap<String, u64>,
    described: HashSet<Group>,
}

impl Tracks {
    /// Describes the process.
    pub(super) fn begin(tables: &Tables, packets: &mut Packets<'_>) -> io::Result<Self> {
        let process = tables.process.as_ref();
        // A process number of 0 would make it the idle process.
        let pid = process.and_then(|process| i32::try_from(process.pid).ok());
        let pid = pid.filter(|&pid| pid > 0).unwrap_or(1);
        let name =
            process.map(|process| process.executable.clone()).filter(|name| !name.is_empty());
        packets.describe(TrackDescriptor {
            uuid: Some(PROCESS),
            process: Some(ProcessDescriptor {
                pid: Some(pid),
                cmdline: name.iter().cloned().collect(),
                process_name: Some(name.unwrap_or_else(|| "unknown process".to_owned())),
            }),
            ..TrackDescriptor::default()
        })?;
        Ok(Self {
            next: FIRST + 1,
            has_thread: false,
            pid,
            tasks: HashMap::new(),
            futures: HashMap::new(),
            own_tracks: 0,
            free: HashMap::new(),
            counters: HashMap::new(),
            described: HashSet::new(),
        })
    }

    /// The process, by the number that importers know it by.
    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// Describes a thread; `os_id` is 0 if it is not known.
    pub(super) fn thread(
        &mut self,
        name: &str,
        os_id: u64,
        packets: &mut Packets<'_>,
    ) -> io::Result<u64> {
        // Most events are on threads, and most of those on the first.
        let is_first = !std::mem::replace(&mut self.has_thread, true);
        let uuid = if is_first { FIRST } else { self.number() };
        let tid = i64::try_from(os_id).ok().filter(|&tid| tid > 0);
        let thread = tid.map(|tid| ThreadDescriptor {
            pid: Some(self.pid),
            tid: Some(tid),
            thread_name: Some(name.to_owned()),
        });
        // Without the system's number it can't be a thread's track, but has a name all the same.
        let name = tid.is_none().then(|| name.to_owned());
        let parent_uuid = Some(PROCESS);
        let uuid_of = Some(uuid);
        packets.describe(TrackDescriptor {
            uuid: uuid_of,
            parent_uuid,
            name,
            thread,
            ..TrackDescriptor::default()
        })?;
        Ok(uuid)
    }

    /// Describes a track below the process.
    pub(super) fn of_process(&mut self, name: &str, packets: &mut Packets<'_>) -> io::Result<u64> {
        self.child(PROCESS, name, packets)
    }

    /// Describes a track below `parent`.
    pub(super) fn child(
        &mut self,
        parent: u64,
        name: &str,
        packets: &mut Packets<'_>,
    ) -> io::Result<u64> {
        let uuid = self.number();
        packets.describe(TrackDescriptor {
            uuid: Some(uuid),
            parent_uuid: Some(parent),
            name: Some(name.to_owned()),
            ..TrackDescriptor::default()
        })?;
        Ok(uuid)
    }

    /// The track of the counter `name`: one for all call sites that count under this name.
    pub(super) fn counter(
        &mut self,
        name: &str,
        unit: Option<i32>,
        packets: &mut Packets<'_>,
    ) -> io::Result<u64> {
        if let Some(&uuid) = self.counters.get(name) {
            return Ok(uuid);
        }
        let uuid = self.number();
        self.counters.insert(name.to_owned(), uuid);
        packets.describe(TrackDescriptor {
            uuid: Some(uuid),
            parent_uuid: Some(PROCESS),
            name: Some(name.to_owned()),
            counter: Some(CounterDescriptor { unit }),
            ..TrackDescriptor::default()
        })?;
        Ok(uuid)
    }

    /// Something begins to live at `at`, under `heading`, whose name is `name`.
    pub(super) fn open(
        &mut self,
        (life, group): (Life, Group),
        (heading, name, site): (Heading, &str, SiteId),
        at: u64,
        packets: &mut Packets<'_>,
    ) -> io::Result<Opened> {
        if self.get(life).is_some() {
            return Ok(Opened::Again);
        }
        if self.alive_count() >= ALIVE_MAX {
            return Ok(Opened::Full);
        }
        let ((row, held_row), is_shared) = self.rows(life, group, &heading, name, packets)?;
        let is_task = group == Group::AsyncTasks;
        let progress = is_task.then(|| Box::new(Progress::default()));
        let (held, within) = (Vec::new(), None);
        let mut alive =
            Alive { row, heading, site, within, progress, group, is_shared, held, held_row };
        let (at, track) = alive.row.stamp(at);
        match life {
            Life::Task(task) => self.tasks.insert(task, alive),
            Life::Future(future) => self.futures.insert(future, alive),
        };
        Ok(Opened::On(at, track))
    }

    /// A track for what begins, and whether others may have it afterwards.
    fn rows(
        &mut self,
        life: Life,
        group: Group,
        heading: &Heading,
        name: &str,
        packets: &mut Packets<'_>,
    ) -> io::Result<(Rows, bool)> {
        self.describe_group(group, packets)?;
        if let (Life::Future(future), Group::AsyncTasks) = (life, group)
            && self.own_tracks < OWN_TRACKS_MAX
        {
            self.own_tracks += 1;
            let name = format!("{name} #{}", future.0);
            let row = Row::new(self.child(group.track(), &name, packets)?);
            return Ok(((row, None), false));
        }
        let key = free_key(group, heading);
        let free = key.and_then(|key| self.free.get_mut(&key)).and_then(Vec::pop);
        match free {
            Some(rows) => Ok((rows, true)),
            None => Ok(((Row::new(self.child(group.track(), name, packets)?), None), true)),
        }
    }

    /// What is known of something alive.
    pub(super) fn get(&self, life: Life) -> Option<&Alive> {
        match life {
            Life::Task(task) => self.tasks.get(&task),
            Life::Future(future) => self.futures.get(&future),
        }
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self, life: Life) -> Option<&mut Alive> {
        match life {
            Life::Task(task) => self.tasks.get_mut(&task),
            Life::Future(future) => self.futures.get_mut(&future),
        }
    }

    /// The async task that a future is, or was polled in last.
    pub(super) fn async_task(&self, future: FutureId) -> Option<FutureId> {
        let alive = self.futures.get(&future)?;
        if alive.progress.is_some() { Some(future) } else { alive.within }
    }

    /// An async task's track, and what it does.
    pub(super) fn progress(&mut self, future: FutureId) -> Option<(&mut Row, &mut Progress)> {
        let alive = self.futures.get_mut(&future)?;
        Some((&mut alive.row, alive.progress.as_deref_mut()?))
    }

    /// Async tasks of which it has not shown what came after their last poll.
    pub(super) fn tasks_over(&self) -> Vec<FutureId> {
        let is_over = |alive: &Alive| match &alive.progress {
            Some(progress) => matches!(progress.stage, Stage::Over(_)),
            None => false,
        };
        let over = self.futures.iter().filter(|(_, alive)| is_over(alive));
        let mut over: Vec<_> = over.map(|(future, _)| *future).collect();
        over.sort_unstable();
        over
    }

    /// Something has ended. Its last packets are still to be sent; then its track is given back.
    pub(super) fn close(&mut self, life: Life) -> Option<Alive> {
        match life {
            Life::Task(task) => self.tasks.remove(&task),
            Life::Future(future) => self.futures.remove(&future),
        }
    }

    /// The track of something that has ended is free from now on.
    pub(super) fn give_back(&mut self, alive: &Alive) {
        if let Some(key) = free_key(alive.group, &alive.heading).filter(|_| alive.is_shared) {
            self.free.entry(key).or_default().push((alive.row, alive.held_row));
        }
    }

    /// A region outlives a poll of `future`. Returns the track on which it goes on.
    pub(super) fn hold(
        &mut self,
        future: FutureId,
        site: SiteId,
        begin: Ticks,
        packets: &mut Packets<'_>,
    ) -> io::Result<Option<&mut Row>> {
        let Some(alive) = self.futures.get(&future).filter(|alive| alive.held.len() < HELD_MAX)
        else {
            return Ok(None);
        };
        let fresh = match (alive.group, alive.held_row) {
            (Group::AsyncTasks, None) => {
                let parent = alive.row.track;
                Some(Row::new(self.child(parent, "held across awaits", packets)?))
            }
            _ => None,
        };
        let alive = self.futures.get_mut(&future).expect("it was there just now");
        alive.held_row = alive.held_row.or(fresh);
        alive.held.push(Held { site, begin, ended: false });
        Ok(Some(alive.held().1))
    }

    /// A region that outlived a poll of `future` ends. Returns how many slices end now, and the
    /// track; `None` if there is no such region.
    pub(super) fn release(
        &mut self,
        future: FutureId,
        site: SiteId,
        begin: Ticks,
    ) -> Option<(usize, &mut Row)> {
        let alive = self.futures.get_mut(&future)?;
        let wanted = Held { site, begin, ended: false };
        let held = &mut alive.held;
        held.iter_mut().rfind(|held| **held == wanted)?.ended = true;
        let open = held.iter().rposition(|held| !held.ended).map_or(0, |last| last + 1);
        let ends = held.len() - open;
        held.truncate(open);
        Some((ends, alive.held().1))
    }

    /// How many slices of tasks, futures, their stages and held regions are open in the output.
    pub(super) fn slices_open(&self) -> usize {
        let stage = |alive: &Alive| match &alive.progress {
            Some(progress) => usize::from(progress.stage.has_slice()),
            None => 0,
        };
        let more: usize = self.futures.values().map(|alive| alive.held.len() + stage(alive)).sum();
        self.alive_count() + more
    }

    fn alive_count(&self) -> usize {
        self.tasks.len() + self.futures.len()
    }

    fn describe_group(&mut self, group: Group, packets: &mut Packets<'_>) -> io::Result<()> {
        if !self.described.insert(group) {
            return Ok(());
        }
        let (name, order) = group.heading();
        packets.describe(TrackDescriptor {
            uuid: Some(group.track()),
            parent_uuid: Some(PROCESS),
            name: Some(name.to_owned()),
            child_ordering: Some(order),
            ..TrackDescriptor::default()
        })
    }

    fn number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }
}

/// Under what a track is kept for the next one. Names that have no number are written out, and
/// there may be any number of them.
fn free_key(group: Group, heading: &Heading) -> Option<(Group, u64)> {
    match heading.name {
        Name::Interned(name) => Some((group, name)),
        Name::Text(_) => None,
    }
}
