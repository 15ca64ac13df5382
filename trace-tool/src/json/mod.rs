//! Answers for programs: what `--json` prints, over the values of [`answer`](crate::answer).
//!
//! `trace-tool/JSON.md` is made of these structs' documentation and of `reference.md` beside them
//! by `tests/json_reference.rs`, which fails when the page is out of date. Names of fields are
//! stable within a major version; new ones may come. Times are in nanoseconds, and their names say
//! so; moments count from the trace's first clock snapshot.
//!
//! - One file per verb: [`summary`], [`regions`], [`tasks`], [`threads`], [`check`], [`events`];
//!   [`blocked`], [`syscalls`], [`heap`], [`explain`], [`async_tasks`], [`libtest`]; [`ranking`] of
//!   several traces.
//! - [`head`]: what every object begins with. [`findings`]: what was read, and what is odd.
//! - [`stacks`]: stacks, resources and threads. [`lives`]: what threads did with their time.
//! - [`polls`], [`awaits`]: what keeps async tasks waiting. [`values`]: arguments and results.

pub mod async_tasks;
pub mod awaits;
pub mod blocked;
pub mod check;
pub mod events;
pub mod explain;
pub mod findings;
pub mod head;
pub mod heap;
pub mod libtest;
pub mod lives;
pub mod polls;
pub mod ranking;
pub mod regions;
pub mod stacks;
pub mod summary;
pub mod syscalls;
pub mod tasks;
pub mod threads;
pub mod values;
