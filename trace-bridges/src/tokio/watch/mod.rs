//! The threads of instrumented runtimes: they get names, workers get a region while they are
//! parked, and each of them records the counters if they are due when it parks or polls.
//!
//! When tokio reports a new thread, it does not say what the thread does, and a blocking thread
//! becomes a worker when a worker blocks in place. So a thread's part is looked up when it parks
//! and polls.

use super::counters::Gauges;
use super::hooks;
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::runtime::{Builder, Handle, Id, RuntimeFlavor, worker_index};
use trace_runtime::__private::{Region, SitePlace, enter, name_thread};
use trace_runtime::{Callsite, CallsiteKind, is_enabled};

/// Minimum time between two records of a runtime's counters.
const EVERY_MS: u64 = 10;

/// Number of polls between two looks at the clock.
const POLLS: u32 = 32;

/// Names of the runtimes that exist.
static NAMES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The zero of [`Watched::told`].
static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The runtimes of one builder.
#[derive(Debug)]
pub(super) struct Watched {
    name: String,
    /// Number of threads started so far.
    threads: AtomicUsize,
    /// Whether each number of a blocking thread is taken.
    blocking: Mutex<Vec<bool>>,
    parked: &'static Callsite,
    gauges: Gauges,
    /// When the counters were last recorded, in milliseconds since [`BEGIN`].
    told: AtomicU64,
}

/// What a thread of a runtime does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// It is not tokio's.
    Foreign,
    /// It is not known yet.
    Unknown,
    /// It is this worker.
    Worker(usize),
    /// It is this blocking thread.
    Blocking(usize),
}

/// What is known of this thread as part of a runtime.
#[derive(Debug)]
struct Here {
    runtime: Option<(Arc<Watched>, Id)>,
    part: Part,
    parked: Option<Region>,
}

thread_local! {
    static HERE: RefCell<Here> =
        const { RefCell::new(Here { runtime: None, part: Part::Foreign, parked: None }) };
    static POLLS_LEFT: Cell<u32> = const { Cell::new(1) };
}

/// Sets a builder's hooks.
pub(super) fn instrument(builder: &mut Builder, name: &str) {
    let watched = Arc::new(Watched::new(name));
    let started = Arc::clone(&watched);
    builder.on_thread_start(move || _ = with_here(|here| started.start(here)));
    builder.on_thread_stop(|| _ = with_here(Here::stop));
    let parking = Arc::clone(&watched);
    builder.on_thread_park(move || {
        if is_enabled() {
            with_here(|here| parking.park(here));
        }
    });
    builder.on_thread_unpark(|| drop(with_here(|here| here.parked.take())));
    hooks::instrument(builder, &watched);
}

/// A task is about to be polled on this thread, and a trace runs.
pub(super) fn tick() {
    let left = POLLS_LEFT.get() - 1;
    POLLS_LEFT.set(if left == 0 { POLLS } else { left });
    if left == 0 {
        with_here(|here| {
            here.settle();
            here.tell();
        });
    }
}

/// As [`tick`], of a task of this runtime.
#[cfg(tokio_unstable)]
pub(super) fn tick_of(watched: &Arc<Watched>) {
    if POLLS_LEFT.get() == 1 {
        with_here(|here| here.come(watched));
    }
    tick();
}

/// To be called when this thread's part may have changed.
pub(super) fn settle() {
    if is_enabled() {
        with_here(Here::settle);
    }
}

/// Whether this is one of tokio's blocking threads.
#[cfg(tokio_unstable)]
pub(super) fn is_blocking() -> bool {
    worker_index().is_none() && with_here(|here| here.part != Part::Foreign).unwrap_or(false)
}

/// `None` while the thread's locals are being destroyed, and in a call from within `act`.
fn with_here<T>(act: impl FnOnce(&mut Here) -> T) -> Option<T> {
    HERE.try_with(|here| here.try_borrow_mut().ok().map(|mut here| act(&mut here))).ok().flatten()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic cannot leave these lists half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watched {
    fn new(wanted: &str) -> Self {
        let mut names = lock(&NAMES);
        let mut name = wanted.to_owned();
        let mut count = 1;
        while names.contains(&name) {
            count += 1;
            name = format!("{wanted}-{count}");
        }
        names.push(name.clone());
        let (kind, module) = (CallsiteKind::Region, "tokio");
        let parked = SitePlace { kind, name: "parked", module, file: "", line: 0, column: 0 };
        Self {
            name,
            threads: AtomicUsize::new(0),
            blocking: Mutex::default(),
            parked: parked.callsite(&[]),
            gauges: Gauges::default(),
            told: AtomicU64::new(0),
        }
    }

    fn start(self: &Arc<Self>, here: &mut Here) {
        here.come(self);
        here.part = Part::Unknown;
        // The first threads are normally workers, and soon report their index.
        let workers = Handle::try_current()
            .ok()
            .filter(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread)
            .map_or(0, |handle| handle.metrics().num_workers());
        if self.threads.fetch_add(1, Ordering::Relaxed) >= workers {
            here.settle();
        }
    }

    fn park(self: &Arc<Self>, here: &mut Here) {
        here.come(self);
        here.settle();
        here.tell();
        here.parked = Some(enter(self.parked));
    }

    fn take_number(&self) -> usize {
        let mut taken = lock(&self.blocking);
        let number = taken.iter().position(|taken| !taken).unwrap_or(taken.len());
        if number == taken.len() {
            taken.push(true);
        } else {
            taken[number] = true;
        }
        number
    }

    fn give_back(&self, part: Part) {
        if let Part::Blocking(number) = part {
            lock(&self.blocking)[number] = false;
        }
    }

    fn is_time(&self) -> bool {
        let now = BEGIN.elapsed().as_millis() as u64 + EVERY_MS;
        let told = self.told.load(Ordering::Relaxed);
        let order = Ordering::Relaxed;
        now >= told + EVERY_MS && self.told.compare_exchange(told, now, order, order).is_ok()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        lock(&NAMES).retain(|name| *name != self.name);
    }
}

impl Here {
    /// Notes that this thread runs something of this runtime now.
    fn come(&mut self, watched: &Arc<Watched>) {
        if let Ok(handle) = Handle::try_current() {
            let id = handle.id();
            let is_there = |it: &(Arc<Watched>, Id)| Arc::ptr_eq(&it.0, watched) && it.1 == id;
            if !self.runtime.as_ref().is_some_and(is_there) {
                self.runtime = Some((Arc::clone(watched), id));
            }
        }
    }

    /// Looks up this thread's part, and names the thread after it.
    fn settle(&mut self) {
        let (Some((watched, _)), false) = (&self.runtime, self.part == Part::Foreign) else {
            return;
        };
        let name = &watched.name;
        match (worker_index(), self.part) {
            (Some(index), Part::Worker(now)) if index == now => {}
            (None, Part::Blocking(_)) => {}
            (Some(index), part) => {
                watched.give_back(part);
                name_thread(&format!("{name}-worker-{index}"));
                self.part = Part::Worker(index);
            }
            (None, _) => {
                let number = watched.take_number();
                name_thread(&format!("{name}-blocking-{number}"));
                self.part = Part::Blocking(number);
            }
        }
    }

    /// Records the counters, if they are due.
    fn tell(&self) {
        let Some((watched, id)) = &self.runtime else { return };
        if !watched.is_time() {
            return;
        }
        let handle = Handle::try_current().ok().filter(|handle| handle.id() == *id);
        if let Some(handle) = handle {
            watched.gauges.set(&watched.name, &handle.metrics());
        }
    }

    fn stop(&mut self) {
        if let Some((watched, _)) = self.runtime.take() {
            watched.give_back(self.part);
        }
        self.part = Part::Foreign;
    }
}
