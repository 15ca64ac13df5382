//! Async tasks: what they wait for, who wakes them, which were slow.
//!
//! - `async_choice`: for which of several futures a task waited that were open at once, from traces
//!   made by hand: one tick is a nanosecond.
//! - `async_tasks`: async tasks, from traces made by hand: one tick is a nanosecond.
//! - `async_windows`: what windows say of async tasks that are in the middle of things where one
//!   begins or ends.
//! - `async_wrapped`: futures that were wrapped before they were spawned, from traces made by hand:
//!   one tick is a nanosecond.
//! - `slow_requests`: what is said of slow tasks whose work is done by futures, in whichever
//!   service.
//! - `slow_tasks`: what is said of tasks that took longer than others of their name.
//!
//! Shared with others: `executor`, `random`.

mod async_choice;
mod async_tasks;
mod async_windows;
mod async_wrapped;
#[path = "../executor/mod.rs"]
mod executor;
#[path = "../common/random.rs"]
mod random;
mod slow_requests;
mod slow_tasks;
