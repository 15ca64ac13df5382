//! User tasks: pieces of work that go across threads and awaits, and which thread works for whom.
//!
//! A task is a counted handle. It begins when made, ends once: by `end`, or when the last handle
//! is dropped. Nothing here locks or allocates: tasks may begin and end in signal handlers.
//!
//! Elsewhere: what is kept of a task while it is open (`open_tasks`); whom a thread works for
//! (`working`).

use crate::annotate::open_tasks::{self, Opened, TaskRef, Vacant};
use crate::annotate::region::Region;
use crate::annotate::traceparent::Link;
use crate::base::primitive::Ordering;
use crate::base::primitive::global::AtomicU64;
use crate::callsite::Callsite;
use crate::session::process;
use crate::start::flight::dump;
use crate::sys::clock;
use crate::thread::encoded::Head;
use crate::thread::naming::NAME_BYTES_MAX;
use crate::thread::record;
use crate::thread::refill::Patience;
use crate::thread::value::{Body, Value, put_number, put_text, put_values_on};
use crate::thread::working;
use trace_format::definition::Definition;
use trace_format::event::opcode;
use trace_format::id::{Open, TaskId};
use trace_format::time::Ticks;
use trace_format::value::Text;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A piece of work of the user's: a request, a job, a frame.
///
/// Cheap to clone and to send; all clones are the same task. Made while no trace runs, it does
/// nothing. Nor does one that is made while a million others are open; it is counted as dropped.
#[derive(Clone, Debug, Default)]
pub struct Task {
    inner: Option<TaskRef<'static>>,
}

impl Task {
    /// Begins a task. Its parent is the task this thread works for, if any.
    #[must_use = "a task ends when its last handle is dropped"]
    pub fn new(name: &str) -> Self {
        if !process::is_enabled() {
            return Self::default();
        }
        Self::begin(&Self::current(), name)
    }

    /// Begins a task that is part of this one.
    #[must_use = "a task ends when its last handle is dropped"]
    pub fn subtask(&self, name: &str) -> Self {
        if !process::is_enabled() {
            return Self::default();
        }
        Self::begin(self, name)
    }

    /// The task this thread works for: the one entered last. One that does nothing if there is
    /// none.
    #[must_use]
    pub fn current() -> Self {
        Self { inner: working::last() }
    }

    /// From now until the guard is dropped, this thread works for the task. Of more than 128 that
    /// are entered at once, [`Task::current`] knows the outermost 128.
    pub fn enter(&self) -> TaskGuard {
        self.enter_with(Patience::Waits)
    }

    /// As [`Task::enter`], and nobody has written that: its begin and end wait for nothing.
    pub(crate) fn enter_by_itself(&self) -> TaskGuard {
        self.enter_with(Patience::Never)
    }

    fn enter_with(&self, patience: Patience) -> TaskGuard {
        let run = self.known().map_or_else(Region::none, |inner| {
            let id = inner.id();
            let what = Open::Task(TaskId(id)).to_word();
            let head = Head { code: opcode::TASK_RUN | opcode::OPEN, id };
            Region::new((record::begin(head, what, 0, patience), what))
        });
        TaskGuard { run, key: working::push(self.inner.clone()), patience }
    }

    /// Ends it, for all its handles. A second end does nothing.
    pub fn end(&self) {
        if let Some(inner) = &self.inner {
            end(inner);
        }
    }

    /// Its id in the trace; 0 for one that does nothing.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.known().map_or(0, TaskRef::id)
    }

    /// Whether it was never begun.
    #[inline(always)]
    pub(crate) fn is_nothing(&self) -> bool {
        self.inner.is_none()
    }

    /// What was begun, and in this process.
    fn known(&self) -> Option<&TaskRef<'static>> {
        self.inner.as_ref().filter(|inner| inner.forks() == process::forks())
    }

    fn begin(parent_task: &Self, name: &str) -> Self {
        let Some(vacant) = place() else { return Self::default() };
        let parent = parent_task.id();
        let name = Text::cut(name.as_bytes(), NAME_BYTES_MAX);
        let inner = listed(vacant, parent_task, name.bytes);
        let mut body = Body::new();
        put_number(&mut body, inner.id());
        put_number(&mut body, parent);
        put_text(&mut body, name);
        Self::begun(inner, record::append(opcode::TASK_BEGIN, &body))
    }

    /// Begins a task that is named by its call site.
    pub(crate) fn begin_site(site: &'static Callsite, values: &[Value<'_>]) -> Self {
        let live = site.live();
        if live == 0 {
            return Self::default();
        }
        let Some(vacant) = place() else { return Self::default() };
        let parent_task = Self::current();
        let name = Text::cut(site.name().as_bytes(), NAME_BYTES_MAX);
        let inner = listed(vacant, &parent_task, name.bytes);
        let stack = site.stack();
        let mut body = Body::new();
        for number in [inner.id(), parent_task.id(), u64::from(live)] {
            put_number(&mut body, number);
        }
        put_values_on(&mut body, stack, values);
        Self::begun(inner, record::append_with_stack(opcode::TASK_BEGIN_SITE, &body, stack))
    }

    /// A handle to what began at this time, or to nothing if that was lost.
    fn begun(inner: TaskRef<'static>, begin: u64) -> Self {
        if begin == 0 {
            // It has never been, so nobody is told that it ends.
            inner.set_ended();
            return Self::default();
        }
        inner.set_begin(begin);
        Self { inner: Some(inner) }
    }

    /// The distributed trace it belongs to, from now on if from no earlier time.
    pub(crate) fn link(&self) -> Option<Link> {
        let inner = self.known()?;
        if let Some(link) = inner.link() {
            return Some(link);
        }
        let link = inner.part_of().map_or_else(Link::new, |link| Link::below(link.own));
        self.link_to(link);
        // If another thread is just telling another one, there is none yet.
        inner.link()
    }

    /// Says which that is. The first says it for good.
    pub(crate) fn link_to(&self, link: Link) {
        if let Some(inner) = self.known()
            && inner.set_link(link)
        {
            link.record(inner.id());
        }
    }
}

/// A place for a task that is to begin.
fn place() -> Option<Vacant<'static>> {
    let vacant = open_tasks::take();
    if vacant.is_none() {
        process::lose_unattached(1);
    }
    vacant
}

/// A task that is just beginning. It is in its place before its begin is recorded: another trace,
/// or another part of one, that begins in between lists it, and does not have that event.
fn listed(vacant: Vacant<'static>, parent_task: &Task, name: &[u8]) -> TaskRef<'static> {
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let (parent, forks) = (parent_task.id(), process::forks());
    // What it is part of may belong to a distributed trace: so does this, then.
    let part_of = parent_task.known().and_then(TaskRef::link);
    vacant.open(&Opened { id, parent, name, forks }, part_of)
}

/// A task ends, if it has not: by its handle, or with the last one.
pub(crate) fn end(task: &TaskRef<'_>) {
    if task.forks() != process::forks() {
        return;
    }
    let seen = task.seen();
    if !task.set_ended() {
        return;
    }
    if let Some(seen) = seen {
        dump::task_ended(&seen);
    }
    if process::is_enabled() {
        let mut body = Body::new();
        put_number(&mut body, task.id());
        record::append(opcode::TASK_END, &body);
    }
}

/// This thread works for a task until this is dropped.
#[derive(Debug)]
#[must_use = "the thread works for the task only while this lives"]
pub struct TaskGuard {
    run: Region,
    /// Of `working`; 0 for none.
    key: u64,
    patience: Patience,
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        match self.patience {
            Patience::Waits => self.run = Region::none(),
            Patience::Never => self.run.end_by_itself(),
        }
        if self.key == 0 {
            return;
        }
        // With the last handle ends the task.
        drop(working::remove(self.key));
    }
}

/// A call that is a task of its own: `#[traced(task)]`.
#[derive(Debug)]
#[must_use = "the task ends when this is dropped"]
pub struct TaskScope {
    guard: TaskGuard,
    task: Task,
}

impl TaskScope {
    /// One that is not recorded.
    pub const fn none() -> Self {
        let guard = TaskGuard { run: Region::none(), key: 0, patience: Patience::Waits };
        Self { guard, task: Task { inner: None } }
    }

    /// Ends the call with the value it returns.
    pub fn returned(&mut self, value: Value<'_>) {
        self.guard.run.returned(value);
    }

    /// Ends the call with the error it returns.
    pub fn failed(&mut self, error: Value<'_>) {
        self.guard.run.failed(error);
    }
}

impl Drop for TaskScope {
    fn drop(&mut self) {
        if self.task.inner.is_some() {
            self.guard = TaskGuard { run: Region::none(), key: 0, patience: Patience::Waits };
            self.task.end();
        }
    }
}

/// Begins a task that is this call.
#[inline(always)]
pub fn enter_task(site: &'static Callsite) -> TaskScope {
    if site.is_live() { enter_task_args(site, &[]) } else { TaskScope::none() }
}

/// As [`enter_task`], with arguments. Call it if the site is live.
#[inline(never)]
pub fn enter_task_args(site: &'static Callsite, values: &[Value<'_>]) -> TaskScope {
    let task = Task::begin_site(site, values);
    TaskScope { guard: task.enter(), task }
}

/// Hands a definition of every task that is open to `take`, also of those that just begin: events
/// that say so may be in another trace, and hold if they are in this one.
pub(crate) fn for_each_live(mut take: impl FnMut(&Definition<'_>)) {
    let (now, forks) = (clock::ticks(), process::forks());
    open_tasks::for_each(|seen| {
        if seen.forks != forks {
            return;
        }
        let begin = if seen.begin == 0 { now } else { seen.begin };
        seen.with_name(|name| {
            take(&Definition::TaskState {
                id: TaskId(seen.id),
                parent: TaskId(seen.parent),
                name,
                begin: Ticks(begin),
            });
        });
    });
}

#[cfg(all(test, not(exectrace_loom)))]
mod tests {
    use super::*;
    use crate::alone::{Memory, is_alone};
    use crate::start::recorder;

    #[test]
    fn a_trace_that_begins_while_a_task_begins_lists_it() {
        if !is_alone(module_path!(), "a_trace_that_begins_while_a_task_begins_lists_it") {
            return;
        }
        // Its begin is recorded before the trace begins, so it is not in that.
        let inner = listed(place().expect("there is memory"), &Task::default(), b"just now");
        let memory = Memory::default();
        let trace = recorder::start(memory.clone()).expect("none is running");
        let task = Task::begun(inner, clock::ticks());
        drop(task.enter());
        drop(task);
        let lost =
            Task::begun(listed(place().expect("there is"), &Task::default(), b"it never was"), 0);
        assert!(lost.is_nothing());
        open_tasks::for_each(|seen| panic!("{seen:?} has ended"));
        trace.stop().expect("memory takes it");
        let bytes = memory.take();
        let holds = |name: &[u8]| bytes.windows(name.len()).any(|it| it == name);
        assert!(holds(b"just now"), "the trace has a run of what it does not know");
        assert!(!holds(b"it never was"), "what never was");
    }
}
