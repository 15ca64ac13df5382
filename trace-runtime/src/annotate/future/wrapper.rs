//! The life of a wrapped future in the trace, from its begin to its end or drop.
//!
//! Elsewhere: the wrapper itself (`traced`), its polls (`polling`).

use crate::annotate::future::current;
use crate::annotate::future::registry::{LiveFuture, Registration};
use crate::annotate::future::traced::Traced;
use crate::annotate::future::waker::WakerNode;
use crate::annotate::region::put_outcome;
use crate::annotate::task::Task;
use crate::base::primitive::Ordering;
use crate::base::primitive::global::AtomicU64;
use crate::callsite::Callsite;
use crate::session::process;
use crate::stack;
use crate::sys::clock;
use crate::thread::record;
use crate::thread::value::{EventBody, Value, put_number, put_values_on};
use std::sync::Arc;
use std::task::{Context, Poll};
use trace_format::event::{Outcome, opcode};

/// The next number of a future, before it is doubled: futures of an executor's hooks have odd
/// numbers (`executor`).
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A future's life in the trace. It ends when this is dropped, together with the future.
#[derive(Debug)]
#[must_use = "it belongs into the future it traces"]
pub struct FutureGuard {
    pub(super) site: Option<&'static Callsite>,
    /// 0 until it has begun.
    pub(super) id: u64,
    /// The trace that knows it: the one in which it began, or was last polled.
    session: u64,
    /// The task that it works for.
    pub(super) task: Task,
    /// The node of its wakers, once one was cloned.
    pub(super) node: Option<Arc<WakerNode>>,
    pub(super) registration: Registration,
    /// Whether that task is this future itself.
    own_task: bool,
    /// Whether it was spawned, to be polled by others.
    pub(super) spawned: bool,
}

impl FutureGuard {
    /// For a future that is not recorded.
    pub fn none() -> Self {
        Self {
            site: None,
            id: 0,
            session: 0,
            task: Task::default(),
            node: None,
            registration: Registration::nowhere(),
            own_task: false,
            spawned: false,
        }
    }

    /// Begins now, if the site is live; otherwise with the first poll at which the site is live.
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

    /// For a future that is about to be spawned, and works for `task`: it begins now, if the site
    /// is live.
    pub fn spawn(site: &'static Callsite, task: Task) -> Self {
        let mut guard = Self::later(site);
        (guard.task, guard.spawned) = (task, true);
        let live = site.live();
        if live != 0 {
            guard.id = next_id();
            guard.session = process::number();
            let begin = record_spawn(guard.id, guard.task.id(), live);
            guard.list(begin, live, current::future());
        }
        guard
    }

    /// As [`FutureGuard::spawn`], for a future whose spawn an executor's hooks record, under a
    /// number that is not known yet.
    pub fn adopt(site: &'static Callsite, task: Task) -> Self {
        let mut guard = Self::later(site);
        (guard.task, guard.spawned) = (task, true);
        if site.is_live() {
            guard.session = process::number();
        }
        guard
    }

    /// Gives it its number, if it has none yet, and records it if the trace does not know it. To be
    /// called before each poll, and before the drop.
    ///
    /// - `id`: returns the number, or 0 if it is not known yet. Called only if it is needed.
    /// - `parent`: the future that spawned it; 0 for none.
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
        let is_known = session == self.session;
        let begin = if is_known {
            clock::ticks()
        } else {
            record_begin(self.id, self.task.id(), live, site.stack(), &[])
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

    /// Records its begin, or records it again in a trace that has begun since.
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
        let begin = record_begin(self.id, self.task.id(), live, site.stack(), values);
        if is_new {
            self.list(begin, live, current::future());
        }
    }

    /// Puts it into the table of live futures; if its begin was lost, it gets no number.
    fn list(&mut self, begin: u64, site: u32, parent: u64) {
        if begin == 0 {
            self.id = 0;
            return;
        }
        let future = self.id;
        let (task, spawned) = (self.task.id(), self.spawned);
        let life =
            LiveFuture { future, parent, task, site, spawned, begin, ..LiveFuture::default() };
        self.registration = Registration::new(&life);
    }

    /// Whether the running trace knows it. If not, it was begun in an earlier trace, and its site
    /// is off now, or it was not polled since.
    #[inline(always)]
    pub(super) fn is_known(&self) -> bool {
        self.id != 0 && self.session == process::number() && process::is_enabled()
    }

    /// Whether a poll that begins now is recorded. Records it in a trace that has begun since.
    #[inline(always)]
    pub(super) fn is_recorded(&mut self) -> bool {
        if self.session != process::number() {
            self.begin_if_live(&[]);
        }
        self.is_known()
    }

    pub(super) fn end(&mut self, end: &FutureEnd) {
        if self.is_known() {
            let mut body = EventBody::new();
            put_number(&mut body, self.id);
            body.extend_with_outcome(&end.body);
            record::append(opcode::FUTURE_END, &body);
            current::note_end(self.id);
        }
        if let Some(node) = self.node.take() {
            node.end();
        }
        self.registration = Registration::nowhere();
        self.id = 0;
        self.site = None;
    }

    /// A poll that is not recorded. The future may still end by it.
    pub(super) fn poll_unrecorded<T>(
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

    /// Ends the task that is this future, after all that was done for it.
    pub(super) fn end_task(&self) {
        if self.own_task {
            self.task.end();
        }
    }
}

impl Drop for FutureGuard {
    fn drop(&mut self) {
        if self.id != 0 {
            if self.session != process::number() {
                // A trace that has begun since may list it as live, and would never learn of its
                // end.
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

/// Records that a future is spawned. Returns the time; 0 if the event was lost.
pub(crate) fn record_spawn(future: u64, task: u64, site: u32) -> u64 {
    let stack = stack::for_async();
    let mut body = EventBody::new();
    let numbers = [future, current::future(), task, site.into(), stack.into()];
    numbers.into_iter().for_each(|number| put_number(&mut body, number));
    record::append_with_stack(opcode::FUTURE_SPAWN, &body, stack)
}

/// Records what a future is. Returns the time; 0 if the event was lost.
pub(crate) fn record_begin(
    future: u64,
    task: u64,
    site: u32,
    stack: u32,
    values: &[Value<'_>],
) -> u64 {
    let mut body = EventBody::new();
    for number in [future, task, site.into()] {
        put_number(&mut body, number);
    }
    put_values_on(&mut body, stack, values);
    record::append_with_stack(opcode::FUTURE_BEGIN, &body, stack)
}

/// How a future ended, and with which value.
#[derive(Debug)]
pub struct FutureEnd {
    /// Outcome and values, encoded.
    body: EventBody,
}

impl FutureEnd {
    pub(super) fn new(outcome: Outcome) -> Self {
        let mut body = EventBody::new();
        put_outcome(&mut body, outcome, &[]);
        Self { body }
    }

    /// The future returned this value.
    pub fn returned(&mut self, value: Value<'_>) {
        self.set(Outcome::Returned, value);
    }

    /// The future returned this error.
    pub fn failed(&mut self, error: Value<'_>) {
        self.set(Outcome::Failed, error);
    }

    fn set(&mut self, outcome: Outcome, value: Value<'_>) {
        self.body.clear();
        put_outcome(&mut self.body, outcome, &[value]);
    }
}

/// A report that ignores the future's output.
pub type Ignore<T> = fn(&T, &mut FutureEnd);

fn ignore<T>(_: &T, _: &mut FutureEnd) {}
