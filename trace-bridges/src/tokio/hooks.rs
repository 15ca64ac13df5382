//! What tokio tells of every task of an instrumented runtime: its spawn, its polls, its end.
//!
//! A task that was spawned through this crate is *adopted*: its future has tokio's number, and
//! tells of itself what tokio does not. Everything else is known by number and place alone. Of such
//! tasks the trace is told once per generation and thread, unless their spawn was recorded in it.

use super::name;
use super::spawn::{self, Spawn};
use super::watch::{self, Watched};
use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::runtime::{Builder, TaskMeta};
use trace_runtime::__private::Place;
use trace_runtime::hooked::{self, HookedPoll, future_id};
use trace_runtime::{Callsite, CallsiteKind, is_enabled};

/// Adopted tasks are told apart from others by their numbers modulo this. Two that live at once and
/// share a place cost an event too many.
const ADOPTED: usize = 4096;

/// Tasks that a thread remembers to have told of.
const TOLD: usize = 256;

/// Some runtime tells of its tasks.
static ARE_THERE: AtomicBool = AtomicBool::new(false);

static ADOPTED_IDS: [AtomicU64; ADOPTED] = [const { AtomicU64::new(0) }; ADOPTED];

/// The generation that the next is of.
static FIRST_IN: AtomicU64 = AtomicU64::new(0);

/// A task whose spawn was recorded in that generation; so were those of all later ones.
static FIRST: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// What is about to be spawned here.
    static ANNOUNCED: Cell<Option<Spawn>> = const { Cell::new(None) };
    /// The task of the innermost poll that goes on and is recorded; 0 for none. A word of its own,
    /// which needs no destructor: without a trace it is all that the end of a poll looks at.
    static POLLED: Cell<u64> = const { Cell::new(0) };
    /// Polls that go on, each with the task that was polled around it.
    static POLLS: RefCell<Vec<(u64, HookedPoll)>> = const { RefCell::new(Vec::new()) };
    /// Generations and numbers.
    static TOLD_HERE: [Cell<(u64, u64)>; TOLD] = const { [const { Cell::new((0, 0)) }; TOLD] };
}

/// Whether runtimes of this process may tell of their tasks.
pub(super) fn are_there() -> bool {
    ARE_THERE.load(Ordering::Relaxed)
}

/// Sets a builder's hooks.
pub(super) fn instrument(builder: &mut Builder, watched: &Arc<Watched>) {
    ARE_THERE.store(true, Ordering::Relaxed);
    let watched = Arc::clone(watched);
    builder.on_task_spawn(spawned);
    // Without a trace, the two of each poll do no more than stands here.
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

/// The next spawn on this thread is this one.
pub(super) fn announce(spawn: Spawn) {
    // Who spawns in the last moments of a thread does without.
    _ = ANNOUNCED.try_with(|announced| announced.set(Some(spawn)));
}

/// It, if no hook was told of it.
pub(super) fn take_back() -> Option<Spawn> {
    ANNOUNCED.try_with(Cell::take).ok().flatten()
}

/// The task of this number tells of itself.
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
    hooked::spawned(future_id(id), site);
    let generation = hooked::generation();
    if FIRST_IN.load(Ordering::Relaxed) != generation {
        FIRST.store(id, Ordering::Relaxed);
        // `Release` pairs with the `Acquire` in `tell`: this generation goes with that number, or
        // with one that another thread has put there at the same time, which will do as well.
        FIRST_IN.store(generation, Ordering::Release);
    }
}

/// The call site of tasks that were spawned there by tokio's own functions.
fn site(place: &'static Location<'static>) -> &'static Callsite {
    let name = name::of_place(place);
    Place::of_caller(CallsiteKind::Future, name, place).callsite(&[])
}

#[inline(never)]
fn begin_poll(watched: &Arc<Watched>, task: &TaskMeta<'_>) {
    watch::tick_of(watched);
    let id = spawn::number(&task.id());
    if !is_adopted(id) {
        tell(id, task);
        #[cfg(feature = "schedule-latency")]
        if let Some(latency) = task.schedule_latency() {
            hooked::ready(future_id(id), latency.as_nanos() as u64);
        }
    }
    // At the end of its thread a poll is not recorded.
    _ = POLLS.try_with(|polls| {
        let poll = HookedPoll::begin(future_id(id));
        polls.borrow_mut().push((POLLED.replace(id), poll));
    });
}

/// Has the trace know a task that was spawned before this generation.
fn tell(id: u64, task: &TaskMeta<'_>) {
    let generation = hooked::generation();
    let in_first = FIRST_IN.load(Ordering::Acquire) == generation;
    if in_first && id >= FIRST.load(Ordering::Relaxed) {
        return;
    }
    TOLD_HERE.with(|told| {
        let before = told[id as usize % TOLD].replace((generation, id));
        if before != (generation, id) {
            hooked::told(future_id(id), site(task.spawned_at()));
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
    // Functions on blocking threads are tasks as well, of whose spawn tokio has not told.
    if !is_adopted(id) && (POLLED.get() == id || !watch::is_blocking()) {
        tell(id, task);
        hooked::ended(future_id(id));
    }
}
