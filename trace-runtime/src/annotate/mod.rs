//! What macros expand to: regions, instants, counters and messages (`region`), tasks (`task`;
//! `open_tasks` is the table of open ones) and futures (`future`). `traceparent` links tasks of
//! several processes.
//!
//! Elsewhere: their call sites (`callsite`), how they get into a thread's batch (`thread`).

pub(crate) mod future;
pub(crate) mod open_tasks;
pub(crate) mod region;
pub(crate) mod task;
pub(crate) mod traceparent;
