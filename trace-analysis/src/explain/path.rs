//! Rules about the critical path: what the program's main thread waited for in the end, through
//! however many other threads. Or another thread that no thread of the trace made: the one in which
//! a test runs.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use trace_format::id::{SiteId, StackId, ThreadId};
use trace_format::time::Nanos;

use super::measure::Measure;
use super::words::{Facts, count, is_part, percent, plural, time};
use super::{Insight, InsightKind};
use crate::reason::{Await, Awaited, Reason};
use crate::report::async_tasks::AsyncTasks;
use crate::report::life::saturating_sum;
use crate::report::path::{Actor, CriticalPath, HandOver, PathDoing, PathStep, WaitsFor, Without};
use crate::timeline::main_thread;

/// One cause is a finding from this part on of the main thread's time, in thousandths.
const CAUSE_THOUSANDTHS: u64 = 400;

/// Where others could have run at the same time for less than this part of the time in which
/// anything of the program could, in per cents, one works at a time: elsewhere the work is shared.
const SHARED_PERCENT: u64 = 20;

/// Other work on the path is told from this part of the path on, in per cents.
const OTHER_PERCENT: u64 = 10;

/// A thread that computes is a cause if all its time on CPUs and ready, wherever in its life, is at
/// least this part of its time on the path, in per cents: there short waits look like work.
const ABLE_PERCENT: u64 = 70;

/// A thread waits all the time, each time for too short to be on the path, if that is at least this
/// part of what seems to be its work, in per cents.
const SHORT_PERCENT: u64 = 50;

/// Maximum number of places that are named at which one waits for one kind of thing.
const PLACES_SAID: usize = 3;

/// Another finding tells a cause if it explains at least the cause's time divided by this.
const TOLD_PART: u64 = 4;

/// Maximum number of threads whose paths are looked at.
const FIRST_MAX: usize = 16;

/// Maximum number of hand-overs that are named; of a longer chain the first and the last.
const CHAIN_SAID: usize = 6;

/// Who does something on a path: a thread, or the async tasks that are spawned at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Party {
    Thread(ThreadId),
    Tasks(SiteId),
}

/// All time of the path in which one party did one kind of thing.
#[derive(Debug)]
struct Cause {
    party: Party,
    /// Of waiting, what was done where most of it was.
    doing: PathDoing,
    total: u64,
    longest: PathStep,
    /// Where it waited, and for how long, the most time first; empty of work.
    places: Vec<(String, u64)>,
}

/// What rules look at, with the async tasks.
#[derive(Clone, Copy)]
struct PathWords<'f, 'a> {
    facts: &'f Facts<'a>,
    tasks: Option<&'f AsyncTasks>,
}

/// What the main thread waited for in the end, if it is one thing and no other rule has named it.
///
/// - `told`: the findings so far.
pub(super) fn cause(
    facts: &Facts<'_>,
    tasks: Option<&AsyncTasks>,
    told: &[Insight],
) -> Option<Insight> {
    let words = PathWords { facts, tasks };
    first_threads(facts).into_iter().find_map(|first| words.cause_of(told, first))
}

/// Says through whom the main thread waited for child processes for which another thread waited.
pub(super) fn name_chain(facts: &Facts<'_>, tasks: Option<&AsyncTasks>, insight: &mut Insight) {
    let words = PathWords { facts, tasks };
    let waiters: HashSet<_> = insight.threads.iter().copied().collect();
    let is_other = |main: &ThreadId| !waiters.contains(main);
    let Some(main) = main_thread(facts.tables).filter(is_other) else { return };
    let path = words.path_of(main);
    let steps = path.steps.iter().filter(|step| {
        let is_actor = matches!(step.actor, Actor::Thread(it) if waiters.contains(&it));
        let process = WaitsFor::Thread(Reason::Process);
        is_actor && matches!(step.doing, PathDoing::Waiting(what, _) if what == process)
    });
    let Some(step) = steps.max_by_key(|step| step.to.0 - step.from.0) else { return };
    let chain = path.chain(step);
    if !chain.is_empty() {
        insight.evidence.push(words.chain_line(&chain));
    }
}

impl PathWords<'_, '_> {
    fn path_of(&self, main: ThreadId) -> CriticalPath {
        let graph = self.facts.measure.map(Measure::graph);
        graph.map_or_else(CriticalPath::default, |graph| graph.path(main, Without::NOTHING))
    }

    fn cause_of(&self, told: &[Insight], main: ThreadId) -> Option<Insight> {
        let facts = self.facts;
        let path = self.path_of(main);
        let life = facts.lives.threads.iter().find(|life| life.thread == main)?;
        let whole = life.end.0.saturating_sub(life.begin.0);
        let mut causes = self.causes(&path, life.begin);
        causes.iter_mut().for_each(|cause| self.see_short_waits(cause));
        causes.sort_by_key(|cause| (Reverse(cause.total), cause.party, cause.doing));
        let cause = causes.iter().find(|cause| cause.party != Party::Thread(main))?;
        let is_main = u128::from(cause.total) * 1000
            >= u128::from(facts.wall()) * u128::from(CAUSE_THOUSANDTHS);
        let is_told = told
            .iter()
            .any(|insight| names(insight, cause) || self.is_blocked_worker(insight, cause.party));
        if !is_main || is_told || !self.is_worth(cause) {
            return None;
        }
        let chain = path.chain(&cause.longest);
        let others = causes.iter().filter(|it| it.doing == PathDoing::Working);
        let others = others.filter(|it| {
            it.party != cause.party
                && it.party != Party::Thread(main)
                && is_part(it.total, whole, OTHER_PERCENT)
        });
        let others: Vec<_> = others.collect();
        (!chain.is_empty()).then(|| self.tell((main, whole), cause, &others, &chain))
    }

    /// Whether a finding says that these tasks keep their threads: what they do meanwhile
    /// is not computing.
    fn is_blocked_worker(&self, insight: &Insight, party: Party) -> bool {
        let polls = self.tasks.map_or(&[][..], |tasks| &tasks.polls);
        insight.kind == InsightKind::BlockedWorker
            && polls
                .iter()
                .any(|poll| Party::Tasks(poll.site) == party && insight.at == Some(poll.begin))
    }

    fn party(&self, actor: Actor) -> Party {
        match actor {
            Actor::Thread(thread) => Party::Thread(thread),
            Actor::Task(task) => {
                let life = self.tasks.and_then(|tasks| tasks.long.life_of(task));
                Party::Tasks(life.map_or(SiteId(0), |life| life.site))
            }
        }
    }

    fn name(&self, party: Party) -> String {
        match party {
            Party::Thread(thread) => self.facts.thread(thread),
            Party::Tasks(site) => self.facts.site(site),
        }
    }

    /// What the path consists of, from `begin` on.
    fn causes(&self, path: &CriticalPath, begin: Nanos) -> Vec<Cause> {
        let mut causes: Vec<Cause> = Vec::new();
        for place in self.by_place(path, begin) {
            let is_alike = |it: &&mut Cause| it.party == place.party && kind(it) == kind(&place);
            match causes.iter_mut().find(is_alike) {
                Some(known) => {
                    known.total = known.total.saturating_add(place.total);
                    known.places.extend(place.places);
                }
                None => causes.push(place),
            }
        }
        causes
    }

    /// The same, each place apart, the most time first.
    fn by_place(&self, path: &CriticalPath, begin: Nanos) -> Vec<Cause> {
        let mut places: HashMap<(Party, Option<WaitsFor>, String), Cause> = HashMap::new();
        for step in &path.steps {
            let (reason, at) = match step.doing {
                PathDoing::Waiting(reason, stack) => (Some(reason), self.facts.own_at(stack)),
                _ => (None, String::new()),
            };
            let nanos = step.to.0.saturating_sub(step.from.max(begin).0);
            let (party, doing) = (self.party(step.actor), step.doing);
            let new = Cause { party, doing, total: 0, longest: *step, places: Vec::new() };
            let cause = places.entry((party, reason, at)).or_insert(new);
            cause.total = cause.total.saturating_add(nanos);
            if nanos > cause.longest.to.0 - cause.longest.from.0 {
                (cause.longest, cause.doing) = (*step, doing);
            }
        }
        let causes = places.into_iter().map(|((_, reason, at), cause)| {
            let places = reason.map(|_| (at, cause.total)).into_iter().collect();
            Cause { places, ..cause }
        });
        let mut causes: Vec<_> = causes.collect();
        causes.sort_by_key(|cause| (Reverse(cause.total), cause.party, cause.doing));
        causes
    }

    /// Each wait of a thread may be too short for the path, and yet it waits all the time.
    fn see_short_waits(&self, cause: &mut Cause) {
        let (Party::Thread(thread), PathDoing::Working) = (cause.party, cause.doing) else {
            return;
        };
        let lives = self.facts.lives;
        let life = lives.threads.iter().find(|life| life.thread == thread);
        let times = life.map(|life| life.times).unwrap_or_default();
        let long = |reason| {
            let waits = lives.long_waits(thread).iter().filter(move |it| it.reason == reason);
            saturating_sum(waits.map(|wait| wait.nanos().0))
        };
        let short = times.reasons().into_iter();
        let short = short.map(|(reason, time)| (time.0.saturating_sub(long(reason)), reason));
        let Some((short, reason)) = short.max() else { return };
        let apart = self.facts.measure.map_or(0, |measure| measure.outside_long_waits(thread));
        if !is_part(short, apart, SHORT_PERCENT) {
            return;
        }
        let part = short as f64 / apart.max(1) as f64;
        cause.total = (cause.total as f64 * part.min(1.0)) as u64;
        let groups = lives.waits.by_thread.iter();
        let mut groups = groups.filter(|it| it.thread == thread && it.reason == reason);
        let stack = groups.next().and_then(|group| group.stacks.first());
        let stack = stack.map_or(StackId(0), |share| share.of);
        cause.doing = PathDoing::Waiting(WaitsFor::Thread(reason), stack);
        cause.places = vec![(self.facts.own_at(stack), cause.total)];
    }

    /// Whether the cause can be helped: a thread or task that works alone, or that waits for
    /// something that is neither work to come nor the world to ask for something.
    fn is_worth(&self, cause: &Cause) -> bool {
        match cause.doing {
            PathDoing::Working => self.works_alone(cause),
            PathDoing::LeftOut => false,
            PathDoing::Waiting(WaitsFor::Thread(Reason::SocketRead), stack) => {
                !self.facts.accepts(stack)
            }
            PathDoing::Waiting(WaitsFor::Thread(reason), _) => can_be_helped(reason),
            PathDoing::Waiting(WaitsFor::Task(awaited), stack) => match awaited.awaited {
                Awaited::Timer | Awaited::File | Awaited::Pipe | Awaited::Process => true,
                Awaited::Mutex | Awaited::RwLock | Awaited::Semaphore | Awaited::Once => true,
                // Who listens waits for the world to ask for something.
                Awaited::Socket => !self.facts.accepts(stack),
                Awaited::Oneshot | Awaited::Join | Awaited::Unknown => stack != StackId(0),
                _ => false,
            },
        }
    }

    fn works_alone(&self, cause: &Cause) -> bool {
        let lives = self.facts.lives;
        let able = match cause.party {
            Party::Thread(thread) => {
                let own = lives.threads.iter().find(|life| life.thread == thread);
                let times = own.map(|life| life.times).unwrap_or_default();
                if times.cpu().0 == 0 { 0 } else { times.cpu().0.saturating_add(times.ready.0) }
            }
            Party::Tasks(site) => {
                let sites = self.tasks.iter().flat_map(|tasks| &tasks.sites);
                saturating_sum(sites.filter(|it| it.site == site).map(|it| it.busy.0))
            }
        };
        let at_once = |least: usize| {
            saturating_sum(lives.concurrency.able.iter().skip(least).map(|time| time.0))
        };
        lives.cpus_watched >= 2
            && able > 0
            && !is_part(at_once(2), at_once(1), SHARED_PERCENT)
            && is_part(able, cause.total, ABLE_PERCENT)
    }

    fn tell(
        &self,
        (main, whole): (ThreadId, u64),
        cause: &Cause,
        others: &[&Cause],
        chain: &[HandOver],
    ) -> Insight {
        let facts = self.facts;
        let (who, whose) = (self.name(cause.party), facts.thread(main));
        let (share, total) = (percent(cause.total, whole), time(Nanos(cause.total)));
        let (kind, lost, did) = match cause.doing {
            PathDoing::Working | PathDoing::LeftOut => {
                // All that one after the other worked: side by side it would take less.
                let others = saturating_sum(others.iter().map(|other| other.total));
                let lost = cause.total.saturating_add(others);
                (InsightKind::OneThread, lost, self.computed_how(cause.party))
            }
            PathDoing::Waiting(WaitsFor::Thread(reason), stack) => {
                let did = match reason {
                    Reason::Sleep => "which slept".to_owned(),
                    reason => format!("which waited ({})", reason.name()),
                };
                (
                    InsightKind::CriticalPath,
                    cause.total,
                    did + &facts.at(stack) + &more_places(cause),
                )
            }
            PathDoing::Waiting(WaitsFor::Task(awaited), stack) => {
                let what = facts.awaited((stack, awaited), &[]);
                let did = format!("which waited for {what}{}", more_places(cause));
                (InsightKind::CriticalPath, cause.total, did)
            }
        };
        let spent = time(Nanos(whole));
        let title = format!("{share} of {whose}'s {spent} depend on {who}, {did}: {total}");
        let mut insight = Insight::new(kind, Nanos(lost), title);
        insight.evidence.push(self.chain_line(chain));
        for (at, total) in cause.places.iter().take(PLACES_SAID).filter(|_| cause.places.len() > 1)
        {
            insight.evidence.push(format!("{}{at}", time(Nanos(*total))));
        }
        if let (PathDoing::Working, Party::Thread(thread)) = (cause.doing, cause.party) {
            insight.evidence.extend(computed(facts, thread));
        }
        if cause.doing == PathDoing::Working {
            for other in others {
                let (name, long) = (self.name(other.party), time(Nanos(other.total)));
                let share = percent(other.total, whole);
                let line = format!("{name} worked on it before or after, for {long} ({share})");
                insight.evidence.push(line);
            }
        }
        insight.threads = match cause.party {
            Party::Thread(thread) => vec![thread, main],
            Party::Tasks(_) => vec![main],
        };
        let stacks = chain.iter().rev().map(|hand| hand.stack);
        insight.stacks = match cause.doing {
            PathDoing::Waiting(_, stack) => std::iter::once(stack).chain(stacks).collect(),
            PathDoing::Working | PathDoing::LeftOut => stacks.collect(),
        };
        insight.stacks.retain(|stack| *stack != StackId(0));
        insight.at = Some(cause.longest.from.into());
        insight.command = match cause.party {
            Party::Thread(_) => "threads".to_owned(),
            Party::Tasks(_) => "async".to_owned(),
        };
        insight
    }

    /// A thread that others kept off the CPUs has not computed all that time.
    fn computed_how(&self, party: Party) -> String {
        let Party::Thread(thread) = party else { return "which computed".to_owned() };
        let own = self.facts.lives.threads.iter().find(|life| life.thread == thread);
        let had_none = own.is_some_and(|life| life.times.ready > life.times.cpu());
        let did = if had_none { "which computed, or had no CPU" } else { "which computed" };
        did.to_owned()
    }

    /// `main waited 210 ms for stage-3 (join at app::main (src/main.rs:17)); stage-3 waited ...`.
    fn chain_line(&self, chain: &[HandOver]) -> String {
        let said = |hand: &HandOver| {
            let name = |actor| self.name(self.party(actor));
            let (waiter, other) = (name(hand.waiter), name(hand.other));
            let (reason, at) = match hand.reason {
                WaitsFor::Thread(reason) => (reason.name().to_owned(), self.facts.at(hand.stack)),
                WaitsFor::Task(awaited) => (awaited.name(), self.facts.own_at(hand.stack)),
            };
            let waited = time(hand.waited);
            if hand.reason == WaitsFor::Task(Await::HELD_UP) {
                return format!("{waiter} waited {waited} for a poll of {other}");
            }
            format!("{waiter} waited {waited} for {other} ({reason}{at})")
        };
        let (first, last) = match chain.len() {
            0..=CHAIN_SAID => (chain, &[][..]),
            long => (&chain[..CHAIN_SAID / 2], &chain[long - CHAIN_SAID / 2..]),
        };
        let mut parts: Vec<_> = first.iter().map(said).collect();
        let left_out = chain.len() - first.len() - last.len();
        if left_out > 0 {
            parts.push(format!("{} more", count(left_out as u64)));
        }
        parts.extend(last.iter().map(said));
        parts.join("; ")
    }
}

/// Whether somebody can do something about a thread's waiting: it is neither for work to come nor
/// for the world to ask for something.
fn can_be_helped(reason: Reason) -> bool {
    use Reason::{PageFault, PipeRead, PipeWrite, Process, ProcessStart, Read, Sleep, Write};
    use Reason::{SocketRead, SocketWrite};
    let is_process = matches!(reason, Process | ProcessStart);
    let is_stream =
        matches!(reason, PipeRead | PipeWrite | SocketRead | SocketWrite | Read | Write);
    is_process || is_stream || reason.is_file() || matches!(reason, Sleep | PageFault)
}

/// What one waits for, of waiting.
fn kind(cause: &Cause) -> Option<WaitsFor> {
    match cause.doing {
        PathDoing::Waiting(what, _) => Some(what),
        PathDoing::Working | PathDoing::LeftOut => None,
    }
}

/// ` and 2 more places`, if most of the waiting was there.
fn more_places(cause: &Cause) -> String {
    match cause.places.len().saturating_sub(1) {
        0 => String::new(),
        more => format!(" and {}", plural(more as u64, "more place", "more places")),
    }
}

/// The threads that no thread of the trace made, the one that the process began with first.
fn first_threads(facts: &Facts<'_>) -> Vec<ThreadId> {
    let main = main_thread(facts.tables);
    let threads = facts.lives.threads.iter();
    let own = threads.filter(|life| life.thread != ThreadId(0) && life.parent == ThreadId(0));
    let mut own: Vec<_> = own.collect();
    own.sort_by_key(|life| (Some(life.thread) != main, life.begin, life.thread));
    own.into_iter().take(FIRST_MAX).map(|life| life.thread).collect()
}

/// Whether a finding has the cause already: its thread or its place.
fn names(insight: &Insight, cause: &Cause) -> bool {
    let is_about_cpus =
        matches!(insight.kind, InsightKind::CpusTaken | InsightKind::Oversubscribed);
    let is_place = match cause.doing {
        PathDoing::Waiting(_, stack) => insight.stacks.contains(&stack),
        PathDoing::Working | PathDoing::LeftOut => false,
    };
    let is_party = match cause.party {
        Party::Thread(thread) => insight.threads.first() == Some(&thread),
        Party::Tasks(_) => false,
    };
    // A finding that explains a small part of what the cause does has another one.
    let is_as_large = insight.lost.0 >= cause.total / TOLD_PART;
    !is_about_cpus && is_as_large && (is_place || is_party)
}

/// What a thread that computes had, and what the other CPUs did.
fn computed(facts: &Facts<'_>, thread: ThreadId) -> Option<String> {
    let lives = facts.lives;
    let life = lives.threads.iter().find(|life| life.thread == thread)?;
    let (cpu, ready) = (time(life.times.cpu()), life.times.ready);
    let ready = match ready.0 {
        0..1_000_000 => String::new(),
        _ => format!(", ready without one for {}", time(ready)),
    };
    let used = facts.program_cpu() as f64 / facts.wall() as f64;
    let cpus = count(lives.cpus_watched as u64);
    let name = facts.thread(thread);
    let program = format!("the program used {used:.2} CPUs on average, of {cpus}");
    Some(format!("{name} was on a CPU for {cpu}{ready}; {program}"))
}
