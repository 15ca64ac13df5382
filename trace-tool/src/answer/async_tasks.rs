//! What kept executors' threads, what async tasks waited for, and which of them are stuck.

use std::collections::BTreeMap;

use trace_analysis::Wanted;
use trace_analysis::async_tasks::{AsyncTasks, LONG_POLL, LongPoll, Phase, SpawnSite, Unfinished};
use trace_format::id::{SiteId, StackId};
use trace_format::time::Nanos;

use super::{LifeReading, Question, Subject, cut};
use crate::error::Failure;
use crate::label::{Labels, units};

/// What is asked.
#[derive(Clone, Debug)]
pub struct AsyncAsk {
    /// Maximum length of each list; 0 for all.
    pub top: usize,
    /// Only the tasks of spawn sites whose names contain this.
    pub site: Option<String>,
    /// Only unfinished tasks that have waited for this long.
    pub idle: Nanos,
}

/// The answer.
#[derive(Debug)]
pub struct AsyncAnswer {
    /// What it is about.
    pub subject: Subject,
    /// The tasks that were asked for. Polls, delays and waits are cut; waits for locks stand first,
    /// and waits for timers last, for that is how tasks rest. The unfinished tasks are those that
    /// have waited for as long as was asked.
    pub tasks: AsyncTasks,
    /// Sums over all spawn sites.
    pub totals: AsyncTotals,
    /// How long the longest poll took, whether that is kept or not.
    pub longest_poll: Option<Nanos>,
    /// The polls that kept their threads for [`LONG_POLL`] or more; those of one place are one
    /// entry, and those that gave way come last. Cut. Only some of the longest are kept, so there
    /// may be none though there were such polls.
    pub long_polls: Vec<PollGroup>,
    /// Places that were left out of these.
    pub long_polls_omitted: usize,
    /// How many polls took that long.
    pub long_polls_count: u64,
    /// How many of these gave way, as far as they are kept: see [`PollGroup::gives_way`].
    pub long_polls_in_place: u64,
    /// Places that were left out of the waits.
    pub waits_omitted: usize,
    /// Groups of unfinished tasks that are alike, those that are most worth a look first; cut.
    pub stuck: Vec<StuckGroup>,
    /// Kinds of these that were left out.
    pub stuck_omitted: usize,
    /// Unfinished tasks that have not waited for long enough.
    pub unfinished_omitted: usize,
    /// Whether the trace says what ran where.
    pub has_cpus: bool,
    /// What was asked.
    pub ask: AsyncAsk,
}

/// Polls of one spawn site that spent their time at one place.
#[derive(Clone, Debug, PartialEq)]
pub struct PollGroup {
    /// How many: of each spawn site the longest are kept.
    pub count: usize,
    /// The longest.
    pub longest: LongPoll,
    /// Whether they were inside tokio's `block_in_place`.
    pub is_in_place: bool,
    /// How many tasks were ready and waited behind one of them.
    pub delayed: u64,
    /// The task that waited longest behind one of them: whose it was, and for how long.
    pub delayed_most: Option<(SiteId, Nanos)>,
    /// How many tasks could be woken only after one of them.
    pub held_up: u64,
    /// The task that one of them may have kept longest: whose it was, and for how long at most.
    pub held_up_most: Option<(SiteId, Nanos)>,
}

/// Unfinished tasks of one spawn site that wait alike at one place.
#[derive(Clone, Debug, PartialEq)]
pub struct StuckGroup {
    /// How many.
    pub count: usize,
    /// The one that has waited longest.
    pub longest: Unfinished,
}

/// Sums over spawn sites.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AsyncTotals {
    /// Async tasks.
    pub count: u64,
    /// Those that had not ended.
    pub alive: u64,
    /// Polls.
    pub polls: u64,
    /// Time inside polls.
    pub busy: Nanos,
    /// Time in which tasks were woken and not yet polled.
    pub ready: Nanos,
    /// Time in which tasks were not woken.
    pub idle: Nanos,
    /// The same time, as the sum over the places where tasks waited.
    pub waited: Nanos,
}

impl AsyncTotals {
    fn new(tasks: &AsyncTasks) -> Self {
        let sum = |of: fn(&SpawnSite) -> u64| units::sum(tasks.sites.iter().map(of));
        Self {
            count: sum(|site| site.count),
            alive: sum(|site| site.alive),
            polls: sum(|site| site.polls),
            busy: Nanos(sum(|site| site.busy.0)),
            ready: Nanos(sum(|site| site.ready_total.0)),
            idle: Nanos(sum(|site| site.idle.0)),
            waited: Nanos(units::sum(tasks.waits.iter().map(|group| group.total.0))),
        }
    }
}

impl PollGroup {
    fn new(longest: &LongPoll, is_in_place: bool) -> Self {
        Self {
            count: 0,
            longest: longest.clone(),
            is_in_place,
            delayed: 0,
            delayed_most: None,
            held_up: 0,
            held_up_most: None,
        }
    }

    /// Whether they blocked no worker: another one had the other tasks, and none waited.
    #[must_use]
    pub fn gives_way(&self) -> bool {
        self.is_in_place && self.delayed == 0 && self.held_up == 0
    }

    fn add(&mut self, poll: &LongPoll) {
        self.count += 1;
        self.delayed = self.delayed.saturating_add(poll.delayed);
        let most = poll.delayed_most.map(|(_, site, ready)| (site, ready));
        self.delayed_most = self.delayed_most.into_iter().chain(most).max_by_key(|most| most.1);
        self.held_up = self.held_up.saturating_add(poll.held_up);
        let most = poll.held_up_most.map(|(_, site, most)| (site, most));
        self.held_up_most = self.held_up_most.into_iter().chain(most).max_by_key(|most| most.1);
    }
}

impl AsyncAnswer {
    /// Reads the trace.
    ///
    /// # Errors
    /// If there is none, or a file that names were to be taken from can't be read.
    pub fn read(question: &Question, ask: AsyncAsk) -> Result<Self, Failure> {
        let wanted = || Wanted { async_tasks: true, ..Wanted::default() };
        let LifeReading { subject, report } = LifeReading::read(question, wanted())?;
        let has_cpus = !report.lives.cpus.is_empty();
        let tasks = report.async_tasks.unwrap_or_default();
        let mut answer = Self {
            subject,
            tasks,
            totals: AsyncTotals::default(),
            longest_poll: None,
            long_polls: Vec::new(),
            long_polls_omitted: 0,
            long_polls_count: 0,
            long_polls_in_place: 0,
            waits_omitted: 0,
            stuck: Vec::new(),
            stuck_omitted: 0,
            unfinished_omitted: 0,
            has_cpus,
            ask,
        };
        answer.narrow();
        answer.totals = AsyncTotals::new(&answer.tasks);
        answer.find_long_polls();
        answer.find_stuck();
        answer.sort_and_cut();
        Ok(answer)
    }

    /// How many of the long polls blocked their workers.
    #[must_use]
    pub fn long_polls_blocking(&self) -> u64 {
        self.long_polls_count.saturating_sub(self.long_polls_in_place)
    }

    /// Whether the trace has async tasks, though none of those that were asked for.
    #[must_use]
    pub fn has_others(&self) -> bool {
        self.ask.site.is_some() && AsyncTasks::are_in(&self.subject.reading.file)
    }

    /// Removes what does not belong to the spawn sites that were asked for.
    fn narrow(&mut self) {
        let (subject, tasks) = (&self.subject, &mut self.tasks);
        let Some(wanted) = &self.ask.site else { return };
        let names = subject.names();
        let is = |site: SiteId| names.site(site).contains(wanted);
        tasks.sites.retain(|it| is(it.site));
        tasks.children.retain(|it| is(it.site));
        tasks.polls.retain(|it| is(it.site));
        tasks.delays.retain(|it| is(it.site));
        tasks.waits.retain(|it| is(it.site));
        tasks.unfinished.retain(|it| is(it.site));
    }

    fn find_long_polls(&mut self) {
        let names = self.subject.names();
        let labels = self.subject.labels(&names);
        let is_long = |poll: &&LongPoll| poll.duration >= LONG_POLL;
        let mut alike: Vec<((SiteId, String, bool), PollGroup)> = Vec::new();
        for poll in self.tasks.polls.iter().filter(is_long) {
            let culprit = poll.culprit();
            let is_in_place = labels.places.blocks_in_place(culprit);
            let key = (poll.site, own_place(labels, culprit), is_in_place);
            let found = alike.iter().position(|it| it.0 == key);
            let at = found.unwrap_or(alike.len());
            if at == alike.len() {
                alike.push((key, PollGroup::new(poll, is_in_place)));
            }
            alike[at].1.add(poll);
        }
        // From the sites, which count all polls: those above are only some of the longest.
        let sites = &self.tasks.sites;
        self.long_polls_count = units::sum(sites.iter().map(|site| site.long_polls));
        let longest = sites.iter().map(|site| site.poll.max).max();
        self.longest_poll = longest.filter(|longest| longest.0 > 0);
        let mut groups: Vec<_> = alike.into_iter().map(|(_, group)| group).collect();
        groups.sort_by_key(PollGroup::gives_way);
        let in_place = groups.iter().filter(|group| group.gives_way());
        self.long_polls_in_place = units::sum(in_place.map(|group| group.count as u64));
        self.long_polls = groups;
    }

    fn find_stuck(&mut self) {
        let (to, idle) = (self.tasks.to, self.ask.idle);
        let count = self.tasks.unfinished.len();
        self.tasks.unfinished.retain(|task| task.since.until(to) >= idle);
        self.unfinished_omitted = count - self.tasks.unfinished.len();
        let mut alike: BTreeMap<(u8, SiteId, StackId, Phase), StuckGroup> = BTreeMap::new();
        for task in &self.tasks.unfinished {
            let key = (rank(task), task.site, task.stack, task.phase);
            let group = || StuckGroup { count: 0, longest: task.clone() };
            alike.entry(key).or_insert_with(group).count += 1;
        }
        self.stuck = alike.into_values().collect();
    }

    fn sort_and_cut(&mut self) {
        let top = self.ask.top;
        let AsyncTasks { polls, delays, waits, .. } = &mut self.tasks;
        waits.sort_by_key(|group| {
            let awaited = group.awaited.awaited;
            (!awaited.is_lock(), awaited.is_rest())
        });
        cut(polls, top);
        cut(delays, top);
        self.waits_omitted = cut(waits, top);
        self.long_polls_omitted = cut(&mut self.long_polls, top);
        self.stuck_omitted = cut(&mut self.stuck, top);
    }
}

/// The rank of an unfinished task; the worst has the lowest.
fn rank(task: &Unfinished) -> u8 {
    match task.phase {
        _ if task.unwakeable => 0,
        Phase::New | Phase::Ready => 1,
        Phase::Polled => 2,
        Phase::Idle if task.awaited.awaited.is_lock() => 3,
        Phase::Idle => 4 + u8::from(task.awaited.awaited.is_rest()),
    }
}

/// A place in the program's own code; empty if it is not known.
#[must_use]
pub fn own_place(labels: Labels<'_>, stack: StackId) -> String {
    labels.places.own(stack).map(|place| place.shown()).unwrap_or_default()
}
