//! Traced futures: one slice per poll, on the thread that polls; one life from the first poll to
//! the end or the drop.

use crate::callsite::Callsite;
use crate::primitive::Ordering;
use crate::primitive::global::AtomicU64;
use crate::record;
use crate::recorder;
use crate::region::{Region, put_outcome};
use crate::task::{Task, TaskGuard};
use crate::thread::Head;
use crate::value::{Body, Value, put_number, put_values_on};
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::task::{Context, Poll};
use trace_format::event::{Outcome, opcode};
use trace_format::id::{FutureId, Open};

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
    /// That task is this future.
    own_task: bool,
}

impl FutureGuard {
    /// Of a future that is not recorded.
    pub fn none() -> Self {
        Self { site: None, id: 0, session: 0, task: Task::default(), own_task: false }
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
        if self.id == 0 {
            self.id = NEXT.fetch_add(1, Ordering::Relaxed);
            if !self.own_task {
                self.task = Task::current();
            }
        }
        self.session = recorder::number();
        let stack = site.stack();
        let mut body = Body::new();
        for number in [self.id, self.task.id(), u64::from(live)] {
            put_number(&mut body, number);
        }
        put_values_on(&mut body, stack, values);
        if record::append(opcode::FUTURE_BEGIN, &body) == 0 {
            self.id = 0;
        }
    }

    /// Whether the running trace knows of it. One that it does not know was begun in an earlier
    /// trace, and its site is off now, or it was not polled since.
    fn is_told(&self) -> bool {
        self.id != 0 && self.session == recorder::number() && recorder::is_enabled()
    }

    fn poll_begin(&mut self) -> (Option<TaskGuard>, Region) {
        if self.session != recorder::number() {
            self.begin_if_live(&[]);
        }
        if !self.is_told() {
            return (None, Region::none());
        }
        let task = (self.task.id() != 0).then(|| self.task.enter());
        let what = Open::Poll(FutureId(self.id)).to_word();
        let head = Head { code: opcode::POLL | opcode::OPEN, id: self.id };
        (task, Region::new((record::begin(head, what, 0), what)))
    }

    fn end(&mut self, end: &FutureEnd) {
        if self.is_told() {
            let mut body = Body::new();
            put_number(&mut body, self.id);
            body.extend_from_slice(&end.body);
            record::append(opcode::FUTURE_END, &body);
        }
        self.id = 0;
        self.site = None;
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

impl<F: Future, R: FnOnce(&F::Output, &mut FutureEnd)> Future for Traced<F, R> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let (task, poll) = this.guard.poll_begin();
        let polled = this.future.poll(context);
        drop(poll);
        if let Poll::Ready(output) = &polled {
            let mut end = FutureEnd::new(Outcome::Returned);
            if let (Some(report), true) = (this.report.take(), this.guard.is_told()) {
                report(output, &mut end);
            }
            this.guard.end(&end);
        }
        drop(task);
        if polled.is_ready() {
            this.guard.end_task();
        }
        polled
    }
}

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
