//! The one measure of findings: how much of the time that passed each of them explains.
//!
//! A finding is about time that threads or tasks took: waits for a lock, long polls, CPU time in a
//! function ([`Cost`]). It explains as much of the time that was looked at as would not have passed
//! without that, as far as a trace tells:
//!
//! - Along the critical path of the program's main thread (`report::path`), walked as if the
//!   finding's waits had been over at once: these waits, and of the work on the path as much as the
//!   finding has of the actor's time. So a hundred threads that wait at once explain no more than
//!   one of them, and what the main thread never waited for, through any other, explains nothing.
//! - Where that path is not known, or only waits for the world to ask for something, as that of a
//!   server: each moment in which anybody lost time to it, counted once.
//!
//! So no finding explains more than the time that passed. Several may explain the same moment: a
//! lock, and the slow call of the thread that held it. The measure speaks for the finding: what
//! would have held the main thread up in its place is not known.
//!
//! Rules that know no such times say themselves what they explain: nothing, as what is missing from
//! a trace; the time of a stop; by how much a request took longer than is usual.

use std::collections::HashMap;

use trace_format::id::{SiteId, ThreadId};
use trace_format::time::Nanos;

use super::cost::Cost;
use super::words::{Facts, is_part};
use crate::reason::{Awaited, Reason};
use crate::report::async_tasks::{AsyncTasks, LongIdle};
use crate::report::life::{LongWait, ThreadLife};
use crate::report::path::{Actor, CriticalPath, PathDoing, PathGraph, PathStep, WaitsFor, Without};
use crate::spans::{Span, common, length, outside, overlap, union};
use crate::timeline::main_thread;

/// The main thread's path is what the program's time depends on if it is known for at least this
/// part of the time, in per cents. Otherwise another thread's may be: a test's.
const KNOWN_PERCENT: u64 = 10;

/// A thread has lived through all that is looked at if it was there but for one part in this many
/// at the begin and at the end.
const LIVED_PART: u64 = 50;

/// A finding lies beside the path if it explains less than one part in this many of the time in
/// which anybody lost time to it, and that is
const BESIDE_PART: u64 = 20;
/// at least this part of the time, in per cents.
const BESIDE_PERCENT: u64 = 3;

/// What findings are measured by.
#[derive(Debug)]
pub(super) struct Measure<'a> {
    facts: Facts<'a>,
    graph: PathGraph<'a>,
    /// Whose path is the program's.
    root: Option<ThreadId>,
    /// How long each thread was there outside of its long waits: there lies the time of which only
    /// sums are known.
    threads: HashMap<ThreadId, u64>,
    /// The same of the tasks of each spawn site, and how many of them there were at once.
    sites: HashMap<SiteId, (u64, u64)>,
}

/// Time of which only sums are known.
#[derive(Debug, Default)]
struct Sums {
    threads: HashMap<ThreadId, u64>,
    sites: HashMap<SiteId, u64>,
    /// Of all threads that poll tasks, and how long these were there.
    workers: (u64, u64),
}

/// Times that are known, each moment once.
#[derive(Debug, Default)]
struct Known {
    all: Vec<Span>,
    threads: HashMap<ThreadId, Vec<Span>>,
}

impl<'a> Measure<'a> {
    /// - `facts`: without a measure.
    pub(super) fn new(facts: Facts<'a>, tasks: Option<&'a AsyncTasks>) -> Self {
        let lives = facts.lives;
        let graph = PathGraph::new(lives, tasks, |stack| facts.is_task_end(stack));
        let mut threads: HashMap<ThreadId, u64> = HashMap::new();
        for life in &lives.threads {
            let lived = threads.entry(life.thread).or_default();
            *lived = lived.saturating_add(life.end.0.saturating_sub(life.begin.0));
        }
        for wait in &lives.fine.long_waits {
            if let Some(lived) = threads.get_mut(&wait.thread) {
                *lived = lived.saturating_sub(wait.nanos().0);
            }
        }
        let all = tasks.iter().flat_map(|tasks| &tasks.sites);
        let mut sites: HashMap<SiteId, (u64, u64)> = all
            .map(|site| {
                let polled = site.busy.0.saturating_add(site.ready_total.0);
                (site.site, (polled.saturating_add(site.idle.0), site.alive_max))
            })
            .collect();
        for idle in graph.tasks().idles() {
            if let Some(life) = graph.tasks().life_of(idle.task)
                && let Some((lived, _)) = sites.get_mut(&life.site)
            {
                *lived = lived.saturating_sub(idle.to - idle.from);
            }
        }
        let mut measure = Self { facts, graph, root: None, threads, sites };
        measure.root = measure.find_root();
        measure
    }

    /// The thread whose critical path is the program's: the main thread, or another one that no
    /// thread of the trace made and that alone has lived through all that is looked at.
    pub(super) fn root(&self) -> Option<ThreadId> {
        self.root
    }

    /// How long a thread was there outside of its long waits.
    pub(super) fn outside_long_waits(&self, thread: ThreadId) -> u64 {
        self.threads.get(&thread).copied().unwrap_or_default()
    }

    /// What paths are found in.
    pub(super) fn graph(&self) -> &PathGraph<'a> {
        &self.graph
    }

    /// How much of the time that passed would not have passed without this.
    pub(super) fn explained(&self, cost: &Cost) -> Nanos {
        let (sums, known) = (self.sums(cost), self.known(cost));
        let whole = [self.window()];
        let Some(root) = self.root.filter(|_| !cost.is_apart) else {
            return Nanos(self.lost_in(&whole, cost, &sums, &known));
        };
        let wait = |wait: &LongWait| cost.has_wait(wait);
        let idle = |idle: &LongIdle| cost.has_idle(idle, self.site_of(idle));
        let path = self.graph.path(root, Without { wait: &wait, idle: &idle });
        let on_path = path.steps.iter().map(|step| match step.doing {
            PathDoing::LeftOut => step.to.0 - step.from.0,
            PathDoing::Working => self.part(step, &sums, &known),
            PathDoing::Waiting(..) => 0,
        });
        let on_path = crate::units::sum(on_path);
        let open = self.open(root, &path);
        let lost = self.lost_in(&open, cost, &sums, &known);
        Nanos(on_path.saturating_add(lost).min(self.facts.wall()))
    }

    /// Whether the program's path goes another way than through what threads and tasks lost so
    /// much time to.
    pub(super) fn is_beside(&self, explained: Nanos, cost: &Cost) -> bool {
        if self.root.is_none() || cost.is_apart {
            return false;
        }
        let (sums, known) = (self.sums(cost), self.known(cost));
        let lost = self.lost_in(&[self.window()], cost, &sums, &known);
        explained.0 < lost / BESIDE_PART && is_part(lost, self.facts.wall(), BESIDE_PERCENT)
    }

    fn window(&self) -> Span {
        let begin = self.facts.lives.from.0;
        (begin, begin.saturating_add(self.facts.wall()))
    }

    fn site_of(&self, idle: &LongIdle) -> Option<SiteId> {
        self.graph.tasks().life_of(idle.task).map(|life| life.site)
    }

    fn find_root(&self) -> Option<ThreadId> {
        let lives = self.facts.lives;
        let (begin, end) = self.window();
        let near = (end - begin) / LIVED_PART;
        // To start a trace takes a while, in which no thread is known yet.
        let first = lives.threads.iter().map(|life| life.begin.0).min().unwrap_or(begin);
        let begin = begin.max(first);
        let lived_through = |life: &&ThreadLife| {
            life.thread != ThreadId(0)
                && life.parent == ThreadId(0)
                && life.begin.0 <= begin.saturating_add(near)
                && life.end.0.saturating_add(near) >= end
        };
        let is_there = |main: &ThreadId| lives.threads.iter().any(|life| life.thread == *main);
        let main = main_thread(self.facts.tables).filter(is_there);
        let others = lives.threads.iter().filter(lived_through);
        let mut others = others.map(|life| life.thread).filter(|thread| Some(*thread) != main);
        let only = match (others.next(), others.next()) {
            (Some(one), None) => Some(one),
            _ => None,
        };
        let is_known = |thread: &ThreadId| {
            let path = self.graph.path(*thread, Without::NOTHING);
            let known = self.facts.wall().saturating_sub(length(&self.open(*thread, &path)));
            is_part(known, self.facts.wall(), KNOWN_PERCENT)
        };
        // In a test the main thread waits from before the trace until behind it.
        let acts = |thread: &ThreadId| {
            let mut own = lives.threads.iter().filter(|life| life.thread == *thread);
            own.any(|life| life.calls > 0 || life.times.blocked() < life.times.total())
        };
        let main_acts = main.filter(acts);
        main.filter(is_known).or(only.filter(is_known)).or(main_acts).or(only).or(main)
    }

    /// When a path is not known, or waits so that what others lose meanwhile may matter.
    fn open(&self, root: ThreadId, path: &CriticalPath) -> Vec<Span> {
        let span = |step: &PathStep| (step.from.0, step.to.0);
        let steps = path.steps.iter();
        let known = steps.filter(|step| !self.is_open(root, step)).map(span);
        outside(&union(known.collect()), self.window())
    }

    fn is_open(&self, root: ThreadId, step: &PathStep) -> bool {
        use Reason::{PageFault, PipeRead, PipeWrite};
        use Reason::{Poll, Process, ProcessStart, Read, Sleep, SocketRead, SocketWrite, Write};
        let PathDoing::Waiting(what, stack) = step.doing else { return false };
        let is_own = step.actor == Actor::Thread(root);
        let is_cause = match what {
            WaitsFor::Thread(Process | ProcessStart | PageFault | PipeWrite) => true,
            WaitsFor::Thread(reason) if reason.is_file() => true,
            // The main thread of a server sleeps, or listens; others were waited for.
            WaitsFor::Thread(Sleep | Poll | PipeRead | Read | Write) => !is_own,
            WaitsFor::Thread(SocketRead | SocketWrite) => !is_own && !self.facts.accepts(stack),
            WaitsFor::Thread(_) => false,
            WaitsFor::Task(awaited) => match awaited.awaited {
                Awaited::Timer | Awaited::File | Awaited::Pipe | Awaited::Process => true,
                Awaited::Socket => !self.facts.accepts(stack),
                _ => false,
            },
        };
        !is_cause
    }

    /// Of the time that a finding is about: sums of what is not known one by one.
    fn sums(&self, cost: &Cost) -> Sums {
        let tasks = self.graph.tasks();
        let (threads, sites) =
            cost.sums(&self.facts.lives.fine.long_waits, tasks.idles(), |it| self.site_of(it));
        let mut workers = (0_u64, 0_u64);
        for (thread, lived) in self.threads.iter().filter(|(it, _)| self.graph.is_worker(**it)) {
            let lost = threads.get(thread).copied().unwrap_or_default();
            workers = (workers.0.saturating_add(lost), workers.1.saturating_add(*lived));
        }
        Sums { threads, sites, workers }
    }

    fn known(&self, cost: &Cost) -> Known {
        let mut threads: HashMap<ThreadId, Vec<Span>> = HashMap::new();
        for (thread, span) in cost.spans() {
            threads.entry(*thread).or_default().push(*span);
        }
        let all = cost.spans().iter().map(|(_, span)| *span).collect();
        let threads = threads.into_iter().map(|(thread, spans)| (thread, union(spans)));
        Known { all: union(all), threads: threads.collect() }
    }

    /// How much of a step of work on the path is what the finding is about.
    fn part(&self, step: &PathStep, sums: &Sums, known: &Known) -> u64 {
        let (span, whole) = ((step.from.0, step.to.0), step.to.0 - step.from.0);
        let part = match step.actor {
            Actor::Thread(thread) => {
                let own = known.threads.get(&thread).map_or(0, |spans| overlap(spans, span));
                let lost = sums.threads.get(&thread).copied().unwrap_or_default();
                let lived = self.threads.get(&thread).copied().unwrap_or_default();
                own.saturating_add(scaled(whole, lost, lived))
            }
            Actor::Task(task) => {
                let site = self.graph.tasks().life_of(task).map_or(SiteId(0), |life| life.site);
                let lost = sums.sites.get(&site).copied().unwrap_or_default();
                let (lived, _) = self.sites.get(&site).copied().unwrap_or_default();
                let as_task = scaled(whole, lost, lived);
                let as_worker = scaled(whole, sums.workers.0, sums.workers.1);
                overlap(&known.all, span).saturating_add(as_task).saturating_add(as_worker)
            }
        };
        part.min(whole)
    }

    /// In how much of these times anybody lost time to the finding.
    fn lost_in(&self, open: &[Span], cost: &Cost, sums: &Sums, known: &Known) -> u64 {
        let whole = length(open);
        if whole == 0 {
            return 0;
        }
        let waits = self.facts.lives.fine.long_waits.iter();
        let waits = waits.filter(|wait| cost.has_wait(wait)).map(|wait| (wait.from, wait.to));
        let idles = self.graph.tasks().idles().iter();
        let idles = idles.filter(|idle| cost.has_idle(idle, self.site_of(idle)));
        let idles = idles.map(|idle| (idle.from, idle.to));
        let spans = waits.chain(idles).chain(known.all.iter().copied());
        let exact = length(&common(&union(spans.collect()), open));
        // Where in a life the rest lies is not known: as much of it as these times are of all.
        let (mut sum, mut most) = (0_u64, 0);
        let at_once = |site: &SiteId| self.sites.get(site).map_or(1, |(_, at_once)| *at_once);
        let of_sites = sums.sites.iter().map(|(site, lost)| lost / at_once(site).max(1));
        for lost in sums.threads.values().copied().chain(of_sites) {
            let inside = scaled(lost, whole, self.facts.wall());
            (sum, most) = (sum.saturating_add(inside), inside.max(most));
        }
        let rest = ((sum as f64 / cost.at_once.max(1.0)) as u64).clamp(most, sum);
        exact.saturating_add(scaled(rest, whole - exact, whole)).min(whole)
    }
}

/// `number` times `part` of `whole`; never more than it.
fn scaled(number: u64, part: u64, whole: u64) -> u64 {
    let scaled = u128::from(number) * u128::from(part.min(whole)) / u128::from(whole.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}
