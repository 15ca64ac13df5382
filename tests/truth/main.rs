//! Programs that know the truth about themselves: the answer from their trace must equal it. Each
//! runs in a process of its own, so that nothing else is in its trace.
//!
//! - [`cpu`]: where CPU time goes.
//! - [`locks`]: threads that wait for each other.
//! - [`async_tasks`]: tasks, and what they wait for.
//! - [`order`]: which of several faults comes first, and waiting of the main thread itself.
//! - [`answer`]: a recorded trace, read as the tool reads it.
//! - [`common`]: shared by all tests of the recorder.
//!
//! Elsewhere: the heap, which needs an allocator of its own (`truth_heap`).

#![cfg(target_os = "linux")]

#[path = "../waits/answer.rs"]
#[allow(dead_code, reason = "every test file uses its own part")]
mod answer;
mod async_tasks;
#[path = "../common/mod.rs"]
mod common;
mod cpu;
mod locks;
mod order;

use answer::Answer;
use common::{loudly, writers};
use std::thread::{self, JoinHandle};
use trace_analysis::explain::{Insight, InsightKind};

fn named<T: Send + 'static>(name: &str, act: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    thread::Builder::new().name(name.to_owned()).spawn(act).expect("a thread starts")
}

/// The finding of this kind.
#[track_caller]
fn find(found: Vec<Insight>, kind: InsightKind) -> Insight {
    let text = format!("{found:#?}");
    let one = found.into_iter().find(|insight| insight.kind == kind);
    one.unwrap_or_else(|| panic!("{} is not said: {text}", kind.name()))
}

/// Whether the kernel reported switches; prints a note if not.
fn has_cpus(answer: &Answer) -> bool {
    let has = !answer.report.lives.cpus.is_empty();
    if !has {
        loudly(&format!("SKIPPED: no switches were recorded: {:?}", answer.facilities()));
    }
    has
}
