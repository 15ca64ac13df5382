//! The futures that stand for tasks, and the functions that blocking threads run.
//!
//! A task is one future in the trace, whether we or tokio's hooks record it. As long as no runtime
//! of the process has hooks, the future gets a number from the recorder, and its spawn is recorded
//! before tokio is called. Once there is a runtime with hooks, the task's number is made from
//! tokio's: the call site is left for the spawn hook to take. If no hook has taken it (the runtime
//! has no hooks, or the task belongs to a `LocalSet`, which has none), the spawn is recorded when
//! tokio has returned the number. If hooks report the polls, the future does not record them a
//! second time.

use super::{hooks, name, watch};
use pin_project_lite::pin_project;
use std::hash::{Hash, Hasher};
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use tokio::task::Id;
use trace_runtime::__private::{FutureGuard, SitePlace, Traced, enter};
use trace_runtime::{Callsite, CallsiteKind, Task, executor, is_enabled};

/// The module of call sites of functions on blocking threads.
const BLOCKING: &str = "tokio blocking";

pin_project! {
    /// A task.
    #[derive(Debug)]
    pub(super) struct Spawned<F: Future> {
        #[pin]
        future: Traced<F>,
        // The future that spawned it.
        parent: u64,
        // Where tokio's number is put, if the task is to use it.
        number: Option<Arc<AtomicU64>>,
    }

    impl<F: Future> PinnedDrop for Spawned<F> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let (Some(number), true) = (this.number, is_enabled()) {
                // Perhaps the future was never polled in this trace: without this its end would be
                // that of an unknown future.
                this.future.set_id(|| number.load(Ordering::Relaxed), *this.parent);
            }
        }
    }
}

impl<F: Future> Future for Spawned<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        if is_enabled() {
            if this.number.is_some() {
                this.future.as_mut().set_id(own_id, *this.parent);
            }
            watch::tick();
        }
        this.future.poll(context)
    }
}

/// A task that is about to be spawned, for the spawn hook to take.
#[derive(Debug)]
pub(super) struct Spawn {
    pub(super) site: &'static Callsite,
    /// Where the task's future looks for its number.
    number: Arc<AtomicU64>,
}

impl Spawn {
    /// Gives the future the number that tokio gave its task.
    pub(super) fn number(&self, id: u64) {
        self.number.store(executor::future_id(id), Ordering::Relaxed);
    }
}

/// A spawn that goes on.
#[derive(Debug)]
#[must_use = "a spawn is to be settled"]
pub(super) struct Announced {
    is_announced: bool,
}

impl Announced {
    /// Ends the announcement after tokio has spawned the task under the number `id`.
    pub(super) fn settle(self, id: impl FnOnce() -> Id) {
        if !self.is_announced {
            return;
        }
        if let Some(spawn) = hooks::take_back() {
            let id = number(&id());
            spawn.number(id);
            hooks::note_adopted(id);
            executor::spawned(executor::future_id(id), spawn.site);
        }
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        // If the announcement is still there, tokio has panicked.
        if self.is_announced {
            drop(hooks::take_back());
        }
    }
}

/// A future that is about to be spawned as a task.
pub(super) fn wrap<F: Future>(
    name: Option<&'static str>,
    caller: &'static Location<'static>,
    future: F,
) -> (Spawned<F>, Announced) {
    let name = name.unwrap_or_else(|| name::of_future::<F>(caller));
    let site = SitePlace::of_caller(CallsiteKind::Future, name, caller).callsite(&[]);
    let task = Task::current();
    if hooks::are_there() {
        let future = FutureGuard::adopt(site, task).wrap(future);
        let number = Arc::new(AtomicU64::new(0));
        hooks::announce(Spawn { site, number: Arc::clone(&number) });
        let spawned = Spawned { future, parent: executor::polled(), number: Some(number) };
        return (spawned, Announced { is_announced: true });
    }
    let future = FutureGuard::spawn(site, task).wrap(future);
    (Spawned { future, parent: 0, number: None }, Announced { is_announced: false })
}

/// A function that is about to run on a thread that may block.
pub(super) fn wrap_blocking<F: FnOnce() -> R, R>(
    name: Option<&'static str>,
    caller: &'static Location<'static>,
    work: F,
) -> impl FnOnce() -> R {
    let name = name.unwrap_or_else(|| name::of_function::<F>(caller));
    let place = SitePlace::of_caller(CallsiteKind::Region, name, caller);
    let site = SitePlace { module: BLOCKING, ..place }.callsite(&[]);
    let task = Task::current();
    move || {
        watch::settle();
        let _working = (task.id() != 0).then(|| task.enter());
        let _region = enter(site);
        work()
    }
}

/// The number of the task that is being polled. tokio knows it even if the spawning thread has not
/// reached `settle` yet.
fn own_id() -> u64 {
    executor::future_id(tokio::task::try_id().as_ref().map_or(0, number))
}

/// tokio's number of a task. A hasher is the only way to read it.
pub(super) fn number(id: &Id) -> u64 {
    let mut seen = Seen(0);
    id.hash(&mut seen);
    seen.0
}

/// Keeps the number that it is given.
struct Seen(u64);

impl Hasher for Seen {
    fn write(&mut self, bytes: &[u8]) {
        // In case tokio hashes something else one day: any numbers that differ will do.
        for byte in bytes {
            self.0 = self.0.wrapping_mul(31).wrapping_add(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
