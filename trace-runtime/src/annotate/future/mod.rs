//! Futures: each is wrapped (`wrapper`), so that its polls, wakes and end are recorded.
//!
//! - `current`: which future is polled on this thread.
//! - `waker`: wakers that record who wakes, and `holders`: whether anybody is left who can.
//! - `living`: the list of live futures, for the collector.
//! - `hooked`: futures that an executor's own hooks report, which have no wrapper.
//!
//! Elsewhere: how a poll is recorded (`thread/poll`).

pub(crate) mod current;
pub(crate) mod holders;
pub mod hooked;
pub(crate) mod living;
pub(crate) mod waker;
mod wrapper;

pub use wrapper::{FutureEnd, FutureGuard, FutureName, Ignore, InTask, Traced, TracedExt};
