//! The layer that makes regions, tasks and messages of `tracing`'s spans and events.
//!
//! - `record`: what it does, with the recorder compiled in; `disabled`: its twin without.
//! - `entered`: which spans each thread is in.
//! - `fields`: what spans carry.
//! - `message`: the text of an event.
//! - `sites`: the call site of a span or an event.
//!
//! The layer never says no to a span or an event: what it does not record may be what another layer
//! waits for. Who wants less gives it a filter.

#[cfg(not(feature = "enabled"))]
mod disabled;
#[cfg(feature = "enabled")]
mod entered;
#[cfg(feature = "enabled")]
mod fields;
#[cfg(feature = "enabled")]
mod message;
#[cfg(feature = "enabled")]
mod record;
#[cfg(feature = "enabled")]
mod sites;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use tracing_core::Metadata;

/// A layer that records: spans become regions, events become messages.
///
/// A span that is entered is a region on the thread that entered it, until that thread leaves it:
/// so an async function's span is one region for each poll, wherever that happens. The region has
/// the span's name, its target as the module, file and line, and its fields as arguments, typed.
/// Fields that are recorded later go with later regions, and are an instant if the thread is in
/// that span. `follows_from` is not recorded. A span that was made while no trace ran has no
/// arguments in later traces, for fields cost something only while a trace runs.
///
/// Spans that are left in another order than they were entered in are cut where one is left that
/// others lie in: those end there, and begin again at once, so times are right, and calls are
/// counted once more.
///
/// An event is a message under its target; the text is its level, its message, and its fields as
/// `key=value`.
///
/// While no trace runs, spans and events cost a load each, and leaving a span a look at what the
/// thread is in. A thread has at most 1024 spans recorded that it is in; deeper ones are not.
///
/// ```
/// use tracing_subscriber::layer::SubscriberExt as _;
///
/// let subscriber = tracing_subscriber::registry().with(trace_bridges::layer());
/// # let _ = subscriber;
/// ```
pub struct TraceLayer {
    /// Tells this layer's spans from those of another registry, which may have the same ids.
    #[cfg_attr(not(feature = "enabled"), expect(dead_code, reason = "nothing is recorded"))]
    number: u64,
    tasks: Option<Box<IsTask>>,
}

type IsTask = dyn Fn(&Metadata<'_>) -> bool + Send + Sync;

/// A layer for `tracing_subscriber`'s registry that records spans and events.
#[must_use]
pub fn layer() -> TraceLayer {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    TraceLayer { number: NEXT.fetch_add(1, Ordering::Relaxed), tasks: None }
}

impl TraceLayer {
    /// Makes spans tasks, not regions, for which `is_task` says yes: requests, jobs.
    ///
    /// The task begins when the span is made, or is first entered in a trace if it is older, and
    /// ends when it is closed; its parent is the task of the innermost span around it that is one,
    /// or else the task that the thread works for. Whoever is in the span works for the task. Its
    /// fields are an instant.
    ///
    /// - `is_task`: asked for each span made or entered while a trace runs, with the same answer.
    #[must_use]
    pub fn with_tasks(
        mut self,
        is_task: impl Fn(&Metadata<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.tasks = Some(Box::new(is_task));
        self
    }
}

impl fmt::Debug for TraceLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceLayer").field("has_tasks", &self.tasks.is_some()).finish()
    }
}
