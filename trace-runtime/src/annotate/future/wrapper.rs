//! Traced futures: one slice per poll, on the thread that polls; one life from the first poll to
//! the end or the drop.

use crate::annotate::future::current::{self, Before, TakenAt};
use crate::annotate::future::living::{Life, Listed};
use crate::annotate::future::waker::{Hands, Lazy, Node, Whose};
use crate::annotate::region::put_outcome;
use crate::annotate::task::{Task, TaskGuard};
use crate::base::primitive::Ordering;
use crate::base::primitive::global::AtomicU64;
use crate::callsite::sites::Place;
use crate::callsite::{Callsite, CallsiteKind};
use crate::session::process;
use crate::stack;
use crate::sys::clock;
use crate::thread::encoded::Head;
use crate::thread::record;
use crate::thread::refill::Patience;
use crate::thread::value::{Body, Value, put_number, put_values_on};
use pin_project_lite::pin_project;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use trace_format::event::{Outcome, opcode};
use trace_format::id::{FutureId, Open};

/// Numbers of futures, by twos: what an executor's hooks tell of has the odd ones (`hooked`).
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A future's life in the trace; ends with the future.
#[derive(Debug)]
#[must_use = "it belongs into the future it traces"]
pub struct FutureGuard {
    site: Option<&'static Callsite>,
    /// 0 until it has begun.
    id: u64,
    /// The trace it began in.
    session: u64,
    /// The task it works for.
    task: Task,
    /// What the wakers that it has handed out share, once there were any.
    node: Option<Arc<Node>>,
    listed: Listed,
    /// That task is this future.
    own_task: bool,
    /// It was handed over to be polled by others.
    spawned: bool,
}

impl FutureGuard {
    /// Of a future that is not recorded.
    pub fn none() -> Self {
        Self {
            site: None,
            id: 0,
            session: 0,
            task: Task::default(),
            node: None,
            listed: Listed::nowhere(),
            own_task: false,
            spawned: false,
        }
    }

    /// Begins now, if the site is live; else with the first poll for which it is.
    pub fn begin(site: &'static Callsite) -> Self {
        let mut guard = Self::later(site);
        guard.begin_if_live(&[]);
        guard
    }

    /// Begins now, with arguments.
    pub fn begin_args(site: &'static Callsite, values: &[Value<'_>]) -> Self {
        let mut guard = Self::later(site);
        guard.begin_if_live(values);
        guard
    }

    /// Begins now, as a task of its own.
    pub fn begin_task(site: &'static Callsite) -> Self {
        Self::begin_task_args(site, &[])
    }

    /// Begins now, as a task of its own, with arguments.
    pub fn begin_task_args(site: &'static Callsite, values: &[Value<'_>]) -> Self {
        let mut guard = Self::later(site);
        guard.task = Task::begin_site(site, values);
        guard.own_task = true;
        guard.begin_if_live(&[]);
        guard
    }

    /// Begins with the first poll.
    fn later(site: &'static Callsite) -> Self {
        let mut guard = Self::none();
        guard.site = Some(site);
        guard
    }

    /// Of a future that is about to be handed over to be polled by others, for a task: it begins
    /// now, if the site is live.
    pub fn spawn(site: &'static Callsite, task: Task) -> Self {
        let mut guard = Self::later(site);
        (guard.task, guard.spawned) = (task, true);
        let live = site.live();
        if live != 0 {
            guard.id = next_id();
            guard.session = process::number();
            let begin = spawned(guard.id, guard.task.id(), live);
            guard.list(begin, live, current::future());
        }
        guard
    }

    /// As [`FutureGuard::spawn`], of a future whose spawn others tell of, now or soon, by a number
    /// that is not known yet.
    pub fn adopt(site: &'static Callsite, task: Task) -> Self {
        let mut guard = Self::later(site);
        (guard.task, guard.spawned) = (task, true);
        if site.is_live() {
            guard.session = process::number();
        }
        guard
    }

    /// Gives it its number, if it has none yet, and has the trace know it. To be called before each
    /// poll, and before the drop.
    ///
    /// - `id`: asked for the number if that is wanted; 0 if it is not known.
    /// - `parent`: the future that has spawned it; 0 for none.
    pub fn set_id(&mut self, id: impl FnOnce() -> u64, parent: u64) {
        let Some(site) = self.site else { return };
        let live = site.live();
        if live == 0 {
            return;
        }
        if self.id != 0 {
            if self.session != process::number() {
                self.begin_if_live(&[]);
            }
            return;
        }
        self.id = id();
        if self.id == 0 {
            return;
        }
        let session = std::mem::replace(&mut self.session, process::number());
        let is_told = session == self.session;
        let begin = if is_told {
            clock::ticks()
        } else {
            told(self.id, self.task.id(), live, site.stack(), &[])
        };
        self.list(begin, live, parent);
    }

    /// `future`, traced, beginning with its first poll.
    pub fn deferred<F: Future>(site: &'static Callsite, future: F) -> Traced<F> {
        Self::later(site).wrap(future)
    }

    /// `future`, traced.
    pub fn wrap<F: Future>(self, future: F) -> Traced<F> {
        self.wrap_with(future, ignore)
    }

    /// `future`, traced, with `report` looking at its output.
    pub fn wrap_with<F: Future, R>(self, future: F, report: R) -> Traced<F, R>
    where
        R: FnOnce(&F::Output, &mut FutureEnd),
    {
        Traced { future, report: Some(report), guard: self }
    }

    /// Its life begins, or is told again to a trace that has begun since.
    fn begin_if_live(&mut self, values: &[Value<'_>]) {
        let Some(site) = self.site else { return };
        let live = site.live();
        if live == 0 {
            return;
        }
        let is_new = self.id == 0;
        if is_new {
            self.id = next_id();
            if !self.own_task && !self.spawned {
                self.task = Task::current();
            }
        }
        self.session = process::number();
        let begin = told(self.id, self.task.id(), live, site.stack(), values);
        if is_new {
            self.list(begin, live, current::future());
        }
    }

    /// Puts it into the list of those that live; if its begin was lost, it has no number.
    fn list(&mut self, begin: u64, site: u32, parent: u64) {
        if begin == 0 {
            self.id = 0;
            return;
        }
        let future = self.id;
        let (task, spawned) = (self.task.id(), self.spawned);
        let life = Life { future, parent, task, site, spawned, begin, ..Life::default() };
        self.listed = Listed::new(&life);
    }

    /// Whether the running trace knows of it. One that it does not know was begun in an earlier
    /// trace, and its site is off now, or it was not polled since.
    #[inline(always)]
    fn is_told(&self) -> bool {
        self.id != 0 && self.session == process::number() && process::is_enabled()
    }

    /// Whether a poll that begins now is recorded. Tells a trace that has begun since what it is.
    #[inline(always)]
    fn is_recorded(&mut self) -> bool {
        if self.session != process::number() {
            self.begin_if_live(&[]);
        }
        self.is_told()
    }

    fn end(&mut self, end: &FutureEnd) {
        if self.is_told() {
            let mut body = Body::new();
            put_number(&mut body, self.id);
            body.extend_with_outcome(&end.body);
            record::append(opcode::FUTURE_END, &body);
            current::note_end(self.id);
        }
        if let Some(node) = self.node.take() {
            node.end();
        }
        self.listed = Listed::nowhere();
        self.id = 0;
        self.site = None;
    }

    /// A poll that no trace is told of. The future may end by it all the same.
    fn poll_untold<T>(
        &mut self,
        context: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let polled = poll(context);
        if polled.is_ready() {
            self.end(&FutureEnd::new(Outcome::Returned));
            self.end_task();
        }
        polled
    }

    /// Ends the task that is this future, behind all that was done for it.
    fn end_task(&self) {
        if self.own_task {
            self.task.end();
        }
    }
}

impl Drop for FutureGuard {
    fn drop(&mut self) {
        if self.id != 0 {
            if self.session != process::number() {
                // The trace that has begun since knows it as one that lives, and would for ever.
                self.begin_if_live(&[]);
            }
            self.end(&FutureEnd::new(Outcome::Dropped));
        }
        self.end_task();
    }
}

fn next_id() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed) << 1
}

/// Records that a future is handed over; the time, or 0 if that is lost.
pub(crate) fn spawned(future: u64, task: u64, site: u32) -> u64 {
    let stack = stack::for_async();
    let mut body = Body::new();
    let numbers = [future, current::future(), task, site.into(), stack.into()];
    numbers.into_iter().for_each(|number| put_number(&mut body, number));
    record::append_with_stack(opcode::FUTURE_SPAWN, &body, stack)
}

/// Records what a future is; the time, or 0 if that is lost.
pub(crate) fn told(future: u64, task: u64, site: u32, stack: u32, values: &[Value<'_>]) -> u64 {
    let mut body = Body::new();
    for number in [future, task, site.into()] {
        put_number(&mut body, number);
    }
    put_values_on(&mut body, stack, values);
    record::append_with_stack(opcode::FUTURE_BEGIN, &body, stack)
}

/// A poll begins: when; 0 if that is not recorded.
#[inline(always)]
pub(crate) fn begin_poll(future: u64) -> u64 {
    let what = Open::Poll(FutureId(future)).to_word();
    let head = Head { code: opcode::POLL | opcode::OPEN, id: future };
    record::begin(head, what, 0, Patience::Never)
}

/// A poll that goes on.
///
/// It is made where it stays, and filled there: to move what was just written takes longer than to
/// write it.
struct Polling<'p> {
    guard: &'p mut FutureGuard,
    hands: Hands,
    lazy: Lazy<'p>,
    /// The thread works for the task until all of this is over.
    task: Option<TaskGuard>,
    before: Before,
    /// When; 0 if the slice is not recorded, or by others.
    begin: u64,
    is_open: bool,
}

impl<'p> Polling<'p> {
    #[inline(always)]
    fn new(guard: &'p mut FutureGuard, site: &'static Callsite, executors: &'p Waker) -> Self {
        let lazy = Lazy::new(Whose { future: guard.id, site }, executors);
        let (before, hands) = (Before::default(), Hands::On);
        Self { guard, hands, lazy, task: None, before, begin: 0, is_open: false }
    }

    /// The poll begins.
    #[inline(always)]
    fn open(&mut self, executors: &Waker) {
        let id = self.guard.id;
        if !self.guard.task.is_nothing() {
            self.enter_task();
        }
        if !current::is_hooked(id) {
            self.begin = begin_poll(id);
        }
        self.before = current::enter(id);
        self.is_open = true;
        self.hands = Hands::choose(executors, self.guard.node.as_deref());
    }

    #[inline(never)]
    fn enter_task(&mut self) {
        if self.guard.task.id() != 0 {
            self.task = Some(self.guard.task.enter_by_itself());
        }
    }

    /// The waker that the future is to have; the executor's own if there is none here.
    #[inline(always)]
    fn waker(&self) -> Option<ManuallyDrop<Waker>> {
        match self.hands {
            Hands::On => None,
            Hands::Kept => self.guard.node.as_ref().map(Node::lend),
            Hands::Fresh => Some(self.lazy.lend()),
        }
    }

    /// The poll is over: its slice ends.
    #[inline(always)]
    fn close(&mut self, waits: bool) {
        self.is_open = false;
        let (node, taken) = current::leave(&self.before);
        let what = Open::Poll(FutureId(self.lazy.future())).to_word();
        if taken.stack() != 0 {
            self.close_at(node, what, taken);
        } else if self.begin != 0 {
            record::end(self.begin, what);
        }
        let is_lost = match (self.hands, &self.guard.node) {
            (Hands::Kept, Some(node)) => waits && node.wait(),
            (Hands::Fresh, _) => self.keep(waits),
            _ => false,
        };
        if waits {
            self.guard.listed.wait(taken.stack(), self.begin);
            if is_lost {
                self.lazy.note_lost();
            }
        }
    }

    /// The same, where a waker was taken in the poll. The future that took it says where. Those
    /// around it, which share the waker, only remember it, unless it was spawned: then they say it,
    /// too.
    #[inline(never)]
    fn close_at(&self, node: usize, what: u64, taken: TakenAt) {
        let (waits_at, is_told) = (taken.stack(), self.begin != 0);
        if node == self.before.node || !is_told {
            // A spawned future is a task of its own to readers: they do not look into it for what
            // the one around it waits for.
            let is_inner = if is_told { !self.guard.spawned } else { taken.is_inner() };
            current::set_waits_at(waits_at, is_inner);
        }
        match self.begin {
            0 => {}
            begin if taken.is_inner() => record::end(begin, what),
            begin => record::end_poll(begin, what, waits_at),
        }
    }

    #[cold]
    #[inline(never)]
    fn panicked(&mut self) {
        self.close(false);
        self.guard.end(&FutureEnd::new(Outcome::Panicked));
    }

    /// The node that the first clone has made is used from now on. Whether the future is lost.
    #[inline(never)]
    fn keep(&mut self, waits: bool) -> bool {
        let (node, is_lost) = self.lazy.take(waits);
        if let Some(node) = node
            && let Some(old) = self.guard.node.replace(node)
        {
            old.end();
        }
        is_lost
    }
}

impl Drop for Polling<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.is_open {
            self.panicked();
        }
    }
}

/// How a future ended, as its output tells.
#[derive(Debug)]
pub struct FutureEnd {
    /// Outcome and values, encoded.
    body: Body,
}

impl FutureEnd {
    fn new(outcome: Outcome) -> Self {
        let mut body = Body::new();
        put_outcome(&mut body, outcome, &[]);
        Self { body }
    }

    /// It returned this.
    pub fn returned(&mut self, value: Value<'_>) {
        self.set(Outcome::Returned, value);
    }

    /// It returned this error.
    pub fn failed(&mut self, error: Value<'_>) {
        self.set(Outcome::Failed, error);
    }

    fn set(&mut self, outcome: Outcome, value: Value<'_>) {
        self.body.clear();
        put_outcome(&mut self.body, outcome, &[value]);
    }
}

/// Does not look at a future's output.
pub type Ignore<T> = fn(&T, &mut FutureEnd);

fn ignore<T>(_: &T, _: &mut FutureEnd) {}

pin_project! {
    /// A future that is traced.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Traced<F: Future, R = Ignore<<F as Future>::Output>> {
        // Dropped first: what its drop does belongs to its life.
        #[pin]
        future: F,
        report: Option<R>,
        guard: FutureGuard,
    }
}

impl<F: Future, R> Traced<F, R> {
    /// [`FutureGuard::set_id`] of what was wrapped.
    #[doc(hidden)]
    pub fn set_id(self: Pin<&mut Self>, id: impl FnOnce() -> u64, parent: u64) {
        self.project().guard.set_id(id, parent);
    }
}

impl<F: Future, R: FnOnce(&F::Output, &mut FutureEnd)> Future for Traced<F, R> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let guard = this.guard;
        let Some(site) = guard.site.filter(|_| guard.is_recorded()) else {
            return guard.poll_untold(context, |context| this.future.poll(context));
        };
        let executors = context.waker();
        let mut polling = Polling::new(guard, site, executors);
        polling.open(executors);
        let polled = match polling.waker() {
            None => this.future.poll(context),
            Some(waker) => this.future.poll(&mut Context::from_waker(&waker)),
        };
        polling.close(polled.is_pending());
        if let Poll::Ready(output) = &polled {
            let mut end = FutureEnd::new(Outcome::Returned);
            if let (Some(report), true) = (this.report.take(), polling.guard.is_told()) {
                report(output, &mut end);
            }
            polling.guard.end(&end);
            // What was done for the task ends before the task does.
            drop(polling.task.take());
            polling.guard.end_task();
        }
        polled
    }
}

/// Hands out names for futures.
pub trait FutureName: sealed::Named {}

impl FutureName for &'static str {}
impl FutureName for Task {}
impl FutureName for &Task {}

mod sealed {
    use super::Task;

    /// What a future is called, and the task it works for.
    pub trait Named {
        /// Both.
        fn named(self) -> (&'static str, Task);
    }

    impl Named for &'static str {
        fn named(self) -> (&'static str, Task) {
            (self, Task::current())
        }
    }

    impl Named for Task {
        fn named(self) -> (&'static str, Task) {
            ("work", self)
        }
    }

    impl Named for &Task {
        fn named(self) -> (&'static str, Task) {
            self.clone().named()
        }
    }
}

/// Traces any future.
pub trait TracedExt: Future + Sized {
    /// This future, traced: spawned here, under this name or to work for this task; with every
    /// poll, and every wake of it, being recorded, wherever it is polled.
    ///
    /// A name works for the task that the calling thread works for, if any.
    #[track_caller]
    fn traced(self, name: impl FutureName) -> Traced<Self> {
        let (name, task) = name.named();
        let place = Place::of_caller(CallsiteKind::Future, name, Location::caller());
        FutureGuard::spawn(place.callsite(&[]), task).wrap(self)
    }
}

impl<F: Future> TracedExt for F {}

pin_project! {
    /// A future whose every poll is work for a task.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct InTask<F> {
        #[pin]
        future: F,
        task: Task,
    }
}

impl<F: Future> Future for InTask<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _working = this.task.enter();
        this.future.poll(context)
    }
}

impl Task {
    /// `future`, with every poll of it being work for this task: how a task goes across awaits.
    pub fn wrap<F: Future>(&self, future: F) -> InTask<F> {
        InTask { future, task: self.clone() }
    }
}
