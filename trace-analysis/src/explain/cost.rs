//! What a finding is about, as time: which waits of threads and tasks there would not have been
//! without it, and how much less these would have done. What that is worth says `measure`.

use std::collections::{HashMap, HashSet};

use trace_format::id::{ResourceId, SiteId, StackId, ThreadId};

use crate::reason::{Await, Reason};
use crate::report::async_tasks::{AwaitGroup, LongIdle, LongPoll, Unfinished};
use crate::report::life::{LongWait, Share, Unended, WaitGroup, saturating_sum};
use crate::spans::Span;

/// Time of threads and tasks.
#[derive(Clone, Debug)]
pub(super) struct Cost {
    waits: Vec<WaitsOf>,
    idles: Vec<IdlesOf>,
    /// Times of which it is known when they were, and of which thread; 0 if of none.
    spans: Vec<(ThreadId, Span)>,
    /// Of other times of threads only sums are known,
    threads: HashMap<ThreadId, u64>,
    /// and of the tasks of a spawn site.
    sites: HashMap<SiteId, u64>,
    /// How many threads lose time at once, in the mean or at most; infinite if that is not known:
    /// then all do.
    pub(super) at_once: f64,
    /// Whether it explains its time wherever the critical path goes: what never ends would have
    /// held up somebody at last.
    pub(super) is_apart: bool,
}

/// A group's waits.
#[derive(Clone, Debug)]
struct WaitsOf {
    reason: Reason,
    resource: ResourceId,
    stacks: HashSet<StackId>,
    waiters: HashMap<ThreadId, u64>,
    /// By thread and begin: those that belong to another finding.
    except: HashSet<(ThreadId, u64)>,
}

/// The idle times of a group of tasks.
#[derive(Clone, Copy, Debug)]
struct IdlesOf {
    site: SiteId,
    place: (StackId, Await),
    total: u64,
}

impl Cost {
    fn new() -> Self {
        Self {
            waits: Vec::new(),
            idles: Vec::new(),
            spans: Vec::new(),
            threads: HashMap::new(),
            sites: HashMap::new(),
            at_once: f64::INFINITY,
            is_apart: false,
        }
    }

    /// Waits of threads.
    pub(super) fn of_waits<'g>(groups: impl IntoIterator<Item = &'g WaitGroup>) -> Self {
        let (mut cost, mut at_once) = (Self::new(), 0);
        for group in groups {
            cost.waits.push(WaitsOf {
                reason: group.reason,
                resource: group.resource,
                stacks: group.all_stacks().collect(),
                waiters: group.waiters.iter().map(|share| (share.of, share.total.0)).collect(),
                except: HashSet::new(),
            });
            at_once = at_once.max(group.waiters_max);
        }
        if at_once > 0 {
            cost.at_once = f64::from(at_once);
        }
        cost
    }

    /// The same without these.
    pub(super) fn except<'u>(mut self, waits: impl IntoIterator<Item = &'u Unended>) -> Self {
        let waits = waits.into_iter().map(|it| (it.wait.thread, it.wait.begin.inside().0));
        let waits: HashSet<_> = waits.collect();
        self.waits.iter_mut().for_each(|group| group.except.clone_from(&waits));
        self
    }

    /// Idle times of tasks.
    pub(super) fn of_idles(group: &AwaitGroup) -> Self {
        let (site, place, total) = (group.site, (group.stack, group.awaited), group.total.0);
        Self { idles: vec![IdlesOf { site, place, total }], ..Self::new() }
    }

    /// So much time of each thread, of all that it did but for its long waits.
    pub(super) fn of_threads(times: impl IntoIterator<Item = (ThreadId, u64)>) -> Self {
        let mut cost = Self::new();
        times.into_iter().for_each(|(thread, nanos)| add(&mut cost.threads, thread, nanos));
        cost
    }

    /// The time that each has of a group of calls.
    pub(super) fn of_shares(shares: &[Share<ThreadId>]) -> Self {
        Self::of_threads(shares.iter().map(|share| (share.of, share.total.0)))
    }

    /// So much time of the tasks of a spawn site.
    pub(super) fn of_site(site: SiteId, nanos: u64) -> Self {
        Self { sites: HashMap::from([(site, nanos)]), ..Self::new() }
    }

    /// Times that are known one by one.
    pub(super) fn of_spans(spans: impl IntoIterator<Item = Span>) -> Self {
        let spans = spans.into_iter().map(|span| (ThreadId(0), span));
        Self { spans: spans.collect(), ..Self::new() }
    }

    /// Polls, each of which keeps its thread.
    pub(super) fn of_polls<'p>(polls: impl IntoIterator<Item = &'p LongPoll>) -> Self {
        let spans = polls.into_iter().map(|poll| {
            let (from, before) = (poll.begin.inside().0, poll.begin.before_trace().0);
            let inside = poll.duration.0.saturating_sub(before);
            (poll.thread, (from, from.saturating_add(inside)))
        });
        Self { spans: spans.collect(), ..Self::new() }
    }

    /// Waits that never end.
    pub(super) fn of_unended<'u>(waits: impl IntoIterator<Item = &'u Unended>) -> Self {
        let spans = waits.into_iter().map(|it| {
            let from = it.wait.begin.inside().0;
            (from, from.saturating_add(it.wait.inside.0))
        });
        Self { is_apart: true, ..Self::of_spans(spans) }
    }

    /// The same of tasks, as long as that is known.
    pub(super) fn of_unfinished<'u>(tasks: impl IntoIterator<Item = &'u Unfinished>) -> Self {
        let spans = tasks.into_iter().map(|task| (task.since.inside().0, task.known_to.0));
        Self { is_apart: true, ..Self::of_spans(spans) }
    }

    /// The same, and these times.
    pub(super) fn and_spans(mut self, spans: impl IntoIterator<Item = Span>) -> Self {
        self.spans.extend(spans.into_iter().map(|span| (ThreadId(0), span)));
        self
    }

    /// The same, and this time of a spawn site's tasks.
    pub(super) fn and_site(mut self, site: SiteId, nanos: u64) -> Self {
        add(&mut self.sites, site, nanos);
        self
    }

    /// The same, of so many threads at once in the mean.
    pub(super) fn at_once(mut self, threads: f64) -> Self {
        self.at_once = threads;
        self
    }

    /// Whether a long wait is part of it.
    pub(super) fn has_wait(&self, wait: &LongWait) -> bool {
        self.waits.iter().any(|group| group.has(wait))
    }

    /// Whether a long idle time is part of it.
    ///
    /// - `site`: where its task was spawned, if that is known.
    pub(super) fn has_idle(&self, idle: &LongIdle, site: Option<SiteId>) -> bool {
        self.idles.iter().any(|group| group.has(idle, site))
    }

    /// Times that are known one by one and are no waits.
    pub(super) fn spans(&self) -> &[(ThreadId, Span)] {
        &self.spans
    }

    /// What threads and tasks lost together: a hundred at once lose a hundred times the time.
    pub(super) fn together(&self) -> u64 {
        let spans = self.spans.iter().map(|(_, (from, to))| to.saturating_sub(*from));
        let waits = self.waits.iter().flat_map(|group| group.waiters.values().copied());
        let idles = self.idles.iter().map(|group| group.total);
        let sums = self.threads.values().chain(self.sites.values()).copied();
        saturating_sum(spans.chain(waits).chain(idles).chain(sums))
    }

    /// What is not known one by one, by thread and by spawn site: short waits are not.
    ///
    /// - `waits`, `idles`: what is known one by one.
    /// - `site_of`: where the task of an idle time was spawned.
    pub(super) fn sums(
        &self,
        waits: &[LongWait],
        idles: &[LongIdle],
        site_of: impl Fn(&LongIdle) -> Option<SiteId>,
    ) -> (HashMap<ThreadId, u64>, HashMap<SiteId, u64>) {
        let (mut threads, mut sites) = (self.threads.clone(), self.sites.clone());
        for group in &self.waits {
            let mut short = group.waiters.clone();
            for wait in waits.iter().filter(|wait| group.has(wait)) {
                if let Some(short) = short.get_mut(&wait.thread) {
                    *short = short.saturating_sub(wait.nanos().0);
                }
            }
            short.into_iter().for_each(|(thread, nanos)| add(&mut threads, thread, nanos));
        }
        for group in &self.idles {
            let long = idles.iter().filter(|idle| group.has(idle, site_of(idle)));
            let long = saturating_sum(long.map(|idle| idle.to - idle.from));
            add(&mut sites, group.site, group.total.saturating_sub(long));
        }
        (threads, sites)
    }
}

fn add<K: std::hash::Hash + Eq>(sums: &mut HashMap<K, u64>, of: K, nanos: u64) {
    let sum = sums.entry(of).or_default();
    *sum = sum.saturating_add(nanos);
}

impl WaitsOf {
    fn has(&self, wait: &LongWait) -> bool {
        let is_it = || match self.resource {
            ResourceId(0) => self.stacks.contains(&wait.stack),
            resource => wait.resource == resource,
        };
        wait.reason == self.reason
            && self.waiters.contains_key(&wait.thread)
            && is_it()
            && !self.except.contains(&(wait.thread, wait.from))
    }
}

impl IdlesOf {
    fn has(&self, idle: &LongIdle, site: Option<SiteId>) -> bool {
        (idle.stack, idle.awaited) == self.place && site.is_none_or(|site| site == self.site)
    }
}
