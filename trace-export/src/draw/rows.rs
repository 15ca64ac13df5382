//! Which track each thread, task and future has; tasks and futures have tracks of their own.
//!
//! A task or future has a track to itself from its begin to its end. Then the next one of the same
//! name uses the track, so there are as many tracks as were alive at once. Viewers show tracks of
//! one name below one parent as one group. The first [`OWN_TRACKS_MAX`] async tasks keep their
//! tracks; later ones share like all others. A program may give every task another name: beyond
//! [`NAMED_TRACKS_MAX`], new names share the tracks `(others)`. Beyond [`ALIVE_MAX`], tasks and
//! futures are only counted.
//!
//! Elsewhere: threads' slices (`threads`), what is drawn for tasks and futures (`lives`).
//!
//! Long, because one table owns all tracks, and its tests need all of it.

use std::rc::Rc;

use trace_analysis::Moment;
use trace_format::id::{FutureId, SiteId, TaskId};
use trace_format::read::Tables;

use crate::hash::FastMap;
use crate::scene::{Arrow, Label, Order, Scene, Track, TrackKind, Unit};

/// Maximum number of tasks and futures that are alive at once. One takes about 250 bytes.
const ALIVE_MAX: usize = 1 << 18;
/// Maximum number of async tasks that keep their track after their end.
const OWN_TRACKS_MAX: u64 = 1 << 12;
/// Maximum number of tracks that have a task's or a future's name and are kept for the next one of
/// that name. One takes about 150 bytes.
const NAMED_TRACKS_MAX: u64 = 1 << 16;
/// Name of tracks that tasks and futures of any name share.
const OTHERS: &str = "(others)";
/// Maximum number of regions of one future that are shown across awaits.
const HELD_MAX: usize = 64;

/// A task or a future.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Life {
    Task(TaskId),
    Future(FutureId),
}

impl Life {
    /// The arrow that ties its slices together.
    pub(super) fn arrow(self) -> Arrow {
        match self {
            Self::Task(task) => Arrow::Task(task.0),
            Self::Future(future) => Arrow::Future(future.0),
        }
    }

    /// Its id.
    pub(super) fn number(self) -> u64 {
        match self {
            Self::Task(task) => task.0,
            Self::Future(future) => future.0,
        }
    }

    /// Its name if its begin is not in the trace.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Task(_) => "task",
            Self::Future(_) => "future",
        }
    }
}

/// The group that a task's or future's track is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Group {
    Tasks,
    /// Futures that other futures await.
    Futures,
    /// Futures that an executor polls: spawned ones, and those that did not begin in the poll of
    /// another.
    AsyncTasks,
}

impl Group {
    /// The group's name, and the order of its tracks.
    fn heading(self) -> (&'static str, Order) {
        match self {
            Self::Tasks => ("Tasks", Order::Name),
            Self::Futures => ("Futures", Order::Name),
            Self::AsyncTasks => ("Async tasks", Order::Time),
        }
    }
}

/// The label of the slices of a task or a future.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Heading {
    Site(SiteId),
    /// A name and its category.
    Name(Rc<str>, &'static str),
}

impl Heading {
    pub(super) fn label(&self) -> Label<'_> {
        match self {
            Self::Site(site) => Label::Site(*site),
            Self::Name(name, category) => Label::Name(name, category),
        }
    }
}

/// A track, and the time of the last item on it: later items must not have an earlier time (S2).
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    track: Track,
    last: u64,
}

impl Row {
    pub(super) fn new(track: Track) -> Self {
        Self { track, last: 0 }
    }

    /// The track, and the time for the next item on it.
    pub(super) fn stamp(&mut self, at: u64) -> (Track, u64) {
        self.last = self.last.max(at);
        (self.track, self.last)
    }
}

/// The track of a task or future, and the track below it for held regions, if there is one.
type RowPair = (Row, Option<Row>);

/// Which task or future may use a track next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Nobody,
    /// One with the same heading.
    Namesakes,
    /// Any in the same group.
    Anybody,
}

/// A task or future that is alive.
#[derive(Debug)]
pub(super) struct Alive {
    pub(super) row: Row,
    pub(super) heading: Heading,
    group: Group,
    next: Next,
    /// Regions that are held across an await, outermost first.
    held: Vec<Held>,
    /// The track of held regions. For an async task it lies below the task's own track, where they
    /// would cross the slices of its states.
    held_row: Option<Row>,
    /// The time from which no one can wake it, until that is drawn.
    pub(super) unwakeable: Option<u64>,
}

impl Alive {
    pub(super) fn is_async_task(&self) -> bool {
        self.group == Group::AsyncTasks
    }

    /// The number of held regions, and their track.
    pub(super) fn held(&mut self) -> (usize, &mut Row) {
        (self.held.len(), self.held_row.as_mut().unwrap_or(&mut self.row))
    }
}

/// A region that has outlived the poll in which it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    region: (SiteId, Moment),
    /// The region has ended, but one that began later has not: slices end innermost first.
    is_over: bool,
}

/// The result of opening a task or a future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// It has a track now; with the time for the first item on it.
    On(Track, u64),
    /// It had a track already.
    Again,
    /// Too many tasks and futures are alive.
    Full,
}

/// All tracks.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) process: Track,
    alive: FastMap<Life, Alive>,
    /// Number of async tasks that have got a track for themselves.
    own_tracks: u64,
    /// Number of tracks made for one name.
    named_tracks: u64,
    /// Tracks whose task or future has ended, by group and heading; without a heading if any may
    /// use them.
    free: FastMap<(Group, Option<Heading>), Vec<RowPair>>,
    counters: FastMap<Box<str>, Track>,
    groups: FastMap<Group, Track>,
}

impl Rows {
    /// Makes the process's track.
    pub(super) fn begin(tables: &Tables, scene: &mut impl Scene) -> Self {
        let process = tables.process.as_ref();
        let (pid, line) = process.map_or((0, ""), |it| (it.pid, it.executable.as_str()));
        Self {
            process: scene.track(None, "", TrackKind::Process(pid, line)),
            alive: FastMap::default(),
            own_tracks: 0,
            named_tracks: 0,
            free: FastMap::default(),
            counters: FastMap::default(),
            groups: FastMap::default(),
        }
    }

    /// A thread's track; `os_id` is 0 if it is not known.
    pub(super) fn thread(&mut self, scene: &mut impl Scene, name: &str, os_id: u64) -> Track {
        scene.track(Some(self.process), name, TrackKind::Thread(os_id))
    }

    /// A track below the process.
    pub(super) fn of_process(&mut self, scene: &mut impl Scene, name: &str) -> Track {
        scene.track(Some(self.process), name, TrackKind::Row)
    }

    /// The track of the counter `name`: one for all call sites that count under this name.
    pub(super) fn counter(&mut self, scene: &mut impl Scene, name: &str, unit: Unit) -> Track {
        if let Some(&track) = self.counters.get(name) {
            return track;
        }
        let track = scene.track(Some(self.process), name, TrackKind::Counter(unit));
        self.counters.insert(name.into(), track);
        track
    }

    /// Opens a task or future at `at`, under `heading`, on a track named `name`.
    pub(super) fn open(
        &mut self,
        scene: &mut impl Scene,
        (life, group): (Life, Group),
        (heading, name): (Heading, &str),
        at: u64,
    ) -> Opened {
        if self.alive.contains_key(&life) {
            return Opened::Again;
        }
        if self.alive.len() >= ALIVE_MAX {
            return Opened::Full;
        }
        let ((mut row, held_row), next) = self.rows(scene, life, group, (&heading, name));
        let (track, at) = row.stamp(at);
        let held = Vec::new();
        let unwakeable = None;
        let alive = Alive { row, heading, group, next, held, held_row, unwakeable };
        self.alive.insert(life, alive);
        Opened::On(track, at)
    }

    /// A track for a task or future that begins, and which may use it afterwards.
    fn rows(
        &mut self,
        scene: &mut impl Scene,
        life: Life,
        group: Group,
        (heading, name): (&Heading, &str),
    ) -> (RowPair, Next) {
        let parent = self.group(scene, group);
        let mut fresh = |name: &str| Row::new(scene.track(Some(parent), name, TrackKind::Row));
        if let (Life::Future(future), Group::AsyncTasks) = (life, group)
            && self.own_tracks < OWN_TRACKS_MAX
        {
            self.own_tracks += 1;
            return ((fresh(&format!("{name} #{}", future.0)), None), Next::Nobody);
        }
        let own = self.free.get_mut(&(group, Some(heading.clone()))).and_then(Vec::pop);
        if let Some(own) = own {
            return (own, Next::Namesakes);
        }
        if self.named_tracks < NAMED_TRACKS_MAX {
            self.named_tracks += 1;
            return ((fresh(name), None), Next::Namesakes);
        }
        let others = self.free.get_mut(&(group, None)).and_then(Vec::pop);
        (others.unwrap_or_else(|| (fresh(OTHERS), None)), Next::Anybody)
    }

    fn group(&mut self, scene: &mut impl Scene, group: Group) -> Track {
        let process = self.process;
        *self.groups.entry(group).or_insert_with(|| {
            let (name, order) = group.heading();
            scene.track(Some(process), name, TrackKind::Group(order))
        })
    }

    /// The data of a task or future that is alive.
    pub(super) fn get_mut(&mut self, life: Life) -> Option<&mut Alive> {
        self.alive.get_mut(&life)
    }

    /// The label of its slices.
    pub(super) fn heading(&self, life: Life) -> Heading {
        match self.alive.get(&life) {
            Some(alive) => alive.heading.clone(),
            None => Heading::Name(life.kind().into(), life.kind()),
        }
    }

    /// Removes a task or future that has ended. Its track may still be drawn on until it is given
    /// back.
    pub(super) fn close(&mut self, life: Life) -> Option<Alive> {
        self.alive.remove(&life)
    }

    /// Makes the track of a task or future that has ended free for others.
    pub(super) fn give_back(&mut self, alive: Alive) {
        let heading = match alive.next {
            Next::Nobody => return,
            Next::Namesakes => Some(alive.heading),
            Next::Anybody => None,
        };
        self.free.entry((alive.group, heading)).or_default().push((alive.row, alive.held_row));
    }

    /// Notes a region that outlives a poll of `future`. Returns the track on which it goes on, and
    /// the time.
    pub(super) fn hold(
        &mut self,
        scene: &mut impl Scene,
        future: FutureId,
        region: (SiteId, Moment),
        at: u64,
    ) -> Option<(Track, u64)> {
        let alive = self.alive.get_mut(&Life::Future(future))?;
        if alive.held.len() >= HELD_MAX {
            return None;
        }
        if alive.group == Group::AsyncTasks && alive.held_row.is_none() {
            let parent = Some(alive.row.track);
            let track = scene.track(parent, "held across awaits", TrackKind::Row);
            alive.held_row = Some(Row::new(track));
        }
        alive.held.push(Held { region, is_over: false });
        Some(alive.held().1.stamp(at))
    }

    /// Ends a region that outlived a poll of `future`. Returns the track, and the number of slices
    /// that end there now; `None` if there is no such region.
    pub(super) fn release(
        &mut self,
        future: FutureId,
        region: (SiteId, Moment),
        at: u64,
    ) -> Option<(Track, u64, usize)> {
        let alive = self.alive.get_mut(&Life::Future(future))?;
        let held = &mut alive.held;
        held.iter_mut().rfind(|it| it.region == region && !it.is_over)?.is_over = true;
        let open = held.iter().rposition(|held| !held.is_over).map_or(0, |last| last + 1);
        let ends = held.len() - open;
        held.truncate(open);
        let (track, at) = alive.held().1.stamp(at);
        Some((track, at, ends))
    }

    /// Number of open slices of tasks, futures and held regions.
    pub(super) fn alive_count(&self) -> u64 {
        self.alive.values().map(|alive| 1 + alive.held.len() as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::{Detail, Mark, Number, OsThread, State};
    use trace_format::id::StackId;

    /// Keeps the names of tracks.
    #[derive(Default)]
    struct TrackNames(Vec<String>);

    impl Scene for TrackNames {
        const DEPTH_MAX: usize = 1;

        fn has_failed(&self) -> bool {
            false
        }

        fn track(&mut self, _: Option<Track>, name: &str, _: TrackKind<'_>) -> Track {
            self.0.push(name.to_owned());
            Track(self.0.len() as u64 - 1)
        }

        fn begin(&mut self, _: Track, _: u64, _: &Mark<'_>) {}
        fn end(&mut self, _: Track, _: u64, _: &[Detail<'_>]) {}
        fn instant(&mut self, _: Track, _: u64, _: &Mark<'_>) {}
        fn counter(&mut self, _: Track, _: u64, _: Number) {}
        fn state(&mut self, _: OsThread<'_>, _: u64, _: State) {}

        fn sample(&mut self, _: OsThread<'_>, _: u32, _: u64, _: StackId) -> bool {
            false
        }
    }

    #[test]
    fn tasks_that_all_have_other_names_share_tracks_behind_the_limit() {
        let mut scene = TrackNames::default();
        let mut rows = Rows::begin(&Tables::default(), &mut scene);
        let mut lives = |rows: &mut Rows, id: u64, of: &str| {
            let (life, heading) = (Life::Task(TaskId(id)), Heading::Name(of.into(), "task"));
            let opened = rows.open(&mut scene, (life, Group::Tasks), (heading, of), id);
            let Opened::On(track, _) = opened else { panic!("{of}: {opened:?}") };
            let alive = rows.close(life).expect("it is alive");
            rows.give_back(alive);
            scene.0[track.0 as usize].clone()
        };
        for id in 0..NAMED_TRACKS_MAX {
            assert_eq!(lives(&mut rows, id, &format!("request {id}")), format!("request {id}"));
        }
        for id in NAMED_TRACKS_MAX..NAMED_TRACKS_MAX + 1000 {
            assert_eq!(lives(&mut rows, id, &format!("request {id}")), OTHERS);
        }
        assert_eq!(lives(&mut rows, 7, "request 7"), "request 7", "that track waits for it");
        let parked: usize = rows.free.values().map(Vec::len).sum();
        let all = NAMED_TRACKS_MAX as usize + 1;
        assert_eq!((rows.free.len(), parked), (all, all));
        assert_eq!(scene.0.len(), all + 2, "these, the process's and the group's");
    }
}
