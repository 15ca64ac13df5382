//! One thread as time goes by: on a CPU or not, in a call or not, and so in exactly one state.
//!
//! - Time is spent once: [`Living::spend`] gives the stretch since the last moment to the state
//!   the thread was in, so all states add up to the life, whatever the events say.
//! - What begins and ends a region changes no state, so time passes there without being spent
//!   ([`Living::pass`]): it is spent before the state changes or a sum is read.
//! - Before a thread's first switch nothing is known of CPUs; the first one tells what it was all
//!   along. Until then time is kept apart, in `early`.
//! - That a wait was over and the thread only ready is known when its call ends and its waker is
//!   found; time is then moved, within the call.
//!
//! `window` is where a window begins and ends. Elsewhere: the sums (`spent`), what a thread did
//! lately (`history`), what goes on behind missing events (`gaps`), who woke whom (`futex`), sums
//! over threads (`grouped`), events (`walk`).

mod window;

use trace_format::definition::OpenSince;
use trace_format::id::{CallId, FutureId, Open, SiteId, StackId, TaskId, ThreadId};
use trace_format::read::{NESTING_MAX, OpenIndex};
use trace_format::time::Ticks;

use super::activity::{Account, Activity};
use super::call::{Call, Off};
use super::closed::Over;
use super::frame::{Chain, Frame, Leaf};
use super::futex::LockWaits;
use super::futures::{Here, Link};
use super::gaps::{Aside, Gaps};
use super::history::{History, Stretch};
use super::late::LateOnes;
use super::places::Meaning;
use super::spent::{BLOCKED, EITHER, IN_CALLS, Known, READY, RUNNING, STOPPED, Spent, UNKNOWN};
use super::standstill::Stops;
use crate::reason::Reason;

/// What is known of a thread and CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cpu {
    /// No switch of it was seen yet.
    Never,
    /// Records were lost since the last one.
    Lost,
    /// It runs on this one.
    On(u32),
    /// It does not, but could.
    Preempted,
    /// It does not, by its own will.
    Off,
}

/// One thread.
#[derive(Debug)]
pub(super) struct Living {
    pub(super) cpu: Cpu,
    pub(super) begin: u64,
    /// The present moment.
    pub(super) now: u64,
    /// All time before is spent. From here to `now` the state is the same, and it is no stop.
    spent_to: u64,
    pub(super) frames: Vec<Frame>,
    /// What goes on though what was around it has ended.
    pub(super) late: LateOnes,
    /// The calls among `frames`, and their places.
    calls: Vec<(usize, Call)>,
    /// The call that was closed last, until it is taken.
    closed_call: Option<Call>,
    /// The leaf, if there is one, or else the innermost frame is over then: nothing is inside it.
    pub(super) until: Option<u64>,
    leaf: Option<Leaf>,
    /// What was known to be spent when the leaf began, if something was spent since.
    leaf_before: Option<Known>,
    /// Frames beyond the limit: [`NESTING_MAX`]; those that are open, and all there ever were.
    too_deep: u64,
    pub(super) deep_in_all: u64,
    index: OpenIndex,
    spent: Spent,
    /// Of `spent`, the waiting.
    blocked: u64,
    /// What was spent before the first switch, by what it would be without switches.
    early: Spent,
    pub(super) history: History,
    pub(super) gaps: Gaps,
    /// When the whole process was stopped, and the place of the first of these that is not over.
    stops: Stops,
    stops_over: usize,
    /// Places in `frames` that have an account.
    accounts: Vec<usize>,
    /// The polls and the task runs among `frames`: who asks for them must not search all of these.
    polls: Vec<FutureId>,
    runs: Vec<TaskId>,
    /// Where it touched a page that had to be read, since it came onto its CPU, and when.
    pub(super) fault: Option<(StackId, u64)>,
    /// How long it has been off its CPU by its own will outside calls, since it last came onto one.
    pub(super) outside: u64,
    /// Since when it has been in the state of [`Living::cpu`].
    pub(super) since: u64,
    /// Whether it is among those of which it is known whether they run.
    pub(super) is_switched: bool,
    /// Events are missing since the last that was read.
    pub(super) gap: bool,
    /// From when on, of a trace that was cut: then there is none to come.
    pub(super) silent_from: Option<u64>,
    /// Whether it is known to have existed: it wrote something, or ran.
    pub(super) seen: bool,
    pub(super) calls_ended: u64,
    pub(super) yields: u64,
    pub(super) preemptions: u64,
}

impl Living {
    pub(super) fn new(begin: u64, stops: Stops, lock_waits: LockWaits) -> Self {
        Self {
            cpu: Cpu::Never,
            begin,
            now: begin,
            spent_to: begin,
            frames: Vec::new(),
            late: LateOnes::default(),
            calls: Vec::new(),
            closed_call: None,
            until: None,
            leaf: None,
            leaf_before: None,
            too_deep: 0,
            deep_in_all: 0,
            index: OpenIndex::default(),
            spent: Spent::default(),
            blocked: 0,
            early: Spent::default(),
            history: History::new(lock_waits),
            gaps: Gaps::default(),
            stops,
            stops_over: 0,
            accounts: Vec::new(),
            polls: Vec::new(),
            runs: Vec::new(),
            fault: None,
            outside: 0,
            since: begin,
            is_switched: false,
            gap: false,
            silent_from: None,
            seen: false,
            calls_ended: 0,
            yields: 0,
            preemptions: 0,
        }
    }

    /// What is open, outermost first: of calls with why they wait and what they returned, if that
    /// is known.
    pub(super) fn open(&self) -> impl Iterator<Item = (&Frame, Option<Reason>, Option<i64>)> {
        let mut calls = self.calls.iter().peekable();
        self.frames.iter().enumerate().map(move |(at, frame)| {
            let call = calls.next_if(|(place, _)| *place == at).map(|(_, call)| call);
            (frame, call.map(|call| call.why.reason), call.and_then(|call| call.result))
        })
    }

    /// The innermost call that is open.
    pub(super) fn call(&self) -> Option<&Call> {
        self.calls.last().map(|(_, call)| call)
    }

    /// A thread with its number and id, as async tasks know it.
    pub(super) fn here(&self, who: usize, thread: ThreadId) -> Here<'_> {
        Here { who, thread, polls: &self.polls }
    }

    /// The futures that are polled, innermost last.
    pub(super) fn polls(&self) -> &[FutureId] {
        &self.polls
    }

    /// The task runs that are open, innermost last.
    pub(super) fn runs(&self) -> &[TaskId] {
        &self.runs
    }

    /// The end of the next stop, if that comes before then.
    pub(super) fn next_stop_end(&mut self, at: u64) -> Option<u64> {
        let stop = self.stops.next(&mut self.stops_over, self.spent_to);
        stop.map(|(_, end)| end).filter(|end| *end < at)
    }

    /// Makes time pass up to `at`, or to where the innermost frame is over: then that is returned,
    /// with its end, and more time is to be made pass.
    #[inline]
    pub(super) fn advance(&mut self, at: u64) -> Option<Over> {
        if let Some(until) = self.until.filter(|until| *until <= at) {
            self.spend(until);
            if let Some(leaf) = self.take_leaf() {
                return Some(Over::Leaf(leaf, until));
            }
            return self.pop(until).map(|(frame, end)| Over::Frame(frame, end));
        }
        self.spend(at);
        None
    }

    /// Makes time pass to where the innermost frame or the leaf is over, if that is not behind
    /// `at`: the caller takes it. No time is spent.
    #[inline]
    pub(super) fn pass_to_end(&mut self, at: u64) -> Option<u64> {
        let until = self.until.filter(|until| *until <= at)?;
        self.pass(until);
        self.until = None;
        Some(until)
    }

    /// Whether time may pass without being spent until the next event.
    #[inline]
    pub(super) fn is_steady(&self) -> bool {
        !self.is_blind() && !self.gaps.is_open()
    }

    /// Time passes in the same state, save where the process was stopped.
    #[inline]
    pub(super) fn pass(&mut self, at: u64) {
        let stop = self.stops.next(&mut self.stops_over, self.spent_to);
        match stop.is_some_and(|(from, _)| from < at) {
            true => self.spend(at),
            false => self.now = self.now.max(at),
        }
    }

    /// What a leaf that was taken just now had in which state, as far as it is known.
    #[inline]
    pub(super) fn in_leaf(&self, begin: u64) -> Known {
        match self.leaf_before {
            Some(before) => self.known().since(&before),
            None => self.passed(self.now.saturating_sub(begin)),
        }
    }

    /// So much time in the state of now.
    #[inline]
    fn passed(&self, nanos: u64) -> Known {
        let mut known = Known::default();
        if nanos > 0 && self.cpu != Cpu::Never {
            match self.slot() {
                RUNNING | IN_CALLS => known.cpu = nanos,
                READY => known.ready = nanos,
                BLOCKED.. => known.blocked = nanos,
                _ => {}
            }
        }
        known
    }

    /// Spends what has passed.
    pub(super) fn catch_up(&mut self) {
        self.spend(self.now);
    }

    /// The life begins earlier than was known. Nothing has passed of it yet.
    pub(super) fn begin_at(&mut self, at: u64) {
        (self.begin, self.now, self.spent_to, self.since) = (at, at, at, at);
    }

    /// The stretch since the last moment goes to the state of now, save where the process was
    /// stopped.
    #[inline]
    fn spend(&mut self, at: u64) {
        let at = at.max(self.now);
        if self.leaf.is_some() && self.leaf_before.is_none() {
            self.leaf_before = Some(self.known());
        }
        while let Some((from, to)) = self.stops.next(&mut self.stops_over, self.spent_to)
            && from < at
        {
            self.spend_as(self.slot(), from);
            self.spend_as(STOPPED, to.min(at));
            if at < to {
                return;
            }
        }
        self.spend_as(self.slot(), at);
    }

    #[inline]
    fn spend_as(&mut self, slot: usize, at: u64) {
        if at <= self.spent_to {
            return;
        }
        let (from, nanos) = (self.spent_to, at - self.spent_to);
        (self.spent_to, self.now) = (at, self.now.max(at));
        if self.cpu == Cpu::Never {
            self.early.0[slot] += nanos;
        } else {
            self.spent.0[slot] += nanos;
            self.blocked += if slot >= BLOCKED { nanos } else { 0 };
        }
        let (mut name, mut stack) = (CallId(0), StackId(0));
        if slot != STOPPED
            && let Some((_, call)) = self.calls.last_mut()
        {
            (name, stack) = (call.open.call, call.open.stack);
            call.spend(slot, self.cpu, from, at);
        } else if slot >= BLOCKED {
            self.outside += nanos;
        }
        let cpu = match self.cpu {
            Cpu::On(cpu) if slot == RUNNING || slot == IN_CALLS => Some(cpu),
            _ => None,
        };
        self.history.add(Stretch { from, to: at, slot, call: name, stack, cpu });
    }

    fn slot(&self) -> usize {
        let call = self.call();
        match (self.cpu, call) {
            (Cpu::On(_), None) => RUNNING,
            (Cpu::On(_), Some(_)) => IN_CALLS,
            (Cpu::Preempted, _) => READY,
            (Cpu::Off, _) if self.fault.is_some() => BLOCKED + Reason::PageFault as usize,
            // The call that it is in may be missing, or not be known to go on.
            (Cpu::Off, None) if self.is_blind() => UNKNOWN,
            (Cpu::Off, None) => BLOCKED + Reason::Unseen as usize,
            (Cpu::Off, Some(call)) => BLOCKED + call.why.reason as usize,
            (Cpu::Never | Cpu::Lost, Some(call)) if call.why.waits => {
                BLOCKED + call.why.reason as usize
            }
            (Cpu::Never, Some(_)) => IN_CALLS,
            (Cpu::Never, None) if !self.is_blind() => EITHER,
            (Cpu::Never, None) | (Cpu::Lost, _) => UNKNOWN,
        }
    }

    /// Whether it waits for this reason now.
    pub(super) fn is_blocked_for(&self, reason: Reason) -> bool {
        self.slot() == BLOCKED + reason as usize
    }

    /// The lock with an address that it waits for, if it is in such a call, and when that began.
    #[inline]
    pub(super) fn lock_wait(&self) -> Option<(u32, u64)> {
        let (at, call) = self.calls.last().filter(|(_, call)| call.why.reason.is_lock())?;
        let frame = &self.frames[*at];
        Some((call.resource.0, frame.begin.saturating_sub(frame.older)))
    }

    /// Whether more may be open than is known.
    #[inline]
    fn is_blind(&self) -> bool {
        self.gap || self.gaps.is_unsure()
    }

    /// Opens something at the present moment. Time must have been made pass.
    pub(super) fn push(&mut self, open: Open, begin: u64, meaning: Option<Meaning>) {
        self.touch();
        if !self.has_room() {
            self.too_deep += 1;
            self.deep_in_all += 1;
            return;
        }
        if let (Open::Call(open), Some(meaning)) = (open, meaning) {
            self.calls.push((self.frames.len(), Call::new(open, meaning)));
        }
        let before = self.known();
        self.add_open(open);
        self.index.begin(OpenSince { open, begin: Ticks(begin) });
        self.frames.push(Frame {
            open,
            begin,
            older: 0,
            before,
            account: None,
            chain: Chain::default(),
            waits_at: StackId(0),
            is_full: false,
        });
    }

    /// Whether another thing that is opened is kept: else it lies too deep, and is only counted.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.frames.len() < NESTING_MAX
    }

    fn add_open(&mut self, open: Open) {
        match open {
            Open::Poll(future) => self.polls.push(future),
            Open::Task(task) => self.runs.push(task),
            Open::Region(_) | Open::Call(_) => {}
        }
    }

    /// A leaf begins at the present moment. Whether there is room for it as for a frame.
    #[inline]
    pub(super) fn begin_leaf(&mut self, site: SiteId, begin: u64, end: u64) -> bool {
        if !self.has_room() {
            return false;
        }
        self.touch();
        (self.leaf, self.leaf_before) = (Some(Leaf { site, begin }), None);
        self.until = Some(end);
        true
    }

    /// The leaf, which is over.
    #[inline]
    pub(super) fn take_leaf(&mut self) -> Option<Leaf> {
        let leaf = self.leaf.take()?;
        self.until = None;
        Some(leaf)
    }

    /// Accounts for what the thread does in what was opened last. That must have been kept.
    pub(super) fn keep_account(&mut self) {
        let total = self.total();
        if let Some(frame) = self.frames.last_mut() {
            frame.account = Some(Box::new(Account::new(total)));
            self.accounts.push(self.frames.len() - 1);
        }
    }

    /// The account of the innermost that has one.
    pub(super) fn account(&mut self) -> Option<&mut Account> {
        let &at = self.accounts.last()?;
        self.frames[at].account.as_deref_mut()
    }

    /// Whether the frames beyond the limit are the innermost.
    pub(super) fn is_too_deep(&self) -> bool {
        self.too_deep > 0
    }

    /// What was opened last is beyond the limit, and over.
    pub(super) fn pop_too_deep(&mut self) {
        self.too_deep = self.too_deep.saturating_sub(1);
    }

    /// Something is recorded inside the innermost.
    #[inline]
    pub(super) fn touch(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            frame.is_full = true;
        }
    }

    /// Something is over that was in what is innermost now. `link`: what to call it; what has no
    /// name only passes on what was in it.
    pub(super) fn add_link(&mut self, link: Option<Link>, inner: Chain) {
        if let Some(frame) = self.frames.last_mut() {
            frame.chain.add(link, inner);
        }
    }

    /// The call that was closed just now.
    pub(super) fn take_call(&mut self) -> Option<Call> {
        self.closed_call.take()
    }

    /// The innermost call, and how many frames there are up to it, that with it included.
    pub(super) fn innermost_call(&mut self) -> Option<(usize, &mut Call)> {
        self.calls.last_mut().map(|(at, call)| (*at + 1, call))
    }

    /// Closes what was opened last.
    pub(super) fn pop(&mut self, at: u64) -> Option<(Frame, u64)> {
        if self.too_deep > 0 {
            self.too_deep -= 1;
            return None;
        }
        self.until = None;
        if let Some(open) = self.frames.last().map(|frame| frame.open)
            && !matches!(open, Open::Region(_))
        {
            self.catch_up();
            match open {
                Open::Poll(_) => drop(self.polls.pop()),
                Open::Task(_) => drop(self.runs.pop()),
                Open::Region(_) | Open::Call(_) => {}
            }
        }
        let frame = self.frames.pop()?;
        self.index.end(OpenSince { open: frame.open, begin: Ticks(frame.begin) });
        if let Some((_, call)) = self.calls.pop_if(|(at, _)| *at == self.frames.len()) {
            self.closed_call = Some(call);
        }
        if self.accounts.last() == Some(&self.frames.len()) {
            self.accounts.pop();
        }
        Some((frame, at))
    }

    /// The place in `frames` of something that is open, by the moment at which it began.
    pub(super) fn find(&mut self, open: Open, begin: u64) -> Option<usize> {
        let frames = self.frames.iter();
        let frames = frames.map(|frame| OpenSince { open: frame.open, begin: Ticks(frame.begin) });
        self.index.find(OpenSince { open, begin: Ticks(begin) }, frames)
    }

    /// Closes the innermost of what is kept, however deep it goes on.
    pub(super) fn pop_any(&mut self, at: u64) -> Option<(Frame, u64)> {
        self.too_deep = 0;
        self.pop(at)
    }

    /// Events are missing: puts aside what was open, outermost first, until something shows what of
    /// it still is.
    pub(super) fn put_aside(&mut self, open: Vec<Aside>) {
        self.catch_up();
        self.gaps.begin(open);
        self.index.reset();
        (self.until, self.leaf, self.too_deep) = (None, None, 0);
    }

    /// Opens again what was put aside.
    pub(super) fn restore(&mut self, aside: Aside) {
        let Aside { frame, call } = aside;
        if let Some(call) = call {
            self.calls.push((self.frames.len(), call));
        }
        self.add_open(frame.open);
        if frame.account.is_some() {
            self.accounts.push(self.frames.len());
        }
        self.index.begin(OpenSince { open: frame.open, begin: Ticks(frame.begin) });
        self.frames.push(frame);
    }

    /// What is known to be spent up to now, that which has only passed included.
    #[inline]
    pub(super) fn known(&self) -> Known {
        self.spent.known(self.blocked).plus(&self.passed(self.now - self.spent_to))
    }

    /// The first switch has come: `on` says whether the thread had been on a CPU until then.
    pub(super) fn resolve(&mut self, on: bool) {
        // Not among what regions compare: they began in the middle of it.
        self.early = self.early.resolved(on);
        self.history.resolve(on);
        self.calls.iter_mut().for_each(|(_, call)| call.resolve(on));
        for &at in &self.accounts {
            if let Some(account) = &mut self.frames[at].account {
                account.before = account.before.resolved(on);
            }
        }
    }

    /// A wait of this call was over at `woken`: what came after was being ready. Returns how long.
    pub(super) fn woken(&mut self, call: &mut Call, woken: u64) -> u64 {
        let slot = BLOCKED + call.why.reason as usize;
        let off = call.last_off.filter(|off| off.to > woken && off.slot == slot);
        let Some(Off { from, to, is_early, .. }) = off else { return 0 };
        let spent = if is_early { &mut self.early } else { &mut self.spent };
        let nanos = (to - from.max(woken)).min(call.blocked).min(spent.0[slot]);
        if nanos == 0 || !self.history.make_ready((slot, to), nanos) {
            return 0;
        }
        spent.0[slot] -= nanos;
        spent.0[READY] += nanos;
        self.blocked -= if is_early { 0 } else { nanos };
        call.blocked -= nanos;
        nanos
    }

    /// Events were dropped for `nanos`: what was outside calls is not known there.
    pub(super) fn dropped(&mut self, nanos: u64) {
        if self.cpu == Cpu::Never {
            let moved = nanos.min(self.early.0[EITHER]);
            self.early.0[EITHER] -= moved;
            self.early.0[UNKNOWN] += moved;
            self.history.relabel(EITHER, UNKNOWN, moved);
        }
    }

    /// What the thread did in a frame that was closed just now; it takes the account.
    #[inline]
    pub(super) fn activity_in(&mut self, frame: &mut Frame) -> Option<Box<Activity>> {
        frame.account.take().map(|account| self.finish_account(&account))
    }

    #[inline(never)]
    fn finish_account(&mut self, account: &Account) -> Box<Activity> {
        let activity = account.finish(&self.total());
        if let Some(outer) = self.account() {
            outer.merge(account);
        }
        Box::new(activity)
    }

    /// Everything it spent.
    pub(super) fn total(&self) -> Spent {
        let mut total = self.spent;
        total.add(&self.early);
        total
    }

    /// It is over: memory that only a living thread needs is given back.
    pub(super) fn bury(&mut self) {
        (self.frames, self.calls) = (Vec::new(), Vec::new());
        (self.history, self.gaps) = (History::default(), Gaps::default());
        (self.accounts, self.leaf) = (Vec::new(), None);
        (self.polls, self.runs) = (Vec::new(), Vec::new());
    }
}
