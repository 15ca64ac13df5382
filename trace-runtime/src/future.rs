//! Traced futures: one slice per poll, on the thread that polls; one life from the first poll to
//! the end or the drop.

use crate::callsite::{Callsite, CallsiteKind};
use crate::clock;
use crate::current::{self, Current};
use crate::living::{Life, Listed};
use crate::primitive::Ordering;
use crate::primitive::global::AtomicU64;
use crate::record;
use crate::recorder;
use crate::region::put_outcome;
use crate::sites::Place;
use crate::stack;
use crate::task::{Task, TaskGuard};
use crate::thread::Head;
use crate::value::{Body, Value, put_number, put_values_on};
use crate::waker::{Node, Whose, note_lost, with_waker};
use pin_project_lite::pin_project;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
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
            guard.session = recorder::number();
            let begin = spawned(guard.id, guard.task.id(), live);
            guard.list(begin, live, current::get().future);
        }
        guard
    }

    /// As [`FutureGuard::spawn`], of a future whose spawn others tell of, now or soon, by a number
    /// that is not known yet.
    pub fn adopt(site: &'static Callsite, task: Task) -> Self {
        let mut guard = Self::later(site);
        (guard.task, guard.spawned) = (task, true);
        if site.is_live() {
            guard.session = recorder::number();
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
            if self.session != recorder::number() {
                self.begin_if_live(&[]);
            }
            return;
        }
        self.id = id();
        if self.id == 0 {
            return;
        }
        let session = std::mem::replace(&mut self.session, recorder::number());
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
        self.session = recorder::number();
        let begin = told(self.id, self.task.id(), live, site.stack(), values);
        if is_new {
            self.list(begin, live, current::get().future);
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
    fn is_told(&self) -> bool {
        self.id != 0 && self.session == recorder::number() && recorder::is_enabled()
    }

    fn poll_begin(&mut self) -> Option<Slice> {
        if self.session != recorder::number() {
            self.begin_if_live(&[]);
        }
        if !self.is_told() {
            return None;
        }
        let task = (self.task.id() != 0).then(|| self.task.enter());
        let before = current::get();
        let is_adopted = before.is_hooked && before.future == self.id;
        let (begin, what) = if is_adopted { (0, 0) } else { begin_poll(self.id) };
        current::replace(Current { future: self.id, node: before.node, ..current::NONE });
        Some(Slice { begin, what, before, waits_at: 0, is_closed: false, _task: task })
    }

    fn end(&mut self, end: &FutureEnd) {
        if self.is_told() {
            let mut body = Body::new();
            put_number(&mut body, self.id);
            body.extend_from_slice(&end.body);
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
    let numbers = [future, current::get().future, task, site.into(), stack.into()];
    numbers.into_iter().for_each(|number| put_number(&mut body, number));
    record::append(opcode::FUTURE_SPAWN, &body)
}

/// Records what a future is; the time, or 0 if that is lost.
pub(crate) fn told(future: u64, task: u64, site: u32, stack: u32, values: &[Value<'_>]) -> u64 {
    let mut body = Body::new();
    for number in [future, task, site.into()] {
        put_number(&mut body, number);
    }
    put_values_on(&mut body, stack, values);
    record::append(opcode::FUTURE_BEGIN, &body)
}

/// A poll begins: when, and the word of it.
pub(crate) fn begin_poll(future: u64) -> (u64, u64) {
    let what = Open::Poll(FutureId(future)).to_word();
    let head = Head { code: opcode::POLL | opcode::OPEN, id: future };
    (record::begin(head, what, 0), what)
}

/// A poll that goes on; ends when dropped, also by a panic.
#[derive(Debug)]
struct Slice {
    /// When; 0 if it is not recorded, or by others.
    begin: u64,
    what: u64,
    /// What was being polled around it.
    before: Current,
    /// Where the future waits, once that is known.
    waits_at: u32,
    is_closed: bool,
    /// The thread works for the task until all of this is over.
    _task: Option<TaskGuard>,
}

impl Slice {
    fn close(&mut self) {
        if std::mem::replace(&mut self.is_closed, true) {
            return;
        }
        let inside = current::replace(self.before);
        self.waits_at = inside.waits_at;
        // Wakers that are handed out further out: who waits is the future there.
        let is_passed_on = inside.node == self.before.node || self.begin == 0;
        if is_passed_on && self.waits_at != 0 {
            current::replace(Current { waits_at: self.waits_at, ..self.before });
        }
        match (self.begin, self.waits_at) {
            (0, _) => {}
            (begin, waits_at) if waits_at != 0 && !is_passed_on => {
                record::end_poll(begin, self.what, waits_at);
            }
            (begin, _) => record::end(begin, self.what),
        }
    }
}

impl Drop for Slice {
    fn drop(&mut self) {
        self.close();
    }
}

/// A poll in the middle of which the future may panic.
struct Polling<'g> {
    guard: &'g mut FutureGuard,
    slice: Slice,
    has_returned: bool,
}

impl Polling<'_> {
    fn run<T>(
        &mut self,
        context: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let guard = &mut *self.guard;
        let Some(site) = guard.site else { return poll(context) };
        let whose = Whose { future: guard.id, site };
        let (polled, is_lost) = with_waker(whose, &mut guard.node, context, |context| {
            let polled = poll(context);
            let waits = polled.is_pending();
            (polled, waits)
        });
        self.has_returned = true;
        self.slice.close();
        if polled.is_pending() {
            guard.listed.wait(self.slice.waits_at, self.slice.begin);
        }
        if is_lost {
            note_lost(whose);
        }
        polled
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        if !self.has_returned {
            self.slice.close();
            self.guard.end(&FutureEnd::new(Outcome::Panicked));
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
        let Some(slice) = this.guard.poll_begin() else {
            return this.guard.poll_untold(context, |context| this.future.poll(context));
        };
        let mut polling = Polling { guard: this.guard, slice, has_returned: false };
        let polled = polling.run(context, |context| this.future.poll(context));
        if let Poll::Ready(output) = &polled {
            let mut end = FutureEnd::new(Outcome::Returned);
            if let (Some(report), true) = (this.report.take(), polling.guard.is_told()) {
                report(output, &mut end);
            }
            polling.guard.end(&end);
        }
        // What was done for the task ends before the task does.
        drop(polling);
        if polled.is_ready() {
            this.guard.end_task();
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
