//! User tasks: pieces of work that go across threads and awaits, and for which of them a thread
//! works.
//!
//! A task is a counted handle. It begins when it is made, and ends once: by `end`, or when the last
//! handle is dropped. Nothing here locks or allocates, as tasks may begin and end in signal
//! handlers.
//!
//! Elsewhere: the table of open tasks (`open_tasks`); the tasks that a thread works for
//! (`working`).

use crate::annotate::open_tasks::{self, NewTask, TaskRef, Vacant};
use crate::annotate::region::Region;
use crate::annotate::traceparent::TraceLink;
use crate::base::primitive::Ordering;
use crate::base::primitive::global::AtomicU64;
use crate::callsite::Callsite;
use crate::session::process;
use crate::start::flight::dump;
use crate::sys::clock;
use crate::thread::encoded::EventHead;
use crate::thread::naming::NAME_BYTES_MAX;
use crate::thread::record;
use crate::thread::refill::Patience;
use crate::thread::value::{EventBody, Value, put_number, put_text, put_values_on};
use crate::thread::working;
use trace_format::definition::Definition;
use trace_format::event::opcode;
use trace_format::id::{Open, TaskId};
use trace_format::time::Ticks;
use trace_format::value::Text;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A piece of work of the user's: a request, a job, a frame.
///
/// Cheap to clone and to send; all clones are the same task. A task that is made while no trace
/// runs does nothing. Nor does one that is made while a million others are open; it is counted as a
/// dropped event.
#[derive(Clone, Debug, Default)]
pub struct Task {
    inner: Option<TaskRef<'static>>,
}

impl Task {
    /// Begins a task. Its parent is the task that this thread works for, if any.
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

    /// The task that this thread works for: the one entered last. If there is none, a task that
    /// does nothing.
    #[must_use]
    pub fn current() -> Self {
        Self { inner: working::last() }
    }

    /// From now until the guard is dropped, this thread works for the task. If more than 128 are
    /// entered at once, [`Task::current`] knows the outermost 128.
    pub fn enter(&self) -> TaskGuard {
        self.enter_with(Patience::Waits)
    }

    /// As [`Task::enter`], for a begin that the user did not write: its begin and end never wait
    /// for memory.
    pub(crate) fn enter_by_itself(&self) -> TaskGuard {
        self.enter_with(Patience::Never)
    }

    fn enter_with(&self, patience: Patience) -> TaskGuard {
        let run = self.known().map_or_else(Region::none, |inner| {
            let id = inner.id();
            let what = Open::Task(TaskId(id)).to_word();
            let head = EventHead { code: opcode::TASK_RUN | opcode::OPEN, id };
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

    /// Its id in the trace; 0 for a task that does nothing.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.known().map_or(0, TaskRef::id)
    }

    /// Whether it is a task that does nothing.
    #[inline(always)]
    pub(crate) fn is_nothing(&self) -> bool {
        self.inner.is_none()
    }

    /// Its reference, if it was begun in this process.
    fn known(&self) -> Option<&TaskRef<'static>> {
        self.inner.as_ref().filter(|inner| inner.forks() == process::forks())
    }

    fn begin(parent_task: &Self, name: &str) -> Self {
        let Some(vacant) = take_place() else { return Self::default() };
        let parent = parent_task.id();
        let name = Text::cut(name.as_bytes(), NAME_BYTES_MAX);
        let inner = add_open(vacant, parent_task, name.bytes);
        let mut body = EventBody::new();
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
        let Some(vacant) = take_place() else { return Self::default() };
        let parent_task = Self::current();
        let name = Text::cut(site.name().as_bytes(), NAME_BYTES_MAX);
        let inner = add_open(vacant, &parent_task, name.bytes);
        let stack = site.stack();
        let mut body = EventBody::new();
        for number in [inner.id(), parent_task.id(), u64::from(live)] {
            put_number(&mut body, number);
        }
        put_values_on(&mut body, stack, values);
        Self::begun(inner, record::append_with_stack(opcode::TASK_BEGIN_SITE, &body, stack))
    }

    /// A handle to a task that began at this time; if `begin` is 0, its begin was lost, and the
    /// handle does nothing.
    fn begun(inner: TaskRef<'static>, begin: u64) -> Self {
        if begin == 0 {
            // The trace does not know it, so its end is not recorded either.
            inner.set_ended();
            return Self::default();
        }
        inner.set_begin(begin);
        Self { inner: Some(inner) }
    }

    /// Its link to a distributed trace. Makes one now if there is none yet.
    pub(crate) fn link(&self) -> Option<TraceLink> {
        let inner = self.known()?;
        if let Some(link) = inner.link() {
            return Some(link);
        }
        let link = inner.part_of().map_or_else(TraceLink::new, |link| TraceLink::below(link.own));
        self.link_to(link);
        // If another thread is setting another link just now, there is none yet.
        inner.link()
    }

    /// Sets its link to a distributed trace, unless it has one already.
    pub(crate) fn link_to(&self, link: TraceLink) {
        if let Some(inner) = self.known()
            && inner.set_link(link)
        {
            link.record(inner.id());
        }
    }
}

/// A place for a task that is about to begin; if there is none, a lost event is counted.
fn take_place() -> Option<Vacant<'static>> {
    let vacant = open_tasks::take();
    if vacant.is_none() {
        process::lose_unattached(1);
    }
    vacant
}

/// Puts a task that is about to begin into the table of open tasks. This is before its begin is
/// recorded: a trace, or a part of one, that begins in between does not have that event, but lists
/// the task.
fn add_open(vacant: Vacant<'static>, parent_task: &Task, name: &[u8]) -> TaskRef<'static> {
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let (parent, forks) = (parent_task.id(), process::forks());
    // If the parent belongs to a distributed trace, so does this task.
    let part_of = parent_task.known().and_then(TaskRef::link);
    vacant.open(&NewTask { id, parent, name, forks }, part_of)
}

/// Ends a task, if it has not ended yet: by a handle's `end`, or with the last handle.
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
        let mut body = EventBody::new();
        put_number(&mut body, task.id());
        record::append(opcode::TASK_END, &body);
    }
}

/// This thread works for a task until this is dropped.
#[derive(Debug)]
#[must_use = "the thread works for the task only while this lives"]
pub struct TaskGuard {
    run: Region,
    /// Its key in `working`; 0 for none.
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
        // If this is the last handle, the task ends.
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
    /// A call that is not recorded.
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

/// As [`enter_task`], with arguments. To be called if the site is live.
#[inline(never)]
pub fn enter_task_args(site: &'static Callsite, values: &[Value<'_>]) -> TaskScope {
    let task = Task::begin_site(site, values);
    TaskScope { guard: task.enter(), task }
}

/// Calls `take` with a definition of each open task. This includes tasks that are just beginning:
/// their begin may be an event of the previous trace; if it is in this one, the two agree.
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
    use crate::alone::{WriterMemory, is_alone};
    use crate::start::trace;

    #[test]
    fn a_trace_that_begins_while_a_task_begins_lists_it() {
        if !is_alone(module_path!(), "a_trace_that_begins_while_a_task_begins_lists_it") {
            return;
        }
        // Its begin is recorded before the trace begins, so the trace does not have it.
        let inner = add_open(take_place().expect("there is memory"), &Task::default(), b"just now");
        let memory = WriterMemory::default();
        let trace = trace::start(memory.clone()).expect("none is running");
        let task = Task::begun(inner, clock::ticks());
        drop(task.enter());
        drop(task);
        let lost = Task::begun(
            add_open(take_place().expect("there is"), &Task::default(), b"it never was"),
            0,
        );
        assert!(lost.is_nothing());
        open_tasks::for_each(|seen| panic!("{seen:?} has ended"));
        trace.stop().expect("memory takes it");
        let bytes = memory.take();
        let holds = |name: &[u8]| bytes.windows(name.len()).any(|it| it == name);
        assert!(holds(b"just now"), "the trace has a run of what it does not know");
        assert!(!holds(b"it never was"), "what never was");
    }
}
