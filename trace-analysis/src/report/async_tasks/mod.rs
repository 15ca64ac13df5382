//! Async tasks: what executors poll, how long it kept them, what it waited for, and for whom.
//!
//! An *async task* is a future that was spawned, or that is polled by nobody's poll: the outermost
//! one. Futures that it awaits are its *child futures*; what they do, it does. A future that was
//! made to be spawned and wrapped in another one that was, as `spawn(future.traced(name))` does, is
//! that one's child future. (The user's task, a request or a job, is another thing: `tasks`.)
//!
//! A task is at any moment being polled, or *ready*: spawned or woken and not yet polled, or
//! *idle*: pending, and woken by nobody yet. What lies outside the window is left out of all times,
//! and what happened before it counts only as far as it is not over.
//!
//! The rules are the timeline's (`crate::timeline`, `futures`); here is what they are added up to:
//! `sums` is a spawn site, `waits` a place where tasks wait, `polls` the longest polls and delays,
//! `ready` when tasks were ready, `for_tasks` what futures waited for that worked for a slow task
//! of the user's, `long` the long idle times and lives one by one; `finish` is the end.
//!
//! Elsewhere: what a thread did in a poll (`timeline`), what is awaited by its names (`reason`).

mod finish;
mod for_tasks;
mod long;
mod polls;
mod ready;
mod sums;
mod waits;

use trace_format::id::{FutureId, SiteId, StackId, ThreadId};
use trace_format::read::{ReadAt, TraceFile};
use trace_format::time::Nanos;

pub(crate) use self::for_tasks::{ForTasks, TaskIdle};
pub(crate) use self::long::{LongIdle, LongTasks, Spawner, TaskLife};
pub(crate) use self::polls::{Late, PollDone, Polls};
pub(crate) use self::ready::ReadyTimes;
pub(crate) use self::sums::{OnePoll, SumTable, add};
pub(crate) use self::waits::Waits;
use crate::durations::Quantiles;
use crate::reason::Await;
use crate::report::life::{Activity, Share};
use crate::time::Moment;

pub use self::polls::{DELAYS_MAX, LONG_POLL, POLLS_MAX};
pub use crate::timeline::futures::Link;

/// So many unfinished tasks are kept, those that have waited longest; all are counted.
pub const UNFINISHED_MAX: usize = 1000;

/// All async tasks of a trace, or of a window of it. Tasks go from thread to thread: if threads
/// were asked for, polls and their times, and how long tasks were ready before them, are those on
/// these threads, what was ready and never polled is left out where it waits for none of them, and
/// all else is of all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AsyncTasks {
    /// The begin of what was read, since the first clock snapshot.
    pub from: Nanos,
    /// The end of what was read.
    pub to: Nanos,
    /// Per spawn site, the most time in polls first.
    pub sites: Vec<SpawnSite>,
    /// Child futures per call site, the most time in polls first.
    pub children: Vec<SpawnSite>,
    /// The longest polls, longest first: of each spawn site some.
    pub polls: Vec<LongPoll>,
    /// The longest times that tasks were ready and not polled, longest first.
    pub delays: Vec<Delay>,
    /// Where tasks were idle, the most time first.
    pub waits: Vec<AwaitGroup>,
    /// How many times of these are in groups without a place, of one spawn site each, as there was
    /// no room for another group when they came.
    pub late_waits: u64,
    /// How often a task was woken by one, or a lock given up by one, that is not in the group, as
    /// there was no room for another there.
    pub late_parties: u64,
    /// What had not ended, those that have waited longest first.
    pub unfinished: Vec<Unfinished>,
    /// The threads that polled, by id.
    pub workers: Vec<Worker>,
    /// Futures that began while too many lived to follow another one.
    pub untracked: u64,
    /// Batches and events that could not be read.
    pub unreadable: u64,
    /// Polls and others that lie deeper than readers keep: they are not followed.
    pub too_deep: u64,
    pub(crate) long: LongTasks,
    /// When tasks were ready, by spawn site; time behind long polls left out.
    pub(crate) ready: Vec<ReadyTimes>,
}

/// The async tasks, or the child futures, of one call site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpawnSite {
    /// Where; 0 for those of which no event tells.
    pub site: SiteId,
    /// Whether they were handed over to be polled by others; if not, whoever awaited them polled.
    pub spawned: bool,
    /// A stack of who spawned one; 0 if unknown.
    pub stack: StackId,
    /// How many there were.
    pub count: u64,
    /// How many had not ended at the end.
    pub alive: u64,
    /// How many lived at once at most.
    pub alive_max: u64,
    /// Polls.
    pub polls: u64,
    /// Time in polls.
    pub busy: Nanos,
    /// How long polls were; the longest may not be over.
    pub poll: Quantiles,
    /// Polls that were longer than [`LONG_POLL`], or are so far.
    pub long_polls: u64,
    /// Time in these.
    pub long_total: Nanos,
    /// How often a ready task waited behind one of these.
    pub delayed: u64,
    /// How long these had been ready during the polls, all together.
    pub delayed_total: Nanos,
    /// How often a task waited for time or for the system while one of these kept all threads that
    /// could have woken it, and was woken when that was over.
    pub held_up: u64,
    /// Time ready, with that of tasks that are so still or were dropped.
    pub ready_total: Nanos,
    /// How long tasks were ready before a poll, where that is known; the longest may have had none.
    pub ready: Quantiles,
    /// Time idle.
    pub idle: Nanos,
    /// How long those lived that ended.
    pub life: Quantiles,
    /// Returned a value.
    pub returned: u64,
    /// Returned an error.
    pub failed: u64,
    /// Were dropped before they were done: cancelled.
    pub dropped: u64,
    /// Panicked.
    pub panicked: u64,
    /// Ended, nobody knows how: executors' own hooks do not say.
    pub ended: u64,
    /// How often they were woken.
    pub wakes: u64,
    /// Of these, by themselves, from inside their own poll.
    pub self_wakes: u64,
    /// Of these, in vain: the poll did nothing, and ended where the one before had.
    pub futile_wakes: u64,
    /// How often they were woken after they had ended.
    pub late_wakes: u64,
    /// How many were never polled, of those that ended and those that had not.
    pub never_polled: u64,
    /// How many of those alive nobody can wake any more: lost for ever.
    pub unwakeable: u64,
}

/// One poll of an async task that was among the longest.
#[derive(Clone, Debug, PartialEq)]
pub struct LongPoll {
    /// Whose.
    pub task: FutureId,
    /// Where that was spawned.
    pub site: SiteId,
    /// The thread that polled.
    pub thread: ThreadId,
    /// When it began, perhaps before what was read.
    pub begin: Moment,
    /// How long, all of it.
    pub duration: Nanos,
    /// Whether it was over when the trace stopped.
    pub ended: bool,
    /// What took longest in it, and in that, and so on.
    pub chain: Vec<Link>,
    /// How often a task was polled next on this thread that had been ready meanwhile.
    pub delayed: u64,
    /// How long these had been ready during the poll, all together.
    pub delayed_total: Nanos,
    /// The one of these that had been ready longest: which, from which site, how long.
    pub delayed_most: Option<(FutureId, SiteId, Nanos)>,
    /// How many tasks waited for time or for the system meanwhile, and were woken when it was over:
    /// it kept all threads that could have done so before. When each could have gone on is not
    /// known.
    pub held_up: u64,
    /// The one of these that may have been kept longest: which, from which site, how long at most.
    pub held_up_most: Option<(FutureId, SiteId, Nanos)>,
    /// What the thread did in it, in the window.
    pub activity: Option<Activity>,
}

/// A time in which a task was ready and was not polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay {
    /// Which.
    pub task: FutureId,
    /// Where that was spawned.
    pub site: SiteId,
    /// The thread that polled it in the end, or is to do so after the poll that it is in; 0 if it
    /// was never polled, and waits for no such thread.
    pub thread: ThreadId,
    /// Since when it had been ready, since the first clock snapshot.
    pub ready: Nanos,
    /// For how long.
    pub duration: Nanos,
    /// What that thread was busy with meanwhile the longest, if it polled something else.
    pub behind: Option<Behind>,
}

/// A poll that another task waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// Whose.
    pub task: FutureId,
    /// Where that was spawned.
    pub site: SiteId,
    /// When it began, perhaps before what was read.
    pub begin: Moment,
    /// How long it was, all of it.
    pub duration: Nanos,
}

/// Where tasks of one spawn site were idle.
#[derive(Clone, Debug, PartialEq)]
pub struct AwaitGroup {
    /// The spawn site.
    pub site: SiteId,
    /// A stack of that place in the program; 0 if it is not known where.
    pub stack: StackId,
    /// What is awaited there.
    pub awaited: Await,
    /// The other places: the task waited at one of them or at `stack`, and nobody can tell which.
    /// Mostly empty.
    pub one_of: Vec<(StackId, Await)>,
    /// How often.
    pub count: u64,
    /// How long in all.
    pub total: Nanos,
    /// How long each.
    pub quantiles: Quantiles,
    /// How many tasks were idle there at the end.
    pub waiting: u64,
    /// Who ended it: the spawn site of the waking task, if it was one, and where it woke; the most
    /// time first, all that are told apart.
    pub wakers: Vec<Share<(Option<SiteId>, StackId)>>,
    /// Who held what was awaited, if it is a lock, the most time first;
    /// [`TOP`](super::life::TOP) at most.
    pub holders: Vec<AsyncHolder>,
    /// The longest, longest first.
    pub longest: Vec<Idle>,
}

/// Tasks that held a lock for which others waited, and gave it up at one place.
#[derive(Clone, Debug, PartialEq)]
pub struct AsyncHolder {
    /// Where they were spawned.
    pub site: SiteId,
    /// Where they gave it up.
    pub stack: StackId,
    /// How often while others waited.
    pub count: u64,
    /// How long they held it while others waited, as far as that is known.
    pub held: Nanos,
    /// The longest of these.
    pub held_max: Nanos,
    /// Of `held`, how long the holder was idle: it held the lock across an await.
    pub idle: Nanos,
    /// Where it was idle the longest; 0 if it was not, or that is not known.
    pub idle_stack: StackId,
    /// What it awaited there.
    pub idle_awaited: Await,
    /// The task that held it longest.
    pub task: FutureId,
}

/// A time in which a task was idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idle {
    /// Which.
    pub task: FutureId,
    /// When it began, perhaps before what was read.
    pub begin: Moment,
    /// How long, all of it.
    pub duration: Nanos,
    /// How long in what was read: what sums are made of.
    pub inside: Nanos,
    /// Who ended it; nobody if it was not woken, or that was not seen.
    pub waker: Option<AsyncWaker>,
}

/// Who woke a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsyncWaker {
    /// On which thread.
    pub thread: ThreadId,
    /// The task that was being polled there; 0 if none.
    pub task: FutureId,
    /// From where; 0 if unknown.
    pub stack: StackId,
}

/// A task that had not ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Unfinished {
    /// Which.
    pub task: FutureId,
    /// Where it was spawned.
    pub site: SiteId,
    /// When, perhaps before what was read.
    pub begin: Moment,
    /// How often it was polled in what was read.
    pub polls: u64,
    /// What it was doing.
    pub phase: Phase,
    /// Since when, perhaps before what was read.
    pub since: Moment,
    /// Until when it surely did that: the end of what was read, or when events went missing that
    /// may have been its poll.
    pub known_to: Nanos,
    /// Where it waits; 0 if unknown. One stack for all at that place in the program.
    pub stack: StackId,
    /// What for.
    pub awaited: Await,
    /// Other places at which it waits at the same time, and one of them may be enough.
    pub one_of: Vec<(StackId, Await)>,
    /// Whether nobody can wake it any more.
    pub unwakeable: bool,
    /// The child futures it is in, outermost first, each with its call site.
    pub chain: Vec<(FutureId, SiteId)>,
}

/// What a task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// It is being polled.
    Polled,
    /// It was spawned and never polled.
    New,
    /// It was woken and not yet polled.
    Ready,
    /// It waits to be woken.
    Idle,
}

/// A thread that polled async tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Worker {
    /// Which.
    pub thread: ThreadId,
    /// Polls of tasks, nested ones left out.
    pub polls: u64,
    /// Time in these.
    pub busy: Nanos,
    /// Time in regions named `parked`: without work.
    pub parked: Nanos,
    /// The longest poll.
    pub longest: Nanos,
    /// Polls that were longer than [`LONG_POLL`].
    pub long_polls: u64,
    /// Time of these in which a task was ready that was polled here afterwards: starved.
    pub starved: Nanos,
}

impl LongPoll {
    /// Where it spent its time: its longest call, if that is much of it; else where samples found
    /// it most often. 0 if that is not known.
    #[must_use]
    pub fn culprit(&self) -> StackId {
        match &self.activity {
            Some(activity) if activity.is_slow_call() => activity.slow_stack,
            Some(activity) => activity.sampled,
            None => StackId(0),
        }
    }
}

impl Phase {
    /// A short name, for people and programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Polled => "polled",
            Self::New => "never polled",
            Self::Ready => "ready",
            Self::Idle => "idle",
        }
    }
}

impl AsyncTasks {
    /// Whether a trace may have any: call sites of futures, or futures that were alive.
    #[must_use]
    pub fn are_in<S: ReadAt>(file: &TraceFile<S>) -> bool {
        crate::timeline::futures::has_futures(file.tables())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sites.is_empty()
    }
}
