//! What macros expand to: regions, instants, counters and messages (`region`), tasks (`task`; those
//! that are open are in `open_tasks`) and futures (`future`). `traceparent` links tasks of several
//! processes.
//!
//! Elsewhere: their call sites (`callsite`), how they get into a thread's batch (`thread`).

pub(crate) mod future;
pub(crate) mod open_tasks;
pub(crate) mod region;
pub(crate) mod task;
pub(crate) mod traceparent;
