//! Tasks and threads of tokio: who spawned a task, when it was polled, who woke it, where it waits,
//! how it ended; what runtimes' workers are called, when they park, and how long their queues are.
//!
//! - `spawn`: the futures that stand for tasks, and functions for blocking threads.
//! - `name`: the name of a task that was given none.
//! - `watch`: names a runtime's threads, and records when its workers park.
//! - `counters`: a runtime's queues as counters.
//! - `hooks`: what tokio reports of every task, under `--cfg tokio_unstable`.
//!
//! There are two ways, and both may be used at once. [`spawn()`] and its kin replace tokio's
//! functions of the same names, on any runtime; everything that such a task does is recorded.
//! [`BuilderExt::traced`] instruments a runtime: its threads and queues, and under
//! `--cfg tokio_unstable` also the tasks that tokio's own functions spawn. Of those, tokio does not
//! report who wakes them and where they wait.
//!
//! With the recorder compiled out, all of it is tokio and nothing else.
//!
//! ```
//! use exectrace_tokio::BuilderExt;
//! # use trace_bridges::tokio as exectrace_tokio;
//!
//! async fn double(n: u64) -> u64 {
//!     2 * n
//! }
//!
//! let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().traced().build()?;
//! let doubled = runtime.block_on(async {
//!     // A task named `double`, spawned here.
//!     exectrace_tokio::spawn(double(21)).await
//! });
//! assert_eq!(doubled?, 42);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "enabled")]
mod counters;
#[cfg(feature = "enabled")]
#[cfg_attr(not(tokio_unstable), path = "hooks/disabled.rs")]
mod hooks;
#[cfg(feature = "enabled")]
mod name;
#[cfg_attr(not(feature = "enabled"), path = "spawn/disabled.rs")]
mod spawn;
#[cfg_attr(not(feature = "enabled"), path = "watch/disabled.rs")]
mod watch;

use spawn::{wrap, wrap_blocking};
use std::io;
use std::panic::Location;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

/// As [`tokio::spawn`](tokio::task::spawn()): a task that is traced, spawned where this is called.
///
/// The task is named after the future's type: `spawn(handler(request))` makes a task named
/// `handler`. An `async` block has no name; its task is named by file and line.
///
/// # Panics
/// As tokio's: outside of a runtime.
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (future, announced) = wrap(None, Location::caller(), future);
    let handle = tokio::task::spawn(future);
    announced.settle(|| handle.id());
    handle
}

/// As [`spawn()`], under a name.
///
/// # Panics
/// As tokio's: outside of a runtime.
#[track_caller]
pub fn spawn_named<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (future, announced) = wrap(Some(name), Location::caller(), future);
    let handle = tokio::task::spawn(future);
    announced.settle(|| handle.id());
    handle
}

/// As [`spawn()`], on the runtime of this handle.
#[track_caller]
pub fn spawn_on<F>(runtime: &Handle, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (future, announced) = wrap(None, Location::caller(), future);
    let handle = runtime.spawn(future);
    announced.settle(|| handle.id());
    handle
}

/// As [`spawn_on`], under a name.
#[track_caller]
pub fn spawn_named_on<F>(name: &'static str, runtime: &Handle, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (future, announced) = wrap(Some(name), Location::caller(), future);
    let handle = runtime.spawn(future);
    announced.settle(|| handle.id());
    handle
}

/// As [`tokio::task::spawn_local`], traced as by [`spawn()`].
///
/// # Panics
/// As tokio's: outside of a `LocalSet`.
#[track_caller]
pub fn spawn_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let (future, announced) = wrap(None, Location::caller(), future);
    let handle = tokio::task::spawn_local(future);
    announced.settle(|| handle.id());
    handle
}

/// As [`spawn_local`], under a name.
///
/// # Panics
/// As tokio's: outside of a `LocalSet`.
#[track_caller]
pub fn spawn_local_named<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let (future, announced) = wrap(Some(name), Location::caller(), future);
    let handle = tokio::task::spawn_local(future);
    announced.settle(|| handle.id());
    handle
}

/// As [`tokio::task::spawn_blocking`]: the function runs as a region on the blocking thread, and
/// works for the task that the caller works for. The region has the function's name; a closure's
/// has its file and line.
///
/// # Panics
/// As tokio's: outside of a runtime.
#[track_caller]
pub fn spawn_blocking<F, R>(work: F) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    tokio::task::spawn_blocking(wrap_blocking(None, Location::caller(), work))
}

/// As [`spawn_blocking`], under a name.
///
/// # Panics
/// As tokio's: outside of a runtime.
#[track_caller]
pub fn spawn_blocking_named<F, R>(name: &'static str, work: F) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    tokio::task::spawn_blocking(wrap_blocking(Some(name), Location::caller(), work))
}

/// As [`tokio::task::block_in_place`]: the function runs as a region, named as that of
/// [`spawn_blocking`].
///
/// # Panics
/// As tokio's: on a runtime of one thread.
#[track_caller]
pub fn block_in_place<F, R>(work: F) -> R
where
    F: FnOnce() -> R,
{
    tokio::task::block_in_place(wrap_blocking(None, Location::caller(), work))
}

/// Spawns traced tasks into a [`JoinSet`].
pub trait JoinSetExt<T> {
    /// As [`JoinSet::spawn`], traced under this name.
    ///
    /// # Panics
    /// As tokio's: outside of a runtime.
    #[track_caller]
    fn spawn_traced<F>(&mut self, name: &'static str, future: F) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
        T: Send;

    /// As [`JoinSet::spawn_local`], traced under this name.
    ///
    /// # Panics
    /// As tokio's: outside of a `LocalSet`.
    #[track_caller]
    fn spawn_local_traced<F>(&mut self, name: &'static str, future: F) -> AbortHandle
    where
        F: Future<Output = T> + 'static;

    /// As [`JoinSet::spawn_blocking`], traced under this name.
    ///
    /// # Panics
    /// As tokio's: outside of a runtime.
    #[track_caller]
    fn spawn_blocking_traced<F>(&mut self, name: &'static str, work: F) -> AbortHandle
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send;
}

impl<T: 'static> JoinSetExt<T> for JoinSet<T> {
    #[track_caller]
    fn spawn_traced<F>(&mut self, name: &'static str, future: F) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        let (future, announced) = wrap(Some(name), Location::caller(), future);
        let handle = self.spawn(future);
        announced.settle(|| handle.id());
        handle
    }

    #[track_caller]
    fn spawn_local_traced<F>(&mut self, name: &'static str, future: F) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
    {
        let (future, announced) = wrap(Some(name), Location::caller(), future);
        let handle = self.spawn_local(future);
        announced.settle(|| handle.id());
        handle
    }

    #[track_caller]
    fn spawn_blocking_traced<F>(&mut self, name: &'static str, work: F) -> AbortHandle
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send,
    {
        self.spawn_blocking(wrap_blocking(Some(name), Location::caller(), work))
    }
}

/// Instruments runtimes.
pub trait BuilderExt {
    /// Instruments the runtimes that this builder builds from now on: the trace has their threads
    /// and queues, and under `--cfg tokio_unstable` all their tasks.
    ///
    /// In the trace, the first runtime of a program is called `tokio`, the next one `tokio-2`. The
    /// first one's workers are `tokio-worker-0` and so on, its blocking threads `tokio-blocking-0`
    /// and so on. Workers have the region `parked` while they do nothing. Counters like
    /// `tokio global queue` are recorded at most every 10 ms.
    ///
    /// A builder keeps one function of each kind (`on_thread_start`, `on_thread_stop`,
    /// `on_thread_park`, `on_thread_unpark`, and under `--cfg tokio_unstable` those of tasks): this
    /// method replaces those that were set before, and those that are set later replace ours.
    fn traced(&mut self) -> &mut Self;

    /// As [`BuilderExt::traced`], with another name than `tokio`.
    fn traced_as(&mut self, name: &str) -> &mut Self;
}

impl BuilderExt for Builder {
    fn traced(&mut self) -> &mut Self {
        self.traced_as("tokio")
    }

    fn traced_as(&mut self, name: &str) -> &mut Self {
        watch::instrument(self, name);
        self
    }
}

/// A runtime as `#[tokio::main]` makes it, instrumented.
///
/// For programs that begin with `#[tokio::main]`, which takes no builder: make `main` a plain
/// function, and pass its body to this runtime's `block_on`.
///
/// ```
/// fn main() -> std::io::Result<()> {
///     # use trace_bridges as exectrace;
///     exectrace::tokio::runtime()?.block_on(async {
///         // ...
///     });
///     Ok(())
/// }
/// ```
///
/// # Errors
/// As tokio's: the system refuses what a runtime needs.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().traced().build()
}
