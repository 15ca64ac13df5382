//! A runtime's queues as counters of the trace.
//!
//! The counters of a runtime are recorded by the first of its threads that parks or polls once they
//! are due, so an idle runtime records none. An unchanged value is recorded once per generation,
//! for readers that start in the middle of a trace.

use crate::names::kept;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::runtime::RuntimeMetrics;
use trace_runtime::__private::{SitePlace, counter};
use trace_runtime::{Callsite, CallsiteKind, Value, executor};

/// One counter.
#[derive(Debug)]
struct Gauge {
    site: &'static Callsite,
    value: AtomicU64,
    /// The generation in which the value was last recorded.
    generation: AtomicU64,
}

impl Gauge {
    fn new(name: &str) -> Self {
        let (kind, name) = (CallsiteKind::Counter, kept(name));
        let place = SitePlace { kind, name, module: "tokio", file: "", line: 0, column: 0 };
        let (value, generation) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { site: place.callsite(&[]), value, generation }
    }

    fn set(&self, value: u64) {
        let generation = executor::generation();
        let is_old = self.generation.swap(generation, Ordering::Relaxed) == generation;
        if self.value.swap(value, Ordering::Relaxed) != value || !is_old {
            counter(self.site, Value::U64(value));
        }
    }
}

/// The counters of a runtime, made when they are first recorded.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    all: OnceLock<Vec<Gauge>>,
}

impl Gauges {
    /// Records the present values.
    pub(super) fn set(&self, runtime: &str, metrics: &RuntimeMetrics) {
        let now = values(metrics);
        let gauges = self.all.get_or_init(|| {
            now.iter().map(|(name, _)| Gauge::new(&format!("{runtime} {name}"))).collect()
        });
        for (gauge, (_, value)) in gauges.iter().zip(now) {
            gauge.set(value);
        }
    }
}

/// What tokio's metrics say about a runtime.
fn values(metrics: &RuntimeMetrics) -> Vec<(String, u64)> {
    let alive = ("alive tasks".to_owned(), metrics.num_alive_tasks() as u64);
    let global = ("global queue".to_owned(), metrics.global_queue_depth() as u64);
    [alive, global].into_iter().chain(more_values(metrics)).collect()
}

#[cfg(not(tokio_unstable))]
fn more_values(_: &RuntimeMetrics) -> Vec<(String, u64)> {
    Vec::new()
}

#[cfg(tokio_unstable)]
fn more_values(metrics: &RuntimeMetrics) -> Vec<(String, u64)> {
    let mut values = vec![
        ("blocking queue".to_owned(), metrics.blocking_queue_depth() as u64),
        ("blocking threads".to_owned(), metrics.num_blocking_threads() as u64),
    ];
    for worker in 0..metrics.num_workers() {
        let depth = metrics.worker_local_queue_depth(worker) as u64;
        values.push((format!("worker {worker} queue"), depth));
        values.push((format!("worker {worker} steals"), metrics.worker_steal_count(worker)));
    }
    values
}
