//! Findings in words.
//!
//! - `async_tasks`: what is said of async programs made slow on purpose, and of those that are
//!   well.
//! - `causes`: the true cause comes first, and what is said of it is true of what was asked for.
//! - `figures`: the figures of a title and of what is below it are of the same things, and none is
//!   cut by how many are listed.
//! - `findings`: what is said of programs made slow on purpose, and of those that are well.
//! - `futures`: what is said of a main thread that waits for futures, and of async tasks that wait
//!   for others.
//! - `order`: findings come in the order of what the program would have been faster without.
//! - `own_waits`: what is said of a main thread that waits itself.
//! - `path`: what is said of programs whose main thread waits for others, and of functions that are
//!   hot.
//! - `processes`: what is said of programs that run others and wait for them, and of threads that
//!   rest in a read.
//!
//! Shared with others: `executor`.

mod async_tasks;
mod causes;
#[path = "../executor/mod.rs"]
mod executor;
mod figures;
mod findings;
mod futures;
mod order;
mod own_waits;
mod path;
mod processes;
