//! What tokio's hooks report of every task of an instrumented runtime: its spawn, its polls, its
//! end.
//!
//! A task that was spawned through this crate is *adopted*: its future has tokio's number, and
//! records what tokio does not report. Of all other tasks only number and place are known. Each
//! thread that polls such a task defines it once per generation, unless its spawn was recorded in
//! that generation.

use super::name;
use super::spawn::{self, Spawn};
use super::watch::{self, Watched};
use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::runtime::{Builder, TaskMeta};
use trace_runtime::__private::SitePlace;
use trace_runtime::executor::{self, HookedPoll, future_id};
use trace_runtime::{Callsite, CallsiteKind, is_enabled};

/// Number of slots for the numbers of adopted tasks; a number's slot is its value modulo this. If
/// two tasks that live at once share a slot, one event too many is recorded.
const ADOPTED: usize = 4096;

/// Number of slots in which a thread remembers the tasks that it has defined.
const TOLD: usize = 256;

/// True once a runtime has hooks that report its tasks.
static ARE_THERE: AtomicBool = AtomicBool::new(false);

static ADOPTED_IDS: [AtomicU64; ADOPTED] = [const { AtomicU64::new(0) }; ADOPTED];

/// The generation that [`FIRST`] belongs to.
static FIRST_IN: AtomicU64 = AtomicU64::new(0);

/// A task whose spawn was recorded in that generation; the spawns of all later tasks were, too.
static FIRST: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The task that this thread is about to spawn.
    static ANNOUNCED: Cell<Option<Spawn>> = const { Cell::new(None) };
    /// The task of the innermost recorded poll that goes on; 0 for none. It is a word of its own,
    /// without a destructor: while no trace runs, the end of a poll reads nothing else.
    static POLLED: Cell<u64> = const { Cell::new(0) };
    /// Polls that go on, each with the task that was polled around it.
    static POLLS: RefCell<Vec<(u64, HookedPoll)>> = const { RefCell::new(Vec::new()) };
    /// The tasks that this thread has defined: generation and number.
    static TOLD_HERE: [Cell<(u64, u64)>; TOLD] = const { [const { Cell::new((0, 0)) }; TOLD] };
}

/// Whether runtimes of this process may report their tasks.
pub(super) fn are_there() -> bool {
    ARE_THERE.load(Ordering::Relaxed)
}

/// Sets a builder's hooks.
pub(super) fn instrument(builder: &mut Builder, watched: &Arc<Watched>) {
    ARE_THERE.store(true, Ordering::Relaxed);
    let watched = Arc::clone(watched);
    builder.on_task_spawn(spawned);
    // While no trace runs, the two hooks around each poll do only what stands here.
    builder.on_before_task_poll(move |task| {
        if is_enabled() {
            begin_poll(&watched, task);
        }
    });
    builder.on_after_task_poll(|task| {
        if POLLED.get() == spawn::number(&task.id()) {
            end_poll();
        }
    });
    builder.on_task_terminate(ended);
    #[cfg(feature = "schedule-latency")]
    builder.track_task_schedule_latency();
}

/// Announces the next spawn on this thread, for the hook to take.
pub(super) fn announce(spawn: Spawn) {
    // A spawn while the thread's locals are being destroyed is not announced.
    _ = ANNOUNCED.try_with(|announced| announced.set(Some(spawn)));
}

/// The announced spawn, if no hook has taken it.
pub(super) fn take_back() -> Option<Spawn> {
    ANNOUNCED.try_with(Cell::take).ok().flatten()
}

/// Marks the task of this number as adopted.
pub(super) fn note_adopted(id: u64) {
    ADOPTED_IDS[id as usize % ADOPTED].store(id, Ordering::Relaxed);
}

fn is_adopted(id: u64) -> bool {
    ADOPTED_IDS[id as usize % ADOPTED].load(Ordering::Relaxed) == id
}

fn spawned(task: &TaskMeta<'_>) {
    let announced = take_back();
    let is_enabled = is_enabled();
    if announced.is_none() && !is_enabled {
        return;
    }
    let id = spawn::number(&task.id());
    if let Some(spawn) = &announced {
        spawn.number(id);
        note_adopted(id);
    }
    if !is_enabled {
        return;
    }
    let site = announced.map_or_else(|| site(task.spawned_at()), |spawn| spawn.site);
    executor::spawned(future_id(id), site);
    let generation = executor::generation();
    if FIRST_IN.load(Ordering::Relaxed) != generation {
        FIRST.store(id, Ordering::Relaxed);
        // `Release` pairs with the `Acquire` in `tell`: this generation goes with that number, or
        // with one that another thread has put there at the same time, which will do as well.
        FIRST_IN.store(generation, Ordering::Release);
    }
}

/// The call site of tasks that tokio's own functions spawned at `place`.
fn site(place: &'static Location<'static>) -> &'static Callsite {
    let name = name::of_place(place);
    SitePlace::of_caller(CallsiteKind::Future, name, place).callsite(&[])
}

#[inline(never)]
fn begin_poll(watched: &Arc<Watched>, task: &TaskMeta<'_>) {
    watch::tick_of(watched);
    let id = spawn::number(&task.id());
    if !is_adopted(id) {
        tell(id, task);
        #[cfg(feature = "schedule-latency")]
        if let Some(latency) = task.schedule_latency() {
            executor::ready(future_id(id), latency.as_nanos() as u64);
        }
    }
    // A poll while the thread's locals are being destroyed is not recorded.
    _ = POLLS.try_with(|polls| {
        let poll = HookedPoll::begin(future_id(id));
        polls.borrow_mut().push((POLLED.replace(id), poll));
    });
}

/// Defines a task that was spawned before this generation.
fn tell(id: u64, task: &TaskMeta<'_>) {
    let generation = executor::generation();
    let in_first = FIRST_IN.load(Ordering::Acquire) == generation;
    if in_first && id >= FIRST.load(Ordering::Relaxed) {
        return;
    }
    TOLD_HERE.with(|told| {
        let before = told[id as usize % TOLD].replace((generation, id));
        if before != (generation, id) {
            executor::describe(future_id(id), site(task.spawned_at()));
        }
    });
}

/// The innermost poll ends, and is recorded.
#[inline(never)]
fn end_poll() {
    _ = POLLS.try_with(|polls| {
        if let Some((around, poll)) = polls.borrow_mut().pop() {
            POLLED.set(around);
            poll.end();
        }
    });
}

fn ended(task: &TaskMeta<'_>) {
    if !is_enabled() {
        return;
    }
    let id = spawn::number(&task.id());
    // Functions on blocking threads are tasks, too, but tokio does not report their spawn.
    if !is_adopted(id) && (POLLED.get() == id || !watch::is_blocking()) {
        tell(id, task);
        executor::ended(future_id(id));
    }
}
