//! The longest polls, and the longest times that tasks were ready and were not polled.

use std::cmp::Reverse;
use std::collections::HashMap;

use trace_format::id::{FutureId, SiteId, ThreadId};
use trace_format::time::Nanos;

use super::ready::ReadyTable;
use super::sums::{SumTable, add};
use super::{Behind, Delay, Link, LongPoll};
use crate::report::life::{Activity, TOP, keep_longest};
use crate::spans::Span;
use crate::time::Moment;
use crate::timeline::futures::{Recent, Thread};

/// A poll that takes longer than this blocks its worker: what the same thread was to poll next
/// waits so long, which people notice in an answer's time.
pub const LONG_POLL: Nanos = Nanos(10_000_000);

/// Maximum number of polls that are kept, of each spawn site [`crate::report::life::TOP`] at most.
pub const POLLS_MAX: usize = 64;

/// Maximum number of delays that are kept.
pub const DELAYS_MAX: usize = 32;

/// Shorter delays are not worth the search for what they were behind.
const DELAY_NANOS_MIN: u64 = 50_000;

/// The longest of both.
#[derive(Debug, Default)]
pub(crate) struct Polls {
    serial: u64,
    /// By the place of the spawn site among the sums.
    longest: HashMap<usize, Vec<(u64, LongPoll)>>,
    delays: Vec<Delay>,
    /// What waited behind long polls, by the place of their spawn site.
    behind: HashMap<usize, Waiting>,
    pub(crate) ready: ReadyTable,
}

/// What waited behind the long polls of a spawn site.
#[derive(Clone, Copy, Debug, Default)]
struct Waiting {
    delayed: u64,
    delayed_total: Nanos,
    held_up: u64,
}

/// A task that is polled after it has been ready, or was ready to the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Late {
    pub(crate) task: FutureId,
    pub(crate) site: SiteId,
    /// The place of the spawn site among the sums.
    pub(crate) sums: usize,
    pub(crate) ready: u64,
    pub(crate) at: u64,
    /// Whether it was ready already when what is read began.
    pub(crate) is_since_before: bool,
    /// Whether it is polled then.
    pub(crate) is_polled: bool,
}

/// A poll that is over, or open when the trace ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PollDone {
    pub(crate) task: FutureId,
    pub(crate) site: SiteId,
    pub(crate) thread: ThreadId,
    pub(crate) begin: Moment,
    pub(crate) end: u64,
    pub(crate) is_over: bool,
}

impl Polls {
    /// A poll of a task is over, or the trace is. Returns its number, by which it is found again.
    ///
    /// - `chain`: what took longest in it.
    /// - `activity`: what the thread did in it.
    pub(crate) fn add(
        &mut self,
        sums: usize,
        done: PollDone,
        chain: &[Link],
        activity: Option<Box<Activity>>,
    ) -> u64 {
        self.serial += 1;
        let PollDone { task, site, thread, begin, end, is_over } = done;
        let duration = begin.until(Nanos(end));
        let longest = self.longest.entry(sums).or_default();
        if longest.len() >= TOP && longest.last().is_some_and(|(_, it)| it.duration >= duration) {
            return self.serial;
        }
        let poll = LongPoll {
            task,
            site,
            thread,
            begin,
            duration,
            ended: is_over,
            chain: chain.to_vec(),
            delayed: 0,
            delayed_total: Nanos(0),
            delayed_most: None,
            held_up: 0,
            held_up_most: None,
            activity: activity.map(|activity| *activity),
        };
        keep_longest(longest, (self.serial, poll), |(_, poll)| poll.duration.0);
        self.serial
    }

    /// A task is polled at last, or nothing more is known: the thread's polls since it was ready
    /// were before it.
    ///
    /// - `site_of`: of a place among the sums.
    pub(crate) fn late(
        &mut self,
        thread: &mut Thread,
        late: Late,
        site_of: impl Fn(usize) -> SiteId,
    ) {
        let Late { task, site, ready, at, .. } = late;
        let duration = at.saturating_sub(ready);
        if duration < DELAY_NANOS_MIN {
            self.add_ready(&late, (ready, at));
            return;
        }
        let mut behind: Option<(u64, Behind)> = None;
        // Of the time before this it is not told yet what came in between.
        let (mut starved, mut until) = (0, at);
        for recent in thread.recent.iter_mut().rev().take_while(|it| it.end > ready) {
            let overlap = recent.end.min(at).saturating_sub(recent.begin.max(ready));
            if overlap == 0 || recent.task == task {
                continue;
            }
            if behind.is_none_or(|(most, _)| overlap > most) {
                let begin = Moment::older(recent.begin, recent.older);
                let duration = Nanos(recent.whole());
                let site = site_of(recent.sums);
                behind = Some((overlap, Behind { task: recent.task, site, begin, duration }));
            }
            let from = recent.begin.max(ready);
            if recent.is_long() {
                starved += recent.starved_from.saturating_sub(from);
                recent.starved_from = recent.starved_from.min(from);
                self.add_ready(&late, (recent.end, until));
                until = until.min(from);
                let behind = self.behind.entry(recent.sums).or_default();
                behind.delayed += 1;
                add(&mut behind.delayed_total, overlap);
            }
            self.delayed(recent, overlap, (task, site));
        }
        self.add_ready(&late, (ready, until));
        add(&mut thread.sums.starved, starved);
        let (ready, duration) = (Nanos(ready), Nanos(duration));
        let behind = behind.map(|(_, behind)| behind);
        let delay = Delay { task, site, thread: thread.sums.thread, ready, duration, behind };
        let is_least = self.delays.last().is_some_and(|least| least.duration >= duration);
        if self.delays.len() >= DELAYS_MAX && is_least {
            return;
        }
        let place = self.delays.partition_point(|it| it.duration >= duration);
        self.delays.insert(place, delay);
        self.delays.truncate(DELAYS_MAX);
    }

    /// Part of the time in which a task was ready. What is not polled to the end of the trace may
    /// have nobody left to poll it: that says nothing of those who poll.
    fn add_ready(&mut self, late: &Late, span: Span) {
        if late.is_polled {
            self.ready.add(late.sums, span, late.is_since_before);
        }
    }

    /// One of the longest polls kept a task waiting.
    fn delayed(&mut self, recent: &Recent, nanos: u64, (task, site): (FutureId, SiteId)) {
        let longest = self.longest.get_mut(&recent.sums);
        let found = longest.into_iter().flatten().find(|(serial, _)| *serial == recent.serial);
        let Some((_, poll)) = found else { return };
        poll.delayed += 1;
        add(&mut poll.delayed_total, nanos);
        if poll.delayed_most.is_none_or(|(.., most)| nanos > most.0) {
            poll.delayed_most = Some((task, site, Nanos(nanos)));
        }
    }

    /// A task could be woken only after this poll, which was long: for as long as `nanos` it may
    /// have been kept from going on.
    pub(crate) fn held_up(
        &mut self,
        recent: &Recent,
        nanos: u64,
        (task, site): (FutureId, SiteId),
    ) {
        self.behind.entry(recent.sums).or_default().held_up += 1;
        let longest = self.longest.get_mut(&recent.sums);
        let found = longest.into_iter().flatten().find(|(serial, _)| *serial == recent.serial);
        let Some((_, poll)) = found else { return };
        poll.held_up += 1;
        if poll.held_up_most.is_none_or(|(.., most)| nanos > most.0) {
            poll.held_up_most = Some((task, site, Nanos(nanos)));
        }
    }

    /// The window begins.
    pub(crate) fn restart(&mut self) {
        let mut ready = std::mem::take(&mut self.ready);
        ready.restart();
        *self = Self { ready, ..Self::default() };
    }

    /// Writes what waited behind long polls into the sums of their spawn sites.
    pub(crate) fn tell(&self, sums: &mut SumTable) {
        for (&place, behind) in &self.behind {
            let told = sums.at(place);
            (told.delayed, told.delayed_total) = (behind.delayed, behind.delayed_total);
            told.held_up = behind.held_up;
        }
    }

    pub(crate) fn finish(&mut self) -> (Vec<LongPoll>, Vec<Delay>) {
        let all = self.longest.drain().flat_map(|(_, longest)| longest);
        let mut polls: Vec<_> = all.map(|(_, poll)| poll).collect();
        polls.sort_by_key(|poll| (Reverse(poll.duration), poll.begin, poll.thread, poll.task));
        polls.truncate(POLLS_MAX);
        (polls, std::mem::take(&mut self.delays))
    }
}
