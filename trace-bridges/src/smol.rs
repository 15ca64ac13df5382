//! Tasks of smol's executors.
//!
//! [`ExecutorExt`] spawns traced tasks on executors of `async-executor`, which smol's are. Where
//! there is no executor at hand, as with `smol::spawn`, trace the future itself:
//! `smol::spawn(future.traced("name"))`.

use async_executor::{Executor, LocalExecutor, Task};
#[cfg(feature = "enabled")]
use trace_runtime::TracedExt;

/// Spawns traced tasks.
///
/// ```
/// use async_executor::Executor;
/// use trace_bridges::smol::ExecutorExt;
///
/// let executor = Executor::new();
/// let _task = executor.spawn_traced("double", async { 2 * 21 });
/// assert!(executor.try_tick());
/// ```
pub trait ExecutorExt<'e> {
    /// As the executor's own `spawn`, traced under this name, spawned where this is called.
    #[track_caller]
    fn spawn_traced<F>(&self, name: &'static str, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'e,
        F::Output: Send + 'e;
}

/// Spawns traced tasks that stay on their thread.
pub trait LocalExecutorExt<'e> {
    /// As the executor's own `spawn`, traced under this name, spawned where this is called.
    #[track_caller]
    fn spawn_traced<F>(&self, name: &'static str, future: F) -> Task<F::Output>
    where
        F: Future + 'e,
        F::Output: 'e;
}

impl<'e> ExecutorExt<'e> for Executor<'e> {
    #[track_caller]
    fn spawn_traced<F>(&self, name: &'static str, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'e,
        F::Output: Send + 'e,
    {
        self.spawn(traced(name, future))
    }
}

impl<'e> LocalExecutorExt<'e> for LocalExecutor<'e> {
    #[track_caller]
    fn spawn_traced<F>(&self, name: &'static str, future: F) -> Task<F::Output>
    where
        F: Future + 'e,
        F::Output: 'e,
    {
        self.spawn(traced(name, future))
    }
}

#[cfg(feature = "enabled")]
#[track_caller]
fn traced<F: Future>(name: &'static str, future: F) -> trace_runtime::Traced<F> {
    future.traced(name)
}

#[cfg(not(feature = "enabled"))]
fn traced<F>(_: &'static str, future: F) -> F {
    future
}
