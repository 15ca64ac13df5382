//! The layer that makes regions, tasks and messages of `tracing`'s spans and events.
//!
//! - `record`: what the layer does with the recorder compiled in; `disabled`: its twin without.
//! - `entered`: which spans each thread is in.
//! - `fields`: what spans carry.
//! - `message`: the text of an event.
//! - `sites`: the call site of a span or an event.
//!
//! The layer never disables a span or an event, because another layer may want it. To record less,
//! give this layer a filter.

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
/// A span is a region on the thread that entered it, until that thread leaves it. So the span of an
/// async function is one region for each poll, on the thread that polls. The region has the span's
/// name, its target as the module, file and line, and its fields as arguments, typed. Fields that
/// are recorded later are arguments of later regions, and an instant if the thread is in that span.
/// `follows_from` is not recorded. A span that was made while no trace ran has no arguments in
/// later traces, because fields are kept only while a trace runs.
///
/// If a thread leaves a span while it is in others inside it, those end there and begin again at
/// once: their times are right, and they count as one call more.
///
/// An event is a message under its target; the text is its level, its message, and its fields as
/// `key=value`.
///
/// While no trace runs, a span or an event costs one load, and leaving a span a look at the
/// thread's list. At most 1024 spans that a thread is in are recorded; deeper ones are not.
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
    /// Makes each span for which `is_task` returns true a task, not a region: requests, jobs.
    ///
    /// The task begins when the span is made, or when a span that is older than the trace is first
    /// entered, and ends when the span is closed. Its parent is the task of the innermost span
    /// around it that is a task, or else the task that the thread works for. A thread in the span
    /// works for the task. The span's fields are an instant.
    ///
    /// - `is_task`: called for each span made or entered while a trace runs; must always give the
    ///   same answer for the same span.
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
