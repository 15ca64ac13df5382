//! Tracks: who has which number, and the lives of tasks and futures, which have tracks of their
//! own.
//!
//! A task or future has a track to itself from its begin to its end; then the next one of its name
//! takes it over, so there are as many tracks as were alive at once. Viewers show tracks of one
//! name below one parent as one group. What is alive is bounded: beyond the limit, tasks and
//! futures are counted, and not shown.
//!
//! Elsewhere: threads' stacks (`lane`).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;

use trace_format::id::{FutureId, SiteId, TaskId};
use trace_format::read::Tables;
use trace_format::time::Ticks;

use super::intern::{Heading, Name};
use super::message::{
    CounterDescriptor, ORDER_LEXICOGRAPHIC, ProcessDescriptor, ThreadDescriptor, TrackDescriptor,
};
use super::packet::Packets;

/// The process's track.
pub(super) const PROCESS: u64 = 1;
/// The parent of all tasks' tracks.
const TASKS: u64 = 2;
/// The parent of all futures' tracks.
const FUTURES: u64 = 3;
/// The first thread's track: the default of the sequence.
pub(super) const FIRST: u64 = 4;

/// So many tasks and futures together may be alive at once. One takes about 150 bytes.
const ALIVE_MAX: usize = 1 << 18;
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

    fn parent(self) -> u64 {
        match self {
            Self::Task(_) => TASKS,
            Self::Future(_) => FUTURES,
        }
    }
}

/// A task or future that is alive.
#[derive(Debug)]
pub(super) struct Alive {
    pub(super) track: u64,
    pub(super) heading: Heading,
    /// Regions that are held across an await, outermost first: their slices are on this track.
    pub(super) held: Vec<Held>,
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
    pid: i32,
    tasks: HashMap<TaskId, Alive>,
    futures: HashMap<FutureId, Alive>,
    /// Tracks whose task or future has ended, by parent and name.
    free: HashMap<(u64, u64), Vec<u64>>,
    counters: HashMap<String, u64>,
    /// Of [`TASKS`] and [`FUTURES`], those that are described.
    described: [bool; 2],
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
            next: FIRST,
            pid,
            tasks: HashMap::new(),
            futures: HashMap::new(),
            free: HashMap::new(),
            counters: HashMap::new(),
            described: [false; 2],
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
        let uuid = self.number();
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

    /// Something begins to live under `heading`, whose name is `name`. Returns its track; `None` if
    /// too much is alive already, or if the same began before.
    pub(super) fn open(
        &mut self,
        life: Life,
        heading: Heading,
        name: &str,
        packets: &mut Packets<'_>,
    ) -> io::Result<Option<u64>> {
        if self.get(life).is_some() || self.alive_count() >= ALIVE_MAX {
            return Ok(None);
        }
        let track = match self.take_free(life, &heading) {
            Some(track) => track,
            None => {
                self.describe_parent(life, packets)?;
                self.child(life.parent(), name, packets)?
            }
        };
        let alive = Alive { track, heading, held: Vec::new() };
        match life {
            Life::Task(task) => self.tasks.insert(task, alive),
            Life::Future(future) => self.futures.insert(future, alive),
        };
        Ok(Some(track))
    }

    /// What is known of something alive.
    pub(super) fn get(&self, life: Life) -> Option<&Alive> {
        match life {
            Life::Task(task) => self.tasks.get(&task),
            Life::Future(future) => self.futures.get(&future),
        }
    }

    /// Something has ended. Its track is free from now on.
    pub(super) fn close(&mut self, life: Life) -> Option<Alive> {
        let alive = match life {
            Life::Task(task) => self.tasks.remove(&task),
            Life::Future(future) => self.futures.remove(&future),
        }?;
        if let Name::Interned(name) = alive.heading.name {
            match self.free.entry((life.parent(), name)) {
                Entry::Occupied(mut free) => free.get_mut().push(alive.track),
                Entry::Vacant(none) => {
                    none.insert(vec![alive.track]);
                }
            }
        }
        Some(alive)
    }

    /// A region outlives a poll of `future`. Returns the track on which it goes on.
    pub(super) fn hold(&mut self, future: FutureId, site: SiteId, begin: Ticks) -> Option<u64> {
        let alive = self.futures.get_mut(&future)?;
        if alive.held.len() >= HELD_MAX {
            return None;
        }
        alive.held.push(Held { site, begin, ended: false });
        Some(alive.track)
    }

    /// A region that outlived a poll of `future` ends. Returns the track, and how many slices end
    /// on it now; `None` if there is no such region.
    pub(super) fn release(
        &mut self,
        future: FutureId,
        site: SiteId,
        begin: Ticks,
    ) -> Option<(u64, usize)> {
        let Alive { track, held, .. } = self.futures.get_mut(&future)?;
        let wanted = Held { site, begin, ended: false };
        held.iter_mut().rfind(|held| **held == wanted)?.ended = true;
        let open = held.iter().rposition(|held| !held.ended).map_or(0, |last| last + 1);
        let ends = held.len() - open;
        held.truncate(open);
        Some((*track, ends))
    }

    /// How many slices of tasks, futures and held regions are open in the output.
    pub(super) fn slices_open(&self) -> usize {
        let held: usize = self.futures.values().map(|alive| alive.held.len()).sum();
        self.alive_count() + held
    }

    fn alive_count(&self) -> usize {
        self.tasks.len() + self.futures.len()
    }

    fn take_free(&mut self, life: Life, heading: &Heading) -> Option<u64> {
        let Name::Interned(name) = heading.name else {
            return None;
        };
        self.free.get_mut(&(life.parent(), name))?.pop()
    }

    fn describe_parent(&mut self, life: Life, packets: &mut Packets<'_>) -> io::Result<()> {
        let (at, name) = match life {
            Life::Task(_) => (0, "Tasks"),
            Life::Future(_) => (1, "Futures"),
        };
        if std::mem::replace(&mut self.described[at], true) {
            return Ok(());
        }
        packets.describe(TrackDescriptor {
            uuid: Some(life.parent()),
            parent_uuid: Some(PROCESS),
            name: Some(name.to_owned()),
            child_ordering: Some(ORDER_LEXICOGRAPHIC),
            ..TrackDescriptor::default()
        })
    }

    fn number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }
}
