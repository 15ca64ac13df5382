//! User tasks: pieces of work that go across threads and awaits, and which thread works for whom.
//!
//! A task is a counted handle. It begins when made, ends once: by `end`, or when the last handle
//! is dropped. Tasks that are alive are listed, so that every generation of the trace can say
//! which ones are open.

use crate::callsite::Callsite;
use crate::clock;
use crate::dump;
use crate::local;
use crate::primitive::Ordering;
use crate::primitive::global::{AtomicBool, AtomicU64};
use crate::record;
use crate::recorder;
use crate::refill::Patience;
use crate::region::Region;
use crate::thread::Head;
use crate::traceparent::{Link, Traceparent};
use crate::value::{Body, Value, put_number, put_text, put_values_on};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use trace_format::definition::Definition;
use trace_format::event::opcode;
use trace_format::id::{Open, TaskId};
use trace_format::time::Ticks;
use trace_format::value::Text;

/// The most bytes of a task's name that are kept, and of a thread's.
pub(crate) const NAME_BYTES_MAX: usize = 256;

static NEXT: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// Whom this thread works for, innermost last, each with its guard's key. A list and not only
    /// the last: guards may be dropped in any order.
    static WORKING: Cell<Working> = const { Cell::new(Vec::new()) };
    /// The key that was given last.
    static KEY: Cell<u64> = const { Cell::new(0) };
}

type Working = Vec<(u64, Option<Arc<Inner>>)>;

/// A piece of work of the user's: a request, a job, a frame.
///
/// Cheap to clone and to send; all clones are the same task. Made while no trace runs, it does
/// nothing.
#[derive(Clone, Debug, Default)]
pub struct Task {
    inner: Option<Arc<Inner>>,
}

#[derive(Debug)]
struct Inner {
    id: u64,
    /// In which process of a row of forks it began: what the parent began is not the child's.
    forks: u32,
    ended: AtomicBool,
    /// The distributed trace it belongs to, once it was asked for one.
    link: OnceLock<Link>,
    /// The span of another task that it is part of, if that had one.
    part_of: Option<Traceparent>,
}

impl Task {
    /// Begins a task. Its parent is the task this thread works for, if any.
    #[must_use = "a task ends when its last handle is dropped"]
    pub fn new(name: &str) -> Self {
        if !recorder::is_enabled() {
            return Self::default();
        }
        Self::begin(&Self::current(), name)
    }

    /// Begins a task that is part of this one.
    #[must_use = "a task ends when its last handle is dropped"]
    pub fn subtask(&self, name: &str) -> Self {
        if !recorder::is_enabled() {
            return Self::default();
        }
        Self::begin(self, name)
    }

    /// The task this thread works for: the one entered last. One that does nothing if there is
    /// none.
    #[must_use]
    pub fn current() -> Self {
        let inner = with_working(|working| working.last().and_then(|(_, inner)| inner.clone()));
        Self { inner: inner.flatten() }
    }

    /// From now until the guard is dropped, this thread works for the task.
    pub fn enter(&self) -> TaskGuard {
        self.enter_with(Patience::Waits)
    }

    /// As [`Task::enter`], and nobody has written that: its begin and end wait for nothing.
    pub(crate) fn enter_by_itself(&self) -> TaskGuard {
        self.enter_with(Patience::Never)
    }

    fn enter_with(&self, patience: Patience) -> TaskGuard {
        let run = self.known().map_or_else(Region::none, |inner| {
            let what = Open::Task(TaskId(inner.id)).to_word();
            let head = Head { code: opcode::TASK_RUN | opcode::OPEN, id: inner.id };
            Region::new((record::begin(head, what, 0, patience), what))
        });
        let key = KEY.get() + 1;
        KEY.set(key);
        with_working(|working| working.push((key, self.inner.clone())));
        TaskGuard { run, key, patience }
    }

    /// Ends it, for all its handles. A second end does nothing.
    pub fn end(&self) {
        if let Some(inner) = &self.inner {
            inner.end();
        }
    }

    /// Its id in the trace; 0 for one that does nothing.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.known().map_or(0, |inner| inner.id)
    }

    /// Whether it was never begun.
    #[inline(always)]
    pub(crate) fn is_nothing(&self) -> bool {
        self.inner.is_none()
    }

    /// What was begun, and in this process.
    fn known(&self) -> Option<&Inner> {
        self.inner.as_deref().filter(|inner| inner.forks == recorder::forks())
    }

    fn begin(parent_task: &Self, name: &str) -> Self {
        let parent = parent_task.id();
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = Text::cut(name.as_bytes(), NAME_BYTES_MAX);
        let mut body = Body::new();
        put_number(&mut body, id);
        put_number(&mut body, parent);
        put_text(&mut body, name);
        let begin = record::append(opcode::TASK_BEGIN, &body);
        Self::alive(id, parent_task, name.bytes, begin)
    }

    /// Begins a task that is named by its call site.
    pub(crate) fn begin_site(site: &'static Callsite, values: &[Value<'_>]) -> Self {
        let live = site.live();
        if live == 0 {
            return Self::default();
        }
        let (id, parent_task) = (NEXT.fetch_add(1, Ordering::Relaxed), Self::current());
        let parent = parent_task.id();
        let stack = site.stack();
        let mut body = Body::new();
        for number in [id, parent, u64::from(live)] {
            put_number(&mut body, number);
        }
        put_values_on(&mut body, stack, values);
        let begin = record::append(opcode::TASK_BEGIN_SITE, &body);
        let name = Text::cut(site.name().as_bytes(), NAME_BYTES_MAX);
        Self::alive(id, &parent_task, name.bytes, begin)
    }

    /// A handle to what has just begun, or to nothing if that was lost.
    fn alive(id: u64, parent_task: &Self, name: &[u8], begin: u64) -> Self {
        if begin == 0 {
            return Self::default();
        }
        live::add(id, live::Live { parent: parent_task.id(), name: name.into(), begin });
        let (forks, ended, link) = (recorder::forks(), AtomicBool::new(false), OnceLock::new());
        // What it is part of may belong to a distributed trace: so does this, then.
        let part_of = parent_task.known().and_then(|parent| parent.link.get());
        let part_of = part_of.map(|link| link.own);
        Self { inner: Some(Arc::new(Inner { id, forks, ended, link, part_of })) }
    }

    /// The distributed trace it belongs to, from now on if from no earlier time.
    pub(crate) fn link(&self) -> Option<Link> {
        let inner = self.known()?;
        if let Some(link) = inner.link.get() {
            return Some(*link);
        }
        let link = inner.part_of.map_or_else(Link::new, Link::below);
        self.link_to(link);
        inner.link.get().copied()
    }

    /// Says which that is. The first says it for good.
    pub(crate) fn link_to(&self, link: Link) {
        if let Some(inner) = self.known()
            && inner.link.set(link).is_ok()
        {
            link.record(inner.id);
        }
    }
}

impl Inner {
    fn end(&self) {
        if self.forks != recorder::forks() || self.ended.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Some(Some(live)) = live::remove(self.id) {
            dump::task_ended(&live.name, live.begin);
        }
        if recorder::is_enabled() {
            let mut body = Body::new();
            put_number(&mut body, self.id);
            record::append(opcode::TASK_END, &body);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.end();
    }
}

/// `None` once the thread-local is gone, at the end of a thread: it works for nobody then.
fn with_working<T>(act: impl FnOnce(&mut Working) -> T) -> Option<T> {
    WORKING
        .try_with(|cell| {
            let mut working = cell.take();
            let result = act(&mut working);
            cell.set(working);
            result
        })
        .ok()
}

/// This thread works for a task until this is dropped.
#[derive(Debug)]
#[must_use = "the thread works for the task only while this lives"]
pub struct TaskGuard {
    run: Region,
    /// In `WORKING`; 0 for none.
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
        // What is taken out is dropped outside: with the last handle ends the task.
        let _done = with_working(|working| {
            let at = working.iter().rposition(|each| each.0 == self.key);
            at.map(|at| working.remove(at))
        });
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

/// Hands a definition of every task that is open to `take`.
pub(crate) fn for_each_live(mut take: impl FnMut(&Definition<'_>)) {
    live::for_each(|id, live| {
        take(&Definition::TaskState {
            id: TaskId(id),
            parent: TaskId(live.parent),
            name: &live.name,
            begin: Ticks(live.begin),
        });
    });
}

/// The lists of tasks that are open.
mod live {
    use super::{BTreeMap, Mutex, clock, local, recorder};

    /// So many lists, so that threads seldom meet.
    const SHARDS: usize = 16;

    /// A forked child has lists of its own, for those of its parent may be locked for ever. So many
    /// forks deep there are some; further down tasks are recorded and not listed.
    const FORKS: usize = 4;

    /// The most tasks a list holds. Tasks beyond are recorded as ever, but a reader that starts in
    /// the middle does not know their names.
    const TASKS_MAX: usize = 4096;

    type Tasks = BTreeMap<u64, Live>;
    type Shards = [Mutex<Tasks>; SHARDS];

    static TASKS: [Shards; FORKS] = [const { [const { Mutex::new(Tasks::new()) }; SHARDS] }; FORKS];

    #[derive(Clone, Debug)]
    pub(super) struct Live {
        pub(super) parent: u64,
        pub(super) name: Box<[u8]>,
        pub(super) begin: u64,
    }

    /// The list of `id`, if there is one.
    fn with<T>(id: u64, act: impl FnOnce(&mut Tasks) -> T) -> Option<T> {
        let shards = TASKS.get(recorder::forks() as usize)?;
        // What the list allocates may be recorded, and that may wait for memory: not with the lock,
        // which the collector wants before it gives any back.
        let _quiet = local::quiet();
        let mut tasks = shards[(id % SHARDS as u64) as usize].lock().ok()?;
        Some(act(&mut tasks))
    }

    pub(super) fn add(id: u64, live: Live) {
        with(id, |tasks| {
            if tasks.len() < TASKS_MAX {
                tasks.insert(id, live);
            }
        });
    }

    pub(super) fn remove(id: u64) -> Option<Option<Live>> {
        with(id, |tasks| tasks.remove(&id))
    }

    pub(super) fn for_each(mut act: impl FnMut(u64, &Live)) {
        let now = clock::ticks();
        for shard in 0..SHARDS as u64 {
            let tasks = with(shard, |tasks| tasks.clone()).unwrap_or_default();
            tasks.iter().filter(|(_, live)| live.begin <= now).for_each(|(&id, l)| act(id, l));
        }
    }
}
