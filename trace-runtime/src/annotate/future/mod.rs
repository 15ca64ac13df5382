//! Futures: each has a wrapper (`traced`), so that its begin and end (`wrapper`) and its polls
//! (`polling`) are recorded.
//!
//! - `current`: which future is polled on this thread.
//! - `waker`: wakers that record who wakes a future; `liveness`: whether it can still be woken.
//! - `registry`: the table of live futures, for the collector.
//! - `executor`: futures without a wrapper, which an executor's own hooks report.
//!
//! Elsewhere: how a poll is recorded (`thread/poll`).

pub(crate) mod current;
pub mod executor;
pub(crate) mod liveness;
mod polling;
pub(crate) mod registry;
mod traced;
pub(crate) mod waker;
mod wrapper;

pub use traced::{FutureName, InTask, Traced, TracedExt};
pub use wrapper::{FutureEnd, FutureGuard, Ignore};
